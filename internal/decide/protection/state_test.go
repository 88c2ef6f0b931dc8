package protection

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

var (
	noon  = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	later = noon.Add(time.Hour)
)

// TestEachOperationInEachState is the whole table in words: the state after it, or a dash where it is refused.
func TestEachOperationInEachState(t *testing.T) {
	const want = `
suspendBackups    Suspended   Suspended  Suspended  -        -
stopProtection    Stopped     Stopped    Stopped    -        -
resumeBackups     Configured  Configured -          -        -
resumeProtection  Configured  Configured Configured -        -
sync              Configured  Suspended  Stopped    -        -
backup            Configured  -          -          -        -
restore           Configured  Suspended  Stopped    -        -
write             Configured  Suspended  Stopped    -        -
softDelete        SoftDeleted SoftDeleted SoftDeleted -      -
delete            Deleting    Deleting   Deleting   -        -
undelete          -           -          -          Stopped  -
purge             -           -          -          Deleting -`
	words := map[State]string{Configured: "Configured", Suspended: "Suspended", Stopped: "Stopped", SoftDeleted: "SoftDeleted", Deleting: "Deleting"}
	var got []string
	for _, o := range Operations() {
		line := []string{string(o)}
		for _, s := range States() {
			next, err := Decide("shop", s, o)
			if err != nil {
				next = ""
				found, ok := errors.AsType[*coffer.Error](err)
				if !ok || found.Code == "" || !strings.Contains(found.Message, "shop") || found.Hint == "" || strings.Contains(err.Error(), "%!") {
					t.Errorf("%s of a %s one: %v", o, s, err)
				}
			}
			if next == "" {
				line = append(line, "-")
				continue
			}
			line = append(line, words[next])
		}
		got = append(got, strings.Join(line, " "))
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(lines, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsBackedUpAndWhatExpires(t *testing.T) {
	for state, want := range map[State][2]bool{Configured: {true, true}, Suspended: {false, true}, Stopped: {}, SoftDeleted: {}, Deleting: {}} {
		if got := [2]bool{state.Schedules(), state.Expires()}; got != want {
			t.Errorf("%s: backed up and expiring %v, want %v", state, got, want)
		}
	}
}

func TestARecordIsReadAsItWasWritten(t *testing.T) {
	why := arm.UserFacingError{Code: "X", Message: "it is in use", RecommendedAction: []string{}}
	deletion := &Deletion{At: noon, Until: noon.Add(14 * 24 * time.Hour), Activity: "r1"}
	again := *deletion
	again.Next = later
	for _, c := range []struct {
		name   string
		record Record
		shows  string
	}{
		{"a new one", New(noon), `"currentProtectionState":"ProtectionConfigured","protectionStatus":{"status":"ProtectionConfigured"`},
		{"suspended", Record{State: Suspended, Since: noon}, `"currentProtectionState":"BackupSchedulesSuspended","protectionStatus":{"status":"ProtectionStopped"`},
		{"stopped", Record{State: Stopped, Since: noon}, `"currentProtectionState":"ProtectionStopped","protectionStatus":{"status":"ProtectionStopped"`},
		{"being deleted", Record{State: Stopped, Since: noon, Deleting: true}, `"provisioningState":"Deleting","currentProtectionState":"ProtectionStopped"`},
		{"a deletion that has failed", Record{State: Stopped, Since: noon, Failure: &why}, `"provisioningState":"Failed","currentProtectionState":"ProtectionError"`},
		{"deleted", Record{State: SoftDeleted, Since: noon, Deletion: deletion}, `"objectType":"DeletedBackupInstance","provisioningState":"Succeeded","currentProtectionState":"SoftDeleted"`},
		{"being purged", Record{State: SoftDeleted, Since: noon, Deleting: true, Deletion: deletion}, `"provisioningState":"Deleting"`},
		{"a purge that has failed", Record{State: SoftDeleted, Since: noon, Failure: &why, Deletion: &again}, `"nextPurge":"2026-05-04T13:00:00Z"`},
	} {
		text, err := c.record.Facts()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(text)
		if diff := cmp.Diff(c.record, got); err != nil || diff != "" || !strings.Contains(string(text), c.shows) {
			t.Errorf("%s: %v %s\n%s", c.name, err, diff, text)
		}
	}
}

func TestFactsOfBeforeThereWereStates(t *testing.T) {
	for text, want := range map[string]Record{
		`{}`: {State: Configured}, ``: {State: Configured},
		`{"properties":{"provisioningState":"Deleting","currentProtectionState":"ProtectionConfigured"}}`: {State: Configured, Deleting: true},
	} {
		if got, err := Read(json.RawMessage(text)); err != nil || !cmp.Equal(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if _, err := Read(json.RawMessage(`{"properties":{"coffer":{"protection":{"state":"Deleting"}}}}`)); err == nil {
		t.Error("a record that is no state is taken for one")
	}
}

func TestAnOperationEndsWhatHasFailed(t *testing.T) {
	r := Record{State: Stopped, Since: noon, Deleting: true}.Fail(arm.UserFacingError{Code: "X"}, later)
	if r.Deleting || r.State != Stopped || r.Failure == nil {
		t.Fatalf("a deletion that has failed: %+v", r)
	}
	resumed, err := r.Do("shop", ResumeProtection, later)
	if want := (Record{State: Configured, Since: later}); err != nil || !cmp.Equal(resumed, want) {
		t.Errorf("resumed: %+v, %v", resumed, err)
	}
	again, err := resumed.Do("shop", ResumeProtection, later.Add(time.Hour))
	if err != nil || !again.Since.Equal(later) {
		t.Errorf("resumed twice: %+v, %v", again, err)
	}
	gone, err := Record{State: SoftDeleted, Since: noon, Deletion: &Deletion{Until: later}}.Do("shop", Purge, later)
	if err != nil || !gone.Deleting || gone.State != SoftDeleted || gone.Deletion == nil {
		t.Errorf("purged: %+v, %v", gone, err)
	}
	had, err := Record{State: SoftDeleted, Since: noon, Deletion: &Deletion{Until: later}}.Do("shop", Undelete, later)
	if want := (Record{State: Stopped, Since: later}); err != nil || !cmp.Equal(had, want) {
		t.Errorf("had again: %+v, %v", had, err)
	}
}
