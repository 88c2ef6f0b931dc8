//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/kube"
	"helm.sh/helm/v4/pkg/storage/driver"
	"helm.sh/helm/v4/pkg/strvals"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/portforward"
)

const serverRelease = "coffer-server"

// server is a release of the vault's server in a namespace of its own.
type server struct {
	t         *testing.T
	namespace string
	// credential is the administrator's, and token what they got for it.
	credential serverCredential
	token      string
}

type serverCredential struct {
	URL, CA, TenantID, SubscriptionID, ClientID, ClientSecret string
}

// newServer makes a namespace in which Kubernetes lets nothing run that is not restricted, and removes it after the test.
func newServer(t *testing.T, namespace string) *server {
	t.Helper()
	shopIn(t, namespace)
	apply(t, `{apiVersion: v1, kind: Namespace, metadata: {name: `+namespace+`, labels: {pod-security.kubernetes.io/enforce: restricted}}}`)
	return &server{t: t, namespace: namespace}
}

func (s *server) helm() *action.Configuration {
	s.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &lab.kubeconfig, &s.namespace
	config := action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler))
	if err := config.Init(flags, s.namespace, "secret"); err != nil {
		s.t.Fatal(err)
	}
	return config
}

// install installs the chart, and waits until it is ready.
func (s *server) install(set ...string) {
	s.t.Helper()
	chart, err := loader.Load("../../deploy/charts/coffer-server")
	if err != nil {
		s.t.Fatal(err)
	}
	repository, tag, _ := strings.Cut(os.Getenv("COFFER_E2E_SERVER_IMAGE"), ":")
	values := map[string]any{}
	for _, v := range append([]string{"image.repository=" + repository, "image.tag=" + tag, "image.pullPolicy=Never", "persistence.size=1Gi"}, set...) {
		if err := strvals.ParseInto(v, values); err != nil {
			s.t.Fatal(err)
		}
	}
	install := action.NewInstall(s.helm())
	install.ReleaseName, install.Namespace, install.WaitStrategy, install.Timeout = serverRelease, s.namespace, kube.StatusWatcherStrategy, 5*time.Minute
	if _, err := install.RunWithContext(s.t.Context(), chart, values); err != nil {
		s.t.Fatalf("install: %v", err)
	}
}

func (s *server) uninstall() {
	s.t.Helper()
	uninstall := action.NewUninstall(s.helm())
	uninstall.WaitStrategy, uninstall.Timeout = kube.StatusWatcherStrategy, 5*time.Minute
	if _, err := uninstall.Run(serverRelease); err != nil && !errors.Is(err, driver.ErrReleaseNotFound) {
		s.t.Fatalf("uninstall: %v", err)
	}
}

// awaitPods waits until as many pods are ready as there are to be, and none of those that were.
func (s *server) awaitPods(n int, were ...string) []string {
	s.t.Helper()
	var names []string
	eventually(s.t, fmt.Sprintf("%d new pods of the server are ready", n), 2*time.Minute, func(ctx context.Context) (bool, error) {
		names = nil
		var pods corev1.PodList
		if err := lab.client.List(ctx, &pods, client.InNamespace(s.namespace), client.MatchingLabels{"app.kubernetes.io/name": serverRelease}); err != nil {
			return false, err
		}
		for _, p := range pods.Items {
			ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			if ready && p.DeletionTimestamp == nil {
				names = append(names, p.Name)
			}
		}
		return len(names) == n && !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(were, name) }), nil
	})
	return names
}

// handOut is what `kubectl exec POD -- coffer-server admin-credential` prints.
func (s *server) handOut(pod string) string {
	s.t.Helper()
	answer, err := lab.cluster.Exec(s.t.Context(), nouns.Exec{
		Namespace: s.namespace, Pod: pod, Container: "server", Timeout: time.Minute,
		Command: []string{"coffer-server", "admin-credential", "--data-dir", "/var/lib/coffer"},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.Output
}

// login gets a token from a pod, as the administrator that the pod hands out.
func (s *server) login(pod string) {
	s.t.Helper()
	text := s.handOut(pod)
	if err := json.Unmarshal([]byte(text), &s.credential); err != nil {
		s.t.Fatalf("pod %s hands out no credential: %v: %.100s", pod, err, text)
	}
	s.token = ""
	c := s.credential
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ClientID}, "client_secret": {c.ClientSecret}, "scope": {c.URL + "/.default"}}
	status, answer := s.ask(pod, http.MethodPost, "/"+c.TenantID+"/oauth2/v2.0/token", "application/x-www-form-urlencoded", form.Encode())
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK {
		s.t.Fatalf("log in at pod %s: %d %s", pod, status, answer)
	}
	s.token = got.AccessToken
}

