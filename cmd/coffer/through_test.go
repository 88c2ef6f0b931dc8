package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/flow/runner"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/arm"
	"github.com/coffer-backup/coffer/internal/inbound/cli"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
	"github.com/coffer-backup/coffer/internal/outbound/clusterclient"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	throughGroup   = "/subscriptions/22222222-2222-8222-8222-222222222222/resourceGroups/shop"
	throughCluster = throughGroup + "/providers/Microsoft.ContainerService/managedClusters/production"
	throughVault   = throughGroup + "/providers/Microsoft.DataProtection/backupVaults/shop-vault"
)

// through is the server's own routes, use cases and runner, with a database and a cluster behind it whose extension answers as a test
// says: what the command line asks is understood there, or it fails.
type through struct {
	*httptest.Server
	t       *testing.T
	world   *vaultworld.World
	cluster *vaultworld.Cluster
	links   *vaultworld.Links
	joining *vault.Joining
	runner  func() *runner.Runner
	dir     string
}

func newThrough(t *testing.T) *through {
	t.Helper()
	w := &through{t: t, world: vaultworld.New(t), links: vaultworld.NewLinks(), dir: t.TempDir()}
	_, owner := w.world.MustAdministrator(t)
	now, db, log := w.world.Clock.Now, w.world.Database, slog.New(slog.DiscardHandler)
	authority, err := vault.OpenAuthority(t.Context(), db, w.world.Sealer, now)
	if err != nil {
		t.Fatal(err)
	}
	w.joining, err = vault.NewJoining(vault.JoiningConfig{
		Database: db, Sealer: w.world.Sealer, Authority: authority, NowFunc: now, Random: rand.Reader, Address: "vaults.example:8445", Hosts: []string{"vaults.example"}, Replica: "one", Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	consents, err := vault.NewConsents(vault.ConsentsConfig{Database: db, Clusters: w.links, NowFunc: now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	newID := func() string { return fmt.Sprintf("33333333-3333-8333-8333-%012d", n.Add(1)) }
	const tenant = "11111111-1111-8111-8111-111111111111"
	keeper := &vault.Keeper{DB: db, Now: now, NewID: newID, NewObjectID: newID, Kinds: vault.NewKinds(
		vault.SubscriptionKind(tenant), vault.GroupKind(), vault.ClusterKind(tenant), vault.BindingKind(),
		vault.ExtensionKind(w.world.Sealer, tenant), vault.StorageKind(), vault.BackupVaultKind(tenant), vault.PolicyKind(retention.Limits{}), vault.InstanceKind(), vault.DeletedInstanceKind(), vault.DeletedVaultKind(), vault.GuardKind(), vault.GuardProxyKind())}
	jobs := &vault.Jobs{Keeper: keeper, Clusters: w.links, Runs: func(s catalogue.ClusterSession, identity string) vault.Runs { return clusterclient.New(s, identity) }}
	w.runner = func() *runner.Runner { return runner.New(runner.Config{Jobs: jobs, Log: log, NowFunc: now}) }
	routes := arm.New(arm.Config{
		Keeper: keeper, Jobs: jobs, Access: w.world.Access, Joining: w.joining, Consents: consents, Links: w.links,
		Authenticate: func(context.Context, string) (catalogue.Principal, error) { return owner.Principal, nil },
		Tenant:       tenant, Log: log, NewID: newID, Observe: func(string, string, int, time.Duration) {},
	})
	w.Server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// Whoever asks how far a job is finds what a runner has made of it since.
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/backupJobs") {
			if err := w.runner().Look(r.Context()); err != nil {
				t.Error(err)
			}
		}
		routes.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.Close)
	return w
}

// run runs a command as the server's owner.
func (w *through) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	store := profile.Store{Dir: w.dir}
	err := store.Save(profile.Profile{
		Name: "default", URL: w.URL, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Certificate().Raw})),
		Token:    &profile.Token{Text: "opaque", Expires: time.Now().Add(time.Hour)},
		Defaults: profile.Defaults{SubscriptionID: "22222222-2222-8222-8222-222222222222", ResourceGroup: "shop", VaultName: "shop-vault"},
	})
	if err == nil {
		err = store.Use("default")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = cli.Run(w.t.Context(), cli.Config{Out: &out, Err: &errs, In: strings.NewReader(""), Profiles: store, ServerFunc: newServer, PollInterval: time.Millisecond}, args)
	return out.String(), errs.String(), code
}

