// Command lab-storage is the lab's CSI driver and its dynamic provisioner.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coffer-backup/coffer/lab/storage/crds"
	"github.com/coffer-backup/coffer/lab/storage/internal/driver"
	"github.com/coffer-backup/coffer/lab/storage/internal/provisioner"
)

const usage = `usage:
  lab-storage driver --driver-name NAME --endpoint unix:///path/csi.sock --pool DIR --node-id ID
                     [--kubelet-registration-dir DIR] [--no-snapshots]
  lab-storage provisioner --csi-address unix:///path/csi.sock --kubeconfig FILE
  lab-storage crds
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the command that args name until ctx ends, and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "driver":
		err = runDriver(ctx, args[1:], stderr)
	case "provisioner":
		err = runProvisioner(ctx, args[1:], stderr)
	case "crds":
		err = printCRDs(stdout)
	default:
		fmt.Fprintf(stderr, "lab-storage: unknown command %q\n%s", args[0], usage)
		return 2
	}
	if err != nil {
		fmt.Fprintf(stderr, "lab-storage %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

func runDriver(ctx context.Context, args []string, stderr io.Writer) error {
	var cfg driver.Config
	var serve driver.ServeConfig
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&cfg.Name, "driver-name", "", "CSI driver name")
	flags.StringVar(&cfg.NodeID, "node-id", "", "id of this node")
	flags.StringVar(&cfg.Pool, "pool", "", "folder on an XFS with reflinks where volumes are kept")
	flags.BoolVar(&cfg.NoSnapshots, "no-snapshots", false, "leave out snapshots")
	flags.StringVar(&serve.Endpoint, "endpoint", "", "CSI socket, unix:///path")
	flags.StringVar(&serve.RegistrationDir, "kubelet-registration-dir", "", "folder the kubelet watches for plugins")
	verbose := flags.Bool("verbose", false, "log every call")
	if err := parse(flags, args); err != nil {
		return err
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	csiDriver, err := driver.New(cfg)
	if err != nil {
		return err
	}
	serve.ReadyFunc = func() { cfg.Logger.Info("driver answers", "driver", cfg.Name, "endpoint", serve.Endpoint) }
	return csiDriver.Serve(ctx, serve)
}

func runProvisioner(ctx context.Context, args []string, stderr io.Writer) error {
	var cfg provisioner.Config
	flags := flag.NewFlagSet("provisioner", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&cfg.Address, "csi-address", "", "CSI socket of the driver, unix:///path")
	flags.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "kubeconfig file of the cluster")
	if err := parse(flags, args); err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.NewTextHandler(stderr, nil))
	return provisioner.Run(ctx, cfg)
}

// printCRDs writes the definitions of the snapshot resources, as one YAML stream to apply.
func printCRDs(stdout io.Writer) error {
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		// Every file begins with a document separator.
		data, err := crds.Files.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := stdout.Write(data); err != nil {
			return err
		}
	}
	return nil
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}
