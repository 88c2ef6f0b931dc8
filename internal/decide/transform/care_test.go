package transform

import "testing"

func TestVolumesAndClaims(t *testing.T) {
	claim := ref("persistentvolumeclaims", "shop", "d")
	for _, tt := range []applied{
		{
			name: "a claim is freed and takes its data from the snapshot, at its full size",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, finalizers: [kubernetes.io/pvc-protection, snapshot.storage.kubernetes.io/pvc-as-source-protection, mine], annotations: {pv.kubernetes.io/bind-completed: "yes", volume.kubernetes.io/selected-node: n, mine: x}}, spec: {volumeName: pv, storageClassName: lab, selector: {}, dataSourceRef: {name: old}, resources: {requests: {storage: 1Gi}}}}`,
			c:    Context{Target: claim, APIVersion: "v1", Snapshot: "snap", RestoreSize: 2 << 30},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop, finalizers: [mine], annotations: {mine: x}}, spec: {storageClassName: lab, dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}, resources: {requests: {storage: 2Gi}}}}`,
		},
		{
			name: "a larger request than the snapshot's stays",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {resources: {requests: {storage: 5Gi}}}}`,
			c:    Context{Target: claim, APIVersion: "v1", Snapshot: "snap", RestoreSize: 2 << 30},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop}, spec: {dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}, resources: {requests: {storage: 5Gi}}}}`,
		},
		{
			name: "a claim gets another class, by the field and by the annotation",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, annotations: {volume.beta.kubernetes.io/storage-class: slow}}, spec: {storageClassName: slow}}`,
			c:    Context{Target: claim, APIVersion: "v1", StorageClasses: map[string]string{"slow": "fast", "fast": "other"}},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop, annotations: {volume.beta.kubernetes.io/storage-class: fast}}, spec: {storageClassName: fast}}`,
		},
		{
			name: "a claim without a class gets none",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {}}`,
			c:    Context{Target: claim, APIVersion: "v1", StorageClasses: map[string]string{"": "fast"}},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop}, spec: {}}`,
		},
		{
			name: "a claim keeps a volume that is restored as it was",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, annotations: {pv.kubernetes.io/bind-completed: "yes"}}, spec: {volumeName: pv, dataSource: {name: old}}}`,
			c:    Context{Target: claim, APIVersion: "v1", KeepVolume: true},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop}, spec: {volumeName: pv}}`,
		},
		{
			name: "a volume waits for the claim of its name",
			in:   `{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv, uid: u, finalizers: [kubernetes.io/pv-protection, external-attacher/disk-csi, mine], annotations: {pv.kubernetes.io/bound-by-controller: "yes", pv.kubernetes.io/provisioned-by: disk}}, spec: {storageClassName: slow, persistentVolumeReclaimPolicy: Retain, claimRef: {kind: PersistentVolumeClaim, namespace: shop, name: d, uid: u, resourceVersion: "7"}}, status: {phase: Bound}}`,
			c:    Context{Target: ref("persistentvolumes", "", "pv"), APIVersion: "v1", Namespaces: map[string]string{"shop": "copy"}, StorageClasses: map[string]string{"slow": "fast"}, Status: true},
			want: `{apiVersion: v1, kind: PersistentVolume, metadata: {name: pv, finalizers: [mine], annotations: {pv.kubernetes.io/provisioned-by: disk}}, spec: {storageClassName: fast, persistentVolumeReclaimPolicy: Retain, claimRef: {kind: PersistentVolumeClaim, namespace: copy, name: d}}}`,
		},
		{
			name: "the claims that a set will make get another class",
			in:   `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {volumeClaimTemplates: [{metadata: {name: d, annotations: {volume.beta.kubernetes.io/storage-class: slow}}, spec: {storageClassName: slow}, status: {phase: Pending}}, {spec: {}}]}}`,
			c:    Context{Target: ref("statefulsets.apps", "shop", "s"), APIVersion: "apps/v1", StorageClasses: map[string]string{"slow": "fast"}},
			want: `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s, namespace: shop}, spec: {volumeClaimTemplates: [{metadata: {name: d, annotations: {volume.beta.kubernetes.io/storage-class: fast}}, spec: {storageClassName: fast}}, {spec: {}}]}}`,
		},
	} {
		tt.run(t)
	}
}

