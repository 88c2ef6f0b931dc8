package cluster

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// NodeAddress is the address of a node of the cluster with an index.
func NodeAddress(index, number int) string { return fmt.Sprintf("10.77.%d.%d", index, number) }

// PodRange is the range of addresses that a node of the cluster with an index hands out.
func PodRange(index, number int) string { return fmt.Sprintf("10.%d.%d.0/24", 100+index, number) }

// Node is one node of a cluster. The first has the control plane, and its files are the cluster's.
type Node struct {
	cluster *Cluster
	// Number counts from 1.
	Number int
}

// Nodes lists the cluster's nodes.
func (c *Cluster) Nodes() []Node {
	var nodes []Node
	for number := range max(1, c.NodeCount) {
		nodes = append(nodes, Node{cluster: c, Number: number + 1})
	}
	return nodes
}

// First reports whether the node has the control plane.
func (n Node) First() bool { return n.Number == 1 }

// Name is the node's name in Kubernetes.
func (n Node) Name() string { return n.cluster.Name + "-" + strconv.Itoa(n.Number) }

// Suffixed is a name in the cluster for something that each node has: plain on the first node, with the node's number
// on the others.
func (n Node) Suffixed(name string) string {
	if n.First() {
		return name
	}
	return name + "-" + strconv.Itoa(n.Number)
}

// Namespace is the node's network namespace.
func (n Node) Namespace() string {
	if n.First() {
		return Namespace(n.cluster.Name)
	}
	return NumberedNamespace(n.cluster.Name, n.Number)
}

// NetworkPath is the node's network namespace file, or "" where the cluster runs on the host's network.
func (n Node) NetworkPath() string {
	if n.cluster.Mode == ControlPlaneOnly {
		return ""
	}
	return NamespacePath(n.Namespace())
}

// IP is the node's address.
func (n Node) IP() string {
	if n.First() {
		return n.cluster.NodeIP()
	}
	return NodeAddress(n.cluster.Index, n.Number)
}

// PodCIDR is the part of the cluster's pod addresses that the node hands out.
func (n Node) PodCIDR() string { return PodRange(n.cluster.Index, n.Number) }

// Cgroup is the control group that holds the node's pods.
func (n Node) Cgroup() string {
	if n.First() {
		return Cgroup(n.cluster.Name)
	}
	return Cgroup(n.cluster.Name) + "/" + n.Suffixed("node")
}

// PodCgroup is the group that the kubelet makes in Cgroup for all pods.
func (n Node) PodCgroup() string { return n.Cgroup() + "/kubepods" }

// Marker is an environment entry that every process of the node carries that is not the control plane's.
func (n Node) Marker() string { return "COFFER_LAB_NODE=" + filepath.Join(n.cluster.root, n.Name()) }

// Dir is the folder of what is the node's own.
func (n Node) Dir() string {
	if n.First() {
		return n.cluster.Dir()
	}
	// Short, for the names of sockets in it cannot be long.
	return n.cluster.Path(strconv.Itoa(n.Number))
}

// Path is a path inside the node's folder.
func (n Node) Path(elem ...string) string { return join(n.Dir(), elem) }

// KubeletDir is the kubelet's root folder.
func (n Node) KubeletDir() string { return n.Path("kubelet") }

// ContainerdSocket is where the node's containerd listens.
func (n Node) ContainerdSocket() string { return n.Path("run", "containerd.sock") }

// CSISocket is where a CSI driver of the node listens.
func (n Node) CSISocket(driver string) string {
	return n.Path("kubelet", "plugins", driver, "csi.sock")
}

// RegistrationDir is where CSI drivers announce themselves to the kubelet.
func (n Node) RegistrationDir() string { return n.Path("kubelet", "plugins_registry") }
