// Package textdiff shows how two states of an object differ, line by line of their YAML.
package textdiff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aymanbagabas/go-udiff"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// noise are metadata that a cluster keeps of an object and that say nothing of its content. Owners are noise as well: a restore
// sets them when they exist.
var noise = []string{
	"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	"selfLink", "ownerReferences",
}

// Text is an object's YAML, keys sorted, without its status, without the noise in its metadata and without nulls, which are as
// good as nothing. Its apiVersion and kind are those of t where its JSON has none. No JSON is no text.
func Text(body []byte, t coffer.ResourceType) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	// Large numbers stay as they are written.
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return "", fmt.Errorf("read %s: %w", t.GroupResource, err)
	}
	if object == nil {
		return "", errors.New("it is not an object")
	}
	for field, value := range map[string]string{"apiVersion": t.APIVersion(), "kind": t.Kind} {
		if object[field] == nil && value != "" {
			object[field] = value
		}
	}
	delete(object, "status")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		for _, field := range noise {
			delete(metadata, field)
		}
	}
	text, err := json.Marshal(withoutNulls(object))
	if err == nil {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return "", fmt.Errorf("write %s: %w", t.GroupResource, err)
	}
	return string(text), nil
}

// withoutNulls takes nulls out of objects, in place. In lists they mean what they are.
func withoutNulls(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, field := range v {
			if field == nil {
				delete(v, key)
				continue
			}
			v[key] = withoutNulls(field)
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return value
}

// contextLines is how much of what is equal is shown around what differs.
const contextLines = 3

// Unified is the unified diff of two texts under these names; empty if they are equal. It takes linear time: of texts that have
// little in common it may not be the shortest.
func Unified(beforeName, afterName, before, after string) (string, error) {
	text, err := udiff.ToUnified(beforeName, afterName, before, udiff.Lines(before, after), contextLines)
	if err != nil {
		return "", fmt.Errorf("compare %s with %s: %w", beforeName, afterName, err)
	}
	return text, nil
}
