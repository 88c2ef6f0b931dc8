package flow

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// pendingOwners is the annotation that a restored object bears, with the run's UID, until its owners are set. By it a
// new process finds the objects that its predecessor created and could not link any more.
const pendingOwners = "clusterbackup.dataprotection.microsoft.com/owners-pending"

// linkOwners gives the restored objects their owners, now that those exist and have a UID.
func (a *application) linkOwners(ctx context.Context) error {
	links, ctx := newGroup(ctx, parallelWrites)
	for i := range a.plan.Steps {
		if o := a.results.of(i); len(a.step(i).Owners) == 0 || o != outcomeCreated && o != outcomeReplaced || a.linked[i] {
			continue
		}
		links.Go(func() error {
			err := a.linkOwner(ctx, a.step(i))
			if coffer.Final(err) {
				a.warn(coffer.CodeObjectFailed, a.step(i).Target.String(), "its owner could not be set: "+err.Error())
				return nil
			}
			return err
		})
	}
	return links.Wait()
}

func (a *application) linkOwner(ctx context.Context, s *plan.Step) error {
	var owners []map[string]any
	for _, o := range s.Owners {
		uid, known := a.uid(o.UID)
		if !known {
			continue // It was not restored, and that was said.
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
	return a.insist(ctx, func() error {
		return a.creator.Patch(ctx, s.Type, s.Target.Namespace, s.Target.Name, patch)
	})
}
