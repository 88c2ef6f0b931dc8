package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/lab/internal/forward"
	"github.com/coffer-backup/coffer/lab/internal/network"
)

// newForwardCommand is the forwarder of a cluster or of a service, which "lab up" and "lab service up" start.
func newForwardCommand() *cobra.Command {
	var fd uint
	var to []string
	cmd := &cobra.Command{
		Use:    "forward",
		Short:  "Pass connections on from inherited sockets",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			from := &net.TCPAddr{IP: net.ParseIP(network.ForwarderAddress)}
			all, ctx := errgroup.WithContext(cmd.Context())
			for i, target := range to {
				number := uintptr(fd) + uintptr(i)
				socket := os.NewFile(number, "socket")
				if socket == nil {
					return fmt.Errorf("descriptor %d is not an open file", number)
				}
				all.Go(func() error { return forward.Serve(ctx, forward.Route{Socket: socket, Target: target}, from, log) })
			}
			return all.Wait()
		},
	}
	cmd.Flags().UintVar(&fd, "fd", 3, "descriptor of the first listening socket")
	cmd.Flags().StringArrayVar(&to, "to", nil, "HOST:PORT to pass connections of one socket on to, in their order")
	return cmd
}
