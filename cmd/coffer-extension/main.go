// Command coffer-extension is the Backup extension: the controllers that back up and restore the cluster they run in.
package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/coffer-backup/coffer/internal/inbound/reader"
	"github.com/coffer-backup/coffer/internal/outbound/kube"
)

// version is set by the linker.
var version = "dev"

func main() {
	// Much of what a capture holds is buffers that live as long as it does: waiting for the heap to double would hold them
	// twice. GOGC, if set, decides.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if err := newCommand().ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "coffer-extension:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "coffer-extension",
		Short:         "Back up and restore the cluster that this runs in",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRunCommand(), newConnectCommand(), newCreateContainerCommand())
	return root
}

func newRunCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the controllers until told to stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the extension and its run objects")
	flags.StringVar(&o.clusterName, "cluster-name", "", "what people call this cluster, recorded in the containers that it writes to")
	flags.StringVar(&o.filesystemRoot, "filesystem-root", "/blobs", "folder below which filesystem storage locations have their containers")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "take turns with other replicas by a lease")
	flags.StringVar(&o.metricsAddress, "metrics-address", ":8080", "where Prometheus metrics are served; 0 for nowhere")
	flags.StringVar(&o.healthAddress, "health-address", ":8081", "where /healthz and /readyz are served")
	flags.StringVar(&o.pprofAddress, "pprof-address", "", "where Go profiles are served under /debug/pprof, such as 127.0.0.1:6060; whoever reaches it sees memory contents (default nowhere)")
	flags.BoolVar(&o.serveContents, "serve-contents", true, "serve what recovery points hold at "+reader.Address()+", for those who may forward ports into the pod")
	flags.StringVar(&o.readerAddress, "reader-address", "", "where contents are served to the connector over TLS, to vaults that the cluster's RBAC lets, such as :8083 (default nowhere)")
	flags.StringVar(&o.vaultsNamespace, "vaults-namespace", "", "namespace of the ServiceAccounts that vaults are (default NAMESPACE-vaults)")
	flags.IntVar(&o.parallel, "parallel-runs", 4, "runs of one kind that are carried out at the same time")
	flags.DurationVar(&o.cutTimeout, "snapshot-cut-timeout", 0, "how long a pod stays frozen at most for its snapshots to be cut (default 2m)")
	flags.DurationVar(&o.readyTimeout, "snapshot-ready-timeout", 0, "how long a cut snapshot may take to become usable (default 30m)")
	flags.DurationVar(&o.bindTimeout, "volume-bind-timeout", 0, "how long a restored claim may take to be bound (default 10m)")
	flags.DurationVar(&o.workloadTimeout, "workload-ready-timeout", 0, "how long restored workloads may take to become ready, where a Restore does not say (default 5m)")
	flags.BoolVar(&o.failpoints, "failpoints", false, "for tests: let run objects ask for the death of this process")
	if err := flags.MarkHidden("failpoints"); err != nil {
		panic(err)
	}
	flags.DurationVar(&o.leaseDuration, "lease-duration", 15*time.Second, "how long another replica waits before it takes over from one that does not answer; at least 3s")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func newCreateContainerCommand() *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "create-container NAME",
		Short: "Create the folder of a filesystem storage location's container, if it is missing",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return createContainer(root, args[0])
		},
	}
	cmd.Flags().StringVar(&root, "filesystem-root", "/blobs", "folder below which the container is created")
	return cmd
}

// begin is what both programs begin with: a log, which the libraries write to as well, and the way to the cluster that this runs in.
func begin(logLevel string) (*slog.Logger, *rest.Config, error) {
	log, err := newLogger(logLevel)
	if err != nil {
		return nil, nil, err
	}
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	klog.SetSlogLogger(log)
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("find the cluster: %w", err)
	}
	// Nobody is told that they may not, before the API server knows who may.
	config.Wrap(kube.AwaitRoles)
	return log, config, nil
}

// vaultsOr is the namespace of vaults' identities: the one that was given, or else the one that belongs to the extension's.
func vaultsOr(given, extension string) string { return cmp.Or(given, extension+"-vaults") }

func newLogger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})), nil
}
