// Package kubeconfig reaches clusters that have joined by a kubeconfig: this server dials their API servers, where others keep a link to it.
//
// A kubeconfig is written by somebody who has a cluster, and who may have no rights at this server's network. So it is dialled only where the
// administrator has said, each time that a name was resolved. Whatever is answered is the word of one cluster: it is bounded, and what it may be told is
// what a connector would pass on.
package kubeconfig

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/kubeconfig"
)

// Dialer reaches API servers by kubeconfigs. It may be used concurrently.
type Dialer struct {
	// Networks are all that is dialled.
	Networks kubeconfig.Networks
	// HelloFunc asks a cluster what there is to know of it, as a connector in it would.
	HelloFunc func(ctx context.Context, client kubernetes.Interface, k catalogue.Kubeconfig) (wire.Hello, error)
	// DialPodFunc connects to a port of a pod through the API server.
	DialPodFunc func(ctx context.Context, config *rest.Config, namespace, pod string, port int) (net.Conn, error)
	// NowFunc is the clock by which tokens end.
	NowFunc func() time.Time
}

// Limits of a cluster's answers, and of how long they may take.
const (
	dialTime = 10 * time.Second
	// askTime is how long one question to the API server may take that this server has itself.
	askTime = 15 * time.Second
	// headTime is how long the head of an answer to a vault may take. The reader may verify a recovery point before it answers.
	headTime = 5 * time.Minute
	idleTime = 30 * time.Second
	maxHead  = 64 << 10
	// maxAnswer bounds what is answered to this server itself, in bytes: the groups of a large cluster are the most of it.
	maxAnswer = 4 << 20
	// maxConnections is how many requests to one cluster are under way at once, and maxIdle how many connections are kept.
	maxConnections = 64
	maxIdle        = 4
	maxVersion     = 64
	maxNotes       = 20
	maxNote        = 500
)

// Ask answers what a cluster says of itself.
func (d *Dialer) Ask(ctx context.Context, k catalogue.Kubeconfig) (catalogue.ClusterInfo, error) {
	s, err := d.open(ctx, k)
	if err != nil {
		return catalogue.ClusterInfo{}, err
	}
	s.end()
	return s.info, nil
}

