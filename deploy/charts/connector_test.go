package charts

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// renderExtension renders the extension's chart with values, by files; the release's namespace is ns.
func renderExtension(t *testing.T, set ...string) (map[string]string, error) {
	t.Helper()
	loaded, err := loader.Load(ExtensionFolder)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, given); err != nil {
			t.Fatal(err)
		}
	}
	all, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: "rel", Namespace: "ns", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Render(loaded, all)
}

// extensionObjects are what the extension's chart makes of values, as text, by "Kind namespace/name".
func extensionObjects(t *testing.T, set ...string) map[string]string {
	t.Helper()
	files, err := renderExtension(t, set...)
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]string{}
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			var head struct {
				Kind     string
				Metadata struct{ Name, Namespace string }
			}
			if err := yaml.Unmarshal([]byte(document), &head); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			if head.Kind == "" {
				continue
			}
			namespace := head.Metadata.Namespace
			if namespace == "" {
				namespace = "ns"
			}
			objects[head.Kind+" "+namespace+"/"+head.Metadata.Name] = document
		}
	}
	return objects
}

// mustObject reads an object strictly: what Kubernetes does not know, it would leave out in silence.
func mustObject[T any](t *testing.T, objects map[string]string, which string) (object T) {
	t.Helper()
	if objects[which] == "" {
		t.Fatalf("there is no %s", which)
	}
	if err := yaml.UnmarshalStrict([]byte(objects[which]), &object); err != nil {
		t.Fatalf("%s: %v\n%s", which, err, objects[which])
	}
	return object
}

// rulesOf is all that a ServiceAccount is allowed by the chart, by "namespace: " or "everywhere: ", one line for each rule.
func rulesOf(t *testing.T, objects map[string]string, account string) []string {
	t.Helper()
	var lines []string
	for which := range objects {
		kind, _, _ := strings.Cut(which, " ")
		var ref rbacv1.RoleRef
		var subjects []rbacv1.Subject
		where, in := "everywhere", "ns"
		switch kind {
		case "RoleBinding":
			b := mustObject[rbacv1.RoleBinding](t, objects, which)
			ref, subjects = b.RoleRef, b.Subjects
			if b.Namespace != "" {
				in = b.Namespace
			}
			where = in
		case "ClusterRoleBinding":
			b := mustObject[rbacv1.ClusterRoleBinding](t, objects, which)
			ref, subjects = b.RoleRef, b.Subjects
		}
		if !slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool { return s.Name == account && s.Namespace == "ns" }) {
			continue
		}
		if ref.Kind == "ClusterRole" {
			in = "ns" // Rendered without a namespace.
		}
		role := mustObject[rbacv1.ClusterRole](t, objects, ref.Kind+" "+in+"/"+ref.Name)
		for _, r := range role.Rules {
			lines = append(lines, strings.Join([]string{
				where, strings.Join(r.Verbs, ","), strings.Join(r.APIGroups, ","), strings.Join(r.Resources, ","), strings.Join(r.ResourceNames, ","),
			}, " | "))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestTheConnectorMayDoWhatItDoesAndNothingElse(t *testing.T) {
	always := []string{
		"everywhere | get |  | namespaces | kube-system",
		"everywhere | list | storage.k8s.io | storageclasses | ",
		"ns | get |  | configmaps | coffer-reader",
		"ns | get | clusterbackup.dataprotection.microsoft.com | backupstoragelocations | default",
		"ns | get,update |  | secrets | coffer-link",
		"ns-vaults | impersonate |  | serviceaccounts | ",
	}
	owner := []string{
		"everywhere | bind | rbac.authorization.k8s.io | clusterroles | backup-operator",
		"ns | create | rbac.authorization.k8s.io | rolebindings | ",
	}
	settings := slices.Clone(always)
	at := slices.IndexFunc(settings, func(rule string) bool { return strings.Contains(rule, "backupstoragelocations") })
	settings[at] = "ns | get,patch | clusterbackup.dataprotection.microsoft.com | backupstoragelocations | mine"
	for _, tt := range []struct {
		set  []string
		want []string
	}{
		{[]string{"connector.enabled=true"}, always},
		{[]string{"connector.enabled=true", "connector.allowBindingsByOwner=true"}, append(owner, always...)},
		{[]string{"connector.enabled=true", "connector.allowSettingsByOwner=true", "storageLocation.name=mine"}, settings},
		{[]string{"connector.enabled=false", "connector.allowSettingsByOwner=true"}, nil},
		{[]string{"connector.enabled=false", "connector.allowBindingsByOwner=true"}, nil},
	} {
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, rulesOf(t, extensionObjects(t, tt.set...), "coffer-connector")); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.set, diff)
		}
	}
}

