package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
)

const (
	testGroup    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop"
	testCluster  = testGroup + "/" + clusterCollection + "/shop-1"
	testVault    = testGroup + "/" + vaultCollection + "/shop-vault"
	testIdentity = "vault-0123456789012345678901234567890123456789"
	testToken    = "coffer-join-secret"
)

// joinWorld is a server with one cluster, and a cluster whose extension joins once it is installed.
type joinWorld struct {
	t    *testing.T
	kube client.Client
	// link is what the server says of the cluster; nil is that there is none.
	link *clusterLink
	// extensions, tokens and installs are counted; said is what was printed to a person.
	extensions, tokens int
	installs           []InstallOptions
	said               bytes.Buffer
	// settings are those of the extension, in JSON, and account what the server has of their storage account.
	settings, account string
	// given are the kubeconfigs that the server was given.
	given []string
	// refused makes the installation fail.
	refused error
	// makes are the containers that were to be made, with how many credentials, and unmade is why they cannot be.
	makes  []string
	unmade error
}

func newJoinWorld(t *testing.T, objects ...client.Object) *joinWorld {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: "uid-1"}}
	return &joinWorld{t: t, kube: fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, system)...).Build()}
}

func (w *joinWorld) run(args ...string) (code int, out string) {
	var stdout bytes.Buffer
	store := profile.Store{Dir: w.t.TempDir()}
	p := profile.Profile{Name: "default", URL: "https://vault", ClientID: "me", ClientSecret: "x"}
	p.SubscriptionID, p.Location, p.ResourceGroup = "00000000-0000-0000-0000-000000000001", "westeurope", "shop"
	if err := errors.Join(store.Save(p), store.Use("default")); err != nil {
		w.t.Fatal(err)
	}
	w.said.Reset()
	code = Run(w.t.Context(), Config{
		ClientFunc: func(Target) (client.Client, error) { return w.kube, nil },
		DialFunc: func(context.Context, Target, string, int) (net.Conn, error) {
			return nil, errors.New("there is no pod")
		},
		MakeContainerFunc: func(_ context.Context, spec v1alpha1.BackupStorageLocationSpec, data map[string][]byte) (bool, error) {
			w.makes = append(w.makes, fmt.Sprintf("%s %d", spec.Container, len(data)))
			return true, w.unmade
		},
		Installer: w, ServerFunc: func(profile.Profile) (Server, error) { return w, nil }, Profiles: store,
		In: strings.NewReader(""), Out: &stdout, Err: &w.said,
	}, args)
	return code, stdout.String()
}

// secret are the data of a Secret in the cluster; nil if there is none.
func (w *joinWorld) secret(name string) map[string][]byte {
	var s corev1.Secret
	if err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: "dataprotection-microsoft", Name: name}, &s); err != nil {
		return nil
	}
	return s.Data
}

// Install implements Installer: a connector with a token joins.
func (w *joinWorld) Install(_ context.Context, _ Target, o InstallOptions) error {
	w.installs = append(w.installs, o)
	if w.refused != nil {
		return w.refused
	}
	if string(w.secret(joinSecret)[joinKey]) == testToken {
		w.link = &clusterLink{State: clusterConnected, ClusterUID: "uid-1", Namespace: "dataprotection-microsoft", Notes: []string{"Velero runs here too"}}
	}
	return nil
}

// Uninstall implements Installer.
func (w *joinWorld) Uninstall(context.Context, Target) error {
	return errors.New("nobody asked for that")
}

