package link

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/time/rate"
)

// The frames of yamux: version, type, flags, stream, length, and after those of data as many bytes.
// See https://github.com/hashicorp/yamux/blob/master/spec.md
const (
	frameHead = 12
	frameData = 0
	framePing = 2
	flagSYN   = 1
)

// Pings of a connector: one in half a minute, and some to spare.
const (
	pingEvery = 2 * time.Second
	pingBurst = 10
)

var (
	errStreamOfConnector = errors.New("the connector has opened a stream: only the server does")
	errPings             = errors.New("the connector has sent too many pings")
)

// guard ends a connection whose other end does what makes yamux take memory without bounds: each stream that it opens and each ping that it
// sends is something that waits in here, as long as it likes not to read.
type guard struct {
	net.Conn
	// head is what was read of the head of a frame, and body how much of its data is to come. Only Read touches them.
	head  []byte
	body  uint64
	pings *rate.Limiter
}

func newGuard(c net.Conn) *guard {
	return &guard{Conn: c, head: make([]byte, 0, frameHead), pings: rate.NewLimiter(rate.Every(pingEvery), pingBurst)}
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.inspect(p[:n]); bad != nil {
		return 0, bad
	}
	return n, err
}

func (g *guard) inspect(p []byte) error {
	for len(p) > 0 {
		if g.body > 0 {
			skipped := min(g.body, uint64(len(p)))
			g.body -= skipped
			p = p[skipped:]
			continue
		}
		taken := min(frameHead-len(g.head), len(p))
		g.head = append(g.head, p[:taken]...)
		p = p[taken:]
		if len(g.head) < frameHead {
			return nil
		}
		if err := g.frame(g.head); err != nil {
			return err
		}
		g.head = g.head[:0]
	}
	return nil
}

func (g *guard) frame(head []byte) error {
	kind, opens := head[1], binary.BigEndian.Uint16(head[2:])&flagSYN != 0
	switch {
	case kind == framePing && opens:
		if !g.pings.Allow() {
			return errPings
		}
	case opens:
		return errStreamOfConnector
	case kind == frameData:
		g.body = uint64(binary.BigEndian.Uint32(head[8:]))
	}
	return nil
}
