// Package connector is the cluster's end of the link to a vault's server: it joins by a token, keeps a certificate, keeps a connection, and carries
// what comes through that to the API server, as the vault that asks, and to the extension's reader.
//
// It is what a cluster lets in, so it trusts the server with nothing but the names of vaults: whoever has the server in hand is still
// one of those names to the cluster, which has what its owner bound it to.
package connector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Config is what a Connector is made of.
type Config struct {
	Store Store
	// TokenFunc answers the join token that the cluster's owner has given, or empty if there is none. It is asked again and again.
	TokenFunc func() (string, error)
	// HelloFunc says which cluster this is.
	HelloFunc func(ctx context.Context) (wire.Hello, error)
	// Kubernetes, Content and Consent answer the streams of their kinds; Identity says for whom.
	Kubernetes, Content, Consent http.Handler
	// Settings answers the streams of the server itself.
	Settings http.Handler
	Log      *slog.Logger
	// NowFunc is the clock by which certificates end.
	NowFunc func() time.Time
	// RetryFirst and RetryLongest bound how long it waits before it tries again, which grows with the time that it has no link; 0 is 1 s and 60 s. RetryFinal is for problems that somebody has
	// to solve; 0 is 5 min.
	RetryFirst, RetryLongest, RetryFinal time.Duration
	// LookEvery is how often it looks for another join token, and whether its certificate is to be renewed; 0 is 10 s.
	LookEvery time.Duration
	// KeepAlive is how often it asks whether the link is there; 0 is 30 s. One that does not answer for two thirds of that is given up.
	KeepAlive time.Duration
}

// Connector keeps a link. Run is called once; everything else may be called concurrently.
type Connector struct {
	Config

	// mu guards what follows.
	mu     sync.Mutex
	status Status
	// refused is the digest of a token that was of no use while there was a certificate to go on with: for good, if the server has said so, and
	// refusedUntil if there was no answer.
	refused      string
	refusedUntil time.Time
}

// Status is how a Connector is.
type Status struct {
	Linked bool
	// Cluster is the id under which the server knows the cluster, once it does.
	Cluster string
	// Problem is why it is not linked, as far as it is known.
	Problem string
	// Links counts the links that there have been, and Failures what went wrong between them.
	Links, Failures int
}

// stable is how long a link lives before it is one that works: what ends earlier is tried again after longer and longer waits.
const stable = 20 * time.Second

// New makes a Connector.
func New(c Config) (*Connector, error) {
	if c.Store == nil || c.TokenFunc == nil || c.HelloFunc == nil || c.Kubernetes == nil || c.Content == nil || c.Consent == nil || c.Settings == nil || c.Log == nil || c.NowFunc == nil {
		return nil, errors.New("a connector needs a store, a token, a greeting, handlers, a log and a clock")
	}
	for _, d := range []struct {
		of      *time.Duration
		instead time.Duration
	}{
		{&c.RetryFirst, time.Second}, {&c.RetryLongest, time.Minute}, {&c.RetryFinal, 5 * time.Minute},
		{&c.LookEvery, 10 * time.Second}, {&c.KeepAlive, 30 * time.Second},
	} {
		if *d.of == 0 {
			*d.of = d.instead
		}
	}
	return &Connector{Config: c}, nil
}

// Status is how it is now.
func (c *Connector) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Run keeps the link until ctx ends.
func (c *Connector) Run(ctx context.Context) {
	down := time.Now()
	for ctx.Err() == nil {
		before := c.Status().Links
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if c.Status().Links > before && time.Since(began) > stable {
			down = time.Now()
		}
		c.failed(err)
		c.wait(ctx, pause{c.RetryFirst, c.RetryLongest, c.RetryFinal}.after(time.Since(down), final(err), rand.Float64())) //nolint:gosec // It spreads, and keeps no secret.
	}
}

// once joins if there is a new token, renews if it is time, connects, and serves until the link ends.
func (c *Connector) once(ctx context.Context) error {
	hello, err := c.HelloFunc(ctx)
	if err != nil {
		return fmt.Errorf("ask the cluster which one it is: %w", err)
	}
	kept, unused := c.credentials(ctx, hello)
	if unused != nil && len(kept.Certificate) == 0 {
		return unused
	}
	if kept, err = c.renewed(ctx, kept); err != nil {
		// The old one may do; the server says if not.
		c.Log.Warn("certificate not renewed", "error", err)
	}
	server, err := dial(kept.Address, kept)
	if err != nil {
		return err
	}
	conn, err := server.connect(ctx, hello)
	switch {
	case err != nil && unused != nil:
		return unused
	case err != nil:
		return c.explain(err, kept)
	case unused != nil:
		c.Log.Error("join token not used: the link goes on with the certificate that there is", "error", unused)
		c.refuse(c.tokenDigest(), time.Now().Add(c.RetryFinal))
	}
	return c.serve(ctx, conn, kept)
}

// explain says what a refused handshake does not: that the certificate has ended.
func (c *Connector) explain(err error, kept Credentials) error {
	var p *wire.Problem
	if errors.As(err, &p) {
		return err
	}
	if ends, _, readErr := kept.span(); readErr == nil && !c.NowFunc().Before(ends) {
		return &wire.Problem{
			Code: string(coffer.CodeJoinRefused), Message: "the cluster's certificate has ended on " + ends.UTC().Format(time.DateOnly),
			Hint: "join again with `coffer cluster join`", Final: true,
		}
	}
	return err
}

func (c *Connector) failed(err error) {
	if err == nil {
		err = errors.New("the link has ended")
	}
	c.mu.Lock()
	c.status.Linked, c.status.Problem = false, err.Error()
	c.status.Failures++
	c.mu.Unlock()
	if final(err) {
		c.Log.Error("not linked: somebody has to do something", "error", err)
		return
	}
	c.Log.Warn("not linked", "error", err)
}

func (c *Connector) linked(cluster string) {
	c.mu.Lock()
	c.status.Linked, c.status.Problem, c.status.Cluster = true, "", cluster
	c.status.Links++
	c.mu.Unlock()
	c.Log.Info("linked", "cluster", cluster)
}

// wait waits, or until there is another join token.
func (c *Connector) wait(ctx context.Context, most time.Duration) {
	was := c.tokenDigest()
	enough := time.NewTimer(most)
	defer enough.Stop()
	look := time.NewTicker(c.LookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case <-look.C:
			if c.tokenDigest() != was {
				return
			}
		}
	}
}

// tokenDigest tells tokens apart; it is empty if there is none that could be used.
func (c *Connector) tokenDigest() string {
	text, err := c.TokenFunc()
	if err != nil || text == "" {
		return ""
	}
	token, err := wire.ParseToken(text)
	if err != nil {
		return ""
	}
	return digest(token)
}

func digest(t wire.Token) string {
	sum := sha256.Sum256([]byte(t.Address + " " + t.Secret))
	return hex.EncodeToString(sum[:])
}

// final says that trying again is of no use until somebody has done something.
func final(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Final
}

// pause is how long to wait between attempts.
type pause struct{ first, longest, final time.Duration }

// after is the wait of a connector that has had no link for so long: at random from 0 up to that time, within bounds. So of many that lost a
// server at once few come at once, and all are back after twice the time that it was away, whatever they drew before. What is final waits from
// half of its time up to all. random is from 0 up to 1.
func (p pause) after(down time.Duration, final bool, random float64) time.Duration {
	if final {
		return p.final/2 + time.Duration(random*float64(p.final/2))
	}
	return time.Duration(random * float64(max(p.first, min(p.longest, down))))
}
