package connector

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
)

// ContentConfig is how the extension's reader is reached.
type ContentConfig struct {
	// URL is https://HOST:PORT.
	URL *url.URL
	// AuthorityFunc answers the certificate authority of the reader's certificate, in PEM. It is asked again when that does not hold any more.
	AuthorityFunc func(ctx context.Context) ([]byte, error)
	// TokenFile has the token that the reader knows the connector by. It is read each time.
	TokenFile string
	Log       *slog.Logger
}

// NewContent carries requests to the extension's reader, with the connector's token and the name of the vault that asks.
func NewContent(c ContentConfig) (http.Handler, error) {
	if c.URL == nil || c.URL.Scheme != "https" || c.URL.Host == "" {
		return nil, errors.New("the reader's url is to be https://HOST:PORT")
	}
	reader := &readerTransport{ContentConfig: c}
	proxy := &httputil.ReverseProxy{
		Transport: reader, FlushInterval: -1, ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(c.URL)
			r.Out.Header = wire.PassedOn(r.In.Header)
			r.Out.Host = ""
			r.Out.Header.Set(wire.IdentityHeader, Identity(r.In.Context()))
		},
		ModifyResponse: withhold,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			c.Log.Warn("reader not reached", "error", err)
			http.Error(w, "the connector does not reach the extension's reader", http.StatusServiceUnavailable)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !wire.Readable(r) {
			http.Error(w, "the connector does not pass this on", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, wire.MaxObject)
		proxy.ServeHTTP(w, r)
	}), nil
}

// readerTransport trusts the authority that the reader has now.
type readerTransport struct {
	ContentConfig

	// mu guards what follows.
	mu        sync.Mutex
	transport *http.Transport
	authority []byte
}

// RoundTrip implements http.RoundTripper.
func (t *readerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := os.ReadFile(t.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the connector's token: %w", err)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	for again := false; ; again = true {
		transport, err := t.current(r.Context(), again)
		if err != nil {
			return nil, err
		}
		answer, err := transport.RoundTrip(r)
		var untrusted *tls.CertificateVerificationError
		// The extension has made another authority. What has a body may have lost it, and is asked again by whoever sent it.
		if again || !errors.As(err, &untrusted) || r.ContentLength != 0 {
			if err != nil && !again {
				t.forget()
			}
			return answer, err
		}
	}
}

// current is a transport that trusts the reader's authority, which is read if there is none or anew.
func (t *readerTransport) current(ctx context.Context, anew bool) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.transport != nil && !anew {
		return t.transport, nil
	}
	authority, err := t.AuthorityFunc(ctx)
	if err != nil {
		return nil, err
	}
	if t.transport != nil && bytes.Equal(authority, t.authority) {
		return t.transport, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("the authority of the extension's reader is not in PEM")
	}
	t.close()
	t.authority = authority
	t.transport = &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}
	return t.transport, nil
}

// forget has the authority read again next time.
func (t *readerTransport) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.close()
}

// close is under mu.
func (t *readerTransport) close() {
	if t.transport != nil {
		t.transport.CloseIdleConnections()
	}
	t.transport, t.authority = nil, nil
}
