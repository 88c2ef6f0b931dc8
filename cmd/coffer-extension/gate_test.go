package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/inbound/reader"
	"github.com/coffer-backup/coffer/internal/outbound/readercert"
)

// The gate as it is put together: over TLS, by the certificate that is published, before and after it was renewed.
func TestTheConnectorReachesTheReaderAcrossARenewal(t *testing.T) {
	kept := fake.NewClientBuilder().Build()
	now := time.Now()
	keeper := &readercert.Keeper{Client: kept, Namespace: "ns", NowFunc: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	if err := keeper.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := reader.New(reader.Config{Inventory: func(context.Context) (flow.Inventory, error) { return flow.Inventory{Drivers: []string{"disk"}}, nil }})
	gate := reader.NewGate(reader.GateConfig{
		Reader: served, NowFunc: time.Now,
		ConnectorFunc: func(_ context.Context, token string) (bool, error) { return token == "connector", nil },
		AllowedFunc:   func(_ context.Context, identity, _, _ string) (bool, error) { return identity == "vault", nil },
	})
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := reader.Server(t.Context(), gate)
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(gateListener(plain, keeper)); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	ask := func(token, identity string) (int, string, error) {
		var published corev1.ConfigMap
		if err := kept.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: content.AuthorityConfigMap}, &published); err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(published.Data[content.AuthorityField]))
		transport := &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13, Time: func() time.Time { return now }},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "tcp", plain.Addr().String())
			},
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://coffer-extension-reader.ns.svc:8083"+content.InventoryPattern, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set(link.IdentityHeader, identity)
		answer, err := transport.RoundTrip(r)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body), err
	}
	for range 2 {
		if status, body, err := ask("connector", "vault"); err != nil || status != http.StatusOK || !strings.Contains(body, `"disk"`) {
			t.Errorf("the vault: %d, %v: %s", status, err, body)
		}
		if status, body, err := ask("connector", "another"); err != nil || status != http.StatusForbidden || strings.Contains(body, `"disk"`) {
			t.Errorf("another vault: %d, %v: %s", status, err, body)
		}
		if status, body, err := ask("stranger", "vault"); err != nil || status != http.StatusUnauthorized || strings.Contains(body, `"disk"`) {
			t.Errorf("a stranger: %d, %v: %s", status, err, body)
		}
		now = now.Add(75 * 24 * time.Hour)
		if err := keeper.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
