package vault_test

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/credential"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

func mustCredential(t *testing.T) vault.ClientCredential {
	t.Helper()
	c, err := vault.NewCredential(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOneCredentialOfferedBySeveralIsMadeOnceAndHoldsForAll(t *testing.T) {
	w := vaultworld.New(t)
	if made, err := w.Access.Administered(t.Context()); made || err != nil {
		t.Errorf("at first: %v, %v", made, err)
	}
	c := mustCredential(t)
	var wait sync.WaitGroup
	answers := make([]vault.Administrator, 4)
	for i := range answers {
		wait.Go(func() {
			var err error
			if answers[i], err = w.Access.EnsureAdministrator(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	made := 0
	for _, a := range answers {
		if a.Made {
			made++
		}
		if !a.Valid || a.ClientID != c.ClientID {
			t.Errorf("%+v, and %s was offered", a, c.ClientID)
		}
	}
	if made != 1 {
		t.Errorf("%d were made", made)
	}
	if made, err := w.Access.Administered(t.Context()); !made || err != nil {
		t.Errorf("then: %v, %v", made, err)
	}
}

func TestACredentialIsTheAdministratorsOnlyWhileItLetsThemIn(t *testing.T) {
	w := vaultworld.New(t)
	first, admin := w.MustAdministrator(t)
	other := mustCredential(t)
	mustAnswer := func(when string, c vault.ClientCredential, valid bool) {
		t.Helper()
		got, err := w.Access.EnsureAdministrator(t.Context(), c)
		if err != nil || got.Made || got.Valid != valid || got.ClientID != first.ClientID {
			t.Errorf("%s: %+v, %v", when, got, err)
		}
	}
	mustAnswer("the one that was made of it", first, true)
	mustAnswer("in another spelling", vault.ClientCredential{ClientID: strings.ToUpper(first.ClientID), Secret: first.Secret}, true)
	mustAnswer("another's", other, false)
	mustAnswer("another's secret", vault.ClientCredential{ClientID: first.ClientID, Secret: other.Secret}, false)
	mustAnswer("another's client id", vault.ClientCredential{ClientID: other.ClientID, Secret: first.Secret}, false)
	keyID, _ := credential.ID(first.Secret)
	forged := credential.Text("cofs_" + keyID + string(other.Secret[len("cofs_")+len(keyID):]))
	mustAnswer("a secret with the right id", vault.ClientCredential{ClientID: first.ClientID, Secret: forged}, false)

	id := vault.PrincipalID(first.ClientID)
	second := mustSecret(t, w, admin, id, vault.NewSecret{Only: true, Lifetime: time.Hour})
	mustAnswer("after a reset", first, false)
	mustAnswer("the one after a reset", vault.ClientCredential{ClientID: first.ClientID, Secret: second.Text}, true)
	w.Clock.Move(time.Hour)
	mustAnswer("after its end", vault.ClientCredential{ClientID: first.ClientID, Secret: second.Text}, false)

	// Whoever was deleted stays deleted.
	heir := mustPrincipal(t, w, admin, guid1)
	mustAssign(t, w, admin, "", guid2, access.OwnerID, mustFacts(t, w, heir).ObjectID)
	if _, err := w.Access.DeletePrincipal(t.Context(), admin, id, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	mustAnswer("after they were deleted", first, false)
	if _, err := w.Access.Principal(t.Context(), id); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("they are back: %v", err)
	}
}

func TestCredentialsThatNobodyCanHaveMakeNoAdministrator(t *testing.T) {
	w := vaultworld.New(t)
	good := mustCredential(t)
	for name, c := range map[string]struct {
		offered vault.ClientCredential
		code    coffer.Code
	}{
		"nothing":           {vault.ClientCredential{}, coffer.CodeInvalidResourceID},
		"a name as the id":  {vault.ClientCredential{ClientID: "admin", Secret: good.Secret}, coffer.CodeInvalidResourceID},
		"a person's secret": {vault.ClientCredential{ClientID: good.ClientID, Secret: "hunter2"}, coffer.CodeInvalidContent},
	} {
		if _, err := w.Access.EnsureAdministrator(t.Context(), c.offered); coffer.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if made, err := w.Access.Administered(t.Context()); made || err != nil {
		t.Errorf("there is one: %v, %v", made, err)
	}
}
