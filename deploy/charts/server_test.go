package charts

import (
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

const serverChart = "coffer-server"

// onPostgres are the values that several replicas need.
var onPostgres = []string{
	"replicas=3", "database.type=postgres", "database.secret=db", "encryption.secret=enc", "administrator.secret=adm",
}

// rendered is what the server's chart makes of values.
type rendered struct {
	deployment  appsv1.Deployment
	pod         corev1.PodSpec
	server      corev1.Container
	service     corev1.Service
	account     corev1.ServiceAccount
	claim       *corev1.PersistentVolumeClaim
	disruptions *policyv1.PodDisruptionBudget
	network     *networkingv1.NetworkPolicy
	notes       string
}

// render makes the files of the chart.
func render(t *testing.T, set ...string) (map[string]string, error) {
	t.Helper()
	loaded, err := loader.Load(serverChart)
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
		return nil, err
	}
	return engine.Render(loaded, all)
}

func mustRender(t *testing.T, set ...string) rendered {
	t.Helper()
	files, err := render(t, set...)
	if err != nil {
		t.Fatal(err)
	}
	r := rendered{notes: files[serverChart+"/templates/NOTES.txt"]}
	read := func(name string, into any) bool {
		text := files[serverChart+"/templates/"+name]
		// Strictly: what Kubernetes does not know, it would leave out in silence.
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		return strings.TrimSpace(text) != ""
	}
	var claim corev1.PersistentVolumeClaim
	var disruptions policyv1.PodDisruptionBudget
	var network networkingv1.NetworkPolicy
	read("deployment.yaml", &r.deployment)
	read("service.yaml", &r.service)
	read("serviceaccount.yaml", &r.account)
	if read("storage.yaml", &claim) {
		r.claim = &claim
	}
	if read("disruption.yaml", &disruptions) {
		r.disruptions = &disruptions
	}
	if read("networkpolicy.yaml", &network) {
		r.network = &network
	}
	r.pod = r.deployment.Spec.Template.Spec
	r.server = r.pod.Containers[0]
	return r
}

// volume is a volume of the pod that is mounted at a folder.
func (r rendered) volume(t *testing.T, folder string) corev1.Volume {
	t.Helper()
	for _, m := range r.server.VolumeMounts {
		if m.MountPath != folder {
			continue
		}
		for _, v := range r.pod.Volumes {
			if v.Name == m.Name {
				return v
			}
		}
	}
	t.Fatalf("nothing is mounted at %s", folder)
	return corev1.Volume{}
}

// mustMount checks that an argument names a file of a Secret that the server's group can read, and nobody else.
func (r rendered) mustMount(t *testing.T, flag, file, secret string) {
	t.Helper()
	if !slices.Contains(r.server.Args, flag+"="+file) {
		t.Errorf("%s is not %s: %q", flag, file, r.server.Args)
	}
	source := r.volume(t, path.Dir(file)).Secret
	named := func(item corev1.KeyToPath) bool { return item.Key == path.Base(file) && item.Path == item.Key }
	if source == nil || source.SecretName != secret || source.DefaultMode == nil || *source.DefaultMode != 0o440 || !slices.ContainsFunc(source.Items, named) {
		t.Errorf("%s is in %+v", file, source)
	}
}

func TestTheServerIsConfined(t *testing.T) {
	for name, r := range map[string]rendered{"with SQLite": mustRender(t), "with PostgreSQL": mustRender(t, onPostgres...)} {
		pod, own := r.pod.SecurityContext, r.server.SecurityContext
		if !*pod.RunAsNonRoot || *pod.RunAsUser != 65532 || *pod.RunAsGroup != 65532 || *pod.FSGroup != 65532 || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod runs as %+v", name, pod)
		}
		if !*own.ReadOnlyRootFilesystem || *own.AllowPrivilegeEscalation || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) || own.Capabilities.Add != nil {
			t.Errorf("%s: the server runs as %+v", name, own)
		}
		if *r.pod.AutomountServiceAccountToken || *r.account.AutomountServiceAccountToken || r.pod.ServiceAccountName != r.account.Name {
			t.Errorf("%s: it gets a token", name)
		}
		others := slices.DeleteFunc(slices.Clone(r.server.Env[1:]), func(e corev1.EnvVar) bool { return e.Name == "POD_IP" })
		if len(others) != 0 || r.server.Env[0].Name != "GOMEMLIMIT" || r.server.Env[0].ValueFrom.ResourceFieldRef.Resource != "limits.memory" || r.server.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: %+v", name, r.server.Env)
		}
		for probe, p := range map[string]*corev1.Probe{"startup": r.server.StartupProbe, "liveness": r.server.LivenessProbe, "readiness": r.server.ReadinessProbe} {
			if p.HTTPGet.Port.StrVal != "status" || p.TimeoutSeconds < 5 || p.PeriodSeconds*p.FailureThreshold < 15 {
				t.Errorf("%s: the %s probe is %+v", name, probe, p)
			}
		}
		for _, port := range r.service.Spec.Ports {
			if port.TargetPort.StrVal != "https" && port.TargetPort.StrVal != "link" {
				t.Errorf("%s: the Service leads to %s", name, port.TargetPort.String())
			}
		}
		for label, value := range r.service.Spec.Selector {
			if r.deployment.Spec.Selector.MatchLabels[label] != value || r.deployment.Spec.Template.Labels[label] != value {
				t.Errorf("%s: the Service selects other pods by %s", name, label)
			}
		}
	}
}

