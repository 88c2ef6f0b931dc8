package transform

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const rbacGroup = "rbac.authorization.k8s.io"

// cares are what single types need beyond the general. The object may be modified; it was decoded for this.
var cares = map[coffer.GroupResource]func(object map[string]any, c Context){
	{Resource: "namespaces"}:                            careNamespace,
	{Resource: "persistentvolumeclaims"}:                careClaim,
	{Resource: "services"}:                              careService,
	{Resource: "pods"}:                                  carePod,
	{Resource: "serviceaccounts"}:                       careServiceAccount,
	{Group: "batch", Resource: "jobs"}:                  careJob,
	{Group: rbacGroup, Resource: "rolebindings"}:        careBinding,
	{Group: rbacGroup, Resource: "clusterrolebindings"}: careBinding,
}

// careNamespace drops the finalizers of the namespace controller and the label that repeats the name.
func careNamespace(object map[string]any, c Context) {
	delete(object, "spec")
	metadata := child(object, "metadata")
	if labels, ok := metadata["labels"].(map[string]any); ok && labels["kubernetes.io/metadata.name"] != nil {
		labels["kubernetes.io/metadata.name"] = c.Target.Name
	}
}

// careClaim frees a claim from the volume that it was bound to, and lets its volume be made of a snapshot.
func careClaim(object map[string]any, c Context) {
	dropKeys(child(object, "metadata"), "annotations",
		"pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller",
		"volume.kubernetes.io/selected-node", "volume.kubernetes.io/storage-provisioner",
		"volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-resizer")
	// What Velero finds the claim's snapshot by: see format/velero.
	for _, field := range []string{"annotations", "labels"} {
		dropKeys(child(object, "metadata"), field, "velero.io/volume-snapshot-name", "velero.io/backup-name",
			"velero.io/data-upload-name", "backup.velero.io/must-include-additional-items", "backup.velero.io/skipped-no-csi-pv", "restore.velero.io/must-include-additional-items")
	}
	dropFinalizers(child(object, "metadata"))
	spec := child(object, "spec")
	// A source that the claim once had is history: the data is that of the recovery point, or none.
	for _, f := range []string{"volumeName", "dataSource", "dataSourceRef", "selector"} {
		delete(spec, f)
	}
	if c.Snapshot != "" {
		spec["dataSource"] = map[string]any{
			"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": c.Snapshot,
		}
		growRequest(spec, c.RestoreSize)
	}
	object["spec"] = spec
}

// dropFinalizers drops those that Kubernetes and the snapshot controller keep on a claim. The latter's is there while
// a snapshot is being taken, as it is during every backup: restored, nobody would ever remove it, and the claim could
// not be deleted any more.
func dropFinalizers(metadata map[string]any) {
	list, ok := metadata["finalizers"].([]any)
	if !ok {
		return
	}
	list = slices.DeleteFunc(slices.Clone(list), func(f any) bool {
		return f == "kubernetes.io/pvc-protection" || f == "snapshot.storage.kubernetes.io/pvc-as-source-protection"
	})
	if len(list) == 0 {
		delete(metadata, "finalizers")
		return
	}
	metadata["finalizers"] = list
}

// growRequest raises the request to what the driver needs: the volume may have been larger than was asked for.
func growRequest(spec map[string]any, least int64) {
	requests := child(child(spec, "resources"), "requests")
	text, _ := requests["storage"].(string)
	asked, err := resource.ParseQuantity(text)
	if err == nil && asked.CmpInt64(least) < 0 {
		requests["storage"] = resource.NewQuantity(least, resource.BinarySI).String()
	}
}

// careService frees the addresses and ports that the cluster allots; a headless service stays headless.
func careService(object map[string]any, _ Context) {
	spec := child(object, "spec")
	if spec["clusterIP"] != "None" {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	delete(spec, "healthCheckNodePort")
	for _, port := range elements(spec, "ports") {
		delete(port, "nodePort")
	}
}

// carePod frees a pod from its node, and from the token volume that admission mounted into it.
func carePod(object map[string]any, _ Context) {
	spec := child(object, "spec")
	delete(spec, "nodeName")
	// Admission computes the number from the class and refuses one that differs.
	delete(spec, "priority")
	dropNamed(spec, "volumes", isTokenVolume)
	for _, field := range []string{"containers", "initContainers"} {
		for _, container := range elements(spec, field) {
			dropNamed(container, "volumeMounts", isTokenVolume)
		}
	}
}

func isTokenVolume(name string) bool { return strings.HasPrefix(name, "kube-api-access-") }

func dropNamed(object map[string]any, field string, drop func(name string) bool) {
	list, ok := object[field].([]any)
	if !ok {
		return
	}
	object[field] = slices.DeleteFunc(slices.Clone(list), func(e any) bool {
		m, _ := e.(map[string]any)
		name, _ := m["name"].(string)
		return drop(name)
	})
}

// careServiceAccount drops the names of token secrets, which are not restored.
func careServiceAccount(object map[string]any, _ Context) {
	delete(object, "secrets")
}

// careJob drops the selector and labels that tie a job to its former UID, unless a person chose the selector.
func careJob(object map[string]any, _ Context) {
	spec := child(object, "spec")
	if manual, _ := spec["manualSelector"].(bool); manual {
		return
	}
	delete(spec, "selector")
	keys := []string{"controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"}
	dropKeys(child(object, "metadata"), "labels", keys...)
	dropKeys(child(child(spec, "template"), "metadata"), "labels", keys...)
}

// careBinding lets the subjects of a binding follow their namespaces.
func careBinding(object map[string]any, c Context) {
	for _, subject := range elements(object, "subjects") {
		if namespace, ok := subject["namespace"].(string); ok && namespace != "" {
			subject["namespace"] = c.Namespace(namespace)
		}
	}
}
