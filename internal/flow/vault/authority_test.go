package vault_test

import (
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

func TestTheServersCertificateHoldsWhateverTheClockDoes(t *testing.T) {
	w := vaultworld.New(t)
	a, err := vault.OpenAuthority(t.Context(), w.Database, w.Sealer, w.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	serve := a.Serve([]string{"localhost"})
	const day = 24 * time.Hour
	// It begins in the wrong year, is set right, and goes on.
	for _, move := range []time.Duration{365 * day, -364 * day, 59 * day, 2 * day, 89 * day} {
		w.Clock.Move(move)
		c, err := serve(nil)
		if now := w.Clock.Now(); err != nil || now.Before(c.Leaf.NotBefore) || !now.Before(c.Leaf.NotAfter) {
			t.Fatalf("after %s it is %s: %v, %v", move, now, err, c)
		}
	}
}