// Do implements Server.
func (w *joinWorld) Do(_ context.Context, c Call) (Reply, error) {
	switch c.Method + " " + strings.TrimPrefix(c.Path, testCluster) {
	case "GET ":
		if w.link == nil {
			return Reply{}, &coffer.Error{Code: coffer.CodeResourceNotFound, Message: "none"}
		}
	case "PUT ":
		w.link = &clusterLink{State: clusterPending}
	case "PUT /" + extensionCollection + "/" + extensionName:
		w.extensions++
		return Reply{Status: http.StatusCreated, Body: json.RawMessage(`{}`)}, nil
	case "POST /providers/Coffer.Backup/joinToken":
		w.tokens++
		return Reply{Status: http.StatusOK, Body: json.RawMessage(`{"token":"` + testToken + `"}`)}, nil
	case "POST /providers/Coffer.Backup/kubeconfig":
		w.given = append(w.given, string(c.Body))
		w.link = &clusterLink{State: clusterConnected, ClusterUID: "uid-1", Namespace: "dataprotection-microsoft", JoinedBy: joinedByKubeconfig}
	case "POST /providers/Coffer.Backup/leave":
		w.link = &clusterLink{State: clusterPending}
	case "GET " + testGroup + "/providers/Microsoft.Storage/storageAccounts/shopbackups":
		if w.account == "" {
			return Reply{}, &coffer.Error{Code: coffer.CodeResourceNotFound, Message: "none"}
		}
		return Reply{Status: http.StatusOK, Body: json.RawMessage(w.account)}, nil
	default:
		return Reply{}, fmt.Errorf("nobody answers %s %s", c.Method, c.Path)
	}
	link, err := json.Marshal(w.link)
	return Reply{Status: http.StatusOK, Body: json.RawMessage(`{"id":"` + testCluster + `","name":"shop-1","location":"westeurope","properties":{"coffer":` + string(link) + `}}`)}, err
}

// List implements Server.
func (w *joinWorld) List(_ context.Context, path string) ([]json.RawMessage, error) {
	if w.settings != "" && !strings.HasSuffix(path, clusterCollection) {
		return []json.RawMessage{[]byte(`{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationSettings":` + w.settings + `}}`)}, nil
	}
	if w.extensions == 0 || strings.HasSuffix(path, clusterCollection) {
		return nil, nil
	}
	return []json.RawMessage{[]byte(`{"properties":{"extensionType":"Microsoft.DataProtection.Kubernetes"}}`)}, nil
}

// Each implements Server.
func (w *joinWorld) Each(ctx context.Context, path string, each func(json.RawMessage) error) error {
	all, err := w.List(ctx, path)
	for i := 0; i < len(all) && err == nil; i++ {
		err = each(all[i])
	}
	return err
}

// Token implements Server.
func (w *joinWorld) Token(context.Context) (profile.Token, error) {
	return profile.Token{}, errors.New("nobody asked for that")
}

func TestJoiningTwiceIsJoiningOnce(t *testing.T) {
	w := newJoinWorld(t)
	code, out := w.run("cluster", "join", "shop-1")
	if code != exitOK || !strings.Contains(out, "Connected") || !strings.Contains(out, "Velero runs here too") {
		t.Fatalf("%d: %s%s", code, out, w.said.String())
	}
	if w.extensions != 1 || w.tokens != 1 || len(w.installs) != 1 {
		t.Errorf("%d extensions, %d tokens, %d installations", w.extensions, w.tokens, len(w.installs))
	}
	if w.secret(joinSecret) != nil {
		t.Error("the join token is left in the cluster")
	}
	connector, _ := w.installs[0].Values["connector"].(map[string]any)
	if enabled, _ := connector["enabled"].(bool); !enabled || connector["joinTokenDigest"] == "" || w.installs[0].Values["storageLocation"] != nil {
		t.Errorf("installed by %v", w.installs[0].Values)
	}
	if text := fmt.Sprint(w.installs[0]) + w.said.String() + out; strings.Contains(text, testToken) {
		t.Errorf("the join token is said, or kept by Helm: %s", text)
	}
	code, out = w.run("cluster", "join", "shop-1")
	if code != exitOK || len(w.installs) != 1 || w.tokens != 1 || !strings.Contains(w.said.String(), "has joined already") || !strings.Contains(out, "Connected") {
		t.Errorf("%d: %d installations, %d tokens: %s%s", code, len(w.installs), w.tokens, out, w.said.String())
	}
}

