package identity

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limit is how often something may be done by each of many.
type limit struct {
	every time.Duration
	burst int
}

var (
	// remoteLimit is for all requests for tokens of one address. Many clients may share one; a program needs one token an hour.
	remoteLimit = limit{every: 100 * time.Millisecond, burst: 100}
	// failureLimit is for wrong secrets of one client, from wherever. The right one is always taken, so that nobody can be locked out
	// by somebody else who knows their client id.
	failureLimit = limit{every: 10 * time.Second, burst: 10}
)

// limited is how many are remembered. Whoever asks from more addresses than that gets more than one's share, but not more memory.
const limited = 10000

// limiter holds a limit for each of many keys; those that were not seen for longest are forgotten.
type limiter struct {
	limit limit

	// mu guards what follows.
	mu      sync.Mutex
	entries map[string]*list.Element
	// seen has the one seen last at its front.
	seen *list.List
}

type limiterEntry struct {
	key    string
	bucket *rate.Limiter
}

func newLimiter(l limit) *limiter {
	return &limiter{limit: l, entries: map[string]*list.Element{}, seen: list.New()}
}

// take answers how long to wait; zero is not at all, and counts.
func (l *limiter) take(key string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, known := l.entries[key]
	if !known {
		if l.seen.Len() >= limited {
			oldest := l.seen.Back()
			delete(l.entries, oldest.Value.(*limiterEntry).key)
			l.seen.Remove(oldest)
		}
		at = l.seen.PushFront(&limiterEntry{key: key, bucket: rate.NewLimiter(rate.Every(l.limit.every), l.limit.burst)})
		l.entries[key] = at
	}
	l.seen.MoveToFront(at)
	bucket := at.Value.(*limiterEntry).bucket
	if bucket.AllowN(now, 1) {
		return 0
	}
	return l.limit.every
}

// remoteKey is whom an address belongs to: of IPv6, everybody has a network of 64 bits.
func remoteKey(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	network, err := address.Prefix(64)
	if err != nil {
		return host
	}
	return network.String()
}
