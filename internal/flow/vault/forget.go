package vault

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// forgetBatch is how many deletions are given up in one transaction, with one audit entry that names them.
const forgetBatch = 100

// ForgetDeletions gives up what a vault has still to delete in a cluster, which is for one that never comes back, and answers how much
// that was. What is there stays there. Done again, it goes on where it ended.
func (k *Keeper) ForgetDeletions(ctx context.Context, by Caller, vault catalogue.ID, body []byte) (forgotten int, err error) {
	asked, err := decode[arm.ForgetDeletionsRequest](Proposal{ID: vault, Body: body})
	if err != nil {
		return 0, err
	}
	cluster, err := catalogue.ParseID(asked.ClusterID)
	if err != nil || cluster == "" {
		return 0, coffer.Errorf(coffer.CodeInvalidInput, "clusterId is %.60q, and no id of a cluster", asked.ClusterID).
			WithHint("write that of one of the pending deletions")
	}
	for {
		some, err := k.forgetSome(ctx, by, vault, cluster)
		forgotten += some
		if err != nil || some < forgetBatch {
			return forgotten, err
		}
	}
}

func (k *Keeper) forgetSome(ctx context.Context, by Caller, vault, cluster catalogue.ID) (n int, err error) {
	now := k.now()
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if _, err := tx.Resource(ctx, vault); err != nil {
			return err
		}
		some, err := deletionsIn(ctx, tx, vault, cluster)
		if n = len(some); err != nil || n == 0 {
			return err
		}
		names := make([]string, n)
		for i, d := range some {
			names[i] = string(d.Instance.Child("recoveryPoints", d.Point))
			if err := tx.DeleteDeletion(ctx, d.Vault, d.Instance, d.Point, d.Tier); err != nil {
				return err
			}
		}
		entry := by.entry(now, access.ActionForgetDeletions, vault, http.StatusOK)
		entry.Before = facts(object{"clusterId": cluster, "recoveryPoints": names})
		return tx.AppendAudit(ctx, entry)
	})
	if err != nil {
		n = 0
	}
	return n, err
}

// deletionsIn are some of what a vault has still to delete in a cluster.
func deletionsIn(ctx context.Context, v catalogue.View, vault, cluster catalogue.ID) (some []catalogue.Deletion, err error) {
	for q := (catalogue.DeletionQuery{Vault: vault, Limit: pageSize}); ; {
		page, err := v.Deletions(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if !d.Cluster.Is(cluster) {
				continue
			}
			if some = append(some, d); len(some) == forgetBatch {
				return some, nil
			}
		}
		if len(page) < q.Limit {
			return some, nil
		}
		q.After = &page[len(page)-1]
	}
}
