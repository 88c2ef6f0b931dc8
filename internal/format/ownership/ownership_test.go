package ownership

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestOwnerSurvivesItsBlob(t *testing.T) {
	want := Owner{Cluster: "u-1", Name: "prod", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	data, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(data)
	if err != nil || got != want {
		t.Errorf("Decode = %+v, %v; want %+v", got, err, want)
	}
}

func TestUnreadableOwnerIsNotNobody(t *testing.T) {
	for _, text := range []string{"", "{}", "null", "[]", "not JSON", `{"name":"prod"}`} {
		if _, err := Decode([]byte(text)); coffer.CodeOf(err) != coffer.CodeLocationNotReady {
			t.Errorf("Decode(%q) = %v, want %s", text, err, coffer.CodeLocationNotReady)
		}
	}
}

func TestForeignIsWhatVeleroForbids(t *testing.T) {
	got := Foreign([]string{"backups/", "backups", "kopia/", "metadata/", "photos/", "plugins/", "readme.txt", "restic/", "restores/"})
	if diff := cmp.Diff([]string{"photos/", "readme.txt"}, got); diff != "" {
		t.Errorf("Foreign (-want +got):\n%s", diff)
	}
}
