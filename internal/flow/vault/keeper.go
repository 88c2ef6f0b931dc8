package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quota"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// Keeper keeps managed resources. It may be used concurrently. Every error is one for the client, or has no code.
type Keeper struct {
	DB catalogue.Database
	// Now is the clock, NewID makes ids that cannot be guessed, and NewObjectID the object ids of identities.
	Now                func() time.Time
	NewID, NewObjectID func() string
	// Kinds are the types that there are.
	Kinds Kinds
	// Quotas bound what there may be; the zero value is without bounds.
	Quotas quota.Quotas
	// Policies are the limits of policies that are not kept, and previewed; the zero value is that of vaults. PolicyKind has those of the others.
	Policies retention.Limits
	// VaultTier says that this server has one, and makes copies there.
	VaultTier bool
	// Pairs are regions of one's own that are paired, beside Azure's.
	Pairs decide.Pairs
	// Day is how long a day of soft delete lasts: 0 is a day, for which tests have no time.
	Day time.Duration
}

// Kinds are the types of managed resources by their names in lower case. See NewKinds.
type Kinds map[string]Kind

// NewKinds lists kinds by their types.
func NewKinds(kinds ...Kind) Kinds {
	found := make(Kinds, len(kinds))
	for _, k := range kinds {
		found[strings.ToLower(k.Type)] = k
	}
	return found
}

// Kind says how resources of one type are kept.
type Kind struct {
	// Type is as ARM spells it, and Noun what people call one: "backup vault".
	Type, Noun string
	// Parents are the types that one may lie below; the empty one is the root of the tenant, and nil is any.
	Parents []string
	// Body is a value of the type that Judge reads a body as. The names of fields are kept as that type has them.
	Body any
	// Judge decides whether a proposal is kept, and how.
	Judge func(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error)
	// Kept, if it is there, writes what goes with a resource that has just been kept.
	Kept func(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, now time.Time) error
	// Removing, if it is there, is done before one is deleted at somebody's request; its error is why it has to stay.
	Removing func(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, now time.Time) error
	// Removable, if it is there, is the error why a resource has to stay. What lies below one that may go goes with it.
	Removable func(ctx context.Context, v catalogue.View, r catalogue.Resource) error
	// Bury, if it is there, puts away a resource that is to be deleted so that it can be had again, with what lies below it. It answers what
	// became of it, or nil if it is to go for good.
	Bury func(ctx context.Context, tx catalogue.Tx, k *Keeper, by Caller, r catalogue.Resource, c catalogue.Condition, now time.Time) (*catalogue.Resource, error)
	// Secrets, if it is there, opens what Judge has sealed.
	Secrets catalogue.Sealer
	// Created and Deleted are the HTTP statuses of what was; 0 is 201, and 200. Typed clients take those of Azure's own API, which
	// differ from type to type, and no others.
	Created, Deleted int
	// Fixed says that clients neither write nor delete one: it comes and goes by other requests.
	Fixed bool
	// MustExist says that one that is not there cannot be deleted. Of all others that is done already.
	MustExist bool
}

// DeletedStatus is what a client is answered with when one was deleted.
func (k Kind) DeletedStatus() int { return cmp.Or(k.Deleted, http.StatusOK) }

// Action is the type as role definitions spell it.
func (k Kind) Action() string {
	if k.Type == typeGroup {
		return typeSubscription + "/resourceGroups"
	}
	return k.Type
}

// Proposal is what a client wants a resource to be.
type Proposal struct {
	ID catalogue.ID
	// Body is a JSON object.
	Body json.RawMessage
	// Before is what is there, or nil.
	Before *catalogue.Resource
	By     Caller
	Now    time.Time
	// NewObjectID makes the object id of an identity.
	NewObjectID func() string
}

// Verdict is what is kept of a proposal.
type Verdict struct {
	// Body is kept in place of the proposed one; nil is the proposed one.
	Body  json.RawMessage
	Facts json.RawMessage
	Links []catalogue.Link
	// Secrets are kept, sealed as they are, in place of those that the resource has of these names; those named by Forget go.
	Secrets []catalogue.Secret
	Forget  []string
	// Consents are those of a resource guard that are used by it.
	Consents []consent
}

