package vault

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// PutAssignment creates a role assignment, or replaces the description of one. Who asks must hold a role that allows it at the
// assignment's scope, as the database has it now: that is looked at in the transaction that writes.
func (a *Access) PutAssignment(ctx context.Context, by Caller, id catalogue.ID, body []byte, c catalogue.Condition) (put catalogue.Resource, created bool, err error) {
	assignment, err := access.ReadAssignment(id, body)
	if err == nil {
		err = checkSize(id, body)
	}
	if err != nil {
		return catalogue.Resource{}, false, err
	}
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if err := mayGrant(ctx, tx, by, access.ActionAssignmentWrite, assignment.Scope); err != nil {
			return err
		}
		before, err := tx.Resource(ctx, id)
		created = missing(err)
		switch {
		case created:
			err = checkNew(ctx, tx, assignment)
		case err == nil:
			err = checkUnchanged(before, assignment)
		}
		if err != nil {
			return err
		}
		put, err = putAssignment(ctx, tx, by, assignment, before, body, at, c)
		return err
	})
	return put, created, err
}

// mayGrant is access.CheckGrant on what the database has.
func mayGrant(ctx context.Context, v catalogue.View, by Caller, action string, scope catalogue.ID) error {
	held, err := Held(ctx, v, by.Principal)
	if err != nil {
		return err
	}
	return access.CheckGrant(by.Principal, held, action, scope)
}

// checkUnchanged holds that an assignment that is there keeps its role and principal, as ARM does.
func checkUnchanged(before catalogue.Resource, next access.Assignment) error {
	was, err := readKept(before)
	if err != nil {
		return err
	}
	if was.Role != next.Role || was.Principal != next.Principal || was.Kind != next.Kind {
		return coffer.Errorf(coffer.CodeRoleAssignmentNotChanged, "the role, the principal and the scope of the role assignment %s cannot be changed", before.ID.Name()).
			WithHint("delete it, and create another under a new GUID")
	}
	return nil
}

// checkNew holds that a new assignment is to a scope that is there, and is not there under another name.
func checkNew(ctx context.Context, v catalogue.View, next access.Assignment) error {
	if err := checkScopeExists(ctx, v, next.Scope); err != nil {
		return err
	}
	same, err := assignedTo(ctx, v, next.Principal)
	if err != nil {
		return err
	}
	for _, s := range same {
		if s.Role == next.Role && s.Scope.Is(next.Scope) && s.Principal == next.Principal && s.Kind == next.Kind {
			return coffer.Errorf(coffer.CodeRoleAssignmentExists, "The role assignment already exists. The ID of the existing role assignment is %s.", s.ID.Name()).
				WithHint("use that one")
		}
	}
	return nil
}

