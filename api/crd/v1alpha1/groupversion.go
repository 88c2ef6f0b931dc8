package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every custom resource of Coffer.
const Group = "clusterbackup.dataprotection.microsoft.com"

// DefaultNamespace is where the Backup extension lives, and the run objects with it, unless configured otherwise.
const DefaultNamespace = "dataprotection-microsoft"

// GroupVersion is the group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(func(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Backup{}, &BackupList{},
		&Restore{}, &RestoreList{},
		&RestoreTest{}, &RestoreTestList{},
		&DeleteBackup{}, &DeleteBackupList{},
		&ValidateForBackup{}, &ValidateForBackupList{},
		&ValidateForRestore{}, &ValidateForRestoreList{},
		&BackupHook{}, &BackupHookList{},
		&RestoreHook{}, &RestoreHookList{},
		&BackupStorageLocation{}, &BackupStorageLocationList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
})

// AddToScheme registers the types of this package with a scheme.
var AddToScheme = schemeBuilder.AddToScheme