// Put is a request to create, replace or change a resource.
type Put struct {
	ID   catalogue.ID
	Body json.RawMessage
	// Patch merges Body into what is there, as RFC 7396 says, instead of replacing it.
	Patch bool
	If    catalogue.Condition
	// Undelete is the id of a deleted vault that is to be this one again, before Body is kept; without a Body it is as it was. Empty is none.
	Undelete catalogue.ID
}

// Kept is what became of a Put.
type Kept struct {
	Resource catalogue.Resource
	// Created says that it was not there before.
	Created   bool
	Operation catalogue.Operation

	kind Kind
}

// Status is what a client is answered with.
func (k Kept) Status() int {
	if k.Created {
		return cmp.Or(k.kind.Created, http.StatusCreated)
	}
	return http.StatusOK
}

// Put creates, replaces or changes a resource. It is durable when Put returns; the same Put again ends the same.
func (k *Keeper) Put(ctx context.Context, by Caller, p Put) (kept Kept, err error) {
	kind, err := k.Kinds.writable(p.ID)
	if err != nil {
		return Kept{}, err
	}
	now := k.now()
	if p.Undelete != "" && len(p.Body) == 0 {
		p.Body, p.Patch = json.RawMessage("{}"), true
	}
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept = Kept{kind: kind}
		if p.Undelete != "" {
			if err := k.undeleteVault(ctx, tx, by, p.ID, p.Undelete, now); err != nil {
				return err
			}
		}
		before, err := find(ctx, tx, p.ID)
		if err != nil {
			return err
		}
		body, err := k.proposed(ctx, tx, kind, p, before)
		if err != nil {
			return err
		}
		proposal := Proposal{ID: p.ID, Body: body, Before: before, By: by, Now: now, NewObjectID: k.NewObjectID}
		if before != nil {
			// Its name is spelled as it was when it was made.
			proposal.ID = before.ID
		}
		verdict, err := kind.Judge(ctx, tx, proposal)
		if err == nil {
			err = k.mustBeWithinQuotas(ctx, tx, kind, proposal)
		}
		if err != nil {
			return err
		}
		r := catalogue.Resource{
			ID: proposal.ID, Body: verdict.Body, Facts: verdict.Facts, Links: verdict.Links, Created: by.stamp(now), Changed: by.stamp(now),
		}
		if r.Body == nil {
			r.Body = body
		}
		for _, c := range verdict.Consents {
			if err := c.use(ctx, tx, by, now); err != nil {
				return err
			}
		}
		if err := checkSize(r.ID, r.Body); err != nil {
			return err
		}
		if kept.Resource, err = tx.PutResource(ctx, r, p.If); err != nil {
			return err
		}
		if err := keepSecrets(ctx, tx, r.ID, verdict); err != nil {
			return err
		}
		if kind.Kept != nil {
			if err := kind.Kept(ctx, tx, kept.Resource, now); err != nil {
				return err
			}
		}
		kept.Created = before == nil
		kept.Operation = k.done(by, r.ID, "Put", now)
		if err := tx.PutOperation(ctx, kept.Operation); err != nil {
			return err
		}
		return appendEntry(ctx, tx, by.entry(now, kind.Action()+"/write", kept.Resource.ID, kept.Status()), before, &kept.Resource)
	})
	return kept, err
}

