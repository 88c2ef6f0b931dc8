//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/test/shop"
)

func TestClustersAreProtectedThroughAVault(t *testing.T) {
	needSecond(t)
	v := joinedVault(t)
	s := newShop(t, "vaulted", 2_000)
	j := &protection{vaulted: v, shop: s, before: mustDigest(t, s), start: snapshotsOnDisk(t)}
	t.Cleanup(func() {
		_, _, _ = v.exec(t, "", "backup-instance", "delete", "-n", "shop", "--retain-data", "--yes")
		if j.signer != nil {
			second.mustRun(t, append([]string{"storage-location", "distrust"}, j.signer...)...)
		}
	})
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"join", j.joining},
		{"trusted access", j.trustedAccess},
		{"settings", j.settings},
		{"instance and backup", j.backUp},
		{"what a recovery point has", j.lookIn},
		{"plan and diff", j.plan},
		{"restore beside it", j.restoreBeside},
		{"restore to the second cluster", j.restoreThere},
		{"cancel", j.cancel},
		{"typed clients", j.typedClients},
		{"deletion", j.remove},
	} {
		t.Run(step.name, step.run)
	}
}

// protection is a shop that is protected through a vault, step by step.
type protection struct {
	*vaulted
	shop   shop.Shop
	before string
	// start are the snapshots that there were before.
	start map[string]bool
	// signer are the storage location and the signer that the second cluster trusts for as long.
	signer []string
}

// clusterState is a cluster as the server shows it.
type clusterState struct {
	State, Message, JoinedBy, ClusterUID, KubernetesVersion, Namespace, VaultsNamespace string

	BindingsByOwner bool
	Notes           []string
}

func (v *vaulted) cluster(t *testing.T, name string) clusterState {
	t.Helper()
	var shown struct {
		Properties struct{ Coffer clusterState }
	}
	v.decode(t, &shown, "cluster", "show", name)
	return shown.Properties.Coffer
}

// uid is what a cluster is known by.
func (c *labCluster) uid(t *testing.T) string {
	t.Helper()
	var system corev1.Namespace
	if err := c.client.Get(t.Context(), client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		t.Fatal(err)
	}
	return string(system.UID)
}

func (j *protection) joining(t *testing.T) {
	uid := lab.uid(t)
	if c := j.cluster(t, firstCluster); c.State != "Connected" || c.ClusterUID != uid || c.Namespace != namespace || c.VaultsNamespace != namespace+"-vaults" || c.KubernetesVersion == "" {
		t.Errorf("cluster: %+v, its kube-system is %s", c, uid)
	}
	var left corev1.Secret
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "coffer-join"}, &left); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the join token is still in the cluster: %v", err)
	}
	// Once more, nothing happens; and the kubeconfig of another cluster is not taken for it.
	j.join(t, lab, firstCluster)
	j.vaulted.mustFail(t, []string{"has joined already", secondCluster, "coffer cluster leave"},
		"cluster", "join", firstCluster, "--kubeconfig", second.kubeconfig, "--image", second.extension)

	hello := link.Hello{
		Protocol: link.Protocol, ClusterUID: uid, Namespace: namespace, VaultsNamespace: namespace + "-vaults", Version: "v1", KubernetesVersion: "v1.36.0",
	}
	// Under an id that is free, a cluster that has joined already; under the id of one that has joined, another one.
	j.must(t, "rest", "PUT", j.clusterID("third"), "--body", mustFile(t, `{"location":"westeurope","identity":{"type":"SystemAssigned"}}`))
	mustBeRefusedToJoin(t, j.joinToken(t, "third"), hello, firstCluster)
	stranger := hello
	stranger.ClusterUID = "11111111-2222-4333-8444-555555555555"
	mustBeRefusedToJoin(t, j.joinToken(t, firstCluster), stranger, "coffer cluster leave")
	// A token is good once, and nobody guesses one.
	token := j.joinToken(t, "third")
	if err := tryToJoin(t, token, stranger); err != nil {
		t.Errorf("a new cluster is refused: %v", err)
	}
	mustBeRefusedToJoin(t, token, stranger, "used already")
	token.Secret = token.Secret[:len(token.Secret)-4] + "AAAA"
	mustBeRefusedToJoin(t, token, stranger, "not known")
	// The real connector refuses one that has ended, and goes on with the certificate that it has.
	j.must(t, "rest", "POST", j.clusterID("third")+"/providers/Coffer.Backup/leave", "--body", mustFile(t, `{}`))
	j.must(t, "rest", "DELETE", j.clusterID("third"))
	if c := j.cluster(t, firstCluster); c.State != "Connected" || c.ClusterUID != uid {
		t.Errorf("after all that the cluster is %+v", c)
	}
}

