package runner_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/tiering"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/tiertest"
)

const (
	otherVault    = group + "/providers/Microsoft.DataProtection/backupVaults/v2"
	otherInstance = otherVault + "/backupInstances/two"
)

// newOtherVault adds a vault with an instance of the same cluster and a policy.
func (w *tiered) newOtherVault(policy string) {
	w.t.Helper()
	w.put(otherVault, vaultBody("Off", "Disabled"))
	const binding = clusterID + "/trustedAccessRoleBindings/b2"
	w.put(binding, `{"properties":{"sourceResourceId":"`+string(otherVault)+`","roles":["`+vault.BackupOperator+`"]}}`)
	pending, err := w.jobs.Keeper.Get(w.t.Context(), binding)
	if err != nil {
		w.t.Fatal(err)
	}
	w.setFacts(binding, strings.Replace(string(pending.Facts), `"state":"Pending"`, `"state":"Approved"`, 1))
	w.cluster.Bind(w.identityOf(otherVault), true)
	w.put(otherVault+"/backupPolicies/pol", policy)
	one, err := w.jobs.Keeper.Get(w.t.Context(), instanceID)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(otherInstance, strings.ReplaceAll(string(one.Body), string(vaultID), string(otherVault)))
	w.until(w.Clock.Now())
}

// copied counts the recovery points of the other vault that are in the vault tier.
func (w *tiered) copied() (n int) {
	w.t.Helper()
	points, err := w.jobs.Keeper.Points(w.t.Context(), catalogue.PointQuery{Instance: otherInstance, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range points {
		if strings.Contains(string(p.Body), `"VaultStore"`) {
			n++
		}
	}
	return n
}

var copyAll = vaultPolicy(allBackups, lifecycleOf("OperationalStore", "P7D", atOnce)+","+lifecycleOf("VaultStore", "P30D"))

// hangingOf has all calls for a vault hang.
func hangingOf(vault catalogue.ID) func(string, catalogue.VaultCopyID) tiertest.Fault {
	return func(_ string, id catalogue.VaultCopyID) tiertest.Fault {
		if id.Vault.Is(vault) {
			return tiertest.Hanging
		}
		return tiertest.Sound
	}
}

// TestAVaultWhoseTierHangsKeepsNoOtherWaiting holds that the copies of other vaults are made while its own do not come to an end.
func TestAVaultWhoseTierHangsKeepsNoOtherWaiting(t *testing.T) {
	w := newTiered(t, copyAll)
	w.newOtherVault(copyAll)
	w.faulty.Break(hangingOf(vaultID))
	one := w.newTiering()
	ctx, cancel := context.WithCancel(t.Context())
	var looks sync.WaitGroup
	defer looks.Wait()
	defer cancel()
	slot := day(5).Add(-time.Minute)
	w.backUp(slot)
	looks.Go(func() { _ = one.Look(ctx) })
	deadline := time.Now().Add(30 * time.Second)
	for w.faulty.Hanging() == 0 || w.copied() == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls hang, %d copies are made", w.faulty.Hanging(), w.copied())
		}
	}
	for n := 2; n <= 4; n++ {
		w.backUp(slot.Add(time.Duration(n-1) * 24 * time.Hour))
		if err := one.Look(ctx); err != nil {
			t.Fatal(err)
		}
		if got := w.copied(); got != n {
			t.Errorf("%d copies of the other vault, want %d", got, n)
		}
	}
	if n := w.faulty.Hanging(); n != 1 {
		t.Errorf("%d calls hang", n)
	}
}

// TestATierThatHangsIsNotAskedForAllThatIsDue holds that what is due behind it comes to its turn: what is not asked for is due later.
func TestATierThatHangsIsNotAskedForAllThatIsDue(t *testing.T) {
	const due = 30
	w := newTiered(t, copyAll)
	for n := range due {
		w.backUp(day(5).Add(time.Duration(n)*24*time.Hour - time.Minute))
	}
	if found, err := w.jobs.CopiesDue(t.Context(), 2*due); err != nil || len(found) != due {
		t.Fatalf("%d copies are due: %v", len(found), err)
	}
	var mu sync.Mutex
	calls := 0
	w.faulty.Break(func(string, catalogue.VaultCopyID) tiertest.Fault {
		mu.Lock()
		defer mu.Unlock()
		calls++
		return tiertest.Hanging
	})
	one := tiering.New(tiering.Config{
		Jobs: w.jobs, Tier: w.faulty, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now, LookTime: 200 * time.Millisecond,
	})
	if err := one.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if calls == 0 || calls >= due {
		t.Errorf("of %d that are due, %d were asked for", due, calls)
	}
	if left, err := w.jobs.CopiesDue(t.Context(), due); err != nil || len(left) != 0 {
		t.Errorf("%d are due at once again, %v", len(left), err)
	}
	for _, j := range w.tierings() {
		if !strings.Contains(j.ExtendedInfo.AdditionalDetails["Waiting"], "has not answered") {
			t.Errorf("a job says %v", j.ExtendedInfo.AdditionalDetails)
		}
	}
}
