package vault

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/orphan"
)

// OrphanQuery asks for the orphans of a vault. A page is of one cluster.
type OrphanQuery struct {
	Vault catalogue.ID
	// After is where the page before ended.
	After string
	// Limit is how many at most.
	Limit int
}

// OrphanPage are orphans of one cluster of a vault.
type OrphanPage struct {
	Orphans []FoundOrphan
	// NotAsked are clusters that could not be asked, and why: nobody knows what is there.
	NotAsked []NotAsked
	// Next is where the next page begins; empty if this is the last one.
	Next string
}

// NotAsked is a cluster that could not be asked.
type NotAsked struct {
	Cluster catalogue.ID
	Why     error
}

// Orphans is a page of what is in the clusters of a vault, which has to be there, and in no catalogue, and the reverse. A cluster that is linked to another replica is
// an UnlinkedError, unless aside says that it is to be told of as one that could not be asked.
func (j *Jobs) Orphans(ctx context.Context, q OrphanQuery, ask Holdings, aside bool) (page OrphanPage, err error) {
	at, last, within := strings.Cut(q.After, " ")
	var binding *catalogue.Resource
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		if _, err := v.Resource(ctx, q.Vault); err != nil {
			return err
		}
		if binding, err = nextBinding(ctx, v, q.Vault, at, within); err != nil || binding != nil {
			return err
		}
		page.NotAsked, err = unbound(ctx, v, q.Vault)
		return err
	})
	if err != nil || binding == nil {
		return page, err
	}
	if binding.ID.Key() != strings.ToLower(at) {
		last = "" // the one where the page before ended is gone
	}
	cluster := binding.ID.Parent()
	page.Next = binding.ID.Key()
	found, more, err := j.orphansIn(ctx, q.Vault, cluster, ask)
	_, unlinked := errors.AsType[*UnlinkedError](err)
	switch {
	case unlinked && !aside, err != nil && coffer.CodeOf(err) == "":
		return page, err
	case err != nil:
		page.NotAsked = []NotAsked{{cluster, err}}
		return page, nil
	case more:
		page.NotAsked = []NotAsked{{cluster, coffer.Errorf(coffer.CodeInvalidInput, "there are more than %d: these are some of them", maxOrphans).WithHint("remove these, and list again")}}
	}
	slices.SortFunc(found, func(a, b FoundOrphan) int { return cmp.Compare(a.ID, b.ID) })
	found = slices.DeleteFunc(found, func(o FoundOrphan) bool { return o.ID <= last })
	if len(found) > q.Limit {
		found = found[:q.Limit]
		page.Next += " " + found[q.Limit-1].ID
	}
	page.Orphans = found
	return page, nil
}

// nextBinding is a binding of a vault to a cluster after a place, or at it; nil if there is none. Another one to the same cluster is passed over.
func nextBinding(ctx context.Context, v catalogue.View, vault catalogue.ID, at string, within bool) (*catalogue.Resource, error) {
	if within {
		r, err := find(ctx, v, catalogue.ID(at))
		if err != nil || r != nil {
			return r, err
		}
	}
	for q := (catalogue.ResourceQuery{Type: typeBinding, Linked: &catalogue.Link{Relation: catalogue.LinkVault, Target: vault.Key()}, After: strings.ToLower(at), Limit: 1}); ; {
		found, err := v.Resources(ctx, q)
		if err != nil || len(found) == 0 {
			return nil, err
		}
		if at == "" || !found[0].ID.Parent().Is(catalogue.ID(at).Parent()) {
			return &found[0], nil
		}
		q.After = found[0].ID.Key()
	}
}

