package recoverypoint

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestHostileManifestsAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want string
	}{
		"a million brackets":      {strings.Repeat("[", 1_000_000), "nests deeper than 8"},
		"a million empty volumes": {`{"volumes":[` + strings.Repeat("{},", 1_000_000) + `{}]}`, "arrays and objects"},
	} {
		_, _, err := DecodeManifest("shop-1", []byte(tt.text))
		if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	for name, change := range map[string]func(*coffer.Manifest){
		"a negative number of objects":     func(m *coffer.Manifest) { m.Objects = -1 },
		"a blob twice":                     func(m *coffer.Manifest) { m.Blobs = append(m.Blobs, m.Blobs[0]) },
		"a blob that is a way out":         func(m *coffer.Manifest) { m.Blobs[0].Key = "backups/shop-1/../x/y" },
		"a blob in a folder":               func(m *coffer.Manifest) { m.Blobs[0].Key = "backups/shop-1/a/b" },
		"a blob without a name":            func(m *coffer.Manifest) { m.Blobs[0].Key = "backups/shop-1/" },
		"more blobs than there are":        func(m *coffer.Manifest) { m.Blobs = make([]coffer.BlobDigest, 101) },
		"a snapshot without a handle":      func(m *coffer.Manifest) { m.Volumes[0].Handle = "" },
		"a snapshot without a driver":      func(m *coffer.Manifest) { m.Volumes[0].Driver = "" },
		"a volume of a result nobody has":  func(m *coffer.Manifest) { m.Volumes[0].Result = "Eaten" },
		"a volume of a negative size":      func(m *coffer.Manifest) { m.Volumes[0].RestoreSize = -1 },
		"a volume of nobody's":             func(m *coffer.Manifest) { m.Volumes[0].Claim = "" },
		"a volume in no namespace at all":  func(m *coffer.Manifest) { m.Volumes[0].Namespace = "" },
		"a blob with a control character ": func(m *coffer.Manifest) { m.Blobs[0].Key = "backups/shop-1/a\nb" },
	} {
		m := newManifest()
		change(&m)
		data, _, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := DecodeManifest("shop-1", data); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("%s: DecodeManifest = %v", name, err)
		}
	}
}

func TestCoverageIsReadAndHostileOnesAreRefused(t *testing.T) {
	want := coffer.Coverage{
		Captured: map[string]int64{"pods": 2}, Namespaces: []string{"shop"},
		Gaps: []coffer.TypeGap{{What: "things.example.com", Reason: "forbidden"}},
	}
	var buf bytes.Buffer
	if err := WriteZippedJSON(&buf, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCoverage(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("coverage (-want +got):\n%s", diff)
	}
	for name, text := range map[string]io.Reader{
		"a million brackets": strings.NewReader(strings.Repeat("[", 1_000_000)),
		"a million gaps":     strings.NewReader(`{"gaps":[` + strings.Repeat("{},", 1_000_000) + `{}]}`),
		"a bomb":             io.LimitReader(strings.NewReader(strings.Repeat(" ", maxCoverageSize+1)), maxCoverageSize+1),
		"nothing":            strings.NewReader(""),
	} {
		if _, err := ReadCoverage(bytes.NewReader(zipped(t, text))); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("%s: ReadCoverage = %v", name, err)
		}
	}
}
