package access

import "slices"

// The GUIDs of the roles that decisions name.
const (
	OwnerID         = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
	AccessAdminID   = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
	ContributorID   = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	ReaderID        = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	BackupContribID = "5e467623-bb1f-42f4-a55d-6e525e11384b"
	BackupOperID    = "00c29273-979b-4161-815c-10b084fb9324"
	BackupReaderID  = "a795c7a0-d4a2-40c1-ae25-d81f01202912"
	MUAOperatorID   = "f54b6d04-23c6-443e-b462-9c16ab7b4a52"
	MUAAdminID      = "c2a970b4-16a7-4a51-8c84-8a8ea6ee0bb8"
)

// The actions that ARM has no word for.
const (
	// ActionReveal shows secret values. Only Owner allows it.
	ActionReveal = "Coffer.Backup/secrets/reveal/action"
	// ActionHold puts a recovery point under legal hold, and ActionReleaseHold ends that. Only Owner allows the second: who deletes
	// backups is not to end what keeps them.
	ActionHold        = "Coffer.Backup/recoveryPoints/hold/action"
	ActionReleaseHold = "Coffer.Backup/recoveryPoints/releaseHold/action"
	// ActionPurge deletes for good what was deleted and could be had again. Who may delete does not have it by that.
	ActionPurge = "Coffer.Backup/deletedBackupInstances/purge/action"
	// ActionContents shows what a recovery point holds, secrets masked. It is no read, for it shows what is in the cluster: who may
	// restore may look, but not everybody who may see that there is a backup.
	ActionContents = "Coffer.Backup/recoveryPoints/contents/action"
	// ActionCoverage shows what a recovery point covers, without what is in it.
	ActionCoverage = "Coffer.Backup/recoveryPoints/coverage/read"
	// ActionPlan and ActionDiff show what a restore would do.
	ActionPlan = "Coffer.Backup/recoveryPoints/plan/action"
	ActionDiff = "Coffer.Backup/recoveryPoints/diff/action"
	// ActionSearch looks for an object across recovery points.
	ActionSearch = "Coffer.Backup/recoveryPoints/search/action"
	// ActionJoinToken makes what a cluster joins by, ActionLeave ends its joining, and ActionJoin is what a connector does with the token.
	ActionJoinToken = "Coffer.Backup/clusters/joinToken/action" //nolint:gosec // The name of an action.
	ActionLeave     = "Coffer.Backup/clusters/leave/action"
	ActionJoin      = "Coffer.Backup/clusters/join/action"
	// ActionKubeconfig has a cluster join by a kubeconfig.
	ActionKubeconfig = "Coffer.Backup/clusters/kubeconfig/action"
	// ActionConsent lets a vault act in a cluster, where that has allowed it to be decided here. Only Owner allows it.
	ActionConsent = "Coffer.Backup/consents/give/action"
	// ActionSettings is of a cluster that has changed where it writes recovery points to, as the settings of its extension name it. Who puts those needs ActionConsent.
	ActionSettings = "Coffer.Backup/clusters/settings/action"
	// ActionReport and ActionLogs show what a job has done, and ActionInventory what a cluster has to choose from.
	ActionReport    = "Coffer.Backup/backupJobs/report/action"
	ActionLogs      = "Coffer.Backup/backupJobs/logs/action"
	ActionInventory = "Coffer.Backup/clusters/inventory/action"
	// ActionAlertRead shows alerts of a vault, ActionAlertAcknowledge and ActionAlertClose say that somebody looks after one, or has done so.
	ActionAlertRead        = "Coffer.Backup/alerts/read"
	ActionAlertAcknowledge = "Coffer.Backup/alerts/acknowledge/action"
	ActionAlertClose       = "Coffer.Backup/alerts/close/action"
	// ActionPendingRead shows what has expired and is not deleted yet, and ActionSlotRead what became of the times of a schedule.
	ActionPendingRead = "Coffer.Backup/pendingDeletions/read"
	ActionSlotRead    = "Coffer.Backup/slots/read"
	// ActionMeterRead shows what a vault takes up.
	ActionMeterRead = "Coffer.Backup/meter/read"
	// ActionOrphanRead shows what is in clusters and in no catalogue, and the reverse, and ActionOrphanRemove removes it.
	ActionOrphanRead   = "Coffer.Backup/orphans/read"
	ActionOrphanRemove = "Coffer.Backup/orphans/remove/action"
	// ActionForgetDeletions gives up deleting what has expired in a cluster. Who may delete does not have it by that.
	ActionForgetDeletions = "Coffer.Backup/pendingDeletions/forget/action"
	// ActionPrincipalRead to ActionSecretDelete are about service principals. All but reading are Owner's alone: a secret of a service
	// principal is all that it may do.
	ActionPrincipalRead   = "Coffer.Backup/servicePrincipals/read"
	ActionPrincipalWrite  = "Coffer.Backup/servicePrincipals/write"
	ActionPrincipalDelete = "Coffer.Backup/servicePrincipals/delete"
	ActionSecretWrite     = "Coffer.Backup/servicePrincipals/secrets/write"  //nolint:gosec // A word, and no secret.
	ActionSecretDelete    = "Coffer.Backup/servicePrincipals/secrets/delete" //nolint:gosec // A word, and no secret.
)

