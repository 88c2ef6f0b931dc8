// Package access decides who may do what: roles with Azure's names and ids, assignments of them to principals at scopes, and what
// follows for an action.
package access

import (
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Role is a role definition. All are built in.
type Role struct {
	// ID is the GUID that Azure gives the role, in lower case.
	ID   string
	Name string
	// Description is for people.
	Description string
	// Actions are patterns of what the role allows, see Matches, and NotActions what it leaves out of them. What one role leaves out
	// another may allow.
	Actions, NotActions []string
	// Elsewhere says that what the role is for is outside of this server, such as a storage account: it is there so that what clients
	// assign for Azure can be assigned here too.
	Elsewhere bool
}

// Allows says whether the role allows an action, and by which of its patterns.
func (r Role) Allows(action string) (pattern string, allowed bool) {
	if action == "" || strings.Contains(action, "*") {
		return "", false
	}
	if slices.ContainsFunc(r.NotActions, func(p string) bool { return Matches(p, action) }) {
		return "", false
	}
	at := slices.IndexFunc(r.Actions, func(p string) bool { return Matches(p, action) })
	if at < 0 {
		return "", false
	}
	return r.Actions[at], true
}

// definitionType is the resource type of role definitions.
const definitionType = "Microsoft.Authorization/roleDefinitions"

// DefinitionID is the id of the role's definition as it is seen at a subscription, or at the root.
func (r Role) DefinitionID(scope catalogue.ID) catalogue.ID {
	at := catalogue.ID("")
	if s := scope.Subscription(); s != "" {
		at = catalogue.ID("/subscriptions/" + s)
	}
	return at + catalogue.ID("/providers/"+definitionType+"/"+r.ID)
}

// RoleByID finds a role by its GUID, in any case.
func RoleByID(guid string) (Role, bool) {
	for _, r := range Roles() {
		if strings.EqualFold(r.ID, guid) {
			return r, true
		}
	}
	return Role{}, false
}

// RoleOfDefinition finds a role by the id of its definition, at whatever scope that stands.
func RoleOfDefinition(id catalogue.ID) (Role, bool) {
	if !strings.EqualFold(id.Type(), definitionType) {
		return Role{}, false
	}
	return RoleByID(id.Name())
}

// RolesFor are the roles that allow an action, the weakest first.
func RolesFor(action string) []Role {
	var found []Role
	for _, r := range Roles() {
		if _, allowed := r.Allows(action); allowed && !r.Elsewhere {
			found = append(found, r)
		}
	}
	return found
}
