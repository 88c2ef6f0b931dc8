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

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

const (
	probeTimeout = 2 * time.Second
	// settleTime is how long a component that cannot be asked must run to count as working.
	settleTime = 300 * time.Millisecond
)

// probeFunc asks a component once whether it works.
type probeFunc func(ctx context.Context) error

func newProbe(c *cluster.Cluster, spec Spec) (probeFunc, error) {
	switch {
	case spec.Health.URL != "":
		return urlProbe(c, spec.Health.URL)
	case spec.Health.Socket != "":
		return dialProbe("unix", spec.Health.Socket), nil
	case spec.Listen != 0:
		return dialProbe("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(spec.Listen))), nil
	}
	begin := time.Now()
	return func(context.Context) error {
		if time.Since(begin) < settleTime {
			return fmt.Errorf("it has only just begun")
		}
		return nil
	}, nil
}

func dialProbe(kind, address string) probeFunc {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, kind, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// urlProbe asks from the component's own network, as the administrator.
func urlProbe(c *cluster.Cluster, url string) (probeFunc, error) {
	authority, err := os.ReadFile(c.Certificate(pki.CA))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	identity, err := tls.LoadX509KeyPair(c.Certificate(pki.Admin), c.Key(pki.Admin))
	if err != nil {
		return nil, fmt.Errorf("read the administrator's certificate: %w", err)
	}
	client := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{
		DialContext:       network.Dial(c.NetworkPath()),
		TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{identity}},
		DisableKeepAlives: true,
	}}
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
