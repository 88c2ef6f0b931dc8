package selection

import "github.com/coffer-backup/coffer/internal/coffer"

// TypeSet says which of some types two lists of spellings choose: all if none is included, but for the excluded ones. The
// fields name the lists in errors, and in the warnings for spellings that stand for none of the types.
func TypeSet(includedField string, included []string, excludedField string, excluded []string, types []coffer.ResourceType) (map[coffer.GroupResource]bool, []Warning, error) {
	set := map[coffer.GroupResource]bool{}
	var warnings []Warning
	mark := func(field string, texts []string, chosen bool) error {
		spellings, err := parseSpellings(field, texts)
		if err != nil {
			return err
		}
		for _, s := range spellings {
			found := s.resolve(types)
			if len(found) == 0 {
				warnings = append(warnings, Warning{field + " " + s.text, "nothing that is restored is of such a type"})
			}
			for _, t := range found {
				set[t.GroupResource] = chosen
			}
		}
		return nil
	}
	if len(included) == 0 {
		for _, t := range types {
			set[t.GroupResource] = true
		}
	}
	if err := mark(includedField, included, true); err != nil {
		return nil, nil, err
	}
	if err := mark(excludedField, excluded, false); err != nil {
		return nil, nil, err
	}
	return set, warnings, nil
}
