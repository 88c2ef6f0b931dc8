// Package forward passes connections on to an address in another network namespace.
package forward

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"

	"golang.org/x/sync/errgroup"
)

// Serve accepts connections on the listening socket behind file until ctx ends, and passes each on to target.
// A socket stays in the network namespace it was made in, so the caller may be in another.
func Serve(ctx context.Context, file *os.File, target string, log *slog.Logger) error {
	listener, err := net.FileListener(file)
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
			if err := pass(ctx, conn, target); err != nil {
				log.Debug("connection ended", "error", err)
			}
		}()
	}
}

func pass(ctx context.Context, in net.Conn, target string) error {
	defer in.Close()
	var dialer net.Dialer
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

// copyHalf copies one direction to its end and closes only that direction.
func copyHalf(to, from net.Conn) error {
	_, err := io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		return half.CloseWrite()
	}
	// The other direction cannot go on alone after an error.
	to.Close()
	from.Close()
	return err
}
