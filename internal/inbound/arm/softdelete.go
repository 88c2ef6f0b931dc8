package arm

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typeDeleted    = typeVault + "/deletedBackupInstances"
	undeleteAction = typeDeleted + "/undelete"
	purgeAction    = "Coffer.Backup/purge"
)

// softDeleteRoutes are those of deleted instances beside reading them.
func (s *Server) softDeleteRoutes() []route {
	return []route{
		{method: http.MethodPost, kind: undeleteAction, on: onRest, action: undeleteAction + "/action", handle: s.undelete, accepts: true},
		{
			method: http.MethodPost, kind: purgeAction, on: onRest, below: []string{typeDeleted}, action: access.ActionPurge, handle: s.purge,
			accepts: true, query: []string{"retainData"},
		},
	}
}

func (s *Server) undelete(ctx context.Context, r request) (answer, error) {
	done, err := s.Keeper.Undelete(ctx, r.caller, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return tracked(r, answer{status: http.StatusAccepted}, done), nil
}

// purge deletes a deleted instance for good, with its recovery points or, with ?retainData=true, without them.
func (s *Server) purge(ctx context.Context, r request) (answer, error) {
	retain, err := retainData(r)
	if err != nil {
		return answer{}, err
	}
	removal, err := s.Jobs.Purge(ctx, r.caller, r.target.ID, retain)
	if err != nil {
		return answer{}, err
	}
	return removed(r, removal), nil
}

func retainData(r request) (bool, error) {
	text := r.http.URL.Query().Get("retainData")
	if text == "" {
		return false, nil
	}
	retain, err := strconv.ParseBool(text)
	if err != nil {
		return false, coffer.Errorf(coffer.CodeInvalidInput, "retainData is %.20q: write true or false", text)
	}
	return retain, nil
}

// undeletedHeader names, in a PUT of a vault, the deleted vault that it is to be again.
const undeletedHeader = "x-ms-deleted-vault-id"

// undeleted is the deleted vault that a request wants to have again, or empty.
func undeleted(r request) (catalogue.ID, error) {
	text := r.http.Header.Get(undeletedHeader)
	if text == "" || r.http.Method != http.MethodPut || !strings.EqualFold(r.target.ID.Type(), typeVault) {
		return "", nil
	}
	return catalogue.ParseID(text)
}

// removed is what a client is told of a deletion.
func removed(r request, removal vault.Removal) answer {
	switch {
	case !removal.Found:
		return answer{status: http.StatusNoContent}
	case removal.Underway:
		return tracked(r, answer{status: http.StatusAccepted}, removal.Operation)
	}
	return tracked(r, answer{status: http.StatusOK}, removal.Operation)
}
