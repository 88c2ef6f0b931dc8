package transform

import (
	"encoding/base64"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	rbacGroup      = "rbac.authorization.k8s.io"
	admissionGroup = "admissionregistration.k8s.io"
)

// cares are what single types need beyond the general.
var cares = map[coffer.GroupResource]func(*work){
	{Resource: "namespaces"}:             careNamespace,
	{Resource: "persistentvolumeclaims"}: careClaim,
	{Resource: "persistentvolumes"}:      careVolume,
	{Resource: "pods"}:                   carePod,
	{Resource: "secrets"}:                careSecret,
	{Resource: "serviceaccounts"}:        careServiceAccount,
	{Resource: "services"}:               careService,

	{Group: admissionGroup, Resource: "mutatingwebhookconfigurations"}:     careWebhooks,
	{Group: admissionGroup, Resource: "validatingwebhookconfigurations"}:   careWebhooks,
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}: careDefinition,
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:             careAPIService,
	{Group: "apps", Resource: "statefulsets"}:                              careStatefulSet,
	{Group: "autoscaling", Resource: "horizontalpodautoscalers"}:           careAutoscaler,
	{Group: "batch", Resource: "jobs"}:                                     careJob,
	{Group: "flowcontrol.apiserver.k8s.io", Resource: "flowschemas"}:       careFlowSchema,
	{Group: "networking.k8s.io", Resource: "ingresses"}:                    careIngress,
	{Group: "policy", Resource: "poddisruptionbudgets"}:                    careDisruptionBudget,
	{Group: rbacGroup, Resource: "clusterrolebindings"}:                    careBinding,
	{Group: rbacGroup, Resource: "rolebindings"}:                           careBinding,
}

// careNamespace drops the finalizers of the namespace controller and the label that repeats the name.
func careNamespace(w *work) {
	delete(w.object, "spec")
	if labels := child(w.metadata, "labels"); labels[nameLabel] != nil {
		labels[nameLabel] = w.Target.Name
	}
}

// careSecret empties a token that was made for an account on a user's request: the cluster fills it in anew, and refuses one
// for an account of another UID. Tokens that the cluster made by itself are not restored.
func careSecret(w *work) {
	if w.object["type"] != "kubernetes.io/service-account-token" {
		return
	}
	dropKeys(w.metadata, "annotations", "kubernetes.io/service-account.uid")
	dropKeys(w.object, "data", "token", "ca.crt", "namespace")
}

// careServiceAccount drops the names of the token secrets that older clusters made, for they are not restored.
func careServiceAccount(w *work) {
	prefix := w.Target.Name + "-token-"
	dropElements(w.object, "secrets", named(func(name string) bool { return strings.HasPrefix(name, prefix) }))
}

// careWebhooks lets services follow their namespaces, and mends what newer API servers refuse.
func careWebhooks(w *work) {
	for i, webhook := range elements(w.object, "webhooks") {
		w.follow(child(child(webhook, "clientConfig"), "service"), at("webhooks", i)+".clientConfig.service", "namespace")
		if w.APIVersion == admissionGroup+"/v1" && webhook["sideEffects"] != "NoneOnDryRun" {
			webhook["sideEffects"] = "None"
		}
	}
}

// careAPIService lets the service follow its namespace.
func careAPIService(w *work) {
	w.follow(child(child(w.object, "spec"), "service"), "spec.service", "namespace")
}

// careDefinition lets the service that converts follow its namespace, and mends what the API server refuses to create.
func careDefinition(w *work) {
	spec := child(w.object, "spec")
	config := child(child(child(spec, "conversion"), "webhook"), "clientConfig")
	w.follow(child(config, "service"), "spec.conversion.webhook.clientConfig.service", "namespace")
	if bundle, has := config["caBundle"]; has && !isCertificate(bundle) {
		// Those who inject the certificate begin with something that is none, and do so again.
		delete(config, "caBundle")
	}
	if preserve, _ := spec["preserveUnknownFields"].(bool); preserve && w.APIVersion == "apiextensions.k8s.io/v1" {
		delete(spec, "preserveUnknownFields")
		for _, version := range elements(spec, "versions") {
			if schema, has := child(version, "schema")["openAPIV3Schema"].(map[string]any); has {
				schema["x-kubernetes-preserve-unknown-fields"] = true
			}
		}
	}
}

func isCertificate(bundle any) bool {
	s, _ := bundle.(string)
	pem, err := base64.StdEncoding.DecodeString(s)
	return err == nil && strings.Contains(string(pem), "-----BEGIN CERTIFICATE-----")
}

// careIngress drops the older of two ways to name a class where they differ: such an Ingress may exist, but not be created.
func careIngress(w *work) {
	const legacy = "kubernetes.io/ingress.class"
	class, _ := child(w.object, "spec")["ingressClassName"].(string)
	if old, has := child(w.metadata, "annotations")[legacy]; has && class != "" && old != class {
		w.note("metadata.annotations["+legacy+"]", "it is left out: it says %v and spec.ingressClassName says %s, and the API server refuses to create both", old, class)
		dropKeys(w.metadata, "annotations", legacy)
	}
}

// careAutoscaler drops what the first version of the API keeps of the status in annotations.
func careAutoscaler(w *work) {
	dropKeys(w.metadata, "annotations", "autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics")
}

// careDisruptionBudget keeps the meaning of an empty selector: no pod in v1beta1, every pod in v1.
func careDisruptionBudget(w *work) {
	spec := child(w.object, "spec")
	if selector, ok := spec["selector"].(map[string]any); ok && len(selector) == 0 && w.archivedVersion == "policy/v1beta1" && w.APIVersion == "policy/v1" {
		spec["selector"] = map[string]any{"matchExpressions": []any{
			// What the API server itself writes for it.
			map[string]any{"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"},
		}}
	}
}

// careBinding lets the subjects of a binding follow their namespaces.
func careBinding(w *work) {
	for i, subject := range elements(w.object, "subjects") {
		w.followSubject(subject, at("subjects", i))
	}
}

// careFlowSchema lets the subjects of its rules follow their namespaces.
func careFlowSchema(w *work) {
	for i, rule := range elements(child(w.object, "spec"), "rules") {
		for j, subject := range elements(rule, "subjects") {
			path := at("spec.rules", i) + "." + at("subjects", j)
			w.follow(child(subject, "serviceAccount"), path+".serviceAccount", "namespace")
			for _, kind := range []string{"user", "group"} {
				w.followAccount(child(subject, kind), path+"."+kind)
			}
		}
	}
}
