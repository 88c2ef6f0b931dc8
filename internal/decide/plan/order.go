package plan

import "github.com/coffer-backup/coffer/internal/coffer"

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
	orderReplicas           // replica sets before deployments, which adopt them
	orderServices           // services before the rest: pods get their environment at start
	orderRest               // everything else
	orderGates              // webhooks and aggregated APIs last, or they block their own restore
	orderCount
)

var orders = map[coffer.GroupResource]int{
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: orderDefinitions,

	{Resource: "namespaces"}: orderNamespaces,

	{Group: "storage.k8s.io", Resource: "storageclasses"}:                 orderClasses,
	{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshotclasses"}: orderClasses,
	{Group: "scheduling.k8s.io", Resource: "priorityclasses"}:             orderClasses,
	{Group: "node.k8s.io", Resource: "runtimeclasses"}:                    orderClasses,

	claims: orderClaims,

	{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}: orderRoles,
	{Group: "rbac.authorization.k8s.io", Resource: "roles"}:        orderRoles,

	{Resource: "serviceaccounts"}: orderAccounts,

	{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}: orderConfig,
	{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"}:        orderConfig,
	{Resource: "secrets"}:    orderConfig,
	{Resource: "configmaps"}: orderConfig,

	{Resource: "limitranges"}:    orderLimits,
	{Resource: "resourcequotas"}: orderLimits,

	{Resource: "pods"}: orderPods,

	{Group: "apps", Resource: "replicasets"}:                                               orderReplicas,
	{Resource: "replicationcontrollers"}:                                                   orderReplicas,
	{Resource: "services"}:                                                                 orderServices,
	{Resource: "endpoints"}:                                                                orderServices,
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:                             orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}:     orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"}:   orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies"}:       orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings"}: orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicies"}:         orderGates,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingadmissionpolicybindings"}:   orderGates,
}

var (
	claims      = coffer.GroupResource{Resource: "persistentvolumeclaims"}
	namespaces  = coffer.GroupResource{Resource: "namespaces"}
	definitions = coffer.GroupResource{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}
)

func orderOf(t coffer.GroupResource) int {
	if o, listed := orders[t]; listed {
		return o
	}
	return orderRest
}
