package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/lifecycle"
)

func newStatusCommand(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what runs of a cluster and what it occupies",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.load()
			if err != nil {
				return err
			}
			status, err := lifecycle.ReadStatus(cmd.Context(), c)
			if err != nil {
				return err
			}
			switch output {
			case "json":
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			case "":
				return printStatus(cmd.OutOrStdout(), status, time.Now())
			}
			return fmt.Errorf("-o %s is not an output format: use json, or leave it out", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for programs")
	return cmd
}

func printStatus(out io.Writer, status lifecycle.Status, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tPID\tRSS\tPSS\tSINCE")
	for _, c := range status.Components {
		if c.State != lifecycle.Running {
			fmt.Fprintf(table, "%s\t%s\t-\t-\t-\t-\n", c.Name, c.State)
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", c.Name, c.State, c.PID, mebibytes(c.Resident), mebibytes(c.Proportional), now.Sub(*c.Since).Round(time.Second))
	}
	if status.Others.Count > 0 {
		fmt.Fprintf(table, "pods (%d processes)\t\t\t%s\t%s\t\n", status.Others.Count, mebibytes(status.Others.Resident), mebibytes(status.Others.Proportional))
	}
	fmt.Fprintf(table, "total\t\t\t%s\t%s\t\n", mebibytes(status.Total.Resident), mebibytes(status.Total.Proportional))
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\nmode        %s\nAPI server  %s\nkubeconfig  %s\n", status.Mode, status.Server, status.Kubeconfig)
	if len(status.CutOffFrom) > 0 {
		_, err = fmt.Fprintf(out, "cut off     from %s\n", strings.Join(status.CutOffFrom, ", "))
	}
	return err
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }
