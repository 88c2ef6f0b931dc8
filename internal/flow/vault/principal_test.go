package vault_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	guid1 = "00000000-0000-4000-8000-000000000001"
	guid2 = "00000000-0000-4000-8000-000000000002"
	guid3 = "00000000-0000-4000-8000-000000000003"
)

var named = []byte(`{"properties":{"displayName":"terraform","owner":{"team":7}}}`)

func mustPrincipal(t *testing.T, w *vaultworld.World, by vault.Caller, clientID string) catalogue.ID {
	t.Helper()
	id := vault.PrincipalID(clientID)
	if _, _, err := w.Access.PutPrincipal(t.Context(), by, id, named, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	return id
}

func mustSecret(t *testing.T, w *vaultworld.World, by vault.Caller, id catalogue.ID, n vault.NewSecret) vault.IssuedSecret {
	t.Helper()
	s, err := w.Access.AddSecret(t.Context(), by, id, n)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustFacts(t *testing.T, w *vaultworld.World, id catalogue.ID) vault.PrincipalProperties {
	t.Helper()
	r, err := w.Access.Principal(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	f, err := vault.FactsOf(r)
	if err != nil {
		t.Fatal(err)
	}
	return f.Properties
}

func mustAudit(t *testing.T, w *vaultworld.World) (entries []catalogue.AuditEntry) {
	t.Helper()
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) (err error) {
		entries, err = v.Audit(ctx, catalogue.AuditQuery{Limit: 1000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestTheFirstAdministratorIsMadeOnce(t *testing.T) {
	w := vaultworld.New(t)
	var wait sync.WaitGroup
	answers := make([]vault.Administrator, 4)
	offered := make([]vault.ClientCredential, 4)
	for i := range answers {
		wait.Go(func() {
			var err error
			if offered[i], err = vault.NewCredential(rand.Reader); err == nil {
				answers[i], err = w.Access.EnsureAdministrator(t.Context(), offered[i])
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	made := 0
	for i, a := range answers {
		if a.ClientID != answers[0].ClientID {
			t.Errorf("%+v is not %+v", a, answers[0])
		}
		if a.Made {
			made++
			if offered[i].ClientID != a.ClientID {
				t.Errorf("%s was made of %s", a.ClientID, offered[i].ClientID)
			}
		}
	}
	if made != 1 {
		t.Errorf("%d were made", made)
	}
	// The one that was made may do everything, and offering its credential again, as after a crash, changes nothing.
	who := w.MustCaller(t, vault.PrincipalID(answers[0].ClientID))
	mustPrincipal(t, w, who, guid1)
	held := mustHeld(t, w, who.Principal)
	if d := access.Decide(who.Principal, held, access.ActionReveal, ""); !d.Allowed {
		t.Error(d.Reason)
	}
	again, err := w.Access.EnsureAdministrator(t.Context(), vault.ClientCredential{ClientID: answers[0].ClientID, Secret: offered[0].Secret})
	if err != nil || again.Made || again.ClientID != answers[0].ClientID {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAPrincipalKeepsItsIdentityWhenItIsPutAgain(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	id := mustPrincipal(t, w, admin, guid1)
	mustSecret(t, w, admin, id, vault.NewSecret{DisplayName: "ci"})
	before := mustFacts(t, w, id)
	forged := []byte(`{"properties":{"displayName":"other","objectId":"` + admin.Principal.ObjectID + `","passwordCredentials":[]}}`)
	put, created, err := w.Access.PutPrincipal(t.Context(), admin, vault.PrincipalID(strings.ToUpper(guid1)), forged, catalogue.Condition{})
	if err != nil || created {
		t.Fatalf("created: %v, %v", created, err)
	}
	after := mustFacts(t, w, id)
	if after.ObjectID != before.ObjectID || len(after.Secrets) != 1 || put.Version < 3 || !catalogue.Minted(after.ObjectID) {
		t.Errorf("%+v became %+v", before, after)
	}
	if name, err := vault.DisplayNameOf(put); err != nil || name != "other" {
		t.Errorf("%s, %v", name, err)
	}
	last := mustAudit(t, w)[0]
	if last.Action != access.ActionPrincipalWrite || !bytes.Contains(last.Before, []byte(`"team":7`)) || !bytes.Contains(last.After, []byte(before.ObjectID)) || bytes.Contains(last.After, []byte(`"objectId":"`+admin.Principal.ObjectID)) {
		t.Errorf("%+v: %s", last, last.After)
	}
}

func TestPrincipalsThatAreRefused(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	for name, c := range map[string]struct {
		id   catalogue.ID
		body string
		code coffer.Code
	}{
		"a client id that is no GUID": {vault.PrincipalID("me"), string(named), coffer.CodeInvalidResourceID},
		"another type":                {"/providers/Coffer.Backup/settings/" + guid1, string(named), coffer.CodeInvalidResourceID},
		"in a subscription":           {"/subscriptions/s" + vault.PrincipalID(guid1), string(named), coffer.CodeInvalidResourceID},
		"no name":                     {vault.PrincipalID(guid1), `{}`, coffer.CodeInvalidContent},
		"a name of a newline":         {vault.PrincipalID(guid1), `{"properties":{"displayName":"a\nb"}}`, coffer.CodeInvalidContent},
		"a name of 300 letters":       {vault.PrincipalID(guid1), `{"properties":{"displayName":"` + strings.Repeat("a", 300) + `"}}`, coffer.CodeInvalidContent},
		"no JSON":                     {vault.PrincipalID(guid1), `nothing`, coffer.CodeInvalidContent},
	} {
		if _, _, err := w.Access.PutPrincipal(t.Context(), admin, c.id, []byte(c.body), catalogue.Condition{}); coffer.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsComeAndGo(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	id := mustPrincipal(t, w, admin, guid1)
	first := mustSecret(t, w, admin, id, vault.NewSecret{Lifetime: time.Hour})
	second := mustSecret(t, w, admin, id, vault.NewSecret{DisplayName: "second"})
	if !second.Info.End.Equal(w.Clock.Now().Add(365 * 24 * time.Hour)) {
		t.Errorf("it ends at %s", second.Info.End)
	}
	w.Clock.Move(2 * time.Hour)
	third := mustSecret(t, w, admin, id, vault.NewSecret{})
	if got := keyIDs(mustFacts(t, w, id)); got != second.Info.KeyID+" "+third.Info.KeyID {
		t.Errorf("after the first (%s) expired there are %s", first.Info.KeyID, got)
	}
	if err := w.Access.DeleteSecret(t.Context(), admin, id, second.Info.KeyID); err != nil {
		t.Error(err)
	}
	if err := w.Access.DeleteSecret(t.Context(), admin, id, second.Info.KeyID); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	only := mustSecret(t, w, admin, id, vault.NewSecret{Only: true})
	if got := keyIDs(mustFacts(t, w, id)); got != only.Info.KeyID {
		t.Errorf("after a reset there are %s", got)
	}
	var kept []catalogue.Secret
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) (err error) {
		kept, err = v.Secrets(ctx, id)
		return err
	})
	if err != nil || len(kept) != 1 || kept[0].Name != only.Info.KeyID {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
	for _, e := range mustAudit(t, w) {
		for _, s := range []vault.IssuedSecret{first, second, third, only} {
			if bytes.Contains(e.Before, []byte(s.Text)) || bytes.Contains(e.After, []byte(s.Text)) {
				t.Errorf("the audit log has a secret: %s", e.After)
			}
		}
	}
	if bytes.Contains(kept[0].Sealed, []byte(only.Text)) {
		t.Error("the secret is kept as it is")
	}
}

func keyIDs(p vault.PrincipalProperties) string {
	var ids []string
	for _, s := range p.Secrets {
		ids = append(ids, s.KeyID)
	}
	return strings.Join(ids, " ")
}

// Who makes one of its name anew has not let anybody in.
func TestRolesAtAServicePrincipalGoWithIt(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	id := mustPrincipal(t, w, admin, guid1)
	mustAssign(t, w, admin, id, guid2, access.OwnerID, ann)
	mustAssign(t, w, admin, id, guid3, access.ReaderID, mustFacts(t, w, id).ObjectID)
	if existed, err := w.Access.DeletePrincipal(t.Context(), admin, id, catalogue.Condition{}); err != nil || !existed {
		t.Fatal(existed, err)
	}
	mustPrincipal(t, w, admin, guid1)
	if held := mustHeld(t, w, catalogue.Principal{ObjectID: ann}); len(held) != 0 {
		t.Errorf("a stranger has %+v", held)
	}
}

func TestSecretsHaveBounds(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	id := mustPrincipal(t, w, admin, guid1)
	for name, n := range map[string]vault.NewSecret{
		"no time": {Lifetime: time.Second}, "a time that is over": {Lifetime: -time.Hour}, "ten years": {Lifetime: 10 * 365 * 24 * time.Hour},
		"a name of control characters": {DisplayName: "\x00"},
	} {
		if _, err := w.Access.AddSecret(t.Context(), admin, id, n); coffer.CodeOf(err) != coffer.CodeInvalidContent {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 10 {
		mustSecret(t, w, admin, id, vault.NewSecret{})
	}
	if _, err := w.Access.AddSecret(t.Context(), admin, id, vault.NewSecret{}); coffer.CodeOf(err) != coffer.CodeTooManySecrets {
		t.Errorf("an eleventh: %v", err)
	}
	if _, err := w.Access.AddSecret(t.Context(), admin, vault.PrincipalID(guid2), vault.NewSecret{}); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("of nobody: %v", err)
	}
}

func TestTheLastOwnerCannotLockEverybodyOut(t *testing.T) {
	w := vaultworld.New(t)
	credential, admin := w.MustAdministrator(t)
	id := vault.PrincipalID(credential.ClientID)
	own := mustFacts(t, w, id).Secrets[0].KeyID
	mustBeLast := func(what string, err error) {
		t.Helper()
		if coffer.CodeOf(err) != coffer.CodeLastOwner {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := w.Access.DeletePrincipal(t.Context(), admin, id, catalogue.Condition{})
	mustBeLast("deleting the principal", err)
	mustBeLast("deleting its secret", w.Access.DeleteSecret(t.Context(), admin, id, own))
	held := mustHeld(t, w, admin.Principal)
	_, _, err = w.Access.DeleteAssignment(t.Context(), admin, held[0].ID, catalogue.Condition{})
	mustBeLast("taking the role away", err)
	if got := mustHeld(t, w, admin.Principal); len(got) != 1 || len(mustFacts(t, w, id).Secrets) != 1 {
		t.Errorf("something went: %+v", got)
	}

	other := mustPrincipal(t, w, admin, guid1)
	mustAssign(t, w, admin, "", guid2, access.OwnerID, mustFacts(t, w, other).ObjectID)
	if existed, err := w.Access.DeletePrincipal(t.Context(), admin, id, catalogue.Condition{}); err != nil || !existed {
		t.Errorf("with another Owner: %v, %v", existed, err)
	}
	if got := mustHeld(t, w, admin.Principal); len(got) != 0 {
		t.Errorf("its assignments stayed: %+v", got)
	}
	if existed, err := w.Access.DeletePrincipal(t.Context(), admin, id, catalogue.Condition{}); err != nil || existed {
		t.Errorf("deleted twice: %v, %v", existed, err)
	}
	mustBeLast("the other one then", func() error {
		_, err := w.Access.DeletePrincipal(t.Context(), admin, other, catalogue.Condition{})
		return err
	}())
}

func TestPrincipalsAreListedInPages(t *testing.T) {
	w := vaultworld.New(t)
	_, admin := w.MustAdministrator(t)
	for i := range 5 {
		mustPrincipal(t, w, admin, fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", i))
	}
	seen, after := map[string]bool{}, ""
	for {
		page, err := w.Access.Principals(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			seen[r.ID.Key()] = true
			after = r.ID.Key()
		}
		if len(page) < 2 {
			break
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d were listed", len(seen))
	}
}
