package cli

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// signedTest is a test that has ended, and its report as it is stored.
func signedTest(t *testing.T, change ...func(*restorerecord.Test)) (*v1alpha1.RestoreTest, content.SignedReport) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	found := restorerecord.Test{Test: "proof", Run: "uid-1", Backup: "shop-1", Outcome: "Passed"}
	for _, c := range change {
		c(&found)
	}
	report, digest, err := restorerecord.EncodeTest(found)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := recoverypoint.Sign(key, report)
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.RestoreTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "proof", UID: "uid-1"},
		Spec:       v1alpha1.RestoreTestSpec{BackupName: "shop-1", Checks: []v1alpha1.RestoreCheck{{Name: "rows"}, {Name: "page"}}},
		Status: v1alpha1.RestoreTestStatus{
			RestoreStatus: v1alpha1.RestoreStatus{RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunFailed}},
			Outcome:       v1alpha1.RestoreTestFailed,
			Checks:        []v1alpha1.RestoreCheckStatus{{Name: "rows", Passed: true}, {Name: "page", Attempts: 3, Message: "it answered status 503"}},
			TestReport: &v1alpha1.RestoreTestReport{
				Digest: digest, Signer: recoverypoint.SignerText(key.Public().(ed25519.PublicKey)), StorageLocation: "default", Key: "k/test.json",
			},
		},
	}, content.SignedReport{Report: report, Signature: signature}
}

// runTest runs the command line against a cluster with a test, whose extension answers with a report.
func runTest(t *testing.T, test *v1alpha1.RestoreTest, signed content.SignedReport, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := "/v1/storage-locations/default/backups/shop-1/tests/uid-1"; r.URL.RequestURI() != want {
			t.Errorf("asked for %s, want %s", r.URL.RequestURI(), want)
		}
		item, err := json.Marshal(signed)
		if err != nil {
			t.Error(err)
		}
		answers(`{"item":`+string(item)+`}`, `{"end":{"items":1}}`)(w, r)
	}))
	defer server.Close()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(newPod("a"), test).Build()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Config{
		Out: &out, Err: &errs,
		ClientFunc: func(Target) (client.Client, error) { return c, nil },
		DialFunc: func(ctx context.Context, _ Target, _ string, _ int) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	}, append([]string{"restore", "test"}, args...))
	return out.String(), errs.String(), code
}

func TestTheReportOfARestoreTestIsVerifiedWhenItIsShown(t *testing.T) {
	test, signed := signedTest(t)
	out, errs, code := runTest(t, test, signed, "show", "proof")
	if code != 0 || errs != "" {
		t.Errorf("code %d: %s", code, errs)
	}
	for _, want := range []string{"Outcome:", "1 passed of 2", "page, after 3 tries: it answered status 503", "k/test.json in default", ": verified"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output has no %q:\n%s", want, out)
		}
	}
	if out, _, code := runTest(t, test, signed, "show", "proof", "--report"); code != 0 || out != string(signed.Report) {
		t.Errorf("code %d, report %s", code, out)
	}
	if out, _, code := runTest(t, test, signed, "list"); code != 0 || !strings.Contains(out, "proof") || !strings.Contains(out, "1/2") {
		t.Errorf("code %d:\n%s", code, out)
	}
}

func TestAReportThatIsNotWhatWasSignedIsNotBelieved(t *testing.T) {
	test, signed := signedTest(t)
	_, other := signedTest(t, func(r *restorerecord.Test) { r.Outcome = "Failed" })
	stranger, foreign := signedTest(t, func(r *restorerecord.Test) { r.Run = "uid-2" })
	stranger.UID = test.UID
	named := func(change func(*v1alpha1.RestoreTestReport)) *v1alpha1.RestoreTest {
		as := test.DeepCopy()
		change(as.Status.TestReport)
		return as
	}
	for name, tt := range map[string]struct {
		test   *v1alpha1.RestoreTest
		signed content.SignedReport
		want   coffer.Code
	}{
		"altered":            {test, content.SignedReport{Report: bytes.Replace(signed.Report, []byte("Passed"), []byte("Failed"), 1), Signature: signed.Signature}, coffer.CodeArchiveCorrupt},
		"without signature":  {test, content.SignedReport{Report: signed.Report}, coffer.CodeArchiveCorrupt},
		"another one of its": {test, other, coffer.CodeArchiveCorrupt},
		"another run's":      {stranger, foreign, coffer.CodeArchiveCorrupt},
		"by somebody else": {named(func(r *v1alpha1.RestoreTestReport) {
			r.Signer = recoverypoint.SignerText(bytes.Repeat([]byte{7}, ed25519.PublicKeySize))
		}), signed, coffer.CodeSignerNotTrusted},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkTestReport(tt.test, tt.signed); coffer.CodeOf(err) != tt.want {
				t.Errorf("checkTestReport = %v", err)
			}
			out, errs, code := runTest(t, tt.test, tt.signed, "show", "proof")
			if code != 1 || !strings.Contains(out, "NOT TO BE BELIEVED") || errs == "" {
				t.Errorf("code %d\n%s%s", code, out, errs)
			}
		})
	}
}

func TestARestoreTestIsCreatedAsTheFlagsSay(t *testing.T) {
	test, signed := signedTest(t)
	file := filepath.Join(t.TempDir(), "checks.yaml")
	const checks = `checks:
- {name: rows, namespace: shop, timeout: 30s, sql: {podSelector: app=db, query: SELECT 1, expected: "1"}}
`
	if err := os.WriteFile(file, []byte(checks), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code := runTest(t, test, signed, "shop-1", "--name", "new", "--wait=false", "--checks", file, "--keep", "--ready-timeout", "1m",
		"--resource-modifier-reference", "a/b", "--storage-class-mappings", "x=y", "-o", "json")
	if code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	var got v1alpha1.RestoreTest
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Spec
	if got.Name != "new" || s.BackupName != "shop-1" || !s.Keep || s.AllowExternal || s.ReadyTimeout.Minutes() != 1 || len(s.Checks) != 1 || s.Checks[0].SQL.Expected != "1" ||
		s.ResourceModifierReference.Name != "b" || s.StorageClassMappings["x"] != "y" {
		t.Errorf("the spec is %+v", s)
	}
}
