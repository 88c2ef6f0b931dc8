package arm

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// directoryRoutes are what clients ask for before they come to their resources: tenants and resource providers.
func (s *Server) directoryRoutes() []route {
	const provider = "Microsoft.Resources/subscriptions/providers"
	return []route{
		{method: http.MethodGet, kind: "tenants", on: onRest, handle: s.listTenants},
		{method: http.MethodGet, kind: provider, on: onRest, handle: s.listProviders},
		{method: http.MethodGet, kind: "providers", on: onRest, handle: s.listProviders},
		{method: http.MethodGet, kind: anyProvider, on: onRest, handle: s.getProvider},
	}
}

func (s *Server) listTenants(context.Context, request) (answer, error) {
	return answer{status: http.StatusOK, body: map[string]any{"value": []any{map[string]any{
		"id": "/tenants/" + s.Tenant, "tenantId": s.Tenant, "displayName": "Coffer", "tenantCategory": "Home",
	}}}}, nil
}

// providerBody is a resource provider: all that there are, are registered.
type providerBody struct {
	ID                string         `json:"id"`
	Namespace         string         `json:"namespace"`
	RegistrationState string         `json:"registrationState"`
	ResourceTypes     []resourceType `json:"resourceTypes"`
}

type resourceType struct {
	ResourceType string   `json:"resourceType"`
	Locations    []string `json:"locations"`
	APIVersions  []string `json:"apiVersions"`
}

// providers are all that this server has resources of, in the order of their names.
func (s *Server) providers(below catalogue.ID) []*providerBody {
	byName := map[string]*providerBody{}
	for _, kind := range s.Keeper.Kinds {
		namespace, name, _ := strings.Cut(kind.Type, "/")
		p := byName[namespace]
		if p == nil {
			p = &providerBody{ID: string(below) + "/providers/" + namespace, Namespace: namespace, RegistrationState: "Registered"}
			byName[namespace] = p
		}
		p.ResourceTypes = append(p.ResourceTypes, resourceType{ResourceType: name, Locations: []string{}, APIVersions: []string{"2025-07-01"}})
	}
	found := slices.Collect(maps.Values(byName))
	slices.SortFunc(found, func(a, b *providerBody) int { return strings.Compare(a.Namespace, b.Namespace) })
	for _, p := range found {
		slices.SortFunc(p.ResourceTypes, func(a, b resourceType) int { return strings.Compare(a.ResourceType, b.ResourceType) })
	}
	return found
}

func (s *Server) listProviders(_ context.Context, r request) (answer, error) {
	return answer{status: http.StatusOK, body: map[string]any{"value": s.providers(r.target.ID)}}, nil
}

func (s *Server) getProvider(_ context.Context, r request) (answer, error) {
	_, wanted, _ := strings.Cut(r.target.Rest, "/")
	for _, p := range s.providers(r.target.ID) {
		if strings.EqualFold(p.Namespace, wanted) {
			return answer{status: http.StatusOK, body: p}, nil
		}
	}
	return answer{}, coffer.Errorf(coffer.CodeResourceNotFound, "there is no resource provider %s", wanted)
}
