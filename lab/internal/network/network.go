// Package network builds the network namespaces of the clusters' nodes and of the services, and the switch between them.
//
//	coffer-lab-fabric                      coffer-lab-NAME
//	+------------------+                   +----------------------------+
//	| br0 --- c1 ======|===================|=== node0  10.77.1.1        |
//	|     |__ c1n2 ... |                   |  pods    10.101.1.0/24     |
//	|     |__ c2 ...   |                   +----------------------------+
//	|     \__ s250 ... |
//	+------------------+
//
// The host's own network has no part in it. The record of who has which index is the switch itself: the port of the
// first node of the cluster with index 1 is c1, that of its second node c1n2, and that of services s250; a port's alias
// is the name of the namespace behind it, without what all have in common. So nothing can disagree with it.
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
	// Services have the indexes from here, which no cluster has.
	firstServices, lastServices = 250, 254
)

// Nodes are the addresses of all clusters' nodes, and of the services.
const Nodes = "10.77.0.0/16"

// ServicesAddress is the address of the services with an index.
func ServicesAddress(index int) string { return cluster.NodeAddress(index, 1) }

// Create makes the network namespaces of the cluster's nodes and connects them to the switch, which it makes if it is
// the first. It returns the cluster's index.
func Create(ctx context.Context, c *cluster.Cluster) (int, error) {
	lock, ports, err := lockFabric(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Release()
	index, err := freeIndex(ports, 1, cluster.MaxIndex, "clusters")
	if err != nil {
		return 0, err
	}
	if err := removeCuts(ctx, index); err != nil {
		return 0, err
	}
	with := *c
	with.Index = index
	for _, n := range with.Nodes() {
		m := member{namespace: n.Namespace(), port: nodePort(index, n.Number), address: n.IP()}
		if err := m.connect(ctx, c.Root()); err != nil {
			return 0, err
		}
		for _, other := range with.Nodes() {
			if other == n {
				continue
			}
			if _, err := tool.Run(ctx, "ip", "-n", n.Namespace(), "route", "add", other.PodCIDR(), "via", other.IP()); err != nil {
				return 0, fmt.Errorf("route from node %s to the pods of %s: %w", n.Name(), other.Name(), err)
			}
		}
	}
	return index, nil
}

// CreateServices makes a network namespace for the services of a lab folder, from which there are routes to the pods of
// all clusters that there can be. It returns the index of the services.
func CreateServices(ctx context.Context, root cluster.Root) (int, error) {
	lock, ports, err := lockFabric(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Release()
	index, err := freeIndex(ports, firstServices, lastServices, "lab folders with services")
	if err != nil {
		return 0, err
	}
	if err := removeCuts(ctx, index); err != nil {
		return 0, err
	}
	m := member{namespace: ServicesNamespace(index), port: servicesPort(index), address: ServicesAddress(index)}
	if err := m.connect(ctx, root); err != nil {
		return 0, err
	}
	var routes strings.Builder
	for other := 1; other <= cluster.MaxIndex; other++ {
		for number := 1; number <= cluster.MaxNodes; number++ {
			fmt.Fprintf(&routes, "route add %s via %s\n", cluster.PodRange(other, number), cluster.NodeAddress(other, number))
		}
	}
	if _, err := tool.RunInput(ctx, routes.String(), "ip", "-n", m.namespace, "-batch", "-"); err != nil {
		return 0, fmt.Errorf("route from the services to pods: %w", err)
	}
	return index, nil
}

// ServicesNamespace is the network namespace of the services with an index.
func ServicesNamespace(index int) string {
	return cluster.NumberedNamespace(cluster.ServicesName, index)
}

// lockFabric makes sure that there is a switch, and returns its ports. The caller releases the lock.
func lockFabric(ctx context.Context) (*cluster.Lock, []link, error) {
	lock, err := cluster.WaitLock(ctx, lockFolder)
	if err != nil {
		return nil, nil, fmt.Errorf("lock the machine's lab network: %w", err)
	}
	if err := ensureFabric(ctx); err != nil {
		lock.Release()
		return nil, nil, err
	}
	ports, err := fabricPorts(ctx)
	if err != nil {
		lock.Release()
		return nil, nil, err
	}
	return lock, ports, nil
}

// member is a network namespace that hangs on the switch.
type member struct{ namespace, port, address string }

// connect makes the namespace, for a lab folder, and connects it.
func (m member) connect(ctx context.Context, root cluster.Root) error {
	if _, err := tool.Run(ctx, "ip", "netns", "add", m.namespace); err != nil {
		return fmt.Errorf("create network namespace %s: %w", m.namespace, err)
	}
	// The alias of lo says which lab folder the namespace belongs to.
	commands := [][]string{
		{"-n", m.namespace, "link", "set", "lo", "alias", string(root)},
		{"-n", Fabric, "link", "add", m.port, "type", "veth", "peer", "name", node, "netns", m.namespace},
		{"-n", Fabric, "link", "set", m.port, "alias", cluster.NamespaceSuffix(m.namespace)},
		{"-n", Fabric, "link", "set", m.port, "master", bridge, "up"},
		{"-n", m.namespace, "link", "set", "lo", "up"},
		{"-n", m.namespace, "addr", "add", ForwarderAddress + "/32", "dev", "lo"},
		{"-n", m.namespace, "addr", "add", m.address + "/16", "dev", node},
		{"-n", m.namespace, "link", "set", node, "up"},
	}
	for _, command := range commands {
		if _, err := tool.Run(ctx, "ip", command...); err != nil {
			return fmt.Errorf("set up network namespace %s: %w", m.namespace, err)
		}
	}
	forwarding := "echo 1 > /proc/sys/net/ipv4/ip_forward"
	if _, err := tool.Run(ctx, "nsenter", "--net="+cluster.NamespacePath(m.namespace), "sh", "-c", forwarding); err != nil {
		return fmt.Errorf("forward packets in network namespace %s: %w", m.namespace, err)
	}
	return nil
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

// Remove ends the networks that a lab folder has under a name, a cluster's or cluster.ServicesName, and the switch if
// nothing else hangs on it. It does nothing where there is nothing. The processes in them must be gone: a namespace
// lives as long as something is in it.
func Remove(ctx context.Context, root cluster.Root, name string) (removed bool, err error) {
	lock, err := cluster.WaitLock(ctx, lockFolder)
	if err != nil {
		return false, fmt.Errorf("lock the machine's lab network: %w", err)
	}
	defer lock.Release()
	namespaces, err := Namespaces(ctx, root, name)
	if err != nil {
		return false, err
	}
	for _, namespace := range namespaces {
		if _, err := tool.Run(ctx, "ip", "netns", "del", namespace); err != nil {
			return removed, fmt.Errorf("delete network namespace %s: %w", namespace, err)
		}
		removed = true
	}
	if Exists(Fabric) {
		fabricRemoved, err := removeFromFabric(ctx)
		if err != nil {
			return removed, err
		}
		removed = removed || fabricRemoved
	}
	return removed, removeEmptyNetnsDir()
}

// removeFromFabric deletes the ports that have no namespace behind them, what is cut off from these, and the switch if
// no port is left.
func removeFromFabric(ctx context.Context) (bool, error) {
	ports, err := fabricPorts(ctx)
	if err != nil {
		return false, err
	}
	left := 0
	for _, port := range ports {
		if port.Alias != "" && Exists(cluster.Namespace(port.Alias)) {
			left++
			continue
		}
		// The port may vanish by itself: deleting its namespace deletes it a moment later.
		if _, err := tool.Run(ctx, "ip", "-n", Fabric, "link", "del", port.Name); err != nil && !strings.Contains(err.Error(), "Cannot find device") {
			return false, fmt.Errorf("delete switch port %s: %w", port.Name, err)
		}
		if err := removeCuts(ctx, portIndex(port.Name)); err != nil {
			return false, err
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

// Owner is the lab folder that a network namespace belongs to, "" if there is no such namespace or its maker was killed
// before it could say.
func Owner(ctx context.Context, namespace string) (cluster.Root, error) {
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

// Namespaces lists the network namespaces that a lab folder has under a name, a cluster's or cluster.ServicesName, and
// those of that name whose maker was killed before it could say whose they are. The first node's is the last, so that
// who removes them in this order leaves it for as long as there is any other.
func Namespaces(ctx context.Context, root cluster.Root, name string) ([]string, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, namespace := range all {
		if cluster.NamespaceName(namespace) != name {
			continue
		}
		owner, err := Owner(ctx, namespace)
		if err != nil {
			return nil, err
		}
		if owner == root || owner == "" {
			found = append(found, namespace)
		}
	}
	slices.SortFunc(found, func(a, b string) int { return strings.Compare(b, a) })
	return found, nil
}

// ClustersUp reports whether the machine has a network namespace of any cluster.
func ClustersUp() (bool, error) {
	all, err := list()
	return slices.ContainsFunc(all, func(namespace string) bool { return cluster.NamespaceName(namespace) != cluster.ServicesName }), err
}

// list lists all network namespaces of the machine that are the lab's, but for the switch.
func list() ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var found []string
	for _, entry := range entries {
		if name := cluster.NamespaceName(entry.Name()); name != "" && entry.Name() != Fabric {
			found = append(found, entry.Name())
		}
	}
	return found, nil
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

func clusterPort(index int) string { return "c" + strconv.Itoa(index) }

func servicesPort(index int) string { return "s" + strconv.Itoa(index) }

// nodePort is the port of one of a cluster's nodes.
func nodePort(index, number int) string {
	if number == 1 {
		return clusterPort(index)
	}
	return clusterPort(index) + "n" + strconv.Itoa(number)
}

// portIndex is the index in a port's name, zero for other links.
func portIndex(name string) int {
	digits, isCluster := strings.CutPrefix(name, "c")
	if !isCluster {
		digits = strings.TrimPrefix(name, "s")
	}
	digits, _, _ = strings.Cut(digits, "n")
	index, err := strconv.Atoi(digits)
	if err != nil {
		return 0
	}
	return index
}

func freeIndex(ports []link, first, last int, what string) (int, error) {
	for index := first; index <= last; index++ {
		if !slices.ContainsFunc(ports, func(l link) bool { return portIndex(l.Name) == index }) {
			return index, nil
		}
	}
	return 0, fmt.Errorf("%d %s are up on this machine, which is the most there can be", last-first+1, what)
}

// OwnedBy lists the clusters whose network namespaces belong to a lab folder.
func OwnedBy(ctx context.Context, root cluster.Root) ([]string, error) {
	all, err := list()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, namespace := range all {
		name := cluster.NamespaceName(namespace)
		if name == cluster.ServicesName || slices.Contains(names, name) {
			continue
		}
		owner, err := Owner(ctx, namespace)
		if err != nil {
			return nil, err
		}
		if owner == root {
			names = append(names, name)
		}
	}
	return names, nil
}
