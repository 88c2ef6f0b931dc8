// Package textdiff shows how two states of an object differ, line by line of their YAML.
package textdiff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"go.yaml.in/yaml/v2"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

// noise are metadata that a cluster keeps of an object and that say nothing of its content. Owners are noise as well: a restore
// sets them when they exist.
var noise = []string{
	"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
	"selfLink", "ownerReferences",
}

// limits bound what is compared: decoded, a value can take a hundred times the space that it has in JSON. Real objects have some
// ten thousand values at most, definitions of custom resources.
var limits = bounded.JSONLimits{Depth: 1_000, Containers: 50_000, Values: 100_000}

// TooLarge says that one of some objects has more values than can be compared.
func TooLarge(bodies ...[]byte) bool {
	for _, body := range bodies {
		if bounded.JSON(body, limits) != nil {
			return true
		}
	}
	return false
}

// Text is an object's YAML, keys sorted, without its status, without the noise in its metadata and without nulls in objects. Its apiVersion and kind are those of t where its JSON has none. No JSON is no text.
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
	// Not by sigs.k8s.io/yaml: that parses what it writes as YAML once more, at some hundred times its size.
	text, err := yaml.Marshal(plain(object))
	if err != nil {
		return "", fmt.Errorf("write %s: %w", t.GroupResource, err)
	}
	return string(text), nil
}

// plain is a value without nulls in its objects, in which they are as good as nothing, and with numbers that are written as numbers.
// It is changed in place.
func plain(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, field := range v {
			if field == nil {
				delete(v, key)
				continue
			}
			v[key] = plain(field)
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case json.Number:
		return number(v)
	}
	return value
}

// number is a number as it is written; one that no computer has is a text.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
		return u
	}
	if f, err := n.Float64(); err == nil && strings.ContainsAny(n.String(), ".eE") {
		return f
	}
	return n.String()
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
