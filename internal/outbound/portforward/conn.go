package portforward

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"k8s.io/streaming/pkg/httpstream"
)

// Conn is a connection to a port of a pod. Deadlines are not supported, and setting one does nothing: Close ends everything.
type Conn struct {
	connection httpstream.Connection
	data       httpstream.Stream
	// problem is what went wrong in the pod, once ended is closed.
	problem error
	ended   chan struct{}
	close   sync.Once
}

var _ net.Conn = (*Conn)(nil)

// maxProblem bounds what is kept of an explanation.
const maxProblem = 4 << 10

func newConn(connection httpstream.Connection, data, problems httpstream.Stream) *Conn {
	c := &Conn{connection: connection, data: data, ended: make(chan struct{})}
	go func() {
		defer close(c.ended)
		text, err := io.ReadAll(io.LimitReader(problems, maxProblem))
		if err == nil && len(text) > 0 {
			c.problem = errors.New(string(text))
		}
	}()
	return c
}

// explanationTime is how long the reason for the end of a stream may take to come after it.
const explanationTime = 3 * time.Second

// Read implements net.Conn. The end of the stream is an error that says why, if the pod's side has said so.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	late := time.NewTimer(explanationTime)
	defer late.Stop()
	select {
	case <-c.ended:
		if c.problem != nil {
			return 0, fmt.Errorf("forward a port: %w", c.problem)
		}
	case <-late.C:
	}
	return 0, err
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.data.Write(p) }

// Close implements net.Conn.
func (c *Conn) Close() (err error) {
	c.close.Do(func() {
		// What was sent and not read would hold the other stream up.
		err = errors.Join(c.data.Reset(), c.connection.Close())
		<-c.ended
	})
	return err
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return address{} }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// address is that of either end, which have none.
type address struct{}

// Network implements net.Addr.
func (address) Network() string { return "port-forward" }

// String implements net.Addr.
func (address) String() string { return "pod" }