// The actions of role assignments.
const (
	ActionAssignmentRead   = "Microsoft.Authorization/roleAssignments/read"
	ActionAssignmentWrite  = "Microsoft.Authorization/roleAssignments/write"
	ActionAssignmentDelete = "Microsoft.Authorization/roleAssignments/delete"
)

// Roles are all there are, the weakest first. The caller owns the slice.
func Roles() []Role {
	return slices.Concat(backupRoles(), guardRoles(), generalRoles(), elsewhereRoles())
}

// guardRoles are those of resource guards. Azure's allow more, all that is read and done in Microsoft.DataProtection: they are assigned at a
// guard, where that comes to the same, and above vaults it would be too much.
func guardRoles() []Role {
	const guards = "Microsoft.DataProtection/resourceGuards"
	const proxies = "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies"
	reads := []string{"Microsoft.Authorization/*/read", "Microsoft.Resources/subscriptions/resourceGroups/read", guards + "/read", guards + "/*/read"}
	return []Role{
		{
			ID: MUAOperatorID, Name: "Backup MUA Operator", Description: "Backup MultiUser-Authorization. Allows user to perform critical operation protected by resourceguard",
			Actions: append(slices.Clone(reads), guards+"/*/action"),
		},
		{
			ID: MUAAdminID, Name: "Backup MUA Admin", Description: "Backup MultiUser-Authorization. Can create/delete ResourceGuard",
			Actions: append(slices.Clone(reads), guards+"/write", guards+"/delete", proxies+"/read", proxies+"/write", proxies+"/delete", proxies+"/unlockDelete/action"),
		},
	}
}

func generalRoles() []Role {
	return []Role{
		{ID: ReaderID, Name: "Reader", Description: "View all resources, but does not allow you to make any changes.", Actions: []string{"*/read"}},
		{
			ID: ContributorID, Name: "Contributor",
			Description: "Grants full access to manage all resources, but does not allow you to assign roles, to manage service principals, to see secret values, to consent for a cluster or to release legal holds.",
			Actions:     []string{"*"},
			NotActions: []string{
				"Microsoft.Authorization/*/delete", "Microsoft.Authorization/*/write", "Microsoft.Authorization/elevateAccess/action",
				"Coffer.Backup/secrets/*", "Coffer.Backup/consents/*", ActionReleaseHold,
				"Coffer.Backup/servicePrincipals/write", "Coffer.Backup/servicePrincipals/delete",
				"Coffer.Backup/servicePrincipals/*/write", "Coffer.Backup/servicePrincipals/*/delete", "Coffer.Backup/servicePrincipals/*/action",
			},
		},
		{
			ID: AccessAdminID, Name: "User Access Administrator", Description: "Lets you manage user access to resources.",
			Actions: []string{"*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"},
		},
		{ID: OwnerID, Name: "Owner", Description: "Grants full access to manage all resources, including the ability to assign roles.", Actions: []string{"*"}},
	}
}

