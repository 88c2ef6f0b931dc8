package plan

import "testing"

func TestRunsInAnArchiveOfVelerosAreNotBegunAgain(t *testing.T) {
	const own = ".clusterbackup.dataprotection.microsoft.com"
	items := []Item{
		object(t, "deletebackups"+own, "dataprotection-microsoft", "was-carried-out-long-ago", nil),
		object(t, "backups"+own, "dataprotection-microsoft", "nightly", nil),
		object(t, "restores"+own, "dataprotection-microsoft", "back", nil),
		object(t, "restoretests"+own, "dataprotection-microsoft", "proof", nil),
		object(t, "backups.velero.io", "velero", "theirs", nil),
	}
	p, _, err := Make(items, nil, whole(), everyType(items))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if s.Writes() || s.Reason == "" {
			t.Errorf("%s: action %q (%s): created, it would run", s.Target, s.Action, s.Reason)
		}
	}
	told := len(p.Steps)
	for _, n := range p.NotSelected {
		told += int(n.Objects)
		if n.Reason == "" {
			t.Errorf("%s is left out, and nobody is told why", n.What)
		}
	}
	if told != len(items) {
		t.Errorf("the plan tells of %d objects of %d: %+v", told, len(items), p)
	}
}
