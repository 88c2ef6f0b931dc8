package conflict

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// decode keeps numbers as they are written: as a float64 a large integer would differ from itself, and be patched to another.
// (That is why the patch is not made by a library: those for Go decode so.)
func decode(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("it is not an object")
	}
	return object, nil
}

// keptAnnotations are those that controllers keep count in.
var keptAnnotations = []string{
	"deployment.kubernetes.io/revision",
	"control-plane.alpha.kubernetes.io/leader",
	"endpoints.kubernetes.io/last-change-trigger-time",
}

// content is what of an object is compared. The object itself is not modified.
func content(object map[string]any) map[string]any {
	c := maps.Clone(object)
	for _, f := range []string{"apiVersion", "kind", "status", "metadata"} {
		delete(c, f)
	}
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	annotations = maps.Clone(annotations)
	for _, a := range keptAnnotations {
		delete(annotations, a)
	}
	// None is as good as empty ones.
	c["metadata"] = map[string]any{"labels": labels, "annotations": annotations}
	if _, aggregated := object["aggregationRule"].(map[string]any); aggregated {
		// A controller gathers the rules of such a ClusterRole.
		delete(c, "rules")
	}
	return c
}

// difference walks through two objects.
type difference struct {
	paths []string
	more  int
}

func (d *difference) note(path []string) {
	if len(d.paths) == differsShown {
		d.more++
		return
	}
	d.paths = append(d.paths, formatPath(path))
}

// object is the JSON merge patch (RFC 7396) from live to desired; empty if they are equal.
func (d *difference) object(path []string, live, desired map[string]any) map[string]any {
	patch := map[string]any{}
	for _, key := range keysOf(live, desired) {
		at := append(slices.Clip(path), key)
		was, is := live[key], desired[key]
		wasObject, wasOne := was.(map[string]any)
		isObject, isOne := is.(map[string]any)
		switch {
		case wasOne && isOne:
			if below := d.object(at, wasObject, isObject); len(below) > 0 {
				patch[key] = below
			}
		case same(was, is):
		case is == nil:
			d.note(at)
			patch[key] = nil
		default:
			d.note(at)
			patch[key] = withoutNulls(is)
		}
	}
	return patch
}

func keysOf(a, b map[string]any) []string {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

// same says whether two values are equal, where null in an object is nothing.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return false
		}
		for _, key := range keysOf(a, b) {
			if !same(a[key], b[key]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	default:
		switch b.(type) {
		case map[string]any, []any:
			return false // Those two cannot be compared by ==.
		}
		return a == b
	}
}

// withoutNulls is a value for a place of a merge patch where nothing was: null means to delete there. In lists it means what it is.
func withoutNulls(value any) any {
	object, ok := value.(map[string]any)
	if !ok {
		return value
	}
	out := make(map[string]any, len(object))
	for k, v := range object {
		if v != nil {
			out[k] = withoutNulls(v)
		}
	}
	return out
}

// prune takes a path out of a patch, and what is empty without it; it says whether it was there.
func prune(patch map[string]any, path []string) bool {
	if len(path) == 0 {
		return false
	}
	value, there := patch[path[0]]
	if !there {
		return false
	}
	if len(path) == 1 {
		delete(patch, path[0])
		return true
	}
	below, ok := value.(map[string]any)
	if !ok || !prune(below, path[1:]) {
		return false
	}
	if len(below) == 0 {
		delete(patch, path[0])
	}
	return true
}

// nearest is the longest beginning of a path that a patch has: a refusal may name what is within a list, or less than the patch.
func nearest(patch map[string]any, path []string) []string {
	for i, key := range path {
		value, there := patch[key]
		if !there {
			return path[:i]
		}
		below, ok := value.(map[string]any)
		if !ok {
			return path[:i+1]
		}
		patch = below
	}
	return path
}

// size is the number of values of a patch.
func size(patch map[string]any) int {
	n := 0
	for _, v := range patch {
		if below, ok := v.(map[string]any); ok && len(below) > 0 {
			n += size(below)
			continue
		}
		n++
	}
	return n
}

// formatPath is a path as Kubernetes writes it: spec.template, metadata.labels[app.kubernetes.io/name].
func formatPath(path []string) string {
	var b strings.Builder
	for i, key := range path {
		switch {
		case strings.ContainsAny(key, "./[]"):
			b.WriteString("[" + key + "]")
		case i > 0:
			b.WriteString("." + key)
		default:
			b.WriteString(key)
		}
	}
	return b.String()
}

// parsePath is the inverse, for the paths that an API server names.
func parsePath(text string) []string {
	var path []string
	for text != "" {
		if text[0] == '[' {
			key, rest, _ := strings.Cut(text[1:], "]")
			path, text = append(path, key), strings.TrimPrefix(rest, ".")
			continue
		}
		end := strings.IndexAny(text, ".[")
		if end < 0 {
			return append(path, text)
		}
		path = append(path, text[:end])
		text = strings.TrimPrefix(text[end:], ".")
	}
	return path
}
