package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// What lies below a scope.
const (
	definitionCollection = "providers/Microsoft.Authorization/roleDefinitions"
	assignmentCollection = "providers/Microsoft.Authorization/roleAssignments"
)

func (p *program) newRole() *cobra.Command {
	return p.onServer(group("role", "Say who may do what on a server",
		group("assignment", "Give roles to somebody, list them and take them away",
			p.newAssignmentCreate(), p.newAssignmentList(), p.newAssignmentDelete()),
		group("definition", "List the roles that there are", p.newDefinitionList())))
}

// definitionView is a role definition as the server shows it.
type definitionView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties struct {
		RoleName    string `json:"roleName"`
		Description string `json:"description"`
	} `json:"properties"`
}

func definitionNoun() noun {
	return noun{
		name: "role", create: "coffer role definition list",
		heading: []string{"ROLE", "DESCRIPTION"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[definitionView](text)
			return []string{v.Properties.RoleName, v.Properties.Description}, err
		},
	}
}

func (p *program) newDefinitionList() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "list", Short: "List the roles that there are", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, definitionNoun(), definitionsPath("", name))
		},
	}
	cmd.Flags().StringVarP(&name, "name", "n", "", "only the role of this name")
	mustComplete(cmd, "name", p.completeRoles)
	return cmd
}

// definitionsPath is where the role of a name is, or all of them, at a scope.
func definitionsPath(scope, name string) string {
	path := scope + "/" + definitionCollection
	if name != "" {
		path += "?$filter=" + url.QueryEscape("roleName eq "+quoted(name))
	}
	return path
}

// quoted is a text in a $filter.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// definition is the role that is meant by a name, a GUID or an id.
func (s session) definition(ctx context.Context, scope, wanted string) (definitionView, error) {
	all, err := s.List(ctx, definitionsPath(scope, ""))
	if err != nil {
		return definitionView{}, fmt.Errorf("look for the role %s: %w", wanted, err)
	}
	for _, text := range all {
		v, err := decodeAs[definitionView](text)
		if err != nil {
			return v, err
		}
		if strings.EqualFold(v.Properties.RoleName, wanted) || strings.EqualFold(v.Name, catalogue.ID(wanted).Name()) {
			return v, nil
		}
	}
	return definitionView{}, fmt.Errorf("there is no role %q; `coffer role definition list` shows them", wanted)
}