// joinToken asks the server for a join token.
func (v *vaulted) joinToken(t *testing.T, cluster string) link.Token {
	t.Helper()
	var answer struct{ Token string }
	v.decode(t, &answer, "rest", "POST", v.clusterID(cluster)+"/providers/Coffer.Backup/joinToken", "--body", mustFile(t, `{}`))
	token, err := link.ParseToken(answer.Token)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// mustFile is a file with a text.
func mustFile(t *testing.T, text string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "body-*.json")
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func mustBeRefusedToJoin(t *testing.T, token link.Token, hello link.Hello, words string) {
	t.Helper()
	var refused *link.Problem
	if err := tryToJoin(t, token, hello); !errors.As(err, &refused) || !refused.Final || !strings.Contains(refused.Error(), words) {
		t.Errorf("joining as %s is answered by %v, want a refusal for good that says %q", token.Cluster, err, words)
	}
}

// tryToJoin joins as any connector does, with a key of its own.
func tryToJoin(t *testing.T, token link.Token, hello link.Hello) error {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(link.JoinRequest{ //nolint:gosec // The secret is what it joins by.
		Hello: hello, Secret: token.Secret, Request: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})),
	})
	if err != nil {
		t.Fatal(err)
	}
	// As a connector does: the authority's digest is all that it knows of the server.
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies.
		VerifyConnection: func(c tls.ConnectionState) error {
			if !slices.ContainsFunc(c.PeerCertificates, func(one *x509.Certificate) bool {
				sum := sha256.Sum256(one.Raw)
				return hex.EncodeToString(sum[:]) == token.Authority
			}) {
				return errors.New("the server's certificate is of another authority than the token's")
			}
			return nil
		},
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+os.Getenv("COFFER_SERVICE_VAULT_LINK")+link.PathJoin, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	var problem link.Problem
	if err := json.NewDecoder(answer.Body).Decode(&problem); err != nil {
		t.Fatalf("a refusal with status %d: %v", answer.StatusCode, err)
	}
	return &problem
}

func (j *protection) backUp(t *testing.T) {
	flags := []string{"--included-namespaces", "vaulted", "--backup-hook-references", "default/quiesce"}
	j.vaulted.mustFail(t, []string{"nowhere"}, "backup-instance", "validate-for-backup", "-n", "shop", "--cluster", j.clusterID(firstCluster),
		"--policy-name", "nightly", "--included-namespaces", "nowhere")
	checks := j.must(t, append([]string{"backup-instance", "validate-for-backup", "-n", "shop", "--cluster", j.clusterID(firstCluster), "--policy-name", "nightly"}, flags...)...)
	if !strings.Contains(checks, "Passed") {
		t.Errorf("the checks of the cluster are not shown: %s", checks)
	}
	j.must(t, append([]string{"backup-instance", "create", "-n", "shop", "--cluster", j.clusterID(firstCluster), "--policy-name", "nightly"}, flags...)...)
	if out := j.must(t, "backup-instance", "adhoc-backup", "-n", "shop", "--wait"); !strings.Contains(out, "Completed") {
		t.Errorf("the backup: %s", out)
	}
	points := j.points(t, "shop")
	if len(points) != 1 || points[0].RecoveryPointID == "" || points[0].ExpiryTime == nil || !points[0].ExpiryTime.After(points[0].RecoveryPointTime) {
		t.Fatalf("recovery points: %+v", points)
	}
	if n := len(snapshotsOnDisk(t)) - len(j.start); n != 1 {
		t.Errorf("the backup made %d snapshots, want 1", n)
	}
	if mode, err := j.shop.SQL(t.Context(), "SHOW default_transaction_read_only"); err != nil || mode != "off" {
		t.Errorf("after the backup the database has read-only %q, %v: the post-hook did not run", mode, err)
	}
	mustHaveNoSnapshotObjects(t)
}