func TestOneServerKeepsEverythingInAClaimThatStays(t *testing.T) {
	r := mustRender(t)
	if r.claim == nil || r.claim.Annotations["helm.sh/resource-policy"] != "keep" || r.claim.Spec.AccessModes[0] != corev1.ReadWriteOnce {
		t.Fatalf("the claim is %+v", r.claim)
	}
	if got := r.volume(t, "/var/lib/coffer").PersistentVolumeClaim; got == nil || got.ClaimName != r.claim.Name {
		t.Errorf("the data folder is %+v", got)
	}
	if r.deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *r.deployment.Spec.Replicas != 1 {
		t.Errorf("%d replicas, %s", *r.deployment.Spec.Replicas, r.deployment.Spec.Strategy.Type)
	}
	if r.disruptions != nil || r.network != nil || r.pod.TopologySpreadConstraints != nil {
		t.Error("one replica has what is for several")
	}
	for _, arg := range r.server.Args {
		for _, flag := range []string{"--url", "--config", "--database", "--encryption-key", "--admin-credential", "--tls", "--oidc"} {
			if strings.HasPrefix(arg, flag) {
				t.Errorf("it is told %s", arg)
			}
		}
	}
	for _, words := range []string{"exec deployment/coffer-server -- coffer-server admin-credential --data-dir /var/lib/coffer", "port-forward", "kept when"} {
		if !strings.Contains(r.notes, words) {
			t.Errorf("the notes lack %q:\n%s", words, r.notes)
		}
	}

	own := mustRender(t, "persistence.existingClaim=mine")
	if own.claim != nil || own.volume(t, "/var/lib/coffer").PersistentVolumeClaim.ClaimName != "mine" {
		t.Error("a claim of one's own is not used")
	}
	set := mustRender(t, "persistence.size=1Gi", "persistence.storageClassName=fast", "persistence.accessMode=ReadWriteOncePod")
	if got := set.claim.Spec; *got.StorageClassName != "fast" || got.AccessModes[0] != corev1.ReadWriteOncePod || !got.Resources.Requests.Storage().Equal(resource.MustParse("1Gi")) {
		t.Errorf("the claim is %+v", got)
	}
}

func TestReplicasShareWhatTheyMustNotLose(t *testing.T) {
	r := mustRender(t, onPostgres...)
	r.mustMount(t, "--config", "/etc/coffer/database/config.yaml", "db")
	r.mustMount(t, "--encryption-key", "/etc/coffer/encryption/encryption.key", "enc")
	r.mustMount(t, "--admin-credential", "/etc/coffer/administrator/credential.json", "adm")
	if optional := r.volume(t, "/etc/coffer/administrator").Secret.Optional; optional == nil || !*optional {
		t.Error("the credential cannot be deleted once it was used")
	}
	if data := r.volume(t, "/var/lib/coffer").EmptyDir; data == nil || data.Medium != corev1.StorageMediumMemory || r.claim != nil {
		t.Errorf("the data folder is %+v", data)
	}
	if r.deployment.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || *r.deployment.Spec.Replicas != 3 {
		t.Errorf("%d replicas, %s", *r.deployment.Spec.Replicas, r.deployment.Spec.Strategy.Type)
	}
	if r.disruptions == nil || r.disruptions.Spec.MaxUnavailable.IntValue() != 1 || len(r.pod.TopologySpreadConstraints) != 2 {
		t.Error("they may all go at once")
	}
	if !strings.Contains(r.notes, "delete secret adm") {
		t.Errorf("the notes are:\n%s", r.notes)
	}
	// By a KMS there is no Secret of a key.
	kms := mustRender(t, append(slices.Clone(onPostgres), "encryption.secret=", "encryption.keyService=awskms://alias/x?region=eu-central-1", `podLabels.azure\.workload\.identity/use=a`)...)
	if !slices.Contains(kms.server.Args, "--encryption-key=awskms://alias/x?region=eu-central-1") || kms.deployment.Spec.Template.Labels["azure.workload.identity/use"] != "a" {
		t.Errorf("%q", kms.server.Args)
	}
	one := mustRender(t, append(slices.Clone(onPostgres), "replicas=1")...)
	if one.disruptions != nil {
		t.Error("one replica can never be drained")
	}
}

