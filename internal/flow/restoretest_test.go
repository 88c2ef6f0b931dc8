package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

const testUID = "11111111-2222-3333-4444-555555555555"

func namespacedType(group, resource, kind string) coffer.ResourceType {
	return coffer.ResourceType{GroupResource: coffer.GroupResource{Group: group, Resource: resource}, Version: "v1", Kind: kind, Namespaced: true}
}

// newLoudShop is a shop that reaches out of its namespace in every way, backed up.
func newLoudShop(t *testing.T) *world {
	t.Helper()
	w := newShop(t)
	w.reclaim = "Retain"
	w.extra = []coffer.ResourceType{
		policyType, namespacedType("", "services", "Service"), namespacedType("batch", "cronjobs", "CronJob"),
		namespacedType("networking.k8s.io", "ingresses", "Ingress"), namespacedType("acme.io", "widgets", "Widget"),
	}
	w.add("services", "shop", "web", map[string]any{"spec": map[string]any{"type": "LoadBalancer", "ports": []any{map[string]any{"port": 80, "nodePort": 30080}}}})
	w.add("services", "shop", "elsewhere", map[string]any{"spec": map[string]any{"type": "ExternalName", "externalName": "db.example.com"}})
	w.add("cronjobs.batch", "shop", "bill", map[string]any{"spec": map[string]any{"schedule": "* * * * *"}})
	w.add("ingresses.networking.k8s.io", "shop", "web", map[string]any{"spec": map[string]any{}})
	w.add("networkpolicies.networking.k8s.io", "shop", "open", map[string]any{"spec": map[string]any{}})
	w.add("widgets.acme.io", "shop", "one", map[string]any{"spec": map[string]any{}})
	w.add("secrets", "shop", "db", map[string]any{"data": map[string]any{"password": "aHVudGVyMg=="}})
	w.ask = func(coffer.Ask) coffer.Answer { return coffer.Answer{Status: 200, Body: "The shop is open"} }
	w.failExec = func(e coffer.Exec) (coffer.ExecResult, error) {
		if e.Command[0] == "psql" {
			return coffer.ExecResult{Output: "3\n"}, nil
		}
		return coffer.ExecResult{}, nil
	}
	backUp(t, w, keep(t, w, newBackupObject()))
	return w
}

func newTestObject(change ...func(*v1alpha1.RestoreTestSpec)) *v1alpha1.RestoreTest {
	second := &metav1.Duration{Duration: 100 * time.Millisecond}
	test := &v1alpha1.RestoreTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "proof", UID: types.UID(testUID)},
		Spec: v1alpha1.RestoreTestSpec{
			StorageLocation: "default", BackupName: "one",
			Checks: []v1alpha1.RestoreCheck{
				{Name: "rows", Namespace: "shop", Timeout: second, SQL: &v1alpha1.SQLCheck{CheckedPod: v1alpha1.CheckedPod{PodSelector: "app=db"}, Query: "SELECT count(*) FROM orders", Expected: "3"}},
				{Name: "page", Namespace: "shop", Timeout: second, HTTP: &v1alpha1.HTTPCheck{Service: "web", Port: "80", BodyMatches: "shop is open"}},
			},
		},
	}
	for _, c := range change {
		c(&test.Spec)
	}
	return test
}

// proveIt runs a test to its end, through as many processes as it takes.
func proveIt(t *testing.T, w *world, k *kept[v1alpha1.RestoreTest]) *v1alpha1.RestoreTest {
	t.Helper()
	for range 5 {
		test, err := k.run(func(x *v1alpha1.RestoreTest, persist func(context.Context) error) error {
			return RestoreTest(t.Context(), w.config(), x, persist)
		})
		if err == nil {
			return test
		}
		if !w.dead {
			t.Fatalf("RestoreTest = %v", err)
		}
		w.revive()
	}
	t.Fatal("the test does not end")
	return nil
}

// scene is everything in the cluster that a test must not touch.
func (w *world) scene() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]string{}
	for key, o := range w.objects {
		found[key] = string(w.encode(o))
	}
	return found
}

