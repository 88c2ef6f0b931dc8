// Package component is the table of programs that make up a cluster: how each is started and how it is seen to work.
package component

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

// Spec describes a component. All of it follows from the cluster, so starting one again starts the same.
type Spec struct {
	Name string
	// Program is the file to run: a path, or the name of one of the machine's own programs.
	Program string
	Args    []string
	Env     []string
	// Network is the file of the network namespace that the program runs in; empty means the host's.
	Network string
	// Listen are loopback ports of the host whose listening sockets the program inherits.
	Listen []int
	Health Health
}

// Health is how a component is seen to work, by the first of these that is set. With none, running is all that can be seen.
type Health struct {
	// URL answers 200, as seen from the component's network.
	URL string
	// Authority, Certificate and Key are files for a URL with TLS: who signed the component's certificate, and who asks.
	Authority, Certificate, Key string
	// Socket is a Unix socket that accepts connections.
	Socket string
	// Address is a HOST:PORT that accepts connections, as seen from the component's network.
	Address string
}

// Place is where components have their files.
type Place interface {
	// Path is a path inside the folder.
	Path(elem ...string) string
	// Log is the log file of a component.
	Log(component string) string
}

// The names of the components.
const (
	Etcd               = "etcd"
	APIServer          = "kube-apiserver"
	ControllerManager  = "kube-controller-manager"
	Scheduler          = "kube-scheduler"
	Containerd         = "containerd"
	Kubelet            = "kubelet"
	Proxy              = "kube-proxy"
	DNS                = "coredns"
	Forwarder          = "forwarder"
	SnapshotController = "snapshot-controller"
	Driver             = "csi-driver"
	Provisioner        = "csi-provisioner"
	Snapshotter        = "csi-snapshotter"
	Resizer            = "csi-resizer"
	DriverNoSnap       = "csi-driver-nosnap"
	ProvisionerNoSnap  = "csi-provisioner-nosnap"
)

// The names of the CSI drivers.
const (
	DriverName       = "lab.csi.coffer.dev"
	DriverNameNoSnap = "nosnap.lab.csi.coffer.dev"
)

// modest makes the Go programs collect garbage early: a lab shares its machine, and is not measured for speed.
var modest = []string{"GOGC=40"}

// All lists the components of a cluster in the order in which they are best started.
func All(c *cluster.Cluster) []Spec {
	nodes := c.Nodes()
	specs := []Spec{etcd(c), apiServer(c), controllerManager(c)}
	if c.Mode == cluster.Full {
		specs = append(specs, forwarder(c), scheduler(c), dns(c), snapshotController(c))
	}
	for i := range specs {
		specs[i].Env = append(slices.Clone(modest), c.Marker())
		specs[i].Network = nodes[0].NetworkPath()
	}
	if c.Mode == cluster.Full {
		for _, node := range nodes {
			specs = append(specs, OfNode(c, node)...)
		}
	}
	for i := range specs {
		health := &specs[i].Health
		health.Authority, health.Certificate, health.Key = c.Certificate(pki.CA), c.Certificate(pki.Admin), c.Key(pki.Admin)
	}
	return specs
}

// OfNode lists the components that are a node's own, which are not the control plane's. The sidecars of the drivers are the
// first node's: they use its driver by a socket, as in the one pod that they are elsewhere, and some end with it.
func OfNode(c *cluster.Cluster, n cluster.Node) []Spec {
	specs := []Spec{containerd(n), kubelet(c, n), proxy(c, n),
		driver(c, n, Driver, DriverName), driver(c, n, DriverNoSnap, DriverNameNoSnap, "--no-snapshots")}
	if n.First() {
		specs = append(specs, provisioner(c, Provisioner, DriverName), provisioner(c, ProvisionerNoSnap, DriverNameNoSnap),
			snapshotter(c), resizer(c))
	}
	for i := range specs {
		specs[i].Env = append(slices.Clone(modest), c.Marker(), n.Marker())
		specs[i].Network = n.NetworkPath()
	}
	return specs
}

// NodeName is what all components of a node are called together.
func NodeName(n cluster.Node) string { return fmt.Sprintf("node-%d", n.Number) }

// Find returns the component of that name.
func Find(c *cluster.Cluster, name string) (Spec, bool) {
	specs := All(c)
	at := slices.IndexFunc(specs, func(s Spec) bool { return s.Name == name })
	if at < 0 {
		return Spec{}, false
	}
	return specs[at], true
}

// Names lists the names of the cluster's components, for messages.
func Names(c *cluster.Cluster) string {
	var names []string
	if c.Mode == cluster.Full {
		for _, node := range c.Nodes() {
			names = append(names, NodeName(node))
		}
	}
	for _, spec := range All(c) {
		names = append(names, spec.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
