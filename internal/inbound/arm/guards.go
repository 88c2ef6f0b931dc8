package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

const typeProxy = guard.Proxy

// guardRoutes are those of resource guards beside reading and writing them.
func (s *Server) guardRoutes() []route {
	const unlock = typeProxy + "/unlockDelete"
	table := []route{{method: http.MethodPost, kind: unlock, on: onRest, action: unlock + "/action", handle: s.unlockDelete}}
	for _, request := range guard.Requests() {
		kind := guard.Type + "/" + request
		table = append(table,
			route{method: http.MethodGet, kind: kind, action: kind + "/read", handle: s.getGuardRequest},
			route{method: http.MethodGet, kind: kind, on: onRest, action: kind + "/read", handle: s.listGuardRequests})
	}
	return table
}

// guardRequest is an operation request of a guard as it is shown. There is one of each type: to be let past the guard is a role.
type guardRequest struct {
	ID   catalogue.ID `json:"id"`
	Name string       `json:"name"`
	Type string       `json:"type"`
}

func shownRequest(id catalogue.ID) guardRequest {
	return guardRequest{ID: id, Name: id.Name(), Type: id.Type()}
}

func (s *Server) getGuardRequest(ctx context.Context, r request) (answer, error) {
	of := r.target.ID.Parent()
	if err := s.Keeper.MustExist(ctx, of); err != nil {
		return answer{}, err
	}
	if !strings.EqualFold(r.target.ID.Name(), "default") {
		return answer{}, coffer.Errorf(coffer.CodeResourceNotFound, "there is no %s: a resource guard has one of each type, default", r.target.ID)
	}
	return answer{status: http.StatusOK, body: shownRequest(r.target.ID)}, nil
}

func (s *Server) listGuardRequests(ctx context.Context, r request) (answer, error) {
	if err := s.Keeper.MustExist(ctx, r.target.ID); err != nil {
		return answer{}, err
	}
	one := shownRequest(r.target.ID.Child(r.target.Rest, "default"))
	return answer{status: http.StatusOK, body: itemPage[guardRequest]{Value: []guardRequest{one}}}, nil
}

func (s *Server) unlockDelete(ctx context.Context, r request) (answer, error) {
	until, err := s.Keeper.UnlockDelete(ctx, r.caller, r.target.ID, r.body)
	return answer{status: http.StatusOK, body: arm.UnlockDeleteResponse{UnlockDeleteExpiryTime: until}}, err
}

// warnAlone warns whoever has put a vault under a guard that it does not protect the vault from them.
func (s *Server) warnAlone(ctx context.Context, r request, proxy catalogue.Resource, a answer) (answer, error) {
	why, err := s.Keeper.GuardedAlone(ctx, r.caller.Principal, proxy)
	if err != nil || why == "" {
		return a, err
	}
	warning := "you need nobody else to go past this resource guard: " + why
	text, _ := a.body.(json.RawMessage)
	change, err := json.Marshal(map[string]any{"properties": map[string]any{"coffer": arm.CofferProxy{Warning: warning}}})
	if err != nil {
		return a, err
	}
	if text, err = jsonpatch.MergePatch(text, change); err != nil {
		return a, err
	}
	a.body = text
	a.header.Set("Warning", `299 coffer "you need nobody else to go past this resource guard"`)
	return a, nil
}
