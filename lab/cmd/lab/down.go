package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/lifecycle"
	"github.com/coffer-backup/coffer/lab/internal/service"
)

func newDownCommand(g *globals) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End a cluster and remove everything it made, also after a crash",
		Long: "End a cluster and remove everything it made: processes, mounts, loop devices, network namespaces, control groups, files.\n" +
			"The storage pool and the volumes in it go with the last cluster. It works after anything was killed, and may be repeated.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			root, err := g.rootDir()
			if err != nil {
				return err
			}
			if all {
				names, err := lifecycle.DownAll(cmd.Context(), root)
				if err != nil {
					return err
				}
				services, err := service.Down(cmd.Context(), root)
				if err != nil {
					return err
				}
				if services {
					names = append(names, "the services")
				}
				fmt.Fprintf(cmd.OutOrStdout(), "ended: %s\n", firstOf(strings.Join(names, ", "), "nothing was up"))
				return nil
			}
			found, err := lifecycle.Down(cmd.Context(), root, g.name)
			if err != nil {
				return err
			}
			if !found {
				fmt.Fprintf(cmd.OutOrStdout(), "there was nothing of a cluster %s\n", g.name)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s is down\n", g.name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every cluster and service of the lab folder")
	return cmd
}
