package arm

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// scheduleRoutes are those of what schedules and retention have done, and have left to do.
func (s *Server) scheduleRoutes() []route {
	return []route{
		{method: http.MethodGet, kind: "Coffer.Backup/pendingDeletions", on: onRest, below: []string{typeVault}, action: access.ActionPendingRead, handle: s.listPendingDeletions},
		{
			method: http.MethodPost, kind: "Coffer.Backup/forgetDeletions", on: onRest, below: []string{typeVault}, action: access.ActionForgetDeletions,
			handle: s.forgetDeletions,
		},
		{method: http.MethodGet, kind: "Coffer.Backup/slots", on: onRest, below: []string{typeInstance}, action: access.ActionSlotRead, handle: s.listSlots},
	}
}

// listPendingDeletions lists what has expired and is not deleted yet, what has waited longest first.
func (s *Server) listPendingDeletions(ctx context.Context, r request) (answer, error) {
	limit, text, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	q := catalogue.DeletionQuery{Vault: r.target.ID, Limit: limit + 1} // One more says whether there is another page.
	if text != "" {
		if q.After, err = deletionAfter(text); err != nil {
			return answer{}, err
		}
	}
	found, err := s.Keeper.PendingDeletions(ctx, q)
	if err != nil {
		return answer{}, err
	}
	found, after := upTo(found, limit, func(d catalogue.Deletion) string {
		return cursor(d.Since, string(d.Instance)) + " " + d.Point + " " + string(d.Tier)
	})
	page := itemPage[arm.PendingDeletion]{Value: make([]arm.PendingDeletion, len(found)), NextLink: nextLink(r, after)}
	for i, d := range found {
		shown := arm.PendingDeletion{
			RecoveryPointID: string(d.Instance.Child("recoveryPoints", d.Point)), RecoveryPointTime: d.Taken, BackupInstanceID: string(d.Instance),
			DataStoreType: storeOf(d.Tier), ClusterID: string(d.Cluster), Since: d.Since, NextTry: d.Next, Tries: d.Tries, Failure: d.Failure, Bytes: d.Bytes,
		}
		// What cannot be read here is an error where it is deleted.
		if work, err := vault.ReadOwed(d); err == nil && d.Tier == catalogue.OperationalTier {
			shown.SnapshotBytes = work.SnapshotBytes
		}
		page.Value[i] = shown
	}
	return answer{status: http.StatusOK, body: page}, nil
}

// storeOf is a tier in Azure's word.
func storeOf(t catalogue.Tier) arm.Word {
	if t == catalogue.VaultTier {
		return arm.VaultStore
	}
	return arm.OperationalStore
}

// forgetDeletions gives up what a vault has still to delete in a cluster.
func (s *Server) forgetDeletions(ctx context.Context, r request) (answer, error) {
	forgotten, err := s.Keeper.ForgetDeletions(ctx, r.caller, r.target.ID, r.body)
	return answer{status: http.StatusOK, body: arm.ForgottenDeletions{Forgotten: forgotten}}, err
}

// deletionAfter reads the place of the last deletion of the page before.
func deletionAfter(text string) (*catalogue.Deletion, error) {
	if words := strings.Split(text, " "); len(words) == 4 {
		if since, err := time.Parse(time.RFC3339Nano, words[0]); err == nil {
			return &catalogue.Deletion{Since: since, Instance: catalogue.ID(words[1]), Point: words[2], Tier: catalogue.Tier(words[3])}, nil
		}
	}
	return nil, coffer.Errorf(coffer.CodeInvalidInput, "the $skipToken is not one of this server's").WithHint("follow nextLink as it is")
}

// listSlots lists the times of an instance's schedule that have come, the newest first, and what became of each.
func (s *Server) listSlots(ctx context.Context, r request) (answer, error) {
	limit, after, err := pagingByTime(r)
	if err != nil {
		return answer{}, err
	}
	q := catalogue.SlotQuery{Instance: r.target.ID, Limit: limit + 1}
	if after != nil {
		q.After = after.Time
	}
	fields, err := parseFilter(r.http.URL.Query().Get("$filter"), "startTime", "endTime")
	if err == nil {
		q.From, q.To, err = between(fields, "startTime", "endTime")
	}
	if err != nil {
		return answer{}, err
	}
	found, err := s.Keeper.Slots(ctx, q)
	if err != nil {
		return answer{}, err
	}
	found, next := upTo(found, limit, func(slot catalogue.Slot) string { return cursor(slot.At, "slot") })
	page := itemPage[arm.Slot]{Value: make([]arm.Slot, len(found)), NextLink: nextLink(r, next)}
	for i, slot := range found {
		page.Value[i] = showSlot(slot)
	}
	return answer{status: http.StatusOK, body: page}, nil
}

func showSlot(slot catalogue.Slot) arm.Slot {
	shown := arm.Slot{Time: slot.At, Outcome: arm.Word(slot.Outcome), NotedTime: slot.Noted, Missed: slot.Missed}
	if slot.Job != "" {
		shown.JobID = string(slot.Instance.Parent().Child("backupJobs", slot.Job))
	}
	if !slot.Since.IsZero() {
		shown.MissedSince = &slot.Since
	}
	return shown
}
