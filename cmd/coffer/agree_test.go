package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhatAnotherPolicyDeletesIsAgreedTo: recovery points that adopt another policy may be deleted at once, which nothing brings back.
func TestWhatAnotherPolicyDeletesIsAgreedTo(t *testing.T) {
	const policyPath = vaultPath + "/backupPolicies/hourly"
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(`{"objectType":"BackupPolicy"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	follow, change := []string{"backup-instance", "update", "-n", "shop", "--policy-name", "hourly"}, []string{"backup-policy", "create", "-n", "hourly", "--policy", file}
	const deletes, keeps = `{"recoveryPoints":[],"kept":3,"changed":1,"deleted":2}`, `{"recoveryPoints":[],"kept":3,"changed":1,"deleted":0}`
	for _, tt := range []struct {
		name          string
		command       []string
		asked, answer string
		write         string
		code          int
		stderr        string
	}{
		{"another policy, nothing said", follow, instancePath, deletes, "", 2, "This deletes 2 recovery points, for good: coffer backup-instance preview-change lists them. Go on? Say so with --yes"},
		{"another policy, agreed", append(follow, "--yes"), instancePath, deletes, "PATCH " + instancePath, 0, "This deletes 2 recovery points, for good"},
		{"another policy that deletes nothing", follow, instancePath, keeps, "PATCH " + instancePath, 0, ""},
		{"what it does is not told", follow, instancePath, `{"error":{"code":"InternalServerError","message":"no idea"}}`, "PATCH " + instancePath, 0, "could not be found out"},
		{"a server that does not know", follow, instancePath, "", "PATCH " + instancePath, 0, ""},
		{"other things of the instance", append(follow[:4:4], "--friendly-name", "x"), "", deletes, "PATCH " + instancePath, 0, ""},
		{"a changed policy, nothing said", change, policyPath, deletes, "", 2, "This deletes 2 recovery points, for good: coffer backup-policy preview-change lists them. Go on? Say so with --yes"},
		{"a changed policy, agreed", append(change, "--yes"), policyPath, deletes, "PUT " + policyPath, 0, "This deletes 2 recovery points, for good"},
		{"what is no policy", change, policyPath, `{"error":{"code":"BMSUserErrorInvalidInput","message":"the backup policy is refused"}}`, "PUT " + policyPath, 0, ""},
		{"a new policy", change, policyPath, "", "PUT " + policyPath, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVaultServer(t, map[string][]string{
				"GET " + instancePath: {instanceAnswer}, "PATCH " + instancePath: {instanceAnswer}, "PUT " + policyPath: {policyAnswer},
				"POST " + tt.asked + "/providers/Coffer.Backup/previewChange": {tt.answer},
			})
			_, stderr, code := v.run(t.Context(), t, tt.command...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("exit code %d, want %d: %q, want %q", code, tt.code, stderr, tt.stderr)
			}
			written := slices.IndexFunc(v.asked, func(r string) bool { return strings.HasPrefix(r, "PATCH ") || strings.HasPrefix(r, "PUT ") })
			if (written >= 0) != (tt.write != "") || written >= 0 && v.asked[written] != tt.write {
				t.Errorf("it asked for %q, want %q", v.asked, tt.write)
			}
		})
	}
}
