package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// newTown is a shop with everything that its objects need in the cluster, a second claim, and a bank next door.
func newTown(t *testing.T) *world {
	t.Helper()
	w := newShop(t)
	served := func(group, resource, kind string, namespaced bool) {
		w.extra = append(w.extra, coffer.ResourceType{
			GroupResource: coffer.GroupResource{Group: group, Resource: resource}, Version: "v1", Kind: kind, Namespaced: namespaced,
		})
	}
	served("", "serviceaccounts", "ServiceAccount", true)
	served("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", false)
	served("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", false)
	served("scheduling.k8s.io", "priorityclasses", "PriorityClass", false)
	served("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", false)
	served("acme.io", "rockets", "Rocket", true)
	web := map[string]any{"app": "web"}
	w.add("serviceaccounts", "shop", "robot", map[string]any{"labels": web})
	w.add("rockets.acme.io", "shop", "r", map[string]any{"labels": web})
	w.add("secrets", "shop", "login", map[string]any{"labels": web, "data": map[string]any{"k": base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe, 0})}})
	w.add("pods", "shop", "web-0", map[string]any{"labels": web, "spec": map[string]any{
		"priorityClassName": "high", "containers": []any{map[string]any{"name": "c"}},
		"volumes": []any{map[string]any{"name": "v", "persistentVolumeClaim": map[string]any{"claimName": "cache"}}},
	}, "status": map[string]any{"phase": "Running"}})
	w.add("persistentvolumeclaims", "shop", "cache", map[string]any{
		"labels": web, "spec": map[string]any{"volumeName": "pv-cache", "storageClassName": "fast"}, "status": map[string]any{"phase": "Bound"},
	})
	w.add("persistentvolumes", "", "pv-cache", map[string]any{"spec": map[string]any{
		"csi": map[string]any{"driver": "disk"}, "storageClassName": "fast", "claimRef": map[string]any{"namespace": "shop", "name": "cache"},
	}})
	for _, name := range []string{"fast", "slow"} {
		w.add("storageclasses.storage.k8s.io", "", name, nil)
	}
	for _, name := range []string{"high", "low"} {
		w.add("priorityclasses.scheduling.k8s.io", "", name, nil)
	}
	for _, name := range []string{"rockets.acme.io", "planets.acme.io"} {
		w.add("customresourcedefinitions.apiextensions.k8s.io", "", name, nil)
	}
	for _, name := range []string{"robots", "others"} {
		w.add("clusterroles.rbac.authorization.k8s.io", "", name, nil)
		w.add("clusterrolebindings.rbac.authorization.k8s.io", "", name, map[string]any{
			"roleRef":  map[string]any{"kind": "ClusterRole", "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "shop", "name": strings.TrimSuffix(name, "s")}},
		})
	}
	w.add("namespaces", "", "bank", nil)
	w.add("secrets", "bank", "vault", nil)
	// The database uses its volume.
	w.objects[objectKey("pods", "shop", "db-0")]["spec"].(map[string]any)["volumes"] = []any{
		map[string]any{"name": "v", "persistentVolumeClaim": map[string]any{"claimName": "data"}},
	}
	return w
}

// mustBackUp runs a backup of these filters to its end.
func mustBackUp(t *testing.T, w *world, change ...func(*v1alpha1.BackupSpec)) *v1alpha1.Backup {
	t.Helper()
	return backUp(t, w, keep(t, w, newBackupObject(change...)))
}

