package guard

import (
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

func TestOperationsAreToldApart(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range Operations() {
		for _, text := range []string{o.Name, o.Word, o.Request} {
			if key := strings.ToLower(text); text == "" || seen[key] {
				t.Errorf("%q stands for two operations", text)
			} else {
				seen[key] = true
			}
			if found, ok := Find(strings.ToUpper(text)); !ok || found != o {
				t.Errorf("%q is found as %+v", text, found)
			}
		}
	}
	if _, ok := Find("nothing"); ok {
		t.Error("nothing is an operation")
	}
	requests := Requests()
	slices.Sort(requests)
	if len(slices.Compact(slices.Clone(requests))) != len(requests) {
		t.Errorf("a request is there twice: %v", requests)
	}
	// What the typed clients of Azure list.
	for _, r := range []string{
		"deleteProtectedItemRequests", "updateProtectedItemRequests", "updateProtectionPolicyRequests", "disableSoftDeleteRequests", "deleteResourceGuardProxyRequests",
		"getBackupSecurityPINRequests", "deleteBackupInstanceRequests", "dppDisableStopProtectionRequests",
	} {
		if !slices.Contains(requests, r) {
			t.Errorf("a guard has no %s", r)
		}
	}
}

func TestWhatAGuardCannotLeaveOut(t *testing.T) {
	for _, c := range []struct {
		names   []string
		refused bool
	}{
		{nil, false},
		{[]string{"Microsoft.DataProtection/backupVaults/backupInstances/delete", "microsoft.dataprotection/BACKUPVAULTS/write#reduceImmutabilityState"}, false},
		{[]string{"Microsoft.DataProtection/backupVaults/backupInstances/restore/action", "Coffer.Backup/recoveryPoints/releaseHold/action"}, false},
		{[]string{"Microsoft.RecoveryServices/vaults/backupSecurityPIN/action"}, false},
		{[]string{"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete"}, true},
		{[]string{"Microsoft.DataProtection/backupVaults/write#reduceSoftDeleteSecurity"}, true},
		{[]string{"MICROSOFT.DATAPROTECTION/backupVaults/write#reduceSoftDeleteSecurity"}, true},
		{[]string{"Microsoft.RecoveryServices/vaults/backupconfig/write"}, true},
		{[]string{"Microsoft.DataProtection/backupVaults/backupInstances/delete", "Microsoft.DataProtection/backupVaults/delete"}, true},
		{[]string{""}, true},
		{[]string{"*"}, true},
		{[]string{"DeleteBackupInstance"}, true},
	} {
		if err := CheckExclusions(c.names); (err != nil) != c.refused || err != nil && coffer.CodeOf(err) != coffer.CodeInvalidExclusions {
			t.Errorf("%q: %v", c.names, err)
		}
	}
	all := Covered(nil)
	if len(all) != len(Operations()) {
		t.Errorf("a guard without a list covers %d", len(all))
	}
	var names []string
	for _, o := range Operations() {
		names = append(names, o.Name)
	}
	if left := Covered(names); len(left) != 2 || left[0] != Unguard || left[1] != ReduceSoftDelete {
		t.Errorf("left of all: %+v", left)
	}
}

func TestWhatReducesTheSecurityOfAVault(t *testing.T) {
	s := func(soft arm.Word, days int, immutability arm.Word) vault.Settings {
		return vault.Settings{SoftDelete: soft, SoftDeleteDays: days, Immutability: immutability}
	}
	on, off, always := arm.StateOn, arm.StateOff, arm.StateAlwaysOn
	disabled, unlocked, locked := arm.StateDisabled, arm.StateUnlocked, arm.StateLocked
	for _, c := range []struct {
		name     string
		was, now vault.Settings
		want     []Operation
	}{
		{"nothing", s(on, 14, disabled), s(on, 14, disabled), nil},
		{"more of everything", s(on, 14, disabled), s(always, 30, locked), nil},
		{"soft delete that is switched on", s(off, 30, disabled), s(on, 14, disabled), nil},
		{"soft delete off", s(on, 14, disabled), s(off, 14, disabled), []Operation{ReduceSoftDelete}},
		{"soft delete that was for good", s(always, 14, disabled), s(on, 14, disabled), []Operation{ReduceSoftDelete}},
		{"fewer days", s(on, 30, disabled), s(on, 29, disabled), []Operation{ReduceSoftDelete}},
		{"fewer days of what is off", s(off, 30, disabled), s(off, 14, disabled), nil},
		{"fewer days, for good", s(on, 30, disabled), s(always, 14, disabled), []Operation{ReduceSoftDelete}},
		{"immutability off", s(on, 14, unlocked), s(on, 14, disabled), []Operation{ReduceImmutability}},
		{"unlocked", s(on, 14, locked), s(on, 14, unlocked), []Operation{ReduceImmutability}},
		{"both", s(on, 14, locked), s(off, 14, disabled), []Operation{ReduceSoftDelete, ReduceImmutability}},
	} {
		if got := Reductions(c.was, c.now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
