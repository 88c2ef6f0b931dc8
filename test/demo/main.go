// Command demo tells the story of Coffer on a lab cluster: an application is backed up, destroyed and restored, and
// its data compared.
package main

import (
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
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	images                             shop.Images
	here, there                        cluster
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

// tell tells the story from its beginning. A demo that was told before is cleared away first.
func (d *demo) tell(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return err
	}
	original, second, moved := d.here.shop("shop"), d.here.shop("shop-copy"), d.there.shop("shop")
	backup := "shop-" + time.Now().UTC().Format("20060102-150405")
	var before string
	steps := []struct {
		title string
		do    func() error
	}{
		{"clear away what an earlier demo left", func() error {
			for _, s := range []shop.Shop{original, second, moved} {
				if err := s.Destroy(ctx); err != nil {
					return err
				}
			}
			return makeBucket(ctx)
		}},
		{"install the Backup extension with `coffer extension install`, and tell it of an S3 bucket", func() error {
			return d.install(ctx, d.here)
		}},
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
		{"back it up; a hook quiesces the database while its volume is snapshotted", func() error {
			if err := shop.DeployHooks(ctx, d.here.client); err != nil {
				return err
			}
			return d.coffer(ctx, d.here, "backup", "create", backup, "--included-namespaces", "shop", "--backup-hook-references", "default/quiesce", "--wait")
		}},
		{"delete the namespace, volumes and all", func() error { return original.Destroy(ctx) }},
		{"restore it", func() error {
			return d.coffer(ctx, d.here, "restore", "create", backup+"-back", "--backup-name", backup, "--restore-hook-references", "default/reopen", "--wait")
		}},
		{"count and compare the rows", func() error { return compare(ctx, original, before) }},
		{"restore the same recovery point into a second namespace", func() error {
			return d.coffer(ctx, d.here, "restore", "create", backup+"-copy", "--backup-name", backup, "--namespace-mappings", "shop=shop-copy", "--restore-hook-references", "default/reopen", "--wait")
		}},
		{"count and compare the rows there", func() error { return compare(ctx, second, before) }},
		{"install the extension in a second cluster, which may only read the bucket, and trust the first one's signature", func() error {
			if err := d.install(ctx, d.there, "--set", "storageLocation.readOnly=true"); err != nil {
				return err
			}
			if err := shop.DeployHooks(ctx, d.there.client); err != nil {
				return err
			}
			signer, err := d.signer(ctx)
			if err != nil {
				return err
			}
			return d.coffer(ctx, d.there, "storage-location", "trust", "default", signer)
		}},
		{"restore the shop there", func() error {
			return d.coffer(ctx, d.there, "restore", "create", backup+"-moved", "--backup-name", backup, "--restore-hook-references", "default/reopen", "--wait")
		}},
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
	d.lookAround(backup, time.Since(began))
	return nil
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

func (d *demo) lookAround(backup string, took time.Duration) {
	fmt.Printf("\n\x1b[1mDone in %s. The lab is still running; look around:\x1b[0m\n\n", took.Round(time.Second))
	for _, line := range []string{
		"export KUBECONFIG=" + d.kubeconfig,
		"export PATH=" + d.bin + ":$PATH",
		"coffer backup list",
		"coffer backup show " + backup,
		"coffer restore list",
		"coffer backup delete " + backup + "      # its snapshots and archive, and nothing else",
		"lab status --name demo",
		"KUBECONFIG=" + d.second + " coffer restore list     # the second cluster",
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
	d.bin = bin
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

// install installs the extension with the bucket as its storage location, and the keys in a Secret.
func (d *demo) install(ctx context.Context, c cluster, more ...string) error {
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.DefaultNamespace}},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "bucket-keys"},
			StringData: map[string]string{
				"accessKeyId": os.Getenv("COFFER_SERVICE_S3_ACCESS_KEY"), "secretAccessKey": os.Getenv("COFFER_SERVICE_S3_SECRET_KEY"),
			},
		},
	} {
		if err := c.client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	args := []string{"extension", "install", "--image", d.extension, "--set", "image.pullPolicy=Never"}
	for _, value := range []string{
		"provider=s3", "container=" + bucket, "credentialsSecret=bucket-keys", "s3.forcePathStyle=true",
		"s3.region=" + os.Getenv("COFFER_SERVICE_S3_REGION"), "s3.endpoint=" + os.Getenv("COFFER_SERVICE_S3_INSIDE"),
	} {
		args = append(args, "--set", "storageLocation."+value)
	}
	return d.coffer(ctx, c, append(args, more...)...)
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

// coffer runs the real command line, as a person would.
func (d *demo) coffer(ctx context.Context, c cluster, args ...string) error {
	say("$ coffer %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "coffer"), args...) //nolint:gosec // the program that was just built
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	cmd.Stdout, cmd.Stderr = indent{os.Stdout}, indent{os.Stderr}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("coffer %s: %w", args[0], err)
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf("    "+format+"\n", args...) }

// indent indents what a program prints.
type indent struct{ out *os.File }

func (i indent) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if _, err := fmt.Fprint(i.out, "    ", line); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
