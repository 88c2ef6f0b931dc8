package component

import (
	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/pki"
)

const storage = "lab-storage"

// noGroupSnapshots keeps the snapshot programs from waiting half a minute for kinds that the driver does not support.
const noGroupSnapshots = "--feature-gates=CSIVolumeGroupSnapshot=false"

func driver(c *cluster.Cluster, n cluster.Node, name, driverName string, extra ...string) Spec {
	return Spec{
		Name:    n.Suffixed(name),
		Program: c.Program(storage),
		Args: append([]string{"driver",
			"--driver-name=" + driverName,
			"--endpoint=unix://" + n.CSISocket(driverName),
			"--pool=" + c.Root().Pool(),
			"--node-id=" + n.Name(),
			"--kubelet-registration-dir=" + n.RegistrationDir(),
		}, extra...),
		Health: Health{Socket: n.CSISocket(driverName)},
	}
}

func provisioner(c *cluster.Cluster, name, driverName string) Spec {
	return Spec{
		Name:    name,
		Program: c.Program(storage),
		Args: []string{"provisioner",
			"--csi-address=unix://" + c.Nodes()[0].CSISocket(driverName),
			"--kubeconfig=" + c.InnerKubeconfig(pki.Admin),
		},
	}
}

func snapshotController(c *cluster.Cluster) Spec {
	const address = "127.0.0.1:9810"
	return Spec{
		Name:    SnapshotController,
		Program: c.Program("snapshot-controller"),
		Args: []string{
			"--kubeconfig=" + c.InnerKubeconfig(pki.Admin),
			"--http-endpoint=" + address,
			noGroupSnapshots,
		},
		Health: Health{URL: "http://" + address + "/metrics"},
	}
}

func snapshotter(c *cluster.Cluster) Spec {
	const address = "127.0.0.1:9811"
	return Spec{
		Name:    Snapshotter,
		Program: c.Program("csi-snapshotter"),
		Args: []string{
			"--csi-address=" + c.Nodes()[0].CSISocket(DriverName),
			"--kubeconfig=" + c.InnerKubeconfig(pki.Admin),
			"--http-endpoint=" + address,
			noGroupSnapshots,
		},
		Health: Health{URL: "http://" + address + "/metrics"},
	}
}

func resizer(c *cluster.Cluster) Spec {
	const address = "127.0.0.1:9812"
	return Spec{
		Name:    Resizer,
		Program: c.Program("csi-resizer"),
		Args: []string{
			"--csi-address=" + c.Nodes()[0].CSISocket(DriverName),
			"--kubeconfig=" + c.InnerKubeconfig(pki.Admin),
			"--http-endpoint=" + address,
			"--handle-volume-inuse-error=false",
		},
		Health: Health{URL: "http://" + address + "/metrics"},
	}
}
