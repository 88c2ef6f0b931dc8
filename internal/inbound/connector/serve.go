package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	wire "github.com/coffer-backup/coffer/api/link"
)

// Limits of streams.
const (
	// maxStreams bounds what streams hold that nobody reads from, 256 KiB each, to a quarter of the memory that the connector has.
	maxStreams = 128
	headerTime = 10 * time.Second
	// idleTime is longer than the server keeps a connection that it does not use, so that none is closed as it is being used.
	idleTime       = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// headerKey is the key of a context that has a stream's Header.
type headerKey struct{}

// Identity is who asks: the identity of the vault that a stream is of.
func Identity(ctx context.Context) string { return headerOf(ctx).Identity }

func headerOf(ctx context.Context) wire.Header {
	h, _ := ctx.Value(headerKey{}).(wire.Header)
	return h
}

// serve answers what comes through a connection, until it ends or there is something better to do: another token, or another certificate.
func (c *Connector) serve(ctx context.Context, conn io.ReadWriteCloser, kept Credentials) error {
	config := yamux.DefaultConfig()
	config.AcceptBacklog = maxStreams
	config.KeepAliveInterval, config.ConnectionWriteTimeout = c.KeepAlive, c.KeepAlive*2/3
	config.StreamCloseTimeout = time.Minute
	config.LogOutput, config.Logger = nil, slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug)
	mux, err := yamux.Server(conn, config)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	c.linked(kept.Cluster)
	ctx, cancel := context.WithCancel(ctx)
	streams := &listener{conns: make(chan net.Conn), ended: mux.CloseChan()}
	requests := &http.Server{
		Handler: http.HandlerFunc(c.dispatch), ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:    slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if s, ok := conn.(stream); ok {
				return context.WithValue(ctx, headerKey{}, s.header)
			}
			return ctx
		},
	}
	var all sync.WaitGroup
	all.Go(func() { _ = requests.Serve(streams) }) // It ends with the listener.
	all.Go(func() { c.accept(mux, streams, &all) })
	why := c.tend(ctx, mux, kept)
	cancel()
	_ = mux.Close()
	_ = requests.Close()
	all.Wait()
	return why
}

// tend looks after a link, and says why it has ended.
func (c *Connector) tend(ctx context.Context, mux *yamux.Session, kept Credentials) error {
	look := time.NewTicker(c.LookEvery)
	defer look.Stop()
	next := c.NowFunc()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-mux.CloseChan():
			return errors.New("the link has ended: the server is gone, or has closed it")
		case <-look.C:
		}
		if d := c.tokenDigest(); d != "" && d != kept.Token && !c.isRefused(d) {
			return errors.New("there is another join token")
		}
		if now := c.NowFunc(); c.renewDue(kept) && !now.Before(next) {
			// The link goes on as the certificate before; the server ends it with that. To a clock that is ahead, the new one is due, too.
			next = now.Add(c.RetryFinal)
			var err error
			if kept, err = c.renewed(ctx, kept); err != nil {
				c.Log.Warn("certificate not renewed", "error", err)
			}
		}
	}
}

// accept takes streams until there are no more.
func (c *Connector) accept(mux *yamux.Session, to *listener, all *sync.WaitGroup) {
	places := make(chan struct{}, maxStreams)
	for {
		taken, err := mux.AcceptStream()
		if err != nil {
			return
		}
		select {
		case places <- struct{}{}:
		default:
			_ = taken.Close()
			continue
		}
		all.Go(func() {
			h, err := readHeader(taken)
			if err != nil {
				c.Log.Warn("stream refused", "error", err)
				_ = taken.Close()
				<-places
				return
			}
			s := stream{Conn: taken, header: h, leave: sync.OnceFunc(func() { <-places })}
			select {
			case to.conns <- s:
			case <-to.ended:
				_ = s.Close()
			}
		})
	}
}

// readHeader reads the first line of a stream, and nothing after it.
func readHeader(conn net.Conn) (wire.Header, error) {
	var h wire.Header
	if err := conn.SetReadDeadline(time.Now().Add(headerTime)); err != nil {
		return h, err
	}
	line := make([]byte, 0, 128)
	for one := make([]byte, 1); ; {
		if _, err := io.ReadFull(conn, one); err != nil {
			return h, fmt.Errorf("read the first line: %w", err)
		}
		if one[0] == '\n' {
			break
		}
		if line = append(line, one[0]); len(line) >= wire.MaxHeader {
			return h, fmt.Errorf("the first line is longer than %d bytes", wire.MaxHeader)
		}
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("read the first line: %w", err)
	}
	if err := h.Check(); err != nil {
		return h, err
	}
	return h, conn.SetReadDeadline(time.Time{})
}

// dispatch answers a request by what its stream is for.
func (c *Connector) dispatch(w http.ResponseWriter, r *http.Request) {
	switch headerOf(r.Context()).Kind {
	case wire.Kubernetes:
		c.Kubernetes.ServeHTTP(w, r)
	case wire.Content:
		c.Content.ServeHTTP(w, r)
	case wire.Consent:
		c.Consent.ServeHTTP(w, r)
	case wire.Settings:
		c.Settings.ServeHTTP(w, r)
	default:
		http.Error(w, "the stream is of no kind", http.StatusBadRequest)
	}
}

// stream is a connection of a server, once its Header was read.
type stream struct {
	net.Conn
	header wire.Header
	leave  func()
}

// Close implements net.Conn.
func (s stream) Close() error {
	s.leave()
	return s.Conn.Close()
}

// listener hands streams to an HTTP server.
type listener struct {
	conns chan net.Conn
	ended <-chan struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener: the link ends it.
func (l *listener) Close() error { return nil }

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "link", Net: "unix"} }
