package charts

import (
	"path"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// refuse judges a spec as the API server would, and answers its complaints.
type refuse func(t *testing.T, spec string) string

func newRefuse(t *testing.T, resource string) refuse {
	t.Helper()
	data, err := Extension.ReadFile(path.Join(ExtensionFolder, "crds", "clusterbackup.dataprotection.microsoft.com_"+resource+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &definition); err != nil {
		t.Fatal(err)
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &internal, nil); err != nil {
		t.Fatal(err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		t.Fatal(err)
	}
	rules := cel.NewValidator(structural, true, celconfig.PerCallLimit)
	shape, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, spec string) string {
		t.Helper()
		var object map[string]any
		if err := yaml.Unmarshal([]byte("{metadata: {name: x}, spec: "+spec+"}"), &object); err != nil {
			t.Fatal(err)
		}
		var complaints []string
		for _, complaint := range validation.ValidateCustomResource(nil, object, shape) {
			complaints = append(complaints, complaint.Error())
		}
		found, _ := rules.Validate(t.Context(), nil, structural, object, nil, celconfig.RuntimeCELCostBudget)
		for _, complaint := range found {
			complaints = append(complaints, complaint.Error())
		}
		return strings.Join(complaints, "; ")
	}
}

func TestBackupsThatMakeNoSenseAreRefusedByTheAPIServer(t *testing.T) {
	judge := newRefuse(t, "backups")
	many := "[" + strings.Repeat("a,", 800) + "a]"
	for _, tt := range []struct{ name, spec, want string }{
		{"everything", `{}`, ""},
		{"every filter", `{includedNamespaces: ["a*"], excludedNamespaces: [b], includedResourceTypes: [v1/Secret], excludedResourceTypes: ["*.apps"],
			labelSelectors: ["a=b"], orLabelSelectors: [c, d], onlyNeededClusterScopeResources: true, allowEmpty: true,
			volumePolicies: [{conditions: {capacity: "1Gi,", storageClass: [x], csi: {driver: d}, pvcLabels: {a: b}, pvcPhase: [Bound]}, action: {type: skip}}]}`, ""},
		{"single objects", `{includedObjects: [{type: v1/Secret, namespace: a, name: b}, {type: clusterroles, name: "a:b"}]}`, ""},
		{"a single object without a name", `{includedObjects: [{type: v1/Secret, namespace: a}]}`, "spec.includedObjects[0].name: Required"},
		{"more namespaces than can be named", `{includedNamespaces: ` + many + `}`, "must have at most 800 items"},
		{"an action of Velero's that is none here", `{volumePolicies: [{action: {type: fs-backup}}]}`, `supported values: "snapshot", "skip"`},
		{"a policy without action", `{volumePolicies: [{conditions: {capacity: "1,2"}}]}`, "spec.volumePolicies[0].action: Required"},
		{"a phase that is none", `{volumePolicies: [{conditions: {pvcPhase: [Broken]}, action: {type: skip}}]}`, "spec.volumePolicies[0].conditions.pvcPhase[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(t, tt.spec)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the API server says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLocationsThatMakeNoSenseAreRefusedByTheAPIServer(t *testing.T) {
	judge := newRefuse(t, "backupstoragelocations")
	for _, tt := range []struct{ name, spec, want string }{
		{"a filesystem", `{provider: filesystem, container: backups}`, ""},
		{"a filesystem with credentials", `{provider: filesystem, container: backups, credentialsSecretRef: {name: x}}`, "a filesystem needs none"},
		{"a filesystem with a prefix", `{provider: filesystem, container: backups, prefix: x}`, "name another container"},
		{"a folder of S3's characters", `{provider: filesystem, container: a.b}`, "lower-case letters, digits and single hyphens"},
		{"Azure", `{provider: azure, container: backups, azure: {storageAccount: acc1}}`, ""},
		{"Azure without an account", `{provider: azure, container: backups}`, "azure, with its storageAccount"},
		{"Azure with an empty part", `{provider: azure, container: backups, azure: {}}`, "spec.azure.storageAccount: Required"},
		{"Azure with S3's part", `{provider: azure, container: backups, azure: {storageAccount: acc1}, s3: {region: x}}`, "s3 is for provider s3"},
		{"Azure with a bucket's name", `{provider: azure, container: a--b, azure: {storageAccount: acc1}}`, "single hyphens"},
		{"Azure with a query in the URL", `{provider: azure, container: backups, azure: {storageAccount: acc1, endpoint: "https://x?sig=1"}}`, "spec.azure.endpoint"},
		{"S3 of Amazon", `{provider: s3, container: a--b.c, prefix: a/b-c_D.1}`, ""},
		{"S3 of somebody", `{provider: s3, container: backups, s3: {endpoint: "http://127.0.0.1:1", forcePathStyle: true}, credentialsSecretRef: {name: x}}`, ""},
		{"S3 with Azure's part", `{provider: s3, container: backups, azure: {storageAccount: acc1}}`, "azure, with its storageAccount"},
		{"S3 with a prefix that leads elsewhere", `{provider: s3, container: backups, prefix: ../x}`, "spec.prefix"},
		{"S3 with a prefix of slashes", `{provider: s3, container: backups, prefix: a//b}`, "spec.prefix"},
		{"GCS", `{provider: gcs, container: a_b}`, ""},
		{"GCS with S3's part", `{provider: gcs, container: backups, s3: {}}`, "s3 is for provider s3"},
		{"an emulator with credentials", `{provider: gcs, container: backups, gcs: {anonymous: true}, credentialsSecretRef: {name: x}}`, "asks without credentials"},
		{"a Secret without a name", `{provider: gcs, container: backups, credentialsSecretRef: {name: ""}}`, "spec.credentialsSecretRef.name"},
		{"a provider that is none", `{provider: ftp, container: backups}`, "spec.provider"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(t, tt.spec)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the API server says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRestoreTestsThatMakeNoSenseAreRefusedByTheAPIServer(t *testing.T) {
	judge := newRefuse(t, "restoretests")
	check := func(text string) string { return `{backupName: a, checks: [{name: a, namespace: shop, ` + text + `}]}` }
	for _, tt := range []struct{ name, spec, want string }{
		{"nothing but a name", `{backupName: a}`, ""},
		{"a command", check(`exec: {podSelector: app=db, command: [x]}`), ""},
		{"a request", check(`timeout: 5m, http: {service: web, port: "80", path: "/a?b"}`), ""},
		{"a query", check(`sql: {pod: db-0, query: select 1, expected: "1"}`), ""},
		{"nothing to test", `{}`, "spec.backupName: Required"},
		{"a check of nothing", `{backupName: a, checks: [{name: a, namespace: shop}]}`, "exactly one of exec, http and sql"},
		{"a check of two things", check(`exec: {pod: a, command: [x]}, sql: {pod: a, query: x, expected: ""}`), "exactly one of exec, http and sql"},
		{"a command in no pod", check(`exec: {command: [x]}`), "name a pod, or give a podSelector"},
		{"a query in two pods", check(`sql: {pod: a, podSelector: b=c, query: x, expected: ""}`), "name a pod, or give a podSelector"},
		{"no command", check(`exec: {pod: a, command: []}`), "should have at least 1 items"},
		{"a request to nobody", check(`http: {port: "80"}`), "name a service, or a pod"},
		{"a Service that leads elsewhere", check(`http: {service: ../x, port: "80"}`), "spec.checks[0].http.service"},
		{"a port that leads elsewhere", check(`http: {service: x, port: 80/../..}`), "spec.checks[0].http.port"},
		{"no time", check(`timeout: 0s, exec: {pod: a, command: [x]}`), "timeout is more than 0s"},
		{"a variable that is a script", check(`sql: {pod: a, passwordVariable: "x;y", query: x, expected: ""}`), "spec.checks[0].sql.passwordVariable"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(t, tt.spec)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the API server says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestValidationsThatMakeNoSenseAreRefusedByTheAPIServer(t *testing.T) {
	for _, tt := range []struct{ name, resource, spec, want string }{
		{"a backup of everything", "validateforbackups", `{}`, ""},
		{"a backup with filters", "validateforbackups", `{backup: {includedNamespaces: ["a*"], volumePolicies: [{action: {type: skip}}]}}`, ""},
		{"a policy without action", "validateforbackups", `{backup: {volumePolicies: [{conditions: {capacity: "1,2"}}]}}`, "spec.backup.volumePolicies[0].action: Required"},
		{"a restore", "validateforrestores", `{restore: {backupName: a, namespaceMappings: {a: b}}}`, ""},
		{"a restore of nothing", "validateforrestores", `{restore: {}}`, "spec.restore.backupName: Required"},
		{"no restore", "validateforrestores", `{}`, "spec.restore: Required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := newRefuse(t, tt.resource)(t, tt.spec)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("the API server says %q, want %q", got, tt.want)
			}
		})
	}
}
