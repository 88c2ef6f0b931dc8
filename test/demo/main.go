// Command demo tells the story of Coffer on a lab cluster: an application is backed up, destroyed and restored, and
// its data compared.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/outbound/kube"
	"github.com/coffer-backup/coffer/test/shop"
)

const rows = 50_000

func main() {
	var d demo
	flag.StringVar(&d.bin, "bin", "build/bin", "folder of the built programs")
	flag.StringVar(&d.kubeconfig, "kubeconfig", "", "kubeconfig of the lab cluster")
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
	bin, kubeconfig, extension string
	images                     shop.Images
	client                     client.Client
	cluster                    *kube.Cluster
}

// tell tells the story from its beginning. A demo that was told before is cleared away first.
func (d *demo) tell(ctx context.Context) error {
	if err := d.connect(); err != nil {
		return err
	}
	original := shop.Shop{Client: d.client, Cluster: d.cluster, Namespace: "shop"}
	second := shop.Shop{Client: d.client, Cluster: d.cluster, Namespace: "shop-copy"}
	backup := "shop-" + time.Now().UTC().Format("20060102-150405")
	var before string
	steps := []struct {
		title string
		do    func() error
	}{
		{"clear away what an earlier demo left", func() error {
			if err := original.Destroy(ctx); err != nil {
				return err
			}
			return second.Destroy(ctx)
		}},
		{"install the Backup extension with `coffer extension install`", func() error {
			return d.coffer(ctx, "extension", "install", "--image", d.extension, "--set", "image.pullPolicy=Never", "--set", "storageLocation.size=2Gi")
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
			if err := shop.DeployHooks(ctx, d.client); err != nil {
				return err
			}
			return d.coffer(ctx, "backup", "create", backup, "--included-namespaces", "shop", "--backup-hook-references", "default/quiesce", "--wait")
		}},
		{"delete the namespace, volumes and all", func() error { return original.Destroy(ctx) }},
		{"restore it", func() error {
			return d.coffer(ctx, "restore", "create", backup+"-back", "--backup-name", backup, "--restore-hook-references", "default/reopen", "--wait")
		}},
		{"count and compare the rows", func() error { return compare(ctx, original, before) }},
		{"restore the same recovery point into a second namespace", func() error {
			return d.coffer(ctx, "restore", "create", backup+"-copy", "--backup-name", backup, "--namespace-mappings", "shop=shop-copy", "--restore-hook-references", "default/reopen", "--wait")
		}},
		{"count and compare the rows there", func() error { return compare(ctx, second, before) }},
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
	config, err := clientcmd.BuildConfigFromFlags("", d.kubeconfig)
	if err != nil {
		return fmt.Errorf("find the lab: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, snapshotv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if d.client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	d.cluster, err = kube.New(config)
	return err
}

// coffer runs the real command line, as a person would.
func (d *demo) coffer(ctx context.Context, args ...string) error {
	say("$ coffer %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "coffer"), args...) //nolint:gosec // the program that was just built
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.kubeconfig)
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
