// Command demo tells the story of Coffer on lab clusters: they join a server of Backup vaults, through which an application is backed up,
// destroyed and restored, and its data compared.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/outbound/kube"
	"github.com/coffer-backup/coffer/test/shop"
)

const rows = 50_000

func main() {
	var d demo
	flag.StringVar(&d.bin, "bin", "build/bin", "folder of the built programs")
	flag.StringVar(&d.kubeconfig, "kubeconfig", "", "kubeconfig of the lab cluster")
	flag.StringVar(&d.second, "second-kubeconfig", "", "kubeconfig of the other one")
	flag.StringVar(&d.images.Postgres, "postgres", "", "image of PostgreSQL")
	flag.StringVar(&d.images.Toolbox, "toolbox", "", "image of the toolbox")
	flag.StringVar(&d.extension, "extension", "", "image of the Backup extension")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := d.tell(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type demo struct {
	bin, kubeconfig, second, extension string
	// config is the folder of the login to the vault's server.
	config      string
	images      shop.Images
	here, there cluster
}

// cluster is one that the demo talks to.
type cluster struct {
	kubeconfig string
	client     client.Client
	cluster    *kube.Cluster
}

func (c cluster) shop(namespace string) shop.Shop {
	return shop.Shop{Client: c.client, Cluster: c.cluster, Namespace: namespace}
}

// What the story calls things at the vault's server.
const (
	group, vault, policy = "demo", "demo-vault", "nightly"
	first, standby       = "shop-1", "standby"
	instance             = "shop"
)

// step is one part of the story.
type step struct {
	title string
	do    func() error
}

// tell tells the story from its beginning. A demo that was told before is cleared away first.
func (d *demo) tell(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return err
	}
	original, second, moved := d.here.shop("shop"), d.here.shop("shop-copy"), d.there.shop("shop")
	var before string
	steps := []step{
		{"clear away what an earlier demo left", func() error {
			for _, s := range []shop.Shop{original, second, moved} {
				if err := s.Destroy(ctx); err != nil {
					return err
				}
			}
			return makeBucket(ctx)
		}},
		{"make a Backup vault and a policy at the server", func() error { return d.makeVault(ctx) }},
		{"join the cluster: it gets the Backup extension, which dials the server; nothing has to reach the cluster", func() error {
			return d.join(ctx, d.here, first)
		}},
		{"let the vault in; until the cluster's owner approves that, it can do nothing there", func() error { return d.letIn(ctx, d.here, first) }},
		{"deploy a shop: PostgreSQL in a StatefulSet, a web front, Services, a Secret, a ConfigMap", func() error {
			return original.Deploy(ctx, d.images)
		}},
		{fmt.Sprintf("put %d rows into its database", rows), func() (err error) {
			if err := original.Fill(ctx, rows); err != nil {
				return err
			}
			before, err = original.Digest(ctx)
			say("rows and checksum: %s", before)
			return err
		}},
		{"ask whether the shop can be protected, and protect it; a hook quiesces the database while its volume is snapshotted", func() error { return d.protect(ctx) }},
		{"back it up, through the vault", func() error { return d.coffer(ctx, "backup-instance", "adhoc-backup", "-n", instance, "--wait") }},
		{"delete the namespace, volumes and all", func() error { return original.Destroy(ctx) }},
		{"restore it", func() error { return d.restore(ctx) }},
		{"count and compare the rows", func() error { return compare(ctx, original, before) }},
		{"restore the same recovery point into a second namespace", func() error { return d.restore(ctx, "--namespace-mappings", "shop=shop-copy") }},
		{"count and compare the rows there", func() error { return compare(ctx, second, before) }},
		{"join a second cluster, which may only read the bucket, let the vault in, and trust the first one's signature", func() error { return d.joinSecond(ctx) }},
		{"restore the shop there", func() error { return d.restore(ctx, "--target-cluster", standby) }},
		{"count and compare the rows in the second cluster", func() error { return compare(ctx, moved, before) }},
	}
	began := time.Now()
	for i, s := range steps {
		fmt.Printf("\n\x1b[1m%2d. %s\x1b[0m\n", i+1, s.title)
		start := time.Now()
		if err := s.do(); err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		say("took %s", time.Since(start).Round(10*time.Millisecond))
	}
	d.lookAround(time.Since(began))
	return nil
}

// makeVault logs in, and makes a vault with a policy.
func (d *demo) makeVault(ctx context.Context) error {
	for _, args := range [][]string{
		{"login", "--credentials", os.Getenv("COFFER_SERVICE_VAULT_CREDENTIALS")},
		{"profile", "set", "--resource-group", group, "--vault-name", vault, "--location", "westeurope"},
		{"resource-group", "create", "--name", group},
		// Without soft delete, so that what is deleted when looking around is deleted, and the demo can be run again.
		{"backup-vault", "create", "--storage-setting", "[{type:LocallyRedundant,datastore-type:VaultStore}]", "--soft-delete-state", "Off"},
	} {
		if err := d.coffer(ctx, args...); err != nil {
			return err
		}
	}
	template, err := d.command(ctx, "backup-policy", "get-default-policy-template", "--datasource-type", "AzureKubernetesService", "-o", "json").Output()
	if err != nil {
		return fmt.Errorf("read the template of policies: %w", err)
	}
	// Each day from an hour from now on, so that it does not begin in the midst of the demo.
	const inTemplate = "R/2023-01-04T09:00:00+00:00/PT4H"
	nightly := "R/" + time.Now().UTC().Add(time.Hour).Format(time.RFC3339) + "/P1D"
	if !bytes.Contains(template, []byte(inTemplate)) {
		return fmt.Errorf("the template of policies has not the schedule %s: %s", inTemplate, template)
	}
	file := filepath.Join(d.config, "policy.json")
	if err := os.WriteFile(file, bytes.Replace(template, []byte(inTemplate), []byte(nightly), 1), 0o600); err != nil {
		return err
	}
	return d.coffer(ctx, "backup-policy", "create", "--backup-policy-name", policy, "--policy", file)
}

// join lets a cluster join the server, with the bucket as its storage location.
func (d *demo) join(ctx context.Context, c cluster, name string, more ...string) error {
	args := []string{
		"cluster", "join", name, "--kubeconfig", c.kubeconfig, "--image", d.extension, "--set", "image.pullPolicy=Never",
		"--provider", "s3", "--container", bucket, "--force-path-style", "--region", os.Getenv("COFFER_SERVICE_S3_REGION"),
		"--endpoint", os.Getenv("COFFER_SERVICE_S3_INSIDE"), "--credentials-env",
	}
	if err := d.coffer(ctx, append(args, more...)...); err != nil {
		return err
	}
	say("The bucket's address is for pods alone, so it could not be looked at from here; the demo has made it.")
	return shop.DeployHooks(ctx, c.client)
}

// letIn asks for trusted access of the vault to a cluster, and approves it as the cluster's owner.
func (d *demo) letIn(ctx context.Context, c cluster, name string) error {
	if err := d.coffer(ctx, "trusted-access", "rolebinding", "create", "--name", vault, "--cluster-name", name); err != nil {
		return err
	}
	return d.coffer(ctx, "trusted-access", "rolebinding", "approve", "--name", vault, "--cluster-name", name, "--yes", "--kubeconfig", c.kubeconfig)
}

// protect asks whether the shop can be backed up, and makes the backup instance.
func (d *demo) protect(ctx context.Context) error {
	for _, verb := range []string{"validate-for-backup", "create"} {
		if err := d.coffer(ctx, "backup-instance", verb, "-n", instance, "--cluster", first, "--policy-name", policy,
			"--included-namespaces", "shop", "--backup-hook-references", "default/quiesce"); err != nil {
			return err
		}
	}
	return nil
}

// restore restores the newest recovery point; the database that it holds refuses writes until a hook opens it again.
func (d *demo) restore(ctx context.Context, more ...string) error {
	return d.coffer(ctx, append([]string{
		"backup-instance", "restore", "trigger", "-n", instance, "--recovery-point-id", "latest", "--restore-hook-references", "default/reopen", "--wait",
	}, more...)...)
}

func (d *demo) joinSecond(ctx context.Context) error {
	if err := d.join(ctx, d.there, standby, "--set", "storageLocation.readOnly=true"); err != nil {
		return err
	}
	if err := d.letIn(ctx, d.there, standby); err != nil {
		return err
	}
	signer, err := d.signer(ctx)
	if err != nil {
		return err
	}
	return d.coffer(ctx, "storage-location", "trust", "default", signer, "--kubeconfig", d.there.kubeconfig)
}

func compare(ctx context.Context, s shop.Shop, want string) error {
	if err := s.AwaitReady(ctx); err != nil {
		return err
	}
	got, err := s.Digest(ctx)
	if err != nil {
		return err
	}
	say("rows and checksum: %s", got)
	if got != want {
		return fmt.Errorf("the data differs: it was %s", want)
	}
	if _, err := s.SQL(ctx, "INSERT INTO orders VALUES (0, 'first order after the restore', 1)"); err != nil {
		return fmt.Errorf("the restored database takes no writes: %w", err)
	}
	say("the same as before, and the database takes writes again")
	return nil
}

func (d *demo) lookAround(took time.Duration) {
	fmt.Printf("\n\x1b[1mDone in %s. The lab is still running; look around:\x1b[0m\n\n", took.Round(time.Second))
	for _, line := range []string{
		"export COFFER_CONFIG_DIR=" + d.config + " KUBECONFIG=" + d.kubeconfig,
		"export PATH=" + d.bin + ":$PATH",
		"coffer cluster list",
		"coffer job list",
		"coffer recovery-point list -n " + instance,
		"coffer recovery-point contents latest -n " + instance,
		"coffer recovery-point show latest -n " + instance + "     # until when it is kept, and what for",
		"coffer backup-policy preview -n " + policy + "     # the next backups by the policy, and how long each will be kept",
		"coffer alert list                         # what did not go as it should: here a restore's warning",
		"coffer backup-instance delete -n " + instance + "      # its recovery points with their snapshots, and nothing else",
		"coffer backup list                        # the same in the cluster, as custom resources",
		"lab status --name demo",
		"make demo-down                            # removes the lab and everything in it",
	} {
		fmt.Println("  " + line)
	}
}

func (d *demo) connect() error {
	bin, err := filepath.Abs(d.bin)
	if err != nil {
		return err
	}
	// The login is the demo's own: whoever is logged in elsewhere stays so.
	d.bin, d.config = bin, filepath.Join(filepath.Dir(bin), "demo")
	if err := os.MkdirAll(d.config, 0o700); err != nil {
		return err
	}
	if d.here, err = connect(d.kubeconfig); err != nil {
		return err
	}
	d.there, err = connect(d.second)
	return err
}

func connect(kubeconfig string) (cluster, error) {
	c := cluster{kubeconfig: kubeconfig}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return c, fmt.Errorf("find the lab: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, snapshotv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return c, err
		}
	}
	if c.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return c, err
	}
	c.cluster, err = kube.New(config)
	return c, err
}

