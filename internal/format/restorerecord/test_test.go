package restorerecord

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

func exampleTest() Test {
	seconds := 12.5
	ref := coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: "apps", Resource: "statefulsets"}, Namespace: "test-0-shop", Name: "db"}
	return Test{
		Kind: testKind, FormatVersion: formatVersion, Test: "proof", Run: "uid", Cluster: "c", Backup: "shop-1", Outcome: "Passed",
		Started: time.Unix(1, 0).UTC(), Completed: time.Unix(2, 0).UTC(), ReadySeconds: &seconds,
		Namespaces: map[string]string{"shop": "test-0-shop"}, Objects: map[Result]int{Created: 3},
		Deviations: []Deviation{{Object: ref, Field: "spec", Reason: "<quiet>"}}, Volumes: []Volume{{Namespace: "shop", Claim: "data", Restored: true, Bytes: 7}},
		Workloads: []Workload{{Object: ref, Ready: true}}, Checks: []Check{{Name: "rows", Outcome: "Passed", Attempts: 1}}, Notes: []string{"n"},
	}
}

func TestTheReportOfATestIsReadAsItWasWritten(t *testing.T) {
	want := exampleTest()
	report, digest, err := EncodeTest(want)
	if err != nil || digest != TestDigest(report) || !strings.HasPrefix(digest, "sha256:") {
		t.Fatalf("EncodeTest = %s, %v", digest, err)
	}
	got, err := DecodeTest(report)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	layout := Layout{Backup: "shop-1", Run: "uid"}
	if layout.Test() != Root+"shop-1/uid/test.json" || layout.TestSignature() != layout.Test()+".sig" {
		t.Errorf("keys %s and %s", layout.Test(), layout.TestSignature())
	}
}

// One key signs manifests and reports: neither must be taken for the other.
func TestASignedReportIsNoManifestAndNoManifestAReport(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	report, _, err := EncodeTest(exampleTest())
	if err != nil {
		t.Fatal(err)
	}
	signature, err := recoverypoint.Sign(key, report)
	if err != nil {
		t.Fatal(err)
	}
	trusted := []string{recoverypoint.SignerText(key.Public().(ed25519.PublicKey))}
	if _, err := recoverypoint.VerifyReport("proof", report, signature, trusted); err != nil {
		t.Error(err)
	}
	if _, err := recoverypoint.VerifyReport("proof", append(report, ' '), signature, trusted); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("an altered report: %v", err)
	}
	if _, err := recoverypoint.VerifyReport("proof", report, signature, nil); coffer.CodeOf(err) != coffer.CodeSignerNotTrusted {
		t.Errorf("a report of somebody: %v", err)
	}
	for _, name := range []string{"shop-1", "proof", ""} {
		if _, _, err := recoverypoint.DecodeManifest(name, report); err == nil {
			t.Errorf("the report is taken for the manifest of %q", name)
		}
	}
	if _, err := DecodeTest([]byte(`{"formatVersion":1,"name":"shop-1","blobs":[]}`)); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
		t.Errorf("a manifest is taken for a report: %v", err)
	}
}

func TestReportsOfTestsAreBounded(t *testing.T) {
	many := exampleTest()
	for range TestLines + 5 {
		many.Deviations = append(many.Deviations, many.Deviations[0])
	}
	report, _, err := EncodeTest(many)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeTest(report)
	if err != nil || len(got.Deviations) != TestLines || got.Truncated["deviations"] != 6 {
		t.Errorf("%d deviations, truncated %v: %v", len(got.Deviations), got.Truncated, err)
	}
	for name, text := range map[string]string{
		"nothing": "", "no JSON": "{", "deep": `{"kind":` + strings.Repeat("[", 1000), "another version": `{"kind":"RestoreTestReport","formatVersion":2}`,
	} {
		if _, err := DecodeTest([]byte(text)); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
}
