package plan

import (
	"slices"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// The order in which types are restored. Objects of one number are created concurrently.
const (
	orderDefinitions = iota // types before their objects
	orderNamespaces         // namespaces before what is in them
	orderClasses            // storage, priority and runtime classes before what names them
	orderClaims             // claims before the pods that mount them, so that volumes are made while the rest goes on
	orderRoles              // roles before bindings: a binding to a missing role is refused to all but admins
	orderAccounts           // accounts before secrets (tokens) and pods (admission wants the account)
	orderConfig             // bindings, secrets and config before the pods that read them
	orderLimits             // limits before pods: admission applies them to new ones only
	orderPods               // bare pods before controllers, which adopt them instead of making more
	orderReplicas           // replica sets and revisions before the workloads that adopt them
	orderServices           // services before the rest: pods get their environment at start
	orderRest               // everything else
	orderLate               // what acts on all that is restored as soon as it is there
	orderQuotas             // quotas after what they count: until the cluster has counted that, it refuses more of it
	orderGates              // webhooks and aggregated APIs last, or they block their own restore
	orderCount
)

var orders = map[coffer.GroupResource]int{
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: orderDefinitions,

	{Resource: "namespaces"}: orderNamespaces,

	{Group: "storage.k8s.io", Resource: "storageclasses"}:                 orderClasses,
	{Group: "storage.k8s.io", Resource: "volumeattributesclasses"}:        orderClasses,
	{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshotclasses"}: orderClasses,
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"}:             orderClasses,
	{Group: "node.k8s.io", Resource: "runtimeclasses"}:                    orderClasses,
	{Group: "networking.k8s.io", Resource: "ingressclasses"}:              orderClasses,
	{Group: "gateway.networking.k8s.io", Resource: "gatewayclasses"}:      orderClasses,
	{Group: "resource.k8s.io", Resource: "deviceclasses"}:                 orderClasses,
	{Group: "cluster.x-k8s.io", Resource: "clusterclasses"}:               orderClasses,

	// Volumes that outlived their claims wait for them.
	persistentVolumes: orderClasses,

	claims: orderClaims,

	{Group: rbacGroup, Resource: "clusterroles"}: orderRoles,
	{Group: rbacGroup, Resource: "roles"}:        orderRoles,

	{Resource: "serviceaccounts"}: orderAccounts,

	{Group: rbacGroup, Resource: "clusterrolebindings"}: orderConfig,
	{Group: rbacGroup, Resource: "rolebindings"}:        orderConfig,
	{Resource: "secrets"}:                               orderConfig,
	{Resource: "configmaps"}:                            orderConfig,

	{Resource: "limitranges"}: orderLimits,

	{Resource: "pods"}: orderPods,

	replicaSets:                          orderReplicas,
	revisions:                            orderReplicas,
	{Resource: "replicationcontrollers"}: orderReplicas,
	{Resource: "services"}:               orderServices,
	{Resource: "endpoints"}:              orderServices,
	{Group: "run.tanzu.vmware.com", Resource: "clusterbootstraps"}:                         orderLate,
	{Group: "cluster.x-k8s.io", Resource: "clusters"}:                                      orderLate,
	{Group: "addons.cluster.x-k8s.io", Resource: "clusterresourcesets"}:                    orderLate,
	{Group: "kappctrl.k14s.io", Resource: "apps"}:                                          orderLate,
	{Group: "packaging.carvel.dev", Resource: "packageinstalls"}:                           orderLate,
	{Resource: "resourcequotas"}:                                                           orderQuotas,
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:                             orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}:     orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"}:   orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"}:       orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"}: orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicies"}:         orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicybindings"}:   orderGates,
}

var (
	claims            = coffer.GroupResource{Resource: "persistentvolumeclaims"}
	persistentVolumes = coffer.GroupResource{Resource: "persistentvolumes"}
	namespaces        = coffer.GroupResource{Resource: "namespaces"}
	accounts          = coffer.GroupResource{Resource: "serviceaccounts"}
	definitions       = coffer.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
)

// lowPriorities separates the types that go first from those that go last.
const lowPriorities = "-"

// orders are those of the types of a recovery point: definitions and namespaces, for nothing can be made before them; the
// user's first types, one after the other; all others, as the table says; the user's last ones.
func (r Request) orders(types []coffer.ResourceType) (map[coffer.GroupResource]int, []selection.Warning, error) {
	first, last := r.Priorities, []string(nil)
	if at := slices.Index(r.Priorities, lowPriorities); at >= 0 {
		first, last = r.Priorities[:at], r.Priorities[at+1:]
	}
	found := map[coffer.GroupResource]int{}
	var warnings []selection.Warning
	place := func(texts []string, from int) error {
		for i, text := range texts {
			of, warning, err := r.Types("priorities", text, types)
			if err != nil {
				return err
			}
			if warning != nil {
				warnings = append(warnings, *warning)
			}
			for _, t := range of {
				if _, placed := found[t.GroupResource]; !placed && orderOf(t.GroupResource) > orderNamespaces {
					found[t.GroupResource] = from + i
				}
			}
		}
		return nil
	}
	const afterNamespaces = orderNamespaces + 1
	if err := place(first, afterNamespaces); err != nil {
		return nil, nil, err
	}
	if err := place(last, orderCount+len(first)); err != nil {
		return nil, nil, err
	}
	for _, t := range types {
		if _, placed := found[t.GroupResource]; placed {
			continue
		}
		found[t.GroupResource] = orderOf(t.GroupResource)
		if found[t.GroupResource] >= afterNamespaces {
			found[t.GroupResource] += len(first)
		}
	}
	return found, warnings, nil
}

func orderOf(t coffer.GroupResource) int {
	if o, listed := orders[t]; listed {
		return o
	}
	return orderRest
}
