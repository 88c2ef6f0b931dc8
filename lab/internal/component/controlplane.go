package component

import (
	"fmt"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

const kubernetes = "lab-kubernetes"

func etcd(c *cluster.Cluster) Spec {
	client := fmt.Sprintf("https://127.0.0.1:%d", c.Ports.Etcd)
	peer := fmt.Sprintf("https://127.0.0.1:%d", c.Ports.EtcdPeer)
	return Spec{
		Name:    Etcd,
		Program: c.Program(kubernetes),
		Args: []string{"etcd",
			"--name=lab",
			"--data-dir=" + c.Path("etcd"),
			"--listen-client-urls=" + client,
			"--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=lab=" + peer,
			"--client-cert-auth",
			"--trusted-ca-file=" + c.Certificate(pki.CA),
			"--cert-file=" + c.Certificate(pki.Local),
			"--key-file=" + c.Key(pki.Local),
			"--peer-client-cert-auth",
			"--peer-trusted-ca-file=" + c.Certificate(pki.CA),
			"--peer-cert-file=" + c.Certificate(pki.Local),
			"--peer-key-file=" + c.Key(pki.Local),
			// A lab that is not there after a power cut has lost nothing.
			"--unsafe-no-fsync",
			"--snapshot-count=5000",
			"--logger=zap",
			"--log-level=warn",
		},
		Health: Health{URL: client + "/health"},
	}
}

func apiServer(c *cluster.Cluster) Spec {
	args := []string{"kube-apiserver",
		"--advertise-address=" + c.NodeIP(),
		fmt.Sprintf("--secure-port=%d", c.Ports.APIServer),
		"--allow-privileged",
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + c.Certificate(pki.CA),
		"--tls-cert-file=" + c.Certificate(pki.APIServer),
		"--tls-private-key-file=" + c.Key(pki.APIServer),
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", c.Ports.Etcd),
		"--etcd-cafile=" + c.Certificate(pki.CA),
		"--etcd-certfile=" + c.Certificate(pki.Local),
		"--etcd-keyfile=" + c.Key(pki.Local),
		"--service-cluster-ip-range=" + cluster.ServiceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc." + cluster.Domain,
		"--service-account-key-file=" + c.Key(pki.ServiceAccount),
		"--service-account-signing-key-file=" + c.Key(pki.ServiceAccount),
		"--requestheader-client-ca-file=" + c.Certificate(pki.FrontProxyCA),
		"--requestheader-allowed-names=" + pki.FrontProxy,
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + c.Certificate(pki.FrontProxy),
		"--proxy-client-key-file=" + c.Key(pki.FrontProxy),
		"--profiling=false",
	}
	if c.Mode == cluster.ControlPlaneOnly {
		// Loopback cannot be published as the address of the Service kubernetes.default; no pod would ask for it.
		args = append(args, "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none")
	} else {
		args = append(args,
			"--kubelet-certificate-authority="+c.Certificate(pki.CA),
			"--kubelet-client-certificate="+c.Certificate(pki.KubeletClient),
			"--kubelet-client-key="+c.Key(pki.KubeletClient),
			"--kubelet-preferred-address-types=InternalIP")
	}
	return Spec{
		Name:    APIServer,
		Program: c.Program(kubernetes),
		Args:    args,
		Health:  Health{URL: fmt.Sprintf("https://%s:%d/readyz", c.NodeIP(), c.Ports.APIServer)},
	}
}

func controllerManager(c *cluster.Cluster) Spec {
	return Spec{
		Name:    ControllerManager,
		Program: c.Program(kubernetes),
		Args: []string{"kube-controller-manager",
			"--kubeconfig=" + c.InnerKubeconfig(pki.ControllerManager),
			"--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", c.Ports.ControllerManager),
			"--tls-cert-file=" + c.Certificate(pki.Local),
			"--tls-private-key-file=" + c.Key(pki.Local),
			"--authorization-always-allow-paths=/healthz",
			"--cluster-signing-cert-file=" + c.Certificate(pki.CA),
			"--cluster-signing-key-file=" + c.Key(pki.CA),
			"--root-ca-file=" + c.Certificate(pki.CA),
			"--service-account-private-key-file=" + c.Key(pki.ServiceAccount),
			"--use-service-account-credentials",
			// There is only one of it: an election would make every restart wait for the old lease.
			"--leader-elect=false",
			// The default holds its own start up for seconds.
			"--kube-api-qps=200",
			"--kube-api-burst=400",
			"--profiling=false",
		},
		Health: Health{URL: fmt.Sprintf("https://127.0.0.1:%d/healthz", c.Ports.ControllerManager)},
	}
}

func scheduler(c *cluster.Cluster) Spec {
	return Spec{
		Name:    Scheduler,
		Program: c.Program(kubernetes),
		Args: []string{"kube-scheduler",
			"--kubeconfig=" + c.InnerKubeconfig(pki.Scheduler),
			"--bind-address=127.0.0.1",
			"--tls-cert-file=" + c.Certificate(pki.Local),
			"--tls-private-key-file=" + c.Key(pki.Local),
			"--leader-elect=false",
			"--profiling=false",
		},
		Health: Health{URL: "https://127.0.0.1:10259/healthz"},
	}
}
