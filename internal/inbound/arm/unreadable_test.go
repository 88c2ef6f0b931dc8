package arm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// TestARecoveryPointThatCannotBeReadIsShownAsSuch holds that it is listed among the others, with what is known of it, and that no answer breaks by it.
func TestARecoveryPointThatCannotBeReadIsShownAsSuch(t *testing.T) {
	w := newInstance(t)
	now := time.Now().UTC().Truncate(time.Second)
	for i, name := range []string{"p0", "p1", "p2"} {
		w.promise(name, now.AddDate(0, 0, -i), now.AddDate(0, 0, 7-i))
	}
	for _, tt := range []struct{ body, why string }{
		{`{"objectType":"AzureBackupDiscreteRec`, "unexpected EOF"},
		{`{"objectType":"AzureBackupContinuousRecoveryPoint"}`, "only AzureBackupDiscreteRecoveryPoint is known"},
	} {
		err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			return tx.PutPoint(ctx, catalogue.Point{Instance: instanceID, Name: "p1", Time: now.AddDate(0, 0, -1), Held: true, Operational: true, Body: []byte(tt.body)})
		})
		if err != nil {
			t.Fatal(err)
		}
		listed := w.must(http.StatusOK, http.MethodGet, instanceID+"/recoveryPoints"+version, "")
		var states []string
		items, _ := listed.at("value").([]any)
		for _, item := range items {
			body, _ := item.(map[string]any)
			states = append(states, fmt.Sprint(reply{body: body}.at("properties", "recoveryPointState")))
		}
		if !slices.Equal(states, []string{"Completed", "Unreadable", "Completed"}) {
			t.Errorf("they are shown as %v: %s", states, listed.text)
		}
		shown := w.must(http.StatusOK, http.MethodGet, instanceID+"/recoveryPoints/p1"+version, "")
		why, _ := shown.at("properties", "coffer", "unreadable").(string)
		if !strings.Contains(why, tt.why) || shown.at("properties", "recoveryPointId") != "p1" || shown.at("properties", "coffer", "legalHold", "reason") == nil ||
			!strings.Contains(shown.text, `"type":"OperationalStore"`) {
			t.Errorf("%s, want %s", shown.text, tt.why)
		}
		changes := w.must(http.StatusOK, http.MethodPost, policyID+"/providers/Coffer.Backup/previewChange"+version, `{"policy":`+strings.Replace(strings.Replace(policyProperties(), "P7D", "P4D", 1), "{", `{"coffer":{"existingRecoveryPoints":"Adopt"},`, 1)+`}`)
		if !strings.HasSuffix(strings.TrimSpace(changes.text), `"kept":1,"changed":2,"deleted":0}`) {
			t.Errorf("a change of the policy: %s", changes.text)
		}
	}
}
