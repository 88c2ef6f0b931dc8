package plan

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// servedNamespaces tell, by type, which namespaces a cluster-scoped object is made for: its references follow them under another name.
var servedNamespaces = map[coffer.GroupResource]func(body []byte) []string{
	{Group: rbacGroup, Resource: "clusterrolebindings"}:                                  boundNamespaces,
	{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}:   calledNamespaces,
	{Group: "admissionregistration.k8s.io", Resource: "validatingwebhookconfigurations"}: calledNamespaces,
	{Group: "apiregistration.k8s.io", Resource: "apiservices"}:                           calledNamespaces,
}

// calledNamespaces are those of the services that a webhook configuration or an APIService calls.
func calledNamespaces(body []byte) []string {
	type service struct {
		Namespace string `json:"namespace"`
	}
	var o struct {
		Webhooks []struct {
			ClientConfig struct {
				Service service `json:"service"`
			} `json:"clientConfig"`
		} `json:"webhooks"`
		Spec struct {
			Service service `json:"service"`
		} `json:"spec"`
	}
	// What cannot be read is not special.
	_ = json.Unmarshal(body, &o)
	found := []string{o.Spec.Service.Namespace}
	for _, w := range o.Webhooks {
		found = append(found, w.ClientConfig.Service.Namespace)
	}
	return found
}

// boundNamespaces are those whose ServiceAccounts a ClusterRoleBinding gives rights to.
func boundNamespaces(body []byte) []string {
	var b struct {
		Subjects []struct {
			Kind, Name, Namespace string
		} `json:"subjects"`
	}
	// What cannot be read is not special.
	_ = json.Unmarshal(body, &b)
	var found []string
	for _, s := range b.Subjects {
		switch account, isAccount := strings.CutPrefix(s.Name, "system:serviceaccount:"); {
		case s.Kind == "ServiceAccount":
			found = append(found, s.Namespace)
		case isAccount:
			namespace, _, _ := strings.Cut(account, ":")
			found = append(found, namespace)
		case strings.HasPrefix(s.Name, "system:serviceaccounts:"):
			found = append(found, strings.TrimPrefix(s.Name, "system:serviceaccounts:"))
		}
	}
	return found
}

// shares says of a cluster-scoped object, which has one name whatever the namespaces that it serves are called, that one of them is
// restored under another name: the original's and the copy's cannot both be there.
func (m *maker) shares(item *Item) bool {
	return slices.ContainsFunc(item.serves, func(namespace string) bool { return m.request.Target(namespace) != namespace })
}

const (
	whyOriginal = "it is the original's, and does nothing for what is restored under another namespace: add that to it, or make another of another name"
	whyCopied   = "it becomes that of what is restored under another namespace, and the original loses it"
)

// share tells of such an object that exists.
func (s *Step) share() {
	switch {
	case !s.Shared:
	case s.Action == Skip:
		s.because(whyOriginal)
		s.Warning = coffer.CodeObjectNote
	case s.Action == Patch || s.Action == Replace:
		s.because(whyCopied)
		s.Warning = coffer.CodeObjectNote
	}
}
