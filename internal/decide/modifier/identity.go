package modifier

import (
	"encoding/json"
	"fmt"
)

// What says which object it is. The plan, the owners of other objects and the policy for what exists all go by it, so no rule
// may change it.
var (
	identity         = []string{"apiVersion", "kind"}
	identityMetadata = []string{
		"name", "namespace", "generateName", "uid", "resourceVersion", "ownerReferences", "managedFields", "selfLink",
		"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
	}
)

// sameIdentity refuses a change that makes another object of it.
func sameIdentity(before, after []byte) error {
	was, wasMetadata, err := fields(before)
	if err != nil {
		return err
	}
	is, isMetadata, err := fields(after)
	if err != nil {
		return fmt.Errorf("it leaves no Kubernetes object: %w", err)
	}
	for _, f := range identity {
		if string(was[f]) != string(is[f]) {
			return fmt.Errorf("it changes %s, which no rule may: it would be another object", f)
		}
	}
	for _, f := range identityMetadata {
		if string(wasMetadata[f]) == string(isMetadata[f]) {
			continue
		}
		if f == "namespace" {
			return fmt.Errorf("it changes metadata.namespace, which no rule may: use namespaceMappings")
		}
		return fmt.Errorf("it changes metadata.%s, which no rule may: it would be another object", f)
	}
	return nil
}

// fields are those of an object and of its metadata. Maps are exact about names, where structs are not about their case.
func fields(object []byte) (all, metadata map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(object, &all); err != nil {
		return nil, nil, err
	}
	if all["metadata"] == nil {
		return nil, nil, fmt.Errorf("it has no metadata")
	}
	if err := json.Unmarshal(all["metadata"], &metadata); err != nil {
		return nil, nil, fmt.Errorf("metadata: %w", err)
	}
	return all, metadata, nil
}