// The backup roles have what Azure gives them on provider Microsoft.DataProtection. Jobs are added, which in Azure are read through
// Resource Graph, and what ARM has no word for.
func backupRoles() []Role {
	reader := []string{
		"Microsoft.Authorization/*/read",
		"Microsoft.Resources/subscriptions/resourceGroups/read",
		"Microsoft.DataProtection/operations/read",
		"Microsoft.DataProtection/locations/getBackupStatus/action",
		"Microsoft.DataProtection/locations/operationStatus/read",
		"Microsoft.DataProtection/locations/operationResults/read",
		"Microsoft.DataProtection/locations/deletedVaults/read",
		"Microsoft.DataProtection/backupVaults/read",
		"Microsoft.DataProtection/backupVaults/operationStatus/read",
		"Microsoft.DataProtection/backupVaults/operationResults/read",
		"Microsoft.DataProtection/backupVaults/backupPolicies/read",
		"Microsoft.DataProtection/backupVaults/backupInstances/read",
		"Microsoft.DataProtection/backupVaults/backupInstances/operationResults/read",
		"Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/read",
		"Microsoft.DataProtection/backupVaults/backupInstances/findRestorableTimeRanges/action",
		"Microsoft.DataProtection/backupVaults/deletedBackupInstances/read",
		"Microsoft.DataProtection/backupVaults/backupJobs/read",
		"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/read",
		"Microsoft.DataProtection/subscriptions/resourceGroups/providers/locations/fetchCrossRegionRestoreJobs/action",
		"Microsoft.DataProtection/subscriptions/resourceGroups/providers/locations/fetchCrossRegionRestoreJob/action",
		"Microsoft.DataProtection/subscriptions/resourceGroups/providers/locations/fetchSecondaryRecoveryPoints/action",
		ActionCoverage, ActionAlertRead, ActionPendingRead, ActionSlotRead, ActionMeterRead, ActionOrphanRead,
	}
	operator := append(slices.Clone(reader),
		"Microsoft.Storage/storageAccounts/read",
		"Microsoft.DataProtection/locations/checkFeatureSupport/action",
		"Microsoft.DataProtection/backupVaults/validateForBackup/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/write",
		"Microsoft.DataProtection/backupVaults/backupInstances/backup/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/validateForModifyBackup/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/validateRestore/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/restore/action",
		"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/write",
		"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete",
		"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/unlockDelete/action",
		"Microsoft.DataProtection/subscriptions/resourceGroups/providers/locations/crossRegionRestore/action",
		"Microsoft.DataProtection/subscriptions/resourceGroups/providers/locations/validateCrossRegionRestore/action",
		"Microsoft.DataProtection/backupVaults/backupJobs/cancel/action",
		ActionContents, ActionPlan, ActionDiff, ActionSearch, ActionReport, ActionLogs, ActionInventory, ActionAlertAcknowledge, ActionAlertClose,
	)
	contributor := append(slices.Clone(operator),
		"Microsoft.DataProtection/locations/checkNameAvailability/action",
		"Microsoft.DataProtection/backupVaults/write",
		"Microsoft.DataProtection/backupVaults/backupPolicies/write",
		"Microsoft.DataProtection/backupVaults/backupPolicies/delete",
		"Microsoft.DataProtection/backupVaults/backupInstances/delete",
		"Microsoft.DataProtection/backupVaults/backupInstances/suspendBackups/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/resumeBackups/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/stopProtection/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/resumeProtection/action",
		"Microsoft.DataProtection/backupVaults/backupInstances/sync/action",
		"Microsoft.DataProtection/backupVaults/deletedBackupInstances/undelete/action",
		ActionHold, ActionOrphanRemove,
	)
	return []Role{
		{ID: BackupReaderID, Name: "Backup Reader", Description: "Can view backup services, but can't make changes", Actions: reader},
		{ID: BackupOperID, Name: "Backup Operator", Description: "Lets you manage backup services, except removal of backup, vault creation and giving access to others", Actions: operator},
		{ID: BackupContribID, Name: "Backup Contributor", Description: "Lets you manage backups, but can't delete vaults and give access to others", Actions: contributor},
	}
}

// elsewhereRoles are those that the instructions for AKS Backup assign to the identities of vaults, clusters and extensions, for
// what lies in Azure. They allow nothing here.
func elsewhereRoles() []Role {
	role := func(id, name, description string) Role {
		return Role{ID: id, Name: name, Description: description, Elsewhere: true}
	}
	return []Role{
		role("17d1049b-9a84-46fb-8f53-869881c3d3ab", "Storage Account Contributor", "Lets you manage storage accounts, including accessing storage account keys."),
		role("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor", "Allows for read, write and delete access to blob containers and data."),
		role("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner", "Allows for full access to blob containers and data."),
		role("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1", "Storage Blob Data Reader", "Allows for read access to blob containers and data."),
		role("69566ab7-960f-475b-8e7c-b3118f30c6bd", "Storage File Data Privileged Contributor", "Allows for full access to file shares and data."),
		role("7efff54f-a5b4-42b5-a1c5-5411624893ce", "Disk Snapshot Contributor", "Lets a backup vault manage snapshots of disks."),
		role("959f8984-c045-4866-89c7-12bf9737be2e", "Data Operator for Managed Disks", "Lets you read and write the data of managed disks and snapshots."),
	}
}