func TestAClusterIsInstalledByTheSettingsOfItsExtension(t *testing.T) {
	const settings = `{"blobContainer":"backups","storageAccount":"shopbackups","memoryLimit":"1Gi","colour":"red"}`
	for account, want := range map[string]map[string]any{
		"": {"provider": "azure", "container": "backups", "azure": map[string]any{"storageAccount": "shopbackups"}},
		`{"properties":{"coffer":{"provider":"s3","endpoint":"https://minio.example"}}}`: {
			"provider": "s3", "container": "backups", "s3": map[string]any{"endpoint": "https://minio.example", "forcePathStyle": true},
		},
	} {
		w := newJoinWorld(t)
		w.settings, w.account = settings, account
		if code, _ := w.run("cluster", "join", "shop-1"); code != exitOK || len(w.installs) != 1 {
			t.Fatalf("%d: %s", code, w.said.String())
		}
		location, _ := w.installs[0].Values["storageLocation"].(map[string]any)
		for name, value := range want {
			if diff := cmp.Diff(value, location[name]); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		if diff := cmp.Diff(map[string]any{"limits": map[string]any{"memory": "1Gi"}}, w.installs[0].Values["resources"]); diff != "" {
			t.Error(diff)
		}
		for _, word := range []string{"name the container backups of provider " + want["provider"].(string), "The setting colour"} {
			if !strings.Contains(w.said.String(), word) {
				t.Errorf("it says %s", w.said.String())
			}
		}
	}
	// The owner's own word goes before.
	w := newJoinWorld(t)
	w.settings = settings
	if code, _ := w.run("cluster", "join", "shop-1", "--provider", "filesystem", "--container", "own"); code != exitOK {
		t.Fatal(w.said.String())
	}
	if location, _ := w.installs[0].Values["storageLocation"].(map[string]any); location["container"] != "own" || location["provider"] != "filesystem" {
		t.Errorf("installed by %v", w.installs[0].Values)
	}
}

func TestAJoinedClusterIsChangedWithoutAnotherToken(t *testing.T) {
	w := newJoinWorld(t)
	w.extensions, w.link = 1, &clusterLink{State: clusterConnected, ClusterUID: "uid-1"}
	code, _ := w.run("cluster", "join", "shop-1", "--allow-bindings-by-owner=false", "--allow-settings-by-owner", "--image", "a:b")
	if code != exitOK || w.tokens != 0 || len(w.installs) != 1 || w.installs[0].Image != "a:b" {
		t.Fatalf("%d: %d tokens, installed by %v: %s", code, w.tokens, w.installs, w.said.String())
	}
	want := map[string]any{"connector": map[string]any{"enabled": true, "allowBindingsByOwner": false, "allowSettingsByOwner": true}}
	if diff := cmp.Diff(want, w.installs[0].Values); diff != "" {
		t.Error(diff)
	}
}

// Helm keeps values: what the owner of a cluster once let another server do is not meant for this one.
func TestWhatAnotherServerWasLetDoIsNotKept(t *testing.T) {
	for flags, want := range map[string]any{
		"": []any{false, false}, "--allow-bindings-by-owner": []any{true, false}, "--allow-settings-by-owner": []any{false, true}, "--set=connector.allowBindingsByOwner=true": []any{nil, nil},
	} {
		w := newJoinWorld(t)
		args := []string{"cluster", "join", "shop-1"}
		if flags != "" {
			args = append(args, flags)
		}
		if code, _ := w.run(args...); code != exitOK || len(w.installs) != 1 {
			t.Fatalf("%s: %d: %s", flags, code, w.said.String())
		}
		connector, _ := w.installs[0].Values["connector"].(map[string]any)
		if diff := cmp.Diff(want, any([]any{connector["allowBindingsByOwner"], connector["allowSettingsByOwner"]})); diff != "" {
			t.Errorf("%q: bindings and settings by owner: %s", flags, diff)
		}
	}
	w := newJoinWorld(t)
	w.extensions, w.link = 1, &clusterLink{State: clusterConnected, ClusterUID: "uid-1", Namespace: "dataprotection-microsoft"}
	if code, _ := w.run("cluster", "leave", "shop-1", "--yes"); code != exitOK || len(w.installs) != 1 {
		t.Fatalf("%d: %s", code, w.said.String())
	}
	if connector, _ := w.installs[0].Values["connector"].(map[string]any); !isFalse(connector["allowBindingsByOwner"]) || !isFalse(connector["allowSettingsByOwner"]) {
		t.Errorf("after leaving, the connector is installed by %v", connector)
	}
}

func TestAClusterIsShownWithWhereItWritesTo(t *testing.T) {
	w := newJoinWorld(t)
	w.link = &clusterLink{State: clusterConnected, SettingsByOwner: true}
	if code, out := w.run("cluster", "show", "shop-1"); code != exitOK || strings.Contains(out, "Storage location") || !regexp.MustCompile(`Settings by owner: +yes`).MatchString(out) {
		t.Errorf("without settings: %d, %s", code, out)
	}
	w.settings = `{},"coffer":{"storageLocation":{"state":"Differs","message":"the settings name \u001b[31mx","command":"coffer cluster join x --provider s3"}}`
	code, out := w.run("cluster", "show", "shop-1")
	if code != exitOK || !regexp.MustCompile(`Storage location: +"?Differs: the settings name`).MatchString(out) || !regexp.MustCompile(`Its owner runs: +coffer cluster join x --provider s3`).MatchString(out) ||
		strings.Contains(out, "\x1b") {
		t.Errorf("%d, %s", code, out)
	}
}

func TestAClusterIsGivenToAServerThatDialsIt(t *testing.T) {
	folder := t.TempDir()
	write := func(name, user string) string {
		file := filepath.Join(folder, name)
		text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://api.example'}}]\nusers: [{name: u, user: {" + user +
			"}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good, bad := write("good", "token: s3cret"), write("bad", "exec: {command: s3cret}")
	w := newJoinWorld(t)
	for _, args := range [][]string{{"--server-kubeconfig", bad}, {"--server-kubeconfig", good + "x"}, {"--server-kubeconfig", good, "--link-server", "a:1"}, {"--server-kubeconfig", good, "--allow-bindings-by-owner"}, {"--server-kubeconfig", good, "--allow-settings-by-owner"}} {
		if code, _ := w.run(append([]string{"cluster", "join", "shop-1"}, args...)...); code == exitOK || w.link != nil || len(w.installs) > 0 {
			t.Errorf("%v: %d, %s", args, code, w.said.String())
		}
	}
	code, out := w.run("cluster", "join", "shop-1", "--server-kubeconfig", good)
	if code != exitOK || w.tokens != 0 || len(w.given) != 1 || !strings.Contains(out, "Kubeconfig") {
		t.Fatalf("%d: %d tokens, %d kubeconfigs: %s%s", code, w.tokens, len(w.given), out, w.said.String())
	}
	want := map[string]any{"connector": map[string]any{"enabled": true, "link": false, "allowBindingsByOwner": false, "allowSettingsByOwner": false}}
	if diff := cmp.Diff(want, w.installs[0].Values); diff != "" {
		t.Error(diff)
	}
	if text := fmt.Sprint(w.installs) + w.said.String() + out; strings.Contains(text, "s3cret") || !strings.Contains(w.given[0], "s3cret") || !strings.Contains(w.given[0], `"namespace":"dataprotection-microsoft"`) {
		t.Errorf("it is said, or kept by Helm: %s", text)
	}
	// Another kubeconfig later changes nothing else, and another version of the extension is no reason to change how the cluster is reached.
	if code, _ := w.run("cluster", "join", "shop-1", "--server-kubeconfig", good); code != exitOK || len(w.given) != 2 {
		t.Errorf("%d: %+v, %s", code, w.link, w.said.String())
	}
	if code, _ := w.run("cluster", "join", "shop-1", "--image", "a:b"); code != exitOK || len(w.given) != 2 || w.tokens != 0 {
		t.Errorf("%d: %s", code, w.said.String())
	}
	if connector := w.installs[2].Values["connector"]; cmp.Diff(map[string]any{"enabled": true}, connector) != "" {
		t.Errorf("%v", connector)
	}
	// Nobody gives access by a kubeconfig, then or later.
	if code, _ := w.run("cluster", "join", "shop-1", "--allow-bindings-by-owner"); code == exitOK || len(w.installs) != 3 || !strings.Contains(w.said.String(), "trusted-access rolebinding approve") {
		t.Errorf("%d: %s", code, w.said.String())
	}
	// It joins in one way.
	w.link.State, w.link.Message = "Disconnected", "its token has ended"
	if code, _ := w.run("cluster", "join", "shop-1"); code == exitOK || w.tokens != 0 || !strings.Contains(w.said.String(), "its token has ended") {
		t.Errorf("%d: %s", code, w.said.String())
	}
	w.link.JoinedBy = ""
	if code, _ := w.run("cluster", "join", "shop-1", "--server-kubeconfig", good); code == exitOK || len(w.given) != 2 || !strings.Contains(w.said.String(), "joined by its connector") {
		t.Errorf("%d: %s", code, w.said.String())
	}
}

func TestAJoiningThatBrokeOffIsTakenUpAgain(t *testing.T) {
	w := newJoinWorld(t)
	w.refused = errors.New("no room")
	if code, _ := w.run("cluster", "join", "shop-1"); code != exitFailed || !strings.Contains(w.said.String(), "install the Backup extension: no room") {
		t.Fatalf("%d: %s", code, w.said.String())
	}
	w.refused = nil
	if code, _ := w.run("cluster", "join", "shop-1"); code != exitOK || w.extensions != 1 || w.tokens != 2 || w.secret(joinSecret) != nil {
		t.Errorf("%d: %d extensions, %d tokens: %s", code, w.extensions, w.tokens, w.said.String())
	}
}

func TestAnotherClusterIsNotTakenForTheOneThatHasJoined(t *testing.T) {
	for _, args := range [][]string{{"cluster", "join", "shop-1"}, {"cluster", "join", "shop-1", "--image", "a:b"}} {
		w := newJoinWorld(t)
		w.extensions, w.link = 1, &clusterLink{State: "Disconnected", ClusterUID: "uid-2"}
		if code, _ := w.run(args...); code != exitFailed || w.tokens+len(w.installs) > 0 || !strings.Contains(w.said.String(), "leads to another cluster than shop-1") {
			t.Errorf("%v: %d, %d tokens, %d installations: %s", args, code, w.tokens, len(w.installs), w.said.String())
		}
	}
	// Leaving ends the link all the same, and leaves the other cluster alone.
	w := newJoinWorld(t)
	w.extensions, w.link = 1, &clusterLink{State: clusterConnected, ClusterUID: "uid-2", Namespace: "dataprotection-microsoft"}
	if code, _ := w.run("cluster", "leave", "shop-1", "--yes"); code != exitOK || w.link.State != clusterPending || len(w.installs) > 0 {
		t.Errorf("%d, %d installations: %s", code, len(w.installs), w.said.String())
	}
}

func TestLeavingTakesTheConnectorOutOfTheCluster(t *testing.T) {
	kept := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "dataprotection-microsoft", Name: linkSecret}, Data: map[string][]byte{"tls.key": []byte("x")}}
	for keep, installs := range map[string]int{"--keep-extension=false": 1, "--keep-extension": 0} {
		w := newJoinWorld(t, kept.DeepCopy())
		w.extensions, w.link = 1, &clusterLink{State: clusterConnected, ClusterUID: "UID-1", Namespace: "dataprotection-microsoft"}
		if code, _ := w.run("cluster", "leave", "shop-1", "--yes", keep); code != exitOK || w.link.State != clusterPending || len(w.installs) != installs {
			t.Fatalf("%s: %d, %d installations: %s", keep, code, len(w.installs), w.said.String())
		}
		if there := w.secret(linkSecret) != nil; there == (installs > 0) {
			t.Errorf("%s: its key is there: %t", keep, there)
		}
		for _, o := range w.installs {
			if connector, _ := o.Values["connector"].(map[string]any); !disabled(connector) {
				t.Errorf("installed by %v", o.Values)
			}
		}
	}
}

