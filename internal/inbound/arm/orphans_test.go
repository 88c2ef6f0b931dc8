package arm

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/access"
)

const (
	orphansPath = vaultID + "/providers/Coffer.Backup/orphans"
	removePath  = vaultID + "/providers/Coffer.Backup/removeOrphans"
	holdings    = "/v1/storage-locations/default/holdings"
)

func TestOrphansAreListedAndRemoved(t *testing.T) {
	w := newInstance(t)
	w.assign("watcher", access.BackupReaderID)
	w.assign("operator", access.BackupOperID)
	w.assign("contributor", access.BackupContribID)
	identity := w.must(200, http.MethodGet, binding+version, "").at("properties", "coffer", "identity").(string)
	held := func(name string) string {
		return fmt.Sprintf(`{"archive":{"name":%q,"sealed":true,"blobs":9,"bytes":100,"modified":"2026-11-20T03:00:00Z","backup":{"uid":"0a1b2c3d-0000-4000-8000-000000000001","vault":%q,"final":true}}}`, name, identity)
	}
	w.putPoint("p1", time.Now().Add(-time.Hour))
	w.putPoint("p2", time.Now().Add(-time.Hour))
	w.aks.Read(&extensionReader{answers: map[string]string{holdings: lines(`{"location":{}}`, held("a1"), held("a2"), held("p1"))}})

	ids, kinds := []string{}, []string{}
	items, _ := w.all(orphansPath + version + "&$top=1")
	for _, item := range items {
		ids, kinds = append(ids, item["id"].(string)), append(kinds, item["kind"].(string))
	}
	if got := strings.Join(kinds, " "); got != "Archive Archive RecoveryPoint" {
		t.Fatalf("listed: %v", items)
	}
	first := items[0]
	for field, want := range map[string]string{
		"clusterId": cluster, "name": "a1", "bytes": "100", "time": "2026-11-20T03:00:00Z", "backupInstanceId": "<nil>", "kept": "<nil>",
		"reason": "this vault made it, and its catalogue does not know the job: it may be older than the recovery point",
	} {
		if got := fmt.Sprint(first[field]); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if items[2]["backupInstanceId"] != instanceID || items[2]["name"] != "p2" {
		t.Errorf("the recovery point: %v", items[2])
	}
	body := fmt.Sprintf(`{"clusterId":%q,"ids":[%q,%q]}`, cluster, ids[0], ids[2])
	for _, who := range []string{"watcher", "operator"} {
		if got := w.do(who, http.MethodGet, orphansPath+version, ""); got.status != 200 {
			t.Errorf("%s lists: %d %s", who, got.status, got.text)
		}
		if got := w.do(who, http.MethodPost, removePath+version, body); got.status != 403 {
			t.Errorf("%s removes: %d %s", who, got.status, got.text)
		}
	}
	before := len(w.audit())
	removed := w.do("contributor", http.MethodPost, removePath+version, body)
	if got := fmt.Sprint(removed.values("outcome")); removed.status != 200 || got != "[ToBeDeleted Removed]" {
		t.Fatalf("removed: %d %s", removed.status, removed.text)
	}
	entries := w.audit()[before:]
	if len(entries) != 1 || entries[0].Action != access.ActionOrphanRemove || entries[0].Name != "contributor" || !strings.Contains(string(entries[0].After), ids[0]) {
		t.Errorf("the audit log has %+v", entries)
	}
	if got := w.must(200, http.MethodGet, pendingPath+version, ""); fmt.Sprint(got.values("recoveryPointId")) != "["+vaultID+"/recoveryPoints/a1]" {
		t.Errorf("to be deleted: %s", got.text)
	}
	if left, _ := w.all(orphansPath + version); len(left) != 1 || left[0]["id"] != ids[1] {
		t.Errorf("left: %v", left)
	}
	w.must(404, http.MethodGet, instanceID+"/recoveryPoints/p2"+version, "")
	w.must(200, http.MethodGet, instanceID+"/recoveryPoints/p1"+version, "")

	for _, bad := range []string{
		`{}`, `{"clusterId":"x","ids":["Archive/a/b"]}`, `{"clusterId":"` + cluster + `","ids":[]}`, `{"clusterId":"` + cluster + `","ids":["all"]}`,
		`{"clusterId":"` + cluster + `","ids":["Archive/a/b"` + strings.Repeat(`,"Archive/a/b"`, 100) + `]}`, `{"clusterId":"` + cluster + `","ids":"*"}`,
	} {
		w.must(400, http.MethodPost, removePath+version, bad)
	}
	w.must(404, http.MethodGet, vaultID+"2/providers/Coffer.Backup/orphans"+version, "")
}

func TestAnExtensionThatDoesNotKnowWhatItHoldsIsToldOf(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now().Add(-time.Hour))
	for name, tt := range map[string]struct{ answer, want string }{
		"an older extension":           {"", "install it in the version of this server"},
		"an answer without a location": {lines(), "does not say where it has looked"},
		"an answer that was cut off":   {`{"item":{"location":{}}}` + "\n", "did not answer to the end"},
		"a location that is away":      {`{"error":{"code":"UserErrorBackupStorageLocationNotReady","message":"the bucket is away","hint":"h"}}` + "\n", "the bucket is away; h"},
	} {
		reader := &extensionReader{answers: map[string]string{}}
		if tt.answer != "" {
			reader.answers[holdings] = tt.answer
		}
		w.aks.Read(reader)
		items, _ := w.all(orphansPath + version)
		if len(items) != 1 || items[0]["kind"] != "NotAsked" || items[0]["clusterId"] != cluster || !strings.Contains(fmt.Sprint(items[0]["reason"]), tt.want) {
			t.Errorf("%s: %v", name, items)
		}
	}
}
