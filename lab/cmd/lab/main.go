// Command lab runs real Kubernetes clusters on one machine, for tests, demonstrations and development.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		printError(err)
		os.Exit(1)
	}
}

func printError(err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(os.Stderr, "lab: %s\n", strings.TrimRight(line, "\n"))
	}
	var fault *component.FaultError
	if errors.As(err, &fault) {
		for _, line := range fault.Lines {
			fmt.Fprintf(os.Stderr, "  %s | %s\n", fault.Component, line)
		}
	}
}

// globals are the flags that every command has.
type globals struct {
	root   string
	binDir string
	name   string
}

func newRootCommand() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Run real Kubernetes clusters on this machine, and leave nothing behind",
		SilenceUsage:  true,
		SilenceErrors: true,
		// An error is one line.
		DisableSuggestions: true,
	}
	root.PersistentFlags().StringVar(&g.root, "root", "", "folder that holds the clusters and the storage pool (default $COFFER_LAB_ROOT, or "+defaultRoot()+")")
	root.PersistentFlags().StringVar(&g.binDir, "bin-dir", "", "folder with the lab's programs (default $COFFER_LAB_BIN, or this program's own)")
	root.PersistentFlags().StringVar(&g.name, "name", "a", "cluster")
	root.AddCommand(newUpCommand(g), newDownCommand(g), newStatusCommand(g), newKubeconfigCommand(g),
		newKillCommand(g), newStartCommand(g), newPartitionCommand(g), newHealCommand(g), newServiceCommand(g), newImageCommand(g), newForwardCommand())
	return root
}

func (g *globals) rootDir() (cluster.Root, error) {
	root := firstOf(g.root, os.Getenv("COFFER_LAB_ROOT"), defaultRoot())
	absolute, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the lab folder: %w", err)
	}
	// Mounts are listed under their real names.
	if resolved, err := filepath.EvalSymlinks(absolute); err == nil {
		absolute = resolved
	}
	return cluster.Root(absolute), nil
}

func (g *globals) binaries() (string, error) {
	if dir := firstOf(g.binDir, os.Getenv("COFFER_LAB_BIN")); dir != "" {
		return filepath.Abs(dir)
	}
	executable, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the lab's programs: %w", err)
	}
	return filepath.Dir(executable), nil
}

// load returns the cluster that the command is about.
func (g *globals) load() (*cluster.Cluster, error) {
	root, err := g.rootDir()
	if err != nil {
		return nil, err
	}
	c, err := root.Load(g.name)
	if errors.Is(err, cluster.ErrNotFound) {
		return nil, fmt.Errorf("there is no cluster %s in %s: bring it up with `lab up --name %s`", g.name, root, g.name)
	}
	return c, err
}

func defaultRoot() string {
	if os.Geteuid() == 0 {
		return "/var/lib/coffer-lab"
	}
	if state := os.Getenv("XDG_STATE_HOME"); state != "" {
		return filepath.Join(state, "coffer-lab")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "coffer-lab")
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
