package vault

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// PrincipalType is the resource type of service principals. Their name is their client id.
const PrincipalType = "Coffer.Backup/servicePrincipals"

// PrincipalID is the id of the service principal with this client id.
func PrincipalID(clientID string) catalogue.ID {
	return catalogue.ID("/providers/" + PrincipalType + "/" + clientID)
}

// maxDisplayName bounds the names of service principals and secrets; ARM's own bound is 120.
const maxDisplayName = 120

// PrincipalFacts is what the server says of a service principal, beside what its owner sent: the Facts of the resource.
type PrincipalFacts struct {
	Properties PrincipalProperties `json:"properties"`
}

// PrincipalProperties are the properties of PrincipalFacts.
type PrincipalProperties struct {
	AppID string `json:"appId"`
	// ObjectID is what role assignments name.
	ObjectID string       `json:"objectId"`
	Secrets  []SecretInfo `json:"passwordCredentials"`
}

// SecretInfo says that there is a client secret.
type SecretInfo struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName,omitempty"`
	Start       time.Time `json:"startDateTime"`
	// End is zero where it does not expire.
	End time.Time `json:"endDateTime,omitzero"`
}

// FactsOf reads what the server knows of a service principal.
func FactsOf(r catalogue.Resource) (PrincipalFacts, error) {
	var f PrincipalFacts
	if err := json.Unmarshal(r.Facts, &f); err != nil {
		return f, fmt.Errorf("read the facts of %s: %w", r.ID, err)
	}
	return f, nil
}

