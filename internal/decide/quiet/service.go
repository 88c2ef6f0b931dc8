package quiet

import "fmt"

const externalName = "ExternalName"

// quietService makes a Service one that is reached from within the cluster only.
func quietService(w *work) {
	spec := child(w.object, "spec")
	const inside = "a test is reached from within the cluster only"
	switch was := text(spec, "type"); was {
	case "", "ClusterIP":
	case externalName:
		if w.External {
			return
		}
		// Archived ones are left out. This one was made by a resource modifier.
		delete(spec, "externalName")
		spec["type"], spec["clusterIP"] = "ClusterIP", "None"
		w.deviate("spec.type", "it is ClusterIP, and was ExternalName: "+inside)
	default:
		spec["type"] = "ClusterIP"
		w.deviate("spec.type", fmt.Sprintf("it is ClusterIP, and was %s: %s", was, inside))
	}
	for _, field := range []string{
		"externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts",
		"externalTrafficPolicy", "healthCheckNodePort",
	} {
		w.drop(spec, "spec", field, inside)
	}
	ports, _ := spec["ports"].([]any)
	for i, p := range ports {
		if port, ok := p.(map[string]any); ok {
			w.drop(port, fmt.Sprintf("spec.ports[%d]", i), "nodePort", inside)
		}
	}
}
