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
	for _, s := range Make(items, nil, whole(), everyType).Steps {
		if s.Action != Skip || s.Reason == "" {
			t.Errorf("%s: action %q (%s): created, it would run", s.Target, s.Action, s.Reason)
		}
	}
}
