package plan

import "testing"

func TestRunsInAnArchiveOfVelerosAreNotBegunAgain(t *testing.T) {
	const own = ".clusterbackup.dataprotection.microsoft.com"
	items := []Item{
		object(t, "deletebackups"+own, "dataprotection-microsoft", "was-carried-out-long-ago", nil),
		object(t, "backups"+own, "dataprotection-microsoft", "nightly", nil),
		object(t, "restores"+own, "dataprotection-microsoft", "back", nil),
		object(t, "backups.velero.io", "velero", "theirs", nil),
	}
	p, _, err := Make(items, nil, whole(), everyType(items))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Steps) != len(items) {
		t.Fatalf("%d steps of %d objects", len(p.Steps), len(items))
	}
	for _, s := range p.Steps {
		if s.Action != Skip || s.Reason == "" {
			t.Errorf("%s: action %q (%s): created, it would run", s.Target, s.Action, s.Reason)
		}
	}
}