func mustBeAsBefore(t *testing.T, w *world, before map[string]string) {
	t.Helper()
	if diff := cmp.Diff(before, w.scene()); diff != "" {
		t.Errorf("the cluster is not what it was before the test: -before +after:\n%s", diff)
	}
	if len(w.snapshots) != 0 {
		t.Errorf("snapshot objects %v are left", w.snapshots)
	}
	if len(w.disks) != 1 {
		t.Errorf("the storage has the snapshots %v, want the recovery point's", w.disks)
	}
}

// mustProof reads the report of a test and verifies it as the command line does.
func mustProof(t *testing.T, w *world, test *v1alpha1.RestoreTest) restorerecord.Test {
	t.Helper()
	named := test.Status.TestReport
	if named == nil {
		t.Fatalf("there is no report: phase %s, %s: %s; warnings %v", test.Status.Phase, test.Status.Reason, test.Status.Message, test.Status.Warnings)
	}
	report, signature, err := NewReader(w.config()).TestReport(t.Context(), TestReportRequest{
		StorageLocation: named.StorageLocation, BackupName: "one", Run: testUID, Encrypted: restorerecord.IsEncrypted(named.Key),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recoverypoint.VerifyReport("proof", report, signature, w.location().TrustedSigners); err != nil {
		t.Error(err)
	}
	if digest := restorerecord.TestDigest(report); digest != named.Digest || named.Signer != w.location().TrustedSigners[0] {
		t.Errorf("the status names %+v, the report has %s", named, digest)
	}
	if bytes.Contains(report, []byte("hunter2")) {
		t.Error("the report holds a secret")
	}
	decoded, err := restorerecord.DecodeTest(report)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func TestARestoreTestLeavesNothingWhereverItCrashes(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newLoudShop(t)
		before := w.scene()
		w.dieAfter(dieAt)
		test := proveIt(t, w, keep(t, w, newTestObject()))
		calls := w.calls
		w.revive()
		if !test.Status.Phase.Succeeded() || test.Status.Outcome != v1alpha1.RestoreTestPassed || KeepsTraces(test) {
			t.Fatalf("phase %s, outcome %s, %s: %v %v", test.Status.Phase, test.Status.Outcome, test.Status.Message, test.Status.Failures, test.Status.Warnings)
		}
		mustBeAsBefore(t, w, before)
		r := mustProof(t, w, test)
		if r.Outcome != "Passed" || r.ReadySeconds == nil || r.CheckedSeconds == nil || r.Namespaces["shop"] != quiet.Namespace(testUID, "shop") {
			t.Errorf("the report says %+v", r)
		}
		if len(r.Volumes) != 1 || !r.Volumes[0].Restored || r.Volumes[0].Claim != "data" || r.Volumes[0].Bytes == 0 {
			t.Errorf("volumes %+v", r.Volumes)
		}
		if len(r.Checks) != 2 || r.Checks[0].Outcome != "Passed" || r.Checks[1].Outcome != "Passed" {
			t.Errorf("checks %+v", r.Checks)
		}
		var fields []string
		for _, d := range r.Deviations {
			fields = append(fields, d.Object.Resource+" "+d.Field)
		}
		if want := []string{"services spec.type", "cronjobs spec.suspend"}; !slices.Equal(sorted(fields), sorted(want)) {
			t.Errorf("deviations %q, want %q", fields, want)
		}
		left := map[string]bool{}
		for _, l := range r.LeftOut {
			left[l.What] = true
		}
		for _, want := range []string{"services", "ingresses.networking.k8s.io", "networkpolicies.networking.k8s.io", "widgets.acme.io"} {
			if !left[want] {
				t.Errorf("the report does not say that %s were left out: %+v", want, r.LeftOut)
			}
		}
		return calls
	})
}

func sorted(texts []string) []string { return slices.Sorted(slices.Values(texts)) }

// TestARestoreTestIsQuietWhileItRuns looks at what there is at the time of the checks.
func TestARestoreTestIsQuietWhileItRuns(t *testing.T) {
	w := newLoudShop(t)
	scratch := quiet.Namespace(testUID, "shop")
	var seen map[string]string
	w.ask = func(a coffer.Ask) coffer.Answer {
		if a.Namespace != scratch || a.Service != "web" || a.Port != "80" || a.Path != "/" {
			t.Errorf("asked %+v", a)
		}
		seen = w.scene()
		return coffer.Answer{Status: 200, Body: "The shop is open"}
	}
	proveIt(t, w, keep(t, w, newTestObject()))
	for key, words := range map[string][]string{
		objectKey("namespaces", "", scratch):                                     {`"velero.io/exclude-from-backup":"true"`, `"clusterbackup.dataprotection.microsoft.com/restore-test":"` + testUID + `"`},
		objectKey("services", scratch, "web"):                                    {`"type":"ClusterIP"`},
		objectKey("cronjobs.batch", scratch, "bill"):                             {`"suspend":true`},
		objectKey("networkpolicies.networking.k8s.io", scratch, quiet.FenceName): {`"policyTypes":["Egress"]`},
		objectKey("persistentvolumeclaims", scratch, "data"):                     {`"kind":"VolumeSnapshot"`},
		objectKey("statefulsets.apps", scratch, "db"):                            nil,
	} {
		body, there := seen[key]
		if !there {
			t.Errorf("there is no %s", key)
		}
		for _, word := range words {
			if !strings.Contains(body, word) {
				t.Errorf("%s has no %s: %s", key, word, body)
			}
		}
	}
	for key := range seen {
		if parts := strings.Split(key, "|"); parts[1] == scratch && slices.Contains([]string{"ingresses.networking.k8s.io", "widgets.acme.io"}, parts[0]) ||
			key == objectKey("services", scratch, "elsewhere") || key == objectKey("networkpolicies.networking.k8s.io", scratch, "open") {
			t.Errorf("there is a %s", key)
		}
	}
	// The policy is there before anything that it has to keep in.
	fence := slices.Index(w.created, objectKey("networkpolicies.networking.k8s.io", scratch, quiet.FenceName))
	if set := slices.Index(w.created, objectKey("statefulsets.apps", scratch, "db")); fence < 0 || set < fence {
		t.Errorf("created in this order: %v", w.created)
	}
}

func TestAFailedRestoreTestSaysWhyAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(w *world, s *v1alpha1.RestoreTestSpec)
		code   coffer.Code
		words  []string
	}{
		"a check that does not hold": {
			func(w *world, _ *v1alpha1.RestoreTestSpec) {
				w.failExec = func(coffer.Exec) (coffer.ExecResult, error) {
					return coffer.ExecResult{ExitCode: 2, Output: "password hunter2 is refused"}, nil
				}
			}, coffer.CodeRestoreCheckFailed, []string{"check rows", "exit code 2", "password *** is refused"},
		},
		"a snapshot that is gone": {
			func(w *world, _ *v1alpha1.RestoreTestSpec) { clear(w.disks) },
			coffer.CodeVolumePending, []string{"shop/data", "no such snapshot"},
		},
		"a workload that is not ready": {
			func(w *world, _ *v1alpha1.RestoreTestSpec) { w.stuck = true },
			coffer.CodeWorkloadNotReady, []string{"statefulsets.apps", "shop/db", "not ready"},
		},
		"an object that is refused": {
			func(w *world, _ *v1alpha1.RestoreTestSpec) {
				w.refuse = func(_, key string, _ map[string]any) error {
					if strings.HasPrefix(key, "configmaps|") {
						return coffer.Errorf(coffer.CodeRejected, "a quota is used up")
					}
					return nil
				}
			}, coffer.CodeObjectFailed, []string{"configmaps", "shop/settings", "a quota is used up"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLoudShop(t)
			before := w.scene()
			object := newTestObject()
			c.break_(w, &object.Spec)
			disks := maps.Clone(w.disks)
			test := proveIt(t, w, keep(t, w, object))
			if test.Status.Phase != v1alpha1.RunFailed || test.Status.Outcome != v1alpha1.RestoreTestFailed || test.Status.Reason != string(c.code) {
				t.Fatalf("phase %s, outcome %s, reason %s: %s", test.Status.Phase, test.Status.Outcome, test.Status.Reason, test.Status.Message)
			}
			r := mustProof(t, w, test)
			for _, word := range c.words {
				if !strings.Contains(test.Status.Message, word) {
					t.Errorf("%q does not say %q", test.Status.Message, word)
				}
			}
			if r.Outcome != "Failed" || len(r.Failures) == 0 || r.Failures[0].Code != string(c.code) {
				t.Errorf("the report says %+v", r)
			}
			if strings.Contains(test.Status.Message, "hunter2") {
				t.Error("the status holds a secret")
			}
			if len(disks) == 0 {
				w.disks = map[string]bool{"gone": true}
			}
			mustBeAsBefore(t, w, before)
		})
	}
}

