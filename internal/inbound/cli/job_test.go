package cli

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// valueOf is the value of a field; empty is that there is none.
func valueOf(fields []field, name string) string {
	if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
		return fields[i].value
	}
	return ""
}

func TestAJobSaysWhatItIsInTheWayOf(t *testing.T) {
	const job = `{"id":"/subscriptions/s/resourceGroups/rg/providers/Microsoft.DataProtection/backupVaults/v/backupJobs/j","name":"j","properties":{"status":"STATUS",
		"operation":"ScheduledBackup","startTime":"2026-11-22T11:07:05Z","extendedInfo":{"additionalDetails":{DETAILS"ScheduledFor":"2026-11-22T11:07:00Z"}}}}`
	const overrun = `"Overrun":"the backup that was due at 2026-11-22T11:09:00Z is left out, for this one is still under way","Overruns":"2",`
	const left = "the backup that was due at 2026-11-22T11:09:00Z is left out, for this one is still under way (2 of them so far)"
	for _, tt := range []struct{ name, status, details, state, overrun string }{
		{"it goes on", "InProgress", "", "InProgress", ""},
		{"one was left out", "InProgress", strings.Replace(overrun, `"2"`, `"1"`, 1), "InProgress, overrun", strings.TrimSuffix(left, " (2 of them so far)")},
		{"two were", "InProgress", overrun, "InProgress, overrun", left},
		{"it is to end", "InProgress", `"Cancelling":"true",`, "InProgress, cancelling", ""},
		{"both", "InProgress", overrun + `"Cancelling":"true",`, "InProgress, cancelling, overrun", left},
		{"it has ended", "Completed", overrun + `"Cancelling":"true",`, "Completed", left},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := json.RawMessage(strings.NewReplacer("STATUS", tt.status, "DETAILS", tt.details).Replace(job))
			fields, err := jobFields(text)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"Status": tt.state, "Overrun": tt.overrun, "Scheduled for": "2026-11-22T11:07:00Z"} {
				if got := valueOf(fields, name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if row, err := jobRow(text); err != nil || !slices.Contains(row, tt.state) {
				t.Errorf("its row: %q, %v; want %q", row, err, tt.state)
			}
		})
	}
}

func TestARecoveryPointSaysWhatItIsOfAndWhatKeepsIt(t *testing.T) {
	fields, err := pointFields(json.RawMessage(`{"id":"/i/recoveryPoints/p","name":"p","properties":{"recoveryPointTime":"2026-11-22T11:07:05Z",
		"coffer":{"slot":"2026-11-22T11:07:00Z","reason":"tag Default: no other tag is for it","kept":"kept though its time was up: it is the newest good recovery point"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Scheduled for": "2026-11-22T11:07:00Z", "Kept": "kept though its time was up: it is the newest good recovery point"} {
		if got := valueOf(fields, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
