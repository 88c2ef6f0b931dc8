//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// ban has the API server refuse ConfigMaps called banned.
const ban = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: coffer-e2e-ban}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  validations: [{expression: "object.metadata.name != 'banned'", message: "banned by the house rules"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: coffer-e2e-ban}
spec:
  policyName: coffer-e2e-ban
  validationActions: [Deny]
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: __NAMESPACE__}}}
`

// newBan makes the policy and waits until it is in force.
func newBan(t *testing.T, ns string) {
	t.Helper()
	apply(t, strings.ReplaceAll(ban, "__NAMESPACE__", ns))
	t.Cleanup(func() {
		for _, kind := range []string{"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"} {
			o := object("admissionregistration.k8s.io/v1", kind, "", "coffer-e2e-ban", nil)
			if err := lab.client.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	})
	eventually(t, "the policy is in force", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Create(ctx, object("v1", "ConfigMap", ns, "banned", nil), client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), "house rules"), nil
	})
}

// versionsIn are the resource versions of what a restore of the library touches.
func versionsIn(t *testing.T, ns string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, kind := range []string{"ConfigMapList", "SecretList", "ServiceAccountList"} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("v1")
		list.SetKind(kind)
		if err := lab.client.List(t.Context(), list, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			// Kubernetes makes these when it comes to it.
			if o.GetName() != "kube-root-ca.crt" && o.GetName() != "default" {
				found[o.GetKind()+"/"+o.GetName()] = o.GetResourceVersion()
			}
		}
	}
	return found
}

// mustHaveNoPlanObjects fails if a Restore that only made a plan is left. The extension lets one go a moment after the command line has
// deleted it.
func mustHaveNoPlanObjects(t *testing.T) {
	t.Helper()
	eventually(t, "the plans' objects are removed", time.Minute, func(ctx context.Context) (bool, error) {
		var all v1alpha1.RestoreList
		err := lab.client.List(ctx, &all, client.InNamespace(namespace))
		for _, r := range all.Items {
			if strings.HasPrefix(r.Name, "plan-") {
				return false, fmt.Errorf("restore %s is left", r.Name)
			}
		}
		return err == nil, err
	})
}

// planned is a plan as JSON.
type planned struct {
	Digest, Command string
	Steps           []content.PlanStep
	Diff            []content.DiffItem
}

func plan(t *testing.T, wantCode int, args ...string) planned {
	t.Helper()
	stdout, stderr, code := coffer(t, append([]string{"restore", "plan", "-o", "json"}, args...)...)
	var p planned
	if err := json.Unmarshal([]byte(stdout), &p); err != nil || code != wantCode {
		t.Fatalf("coffer restore plan %v: %v, exit code %d\n%s%s", args, err, code, stdout, stderr)
	}
	return p
}

func (p planned) diffOf(name string) content.DiffItem {
	i := slices.IndexFunc(p.Diff, func(i content.DiffItem) bool { return i.Name == name })
	if i < 0 {
		return content.DiffItem{}
	}
	return p.Diff[i]
}

func mustRemove(t *testing.T, o client.Object) {
	t.Helper()
	if err := lab.client.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	eventually(t, o.GetName()+" is gone", time.Minute, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, client.ObjectKeyFromObject(o), o)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func TestAPlanIsLookedAtAgreedToAndCarriedOut(t *testing.T) {
	const ns = "reading-list"
	newLibrary(t, ns)
	apply(t, strings.ReplaceAll("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: banned, namespace: __NAMESPACE__}\n"+
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: lost, namespace: __NAMESPACE__}\ndata: {a: b}\n", "__NAMESPACE__", ns))
	mustCoffer(t, "backup", "create", "list-1", "--included-namespaces", ns, "--wait")

	// Since then, somebody has changed two objects and removed two, and a rule forbids one of them.
	patch := func(o client.Object, text string) {
		t.Helper()
		if err := lab.client.Patch(t.Context(), o, client.RawPatch("application/merge-patch+json", []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	patch(object("v1", "ConfigMap", ns, "shelves", nil), `{"data":{"rows":"13"}}`)
	patch(object("v1", "Secret", ns, "login", nil), `{"data":{"password":"b3RoZXI="}}`)
	lost := func() client.Object { return object("v1", "ConfigMap", ns, "lost", nil) }
	mustRemove(t, lost())
	mustRemove(t, object("v1", "ConfigMap", ns, "banned", nil))
	newBan(t, ns)
	before := versionsIn(t, ns)

	args := []string{"--backup-name", "list-1", "--conflict-policy", "Patch"}
	shown := plan(t, 3, append(args, "--diff")...)
	if d := shown.diffOf("shelves"); d.Action != "patch" || !strings.Contains(d.Changes, "-  rows: \"13\"\n+  rows: \"12\"\n") || d.FromBackup != "" {
		t.Errorf("a changed ConfigMap: %+v", d)
	}
	if d := shown.diffOf("login"); !strings.Contains(d.Changes, "*** (value 1)") || !strings.Contains(d.Changes, "*** (value 2)") || strings.Contains(d.Changes, "b3RoZXI") || strings.Contains(d.Changes, libraryEncoded) {
		t.Errorf("a changed Secret: %+v", d)
	}
	if d := shown.diffOf("lost"); d.Action != "create" || !strings.Contains(d.Changes, "+  a: b\n") {
		t.Errorf("a ConfigMap that is gone: %+v", d)
	}
	if d := shown.diffOf("banned"); d.Refused == nil || !strings.Contains(d.Refused.Message, "house rules") {
		t.Errorf("a ConfigMap that is refused: %+v", d)
	}
	if d := shown.diffOf("desk"); d.Changes != "" || d.FromBackup != "" || d.Refused != nil {
		t.Errorf("a Deployment that is as it was: %+v", d)
	}
	stdout, _, code := coffer(t, append([]string{"restore", "plan", "--diff"}, args...)...)
	if code != 3 || !strings.Contains(stdout, shown.Digest) || !strings.Contains(stdout, "would be refused") || strings.Contains(stdout, "\x1b[") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	mustHideLogin(t, stdout)
	stdout, _, _ = coffer(t, append([]string{"restore", "plan", "--diff", "--show-secrets"}, args...)...)
	if !strings.Contains(stdout, "+  password: "+libraryEncoded) || !strings.Contains(stdout, "-  password: b3RoZXI=") {
		t.Errorf("the values of the Secret are not shown:\n%s", stdout)
	}
	if after := versionsIn(t, ns); len(after) != len(before) || after["ConfigMap/shelves"] != before["ConfigMap/shelves"] || after["Secret/login"] != before["Secret/login"] {
		t.Errorf("the cluster was changed: %v, was %v", after, before)
	}
	mustHaveNoPlanObjects(t)

	// Something happens after it was looked at: nothing is done, and it is said what.
	command := strings.Fields(shown.Command)[1:]
	if command[0] != "restore" || command[1] != "create" || !slices.Contains(command, "--plan-digest="+shown.Digest) {
		t.Fatalf("the command is %s", shown.Command)
	}
	if err := lab.client.Create(t.Context(), lost()); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"UserErrorRestorePlanChanged", "configmaps " + ns + "/lost", "it exists"}, command...)
	mustRemove(t, lost())

	// What was shown is what runs.
	command[2] += "-again"
	mustCoffer(t, command...)
	again := showRestore(t, command[2])
	if again.Status.Plan.Digest != shown.Digest || again.Status.Progress.Failed != 1 {
		t.Errorf("the plan is %s, and was %s; %d objects failed", again.Status.Plan.Digest, shown.Digest, again.Status.Progress.Failed)
	}
	var shelves corev1.ConfigMap
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "shelves"}, &shelves); err != nil || shelves.Data["rows"] != "12" {
		t.Errorf("%v, %v", shelves.Data, err)
	}
	if out := mustCoffer(t, "restore", "show", command[2], "--failed"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "banned") || !strings.Contains(out, "house rules") {
		t.Errorf("what failed:\n%s", out)
	}
	var results struct{ Results []content.ReportResult }
	if err := json.Unmarshal([]byte(mustCoffer(t, "restore", "show", command[2], "--results", "-o", "json")), &results); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range results.Results {
		got[r.Name] = r.Result
	}
	if got["shelves"] != "patched" || got["login"] != "patched" || got["lost"] != "created" || got["banned"] != "failed" || got["desk"] == "" {
		t.Errorf("results %v", got)
	}
	if out := mustCoffer(t, "restore", "plan", command[2]); !strings.Contains(out, shown.Digest) {
		t.Errorf("the stored plan:\n%s", out)
	}
	mustFail(t, []string{"UserErrorRestoreNotFound"}, "restore", "show", "nothing", "--failed")
	mustCoffer(t, "backup", "delete", "list-1", "--yes", "--wait")
}

func TestAPlanSaysWhatIsInConflictAndWhatIsUnchecked(t *testing.T) {
	const ns = "conflicts"
	newLibrary(t, ns)
	backedUp(t, "conflicts-1", "--included-namespaces", ns)
	stdout, _, code := coffer(t, "restore", "plan", "--backup-name", "conflicts-1", "--conflict-policy", "Fail")
	if code != 3 || !strings.Contains(stdout, "would refuse this plan") || !strings.Contains(stdout, "shelves") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	mapped := plan(t, 0, "--backup-name", "conflicts-1", "--namespace-mappings", ns+"="+ns+"-copy", "--diff")
	if d := mapped.diffOf("shelves"); d.Namespace != ns+"-copy" || d.Source == nil || d.Source.Namespace != ns || !strings.Contains(d.Unchecked, "does not exist yet") || d.Changes == "" {
		t.Errorf("%+v", d)
	}
	if !strings.Contains(mapped.Command, "--namespace-mappings="+ns+"="+ns+"-copy") {
		t.Errorf("the command is %s", mapped.Command)
	}
	var copied corev1.Namespace
	if err := lab.client.Get(t.Context(), client.ObjectKey{Name: ns + "-copy"}, &copied); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace of the plan exists: %v", err)
	}

	// An extension that may only back up has no right to ask either.
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	if err := lab.install("permissions.profile=backup"); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"no plan was made", "UserErrorForbidden", "stronger profile"}, "restore", "plan", "--backup-name", "conflicts-1")
	mustHaveNoPlanObjects(t)
}
