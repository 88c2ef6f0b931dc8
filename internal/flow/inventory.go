package flow

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Inventory is what there is in the cluster for who sets up a backup or a restore. Its lists are sorted by name.
type Inventory struct {
	// Version of the extension, and Release of the API server.
	Version, Release string
	Namespaces       []corev1.Namespace
	// System are the namespaces that backups leave out unless they are named.
	System                    map[string]string
	Types                     []coffer.ResourceType
	BackupHooks, RestoreHooks []v1alpha1.NamespacedReference
	StorageClasses            []storagev1.StorageClass
	SnapshotClasses           []coffer.SnapshotClass
	Drivers                   []string
	Locations                 []v1alpha1.BackupStorageLocation
	// Gaps are what could not be listed, and why.
	Gaps []coffer.TypeGap
}

func ownType(resource, kind string) coffer.ResourceType {
	return coffer.ResourceType{
		GroupResource: coffer.GroupResource{Group: v1alpha1.Group, Resource: resource}, Version: v1alpha1.GroupVersion.Version, Kind: kind, Namespaced: true,
	}
}

// Inventory reads what there is. What may not be listed is a gap.
func (r *Reader) Inventory(ctx context.Context) (Inventory, error) {
	cluster := r.config.Cluster
	found := Inventory{Version: r.config.Version, System: map[string]string{}}
	for _, name := range selection.SystemNamespaces(r.config.Namespace) {
		found.System[name] = name
	}
	var err error
	if found.Release, err = cluster.Release(ctx); err != nil {
		return found, err
	}
	types, gaps, err := cluster.Types(ctx)
	if err != nil {
		return found, err
	}
	found.Types, found.Gaps = slices.Clone(types), slices.Clone(gaps)
	slices.SortFunc(found.Types, func(a, b coffer.ResourceType) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource))
	})
	for what, read := range map[string]func() error{
		"namespaces": func() (err error) {
			found.Namespaces, err = sortedList[corev1.Namespace](ctx, cluster, namespaceType, "")
			return err
		},
		"backuphooks": func() error {
			hooks, err := sortedList[v1alpha1.BackupHook](ctx, cluster, ownType("backuphooks", "BackupHook"), "")
			for _, h := range hooks {
				found.BackupHooks = append(found.BackupHooks, v1alpha1.NamespacedReference{Namespace: h.Namespace, Name: h.Name})
			}
			return err
		},
		"restorehooks": func() error {
			hooks, err := sortedList[v1alpha1.RestoreHook](ctx, cluster, ownType("restorehooks", "RestoreHook"), "")
			for _, h := range hooks {
				found.RestoreHooks = append(found.RestoreHooks, v1alpha1.NamespacedReference{Namespace: h.Namespace, Name: h.Name})
			}
			return err
		},
		"storageclasses": func() (err error) {
			found.StorageClasses, err = sortedList[storagev1.StorageClass](ctx, cluster, classType, "")
			return err
		},
		"csidrivers": func() error {
			drivers, err := sortedList[storagev1.CSIDriver](ctx, cluster, driverType, "")
			for _, d := range drivers {
				found.Drivers = append(found.Drivers, d.Name)
			}
			return err
		},
		"backupstoragelocations": func() (err error) {
			found.Locations, err = sortedList[v1alpha1.BackupStorageLocation](ctx, cluster, ownType("backupstoragelocations", "BackupStorageLocation"), r.config.Namespace)
			return err
		},
		"volumesnapshotclasses": func() (err error) {
			found.SnapshotClasses, err = r.config.Snapshots.Classes(ctx)
			slices.SortFunc(found.SnapshotClasses, func(a, b coffer.SnapshotClass) int { return cmp.Compare(a.Name, b.Name) })
			return err
		},
	} {
		if err := read(); coffer.CodeOf(err) != "" {
			found.Gaps = append(found.Gaps, coffer.TypeGap{What: what, Reason: err.Error()})
		} else if err != nil {
			return found, err
		}
	}
	slices.SortFunc(found.Gaps, func(a, b coffer.TypeGap) int { return cmp.Compare(a.What, b.What) })
	return found, nil
}

// sortedList is list in the order of namespaces and names.
func sortedList[T any, P object[T]](ctx context.Context, c coffer.Cluster, t coffer.ResourceType, namespace string) ([]T, error) {
	all, err := list[T, P](ctx, c, t, namespace)
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(P(&a).GetNamespace(), P(&b).GetNamespace()), cmp.Compare(P(&a).GetName(), P(&b).GetName()))
	})
	return all, err
}
