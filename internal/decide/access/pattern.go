package access

import "strings"

// Matches says whether an action falls under a pattern of a role definition. A * stands for any characters, slashes and none
// included, and case does not matter: "Microsoft.Authorization/*/read" matches "microsoft.authorization/roleAssignments/read".
func Matches(pattern, action string) bool {
	parts := strings.Split(strings.ToLower(pattern), "*")
	rest, found := strings.CutPrefix(strings.ToLower(action), parts[0])
	if !found {
		return false
	}
	if len(parts) == 1 {
		return rest == ""
	}
	last := parts[len(parts)-1]
	// The leftmost place of each part leaves the most to those that follow.
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, last)
}
