package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/inbound/controller"
	"github.com/coffer-backup/coffer/internal/inbound/reader"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
	"github.com/coffer-backup/coffer/internal/outbound/blob/location"
	"github.com/coffer-backup/coffer/internal/outbound/csi"
	"github.com/coffer-backup/coffer/internal/outbound/kube"
	"github.com/coffer-backup/coffer/internal/outbound/signingkey"
)

type options struct {
	namespace      string
	clusterName    string
	filesystemRoot string
	leaderElect    bool
	metricsAddress string
	healthAddress  string
	pprofAddress   string
	serveContents  bool
	// readerAddress is where contents are served to the connector; empty is nowhere. vaultsNamespace is where vaults' identities are.
	readerAddress   string
	vaultsNamespace string
	parallel        int
	cutTimeout      time.Duration
	readyTimeout    time.Duration
	bindTimeout     time.Duration
	// workloadTimeout is what a Restore's readyTimeout is if it does not say.
	workloadTimeout time.Duration
	logLevel        string
	leaseDuration   time.Duration
	failpoints      bool
}

func run(ctx context.Context, o options) error {
	if o.namespace == "" {
		return errors.New("--namespace is not given and POD_NAMESPACE is not set")
	}
	if o.leaseDuration < 3*time.Second {
		return fmt.Errorf("--lease-duration %s: give at least 3s", o.leaseDuration)
	}
	log, config, err := begin(o.logLevel)
	if err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	manager, err := newManager(config, scheme, o)
	if err != nil {
		return err
	}
	direct, err := client.New(unlimited(config), client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("make API client: %w", err)
	}
	cluster, err := kube.New(config)
	if err != nil {
		return err
	}
	stores := location.Opener{FilesystemRoot: o.filesystemRoot, SecretFunc: secrets(direct, o.namespace, "credentialsSecretRef", coffer.CodeLocationNotReady)}
	locations := &controller.Locations{
		Client: direct, Namespace: o.namespace, ClusterName: o.clusterName, Open: stores.Open,
		KeysFunc: secrets(direct, o.namespace, "encryption.secretRef", coffer.CodeEncryptionKeysUnusable),
		SigningKeyFunc: func(ctx context.Context) (ed25519.PrivateKey, error) {
			return signingkey.Ensure(ctx, direct, o.namespace)
		},
	}
	runs := flow.Config{
		Cluster: cluster, Snapshots: csi.New(direct, o.namespace), Settings: locations,
		Namespace: o.namespace, ClusterName: o.clusterName, Version: version, Freezing: &flow.Freezing{},
		CutTimeout: o.cutTimeout, ReadyTimeout: o.readyTimeout, BindTimeout: o.bindTimeout, WorkloadTimeout: o.workloadTimeout,
	}
	err = controller.SetUp(manager, controller.Options{
		Client: direct, Log: log, Parallel: o.parallel, Events: manager.GetEventRecorder("coffer-extension"),
		Failpoints: o.failpoints,
		Metrics:    controller.NewMetrics(metrics.Registry),
		Flow:       runs,
	}, locations)
	if err != nil {
		return err
	}
	read := flow.NewReader(runs)
	if o.serveContents {
		if err := addReader(ctx, manager, contentHandler(read, 0, log), log); err != nil {
			return err
		}
	}
	if o.readerAddress != "" {
		if err := addGate(ctx, manager, config, direct, contentHandler(read, gateStall, log), o, log); err != nil {
			return err
		}
	}
	log.Info("starting", "version", version, "namespace", o.namespace)
	return manager.Start(ctx)
}

// contentHandler serves contents to whoever is let through to it. stall is as in reader.Config.
func contentHandler(read *flow.Reader, stall time.Duration, log *slog.Logger) *reader.Handler {
	return reader.New(reader.Config{
		Contents: read.Contents, Plan: read.Plan, Report: read.Report, Diff: read.Diff, TestReport: read.TestReport,
		Coverage: read.Coverage, Logs: read.Logs, Inventory: read.Inventory, Holdings: read.Holdings, Log: log, Stall: stall,
	})
}

// addReader has every replica serve contents, whether or not it leads. That something else in the pod has the port is no
// reason to make no backups.
func addReader(ctx context.Context, m ctrl.Manager, served *reader.Handler, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", reader.Address())
	if err != nil {
		log.Error("contents are not served", "address", reader.Address(), "error", err)
		return nil
	}
	return m.Add(&manager.Server{
		Name: "reader", Server: reader.Server(ctx, served), Listener: listener, ShutdownTimeout: ptr(5 * time.Second),
	})
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, snapshotv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register types: %w", err)
		}
	}
	return scheme, nil
}

// unlimited leaves the limiting of requests to the API server's priority and fairness.
func unlimited(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	return config
}

func newManager(config *rest.Config, scheme *runtime.Scheme, o options) (ctrl.Manager, error) {
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		// Run objects are watched in the extension's namespace only.
		Cache:                   cache.Options{DefaultNamespaces: map[string]cache.Config{o.namespace: {}}},
		Metrics:                 metricsserver.Options{BindAddress: o.metricsAddress},
		PprofBindAddress:        o.pprofAddress,
		HealthProbeBindAddress:  o.healthAddress,
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        "coffer-extension",
		LeaderElectionNamespace: o.namespace,
		LeaseDuration:           &o.leaseDuration,
		RenewDeadline:           ptr(o.leaseDuration * 2 / 3),
		RetryPeriod:             ptr(o.leaseDuration / 8),
		// A replica that is told to stop hands over at once instead of letting the lease run out.
		LeaderElectionReleaseOnCancel: true,
		// Runs are interrupted, not waited for: they are taken up again.
		GracefulShutdownTimeout: ptr(20 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	for _, add := range []func(string, healthz.Checker) error{manager.AddHealthzCheck, manager.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return nil, fmt.Errorf("set up health checks: %w", err)
		}
	}
	return manager, nil
}

func ptr[T any](v T) *T { return &v }

// secrets reads Secrets of the extension's namespace, past any cache. One that is missing is an Error with a code, and says
// which field names it.
func secrets(c client.Client, namespace, field string, code coffer.Code) func(context.Context, string) (map[string][]byte, error) {
	return func(ctx context.Context, name string) (map[string][]byte, error) {
		var s corev1.Secret
		err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &s)
		if apierrors.IsNotFound(err) {
			return nil, coffer.Errorf(code, "there is no Secret %s in namespace %s, which %s names", name, namespace, field).
				WithHint("create it, or name another")
		}
		if err != nil {
			return nil, fmt.Errorf("read Secret %s: %w", name, err)
		}
		return s.Data, nil
	}
}

func createContainer(root, name string) error {
	if err := filesystem.Create(root, name); err != nil {
		return err
	}
	c, err := filesystem.Open(root, name)
	if err != nil {
		return err
	}
	return c.Close()
}
