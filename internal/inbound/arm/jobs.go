package arm

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// jobRoutes are those that begin what is carried out in clusters, and end it.
func (s *Server) jobRoutes() []route {
	return []route{
		{method: http.MethodPost, kind: typeInstance + "/backup", on: onRest, action: typeInstance + "/backup/action", handle: begins(s.Jobs.BeginBackup), accepts: true},
		{method: http.MethodPost, kind: typeInstance + "/restore", on: onRest, action: typeInstance + "/restore/action", handle: begins(s.Jobs.BeginRestore), accepts: true},
		{method: http.MethodPost, kind: planAction, on: onRest, below: []string{typeInstance}, action: access.ActionPlan, handle: begins(s.Jobs.BeginPlan), accepts: true},
		{method: http.MethodPost, kind: typeJob + "/cancel", on: onRest, action: typeJob + "/cancel/action", handle: s.cancelJob, accepts: true},
	}
}

const planAction = "Coffer.Backup/plan"

// begins handles a request that begins a job of an instance.
func begins(begin func(ctx context.Context, by vault.Caller, id catalogue.ID, body []byte) (vault.Begun, error)) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		begun, err := begin(ctx, r.caller, r.target.ID, r.body)
		if err != nil {
			return answer{}, err
		}
		return tracked(r, answer{status: http.StatusAccepted}, begun.Operation), nil
	}
}

func (s *Server) cancelJob(ctx context.Context, r request) (answer, error) {
	begun, err := s.Jobs.CancelJob(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
	if err != nil {
		return answer{}, err
	}
	return tracked(r, answer{status: http.StatusAccepted}, begun.Operation), nil
}

// deleteInstance deletes an instance with its recovery points, so that it can be had again where the vault has soft delete, or, with
// ?retainData=true, without them.
func (s *Server) deleteInstance(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	retain, err := retainData(r)
	if err != nil {
		return answer{}, err
	}
	removal, err := s.Jobs.DeleteInstance(ctx, r.caller, r.target.ID, condition, retain)
	if err != nil {
		return answer{}, err
	}
	return removed(r, removal), nil
}