func TestWhatIsLeftBehindIsSaid(t *testing.T) {
	at := metav1.ObjectMeta{Namespace: "dataprotection-microsoft"}
	named := func(name string) metav1.ObjectMeta { m := at; m.Name = name; return m }
	vaults := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "backup-operator"}
	w := newJoinWorld(t,
		&corev1.Secret{ObjectMeta: named("coffer-reader-tls")}, &corev1.ConfigMap{ObjectMeta: named("coffer-reader")},
		&rbacv1.RoleBinding{ObjectMeta: named("coffer-vault-1"), RoleRef: vaults}, &rbacv1.RoleBinding{ObjectMeta: named("of-somebody"), RoleRef: vaults},
		&rbacv1.RoleBinding{ObjectMeta: named("coffer-extension"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "coffer-extension"}})
	w.extensions, w.link = 1, &clusterLink{State: clusterConnected, ClusterUID: "uid-1", Namespace: "dataprotection-microsoft", JoinedBy: joinedByKubeconfig}
	if code, _ := w.run("cluster", "leave", "shop-1", "--yes"); code != exitOK {
		t.Fatalf("%d: %s", code, w.said.String())
	}
	said := w.said.String()
	if !strings.Contains(said, "kubectl -n dataprotection-microsoft delete rolebinding coffer-vault-1 of-somebody`") || !strings.Contains(said, "coffer-vault-server") || strings.Contains(said, "connector") {
		t.Errorf("%s", said)
	}
	// The extension's reader has nobody to know it.
	if err := w.kube.Get(t.Context(), client.ObjectKey{Namespace: at.Namespace, Name: "coffer-reader"}, &corev1.ConfigMap{}); !apierrors.IsNotFound(err) || w.secret("coffer-reader-tls") != nil {
		t.Errorf("the reader's certificate is left: %v", err)
	}
}

