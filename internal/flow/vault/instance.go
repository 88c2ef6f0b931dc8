package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// InstanceKind is a backup instance. What would keep it from being protected, as far as it can be known, is an error when it is
// created, and not a state that it comes to later. Jobs.DeleteInstance deletes one.
func InstanceKind() Kind {
	return Kind{
		Type: typeInstance, Noun: "backup instance", Parents: []string{typeVault}, Body: arm.InstanceResource{}, Judge: judgeInstance,
		Kept: func(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, now time.Time) error {
			return look(ctx, tx, r.ID, now)
		},
	}
}

func judgeInstance(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
	body, err := decode[arm.InstanceResource](p)
	if err != nil {
		return Verdict{}, err
	}
	record := protection.New(p.Now)
	if p.Before == nil {
		err = mustNotLieDeleted(ctx, v, p.ID)
	} else {
		// Writing it does not resume what was stopped.
		record, err = do(*p.Before, protection.Change, p.Now)
	}
	if err != nil {
		return Verdict{}, err
	}
	c, err := checkInstance(ctx, v, p, body.Properties, "properties")
	if err != nil {
		return Verdict{}, err
	}
	policy, err := policyOf(ctx, v, p.ID.Parent(), c)
	if err != nil {
		return Verdict{}, err
	}
	if err := checkCluster(ctx, v, p, c, mustBeTheVaults); err != nil {
		return Verdict{}, err
	}
	if err := mustBeOnlyInstance(ctx, v, p.ID, c, anotherPolicy); err != nil {
		return Verdict{}, err
	}
	consents, err := mustFollowAsLong(ctx, v, p, c)
	if err != nil {
		return Verdict{}, err
	}
	shown, err := withProtection(facts(object{"properties": object{"policyInfo": object{"policyVersion": strconv.FormatInt(policy.Version, 10)}}}), record)
	if err != nil {
		return Verdict{}, err
	}
	return Verdict{
		Facts: shown, Consents: consents,
		Links: []catalogue.Link{
			{Relation: catalogue.LinkPolicy, Target: c.Policy.Key()}, {Relation: catalogue.LinkDatasource, Target: c.Cluster.Key()},
		},
	}, nil
}

// checkInstance reads the properties of an instance at a place of a body.
func checkInstance(ctx context.Context, v catalogue.View, p Proposal, body *arm.Instance, at string) (instance.Configuration, error) {
	location, _, err := vaultSettings(ctx, v, p.ID.Parent())
	if err != nil {
		return instance.Configuration{}, err
	}
	c := instance.Case{Vault: p.ID.Parent(), Location: location, Body: body, At: at}
	if p.Before != nil {
		was, err := configurationOf(*p.Before, location)
		if err != nil {
			return instance.Configuration{}, err
		}
		c.Was = &was
	}
	return instance.Check(c)
}

// configurationOf is what an instance that is there says.
func configurationOf(r catalogue.Resource, location string) (instance.Configuration, error) {
	body, err := arm.Decode[arm.InstanceResource](r.Body)
	if err != nil {
		return instance.Configuration{}, unreadable(r.ID, err)
	}
	c, err := instance.Check(instance.Case{Vault: r.ID.Parent(), Location: location, Body: body.Properties, At: "properties"})
	if err != nil {
		return c, unreadable(r.ID, err)
	}
	return c, nil
}

// unreadable is the error for what is kept, and cannot be read: that is no mistake of a client.
func unreadable(id catalogue.ID, err error) error {
	return fmt.Errorf("read the kept %s: %s", id, err.Error())
}

// vaultSettings are where a vault is, and how it is set.
func vaultSettings(ctx context.Context, v catalogue.View, id catalogue.ID) (location string, s decide.Settings, err error) {
	r, err := v.Resource(ctx, id)
	if err != nil {
		return "", s, err
	}
	s, err = settingsOf(r)
	return s.Location, s, err
}

// policyOf is the policy that an instance follows, which has to be there.
func policyOf(ctx context.Context, v catalogue.View, vault catalogue.ID, c instance.Configuration) (catalogue.Resource, error) {
	policy, err := v.Resource(ctx, c.Policy)
	if missing(err) {
		return policy, coffer.Errorf(coffer.CodeInvalidInput, "the vault %s has no backup policy %s", vault.Name(), c.Policy.Name()).
			WithHint("create the policy first, or name another one in properties.policyInfo.policyId")
	}
	return policy, err
}

