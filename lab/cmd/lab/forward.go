package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/forward"
)

// newForwardCommand is the forwarder component, which "lab up" starts.
func newForwardCommand() *cobra.Command {
	var fd uint
	var to string
	cmd := &cobra.Command{
		Use:    "forward",
		Short:  "Pass connections on from an inherited socket",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := os.NewFile(uintptr(fd), "socket")
			if file == nil {
				return fmt.Errorf("--fd %d is not an open file", fd)
			}
			return forward.Serve(cmd.Context(), file, to, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
	cmd.Flags().UintVar(&fd, "fd", 3, "descriptor of the listening socket")
	cmd.Flags().StringVar(&to, "to", "", "HOST:PORT to pass connections on to")
	return cmd
}
