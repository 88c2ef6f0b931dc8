package modifier

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubejson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// strategics are strategic merge patches, each JSON. They merge lists by keys that only Kubernetes' own types declare.
type strategics struct {
	patches [][]byte
	builtin BuiltinFunc
}

func compileStrategics(entries []patchEntry, builtin BuiltinFunc) (patch, error) {
	s := strategics{builtin: builtin}
	for i, e := range entries {
		data, err := e.object()
		if err != nil {
			return nil, fmt.Errorf("strategicPatches[%d].patchData: %w", i, err)
		}
		s.patches = append(s.patches, data)
	}
	return s, nil
}

func (s strategics) apply(object []byte) ([]byte, error) {
	var t runtime.TypeMeta
	if err := json.Unmarshal(object, &t); err != nil {
		return nil, err
	}
	model, err := s.builtin(schema.FromAPIVersionAndKind(t.APIVersion, t.Kind))
	if err != nil {
		return nil, fmt.Errorf("strategicPatches: %s of %s is no type of Kubernetes' own: use mergePatches", t.Kind, t.APIVersion)
	}
	var changed map[string]any
	if err := kubejson.Unmarshal(object, &changed); err != nil {
		return nil, err
	}
	for i, data := range s.patches {
		// It becomes part of the object, so it is decoded for each.
		var patch map[string]any
		if err := kubejson.Unmarshal(data, &patch); err != nil {
			return nil, err
		}
		if changed, err = strategicpatch.StrategicMergeMapPatch(changed, patch, model); err != nil {
			return nil, fmt.Errorf("strategicPatches[%d]: %s", i, shorten(err.Error()))
		}
	}
	return json.Marshal(changed)
}
