package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// Limits of a connection: whoever is slower, or sends more before it is known who it is, is cut off.
const (
	headerTime = 10 * time.Second
	readTime   = 30 * time.Second
	writeTime  = 90 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	// drainTime is how long requests that are under way may take to end when the server is told to stop.
	drainTime = 20 * time.Second
)

// newHTTPServer is one with limits.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: stdlog.New(connectionLog{log}, "", 0),
	}
}

// connectionLog is what net/http says of connections, and of handlers that panicked: there is nobody else to say it to.
type connectionLog struct{ log *slog.Logger }

// Write logs one line.
func (l connectionLog) Write(line []byte) (int, error) {
	level := slog.LevelError
	// That comes of whoever scans ports.
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "connection", "error", string(bytes.TrimSpace(line)))
	return len(line), nil
}

// listener is a server and where it listens.
type listener struct {
	server *http.Server
	net.Listener
}

// listen opens an address, by TLS if there is a configuration for it.
func listen(ctx context.Context, flag, address string, config *tls.Config, server *http.Server) (listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return listener{}, fmt.Errorf("--%s %s: %w", flag, address, err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	return listener{server, l}, nil
}

// serve serves until ctx ends, and lets the requests that are under way come to their end.
func serve(ctx context.Context, all []listener) error {
	group, running := errgroup.WithContext(ctx)
	for _, l := range all {
		group.Go(func() error {
			if err := l.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
		group.Go(func() error {
			<-running.Done()
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
			defer cancel()
			if err := l.server.Shutdown(last); err != nil {
				return errors.Join(fmt.Errorf("requests on %s were cut off, %s after the server was told to stop: %w", l.Addr(), drainTime, err), l.server.Close())
			}
			return nil
		})
	}
	return group.Wait()
}

// statusHandler answers the questions of whoever runs the server.
func statusHandler(registry *prometheus.Registry, ready func(ctx context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

// metrics are what is counted of requests. Types of resources and methods are a closed set.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(registry *prometheus.Registry) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coffer_server_requests_total", Help: "Requests of clients by resource type, method and status.",
		}, []string{"type", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coffer_server_request_seconds", Help: "How long requests took, in seconds.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 10),
		}, []string{"type", "method"}),
	}
	registry.MustRegister(m.requests, m.seconds)
	return m
}

func (m metrics) observe(kind, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(kind, method, fmt.Sprint(status)).Inc()
	m.seconds.WithLabelValues(kind, method).Observe(took.Seconds())
}
