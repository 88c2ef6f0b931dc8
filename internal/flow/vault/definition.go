package vault

import (
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

type definitionBody struct {
	Properties definitionProperties `json:"properties"`
}

type definitionProperties struct {
	RoleName         string       `json:"roleName"`
	Type             string       `json:"type"`
	Description      string       `json:"description"`
	AssignableScopes []string     `json:"assignableScopes"`
	Permissions      []permission `json:"permissions"`
}

type permission struct {
	Actions        []string `json:"actions"`
	NotActions     []string `json:"notActions"`
	DataActions    []string `json:"dataActions"`
	NotDataActions []string `json:"notDataActions"`
}

// RoleDefinitions are the built-in roles that a $filter selects, as resources of a scope.
func (a *Access) RoleDefinitions(scope catalogue.ID, filter string) ([]catalogue.Resource, error) {
	roles, err := access.SelectRoles(filter)
	if err != nil {
		return nil, err
	}
	var found []catalogue.Resource
	for _, r := range roles {
		d, err := definition(r, scope)
		if err != nil {
			return nil, err
		}
		found = append(found, d)
	}
	return found, nil
}

// RoleDefinition is the built-in role of an id.
func (a *Access) RoleDefinition(id catalogue.ID) (catalogue.Resource, error) {
	role, known := access.RoleOfDefinition(id)
	if !known {
		return catalogue.Resource{}, coffer.Errorf(coffer.CodeResourceNotFound, "there is no role definition '%s'", id.Name()).
			WithHint("list the role definitions to see which there are")
	}
	return definition(role, id.Parent())
}

func definition(r access.Role, scope catalogue.ID) (catalogue.Resource, error) {
	body, err := json.Marshal(definitionBody{definitionProperties{
		RoleName: r.Name, Type: "BuiltInRole", Description: r.Description, AssignableScopes: []string{"/"},
		Permissions: []permission{{Actions: r.Actions, NotActions: r.NotActions}},
	}})
	if err != nil {
		return catalogue.Resource{}, fmt.Errorf("write the role definition %s: %w", r.Name, err)
	}
	return catalogue.Resource{ID: r.DefinitionID(scope), Version: 1, Body: body}, nil
}
