package modifier

import (
	"encoding/json"
	"fmt"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"sigs.k8s.io/yaml"
)

// merges are JSON merge patches (RFC 7396), each JSON.
type merges [][]byte

func compileMerges(entries []patchEntry) (patch, error) {
	var m merges
	for i, e := range entries {
		data, err := e.object()
		if err != nil {
			return nil, fmt.Errorf("mergePatches[%d].patchData: %w", i, err)
		}
		m = append(m, data)
	}
	return m, nil
}

// object is the patch as JSON. It is YAML, of which JSON is a part. One that is no object would take the place of the whole
// object that it is for.
func (e patchEntry) object() ([]byte, error) {
	data, err := yaml.YAMLToJSONStrict([]byte(e.PatchData))
	if err != nil {
		return nil, fmt.Errorf("it is neither YAML nor JSON: %s", shorten(err.Error()))
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return nil, fmt.Errorf("it is not an object with the fields to change")
	}
	return data, nil
}

func (m merges) apply(object []byte) ([]byte, error) {
	for i, data := range m {
		changed, err := jsonpatch.MergePatch(object, data)
		if err != nil {
			return nil, fmt.Errorf("mergePatches[%d]: %s", i, problem(err))
		}
		object = changed
	}
	return object, nil
}
