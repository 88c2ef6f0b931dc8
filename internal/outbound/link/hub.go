// Package link is the server's end of the links that clusters keep to it: it lets connectors join, renew their certificates and connect,
// and carries requests back through the connections that they opened.
//
// Whatever comes out of a link is the word of one cluster, which may be anybody's: texts are bounded and cleaned, a link cannot open streams to
// the server, and what it costs in memory does not depend on what it sends.
package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Keeper decides who may join and connect, and records who is linked. It may be called concurrently. Errors of type coffer.Error are shown to
// the connector, and those that are not Transient tell it that trying again is of no use; others are logged here and shown as internal.
type Keeper interface {
	// Join answers a certificate for the cluster of a join token's secret. The same secret comes again with the same public key from a
	// connector that has not received the answer, or died before it kept it. remote is an address without a port.
	Join(ctx context.Context, secret string, request []byte, hello wire.Hello, remote string) (wire.Certificate, error)
	// Renew answers a certificate in place of peer, which stays good: the new one may be lost on its way.
	Renew(ctx context.Context, peer *x509.Certificate, request []byte) (wire.Certificate, error)
	// Admit says which cluster peer is of, at each connection; the certificate's chain and time were checked.
	Admit(ctx context.Context, peer *x509.Certificate, hello wire.Hello) (catalogue.ID, error)
	// Linked records that there is a link of a cluster now, and Unlinked that there is none. They are not called concurrently for one
	// cluster, and the last call tells how it is. A link whose Linked fails is closed.
	Linked(ctx context.Context, cluster catalogue.ID, info catalogue.ClusterInfo) error
	Unlinked(ctx context.Context, cluster catalogue.ID)
}

// Config is what a Hub is made of.
type Config struct {
	Keeper Keeper
	Log    *slog.Logger
	// NowFunc is the clock by which certificates end and requests to join are limited.
	NowFunc func() time.Time
	// Others are clusters that are reached in other ways than by a link; nil is none. A link goes first.
	Others catalogue.Clusters
	// MaxLinks bounds how many links there are at once; 0 is 10,000.
	MaxLinks int
	// JoinsPerSecond bounds the requests to join of one remote address, after a first 20, and ten times that those of all together; 0 is 20,
	// for many clusters may be behind one address.
	JoinsPerSecond float64
	// KeepAlive is how often a link is asked whether it is there; 0 is 30 s. One that does not answer for two thirds of that is closed.
	KeepAlive time.Duration
}

// Hub has the links of one server. It may be used concurrently.
type Hub struct {
	Config

	joins *limiter
	// busy bounds the requests that have the Keeper at work.
	busy chan struct{}
	// ends counts the goroutines that wait for the end of a link.
	ends sync.WaitGroup

	// mu guards what follows.
	mu    sync.Mutex
	links map[string]*session
	// closing says that no link is taken any more.
	closing bool

	// settling has what the Keeper is told of a cluster in order, by the hash of its key.
	settling [64]sync.Mutex
	seed     maphash.Seed
}

var _ catalogue.Clusters = (*Hub)(nil)

// maxBusy is how many connectors are joined, renewed and admitted at once. After a restart of the server all of them come: they wait.
const maxBusy = 32

// New makes a Hub without links.
func New(c Config) (*Hub, error) {
	if c.Keeper == nil || c.Log == nil || c.NowFunc == nil {
		return nil, errors.New("a hub of links needs a keeper, a log and a clock")
	}
	if c.MaxLinks == 0 {
		c.MaxLinks = 10_000
	}
	if c.JoinsPerSecond == 0 {
		c.JoinsPerSecond = 20
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 30 * time.Second
	}
	return &Hub{
		Config: c, joins: newLimiter(c.JoinsPerSecond), busy: make(chan struct{}, maxBusy),
		links: map[string]*session{}, seed: maphash.MakeSeed(),
	}, nil
}

// TLS is the configuration of the link address: TLS 1.3, a certificate of the server's own authority, which get answers with the authority's
// behind it, and certificates of clusters by the same authority. Joining is without one.
func TLS(authority *x509.Certificate, get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: get, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		// Connections are hijacked. Sessions are long, and not resumed: each proves itself anew.
		NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
	}
}

