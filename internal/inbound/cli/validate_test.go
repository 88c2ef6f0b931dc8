package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// validateBy runs the program against a cluster whose extension finds what status says, and answers which validations were
// created and how many are left.
func validateBy(t *testing.T, status v1alpha1.ValidationStatus, args ...string) (stdout, stderr string, code int, made []client.Object, left int) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			switch v := o.(type) {
			case *v1alpha1.ValidateForBackup:
				v.Status = status
			case *v1alpha1.ValidateForRestore:
				v.Status = status
			}
			made = append(made, o.DeepCopyObject().(client.Object))
			return c.Create(ctx, o, opts...)
		},
	}).Build()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Config{
		In: strings.NewReader(""), Out: &out, Err: &errs, ClientFunc: func(Target) (client.Client, error) { return c, nil },
	}, args)
	var backups v1alpha1.ValidateForBackupList
	var restores v1alpha1.ValidateForRestoreList
	for _, list := range []client.ObjectList{&backups, &restores} {
		if err := c.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	return out.String(), errs.String(), code, made, len(backups.Items) + len(restores.Items)
}

func TestAValidationShowsEachCheckAndWhatToDo(t *testing.T) {
	status := v1alpha1.ValidationStatus{
		RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunFailed, Message: "1 passed, 1 failed, 1 warnings, 0 skipped"},
		Checks: []v1alpha1.Check{
			{Name: "Kubernetes", Status: v1alpha1.CheckPassed, Message: "Kubernetes v1.34.1"},
			{Name: "Hook", Status: v1alpha1.CheckFailed, Code: "UserErrorHookNotFound", Resource: "BackupHook shop/quiesce", Message: "there is no\x1b[2J hook", Remedy: "create it"},
			{Name: "OtherTools", Status: v1alpha1.CheckWarning, Code: "UserErrorVeleroInstalled", Message: "Velero is there", Remedy: "take care"},
		},
	}
	stdout, stderr, code, made, left := validateBy(t, status, "backup", "validate", "--included-namespaces", "shop", "--backup-hook-references", "shop/quiesce")
	if code != exitUnworkable || left != 0 || len(made) != 1 {
		t.Errorf("code %d, %d made, %d left: %s", code, len(made), left, stderr)
	}
	if spec := made[0].(*v1alpha1.ValidateForBackup).Spec.Backup; len(spec.IncludedNamespaces) != 1 || len(spec.BackupHookReferences) != 1 {
		t.Errorf("%+v", spec)
	}
	for _, want := range []string{"CHECK ", "Kubernetes v1.34.1", "Hook: \"there is no\\x1b[2J hook\" ", "(UserErrorHookNotFound)\n  create it\n", "  take care\n", "\n1 passed, 1 failed, 1 warnings, 0 skipped\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "\x1b") {
		t.Errorf("a terminal would obey %q", stdout)
	}
	status.Phase = v1alpha1.RunCompletedWithWarnings
	stdout, stderr, code, made, left = validateBy(t, status, "restore", "validate", "--backup-name", "one", "-o", "json")
	var shown v1alpha1.ValidateForRestore
	if err := json.Unmarshal([]byte(stdout), &shown); err != nil || code != exitOK || left != 0 || len(made) != 1 || shown.Kind != "ValidateForRestore" || len(shown.Status.Checks) != 3 || shown.Spec.Restore.BackupName != "one" {
		t.Errorf("%v, code %d, %d left: %s%s", err, code, left, stdout, stderr)
	}
}

func TestAValidationThatMakesNoSenseIsRefusedBeforeItIsMade(t *testing.T) {
	for want, args := range map[string][]string{
		"say what to restore with --backup-name": {"restore", "validate"},
		"unexpected argument":                    {"backup", "validate", "one"},
		"is not known; use table, json or yaml":  {"backup", "validate", "-o", "wide"},
		"nothing was done":                       {"restore", "validate", "--backup-name", "a", "--conflict-policy", "Replace"},
		"unknown flag: --wait":                   {"backup", "validate", "--wait"},
	} {
		_, stderr, code, made, _ := validateBy(t, v1alpha1.ValidationStatus{}, args...)
		if code == exitOK || len(made) > 0 || !strings.Contains(stderr, want) {
			t.Errorf("%v: code %d, %s", args, code, stderr)
		}
	}
}

func TestACoverageIsShownOnceItIsComplete(t *testing.T) {
	const point, gap = `{"item":{"kind":"Point","point":{"name":"one","partial":true,"objects":7}}}` + "\n", `{"item":{"kind":"Gap","what":"widgets.acme.io","reason":"it did not answer"}}` + "\n"
	for _, tt := range []struct {
		name, answer, says string
		code               int
	}{
		{"complete", point + gap + `{"end":{"items":2}}`, "widgets.acme.io", exitOK},
		{"cut off", point + gap, "", exitFailed},
		{"refused", `{"error":{"code":"X","message":"it is refused"}}`, "", exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r.URL.RequestURI()
				w.Header().Set("Content-Type", content.MediaType)
				_, _ = w.Write([]byte(tt.answer))
			}))
			defer server.Close()
			c := fake.NewClientBuilder().WithObjects(newPod("a")).Build()
			var out, errs bytes.Buffer
			code := Run(t.Context(), Config{
				In: strings.NewReader(""), Out: &out, Err: &errs, ClientFunc: func(Target) (client.Client, error) { return c, nil },
				DialFunc: func(ctx context.Context, _ Target, _ string, _ int) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
				},
			}, []string{"backup", "coverage", "one"})
			if code != tt.code || asked != "/v1/storage-locations/default/backups/one/coverage" || !strings.Contains(out.String(), tt.says) || tt.code != exitOK && (out.Len() > 0 || errs.Len() == 0) {
				t.Errorf("code %d, asked %s: %s%s", code, asked, out.String(), errs.String())
			}
		})
	}
}
