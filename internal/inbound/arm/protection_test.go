package arm

import (
	"net/http"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// protection is the state that an instance shows, and that of protectionStatus.
func (w *world) protection() [2]any {
	w.t.Helper()
	got := w.must(200, http.MethodGet, instanceID+version, "")
	return [2]any{got.at("properties", "currentProtectionState"), got.at("properties", "protectionStatus", "status")}
}

func TestProtectionIsStoppedAndResumed(t *testing.T) {
	w := newInstance(t)
	const backup = `{"backupRuleOptions":{"ruleName":"BackupHourly"}}`
	suspended, stopped, configured := [2]any{"BackupSchedulesSuspended", "ProtectionStopped"}, [2]any{"ProtectionStopped", "ProtectionStopped"}, [2]any{"ProtectionConfigured", "ProtectionConfigured"}
	for _, step := range []struct {
		request, body string
		status        int
		want          [2]any
	}{
		{"/resumeProtection", "", 202, configured},
		{"/suspendBackups", "", 202, suspended},
		{"/suspendBackups", `{"resourceGuardOperationRequests":[]}`, 202, suspended},
		{"/backup", backup, 409, suspended},
		{"/stopProtection", "", 202, stopped},
		{"/backup", backup, 409, stopped},
		{"/resumeBackups", "", 409, stopped},
		{"/sync", `{"syncType":"Default"}`, 202, stopped},
		{"/sync", `{"syncType":"ForceResync"}`, 202, stopped},
		{"/sync", `{"syncType":"Sometimes"}`, 400, stopped},
		{"/stopProtection", `{"resourceGuardOperationRequests":1}`, 400, stopped},
		{"/suspendBackups", "{}", 202, suspended},
		{"/resumeBackups", "", 202, configured},
		{"/stopProtection", "", 202, stopped},
		{"/resumeProtection", "", 202, configured},
	} {
		got := w.must(step.status, http.MethodPost, instanceID+step.request+version, step.body)
		if is := w.protection(); is != step.want {
			t.Errorf("after %s %s: %v, want %v", step.request, step.body, is, step.want)
		}
		switch step.status {
		case 409:
			if got.at("error", "code") != string(coffer.CodeProtectionStopped) || !strings.Contains(got.text, "resume-protection") {
				t.Errorf("%s: %s", step.request, got.text)
			}
		case 202:
			status := w.must(200, http.MethodGet, strings.TrimPrefix(got.header.Get("Azure-AsyncOperation"), w.URL), "")
			if status.at("status") != "Succeeded" || got.header.Get("Location") == "" {
				t.Errorf("%s: %v, %s", step.request, got.header, status.text)
			}
		}
	}
	audited := 0
	for _, e := range w.audit() {
		if strings.HasSuffix(e.Action, "backupInstances/stopProtection/action") && e.Status == 202 && strings.Contains(string(e.After), "ProtectionStopped") {
			audited++
		}
	}
	if audited != 2 {
		t.Errorf("%d entries say that protection was stopped", audited)
	}
}

// TestAWriteDoesNotResume holds that Terraform, which writes the whole instance to change a tag, does not undo what was stopped.
func TestAWriteDoesNotResume(t *testing.T) {
	w := newInstance(t)
	w.must(202, http.MethodPost, instanceID+"/stopProtection"+version, "")
	stopped := w.protection()
	w.must(200, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`,"tags":{"a":"b"}}`)
	w.must(200, http.MethodPatch, instanceID+version, `{"tags":{"a":"c"},"properties":{"currentProtectionState":"ProtectionConfigured","coffer":{"protection":{"state":"ProtectionConfigured"}}}}`)
	if got := w.protection(); got != stopped {
		t.Errorf("after a write: %v", got)
	}
	// What is restored is not what is backed up.
	if got := w.must(400, http.MethodPost, instanceID+"/restore"+version, `{"objectType":"x"}`); got.at("error", "code") == string(coffer.CodeProtectionStopped) {
		t.Errorf("a restore: %s", got.text)
	}
}
