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
)

//go:embed templates
var templates embed.FS

// CNIBinDir is where Debian installs CNI plugins.
const CNIBinDir = "/usr/lib/cni"

// files maps a template to where its result goes in the cluster's folder.
var files = map[string]string{
	"containerd.toml": "containerd.toml",
	"cni.conflist":    "cni/conf/10-lab.conflist",
	"kubelet.yaml":    "kubelet.yaml",
	"Corefile":        "Corefile",
	"resolv.conf":     "resolv.conf",
}

// Containerd is the path of the container runtime's configuration.
func Containerd(c *cluster.Cluster) string { return c.Path("containerd.toml") }

// Kubelet is the path of the kubelet's configuration.
func Kubelet(c *cluster.Cluster) string { return c.Path("kubelet.yaml") }

// Corefile is the path of the DNS server's configuration.
func Corefile(c *cluster.Cluster) string { return c.Path("Corefile") }

// Write writes all of them. The cluster's index must be known.
func Write(c *cluster.Cluster) error {
	parsed, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/*")
	if err != nil {
		return fmt.Errorf("parse configuration templates: %w", err)
	}
	values := map[string]string{
		"Dir":         c.Dir(),
		"Name":        c.Name,
		"NodeIP":      c.NodeIP(),
		"PodNetwork":  cluster.PodNetwork(c.Name),
		"PodCIDR":     c.NodePodCIDR(),
		"ServiceCIDR": cluster.ServiceCIDR,
		"Domain":      cluster.Domain,
		"Cgroup":      cluster.Cgroup(c.Name),
		"Socket":      c.ContainerdSocket(),
		"Pause":       cluster.PauseImage,
		"CNIBinDir":   CNIBinDir,
		"Kubeconfig":  c.InnerKubeconfig("admin"),
	}
	for name, target := range files {
		var out bytes.Buffer
		if err := parsed.ExecuteTemplate(&out, name, values); err != nil {
			return fmt.Errorf("fill in %s: %w", name, err)
		}
		path := c.Path(filepath.FromSlash(target))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if err := cluster.WriteFile(path, out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