// readBlob reads one blob of the recovery point "one".
func readBlob(t *testing.T, w *world, key string, into any) {
	t.Helper()
	body, err := getAll(t.Context(), w.container, key, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(key, ".gz") {
		unzipped, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewDecoder(unzipped).Decode(into); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatal(err)
	}
}

// objectsOf are the objects of the recovery point that were captured, each KIND NAMESPACE/NAME, sorted: without the
// snapshots that are added for Velero.
func objectsOf(t *testing.T, w *world) []string {
	t.Helper()
	var all recoverypoint.ResourceList
	readBlob(t, w, recoverypoint.LayoutOf("one").ResourceList(), &all)
	var found []string
	for kind, names := range all {
		if strings.HasPrefix(kind, "snapshot.storage.k8s.io/") {
			continue
		}
		for _, name := range names {
			found = append(found, kind[strings.LastIndex(kind, "/")+1:]+" "+name)
		}
	}
	slices.Sort(found)
	return found
}

func volumesOf(t *testing.T, w *world) map[string]string {
	t.Helper()
	manifest, _, err := readManifest(t.Context(), w.location(), "one")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, v := range manifest.Volumes {
		found[v.Claim] = string(v.Result) + " " + v.Reason
	}
	return found
}

// whatWebNeeds is what the objects with app=web come to with all that they need.
var whatWebNeeds = []string{
	"ClusterRole robots", "ClusterRoleBinding robots", "CustomResourceDefinition rockets.acme.io", "Namespace shop",
	"PersistentVolume pv-cache", "PersistentVolumeClaim shop/cache", "Pod shop/web-0", "PriorityClass high", "Rocket shop/r",
	"Secret shop/login", "ServiceAccount shop/robot", "StorageClass fast",
}

func TestObjectsBringWhatTheyNeed(t *testing.T) {
	all := true
	for name, change := range map[string]func(*v1alpha1.BackupSpec){
		"of a namespace":        func(s *v1alpha1.BackupSpec) {},
		"of patterns":           func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"sh?p", "kube-*", "b[a]nk"} },
		"of all namespaces":     func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = nil },
		"of the whole cluster":  func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.IncludeClusterScopeResources = nil, &all },
		"and only what they do": func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.OnlyNeededClusterScopeResources = nil, true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			b := mustBackUp(t, w, change, func(s *v1alpha1.BackupSpec) { s.LabelSelectors = []string{"app:web"} })
			if !b.Status.Phase.Succeeded() {
				t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
			}
			if diff := cmp.Diff(whatWebNeeds, objectsOf(t, w)); diff != "" {
				t.Error(diff)
			}
			var ledger coffer.Coverage
			readBlob(t, w, recoverypoint.LayoutOf("one").Coverage(), &ledger)
			reasons := map[string]string{}
			for _, n := range ledger.Needed {
				reasons[n.String()] = n.Reason
			}
			for object, reason := range map[string]string{
				"persistentvolumes pv-cache":                           "persistentvolumeclaims shop/cache is bound to it",
				"clusterroles.rbac.authorization.k8s.io robots":        "clusterrolebindings.rbac.authorization.k8s.io robots is bound to it",
				"clusterrolebindings.rbac.authorization.k8s.io robots": "serviceaccounts shop/robot is bound by it",
				"priorityclasses.scheduling.k8s.io high":               "pods shop/web-0 is of it",
			} {
				if reasons[object] != reason {
					t.Errorf("%s is there because %q, want %q", object, reasons[object], reason)
				}
			}
			if len(ledger.Needed) != 7 {
				t.Errorf("needed: %v", ledger.Needed)
			}
			if len(ledger.NotSelected) == 0 {
				t.Error("what the labels left out is not counted")
			}
			if got := volumesOf(t, w); len(got) != 1 || got["cache"] != "Captured " {
				t.Errorf("volumes: %v: a claim that is not selected must not be snapshotted", got)
			}
			if len(w.execs) != 2 || !strings.Contains(w.execs[0], "web-0") {
				t.Errorf("hooks ran: %v: only the pod of the selected volume is to be frozen", w.execs)
			}
			var velero struct {
				Spec struct {
					LabelSelector map[string]any `json:"labelSelector"`
				} `json:"spec"`
			}
			readBlob(t, w, recoverypoint.LayoutOf("one").VeleroBackup(), &velero)
			if velero.Spec.LabelSelector == nil {
				t.Error("velero-backup.json does not bear the labels")
			}
		})
	}
}

func TestASelectionSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newTown(t)
		w.dieAfter(dieAt)
		b := mustBackUp(t, w, func(s *v1alpha1.BackupSpec) {
			s.IncludedNamespaces, s.LabelSelectors, s.ExcludedResourceTypes = []string{"sh*"}, []string{"app=web"}, []string{"v1/Secrett"}
		})
		calls := w.calls
		w.revive()
		if b.Status.Phase != v1alpha1.RunCompletedWithWarnings || b.Status.WarningCount != 1 {
			t.Fatalf("phase %s: %s, %d warnings: %v", b.Status.Phase, b.Status.Message, b.Status.WarningCount, b.Status.Warnings)
		}
		if diff := cmp.Diff(whatWebNeeds, objectsOf(t, w)); diff != "" {
			t.Error(diff)
		}
		if len(w.disks) != 1 {
			t.Errorf("the storage has %v", w.disks)
		}
		mustBeThawed(t, w, b)
		return calls
	})
}

func TestWhatIsInTheRecoveryPoint(t *testing.T) {
	none := false
	skip := v1alpha1.VolumePolicyAction{Type: v1alpha1.VolumeSkip}
	for _, tt := range []struct {
		name    string
		prepare func(*world)
		spec    func(*v1alpha1.BackupSpec)
		objects []string // nil: not looked at
		volumes map[string]string
		frozen  string // the pods whose hooks ran
	}{
		{
			name: "types, and what they need",
			spec: func(s *v1alpha1.BackupSpec) { s.IncludedResourceTypes = []string{"rockets", "ServiceAccount"} },
			objects: []string{
				"ClusterRole robots", "ClusterRoleBinding robots", "CustomResourceDefinition rockets.acme.io", "Namespace shop", "Rocket shop/r", "ServiceAccount shop/robot",
			},
		},
		{
			name: "no cluster-scoped objects",
			spec: func(s *v1alpha1.BackupSpec) {
				s.IncludedResourceTypes, s.IncludeClusterScopeResources = []string{"rockets", "ServiceAccount"}, &none
			},
			objects: []string{"Namespace shop", "Rocket shop/r", "ServiceAccount shop/robot"},
		},
		{
			name: "single objects",
			spec: func(s *v1alpha1.BackupSpec) {
				s.IncludedNamespaces = nil
				s.IncludedObjects = []v1alpha1.ObjectName{
					{Type: "v1/Secret", Namespace: "bank", Name: "vault"}, {Type: "clusterroles", Name: "others"}, {Type: "pvc", Namespace: "shop", Name: "cache"},
				}
				s.IncludedObjects[2].Type = "PersistentVolumeClaim"
			},
			objects: []string{
				"ClusterRole others", "Namespace bank", "Namespace shop", "PersistentVolume pv-cache", "PersistentVolumeClaim shop/cache", "Secret bank/vault", "StorageClass fast",
			},
			volumes: map[string]string{"cache": "Captured "}, frozen: "web-0",
		},
		{
			name: "volumes without those of a policy",
			spec: func(s *v1alpha1.BackupSpec) {
				s.VolumePolicies = []v1alpha1.VolumePolicy{{Conditions: v1alpha1.VolumePolicyConditions{StorageClass: []string{"fast"}}, Action: skip}}
			},
			volumes: map[string]string{"data": "Captured ", "cache": "Skipped volumePolicies[0] (storageClass fast) says skip"}, frozen: "db-0",
		},
		{
			name: "a claim that says no",
			prepare: func(w *world) {
				w.objects[objectKey("persistentvolumeclaims", "shop", "data")]["metadata"].(map[string]any)["labels"] = map[string]any{"velero.io/exclude-from-backup": "true"}
			},
			volumes: map[string]string{"cache": "Captured ", "data": "Skipped label velero.io/exclude-from-backup=true"}, frozen: "web-0",
		},
		{
			name:    "claims of a type that is left out",
			spec:    func(s *v1alpha1.BackupSpec) { s.ExcludedResourceTypes = []string{"v1/PersistentVolumeClaim"} },
			volumes: map[string]string{}, frozen: "",
		},
		{
			name:    "volumes without their pods",
			spec:    func(s *v1alpha1.BackupSpec) { s.IncludedResourceTypes = []string{"persistentvolumeclaims"} },
			volumes: map[string]string{"data": "Captured ", "cache": "Captured "}, frozen: "db-0 web-0",
		},
		{
			name: "no volumes at all",
			spec: func(s *v1alpha1.BackupSpec) { s.SnapshotVolumes = &none },
			volumes: map[string]string{
				"data": "Skipped the backup was asked for no volume data (snapshotVolumes: false)", "cache": "Skipped the backup was asked for no volume data (snapshotVolumes: false)",
			}, frozen: "db-0 web-0",
		},
		{
			name: "a namespace that says no",
			prepare: func(w *world) {
				w.objects[objectKey("namespaces", "", "shop")]["metadata"].(map[string]any)["labels"] = map[string]any{"velero.io/exclude-from-backup": "true"}
			},
			spec:    func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.OnlyNeededClusterScopeResources = nil, true },
			objects: []string{"Namespace bank", "Secret bank/vault"}, volumes: map[string]string{}, frozen: "",
		},
		{
			name: "namespaces but for the test's, without Secrets",
			spec: func(s *v1alpha1.BackupSpec) {
				s.IncludedNamespaces, s.ExcludedNamespaces, s.ExcludedResourceTypes = []string{"*"}, []string{"sh*"}, []string{"v1/Secret"}
				s.OnlyNeededClusterScopeResources = true
			},
			objects: []string{"Namespace bank"}, volumes: map[string]string{}, frozen: "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			if tt.spec == nil {
				tt.spec = func(*v1alpha1.BackupSpec) {}
			}
			b := mustBackUp(t, w, tt.spec)
			if b.Status.Phase != v1alpha1.RunCompleted {
				t.Fatalf("phase %s: %s, %v", b.Status.Phase, b.Status.Message, b.Status.Warnings)
			}
			if tt.objects != nil {
				if diff := cmp.Diff(tt.objects, objectsOf(t, w)); diff != "" {
					t.Error(diff)
				}
			}
			if tt.volumes == nil {
				return
			}
			if diff := cmp.Diff(tt.volumes, volumesOf(t, w)); diff != "" {
				t.Error(diff)
			}
			ran := map[string]bool{}
			for _, e := range w.execs {
				ran[strings.TrimPrefix(strings.Fields(e)[0], "shop/")] = true
			}
			if got := strings.Join(slices.Sorted(maps.Keys(ran)), " "); got != tt.frozen {
				t.Errorf("hooks ran in %q, want %q", got, tt.frozen)
			}
			mustBeThawed(t, w, b)
		})
	}
}

func TestBadFiltersAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	many := make([]string, v1alpha1.MaxNamespaces+1)
	for i := range many {
		many[i] = fmt.Sprintf("team-%d", i)
	}
	no := false
	for _, tt := range []struct {
		name string
		spec func(*v1alpha1.BackupSpec)
		code coffer.Code
		want string
	}{
		{"a namespace that is not there", func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"shop", "nowhere"} }, coffer.CodeNamespaceNotFound, `"nowhere"`},
		{"many that are not there", func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = many[:800] }, coffer.CodeNamespaceNotFound, `and 795 more`},
		{"more than can be named", func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = many }, coffer.CodeInvalid, "names 801 namespaces, and at most 800 can be named; write patterns"},
		{"a namespace in both lists", func(s *v1alpha1.BackupSpec) { s.ExcludedNamespaces = []string{"shop"} }, coffer.CodeInvalid, "both in includedNamespaces and in excludedNamespaces"},
		{"a malformed pattern", func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"sh["} }, coffer.CodeInvalid, `"sh["`},
		{"a malformed selector", func(s *v1alpha1.BackupSpec) { s.LabelSelectors = []string{"a in (b"} }, coffer.CodeInvalid, `"a in (b"`},
		{"a malformed type", func(s *v1alpha1.BackupSpec) { s.ExcludedResourceTypes = []string{"v1/"} }, coffer.CodeInvalid, `"v1/"`},
		{"only types that are not there", func(s *v1alpha1.BackupSpec) { s.IncludedResourceTypes = []string{"secrts"} }, coffer.CodeNothingToDo, "did you mean secrets?"},
		{"two cluster scopes", func(s *v1alpha1.BackupSpec) {
			s.IncludeClusterScopeResources, s.OnlyNeededClusterScopeResources = &no, true
		}, coffer.CodeInvalid, "both set"},
		{"a malformed policy", func(s *v1alpha1.BackupSpec) {
			s.VolumePolicies = []v1alpha1.VolumePolicy{{Conditions: v1alpha1.VolumePolicyConditions{Capacity: "big"}, Action: v1alpha1.VolumePolicyAction{Type: v1alpha1.VolumeSkip}}}
		}, coffer.CodeInvalid, `capacity "big"`},
		{"a single object that is not there", func(s *v1alpha1.BackupSpec) {
			s.IncludedNamespaces = nil
			s.IncludedObjects = []v1alpha1.ObjectName{{Type: "Secret", Namespace: "shop", Name: "login"}, {Type: "Secret", Namespace: "shop", Name: "nologin"}}
		}, coffer.CodeNotFound, "includedObjects: the cluster has no secrets shop/nologin;"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTown(t)
			b := mustBackUp(t, w, tt.spec)
			if b.Status.Phase != v1alpha1.RunFailed || b.Status.Reason != string(tt.code) || !strings.Contains(b.Status.Message, tt.want) {
				t.Errorf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
			}
			if len(w.execs) > 0 || len(w.snapshots) > 0 {
				t.Errorf("a refused backup ran %v and made %v", w.execs, w.snapshots)
			}
			mustHaveNoBlobs(t, w, "")
		})
	}
}

