package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/lifecycle"
)

func newKillCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "kill (COMPONENT | node-N)",
		Short: "Kill a component, or a node with its pods, as a crash would; nothing starts it again but `lab start`",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			if err := lifecycle.Kill(cmd.Context(), c, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is killed\n", args[0])
			return err
		},
	}
}

func newStartCommand(g *globals) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "start (COMPONENT | node-N)",
		Short: "Start a component, or those of a node, again, as it was, and wait until it works",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			if err := lifecycle.Start(cmd.Context(), c, args[0], timeout); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s works\n", args[0])
			return err
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	return cmd
}
