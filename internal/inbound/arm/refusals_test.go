package arm

import (
	"net/http"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

func TestWritesThatAreRefusedOnTheWayAreRecorded(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.must(200, http.MethodPut, policyID+version, policyBody)
	w.must(201, http.MethodPut, vaultID+"/providers/Microsoft.Authorization/roleAssignments/66666666-6666-4666-8666-666666666666"+version,
		`{"properties":{"roleDefinitionId":"`+subscription+`/providers/Microsoft.Authorization/roleDefinitions/`+access.BackupOperID+`","principalId":"`+w.objectID("operator")+`"}}`)
	before := len(w.audit())
	// The operator may write instances, and may not read the cluster.
	got := w.do("operator", http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
	if got.status != 403 || got.at("error", "code") != string(coffer.CodeLinkedAuthorizationFailed) {
		t.Fatalf("%d %s", got.status, got.text)
	}
	entries := w.audit()[before:]
	if len(entries) != 1 || entries[0].Principal != w.objectID("operator") || entries[0].Status != 403 ||
		entries[0].Code != string(coffer.CodeLinkedAuthorizationFailed) || !entries[0].Target.Is(instanceID) {
		t.Errorf("the audit log has %+v", entries)
	}
}

func TestWhoMayNothingCannotFillTheAuditLog(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	before := len(w.audit())
	refused := map[int]int{}
	for range maxRefusals + 20 {
		got := w.do("guest", http.MethodDelete, group+version, "")
		if refused[got.status]++; got.status == 429 && (got.at("error", "code") != "TooManyRequests" || got.header.Get("Retry-After") == "") {
			t.Fatalf("%s", got.text)
		}
	}
	recorded := len(w.audit()) - before
	if refused[403] != maxRefusals || refused[429] != 20 || recorded != maxRefusals {
		t.Errorf("%v, and %d entries in the log", refused, recorded)
	}
	// Others are refused as ever, and what may be done is done.
	if got := w.do("reader", http.MethodDelete, group+version, ""); got.status != 403 {
		t.Errorf("%d %s", got.status, got.text)
	}
	w.must(200, http.MethodPut, group+version, `{"location":"westeurope","tags":{"a":"b"}}`)
}

func TestRefusalsAreCountedByTheMinute(t *testing.T) {
	var r refusals
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for range maxRefusals {
		if !r.take("a", now) {
			t.Fatal("too early")
		}
	}
	if r.take("a", now.Add(time.Second)) || !r.take("b", now) || !r.take("a", now.Add(time.Minute)) || !r.take("a", now.Add(-time.Hour)) {
		t.Error("refused too late, for somebody else, or for too long")
	}
}
