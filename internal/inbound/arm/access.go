package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	typeDefinition = "Microsoft.Authorization/roleDefinitions"
	typeSecret     = vault.PrincipalType + "/secrets"
)

// accessRoutes are those of who may do what.
func (s *Server) accessRoutes() []route {
	const readDefinitions = typeDefinition + "/read"
	return []route{
		{method: http.MethodGet, kind: typeDefinition, action: readDefinitions, handle: s.getDefinition},
		{method: http.MethodGet, kind: typeDefinition, on: onRest, action: readDefinitions, handle: s.listDefinitions},

		{method: http.MethodGet, kind: access.AssignmentType, action: access.ActionAssignmentRead, handle: s.getAssignment},
		{method: http.MethodPut, kind: access.AssignmentType, action: access.ActionAssignmentWrite, handle: s.putAssignment},
		{method: http.MethodDelete, kind: access.AssignmentType, action: access.ActionAssignmentDelete, handle: s.deleteAssignment},
		{method: http.MethodGet, kind: access.AssignmentType, on: onRest, action: access.ActionAssignmentRead, handle: s.listAssignments},

		{method: http.MethodGet, kind: vault.PrincipalType, action: access.ActionPrincipalRead, handle: s.getPrincipal},
		{method: http.MethodPut, kind: vault.PrincipalType, action: access.ActionPrincipalWrite, handle: s.putPrincipal},
		{method: http.MethodDelete, kind: vault.PrincipalType, action: access.ActionPrincipalDelete, handle: s.deletePrincipal},
		{method: http.MethodGet, kind: vault.PrincipalType, on: onRest, below: []string{""}, action: access.ActionPrincipalRead, handle: s.listPrincipals},
		{method: http.MethodPost, kind: typeSecret, on: onRest, action: access.ActionSecretWrite, handle: s.addSecret},
		{method: http.MethodDelete, kind: typeSecret, action: access.ActionSecretDelete, handle: s.deleteSecret},
		{method: http.MethodPost, kind: "Coffer.Backup/revealSecrets", on: onRest, action: access.ActionReveal, handle: s.revealSecrets},
	}
}

func (s *Server) getDefinition(_ context.Context, r request) (answer, error) {
	d, err := s.Access.RoleDefinition(r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, d)
}

func (s *Server) listDefinitions(_ context.Context, r request) (answer, error) {
	found, err := s.Access.RoleDefinitions(r.target.ID, r.http.URL.Query().Get("$filter"))
	if err != nil {
		return answer{}, err
	}
	return resourcePage(r, found, "")
}

func (s *Server) getAssignment(ctx context.Context, r request) (answer, error) {
	a, err := s.Access.Assignment(ctx, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, a)
}

func (s *Server) listAssignments(ctx context.Context, r request) (answer, error) {
	found, err := s.Access.Assignments(ctx, r.target.ID, r.http.URL.Query().Get("$filter"))
	if err != nil {
		return answer{}, err
	}
	return resourcePage(r, found, "")
}

func (s *Server) putAssignment(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	put, created, err := s.Access.PutAssignment(ctx, r.caller, r.target.ID, r.body, condition)
	if err != nil {
		return answer{}, err
	}
	return shown(statusOf(created), put)
}

func (s *Server) deleteAssignment(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	was, existed, err := s.Access.DeleteAssignment(ctx, r.caller, r.target.ID, condition)
	if err != nil || !existed {
		return answer{status: http.StatusNoContent}, err
	}
	return shown(http.StatusOK, was)
}

func (s *Server) getPrincipal(ctx context.Context, r request) (answer, error) {
	p, err := s.Access.Principal(ctx, r.target.ID)
	if err != nil {
		return answer{}, err
	}
	return shown(http.StatusOK, p)
}

func (s *Server) listPrincipals(ctx context.Context, r request) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	found, err := s.Access.Principals(ctx, after, limit)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if len(found) == limit {
		next = found[limit-1].ID.Key()
	}
	return resourcePage(r, found, next)
}

func (s *Server) putPrincipal(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	put, created, err := s.Access.PutPrincipal(ctx, r.caller, r.target.ID, r.body, condition)
	if err != nil {
		return answer{}, err
	}
	return shown(statusOf(created), put)
}

func (s *Server) deletePrincipal(ctx context.Context, r request) (answer, error) {
	condition, err := conditionOf(r.http.Header)
	if err != nil {
		return answer{}, err
	}
	existed, err := s.Access.DeletePrincipal(ctx, r.caller, r.target.ID, condition)
	if err != nil || !existed {
		return answer{status: http.StatusNoContent}, err
	}
	return answer{status: http.StatusOK}, nil
}

func statusOf(created bool) int {
	if created {
		return http.StatusCreated
	}
	return http.StatusOK
}

// addSecret answers a new client secret, once.
func (s *Server) addSecret(ctx context.Context, r request) (answer, error) {
	var asked struct {
		DisplayName string `json:"displayName"`
		// LifetimeInDays is how long it is good for; 0 is a year.
		LifetimeInDays int `json:"lifetimeInDays"`
		// Only ends all other secrets.
		Only bool `json:"only"`
	}
	if len(r.body) > 0 {
		if err := json.Unmarshal(r.body, &asked); err != nil {
			return answer{}, coffer.Errorf(coffer.CodeInvalidContent, "the body: %w", err)
		}
	}
	const longest = 10_000
	if asked.LifetimeInDays < 0 || asked.LifetimeInDays > longest {
		return answer{}, coffer.Errorf(coffer.CodeInvalidInput, "lifetimeInDays is %d", asked.LifetimeInDays).WithHint("give 1 to 730, or nothing for a year")
	}
	issued, err := s.Access.AddSecret(ctx, r.caller, r.target.ID, vault.NewSecret{
		DisplayName: asked.DisplayName, Lifetime: time.Duration(asked.LifetimeInDays) * 24 * time.Hour, Only: asked.Only,
	})
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: struct {
		vault.SecretInfo
		SecretText string `json:"secretText"`
	}{issued.Info, string(issued.Text)}}, nil
}

func (s *Server) deleteSecret(ctx context.Context, r request) (answer, error) {
	err := s.Access.DeleteSecret(ctx, r.caller, r.target.ID.Parent(), r.target.ID.Name())
	return answer{status: http.StatusOK}, err
}

// revealSecrets answers what is masked everywhere else.
func (s *Server) revealSecrets(ctx context.Context, r request) (answer, error) {
	values, err := s.Keeper.Reveal(ctx, r.caller, r.target.ID)
	return answer{status: http.StatusOK, body: map[string]any{"values": values}}, err
}