func (j *protection) lookIn(t *testing.T) {
	for want, args := range map[string][]string{
		"db":             {"recovery-point", "contents", "latest", "-n", "shop", "--type", "StatefulSet"},
		"Secret":         {"recovery-point", "contents", "latest", "-n", "shop", "--type", "Secret", "--objects", "-o", "json"},
		"PersistentVol":  {"recovery-point", "coverage", "latest", "-n", "shop", "-o", "json"},
		"web":            {"recovery-point", "search", "-n", "shop", "--type", "Deployment", "--name", "web"},
		"OnDemandBackup": {"job", "list"},
	} {
		if out := j.must(t, args...); !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
			t.Errorf("coffer %s does not name %s: %s", strings.Join(args, " "), want, out)
		}
	}
	// Values of Secrets do not leave the cluster.
	if out := j.must(t, "recovery-point", "contents", "latest", "-n", "shop", "--type", "Secret", "--objects", "-o", "json"); strings.Contains(out, "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ") {
		t.Errorf("a secret's value: %s", out)
	}
	job := details(j.job(t, j.newestJob(t)))
	if logs := j.must(t, "job", "logs", j.newestJob(t)); !strings.Contains(logs, job["RunName"]) && !strings.Contains(logs, "SnapshottingVolumes") {
		t.Errorf("logs: %s", logs)
	}
	var inventory map[string]any
	j.decode(t, &inventory, "rest", "GET", j.vaultID(vaultName)+"/providers/Coffer.Backup/inventory?clusterId="+j.clusterID(firstCluster))
	if !strings.Contains(mustJSON(t, inventory), `"vaulted"`) {
		t.Errorf("inventory: %s", mustJSON(t, inventory))
	}
}

// newestJob is the id of the job that began last.
func (v *vaulted) newestJob(t *testing.T) string {
	t.Helper()
	var listed []struct{ ID string }
	v.decode(t, &listed, "job", "list")
	if len(listed) == 0 {
		t.Fatal("there is no job")
	}
	return listed[0].ID
}

func (j *protection) plan(t *testing.T) {
	settings := &corev1.ConfigMap{}
	settings.Namespace, settings.Name = "vaulted", "page"
	if err := lab.client.Get(t.Context(), keyOf(settings), settings); err != nil {
		t.Fatal(err)
	}
	was := settings.Data["index.html"]
	settings.Data["index.html"] = "closed\n"
	if err := lab.client.Update(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	diff := j.must(t, "recovery-point", "diff", "latest", "-n", "shop", "--included-namespaces", "vaulted", "--object-type", "ConfigMap", "--object-name", "page")
	if !strings.Contains(diff, "closed") || !strings.Contains(diff, "The shop is open") {
		t.Errorf("diff: %s", diff)
	}
	plan := j.must(t, "backup-instance", "restore", "plan", "-n", "shop", "--recovery-point-id", "latest", "--namespace-mappings", "vaulted=vaulted-back")
	if !strings.Contains(plan, "--plan-digest=sha256:") {
		t.Errorf("plan: %s", plan)
	}
	if err := lab.client.Get(t.Context(), keyOf(settings), settings); err != nil || settings.Data["index.html"] != "closed\n" {
		t.Errorf("a plan changed the cluster: %v, %v", settings.Data, err)
	}
	settings.Data["index.html"] = was
	if err := lab.client.Update(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
}

func (j *protection) restoreBeside(t *testing.T) {
	beside := shopIn(t, "vaulted-back")
	id := j.begun(t, restoreArgs("shop", "--namespace-mappings", "vaulted=vaulted-back")...)
	if job := j.mustComplete(t, id); !job.Operation.Is("Restore") || details(job)["created"] == "0" {
		t.Errorf("job: %s", mustJSON(t, job))
	}
	if after := mustDigest(t, beside); after != j.before {
		t.Errorf("the data is %s, was %s", after, j.before)
	}
	if report := j.must(t, "job", "report", id); !strings.Contains(report, "db") {
		t.Errorf("report: %s", report)
	}
	mustDestroy(t, beside)
}

func (j *protection) restoreThere(t *testing.T) {
	there := second.shopIn(t, "vaulted")
	args := restoreArgs("shop", "--target-cluster", j.clusterID(secondCluster))
	validate := slices.Concat([]string{"backup-instance", "restore", "validate"}, args[3:])
	refusal := j.vaulted.mustFail(t, []string{"UserErrorRecoveryPointSignerNotTrusted"}, validate...)
	trust := trustCommand.FindStringSubmatch(refusal)
	if trust == nil {
		t.Fatalf("the refusal does not say how to trust the signer: %s", refusal)
	}
	second.mustRun(t, strings.Fields(trust[1])...)
	j.signer = strings.Fields(trust[1])[2:]
	j.must(t, validate...)
	j.mustComplete(t, j.begun(t, args...))
	if after := mustDigest(t, there); after != j.before {
		t.Errorf("the data is %s, was %s", after, j.before)
	}
	mustDestroy(t, there)
}

func (j *protection) cancel(t *testing.T) {
	box := newToolbox(t, "vaulted-slow", "lab")
	newHook(t, "vaulted-slow", "vaulted-slow", "c", frozenUntilLet, "Fail", "2m")
	j.protect(t, "slow", "--included-namespaces", "vaulted-slow", "--backup-hook-references", "default/vaulted-slow")
	before := snapshotsOnDisk(t)
	id := j.begun(t, "backup-instance", "adhoc-backup", "-n", "slow")
	awaitFile(t, box, "/data/pre")
	if job := j.job(t, id); !job.Status.Is("InProgress") || !slices.Equal(job.SupportedActions, []string{"Cancel"}) {
		t.Errorf("job: %s", mustJSON(t, job))
	}
	j.vaulted.mustFail(t, []string{"slow"}, "backup-instance", "delete", "-n", "slow", "--yes")
	j.must(t, "job", "cancel", id, "--wait")
	if job := j.job(t, id); !job.Status.Is("Cancelled") {
		t.Errorf("job: %s", mustJSON(t, job))
	}
	if points := j.points(t, "slow"); len(points) != 0 {
		t.Errorf("recovery points: %+v", points)
	}
	mustBeWithout(t, nil, before)
	mustBeThawed(t, box)
	mustHaveNoSnapshotObjects(t)
	var b v1alpha1.Backup
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: details(j.job(t, id))["RunName"]}, &b); err != nil || b.Status.Phase != v1alpha1.RunCancelled {
		t.Errorf("the Backup is %+v, %v", b.Status, err)
	}
}