// bucket of the lab's S3 service that holds the recovery points of the demo.
const bucket = "coffer-demo"

func makeBucket(ctx context.Context) error {
	c := s3.New(s3.Options{
		BaseEndpoint: aws.String(os.Getenv("COFFER_SERVICE_S3")), Region: os.Getenv("COFFER_SERVICE_S3_REGION"), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"), ""),
	})
	_, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)})
	var mine *s3types.BucketAlreadyOwnedByYou
	var exists *s3types.BucketAlreadyExists
	if err != nil && !errors.As(err, &mine) && !errors.As(err, &exists) {
		return fmt.Errorf("make the bucket %s: %w", bucket, err)
	}
	return nil
}

// signer is the public key that the first cluster signs with.
func (d *demo) signer(ctx context.Context) (string, error) {
	var location v1alpha1.BackupStorageLocation
	err := d.here.client.Get(ctx, client.ObjectKey{Namespace: v1alpha1.DefaultNamespace, Name: "default"}, &location)
	if err == nil && location.Status.Signer == "" {
		err = errors.New("the storage location of the first cluster names no signer")
	}
	return location.Status.Signer, err
}

// command is the real command line, as a person would use it.
func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "coffer"), args...) //nolint:gosec // the program that was just built
	cmd.Env = append(os.Environ(), "COFFER_CONFIG_DIR="+d.config, "KUBECONFIG="+d.kubeconfig,
		"AWS_ACCESS_KEY_ID="+os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY="+os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"))
	return cmd
}

// coffer runs the command line, and shows what it prints.
func (d *demo) coffer(ctx context.Context, args ...string) error {
	say("$ coffer %s", strings.Join(args, " "))
	cmd := d.command(ctx, args...)
	// One writer: of two, lines of the one would come late, or within those of the other.
	shown := &indent{out: os.Stdout}
	cmd.Stdout, cmd.Stderr = shown, shown
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("coffer %s: %w", args[0], err)
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }

// indent indents what a program prints.
type indent struct {
	out *os.File
	// within says that the last line is not ended: programs write lines in pieces.
	within bool
}

func (i *indent) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if !i.within {
			line = "    " + line
		}
		i.within = !strings.HasSuffix(line, "\n")
		if _, err := fmt.Fprint(i.out, line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