func TestServices(t *testing.T) {
	service := Context{Target: ref("services", "shop", "s"), APIVersion: "v1"}
	kept := service
	kept.PreserveNodePorts = true
	managed := func(fields string) string {
		return `, managedFields: [{manager: x, fieldsV1: {"f:spec": {"f:type": {}}}}, {manager: y, fieldsV1: ` + fields + `}]`
	}
	kubectl := func(spec string) string {
		return `, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"spec":` + spec + `}'}`
	}
	const whole = `clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], healthCheckNodePort: 3`
	for _, tt := range []struct {
		name              string
		metadata, managed string
		in, want          string
		c                 Context
	}{
		{name: "addresses and node ports are the cluster's to allot", in: whole + `, ports: [{port: 80, nodePort: 30080}]`, want: `ports: [{port: 80}]`, c: service},
		{name: "a headless one stays headless", in: `clusterIP: None, clusterIPs: [None]`, want: `clusterIP: None, clusterIPs: [None]`, c: service},
		{
			name: "node ports are kept on request", in: whole + `, ports: [{port: 80, nodePort: 30080}]`,
			want: `healthCheckNodePort: 3, ports: [{port: 80, nodePort: 30080}]`, c: kept,
		},
		{
			name:     "those that were applied stay, by name",
			metadata: kubectl(`{"healthCheckNodePort":3,"ports":[{"name":"a","nodePort":30080},{"name":"b","nodePort":0},{"name":"c"}]}`),
			in:       whole + `, ports: [{name: a, nodePort: 30080}, {name: b, nodePort: 1}, {name: c, nodePort: 2}]`,
			want:     `healthCheckNodePort: 3, ports: [{name: a, nodePort: 30080}, {name: b}, {name: c}]`, c: service,
		},
		{
			name: "those that were applied stay, by number", metadata: kubectl(`{"ports":[{"nodePort":"30080"},{"nodePort":30081}]}`),
			in: `ports: [{nodePort: 30080}, {nodePort: 30081}, {nodePort: 30082}]`, want: `ports: [{nodePort: 30080}, {nodePort: 30081}, {}]`, c: service,
		},
		{
			name:    "those that a manager set stay",
			managed: managed(`{"f:spec": {"f:healthCheckNodePort": {}, "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {"f:nodePort": {}}, 'k:{"port":81,"protocol":"TCP"}': {"f:port": {}}}}}`),
			in:      `healthCheckNodePort: 3, ports: [{port: 80, protocol: TCP, nodePort: 1}, {port: 80, protocol: UDP, nodePort: 2}, {port: 81, protocol: TCP, nodePort: 3}]`,
			want:    `healthCheckNodePort: 3, ports: [{port: 80, protocol: TCP, nodePort: 1}, {port: 80, protocol: UDP}, {port: 81, protocol: TCP}]`, c: service,
		},
		{
			name: "what was applied comes before the managers", metadata: kubectl(`{"ports":[{"port":80}]}`),
			managed: managed(`{"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:nodePort": {}}}}}`),
			in:      `ports: [{port: 80, protocol: TCP, nodePort: 1}]`, want: `ports: [{port: 80, protocol: TCP}]`, c: service,
		},
		{
			name: "what cannot be read says nothing", metadata: `, annotations: {kubectl.kubernetes.io/last-applied-configuration: "{"}`,
			in: `ports: [{port: 80, nodePort: 1}]`, want: `ports: [{port: 80}]`, c: service,
		},
	} {
		const head = `{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop`
		table := applied{
			name: tt.name, c: tt.c,
			in: head + tt.metadata + tt.managed + `}, spec: {` + tt.in + `}}`, want: head + tt.metadata + `}, spec: {` + tt.want + `}}`,
		}
		table.run(t)
	}
}

func TestWorkloads(t *testing.T) {
	pod := Context{Target: ref("pods", "shop", "p"), APIVersion: "v1"}
	job := Context{Target: ref("jobs.batch", "shop", "j"), APIVersion: "batch/v1"}
	for _, tt := range []applied{
		{
			name: "a pod is freed from its node and token",
			in:   `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: n, priority: 5, preemptionPolicy: Never, ephemeralContainers: [{name: e}], serviceAccountName: web, volumes: [{name: kube-api-access-x}, {name: web-token-abc}, {name: default-token-x}, {name: data}], initContainers: [{volumeMounts: [{name: web-token-abc}]}], containers: [{name: c, volumeMounts: [{name: kube-api-access-x}, {name: data}]}]}}`,
			c:    pod,
			want: `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {serviceAccountName: web, volumes: [{name: default-token-x}, {name: data}], initContainers: [{}], containers: [{name: c, volumeMounts: [{name: data}]}]}}`,
		},
		{
			name: "what a class adds to a pod comes from the class",
			in:   `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {runtimeClassName: kata, overhead: {cpu: 1}}}`,
			c:    pod,
			want: `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {runtimeClassName: kata}}`,
		},
		{
			name: "a job loses its former identity",
			in:   `{apiVersion: batch/v1, kind: Job, metadata: {name: j, labels: {job-name: j, mine: x}, annotations: {batch.kubernetes.io/job-tracking: ""}}, spec: {selector: {matchLabels: {controller-uid: u}}, template: {metadata: {labels: {controller-uid: u, batch.kubernetes.io/job-name: j}}}}}`,
			c:    job,
			want: `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop, labels: {mine: x}}, spec: {template: {metadata: {}}}}`,
		},
		{
			name: "a job with a selector of its own keeps it",
			in:   `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}`,
			c:    job,
			want: `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}`,
		},
		{
			name: "an autoscaler loses the status that it had in annotations",
			in:   `{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h, annotations: {autoscaling.alpha.kubernetes.io/conditions: x, autoscaling.alpha.kubernetes.io/metrics: y}}}`,
			c:    Context{Target: ref("horizontalpodautoscalers.autoscaling", "shop", "h"), APIVersion: "autoscaling/v2"},
			want: `{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: h, namespace: shop, annotations: {autoscaling.alpha.kubernetes.io/metrics: y}}}`,
		},
		{
			name: "an empty selector of a disruption budget means no pod, as it did",
			in:   `{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: p}, spec: {selector: {}}}`,
			c:    Context{Target: ref("poddisruptionbudgets.policy", "shop", "p"), APIVersion: "policy/v1"},
			want: `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: p, namespace: shop}, spec: {selector: {matchExpressions: [{key: pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match, operator: Exists}]}}}`,
		},
		{
			name: "an empty selector of a newer disruption budget means every pod",
			in:   `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: p}, spec: {selector: {}}}`,
			c:    Context{Target: ref("poddisruptionbudgets.policy", "shop", "p"), APIVersion: "policy/v1"},
			want: `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: p, namespace: shop}, spec: {selector: {}}}`,
		},
		{
			name: "an ingress with two classes keeps the newer way to say it",
			in:   `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, annotations: {kubernetes.io/ingress.class: nginx}}, spec: {ingressClassName: contour}}`,
			c:    Context{Target: ref("ingresses.networking.k8s.io", "shop", "i"), APIVersion: "networking.k8s.io/v1"},
			want: `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: i, namespace: shop}, spec: {ingressClassName: contour}}`, notes: []string{"metadata.annotations[kubernetes.io/ingress.class]"},
		},
		{
			name: "an account keeps its secrets, but for the tokens that the cluster made",
			in:   `{apiVersion: v1, kind: ServiceAccount, metadata: {name: web}, secrets: [{name: web-token-abcde}, {name: registry}]}`,
			c:    Context{Target: ref("serviceaccounts", "shop", "web"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}, secrets: [{name: registry}]}`,
		},
		{
			name: "a token that a user asked for is to be filled in anew",
			in:   `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: s, annotations: {kubernetes.io/service-account.name: web, kubernetes.io/service-account.uid: u}}, data: {token: x, ca.crt: y, namespace: z, mine: m}}`,
			c:    Context{Target: ref("secrets", "shop", "s"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: s, namespace: shop, annotations: {kubernetes.io/service-account.name: web}}, data: {mine: m}}`,
		},
	} {
		tt.run(t)
	}
}

