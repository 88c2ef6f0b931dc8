package selection

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var (
	namespaces        = coffer.GroupResource{Resource: "namespaces"}
	persistentVolumes = coffer.GroupResource{Resource: "persistentvolumes"}
	claims            = coffer.GroupResource{Resource: "persistentvolumeclaims"}
	pods              = coffer.GroupResource{Resource: "pods"}
	serviceAccounts   = coffer.GroupResource{Resource: "serviceaccounts"}
	definitions       = coffer.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
	storageClasses    = coffer.GroupResource{Group: "storage.k8s.io", Resource: "storageclasses"}
	attributesClasses = coffer.GroupResource{Group: "storage.k8s.io", Resource: "volumeattributesclasses"}
	priorityClasses   = coffer.GroupResource{Group: "scheduling.k8s.io", Resource: "priorityclasses"}
	runtimeClasses    = coffer.GroupResource{Group: "node.k8s.io", Resource: "runtimeclasses"}
	ingressClasses    = coffer.GroupResource{Group: "networking.k8s.io", Resource: "ingressclasses"}
	ingresses         = coffer.GroupResource{Group: "networking.k8s.io", Resource: "ingresses"}
	gatewayClasses    = coffer.GroupResource{Group: "gateway.networking.k8s.io", Resource: "gatewayclasses"}
	gateways          = coffer.GroupResource{Group: "gateway.networking.k8s.io", Resource: "gateways"}
	clusterRoles      = rbac("clusterroles")
	clusterBindings   = rbac("clusterrolebindings")
)

func rbac(resource string) coffer.GroupResource {
	return coffer.GroupResource{Group: "rbac.authorization.k8s.io", Resource: resource}
}

// Need is a cluster-scoped object that a captured object cannot do without.
type Need struct {
	// Type of the object.
	Type coffer.GroupResource
	// Name of the object, or another word by which it is found.
	Name string
	// Word says how the one needs the other: BY is WORD it.
	Word string
}

// Needed answers why an object is needed, if it is, by a name that Needs gave.
type Needed func(t coffer.GroupResource, name string) (reason string, needed bool)

// Needs are the cluster-scoped objects that a captured object needs. What an object does not say of itself, it does
// not need: one that cannot be read needs nothing.
func Needs(ref coffer.ObjectRef, body []byte) []Need {
	return append(NeedsOfName(ref), NeedsOfBody(ref, body)...)
}

// NeedsOfName are those of the Needs that follow from the object's name and type.
func NeedsOfName(ref coffer.ObjectRef) []Need {
	var found []Need
	if ref.Namespace != "" {
		found = append(found, Need{namespaces, ref.Namespace, "in"})
	}
	if defined(ref.Group) {
		found = append(found, Need{definitions, ref.GroupResource.String(), "of"})
	}
	return found
}

// NeedsOfBody are the others.
func NeedsOfBody(ref coffer.ObjectRef, body []byte) []Need {
	if read, known := needsOf[ref.GroupResource]; known {
		return read(ref, body)
	}
	return nil
}

// builtInGroups are those of Kubernetes itself that are named like others'.
var builtInGroups = map[string]bool{
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true, "authentication.k8s.io": true,
	"authorization.k8s.io": true, "certificates.k8s.io": true, "coordination.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "internal.apiserver.k8s.io": true, "networking.k8s.io": true, "node.k8s.io": true,
	"rbac.authorization.k8s.io": true, "resource.k8s.io": true, "scheduling.k8s.io": true, "storage.k8s.io": true, "storagemigration.k8s.io": true,
}

// defined says whether the types of a group may have definitions. The built-in ones have none, and definitions are too
// large to be read for nothing.
func defined(group string) bool { return strings.Contains(group, ".") && !builtInGroups[group] }