// must is what a command prints that has to go well.
func (w *through) must(args ...string) string {
	w.t.Helper()
	stdout, stderr, code := w.run(args...)
	if code != 0 {
		w.t.Fatalf("coffer %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// put makes any resource.
func (w *through) put(path, body string) {
	w.t.Helper()
	w.must("rest", "PUT", path, "--body", writeFile(w.t, body))
}

// protect makes a vault with a policy, and a cluster that has joined and let it in.
func (w *through) protect() {
	w.t.Helper()
	w.put("/subscriptions/22222222-2222-8222-8222-222222222222", `{"displayName":"Lab"}`)
	w.must("group", "create", "-n", "shop", "-l", "westeurope")
	w.must("vault", "create", "--type", "SystemAssigned", "--storage-setting", "{type:LocallyRedundant,datastore-type:VaultStore}")
	w.must("policy", "create", "-n", "daily", "--policy", writeFile(w.t, w.must("policy", "get-default-policy-template", "-o", "json")))
	w.put(throughCluster, `{"location":"westeurope","identity":{"type":"SystemAssigned"}}`)
	w.put(throughCluster+"/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup", `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
	w.join()
	binding := throughCluster + "/trustedAccessRoleBindings/b"
	w.put(binding, `{"properties":{"sourceResourceId":"`+throughVault+`","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`)
	w.cluster.Bind(strings.TrimSpace(w.must("rest", "GET", binding, "--query", "properties.coffer.identity")), true)
	w.must("rest", "POST", binding+"/providers/Coffer.Backup/check")
}

func (w *through) join() {
	w.t.Helper()
	token, err := link.ParseToken(strings.TrimSpace(w.must("rest", "POST", throughCluster+"/providers/Coffer.Backup/joinToken", "--query", "token")))
	if err != nil {
		w.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		w.t.Fatal(err)
	}
	info := catalogue.ClusterInfo{UID: "uid-1", Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1", KubernetesVersion: "v1.34.1"}
	_, err = w.joining.Join(w.t.Context(), token.Secret, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		link.Hello{Protocol: link.Protocol, ClusterUID: info.UID, Namespace: info.Namespace, VaultsNamespace: info.VaultsNamespace}, "192.0.2.7")
	if err == nil {
		err = w.joining.Linked(w.t.Context(), throughCluster, info)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.cluster = vaultworld.NewCluster(w.t, w.world.Clock.Now, info)
	w.links.Set(throughCluster, w.cluster)
	w.cluster.Read(http.HandlerFunc(readContents))
	w.cluster.OnMade(func(resource, _ string) string {
		switch {
		case strings.HasPrefix(resource, "validate"):
			return `{"phase":"Completed","checks":[{"name":"StorageLocation","status":"Passed","resource":"BackupStorageLocation default"}]}`
		case resource == "backups":
			return `{"phase":"CompletedWithWarnings","step":"CleaningUp","progress":{"objects":900,"bytes":1048576},"warningCount":1,
				"warnings":[{"code":"UserErrorPVCNotBoundToVolume","resource":"shop/data","message":"the claim is not bound; bind it"}],"startTime":"2026-05-04T12:00:00Z","completionTime":"2026-05-04T12:00:00Z"}`
		}
		return `{"phase":"Completed","step":"Planning","progress":{"objectsTotal":3,"created":3}}`
	})
}

// readContents answers as the reader of an extension does.
func readContents(w http.ResponseWriter, r *http.Request) {
	var found []string
	switch what := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]; what {
	case "contents":
		found = []string{`{"resource":"configmaps","namespace":"shop","name":"settings","size":9}`}
	case "coverage":
		found = []string{`{"kind":"Point","point":{"name":"p","objects":900}}`}
	case "plan":
		found = []string{`{"head":{"digest":"sha256:` + strings.Repeat("0", 64) + `","backup":"p","manifestDigest":"sha256:11"}}`, planStep}
	case "diff":
		found = []string{diffOfStep}
	case "report":
		found = []string{`{"result":{"resource":"configmaps","namespace":"shop","name":"settings","result":"created"}}`}
	default:
		found = []string{`{"text":"one\n"}`}
	}
	w.Header().Set("Content-Type", "application/jsonl")
	for _, item := range found {
		_, _ = fmt.Fprintf(w, "{\"item\":%s}\n", item)
	}
	_, _ = fmt.Fprintf(w, "{\"end\":{\"items\":%d}}\n", len(found))
}

func TestAClusterIsBackedUpAndRestoredThroughTheServer(t *testing.T) {
	w := newThrough(t)
	w.protect()
	mustHave(t, "the validation", w.must("instance", "validate-for-backup", "-n", "shop", "--cluster", "production", "--policy-name", "daily"), "StorageLocation   Passed")
	mustHave(t, "the instance", w.must("instance", "create", "-n", "shop", "--cluster", "production", "--policy-name", "daily", "--included-namespaces", "shop", "--include-cluster-scope-resources", "needed"),
		"Cluster-scoped objects:   needed", "ProtectionConfigured")

	stdout, stderr, code := w.run("instance", "adhoc-backup", "-n", "shop", "--wait")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	mustHave(t, "the backup", stdout, "CompletedWithWarnings", "900 objects, 1.0 MiB", "UserErrorPVCNotBoundToVolume: the claim is not bound; bind it", "BackupHourly")
	mustHave(t, "the recovery points", w.must("point", "list", "-n", "shop"), "2026-05-04T12:00:00Z   Default", "Partial")
	mustHave(t, "the contents", w.must("point", "contents", "-n", "shop", "latest"), "configmaps   shop        settings   9 B")
	mustHave(t, "the coverage", w.must("point", "coverage", "-n", "shop", "latest"), "complete")
	mustHave(t, "what is found", w.must("point", "search", "-n", "shop", "--name", "settings"), "settings")

	restore := []string{"-n", "shop", "--recovery-point-id", "latest", "--namespace-mappings", "shop=shop-copy", "--ready-timeout", "2m"}
	mustHave(t, "the validation of a restore", w.must(append([]string{"instance", "validate-for-restore"}, restore...)...), "StorageLocation   Passed")
	plan := w.must(append([]string{"instance", "restore", "plan", "--diff"}, restore...)...)
	mustHave(t, "the plan", plan, "1 to patch", "-a: 1\n+a: 2")
	line := strings.Fields(plan[strings.Index(plan, "coffer backup-instance restore trigger"):])
	restored := w.must(append(line[1:], "-o", "json")...)
	var job struct{ Name string }
	if err := json.Unmarshal([]byte(restored), &job); err != nil {
		t.Fatal(err)
	}
	if to, digest := w.cluster.Get("restores", job.Name, "spec", "namespaceMappings", "shop"), w.cluster.Get("restores", job.Name, "spec", "planDigest"); to != "shop-copy" || digest != "sha256:"+strings.Repeat("0", 64) {
		t.Errorf("the restore in the cluster maps to %v, by plan %v", to, digest)
	}
	mustHave(t, "the report", w.must("job", "report", job.Name), "created   configmaps   shop        settings")
	mustHave(t, "the log", w.must("job", "logs", job.Name), "one")
	jobs := w.must("job", "list", "--instance", "shop")
	mustHave(t, "the jobs", jobs, "OnDemandBackup", "RestorePlan", "Restore ")
	mustHave(t, "the restores", w.must("job", "list", "--operation", "Restore", "--status", "Completed"), job.Name)

	mustHave(t, "the change", w.must("instance", "update", "-n", "shop", "--excluded-resource-types", "v1/Secret", "--tags", "a=b"), "v1/Secret", "a=b", "Namespaces:", "shop")
	w.must("instance", "validate-for-update", "-n", "shop", "--snapshot-volumes=false")
	if _, stderr, code := w.run("instance", "delete", "-n", "shop", "--retain-data", "--yes"); code != 0 || !strings.Contains(stderr, "Backup instance shop is deleted.") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if left := w.cluster.Names("deletebackups"); len(left) > 0 {
		t.Errorf("what was to be retained is deleted: %v", left)
	}
}

func TestAJobThatIsUnderWayIsCancelledThroughTheServer(t *testing.T) {
	w := newThrough(t)
	w.protect()
	w.must("instance", "create", "-n", "shop", "--cluster", "production", "--policy-name", "daily")
	w.cluster.OnMade(func(string, string) string { return `{"phase":"InProgress","step":"CapturingObjects"}` })
	begun := w.must("instance", "backup", "-n", "shop", "-o", "json", "--query", "jobId")
	id := strings.Trim(strings.TrimSpace(begun), `"`)
	name := id[strings.LastIndex(id, "/")+1:]
	mustHave(t, "the job", w.must("job", "show", id), "Can be:", "cancel")
	mustHave(t, "the job", w.must("job", "show", id), "CapturingObjects")
	if _, stderr, code := w.run("job", "cancel", name); code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	w.must("job", "show", name)
	if cancel, _ := w.cluster.Get("backups", name, "spec", "cancel").(bool); !cancel {
		t.Fatal("the backup in the cluster is not told to end")
	}
	w.cluster.SetStatus("backups", name, `{"phase":"Cancelled"}`)
	stdout, stderr, code := w.run("job", "wait", name)
	if code != 1 {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	mustHave(t, "stderr", stderr, "coffer: job "+name+": Cancelled")
}

func TestAnInstanceIsDeletedWithItsRecoveryPointsThroughTheServer(t *testing.T) {
	w := newThrough(t)
	w.protect()
	w.must("instance", "create", "-n", "shop", "--cluster", "production", "--policy-name", "daily")
	w.must("instance", "backup", "-n", "shop", "--wait")
	var deletions atomic.Int64
	w.cluster.OnMade(func(resource, _ string) string {
		if resource == "deletebackups" {
			deletions.Add(1)
		}
		return `{"phase":"Completed"}`
	})
	// It is in a vault that keeps what is deleted for a while, as new ones do.
	_, stderr, code := w.run("instance", "delete", "-n", "shop", "--yes")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "stderr", stderr, "It can be had again for 14 days, and its recovery points (1) and their snapshots stay until then.", "Backup instance shop is deleted.", "deleted-backup-instance undelete")
	if _, stderr, code := w.run("instance", "create", "-n", "shop", "--cluster", "production", "--policy-name", "daily"); code != 1 || !strings.Contains(stderr, "can be had again until") {
		t.Errorf("another one of its name: exit code %d\n%s", code, stderr)
	}
	mustHave(t, "the deleted ones", w.must("instance", "deleted-backup-instance", "list"), "shop", "production")
	w.must("instance", "deleted-backup-instance", "undelete", "-n", "shop")
	mustHave(t, "had again", w.must("instance", "show", "-n", "shop"), "ProtectionStopped")
	w.must("point", "hold", "-n", "shop", "latest", "--reason", "Case 42")
	if _, stderr, code := w.run("instance", "delete", "-n", "shop", "--yes"); code != 1 || !strings.Contains(stderr, "under legal hold") {
		t.Errorf("with a legal hold: exit code %d\n%s", code, stderr)
	}
	w.must("point", "release-hold", "-n", "shop", "latest")
	w.must("vault", "update", "--soft-delete-state", "Off")
	_, stderr, code = w.run("instance", "delete", "-n", "shop", "--yes", "--no-wait")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	mustHave(t, "stderr", stderr, "Its recovery points (1) and their snapshots are deleted with it, for good.", "Backup instance shop is being deleted.")
	for range 3 {
		w.must("job", "list", "--operation", "DeleteBackupData")
	}
	mustHave(t, "the jobs", w.must("job", "list", "--operation", "DeleteBackupData"), "DeleteBackupData", "Completed")
	if _, stderr, code := w.run("instance", "show", "-n", "shop"); code != 1 || !strings.Contains(stderr, "ResourceNotFound") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if n := deletions.Load(); n != 1 {
		t.Errorf("%d recovery points were deleted in the cluster", n)
	}
}
