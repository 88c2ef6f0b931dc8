package job

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

var began = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newState() State {
	const vault = catalogue.ID("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v")
	return Begin(Request{
		Name: "j", Vault: vault, Instance: vault + "/backupInstances/i", Operation: OnDemandBackup, Now: began,
		Source: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c", Work: Work{Backup: &v1alpha1.BackupSpec{}},
	})
}

func TestWhatAClusterSaysIsBounded(t *testing.T) {
	long := strings.Repeat("x\u0000\u202e", 20_000)
	warnings := strings.TrimSuffix(strings.Repeat(`{"code":"a b","resource":"r\n","message":"m"},`, 500), ",")
	text := `{"metadata":{"uid":"u","name":"` + strings.Repeat("n", 10_000) + `"},"status":{"phase":"Owned","step":"<script>","reason":"no word","message":` +
		`"` + strings.ReplaceAll(strings.ReplaceAll(long, "\u0000", `\u0000`), "\u202e", `\u202e`) + `","warningCount":-5,"warnings":[` + warnings + `],
		"progress":{"objects":-1,"bytes":9223372036854775807,"a b":1,"timeLeft":"3s"},"manifestDigest":"javascript:"}}`
	r, err := ReadRun([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.Phase != v1alpha1.RunInProgress || r.Step != "" || r.Reason != "" || r.WarningCount != 0 || len(r.Warnings) != 50 || len(r.Name) > 600 || len(r.Digests) != 0 {
		t.Errorf("read: %+v", r)
	}
	if len(r.Message) > 5000 || !utf8.ValidString(r.Message) || strings.ContainsAny(r.Message, "\x00\u202e\n") || r.Warnings[0].Code != "" || strings.Contains(r.Warnings[0].Resource, "\n") {
		t.Errorf("texts: %q, %+v", r.Message[:100], r.Warnings[0])
	}
	if r.TimeLeft != 3*time.Second {
		t.Errorf("time left: %s", r.TimeLeft)
	}
	if len(r.Counts) != 1 || r.Counts["bytes"] != maxCount {
		t.Errorf("counts: %v", r.Counts)
	}
	for _, text := range []string{``, `[]`, `{}`, `{"metadata":{"uid":1}}`, `{"metadata":{"uid":"u"},"status":{"warnings":{}}}`} {
		if _, err := ReadRun([]byte(text)); coffer.CodeOf(err) != coffer.CodeServerError {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWhatAClusterCountsDoesNotAddUpInAJob(t *testing.T) {
	s := newState()
	for i := range 200 {
		name := "n" + strings.Repeat(string(rune('a'+i%26)), 1+i/26)
		r, err := ReadRun([]byte(`{"metadata":{"uid":"u"},"status":{"phase":"InProgress","progress":{"objects":7,"` + name + `":1,"RunName":1,"RetentionTag":2,"Waiting":3}}}`))
		if err != nil {
			t.Fatal(err)
		}
		s = s.Observe(r, began)
	}
	details := s.Body.ExtendedInfo.AdditionalDetails
	if len(details) > 10 || details["objects"] != "7" {
		t.Errorf("%d details", len(details))
	}
	if details["RunName"] != "j" || details["RetentionTag"] != "" || details["Waiting"] != "" {
		t.Errorf("it speaks for the server: %s, %s, %s", details["RunName"], details["RetentionTag"], details["Waiting"])
	}
}

func FuzzReadRun(f *testing.F) {
	f.Add([]byte(`{"metadata":{"uid":"u"},"status":{"phase":"Completed","step":"CleaningUp","startTime":"2026-05-04T12:00:01Z"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ReadRun(text)
		if err != nil {
			return
		}
		s := newState().Observe(r, began.Add(time.Minute))
		if s.Ended() != r.Phase.Final() {
			t.Errorf("%s ends: %v", r.Phase, s.Ended())
		}
		if taken := s.Work.Taken; !taken.IsZero() && (taken.Before(began) || taken.After(began.Add(time.Minute))) {
			t.Errorf("it is said to be taken at %s", taken)
		}
	})
}

func TestTheClockOfAClusterIsItsOwn(t *testing.T) {
	now := began.Add(time.Minute)
	for started, want := range map[time.Time]time.Time{
		began.Add(-time.Hour): began, began.Add(time.Second): began.Add(time.Second), began.AddDate(100, 0, 0): now, {}: began,
	} {
		s := newState().Observe(Run{UID: "u", Phase: v1alpha1.RunCompleted, Started: started}, now)
		if !s.Work.Taken.Equal(want) || s.Body.Status != Completed {
			t.Errorf("started %s: taken %s, %s", started, s.Work.Taken, s.Body.Status)
		}
	}
}

func TestTheStepsOfARunThatIsUndone(t *testing.T) {
	s := newState().Observe(Run{UID: "u", Phase: v1alpha1.RunInProgress, Step: "SnapshottingVolumes"}, began)
	s = s.Observe(Run{UID: "u", Phase: v1alpha1.RunFailed, Step: "RollingBack", Reason: "CSISnapshottingTimedOut", Message: "it took too long"}, began)
	var got []string
	for _, task := range s.Body.ExtendedInfo.SubTasks {
		got = append(got, task.TaskName+" "+string(task.TaskStatus))
	}
	if want := "Validating Completed, SnapshottingVolumes Failed, CapturingObjects NotStarted, CleaningUp NotStarted, RollingBack Completed"; strings.Join(got, ", ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if e := s.Body.ErrorDetails; len(e) != 1 || e[0].Code != "CSISnapshottingTimedOut" || e[0].IsUserError || len(e[0].RecommendedAction) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestDurationsAreWrittenInISO8601(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "PT0S", -time.Hour: "PT0S", 1500 * time.Millisecond: "PT1S", time.Hour: "PT1H", 25*time.Hour + 61*time.Second: "PT25H1M1S",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

func TestARunThatWasSeenIsNotGivenUpSoon(t *testing.T) {
	denied := coffer.Errorf(coffer.CodeTrustedAccessMissing, "no").WithHint("approve it")
	for _, tt := range []struct {
		name string
		uid  string
		most time.Duration
		says string
	}{
		{"never seen", "", DeniedTime, "approve it"},
		{"seen", "u", UnheardTime, "the recovery point of that name"},
	} {
		s := newState()
		if tt.uid != "" {
			s = s.Observe(Run{UID: tt.uid, Step: "Validating"}, began)
		}
		s = s.Wait(denied, began)
		if s = s.Wait(denied, began.Add(tt.most-time.Second)); s.Ended() {
			t.Errorf("%s: given up early", tt.name)
		}
		s = s.Wait(denied, began.Add(tt.most))
		if e := s.Body.ErrorDetails; !s.Ended() || len(e) != 1 || !strings.Contains(e[0].RecommendedAction[0], tt.says) {
			t.Errorf("%s: %+v", tt.name, e)
		}
	}
}

func TestAStateIsNotChangedByWhatComesOfIt(t *testing.T) {
	s := newState()
	before := string(marshal(t, s))
	s.Observe(Run{UID: "u", Step: "Validating", Counts: map[string]int64{"objects": 1}, Warnings: []v1alpha1.Warning{{Code: "W"}}}, began)
	s.Wait(coffer.Errorf(coffer.CodeTrustedAccessMissing, "no"), began)
	s.Observe(Run{UID: "u", Phase: v1alpha1.RunFailed}, began)
	s.AskCancel(began)
	if after := string(marshal(t, s)); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}

func marshal(t *testing.T, s State) []byte {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
