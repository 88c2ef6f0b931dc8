package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// policyProperties are those of policyBody.
func policyProperties() string {
	return strings.TrimSuffix(strings.TrimPrefix(policyBody, `{"properties":`), "}")
}

func TestAPolicyIsToldInAdvance(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.must(200, http.MethodPut, policyID+version, policyBody)
	asked := `"from":"2027-03-01T12:00:00Z","runs":2,"days":["2027-03-02","2027-03-08"],"good":["2027-03-01T10:30:00Z"]`
	for _, tt := range []struct{ path, body string }{
		{vaultID + "/providers/Coffer.Backup/previewPolicy", `{"policy":` + policyProperties() + `,` + asked + `}`},
		{policyID + "/providers/Coffer.Backup/preview", `{` + asked + `}`},
	} {
		got := w.must(200, http.MethodPost, tt.path+version, tt.body)
		var told arm.Preview
		if err := json.Unmarshal([]byte(got.text), &told); err != nil {
			t.Fatal(err)
		}
		if len(told.Runs) != 2 || !told.Runs[0].Slot.Equal(time.Date(2027, 3, 1, 14, 30, 0, 0, time.UTC)) || told.Runs[0].Tag != "Default" || !told.Runs[0].Expiry.Equal(time.Date(2027, 3, 8, 14, 30, 0, 0, time.UTC)) {
			t.Errorf("%s: runs %+v", tt.path, told.Runs)
		}
		// Three runs of the first day, with the one that there is four; six of the second. Of a week later 42, and the one that there is is gone.
		if len(told.Days) != 2 || told.Days[0].Date != "2027-03-02" || len(told.Days[0].RecoveryPoints) != 10 || len(told.Days[1].RecoveryPoints) != 42 {
			t.Fatalf("%s: days %s", tt.path, got.text)
		}
		if p := told.Days[0].RecoveryPoints[0]; !p.Time.Equal(time.Date(2027, 3, 1, 10, 30, 0, 0, time.UTC)) || p.Reason != "kept until 2027-03-08 10:30 UTC, by rule Default (tag Default: no other tag is for it)" || p.Expiry == nil || len(p.Tiers) != 1 {
			t.Errorf("%s: the first: %+v", tt.path, p)
		}
	}
	if got := w.must(200, http.MethodPost, policyID+"/providers/Coffer.Backup/preview"+version, `{}`); !strings.Contains(got.text, `"days":[]`) {
		t.Errorf("nothing is asked: %s", got.text)
	}
	for _, tt := range []struct{ path, body, want string }{
		{vaultID + "/providers/Coffer.Backup/previewPolicy", `{}`, "policy is missing"},
		{vaultID + "/providers/Coffer.Backup/previewPolicy", `{"policy":` + strings.Replace(policyProperties(), "PT4H", "PT1M", 1) + `}`, "shorter than 5 minutes"},
		{policyID + "/providers/Coffer.Backup/preview", `{"policy":` + policyProperties() + `}`, "leave policy out"},
		{policyID + "/providers/Coffer.Backup/preview", `{"runs":100000}`, "more than 1000 runs are asked for: up to 1000 are told in advance"},
		{policyID + "/providers/Coffer.Backup/preview", `{"runs":-2}`, "fewer than 0 runs are asked for"},
		{policyID + "/providers/Coffer.Backup/preview", `{"days":["tomorrow"]}`, "is not a day"},
		{policyID + "/providers/Coffer.Backup/preview", `{"from":"2027-03-01T00:00:00Z","good":["2027-03-02T00:00:00Z"]}`, "give those that there are already"},
		{policyID + "/providers/Coffer.Backup/previewChange", `{}`, "policy is missing"},
	} {
		if got := w.must(400, http.MethodPost, tt.path+version, tt.body); !strings.Contains(got.text, tt.want) {
			t.Errorf("%s %s: %s, want %s", tt.path, tt.body, got.text, tt.want)
		}
	}
	w.must(404, http.MethodPost, policyID+"none/providers/Coffer.Backup/preview"+version, `{}`)
}

