package connector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
)

// answerTime is how long the server may take to answer: after a restart, it has many to answer.
const answerTime = time.Minute

// server is the server's link address.
type server struct {
	address string
	client  *http.Client
}

// dialPinned reaches the server that a token names, whose authority is nothing but the digest in it.
func dialPinned(t wire.Token) (*server, error) {
	host, _, err := net.SplitHostPort(t.Address)
	if err != nil {
		return nil, problem("the join token has an address that is none")
	}
	return newServer(t.Address, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host, NextProtos: []string{"http/1.1"},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies, by the authority that the token has pinned.
		VerifyConnection:   func(state tls.ConnectionState) error { return verifyPinned(state, t.Authority, host) },
	}), nil
}

// verifyPinned holds a server's chain to the one authority whose digest is known.
func verifyPinned(state tls.ConnectionState, pin, host string) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server has shown no certificate")
	}
	roots := x509.NewCertPool()
	found := false
	for _, c := range state.PeerCertificates[1:] {
		sum := sha256.Sum256(c.Raw)
		if strings.EqualFold(hex.EncodeToString(sum[:]), pin) {
			roots.AddCert(c)
			found = true
		}
	}
	if !found {
		return errors.New("the server is not the join token's: its certificate is not of the authority that the token names; " +
			"something between that ends TLS has to pass it through")
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
	return err
}

// dial reaches the server that the cluster has joined.
func dial(address string, kept Credentials) (*server, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the server's address that was kept: %w", err)
	}
	pair, err := tls.X509KeyPair(kept.Certificate, kept.Key)
	if err != nil {
		return nil, fmt.Errorf("the certificate that was kept: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(kept.Authority) {
		return nil, errors.New("the certificate authority that was kept is not in PEM")
	}
	return newServer(address, &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
	}), nil
}

func newServer(address string, config *tls.Config) *server {
	return &server{address, &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: 20 * time.Second,
			DialContext:           (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ResponseHeaderTimeout: answerTime, MaxResponseHeaderBytes: 16 << 10, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (s *server) join(ctx context.Context, r wire.JoinRequest) (wire.Certificate, error) {
	return s.ask(ctx, wire.PathJoin, r)
}

func (s *server) renew(ctx context.Context, r wire.RenewRequest) (wire.Certificate, error) {
	return s.ask(ctx, wire.PathRenew, r)
}

func (s *server) ask(ctx context.Context, path string, body any) (wire.Certificate, error) {
	var got wire.Certificate
	answer, err := s.post(ctx, path, body, http.Header{})
	if err != nil {
		return got, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxMessage))
	if err != nil {
		return got, fmt.Errorf("read the server's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return got, problemOf(answer.Status, text)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		return got, fmt.Errorf("read the server's answer: %w", err)
	}
	return got, nil
}

// connect is a connection that was upgraded to the link.
func (s *server) connect(ctx context.Context, hello wire.Hello) (io.ReadWriteCloser, error) {
	// Once it is upgraded, the connection does not belong to the request any more.
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := s.post(ctx, wire.PathConnect, hello, http.Header{"Connection": {"Upgrade"}, "Upgrade": {wire.Upgrade}})
	if err != nil {
		return nil, err
	}
	if conn, ok := answer.Body.(io.ReadWriteCloser); ok && answer.StatusCode == http.StatusSwitchingProtocols {
		return conn, nil
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxMessage))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return nil, problemOf(answer.Status, text)
}

// post answers an error that does not show what was sent.
func (s *server) post(ctx context.Context, path string, body any, header http.Header) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, (&url.URL{Scheme: "https", Host: s.address, Path: path}).String(), bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if unfit, ok := errors.AsType[x509.CertificateInvalidError](err); ok && unfit.Reason == x509.Expired {
		return nil, fmt.Errorf("ask the server %s: %w; compare the clocks of this cluster's nodes and of the server", s.address, unfit)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	return answer, nil
}

// problemOf is what a server refuses with.
func problemOf(status string, text []byte) error {
	var p wire.Problem
	if json.Unmarshal(text, &p) != nil || p.Code == "" {
		return fmt.Errorf("the server has answered %s, which is not an answer of a link address: is the address the right one?", status)
	}
	return &p
}
