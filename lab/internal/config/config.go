// Package config writes the configuration files of the programs that take one.
package config

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

//go:embed templates
var templates embed.FS

// CNIBinDir is where Debian installs CNI plugins.
const CNIBinDir = "/usr/lib/cni"

// files maps a template to where its result goes in a node's folder.
var files = map[string]string{
	"containerd.toml": "containerd.toml",
	"cni.conflist":    "cni/conf/10-lab.conflist",
	"kubelet.yaml":    "kubelet.yaml",
	"Corefile":        "Corefile",
	"resolv.conf":     "resolv.conf",
}

// Containerd is the path of a node's container runtime's configuration.
func Containerd(n cluster.Node) string { return n.Path("containerd.toml") }

// Kubelet is the path of a kubelet's configuration.
func Kubelet(n cluster.Node) string { return n.Path("kubelet.yaml") }

// Corefile is the path of the DNS server's configuration.
func Corefile(c *cluster.Cluster) string { return c.Path("Corefile") }

// Write writes all of them for one node of a cluster, whose index must be known.
func Write(c *cluster.Cluster, n cluster.Node) error {
	parsed, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/*")
	if err != nil {
		return fmt.Errorf("parse configuration templates: %w", err)
	}
	values := map[string]string{
		"Dir":         n.Dir(),
		"Authority":   c.Certificate(pki.CA),
		"Certificate": c.Certificate(n.Suffixed(pki.Kubelet)),
		"Key":         c.Key(n.Suffixed(pki.Kubelet)),
		"Name":        c.Name,
		"NodeIP":      n.IP(),
		"DNS":         c.NodeIP(),
		"PodNetwork":  cluster.PodNetwork(c.Name),
		"PodCIDR":     n.PodCIDR(),
		"ServiceCIDR": cluster.ServiceCIDR,
		"Domain":      cluster.Domain,
		"Cgroup":      n.Cgroup(),
		"Socket":      n.ContainerdSocket(),
		"Pause":       cluster.PauseImage,
		"CNIBinDir":   CNIBinDir,
		"Kubeconfig":  c.InnerKubeconfig(pki.Admin),
	}
	for name, target := range files {
		var out bytes.Buffer
		if err := parsed.ExecuteTemplate(&out, name, values); err != nil {
			return fmt.Errorf("fill in %s: %w", name, err)
		}
		path := n.Path(filepath.FromSlash(target))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := cluster.WriteFile(path, out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
