package teardown

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
	"github.com/coffer-backup/coffer/lab/internal/mount"
	"github.com/coffer-backup/coffer/lab/internal/network"
)

// These places are built into containerd, its CNI library and the kubelet, and cannot be moved into the cluster's folder.
const (
	shimSockets     = "/run/containerd/s"
	cniResults      = "/var/lib/cni/results"
	containerLogs   = "/var/log/containers"
	devicePlugins   = "/var/lib/kubelet/device-plugins"
	deviceSocket    = devicePlugins + "/kubelet.sock"
	shimAddressFile = "containerd/state/io.containerd.runtime.v2.task/k8s.io/*/address"
)

// traces are files of one cluster outside its folder.
type traces []string

func findTraces(root cluster.Root, name string) traces {
	found := shimTraces(root.Dir(name))
	// Nodes after the first have folders of their own.
	further, _ := filepath.Glob(filepath.Join(root.Dir(name), "[0-9]"))
	for _, folder := range further {
		found = append(found, shimTraces(folder)...)
	}
	found = append(found, cachedResults(name)...)
	logs, _ := filepath.Glob(filepath.Join(containerLogs, "*.log"))
	for _, log := range logs {
		if target, err := os.Readlink(log); err == nil && mount.Within(root.Dir(name), target) {
			found = append(found, log)
		}
	}
	return found
}

// shimTraces are the sockets of those who look after a node's containers. They clean up after themselves unless they
// are killed.
func shimTraces(nodeFolder string) traces {
	var found traces
	addresses, _ := filepath.Glob(filepath.Join(nodeFolder, shimAddressFile))
	for _, file := range addresses {
		content, err := os.ReadFile(file)
		socket := strings.TrimPrefix(strings.TrimSpace(string(content)), "unix://")
		if err == nil && mount.Within(shimSockets, socket) {
			found = append(found, socket)
		}
	}
	return found
}

// Sockets removes what the killed processes of a node have left to listen on. When the node starts again, nothing will
// tell any more that they were there.
func Sockets(n cluster.Node) error { return shimTraces(n.Dir()).remove() }

var resultPattern = regexp.MustCompile(`^(.+)-([0-9a-f]{64})-[a-z0-9]+$`)

// cachedResults are what CNI remembers of the cluster's pods: under the name of its network, and for the same pods
// under that of the loopback network, which all clusters share.
func cachedResults(name string) []string {
	entries, err := os.ReadDir(cniResults)
	if err != nil {
		return nil
	}
	pods := map[string]bool{}
	for _, entry := range entries {
		if match := resultPattern.FindStringSubmatch(entry.Name()); match != nil && match[1] == cluster.PodNetwork(name) {
			pods[match[2]] = true
		}
	}
	var found []string
	for _, entry := range entries {
		if match := resultPattern.FindStringSubmatch(entry.Name()); match != nil && pods[match[2]] {
			found = append(found, filepath.Join(cniResults, entry.Name()))
		}
	}
	return found
}

func (t traces) remove() error {
	for _, path := range t {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what the cluster left elsewhere: %w", err)
		}
	}
	return nil
}

// removeMachineTraces removes what the last cluster of the machine leaves, whoever's it was.
func removeMachineTraces() error {
	if up, err := network.ClustersUp(); err != nil || up {
		return err
	}
	if conn, err := net.Dial("unix", deviceSocket); err == nil {
		// A kubelet that is none of ours.
		conn.Close()
	} else {
		for _, name := range []string{"kubelet.sock", "kubelet_internal_checkpoint", "DEPRECATION"} {
			_ = os.Remove(filepath.Join(devicePlugins, name))
		}
	}
	// Folders go if they are empty: then nobody misses them.
	for _, folder := range []string{devicePlugins, filepath.Dir(devicePlugins), cniResults, filepath.Join(filepath.Dir(cniResults), "cache"),
		filepath.Dir(cniResults), shimSockets, filepath.Dir(shimSockets), containerLogs} {
		_ = os.Remove(folder)
	}
	return restoreSysctls()
}
