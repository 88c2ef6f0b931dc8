package instance

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

// RestoreCase is a restore that somebody asks for.
type RestoreCase struct {
	// Instance is the one whose recovery point is restored, Cluster what it backs up, and Settings those of its vault.
	Instance, Cluster catalogue.ID
	Settings          vault.Settings
	// Pairs are regions of one's own that are paired.
	Pairs vault.Pairs
	// Tiers are those that the recovery point of the request (see PointName) lies in; none if there is no such recovery point.
	Tiers []arm.Word
	// Request is the request, and At its path in the body.
	Request *arm.RestoreRequest
	At      string
}

// Restore is a restore that can be made.
type Restore struct {
	Point  string
	Tier   arm.Word
	Target catalogue.ID
	// Original says that the target is the cluster that was backed up.
	Original bool
	// StagingGroup and StagingAccount are where a recovery point of the vault tier is hydrated.
	StagingGroup, StagingAccount catalogue.ID
	// Location is the storage location of the target that holds the recovery point.
	Location string

	spec v1alpha1.RestoreSpec
}

// Spec is what the run in the target is told: backup is the name of the recovery point in the blob container of a location.
func (r Restore) Spec(backup, location string) v1alpha1.RestoreSpec {
	spec := *r.spec.DeepCopy()
	spec.BackupName, spec.StorageLocation = backup, location
	return spec
}

// PointName is the name of the recovery point that a request is about: clients send it, or the whole id. It is empty if there is
// none, or if it is of another instance.
func PointName(request *arm.RestoreRequest, instance catalogue.ID) string {
	if request == nil || !strings.Contains(request.RecoveryPointID, "/") {
		if request == nil {
			return ""
		}
		return request.RecoveryPointID
	}
	id, err := catalogue.ParseID(request.RecoveryPointID)
	if err != nil || !id.Parent().Is(instance) || !strings.EqualFold(id.Type(), instance.Type()+"/recoveryPoints") {
		return ""
	}
	return id.Name()
}

// CheckRestore reads a request. The error tells everything that is wrong.
func CheckRestore(c RestoreCase) (Restore, error) {
	const what = "the restore"
	var r reader
	if c.Request == nil {
		r.Addf(c.At, "", "is missing")
		return Restore{}, r.Err(what)
	}
	r.kind(c)
	r.Form(c.Request.Problems(c.At))
	read := Restore{
		Point: PointName(c.Request, c.Instance),
		Tier:  c.Request.SourceDataStoreType.Canonical(arm.OperationalStore, arm.VaultStore),
	}
	r.point(c, read)
	if source := c.Request.SourceResourceID; source != "" && !strings.EqualFold(strings.TrimRight(source, "/"), string(c.Cluster)) {
		r.Addf(arm.At(c.At, "sourceResourceId"), "write "+string(c.Cluster)+", or leave it out", "is not the cluster that the backup instance backs up")
	}
	if c.Request.RestoreTargetInfo != nil {
		r.target(arm.At(c.At, "restoreTargetInfo"), c, &read)
	}
	if err := r.Err(what); err != nil {
		return Restore{}, err
	}
	return read, nil
}

// kind says of the requests that other datasources know what to write in their place.
func (r *reader) kind(c RestoreCase) {
	path := arm.At(c.At, "objectType")
	hint := "write " + string(arm.TypePointRestore) + " with the recoveryPointId of one of the recovery points"
	switch {
	case c.Request.ObjectType.Is(arm.TypeTimeRestore):
		r.Addf(path, hint, "asks for a point in time: clusters are restored from recovery points")
	case c.Request.ObjectType.Is(arm.TypeRehydratingRestore):
		r.Addf(path, hint, "asks for a rehydration: recovery points of clusters are never in the archive tier")
	}
}

func (r *reader) point(c RestoreCase, read Restore) {
	path := arm.At(c.At, "recoveryPointId")
	switch {
	case c.Request.RecoveryPointID == "":
		// The form says so.
	case read.Point == "" || len(c.Tiers) == 0:
		r.Add(path, coffer.Errorf(coffer.CodeBackupNotFound, "is %s, and the backup instance %s has no such recovery point", shown(c.Request.RecoveryPointID), c.Instance.Name()).
			WithHint("list what it has with `coffer recovery-point list`"))
	case read.Tier != "" && read.Tier.Canonical(c.Tiers...) == "":
		r.Addf(arm.At(c.At, "sourceDataStoreType"), "write "+string(c.Tiers[0]), "is %s, where the recovery point is not, or not any more", read.Tier)
	}
}

