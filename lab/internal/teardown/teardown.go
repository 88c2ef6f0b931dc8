// Package teardown removes everything that a cluster leaves on a machine, by looking for it.
//
// Nothing is taken from records: they may be lost, and whatever made them may have been killed at any line. A process
// belongs to a cluster if it is in its network namespace or control group, or carries its mark in its environment;
// a mount or loop device if it lies in its folder; the rest by its name.
package teardown

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/lab/internal/cgroup"
	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/mount"
	"github.com/coffer-backup/coffer/lab/internal/network"
	"github.com/coffer-backup/coffer/lab/internal/process"
)

// patience is how long one step may take before it counts as stuck.
const patience = 30 * time.Second

// Target is the cluster to remove, or the services of a lab folder, which cluster.ServicesName stands for.
type Target struct {
	Root cluster.Root
	Name string
	// Foreign says that the network namespace and control group of that name are those of another lab folder's cluster,
	// and must be left alone.
	Foreign bool
}

// Cluster removes the target, except the storage pool, and reports whether there was anything of it.
// The order matters: processes hold mounts, mounts hold loop devices, and everything holds the folder.
func Cluster(ctx context.Context, target Target) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	belongs, err := target.Belongs(ctx)
	if err != nil {
		return false, err
	}
	killed, err := process.KillAll(ctx, belongs)
	if err != nil {
		return true, fmt.Errorf("end the processes: %w", err)
	}
	found := killed > 0
	if os.Geteuid() == 0 && !target.Foreign {
		privileged, err := removePrivileged(ctx, target.Root, target.Name)
		found = found || privileged
		if err != nil {
			return found, err
		}
	}
	folder := target.Root.Dir(target.Name)
	if _, err := os.Lstat(folder); err != nil {
		return found, nil
	}
	if left, err := mount.Under(folder); err != nil || len(left) > 0 {
		// Deleting through a mount would delete what is mounted.
		return true, fmt.Errorf("%s is still mounted (%w)", folder, err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return true, fmt.Errorf("delete the cluster's folder: %w", err)
	}
	return true, nil
}

// Belongs returns what recognises the target's processes.
func (t Target) Belongs(ctx context.Context) (func(process.Found) bool, error) {
	marker := cluster.Marker(t.Root, t.Name)
	if t.Foreign || os.Geteuid() != 0 {
		return func(p process.Found) bool { return p.HasEnvironment(marker) }, nil
	}
	namespaces, err := network.Namespaces(ctx, t.Root, t.Name)
	if err != nil {
		return nil, err
	}
	var inodes []uint64
	for _, namespace := range namespaces {
		inodes = append(inodes, network.Inode(namespace))
	}
	group := cluster.Cgroup(t.Name)
	return func(p process.Found) bool {
		return slices.ContainsFunc(inodes, p.InNetwork) || p.InCgroup(group) || p.HasEnvironment(marker)
	}, nil
}

func removePrivileged(ctx context.Context, root cluster.Root, name string) (bool, error) {
	// What only the cluster's files tell must be read before they go.
	traces := findTraces(root, name)
	released, err := release(root, root.Dir(name))
	if err != nil {
		return true, err
	}
	networkFound, err := network.Remove(ctx, root, name)
	if err != nil {
		return true, err
	}
	groupFound, err := cgroup.Remove(ctx, cluster.Cgroup(name))
	if err != nil {
		return true, err
	}
	if err := traces.remove(); err != nil {
		return true, err
	}
	return released || networkFound || groupFound, removeMachineTraces()
}

// release unmounts everything in the cluster's folder and detaches the loop devices that it used. The kubelet maps a
// block volume by putting a loop device of its own on a file in the folder, onto which the volume's device is bound:
// that one goes first, else the bound device stays busy and cannot be found again under any name.
func release(root cluster.Root, folder string) (bool, error) {
	volumes, err := usedLoops(root, folder)
	if err != nil {
		return false, err
	}
	mapped, err := mount.DetachLoops(func(l mount.Loop) bool { return mount.Within(folder, l.File) })
	if err != nil {
		return true, err
	}
	unmounted, err := mount.UnmountUnder(folder)
	if err != nil {
		return true, err
	}
	detached, err := mount.DetachLoops(func(l mount.Loop) bool { return volumes[l.Device] && mount.Within(root.Pool(), l.File) })
	return mapped+unmounted+detached > 0, err
}

// usedLoops are the loop devices on volumes of the pool that this cluster has mounted or mapped into its folder.
// Those of other clusters are left alone; one that a killed driver had not yet mounted goes with the pool.
func usedLoops(root cluster.Root, folder string) (map[string]bool, error) {
	mounts, err := mount.Under(folder)
	if err != nil {
		return nil, err
	}
	loops, err := mount.Loops()
	if err != nil {
		return nil, err
	}
	inPool := map[string]bool{}
	for _, loop := range loops {
		inPool[loop.Device] = mount.Within(root.Pool(), loop.File)
	}
	used := map[string]bool{}
	for _, m := range mounts {
		// A volume is mounted from its device; a block volume's device is itself bound onto a file.
		for _, device := range []string{m.Source, path.Join("/dev", m.Root)} {
			if strings.HasPrefix(device, "/dev/loop") && inPool[device] {
				used[device] = true
			}
		}
	}
	return used, nil
}
