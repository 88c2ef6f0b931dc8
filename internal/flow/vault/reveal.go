package vault

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// Reveal answers the secrets of a resource, by their names in its body. It is in the audit log before it is answered; the caller has
// seen to it that it is allowed.
func (k *Keeper) Reveal(ctx context.Context, by Caller, id catalogue.ID) (map[string]string, error) {
	kind, err := k.Kinds.of(id)
	if err != nil {
		return nil, err
	}
	if kind.Secrets == nil {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "a %s has no secrets", kind.Noun)
	}
	var r catalogue.Resource
	kept, err := view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (kept []catalogue.Secret, err error) {
		if r, err = v.Resource(ctx, id); err != nil {
			return nil, err
		}
		return v.Secrets(ctx, r.ID)
	})
	if err != nil {
		return nil, err
	}
	// A key service may be asked here, so it is not in a transaction that all other writers wait for.
	revealed := map[string]string{}
	for _, s := range kept {
		plain, err := kind.Secrets.Open(ctx, purposeOf(r.ID, s.Name), s.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open %s of %s: %w", s.Name, r.ID, err)
		}
		revealed[strings.TrimPrefix(s.Name, settingPrefix)] = string(plain)
	}
	entry := by.entry(k.now(), access.ActionReveal, r.ID, http.StatusOK)
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return tx.AppendAudit(ctx, entry) })
	if err != nil {
		return nil, err
	}
	return revealed, nil
}