// open makes a session of a cluster that has answered.
func (d *Dialer) open(ctx context.Context, k catalogue.Kubeconfig) (*session, error) {
	access, err := kubeconfig.Read(k.Text)
	if err != nil {
		return nil, err
	}
	s := &session{dialer: d, kubeconfig: k, access: access, ended: make(chan struct{}), doubted: make(chan struct{}, 1)}
	if s.transport, err = d.transport(access); err != nil {
		return nil, err
	}
	s.content = s.contentTransport()
	// What is answered to a redirect would be asked of whoever the cluster names.
	client := &http.Client{Transport: bounded{s.authorized()}, Timeout: askTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	config := &rest.Config{
		Host: access.Server.String(), QPS: -1, UserAgent: "coffer-server",
		ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
	}
	if s.client, err = kubernetes.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	hello, err := d.HelloFunc(ctx, s.client, k)
	if err != nil {
		s.end()
		return nil, s.explain(err)
	}
	s.info = infoOf(hello, s.notes(ctx))
	return s, nil
}

func infoOf(h wire.Hello, more []string) catalogue.ClusterInfo {
	info := catalogue.ClusterInfo{
		UID: h.ClusterUID, Namespace: h.Namespace, VaultsNamespace: h.VaultsNamespace,
		Version: wire.Clean(h.Version, maxVersion), KubernetesVersion: wire.Clean(h.KubernetesVersion, maxVersion),
	}
	for _, note := range append(more, h.Notes...) {
		if note = wire.Clean(note, maxNote); note != "" && len(info.Notes) < maxNotes {
			info.Notes = append(info.Notes, note)
		}
	}
	return info
}

// errAddress is of an address that may not be dialled. It is not told: who has written the kubeconfig may not know what a name is here.
func errAddress() error {
	return coffer.Errorf(coffer.CodeInvalidInput, "the kubeconfig's server is at an address that this server may not dial").
		WithHint("the administrator says with --kubeconfig-networks of coffer-server which it may; or join the cluster by its connector, which dials the server")
}

// dial connects to an address that may be dialled, whatever a name was resolved to before.
func (d *Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTime, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !d.Networks.Allow(at.Addr()) {
			return errAddress()
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// pinned is a url that may be dialled as it is: its host is an address.
func (d *Dialer) pinned(ctx context.Context, server *url.URL) (*url.URL, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server.Hostname())
	if err != nil {
		return nil, err
	}
	port := server.Port()
	if port == "" {
		port = "443"
	}
	for _, a := range addresses {
		if a = a.Unmap(); d.Networks.Allow(a) {
			at := *server
			at.Host = net.JoinHostPort(a.String(), port)
			return &at, nil
		}
	}
	return nil, errAddress()
}

// transport reaches an API server, and says nobody's name.
func (d *Dialer) transport(a kubeconfig.Access) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.ServerName}
	if len(a.Authority) > 0 {
		config.RootCAs = x509.NewCertPool()
		config.RootCAs.AppendCertsFromPEM(a.Authority)
	}
	if len(a.Certificate) > 0 {
		pair, err := tls.X509KeyPair(a.Certificate, a.Key)
		if err != nil {
			return nil, fmt.Errorf("use the client certificate of a kubeconfig: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{
		// No proxy: it would dial for us.
		DialContext: d.dial, TLSClientConfig: config, TLSHandshakeTimeout: dialTime,
		MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime,
		// What a cluster has compressed could be of any size.
		DisableCompression: true, MaxResponseHeaderBytes: maxHead, ResponseHeaderTimeout: headTime,
	}, nil
}

// pods is how the API server is asked for a connection to a pod, by clients that dial themselves: to an address that was looked at, and
// through no proxy.
func (s *session) pods(ctx context.Context) (*rest.Config, error) {
	at, err := s.dialer.pinned(ctx, s.access.Server)
	if err != nil {
		return nil, err
	}
	name := s.access.ServerName
	if name == "" {
		name = s.access.Server.Hostname()
	}
	return &rest.Config{
		Host: at.String(), BearerToken: s.access.Token, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }, //nolint:nilnil // It is how there is none.
		TLSClientConfig: rest.TLSClientConfig{ServerName: name, CAData: s.access.Authority, CertData: s.access.Certificate, KeyData: s.access.Key},
	}, nil
}

// roundTripper makes one of a function.
type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// authorized sends requests as the kubeconfig's user.
func (s *session) authorized() http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if s.access.Token != "" {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+s.access.Token)
		}
		return s.transport.RoundTrip(r)
	})
}

// bounded cuts off answers that are too large.
type bounded struct{ below http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.below.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	}
	return answer, err
}

// explain says of a failure what there is to do about it, without what an answer could have in it beyond one line.
func (s *session) explain(err error) error {
	if coded, ok := errors.AsType[*coffer.Error](err); ok {
		return coded
	}
	name := s.kubeconfig.Cluster.Name()
	unreachable := coffer.Errorf(coffer.CodeClusterNotReachable, "the API server of cluster %s: %s", name, wire.Clean(s.reason(err), maxNote))
	unreachable.Transient = true
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case apierrors.IsUnauthorized(err):
		unreachable.Message = "the API server of cluster " + name + " does not take the kubeconfig's credentials: they have ended, or were never good"
		return unreachable.WithHint("join it with another kubeconfig: coffer cluster join %s --server-kubeconfig FILE", name)
	case apierrors.IsForbidden(err):
		return unreachable.WithHint("let the kubeconfig's user do that; the chart's ServiceAccount coffer-vault-server may: connector.link=false")
	}
	return unreachable.WithHint("see that the server reaches the API server, and that the kubeconfig is of it")
}

// reason is what went wrong, without the addresses of this server's network: who has written the kubeconfig may not know what a name is here.
func (s *session) reason(err error) string {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return s.access.Server.String() + " cannot be dialled: its name is not known where this server is"
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		doing := map[string]string{"dial": "dialled", "read": "read from", "write": "written to"}
		return s.access.Server.String() + " cannot be " + cmp.Or(doing[failed.Op], "reached") + ": " + failed.Err.Error()
	}
	return err.Error()
}

// drain reads the rest of a small answer, so that its connection can be used again.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxHead)
	_ = body.Close()
}