func TestAServerThatDialsMayDoWhatAConnectorMayAndReachTheReader(t *testing.T) {
	dialled := []string{"connector.enabled=true", "connector.link=false", "connector.allowSettingsByOwner=true"}
	want := []string{
		"everywhere | get |  | namespaces | kube-system",
		"everywhere | list | storage.k8s.io | storageclasses | ",
		"ns | create |  | serviceaccounts/token | coffer-connector",
		"ns | get |  | configmaps | coffer-reader",
		"ns | get,create |  | pods/portforward | ",
		"ns | list |  | pods | ",
		"ns-vaults | impersonate |  | serviceaccounts | ",
	}
	objects := extensionObjects(t, dialled...)
	if diff := cmp.Diff(want, rulesOf(t, objects, "coffer-vault-server")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Its tokens are for the reader: whoever can make them has nothing else by that.
	if rules := rulesOf(t, objects, "coffer-connector"); len(rules) != 0 {
		t.Errorf("the connector's ServiceAccount may %v", rules)
	}
	for which := range objects {
		if which == "Deployment ns/coffer-connector" || strings.HasPrefix(which, "Secret ") {
			t.Errorf("there is a %s", which)
		}
	}
	mustObject[corev1.ServiceAccount](t, objects, "ServiceAccount ns/coffer-connector")
	// Who may forward ports finds nobody there who would not ask who it is.
	args := mustObject[appsv1.Deployment](t, objects, "Deployment ns/coffer-extension").Spec.Template.Spec.Containers[0].Args
	if !slices.Contains(args, "--serve-contents=false") || !slices.Contains(args, "--reader-address=:8083") {
		t.Errorf("the extension runs with %v", args)
	}
	if rules := rulesOf(t, extensionObjects(t, "connector.enabled=true"), "coffer-vault-server"); len(rules) != 0 {
		t.Errorf("beside a connector, it may %v", rules)
	}
}

func TestTheGuideShowsTheRolesOfAServerThatDials(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/joining.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	shown, _, _ := strings.Cut(rest, "```")
	objects := extensionObjects(t, "connector.enabled=true", "connector.link=false")
	documents := strings.Split(strings.ReplaceAll(shown, "dataprotection-microsoft", "ns"), "---\n")
	for _, text := range documents {
		var o struct {
			Kind     string
			Metadata metav1.ObjectMeta
			Rules    []rbacv1.PolicyRule
			RoleRef  rbacv1.RoleRef
			Subjects []rbacv1.Subject
		}
		if err := yaml.Unmarshal([]byte(text), &o); err != nil {
			t.Fatalf("%v:\n%s", err, text)
		}
		in := o.Metadata.Namespace
		if in == "" {
			in = "ns"
		}
		want := o
		want.Rules, want.Subjects, want.RoleRef = nil, nil, rbacv1.RoleRef{}
		if err := yaml.Unmarshal([]byte(objects[o.Kind+" "+in+"/"+o.Metadata.Name]), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{want.Rules, want.RoleRef, want.Subjects}, []any{o.Rules, o.RoleRef, o.Subjects}); diff != "" {
			t.Errorf("%s %s in the guide (-chart +guide):\n%s", o.Kind, o.Metadata.Name, diff)
		}
	}
	if len(documents) != 6 {
		t.Errorf("the guide has %d objects", len(documents))
	}
}

func TestAServerThatDialsGivesNoVaultAccess(t *testing.T) {
	_, err := renderExtension(t, "connector.enabled=true", "connector.link=false", "connector.allowBindingsByOwner=true")
	if err == nil || !strings.Contains(err.Error(), "connector.allowBindingsByOwner") || !strings.Contains(err.Error(), "trusted-access rolebinding approve") {
		t.Errorf("%v", err)
	}
}

func TestNobodyIsABackupOperatorByTheChart(t *testing.T) {
	for _, set := range []string{"connector.enabled=true", "connector.enabled=false"} {
		objects := extensionObjects(t, set, "connector.allowBindingsByOwner=true")
		mustObject[rbacv1.ClusterRole](t, objects, "ClusterRole ns/backup-operator")
		for which, text := range objects {
			if strings.Contains(which, "Binding ") && strings.Contains(text, "name: backup-operator") {
				t.Errorf("%s: %s binds it:\n%s", set, which, text)
			}
		}
	}
}

func TestTheRoleOfVaultsIsTheOneThatTheServerShows(t *testing.T) {
	role := mustObject[rbacv1.ClusterRole](t, extensionObjects(t), "ClusterRole ns/backup-operator")
	var want []rbacv1.PolicyRule
	for _, r := range vault.BackupOperatorRules() {
		want = append(want, rbacv1.PolicyRule{Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources})
	}
	if diff := cmp.Diff(want, role.Rules); diff != "" {
		t.Errorf("(-server +chart):\n%s", diff)
	}
}

func TestTheReaderMayAskTheAPIServerWhoSomebodyIs(t *testing.T) {
	objects := extensionObjects(t, "connector.enabled=true", "permissions.profile=backup")
	got := rulesOf(t, objects, "coffer-extension")
	for _, want := range []string{
		"everywhere | create | authentication.k8s.io | tokenreviews | ", "everywhere | create | authorization.k8s.io | subjectaccessreviews | ",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("it lacks %q: %q", want, got)
		}
	}
	extension := mustObject[appsv1.Deployment](t, objects, "Deployment ns/coffer-extension")
	connector := mustObject[appsv1.Deployment](t, objects, "Deployment ns/coffer-connector")
	service := mustObject[corev1.Service](t, objects, "Service ns/coffer-extension-reader")
	if !selects(service.Spec.Selector, extension.Spec.Template.Labels) || selects(service.Spec.Selector, connector.Spec.Template.Labels) {
		t.Errorf("the Service selects %v", service.Spec.Selector)
	}
	if selects(extension.Spec.Selector.MatchLabels, connector.Spec.Template.Labels) || !selects(connector.Spec.Selector.MatchLabels, connector.Spec.Template.Labels) {
		t.Error("the Deployments take each other's pods")
	}
	container := extension.Spec.Template.Spec.Containers[0]
	for _, want := range []string{"--reader-address=:8083", "--vaults-namespace=ns-vaults"} {
		if !slices.Contains(container.Args, want) {
			t.Errorf("it lacks %s: %q", want, container.Args)
		}
	}
	if want := "ns | update |  | secrets | coffer-reader-tls"; !slices.Contains(got, want) {
		t.Errorf("it lacks %q: %q", want, got)
	}
}

