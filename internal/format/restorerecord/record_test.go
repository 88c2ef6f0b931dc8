package restorerecord

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
)

func examplePlan() (PlanHeader, []Step) {
	ref := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "apps", Resource: "deployments"}, Namespace: "copy", Name: "web"}
	source := ref
	source.Namespace = "shop"
	return PlanHeader{
			FormatVersion: 1, Backup: "one", ManifestDigest: "sha256:0", Namespaces: []string{"copy"},
			NotSelected: []coffer.NotSelected{{TypeGap: coffer.TypeGap{What: "secrets", Reason: "the type is not included"}, Objects: 3}},
		}, []Step{
			{Item: 7, ObjectRef: ref, Source: &source, Version: "v1", Kind: "Deployment", Namespaced: true, Action: "patch", Policy: "Patch", Order: 11, UID: "u", Reason: "it exists", Owners: []string{"o"}},
			{ObjectRef: coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "namespaces"}, Name: "copy"}, Action: "skip", Reason: "<&>"},
		}
}

func mustWrite(t *testing.T, h PlanHeader, steps []Step) ([]byte, string) {
	t.Helper()
	var out bytes.Buffer
	digest, err := WritePlan(&out, h, slices.Values(steps))
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), digest
}

func TestAPlanIsReadAsItWasWritten(t *testing.T) {
	header, steps := examplePlan()
	blob, digest := mustWrite(t, header, steps)
	var gotHeader PlanHeader
	var gotSteps []Step
	again, err := ReadPlan(bytes.NewReader(blob), len(steps),
		func(h PlanHeader) error { gotHeader = h; return nil },
		func(s Step) error { gotSteps = append(gotSteps, s); return nil })
	if err != nil || again != digest {
		t.Fatalf("ReadPlan = %s, %v, want digest %s", again, err, digest)
	}
	if diff := cmp.Diff(header, gotHeader) + cmp.Diff(steps, gotSteps); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
}

// The digest names plans that people have agreed to: it changes with the format version only.
func TestTheDigestOfAPlanIsStable(t *testing.T) {
	header, steps := examplePlan()
	_, digest := mustWrite(t, header, steps)
	const want = "sha256:74657467a85bd9beae429ebe8de712f2180a752c68c22a656bc80ac69a9d49b1"
	if digest != want {
		t.Errorf("digest = %s, want %s", digest, want)
	}
	steps[1].Reason = "other"
	if _, other := mustWrite(t, header, steps); other == digest {
		t.Error("another plan has the same digest")
	}
}

func zip(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRecordsThatNobodyWroteAreRefused(t *testing.T) {
	good, _ := mustWrite(t, PlanHeader{}, make([]Step, 3))
	deep := `{"formatVersion":1}` + "\n" + `{"owners":` + strings.Repeat("[", 10_000) + "\n"
	wide := `{"formatVersion":1}` + "\n" + `{"owners":[` + strings.Repeat(`"",`, 100_000) + `""]}` + "\n"
	for name, blob := range map[string][]byte{
		"nothing":             nil,
		"no gzip":             []byte("plan"),
		"no line":             zip(t, ""),
		"no JSON":             zip(t, "{\n"),
		"another version":     zip(t, `{"formatVersion":2}`+"\n"),
		"too many steps":      good,
		"a line that is deep": zip(t, deep),
		"a line that is wide": zip(t, wide),
		"a truncated blob":    good[:len(good)/2],
		"a line without end":  zip(t, strings.Repeat(" ", maxLine+1)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadPlan(bytes.NewReader(blob), 2, func(PlanHeader) error { return nil }, func(Step) error { return nil })
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("ReadPlan = %v", err)
			}
		})
	}
}

func TestAReportIsReadAsItWasWritten(t *testing.T) {
	header := ReportHeader{FormatVersion: 1, Restore: "back", Run: "uid", Backup: "one", Counts: map[Result]int{Created: 1, Failed: 1}}
	outcomes := []Outcome{
		{ObjectRef: coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "a"}, Result: Created},
		{ObjectRef: coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "b"}, Result: Failed, Reason: "no", Code: coffer.CodeObjectFailed},
	}
	var blob bytes.Buffer
	digest, err := WriteReport(&blob, header, slices.Values(outcomes))
	if err != nil {
		t.Fatal(err)
	}
	var gotHeader ReportHeader
	var got []Outcome
	again, err := ReadReport(&blob, 2, func(h ReportHeader) error { gotHeader = h; return nil }, func(o Outcome) error { got = append(got, o); return nil })
	if err != nil || again != digest {
		t.Fatalf("ReadReport = %s, %v", again, err)
	}
	if diff := cmp.Diff(header, gotHeader) + cmp.Diff(outcomes, got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
}

// Velero refuses a container with other folders than its own.
func TestRecordsAreWhereVeleroAllowsThem(t *testing.T) {
	folder, _, _ := strings.Cut(Root, "/")
	if foreign := ownership.Foreign([]string{folder + "/"}); len(foreign) > 0 {
		t.Errorf("%v are foreign to a container", foreign)
	}
	for encrypted, want := range map[bool]string{false: Root + "b/u/plan-0123456789abcdef.json.gz", true: Root + "b/u/plan-0123456789abcdef.json.gz.age"} {
		key := Layout{Backup: "b", Run: "u", Encrypted: encrypted}.Plan("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
		if key != want || !IsPlan(key) || IsEncrypted(key) != encrypted || !strings.HasPrefix(key, Prefix("b")) {
			t.Errorf("the key is %s, want %s", key, want)
		}
	}
	if IsPlan(Layout{Backup: "b", Run: "u"}.Report()) {
		t.Error("a report is taken for a plan")
	}
}

func FuzzReadPlan(f *testing.F) {
	header, steps := examplePlan()
	var out bytes.Buffer
	if _, err := WritePlan(&out, header, slices.Values(steps)); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes(), true)
	f.Add([]byte(`{"formatVersion":1}`+"\n"+`{"item":-1,"owners":[]}`), false)
	f.Add([]byte(fmt.Sprintf(`{"formatVersion":1,"namespaces":[%s""]}`, strings.Repeat(`"",`, 1000))), false)
	f.Fuzz(func(t *testing.T, blob []byte, zipped bool) {
		if !zipped {
			blob = zip(t, string(blob))
		}
		const most = 100
		var h PlanHeader
		var got []Step
		_, err := ReadPlan(bytes.NewReader(blob), most, func(read PlanHeader) error { h = read; return nil }, func(s Step) error { got = append(got, s); return nil })
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Fatalf("an error without a code: %v", err)
			}
			return
		}
		if len(got) > most {
			t.Fatalf("%d steps were read", len(got))
		}
		// What was read can be written, and is then the same.
		first, err := WritePlan(io.Discard, h, slices.Values(got))
		if err != nil {
			t.Fatal(err)
		}
		var written bytes.Buffer
		if _, err := WritePlan(&written, h, slices.Values(got)); err != nil {
			t.Fatal(err)
		}
		again, err := ReadPlan(&written, most, func(PlanHeader) error { return nil }, func(Step) error { return nil })
		if err != nil || again != first {
			t.Fatalf("what was read, written and read again: %s, %v, want %s", again, err, first)
		}
	})
}
