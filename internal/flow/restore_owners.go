package flow

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// pendingOwners is the annotation that a restored object bears, with the run's UID, until its owners are set. By it a
// new process finds the objects that its predecessor created and could not link any more.
const pendingOwners = "clusterbackup.dataprotection.microsoft.com/owners-pending"

// plannedOwners are the owners of an object that the plan restores as well. The others are left out: Kubernetes would
// collect the object for an owner that does not exist.
func (a *application) plannedOwners(item plan.Item) []coffer.OwnerReference {
	var owners []coffer.OwnerReference
	for _, o := range item.Owners {
		if _, planned := a.planned[o.UID]; planned {
			owners = append(owners, o)
		}
	}
	return owners
}

// linkOwners gives the restored objects their owners, now that those exist and have a UID.
func (a *application) linkOwners(ctx context.Context) error {
	links, ctx := errgroup.WithContext(ctx)
	links.SetLimit(parallelCreates)
	for _, s := range a.plan.Steps {
		if s.Action == plan.Skip || len(a.plannedOwners(a.items[s.Item])) == 0 {
			continue
		}
		links.Go(func() error {
			err := a.linkOwner(ctx, s)
			if coffer.Final(err) {
				a.warn(coffer.CodeObjectFailed, s.Target.String(), "its owner could not be set: "+err.Error())
				return nil
			}
			return err
		})
	}
	return links.Wait()
}

func (a *application) linkOwner(ctx context.Context, s plan.Step) error {
	item := a.items[s.Item]
	if _, created := a.uid(item.UID); !created {
		pending, err := a.isPending(ctx, s)
		if err != nil || !pending {
			return err
		}
	}
	var owners []map[string]any
	for _, o := range a.plannedOwners(item) {
		uid, err := a.currentUID(ctx, o.UID)
		if coffer.CodeOf(err) == coffer.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		owners = append(owners, map[string]any{
			"apiVersion": o.APIVersion, "kind": o.Kind, "name": o.Name, "uid": uid,
			"controller": o.Controller, "blockOwnerDeletion": o.BlockOwnerDeletion,
		})
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"ownerReferences": owners, "annotations": map[string]any{pendingOwners: nil},
	}})
	if err != nil {
		return fmt.Errorf("encode owners of %s: %w", s.Target, err)
	}
	return a.Cluster.Patch(ctx, s.Type, s.Target.Namespace, s.Target.Name, patch)
}

// isPending says whether an object that was found in place is one that this run created.
func (a *application) isPending(ctx context.Context, s plan.Step) (bool, error) {
	stored, err := a.Cluster.Get(ctx, s.Type, s.Target.Namespace, s.Target.Name)
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	h, err := coffer.DecodeHeader(stored)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", s.Target, err)
	}
	return h.Metadata.Annotations[pendingOwners] == a.run(), nil
}

// currentUID is the UID that an archived owner has in the cluster now. One that the restore found in place is read:
// one request for each such owner, not for each object.
func (a *application) currentUID(ctx context.Context, archived string) (string, error) {
	if uid, known := a.uid(archived); known {
		return uid, nil
	}
	if uid, known := a.found.Load(archived); known {
		return uid.(string), nil
	}
	s := a.planned[archived]
	stored, err := a.Cluster.Get(ctx, s.Type, s.Target.Namespace, s.Target.Name)
	if err != nil {
		return "", err
	}
	uid, err := uidOf(stored)
	if err == nil {
		a.found.Store(archived, uid)
	}
	return uid, err
}

func (a *application) uid(archived string) (string, bool) {
	a.uidMu.Lock()
	defer a.uidMu.Unlock()
	uid, known := a.uids[archived]
	return uid, known
}
