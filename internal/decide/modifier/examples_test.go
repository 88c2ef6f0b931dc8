package modifier

import (
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/scheme"
)

// The examples of Azure's pages on AKS Backup and of Velero's page on resource modifiers, each with what it is said to do.
// One of Azure's is printed without indentation and version: it is refused as printed, and tested as it was meant.
func TestPublishedExamples(t *testing.T) {
	for _, tt := range []struct {
		name, rules, resource, in, want string
		effects                         []Effect
	}{
		{
			name:     "claims get another class and lose a label",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: persistentvolumeclaims\n    resourceNameRegex: \"^mysql.*$\"\n    namespaces:\n    - bar\n    - foo\n    labelSelector:\n        matchLabels:\n          foo: bar\n  patches:\n  - operation: replace\n    path: \"/spec/storageClassName\"\n    value: \"premium\"\n  - operation: remove\n    path: \"/metadata/labels/test\"\n",
			resource: "persistentvolumeclaims", in: pvc,
			want:    `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: mysql-data, namespace: foo, labels: {foo: bar}}, spec: {storageClassName: premium}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "deployments get twelve replicas",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: deployments.apps\n    resourceNameRegex: \"^nginxdep.*$\"\n    namespaces:\n    - default\n    - nginx\n  patches:\n  - operation: replace\n    path: \"/spec/replicas\"\n    value: \"12\"\n",
			resource: "deployments.apps", in: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: nginxdep1, namespace: nginx}, spec: {replicas: 2}}`,
			want:    `{apiVersion: apps/v1, kind: Deployment, metadata: {name: nginxdep1, namespace: nginx}, spec: {replicas: 12}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "deployments get a label by a merge patch",
			rules:    "version: v1\nresourceModifierRules:\n  - conditions:\n      groupResource: deployments.apps\n      resourceNameRegex: \"^nginxdep.*$\"\n      namespaces:\n        - default\n        - nginx\n    mergePatches:\n      - patchData: |\n          {\n            \"metadata\" : {\n              \"labels\" : {\n                \"app\" : \"nginx1\"\n              }\n            }\n          }\n",
			resource: "deployments.apps", in: `{metadata: {name: nginxdep1, namespace: default, labels: {app: nginx, b: c}}}`,
			want:    `{metadata: {name: nginxdep1, namespace: default, labels: {app: nginx1, b: c}}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "pods get another image by a strategic merge patch",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: pods\n    resourceNameRegex: \"^nginx.*$\"\n    namespaces:\n    - default\n  strategicPatches:\n  - patchData: |\n      {\n        \"spec\": {\n          \"containers\": [\n            {\n              \"name\": \"nginx\",\n              \"image\": \"mcr.microsoft.com/cbl-mariner/base/nginx:1.22\"\n            }\n          ]\n        }\n      }\n",
			resource: "pods", in: `{apiVersion: v1, kind: Pod, metadata: {name: nginx-1, namespace: default}, spec: {containers: [{name: side, image: a}, {name: nginx, image: old, ports: [{containerPort: 80}]}]}}`,
			want:    `{apiVersion: v1, kind: Pod, metadata: {name: nginx-1, namespace: default}, spec: {containers: [{name: side, image: a}, {name: nginx, image: "mcr.microsoft.com/cbl-mariner/base/nginx:1.22", ports: [{containerPort: 80}]}]}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "claims get the class of Azure Files",
			rules:    "version: v1\nresourceModifierRules:\n  - conditions:\n      groupResource: persistentvolumeclaims\n    patches:\n      - operation: replace\n        path: \"/spec/storageClassName\"\n        value: \"azurefile-csi-premium\"\n",
			resource: "persistentvolumeclaims", in: `{metadata: {name: a, namespace: b}, spec: {storageClassName: c}}`,
			want:    `{metadata: {name: a, namespace: b}, spec: {storageClassName: azurefile-csi-premium}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "a class is changed only if it is a certain one",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: persistentvolumeclaims\n    resourceNameRegex: \".*\"\n    namespaces:\n    - bar\n    - foo\n  patches:\n  - operation: test\n    path: \"/spec/storageClassName\"\n    value: \"premium\"\n  - operation: replace\n    path: \"/spec/storageClassName\"\n    value: \"standard\"\n",
			resource: "persistentvolumeclaims", in: `{metadata: {name: a, namespace: foo}, spec: {storageClassName: premium}}`,
			want:    `{metadata: {name: a, namespace: foo}, spec: {storageClassName: standard}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "a container is added and copied",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: deployments.apps\n    resourceNameRegex: \"^test-.*$\"\n    namespaces:\n    - bar\n    - foo\n  patches:\n  - operation: add\n    path: \"/spec/template/spec/containers/0\"\n    value: \"{\\\"name\\\": \\\"nginx\\\", \\\"image\\\": \\\"nginx:1.14.2\\\", \\\"ports\\\": [{\\\"containerPort\\\": 80}]}\"\n  - operation: copy\n    from: \"/spec/template/spec/containers/0\"\n    path: \"/spec/template/spec/containers/1\"\n",
			resource: "deployments.apps", in: `{metadata: {name: test-a, namespace: bar}, spec: {template: {spec: {containers: [{name: x}]}}}}`,
			want:    `{metadata: {name: test-a, namespace: bar}, spec: {template: {spec: {containers: [{name: nginx, image: "nginx:1.14.2", ports: [{containerPort: 80}]}, {name: nginx, image: "nginx:1.14.2", ports: [{containerPort: 80}]}, {name: x}]}}}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "labels are updated and removed by a merge patch of YAML",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: pods\n    namespaces:\n    - ns1\n  mergePatches:\n  - patchData: |\n      metadata:\n        labels:\n          k1: v2\n        annotations:\n          foo: null\n",
			resource: "pods", in: `{metadata: {name: a, namespace: ns1, labels: {k1: v1}, annotations: {foo: x, bar: z}}}`,
			want:    `{metadata: {name: a, namespace: ns1, labels: {k1: v2}, annotations: {bar: z}}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "fields are matched before a merge patch",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: persistentvolumeclaims\n    matches:\n    - path: \"/spec/storageClassName\"\n      value: \"premium\"\n  mergePatches:\n  - patchData: |\n      {\n        \"metadata\": {\n          \"annotations\": {\n            \"foo\": null\n          }\n        }\n      }\n",
			resource: "persistentvolumeclaims", in: `{metadata: {name: a, namespace: b, annotations: {foo: bar, x: z}}, spec: {storageClassName: premium}}`,
			want:    `{metadata: {name: a, namespace: b, annotations: {x: z}}, spec: {storageClassName: premium}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "a string that looks like a boolean",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: deployments.apps\n  patches:\n  - operation: add\n    path: /metadata/annotations/flag\n    value: \"\\\"true\\\"\"\n  - operation: add\n    path: /spec/paused\n    value: true\n",
			resource: "deployments.apps", in: `{metadata: {name: a, annotations: {}}, spec: {}}`,
			want:    `{metadata: {name: a, annotations: {flag: "true"}}, spec: {paused: true}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "a volume is replaced by a claim",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: pods\n  strategicPatches:\n  - patchData: '{\"spec\":{\"volumes\":[{\"name\":\"vol1\",\"$retainKeys\":[\"name\",\"persistentVolumeClaim\"],\"persistentVolumeClaim\":{\"claimName\":\"pvc1\"}}]}}'\n",
			resource: "pods", in: `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: vol1, nfs: {server: s}}, {name: vol2, emptyDir: {}}]}}`,
			want:    `{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: vol1, persistentVolumeClaim: {claimName: pvc1}}, {name: vol2, emptyDir: {}}]}}`,
			effects: []Effect{Applied},
		},
		{
			name:     "a value is moved",
			rules:    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: configmaps\n  patches:\n  - operation: move\n    from: /data/a~1b\n    path: /data/c\n",
			resource: "configmaps", in: `{metadata: {name: a}, data: {a/b: x}}`, want: `{metadata: {name: a}, data: {c: x}}`, effects: []Effect{Applied},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustBecome(t, tt.rules, tt.resource, tt.in, tt.want, tt.effects...)
		})
	}
}

func TestTheExampleThatAzurePrintsFlatIsRefused(t *testing.T) {
	const flat = "resourceModifierRules:\n- conditions:\ngroupResource: deployments.apps\nresourceNameRegex: \"^nginxdep.*$\"\nnamespaces:\n- default\n- nginx\npatches:\n- operation: replace\npath: \"/spec/replicas\"\nvalue: \"12\"\n"
	if _, err := Parse("ns/cm", map[string]string{"k": flat}, scheme.Scheme.New); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("Parse = %v", err)
	}
}
