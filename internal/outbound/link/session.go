package link

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Bounds of what one link may have open. A stream that nobody reads from holds 256 KiB, yamux' smallest window.
const (
	// maxPending is how many streams may wait until the connector has taken them.
	maxPending = 16
	// maxConnections is how many requests of one identity, of one kind, are under way at once; watches are among them.
	maxConnections = 16
	maxIdle        = 2
	idleConnection = 20 * time.Second
	// maxTransports is how many pairs of kind and identity have connections that are kept.
	maxTransports = 64
	maxAnswer     = 64 << 10
	// answerTime is how long the head of an answer may take. The reader may verify a recovery point before it answers.
	answerTime = 5 * time.Minute
	// openTime is how long a connector may take to take a stream, until the whole link is given up.
	openTime = 30 * time.Second
)

// session is one link. begin comes first.
type session struct {
	cluster catalogue.ID
	info    catalogue.ClusterInfo
	// expires is when the certificate does that the link is proved by.
	expires time.Time

	conn net.Conn
	mux  *yamux.Session
	// told says that the Keeper knows of it; settle's turns guard it.
	told bool

	// mu guards transports.
	mu         sync.Mutex
	transports map[wire.Header]*http.Transport
}

var _ catalogue.ClusterSession = (*session)(nil)

func newSession(cluster catalogue.ID, info catalogue.ClusterInfo, expires time.Time) *session {
	return &session{cluster: cluster, info: info, expires: expires, transports: map[wire.Header]*http.Transport{}}
}

// begin speaks yamux on a connection from now on.
func (s *session) begin(conn net.Conn, keepAlive time.Duration, log *slog.Logger) error {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = maxPending
	config.KeepAliveInterval = keepAlive
	config.ConnectionWriteTimeout = keepAlive * 2 / 3
	config.StreamOpenTimeout = openTime
	config.StreamCloseTimeout = time.Minute
	config.LogOutput, config.Logger = nil, slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s.conn = newGuard(conn)
	mux, err := yamux.Client(s.conn, config)
	s.mux = mux
	return err
}

// end closes the connection; Ended follows.
func (s *session) end() { _ = s.conn.Close() }

// Info implements catalogue.ClusterSession.
func (s *session) Info() catalogue.ClusterInfo { return s.info }

// Ended implements catalogue.ClusterSession.
func (s *session) Ended() <-chan struct{} { return s.mux.CloseChan() }

// Kubernetes implements catalogue.ClusterSession.
func (s *session) Kubernetes(identity string) http.RoundTripper {
	return carrier{s, wire.Header{Kind: wire.Kubernetes, Identity: identity}}
}

// Content implements catalogue.ClusterSession.
func (s *session) Content(identity string) http.RoundTripper {
	return carrier{s, wire.Header{Kind: wire.Content, Identity: identity}}
}

// Consent implements catalogue.ClusterSession.
func (s *session) Consent(ctx context.Context, identity string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://cluster"+wire.ConsentPath, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := carrier{s, wire.Header{Kind: wire.Consent, Identity: identity}}.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusNoContent {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxMessage))
	if err != nil {
		return s.failed(err)
	}
	return s.refused(answer.StatusCode, text, "a request for trusted access", coffer.CodeTrustedAccessMissing)
}

// carrier sends requests through streams of one header.
type carrier struct {
	session *session
	header  wire.Header
}

// RoundTrip implements http.RoundTripper.
func (c carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := c.header.Check(); err != nil {
		return nil, err
	}
	sent := r.Clone(r.Context())
	sent.URL.Scheme, sent.URL.Host, sent.URL.User, sent.Host = "http", "cluster", nil, "cluster"
	answer, err := c.session.transport(c.header).RoundTrip(sent)
	if err != nil {
		return nil, c.session.failed(err)
	}
	return answer, nil
}

// failed is what became of a request: whoever asked has not given up, so it is the way that is gone.
func (s *session) failed(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	// What is wrong with an answer may have parts of the answer in it.
	coded := coffer.Errorf(coffer.CodeClusterNotReachable, "the link to cluster %s: %s", s.cluster.Name(), wire.Clean(err.Error(), maxNote))
	coded.Transient, coded.Err = true, err
	return coded
}

func (s *session) transport(h wire.Header) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.transports[h]; t != nil {
		return t
	}
	for other, t := range s.transports {
		if len(s.transports) < maxTransports {
			break
		}
		// What it has under way goes on.
		t.CloseIdleConnections()
		delete(s.transports, other)
	}
	t := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return s.open(ctx, h) },
		MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleConnection,
		// What a cluster has compressed could be of any size.
		DisableCompression: true, MaxResponseHeaderBytes: maxAnswer, ResponseHeaderTimeout: answerTime,
	}
	s.transports[h] = t
	return t
}

// open makes a stream and says what it is for.
func (s *session) open(ctx context.Context, h wire.Header) (net.Conn, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stream, err := s.mux.OpenStream()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write(append(line, '\n')); err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	return stream, nil
}

func (s *session) closeIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transports {
		t.CloseIdleConnections()
	}
}
