package network

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// DialFunc opens a connection.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns a DialFunc that opens connections in the network namespace behind a file, or in the caller's where
// path is empty. Addresses must be numeric.
func Dial(path string) DialFunc {
	dialer := &net.Dialer{}
	if path == "" {
		return dialer.DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var conn net.Conn
		err := inside(func() error {
			target, err := os.Open(path)
			if err != nil {
				return err
			}
			defer target.Close()
			return unix.Setns(int(target.Fd()), unix.CLONE_NEWNET)
		}, func() (err error) {
			conn, err = dialer.DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}

// InScratch runs f in a new network namespace, which is gone with it whatever happens: it never has a name.
// Processes that f starts are in it too; goroutines are not.
func InScratch(f func() error) error {
	return inside(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, f)
}

// inside runs f on a thread that enter has moved elsewhere. The thread ends with it rather than come back:
// a goroutine that exits with its thread locked takes the thread along.
func inside(enter, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := enter(); err != nil {
			done <- fmt.Errorf("enter a network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