func TestExtensionsOfTheAPI(t *testing.T) {
	mapped := map[string]string{"shop": "copy"}
	definition := Context{Target: ref("customresourcedefinitions.apiextensions.k8s.io", "", "d"), APIVersion: "apiextensions.k8s.io/v1", Namespaces: mapped, Status: true}
	for _, tt := range []applied{
		{
			name: "the service of a webhook follows, and side effects that are refused are mended",
			in:   `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: w}, webhooks: [{name: a, sideEffects: Unknown, clientConfig: {caBundle: x, service: {namespace: shop, name: hook}}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}, matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [other, shop]}]}}, {name: b, sideEffects: NoneOnDryRun, clientConfig: {url: "https://hook.shop.svc:443/x"}}]}`,
			c:    Context{Target: ref("validatingwebhookconfigurations.admissionregistration.k8s.io", "", "w"), APIVersion: "admissionregistration.k8s.io/v1", Namespaces: mapped},
			want: `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: w}, webhooks: [{name: a, sideEffects: None, clientConfig: {caBundle: x, service: {namespace: copy, name: hook}}, namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}, matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [other, shop]}]}}, {name: b, sideEffects: NoneOnDryRun, clientConfig: {url: "https://hook.shop.svc:443/x"}}]}`,
			notes: []string{
				"webhooks[0].namespaceSelector.matchExpressions[0].values[1]", "webhooks[0].namespaceSelector.matchLabels.kubernetes.io/metadata.name", "webhooks[1].clientConfig.url",
			},
		},
		{
			name: "the service of an aggregated API follows",
			in:   `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, spec: {service: {namespace: shop, name: api}}, status: {conditions: []}}`,
			c:    Context{Target: ref("apiservices.apiregistration.k8s.io", "", "a"), APIVersion: "apiregistration.k8s.io/v1", Namespaces: mapped, Status: true},
			want: `{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: a}, spec: {service: {namespace: copy, name: api}}}`,
		},
		{
			name: "the service of a conversion follows, and what is no certificate is left to who injects it",
			in:   `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: d}, spec: {conversion: {webhook: {clientConfig: {caBundle: Cg==, service: {namespace: shop, name: s}}}}}, status: {storedVersions: [v1beta1]}}`,
			c:    definition,
			want: `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: d}, spec: {conversion: {webhook: {clientConfig: {service: {namespace: copy, name: s}}}}}}`,
		},
		{
			name: "a certificate stays, and unknown fields are preserved in the way that can be created",
			in:   `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: d}, spec: {preserveUnknownFields: true, versions: [{name: v1, schema: {openAPIV3Schema: {type: object}}}, {name: v2}], conversion: {webhook: {clientConfig: {caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}}}}}`,
			c:    definition,
			want: `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: d}, spec: {versions: [{name: v1, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}, {name: v2}], conversion: {webhook: {clientConfig: {caBundle: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==}}}}}`,
		},
	} {
		tt.run(t)
	}
}