// needsOf reads what objects of a type need beside their namespace and definition.
var needsOf = map[coffer.GroupResource]func(ref coffer.ObjectRef, body []byte) []Need{
	claims:            claimNeeds,
	persistentVolumes: volumeNeeds,
	serviceAccounts:   accountNeeds,
	clusterBindings:   bindingNeeds,
	ingresses: func(_ coffer.ObjectRef, body []byte) []Need {
		return classNeed(ingressClasses, body, "spec", "ingressClassName")
	},
	gateways: func(_ coffer.ObjectRef, body []byte) []Need {
		return classNeed(gatewayClasses, body, "spec", "gatewayClassName")
	},
	rbac("rolebindings"):                      bindingNeeds,
	pods:                                      podNeeds,
	{Resource: "podtemplates"}:                podNeeds,
	{Resource: "replicationcontrollers"}:      podNeeds,
	{Group: "apps", Resource: "deployments"}:  podNeeds,
	{Group: "apps", Resource: "daemonsets"}:   podNeeds,
	{Group: "apps", Resource: "replicasets"}:  podNeeds,
	{Group: "apps", Resource: "statefulsets"}: setNeeds,
	{Group: "batch", Resource: "jobs"}:        podNeeds,
	{Group: "batch", Resource: "cronjobs"}:    podNeeds,
}

func claimNeeds(ref coffer.ObjectRef, body []byte) []Need {
	var claim struct {
		Spec claimSpec `json:"spec"`
	}
	_ = json.Unmarshal(body, &claim)
	found := claim.Spec.needs()
	found = append(found, Need{persistentVolumes, claimKey(ref.Namespace, ref.Name), "bound to"})
	if claim.Spec.VolumeName != "" {
		found = append(found, Need{persistentVolumes, claim.Spec.VolumeName, "bound to"})
	}
	return found
}

type claimSpec struct {
	VolumeName                string `json:"volumeName"`
	StorageClassName          string `json:"storageClassName"`
	VolumeAttributesClassName string `json:"volumeAttributesClassName"`
}

func (s claimSpec) needs() []Need {
	var found []Need
	if s.StorageClassName != "" {
		found = append(found, Need{storageClasses, s.StorageClassName, "of"})
	}
	if s.VolumeAttributesClassName != "" {
		found = append(found, Need{attributesClasses, s.VolumeAttributesClassName, "of"})
	}
	return found
}

// claimKey cannot be the name of a volume: that has no slash.
func claimKey(namespace, name string) string { return namespace + "/" + name }

func volumeNeeds(_ coffer.ObjectRef, body []byte) []Need {
	var volume struct {
		Spec claimSpec `json:"spec"`
	}
	_ = json.Unmarshal(body, &volume)
	return volume.Spec.needs()
}

func accountNeeds(ref coffer.ObjectRef, _ []byte) []Need {
	return []Need{
		{clusterBindings, accountUser(ref.Namespace, ref.Name), "bound by"},
		{clusterBindings, accountGroup(ref.Namespace), "bound by"},
	}
}

func accountUser(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}
func accountGroup(namespace string) string { return "system:serviceaccounts:" + namespace }

type binding struct {
	RoleRef struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"roleRef"`
	Subjects []struct {
		Kind      string `json:"kind"`
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"subjects"`
}

func bindingNeeds(_ coffer.ObjectRef, body []byte) []Need {
	var b binding
	_ = json.Unmarshal(body, &b)
	if b.RoleRef.Kind != "ClusterRole" {
		return nil
	}
	return []Need{{clusterRoles, b.RoleRef.Name, "bound to"}}
}

func classNeed(class coffer.GroupResource, body []byte, path ...string) []Need {
	var level json.RawMessage = body
	for _, field := range path {
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(level, &fields)
		level = fields[field]
	}
	var name string
	if json.Unmarshal(level, &name) != nil || name == "" {
		return nil
	}
	return []Need{{class, name, "of"}}
}

type podSpec struct {
	PriorityClassName string `json:"priorityClassName"`
	RuntimeClassName  string `json:"runtimeClassName"`
}

type podTemplate struct {
	Spec podSpec `json:"spec"`
}