func TestThereIsNoReaderWithoutAConnector(t *testing.T) {
	objects := extensionObjects(t, "permissions.profile=backup")
	if text := strings.Join(mustObject[appsv1.Deployment](t, objects, "Deployment ns/coffer-extension").Spec.Template.Spec.Containers[0].Args, " "); strings.Contains(text, "reader-address") {
		t.Errorf("the extension is run with %s", text)
	}
	for _, rule := range rulesOf(t, objects, "coffer-extension") {
		if strings.Contains(rule, "reviews") || strings.Contains(rule, "coffer-reader-tls") {
			t.Errorf("the extension may %s", rule)
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

func TestTheConnectorIsConfined(t *testing.T) {
	d := mustObject[appsv1.Deployment](t, extensionObjects(t, "connector.enabled=true", "image.tag=v1", "connector.extraArgs={--x}"), "Deployment ns/coffer-connector")
	pod, own := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser != 65532 || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pod runs as %+v", pod.SecurityContext)
	}
	if !*own.SecurityContext.ReadOnlyRootFilesystem || *own.SecurityContext.AllowPrivilegeEscalation || !slices.Equal(own.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("it runs as %+v", own.SecurityContext)
	}
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || pod.ServiceAccountName != "coffer-connector" {
		t.Errorf("%d replicas by %s as %s", *d.Spec.Replicas, d.Spec.Strategy.Type, pod.ServiceAccountName)
	}
	if own.Resources.Requests.Memory().String() != "64Mi" || own.Resources.Limits.Memory().String() != "128Mi" {
		t.Errorf("it has %+v", own.Resources)
	}
	for _, want := range []string{
		"connect", "--namespace=ns", "--join-token-file=/join/token", "--reader-url=https://coffer-extension-reader.ns.svc:8083", "--reader-token-file=/var/run/reader/token", "--x",
	} {
		if !slices.Contains(own.Args, want) {
			t.Errorf("it is not told %s: %q", want, own.Args)
		}
	}
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	if join := volumes["join"].Secret; join == nil || join.SecretName != "coffer-join" || !*join.Optional || *join.DefaultMode != 0o440 {
		t.Errorf("the join token is in %+v", join)
	}
	if token := volumes["reader"].Projected.Sources[0].ServiceAccountToken; token.Audience != "coffer-extension" || *token.ExpirationSeconds != 3600 || token.Path != "token" {
		t.Errorf("the reader's token is %+v", token)
	}
}

func TestWhatTheConnectorKeepsOutlivesTheChart(t *testing.T) {
	objects := extensionObjects(t, "connector.enabled=true")
	link := mustObject[corev1.Secret](t, objects, "Secret ns/coffer-link")
	if link.Annotations["helm.sh/resource-policy"] != "keep" || link.Data != nil || link.StringData != nil || link.Type != corev1.SecretTypeOpaque {
		t.Errorf("%+v", link)
	}
	namespace := mustObject[corev1.Namespace](t, objects, "Namespace ns/ns-vaults")
	if namespace.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Errorf("%+v", namespace)
	}
}

func TestAJoinTokenInTheValuesIsASecret(t *testing.T) {
	objects := extensionObjects(t, "connector.enabled=true", "connector.joinToken=coffer-join-x")
	if join := mustObject[corev1.Secret](t, objects, "Secret ns/coffer-join"); join.StringData["token"] != "coffer-join-x" {
		t.Errorf("%+v", join.StringData)
	}
	for which, text := range objects {
		if which != "Secret ns/coffer-join" && strings.Contains(text, "coffer-join-x") {
			t.Errorf("%s has the token", which)
		}
	}
	without := extensionObjects(t, "connector.enabled=true", "connector.joinTokenDigest=abc")
	if without["Secret ns/coffer-join"] != "" {
		t.Error("there is a Secret without a token")
	}
	digests := map[string]bool{}
	for _, o := range []map[string]string{objects, without, extensionObjects(t, "connector.enabled=true", "connector.joinToken=coffer-join-y")} {
		digests[mustObject[appsv1.Deployment](t, o, "Deployment ns/coffer-connector").Spec.Template.Annotations["coffer.dev/join-token-digest"]] = true
	}
	if len(digests) != 3 {
		t.Errorf("another token does not restart the connector: %v", digests)
	}
}

func TestWithoutAConnectorTheChartIsAsItWas(t *testing.T) {
	for which := range extensionObjects(t) {
		if strings.Contains(which, "connector") || strings.Contains(which, "vaults") || strings.Contains(which, "reader") || strings.Contains(which, "coffer-join") {
			t.Errorf("there is %s", which)
		}
	}
}