func TestAFailedRestoreTestLeavesNothingWhereverItCrashes(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newLoudShop(t)
		before := w.scene()
		w.ask = nil
		w.dieAfter(dieAt)
		test := proveIt(t, w, keep(t, w, newTestObject(func(s *v1alpha1.RestoreTestSpec) { slices.Reverse(s.Checks) })))
		calls := w.calls
		w.revive()
		if test.Status.Phase != v1alpha1.RunFailed || test.Status.Reason != string(coffer.CodeRestoreCheckFailed) || !strings.Contains(test.Status.Message, "status 503") {
			t.Fatalf("phase %s, %s: %s", test.Status.Phase, test.Status.Reason, test.Status.Message)
		}
		if checks := mustProof(t, w, test).Checks; checks[0].Outcome != "Failed" || checks[1].Outcome != "Passed" {
			t.Errorf("not all checks were made: %+v", checks)
		}
		mustBeAsBefore(t, w, before)
		return calls
	})
}

func TestARestoreTestThatIsCancelledOrDeletedLeavesNothing(t *testing.T) {
	for name, deleted := range map[string]bool{"cancelled": false, "deleted": true} {
		t.Run(name, func(t *testing.T) {
			everyCrash(t, func(t *testing.T, dieAt int) int {
				w := newLoudShop(t)
				before := w.scene()
				w.dieAfter(dieAt)
				k := keep(t, w, newTestObject(func(s *v1alpha1.RestoreTestSpec) { s.Keep = true }))
				advance := func(x *v1alpha1.RestoreTest, persist func(context.Context) error) error {
					return RestoreTest(t.Context(), w.config(), x, persist)
				}
				test, err := k.run(advance)
				calls := w.calls
				if err == nil {
					if !KeepsTraces(test) || len(w.names("namespaces", "")) != 3 {
						t.Errorf("nothing was kept: %v", w.names("namespaces", ""))
					}
					return calls
				}
				w.revive()
				test, err = k.run(func(x *v1alpha1.RestoreTest, persist func(context.Context) error) error {
					if deleted {
						return CancelRestoreTest(t.Context(), w.config(), x, persist)
					}
					x.Spec.Cancel = true
					return advance(x, persist)
				})
				if err != nil || KeepsTraces(test) {
					t.Fatalf("%v: %+v", err, test.Status)
				}
				if !deleted && test.Status.Phase != v1alpha1.RunCancelled {
					t.Errorf("phase %s: %s", test.Status.Phase, test.Status.Message)
				}
				mustBeAsBefore(t, w, before)
				return calls
			})
		})
	}
}

