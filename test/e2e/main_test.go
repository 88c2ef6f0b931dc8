//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/outbound/kube"
	"github.com/coffer-backup/coffer/test/shop"
)

// labCluster is a cluster that the tests share.
type labCluster struct {
	client     client.Client
	cluster    *kube.Cluster
	config     *rest.Config
	kubeconfig string
	// coffer is the program.
	coffer string
	images shop.Images
	// blobs is the folder of the blob containers, as this machine sees it.
	blobs string
	// pool is the folder of the volumes and snapshots.
	pool string
	// extension is the extension's image.
	extension string
}

// lab is where the tests are; second is another cluster on the same storage, for those that leave it: they begin with needSecond.
var lab, second labCluster

const namespace = v1alpha1.DefaultNamespace

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // Or controller-runtime prints a stack.
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := doomed.await(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	if joined.world != nil {
		// The login is a secret.
		_ = os.RemoveAll(joined.world.config)
	}
	os.Exit(code)
}

func setUp() error {
	lab = labCluster{
		kubeconfig: os.Getenv("COFFER_E2E_KUBECONFIG"),
		coffer:     os.Getenv("COFFER_E2E_COFFER"),
		blobs:      os.Getenv("COFFER_E2E_BLOBS"),
		pool:       os.Getenv("COFFER_E2E_POOL"),
		extension:  os.Getenv("COFFER_E2E_EXTENSION_IMAGE"),
		images:     shop.Images{Postgres: os.Getenv("COFFER_E2E_POSTGRES_IMAGE"), Toolbox: os.Getenv("COFFER_E2E_TOOLBOX_IMAGE")},
	}
	if lab.kubeconfig == "" || lab.coffer == "" || lab.blobs == "" || lab.pool == "" || lab.extension == "" {
		return fmt.Errorf("run hack/e2e, which makes the lab cluster for these tests")
	}
	second = lab
	if err := lab.connect(); err != nil {
		return err
	}
	if second.kubeconfig = os.Getenv("COFFER_E2E_SECOND_KUBECONFIG"); second.kubeconfig != "" {
		if err := second.connect(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(lab.blobs, 0o755); err != nil {
		return err
	}
	// The extension does not run as root.
	if err := os.Chown(lab.blobs, 65532, 65532); err != nil {
		return err
	}
	return lab.install()
}

// needSecond fails a test that leaves the first cluster where there is no other one.
func needSecond(t *testing.T) {
	t.Helper()
	if second.client == nil {
		t.Fatal("this test needs a second cluster, and hack/e2e makes none for this half of the tests: leave it to the other half there")
	}
}

func (c *labCluster) connect() (err error) {
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return err
	}
	// The API server is protected from the product, not from its tests.
	c.config.QPS = -1
	if c.client, err = client.New(c.config, client.Options{Scheme: newScheme()}); err != nil {
		return err
	}
	c.cluster, err = kube.New(c.config)
	return err
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, snapshotv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return scheme
}

// install installs the extension by the command line, with its blobs in a folder that the tests can reach, and waits until what it asks for is
// in force everywhere.
func (c *labCluster) install(set ...string) error {
	args := []string{"extension", "install", "--image", c.extension, "--timeout", "5m"}
	set = append([]string{
		"image.pullPolicy=Never", "storageLocation.volume.hostPath.path=" + c.blobs,
		"timeouts.snapshotCut=40s", "timeouts.volumeBind=60s", "timeouts.workloadReady=2m",
		// An upgrade keeps what it is not told to change: these undo what a test has set.
		"permissions.profile=whole-cluster", "permissions.namespaces=null", "permissions.hooks=true", "replicas=1", "extraArgs=null", "serveContents=true",
	}, set...)
	for _, value := range set {
		args = append(args, "--set", value)
	}
	out, err := c.command(context.Background(), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("coffer extension install: %w\n%s", err, out)
	}
	return c.awaitInstalled(set)
}

// reinstallIfFailed installs the extension as the next test wants it after one that ends with it so, unless it fails before.
func reinstallIfFailed(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
}

func (c *labCluster) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.coffer, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	return cmd
}

// coffer runs the command line and answers both outputs and the exit code.
func coffer(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return lab.run(t, args...)
}

