package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// TestARecoveryPointSaysWhatKeepsIt: until its time is up that is its rule, and after that whatever else holds it, as things are when it is asked for.
func TestARecoveryPointSaysWhatKeepsIt(t *testing.T) {
	w := newInstance(t)
	now := time.Now().UTC().Truncate(time.Second)
	w.promise("old", now.AddDate(0, 0, -20), now.AddDate(0, 0, -13))
	w.promise("newer", now.AddDate(0, 0, -9), now.AddDate(0, 0, -2))
	w.promise("newest", now.AddDate(0, 0, -1), now.AddDate(0, 0, 6))
	kept := func(name string) string {
		t.Helper()
		got := w.must(http.StatusOK, http.MethodGet, instanceID+"/recoveryPoints/"+name+version, "")
		text, _ := got.at("properties", "coffer", "kept").(string)
		return text
	}
	minute := "2006-01-02 15:04 UTC"
	byRule := ", by rule Default (tag Default: no other tag is for it)"
	up := "kept though its time was up on " + now.AddDate(0, 0, -13).Format(minute) + ": "
	for _, tt := range []struct {
		what, method, path, body string
		point, want              string
	}{
		{what: "its time is not up", point: "NEWEST", want: "kept until " + now.AddDate(0, 0, 6).Format(minute) + byRule},
		{what: "its time is up", point: "old", want: "expires: its time was up on " + now.AddDate(0, 0, -13).Format(minute) + byRule},
		{"it is held", http.MethodPost, instanceID + "/recoveryPoints/old/providers/Coffer.Backup/hold", `{"reason":"Case 42"}`, "old", up + "it is under legal hold: Case 42"},
		{what: "another is held", point: "newer", want: "expires: its time was up on " + now.AddDate(0, 0, -2).Format(minute) + byRule},
		{"protection is stopped", http.MethodPost, instanceID + "/stopProtection", "", "old", up + "protection is stopped"},
		{what: "protection is stopped, and its time is not up", point: "newest", want: "kept until " + now.AddDate(0, 0, 6).Format(minute) + byRule + ", and for as long as protection is stopped"},
	} {
		if tt.method != "" {
			if got := w.do("owner", tt.method, tt.path+version, tt.body); got.status >= 300 {
				t.Fatalf("%s: %d %s", tt.what, got.status, got.text)
			}
		}
		if got := kept(tt.point); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, got, tt.want)
		}
	}
	w.deletePoint("newest")
	if got, want := kept("newer"), "kept though its time was up on "+now.AddDate(0, 0, -2).Format(minute)+": protection is stopped, and it is the newest good recovery point, and it is the newest in the operational tier"; got != want {
		t.Errorf("nothing is newer any more: %q, want %q", got, want)
	}
	// It is of the moment, so it is nowhere but where it was asked for.
	if listed := w.must(http.StatusOK, http.MethodGet, instanceID+"/recoveryPoints"+version, ""); strings.Contains(listed.text, `"kept"`) {
		t.Errorf("listed: %s", listed.text)
	}
	// Whatever else cannot be read, the recovery point can.
	w.write(func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, instanceID)
		if err == nil {
			r.Facts = json.RawMessage("[]")
			_, err = tx.PutResource(ctx, r, catalogue.Condition{})
		}
		return err
	})
	if got := kept("newer"); !strings.HasPrefix(got, "it cannot be said what keeps it: ") || !strings.Contains(got, instanceID) {
		t.Errorf("its instance cannot be read: %q", got)
	}
}