func TestNothingSelectedIsAnErrorUnlessAllowed(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.BackupSpec){
		"labels that nothing has": func(s *v1alpha1.BackupSpec) { s.LabelSelectors = []string{"app=none"} },
		"a pattern of nothing":    func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"zz*"} },
		"a claim that its own label leaves out": func(s *v1alpha1.BackupSpec) {
			s.LabelSelectors = []string{"app=private"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			newTown := func(t *testing.T) *world {
				t.Helper()
				w := newTown(t)
				w.add("persistentvolumeclaims", "shop", "private", map[string]any{
					"labels": map[string]any{"app": "private", "velero.io/exclude-from-backup": "true"}, "status": map[string]any{"phase": "Bound"},
				})
				return w
			}
			w := newTown(t)
			b := mustBackUp(t, w, change)
			if b.Status.Phase != v1alpha1.RunFailed || b.Status.Reason != string(coffer.CodeNothingToDo) || !strings.Contains(b.Status.Message, "allowEmpty") {
				t.Errorf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
			}
			mustBeEmpty(t, w)
			w = newTown(t)
			b = mustBackUp(t, w, change, func(s *v1alpha1.BackupSpec) { s.AllowEmpty = true })
			if !b.Status.Phase.Succeeded() || len(objectsOf(t, w)) != 0 {
				t.Errorf("phase %s: %s, %v", b.Status.Phase, b.Status.Message, objectsOf(t, w))
			}
		})
	}
}

func TestANamedNamespaceThatSaysNoIsToldOf(t *testing.T) {
	w := newTown(t)
	w.objects[objectKey("namespaces", "", "shop")]["metadata"].(map[string]any)["labels"] = map[string]any{"velero.io/exclude-from-backup": "true"}
	b := mustBackUp(t, w)
	if b.Status.Reason != string(coffer.CodeNothingToDo) || !strings.Contains(fmt.Sprint(b.Status.Warnings), "includedNamespaces shop") || len(w.execs) > 0 {
		t.Errorf("phase %s: %s, warnings %v, hooks %v", b.Status.Phase, b.Status.Message, b.Status.Warnings, w.execs)
	}
}

func TestWhatNothingNeedsIsNotListed(t *testing.T) {
	w := newTown(t)
	mustBackUp(t, w, func(s *v1alpha1.BackupSpec) { s.IncludedResourceTypes = []string{"secrets"} })
	listed := map[string]bool{}
	for _, resource := range w.listed {
		listed[resource] = true
	}
	for _, resource := range []string{"clusterroles.rbac.authorization.k8s.io", "customresourcedefinitions.apiextensions.k8s.io", "persistentvolumes", "configmaps"} {
		if listed[resource] {
			t.Errorf("%s were listed for nothing", resource)
		}
	}
	if !listed["secrets"] {
		t.Errorf("listed were %v", w.listed)
	}
}

