package conflict

import (
	"maps"
	"slices"
)

// decideAccount adds to a ServiceAccount what it lacks: labels, annotations, and the names of Secrets. What it has stays.
func decideAccount(live, desired map[string]any) (Decision, error) {
	d := difference{}
	patch := map[string]any{}
	liveMetadata, _ := live["metadata"].(map[string]any)
	metadata, _ := desired["metadata"].(map[string]any)
	lacking := map[string]any{}
	for _, field := range []string{"labels", "annotations"} {
		has, _ := liveMetadata[field].(map[string]any)
		wanted, _ := metadata[field].(map[string]any)
		add := map[string]any{}
		for _, key := range slices.Sorted(maps.Keys(wanted)) {
			if has[key] == nil && wanted[key] != nil {
				d.note([]string{"metadata", field, key})
				add[key] = wanted[key]
			}
		}
		if len(add) > 0 {
			lacking[field] = add
		}
	}
	if len(lacking) > 0 {
		patch["metadata"] = lacking
	}
	for _, field := range []string{"secrets", "imagePullSecrets"} {
		has, _ := live[field].([]any)
		wanted, _ := desired[field].([]any)
		// A merge patch replaces a list: the whole union is sent.
		union := slices.Clip(has)
		for _, w := range wanted {
			if !slices.ContainsFunc(union, func(h any) bool { return sameName(h, w) }) {
				union = append(union, w)
			}
		}
		if len(union) > len(has) {
			d.note([]string{field})
			patch[field] = union
		}
	}
	decision := Decision{Differs: d.paths, More: d.more}
	if len(patch) == 0 {
		decision.Action, decision.Reason = Leave, "it has all that the recovery point has"
		return decision, nil
	}
	return decision.patch(patch, "accounts are merged under every policy")
}

func sameName(a, b any) bool {
	first, _ := a.(map[string]any)
	second, _ := b.(map[string]any)
	return first != nil && second != nil && same(first["name"], second["name"])
}