func (j *protection) remove(t *testing.T) {
	points := j.points(t, "shop")
	if len(points) != 1 {
		t.Fatalf("recovery points: %+v", points)
	}
	j.must(t, "backup-instance", "delete", "-n", "shop", "--yes")
	j.vaulted.mustFail(t, []string{"ResourceNotFound"}, "backup-instance", "show", "-n", "shop")
	mustBeWithout(t, points, j.start)
	mustHaveNoSnapshotObjects(t)
	if after := mustDigest(t, j.shop); after != j.before {
		t.Errorf("deleting its recovery points harmed the application: %s, was %s", after, j.before)
	}
}

// typedClients has Terraform's typed clients do all of that, in a process of their module's tests, while the owner of the clusters approves
// what they ask for.
func (j *protection) typedClients(t *testing.T) {
	back, there := shopIn(t, "vaulted-back"), second.shopIn(t, "vaulted")
	apply(t, `
apiVersion: clusterbackup.dataprotection.microsoft.com/v1alpha1
kind: BackupHook
metadata: {name: vaulted-typed, namespace: default}
spec:
  backupHook:
    - name: slow
      includedNamespaces: [vaulted]
      labelSelector: {matchLabels: {app: db}}
      preHooks: [{exec: {container: postgres, command: [sleep, "110"], onError: Fail, timeout: 2m}}]
`)
	t.Cleanup(func() {
		_ = lab.client.Delete(context.Background(), &v1alpha1.BackupHook{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "vaulted-typed"}})
	})
	cmd := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-tags", "joined", "-count=1", "-v", "-timeout", "9m", "-run", "^TestTypedClientsDriveJoinedClusters$", ".")
	cmd.Dir = "../clients"
	cmd.Env = append(os.Environ(),
		"COFFER_JOINED_CREDENTIALS="+os.Getenv("COFFER_SERVICE_VAULT_CREDENTIALS"), "COFFER_JOINED_NAMESPACE=vaulted", "COFFER_JOINED_SLOW_HOOK=vaulted-typed",
		"COFFER_JOINED_CLUSTER="+j.clusterID(firstCluster), "COFFER_JOINED_SECOND="+j.clusterID(secondCluster))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	approved := map[string]bool{}
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the typed clients: %v\n%s", err, out.String())
			}
			for name, s := range map[string]shop.Shop{"beside the original": back, "in the second cluster": there} {
				if after := mustDigest(t, s); after != j.before {
					t.Errorf("the data %s is %s, was %s", name, after, j.before)
				}
			}
			return
		case <-tick.C:
			for name, c := range map[string]labCluster{firstCluster: lab, secondCluster: second} {
				if command := j.pending(t, "typed", name); command != "" && !approved[name] {
					c.mustApprove(t, command)
					approved[name] = true
				}
			}
		}
	}
}

// pending is the command that approves a binding which is pending, or nothing.
func (v *vaulted) pending(t *testing.T, binding, cluster string) string {
	t.Helper()
	stdout, _, code := v.exec(t, "", "trusted-access", "rolebinding", "check", "--name", binding, "--cluster-name", cluster, "-o", "json")
	var shown struct {
		Properties struct{ Coffer bindingState }
	}
	if code != 0 || json.Unmarshal([]byte(stdout), &shown) != nil || shown.Properties.Coffer.State == "Approved" {
		return ""
	}
	return shown.Properties.Coffer.Command
}