func keepSecrets(ctx context.Context, tx catalogue.Tx, owner catalogue.ID, v Verdict) error {
	for _, name := range v.Forget {
		if err := tx.DeleteSecret(ctx, owner, name); err != nil && !missing(err) {
			return err
		}
	}
	for _, s := range v.Secrets {
		s.Owner = owner
		if err := tx.PutSecret(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// proposed is the whole body that a Put asks for, once its place is known to be there.
func (k *Keeper) proposed(ctx context.Context, v catalogue.View, kind Kind, p Put, before *catalogue.Resource) (json.RawMessage, error) {
	if err := mustBeObject(p.Body); err != nil {
		return nil, err
	}
	asked, err := respell(p.ID, p.Body, kind.Body)
	if err == nil {
		asked, err = withoutIdentity(asked)
	}
	if err != nil {
		return nil, err
	}
	if p.Patch {
		if before == nil {
			return nil, coffer.Errorf(coffer.CodeResourceNotFound, "there is no %s %s to change", kind.Noun, p.ID)
		}
		asked, err = mergePatch(before.Body, asked)
	}
	if err == nil {
		asked, err = withoutRequests(asked)
	}
	if err != nil || before != nil {
		return asked, err
	}
	return asked, k.mustHaveParent(ctx, v, p.ID)
}

// mustHaveParent fails unless what a new resource is part of is there.
func (k *Keeper) mustHaveParent(ctx context.Context, v catalogue.View, id catalogue.ID) error {
	parent := id.Parent()
	if parent == "" {
		return nil
	}
	_, err := v.Resource(ctx, parent)
	if !missing(err) {
		return err
	}
	return coffer.Errorf(codeMissing(parent, coffer.CodeParentNotFound), "%s cannot be made: there is no %s", id, parent).WithHint("create that first")
}

// codeMissing is ARM's word for a resource that is not there.
func codeMissing(id catalogue.ID, otherwise coffer.Code) coffer.Code {
	if id != "" && id == id.Group() {
		return coffer.CodeGroupNotFound
	}
	return otherwise
}

// MustExist is an error unless there is a resource; the root is always there.
func (k *Keeper) MustExist(ctx context.Context, id catalogue.ID) error {
	if id == "" {
		return nil
	}
	exists, err := k.Exists(ctx, id)
	if err == nil && !exists {
		err = coffer.Errorf(codeMissing(id, coffer.CodeResourceNotFound), "there is no %s", id)
	}
	return err
}

// Get is a resource.
func (k *Keeper) Get(ctx context.Context, id catalogue.ID) (r catalogue.Resource, err error) {
	if _, err := k.Kinds.of(id); err != nil {
		return r, err
	}
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Resource, error) { return v.Resource(ctx, id) })
}

// List is one page of resources, those that pass visible only, and the Key that the next page is After; empty after the last. Limit is
// less than 1,000. A page is full but for the last, and next is the Key of one that is visible: to who follows it, it says nothing of
// what is not.
func (k *Keeper) List(ctx context.Context, q catalogue.ResourceQuery, visible func(catalogue.ID) bool) (page []catalogue.Resource, next string, err error) {
	err = k.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		page, next = nil, ""
		// One more says whether there is another page. Where much is not visible, the rest is looked through in larger steps.
		some := q
		for some.Limit++; ; some.Limit = pageSize {
			all, err := v.Resources(ctx, some)
			if err != nil {
				return err
			}
			for _, r := range all {
				switch {
				case !visible(r.ID):
				case len(page) == q.Limit:
					next = page[q.Limit-1].ID.Key()
					return nil
				default:
					page = append(page, r)
				}
			}
			if len(all) < some.Limit {
				return nil
			}
			some.After = all[len(all)-1].ID.Key()
		}
	})
	return page, next, err
}

// Delete deletes a resource with what lies below it. One that is not there is deleted already: found says which it was.
func (k *Keeper) Delete(ctx context.Context, by Caller, id catalogue.ID, c catalogue.Condition) (operation catalogue.Operation, found bool, err error) {
	kind, err := k.Kinds.writable(id)
	if err != nil {
		return operation, false, err
	}
	now := k.now()
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := find(ctx, tx, id)
		if found = before != nil; err != nil {
			return err
		}
		if !found {
			return kind.missing(id)
		}
		if kind.Removing != nil {
			if err := kind.Removing(ctx, tx, by, *before, now); err != nil {
				return err
			}
		}
		operation, err = k.remove(ctx, tx, by, kind, *before, c, now)
		return err
	})
	return operation, found, err
}

