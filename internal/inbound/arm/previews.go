package arm

import (
	"context"
	"net/http"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typePolicy    = typeVault + "/backupPolicies"
	previewPolicy = "Coffer.Backup/previewPolicy"
	preview       = "Coffer.Backup/preview"
	previewChange = "Coffer.Backup/previewChange"
)

// previewRoutes are those that tell what a policy comes to. They change nothing, and who may read what they tell of may ask.
func (s *Server) previewRoutes() []route {
	return []route{
		{method: http.MethodPost, kind: previewPolicy, on: onRest, below: []string{typeVault}, action: typePolicy + "/read", handle: previews(s.Keeper.PreviewPolicy)},
		{method: http.MethodPost, kind: preview, on: onRest, below: []string{typePolicy}, action: typePolicy + "/read", handle: previews(s.Keeper.Preview)},
		{method: http.MethodPost, kind: previewChange, on: onRest, below: []string{typePolicy}, action: typePolicy + "/read", handle: s.previewChange},
		{method: http.MethodPost, kind: previewChange, on: onRest, below: []string{typeInstance}, action: typePoint + "/read", handle: s.previewFollowing},
	}
}

// previews handles a request whose answer is told at once.
func previews[T any](tell func(ctx context.Context, id catalogue.ID, body []byte) (T, error)) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		told, err := tell(ctx, r.target.ID, r.body)
		return answer{status: http.StatusOK, body: told}, err
	}
}

// previewChange tells of the recovery points of all instances that follow a policy, which not everybody may read who may read the policy.
func (s *Server) previewChange(ctx context.Context, r request) (answer, error) {
	if err := r.grants.Check(typePoint+"/read", r.target.ID.Parent()); err != nil {
		return answer{}, err
	}
	return previews(s.Keeper.PreviewChange)(ctx, r)
}

// previewFollowing tells what an instance's following another policy does, which has to be one that the caller may read.
func (s *Server) previewFollowing(ctx context.Context, r request) (answer, error) {
	policy, err := vault.PolicyToFollow(r.target.ID, r.body)
	if err == nil {
		err = r.grants.Check(typePolicy+"/read", policy)
	}
	if err != nil {
		return answer{}, err
	}
	told, err := s.Keeper.PreviewFollowing(ctx, r.target.ID, policy)
	return answer{status: http.StatusOK, body: told}, err
}
