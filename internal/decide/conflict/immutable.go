package conflict

import (
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// fixed is a reason and the fields that it holds for.
type fixed struct {
	why    string
	fields []string
	// when, if not nil, says whether it holds for an object.
	when func(live map[string]any) bool
}

const (
	whySelector = "the pods that it has were chosen by it"
	whySource   = "it says where the volume's data is"
	whyAllotted = "the cluster has allotted it"
)

var (
	selectorFixed = fixed{why: whySelector, fields: []string{"spec.selector"}}
	sealedFixed   = fixed{
		why: "the object says of itself that it is immutable", fields: []string{"data", "binaryData", "stringData", "immutable"},
		when: func(live map[string]any) bool {
			sealed, _ := live["immutable"].(bool)
			return sealed
		},
	}
	roleFixed = fixed{why: "a binding to another role is another binding", fields: []string{"roleRef"}}
)

// immutable are the fields that Kubernetes does not let anybody change, by type. Whatever else it refuses it says itself.
var immutable = map[coffer.GroupResource][]fixed{
	{Resource: "services"}: {
		{why: whyAllotted, fields: []string{"spec.clusterIP", "spec.clusterIPs", "spec.healthCheckNodePort"}},
	},
	{Resource: "persistentvolumeclaims"}: {{why: "the volume was made by it; its data is not overwritten either", fields: []string{"spec"}}},
	{Resource: "persistentvolumes"}: {{why: whySource, fields: []string{
		"spec.csi", "spec.local", "spec.hostPath", "spec.nfs", "spec.iscsi", "spec.fc", "spec.azureDisk", "spec.azureFile",
		"spec.awsElasticBlockStore", "spec.gcePersistentDisk", "spec.cephfs", "spec.rbd", "spec.vsphereVolume", "spec.volumeMode",
		"spec.nodeAffinity", "spec.claimRef",
	}}},
	{Resource: "secrets"}:    {{why: "the type of a Secret is for good", fields: []string{"type"}}, sealedFixed},
	{Resource: "configmaps"}: {sealedFixed},

	{Group: "apps", Resource: "deployments"}: {selectorFixed},
	{Group: "apps", Resource: "replicasets"}: {selectorFixed},
	{Group: "apps", Resource: "daemonsets"}:  {selectorFixed},
	{Group: "apps", Resource: "statefulsets"}: {
		selectorFixed,
		{why: "the pods and claims that it has were made by it", fields: []string{"spec.volumeClaimTemplates", "spec.serviceName", "spec.podManagementPolicy"}},
	},
	{Group: "apps", Resource: "controllerrevisions"}: {{why: "a revision records what was", fields: []string{"data"}}},
	{Group: "batch", Resource: "jobs"}: {
		selectorFixed,
		{why: "the job has begun with it", fields: []string{"spec.template", "spec.completions", "spec.completionMode", "spec.manualSelector", "spec.podFailurePolicy", "spec.backoffLimitPerIndex"}},
	},

	{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}:        {roleFixed},
	{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}: {roleFixed},

	{Group: "storage.k8s.io", Resource: "storageclasses"}: {
		{why: "there may be volumes of the class", fields: []string{"provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"}},
	},
	{Group: "storage.k8s.io", Resource: "csidrivers"}: {
		{why: "there may be volumes of the driver", fields: []string{"spec.attachRequired", "spec.volumeLifecycleModes"}},
	},
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"}: {{why: "there may be pods of the class", fields: []string{"value", "preemptionPolicy"}}},
	{Group: "node.k8s.io", Resource: "runtimeclasses"}:        {{why: "there may be pods of the class", fields: []string{"handler"}}},
	{Group: "networking.k8s.io", Resource: "ingressclasses"}:  {{why: "there may be ingresses of the class", fields: []string{"spec.controller"}}},
	{Group: "discovery.k8s.io", Resource: "endpointslices"}:   {{why: "its addresses are of it", fields: []string{"addressType"}}},
	definitions: {{why: "there may be objects of the type", fields: []string{"spec.scope", "spec.group"}}},
}

// takeOut takes what cannot be changed out of a patch, and tells what it was.
func takeOut(t coffer.GroupResource, live, patch map[string]any) []Field {
	var kept []Field
	for _, f := range immutable[t] {
		if f.when != nil && !f.when(live) {
			continue
		}
		for _, path := range f.fields {
			if prune(patch, strings.Split(path, ".")) {
				kept = append(kept, Field{Path: path, Reason: f.why})
			}
		}
	}
	return kept
}
