package access

import (
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxFilter bounds the length of a $filter.
const maxFilter = 1024

// A term of a $filter is NAME eq 'VALUE', NAME() or NAME('VALUE'); terms are joined by and.
var filterTerm = regexp.MustCompile(`^(?i:\s*([a-z]+)(?:\s+eq\s+'((?:[^']|'')*)'|\(\s*(?:'((?:[^']|'')*)')?\s*\))\s*(and\s|$))`)

// term is one condition: the name in lower case, and its value.
type term struct{ name, value string }

func parseFilter(filter string) ([]term, error) {
	if len(filter) > maxFilter {
		return nil, coffer.Errorf(coffer.CodeInvalidFilter, "the $filter has %d characters: at most %d are possible", len(filter), maxFilter)
	}
	var terms []term
	for rest := filter; strings.TrimSpace(rest) != ""; {
		m := filterTerm.FindStringSubmatch(rest)
		if m == nil {
			return nil, coffer.Errorf(coffer.CodeInvalidFilter, "the $filter '%s' is not understood", filter).
				WithHint("write conditions such as roleName eq 'Reader', joined by and")
		}
		terms = append(terms, term{name: strings.ToLower(m[1]), value: strings.ReplaceAll(m[2]+m[3], "''", "'")})
		rest = rest[len(m[0]):]
		if m[4] != "" && strings.TrimSpace(rest) == "" {
			return nil, coffer.Errorf(coffer.CodeInvalidFilter, "the $filter '%s' ends in the middle of a condition", filter)
		}
	}
	return terms, nil
}

func unknownTerm(t term, known string) error {
	return coffer.Errorf(coffer.CodeInvalidFilter, "the $filter has a condition on '%s', which is not known here", t.name).WithHint("take %s", known)
}

// SelectRoles are the role definitions that a $filter selects: roleName eq '...', type eq 'BuiltInRole', atScopeAndBelow(); all, if
// it is empty.
func SelectRoles(filter string) ([]Role, error) {
	terms, err := parseFilter(filter)
	if err != nil {
		return nil, err
	}
	found := Roles()
	for _, t := range terms {
		switch t.name {
		case "rolename":
			found = only(found, func(r Role) bool { return strings.EqualFold(r.Name, t.value) })
		case "type":
			found = only(found, func(Role) bool { return strings.EqualFold(t.value, "BuiltInRole") })
		case "atscopeandbelow", "atscope":
		default:
			return nil, unknownTerm(t, "roleName eq '...', type eq 'BuiltInRole' or atScopeAndBelow()")
		}
	}
	return found, nil
}

// AssignmentFilter selects role assignments for a list at a scope.
type AssignmentFilter struct {
	// Principal, if it is set, selects those to it.
	Principal string
	// AtScope leaves out what lies below the scope.
	AtScope bool
}

// ParseAssignmentFilter reads a $filter: principalId eq '...', assignedTo('...'), atScope(). Of which groups another principal is a
// member is not known here, so assignedTo means assigned to itself.
func ParseAssignmentFilter(filter string) (AssignmentFilter, error) {
	terms, err := parseFilter(filter)
	var f AssignmentFilter
	for _, t := range terms {
		switch {
		case t.name == "atscope":
			f.AtScope = true
		case (t.name == "principalid" || t.name == "assignedto") && t.value != "":
			f.Principal = t.value
		default:
			return AssignmentFilter{}, unknownTerm(t, "principalId eq '...', assignedTo('...') or atScope()")
		}
	}
	return f, err
}

// Selects says whether an assignment belongs to a list at a scope: it holds there, for it lies there or above, or it lies below.
func (f AssignmentFilter) Selects(a Assignment, scope catalogue.ID) bool {
	if f.Principal != "" && !same(f.Principal, a.Principal) {
		return false
	}
	return scope.Within(a.Scope) || !f.AtScope && a.Scope.Within(scope)
}

func only(roles []Role, keep func(Role) bool) []Role {
	var kept []Role
	for _, r := range roles {
		if keep(r) {
			kept = append(kept, r)
		}
	}
	return kept
}
