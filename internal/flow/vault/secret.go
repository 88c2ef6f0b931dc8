package vault

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/credential"
)

// Bounds of client secrets. How long they live is as in Azure: a year, if nothing is said, and two at most.
const (
	secretsPerPrincipal = 10
	defaultLifetime     = 365 * 24 * time.Hour
	maxLifetime         = 2 * defaultLifetime
)

// NewSecret is what is asked for with a new client secret.
type NewSecret struct {
	// DisplayName may be empty.
	DisplayName string
	// Lifetime is how long it is good for; zero is a year.
	Lifetime time.Duration
	// Only says that all other secrets of the service principal end with this one's beginning.
	Only bool
}

// IssuedSecret is a client secret as it is shown, once.
type IssuedSecret struct {
	Info SecretInfo
	Text credential.Text
}

// AddSecret makes a client secret for a service principal. The answer is the only time that it is to be had. Secrets that have
// expired are cleared away.
func (a *Access) AddSecret(ctx context.Context, by Caller, id catalogue.ID, n NewSecret) (IssuedSecret, error) {
	issued, err := a.issue(n)
	if err != nil {
		return IssuedSecret{}, err
	}
	sealed, err := a.seal(ctx, id, issued.Text)
	if err != nil {
		return IssuedSecret{}, err
	}
	at := a.now()
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		return a.changeSecrets(ctx, tx, by, access.ActionSecretWrite, id, at, func(r catalogue.Resource, had []SecretInfo) ([]SecretInfo, error) {
			kept := slices.DeleteFunc(had, func(s SecretInfo) bool { return n.Only || expired(s, at) })
			if len(kept) >= secretsPerPrincipal {
				return nil, coffer.Errorf(coffer.CodeTooManySecrets, "the service principal %s has %d secrets already, which is as many as are possible", id.Name(), len(kept)).
					WithHint("delete one that is not in use, or reset them")
			}
			return append(kept, issued.Info), tx.PutSecret(ctx, catalogue.Secret{Owner: r.ID, Name: issued.Info.KeyID, Sealed: sealed, Expires: issued.Info.End})
		})
	})
	if err != nil {
		return IssuedSecret{}, err
	}
	return issued, nil
}

// DeleteSecret ends a client secret, and all tokens that were got with it. The last one of the last Owner at the root stays, for
// nobody could come back in.
func (a *Access) DeleteSecret(ctx context.Context, by Caller, id catalogue.ID, keyID string) error {
	at := a.now()
	return a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		return a.changeSecrets(ctx, tx, by, access.ActionSecretDelete, id, at, func(r catalogue.Resource, had []SecretInfo) ([]SecretInfo, error) {
			kept := slices.DeleteFunc(slices.Clone(had), func(s SecretInfo) bool { return s.KeyID == keyID })
			if len(kept) == len(had) {
				return nil, coffer.Errorf(coffer.CodeResourceNotFound, "the service principal %s has no secret '%s'", id.Name(), keyID).
					WithHint("show the service principal to see the ids of its secrets")
			}
			if !slices.ContainsFunc(kept, func(s SecretInfo) bool { return !expired(s, at) }) {
				if _, err := checkOthersOwn(ctx, tx, r); err != nil {
					return nil, err
				}
			}
			return kept, nil
		})
	})
}

// changeSecrets changes which secrets a service principal has: those that change does not answer are deleted.
func (a *Access) changeSecrets(ctx context.Context, tx catalogue.Tx, by Caller, action string, id catalogue.ID, at time.Time,
	change func(r catalogue.Resource, had []SecretInfo) ([]SecretInfo, error),
) error {
	if err := checkPrincipalID(id); err != nil {
		return err
	}
	before, err := tx.Resource(ctx, id)
	if err != nil {
		return err
	}
	facts, err := FactsOf(before)
	if err != nil {
		return err
	}
	had := slices.Clone(facts.Properties.Secrets)
	if facts.Properties.Secrets, err = change(before, slices.Clone(had)); err != nil {
		return err
	}
	for _, s := range had {
		if slices.ContainsFunc(facts.Properties.Secrets, func(k SecretInfo) bool { return k.KeyID == s.KeyID }) {
			continue
		}
		if err := tx.DeleteSecret(ctx, id, s.KeyID); err != nil {
			return err
		}
	}
	next := before
	next.Changed = by.stamp(at)
	if next.Facts, err = json.Marshal(facts); err != nil {
		return fmt.Errorf("write the facts of %s: %w", id, err)
	}
	_, err = a.putPrincipal(ctx, tx, by, action, before, next, catalogue.Condition{Version: before.Version})
	return err
}

func expired(s SecretInfo, at time.Time) bool { return !s.End.IsZero() && !at.Before(s.End) }

// issue makes a secret.
func (a *Access) issue(n NewSecret) (IssuedSecret, error) {
	if n.DisplayName != "" {
		if err := checkDisplayName("displayName", n.DisplayName); err != nil {
			return IssuedSecret{}, err
		}
	}
	if n.Lifetime == 0 {
		n.Lifetime = defaultLifetime
	}
	if n.Lifetime < time.Minute || n.Lifetime > maxLifetime {
		return IssuedSecret{}, coffer.Errorf(coffer.CodeInvalidContent, "a client secret cannot be good for %s", n.Lifetime).
			WithHint("take a minute at least, and %d days at most", maxLifetime/(24*time.Hour))
	}
	id, text, err := newSecret(a.config.Random)
	at := a.now()
	return IssuedSecret{Text: text, Info: SecretInfo{KeyID: id, DisplayName: n.DisplayName, Start: at, End: at.Add(n.Lifetime)}}, err
}

func newSecret(random io.Reader) (id string, text credential.Text, err error) {
	var raw [credential.RandomSize]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", "", fmt.Errorf("make a client secret: %w", err)
	}
	id, text = credential.Make(raw)
	return id, text, nil
}

func (a *Access) seal(ctx context.Context, owner catalogue.ID, text credential.Text) ([]byte, error) {
	sealed, err := a.config.Sealer.Seal(ctx, credential.SealPurpose(owner), credential.Hash(owner.Name(), text))
	if err != nil {
		return nil, fmt.Errorf("seal a client secret: %w", err)
	}
	return sealed, nil
}
