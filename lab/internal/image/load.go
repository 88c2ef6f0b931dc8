package image

import (
	"context"
	"fmt"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// Load brings an image file into the cluster's container runtime.
func Load(ctx context.Context, c *cluster.Cluster, file string) error {
	_, err := tool.Run(ctx, "ctr", "--address", c.ContainerdSocket(), "--namespace", "k8s.io", "images", "import", file)
	if err != nil {
		return fmt.Errorf("load image %s: %w", file, err)
	}
	return nil
}