func TestTheServerIsReachedByItsNames(t *testing.T) {
	names := func(r rendered) string {
		var found []string
		for _, arg := range r.server.Args {
			if name, ok := strings.CutPrefix(arg, "--hostname="); ok {
				found = append(found, name)
			}
		}
		return strings.Join(found, " ")
	}
	const own = "coffer-server.ns.svc coffer-server.ns.svc.cluster.local coffer-server.ns coffer-server"
	const local = " localhost 127.0.0.1 ::1"
	for url, want := range map[string]string{
		"": "", "https://vaults.example.com": "vaults.example.com ", "https://vaults.example.com:8443": "vaults.example.com ",
		"https://[2001:db8::1]:8443": "2001:db8::1 ", "https://[2001:db8::1]": "2001:db8::1 ",
	} {
		r := mustRender(t, "url="+url, "hostnames={other.example,192.0.2.1}")
		if got := names(r); got != want+own+" other.example 192.0.2.1"+local {
			t.Errorf("%s: %s", url, got)
		}
		if (url != "") != slices.Contains(r.server.Args, "--url="+url) {
			t.Errorf("%s: %q", url, r.server.Args)
		}
	}
	r := mustRender(t, "service.type=LoadBalancer", "service.port=443", "service.externalTrafficPolicy=Local", "service.loadBalancerSourceRanges={192.0.2.0/24}",
		"service.annotations.a=b", "url=https://vaults.example.com", "tls.secret=cert")
	if s := r.service.Spec; s.Ports[0].Port != 443 || s.Type != corev1.ServiceTypeLoadBalancer || s.LoadBalancerSourceRanges[0] != "192.0.2.0/24" || r.service.Annotations["a"] != "b" {
		t.Errorf("the Service is %+v", s)
	}
	r.mustMount(t, "--tls-cert", "/etc/coffer/tls/tls.crt", "cert")
	r.mustMount(t, "--tls-key", "/etc/coffer/tls/tls.key", "cert")
	if strings.Contains(r.notes, "port-forward") || !strings.Contains(r.notes, "https://vaults.example.com") {
		t.Errorf("the notes are:\n%s", r.notes)
	}
}

func TestIssuersAndNetworksAreAsTheyAreSet(t *testing.T) {
	r := mustRender(t, "oidc.issuer=https://login.example.com/v2.0", "oidc.audience=api://coffer", "oidc.groupsClaim=roles", "trustedAuthorities.configMap=ours",
		"networkPolicy.enabled=true", "networkPolicy.from[0].podSelector.matchLabels.a=b", "networkPolicy.statusFrom[0].namespaceSelector.matchLabels.c=d")
	for _, arg := range []string{"--oidc-issuer=https://login.example.com/v2.0", "--oidc-audience=api://coffer", "--oidc-groups-claim=roles"} {
		if !slices.Contains(r.server.Args, arg) {
			t.Errorf("it is not told %s: %q", arg, r.server.Args)
		}
	}
	if r.volume(t, "/etc/coffer/authorities").ConfigMap.Name != "ours" || r.server.Env[1].Value != "/etc/coffer/authorities" {
		t.Errorf("%+v", r.server.Env)
	}
	rules := slices.DeleteFunc(slices.Clone(r.network.Spec.Ingress), func(r networkingv1.NetworkPolicyIngressRule) bool { return r.Ports[0].Port.StrVal == "link" })
	if len(rules) != 2 || rules[0].Ports[0].Port.StrVal != "https" || rules[0].From[0].PodSelector.MatchLabels["a"] != "b" || rules[1].Ports[0].Port.StrVal != "status" ||
		rules[1].From[0].NamespaceSelector.MatchLabels["c"] != "d" || len(r.network.Spec.PolicyTypes) != 1 {
		t.Errorf("the policy is %+v", r.network.Spec)
	}
	open := mustRender(t, "networkPolicy.enabled=true", "link.enabled=false", "networkPolicy.egress[0].ports[0].port=5432").network.Spec
	if len(open.Ingress) != 1 || open.Ingress[0].From != nil || len(open.Egress) != 1 || len(open.PolicyTypes) != 2 {
		t.Errorf("the policy is %+v", open)
	}
}

