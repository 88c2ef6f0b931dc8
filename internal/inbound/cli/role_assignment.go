package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// assignmentView is a role assignment as the server shows it.
type assignmentView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties struct {
		Role      catalogue.ID `json:"roleDefinitionId"`
		Principal string       `json:"principalId"`
		Kind      string       `json:"principalType"`
		Scope     string       `json:"scope"`
	} `json:"properties"`
}

func (v assignmentView) role() string {
	if role, known := access.RoleOfDefinition(v.Properties.Role); known {
		return role.Name
	}
	return v.Properties.Role.Name()
}

// assignmentNoun shows principals by their names, as far as they are known.
func assignmentNoun(names map[string]string) noun {
	who := func(v assignmentView) string {
		if name := names[strings.ToLower(v.Properties.Principal)]; name != "" {
			return name
		}
		return v.Properties.Principal
	}
	return noun{
		name: "role assignment", create: "coffer role assignment create",
		fields: func(text json.RawMessage) ([]field, error) {
			v, err := decodeAs[assignmentView](text)
			return []field{
				{"Assignee", who(v)}, {"Object", v.Properties.Principal}, {"Type", v.Properties.Kind}, {"Role", v.role()},
				{"Scope", v.Properties.Scope}, {"ID", string(v.ID)},
			}, err
		},
		heading: []string{"ASSIGNEE", "ROLE", "SCOPE", "NAME"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[assignmentView](text)
			return []string{who(v), v.role(), v.Properties.Scope, v.Name}, err
		},
	}
}

// principalNames are those of the service principals, by object id. Who may not list them sees object ids.
func (s session) principalNames(ctx context.Context) map[string]string {
	names := map[string]string{}
	all, err := s.List(ctx, principalCollection)
	if err != nil {
		return names
	}
	for _, text := range all {
		if v, err := decodeAs[principalView](text); err == nil {
			names[strings.ToLower(v.Properties.ObjectID)] = v.Properties.DisplayName
		}
	}
	return names
}

// assignmentFlags say who, what and where.
type assignmentFlags struct{ assignee, objectID, kind, role, scope string }

func (f *assignmentFlags) bind(p *program, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.assignee, "assignee", "", "service principal, by its name, client id or object id")
	flags.StringVar(&f.objectID, "assignee-object-id", "", "instead: object id of a user or group of the OIDC issuer; nothing is looked up")
	flags.StringVar(&f.role, "role", "", "role, by its name or id; coffer role definition list shows them")
	flags.StringVar(&f.scope, "scope", "", "where: /, or the id of a subscription, a resource group or a resource")
	mustComplete(cmd, "assignee", p.completePrincipals)
	mustComplete(cmd, "role", p.completeRoles)
}

// checkScope takes the id of a scope, and gives the root as nothing.
func checkScope(scope string) (string, error) {
	if scope == "/" {
		return "", nil
	}
	id, err := catalogue.ParseID(scope)
	if err != nil {
		return "", usageError{fmt.Errorf("--scope %q: write /, or the id of a subscription, a resource group or a resource", scope)}
	}
	return string(id), nil
}

// who is the object id that is meant, and what it is of; both are empty if nobody was named.
func (f assignmentFlags) who(ctx context.Context, s session) (objectID, kind string, err error) {
	switch {
	case f.assignee != "" && f.objectID != "":
		return "", "", usageError{errors.New("give --assignee or --assignee-object-id, not both")}
	case f.objectID != "":
		return f.objectID, f.kind, nil
	case f.assignee == "":
		return "", "", nil
	}
	found, err := s.principal(ctx, f.assignee)
	if err != nil {
		return "", "", fmt.Errorf("%w; name a user or a group of the OIDC issuer with --assignee-object-id", err)
	}
	return found.Properties.ObjectID, string(access.KindServicePrincipal), nil
}

