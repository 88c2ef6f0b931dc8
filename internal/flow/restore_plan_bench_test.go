package flow

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// archivedWorkloads are n objects as an archive has them: Deployments with their ReplicaSets and Pods, ConfigMaps and
// Secrets, custom resources and RBAC, of about 2 KB each.
func archivedWorkloads(n int) (refs []coffer.ObjectRef, bodies [][]byte, types []coffer.ResourceType) {
	kinds := []struct{ group, resource, kind, owner string }{
		{"apps", "deployments", "Deployment", ""}, {"apps", "replicasets", "ReplicaSet", "Deployment"}, {"", "pods", "Pod", "ReplicaSet"},
		{"", "configmaps", "ConfigMap", ""}, {"", "secrets", "Secret", ""}, {"", "serviceaccounts", "ServiceAccount", ""},
		{"rbac.authorization.k8s.io", "rolebindings", "RoleBinding", ""}, {"acme.example", "things", "Thing", ""},
		{"", "services", "Service", ""}, {"", "persistentvolumeclaims", "PersistentVolumeClaim", ""},
	}
	for _, k := range kinds {
		types = append(types, coffer.ResourceType{GroupResource: coffer.GroupResource{Group: k.group, Resource: k.resource}, Version: "v1", Kind: k.kind, Namespaced: true})
	}
	filler := strings.Repeat("lorem ipsum ", 130)
	for i := range n {
		k := kinds[i%len(kinds)]
		ns, name := fmt.Sprintf("ns-%d", i/500), fmt.Sprintf("%s-%d", strings.ToLower(k.kind), i)
		owners := ""
		if k.owner != "" {
			owners = fmt.Sprintf(`,"ownerReferences":[{"apiVersion":"apps/v1","kind":%q,"name":"x","uid":"uid-%d","controller":true}]`, k.owner, i-1)
		}
		version := types[i%len(kinds)].APIVersion()
		refs = append(refs, coffer.ObjectRef{GroupResource: coffer.GroupResource{Group: k.group, Resource: k.resource}, Namespace: ns, Name: name})
		bodies = append(bodies, fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"namespace":%q,"uid":"uid-%d","labels":{"app":"a","tier":"t%d"}%s},"spec":{"text":%q}}`,
			version, k.kind, name, ns, i, i%3, owners, filler))
	}
	return refs, bodies, types
}

// BenchmarkPlan100k is what planning costs beside the reading of archive and cluster. memory-MB is what stays in memory:
// items, plan and encoded plan.
func BenchmarkPlan100k(b *testing.B) {
	for name, selectors := range map[string][]string{"all": nil, "by labels": {"tier in (t0,t1,t2)"}} {
		b.Run(name, func(b *testing.B) {
			benchmarkPlan(b, plan.Request{
				Config: selection.Config{Point: "one", LabelSelectors: selectors},
				Policy: plan.PatchExisting, VolumeData: true, RolloutHistory: true, Mappings: map[string]string{"ns-1": "other"},
			})
		})
	}
}

func benchmarkPlan(b *testing.B, r plan.Request) {
	refs, bodies, types := archivedWorkloads(100_000)
	have := plan.Inventory{Objects: map[coffer.ObjectRef]plan.Live{}}
	for i, ref := range refs {
		have.Objects[coffer.ObjectRef{GroupResource: namespaceType.GroupResource, Name: ref.Namespace}] = plan.Live{UID: "n"}
		if i%2 == 0 {
			have.Objects[ref] = plan.Live{UID: fmt.Sprint("live-", i)}
		}
	}
	var before, after runtime.MemStats
	var size int
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		items := make([]plan.Item, 0, len(refs))
		for i, ref := range refs {
			item, err := r.Read(ref, bodies[i])
			if err != nil {
				b.Fatal(err)
			}
			items = append(items, item)
		}
		draft, _, err := plan.Make(items, nil, r, plan.NewTypes(types))
		if err != nil {
			b.Fatal(err)
		}
		fitted := draft.Against(have)
		record, _, err := EncodePlan("one", "sha256:", fitted, items)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		size = len(record)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(fitted)
		runtime.KeepAlive(items)
		runtime.KeepAlive(record)
		b.StartTimer()
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "memory-MB")
	b.ReportMetric(float64(size)/(1<<20), "stored-MB")
}
