package link

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Limits of a request, beside wire.MaxMessage: connectors need one second.
const (
	headerTime = 10 * time.Second
	readTime   = 20 * time.Second
	writeTime  = 60 * time.Second
	idleTime   = 30 * time.Second
	maxHeader  = 8 << 10
	// keeperTime is how long the Keeper may take, the wait for its turn included.
	keeperTime = 30 * time.Second
)

// Server is an HTTP server of the link address, for a listener with the configuration of TLS. Its Shutdown does not end links: the Hub's does.
func (h *Hub) Server() *http.Server {
	return &http.Server{
		Handler: h.Handler(), ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(h.Log.Handler(), slog.LevelDebug),
	}
}

// Handler serves the paths of the link address.
func (h *Hub) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathJoin, h.answer(h.join))
	mux.HandleFunc("POST "+wire.PathRenew, h.answer(h.renew))
	mux.HandleFunc("POST "+wire.PathConnect, h.connect)
	return mux
}

// answer makes a handler of what answers a certificate.
func (h *Hub) answer(do func(ctx context.Context, r *http.Request) (wire.Certificate, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), keeperTime)
		defer cancel()
		made, err := do(ctx, r)
		if err != nil {
			h.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(made) // Who has gone asks again.
	}
}

func (h *Hub) join(ctx context.Context, r *http.Request) (wire.Certificate, error) {
	remote := host(r.RemoteAddr)
	if !h.joins.take(remote, h.NowFunc()) {
		return wire.Certificate{}, tryLater("too many requests to join come from " + remote)
	}
	var asked wire.JoinRequest
	if err := read(r, &asked); err != nil {
		return wire.Certificate{}, err
	}
	hello, err := checkHello(asked.Hello)
	if err != nil {
		return wire.Certificate{}, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return wire.Certificate{}, err
	}
	defer leave()
	return h.Keeper.Join(ctx, asked.Secret, []byte(asked.Request), hello, remote)
}

func (h *Hub) renew(ctx context.Context, r *http.Request) (wire.Certificate, error) {
	peer, err := peerOf(r)
	if err != nil {
		return wire.Certificate{}, err
	}
	var asked wire.RenewRequest
	if err := read(r, &asked); err != nil {
		return wire.Certificate{}, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return wire.Certificate{}, err
	}
	defer leave()
	return h.Keeper.Renew(ctx, peer, []byte(asked.Request))
}

// enter waits for a turn with the Keeper.
func (h *Hub) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.busy <- struct{}{}:
		return func() { <-h.busy }, nil
	case <-ctx.Done():
		return nil, tryLater("the server has too much to do")
	}
}

// peerOf is the certificate that a connection is proved by.
func peerOf(r *http.Request) (*x509.Certificate, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, coffer.Errorf(coffer.CodeAuthenticationFailed, "this needs the certificate of a cluster that has joined").
			WithHint("join the cluster with `coffer cluster join`")
	}
	return r.TLS.PeerCertificates[0], nil
}

// read decodes a body.
func read(r *http.Request, into any) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxMessage+1))
	if err != nil {
		return coffer.Errorf(coffer.CodeInvalidContent, "the body cannot be read: %w", err)
	}
	if len(text) > wire.MaxMessage {
		return coffer.Errorf(coffer.CodeTooLarge, "the body is larger than %d bytes", wire.MaxMessage)
	}
	if err := json.Unmarshal(text, into); err != nil {
		// Its message may have parts of the body in it, which is a secret.
		return coffer.Errorf(coffer.CodeInvalidContent, "the body is not the JSON that belongs to %s", r.URL.Path)
	}
	return nil
}

// statuses are those of problems; others are 403 if they are final, and 503 if not.
var statuses = map[coffer.Code]int{
	coffer.CodeAuthenticationFailed: http.StatusUnauthorized,
	coffer.CodeInvalidInput:         http.StatusBadRequest,
	coffer.CodeInvalidContent:       http.StatusBadRequest,
	coffer.CodeTooLarge:             http.StatusRequestEntityTooLarge,
	coffer.CodeTooManyRequests:      http.StatusTooManyRequests,
}

// refuse answers a Problem.
func (h *Hub) refuse(w http.ResponseWriter, r *http.Request, err error) {
	problem, status := wire.Problem{Code: "InternalServerError", Message: "internal error: the server's log has more"}, http.StatusInternalServerError
	var coded *coffer.Error
	if errors.As(err, &coded) {
		problem = wire.Problem{Code: string(coded.Code), Message: coded.Message, Hint: coded.Hint, Final: !coded.Transient}
		status = statuses[coded.Code]
		if status == 0 && coded.Transient {
			status = http.StatusServiceUnavailable
		} else if status == 0 {
			status = http.StatusForbidden
		}
		h.Log.Info("connector refused", "path", r.URL.Path, "remote", host(r.RemoteAddr), "code", coded.Code, "error", coded.Message)
	} else {
		h.Log.Error("connector not answered", "path", r.URL.Path, "remote", host(r.RemoteAddr), "error", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem)
}

// connect upgrades a connection to a link.
func (h *Hub) connect(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), keeperTime)
	defer cancel()
	s, err := h.admit(ctx, r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	// A connector says nothing before it has the answer.
	if buffered.Reader.Buffered() > 0 {
		_ = conn.Close()
		return
	}
	_ = conn.SetWriteDeadline(time.Now().Add(headerTime))
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+wire.Upgrade+"\r\n\r\n")
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err == nil {
		err = s.begin(plain(conn), h.KeepAlive, h.Log)
	}
	if err != nil {
		h.Log.Info("link not begun", "cluster", s.cluster, "error", err)
		_ = conn.Close()
		return
	}
	// The link outlives the request.
	h.add(context.WithoutCancel(r.Context()), s)
}

// plain is a connection whose Close does not wait until the other end has been told: that may not be there.
func plain(conn net.Conn) net.Conn {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return abrupt{conn, c.NetConn()}
	}
	return conn
}

type abrupt struct {
	net.Conn
	below net.Conn
}

// Close implements net.Conn.
func (a abrupt) Close() error { return a.below.Close() }

func (h *Hub) admit(ctx context.Context, r *http.Request) (*session, error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), wire.Upgrade) {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "the request has no header \"Upgrade: %s\"", wire.Upgrade).
			WithHint("a proxy before the server may have taken it: the link needs one that passes TLS through")
	}
	peer, err := peerOf(r)
	if err != nil {
		return nil, err
	}
	var said wire.Hello
	if err := read(r, &said); err != nil {
		return nil, err
	}
	hello, err := checkHello(said)
	if err != nil {
		return nil, err
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	cluster, err := h.Keeper.Admit(ctx, peer, hello)
	if err != nil {
		return nil, err
	}
	if err := h.room(cluster.Key()); err != nil {
		return nil, err
	}
	return newSession(cluster, infoOf(hello), peer.NotAfter), nil
}
