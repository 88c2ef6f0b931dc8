package reader

import (
	storagev1 "k8s.io/api/storage/v1"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
)

// defaultClassAnnotation marks the storage class of claims that name none.
const defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"

func shownInventory(found flow.Inventory) content.Inventory {
	all := content.Inventory{ExtensionVersion: found.Version, KubernetesVersion: found.Release}
	hook := func(h v1alpha1.NamespacedReference) content.InventoryHook {
		return content.InventoryHook{Namespace: h.Namespace, Name: h.Name}
	}
	all.Namespaces = firsts(&all, found.Namespaces, func(n corev1.Namespace) content.InventoryNamespace {
		return content.InventoryNamespace{Name: n.Name, Phase: string(n.Status.Phase), System: found.System[n.Name] != ""}
	})
	all.Types = firsts(&all, found.Types, func(t coffer.ResourceType) content.InventoryType {
		return content.InventoryType{Group: t.Group, Version: t.Version, Kind: t.Kind, Resource: t.Resource, Namespaced: t.Namespaced}
	})
	all.BackupHooks, all.RestoreHooks = firsts(&all, found.BackupHooks, hook), firsts(&all, found.RestoreHooks, hook)
	all.StorageClasses = firsts(&all, found.StorageClasses, func(c storagev1.StorageClass) content.InventoryClass {
		return content.InventoryClass{Name: c.Name, Driver: c.Provisioner, Default: c.Annotations[defaultClassAnnotation] == "true"}
	})
	all.SnapshotClasses = firsts(&all, found.SnapshotClasses, func(c coffer.SnapshotClass) content.InventoryClass {
		return content.InventoryClass{Name: c.Name, Driver: c.Driver, Default: c.Default}
	})
	all.Locations = firsts(&all, found.Locations, func(l v1alpha1.BackupStorageLocation) content.InventoryLocation {
		return content.InventoryLocation{Name: l.Name, Phase: string(l.Status.Phase), ReadOnly: l.Spec.ReadOnly}
	})
	all.Drivers = firsts(&all, found.Drivers, func(name string) string { return name })
	all.Gaps = firsts(&all, found.Gaps, func(g coffer.TypeGap) content.InventoryGap {
		return content.InventoryGap{What: g.What, Reason: g.Reason}
	})
	return all
}

// firsts are as many of a list as an inventory has; never nil.
func firsts[F, T any](all *content.Inventory, from []F, shown func(F) T) []T {
	if len(from) > content.MaxInventory {
		all.Truncated = true
		from = from[:content.MaxInventory]
	}
	to := make([]T, 0, len(from))
	for _, f := range from {
		to = append(to, shown(f))
	}
	return to
}
