package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Decision says whether somebody may do something, and why.
type Decision struct {
	Allowed bool
	// Reason is for a person.
	Reason string
	// By is the assignment that allows it.
	By Assignment
}

// Decide says whether a principal may do an action at a scope: one of the roles assigned to it, or to a group of its, at that scope
// or above allows it. Assignments to others do not count, so held may be any.
func Decide(who catalogue.Principal, held []Assignment, action string, scope catalogue.ID) Decision {
	var reaching []string
	for _, a := range held {
		role, known := RoleByID(a.Role)
		group, to := a.to(who)
		if !known || !to || !scope.Within(a.Scope) {
			continue
		}
		pattern, allowed := role.Allows(action)
		if allowed {
			return Decision{Allowed: true, By: a, Reason: fmt.Sprintf("the role %s, assigned %sat %s, allows %s", role.Name, group, spelled(a.Scope), pattern)}
		}
		reaching = append(reaching, fmt.Sprintf("%s at %s", role.Name, spelled(a.Scope)))
	}
	if len(reaching) == 0 {
		return Decision{Reason: fmt.Sprintf("no role is assigned at %s or above it", spelled(scope))}
	}
	slices.Sort(reaching)
	return Decision{Reason: fmt.Sprintf("of the roles assigned (%s) none allows %s", strings.Join(slices.Compact(reaching), ", "), action)}
}

// Sees says whether a principal has a role at a scope, above it or below it. Who has one below may know that a subscription or a
// resource group is there, as in Azure.
func Sees(who catalogue.Principal, held []Assignment, scope catalogue.ID) bool {
	return slices.ContainsFunc(held, func(a Assignment) bool {
		_, to := a.to(who)
		return to && (scope.Within(a.Scope) || a.Scope.Within(scope))
	})
}

// Refusal is the error of a decision that allows nothing, in ARM's words. It says the same whether there is such a resource or not.
func Refusal(who catalogue.Principal, action string, scope catalogue.ID) *coffer.Error {
	err := coffer.Errorf(coffer.CodeAuthorizationFailed,
		"The client '%s' with object id '%s' does not have authorization to perform action '%s' over scope '%s' or the scope is invalid. "+
			"If access was recently granted, please refresh your credentials.",
		client(who), who.ObjectID, action, spelled(scope))
	var names []string
	for _, r := range RolesFor(action) {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		return err
	}
	return err.WithHint("ask somebody who may assign roles there for the role %s at this scope or above it (allowed by: %s)",
		names[0], strings.Join(names, ", "))
}

// client is what ARM calls somebody: a service principal by its client id, a person by their name.
func client(who catalogue.Principal) string {
	switch {
	case catalogue.Minted(who.ObjectID) && who.AppID != "":
		return who.AppID
	case who.Name != "":
		return who.Name
	}
	return who.ObjectID
}

// spelled is a scope as ARM writes it.
func spelled(scope catalogue.ID) string {
	if scope == "" {
		return "/"
	}
	return string(scope)
}
