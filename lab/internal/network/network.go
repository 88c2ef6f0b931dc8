// Package network builds the clusters' network namespaces and the switch between them.
//
//	coffer-lab-fabric                      coffer-lab-NAME
//	+------------------+                   +----------------------------+
//	| br0 --- c1 ======|===================|=== node0  10.77.1.1        |
//	|     \__ c2 ...   |                   |  pods    10.101.1.0/24     |
//	+------------------+                   +----------------------------+
//
// The host's own network has no part in it. The record of who has which index is the switch itself: the port
// of the cluster with index 1 is c1, and the port's alias is the cluster's name. So nothing can disagree with it.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/tool"
)

const (
	// Fabric is the namespace with the switch that all clusters hang on.
	Fabric = "coffer-lab-fabric"
	bridge = "br0"
	node   = "node0"
	// lockFolder stands for the whole machine: clusters of different roots share one fabric.
	lockFolder = "/run"
	netnsDir   = "/run/netns"
)

// Create makes the cluster's network namespace and connects it to the switch, which it makes if it is the first.
// It returns the cluster's index.
func Create(ctx context.Context, c *cluster.Cluster) (int, error) {
	lock, err := cluster.WaitLock(ctx, lockFolder)
	if err != nil {
		return 0, fmt.Errorf("lock the machine's lab network: %w", err)
	}
	defer lock.Release()
	if err := ensureFabric(ctx); err != nil {
		return 0, err
	}
	ports, err := fabricPorts(ctx)
	if err != nil {
		return 0, err
	}
	index, err := freeIndex(ports)
	if err != nil {
		return 0, err
	}
	namespace := cluster.Namespace(c.Name)
	if _, err := tool.Run(ctx, "ip", "netns", "add", namespace); err != nil {
		return 0, fmt.Errorf("create network namespace %s: %w", namespace, err)
	}
	with := *c
	with.Index = index
	port := portName(index)
	// The alias of lo says which lab folder the namespace belongs to.
	commands := [][]string{
		{"-n", namespace, "link", "set", "lo", "alias", string(c.Root())},
		{"-n", Fabric, "link", "add", port, "type", "veth", "peer", "name", node, "netns", namespace},
		{"-n", Fabric, "link", "set", port, "alias", c.Name},
		{"-n", Fabric, "link", "set", port, "master", bridge, "up"},
		{"-n", namespace, "link", "set", "lo", "up"},
		{"-n", namespace, "addr", "add", with.NodeIP() + "/16", "dev", node},
		{"-n", namespace, "link", "set", node, "up"},
	}
	for _, command := range commands {
		if _, err := tool.Run(ctx, "ip", command...); err != nil {
			return 0, fmt.Errorf("set up network namespace %s: %w", namespace, err)
		}
	}
	forwarding := "echo 1 > /proc/sys/net/ipv4/ip_forward"
	if _, err := tool.Run(ctx, "nsenter", "--net="+cluster.NamespacePath(namespace), "sh", "-c", forwarding); err != nil {
		return 0, fmt.Errorf("forward packets in network namespace %s: %w", namespace, err)
	}
	return index, nil
}

func ensureFabric(ctx context.Context) error {
	if !Exists(Fabric) {
		if _, err := tool.Run(ctx, "ip", "netns", "add", Fabric); err != nil {
			return fmt.Errorf("create the switch namespace %s: %w", Fabric, err)
		}
	}
	// A command that was killed may have left the namespace without its bridge.
	if _, err := tool.Run(ctx, "ip", "-n", Fabric, "link", "show", bridge); err == nil {
		return nil
	}
	for _, command := range [][]string{
		{"-n", Fabric, "link", "add", bridge, "type", "bridge"},
		{"-n", Fabric, "link", "set", bridge, "up"},
	} {
		if _, err := tool.Run(ctx, "ip", command...); err != nil {
			return fmt.Errorf("create the switch: %w", err)
		}
	}
	return nil
}

// Remove ends the cluster's network and, with the last cluster's, the switch. It does nothing where there is nothing.
// The cluster's processes must be gone: a namespace lives as long as something is in it.
func Remove(ctx context.Context, name string) (removed bool, err error) {
	lock, err := cluster.WaitLock(ctx, lockFolder)
	if err != nil {
		return false, fmt.Errorf("lock the machine's lab network: %w", err)
	}
	defer lock.Release()
	if namespace := cluster.Namespace(name); Exists(namespace) {
		if _, err := tool.Run(ctx, "ip", "netns", "del", namespace); err != nil {
			return false, fmt.Errorf("delete network namespace %s: %w", namespace, err)
		}
		removed = true
	}
	if Exists(Fabric) {
		fabricRemoved, err := removeFromFabric(ctx, name)
		if err != nil {
			return removed, err
		}
		removed = removed || fabricRemoved
	}
	return removed, removeEmptyNetnsDir()
}

