package vaultapi

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxAnswer bounds the body of an answer, in bytes: a page of a thousand resources has less.
const maxAnswer = 64 << 20

// transport speaks with one server only, whatever the links in its answers name: who follows them sends a token along.
type transport struct {
	scheme, host string
	next         http.RoundTripper
}

func newTransport(base *url.URL, ca []byte) (*transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("the certificate authority of the server is not a certificate in PEM")
		}
	}
	return &transport{scheme: base.Scheme, host: base.Host, next: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 15 * time.Second}).DialContext, TLSClientConfig: config,
		ForceAttemptHTTP2: true, TLSHandshakeTimeout: 15 * time.Second, ResponseHeaderTimeout: 90 * time.Second, IdleConnTimeout: time.Minute,
	}}, nil
}

// Do implements the transport of azcore.
func (t *transport) Do(r *http.Request) (*http.Response, error) { return t.RoundTrip(r) }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != t.scheme || r.URL.Host != t.host {
		return nil, coffer.Errorf(coffer.CodeForbidden, "an answer of %s leads to another server, %s: it is not followed, for it would be shown the token", t.host, r.URL.Host).
			WithHint("have the server started with --url https://%s if that is how it is reached", t.host)
	}
	response, err := t.next.RoundTrip(r)
	if err == nil {
		response.Body = &boundedBody{ReadCloser: response.Body, left: maxAnswer}
	}
	return response, err
}

// boundedBody fails where a body is larger than it may be.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// noRedirect has a redirection be the answer: no server of Backup vaults gives one.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// worthRetrying says whether the same request may go better in a moment. A certificate that is wrong stays so, and where nobody
// listens, somebody waits for the answer.
func worthRetrying(r *http.Response, err error) bool {
	if err != nil {
		var certificate *tls.CertificateVerificationError
		var dial *net.OpError
		return !errors.As(err, &certificate) && coffer.CodeOf(err) == "" && (!errors.As(err, &dial) || dial.Op != "dial")
	}
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
