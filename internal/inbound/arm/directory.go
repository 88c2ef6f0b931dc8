package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// directoryRoutes are what clients ask for before they come to their resources: tenants and resource providers.
func (s *Server) directoryRoutes() []route {
	const provider = typeSubscription + "/providers"
	table := []route{
		{method: http.MethodGet, kind: "tenants", on: onRest, handle: s.listTenants},
		{method: http.MethodGet, kind: provider, on: onRest, handle: s.listProviders},
		{method: http.MethodGet, kind: "providers", on: onRest, handle: s.listProviders},
		{method: http.MethodGet, kind: anyProvider, on: onRest, handle: s.getProvider},
		{method: http.MethodGet, kind: typeSubscription + "/resources", on: onRest, handle: s.listAll},
		{method: http.MethodGet, kind: typeGroup + "/resources", on: onRest, handle: s.listAll},
		{method: http.MethodGet, kind: typeTrustedRole, on: onRest, below: []string{"Microsoft.ContainerService/locations"}, action: typeTrustedRole + "/read", handle: s.listTrustedRoles},
	}
	for _, p := range s.providers("") {
		table = append(table, route{
			method: http.MethodPost, kind: p.Namespace + "/register", on: onRest, below: []string{typeSubscription},
			action: p.Namespace + "/register/action", handle: s.registerProvider,
		})
	}
	return table
}

const (
	typeTrustedRole  = "Microsoft.ContainerService/locations/trustedAccessRoles"
	typeSubscription = "Microsoft.Resources/subscriptions"
	typeGroup        = "Microsoft.Resources/resourceGroups"
)

// listAll lists the resources of a subscription or a group, of whatever type: those with a region, as Azure does.
func (s *Server) listAll(ctx context.Context, r request) (answer, error) {
	limit, after, err := paging(r.http.URL.Query())
	if err != nil {
		return answer{}, err
	}
	fields, err := parseFilter(r.http.URL.Query().Get("$filter"), "resourceType", "resourceGroup", "name")
	if err != nil {
		return answer{}, err
	}
	selects := func(field, value string) bool { return fields[field] == "" || strings.EqualFold(fields[field], value) }
	visible := func(id catalogue.ID) bool {
		kind, ok := s.Keeper.Kinds[strings.ToLower(id.Type())]
		return ok && strings.EqualFold(id.Parent().Type(), typeGroup) && r.grants.Sees(kind.Action()+"/read", id) &&
			selects("resourceType", id.Type()) && selects("resourceGroup", id.ResourceGroup()) && selects("name", id.Name())
	}
	found, next, err := s.Keeper.List(ctx, catalogue.ResourceQuery{Under: r.target.ID, After: after, Limit: limit}, visible)
	if err != nil {
		return answer{}, err
	}
	p := page{Value: make([]json.RawMessage, len(found)), NextLink: nextLink(r, next)}
	withState := strings.Contains(r.http.URL.Query().Get("$expand"), "provisioningState")
	for i, one := range found {
		if p.Value[i], err = outline(one, withState); err != nil {
			return answer{}, err
		}
	}
	return answer{status: http.StatusOK, body: p}, nil
}

// outline is a resource without its properties, but for the state of them if it is asked for.
func outline(r catalogue.Resource, withState bool) (json.RawMessage, error) {
	text, err := vault.Shown(r)
	if err != nil {
		return nil, err
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		return nil, fmt.Errorf("read %s: %w", r.ID, err)
	}
	var properties struct {
		ProvisioningState json.RawMessage `json:"provisioningState"`
	}
	if err := json.Unmarshal(whole["properties"], &properties); err == nil && withState {
		whole["provisioningState"] = properties.ProvisioningState
	}
	delete(whole, "properties")
	return json.Marshal(whole)
}

// registerProvider has nothing to do: all are registered.
func (s *Server) registerProvider(ctx context.Context, r request) (answer, error) {
	namespace, _, _ := strings.Cut(r.target.Rest, "/")
	r.target.Rest = "providers/" + namespace
	return s.getProvider(ctx, r)
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
	types := []string{access.AssignmentType, typeDefinition}
	for _, kind := range s.Keeper.Kinds {
		types = append(types, kind.Type)
	}
	for _, kind := range types {
		namespace, name, _ := strings.Cut(kind, "/")
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

// trustedRole is a role that may be given in a cluster.
type trustedRole struct {
	Name               string               `json:"name"`
	SourceResourceType string               `json:"sourceResourceType"`
	Rules              []vault.OperatorRule `json:"rules"`
}

// listTrustedRoles lists the one role that a vault may be given in a cluster.
func (s *Server) listTrustedRoles(context.Context, request) (answer, error) {
	source, name, _ := strings.Cut(vault.BackupOperator, "/backupVaults/")
	return answer{status: http.StatusOK, body: map[string]any{"value": []trustedRole{
		{Name: name, SourceResourceType: source + "/backupVaults", Rules: vault.BackupOperatorRules()},
	}}}, nil
}