// removeFromFabric deletes the cluster's port, ports that were never given a name, and the switch if no port is left.
func removeFromFabric(ctx context.Context, name string) (bool, error) {
	ports, err := fabricPorts(ctx)
	if err != nil {
		return false, err
	}
	left := 0
	for _, port := range ports {
		if port.Alias != name && port.Alias != "" {
			left++
			continue
		}
		// The port may vanish by itself: deleting its namespace deletes it a moment later.
		if _, err := tool.Run(ctx, "ip", "-n", Fabric, "link", "del", port.Name); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
			return false, fmt.Errorf("delete switch port %s: %w", port.Name, err)
		}
	}
	if left > 0 {
		return false, nil
	}
	if _, err := tool.Run(ctx, "ip", "netns", "del", Fabric); err != nil {
		return false, fmt.Errorf("delete the switch namespace %s: %w", Fabric, err)
	}
	return true, nil
}

// removeEmptyNetnsDir undoes what the first "ip netns add" on a machine does: it mounts its folder onto itself.
func removeEmptyNetnsDir() error {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", netnsDir, err)
	}
	// It may be mounted more than once.
	for mounted := true; mounted; {
		mounted = unix.Unmount(netnsDir, 0) == nil
	}
	// A leftover empty folder is harmless, and so is one that another program has just begun to use.
	_ = os.Remove(netnsDir)
	return nil
}

// Exists reports whether a network namespace of that name is there.
func Exists(namespace string) bool {
	_, err := os.Lstat(cluster.NamespacePath(namespace))
	return err == nil
}

// Inode is the identity of a network namespace, zero if it does not exist. A namespace file that is no longer
// mounted has an inode of its own, which no process's namespace equals.
func Inode(namespace string) uint64 {
	var status unix.Stat_t
	if err := unix.Stat(cluster.NamespacePath(namespace), &status); err != nil {
		return 0
	}
	return status.Ino
}

// Owner is the lab folder that the namespace of the cluster called name belongs to, "" if there is no namespace
// or its maker was killed before it could say.
func Owner(ctx context.Context, name string) (cluster.Root, error) {
	namespace := cluster.Namespace(name)
	if !Exists(namespace) {
		return "", nil
	}
	links, err := listLinks(ctx, namespace)
	if err != nil {
		//nolint:nilerr // The name is there but no namespace behind it: killed between the two.
		return "", nil
	}
	for _, link := range links {
		if link.Name == "lo" {
			return cluster.Root(link.Alias), nil
		}
	}
	return "", nil
}

type link struct {
	Name  string `json:"ifname"`
	Alias string `json:"ifalias"`
}

func fabricPorts(ctx context.Context) ([]link, error) {
	links, err := listLinks(ctx, Fabric)
	if err != nil {
		return nil, fmt.Errorf("list the ports of the switch: %w", err)
	}
	return slices.DeleteFunc(links, func(l link) bool { return portIndex(l.Name) == 0 }), nil
}

func listLinks(ctx context.Context, namespace string) ([]link, error) {
	out, err := tool.Run(ctx, "ip", "-json", "-n", namespace, "link", "show")
	if err != nil {
		return nil, err
	}
	var links []link
	if err := json.Unmarshal([]byte(out), &links); err != nil {
		return nil, fmt.Errorf("read the links of %s: %w", namespace, err)
	}
	return links, nil
}

func portName(index int) string { return "c" + strconv.Itoa(index) }

// portIndex is the index in a port's name, zero for other links.
func portIndex(name string) int {
	digits, ok := strings.CutPrefix(name, "c")
	if !ok {
		return 0
	}
	index, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return index
}

func freeIndex(ports []link) (int, error) {
	taken := map[int]bool{}
	for _, port := range ports {
		taken[portIndex(port.Name)] = true
	}
	for index := 1; index <= cluster.MaxIndex; index++ {
		if !taken[index] {
			return index, nil
		}
	}
	return 0, fmt.Errorf("%d clusters are up on this machine, which is the most there can be", cluster.MaxIndex)
}

// OwnedBy lists the clusters whose network namespaces belong to a lab folder.
func OwnedBy(ctx context.Context, root cluster.Root) ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, entry := range entries {
		name, ok := strings.CutPrefix(entry.Name(), cluster.Namespace(""))
		if !ok || entry.Name() == Fabric {
			continue
		}
		owner, err := Owner(ctx, name)
		if err != nil {
			return nil, err
		}
		if owner == root {
			names = append(names, name)
		}
	}
	return names, nil
}