// unbound are the clusters that instances of a vault protect, and that have no binding of it any more.
func unbound(ctx context.Context, v catalogue.View, vault catalogue.ID) (found []NotAsked, err error) {
	seen := map[string]bool{}
	for _, kind := range []string{typeInstance, typeDeleted} {
		err := each(ctx, v, catalogue.ResourceQuery{Type: kind, Under: vault}, func(r catalogue.Resource) error {
			for _, l := range r.Links {
				cluster := catalogue.ID(l.Target)
				if l.Relation != catalogue.LinkDatasource || seen[cluster.Key()] {
					continue
				}
				seen[cluster.Key()] = true
				binding, _, err := bindingOf(ctx, v, cluster, vault)
				if err != nil {
					return err
				}
				if binding == "" {
					found = append(found, NotAsked{cluster, coffer.Errorf(coffer.CodeTrustedAccessMissing, "the vault has no trusted access to the cluster any more")})
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// orphansIn are the orphans of a vault in one cluster. An error with a code says why it cannot be asked.
func (j *Jobs) orphansIn(ctx context.Context, vault, cluster catalogue.ID, ask Holdings) (found []FoundOrphan, more bool, err error) {
	h, err := j.holder(ctx, vault, cluster)
	if err != nil {
		return nil, false, err
	}
	// What is under a name is judged with what its run has left.
	judged := map[string]bool{}
	err = h.ask(ctx, ask, func(some []orphan.HeldArchive) error {
		var batch []FoundOrphan
		err := j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
			batch = nil
			for _, a := range some {
				o, is, err := h.judge(ctx, v, a)
				if err != nil {
					return err
				}
				if o.Snapshots > 0 {
					judged[a.Name] = true
				}
				if is {
					batch = append(batch, o)
				}
			}
			return nil
		})
		room := maxOrphans - len(found)
		more = more || len(batch) > room
		found = append(found, batch[:min(len(batch), room)]...)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		some := found[:len(found):len(found)]
		names, err := h.runsOf(ctx, v)
		if err != nil {
			return err
		}
		for _, name := range names {
			if judged[name] || h.sealed[nameDigest(name)] {
				continue
			}
			o, is, err := h.judge(ctx, v, orphan.HeldArchive{Name: name})
			if err != nil {
				return err
			}
			if is {
				some = append(some, o)
			}
		}
		missed, cut, err := h.missing(ctx, v, maxOrphans-len(some))
		found, more = append(some, missed...), more || cut
		return err
	})
	return found, more, err
}

// missing are up to limit recovery points of the catalogue whose archive the cluster does not have.
func (h *holder) missing(ctx context.Context, v catalogue.View, limit int) (found []FoundOrphan, more bool, err error) {
	for _, kind := range []string{typeInstance, typeDeleted} {
		q := catalogue.ResourceQuery{Type: kind, Under: h.Vault, Linked: &catalogue.Link{Relation: catalogue.LinkDatasource, Target: h.Cluster.Key()}}
		err := each(ctx, v, q, func(r catalogue.Resource) error {
			settled, err := h.settled(ctx, v, r)
			if err != nil || !settled {
				return err
			}
			return pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: r.ID, Bare: true}, func(page []catalogue.Point) (bool, error) {
				for _, p := range page {
					if h.sealed[nameDigest(p.Name)] {
						continue
					}
					o, is, err := h.missingPoint(ctx, v, r, p.Name)
					if err != nil {
						return false, err
					}
					if is && len(found) >= limit {
						more = true
						return false, nil
					}
					if is {
						found = append(found, o)
					}
				}
				return true, nil
			})
		})
		if err != nil {
			return nil, false, err
		}
	}
	return found, more, nil
}

// maxRemoved is how many orphans one request removes.
const maxRemoved = 100

// RemoveOrphans removes orphans of one cluster of a vault: those that are named, and that are still just as they were listed. The cluster is asked anew, and the catalogue
// in the transaction that removes them. What lies in the cluster becomes a pending deletion; a recovery point without an archive leaves the catalogue.
func (j *Jobs) RemoveOrphans(ctx context.Context, by Caller, vault catalogue.ID, body []byte, ask Holdings) (removed []arm.RemovedOrphan, err error) {
	asked, err := decode[arm.RemoveOrphansRequest](Proposal{ID: vault, Body: body})
	if err != nil {
		return nil, err
	}
	cluster, err := catalogue.ParseID(asked.ClusterID)
	if err != nil || cluster == "" {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "clusterId is %.60q, and no id of a cluster", asked.ClusterID).WithHint("write that of the orphans, as they were listed")
	}
	if len(asked.IDs) == 0 || len(asked.IDs) > maxRemoved {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "ids names %d orphans: name 1 to %d, as they were listed", len(asked.IDs), maxRemoved)
	}
	named := map[string]orphan.Named{}
	for _, id := range asked.IDs {
		if named[id], err = orphan.ParseID(id); err != nil {
			return nil, err
		}
	}
	h, err := j.holder(ctx, vault, cluster)
	if err != nil {
		return nil, err
	}
	wanted, there := map[string]bool{}, map[string]orphan.HeldArchive{}
	for _, n := range named {
		wanted[n.Name] = true
	}
	err = h.ask(ctx, ask, func(some []orphan.HeldArchive) error {
		for _, a := range some {
			if wanted[a.Name] {
				there[a.Name] = a
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		removed = nil
		for _, id := range asked.IDs {
			if slices.ContainsFunc(removed, func(r arm.RemovedOrphan) bool { return r.ID == id }) {
				continue // named twice
			}
			one, err := h.remove(ctx, tx, id, named[id], there)
			if err != nil {
				return err
			}
			removed = append(removed, one)
		}
		entry := by.entry(j.Keeper.now(), access.ActionOrphanRemove, vault, http.StatusOK)
		entry.After = facts(object{"clusterId": cluster, "orphans": removed})
		return tx.AppendAudit(ctx, entry)
	})
	if err == nil {
		j.wake()
	}
	return removed, err
}

// remove removes one, if it is still as its id says.
func (h *holder) remove(ctx context.Context, tx catalogue.Tx, id string, n orphan.Named, there map[string]orphan.HeldArchive) (arm.RemovedOrphan, error) {
	refused := arm.RemovedOrphan{ID: id, Outcome: arm.OrphanRefused, Reason: "it is not there any more as it was listed, or no orphan: list anew"}
	now := h.jobs.Keeper.now()
	var o FoundOrphan
	var found bool
	var err error
	if n.Kind == orphan.RecoveryPoint {
		o, found, err = h.missingNamed(ctx, tx, n)
	} else {
		a, ok := there[n.Name]
		if !ok {
			a = orphan.HeldArchive{Name: n.Name}
		}
		o, found, err = h.judge(ctx, tx, a)
	}
	switch {
	case err != nil || !found || o.ID != id:
		return refused, err
	case o.Kept != "":
		refused.Reason = o.Kept
		return refused, nil
	case n.Kind == orphan.RecoveryPoint:
		point, err := tx.Point(ctx, o.Instance, o.Name)
		if err == nil {
			err = h.jobs.forgetPoint(ctx, tx, point, now)
		}
		return arm.RemovedOrphan{ID: id, Outcome: arm.OrphanRemoved, Reason: o.Reason}, err
	}
	return arm.RemovedOrphan{ID: id, Outcome: arm.OrphanToBeDeleted, Reason: o.Reason}, tx.PutDeletion(ctx, catalogue.Deletion{
		Vault: h.Vault, Instance: o.Instance, Point: o.Name, Taken: o.Time.UTC(), Cluster: h.Cluster, Bytes: max(o.Bytes, 0), Since: now, Next: now,
		Work: facts(Owed{Identity: h.Identity, ClusterUID: h.uid, Location: h.Location, Run: runUID(o.Run), SnapshotBytes: max(o.SnapshotBytes, 0)}),
	})
}

// runUID is the UID of a run as the extension takes it: what has another form is not said.
func runUID(uid string) string {
	if orphan.IsRun(uid) {
		return uid
	}
	return ""
}

// missingNamed is a recovery point that is named as one without an archive, if it is one of an instance that protects the cluster.
func (h *holder) missingNamed(ctx context.Context, v catalogue.View, n orphan.Named) (o FoundOrphan, found bool, err error) {
	if h.sealed[nameDigest(n.Name)] {
		return o, false, nil
	}
	for _, collection := range []string{"backupInstances", deletedCollection} {
		r, err := find(ctx, v, h.Vault.Child(collection, n.Rest))
		if err != nil {
			return o, false, err
		}
		if r == nil || !slices.Contains(r.Links, catalogue.Link{Relation: catalogue.LinkDatasource, Target: h.Cluster.Key()}) {
			continue
		}
		settled, err := h.settled(ctx, v, *r)
		if err != nil {
			return o, false, err
		}
		if !settled {
			continue
		}
		if o, found, err = h.missingPoint(ctx, v, *r, n.Name); err != nil || found {
			return o, found, err
		}
	}
	return o, false, nil
}