// run runs the command line, also while a test cleans up.
func (c *labCluster) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	cmd := c.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("coffer %v: %v", args, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// mustCoffer runs the command line and fails the test if that fails.
func mustCoffer(t *testing.T, args ...string) string {
	t.Helper()
	return lab.mustRun(t, args...)
}

func (c *labCluster) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, code := c.run(t, args...)
	if code != 0 {
		t.Fatalf("coffer %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// mustFail runs the command line, which has to fail with a message that holds all words.
func mustFail(t *testing.T, words []string, args ...string) {
	t.Helper()
	lab.mustFail(t, words, args...)
}

func (c *labCluster) mustFail(t *testing.T, words []string, args ...string) (message string) {
	t.Helper()
	stdout, stderr, code := c.run(t, args...)
	if code != 1 {
		t.Errorf("coffer %s: exit code %d, want 1\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	for _, w := range words {
		if !strings.Contains(stderr, w) {
			t.Errorf("coffer %s: the message does not name %q:\n%s", strings.Join(args, " "), w, stderr)
		}
	}
	return stderr
}

// showBackup is a Backup as the command line shows it.
func showBackup(t *testing.T, name string) v1alpha1.Backup {
	t.Helper()
	var b v1alpha1.Backup
	if err := json.Unmarshal([]byte(mustCoffer(t, "backup", "show", name, "-o", "json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// showRestore is a Restore as the command line shows it.
func showRestore(t *testing.T, name string) v1alpha1.Restore {
	t.Helper()
	var r v1alpha1.Restore
	if err := json.Unmarshal([]byte(mustCoffer(t, "restore", "show", name, "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// newShop deploys a shop with rows, and removes it after the test.
func newShop(t *testing.T, ns string, rows int) shop.Shop {
	t.Helper()
	s := shopIn(t, ns)
	if err := s.Deploy(t.Context(), lab.images); err != nil {
		t.Fatal(err)
	}
	if err := s.Fill(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	return s
}

// shopIn is the shop of a namespace, which is removed after the test.
func shopIn(t *testing.T, ns string) shop.Shop {
	t.Helper()
	return lab.shopIn(t, ns)
}

func (c *labCluster) shopIn(t *testing.T, ns string) shop.Shop {
	t.Helper()
	s := shop.Shop{Client: c.client, Cluster: c.cluster, Namespace: ns}
	// Another test may have had one of this name.
	if err := doomed.await(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { doomed.add(t, s) })
	return s
}

// doomedNamespaces are those that tests have left to be deleted: that takes longer than the next tests want to wait.
type doomedNamespaces struct {
	mu  sync.Mutex // guards all
	all []shop.Shop
}

var doomed doomedNamespaces

// add begins to delete a namespace. That it goes is seen to when somebody wants it to be gone, and in the end.
func (d *doomedNamespaces) add(t *testing.T, s shop.Shop) {
	t.Helper()
	if err := s.Delete(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, s)
}

// await waits until some of the namespaces are gone, or all if none are named.
func (d *doomedNamespaces) await(ctx context.Context, some ...shop.Shop) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = slices.DeleteFunc(d.all, func(s shop.Shop) bool {
		if len(some) > 0 && !slices.Contains(some, s) {
			return false
		}
		err = errors.Join(err, s.AwaitGone(ctx))
		return true
	})
	return err
}

// awaitQuiet waits until no namespace is being deleted, for tests that look at the whole cluster.
func awaitQuiet(t *testing.T) {
	t.Helper()
	if err := doomed.await(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// mustDestroy deletes namespaces, all at the same time, and waits until they are gone.
func mustDestroy(t *testing.T, all ...shop.Shop) {
	t.Helper()
	for _, s := range all {
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range all {
		if err := s.AwaitGone(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustDigest(t *testing.T, s shop.Shop) string {
	t.Helper()
	if err := s.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	digest, err := s.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// apply creates objects of a YAML text.
func apply(t *testing.T, text string) {
	t.Helper()
	if err := shop.Apply(t.Context(), lab.client, text); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check answers true. An error is no reason to give up, for the API server may be away for a moment or know of
// something later than others do; the last one is told when the time is over. What takes long to check is checked less often: the
// machine has more to do than to be asked.
func eventually(t *testing.T, what string, limit time.Duration, check func(ctx context.Context) (bool, error)) {
	t.Helper()
	const often = 200 * time.Millisecond
	// The limits are for a machine that does nothing else, and both halves of the journeys run on this one.
	limit *= 2
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last error
	for {
		began := time.Now()
		done, err := check(ctx)
		if done && err == nil {
			return
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(max(often, 3*time.Since(began))):
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; the last error: %v", what, limit, last)
		}
	}
}

// snapshotsOnDisk are the snapshots that the storage holds.
func snapshotsOnDisk(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(lab.pool, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(path, "/snapshots/") && strings.HasSuffix(path, ".img") {
			found[entry.Name()] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// mustHaveNoSnapshotObjects fails if a run left snapshot objects in the cluster.
func mustHaveNoSnapshotObjects(t *testing.T) {
	t.Helper()
	lab.mustHaveNoSnapshotObjects(t)
}

func (c *labCluster) mustHaveNoSnapshotObjects(t *testing.T) {
	t.Helper()
	var snapshots snapshotv1.VolumeSnapshotList
	if err := c.client.List(t.Context(), &snapshots); err != nil {
		t.Fatal(err)
	}
	var contents snapshotv1.VolumeSnapshotContentList
	if err := c.client.List(t.Context(), &contents); err != nil {
		t.Fatal(err)
	}
	for _, s := range snapshots.Items {
		t.Errorf("VolumeSnapshot %s/%s is left", s.Namespace, s.Name)
	}
	for _, content := range contents.Items {
		t.Errorf("VolumeSnapshotContent %s is left", content.Name)
	}
}
