package vault

import (
	"context"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Grants are what a principal may do, as the database had it.
type Grants struct {
	who  catalogue.Principal
	held []access.Assignment
}

// Grants reads what a principal may do.
func (a *Access) Grants(ctx context.Context, who catalogue.Principal) (Grants, error) {
	held, err := view(ctx, a.config.Database, func(ctx context.Context, v catalogue.View) ([]access.Assignment, error) { return Held(ctx, v, who) })
	return Grants{who, held}, err
}

// Check is ARM's refusal if an action is not allowed at a scope.
func (g Grants) Check(action string, scope catalogue.ID) error {
	if access.Decide(g.who, g.held, action, scope).Allowed {
		return nil
	}
	return access.Refusal(g.who, action, scope)
}

// Sees says whether a resource is shown in lists: to who may read it, and a subscription or a group to who has a role below it.
func (g Grants) Sees(action string, id catalogue.ID) bool {
	if access.Decide(g.who, g.held, action, id).Allowed {
		return true
	}
	kind := id.Type()
	return (strings.EqualFold(kind, typeSubscription) || strings.EqualFold(kind, typeGroup)) && access.Sees(g.who, g.held, id)
}

// RecordRefusal writes into the audit log that a write was not allowed.
func (a *Access) RecordRefusal(ctx context.Context, by Caller, action string, target catalogue.ID, status int, code coffer.Code) error {
	e := by.entry(a.now(), action, target, status)
	e.Code = string(code)
	return a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return tx.AppendAudit(ctx, e) })
}
