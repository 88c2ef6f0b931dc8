package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
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
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// planner is a cluster whose extension plans whatever it is asked for.
type planner struct {
	client client.Client
	// status is that of every restore once it is planned.
	status v1alpha1.RestoreStatus
	// answers are what the reader answers, by the last part of the path.
	answers map[string][]any
	color   bool
	// asked are the requests that the reader got, and created the restores that were made.
	asked   []string
	created []v1alpha1.Restore
}

func newPlanner(t *testing.T, existing ...client.Object) *planner {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	p := &planner{
		status: v1alpha1.RestoreStatus{
			RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunCompleted},
			Plan:      &v1alpha1.RestorePlan{Digest: "sha256:ab", Key: "k", Counts: v1alpha1.RestorePlanCounts{Create: 1, Patch: 1, NotSelected: 4}},
		},
		answers: map[string][]any{"plan": {
			content.PlanItem{Head: &content.PlanHead{
				Digest: "sha256:ab", Backup: "one", ManifestDigest: "sha256:cd", Changes: map[string]string{"preserveNodePorts": "true", "x": strings.Repeat("y", 70)},
			}},
			step("create", 3, "namespaces", "", "shop", "", ""),
			step("patch", 7, "configmaps", "shop", "settings", "it exists: what differs is changed", ""),
			step("create", 7, "secrets", "shop", "login", "", "no namespace"),
		}},
	}
	p.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(existing, newPod("a"))...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			r := o.(*v1alpha1.Restore)
			r.Status = p.status
			p.created = append(p.created, *r.DeepCopy())
			return c.Create(ctx, r, opts...)
		},
	}).Build()
	return p
}

func step(action string, order int, resource, namespace, name, reason, unchecked string) content.PlanItem {
	return content.PlanItem{Step: &content.PlanStep{
		Object: content.Object{Resource: resource, Namespace: namespace, Name: name}, Action: action, Order: order, Reason: reason, Unchecked: unchecked,
	}}
}

func (p *planner) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked = append(p.asked, r.URL.RequestURI())
		w.Header().Set("Content-Type", content.MediaType)
		encoder := json.NewEncoder(w)
		items, known := p.answers[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if !known {
			_ = encoder.Encode(content.Line{Error: &content.Error{Code: string(coffer.CodePlanNotStored), Message: "there is none", Hint: "so be it"}})
			return
		}
		for _, i := range items {
			text, err := json.Marshal(i)
			if err != nil {
				t.Error(err)
			}
			_ = encoder.Encode(content.Line{Item: text})
		}
		_ = encoder.Encode(content.Line{End: &content.End{Items: int64(len(items))}})
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	code = Run(t.Context(), Config{
		Out: &out, Err: &errs, Color: p.color,
		ClientFunc: func(Target) (client.Client, error) { return p.client, nil },
		DialFunc: func(ctx context.Context, _ Target, _ string, _ int) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	}, append([]string{"restore"}, args...))
	return out.String(), errs.String(), code
}

