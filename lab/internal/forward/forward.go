// Package forward passes connections on to an address in another network namespace.
package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sync/errgroup"
)

// Route is a listening socket and where its connections go.
type Route struct {
	Socket *os.File
	Target string
}

// Serve accepts connections on a route's socket until ctx ends, and passes each on, calling from a local address. A
// socket stays in the network namespace it was made in, so the caller may be in another.
func Serve(ctx context.Context, route Route, from net.Addr, log *slog.Logger) error {
	listener, err := net.FileListener(route.Socket)
	if err != nil {
		return fmt.Errorf("use the inherited socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a connection: %w", err)
		}
		// A connection ends by itself when either side closes it, so nothing waits for it.
		go func() {
			if err := pass(ctx, conn, route.Target, from); err != nil {
				log.Debug("connection ended", "error", err)
			}
		}()
	}
}

func pass(ctx context.Context, in net.Conn, target string, from net.Addr) error {
	defer in.Close()
	dialer := net.Dialer{LocalAddr: from}
	out, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", target, err)
	}
	defer out.Close()
	var both errgroup.Group
	both.Go(func() error { return copyHalf(out, in) })
	both.Go(func() error { return copyHalf(in, out) })
	return both.Wait()
}

// copyHalf copies one direction to its end and closes only that direction, also after an error: a server that hangs up
// in the middle of a request has often said why.
func copyHalf(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		return errors.Join(err, half.CloseWrite())
	}
	return errors.Join(err, to.Close())
}

// FreePorts returns different ports of 127.0.0.1 that nothing listens on.
func FreePorts(count int) ([]int, error) {
	var ports []int
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		// Held until all are found, so that none is found twice.
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