func TestWhatWasKeptIsRemovedWithTheObject(t *testing.T) {
	w := newLoudShop(t)
	before := w.scene()
	k := keep(t, w, newTestObject(func(s *v1alpha1.RestoreTestSpec) { s.Keep = true }))
	test := proveIt(t, w, k)
	if !KeepsTraces(test) || test.Status.ScratchNamespaces[0] != quiet.Namespace(testUID, "shop") {
		t.Fatalf("kept: %v", test.Status.ScratchNamespaces)
	}
	mustProof(t, w, test)
	test, err := k.run(func(x *v1alpha1.RestoreTest, persist func(context.Context) error) error {
		return CancelRestoreTest(t.Context(), w.config(), x, persist)
	})
	if err != nil || KeepsTraces(test) {
		t.Errorf("%v: %v", err, test.Status.ScratchNamespaces)
	}
	mustBeAsBefore(t, w, before)
}

func TestWhatIsNotTheTestsOwnIsNotTouched(t *testing.T) {
	w := newLoudShop(t)
	scratch := quiet.Namespace(testUID, "shop")
	// Each of these looks a little like the test's.
	w.add("namespaces", "", quiet.Prefix(testUID)+"mine", nil)
	w.add("namespaces", "", "theirs", map[string]any{"labels": map[string]any{quiet.RunLabel: testUID}})
	w.add("namespaces", "", "other-test", map[string]any{"labels": map[string]any{quiet.RunLabel: "another"}})
	w.add("persistentvolumes", "", "static", map[string]any{"spec": map[string]any{
		"persistentVolumeReclaimPolicy": "Delete", "claimRef": map[string]any{"namespace": scratch, "name": "data", "uid": "x"},
	}})
	w.add("persistentvolumes", "", "unrelated", map[string]any{"spec": map[string]any{
		"persistentVolumeReclaimPolicy": "Retain", "claimRef": map[string]any{"namespace": "shop", "name": "data", "uid": "x"},
	}})
	before := w.scene()
	proveIt(t, w, keep(t, w, newTestObject()))
	after := w.scene()
	// A volume that somebody else had made is kept, even from the policy that it had.
	static := objectKey("persistentvolumes", "", "static")
	if !strings.Contains(after[static], `"Retain"`) {
		t.Errorf("the volume is %s", after[static])
	}
	delete(before, static)
	delete(after, static)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

func TestARestoreTestIsRefusedBeforeAnythingIsMade(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world, s *v1alpha1.RestoreTestSpec)
		code    coffer.Code
	}{
		"by an extension that may not make namespaces":     {func(w *world, _ *v1alpha1.RestoreTestSpec) { w.confined = true }, coffer.CodeForbidden},
		"with a check in a namespace that is not restored": {func(_ *world, s *v1alpha1.RestoreTestSpec) { s.Checks[0].Namespace = "kube-system" }, coffer.CodeNamespaceNotFound},
		"with a check that is none":                        {func(_ *world, s *v1alpha1.RestoreTestSpec) { s.Checks[1].HTTP.BodyMatches = "(" }, coffer.CodeInvalid},
		"with a check that leaves its Service":             {func(_ *world, s *v1alpha1.RestoreTestSpec) { s.Checks[1].HTTP.Path = "/../../secrets" }, coffer.CodeInvalid},
		"where a report cannot be stored":                  {func(w *world, _ *v1alpha1.RestoreTestSpec) { w.readOnly, w.own = true, nil }, coffer.CodeReportNotStored},
		"of a recovery point that is none":                 {func(_ *world, s *v1alpha1.RestoreTestSpec) { s.BackupName = "two" }, coffer.CodeBackupNotFound},
		"where its namespace is somebody else's": {func(w *world, _ *v1alpha1.RestoreTestSpec) {
			w.add("namespaces", "", quiet.Namespace(testUID, "shop"), nil)
		}, coffer.CodeObjectsExist},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLoudShop(t)
			object := newTestObject()
			c.prepare(w, &object.Spec)
			before := w.scene()
			test := proveIt(t, w, keep(t, w, object))
			if test.Status.Phase != v1alpha1.RunFailed || test.Status.Reason != string(c.code) {
				t.Errorf("phase %s, reason %s: %s", test.Status.Phase, test.Status.Reason, test.Status.Message)
			}
			if test.Status.Outcome != "" || test.Status.TestReport != nil {
				t.Errorf("outcome %s, report %+v: nothing was shown of the recovery point", test.Status.Outcome, test.Status.TestReport)
			}
			mustBeAsBefore(t, w, before)
		})
	}
}

