package selection

import (
	"regexp"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// spelling is one way to write resource types: v1/Secret, apps/Deployment, apps/v1/Deployment, deployments.apps,
// deployments.v1.apps, deployments, Deployment, or with wildcards *.apps, apps/*, *. A version says nothing: an object
// is the same at all of them, and is captured at the preferred one.
type spelling struct {
	text string
	// group is a pattern in lower case, empty for the core group, unless anyGroup.
	group    string
	anyGroup bool
	// name is a pattern in lower case, of the plural, or of the kind.
	name string
}

var (
	version  = regexp.MustCompile(`^v[0-9]+((alpha|beta)[0-9]+)?$`)
	typeName = regexp.MustCompile(`^[a-z0-9*?\[\]-]+$`)
	groupExp = regexp.MustCompile(`^[a-z0-9.*?\[\]-]+$`)
)

// parseSpelling reads one spelling. It knows no cluster: whether there is such a type, resolve says.
func parseSpelling(field, text string) (spelling, error) {
	s := spelling{text: text}
	lower := strings.ToLower(text)
	parts := strings.Split(lower, "/")
	switch {
	case len(parts) == 1:
		var dotted bool
		if s.name, s.group, dotted = strings.Cut(lower, "."); dotted {
			if first, rest, more := strings.Cut(s.group, "."); version.MatchString(first) {
				// deployments.v1.apps; and pods.v1, which is of the core group.
				if s.group = rest; !more {
					s.group = ""
					return s, s.check(field, true)
				}
			}
		}
		s.anyGroup = !dotted
	case len(parts) == 2 && version.MatchString(parts[0]):
		s.name = parts[1]
		return s, s.check(field, true)
	case len(parts) == 2:
		s.group, s.name = parts[0], parts[1]
	case len(parts) == 3 && (version.MatchString(parts[1]) || parts[1] == "*"):
		s.group, s.name = parts[0], parts[2]
	default:
		return s, refuseSpelling(field, text, "it has too many parts")
	}
	return s, s.check(field, s.anyGroup)
}

func (s spelling) check(field string, withoutGroup bool) error {
	for _, part := range []string{s.group, s.name} {
		if problem := patternProblem(part); problem != "" {
			return refuseSpelling(field, s.text, problem)
		}
	}
	if !typeName.MatchString(s.name) || !withoutGroup && !groupExp.MatchString(s.group) {
		return refuseSpelling(field, s.text, "a part is empty or has other characters than names of types have")
	}
	return nil
}

func refuseSpelling(field, text, problem string) error {
	return coffer.Errorf(coffer.CodeInvalid, "%s: %q is not a resource type: %s", field, text, problem).
		WithHint("write v1/Secret, apps/Deployment, deployments.apps, deployments, *.apps or *")
}

func (s spelling) isPattern() bool { return isPattern(s.name) || isPattern(s.group) }

func (s spelling) matches(t coffer.ResourceType) bool {
	if !s.anyGroup && !matches(s.group, strings.ToLower(t.Group)) {
		return false
	}
	return matches(s.name, strings.ToLower(t.Resource)) || matches(s.name, strings.ToLower(t.Kind))
}

// Types are the types of a recovery point that a spelling in a field stands for. If there are none, the warning says so.
func (c Config) Types(field, text string, types []coffer.ResourceType) ([]coffer.ResourceType, *Warning, error) {
	s, err := parseSpelling(field, text)
	if err != nil {
		return nil, nil, err
	}
	found := s.resolve(types)
	if len(found) == 0 {
		w := s.unknown(c.source(), field, types)
		return nil, &w, nil
	}
	return found, nil, nil
}

// resolve finds the types that a spelling stands for. A plain name that the core group has is that of the core group,
// as for kubectl: services are not those of somebody's definition.
func (s spelling) resolve(types []coffer.ResourceType) []coffer.ResourceType {
	var found []coffer.ResourceType
	for _, t := range types {
		if s.matches(t) {
			found = append(found, t)
		}
	}
	if s.anyGroup && !s.isPattern() && slices.ContainsFunc(found, func(t coffer.ResourceType) bool { return t.Group == "" }) {
		found = slices.DeleteFunc(found, func(t coffer.ResourceType) bool { return t.Group != "" })
	}
	return found
}

// never is the reason for which what the spelling names is in no recovery point, if that is so. found is what it was
// resolved to: that is nothing for types that cannot be created.
func (s spelling) never(found []coffer.ResourceType) string {
	reason := ""
	for _, t := range found {
		if reason = neverTaken[t.GroupResource]; reason == "" {
			return ""
		}
	}
	if len(found) == 0 && !s.isPattern() {
		for t, r := range neverTaken {
			if s.matches(coffer.ResourceType{GroupResource: t}) {
				return r
			}
		}
	}
	return reason
}

// nearest are the names of types that differ from a spelling's in a letter or two, at most three of them.
func (s spelling) nearest(types []coffer.ResourceType) []string {
	if s.isPattern() {
		return nil
	}
	best, found := 3, []string{}
	for _, t := range types {
		near := min(distance(s.name, strings.ToLower(t.Resource)), distance(s.name, strings.ToLower(t.Kind)))
		if near > len(s.name)/2 {
			continue
		}
		switch {
		case near < best:
			best, found = near, []string{t.GroupResource.String()}
		case near == best && best < 3:
			found = append(found, t.GroupResource.String())
		}
	}
	slices.Sort(found)
	return found[:min(3, len(found))]
}

// distance is how many letters have to be put in, left out or changed to make one word of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
