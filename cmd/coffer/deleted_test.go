package main

import (
	"strings"
	"testing"
)

func TestDeletedInstances(t *testing.T) {
	deleted := vaultPath + "/deletedBackupInstances/shop"
	shown := strings.Replace(strings.Replace(instanceAnswer, instancePath, deleted, 1), `"currentProtectionState":"ProtectionConfigured"`,
		`"currentProtectionState":"SoftDeleted","deletionInfo":{"deletionTime":"2026-11-21T08:00:00Z","scheduledPurgeTime":"2026-12-05T08:00:00Z"}`, 1)
	purge := "POST " + deleted + "/providers/Coffer.Backup/purge"
	v := newVaultServer(t, map[string][]string{
		"GET " + vaultPath + "/deletedBackupInstances": {`{"value":[` + shown + `]}`}, "GET " + deleted: {shown},
		"POST " + deleted + "/undelete": {`{"x":1}`}, purge: {`{"x":1}`}, purge + "?retainData=true": {`{"x":1}`},
	})
	for _, tt := range []struct {
		args    []string
		request string
		code    int
		says    []string
	}{
		{[]string{"list"}, "GET " + vaultPath + "/deletedBackupInstances", 0, []string{"CAN BE HAD AGAIN UNTIL", "shop", "production", "daily", "2026-12-05"}},
		{[]string{"show", "-n", "shop"}, "GET " + deleted, 0, []string{"Can be had again until:", "2026-12-05", "SoftDeleted"}},
		{[]string{"undelete", "-n", "shop"}, "POST " + deleted + "/undelete", 0, []string{"Backup instance shop is there again, and its protection is stopped."}},
		{[]string{"undelete", "-n", "shop", "--no-wait"}, "POST " + deleted + "/undelete", 0, []string{"undelete backup instance shop: begun."}},
		{[]string{"purge", "-n", "shop"}, "", 2, []string{"Purge deleted backup instance shop? Its recovery points and their snapshots are deleted, for good."}},
		{[]string{"purge", "-n", "shop", "--yes"}, purge, 0, []string{"Backup instance shop is purged."}},
		{[]string{"purge", "-n", "shop", "--yes", "--retain-data"}, purge + "?retainData=true", 0, []string{"Backup instance shop is purged."}},
	} {
		stdout, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance", "deleted-backup-instance"}, tt.args...)...)
		if code != tt.code || tt.request != "" && v.times(tt.request) == 0 {
			t.Errorf("%q: exit code %d\n%s%s", tt.args, code, stdout, stderr)
		}
		mustHave(t, strings.Join(tt.args, " "), stdout+stderr, tt.says...)
	}
}

func TestARecoveryPointIsHeldAndReleased(t *testing.T) {
	held := strings.Replace(point("p1", "2026-11-20T00:00:00Z"), `"recoveryPointState"`, `"coffer":{"legalHold":{"reason":"Case 42","by":"ann","at":"2026-11-21T08:00:00Z"}},"recoveryPointState"`, 1)
	hold, release := "POST "+instancePath+"/recoveryPoints/p1/providers/Coffer.Backup/hold", "POST "+instancePath+"/recoveryPoints/p1/providers/Coffer.Backup/releaseHold"
	v := newVaultServer(t, map[string][]string{hold: {held}, release: {point("p1", "2026-11-20T00:00:00Z")}})
	if _, stderr, code := v.run(t.Context(), t, "recovery-point", "hold", "-n", "shop", "p1"); code != 2 || !strings.Contains(stderr, "--reason") {
		t.Errorf("without a reason: exit code %d\n%s", code, stderr)
	}
	stdout, stderr, code := v.run(t.Context(), t, "recovery-point", "hold", "-n", "shop", "p1", "--reason", "Case 42")
	if code != 0 || v.body(hold) != `{"reason":"Case 42"}` {
		t.Errorf("held: exit code %d, sent %s\n%s", code, v.body(hold), stderr)
	}
	mustHave(t, "stdout", stdout, "Legal hold:", "Case 42 (by ann, ")
	if stdout, stderr, code = v.run(t.Context(), t, "point", "release-hold", "-n", "shop", "p1"); code != 0 || strings.Contains(stdout, "Case 42") {
		t.Errorf("released: exit code %d\n%s%s", code, stdout, stderr)
	}
}
