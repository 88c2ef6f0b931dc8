package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// quickCluster creates objects without looking at them, so that what is measured is not the fake.
type quickCluster struct{ *world }

// As implements coffer.Cluster.
func (c quickCluster) As(string) coffer.Cluster { return c }

// Create implements coffer.Cluster.
func (c quickCluster) Create(context.Context, coffer.ResourceType, string, []byte) (json.RawMessage, error) {
	return json.RawMessage(`{"metadata":{"uid":"new"}}`), nil
}

// BenchmarkRestoreOfNewObjects restores objects into a cluster that has none of them: the way of nearly all objects.
func BenchmarkRestoreOfNewObjects(b *testing.B) {
	const objects = 2000
	w := newWorld(b)
	w.add("namespaces", "", "many", nil)
	for i := range objects {
		w.add("configmaps", "many", fmt.Sprint("settings-", i), map[string]any{
			"labels": map[string]any{"app": "shop", "tier": "back"}, "data": map[string]any{"a": "some text", "b": "more of it", "c": fmt.Sprint(i)},
		})
	}
	saved := func(context.Context) error { return nil }
	if err := Backup(b.Context(), w.config(), newBackupObject(func(s *v1alpha1.BackupSpec) {
		s.IncludedNamespaces, s.BackupHookReferences = []string{"many"}, nil
	}), saved); err != nil {
		b.Fatal(err)
	}
	w.removeNamespace("many")
	c := w.config()
	c.Cluster = quickCluster{w}
	b.ReportAllocs()
	for b.Loop() {
		r := newRestoreObject()
		r.Spec.RestoreHookReferences = nil
		if err := Restore(b.Context(), c, r, saved); err != nil {
			b.Fatal(err)
		}
		if r.Status.Progress.Created != objects+1 {
			b.Fatalf("%+v: %s", r.Status.Progress, r.Status.Message)
		}
	}
}
