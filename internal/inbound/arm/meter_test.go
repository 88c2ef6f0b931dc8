package arm

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/meter"
)

const meterPath = vaultID + "/providers/Coffer.Backup/meter"

// measured writes down that a vault was measured some days ago, with an instance that takes up n bytes.
func (w *world) measured(ago int, n int64) {
	w.t.Helper()
	day := meter.Day(time.Now()).AddDate(0, 0, -ago)
	for _, r := range []catalogue.Reading{
		{Instance: vaultID}, {Instance: instanceID, Namespaces: 2, Points: 3, SnapshotBytes: n, ArchiveBytes: 7, Redundancy: "GeoRedundant"},
		{Instance: vaultID + "/backupInstances/other", Redundancy: "GeoRedundant"},
	} {
		r.Vault, r.Day = vaultID, day
		w.write(func(ctx context.Context, tx catalogue.Tx) error { return tx.PutReading(ctx, r) })
	}
}

func TestWhatAVaultTakesUpIsListedDayByDay(t *testing.T) {
	w := newInstance(t)
	w.assign("watcher", access.BackupReaderID)
	// The vault is there for a week.
	w.write(func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, vaultID)
		if err == nil {
			err = tx.DeleteResource(ctx, vaultID, catalogue.Condition{})
		}
		r.Created.At = r.Created.At.AddDate(0, 0, -7)
		if err == nil {
			_, err = tx.PutResource(ctx, r, catalogue.Condition{})
		}
		return err
	})
	w.measured(6, 1<<40)
	w.measured(4, 5)
	w.measured(0, 6)
	ago := func(n int) string { return meter.Day(time.Now()).AddDate(0, 0, -n).Format(time.DateOnly) }
	got := w.do("watcher", http.MethodGet, meterPath+version, "")
	want := fmt.Sprint([]any{ago(7), ago(6), ago(6), ago(5), ago(4), ago(4), ago(3), ago(0), ago(0)})
	if days := fmt.Sprint(got.values("day")); got.status != 200 || days != want {
		t.Errorf("the days are %s, want %s: %s", days, want, got.text)
	}
	if through, measured := got.values("through"), fmt.Sprint(got.values("measured")); through[6] != ago(1) || through[0] != nil || measured != "[false true true false true true false true true]" {
		t.Errorf("what was measured: %s, through %v", measured, through)
	}
	// The vault's own readings, which say that a day was measured to its end, are not shown.
	for _, top := range []string{"1", "2", "3", "4"} {
		if pages := w.paged(meterPath+version+"&$top="+top, "day"); strings.Join(strings.FieldsFunc(pages, func(r rune) bool { return strings.ContainsRune("[] ", r) }), " ") != strings.Trim(want, "[]") {
			t.Errorf("in pages of %s: %s, want %s", top, pages, want)
		}
	}
	row := w.must(200, http.MethodGet, meterPath+version+"&from="+ago(6)+"&to="+ago(6), "")
	for field, want := range map[string]string{
		"day": ago(6), "measured": "true", "backupInstanceId": instanceID, "namespaces": "2", "recoveryPoints": "3", "snapshotBytes": "1099511627776", "archiveBytes": "7",
		"vaultBytes": "0", "redundancy": "GeoRedundant",
	} {
		if shown := fmt.Sprint(row.values(field)[0]); shown != want || len(row.values(field)) != 2 {
			t.Errorf("%s is %q, want %q: %s", field, shown, want, row.text)
		}
	}
	for _, query := range []string{"&from=yesterday", "&to=2026-13-01", "&from=2026-11-02&to=2026-11-01", "&$skipToken=x", "&$top=0"} {
		w.must(400, http.MethodGet, meterPath+version+query, "")
	}
	w.must(404, http.MethodGet, vaultID+"2/providers/Coffer.Backup/meter"+version, "")
}
