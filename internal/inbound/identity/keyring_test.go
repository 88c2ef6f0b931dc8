package identity_test

import (
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/identity"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

func TestReplicasTakeEachOthersTokens(t *testing.T) {
	w := newWorld(t)
	var wait sync.WaitGroup
	replicas := make([]*identity.Authority, 3)
	for i := range replicas {
		wait.Go(func() { replicas[i] = w.mustReplica(t) })
	}
	wait.Wait()
	for i, issuing := range replicas {
		w.authority = issuing
		token := w.mustToken(t)
		for j, verifying := range replicas {
			if _, err := verifying.Authenticate(t.Context(), "Bearer "+token); err != nil {
				t.Errorf("replica %d of a token of %d: %v", j, i, err)
			}
		}
	}
}

func TestReplicasThatStartTogetherMakeOneKey(t *testing.T) {
	w := newWorld(t)
	fresh := vaultworld.New(t)
	w.config.Database, w.config.Sealer = fresh.Database, fresh.Sealer
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() { w.mustReplica(t) })
	}
	wait.Wait()
	err := fresh.Database.View(t.Context(), func(ctx ctx, v catalogue.View) error {
		secrets, err := v.Secrets(ctx, "/providers/Coffer.Backup/tokenIssuers/"+tenant)
		if len(secrets) != 1 {
			t.Errorf("%d keys were made", len(secrets))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSigningKeysRotate(t *testing.T) {
	w := newWorld(t)
	other := w.mustReplica(t)
	w.Clock.Move(30*24*time.Hour - time.Minute)
	old := w.mustToken(t)
	w.Clock.Move(2 * time.Minute)
	next := w.mustToken(t)
	if mustHeader(t, old)["kid"] == mustHeader(t, next)["kid"] {
		t.Error("the key did not rotate")
	}
	for what, token := range map[string]string{"old": old, "next": next} {
		for _, a := range []*identity.Authority{w.authority, other} {
			if _, err := a.Authenticate(t.Context(), "Bearer "+token); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	// An old key is cleared away with the rotation after, when nothing that it signed is good any more.
	w.Clock.Move(31 * 24 * time.Hour)
	w.mustToken(t)
	var kept []catalogue.Secret
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) (err error) {
		kept, err = v.Secrets(ctx, "/providers/Coffer.Backup/tokenIssuers/"+tenant)
		return err
	})
	if err != nil || len(kept) != 1 {
		t.Errorf("%d keys are kept, %v", len(kept), err)
	}
}

func TestAKeyThatIsNewElsewhereIsFound(t *testing.T) {
	w := newWorld(t)
	other := w.mustReplica(t)
	w.Clock.Move(31 * 24 * time.Hour)
	if _, err := other.Authenticate(t.Context(), "Bearer x.y.z"); err == nil {
		t.Error("x.y.z was taken")
	}
	// The other replica reads the keys now, and a few seconds later there is one that it has not seen.
	w.mustRefuseBy(t, other, w.mustForged(t))
	w.Clock.Move(3 * time.Second)
	if _, err := other.Authenticate(t.Context(), "Bearer "+w.mustToken(t)); err != nil {
		t.Error(err)
	}
}

func (w *world) mustForged(t *testing.T) string {
	t.Helper()
	return mustSign(t, "ES256", mustKey(t), map[string]any{"iss": public + "/" + tenant + "/v2.0"})
}

func (w *world) mustRefuseBy(t *testing.T, a *identity.Authority, token string) {
	t.Helper()
	if _, err := a.Authenticate(t.Context(), "Bearer "+token); coffer.CodeOf(err) != coffer.CodeTokenInvalid {
		t.Error(err)
	}
}

func TestAServerWithAnotherSealerDoesNotStart(t *testing.T) {
	w := newWorld(t)
	w.config.Sealer = vaultworld.MustSealer(t)
	if _, err := identity.New(t.Context(), w.config); err == nil {
		t.Error("it started, as if there were no keys")
	}
}

func TestASigningKeyDoesNotLieInTheDatabaseAsItIs(t *testing.T) {
	w := newWorld(t)
	err := w.Database.View(t.Context(), func(ctx ctx, v catalogue.View) error {
		secrets, err := v.Secrets(ctx, "/providers/Coffer.Backup/tokenIssuers/"+tenant)
		for _, s := range secrets {
			if _, err := w.Sealer.Open(ctx, "token-signing-key /providers/coffer.backup/tokenissuers/"+tenant, s.Sealed); err != nil {
				t.Error(err)
			}
			if _, err := w.Sealer.Open(ctx, "client-secret /providers/coffer.backup/tokenissuers/"+tenant, s.Sealed); err == nil {
				t.Error("it opens for another purpose")
			}
		}
		if len(secrets) != 1 {
			t.Errorf("%d keys", len(secrets))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
