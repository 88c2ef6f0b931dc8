package link

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	joinBurst = 20
	// joinShare is how many addresses may have all of theirs at once.
	joinShare = 10
	// limited is how many addresses are remembered. Whoever has more is held by the limit of all.
	limited = 4096
)

// limiter says whether an address may ask to join now.
type limiter struct {
	perSecond float64

	// mu guards what follows.
	mu        sync.Mutex
	all       *rate.Limiter
	addresses map[netip.Prefix]*rate.Limiter
}

func newLimiter(perSecond float64) *limiter {
	return &limiter{
		perSecond: perSecond, all: rate.NewLimiter(rate.Limit(perSecond*joinShare), joinBurst*joinShare),
		addresses: map[netip.Prefix]*rate.Limiter{},
	}
}

// take counts a request of an address.
func (l *limiter) take(remote string, now time.Time) bool {
	from := neighbourhood(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.addresses[from]
	if one == nil {
		if len(l.addresses) >= limited {
			l.forget(now)
		}
		one = rate.NewLimiter(rate.Limit(l.perSecond), joinBurst)
		l.addresses[from] = one
	}
	return one.AllowN(now, 1) && l.all.AllowN(now, 1)
}

// forget drops those that have not asked for long, or else all.
func (l *limiter) forget(now time.Time) {
	for from, one := range l.addresses {
		if one.TokensAt(now) >= joinBurst {
			delete(l.addresses, from)
		}
	}
	if len(l.addresses) >= limited {
		clear(l.addresses)
	}
}

// neighbourhood is an address, or of IPv6 the network that one owner has.
func neighbourhood(remote string) netip.Prefix {
	a, err := netip.ParseAddr(remote)
	if err != nil {
		return netip.Prefix{}
	}
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// host is a remote address without its port.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return h
}
