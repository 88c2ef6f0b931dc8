package lifecycle

import (
	"context"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/component"
)

// Kill ends one component's process at once, and nothing else: the pods of a killed kubelet run on.
func Kill(ctx context.Context, c *cluster.Cluster, name string) error {
	spec, lock, err := lockComponent(ctx, c, name)
	if err != nil {
		return err
	}
	defer lock.Release()
	record, err := component.Load(c, spec.Name)
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

// Start starts one component as it was started first, and waits until it works.
func Start(ctx context.Context, c *cluster.Cluster, name string, timeout time.Duration) error {
	spec, lock, err := lockComponent(ctx, c, name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if _, err := component.Start(c, spec); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return component.WaitHealthy(ctx, c, spec)
}

func lockComponent(ctx context.Context, c *cluster.Cluster, name string) (component.Spec, *cluster.Lock, error) {
	spec, ok := component.Find(c, name)
	if !ok {
		return spec, nil, fmt.Errorf("cluster %s has no component %q: it has %s", c.Name, name, component.Names(c))
	}
	lock, err := lockCluster(ctx, c.Root(), c.Name)
	if err == nil && lock == nil {
		err = cluster.ErrNotFound
	}
	return spec, lock, err
}