// podNeeds reads a pod, or the template of pods wherever the types of Kubernetes have it.
func podNeeds(_ coffer.ObjectRef, body []byte) []Need {
	// Most have neither, and decoding them all would cost more than capturing them.
	if !bytes.Contains(body, []byte(`"priorityClassName"`)) && !bytes.Contains(body, []byte(`"runtimeClassName"`)) {
		return nil
	}
	var o struct {
		Spec struct {
			podSpec
			Template    podTemplate `json:"template"`
			JobTemplate struct {
				Spec struct {
					Template podTemplate `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
		Template podTemplate `json:"template"`
	}
	_ = json.Unmarshal(body, &o)
	var found []Need
	for _, s := range []podSpec{o.Spec.podSpec, o.Spec.Template.Spec, o.Spec.JobTemplate.Spec.Template.Spec, o.Template.Spec} {
		if s.PriorityClassName != "" {
			found = append(found, Need{priorityClasses, s.PriorityClassName, "of"})
		}
		if s.RuntimeClassName != "" {
			found = append(found, Need{runtimeClasses, s.RuntimeClassName, "of"})
		}
	}
	return found
}

// setNeeds reads a StatefulSet, whose templates of claims name classes as well.
func setNeeds(ref coffer.ObjectRef, body []byte) []Need {
	var set struct {
		Spec struct {
			Templates []struct {
				Spec claimSpec `json:"spec"`
			} `json:"volumeClaimTemplates"`
		} `json:"spec"`
	}
	_ = json.Unmarshal(body, &set)
	found := podNeeds(ref, body)
	for _, t := range set.Spec.Templates {
		found = append(found, t.Spec.needs()...)
	}
	return found
}

// needKeys say for each cluster-scoped type that can be needed by which names an object of it is asked for.
var needKeys = map[coffer.GroupResource]func(name string, body []byte) []string{
	namespaces:        byName,
	persistentVolumes: volumeKeys,
	clusterBindings:   bindingKeys,
	clusterRoles:      byName,
	definitions:       byName,
	storageClasses:    byName,
	attributesClasses: byName,
	priorityClasses:   byName,
	runtimeClasses:    byName,
	ingressClasses:    byName,
	gatewayClasses:    byName,
}

// neededLast are the types that cluster-scoped objects need themselves.
var neededLast = map[coffer.GroupResource]bool{
	namespaces: true, clusterRoles: true, definitions: true, storageClasses: true, attributesClasses: true,
}

func byName(name string, _ []byte) []string { return []string{name} }

// volumeKeys find the volume of a claim from either side.
func volumeKeys(name string, body []byte) []string {
	return []string{name, claimKey(claimOf(body))}
}

// claimOf is the claim that a volume is bound to, or kept for.
func claimOf(volume []byte) (namespace, name string) {
	var v struct {
		Spec struct {
			ClaimRef struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"claimRef"`
		} `json:"spec"`
	}
	// A volume that cannot be read is one that no claim is known for.
	_ = json.Unmarshal(volume, &v)
	return v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name
}

// bindingKeys find a binding by those that it binds.
func bindingKeys(_ string, body []byte) []string {
	var b binding
	_ = json.Unmarshal(body, &b)
	var users []string
	for _, s := range b.Subjects {
		user := s.Name
		if s.Kind == "ServiceAccount" {
			user = accountUser(s.Namespace, s.Name)
		}
		users = append(users, user)
	}
	return users
}

// builtIn says of a needed object that every cluster has it: those of the API server bear a label, or a name that is
// kept for them.
func builtIn(t coffer.GroupResource, h coffer.Header) bool {
	switch t {
	case clusterRoles, clusterBindings:
		return h.Metadata.Labels["kubernetes.io/bootstrapping"] == "rbac-defaults" || strings.HasPrefix(h.Metadata.Name, "system:")
	case priorityClasses:
		return strings.HasPrefix(h.Metadata.Name, "system-")
	}
	return false
}
