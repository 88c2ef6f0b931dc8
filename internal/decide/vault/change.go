package vault

import (
	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// change refuses what cannot be changed once a vault is there, and what cannot be undone.
func (r *reader) change(was Settings) {
	now := r.settings
	if now.Location != was.Location {
		r.Addf("location", "write "+was.Location+", or create another vault there", "is %s: a vault stays where it was created, in %s", now.Location, was.Location)
	}
	if now.Redundancy != was.Redundancy {
		r.Addf("properties.storageSettings", "write "+string(was.Redundancy)+", or create another vault",
			"has type %s: the redundancy is fixed when a vault is created, and is %s", now.Redundancy, was.Redundancy)
	}
	if was.CrossRegion == arm.StateEnabled && now.CrossRegion != was.CrossRegion {
		r.Addf("properties.featureSettings.crossRegionRestoreSettings.state", "leave it Enabled", "is %s: cross-region restore cannot be disabled once it is enabled", now.CrossRegion)
	}
	if was.CrossSubscription == arm.StatePermanentlyDisabled && now.CrossSubscription != was.CrossSubscription {
		r.Addf("properties.featureSettings.crossSubscriptionRestoreSettings.state", "leave it PermanentlyDisabled; another vault can have it Enabled",
			"is %s: it was disabled permanently", now.CrossSubscription)
	}
	if was.SoftDelete == arm.StateAlwaysOn && now.SoftDelete != was.SoftDelete {
		r.Addf("properties.securitySettings.softDeleteSettings.state", "leave it AlwaysOn", "is %s: soft delete that is AlwaysOn stays so", now.SoftDelete)
		r.Code(coffer.CodeSoftDeleteFixed)
	}
	if was.Immutability != arm.StateDisabled && now.Immutability != arm.StateDisabled {
		r.keepSoftDelete(was)
	}
	if was.Immutability == arm.StateLocked && now.Immutability != was.Immutability {
		r.Addf("properties.securitySettings.immutabilitySettings.state", "leave it Locked", "is %s: a locked vault stays locked", now.Immutability)
	}
}

// keepSoftDelete refuses to weaken soft delete in a vault that is immutable, and stays so.
func (r *reader) keepSoftDelete(was Settings) {
	const path = "properties.securitySettings.softDeleteSettings"
	hint := "leave it as it is"
	if was.Immutability == arm.StateUnlocked {
		hint += ", or set immutability to Disabled first"
	}
	now := r.settings
	switch {
	case was.SoftDelete == arm.StateOff:
	case now.SoftDelete == arm.StateOff:
		r.Addf(path+".state", hint, "is Off: soft delete of a vault that is immutable (%s) is not disabled", was.Immutability)
		r.Code(coffer.CodeSoftDeleteFixed)
	case now.SoftDeleteDays < was.SoftDeleteDays:
		r.Addf(path+".retentionDurationInDays", hint, "is %d: a vault that is immutable (%s) does not keep for less long than before, which is %d days", now.SoftDeleteDays, was.Immutability, was.SoftDeleteDays)
	}
}

// Contents is what a vault holds.
type Contents struct {
	// Instances are the names of backup instances, as many as are worth naming; Count is how many there are.
	Instances []string
	Count     int
	// SoftDeleted is how many were deleted and can still be had again.
	SoftDeleted int
	// Owed is how many recovery points have not gone from their clusters yet, up to as many as are worth counting.
	Owed int
}

// CheckDelete refuses to delete a vault that holds something: with it would go what nobody has asked to delete.
func CheckDelete(c Contents) error {
	const shown = 5
	switch {
	case c.Count > 0:
		names := ""
		for i, name := range c.Instances[:min(shown, len(c.Instances))] {
			if i > 0 {
				names += ", "
			}
			names += name
		}
		if more := c.Count - min(shown, len(c.Instances)); more > 0 && names != "" {
			names += ", ..."
		}
		return coffer.Errorf(coffer.CodeConflict, "the Backup vault holds %d backup instances (%s), and is deleted only without any", c.Count, names).
			WithHint("delete the backup instances first; that deletes their recovery points")
	case c.SoftDeleted > 0:
		return coffer.Errorf(coffer.CodeConflict, "the Backup vault holds %d deleted backup instances that can still be had again", c.SoftDeleted).
			WithHint("delete the vault when their retention has ended, see scheduledPurgeTime in deletedBackupInstances; or purge them: coffer backup-instance deleted-backup-instance purge")
	case c.Owed > 0:
		return coffer.Errorf(coffer.CodeConflict, "the Backup vault still has to delete recovery points in their clusters, %d at least", c.Owed).
			WithHint("delete the vault when they have gone; that takes until each of their clusters can be reached. Of one that never comes back, give them up: coffer backup-vault pending-deletions forget")
	}
	return nil
}
