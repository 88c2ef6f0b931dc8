// Package component is the table of programs that make up a cluster: how each is started and how it is seen to work.
package component

import (
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
)

// Spec describes a component. All of it follows from the cluster, so starting one again starts the same.
type Spec struct {
	Name string
	// Program is the file to run: a path, or the name of one of the machine's own programs.
	Program string
	Args    []string
	Env     []string
	// OnHost leaves the program's network to the host instead of the cluster's namespace.
	OnHost bool
	// Listen is a loopback port of the host whose listening socket the program inherits; zero means none.
	Listen int
	Health Health
}

// Health is how a component is seen to work. With neither URL nor Socket, running is all that can be seen.
type Health struct {
	// URL answers 200, as seen from the component's network.
	URL string
	// Socket is a Unix socket that accepts connections.
	Socket string
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
	specs := []Spec{etcd(c), apiServer(c), controllerManager(c)}
	if c.Mode == cluster.Full {
		specs = append(specs, forwarder(c), containerd(c), scheduler(c), kubelet(c), proxy(c), dns(c),
			driver(c, Driver, DriverName), driver(c, DriverNoSnap, DriverNameNoSnap, "--no-snapshots"),
			provisioner(c, Provisioner, DriverName), provisioner(c, ProvisionerNoSnap, DriverNameNoSnap),
			snapshotController(c), snapshotter(c), resizer(c))
	}
	for i := range specs {
		specs[i].Env = append(slices.Clone(modest), c.Marker())
	}
	return specs
}

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
	for _, spec := range All(c) {
		names = append(names, spec.Name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