// Session implements catalogue.Clusters.
func (h *Hub) Session(ctx context.Context, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	if s := h.link(cluster.Key()); s != nil {
		return s, nil
	}
	if h.Others != nil {
		return h.Others.Session(ctx, cluster)
	}
	return nil, notReachable(cluster, "it is not linked")
}

func notReachable(cluster catalogue.ID, why string) error {
	err := coffer.Errorf(coffer.CodeClusterNotReachable, "cluster %s cannot be reached: %s", cluster.Name(), why).
		WithHint("see that the connector of its Backup extension runs and reaches the server")
	err.Transient = true
	return err
}

// Linked implements catalogue.Clusters. They are in no order.
func (h *Hub) Linked() []catalogue.ID {
	h.mu.Lock()
	all := make([]catalogue.ID, 0, len(h.links))
	for _, s := range h.links {
		all = append(all, s.cluster)
	}
	h.mu.Unlock()
	if h.Others == nil {
		return all
	}
	for _, id := range h.Others.Linked() {
		if !slices.ContainsFunc(all, func(a catalogue.ID) bool { return a.Key() == id.Key() }) {
			all = append(all, id)
		}
	}
	return all
}

// Count is how many links there are.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.links)
}

// Close ends the link of a cluster, if there is one. Its connector will come again, and is asked for its certificate then.
func (h *Hub) Close(cluster catalogue.ID) {
	if s := h.link(cluster.Key()); s != nil {
		s.end()
	}
}

// Shutdown ends all links and takes no more. It waits until the Keeper was told of each, or ctx ends.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	for _, s := range h.links {
		s.end()
	}
	h.mu.Unlock()
	told := make(chan struct{})
	go func() { h.ends.Wait(); close(told) }()
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the links: %w", ctx.Err())
	}
}

func (h *Hub) link(key string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links[key]
}

// room says whether there is room for a link of a cluster.
func (h *Hub) room(key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return tryLater("the server is stopping")
	}
	if h.links[key] == nil && len(h.links) >= h.MaxLinks {
		return tryLater(fmt.Sprintf("the server has %d links, and takes no more", h.MaxLinks))
	}
	return nil
}

func tryLater(why string) error {
	err := coffer.Errorf(coffer.CodeTooManyRequests, "%s", why)
	err.Transient = true
	return err
}

// add takes a link in the place of any that there is of its cluster: the newest is the one whose other end is there. It sees it to its end.
func (h *Hub) add(ctx context.Context, s *session) {
	key := s.cluster.Key()
	h.mu.Lock()
	if h.closing {
		h.mu.Unlock()
		s.end()
		return
	}
	replaced := h.links[key]
	h.links[key] = s
	h.ends.Add(1)
	h.mu.Unlock()
	if replaced != nil {
		h.Log.Info("link replaced", "cluster", s.cluster)
		replaced.end()
	}
	go func() {
		defer h.ends.Done()
		h.settle(ctx, s.cluster)
		// Proof of who it is ends with the certificate. The connector comes back with the one that it has got meanwhile.
		expired := time.NewTimer(s.expires.Sub(h.NowFunc()))
		defer expired.Stop()
		select {
		case <-s.Ended():
		case <-expired.C:
		}
		s.end()
		<-s.Ended()
		s.closeIdle()
		h.mu.Lock()
		last := h.links[key] == s
		if last {
			delete(h.links, key)
		}
		h.mu.Unlock()
		if last {
			h.settle(ctx, s.cluster)
		}
	}()
}

// settle tells the Keeper how it is with a cluster now. Of two that come together, the later one tells what is true at the end.
func (h *Hub) settle(ctx context.Context, cluster catalogue.ID) {
	key := cluster.Key()
	turn := &h.settling[maphash.String(h.seed, key)%uint64(len(h.settling))]
	turn.Lock()
	defer turn.Unlock()
	s := h.link(key)
	switch {
	case s == nil:
		h.Log.Info("unlinked", "cluster", cluster)
		h.Keeper.Unlinked(ctx, cluster)
	case !s.told:
		ctx, cancel := context.WithTimeout(ctx, keeperTime)
		defer cancel()
		if err := h.Keeper.Linked(ctx, cluster, s.info); err != nil {
			h.Log.Error("a link is closed, for it is not recorded", "cluster", cluster, "error", err)
			s.end()
			return
		}
		s.told = true
		h.Log.Info("linked", "cluster", cluster)
	}
}
