package vault

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/credential"
)

// administratorMark is there since the first administrator was made, whatever became of them.
const administratorMark catalogue.ID = "/providers/Coffer.Backup/settings/firstAdministrator"

// ClientCredential is a client id and its secret.
type ClientCredential struct {
	ClientID string
	Secret   credential.Text
}

// Administrator says who the first administrator is.
type Administrator struct {
	ClientID string `json:"clientId"`
	// Made says that it was made just now.
	Made bool `json:"-"`
	// Valid says that the credential that was offered is theirs, and lets them in.
	Valid bool `json:"-"`
}

// NewCredential makes a credential that nobody has yet, for EnsureAdministrator. Random is as in AccessConfig.
func NewCredential(random io.Reader) (ClientCredential, error) {
	clientID, err := newGUID(random)
	if err != nil {
		return ClientCredential{}, err
	}
	_, text, err := newSecret(random)
	return ClientCredential{ClientID: clientID, Secret: text}, err
}

// Administered answers whether the first administrator was made already.
func (a *Access) Administered(ctx context.Context) (made bool, err error) {
	err = a.config.Database.View(ctx, func(ctx context.Context, v catalogue.View) error {
		mark, err := find(ctx, v, administratorMark)
		made = mark != nil
		return err
	})
	return made, err
}

// EnsureAdministrator makes a service principal that is Owner at the root with this credential, unless the first administrator was
// made before; it is made exactly once, also where several replicas start together. Its secret does not expire, for nobody could
// give it another.
//
// The credential comes from the caller so that the process may die after any line: keep it durably first, call this, and throw it
// away where the answer has another client id. The next start offers what was kept. Several processes may offer the same one.
func (a *Access) EnsureAdministrator(ctx context.Context, c ClientCredential) (admin Administrator, err error) {
	made, err := a.administrator(ctx, c)
	if err != nil {
		return Administrator{}, err
	}
	var kept []catalogue.Secret
	err = a.config.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		mark, err := find(ctx, tx, administratorMark)
		if err != nil {
			return err
		}
		if mark == nil {
			admin = Administrator{ClientID: strings.ToLower(c.ClientID), Made: true, Valid: true}
			return a.makeAdministrator(ctx, tx, made, admin)
		}
		admin = Administrator{}
		if err := json.Unmarshal(mark.Facts, &admin); err != nil {
			return fmt.Errorf("read who the first administrator is: %w", err)
		}
		kept, err = tx.Secrets(ctx, PrincipalID(admin.ClientID))
		return err
	})
	if err != nil || admin.Made {
		return admin, err
	}
	admin.Valid, err = a.holds(ctx, admin, kept, c)
	return admin, err
}

// holds answers whether a credential is the administrator's by the secrets that are kept of them.
func (a *Access) holds(ctx context.Context, admin Administrator, kept []catalogue.Secret, c ClientCredential) (bool, error) {
	owner := PrincipalID(admin.ClientID)
	keyID, _ := credential.ID(c.Secret)
	at := a.now()
	for _, s := range kept {
		if s.Name != keyID || !s.Expires.IsZero() && !at.Before(s.Expires) {
			continue
		}
		hash, err := a.config.Sealer.Open(ctx, credential.SealPurpose(owner), s.Sealed)
		if err != nil {
			return false, fmt.Errorf("open a client secret of the first administrator: %w", err)
		}
		return strings.EqualFold(c.ClientID, admin.ClientID) && credential.Holds(hash, owner.Name(), c.Secret), nil
	}
	return false, nil
}

// firstAdministrator is what is written for the first administrator.
type firstAdministrator struct {
	principal  catalogue.Resource
	secret     catalogue.Secret
	assignment access.Assignment
	body       []byte
}

// administrator prepares what is written, outside of the transaction.
func (a *Access) administrator(ctx context.Context, c ClientCredential) (firstAdministrator, error) {
	id := PrincipalID(strings.ToLower(c.ClientID))
	r, err := readPrincipal(id, []byte(`{"properties":{"displayName":"administrator"}}`))
	if err != nil {
		return firstAdministrator{}, err
	}
	keyID, ok := credential.ID(c.Secret)
	if !ok {
		return firstAdministrator{}, coffer.Errorf(coffer.CodeInvalidContent, "the secret that is offered for the first administrator has not the form of one").
			WithHint("make one with `coffer-server new-credential`")
	}
	objectID, err := a.newObjectID()
	if err != nil {
		return firstAdministrator{}, err
	}
	guid, err := a.newGUID()
	if err != nil {
		return firstAdministrator{}, err
	}
	sealed, err := a.seal(ctx, id, c.Secret)
	if err != nil {
		return firstAdministrator{}, err
	}
	secrets := []SecretInfo{{KeyID: keyID, DisplayName: "first administrator", Start: a.now()}}
	if r.Facts, err = json.Marshal(PrincipalFacts{PrincipalProperties{AppID: id.Name(), ObjectID: objectID, Secrets: secrets}}); err != nil {
		return firstAdministrator{}, fmt.Errorf("write the facts of the first administrator: %w", err)
	}
	body := fmt.Sprintf(`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/%s","principalId":"%s","principalType":"ServicePrincipal"}}`, access.OwnerID, objectID)
	assignment, err := access.ReadAssignment(catalogue.ID("/providers/"+access.AssignmentType+"/"+guid), []byte(body))
	return firstAdministrator{principal: r, secret: catalogue.Secret{Owner: id, Name: keyID, Sealed: sealed}, assignment: assignment, body: []byte(body)}, err
}

// makeAdministrator writes the service principal, its secret, its assignment and the mark.
func (a *Access) makeAdministrator(ctx context.Context, tx catalogue.Tx, f firstAdministrator, admin Administrator) error {
	at := a.now()
	by := Caller{Principal: catalogue.Principal{Name: "coffer-server"}}
	f.principal.Created, f.principal.Changed = by.stamp(at), by.stamp(at)
	if _, err := a.putPrincipal(ctx, tx, by, access.ActionPrincipalWrite, catalogue.Resource{}, f.principal, catalogue.Condition{New: true}); err != nil {
		return err
	}
	if err := tx.PutSecret(ctx, f.secret); err != nil {
		return err
	}
	if _, err := putAssignment(ctx, tx, by, f.assignment, catalogue.Resource{}, f.body, at, catalogue.Condition{New: true}); err != nil {
		return err
	}
	facts, err := json.Marshal(admin)
	if err != nil {
		return fmt.Errorf("write who the first administrator is: %w", err)
	}
	mark := catalogue.Resource{ID: administratorMark, Body: []byte(`{}`), Facts: facts, Created: by.stamp(at), Changed: by.stamp(at)}
	_, err = tx.PutResource(ctx, mark, catalogue.Condition{New: true})
	return err
}
