package transform

import (
	"encoding/json"
	"fmt"
)

// lastApplied is where `kubectl apply` keeps what a user wrote.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// careService frees the addresses and ports that the cluster allotted; what a user chose stays, and a headless service stays
// headless.
func careService(w *work) {
	spec := child(w.object, "spec")
	if spec["clusterIP"] != "None" {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	if w.PreserveNodePorts {
		return
	}
	chosen := w.chosenPorts()
	if !chosen.healthCheck {
		delete(spec, "healthCheckNodePort")
	}
	for _, port := range elements(spec, "ports") {
		if !chosen.has(port) {
			delete(port, "nodePort")
		}
	}
}

// chosenPorts are the node ports that a user chose.
type chosenPorts struct {
	healthCheck bool
	// names of ports, numbers of node ports of ports without names, and keys of ports in managedFields.
	names, numbers, keys map[string]bool
}

func (c chosenPorts) has(port map[string]any) bool {
	if c.keys != nil {
		return c.keys[fmt.Sprintf(`k:{"port":%v,"protocol":%q}`, port["port"], port["protocol"])]
	}
	if name := text(port, "name"); name != "" {
		return c.names[name]
	}
	return c.numbers[fmt.Sprint(port["nodePort"])]
}

// chosenPorts finds them as Velero does: in what `kubectl apply` was given, else in what field managers set; the API server
// allots ports after it has noted those.
func (w *work) chosenPorts() chosenPorts {
	// What cannot be read says nothing.
	if applied, err := decode([]byte(text(child(w.metadata, "annotations"), lastApplied))); err == nil {
		return appliedPorts(child(applied, "spec"))
	}
	c := chosenPorts{keys: map[string]bool{}}
	for _, entry := range elements(map[string]any{"managed": w.managed}, "managed") {
		fields := child(child(entry, "fieldsV1"), "f:spec")
		if fields["f:healthCheckNodePort"] != nil {
			c.healthCheck = true
		}
		for key := range child(fields, "f:ports") {
			if child(child(fields, "f:ports"), key)["f:nodePort"] != nil {
				c.keys[key] = true
			}
		}
	}
	return c
}

func appliedPorts(spec map[string]any) chosenPorts {
	c := chosenPorts{names: map[string]bool{}, numbers: map[string]bool{}, healthCheck: isPort(spec["healthCheckNodePort"])}
	for _, port := range elements(spec, "ports") {
		if !isPort(port["nodePort"]) {
			continue
		}
		if name, has := port["name"].(string); has {
			c.names[name] = true
		} else {
			c.numbers[fmt.Sprint(port["nodePort"])] = true
		}
	}
	return c
}

// isPort says whether a user's value is a port: zero asks the cluster for one.
func isPort(value any) bool {
	switch v := value.(type) {
	case json.Number:
		return v != "0"
	case string:
		return v != "0" && v != ""
	}
	return false
}
