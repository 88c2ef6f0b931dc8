package vault

import (
	"context"
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
	now := k.now()
	var revealed map[string]string
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		revealed = map[string]string{}
		r, err := tx.Resource(ctx, id)
		if err != nil {
			return err
		}
		kept, err := tx.Secrets(ctx, r.ID)
		if err != nil {
			return err
		}
		for _, s := range kept {
			plain, err := kind.Secrets.Open(ctx, settingPurpose(r.ID, s.Name), s.Sealed)
			if err != nil {
				return err
			}
			revealed[strings.TrimPrefix(s.Name, settingPrefix)] = string(plain)
		}
		return tx.AppendAudit(ctx, by.entry(now, access.ActionReveal, r.ID, http.StatusOK))
	})
	return revealed, err
}
