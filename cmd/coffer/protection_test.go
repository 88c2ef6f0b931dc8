package main

import (
	"fmt"
	"testing"
	"time"
)

func TestProtectionIsStoppedSuspendedAndResumed(t *testing.T) {
	past, future := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	expiring := func(name, at string) string {
		return fmt.Sprintf(`{"id":"%s/recoveryPoints/%s","name":"%s","properties":{"recoveryPointTime":"2026-11-20T00:00:00Z","expiryTime":"%s"}}`, instancePath, name, name, at)
	}
	points := `{"value":[` + expiring("p1", past) + `,` + expiring("p2", past) + `,` + expiring("p3", future) + `]}`
	for _, tt := range []struct {
		args          []string
		request, body string
		says          []string
	}{
		{[]string{"stop-protection", "-n", "shop"}, "stopProtection", "", []string{"The protection of backup instance shop is stopped: it is not backed up, and nothing of it expires."}},
		{[]string{"stop-protection", "-n", "shop", "--no-wait"}, "stopProtection", "", []string{"stop the protection of backup instance shop: begun."}},
		{[]string{"suspend-backup", "--name", "shop"}, "suspendBackups", "", []string{"The backups of backup instance shop are suspended"}},
		{[]string{"resume-protection", "-n", instancePath}, "resumeProtection", "", []string{"whose time has come (2) expire now", "Backup instance shop is protected again."}},
		{[]string{"sync", "-n", "shop", "--sync-type", "ForceResync"}, "sync", `{"syncType":"ForceResync"}`, []string{"Backup instance shop is synchronised."}},
	} {
		request := "POST " + instancePath + "/" + tt.request
		v := newVaultServer(t, map[string][]string{"GET " + instancePath + "/recoveryPoints": {points}, request: {`{"objectType":"x"}`}})
		_, stderr, code := v.run(t.Context(), t, append([]string{"backup-instance"}, tt.args...)...)
		if code != 0 || v.times(request) != 1 || v.body(request) != tt.body {
			t.Errorf("%q: exit code %d, sent %q\n%s", tt.args, code, v.body(request), stderr)
		}
		mustHave(t, "stderr", stderr, tt.says...)
	}
	v := newVaultServer(t, map[string][]string{"POST " + instancePath + "/stopProtection": {`{"error":{"code":"UserErrorJobInProgress","message":"the backup instance shop is being deleted; wait until it is gone"}}`}})
	_, stderr, code := v.run(t.Context(), t, "backup-instance", "stop-protection", "-n", "shop")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	mustHave(t, "stderr", stderr, "stop the protection of backup instance shop: the backup instance shop is being deleted")
}
