package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/credential"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// errWrongCredentials says that there is no such client, or that this is not a secret of its.
var errWrongCredentials = errors.New("wrong client credentials")

// client is a service principal that showed a secret of its.
type client struct {
	clientID, objectID, name, secretID string
}

// authenticate finds the service principal that has this secret. For a client that there is none of it does the same work, so that
// the time tells nothing.
func (a *Authority) authenticate(ctx context.Context, clientID string, secret credential.Text, now time.Time) (client, error) {
	clientID = strings.ToLower(clientID)
	secretID, formed := credential.ID(secret)
	if !catalogue.GUID(clientID) || !formed {
		return client{}, errWrongCredentials
	}
	var r catalogue.Resource
	var kept []catalogue.Secret
	err := a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) (err error) {
		r, err = principal(ctx, v, clientID)
		if err != nil {
			return err
		}
		kept, err = v.Secrets(ctx, vault.PrincipalID(clientID))
		if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
			err = nil
		}
		return err
	})
	if err != nil {
		return client{}, fmt.Errorf("look for a client: %w", err)
	}
	sealed, owner := a.nobody, noOwner
	for _, s := range kept {
		if s.Name == secretID && (s.Expires.IsZero() || now.Before(s.Expires)) {
			sealed, owner = s.Sealed, s.Owner
		}
	}
	hash, err := a.config.Sealer.Open(ctx, credential.SealPurpose(owner), sealed)
	if err != nil {
		return client{}, fmt.Errorf("open the secret %s of client %s: %w", secretID, clientID, err)
	}
	if !credential.Holds(hash, clientID, secret) || r.ID == "" {
		return client{}, errWrongCredentials
	}
	facts, err := vault.FactsOf(r)
	if err != nil {
		return client{}, err
	}
	name, err := vault.DisplayNameOf(r)
	if err != nil {
		return client{}, err
	}
	return client{clientID: clientID, objectID: facts.Properties.ObjectID, name: name, secretID: secretID}, nil
}

// principal is a service principal; without an ID, if there is none.
func principal(ctx context.Context, v catalogue.View, clientID string) (catalogue.Resource, error) {
	r, err := v.Resource(ctx, vault.PrincipalID(clientID))
	if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
		return catalogue.Resource{}, nil
	}
	return r, err
}

// still says whether a service principal is there as a token says, and the secret that the token was got with.
func (a *Authority) still(ctx context.Context, c ownClaims, now time.Time) (bool, error) {
	var r catalogue.Resource
	err := a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) (err error) {
		r, err = principal(ctx, v, c.AppID)
		return err
	})
	if err != nil || r.ID == "" {
		return false, err
	}
	facts, err := vault.FactsOf(r)
	if err != nil || facts.Properties.ObjectID != c.ObjectID {
		return false, err
	}
	for _, s := range facts.Properties.Secrets {
		if s.KeyID == c.SecretID {
			return s.End.IsZero() || now.Before(s.End), nil
		}
	}
	return false, nil
}
