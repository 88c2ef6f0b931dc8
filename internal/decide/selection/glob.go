package selection

import (
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// isPattern says whether a text stands for more than itself.
func isPattern(text string) bool { return strings.ContainsAny(text, "*?[") }

// matching is the first of names and patterns that matches the whole of a name, or empty. The name itself comes before
// a pattern.
func matching(patterns []string, name string) string {
	found := ""
	for _, p := range patterns {
		if p == name {
			return p
		}
		if found == "" && isPattern(p) && matches(p, name) {
			found = p
		}
	}
	return found
}

// matches says whether a checked pattern matches the whole of a name.
func matches(pattern, name string) bool {
	// The names of namespaces, groups, resources and kinds have no slash, at which path.Match would stop.
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// patternProblem says what is wrong with a pattern, or nothing. Velero allows the same: *, ? and [abc].
func patternProblem(pattern string) string {
	switch {
	case strings.Contains(pattern, "**"):
		return "** is no wildcard; write * for any number of characters"
	case strings.ContainsAny(pattern, `{}|!^\`):
		return "the wildcards are *, ? and [abc]; list alternatives one by one"
	}
	if _, err := path.Match(pattern, ""); err != nil || strings.Count(pattern, "[") != strings.Count(pattern, "]") {
		return "a bracket is not closed, or holds nothing"
	}
	return ""
}

func checkNamespace(field, name string) error {
	refuse := func(problem string) error {
		return coffer.Errorf(coffer.CodeInvalid, "%s: %q is not the name of a namespace or a pattern of names: %s", field, name, problem)
	}
	if name == "" {
		return refuse("it is empty")
	}
	if problem := patternProblem(name); problem != "" {
		return refuse(problem)
	}
	if !isPattern(name) {
		for _, problem := range validation.IsDNS1123Label(name) {
			return refuse(problem)
		}
		return nil
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !isNameRune(r) && !strings.ContainsRune("*?[]", r) }); i >= 0 {
		return refuse("namespaces are named by lower-case letters, digits and hyphens")
	}
	return nil
}

func isNameRune(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' }
