// Package quiet decides what a restore test leaves out and changes, so that what it restores has no effect outside of the test.
package quiet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Policy is what a test allows. The zero value allows nothing.
type Policy struct {
	// CustomResources are restored too.
	CustomResources bool
	// Jobs run.
	Jobs bool
	// External places may be reached.
	External bool
}

const (
	networkingGroup = "networking.k8s.io"
	// longestNamespace is what Kubernetes allows for the name of one.
	longestNamespace = 63
)

// Prefix is what the names of all namespaces of a run begin with.
func Prefix(run string) string { return "test-" + shortHash(run) + "-" }

// Namespace is the name under which a namespace of the recovery point is restored by a run: two runs have different ones, and so
// have two namespaces of a run.
func Namespace(run, namespace string) string {
	prefix := Prefix(run)
	if len(prefix)+len(namespace) <= longestNamespace {
		return prefix + namespace
	}
	tail := "-" + shortHash(namespace)
	return prefix + namespace[:longestNamespace-len(prefix)-len(tail)] + tail
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:4])
}

// systemNamespaces hold what runs a cluster: a second one of it in the same cluster is no test.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease"}

// Excluded are the namespaces that a test leaves out because nobody has named them: those of the system, and the extension's own.
func Excluded(included []string, extension string) []string {
	named := map[string]bool{}
	for _, name := range included {
		named[name] = true
	}
	var out []string
	for _, name := range append(systemNamespaces[:len(systemNamespaces):len(systemNamespaces)], extension) {
		if !named[name] {
			out = append(out, name)
		}
	}
	return out
}

// builtIn are the API groups of Kubernetes itself. Objects of all others are those of operators.
var builtIn = map[string]bool{
	"": true, "apps": true, "batch": true, "autoscaling": true, "policy": true, "extensions": true,
	networkingGroup: true, "rbac.authorization.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"coordination.k8s.io": true, "storage.k8s.io": true, "node.k8s.io": true, "scheduling.k8s.io": true,
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true,
	"authentication.k8s.io": true, "authorization.k8s.io": true, "certificates.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "resource.k8s.io": true,
}

const (
	whyRoute = "a route or gateway takes requests from outside"
	whyCloud = "its controller would take what it stands for outside of the cluster for the test's, and delete that with the test"
)

// neverGroups are groups, and the ends of groups, whose objects act on what is outside of their namespace, whoever asks for them.
var neverGroups = map[string]string{ //nolint:gosec // These are names of API groups.
	"gateway.networking.k8s.io":    whyRoute,
	"route.openshift.io":           whyRoute,
	"networking.istio.io":          whyRoute,
	"traefik.io":                   whyRoute,
	"traefik.containo.us":          whyRoute,
	"projectcontour.io":            whyRoute,
	"cluster.x-k8s.io":             whyCloud,
	"crossplane.io":                whyCloud,
	"upbound.io":                   whyCloud,
	"services.k8s.aws":             whyCloud,
	"azure.com":                    whyCloud,
	"cnrm.cloud.google.com":        whyCloud,
	"snapshot.storage.k8s.io":      "it would take or hold snapshots of its own",
	"admissionregistration.k8s.io": "a webhook acts on the whole cluster",
	"apiregistration.k8s.io":       "an aggregated API acts on the whole cluster",
	"external-secrets.io":          "it reads, and may write, what is outside of the cluster",
	"externaldns.k8s.io":           "it makes names in a DNS outside of the cluster",
}

var (
	endpoints      = coffer.GroupResource{Resource: "endpoints"}
	endpointSlices = coffer.GroupResource{Group: "discovery.k8s.io", Resource: "endpointslices"}
	services       = coffer.GroupResource{Resource: "services"}
	ingresses      = coffer.GroupResource{Group: networkingGroup, Resource: "ingresses"}
	oldIngresses   = coffer.GroupResource{Group: "extensions", Resource: "ingresses"}
	policies       = coffer.GroupResource{Group: networkingGroup, Resource: "networkpolicies"}
	oldPolicies    = coffer.GroupResource{Group: "extensions", Resource: "networkpolicies"}
)

// LeaveOut says why an archived object is not restored by a test; empty if it is.
func (p Policy) LeaveOut(ref coffer.ObjectRef, body []byte) string {
	if why := neverOf(ref.Group); why != "" {
		return why
	}
	switch g := ref.GroupResource; {
	case g == ingresses, g == oldIngresses:
		return "an Ingress takes requests from outside"
	case !builtIn[ref.Group] && !p.CustomResources:
		return "not tested: its operator, which runs in this cluster, would act on it"
	case p.External:
		return ""
	case g == policies, g == oldPolicies:
		return "policies add up: with it, pods might be let out; the test has a policy of its own"
	case g == endpoints, g == endpointSlices:
		return "its addresses are those of what is outside of the test"
	case g == services && isExternalName(body):
		return "it stands for a name outside of the test"
	}
	return ""
}

// neverOf looks for a group, and for those that it ends with.
func neverOf(group string) string {
	for group != "" {
		if why := neverGroups[group]; why != "" {
			return why
		}
		_, group, _ = strings.Cut(group, ".")
	}
	return ""
}

func isExternalName(body []byte) bool {
	var s struct {
		Spec struct {
			Type string `json:"type"`
		} `json:"spec"`
	}
	// What cannot be read is refused later.
	return json.Unmarshal(body, &s) == nil && s.Spec.Type == externalName
}

// Fence is the NetworkPolicy that keeps the pods of a run in: they reach the namespaces of the run and the cluster's DNS.
func Fence(run string) ([]byte, error) {
	dns := []any{}
	for _, port := range []int{53, 5353} { // OpenShift's pods listen at the latter.
		for _, protocol := range []string{"UDP", "TCP"} {
			dns = append(dns, map[string]any{"protocol": protocol, "port": port})
		}
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": networkingGroup + "/v1", "kind": "NetworkPolicy",
		"metadata": map[string]any{"name": FenceName, "labels": Labels(run)},
		"spec": map[string]any{
			"podSelector": map[string]any{}, "policyTypes": []string{"Egress"},
			"egress": []any{
				map[string]any{"to": []any{map[string]any{"namespaceSelector": map[string]any{"matchLabels": map[string]any{RunLabel: run}}}}},
				map[string]any{"ports": dns, "to": []any{
					map[string]any{"namespaceSelector": map[string]any{}},
					// The address of the cache that clusters run on each node.
					map[string]any{"ipBlock": map[string]any{"cidr": "169.254.20.10/32"}},
				}},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode a NetworkPolicy: %w", err)
	}
	return body, nil
}

// FenceName is the name of that NetworkPolicy.
const FenceName = "coffer-restore-test"

// Deviation is one way in which a restored object is not what was archived, and why.
type Deviation struct {
	// Field is its path.
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// String is FIELD: REASON.
func (d Deviation) String() string { return d.Field + ": " + d.Reason }

// hasAny says whether a text begins with one of several.
func hasAny(text string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}
