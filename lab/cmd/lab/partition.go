package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/lifecycle"
)

const partiesHelp = "Each of the two is a cluster, `services` for all services, one service, or `host`,\n" +
	"which is this machine: it reaches API servers and services through forwarders only."

func newPartitionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "partition A B",
		Short: "Cut all traffic between two, as when a line is cut: nothing is answered or refused any more",
		Long:  "Cut all traffic between two, as when a line is cut: packets are lost, and connections stall.\n" + partiesHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("name two to cut off from each other, such as `lab partition a services`: %d are named", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := g.rootDir()
			if err != nil {
				return err
			}
			if err := lifecycle.Partition(cmd.Context(), root, args[0], args[1]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s and %s are cut off from each other\n", args[0], args[1])
			return err
		},
	}
}

func newHealCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "heal [A B]",
		Short: "Undo `lab partition` of two, or of all",
		Long:  "Undo `lab partition` of two, or of all.\n" + partiesHelp,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return errors.New("name two to heal what is cut between them, or none to heal everything")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := g.rootDir()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				healed, err := lifecycle.HealAll(cmd.Context(), root)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "healed: %s\n", firstOf(strings.Join(healed, ", "), "nothing was cut"))
				return nil
			}
			found, err := lifecycle.Heal(cmd.Context(), root, args[0], args[1])
			if err != nil {
				return err
			}
			if !found {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing was cut between %s and %s\n", args[0], args[1])
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s and %s reach each other\n", args[0], args[1])
			return nil
		},
	}
}