// A cluster that cannot restore says nothing of the recovery point, whenever that comes out.
func TestWhatIsWrongWithTheClusterIsNoFailureOfTheRecoveryPoint(t *testing.T) {
	for code, proves := range map[coffer.Code]bool{
		coffer.CodeArchiveCorrupt: true, coffer.CodeObjectFailed: true, coffer.CodeVolumePending: true, coffer.CodeBackupNotFound: true,
		coffer.CodeSnapshotAPIUnavailable: false, coffer.CodeDecryptionKeyMissing: false, coffer.CodeSignerNotTrusted: false,
		coffer.CodeLocationNotReady: false, coffer.CodeModifierNotFound: false, coffer.CodeHookNotFound: false,
	} {
		object := newTestObject()
		object.Status.Reason, object.Status.Plan = string(code), &v1alpha1.RestorePlan{}
		if got := newRestoreTest(Config{}, object, nil).proves(); got != proves {
			t.Errorf("%s: proves = %v", code, got)
		}
	}
}

func TestAnAlteredRecoveryPointFailsItsTest(t *testing.T) {
	w := newLoudShop(t)
	before := w.scene()
	key := recoverypoint.LayoutOf("one").Archive()
	blob, err := getAll(t.Context(), w.container, key, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.container.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	blob[len(blob)/2] ^= 1
	if _, err := w.container.Put(t.Context(), key, bytes.NewReader(blob)); err != nil {
		t.Fatal(err)
	}
	test := proveIt(t, w, keep(t, w, newTestObject()))
	if test.Status.Phase != v1alpha1.RunFailed || test.Status.Reason != string(coffer.CodeArchiveCorrupt) || test.Status.Outcome != v1alpha1.RestoreTestFailed {
		t.Errorf("phase %s, reason %s: %s", test.Status.Phase, test.Status.Reason, test.Status.Message)
	}
	if r := mustProof(t, w, test); r.Outcome != "Failed" || r.Failures[0].Code != string(coffer.CodeArchiveCorrupt) {
		t.Errorf("the report says %+v", r)
	}
	mustBeAsBefore(t, w, before)
}

func TestTheReportOfAReadOnlyLocationIsStoredInTheClustersOwn(t *testing.T) {
	w := newLoudShop(t)
	w.readOnly = true
	test := proveIt(t, w, keep(t, w, newTestObject()))
	if r := mustProof(t, w, test); r.Outcome != "Passed" || test.Status.TestReport.StorageLocation != ownLocation {
		t.Errorf("%+v, stored in %+v", r, test.Status.TestReport)
	}
}

func TestWhatCannotBeRemovedIsSaid(t *testing.T) {
	w := newLoudShop(t)
	scratch := quiet.Namespace(testUID, "shop")
	w.ask = func(coffer.Ask) coffer.Answer {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.objects[objectKey("namespaces", "", scratch)]["metadata"].(map[string]any)["finalizers"] = []any{"acme.io/hold"}
		return coffer.Answer{Status: 200, Body: "The shop is open"}
	}
	test := proveIt(t, w, keep(t, w, newTestObject()))
	at := slices.IndexFunc(test.Status.Warnings, func(x v1alpha1.Warning) bool {
		return x.Code == string(coffer.CodeTracesLeft) && x.Resource == "namespaces "+scratch
	})
	if test.Status.Phase != v1alpha1.RunCompletedWithWarnings || !KeepsTraces(test) || at < 0 || !strings.Contains(test.Status.Warnings[at].Message, "kubectl get namespace "+scratch) {
		data, _ := json.Marshal(test.Status)
		t.Errorf("%s", data)
	}
}

func TestTheReportOfAnEncryptedRecoveryPointIsEncrypted(t *testing.T) {
	w, _ := newEncryptedShop(t)
	w.extra = []coffer.ResourceType{policyType}
	backUp(t, w, keep(t, w, newBackupObject()))
	test := proveIt(t, w, keep(t, w, newTestObject(func(s *v1alpha1.RestoreTestSpec) { s.Checks = nil })))
	if r := mustProof(t, w, test); r.Outcome != "Passed" || !restorerecord.IsEncrypted(test.Status.TestReport.Key) {
		t.Errorf("%+v, stored as %s", r, test.Status.TestReport.Key)
	}
	stored, err := getAll(t.Context(), w.container, test.Status.TestReport.Key, 1<<20)
	if err != nil || bytes.Contains(stored, []byte("RestoreTestReport")) {
		t.Errorf("the stored report can be read: %v", err)
	}
}
