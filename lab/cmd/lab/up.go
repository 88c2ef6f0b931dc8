package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/lifecycle"
)

func newUpCommand(g *globals) *cobra.Command {
	var controlPlaneOnly bool
	var minDisk, minMemory string
	cfg := lifecycle.UpConfig{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a cluster up and wait until it can be used",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if cfg.Root, err = g.rootDir(); err != nil {
				return err
			}
			if cfg.BinDir, err = g.binaries(); err != nil {
				return err
			}
			if cfg.MinDisk, err = parseSize("--min-disk", minDisk); err != nil {
				return err
			}
			if cfg.MinMemory, err = parseSize("--min-memory", minMemory); err != nil {
				return err
			}
			cfg.Name, cfg.Mode, cfg.Progress = g.name, cluster.Full, cmd.ErrOrStderr()
			if controlPlaneOnly {
				cfg.Mode = cluster.ControlPlaneOnly
			}
			begin := time.Now()
			c, err := lifecycle.Up(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "cluster %s is up after %.1fs\n", c.Name, time.Since(begin).Seconds())
			fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s\n", c.Kubeconfig())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&controlPlaneOnly, "control-plane-only", false, "only etcd, the API server and the controller-manager, on loopback; needs no root")
	flags.IntVar(&cfg.Nodes, "nodes", 1, "how many nodes, each with a kubelet and a container runtime")
	flags.BoolVar(&cfg.Keep, "keep", false, "leave a cluster that does not come up, for a look at it")
	flags.DurationVar(&cfg.Timeout, "timeout", 3*time.Minute, "how long it may take")
	flags.IntVar(&cfg.HostPort, "api-port", 0, "port of 127.0.0.1 for the API server (0: any free one)")
	flags.StringVar(&minDisk, "min-disk", "10Gi", "refuse to begin with less disk free")
	flags.StringVar(&minMemory, "min-memory", "2Gi", "refuse to begin with less memory available")
	return cmd
}

func parseSize(flag, text string) (int64, error) {
	quantity, err := resource.ParseQuantity(text)
	if err != nil || quantity.Sign() < 0 {
		return 0, fmt.Errorf("%s: %q is not a size such as 10Gi", flag, text)
	}
	return quantity.Value(), nil
}
