package coffer

import "strings"

// GroupResource names a resource type without its version.
type GroupResource struct {
	// Group is empty for the core group.
	Group string `json:"group,omitempty"`
	// Resource is the lower-case plural.
	Resource string `json:"resource"`
}

// String is RESOURCE.GROUP, or RESOURCE in the core group: the spelling of Velero's archive and of kubectl.
func (g GroupResource) String() string {
	if g.Group == "" {
		return g.Resource
	}
	return g.Resource + "." + g.Group
}

// ParseGroupResource is the inverse of GroupResource.String.
func ParseGroupResource(s string) GroupResource {
	resource, group, _ := strings.Cut(s, ".")
	return GroupResource{Group: group, Resource: resource}
}

// ResourceType is a type that a cluster serves, at one version.
type ResourceType struct {
	GroupResource
	Version    string
	Kind       string
	Namespaced bool
}

// APIVersion is GROUP/VERSION, or VERSION in the core group.
func (t ResourceType) APIVersion() string {
	if t.Group == "" {
		return t.Version
	}
	return t.Group + "/" + t.Version
}

// TypeGap is a resource type, or a whole API group version, that could not be read, and why.
type TypeGap struct {
	// What names it: RESOURCE.GROUP, or GROUP/VERSION where discovery itself failed.
	What string `json:"what"`
	// Reason is what the API server answered.
	Reason string `json:"reason"`
}

// ObjectRef names one object of a cluster or of an archive.
type ObjectRef struct {
	GroupResource
	// Namespace is empty for a cluster-scoped object.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// String is RESOURCE.GROUP NAMESPACE/NAME.
func (r ObjectRef) String() string {
	if r.Namespace == "" {
		return r.GroupResource.String() + " " + r.Name
	}
	return r.GroupResource.String() + " " + r.Namespace + "/" + r.Name
}

// Header is what every object has: decoded without the rest of it.
type Header struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   HeaderMetadata `json:"metadata"`
}

// HeaderMetadata is the part of an object's metadata that decisions look at.
type HeaderMetadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid"`
	DeletionTimestamp string            `json:"deletionTimestamp"`
	Labels            map[string]string `json:"labels"`
	Annotations       map[string]string `json:"annotations"`
	OwnerReferences   []OwnerReference  `json:"ownerReferences"`
}

// OwnerReference names the owner of an object.
type OwnerReference struct {
	APIVersion         string `json:"apiVersion"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	UID                string `json:"uid"`
	Controller         bool   `json:"controller"`
	BlockOwnerDeletion bool   `json:"blockOwnerDeletion"`
}
