package arm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

const (
	alertsPath  = vaultID + "/providers/Coffer.Backup/alerts"
	pendingPath = vaultID + "/providers/Coffer.Backup/pendingDeletions"
	slotsPath   = instanceID + "/providers/Coffer.Backup/slots"
)

func (w *world) write(do func(ctx context.Context, tx catalogue.Tx) error) {
	w.t.Helper()
	if err := w.db.Update(w.t.Context(), do); err != nil {
		w.t.Fatal(err)
	}
}

// owe writes down that recovery points are to be deleted, which has failed as often as an alert needs.
func (w *world) owe(names ...string) {
	w.t.Helper()
	for i, name := range names {
		since := time.Date(2026, 11, 20, 3, i, 0, 0, time.UTC)
		d := catalogue.Deletion{
			Vault: vaultID, Instance: instanceID, Point: name, Taken: since.Add(-24 * time.Hour), Cluster: cluster, Bytes: 1024, Since: since, Next: since, Work: []byte(`{"snapshotBytes":1048576}`),
		}
		w.write(func(ctx context.Context, tx catalogue.Tx) error { return tx.PutDeletion(ctx, d) })
		for range 5 {
			if err := w.jobs.Postpone(w.t.Context(), d, errors.New("the container is away")); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// values are what a list shows, by the path to a field in each.
func (r reply) values(path ...string) []any {
	items, _ := r.at("value").([]any)
	found := make([]any, len(items))
	for i, item := range items {
		one, _ := item.(map[string]any)
		found[i] = reply{body: one}.at(path...)
	}
	return found
}

// assign gives a role at the root to somebody.
func (w *world) assign(name, role string) {
	w.t.Helper()
	w.must(201, http.MethodPut, "/providers/Microsoft.Authorization/roleAssignments/"+w.objectID("assignment of "+name)+version,
		fmt.Sprintf(`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":%q}}`, role, w.objectID(name)))
}

func TestAnAlertIsSeenAcknowledgedAndClosed(t *testing.T) {
	w := newInstance(t)
	w.assign("watcher", access.BackupReaderID)
	w.assign("operator", access.BackupOperID)
	if got := w.must(200, http.MethodGet, alertsPath+version, ""); len(got.values()) != 0 {
		t.Errorf("before anything happened: %s", got.text)
	}
	w.owe("p1", "p2")
	listed := w.do("watcher", http.MethodGet, alertsPath+version, "")
	names := listed.values("name")
	if listed.status != 200 || len(names) != 1 {
		t.Fatalf("two recovery points of one instance: %d %s", listed.status, listed.text)
	}
	path := alertsPath + "/" + names[0].(string)
	shown := w.do("watcher", http.MethodGet, path+version, "")
	for field, want := range map[string]string{
		"kind": "RecoveryPointNotDeleted", "severity": "Sev2", "state": "Fired", "targetId": instanceID, "count": "2",
		"message": "the expired recovery point p2 of ", "recommendedAction": "coffer backup-vault pending-deletions", "firstOccurred": "20", "lastOccurred": "20",
	} {
		if got := fmt.Sprint(shown.at("properties", field)); !strings.HasPrefix(got, want) && !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	if shown.at("id") != path || shown.at("type") != "Coffer.Backup/alerts" || shown.at("properties", "closedTime") != nil {
		t.Errorf("shown: %s", shown.text)
	}
	if got := w.do("watcher", http.MethodPost, path+"/acknowledge"+version, ""); got.status != 403 {
		t.Errorf("a reader acknowledges: %d %s", got.status, got.text)
	}
	before := len(w.audit())
	for range 2 { // A client that asks again has its way.
		if got := w.do("operator", http.MethodPost, strings.ToUpper(path)+"/acknowledge"+version, ""); got.status != 200 || got.at("properties", "state") != "Acknowledged" {
			t.Errorf("acknowledged: %d %s", got.status, got.text)
		}
	}
	// It is known: what happens again counts, and nobody is called anew.
	w.owe("p3")
	if got := w.must(200, http.MethodGet, path+version, ""); got.at("properties", "state") != "Acknowledged" || fmt.Sprint(got.at("properties", "count")) != "3" {
		t.Errorf("after it has happened again: %s", got.text)
	}
	for range 2 {
		if got := w.do("operator", http.MethodPost, path+"/close"+version, ""); got.status != 200 || got.at("properties", "state") != "Closed" || got.at("properties", "closedTime") == nil {
			t.Errorf("closed: %d %s", got.status, got.text)
		}
	}
	if got := w.must(409, http.MethodPost, path+"/acknowledge"+version, ""); got.at("error", "code") != string(coffer.CodeConflict) {
		t.Errorf("a closed one is acknowledged: %s", got.text)
	}
	entries := w.audit()[before:]
	if len(entries) != 2 || entries[0].Action != access.ActionAlertAcknowledge || entries[1].Action != access.ActionAlertClose ||
		string(entries[1].Target) != path || entries[1].Name != "operator" || !strings.Contains(string(entries[1].Before), "Acknowledged") || !strings.Contains(string(entries[1].After), "Closed") {
		t.Errorf("the audit log has %+v", entries)
	}
	w.must(404, http.MethodGet, alertsPath+"/none"+version, "")
	w.must(404, http.MethodPost, alertsPath+"/none/close"+version, "")
}

func TestAlertsAreSelectedAndPaged(t *testing.T) {
	w := newInstance(t)
	raised := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	for i, name := range []string{"a", "b", "c"} {
		w.write(func(ctx context.Context, tx catalogue.Tx) error {
			at := raised.Add(time.Duration(i) * time.Minute)
			_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{
				Vault: vaultID, Name: name, Kind: "BackupMissed", Target: catalogue.ID(instanceID + name), First: at, Last: at, Body: []byte(`{"message":"x"}`),
			})
			return err
		})
	}
	w.must(200, http.MethodPost, alertsPath+"/b/close"+version, "")
	w.must(200, http.MethodPost, alertsPath+"/a/acknowledge"+version, "")
	for query, want := range map[string]string{
		"": "[c b a]", "&open=true": "[c a]", "&open=false": "[c b a]", "&state=closed": "[b]", "&state=Fired": "[c]", "&open=1&state=Acknowledged": "[a]",
		"&target=" + strings.ToUpper(instanceID) + "C": "[c]", "&target=" + instanceID: "[]",
	} {
		if got := w.must(200, http.MethodGet, alertsPath+version+query, ""); fmt.Sprint(got.values("name")) != want {
			t.Errorf("%q lists %v, want %s", query, got.values("name"), want)
		}
	}
	for _, query := range []string{"&open=perhaps", "&state=Lost", "&target=x", "&$skipToken=x", "&$top=0"} {
		w.must(400, http.MethodGet, alertsPath+version+query, "")
	}
	if got := w.paged(alertsPath+version+"&open=true&$top=1", "name"); got != "[c][a]" {
		t.Errorf("pages of one: %s", got)
	}
	w.must(404, http.MethodGet, vaultID+"2/providers/Coffer.Backup/alerts"+version, "")
	w.must(404, http.MethodGet, vaultID+"2/providers/Coffer.Backup/pendingDeletions"+version, "")
	w.must(404, http.MethodGet, instanceID+"2/providers/Coffer.Backup/slots"+version, "")
}

// paged follows a list to its end, and answers a field of what is on each page.
func (w *world) paged(path string, field ...string) (pages string) {
	w.t.Helper()
	for path != "" {
		got := w.must(200, http.MethodGet, path, "")
		pages += fmt.Sprint(got.values(field...))
		next, _ := got.at("nextLink").(string)
		path = strings.TrimPrefix(next, w.URL)
	}
	return pages
}

func TestWhatExpiredAndIsNotDeletedYetIsListed(t *testing.T) {
	w := newInstance(t)
	w.assign("watcher", access.BackupReaderID)
	w.owe("p1", "p2", "p3")
	point := instanceID + "/recoveryPoints/p"
	if got, want := w.paged(pendingPath+version+"&$top=2", "recoveryPointId"), "["+point+"1 "+point+"2]["+point+"3]"; got != want {
		t.Errorf("pages of two: %s, want %s", got, want)
	}
	got := w.do("watcher", http.MethodGet, pendingPath+version+"&$top=1", "")
	for field, want := range map[string]string{
		"backupInstanceId": instanceID, "clusterId": cluster, "recoveryPointTime": "2026-11-19T03:00:00Z", "since": "2026-11-20T03:00:00Z",
		"tries": "5", "failure": "the container is away", "bytes": "1024", "snapshotBytes": "1048576",
	} {
		if shown := fmt.Sprint(got.values(field)...); shown != want {
			t.Errorf("%s is %q, want %q", field, shown, want)
		}
	}
	if next := fmt.Sprint(got.values("nextTry")...); next <= time.Now().UTC().Format(time.RFC3339) {
		t.Errorf("it is tried again at %s", next)
	}
	w.must(400, http.MethodGet, pendingPath+version+"&$skipToken=YSBi", "")
	if err := w.jobs.Deleted(t.Context(), catalogue.Deletion{Vault: vaultID, Instance: instanceID, Point: "p2"}); err != nil {
		t.Fatal(err)
	}
	if got := w.paged(pendingPath+version, "recoveryPointId"); got != "["+point+"1 "+point+"3]" {
		t.Errorf("after p2 is gone: %s", got)
	}
}

func TestWhatBecameOfTheSlotsOfAnInstanceIsListed(t *testing.T) {
	w := newInstance(t)
	w.assign("watcher", access.BackupReaderID)
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	for i, slot := range []catalogue.Slot{
		{Outcome: catalogue.SlotBegun, Job: "j0"}, {Outcome: catalogue.SlotOverrun}, {Outcome: catalogue.SlotCaughtUp, Job: "j2", Missed: 4, Since: at.Add(90 * time.Minute)},
	} {
		slot.Instance, slot.At, slot.Noted = instanceID, at.Add(time.Duration(i)*time.Hour), at.Add(5*time.Hour)
		w.write(func(ctx context.Context, tx catalogue.Tx) error { return tx.AddSlot(ctx, slot) })
	}
	if got := w.paged(slotsPath+version+"&$top=2", "outcome"); got != "[CaughtUp Overrun][Begun]" {
		t.Errorf("pages of two: %s", got)
	}
	got := w.do("watcher", http.MethodGet, slotsPath+version+"&$filter=startTime+eq+'2026-11-20T04:30:00Z'", "")
	for field, want := range map[string]string{
		"time": "2026-11-20T05:00:00Z", "notedTime": "2026-11-20T08:00:00Z", "jobId": vaultID + "/backupJobs/j2", "missed": "4", "missedSince": "2026-11-20T04:30:00Z",
	} {
		if shown := fmt.Sprint(got.values(field)...); shown != want {
			t.Errorf("%s is %q, want %q: %s", field, shown, want, got.text)
		}
	}
}
