package component

import (
	"fmt"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/config"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

func containerd(c *cluster.Cluster) Spec {
	return Spec{
		Name:    Containerd,
		Program: "containerd",
		Args:    []string{"--config=" + config.Containerd(c), "--log-level=warn"},
		Health:  Health{Socket: c.ContainerdSocket()},
	}
}

func kubelet(c *cluster.Cluster) Spec {
	return Spec{
		Name:    Kubelet,
		Program: c.Program(kubernetes),
		Args: []string{"kubelet",
			"--config=" + config.Kubelet(c),
			"--kubeconfig=" + c.InnerKubeconfig(pki.Kubelet),
			"--root-dir=" + c.KubeletDir(),
			"--cert-dir=" + c.Path("pki"),
			"--hostname-override=" + c.NodeName(),
			"--node-ip=" + c.NodeIP(),
		},
		Health: Health{URL: "http://127.0.0.1:10248/healthz"},
	}
}

func proxy(c *cluster.Cluster) Spec {
	return Spec{
		Name:    Proxy,
		Program: c.Program(kubernetes),
		Args: []string{"kube-proxy",
			"--kubeconfig=" + c.InnerKubeconfig(pki.Proxy),
			"--hostname-override=" + c.NodeName(),
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
		Listen:  c.HostPort,
	}
}