// promise puts a good recovery point of the schedule into the catalogue.
func (w *world) promise(name string, taken, expires time.Time) {
	w.t.Helper()
	body, err := json.Marshal(arm.RecoveryPoint{
		ObjectType: arm.TypeRecoveryPoint, RecoveryPointID: name, RecoveryPointTime: taken, RetentionTagName: "Default", RecoveryPointState: arm.PointCompleted, ExpiryTime: &expires,
		RecoveryPointDataStoresDetails: []arm.PointStore{{ID: name, Type: arm.OperationalStore, CreationTime: taken, ExpiryTime: &expires, Visible: true, State: arm.PointCommitted}},
		Coffer:                         &arm.CofferPoint{Reason: "tag Default: no other tag is for it", Expires: &expires, Slot: &taken},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.Update(w.t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutPoint(ctx, catalogue.Point{Instance: instanceID, Name: name, Time: taken, Expiry: expires, Good: true, Operational: true, Body: body})
	}); err != nil {
		w.t.Fatal(err)
	}
}

func TestAChangeOfAPolicyIsShownBefore(t *testing.T) {
	w := newInstance(t)
	now := time.Now().UTC().Truncate(time.Second)
	for i, name := range []string{"p0", "p1", "p2"} {
		taken := now.AddDate(0, 0, -2*i)
		w.promise(name, taken, taken.AddDate(0, 0, 7))
	}
	shorter := strings.Replace(policyProperties(), `"P7D"`, `"P3D"`, 1)
	adopting := strings.Replace(shorter, `{"objectType":"BackupPolicy"`, `{"coffer":{"existingRecoveryPoints":"Adopt"},"objectType":"BackupPolicy"`, 1)
	for _, tt := range []struct {
		name, policy           string
		kept, changed, deleted int64
	}{
		{"they keep what they were promised", shorter, 3, 0, 0},
		{"they are adopted", adopting, 0, 2, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			other := vaultID + "/backupPolicies/other"
			w.must(200, http.MethodPut, other+version, `{"properties":`+tt.policy+`}`)
			for path, body := range map[string]string{
				policyID + "/providers/Coffer.Backup/previewChange":   `{"policy":` + tt.policy + `}`,
				instanceID + "/providers/Coffer.Backup/previewChange": `{"policyId":"` + other + `"}`,
			} {
				got := w.must(200, http.MethodPost, path+version, body)
				var told arm.PreviewedChanges
				if err := json.Unmarshal([]byte(got.text), &told); err != nil {
					t.Fatal(err)
				}
				if told.Kept != tt.kept || told.Changed != tt.changed || told.Deleted != tt.deleted || int64(len(told.RecoveryPoints)) != tt.changed+tt.deleted {
					t.Errorf("%s: %s", path, got.text)
				}
				for _, c := range told.RecoveryPoints {
					if c.Deleted != (c.Name == "p2") || c.Instance != instanceID || !c.NewExpiry.Equal(c.Time.AddDate(0, 0, 3)) || !c.Expiry.Equal(c.Time.AddDate(0, 0, 7)) || !strings.Contains(c.Reason, "Before: ") {
						t.Errorf("%s: %+v", path, c)
					}
				}
			}
		})
	}
	for _, body := range []string{`{}`, `{"policyId":"x"}`, `{"policyId":"` + instanceID + `"}`, `{"policyId":"` + strings.Replace(policyID, vaultID, vaultID+"2", 1) + `"}`} {
		if got := w.must(400, http.MethodPost, instanceID+"/providers/Coffer.Backup/previewChange"+version, body); !strings.Contains(got.text, "is not the id of a backup policy of the vault") {
			t.Errorf("%s: %s", body, got.text)
		}
	}
	w.must(404, http.MethodPost, instanceID+"/providers/Coffer.Backup/previewChange"+version, `{"policyId":"`+policyID+`none"}`)
	// Whoever may read the policy alone is not told of recovery points.
	if got := w.do("guest", http.MethodPost, policyID+"/providers/Coffer.Backup/previewChange"+version, `{"policy":`+shorter+`}`); got.status != 403 {
		t.Errorf("guest: %s", got.text)
	}
}