// mustFollowAsLong refuses to have an instance of an immutable vault follow another policy that keeps recovery points for less long. Where the
// vault is under a resource guard, it is the guard's consent to a policy that protects less.
func mustFollowAsLong(ctx context.Context, v catalogue.View, p Proposal, c instance.Configuration) ([]consent, error) {
	if p.Before == nil {
		return nil, nil
	}
	location, _, err := vaultSettings(ctx, v, p.ID.Parent())
	if err != nil {
		return nil, err
	}
	was, err := configurationOf(*p.Before, location)
	if err != nil || was.Policy.Is(c.Policy) {
		return nil, err
	}
	if held, err := holdsPolicies(ctx, v, p.ID.Parent()); err != nil || !held {
		return nil, err
	}
	before, _, err := readPolicy(ctx, v, was.Policy)
	if err != nil {
		return nil, err
	}
	after, _, err := readPolicy(ctx, v, c.Policy)
	if err != nil {
		return nil, err
	}
	return mustProtectAsMuch(ctx, v, p, policyChange{before, after, c.Policy.Name(), guard.MovePolicy})
}

// checkCluster refuses an instance whose cluster could not be backed up: one that is unknown, that the caller may not read, that has no
// extension, that has not let the vault in, that has not joined, or that is in a region where the vault, by its settings, does nothing: see
// mustBeTheVaults.
func checkCluster(ctx context.Context, v catalogue.View, p Proposal, c instance.Configuration, beyond func(s decide.Settings, region string) (why, remedy string)) error {
	if err := mayReadLinked(ctx, v, p, typeInstance, c.Cluster); err != nil {
		return err
	}
	cluster, err := v.Resource(ctx, c.Cluster)
	if missing(err) {
		return coffer.Errorf(coffer.CodeInvalidInput, "there is no cluster %s", c.Cluster).WithHint("let it join: coffer cluster join %s", c.Cluster)
	}
	if err != nil {
		return err
	}
	extensions, err := v.Resources(ctx, catalogue.ResourceQuery{Type: typeExtension, Under: c.Cluster, Limit: 1})
	if err != nil {
		return err
	}
	if err := mustBeOfRegion(ctx, v, cluster, p.ID.Parent(), beyond); err != nil {
		return err
	}
	if len(extensions) == 0 {
		return coffer.Errorf(coffer.CodeExtensionNotFound, "the cluster %s has no Backup extension", c.Cluster).WithHint("install it: coffer cluster join %s", c.Cluster)
	}
	if err := mustBeAdmitted(ctx, v, cluster, p.ID.Parent()); err != nil {
		return err
	}
	return mustHaveJoined(cluster)
}

// mustBeTheVaults says that a region is not the vault's: what it backs up is there.
func mustBeTheVaults(s decide.Settings, region string) (why, remedy string) {
	if decide.Location(region) == s.Location {
		return "", ""
	}
	return "the vault is in " + s.Location, "use a vault in the cluster's region"
}

// mustBeOfRegion refuses a cluster of a region that is beyond a vault, whatever the body says of its region.
func mustBeOfRegion(ctx context.Context, v catalogue.View, cluster catalogue.Resource, vault catalogue.ID, beyond func(s decide.Settings, region string) (why, remedy string)) error {
	_, settings, err := vaultSettings(ctx, v, vault)
	if err != nil {
		return err
	}
	var body tracked
	if err := json.Unmarshal(cluster.Body, &body); err != nil {
		return fmt.Errorf("read the kept %s: %w", cluster.ID, err)
	}
	if why, remedy := beyond(settings, body.Location); why != "" {
		return coffer.Errorf(coffer.CodeInvalidInput, "the cluster %s is in %s, and %s", cluster.ID, body.Location, why).WithHint("%s", remedy)
	}
	return nil
}

// mayReadLinked refuses to link a resource of a type to another one that the caller may not read, whether that is there or not.
func mayReadLinked(ctx context.Context, v catalogue.View, p Proposal, kind string, linked catalogue.ID) error {
	held, err := Held(ctx, v, p.By.Principal)
	if err != nil {
		return err
	}
	read := linked.Type() + "/read"
	if access.Decide(p.By.Principal, held, read, linked).Allowed {
		return nil
	}
	return coffer.Errorf(coffer.CodeLinkedAuthorizationFailed,
		"The client '%s' has permission to perform action '%s/write' on scope '%s'; however, it does not have permission to perform action '%s' on the linked scope '%s', or the linked scope is invalid.",
		p.By.Principal.Name, kind, p.ID, read, linked).WithHint("ask for the role Reader on %s", linked.Name())
}

// mustHaveJoined refuses what needs a cluster that nobody can reach yet.
func mustHaveJoined(cluster catalogue.Resource) error {
	f, err := ClusterFactsOf(cluster)
	if err != nil {
		return err
	}
	if f.State == ClusterPending {
		return coffer.Errorf(coffer.CodeClusterNotJoined, "the cluster %s has not joined", cluster.ID).WithHint("let it join: coffer cluster join %s", cluster.ID)
	}
	return nil
}

