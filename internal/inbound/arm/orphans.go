package arm

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/orphan"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// askHoldings is how clusters are asked what they hold.
var askHoldings = vault.Holdings{
	At:   func(location string) *url.URL { return content.Holdings{StorageLocation: location}.URL() },
	Read: readItems[orphan.Holding],
}

// orphanRoutes are those of what is in clusters and in no catalogue, and the reverse.
func (s *Server) orphanRoutes() []route {
	return []route{
		{
			method: http.MethodGet, kind: "Coffer.Backup/orphans", on: onRest, below: []string{typeVault}, action: access.ActionOrphanRead,
			handle: s.inTurn(s.listOrphans),
		},
		{
			method: http.MethodPost, kind: "Coffer.Backup/removeOrphans", on: onRest, below: []string{typeVault}, action: access.ActionOrphanRemove,
			handle: s.inTurn(s.reaching(s.removeOrphans)),
		},
	}
}

// listOrphans lists the orphans of a vault, cluster by cluster: a page is of one. A cluster that cannot be asked is told of, and keeps nobody from the others.
func (s *Server) listOrphans(ctx context.Context, r request) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	q := vault.OrphanQuery{Vault: r.target.ID, After: after, Limit: limit}
	found, err := s.Jobs.Orphans(ctx, q, askHoldings, false)
	if unlinked, ok := errors.AsType[*vault.UnlinkedError](err); ok {
		// What another replica answers says so itself, if the link is not there any more either.
		if there, passed, failed := s.elsewhere(ctx, r, unlinked.Cluster); passed && failed == nil {
			return there, nil
		}
		found, err = s.Jobs.Orphans(ctx, q, askHoldings, true)
	}
	if err != nil {
		return answer{}, err
	}
	page := itemPage[arm.Orphan]{Value: []arm.Orphan{}, NextLink: nextLink(r, found.Next)}
	for _, o := range found.Orphans {
		page.Value = append(page.Value, shownOrphan(o))
	}
	for _, n := range found.NotAsked {
		page.Value = append(page.Value, arm.Orphan{Kind: arm.OrphanNotAsked, ClusterID: string(n.Cluster), Reason: whyNot(n.Why)})
	}
	return answer{status: http.StatusOK, body: page}, nil
}

// whyNot is an error for people, without its code.
func whyNot(err error) string {
	coded, ok := errors.AsType[*coffer.Error](err)
	switch {
	case !ok:
		return err.Error()
	case coded.Hint != "":
		return coded.Message + "; " + coded.Hint
	}
	return coded.Message
}

func shownOrphan(o vault.FoundOrphan) arm.Orphan {
	shown := arm.Orphan{
		ID: o.ID, Kind: arm.Word(o.Kind), ClusterID: string(o.Cluster), Name: o.Name, Bytes: o.Bytes, Snapshots: o.Snapshots, SnapshotBytes: o.SnapshotBytes,
		Reason: o.Reason, Kept: o.Kept,
	}
	// Of what no job is known of, the vault stands for the instance.
	if !strings.EqualFold(o.Instance.Type(), typeVault) {
		shown.BackupInstanceID = string(o.Instance)
	}
	if !o.Time.IsZero() {
		shown.Time = &o.Time
	}
	return shown
}

// removeOrphans removes those that are named.
func (s *Server) removeOrphans(ctx context.Context, r request) (answer, error) {
	removed, err := s.Jobs.RemoveOrphans(ctx, r.caller, r.target.ID, r.body, askHoldings)
	return answer{status: http.StatusOK, body: arm.RemovedOrphans{Value: removed}}, err
}
