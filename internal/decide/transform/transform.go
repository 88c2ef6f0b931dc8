// Package transform decides what an archived object looks like when it is created again.
package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Context is what transforming one object depends on.
type Context struct {
	// Target is the object's name in the cluster.
	Target coffer.ObjectRef
	// APIVersion at which it is created.
	APIVersion string
	// Namespace maps a namespace of the recovery point to its name in the cluster.
	Namespace func(string) string
	// Annotations to add.
	Annotations map[string]string
	// Snapshot is the name of the VolumeSnapshot that a claim's volume is made of; empty for none.
	Snapshot string
	// RestoreSize is the least size in bytes that such a volume must have.
	RestoreSize int64
}

// serverFields are metadata that the API server sets.
var serverFields = []string{
	"uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	"managedFields", "selfLink", "ownerReferences",
}

// Apply is the JSON to create an archived object with. Owner references are left out, for an owner that does not
// exist would take the object with it: they are set once the owner is there.
func Apply(body []byte, c Context) ([]byte, error) {
	object, err := decode(body)
	if err != nil {
		return nil, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s is not readable: %w", c.Target, err)
	}
	metadata := child(object, "metadata")
	for _, f := range serverFields {
		delete(metadata, f)
	}
	metadata["name"] = c.Target.Name
	if c.Target.Namespace != "" {
		metadata["namespace"] = c.Target.Namespace
	}
	if len(c.Annotations) > 0 {
		annotations := child(metadata, "annotations")
		for k, v := range c.Annotations {
			annotations[k] = v
		}
		metadata["annotations"] = annotations
	}
	object["metadata"] = metadata
	object["apiVersion"] = c.APIVersion
	delete(object, "status")
	if care, special := cares[c.Target.GroupResource]; special {
		care(object, c)
	}
	out, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c.Target, err)
	}
	return out, nil
}

// decode keeps numbers as they are written: a float64 would change large integers.
func decode(body []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, fmt.Errorf("not an object")
	}
	return object, nil
}

// child is an object's field that is an object; a new one, not yet linked, where there is none.
func child(object map[string]any, field string) map[string]any {
	if c, ok := object[field].(map[string]any); ok {
		return c
	}
	return map[string]any{}
}

func elements(object map[string]any, field string) []map[string]any {
	list, _ := object[field].([]any)
	var found []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			found = append(found, m)
		}
	}
	return found
}

func dropKeys(object map[string]any, field string, keys ...string) {
	m, ok := object[field].(map[string]any)
	if !ok {
		return
	}
	m = maps.Clone(m)
	for _, k := range keys {
		delete(m, k)
	}
	if len(m) == 0 {
		delete(object, field)
		return
	}
	object[field] = m
}