// ask sends a request to a pod by the name of the Service, which its certificate must have.
func (s *server) ask(pod, method, path, kind, body string) (status int, answer string) {
	s.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.credential.CA)) {
		s.t.Fatalf("the credential has no certificate authority: %q", s.credential.CA)
	}
	transport := &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return portforward.Dial(ctx, lab.config, s.namespace, pod, 8443)
		},
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.credential.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", kind)
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	reply, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		s.t.Fatalf("%s %s at pod %s: %v", method, path, pod, err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// mustGroup asks a pod for, or to make, a resource group.
func (s *server) mustGroup(pod, method, name string, want int) {
	s.t.Helper()
	path := "/subscriptions/" + s.credential.SubscriptionID + "/resourceGroups/" + name + "?api-version=2025-04-01"
	if status, text := s.ask(pod, method, path, "application/json", `{"location":"here"}`); status != want {
		s.t.Errorf("%s %s at pod %s: %d %s, want %d", method, name, pod, status, text, want)
	}
}

func TestTheServerKeepsItsVolumeWhenItsPodOrReleaseGoes(t *testing.T) {
	s := newServer(t, "vault-one")
	s.install()
	first := s.awaitPods(1)
	s.login(first[0])
	s.mustGroup(first[0], http.MethodPut, "kept", http.StatusCreated)

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: first[0]}}
	if err := lab.client.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	second := s.awaitPods(1, first[0])
	// With the token of before, and by a new login.
	s.mustGroup(second[0], http.MethodGet, "kept", http.StatusOK)
	s.login(second[0])
	s.mustGroup(second[0], http.MethodGet, "kept", http.StatusOK)

	s.uninstall()
	s.install()
	third := s.awaitPods(1, first[0], second[0])
	s.mustGroup(third[0], http.MethodGet, "kept", http.StatusOK)
	s.uninstall()
}

// serverDatabase is a PostgreSQL as an application of the cluster.
const serverDatabase = `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: __NAMESPACE__}
spec:
  selector: {app: db}
  ports: [{port: 5432}]
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: __NAMESPACE__, labels: {app: db}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 999, runAsGroup: 999, fsGroup: 999, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: postgres
      image: __POSTGRES__
      imagePullPolicy: Never
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      env:
        - {name: POSTGRES_DB, value: coffer}
        - {name: PGDATA, value: /data/pg}
        - {name: POSTGRES_PASSWORD, value: a-password}
      readinessProbe:
        exec: {command: [pg_isready, -U, postgres, -d, coffer]}
        periodSeconds: 1
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
`

func TestReplicasOfTheServerShareItsAdministrator(t *testing.T) {
	s := newServer(t, "vault-many")
	apply(t, strings.NewReplacer("__NAMESPACE__", s.namespace, "__POSTGRES__", lab.images.Postgres).Replace(serverDatabase))
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(os.Getenv("COFFER_E2E_BIN"), "coffer-server")
	credential, err := exec.CommandContext(t.Context(), program, "new-credential").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]map[string]string{
		"db":            {"config.yaml": "database: postgres://postgres:a-password@db/coffer?sslmode=disable\n"},
		"encryption":    {"encryption.key": base64.StdEncoding.EncodeToString(key) + "\n"},
		"administrator": {"credential.json": string(credential)},
	} {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, StringData: data}
		if err := lab.client.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	s.install("replicas=2", "database.type=postgres", "database.secret=db", "encryption.secret=encryption", "administrator.secret=administrator")
	pods := s.awaitPods(2)
	for _, pod := range pods {
		s.login(pod)
		s.mustGroup(pod, http.MethodPut, "by-"+pod, http.StatusCreated)
	}
	s.mustGroup(pods[0], http.MethodGet, "by-"+pods[1], http.StatusOK)

	// The credential is put away, and both replicas go with their folders.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "administrator"}}
	if err := lab.client.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		if err := lab.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: pod}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range s.awaitPods(2, pods...) {
		s.mustGroup(pod, http.MethodGet, "by-"+pods[0], http.StatusOK)
		if text := s.handOut(pod); !strings.Contains(text, "was put away") {
			t.Errorf("pod %s hands out what was put away: %.60s", pod, text)
		}
	}
	s.uninstall()
}
