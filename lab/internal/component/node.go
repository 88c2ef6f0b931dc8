package component

import (
	"fmt"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/config"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

func containerd(n cluster.Node) Spec {
	return Spec{
		Name:    n.Suffixed(Containerd),
		Program: "containerd",
		Args:    []string{"--config=" + config.Containerd(n), "--log-level=warn"},
		Health:  Health{Socket: n.ContainerdSocket()},
	}
}

func kubelet(c *cluster.Cluster, n cluster.Node) Spec {
	return Spec{
		Name:    n.Suffixed(Kubelet),
		Program: c.Program(kubernetes),
		Args: []string{"kubelet",
			"--config=" + config.Kubelet(n),
			"--kubeconfig=" + c.InnerKubeconfig(n.Suffixed(pki.Kubelet)),
			"--root-dir=" + n.KubeletDir(),
			"--cert-dir=" + c.Path("pki"),
			"--hostname-override=" + n.Name(),
			"--node-ip=" + n.IP(),
		},
		Health: Health{URL: "http://127.0.0.1:10248/healthz"},
	}
}

func proxy(c *cluster.Cluster, n cluster.Node) Spec {
	return Spec{
		Name:    n.Suffixed(Proxy),
		Program: c.Program(kubernetes),
		Args: []string{"kube-proxy",
			"--kubeconfig=" + c.InnerKubeconfig(pki.Proxy),
			"--hostname-override=" + n.Name(),
			"--cluster-cidr=" + c.ClusterCIDR(),
			"--proxy-mode=nftables",
			"--healthz-bind-address=127.0.0.1:10256",
			"--metrics-bind-address=127.0.0.1:10249",
			// These are the machine's own settings, which a namespace may not change.
			"--conntrack-max-per-core=0",
			"--conntrack-tcp-timeout-established=0",
			"--conntrack-tcp-timeout-close-wait=0",
			"--oom-score-adj=0",
		},
		Health: Health{URL: "http://127.0.0.1:10256/livez"},
	}
}

func dns(c *cluster.Cluster) Spec {
	return Spec{
		Name:    DNS,
		Program: c.Program("coredns"),
		Args:    []string{"-conf", config.Corefile(c), "-quiet"},
		Health:  Health{URL: "http://127.0.0.1:8181/ready"},
	}
}

// forwarder brings the API server to the host's loopback. Its socket is made on the host and keeps belonging there.
func forwarder(c *cluster.Cluster) Spec {
	return Spec{
		Name:    Forwarder,
		Program: c.Program("lab"),
		Args:    []string{"forward", "--fd=3", fmt.Sprintf("--to=%s:%d", c.NodeIP(), c.Ports.APIServer)},
		Listen:  []int{c.HostPort},
	}
}