func (p *program) newAssignmentCreate() *cobra.Command {
	var f assignmentFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Give somebody a role at a scope, and at all below it", Args: noArgs,
		Example: `  coffer role assignment create --assignee terraform --role "Backup Contributor" --scope /subscriptions/…/resourceGroups/shop
  coffer role assignment create --assignee-object-id backup-team --assignee-principal-type Group --role "Backup Operator" --scope /`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			switch {
			case f.assignee == "" && f.objectID == "":
				return usageError{errors.New("say who gets the role with --assignee or --assignee-object-id")}
			case f.role == "":
				return usageError{errors.New("say which role with --role; `coffer role definition list` shows them")}
			case f.scope == "":
				return usageError{errors.New("say where with --scope: /, or the id of a subscription, a resource group or a resource")}
			}
			scope, err := checkScope(f.scope)
			if err != nil {
				return err
			}
			s, err := p.server()
			if err != nil {
				return err
			}
			objectID, kind, err := f.who(ctx, s)
			if err != nil {
				return err
			}
			role, err := s.definition(ctx, scope, f.role)
			if err != nil {
				return err
			}
			properties := map[string]string{"roleDefinitionId": string(role.ID), "principalId": objectID}
			if kind != "" {
				properties["principalType"] = kind
			}
			named := map[string]string{}
			if f.assignee != "" && !catalogue.GUID(f.assignee) {
				named[strings.ToLower(objectID)] = f.assignee
			}
			return p.write(ctx, s, assignmentNoun(named), write{
				method: http.MethodPut, id: scope + "/" + assignmentCollection + "/" + uuid.NewString(),
				body: map[string]any{"properties": properties}, doing: "create role assignment",
			})
		},
	}
	f.bind(p, cmd)
	cmd.Flags().StringVar(&f.kind, "assignee-principal-type", "", "what --assignee-object-id is: User, Group or ServicePrincipal (default any)")
	mustComplete(cmd, "assignee-principal-type", cobra.FixedCompletions([]string{"User", "Group", "ServicePrincipal"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *program) newAssignmentList() *cobra.Command {
	var f assignmentFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the roles that hold at a scope, or below it", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			found, err := s.assignments(cmd.Context(), f, false)
			if err != nil {
				return err
			}
			return p.showAll(assignmentNoun(s.principalNames(cmd.Context())), found)
		},
	}
	f.bind(p, cmd)
	cmd.Flags().Lookup("scope").Usage += " (default the subscription)"
	return cmd
}

// assignments are those that the flags select; exactly says that they lie at the scope, neither above nor below.
func (s session) assignments(ctx context.Context, f assignmentFlags, exactly bool) ([]json.RawMessage, error) {
	objectID, _, err := f.who(ctx, s)
	if err != nil {
		return nil, err
	}
	var scope string
	if f.scope == "" {
		scope, err = s.subscriptionID(ctx)
	} else {
		scope, err = checkScope(f.scope)
	}
	if err != nil {
		return nil, err
	}
	role := ""
	if f.role != "" {
		found, err := s.definition(ctx, scope, f.role)
		if err != nil {
			return nil, err
		}
		role = found.Name
	}
	path := scope + "/" + assignmentCollection
	if objectID != "" {
		path += "?$filter=" + url.QueryEscape("principalId eq "+quoted(objectID))
	}
	all, err := s.List(ctx, path)
	if err != nil {
		return nil, err
	}
	var found []json.RawMessage
	for _, text := range all {
		v, err := decodeAs[assignmentView](text)
		if err != nil {
			return nil, err
		}
		if role != "" && !strings.EqualFold(role, v.Properties.Role.Name()) || exactly && !v.ID.Parent().Is(catalogue.ID(scope)) {
			continue
		}
		found = append(found, text)
	}
	return found, nil
}

func (p *program) newAssignmentDelete() *cobra.Command {
	var f assignmentFlags
	var ids []string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Take roles away from somebody", Args: noArgs,
		Example: `  coffer role assignment delete --assignee terraform --role "Backup Contributor" --scope /subscriptions/…/resourceGroups/shop`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			named := f.assignee != "" || f.objectID != ""
			switch {
			case len(ids) > 0 && (named || f.role != "" || f.scope != ""):
				return usageError{errors.New("give --ids, or who, which role and where, not both")}
			case len(ids) == 0 && (!named || f.scope == ""):
				return usageError{errors.New("say whose role is taken away with --assignee and --scope, and --role if only one, or name assignments with --ids")}
			}
			s, err := p.server()
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				if ids, err = s.assignmentIDs(cmd.Context(), f); err != nil {
					return err
				}
			}
			for _, id := range ids {
				if parsed, err := catalogue.ParseID(id); err != nil || !strings.EqualFold(parsed.Type(), access.AssignmentType) {
					return usageError{fmt.Errorf("--ids %q is not the id of a role assignment", id)}
				}
			}
			for _, id := range ids {
				if err := p.remove(cmd.Context(), s, assignmentNoun(nil), id, yes, false); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.bind(p, cmd)
	cmd.Flags().StringSliceVar(&ids, "ids", nil, "ids of role assignments")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (s session) assignmentIDs(ctx context.Context, f assignmentFlags) ([]string, error) {
	found, err := s.assignments(ctx, f, true)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there is no such role assignment; `coffer role assignment list` shows them")
	}
	ids := make([]string, len(found))
	for i, text := range found {
		v, err := decodeAs[assignmentView](text)
		if err != nil {
			return nil, err
		}
		ids[i] = string(v.ID)
	}
	return ids, nil
}
