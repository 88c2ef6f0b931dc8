package image

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

// Load brings an image file into the container runtimes of all nodes.
func Load(ctx context.Context, c *cluster.Cluster, file string) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, node := range c.Nodes() {
		all.Go(func() error { return LoadNode(ctx, node, file) })
	}
	return all.Wait()
}

// LoadNode brings an image file into the container runtime of one node.
func LoadNode(ctx context.Context, n cluster.Node, file string) error {
	_, err := tool.Run(ctx, "ctr", "--address", n.ContainerdSocket(), "--namespace", "k8s.io", "images", "import", file)
	if err != nil {
		return fmt.Errorf("load image %s into node %s: %w", file, n.Name(), err)
	}
	return nil
}
