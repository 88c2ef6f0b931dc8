package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const principalCollection = "/providers/Coffer.Backup/servicePrincipals"

func (p *program) newServicePrincipal() *cobra.Command {
	cmd := group("service-principal", "Make, list, show and delete the identities of programs, and their secrets",
		p.newPrincipalCreate(), p.newPrincipalList(), p.newPrincipalShow(), p.newPrincipalDelete(), p.newSecretReset(), p.newSecretDelete())
	cmd.Aliases = []string{"sp"}
	return p.onServer(cmd)
}

// principalView is a service principal as the server shows it.
type principalView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties struct {
		DisplayName string       `json:"displayName"`
		ObjectID    string       `json:"objectId"`
		Secrets     []secretView `json:"passwordCredentials"`
	} `json:"properties"`
}

// secretView says that there is a client secret.
type secretView struct {
	KeyID       string    `json:"keyId"`
	DisplayName string    `json:"displayName"`
	End         time.Time `json:"endDateTime"`
}

func (s secretView) text() string {
	text := s.KeyID
	if s.DisplayName != "" {
		text += " " + s.DisplayName
	}
	if !s.End.IsZero() {
		text += " until " + s.End.UTC().Format(time.RFC3339)
	}
	return text
}

func principalNoun() noun {
	return noun{
		name: "service principal", create: "coffer service-principal create",
		fields: func(text json.RawMessage) ([]field, error) {
			v, err := decodeAs[principalView](text)
			fields := []field{{"Name", v.Properties.DisplayName}, {"Client", v.Name}, {"Object", v.Properties.ObjectID}}
			for _, s := range v.Properties.Secrets {
				fields = append(fields, field{"Secret", s.text()})
			}
			return append(fields, field{"ID", string(v.ID)}), err
		},
		heading: []string{"NAME", "CLIENT", "OBJECT", "SECRETS"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[principalView](text)
			return []string{v.Properties.DisplayName, v.Name, v.Properties.ObjectID, fmt.Sprint(len(v.Properties.Secrets))}, err
		},
	}
}

// principal is the service principal of a client id, an object id or a name.
func (s session) principal(ctx context.Context, wanted string) (principalView, error) {
	all, err := s.List(ctx, principalCollection)
	if err != nil {
		return principalView{}, fmt.Errorf("look for the service principal %s: %w", wanted, err)
	}
	var found []principalView
	for _, text := range all {
		v, err := decodeAs[principalView](text)
		if err != nil {
			return v, err
		}
		switch {
		case strings.EqualFold(v.Name, wanted), strings.EqualFold(v.Properties.ObjectID, wanted):
			return v, nil
		case v.Properties.DisplayName == wanted:
			found = append(found, v)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return principalView{}, fmt.Errorf("there is no service principal %q; `coffer service-principal list` shows them", wanted)
	}
	return principalView{}, usageError{fmt.Errorf("%d service principals are called %q: name one by its client id; `coffer service-principal list` shows them", len(found), wanted)}
}

// bindPrincipal binds --id.
func bindPrincipal(p *program, cmd *cobra.Command, id *string) {
	cmd.Flags().StringVar(id, "id", "", "service principal, by its client id, object id or name")
	mustComplete(cmd, "id", p.completePrincipals)
}

// chosenPrincipal is the server, and the service principal that is meant there.
func (p *program) chosenPrincipal(ctx context.Context, id string) (session, principalView, error) {
	if id == "" {
		return session{}, principalView{}, usageError{errors.New("name the service principal with --id")}
	}
	s, err := p.server()
	if err != nil {
		return s, principalView{}, err
	}
	found, err := s.principal(ctx, id)
	return s, found, err
}

func (p *program) newPrincipalCreate() *cobra.Command {
	var name, clientID string
	var f secretFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Make a service principal with a secret, which is shown once", Args: noArgs,
		Long: `Make a service principal with a secret. The secret is to be had now only: it is printed, or written with what else a login takes
to a file that only you can read. What the service principal may do is up to role assignments.`,
		Example: `  coffer service-principal create --display-name terraform --credentials-file terraform.json
  coffer role assignment create --assignee terraform --role "Backup Contributor" --scope /subscriptions/…`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case name == "":
				return usageError{errors.New("name the service principal with --display-name")}
			case clientID == "":
				clientID = uuid.NewString()
			case !catalogue.GUID(clientID):
				return usageError{errors.New("--client-id is not a GUID; leave it out for a new one")}
			}
			if _, err := os.Lstat(f.credentials); f.credentials != "" && err == nil {
				return usageError{fmt.Errorf("--credentials-file %s is there already, and may be another's", f.credentials)}
			}
			s, err := p.server()
			if err != nil {
				return err
			}
			body, err := json.Marshal(map[string]any{"properties": map[string]any{"displayName": name}})
			if err != nil {
				return err
			}
			// If there is one of this client id already, it is another's.
			reply, err := s.Do(cmd.Context(), Call{
				Method: http.MethodPut, Path: principalCollection + "/" + clientID, Body: body, Header: http.Header{"If-None-Match": {"*"}},
			})
			if err != nil {
				return fmt.Errorf("create service principal %s: %w", name, err)
			}
			made, err := decodeAs[principalView](reply.Body)
			if err != nil {
				return err
			}
			return p.issueSecret(cmd.Context(), s, made, f, false)
		},
	}
	cmd.Flags().StringVar(&name, "display-name", "", "what people call it")
	cmd.Flags().StringVar(&clientID, "client-id", "", "GUID that it logs in by (default a new one)")
	f.bind(cmd)
	return cmd
}

func (p *program) newPrincipalList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List service principals", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, principalNoun(), principalCollection)
		},
	}
}

func (p *program) newPrincipalShow() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use: "show", Short: "Show a service principal, and which secrets it has", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, found, err := p.chosenPrincipal(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, principalNoun(), string(found.ID))
		},
	}
	bindPrincipal(p, cmd, &id)
	return cmd
}

func (p *program) newPrincipalDelete() *cobra.Command {
	var id string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete a service principal, its secrets and its role assignments", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, found, err := p.chosenPrincipal(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.remove(cmd.Context(), s, principalNoun(), string(found.ID), yes, false)
		},
	}
	bindPrincipal(p, cmd, &id)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