// checkScopeExists holds that a role is not assigned where there is nothing: whoever made something of that name later would find
// strangers in it. What lies in a group and is not kept here, such as a container of a storage account, is taken on trust.
func checkScopeExists(ctx context.Context, v catalogue.View, scope catalogue.ID) error {
	subscription := catalogue.ID("")
	if name := scope.Subscription(); name != "" {
		subscription = catalogue.ID("/subscriptions/" + name)
	}
	for _, id := range []catalogue.ID{subscription, scope.Group(), scope} {
		provider, _, _ := strings.Cut(id.Type(), "/")
		switch {
		case id == "":
			continue
		case id.Is(subscription), id.Is(scope.Group()):
		case !slices.ContainsFunc(keptProviders, func(kept string) bool { return strings.EqualFold(kept, provider) }):
			continue
		}
		if _, err := v.Resource(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// keptProviders are those whose resources are all kept here.
var keptProviders = []string{"Microsoft.DataProtection", "Microsoft.ContainerService", "Microsoft.KubernetesConfiguration", "Coffer.Backup"}

type assignmentFacts struct {
	Properties assignmentProperties `json:"properties"`
}

type assignmentProperties struct {
	Scope     string    `json:"scope"`
	CreatedOn time.Time `json:"createdOn"`
	UpdatedOn time.Time `json:"updatedOn"`
	CreatedBy string    `json:"createdBy"`
	UpdatedBy string    `json:"updatedBy"`
}

// putAssignment writes an assignment and its audit entry. A before without an ID is none.
func putAssignment(ctx context.Context, tx catalogue.Tx, by Caller, a access.Assignment, before catalogue.Resource, body []byte, at time.Time, c catalogue.Condition) (catalogue.Resource, error) {
	next := catalogue.Resource{ID: a.ID, Body: body, Links: []catalogue.Link{linkTo(a.Principal)}, Created: by.stamp(at), Changed: by.stamp(at)}
	was, status := &before, http.StatusOK
	if before.ID == "" {
		was, status = nil, http.StatusCreated
	} else {
		next.ID, next.Created = before.ID, before.Created
	}
	scope := string(a.Scope)
	if scope == "" {
		scope = "/"
	}
	var err error
	next.Facts, err = json.Marshal(assignmentFacts{assignmentProperties{
		Scope: scope, CreatedOn: next.Created.At, CreatedBy: next.Created.By, UpdatedOn: at, UpdatedBy: next.Changed.By,
	}})
	if err != nil {
		return catalogue.Resource{}, fmt.Errorf("write the facts of %s: %w", a.ID, err)
	}
	put, err := tx.PutResource(ctx, next, c)
	if err != nil {
		return put, err
	}
	return put, appendEntry(ctx, tx, by.entry(at, access.ActionAssignmentWrite, put.ID, status), was, &put)
}

// Assignment is a role assignment.
func (a *Access) Assignment(ctx context.Context, id catalogue.ID) (r catalogue.Resource, err error) {
	err = a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		r, err = v.Resource(ctx, id)
		return err
	})
	return r, err
}

// Assignments are the role assignments that hold at a scope or lie below it, as far as a $filter selects them.
func (a *Access) Assignments(ctx context.Context, scope catalogue.ID, filter string) ([]catalogue.Resource, error) {
	f, err := access.ParseAssignmentFilter(filter)
	if err != nil {
		return nil, err
	}
	q := catalogue.ResourceQuery{Type: access.AssignmentType}
	if f.Principal != "" {
		link := linkTo(f.Principal)
		q.Linked = &link
	}
	var found []catalogue.Resource
	err = a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		return each(ctx, v, q, func(r catalogue.Resource) error {
			kept, err := readKept(r)
			if err != nil {
				return err
			}
			if f.Selects(kept, scope) {
				found = append(found, r)
			}
			return nil
		})
	})
	return found, err
}

// DeleteAssignment takes a role away, and answers what the assignment was and whether there was one. The last Owner at the root
// stays.
func (a *Access) DeleteAssignment(ctx context.Context, by Caller, id catalogue.ID, c catalogue.Condition) (was catalogue.Resource, existed bool, err error) {
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if err := mayGrant(ctx, tx, by, access.ActionAssignmentDelete, id.Parent()); err != nil {
			return err
		}
		was, err = tx.Resource(ctx, id)
		existed = err == nil
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		root, err := atRoot(ctx, tx)
		if err != nil {
			return err
		}
		if err := access.CheckOwnersRemain(root, []access.Assignment{{ID: id}}); err != nil {
			return err
		}
		return deleteAssignment(ctx, tx, by, id, at, c)
	})
	return was, existed, err
}

func deleteAssignment(ctx context.Context, tx catalogue.Tx, by Caller, id catalogue.ID, at time.Time, c catalogue.Condition) error {
	before, err := tx.Resource(ctx, id)
	if err != nil {
		return err
	}
	if err := tx.DeleteResource(ctx, id, c); err != nil {
		return err
	}
	return appendEntry(ctx, tx, by.entry(at, access.ActionAssignmentDelete, before.ID, http.StatusOK), &before, nil)
}