func TestQuotasAreAsTheyAreSet(t *testing.T) {
	for _, tt := range []struct {
		set  []string
		want string
	}{{nil, ""}, {[]string{"quotas={aks,restores=20}"}, "--quotas=aks,restores=20"}} {
		got := ""
		for _, arg := range mustRender(t, tt.set...).server.Args {
			if strings.HasPrefix(arg, "--quotas") {
				got += arg
			}
		}
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.set, got, tt.want)
		}
	}
}

func TestClustersReachTheServer(t *testing.T) {
	r := mustRender(t, "url=https://vaults.example.com", "networkPolicy.enabled=true", "networkPolicy.linkFrom[0].ipBlock.cidr=192.0.2.0/24")
	last := r.network.Spec.Ingress[1]
	if !slices.Contains(r.server.Args, "--link-listen=:8445") || r.service.Spec.Ports[1].Port != 8445 || r.service.Spec.Ports[1].TargetPort.StrVal != "link" ||
		r.server.Ports[2].ContainerPort != 8445 || last.Ports[0].Port.StrVal != "link" || last.From[0].IPBlock.CIDR != "192.0.2.0/24" || len(r.network.Spec.Ingress) != 2 {
		t.Errorf("%q, %+v, %+v", r.server.Args, r.service.Spec.Ports, r.network.Spec)
	}
	told := mustRender(t, "link.address=links.example.com:443", "link.port=443")
	if !slices.Contains(told.server.Args, "--link-address=links.example.com:443") || told.service.Spec.Ports[1].Port != 443 {
		t.Errorf("%q, %+v", told.server.Args, told.service.Spec.Ports)
	}
	none := mustRender(t, "link.enabled=false", "networkPolicy.enabled=true")
	if !slices.Contains(none.server.Args, "--link-listen=") || len(none.service.Spec.Ports) != 1 || len(none.server.Ports) != 2 || len(none.network.Spec.Ingress) != 1 {
		t.Errorf("%q, %+v, %+v", none.server.Args, none.service.Spec.Ports, none.network.Spec)
	}
}

func TestReplicasReachEachOther(t *testing.T) {
	set := append(slices.Clone(onPostgres), "networkPolicy.enabled=true", "networkPolicy.from[0].podSelector.matchLabels.a=b", "networkPolicy.egress[0].ports[0].port=5432")
	r := mustRender(t, set...)
	own := r.deployment.Spec.Selector.MatchLabels
	in, out := r.network.Spec.Ingress, r.network.Spec.Egress
	env := r.server.Env[len(r.server.Env)-1]
	if !slices.Contains(r.server.Args, "--replica-url=https://$(POD_IP):8443") || env.Name != "POD_IP" || env.ValueFrom.FieldRef.FieldPath != "status.podIP" {
		t.Errorf("%q, %+v", r.server.Args, r.server.Env)
	}
	if len(in) != 3 || in[2].Ports[0].Port.StrVal != "https" || !selects(in[2].From[0].PodSelector.MatchLabels, own) || len(out) != 2 || !selects(out[1].To[0].PodSelector.MatchLabels, own) {
		t.Errorf("the policy is %+v", r.network.Spec)
	}
	for _, arg := range mustRender(t, append(set, "replicas=1")...).server.Args {
		if strings.HasPrefix(arg, "--replica-url") {
			t.Errorf("one alone has %s", arg)
		}
	}
}

