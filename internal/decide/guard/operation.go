// Package guard decides on resource guards: which operations on a Backup vault are critical, which of them a guard covers, and whether
// somebody else than the one who asks has agreed to one.
package guard

import (
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Type is the resource type of guards, and Proxy that of what puts a vault under one.
const (
	Type  = "Microsoft.DataProtection/resourceGuards"
	Proxy = vaults + "/backupResourceGuardProxies"
)

const (
	vaults    = "Microsoft.DataProtection/backupVaults"
	instances = vaults + "/backupInstances"
)

// Operation is one that a guard may cover.
type Operation struct {
	// Name is what exclusion lists call it, in Azure's words where it has them, and Word what people do: both are compared without case.
	Name, Word string
	// Request is the last word of the type of the guard's operation requests for it.
	Request string
	// Mandatory ones cannot be excluded.
	Mandatory bool
	// What it is, for people: "delete a backup instance".
	What string
}

// Action is what a role has to allow at the guard for the operation. Azure's roles call reading a request .../read, which a Reader may: that
// is what somebody needs who puts a vault under the guard, and is no leave to go past it.
func (o Operation) Action() string { return Type + "/" + o.Request + "/action" }

// The operations.
var (
	Unguard = Operation{
		Name: Proxy + "/delete", Word: "DisableMUA", Request: "deleteResourceGuardProxyRequests", Mandatory: true,
		What: "take the vault from under its resource guard",
	}
	ReduceSoftDelete = Operation{
		Name: vaults + "/write#reduceSoftDeleteSecurity", Word: "ReduceSoftDelete", Request: "dppReduceSoftDeleteSecurityRequests", Mandatory: true,
		What: "disable or shorten soft delete",
	}
	ReduceImmutability = Operation{
		Name: vaults + "/write#reduceImmutabilityState", Word: "ReduceImmutability", Request: "dppReduceImmutabilityStateRequests",
		What: "disable immutability",
	}
	ModifyEncryption = Operation{
		Name: vaults + "/write#modifyEncryptionSettings", Word: "ModifyEncryption", Request: "dppModifyEncryptionSettingsRequests",
		What: "change the encryption settings",
	}
	DeleteInstance = Operation{
		Name: instances + "/delete", Word: "DeleteBackupInstance", Request: "deleteBackupInstanceRequests",
		What: "delete or purge a backup instance",
	}
	StopProtection = Operation{
		Name: instances + "/stopProtection/action", Word: "StopProtection", Request: "dppDisableStopProtectionRequests",
		What: "stop the protection of a backup instance",
	}
	SuspendBackups = Operation{
		Name: instances + "/suspendBackups/action", Word: "SuspendBackups", Request: "dppDisableSuspendBackupsRequests",
		What: "suspend the backups of a backup instance",
	}
	// The request of MovePolicy ends otherwise than the others do: clients of Azure send it so.
	MovePolicy = Operation{
		Name: instances + "/write", Word: "ModifyPolicy", Request: "dppModifyPolicy",
		What: "have a backup instance follow a policy that protects it less",
	}
	ChangePolicy = Operation{
		Name: vaults + "/backupPolicies/write", Word: "UpdatePolicy", Request: "updateProtectionPolicyRequests",
		What: "change a backup policy so that it protects less",
	}
	Restore = Operation{
		Name: instances + "/restore/action", Word: "Restore", Request: "dppTriggerRestoreRequests",
		What: "restore a recovery point",
	}
	ReleaseHold = Operation{
		Name: "Coffer.Backup/recoveryPoints/releaseHold/action", Word: "ReleaseHold", Request: "releaseHoldRequests",
		What: "release a legal hold",
	}
)

// Operations are all of them.
func Operations() []Operation {
	return []Operation{
		Unguard, ReduceSoftDelete, ReduceImmutability, ModifyEncryption, DeleteInstance, StopProtection, SuspendBackups, MovePolicy, ChangePolicy, Restore, ReleaseHold,
	}
}

// Requests are the types of operation requests that a guard has: those of the operations, and those that Azure has for vaults of another
// kind, which clients may list.
func Requests() []string {
	var all []string
	for _, o := range Operations() {
		all = append(all, o.Request)
	}
	return append(all, "deleteProtectedItemRequests", "updateProtectedItemRequests", "disableSoftDeleteRequests", "getBackupSecurityPINRequests")
}

// Find is the operation that a name, a word or a request stands for.
func Find(text string) (Operation, bool) {
	all := Operations()
	at := slices.IndexFunc(all, func(o Operation) bool {
		return strings.EqualFold(o.Name, text) || strings.EqualFold(o.Word, text) || strings.EqualFold(o.Request, text)
	})
	if at < 0 {
		return Operation{}, false
	}
	return all[at], true
}

// elsewhere are the operations that Azure's guards cover on vaults of another kind, and whether they are mandatory. A guard may be for
// both, so they may be excluded as there; here nothing comes of it.
var elsewhere = map[string]bool{
	"microsoft.recoveryservices/vaults/backupconfig/write":                                                              true,
	"microsoft.recoveryservices/vaults/backupresourceguardproxies/delete":                                               true,
	"microsoft.recoveryservices/vaults/backupconfig/delete":                                                             false,
	"microsoft.recoveryservices/vaults/backupencryptionconfigs/backupresourceencryptionconfig/write":                    false,
	"microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/delete":                                       false,
	"microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems/delete":                        false,
	"microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems/recoverypoints/restore/action": false,
	"microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems/write":                         false,
	"microsoft.recoveryservices/vaults/backuppolicies/write":                                                            false,
	"microsoft.recoveryservices/vaults/backupresourceguardproxies/write":                                                false,
	"microsoft.recoveryservices/vaults/backupsecuritypin/action":                                                        false,
	"microsoft.recoveryservices/vaults/write#modifyencryptionsettings":                                                  false,
	"microsoft.recoveryservices/vaults/write#reduceimmutabilitystate":                                                   false,
}

// CheckExclusions refuses a list of operations that a guard is not to cover with one that is mandatory, or that nobody knows: whoever
// misspells one believes something else of the guard than it does.
func CheckExclusions(names []string) error {
	for _, name := range names {
		mandatory, known := elsewhere[strings.ToLower(name)]
		if o, ok := Find(name); ok && strings.EqualFold(o.Name, name) {
			mandatory, known = o.Mandatory, true
		}
		switch {
		case mandatory:
			return coffer.Errorf(coffer.CodeInvalidExclusions, "vaultCriticalOperationExclusionList names %s, which every resource guard covers", name).WithHint("leave it out of the list")
		case !known:
			return coffer.Errorf(coffer.CodeInvalidExclusions, "vaultCriticalOperationExclusionList names %.200q, which is no critical operation", name).WithHint("write some of: %s", strings.Join(excludable(), ", "))
		}
	}
	return nil
}

func excludable() []string {
	var names []string
	for _, o := range Operations() {
		if !o.Mandatory {
			names = append(names, o.Name)
		}
	}
	return names
}

// Covered are the operations that a guard covers whose exclusion list this is.
func Covered(excluded []string) []Operation {
	return slices.DeleteFunc(Operations(), func(o Operation) bool { return o.excluded(excluded) })
}

func (o Operation) excluded(names []string) bool {
	return !o.Mandatory && slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, o.Name) })
}