// DisplayNameOf is the name that its owner gave a service principal.
func DisplayNameOf(r catalogue.Resource) (string, error) {
	var b struct {
		Properties struct {
			DisplayName string `json:"displayName"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(r.Body, &b, json.MatchCaseInsensitiveNames(true)); err != nil {
		return "", coffer.Errorf(coffer.CodeInvalidContent, "the service principal cannot be read: %w", err).
			WithHint(`send {"properties": {"displayName": "..."}}`)
	}
	return b.Properties.DisplayName, nil
}

// PutPrincipal creates a service principal or replaces what its owner says of it; its object id and its secrets stay. It answers
// whether it was created. A new one has no secret: see AddSecret.
func (a *Access) PutPrincipal(ctx context.Context, by Caller, id catalogue.ID, body []byte, c catalogue.Condition) (put catalogue.Resource, created bool, err error) {
	r, err := readPrincipal(id, body)
	if err != nil {
		return catalogue.Resource{}, false, err
	}
	objectID, err := a.newObjectID()
	if err != nil {
		return catalogue.Resource{}, false, err
	}
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := tx.Resource(ctx, id)
		created = missing(err)
		next := r
		switch {
		case created:
			next.Created = by.stamp(at)
			next.Facts, err = json.Marshal(PrincipalFacts{Properties: PrincipalProperties{AppID: strings.ToLower(id.Name()), ObjectID: objectID, Secrets: []SecretInfo{}}})
		case err == nil:
			next.ID, next.Facts, next.Created = before.ID, before.Facts, before.Created
		}
		if err != nil {
			return err
		}
		next.Changed = by.stamp(at)
		put, err = a.putPrincipal(ctx, tx, by, access.ActionPrincipalWrite, before, next, c)
		return err
	})
	return put, created, err
}

// putPrincipal writes a service principal and its audit entry. A before without an ID is none.
func (a *Access) putPrincipal(ctx context.Context, tx catalogue.Tx, by Caller, action string, before, next catalogue.Resource, c catalogue.Condition) (catalogue.Resource, error) {
	put, err := tx.PutResource(ctx, next, c)
	if err != nil {
		return put, err
	}
	was, status := &before, http.StatusOK
	if before.ID == "" {
		was, status = nil, http.StatusCreated
	}
	return put, appendEntry(ctx, tx, by.entry(next.Changed.At, action, put.ID, status), was, &put)
}

func readPrincipal(id catalogue.ID, body []byte) (catalogue.Resource, error) {
	r := catalogue.Resource{ID: id, Body: body}
	if err := checkPrincipalID(id); err != nil {
		return r, err
	}
	name, err := DisplayNameOf(r)
	if err != nil {
		return r, err
	}
	if err := checkDisplayName("properties.displayName", name); err != nil {
		return r, err
	}
	return r, checkSize(id, body)
}

func checkPrincipalID(id catalogue.ID) error {
	if !strings.EqualFold(id.Type(), PrincipalType) || id.Parent() != "" || !catalogue.GUID(id.Name()) {
		return coffer.Errorf(coffer.CodeInvalidResourceID, "'%s' is not the id of a service principal", id).
			WithHint("write /providers/%s/CLIENT-ID, with a GUID as the client id", PrincipalType)
	}
	return nil
}

func checkDisplayName(field, name string) error {
	unprintable := strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	if strings.TrimSpace(name) == "" || len(name) > maxDisplayName || unprintable {
		return coffer.Errorf(coffer.CodeInvalidContent, "%s must be a name of 1 to %d printable characters", field, maxDisplayName).
			WithHint("give it a name by which people know what it is for")
	}
	return nil
}

// Principal is a service principal.
func (a *Access) Principal(ctx context.Context, id catalogue.ID) (r catalogue.Resource, err error) {
	err = a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		r, err = v.Resource(ctx, id)
		return err
	})
	return r, err
}

// Principals is one page of the service principals: after is the Key of the last one of the page before, and limit 1 to 1,000.
func (a *Access) Principals(ctx context.Context, after string, limit int) (page []catalogue.Resource, err error) {
	err = a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		page, err = v.Resources(ctx, catalogue.ResourceQuery{Type: PrincipalType, After: after, Limit: limit})
		return err
	})
	return page, err
}

// DeletePrincipal deletes a service principal, its secrets and its role assignments; tokens that it has end with it. It answers
// whether there was one. The last Owner at the root is not deleted.
func (a *Access) DeletePrincipal(ctx context.Context, by Caller, id catalogue.ID, c catalogue.Condition) (existed bool, err error) {
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := tx.Resource(ctx, id)
		existed = err == nil
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := a.dropAssignments(ctx, tx, by, before, at); err != nil {
			return err
		}
		if err := tx.DeleteResource(ctx, id, c); err != nil {
			return err
		}
		return appendEntry(ctx, tx, by.entry(at, access.ActionPrincipalDelete, before.ID, http.StatusOK), &before, nil)
	})
	return existed, err
}

// dropAssignments deletes all role assignments to a service principal, and those at it: who makes one of its name anew has not let
// anybody in.
func (a *Access) dropAssignments(ctx context.Context, tx catalogue.Tx, by Caller, principal catalogue.Resource, at time.Time) error {
	going, err := checkOthersOwn(ctx, tx, principal)
	if err != nil {
		return err
	}
	for _, g := range going {
		if err := deleteAssignment(ctx, tx, by, g.ID, at, catalogue.Condition{}); err != nil {
			return err
		}
	}
	return each(ctx, tx, catalogue.ResourceQuery{Type: access.AssignmentType, Under: principal.ID}, func(r catalogue.Resource) error {
		return deleteAssignment(ctx, tx, by, r.ID, at, catalogue.Condition{})
	})
}

// checkOthersOwn answers the assignments to a service principal, and an error if without them nobody would be Owner at the root.
func checkOthersOwn(ctx context.Context, v catalogue.View, principal catalogue.Resource) ([]access.Assignment, error) {
	facts, err := FactsOf(principal)
	if err != nil {
		return nil, err
	}
	going, err := assignedTo(ctx, v, facts.Properties.ObjectID)
	if err != nil {
		return nil, err
	}
	root, err := atRoot(ctx, v)
	if err != nil {
		return nil, err
	}
	return going, access.CheckOwnersRemain(root, going)
}