// remove deletes a resource that is there, with what lies below it.
func (k *Keeper) remove(ctx context.Context, tx catalogue.Tx, by Caller, kind Kind, r catalogue.Resource, c catalogue.Condition, now time.Time) (operation catalogue.Operation, err error) {
	if kind.Removable != nil {
		if err := kind.Removable(ctx, tx, r); err != nil {
			return operation, err
		}
	}
	var buried *catalogue.Resource
	if kind.Bury != nil {
		if buried, err = kind.Bury(ctx, tx, k, by, r, c, now); err != nil {
			return operation, err
		}
	}
	if buried == nil {
		if err := k.deleteBelow(ctx, tx, by, r.ID, now); err != nil {
			return operation, err
		}
		if err := tx.DeleteResource(ctx, r.ID, c); err != nil {
			return operation, err
		}
	}
	operation = k.done(by, r.ID, "Delete", now)
	if err := tx.PutOperation(ctx, operation); err != nil {
		return operation, err
	}
	return operation, appendEntry(ctx, tx, by.entry(now, kind.Action()+"/delete", r.ID, kind.DeletedStatus()), &r, buried)
}

// missing is why one that is not there cannot be deleted, or nil.
func (k Kind) missing(id catalogue.ID) error {
	if !k.MustExist {
		return nil
	}
	return coffer.Errorf(coffer.CodeResourceNotFound, "there is no %s %s", k.Noun, id)
}

// deleteBelow deletes all that lies below a resource, role assignments included: who makes one of its name anew has not let anybody
// in.
func (k *Keeper) deleteBelow(ctx context.Context, tx catalogue.Tx, by Caller, id catalogue.ID, now time.Time) error {
	for {
		below, err := tx.Resources(ctx, catalogue.ResourceQuery{Under: id, Limit: pageSize})
		if err != nil || len(below) == 0 {
			return err
		}
		for _, r := range below {
			if err := tx.DeleteResource(ctx, r.ID, catalogue.Condition{}); err != nil {
				return err
			}
			if err := appendEntry(ctx, tx, by.entry(now, k.Kinds.Action(r.ID)+"/delete", r.ID, http.StatusOK), &r, nil); err != nil {
				return err
			}
		}
	}
}

// done is an operation that ended as it began.
func (k *Keeper) done(by Caller, id catalogue.ID, what string, now time.Time) catalogue.Operation {
	return catalogue.Operation{
		ID: "o" + k.NewID(), Resource: id, Kind: what, By: by.Principal.ObjectID, Status: catalogue.OperationSucceeded, Started: now, Ended: now,
	}
}

// now is in UTC, to the microsecond, as the database keeps it.
func (k *Keeper) now() time.Time { return k.Now().UTC().Truncate(time.Microsecond) }

// of is the kind of a resource, at a place where there are such.
func (k Kinds) of(id catalogue.ID) (Kind, error) {
	kind, ok := k[strings.ToLower(id.Type())]
	if !ok {
		return Kind{}, coffer.Errorf(coffer.CodeTypeNotFound, "there are no resources of type %s", id.Type())
	}
	if kind.Parents == nil {
		return kind, nil
	}
	for _, parent := range kind.Parents {
		if strings.EqualFold(parent, id.Parent().Type()) {
			return kind, nil
		}
	}
	return Kind{}, coffer.Errorf(coffer.CodeTypeNotFound, "a %s cannot lie below %s, which is of type %s", kind.Noun, id.Parent(), id.Parent().Type()).
		WithHint("it lies below one of type %s", strings.Join(kind.Parents, " or "))
}

// writable is the kind of a resource that clients may write and delete.
func (k Kinds) writable(id catalogue.ID) (Kind, error) {
	kind, err := k.of(id)
	if err == nil && kind.Fixed {
		err = coffer.Errorf(coffer.CodeMethodNotAllowed, "a %s is neither written nor deleted", kind.Noun)
	}
	return kind, err
}

// Action is the type of a resource as role definitions spell it.
func (k Kinds) Action(id catalogue.ID) string {
	if kind, ok := k[strings.ToLower(id.Type())]; ok {
		return kind.Action()
	}
	return id.Type()
}

// find is a resource, or nil.
func find(ctx context.Context, v catalogue.View, id catalogue.ID) (*catalogue.Resource, error) {
	r, err := v.Resource(ctx, id)
	if missing(err) {
		return nil, nil
	}
	return &r, err
}

// appendEntry writes an audit entry with a resource before and after; either may be nil.
func appendEntry(ctx context.Context, tx catalogue.Tx, e catalogue.AuditEntry, before, after *catalogue.Resource) error {
	full, err := audited(e, before, after)
	if err != nil {
		return err
	}
	return tx.AppendAudit(ctx, full)
}
