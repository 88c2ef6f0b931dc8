package object

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// LinkConfig is what a Link is made of.
type LinkConfig struct {
	// CACert is PEM with the certificates that are trusted beside the machine's own; empty for none.
	CACert string
	// Idle is how long a connection may stand still in the middle of a request before it is given up. Zero is a minute.
	Idle time.Duration
}

// Link is the HTTP client of one store. It bounds how long nothing may happen, not how long a transfer takes, and it
// compares the store's clock with this machine's.
type Link struct {
	transport *http.Transport
	// skew is what the store's clock is ahead, in nanoseconds.
	skew atomic.Int64
}

// NewLink makes a Link.
func NewLink(c LinkConfig) (*Link, error) {
	if c.Idle == 0 {
		c.Idle = time.Minute
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(c.CACert)) {
			return nil, coffer.Errorf(coffer.CodeInvalid, "caCert holds no certificate").
				WithHint("give PEM: -----BEGIN CERTIFICATE----- and so on")
		}
		trust.RootCAs = pool
	}
	dialer := &net.Dialer{Timeout: min(10*time.Second, c.Idle), KeepAlive: 15 * time.Second}
	return &Link{transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &watchedConn{Conn: conn, idle: c.Idle}, nil
		},
		TLSClientConfig:     trust,
		TLSHandshakeTimeout: min(10*time.Second, c.Idle),
		// Not above Idle, or every pooled connection would end by its deadline.
		IdleConnTimeout:     c.Idle / 2,
		MaxIdleConnsPerHost: 16,
		// What is stored is what is read: nothing is unpacked on the way.
		DisableCompression: true,
	}}, nil
}

// Client is the link for SDKs that take a http.Client.
func (l *Link) Client() *http.Client { return &http.Client{Transport: l} }

// Do is the link for SDKs that take something with this method.
func (l *Link) Do(r *http.Request) (*http.Response, error) {
	return l.Client().Do(r) //nolint:gosec // where to is the administrator's choice
}

// RoundTrip implements http.RoundTripper.
func (l *Link) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := l.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		l.skew.Store(int64(time.Until(date)))
	}
	return response, nil
}

const (
	// skewThatIsNone is within what the header's seconds and the way of the answer amount to.
	skewThatIsNone = 5 * time.Second
	// skewThatIsRefused is what the strictest store begins to refuse.
	skewThatIsRefused = 5 * time.Minute
)

// Skew is how much the store's clock was ahead of this machine's at the last answer; zero if they agree.
func (l *Link) Skew() time.Duration {
	skew := time.Duration(l.skew.Load())
	if skew.Abs() < skewThatIsNone {
		return 0
	}
	return skew
}

// Close lets go of the connections that are not in use.
func (l *Link) Close() { l.transport.CloseIdleConnections() }

// watchedConn fails when nothing moves. Whatever moves in one direction gives both more time: who sends does not expect
// an answer yet.
type watchedConn struct {
	net.Conn
	idle time.Duration
}

// Read implements net.Conn.
func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		_ = c.SetDeadline(time.Now().Add(c.idle))
	}
	return n, err
}

// Write implements net.Conn.
func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
