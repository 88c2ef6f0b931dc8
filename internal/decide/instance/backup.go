package instance

import (
	"slices"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/volume"
)

// backup makes of an instance's configuration what a run of it is told.
func (r *reader) backup(at string, b *arm.ClusterBackupParameters) v1alpha1.BackupSpec {
	options := arm.CofferBackupOptions{}
	if b.Coffer != nil {
		options = *b.Coffer
	}
	r.selection(at, selected{
		included: b.IncludedNamespaces, excluded: b.ExcludedNamespaces,
		includedTypes: b.IncludedResourceTypes, excludedTypes: b.ExcludedResourceTypes,
		labels: b.LabelSelectors, orLabels: options.OrLabelSelectors, objects: options.IncludedObjects,
	})
	spec := v1alpha1.BackupSpec{
		IncludedNamespaces: b.IncludedNamespaces, ExcludedNamespaces: b.ExcludedNamespaces,
		IncludedResourceTypes: b.IncludedResourceTypes, ExcludedResourceTypes: b.ExcludedResourceTypes,
		LabelSelectors: b.LabelSelectors, OrLabelSelectors: options.OrLabelSelectors, IncludedObjects: options.IncludedObjects,
		SnapshotVolumes: b.SnapshotVolumes, IncludeClusterScopeResources: b.IncludeClusterScopeResources,
		AllowEmpty:           options.AllowEmpty,
		BackupHookReferences: r.references(arm.At(at, "backupHookReferences"), b.BackupHookReferences),
		VolumePolicies:       r.volumePolicies(at, b.IncludedVolumeTypes, options.VolumePolicies),
	}
	if options.OnlyNeededClusterScopeResources {
		// The wire needs a word on cluster-scoped objects where a Backup has none.
		if b.IncludeClusterScopeResources != nil && *b.IncludeClusterScopeResources {
			r.Addf(arm.At(at, "includeClusterScopeResources"), `write false beside "onlyNeededClusterScopeResources": true`,
				"is true, and coffer.onlyNeededClusterScopeResources is too")
		}
		spec.IncludeClusterScopeResources, spec.OnlyNeededClusterScopeResources = nil, true
	}
	return spec
}

// Azure's drivers of the two types of volume.
const (
	diskDriver = "disk.csi.azure.com"
	fileDriver = "file.csi.azure.com"
)

// volumePolicies are the client's own, after those that leave out the type of Azure's volumes which includedVolumeTypes does not
// name. Volumes of other drivers have no name there, and are taken.
func (r *reader) volumePolicies(at string, types []arm.Word, policies []v1alpha1.VolumePolicy) []v1alpha1.VolumePolicy {
	path := arm.At(at, "coffer.volumePolicies")
	const most = 100
	if !r.count(path, len(policies), most-1) {
		return nil
	}
	for i, p := range policies {
		conditions := arm.At(arm.Item(path, i), "conditions")
		r.count(arm.At(conditions, "storageClass"), len(p.Conditions.StorageClass), most)
		r.count(arm.At(conditions, "pvcLabels"), len(p.Conditions.PVCLabels), most)
		if n := len(p.Conditions.Capacity); n > most {
			r.Addf(arm.At(conditions, "capacity"), "", "has %d characters: at most %d are possible", n, most)
			return nil
		}
	}
	if _, err := volume.ParsePolicies(policies); err != nil {
		r.Add(path, err)
		return nil
	}
	var all []v1alpha1.VolumePolicy
	for _, t := range []struct {
		word   arm.Word
		driver string
	}{{arm.VolumesAzureDisk, diskDriver}, {arm.VolumesAzureFileShare, fileDriver}} {
		if len(types) > 0 && !slices.ContainsFunc(types, t.word.Is) {
			all = append(all, v1alpha1.VolumePolicy{
				Conditions: v1alpha1.VolumePolicyConditions{CSI: &v1alpha1.VolumePolicyCSI{Driver: t.driver}},
				Action:     v1alpha1.VolumePolicyAction{Type: v1alpha1.VolumeSkip},
			})
		}
	}
	return append(all, policies...)
}