func TestTyposAreWarnings(t *testing.T) {
	w := newTown(t)
	b := mustBackUp(t, w, func(s *v1alpha1.BackupSpec) {
		s.ExcludedResourceTypes, s.IncludedNamespaces = []string{"v1/Secrett"}, []string{"shop", "shp-*"}
	})
	text := fmt.Sprint(b.Status.Warnings)
	if b.Status.Phase != v1alpha1.RunCompletedWithWarnings || b.Status.WarningCount != 2 ||
		!strings.Contains(text, "excludedResourceTypes v1/Secrett") || !strings.Contains(text, "did you mean secrets?") || !strings.Contains(text, "includedNamespaces shp-*") {
		t.Errorf("phase %s, warnings %s", b.Status.Phase, text)
	}
}

func TestAnyNumberOfNamespacesTakesOneListOfEachType(t *testing.T) {
	w := newTown(t)
	calls := func() int {
		w.dieAfter(-1)
		b := mustBackUp(t, w, func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = nil, nil })
		if b.Status.Phase != v1alpha1.RunCompleted {
			t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
		}
		return w.calls
	}
	few := calls()
	for info, err := range w.container.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := w.container.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1500 {
		space := fmt.Sprintf("team-%d", i)
		w.add("namespaces", "", space, nil)
		w.add("configmaps", space, "c", nil)
	}
	if many := calls(); many != few {
		t.Errorf("1500 more namespaces take %d calls, before it were %d", many, few)
	}
	if n := len(objectsOf(t, w)); n < 3000 {
		t.Errorf("%d objects were captured", n)
	}
}

func TestLargeAndOddObjectsComeBackAsTheyWere(t *testing.T) {
	w := newTown(t)
	large := strings.Repeat("x", 1<<20)
	binary := base64.StdEncoding.EncodeToString([]byte{0xff, 0xfe, 0, 0x80, '\n'})
	name := "a.b-c.0" + strings.Repeat("-long", 49)
	w.add("configmaps", "shop", name, map[string]any{"data": map[string]any{"k": large, "emoji": "\u2028 😀 <&>"}})
	w.add("secrets", "shop", "binary", map[string]any{"data": map[string]any{"k": binary}})
	w.add("clusterroles.rbac.authorization.k8s.io", "", "acme:Reader of@rockets=1", nil)
	mustBackUp(t, w, func(s *v1alpha1.BackupSpec) {
		s.IncludedNamespaces, s.BackupHookReferences = nil, nil
		s.IncludedObjects = []v1alpha1.ObjectName{
			{Type: "ConfigMap", Namespace: "shop", Name: name}, {Type: "Secret", Namespace: "shop", Name: "binary"}, {Type: "ClusterRole", Name: "acme:Reader of@rockets=1"},
		}
	})
	before := w.objects[objectKey("configmaps", "shop", name)]["data"]
	w.removeNamespace("shop")
	delete(w.objects, objectKey("clusterroles.rbac.authorization.k8s.io", "", "acme:Reader of@rockets=1"))
	r, err := keep(t, w, newRestoreObject()).run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
		return Restore(t.Context(), w.config(), r, persist)
	})
	if err != nil || r.Status.Phase != v1alpha1.RunCompleted {
		t.Fatalf("Restore = %v, %s: %s %v", err, r.Status.Phase, r.Status.Message, r.Status.Warnings)
	}
	after := w.objects[objectKey("configmaps", "shop", name)]["data"]
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error("the large object came back otherwise")
	}
	if got := w.objects[objectKey("secrets", "shop", "binary")]["data"].(map[string]any)["k"]; got != binary {
		t.Errorf("the Secret's data is %v", got)
	}
	if w.objects[objectKey("clusterroles.rbac.authorization.k8s.io", "", "acme:Reader of@rockets=1")] == nil {
		t.Error("the role with an odd name did not come back")
	}
}
