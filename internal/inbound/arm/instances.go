package arm

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// instanceRoutes are what can be asked of vaults and instances beside reading and writing them.
func (s *Server) instanceRoutes() []route {
	const vaults = "Microsoft.DataProtection/backupVaults"
	return []route{
		{
			method: http.MethodPost, kind: vaults + "/validateForBackup", on: onRest, action: vaults + "/validateForBackup/action",
			handle: s.reaching(s.validateForBackup),
		},
		{
			method: http.MethodPost, kind: typeInstance + "/validateForModifyBackup", on: onRest, action: typeInstance + "/validateForModifyBackup/action",
			handle: s.reaching(s.validateForModify), accepts: true,
		},
		{
			method: http.MethodPost, kind: typeInstance + "/validateRestore", on: onRest, action: typeInstance + "/validateRestore/action",
			handle: s.reaching(s.validateRestore),
		},
		{method: http.MethodGet, kind: extensionRouting, on: onRest, below: []string{"Microsoft.ContainerService/managedClusters"}, handle: s.listProtecting},
	}
}

// extensionRouting is the path below a cluster of the instances that protect it.
const extensionRouting = "Microsoft.DataProtection/backupInstances"

// candidate is the name of an instance that is not there yet; no instance can have it.
const candidate = "(candidate)"

func (s *Server) validateForBackup(ctx context.Context, r request) (answer, error) {
	checks, err := s.Jobs.ValidateBackup(ctx, r.caller, r.target.ID.Child("backupInstances", candidate), r.body)
	return answer{status: http.StatusOK, body: vault.Valid(checks)}, err
}

func (s *Server) validateForModify(ctx context.Context, r request) (answer, error) {
	o, err := s.Jobs.ValidateModify(ctx, r.caller, r.target.ID, r.body)
	if err != nil {
		return answer{}, err
	}
	return tracked(r, answer{status: http.StatusAccepted}, o), nil
}

func (s *Server) validateRestore(ctx context.Context, r request) (answer, error) {
	checks, err := s.Jobs.ValidateRestore(ctx, r.caller, r.target.ID, r.body)
	return answer{status: http.StatusOK, body: vault.Valid(checks)}, err
}

// listProtecting lists the instances that protect a cluster, of all vaults, as far as the caller may read them.
func (s *Server) listProtecting(ctx context.Context, r request) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	visible := func(id catalogue.ID) bool { return r.grants.Sees(typeInstance+"/read", id) }
	found, next, err := s.Keeper.List(ctx, catalogue.ResourceQuery{
		Type: typeInstance, Linked: &catalogue.Link{Relation: catalogue.LinkDatasource, Target: r.target.ID.Key()}, After: after, Limit: limit,
	}, visible)
	if err != nil {
		return answer{}, err
	}
	return resourcePage(r, found, next)
}