// target reads where to restore to, and what.
func (r *reader) target(at string, c RestoreCase, read *Restore) {
	t := c.Request.RestoreTargetInfo
	path := arm.At(at, "datasourceInfo")
	read.Target = r.cluster(path, t.DatasourceInfo)
	read.Original = read.Target.Is(c.Cluster)
	if t.DatasourceInfo != nil {
		r.reach(arm.At(path, "resourceLocation"), t.DatasourceInfo.ResourceLocation, c, read.Tier)
	}
	if t.DatasourceSetInfo != nil {
		r.set(arm.At(at, "datasourceSetInfo"), t.DatasourceInfo, t.DatasourceSetInfo)
	}
	r.reach(arm.At(at, "restoreLocation"), t.RestoreLocation, c, read.Tier)
	if from, to := c.Instance.Subscription(), read.Target.Subscription(); read.Target != "" && !strings.EqualFold(from, to) {
		r.crossing(arm.At(path, "resourceID"), c.Settings, to)
	}
	if len(t.RestoreCriteria) == 0 {
		return
	}
	path = arm.Item(arm.At(at, "restoreCriteria"), 0)
	r.tier(path, &t.RestoreCriteria[0], read)
	read.spec = r.criteria(path, &t.RestoreCriteria[0])
	read.Location = r.storageLocation(arm.At(path, "coffer.storageLocation"), t.RestoreCriteria[0].Coffer)
}

// reach holds that a region is one where the vault has recovery points of the tier; one that is not said is.
func (r *reader) reach(path, region string, c RestoreCase, tier arm.Word) {
	if region == "" {
		return
	}
	if why, remedy := c.Settings.Beyond(region, tier, c.Pairs); why != "" {
		r.Addf(path, remedy, "is %s, and %s", shown(region), why)
	}
}

// crossing refuses another subscription where the vault does not allow it.
func (r *reader) crossing(path string, s vault.Settings, subscription string) {
	switch s.CrossSubscription {
	case arm.StateEnabled:
	case arm.StatePermanentlyDisabled:
		r.Addf(path, "choose a cluster of the vault's subscription", "is of the subscription %s, and cross-subscription restore of the vault is disabled permanently", subscription)
	default:
		r.Addf(path, "set featureSettings.crossSubscriptionRestoreSettings.state of the vault to Enabled, or choose a cluster of the vault's subscription",
			"is of the subscription %s, and cross-subscription restore of the vault is Disabled", subscription)
	}
}

// tier holds that the criteria are of the tier, and reads where a recovery point of the vault tier is hydrated.
func (r *reader) tier(at string, c *arm.RestoreCriteria, read *Restore) {
	want := arm.TypeRestoreCriteria
	if read.Tier == arm.VaultStore {
		want = arm.TypeVaultCriteria
	}
	if !c.ObjectType.Is(want) {
		if c.ObjectType.Is(arm.TypeRestoreCriteria) || c.ObjectType.Is(arm.TypeVaultCriteria) {
			r.Addf(arm.At(at, "objectType"), "write "+string(want), "is %s, and the restore is from the %s", c.ObjectType, read.Tier)
		}
		return
	}
	if want != arm.TypeVaultCriteria {
		return
	}
	read.StagingGroup = r.staging(arm.At(at, "stagingResourceGroupId"), c.StagingResourceGroupID, groupsType, "/subscriptions/S/resourceGroups/NAME", read.Target)
	read.StagingAccount = r.staging(arm.At(at, "stagingStorageAccountId"), c.StagingStorageAccountID, storageAccountType,
		"/subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/NAME", read.Target)
}

func (r *reader) staging(path, text, kind, example string, target catalogue.ID) catalogue.ID {
	if text == "" {
		r.Addf(path, "write "+example, "is missing: a recovery point of the vault tier is hydrated there")
		return ""
	}
	id := r.id(path, text, kind, example)
	if id != "" && target != "" && !strings.EqualFold(id.Subscription(), target.Subscription()) {
		r.Addf(path, "choose one of the target's subscription", "is of the subscription %s, and the target of %s", id.Subscription(), target.Subscription())
	}
	return id
}

// DefaultLocation is the storage location that clusters write recovery points to where nothing else is said.
const DefaultLocation = "default"

func (r *reader) storageLocation(path string, o *arm.CofferRestoreOptions) string {
	if o == nil || o.StorageLocation == "" {
		return DefaultLocation
	}
	if problems := validation.IsDNS1123Subdomain(o.StorageLocation); len(problems) > 0 {
		r.Addf(path, "write the name of a BackupStorageLocation of the target", "is %s, which no object is called: %s", shown(o.StorageLocation), problems[0])
	}
	return o.StorageLocation
}