// disabled says that values leave the connector out.
func disabled(connector map[string]any) bool { return isFalse(connector["enabled"]) }

func isFalse(value any) bool {
	yes, said := value.(bool)
	return said && !yes
}

func TestATokenThatHelmKeepsIsNotReplaced(t *testing.T) {
	w := newJoinWorld(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: "dataprotection-microsoft", Name: joinSecret, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"},
	}})
	if code, _ := w.run("cluster", "join", "shop-1"); code != exitFailed || len(w.installs) > 0 || !strings.Contains(w.said.String(), "take connector.joinToken out of them first") {
		t.Errorf("%d: %s", code, w.said.String())
	}
}

func TestAJoinMakesTheContainerWhereItMay(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "key-of-the-store")
	keys := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "dataprotection-microsoft", Name: "keys"}, Data: map[string][]byte{"accessKeyId": []byte("x")}}
	for _, tt := range []struct {
		name   string
		flags  []string
		unmade error
		makes  []string
		said   string
	}{
		{"by the environment", []string{"--credentials-env"}, nil, []string{"backups 2"}, "Container backups is made."},
		{"by a Secret", []string{"--credentials-secret=keys"}, nil, []string{"backups 1"}, "Container backups is made."},
		{"by the pod's identity, which is not had here", nil, nil, nil, ""},
		{"in a store that is not reached from here", []string{"--credentials-env"}, errors.New("no route"), []string{"backups 2"}, "no route; if it is missing, make it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newJoinWorld(t, keys.DeepCopy())
			w.unmade = tt.unmade
			code, _ := w.run(append([]string{"cluster", "join", "shop-1", "--provider=s3", "--container=backups"}, tt.flags...)...)
			if code != exitOK || !slices.Equal(w.makes, tt.makes) || !strings.Contains(w.said.String(), tt.said) || len(w.installs) != 1 {
				t.Fatalf("%d, made %v: %s", code, w.makes, w.said.String())
			}
			if text := fmt.Sprint(w.installs[0]) + w.said.String(); strings.Contains(text, "key-of-the-store") {
				t.Errorf("the store's key is said, or kept by Helm: %s", text)
			}
			if slices.Contains(tt.flags, "--credentials-env") && string(w.secret(storeSecret)["secretAccessKey"]) != "key-of-the-store" {
				t.Error("the key is not in its Secret")
			}
		})
	}
	w := newJoinWorld(t)
	if code, _ := w.run("cluster", "join", "shop-1", "--provider=s3", "--container=backups", "--credentials-secret=none"); code != exitFailed || len(w.installs) > 0 ||
		!strings.Contains(w.said.String(), "read Secret none, which --credentials-secret names") {
		t.Errorf("%d: %s", code, w.said.String())
	}
}

