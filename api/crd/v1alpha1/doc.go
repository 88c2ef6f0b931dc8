// Package v1alpha1 holds the custom resources through which a cluster is backed up and restored.
//
// The group is the one that Azure's own extension uses, so that hook YAML written for AKS Backup applies
// unchanged. Field names are the wire names of Microsoft.DataProtection where those exist.
//
// +kubebuilder:object:generate=true
// +groupName=clusterbackup.dataprotection.microsoft.com
package v1alpha1
