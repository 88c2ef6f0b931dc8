package main

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/test/vaultworld"
)

// kubeconfigSecret is the token of the kubeconfigs of these tests: it may be seen nowhere.
const kubeconfigSecret = "kubeconfig-s3cret-token"

// kubeconfigBody is a request to join by a kubeconfig.
func kubeconfigBody(t *testing.T, text string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"kubeconfig": text})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// bindingCommand is the command that approves trusted access of an identity.
var bindingCommand = regexp.MustCompile(`kubectl -n dataprotection-microsoft create rolebinding coffer-(\S+) --clusterrole=backup-operator --serviceaccount=`)

// mustBeSecret looks for the token in all that the server has written.
func mustBeSecret(t *testing.T, p *process, answers ...string) {
	t.Helper()
	texts := append(answers, p.errors.String())
	err := filepath.WalkDir(p.folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // A folder of this test.
		texts = append(texts, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if strings.Contains(text, kubeconfigSecret) {
			t.Errorf("the kubeconfig's token is in clear: %.300q", text)
		}
	}
}

func TestAClusterIsDialledByItsKubeconfig(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	p, c := launched(t, folder, "--kubeconfig-networks", "127.0.0.0/8")
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	id, vault := group+"/providers/Microsoft.ContainerService/managedClusters/c1", group+"/providers/Microsoft.DataProtection/backupVaults/v1"
	other, binding := group+"/providers/Microsoft.ContainerService/managedClusters/c2", id+"/trustedAccessRoleBindings/b1"
	const kubeconfig, leave = "/providers/Coffer.Backup/kubeconfig", "/providers/Coffer.Backup/leave"
	p.must(http.MethodPut, group, clusterBody)
	p.must(http.MethodPut, id, clusterBody)
	p.must(http.MethodPut, other, clusterBody)
	p.must(http.MethodPut, vault, vaultBody)
	d := vaultworld.NewDialled(t, "uid-1", kubeconfigSecret)
	good := d.Kubeconfig(d.Address(), kubeconfigSecret)

	if status, text := p.do(http.MethodPost, id+kubeconfig, kubeconfigBody(t, d.Kubeconfig(d.Address(), kubeconfigSecret+"-x"))); status != http.StatusServiceUnavailable || !strings.Contains(text, "credentials") {
		t.Errorf("by bad credentials: %d %s", status, text)
	}
	if p.stateOf(id) != "Pending" {
		t.Error("it has joined all the same")
	}
	p.must(http.MethodPost, id+kubeconfig, kubeconfigBody(t, good))
	eventually(t, "the cluster is reached", func() bool { return p.stateOf(id) == "Connected" })
	// Its owner approves access in the cluster, whoever asks for it here.
	if state := p.must(http.MethodPut, binding, bindingOf(vault), "properties", "coffer", "state"); state != "Pending" {
		t.Errorf("trusted access is %s", state)
	}
	_, shownBinding := p.do(http.MethodGet, binding, "")
	command := bindingCommand.FindStringSubmatch(shownBinding)
	if command == nil || !strings.Contains(shownBinding, "the server's kubeconfig cannot") {
		t.Fatalf("how it is approved is not said: %s", shownBinding)
	}
	d.Bind(command[1])
	if state := p.must(http.MethodPost, binding+"/providers/Coffer.Backup/check", "", "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("trusted access is %s", state)
	}
	// One cluster has one id, and one way.
	if status, text := p.do(http.MethodPost, other+kubeconfig, kubeconfigBody(t, good)); status != http.StatusConflict && status != http.StatusBadRequest || !strings.Contains(text, "has joined already, as") {
		t.Errorf("under another id: %d %s", status, text)
	}
	two := vaultworld.NewDialled(t, "uid-2", kubeconfigSecret)
	if status, text := p.do(http.MethodPost, id+kubeconfig, kubeconfigBody(t, two.Kubeconfig(two.Address(), kubeconfigSecret))); status < 400 || !strings.Contains(text, "is another cluster") {
		t.Errorf("another cluster: %d %s", status, text)
	}
	_, shown := p.do(http.MethodGet, id, "")
	_, audit := p.do(http.MethodGet, id+"/providers/Coffer.Backup/auditEntries", "")
	if !strings.Contains(audit, "clusters/kubeconfig/action") {
		t.Errorf("the audit log: %s", audit)
	}
	mustBeSecret(t, p, shown, audit)

	// The next server finds it again.
	p.kill()
	p = launch(t, folder, "--kubeconfig-networks", "127.0.0.0/8")
	p.login()
	eventually(t, "the cluster is reached again", func() bool { return p.stateOf(id) == "Connected" })
	if state := p.must(http.MethodPost, binding+"/providers/Coffer.Backup/check", "", "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("trusted access is %s", state)
	}
	// It leaves: nobody dials it any more, and another one may have its place.
	if state := p.must(http.MethodPost, id+leave, "", "properties", "coffer", "state"); state != "Pending" {
		t.Errorf("it has left, and is %s", state)
	}
	p.must(http.MethodPost, id+kubeconfig, kubeconfigBody(t, two.Kubeconfig(two.Address(), kubeconfigSecret)))
	eventually(t, "the other cluster is reached", func() bool { return p.stateOf(id) == "Connected" })
	mustBeSecret(t, p)
	p.kill()
	// A server that is to dial nobody dials nobody.
	p = launch(t, folder)
	p.login()
	if state := p.stateOf(id); state != "Disconnected" {
		t.Errorf("without networks it is %s", state)
	}
	if status, text := p.do(http.MethodPost, other+kubeconfig, kubeconfigBody(t, good)); status != http.StatusBadRequest || !strings.Contains(text, "--kubeconfig-networks") {
		t.Errorf("without networks: %d %s", status, text)
	}
}
