package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
	"github.com/coffer-backup/coffer/lab/internal/process"
	"github.com/coffer-backup/coffer/lab/internal/teardown"
)

// Kill ends one component's process at once, and nothing else: the pods of a killed kubelet run on. The name of a node
// stands for all components that are its own, and its pods end with them, as when its power is cut.
func Kill(ctx context.Context, c *cluster.Cluster, name string) error {
	node, isNode := findNode(c, name)
	specs, lock, err := lockComponents(ctx, c, name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if isNode {
		return killNode(ctx, c, node)
	}
	record, err := component.Load(c, specs[0].Name)
	if err != nil {
		return err
	}
	if !record.Alive() {
		return fmt.Errorf("%s is not running: start it with `lab start %s --name %s`", name, name, c.Name)
	}
	if err := record.Kill(); err != nil {
		return err
	}
	return record.AwaitEnd(ctx)
}

// killNode ends all processes of a node, and of its pods.
func killNode(ctx context.Context, c *cluster.Cluster, n cluster.Node) error {
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	killed, err := process.KillAll(ctx, func(p process.Found) bool { return p.HasEnvironment(n.Marker()) || p.InCgroup(n.PodCgroup()) })
	if err != nil {
		return fmt.Errorf("end node %s: %w", n.Name(), err)
	}
	if killed == 0 {
		name := component.NodeName(n)
		return fmt.Errorf("%s is not running: start it with `lab start %s --name %s`", name, name, c.Name)
	}
	return teardown.Sockets(n)
}

// Start starts one component as it was started first, and waits until it works. The name of a node stands for all
// components that are its own; those that run already are left alone, unless it is all of them.
func Start(ctx context.Context, c *cluster.Cluster, name string, timeout time.Duration) error {
	specs, lock, err := lockComponents(ctx, c, name)
	if err != nil {
		return err
	}
	defer lock.Release()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	running := 0
	for _, spec := range specs {
		_, err := component.Start(c, spec)
		if errors.Is(err, component.ErrRunning) {
			running++
			if running < len(specs) {
				continue
			}
		}
		if err != nil {
			return err
		}
		// A node's come up one after the other, as the kubelet needs the container runtime.
		if err := component.WaitHealthy(ctx, c, spec); err != nil {
			return err
		}
	}
	return nil
}

// nodePatience is how long the processes of a killed node may take to be gone.
const nodePatience = 30 * time.Second

func findNode(c *cluster.Cluster, name string) (cluster.Node, bool) {
	nodes := c.Nodes()
	at := slices.IndexFunc(nodes, func(n cluster.Node) bool { return component.NodeName(n) == name })
	if at < 0 || c.Mode != cluster.Full {
		return cluster.Node{}, false
	}
	return nodes[at], true
}

// lockComponents returns the components of that name, at least one.
func lockComponents(ctx context.Context, c *cluster.Cluster, name string) ([]component.Spec, *cluster.Lock, error) {
	var specs []component.Spec
	if node, ok := findNode(c, name); ok {
		specs = component.OfNode(c, node)
	} else if spec, ok := component.Find(c, name); ok {
		specs = []component.Spec{spec}
	} else {
		return nil, nil, fmt.Errorf("cluster %s has no component %q: it has %s", c.Name, name, component.Names(c))
	}
	lock, err := lockCluster(ctx, c.Root(), c.Name)
	if err == nil && lock == nil {
		err = cluster.ErrNotFound
	}
	return specs, lock, err
}
