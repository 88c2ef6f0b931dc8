package transform

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestReferencesFollowTheirNamespaces(t *testing.T) {
	mapped := map[string]string{"shop": "copy", "copy": "third"}
	for _, tt := range []applied{
		{
			name: "subjects of bindings, by namespace and by their names in full",
			in:   `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b}, subjects: [{kind: ServiceAccount, name: x, namespace: shop}, {kind: ServiceAccount, name: x, namespace: other}, {kind: User, name: "system:serviceaccount:shop:x"}, {kind: Group, name: "system:serviceaccounts:shop"}, {kind: Group, name: "system:serviceaccounts"}, {kind: User, name: shop}]}`,
			c:    Context{Target: ref("rolebindings.rbac.authorization.k8s.io", "copy", "b"), APIVersion: "rbac.authorization.k8s.io/v1", Namespaces: mapped},
			want: `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: copy}, subjects: [{kind: ServiceAccount, name: x, namespace: copy}, {kind: ServiceAccount, name: x, namespace: other}, {kind: User, name: "system:serviceaccount:copy:x"}, {kind: Group, name: "system:serviceaccounts:copy"}, {kind: Group, name: "system:serviceaccounts"}, {kind: User, name: shop}]}`,
		},
		{
			name: "subjects of flow schemas",
			in:   `{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: f}, spec: {rules: [{subjects: [{kind: ServiceAccount, serviceAccount: {namespace: shop, name: x}}, {kind: User, user: {name: "system:serviceaccount:shop:x"}}, {kind: Group, group: {name: "system:serviceaccounts:shop"}}], resourceRules: [{namespaces: [shop]}]}]}}`,
			c:    Context{Target: ref("flowschemas.flowcontrol.apiserver.k8s.io", "", "f"), APIVersion: "flowcontrol.apiserver.k8s.io/v1", Namespaces: mapped},
			want: `{apiVersion: flowcontrol.apiserver.k8s.io/v1, kind: FlowSchema, metadata: {name: f}, spec: {rules: [{subjects: [{kind: ServiceAccount, serviceAccount: {namespace: copy, name: x}}, {kind: User, user: {name: "system:serviceaccount:copy:x"}}, {kind: Group, group: {name: "system:serviceaccounts:copy"}}], resourceRules: [{namespaces: [shop]}]}]}}`, notes: []string{"spec.rules[0].resourceRules[0].namespaces[0]"},
		},
		{
			name: "the label of a namespace",
			in:   `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop}}, spec: {finalizers: [kubernetes]}}`,
			c:    Context{Target: ref("namespaces", "", "copy"), APIVersion: "v1", Namespaces: mapped},
			want: `{apiVersion: v1, kind: Namespace, metadata: {name: copy, labels: {kubernetes.io/metadata.name: copy}}}`,
		},
		{
			name: "what Helm takes for its own",
			in:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, annotations: {meta.helm.sh/release-name: shop, meta.helm.sh/release-namespace: shop}}}`,
			c:    Context{Target: ref("configmaps", "copy", "c"), APIVersion: "v1", Namespaces: mapped},
			want: `{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: copy, annotations: {meta.helm.sh/release-name: shop, meta.helm.sh/release-namespace: copy}}}`,
		},
	} {
		tt.run(t)
	}
}

func TestReferencesThatCannotFollowAreNoted(t *testing.T) {
	for _, tt := range []struct{ name, resource, in, field, reason string }{
		{"a host name in the environment", "deployments.apps", `{spec: {template: {spec: {containers: [{}, {env: [{name: DB, value: "postgres://u:p@db.shop.svc.cluster.local:5432/x"}]}]}}}}`, "spec.template.spec.containers[1].env[0].value", "the host name db.shop.svc.cluster.local of namespace shop, which is restored as copy"},
		{"a short host name in an argument", "pods", `{spec: {containers: [{args: [--peer=db-0.db.shop.svc, "--url=http://db.shop:80"]}]}}`, "spec.containers[0].args[1]", "the host name db.shop "},
		{"a namespace in the environment", "pods", `{spec: {containers: [{env: [{name: WATCH_NAMESPACE, value: shop}]}]}}`, "spec.containers[0].env[0].value", "it names namespace shop"},
		{"a host name at the end of a sentence", "configmaps", `{data: {text: "Ask db.shop."}}`, "data.text", "db.shop"},
		{"an account in a policy", "policies.acme.io", `{spec: {users: ["system:serviceaccount:shop:x"]}}`, "spec.users[0]", "system:serviceaccount:shop"},
		{"a selector of a network policy", "networkpolicies.networking.k8s.io", `{spec: {ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]}]}}`, "spec.ingress[0].from[0].namespaceSelector.matchLabels.kubernetes.io/metadata.name", "it names namespace shop"},
		{"an expression of a selector", "networkpolicies.networking.k8s.io", `{spec: {ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop]}]}}]}]}}`, "spec.ingress[0].from[0].namespaceSelector.matchExpressions[0].values[0]", "it names namespace shop"},
		{"a gateway elsewhere", "httproutes.gateway.networking.k8s.io", `{spec: {parentRefs: [{name: g, namespace: shop}]}}`, "spec.parentRefs[0].namespace", "it names namespace shop"},
		{"a list of names", "servicemonitors.monitoring.coreos.com", `{spec: {namespaceSelector: {matchNames: [a, shop]}}}`, "spec.namespaceSelector.matchNames[1]", "it names namespace shop"},
		{"a field that ends with the word", "things.acme.io", `{spec: {targetNamespace: shop}}`, "spec.targetNamespace", "it names namespace shop"},
		{"a secret, whose value is not shown", "secrets", `{data: {url: aHR0cHM6Ly91c2VyOmh1bnRlcjJAZGIuc2hvcC5zdmM=}}`, "data.url", "it has a name of namespace shop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body, err := yaml.YAMLToJSON([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Apply(body, Context{Target: ref(tt.resource, "copy", "x"), APIVersion: "v1", Namespaces: map[string]string{"shop": "copy"}})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range got.Notes {
				if strings.Contains(n.Reason, "hunter2") {
					t.Errorf("%s shows a secret", n)
				}
				if n.Field == tt.field && strings.Contains(n.Reason, tt.reason) {
					return
				}
			}
			t.Errorf("notes %v, want %s: …%s…", got.Notes, tt.field, tt.reason)
		})
	}
}

func TestWhatOnlyLooksAlikeIsNotNoted(t *testing.T) {
	in := `{metadata: {namespace: shop, labels: {app: shop, kubernetes.io/metadata.name: shop}, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"metadata":{"namespace":"shop"},"a":"db.shop.svc"}'}},
spec: {host: shop.example.com, image: "registry.shop.example.com/shop:1.2", a: workshop.svc, b: db.workshop.svc, c: db.shopping, d: .shop, e: db.shop.service, f: "system:serviceaccount:shopping:x", g: shop, h: 1.5, matchLabels: {app: shop}}}`
	body, err := yaml.YAMLToJSON([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Apply(body, Context{Target: ref("things.acme.io", "copy", "x"), APIVersion: "v1", Namespaces: map[string]string{"shop": "copy"}})
	if err != nil || len(got.Notes) != 0 {
		t.Errorf("notes %v, %v", got.Notes, err)
	}
}

func TestNotesAreBounded(t *testing.T) {
	var fields []string
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf(`"k%03d":"db.shop.svc"`, i))
	}
	got, err := Apply([]byte(`{"data":{`+strings.Join(fields, ",")+`}}`), Context{Target: ref("configmaps", "copy", "x"), Namespaces: map[string]string{"shop": "copy"}})
	if err != nil || len(got.Notes) != maxNotes+1 || got.Notes[0].Field != "data.k000" || got.Notes[maxNotes].Reason != "990 more like these" {
		t.Errorf("%d notes %v, %v", len(got.Notes), got.Notes, err)
	}
}
