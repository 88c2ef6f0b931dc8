package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/pool"
	"github.com/coffer-backup/coffer/lab/internal/teardown"
)

// busyWait is how long a command waits for another one on the same cluster.
const busyWait = 5 * time.Second

// Down ends a cluster and removes all it ever made, and the storage pool with the last cluster of the root. It goes by
// what is there, not by what is recorded, so it may be repeated and follow anything. It reports whether there was
// anything.
func Down(ctx context.Context, root cluster.Root, name string) (bool, error) {
	if err := cluster.ValidateName(name); err != nil {
		return false, err
	}
	target, err := findTarget(ctx, root, name)
	if err != nil {
		return false, err
	}
	lock, err := lockCluster(ctx, root, name)
	if err != nil {
		return false, err
	}
	if lock != nil {
		defer lock.Release()
	}
	return removeCluster(ctx, target)
}

// findTarget asks whose the network namespace is: its name, like the control group's, does not tell.
func findTarget(ctx context.Context, root cluster.Root, name string) (teardown.Target, error) {
	target := teardown.Target{Root: root, Name: name}
	if os.Geteuid() != 0 {
		return target, nil
	}
	owner, err := network.Owner(ctx, cluster.Namespace(name))
	if err != nil {
		return target, err
	}
	target.Foreign = owner != "" && owner != root
	if _, err := os.Stat(root.Dir(name)); err != nil && target.Foreign {
		return target, fmt.Errorf("the cluster %s that is up belongs to the lab folder %s: use `lab down --name %s --root %s`", name, owner, name, owner)
	}
	return target, nil
}

// lockCluster returns nil if the cluster has no folder to lock.
func lockCluster(ctx context.Context, root cluster.Root, name string) (*cluster.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	lock, err := cluster.WaitLock(ctx, root.Dir(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, cluster.ErrLocked):
		return nil, fmt.Errorf("cluster %s: %w: wait until it is done, or end it, and try again", name, err)
	}
	return lock, err
}

// removeCluster does the work of Down for a caller that has the cluster's lock.
func removeCluster(ctx context.Context, target teardown.Target) (bool, error) {
	found, err := teardown.Cluster(ctx, target)
	if err != nil {
		return found, err
	}
	poolFound, err := removePoolIfLast(ctx, target.Root)
	if err != nil {
		return found, err
	}
	// The root folder goes when nothing else is in it.
	_ = os.Remove(string(target.Root))
	return found || poolFound, nil
}

func removePoolIfLast(ctx context.Context, root cluster.Root) (bool, error) {
	lock, err := lockRoot(ctx, root)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Release()
	names, err := root.Names()
	if err != nil || len(names) > 0 {
		return false, err
	}
	return pool.Remove(root)
}

// lockRoot guards the storage pool: its making, its use by a new cluster, its removal with the last.
func lockRoot(ctx context.Context, root cluster.Root) (*cluster.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	lock, err := cluster.WaitLock(ctx, string(root))
	if err != nil {
		return nil, fmt.Errorf("lock the lab folder %s: %w", root, err)
	}
	return lock, nil
}

// DownAll ends every cluster of the root, also one that has lost its folder, and returns their names.
func DownAll(ctx context.Context, root cluster.Root) ([]string, error) {
	names, err := root.Names()
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		owned, err := network.OwnedBy(ctx, root)
		if err != nil {
			return nil, err
		}
		names = append(names, owned...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, name := range names {
		if _, err := Down(ctx, root, name); err != nil {
			return names, fmt.Errorf("cluster %s: %w", name, err)
		}
	}
	_, err = removePoolIfLast(ctx, root)
	_ = os.Remove(string(root))
	return names, err
}
