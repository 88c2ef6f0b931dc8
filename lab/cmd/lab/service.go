package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/service"
)

func newServiceCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "service",
		Short: "Run test servers that all clusters reach: " + strings.Join(service.Names(), ", "),
	}
	cmd.AddCommand(newServiceUpCommand(g), newServiceDownCommand(g), newServiceKillCommand(g), newServiceListCommand(g), newServiceEnvCommand(g))
	return cmd
}

func newServiceUpCommand(g *globals) *cobra.Command {
	cfg := service.UpConfig{}
	cmd := &cobra.Command{
		Use:   "up NAME...",
		Short: "Bring services up, or start killed ones again, and wait until they work",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("say which services: some of " + strings.Join(service.Names(), ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if cfg.Root, err = g.rootDir(); err != nil {
				return err
			}
			if cfg.BinDir, err = g.binaries(); err != nil {
				return err
			}
			cfg.Names, cfg.Progress = args, cmd.ErrOrStderr()
			return service.Up(cmd.Context(), cfg)
		},
	}
	cmd.Flags().DurationVar(&cfg.Timeout, "timeout", 2*time.Minute, "how long it may take")
	return cmd
}

func newServiceDownCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "down [NAME...]",
		Short: "End services, all if none is named, and remove their data",
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := g.rootDir()
			if err != nil {
				return err
			}
			found, err := service.Down(cmd.Context(), root, args...)
			if err != nil {
				return err
			}
			what := "all services"
			if len(args) > 0 {
				what = strings.Join(args, ", ")
			}
			if !found {
				fmt.Fprintf(cmd.OutOrStdout(), "there was nothing of %s\n", what)
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), "down: %s\n", what)
			return nil
		},
	}
}

func newServiceKillCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "kill NAME",
		Short: "Kill a service as a crash would, and leave its data; `lab service up` starts it again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := g.rootDir()
			if err != nil {
				return err
			}
			if err := service.Kill(cmd.Context(), root, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is killed\n", args[0])
			return err
		},
	}
}

func newServiceListCommand(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show the services that are up, and where they answer",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			statuses := []service.Status{}
			set, err := g.services()
			if err == nil {
				statuses, err = set.Statuses()
			}
			if err != nil && !errors.Is(err, service.ErrNone) {
				return err
			}
			switch output {
			case "json":
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(statuses)
			case "":
				return printServices(cmd.OutOrStdout(), statuses)
			}
			return fmt.Errorf("-o %s is not an output format: use json, or leave it out", output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json for programs")
	return cmd
}

func printServices(out io.Writer, statuses []service.Status) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "SERVICE\tSTATE\tENDPOINT\tFROM THE HOST\tFROM PODS")
	for _, s := range statuses {
		for _, e := range s.Endpoints {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.State, e.Name, e.Host, e.Inside)
		}
	}
	return table.Flush()
}

func newServiceEnvCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print what clients of the running services need to know, as assignments for a shell",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := g.services()
			if errors.Is(err, service.ErrNone) {
				return nil
			}
			if err != nil {
				return err
			}
			lines, err := set.Environment()
			if err != nil {
				return err
			}
			for _, line := range lines {
				name, value, _ := strings.Cut(line, "=")
				fmt.Fprintf(cmd.OutOrStdout(), "export %s='%s'\n", name, value)
			}
			return nil
		},
	}
}

// services returns those of the lab folder.
func (g *globals) services() (*service.Set, error) {
	root, err := g.rootDir()
	if err != nil {
		return nil, err
	}
	return service.Load(root)
}
