package vault

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Access are the use cases of who may do what: service principals, their secrets, role assignments. It may be used concurrently.
type Access struct {
	config AccessConfig
}

// AccessConfig is what Access needs; all of it.
type AccessConfig struct {
	Database catalogue.Database
	Sealer   catalogue.Sealer
	// NowFunc is the clock, and Random gives random bytes that nobody can guess; both may be used concurrently.
	NowFunc func() time.Time
	Random  io.Reader
}

// NewAccess makes the use cases.
func NewAccess(c AccessConfig) (*Access, error) {
	if c.Database == nil || c.Sealer == nil || c.NowFunc == nil || c.Random == nil {
		return nil, errMissingConfig
	}
	return &Access{config: c}, nil
}

// now is the time as it is kept: in UTC, to the microsecond.
func (a *Access) now() time.Time { return a.config.NowFunc().UTC().Truncate(time.Microsecond) }

func (a *Access) newGUID() (string, error) { return newGUID(a.config.Random) }

func newGUID(random io.Reader) (string, error) {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return id.String(), nil
}

func (a *Access) newObjectID() (string, error) {
	var random [16]byte
	if _, err := io.ReadFull(a.config.Random, random[:]); err != nil {
		return "", fmt.Errorf("make an object id: %w", err)
	}
	return catalogue.MintObjectID(random), nil
}

// pageSize is how many resources are read at a time.
const pageSize = 1000

// each calls visit for all resources that a query selects, whatever its Limit.
func each(ctx context.Context, v catalogue.View, q catalogue.ResourceQuery, visit func(r catalogue.Resource) error) error {
	for q.Limit = pageSize; ; {
		page, err := v.Resources(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page {
			if err := visit(r); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		q.After = page[len(page)-1].ID.Key()
	}
}

// Held are the role assignments of a principal and of its groups, at whatever scope: what access.Decide decides by.
func Held(ctx context.Context, v catalogue.View, who catalogue.Principal) ([]access.Assignment, error) {
	var held []access.Assignment
	for _, id := range append([]string{who.ObjectID}, who.Groups...) {
		found, err := assignedTo(ctx, v, id)
		if err != nil {
			return nil, err
		}
		held = append(held, found...)
	}
	return held, nil
}

// assignedTo are the assignments whose principal is spelled like this one, case aside. access.Decide has the last word on whose they
// are.
func assignedTo(ctx context.Context, v catalogue.View, objectID string) ([]access.Assignment, error) {
	if objectID == "" {
		return nil, nil
	}
	var found []access.Assignment
	link := linkTo(objectID)
	err := each(ctx, v, catalogue.ResourceQuery{Type: access.AssignmentType, Linked: &link}, func(r catalogue.Resource) error {
		a, err := readKept(r)
		if err != nil {
			return err
		}
		found = append(found, a)
		return nil
	})
	return found, err
}

// readKept reads an assignment of the database. It was checked when it was put there: what is wrong with it now is nothing that the
// caller did, so the error has no code.
func readKept(r catalogue.Resource) (access.Assignment, error) {
	a, err := access.ReadAssignment(r.ID, r.Body)
	if err != nil {
		return a, fmt.Errorf("read the kept role assignment %s: %s", r.ID, err.Error())
	}
	a.GivenBy = r.Created.By
	return a, nil
}

// atRoot are the assignments at the root of the tenant.
func atRoot(ctx context.Context, v catalogue.View) ([]access.Assignment, error) {
	var found []access.Assignment
	err := each(ctx, v, catalogue.ResourceQuery{Type: access.AssignmentType}, func(r catalogue.Resource) error {
		if r.ID.Parent() != "" {
			return nil
		}
		a, err := readKept(r)
		if err != nil {
			return err
		}
		found = append(found, a)
		return nil
	})
	return found, err
}

func linkTo(objectID string) catalogue.Link {
	return catalogue.Link{Relation: catalogue.LinkPrincipal, Target: strings.ToLower(objectID)}
}
