package quiet

import (
	"fmt"
	"maps"
	"slices"
)

// inside are the sources of volumes whose data is in the test, or only read by it.
var inside = map[string]bool{
	"configMap": true, "secret": true, "emptyDir": true, "projected": true, "downwardAPI": true, "persistentVolumeClaim": true,
	"ephemeral": true, "image": true,
}

// pod changes what a pod does to its node, to other pods and to what is outside.
func (w *work) pod(spec map[string]any, path string) {
	const own = "a test has a network and processes of its own"
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if on, _ := spec[field].(bool); on {
			w.drop(spec, path, field, own)
		}
	}
	if text(spec, "dnsPolicy") == "ClusterFirstWithHostNet" {
		// Without the network of the host, it means the same.
		spec["dnsPolicy"] = "ClusterFirst"
	}
	const class = "a test does not displace other pods"
	w.drop(spec, path, "priorityClassName", class)
	for _, field := range []string{"priority", "preemptionPolicy"} {
		delete(spec, field) // Admission computes them from the class.
	}
	w.volumes(spec, path)
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for i, c := range containers {
			if container, ok := c.(map[string]any); ok {
				w.hostPorts(container, fmt.Sprintf("%s.%s[%d]", path, list, i))
			}
		}
	}
}

func (w *work) hostPorts(container map[string]any, path string) {
	ports, _ := container["ports"].([]any)
	for i, p := range ports {
		port, ok := p.(map[string]any)
		if !ok {
			continue
		}
		at := fmt.Sprintf("%s.ports[%d]", path, i)
		w.drop(port, at, "hostPort", "the node's port is that of the original")
		w.drop(port, at, "hostIP", "the node's port is that of the original")
	}
}

// volumes empties those that are somewhere else: two applications that write to the same files destroy them.
func (w *work) volumes(spec map[string]any, path string) {
	volumes, _ := spec["volumes"].([]any)
	for i, v := range volumes {
		volume, ok := v.(map[string]any)
		if !ok {
			continue
		}
		for _, source := range slices.Sorted(maps.Keys(volume)) {
			if source == "name" || inside[source] || w.External && source != "hostPath" {
				continue
			}
			delete(volume, source)
			volume["emptyDir"] = map[string]any{}
			w.deviate(fmt.Sprintf("%s.volumes[%d].%s", path, i, source), "it is an empty folder: what is there is shared with the original")
		}
	}
}