// left are the restores that there are.
func (p *planner) left(t *testing.T) []v1alpha1.Restore {
	t.Helper()
	var all v1alpha1.RestoreList
	if err := p.client.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

func TestAPlanIsShownWithTheCommandThatCarriesItOut(t *testing.T) {
	p := newPlanner(t)
	stdout, stderr, code := p.run(t, "plan", "--backup-name", "one", "--conflict-policy", "Patch", "--label-selectors", "a in (b)")
	const table = `ACTION   TYPE         NAMESPACE   NAME       REASON
create   namespaces               shop

patch    configmaps   shop        settings   it exists: what differs is changed
create   secrets      shop        login      unchecked: no namespace

Backup:    one
Plan:      1 to create, 1 to patch
Also:      preserveNodePorts true; x ` + "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…" + `
Left out:  4 objects of the recovery point that are not asked for
Digest:    sha256:ab

Nothing was changed. To do this, and nothing else:
  coffer restore create one-`
	if code != exitOK || !strings.HasPrefix(stdout, table) {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if want := " --backup-name=one '--label-selectors=a in (b)' --conflict-policy=Patch --plan-digest=sha256:ab --wait\n"; !strings.HasSuffix(stdout, want) {
		t.Errorf("want %s\n%s", want, stdout)
	}
	if len(p.created) != 1 || !p.created[0].Spec.PlanOnly || !strings.HasPrefix(p.created[0].Name, "plan-") || p.asked[0] != "/v1/restores/"+p.created[0].Name+"/plan" {
		t.Errorf("created %+v, asked %q", p.created, p.asked)
	}
	if left := p.left(t); len(left) > 0 {
		t.Errorf("%d restores are left", len(left))
	}
	stdout, stderr, code = p.run(t, "plan", "--backup-name", "one", "--keep", "-n", "elsewhere", "-o", "yaml")
	if left := p.left(t); code != exitFailed || len(left) != 1 || !strings.Contains(stderr, left[0].Name+", which is kept") {
		t.Errorf("exit code %d, left %+v\n%s%s", code, left, stdout, stderr)
	}
}

func TestAPlanAsJSON(t *testing.T) {
	p := newPlanner(t)
	p.answers["diff"] = []any{content.DiffItem{Step: 2, Changes: "c"}, content.DiffItem{Step: 1, Notes: []string{"n"}}, content.DiffItem{Step: 0}}
	for _, output := range []string{"json", "yaml"} {
		stdout, stderr, code := p.run(t, "plan", "--backup-name", "one", "--diff", "--show-secrets", "-o", output)
		var got shownPlan
		if err := yaml.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK {
			t.Fatalf("%v, exit code %d\n%s%s", err, code, stdout, stderr)
		}
		if len(got.Steps) != 3 || got.Steps[1].Name != "settings" || got.Digest != "sha256:ab" || got.Counts.Patch != 1 || !strings.Contains(got.Command, "--plan-digest=sha256:ab") {
			t.Errorf("%+v", got)
		}
		if len(got.Diff) != 2 || got.Diff[0].Step != 1 || got.Diff[1].Changes != "c" {
			t.Errorf("%+v", got.Diff)
		}
	}
	if want := "/diff?secrets=true"; !strings.HasSuffix(p.asked[1], want) {
		t.Errorf("asked %q", p.asked)
	}
}

func TestPlansThatCannotBeCarriedOut(t *testing.T) {
	p := newPlanner(t)
	p.status.Plan.Counts.Fail = 2
	stdout, _, code := p.run(t, "plan", "--backup-name", "one", "--conflict-policy", "Fail")
	if code != exitUnworkable || !strings.Contains(stdout, "A restore would refuse this plan: 2 objects exist") || strings.Contains(stdout, "restore create") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	p = newPlanner(t)
	p.answers["diff"] = []any{content.DiffItem{
		Object: content.Object{Resource: "configmaps", Namespace: "shop", Name: "settings"}, Action: "patch", Refused: &content.Error{Message: "the policy\nsays no"},
	}}
	stdout, _, code = p.run(t, "plan", "--backup-name", "one", "--diff")
	if code != exitUnworkable || !strings.Contains(stdout, "would be refused: the policy says no\n") || !strings.Contains(stdout, ", 1 would be refused by the API server") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	p = newPlanner(t)
	p.status = v1alpha1.RestoreStatus{RunStatus: v1alpha1.RunStatus{Phase: v1alpha1.RunFailed, Reason: "R", Message: "it broke"}}
	stdout, stderr, code := p.run(t, "plan", "--backup-name", "one")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "no plan was made: Failed: R: it broke") || len(p.left(t)) > 0 || len(p.asked) > 0 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	p = newPlanner(t)
	delete(p.answers, "plan")
	if _, stderr, code := p.run(t, "plan", "--backup-name", "one"); code != exitFailed || !strings.Contains(stderr, "there is none; so be it") || len(p.left(t)) > 0 {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestADiffIsPrintedInColour(t *testing.T) {
	items := []any{
		content.DiffItem{
			Step: 1, Object: content.Object{Group: "apps", Resource: "deployments", Namespace: "shop", Name: "web"}, Action: "patch", Notes: []string{"a note"},
			Changes: "--- cluster\n+++ restored\n@@ -1 +1 @@\n-a: 1\n+a: 2\n", FromBackup: "--- backup\n+++ restored\n@@ -1 +1 @@\n-a: 3\n+a: 2\n",
		},
		content.DiffItem{
			Step: 0, Object: content.Object{Resource: "namespaces", Name: "\x1b[2J"}, Action: "skip", Unchecked: "who knows", FromBackup: "--- backup\n+++ restored\n@@ -1 +1 @@\n-b: 1\n+b: 2\n",
		},
	}
	const want = `
"skip namespaces \x1b[2J"
  unchecked: who knows
  nothing changes; what is not as in the backup:
--- backup
+++ restored
@@ -1 +1 @@
-b: 1
+b: 2

patch deployments.apps shop/web
  note: a note
--- cluster
+++ restored
@@ -1 +1 @@
-a: 1
+a: 2
  what is not as in the backup:
--- backup
+++ restored
@@ -1 +1 @@
-a: 3
+a: 2

Diff: 1 objects change, 1 could not be checked beforehand
`
	for _, tt := range []struct {
		terminal bool
		flag     string
		colors   bool
	}{{true, "auto", true}, {false, "auto", false}, {true, "never", false}, {false, "always", true}} {
		p := newPlanner(t)
		p.answers["diff"], p.color = items, tt.terminal
		stdout, stderr, code := p.run(t, "plan", "--backup-name", "one", "--diff", "--color", tt.flag)
		if code != exitOK || strings.Contains(stdout, "\x1b[") != tt.colors {
			t.Errorf("%+v: exit code %d\n%s%s", tt, code, stdout, stderr)
		}
		if tt.colors && (!strings.Contains(stdout, red+"-a: 1"+plain+"\n"+green+"+a: 2"+plain+"\n") || !strings.Contains(stdout, bold+"--- cluster"+plain)) {
			t.Errorf("%+v:\n%q", tt, stdout)
		}
		if !tt.colors && !strings.Contains(stdout, want) {
			t.Errorf("%+v:\n%s", tt, stdout)
		}
	}
}

func TestTheStoredPlanOfARestoreIsShown(t *testing.T) {
	r := &v1alpha1.Restore{Spec: v1alpha1.RestoreSpec{BackupName: "one", ConflictPolicy: v1alpha1.ConflictPatch}}
	r.Namespace, r.Name = v1alpha1.DefaultNamespace, "back"
	p := newPlanner(t, r)
	stdout, stderr, code := p.run(t, "plan", "back")
	if code != exitOK || fmt.Sprint(p.asked) != "[/v1/restores/back/plan]" || len(p.created) > 0 || len(p.left(t)) != 1 ||
		!strings.Contains(stdout, "To restore by the same plan") || !strings.Contains(stdout, "--conflict-policy=Patch --plan-digest=sha256:ab --wait") {
		t.Errorf("exit code %d, asked %q\n%s%s", code, p.asked, stdout, stderr)
	}
	if _, stderr, code := p.run(t, "plan", "other"); code != exitFailed || !strings.Contains(stderr, "there is no restore named other") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestResultsAreListed(t *testing.T) {
	result := func(result, name, code, reason string) content.ReportItem {
		return content.ReportItem{Result: &content.ReportResult{
			Object: content.Object{Resource: "configmaps", Namespace: "shop", Name: name}, Result: result, Code: code, Reason: reason,
		}}
	}
	p := newPlanner(t)
	p.answers["report"] = []any{
		content.ReportItem{Head: &content.ReportHead{Restore: "back", Counts: map[string]int{"failed": 1, "created": 1, "pending": 2}}},
		result("created", "a", "", ""), result("failed", "b", "KubernetesRestoreObjectFailed", "the policy\nsays no"),
	}
	stdout, stderr, code := p.run(t, "show", "back", "--failed")
	const failed = "RESULT   TYPE         NAMESPACE   NAME   CODE                            REASON\n" +
		"failed   configmaps   shop        b      KubernetesRestoreObjectFailed   the policy says no\n"
	if code != exitOK || stdout != failed || stderr != "It ended before 2 objects had their turn; --results lists them as pending.\n" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	stdout, _, code = p.run(t, "show", "back", "--results")
	if code != exitOK || strings.Count(stdout, "\n") != 3 || !strings.Contains(stdout, "created   configmaps   shop        a\n") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	stdout, _, code = p.run(t, "show", "back", "--failed", "-o", "json")
	var got shownResults
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitOK || len(got.Results) != 1 || got.Results[0].Name != "b" || got.Counts["created"] != 1 {
		t.Errorf("%v, exit code %d\n%s", err, code, stdout)
	}
	p.answers["report"] = []any{content.ReportItem{Head: &content.ReportHead{Restore: "back"}}}
	if stdout, stderr, code := p.run(t, "show", "back", "--failed"); code != exitOK || stdout != "" || stderr != "Nothing failed in restore back.\n" {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	delete(p.answers, "report")
	if _, stderr, code := p.run(t, "show", "back", "--results"); code != exitFailed || !strings.Contains(stderr, "report of restore back: UserErrorX") && !strings.Contains(stderr, "there is none") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}