func TestValuesThatFitNoServerAreRefused(t *testing.T) {
	without := func(value string) []string {
		return slices.DeleteFunc(slices.Clone(onPostgres), func(s string) bool { return strings.HasPrefix(s, value+"=") })
	}
	with := func(set ...string) []string { return append(slices.Clone(onPostgres), set...) }
	for _, c := range []struct {
		name string
		set  []string
		says string
	}{
		{"replicas of SQLite", []string{"replicas=2"}, "replicas is 2, and SQLite is for one"},
		{"SQLite with PostgreSQL's Secret", []string{"database.secret=db"}, "set database.type=postgres"},
		{"PostgreSQL without its Secret", without("database.secret"), "kubectl create secret generic coffer-database"},
		{"PostgreSQL without a key", without("encryption.secret"), "kubectl create secret generic coffer-encryption"},
		{"PostgreSQL without an administrator", without("administrator.secret"), "coffer-server new-credential"},
		{"PostgreSQL with a claim", with("persistence.existingClaim=x"), "persistence.existingClaim is for SQLite"},
		{"another database", []string{"database.type=mysql"}, "/database/type"},
		{"the database in an argument", []string{"extraArgs={--database=postgres://u:verysecret@h/d}"}, "everybody who may see pods"},
		{"a quota that there is none of", []string{"quotas={aks,backups=1}"}, "/quotas/1"},
		{"two keys", with("encryption.keyService=awskms://x"), "two keys"},
		{"a key instead of its url", with("encryption.secret=", "encryption.keyService=verysecret"), "belongs into a Secret"},
		{"a certificate without its key", []string{"tls.secret=x", "tls.key="}, "tls.certificate and tls.key go together"},
		{"a key without its certificate", []string{"tls.secret=x", "tls.certificate="}, "tls.certificate and tls.key go together"},
		{"names of a Secret that is not", []string{"tls.certificate=chain.pem"}, "the Secret tls.secret, which is empty"},
		{"a certificate as a value", []string{"tls.secret=x", "tls.certificate=-----BEGIN CERTIFICATE-----"}, "/tls/certificate"},
		{"an issuer without audience", []string{"oidc.issuer=https://x"}, "tokens that are for others"},
		{"an audience without issuer", []string{"oidc.audience=x"}, "oidc.issuer is empty"},
		{"a claim without issuer", []string{"oidc.groupsClaim=x"}, "oidc.issuer is empty"},
		{"an issuer in the clear", []string{"oidc.issuer=http://x", "oidc.audience=x"}, "not an https url"},
		{"a url in the clear", []string{"url=http://x"}, "not of the form https://HOST"},
		{"a url with a slash", []string{"url=https://x/"}, "not of the form https://HOST"},
		{"a url with a user", []string{"url=https://u@x"}, "not of the form https://HOST"},
		{"a url with a newline", []string{"url=https://x\n"}, "not of the form https://HOST"},
		{"a port that no url has", []string{"service.port=443"}, "set url"},
		{"a link's port that nobody is told", []string{"link.port=443"}, "set it to what connectors are to dial"},
		{"a link's address without a port", []string{"link.address=x.example"}, "not of the form HOST:PORT"},
		{"a link's address without a link", []string{"link.address=x.example:1", "link.enabled=false"}, "does not listen"},
		{"a hostname with a port", []string{"hostnames={x.example:8443}"}, "/hostnames/0"},
		{"a hostname that is a url", []string{"hostnames={https://x.example}"}, "/hostnames/0"},
		{"half a replica", []string{"replicas=0.5"}, "/replicas"},
		{"a claim for all nodes", []string{"persistence.accessMode=ReadWriteMany"}, "/persistence/accessMode"},
		{"a value that is none", []string{"database.secrte=x"}, "secrte"},
		{"a section that is none", []string{"ingress.enabled=true"}, "ingress"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, c.set...)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "verysecret") {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestTheValuesAreAllSpokenOf(t *testing.T) {
	text, err := os.ReadFile(path.Join(serverChart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(path.Join(serverChart, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct{ Properties map[string]any }
	}
	if err := yaml.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for name, property := range schema.Properties {
		if values[name] == nil && name != "global" {
			t.Errorf("the schema has %s, and the values do not", name)
		}
		section, _ := values[name].(map[string]any)
		for inner := range property.Properties {
			if section[inner] == nil {
				t.Errorf("the schema has %s.%s, and the values do not", name, inner)
			}
		}
	}
	for _, message := range lint.RunAll(serverChart, nil, "ns").Messages {
		if message.Severity > 1 {
			t.Error(message)
		}
	}
}
