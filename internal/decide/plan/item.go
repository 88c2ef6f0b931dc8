package plan

import (
	"encoding/json"
	"regexp"
	"strings"
	"unique"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// Item is what a plan needs to know of one archived object. A cluster's worth of them is held in memory, so it is
// small.
type Item struct {
	coffer.ObjectRef
	APIVersion string
	Kind       string
	UID        string
	Owners     []coffer.OwnerReference
	// labels are there if the request selects by them.
	labels map[string]string
	// keys are the names by which others may need the object, and needs what it needs beside what its name says; both are
	// there if the request asks for what is needed.
	keys  []string
	needs []selection.Need
	// remade says that this object is not restored, because Kubernetes makes it anew by itself or the request leaves it out, and
	// why; empty if it is.
	remade string
	// retains is, of a PersistentVolume that outlives its claim, that claim, and volume, of a claim, the PersistentVolume that it
	// was bound to.
	retains, volume string
	// serves are the namespaces that a cluster-scoped object is made for: those of its accounts, or of its services.
	serves []string
}

// Read reads an item off an archived object.
func (r Request) Read(ref coffer.ObjectRef, body []byte) (Item, error) {
	h, err := coffer.DecodeHeader(body)
	if err != nil {
		return Item{}, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not readable: %w", ref, err)
	}
	item := Item{
		ObjectRef: ref, UID: h.Metadata.UID, Owners: h.Metadata.OwnerReferences,
		// Thousands of items have the same ones.
		APIVersion: unique.Make(h.APIVersion).Value(), Kind: unique.Make(h.Kind).Value(),
	}
	if check, special := remadeChecks[ref.GroupResource]; special {
		item.remade = check(h, body)
	}
	if why, never := neverRestored[ref.GroupResource]; never {
		item.remade = why
	}
	switch ref.GroupResource {
	case persistentVolumes:
		if item.retains = retainedFor(body); item.retains == "" {
			item.remade = ownVolume
		}
	case claims:
		item.volume = boundTo(body)
	}
	if of, known := servedNamespaces[ref.GroupResource]; known {
		item.serves = of(body)
	}
	if r.readsLabels() {
		item.labels = h.Metadata.Labels
	}
	if item.remade == "" && r.LeaveOutFunc != nil {
		item.remade = r.LeaveOutFunc(ref, body)
	}
	if r.readsNeeds() && item.remade == "" {
		item.keys, item.needs = selection.SubjectOf(ref, h, body).Keys, selection.NeedsOfBody(ref, body)
	}
	return item, nil
}

// facts are fields outside of the metadata that tell whether an object will be made anew.
type facts struct {
	Type   string `json:"type"`
	Status struct {
		Phase          string `json:"phase"`
		CompletionTime string `json:"completionTime"`
	} `json:"status"`
}

func readFacts(body []byte) facts {
	var f facts
	// What cannot be read is not special.
	_ = json.Unmarshal(body, &f)
	return f
}

// ofAPIServer says of a Service or its endpoints whether they are those by which the API server itself is reached: those of another
// cluster would lead every program to that one.
func ofAPIServer(h coffer.Header) string {
	if h.Metadata.Namespace == "default" && h.Metadata.Name == "kubernetes" {
		return "the API server publishes its own address"
	}
	return ""
}

// generatedToken is how the names of the tokens end that clusters made by themselves until version 1.24.
var generatedToken = regexp.MustCompile(`^-token-[a-z0-9]{5}$`)

// isAskedFor says of the Secret of a token that somebody has made it to have one: the cluster fills it in anew.
func isAskedFor(h coffer.Header) bool {
	account := h.Metadata.Annotations["kubernetes.io/service-account.name"]
	rest, ofAccount := strings.CutPrefix(h.Metadata.Name, account)
	return account != "" && (!ofAccount || !generatedToken.MatchString(rest))
}

// remadeChecks tell, by type, which objects are not restored because Kubernetes or a controller makes them.
var remadeChecks = map[coffer.GroupResource]func(coffer.Header, []byte) string{
	{Resource: "configmaps"}: func(h coffer.Header, _ []byte) string {
		if h.Metadata.Name == "kube-root-ca.crt" {
			return "Kubernetes publishes the cluster's own CA in every namespace"
		}
		return ""
	},
	{Resource: "secrets"}: func(h coffer.Header, body []byte) string {
		if readFacts(body).Type == "kubernetes.io/service-account-token" && !isAskedFor(h) {
			return "a token is valid in the cluster that issued it only"
		}
		return ""
	},
	{Resource: "services"}: func(h coffer.Header, _ []byte) string { return ofAPIServer(h) },
	{Resource: "pods"}: func(h coffer.Header, body []byte) string {
		if h.Metadata.Annotations["kubernetes.io/config.mirror"] != "" {
			return "a mirror pod is made by its node"
		}
		if phase := readFacts(body).Status.Phase; phase == "Succeeded" || phase == "Failed" {
			return "the pod has ended"
		}
		return ""
	},
	{Resource: "endpoints"}: func(h coffer.Header, _ []byte) string {
		// The controller takes its annotation away when it looks at a Service again that nothing has happened to. Its label stays, and is
		// there since version 1.33.
		if h.Metadata.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" || h.Metadata.Annotations["endpoints.kubernetes.io/last-change-trigger-time"] != "" {
			return "the Service's controller makes its endpoints"
		}
		return ofAPIServer(h)
	},
	{Group: "discovery.k8s.io", Resource: "endpointslices"}: func(h coffer.Header, _ []byte) string {
		switch h.Metadata.Labels["endpointslice.kubernetes.io/managed-by"] {
		case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io":
			return "the Service's controller makes its endpoint slices"
		}
		return ofAPIServer(h)
	},
	{Group: "batch", Resource: "jobs"}: func(_ coffer.Header, body []byte) string {
		if readFacts(body).Status.CompletionTime != "" {
			return "the job is complete"
		}
		return ""
	},
	{Group: "coordination.k8s.io", Resource: "leases"}: func(coffer.Header, []byte) string {
		return "a lease is held by a running program"
	},
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}: func(h coffer.Header, _ []byte) string {
		if h.Metadata.Labels["kube-aggregator.kubernetes.io/automanaged"] != "" {
			return "the API server registers its own APIs"
		}
		return ""
	},
}

// controllers are the built-in kinds that make their dependents anew: what one of them owns is not restored beside it.
var controllers = map[string]bool{
	"apps/Deployment": true, "apps/ReplicaSet": true, "apps/StatefulSet": true, "apps/DaemonSet": true,
	"batch/Job": true, "batch/CronJob": true, "/ReplicationController": true, "/Service": true, "/Node": true,
}

// remadeTypes are the types that those controllers make. A StatefulSet may own claims too, and those hold data.
var remadeTypes = map[coffer.GroupResource]bool{
	{Resource: "pods"}:                 true,
	replicaSets:                        true,
	revisions:                          true,
	{Group: "batch", Resource: "jobs"}: true,
	{Group: "discovery.k8s.io", Resource: "endpointslices"}: true,
}

// rolloutHistory are those of them that a workload can be rolled back to.
var rolloutHistory = map[coffer.GroupResource]bool{replicaSets: true, revisions: true}

var (
	replicaSets = coffer.GroupResource{Group: "apps", Resource: "replicasets"}
	revisions   = coffer.GroupResource{Group: "apps", Resource: "controllerrevisions"}
)
