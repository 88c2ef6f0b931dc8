package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/coffer-backup/coffer/internal/inbound/reader"
	"github.com/coffer-backup/coffer/internal/outbound/accessreview"
	"github.com/coffer-backup/coffer/internal/outbound/readercert"
)

// gateStall is how long nothing of an answer may be taken by a vault: no person reads there. It has turns of its own, so that vaults
// keep nobody in the cluster from reading.
const gateStall = time.Minute

// addGate has every replica serve contents to the connector.
func addGate(ctx context.Context, m ctrl.Manager, config *rest.Config, direct client.Client, served *reader.Handler, o options, log *slog.Logger) error {
	typed, err := kubernetes.NewForConfig(unlimited(config))
	if err != nil {
		return fmt.Errorf("make API client: %w", err)
	}
	review := accessreview.Reviewer{Client: typed, Namespace: o.namespace, VaultsNamespace: vaultsOr(o.vaultsNamespace, o.namespace)}
	keeper := &readercert.Keeper{Client: direct, Namespace: o.namespace, NowFunc: time.Now, Log: log}
	if err := m.Add(keeper); err != nil {
		return fmt.Errorf("keep the reader's certificate: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.readerAddress)
	if err != nil {
		return fmt.Errorf("--reader-address %s: %w", o.readerAddress, err)
	}
	gate := reader.NewGate(reader.GateConfig{Reader: served, ConnectorFunc: review.Connector, AllowedFunc: review.Allowed, NowFunc: time.Now})
	server := reader.Server(ctx, gate)
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return m.Add(&manager.Server{
		Name: "gate", Server: server, ShutdownTimeout: ptr(5 * time.Second),
		Listener: gateListener(listener, keeper),
	})
}

// gateListener accepts TLS with the certificate that there is at the time. HTTP/1.1 is all that is spoken.
func gateListener(plain net.Listener, keeper *readercert.Keeper) net.Listener {
	return tls.NewListener(plain, &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: keeper.GetCertificate, NextProtos: []string{"http/1.1"}})
}