// anotherPolicy is what to do for an instance that cannot follow the policy that it was to follow.
const anotherPolicy = "change that instance, or follow another policy"

// mustBeOnlyInstance refuses a second instance of a cluster that follows the same policy, as Azure does, and says so, with what to do.
func mustBeOnlyInstance(ctx context.Context, v catalogue.View, id catalogue.ID, c instance.Configuration, todo string) error {
	q := catalogue.ResourceQuery{Type: typeInstance, Under: id.Parent(), Linked: &catalogue.Link{Relation: catalogue.LinkDatasource, Target: c.Cluster.Key()}}
	return each(ctx, v, q, func(r catalogue.Resource) error {
		for _, l := range r.Links {
			if l.Relation == catalogue.LinkPolicy && l.Target == c.Policy.Key() && !r.ID.Is(id) {
				return coffer.Errorf(coffer.CodeConflict, "the backup instance %s protects the cluster %s by the policy %s already", r.ID.Name(), c.Cluster.Name(), c.Policy.Name()).
					WithHint("%s", todo)
			}
		}
		return nil
	})
}

// ValidateBackup answers what would keep an instance from being created or changed as far as the catalogue knows, and writes nothing. id is
// one that there is, or a child of the vault that there is not.
func (k *Keeper) ValidateBackup(ctx context.Context, by Caller, id catalogue.ID, body []byte) (instance.Configuration, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (c instance.Configuration, err error) {
		before, err := find(ctx, v, id)
		if err != nil {
			return c, err
		}
		p := Proposal{ID: id, Body: body, Before: before, By: by, Now: k.now(), NewObjectID: k.NewObjectID}
		asked, err := decode[arm.ValidateForBackupRequest](p)
		if err != nil {
			return c, err
		}
		if c, err = checkInstance(ctx, v, p, asked.BackupInstance, "backupInstance"); err != nil {
			return c, err
		}
		if _, err := policyOf(ctx, v, id.Parent(), c); err != nil {
			return c, err
		}
		if err := checkCluster(ctx, v, p, c, mustBeTheVaults); err != nil {
			return c, err
		}
		return c, mustBeOnlyInstance(ctx, v, id, c, anotherPolicy)
	})
}

// ValidateRestore answers what is wrong with a restore request as far as the catalogue knows, and writes nothing.
func (k *Keeper) ValidateRestore(ctx context.Context, by Caller, id catalogue.ID, body []byte) (instance.Restore, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (instance.Restore, error) {
		r, err := v.Resource(ctx, id)
		if err != nil {
			return instance.Restore{}, err
		}
		asked, err := decode[arm.ValidateRestoreRequest](Proposal{ID: id, Body: body})
		if err != nil {
			return instance.Restore{}, err
		}
		return k.checkRestore(ctx, v, by, r, asked.RestoreRequestObject, "restoreRequestObject")
	})
}

// checkRestore reads a restore request of an instance.
func (k *Keeper) checkRestore(ctx context.Context, v catalogue.View, by Caller, r catalogue.Resource, request *arm.RestoreRequest, at string) (instance.Restore, error) {
	location, settings, err := vaultSettings(ctx, v, r.ID.Parent())
	if err != nil {
		return instance.Restore{}, err
	}
	c, err := configurationOf(r, location)
	if err != nil {
		return instance.Restore{}, err
	}
	tiers, err := tiersOf(ctx, v, r.ID, request)
	if err != nil {
		return instance.Restore{}, err
	}
	restore, err := instance.CheckRestore(instance.RestoreCase{
		Instance: r.ID, Cluster: c.Cluster, Settings: settings, Pairs: k.Pairs, Tiers: tiers, Request: request, At: at,
	})
	if err != nil {
		return restore, err
	}
	target := c
	target.Cluster = restore.Target
	return restore, checkCluster(ctx, v, Proposal{ID: r.ID, By: by}, target, func(s decide.Settings, region string) (why, remedy string) {
		return s.Beyond(region, restore.Tier, k.Pairs)
	})
}

// tiersOf are where the recovery point of a request lies; none if there is no such recovery point.
func tiersOf(ctx context.Context, v catalogue.View, id catalogue.ID, request *arm.RestoreRequest) ([]arm.Word, error) {
	if request == nil {
		return nil, nil
	}
	name := strings.ToLower(instance.PointName(request, id))
	if name == "" {
		return nil, nil
	}
	point, err := v.Point(ctx, id, name)
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return tiersOfPoint(point), nil
}

// tiersOfPoint are the tiers that have a recovery point.
func tiersOfPoint(point catalogue.Point) (tiers []arm.Word) {
	if point.Operational {
		tiers = append(tiers, arm.OperationalStore)
	}
	if point.Vaulted {
		tiers = append(tiers, arm.VaultStore)
	}
	return tiers
}
