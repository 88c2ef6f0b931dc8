package selection

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// CheckSpelling is an error if a text cannot name a resource type in any cluster. field is what the text is called.
func CheckSpelling(field, text string) error {
	_, err := parseSpelling(field, text)
	return err
}

// FindTypes answers those of some types that a text names, spelled as in includedResourceTypes; none if it names none, and
// then near are at most three whose names differ in a letter or two. Types whose kind is not known are found by what English
// makes of the kind's plural.
func FindTypes(field, text string, types []coffer.ResourceType) (found []coffer.GroupResource, near []string, err error) {
	s, err := parseSpelling(field, text)
	if err != nil {
		return nil, nil, err
	}
	matching := s.resolve(types)
	if len(matching) == 0 && !s.isPattern() {
		guess := s
		plural, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: s.name})
		guess.name = plural.Resource
		matching = guess.resolve(slices.DeleteFunc(slices.Clone(types), func(t coffer.ResourceType) bool { return t.Kind != "" }))
	}
	for _, t := range matching {
		found = append(found, t.GroupResource)
	}
	if len(found) == 0 {
		near = s.nearest(types)
	}
	return found, near, nil
}