func TestTheStoreOfAJoinIsValuesOfTheChart(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want map[string]any
	}{
		{"nothing", nil, nil},
		{"a time, which is none of the store's", []string{"--timeout=1m"}, nil},
		{"a filesystem", []string{"--provider=filesystem", "--container=backups"}, map[string]any{
			"provider": "filesystem", "container": "backups", "prefix": "", "credentialsSecret": "", "azure": nil, "s3": nil, "gcs": nil,
		}},
		{"S3, with a Secret", []string{"--provider=s3", "--container=b", "--region=r", "--credentials-secret=keys"}, map[string]any{
			"provider": "s3", "container": "b", "prefix": "", "credentialsSecret": "keys", "azure": nil, "s3": map[string]any{"region": "r"}, "gcs": nil,
		}},
		{"Azure, with what the environment says", []string{"--provider=azure", "--container=b", "--storage-account=acc", "--credentials-env"}, map[string]any{
			"provider": "azure", "container": "b", "prefix": "", "credentialsSecret": storeSecret, "azure": map[string]any{"storageAccount": "acc"}, "s3": nil, "gcs": nil,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("AZURE_STORAGE_KEY", "c2VjcmV0")
			var f joinFlags
			cmd := &cobra.Command{}
			f.bind(cmd)
			if err := cmd.ParseFlags(tt.args); err != nil {
				t.Fatal(err)
			}
			f.readChanges(cmd)
			spec, data, err := f.storage()
			if err != nil || (data != nil) != slices.Contains(tt.args, "--credentials-env") || (spec == nil) != (tt.want == nil) {
				t.Fatalf("%v, %v, %d credentials", spec, err, len(data))
			}
			if spec == nil {
				return
			}
			got, err := storageValues(*spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAServerHasNoSayInWhatAnApprovalBinds(t *testing.T) {
	type said struct{ identity, namespace, vaults string }
	p := &program{target: Target{Namespace: "ns"}}
	for name, tt := range map[string]struct {
		said said
		want string
	}{
		"a vault":              {said{testIdentity, "ns", "ns-vaults"}, ""},
		"the extension itself": {said{"coffer-extension", "ns", "ns-vaults"}, "which is no identity of a vault"},
		"a vault of another's": {said{testIdentity, "ns", "kube-system"}, "vaults are in namespace \"kube-system\""},
		"another namespace":    {said{testIdentity, "kube-system", "kube-system-vaults"}, "say so with --namespace"},
		"nobody":               {said{}, "no identity of a vault"},
		"more than an id":      {said{testIdentity + "\n", "ns", "ns-vaults"}, "no identity of a vault"},
	} {
		var v bindingView
		state := &v.Properties.Coffer
		state.Identity, state.Namespace, state.VaultsNamespace = tt.said.identity, tt.said.namespace, tt.said.vaults
		b, err := p.consent(v)
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || b.RoleRef.Kind != "ClusterRole" || b.RoleRef.Name != "backup-operator" || b.Namespace != "ns" || b.Name != "coffer-"+testIdentity ||
			len(b.Subjects) != 1 || b.Subjects[0] != (rbacv1.Subject{Kind: "ServiceAccount", Namespace: "ns-vaults", Name: testIdentity}) {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func TestABindingThatBindsSomethingElseIsNotTakenForConsent(t *testing.T) {
	p := &program{target: Target{Namespace: "ns"}}
	var v bindingView
	v.Properties.Coffer.Identity, v.Properties.Coffer.Namespace, v.Properties.Coffer.VaultsNamespace = testIdentity, "ns", "ns-vaults"
	wanted, err := p.consent(v)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*rbacv1.RoleBinding){
		"the same":        func(*rbacv1.RoleBinding) {},
		"another role":    func(b *rbacv1.RoleBinding) { b.RoleRef.Name = "view" },
		"another subject": func(b *rbacv1.RoleBinding) { b.Subjects[0].Name = "x" },
		"nobody":          func(b *rbacv1.RoleBinding) { b.Subjects = nil },
	} {
		there := wanted.DeepCopy()
		change(there)
		if err := mustBindTheSame(t.Context(), newJoinWorld(t, there).kube, wanted); (err == nil) != (name == "the same") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryVaultHasANameForItsBinding(t *testing.T) {
	names := map[string]string{}
	for _, vault := range []string{"shop-vault", "v", strings.Repeat("v", 24), strings.Repeat("v", 25), strings.Repeat("v", 50), "shop.vault", "shop_vault-"} {
		name := bindingNameFor(testGroup + "/" + vaultCollection + "/" + vault)
		if !bindingForm.MatchString(name) || names[name] != "" {
			t.Errorf("%s: %q", vault, name)
		}
		names[name] = vault
	}
	if len(slices.Collect(maps.Keys(names))) != 7 || bindingNameFor(strings.ToUpper(testVault)+".x") != bindingNameFor(strings.ToLower(testVault)+".x") {
		t.Error("names are not told apart, or depend on the case of an id")
	}
}

func TestWhatProtectMakesIsAnInstance(t *testing.T) {
	var cluster clusterView
	cluster.Location = "westeurope"
	o := protected{cluster: testCluster, vault: testVault, policy: testVault + "/backupPolicies/p", instance: testVault + "/backupInstances/shop-1"}
	for _, namespaces := range [][]string{nil, {"shop", "shop-data"}} {
		body := protectedBody(cluster, o, protectFlags{namespaces: namespaces})
		c, err := instance.Check(instance.Case{Vault: catalogue.ID(o.vault), Location: "westeurope", Body: body, At: "properties"})
		if err != nil {
			t.Fatal(err)
		}
		if !c.Cluster.Is(testCluster) || !slices.Equal(c.Backup.IncludedNamespaces, namespaces) || !*c.Backup.SnapshotVolumes {
			t.Errorf("%+v", c)
		}
	}
}
