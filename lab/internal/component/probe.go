package component

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/network"
)

const (
	probeTimeout = 2 * time.Second
	// settleTime is how long a component that cannot be asked must run to count as working.
	settleTime = 300 * time.Millisecond
)

// probeFunc asks a component once whether it works.
type probeFunc func(ctx context.Context) error

func newProbe(spec Spec) (probeFunc, error) {
	switch {
	case spec.Health.URL != "":
		return urlProbe(spec)
	case spec.Health.Socket != "":
		return dialProbe((&net.Dialer{}).DialContext, "unix", spec.Health.Socket), nil
	case spec.Health.Address != "":
		return dialProbe(network.Dial(spec.Network), "tcp", spec.Health.Address), nil
	case len(spec.Listen) > 0:
		return dialProbe((&net.Dialer{}).DialContext, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(spec.Listen[0]))), nil
	}
	begin := time.Now()
	return func(context.Context) error {
		if time.Since(begin) < settleTime {
			return fmt.Errorf("it has only just begun")
		}
		return nil
	}, nil
}

func dialProbe(dial network.DialFunc, kind, address string) probeFunc {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		conn, err := dial(ctx, kind, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// urlProbe asks from the component's own network, as the administrator where the component wants to know.
func urlProbe(spec Spec) (probeFunc, error) {
	url := spec.Health.URL
	transport := &http.Transport{DialContext: network.Dial(spec.Network), DisableKeepAlives: true}
	if strings.HasPrefix(url, "https:") {
		secured, err := clientTLS(spec.Health)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = secured
	}
	client := &http.Client{Timeout: probeTimeout, Transport: transport}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		said, _ := io.ReadAll(io.LimitReader(response.Body, 300))
		return fmt.Errorf("%s answers %s: %s", url, response.Status, strings.Join(strings.Fields(string(said)), " "))
	}, nil
}

func clientTLS(health Health) (*tls.Config, error) {
	authority, err := os.ReadFile(health.Authority)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	identity, err := tls.LoadX509KeyPair(health.Certificate, health.Key)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate: %w", err)
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{identity}, MinVersion: tls.VersionTLS12}, nil
}
