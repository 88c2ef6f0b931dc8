package retention

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// FillTagIDs is a policy's body with an id in each tagInfo that has a name and none: NAME_, as Azure does. Everything else stays as
// it is. The body is one that was decoded already.
func FillTagIDs(body json.RawMessage) (json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read a policy's body: %w", err)
	}
	changed := false
	for _, rule := range elements(member(member(tree, "properties"), "policyRules")) {
		for _, tag := range elements(member(member(rule, "trigger"), "taggingCriteria")) {
			info, ok := member(tag, "tagInfo").(map[string]any)
			name, named := member(info, "tagName").(string)
			if id, _ := member(info, "id").(string); !ok || !named || name == "" || id != "" {
				continue
			}
			for key := range info {
				if strings.EqualFold(key, "id") {
					delete(info, key)
				}
			}
			info["id"] = name + "_"
			changed = true
		}
	}
	if !changed {
		return body, nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return nil, fmt.Errorf("write a policy's body: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// member is a member of an object by its name in any case, or nil.
func member(object any, name string) any {
	m, _ := object.(map[string]any)
	for key, value := range m {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return nil
}

// elements are those of an array, or none.
func elements(array any) []any {
	all, _ := array.([]any)
	return all
}
