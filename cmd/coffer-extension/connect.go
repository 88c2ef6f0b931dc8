package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/inbound/connector"
)

// connectOptions are the flags of `coffer-extension connect`.
type connectOptions struct {
	namespace, vaultsNamespace string
	joinTokenFile              string
	readerURL, readerTokenFile string
	allowBindingsByOwner       bool
	allowSettingsByOwner       bool
	storageLocation            string
	healthAddress              string
	metricsAddress             string
	logLevel                   string
}

// readerAuthority is the ConfigMap, and its key, with the certificate authority of the extension's reader.
const (
	readerAuthority    = "coffer-reader"
	readerAuthorityKey = "ca.crt"
)

func newConnectCommand() *cobra.Command {
	var o connectOptions
	cmd := &cobra.Command{
		Use:   "connect",
		Short: "Keep the link to the server of Backup vaults that this cluster has joined, until told to stop",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return connect(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "namespace of the extension")
	flags.StringVar(&o.vaultsNamespace, "vaults-namespace", "", "namespace of the ServiceAccounts that vaults are (default NAMESPACE-vaults)")
	flags.StringVar(&o.joinTokenFile, "join-token-file", "", "file with the token of coffer cluster join; it may be missing once the cluster has joined")
	flags.StringVar(&o.readerURL, "reader-url", "", "https://HOST:PORT of the extension's reader (default: vaults cannot look into recovery points)")
	flags.StringVar(&o.readerTokenFile, "reader-token-file", "", "file with the token that the reader knows this by")
	flags.BoolVar(&o.allowBindingsByOwner, "allow-bindings-by-owner", false, "let the vault's server give vaults trusted access to this cluster")
	flags.BoolVar(&o.allowSettingsByOwner, "allow-settings-by-owner", false, "let the vault's server change where recovery points are written to, within what the credentials are for")
	flags.StringVar(&o.storageLocation, "storage-location", "default", "the BackupStorageLocation that it may change")
	flags.StringVar(&o.healthAddress, "health-address", ":8081", "where /healthz and /readyz are served; ready is linked")
	flags.StringVar(&o.metricsAddress, "metrics-address", ":8080", "where Prometheus metrics are served; 0 for nowhere")
	flags.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// connect keeps the link until ctx ends.
func connect(ctx context.Context, o connectOptions) error {
	if o.namespace == "" {
		return errors.New("--namespace is not given and POD_NAMESPACE is not set")
	}
	o.vaultsNamespace = vaultsOr(o.vaultsNamespace, o.namespace)
	log, config, err := begin(o.logLevel)
	if err != nil {
		return err
	}
	link, err := newConnector(unlimited(config), o, log)
	if err != nil {
		return err
	}
	servers, err := linkServers(ctx, o, link, log)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version, "namespace", o.namespace, "vaultsNamespace", o.vaultsNamespace)
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { link.Run(running); return nil })
	for _, serve := range servers {
		group.Go(func() error { return serve(running) })
	}
	return group.Wait()
}

func newConnector(config *rest.Config, o connectOptions, log *slog.Logger) (*connector.Connector, error) {
	// What it asks itself ends, unlike what it carries.
	own := rest.CopyConfig(config)
	own.Timeout = 30 * time.Second
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	direct, err := client.New(own, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	typed, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	api, err := connector.NewKubernetes(config, o.vaultsNamespace, log)
	if err != nil {
		return nil, err
	}
	content, err := newContentHandler(o, direct, log)
	if err != nil {
		return nil, err
	}
	cluster := connector.Cluster{
		Client: typed, Namespace: o.namespace, VaultsNamespace: o.vaultsNamespace, Version: version, BindingsByOwner: o.allowBindingsByOwner,
		SettingsByOwner: o.allowSettingsByOwner,
	}
	return connector.New(connector.Config{
		Store:     connector.SecretStore{Client: direct, Namespace: o.namespace},
		TokenFunc: func() (string, error) { return joinToken(o.joinTokenFile) },
		HelloFunc: cluster.Hello, Kubernetes: api, Content: content,
		Consent: connector.NewConsent(connector.ConsentConfig{
			Client: direct, Namespace: o.namespace, VaultsNamespace: o.vaultsNamespace, Allowed: o.allowBindingsByOwner, Log: log,
		}),
		Settings: connector.NewLocation(connector.LocationConfig{
			Client: direct, Namespace: o.namespace, Name: o.storageLocation, Allowed: o.allowSettingsByOwner, Log: log,
		}),
		Log: log, NowFunc: time.Now,
	})
}

// joinToken is empty where there is none: the Secret of it is gone once the cluster has joined.
func joinToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // Whoever runs it names the file.
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("--join-token-file: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func newContentHandler(o connectOptions, direct client.Client, log *slog.Logger) (http.Handler, error) {
	if o.readerURL == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the connector was told of no reader", http.StatusServiceUnavailable)
		}), nil
	}
	reader, err := url.Parse(o.readerURL)
	if err != nil {
		return nil, fmt.Errorf("--reader-url: %w", err)
	}
	return connector.NewContent(connector.ContentConfig{
		URL: reader, TokenFile: o.readerTokenFile, Log: log,
		AuthorityFunc: func(ctx context.Context) ([]byte, error) {
			var kept corev1.ConfigMap
			if err := direct.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: readerAuthority}, &kept); err != nil {
				return nil, fmt.Errorf("get ConfigMap %s, which the extension makes: %w", readerAuthority, err)
			}
			return []byte(kept.Data[readerAuthorityKey]), nil
		},
	})
}

// linkServers are the servers of health and of metrics, each of which serves until its context ends.
func linkServers(ctx context.Context, o connectOptions, link *connector.Connector, log *slog.Logger) ([]func(context.Context) error, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(connectorMetrics(link)...)
	measures := http.NewServeMux()
	measures.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	var all []func(context.Context) error
	for _, s := range []struct {
		flag, address string
		handler       http.Handler
	}{{"health-address", o.healthAddress, healthOf(link)}, {"metrics-address", o.metricsAddress, measures}} {
		if s.address == "" || s.address == "0" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
		if err != nil {
			return nil, fmt.Errorf("--%s %s: %w", s.flag, s.address, err)
		}
		server := &http.Server{
			Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		}
		all = append(all, func(ctx context.Context) error {
			stop := context.AfterFunc(ctx, func() { _ = server.Close() })
			defer stop()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
	return all, nil
}

// healthOf answers whether it runs, and whether it is linked: if not, why.
func healthOf(link *connector.Connector) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		status := link.Status()
		if !status.Linked {
			http.Error(w, "not linked: "+status.Problem, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

func connectorMetrics(link *connector.Connector) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coffer_connector_linked", Help: "1 while there is a link to the vault's server, 0 otherwise.",
		}, func() float64 {
			if link.Status().Linked {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffer_connector_links_total", Help: "Links to the vault's server that there have been.",
		}, func() float64 { return float64(link.Status().Links) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "coffer_connector_failures_total", Help: "Ends of links, and attempts that led to none.",
		}, func() float64 { return float64(link.Status().Failures) }),
	}
}
