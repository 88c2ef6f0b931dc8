package profile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func full() Profile {
	return Profile{
		Name: "prod", URL: "https://a", CA: "pem", TenantID: "t", ClientID: "c", ClientSecret: "s",
		Token:    &Token{Text: "k", Expires: time.Unix(1_800_000_000, 0).UTC()},
		Defaults: Defaults{SubscriptionID: "1", ResourceGroup: "2", VaultName: "3", Location: "4"},
	}
}

func TestAProfileIsReadAsItWasWritten(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "deep", "coffer")}
	if names, err := s.Names(); err != nil || len(names) > 0 {
		t.Errorf("at first: %q, %v", names, err)
	}
	if current, err := s.Current(); err != nil || current != "" {
		t.Errorf("at first: %q, %v", current, err)
	}
	for range 2 {
		if err := s.Save(full()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Load("prod")
	if diff := cmp.Diff(full(), got); diff != "" || err != nil {
		t.Errorf("profile (-want +got):\n%s%v", diff, err)
	}
	if err := s.Use("prod"); err != nil {
		t.Fatal(err)
	}
	names, err := s.Names()
	current, errCurrent := s.Current()
	if diff := cmp.Diff([]string{"prod"}, names); diff != "" || current != "prod" || err != nil || errCurrent != nil {
		t.Errorf("%q is current of %q: %v, %v", current, names, err, errCurrent)
	}
	if err := s.Delete("prod"); err != nil {
		t.Fatal(err)
	}
	if current, err := s.Current(); current != "" || err != nil {
		t.Errorf("a deleted profile is current: %q, %v", current, err)
	}
	for what, err := range map[string]error{"use": s.Use("prod"), "delete": s.Delete("prod")} {
		if !errors.Is(err, ErrNone) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestNobodyElseReadsAProfile(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "coffer")}
	if err := s.Save(full()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{s.Dir: 0o700, filepath.Dir(s.file("prod")): 0o700, s.file("prod"): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602} {
		if err := os.Chmod(s.file("prod"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load("prod"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	// Written anew, it is closed again.
	if err := s.Save(full()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("prod"); err != nil {
		t.Error(err)
	}
}

func TestFilesThatAreNoProfiles(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	if err := WritePrivate(s.file("bad"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("bad"); err == nil || !strings.Contains(err.Error(), "coffer profile delete bad") {
		t.Errorf("no JSON: %v", err)
	}
	if err := WritePrivate(s.file("big"), make([]byte, maxFile+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("big"); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: %v", err)
	}
	for _, name := range []string{"", "..", "../current", "a/b", ".a", "-a", "a b", "ä", strings.Repeat("a", 64), "a\x00"} {
		for what, err := range map[string]error{"load": second(s.Load(name)), "save": s.Save(Profile{Name: name}), "delete": s.Delete(name), "use": s.Use(name)} {
			if err == nil || errors.Is(err, ErrNone) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	none := Store{}
	for what, err := range map[string]error{
		"load": second(none.Load("a")), "save": none.Save(full()), "names": second(none.Names()), "current": second(none.Current()), "delete": none.Delete("a"),
	} {
		if err == nil || !strings.Contains(err.Error(), "COFFER_CONFIG_DIR") {
			t.Errorf("%s without a folder: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
