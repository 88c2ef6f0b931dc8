// Package cluster is what the lab knows about one cluster: its name, its addresses and where its files are.
package cluster

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Mode says how much of a cluster runs.
type Mode string

const (
	// Full is a control plane, a node with a container runtime, and storage.
	Full Mode = "full"
	// ControlPlaneOnly is etcd, the API server and the controller-manager on the host's loopback: no node, no root.
	ControlPlaneOnly Mode = "control-plane-only"
)

const (
	// ServiceCIDR is the range of Service addresses. Clusters do not route to each other's, so all share one.
	ServiceCIDR = "10.96.0.0/16"
	// ServiceIP is the address of the Service kubernetes.default.
	ServiceIP = "10.96.0.1"
	// Domain is the DNS domain of Services.
	Domain = "cluster.local"
	// MaxIndex is the highest cluster index that still gives a valid pod range.
	MaxIndex = 99
	// MaxNodes is how many nodes a cluster can have.
	MaxNodes = 5
	// PauseImage is the image of every pod's sandbox.
	PauseImage = "localhost/coffer/pause:1"
)

// Ports are the TCP ports of the control plane, on the node address or on loopback.
type Ports struct {
	APIServer         int `json:"apiServer"`
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
}

// FixedPorts are the ports inside a cluster's own network namespace, where nothing else can take them.
func FixedPorts() Ports {
	return Ports{APIServer: 6443, Etcd: 2379, EtcdPeer: 2380, ControllerManager: 10257}
}

// Cluster is one cluster as recorded in its folder. It is written before anything else is made, so that
// whatever exists can be found again; fields learned later (Index) are saved when they are known.
type Cluster struct {
	Name string `json:"name"`
	Mode Mode   `json:"mode"`
	// Index tells clusters on one machine apart in their addresses. Zero until the network exists.
	Index int `json:"index,omitempty"`
	// NodeCount is how many nodes the cluster has; zero means one.
	NodeCount int `json:"nodes,omitempty"`
	// HostPort is the port on the host's 127.0.0.1 where the API server answers.
	HostPort int       `json:"hostPort"`
	Ports    Ports     `json:"ports"`
	BinDir   string    `json:"binDir"`
	Created  time.Time `json:"created"`

	root string
}

// The names that a cluster cannot have, since something else of the lab is called that.
const (
	// ServicesName is what the test servers beside the clusters are called, as a whole.
	ServicesName = "services"
	// HostName is what the machine itself is called.
	HostName   = "host"
	fabricName = "fabric"
)

// reservedNames has those of single services too: they are named where clusters are.
var reservedNames = []string{poolFolder, fabricName, HostName, ServicesName, "azurite", "s3", "gcs", "postgres", "fault"}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,9}$`)

// ValidateName returns an error for a name that cannot be part of namespace, cgroup and interface names.
func ValidateName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%q is not a cluster name: use at most 10 of a-z, 0-9 and -, beginning with a letter", name)
	}
	if slices.Contains(reservedNames, name) {
		return fmt.Errorf("%q is not a cluster name: the lab itself has something of that name", name)
	}
	return nil
}

// Dir is the folder that holds everything of this cluster.
func (c *Cluster) Dir() string { return filepath.Join(c.root, c.Name) }

// Path is a path inside the cluster's folder.
func (c *Cluster) Path(elem ...string) string { return join(c.Dir(), elem) }

func join(folder string, elem []string) string {
	return filepath.Join(append([]string{folder}, elem...)...)
}

// Root is the lab's folder, shared by clusters.
func (c *Cluster) Root() Root { return Root(c.root) }

// Log is the log file of a component.
func (c *Cluster) Log(component string) string { return c.Path("log", component+".log") }

// Kubeconfig is the administrator's kubeconfig for programs on the host.
func (c *Cluster) Kubeconfig() string { return c.Path("kubeconfig") }

// InnerKubeconfig is the kubeconfig of a user for programs in the cluster's network namespace.
func (c *Cluster) InnerKubeconfig(user string) string { return c.Path("kubeconfigs", user) }

// Certificate is the path of a certificate in PEM form.
func (c *Cluster) Certificate(name string) string { return c.Path("pki", name+".crt") }

// Key is the path of a private key in PEM form.
func (c *Cluster) Key(name string) string { return c.Path("pki", name+".key") }

// Program is the path of one of the lab's own binaries.
func (c *Cluster) Program(name string) string { return filepath.Join(c.BinDir, name) }

// Marker is an environment entry that every process of the cluster carries, so that teardown can find them.
func (c *Cluster) Marker() string { return Marker(c.Root(), c.Name) }

// Marker is the environment entry of the processes of the cluster called name.
func Marker(root Root, name string) string {
	return "COFFER_LAB_CLUSTER=" + filepath.Join(string(root), name)
}

const namespacePrefix = "coffer-lab-"

// Namespace is the network namespace of the cluster called name: that of its first node.
func Namespace(name string) string { return namespacePrefix + name }

// NumberedNamespace is a further network namespace of that name. No cluster's own can be called the same, for a
// cluster's name has no dot.
func NumberedNamespace(name string, number int) string {
	return Namespace(name) + "." + strconv.Itoa(number)
}

// NamespaceSuffix is the part of a network namespace's name that not all of the lab's have, "" if it is none of them.
func NamespaceSuffix(namespace string) string {
	suffix, ok := strings.CutPrefix(namespace, namespacePrefix)
	if !ok {
		return ""
	}
	return suffix
}

// NamespaceName is the name that a network namespace is of, "" if it is none of the lab's.
func NamespaceName(namespace string) string {
	name, _, _ := strings.Cut(NamespaceSuffix(namespace), ".")
	return name
}

// Cgroup is the control group that holds the pods of the cluster called name.
func Cgroup(name string) string { return "/coffer-lab-" + name }

// PodNetwork is the CNI network's name of the cluster called name.
func PodNetwork(name string) string { return "coffer-lab-" + name }

// NamespacePath is the file that stands for a network namespace.
func NamespacePath(namespace string) string { return "/var/run/netns/" + namespace }

// NodeIP is the address of the first node, which the control plane shares.
func (c *Cluster) NodeIP() string {
	if c.Mode == ControlPlaneOnly {
		return "127.0.0.1"
	}
	return NodeAddress(c.Index, 1)
}

// ClusterCIDR is the range of all pod addresses of the cluster.
func (c *Cluster) ClusterCIDR() string { return fmt.Sprintf("10.%d.0.0/16", 100+c.Index) }

// InnerServer is the API server's URL for programs in the cluster's network namespace.
func (c *Cluster) InnerServer() string {
	return fmt.Sprintf("https://%s:%d", c.NodeIP(), c.Ports.APIServer)
}

// HostServer is the API server's URL for programs on the host.
func (c *Cluster) HostServer() string { return fmt.Sprintf("https://127.0.0.1:%d", c.HostPort) }
