package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	bindingCollection = "trustedAccessRoleBindings"
	// operatorRole is the one role of trusted access.
	operatorRole = "Microsoft.DataProtection/backupVaults/backup-operator"
)

func (p *program) newTrustedAccess() *cobra.Command {
	cmd := group("trusted-access", "Let Backup vaults act in clusters: ask for it, approve it, take it away",
		group("rolebinding", "Trusted access of one Backup vault to one cluster",
			p.newBindingCreate(), p.newBindingApprove(), p.newBindingCheck(), p.newBindingShow(), p.newBindingList(), p.newBindingDelete()))
	cmd.Aliases = []string{"trustedaccess"}
	return cmd
}

// bindingApproved is the state of a binding that the cluster holds to.
const bindingApproved = "Approved"

// bindingView is trusted access as the server shows it.
type bindingView struct {
	ID         catalogue.ID `json:"id"`
	Name       string       `json:"name"`
	Properties struct {
		SourceResourceID string   `json:"sourceResourceId"`
		Roles            []string `json:"roles"`
		Coffer           struct {
			State           string    `json:"state"`
			Message         string    `json:"message"`
			Command         string    `json:"command"`
			Identity        string    `json:"identity"`
			Namespace       string    `json:"namespace"`
			VaultsNamespace string    `json:"vaultsNamespace"`
			Checked         time.Time `json:"checked"`
		} `json:"coffer"`
	} `json:"properties"`
}

func bindingNoun() noun {
	return noun{
		name: "trusted access role binding", create: "coffer trusted-access rolebinding create", fields: bindingFields,
		heading: []string{"NAME", "CLUSTER", "BACKUP VAULT", "STATE", "CHECKED"},
		row: func(text json.RawMessage) ([]string, error) {
			v, err := decodeAs[bindingView](text)
			return []string{
				v.Name, v.ID.Parent().Name(), catalogue.ID(v.Properties.SourceResourceID).Name(), v.Properties.Coffer.State, moment(v.Properties.Coffer.Checked),
			}, err
		},
	}
}

func bindingFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[bindingView](text)
	state := v.Properties.Coffer
	return []field{
		{"Name", v.Name},
		{"Cluster", string(v.ID.Parent())},
		{"Backup vault", v.Properties.SourceResourceID},
		{"Roles", strings.Join(v.Properties.Roles, ", ")},
		{"State", state.State},
		{"Message", state.Message},
		{"Next", state.Command},
		{"Identity", state.Identity},
		{"Namespace", state.Namespace},
		{"Checked", moment(state.Checked)},
		{"ID", string(v.ID)},
	}, err
}

// bindingFlags name a binding.
type bindingFlags struct {
	clusterFlags
	name string
}

func (f *bindingFlags) bind(p *program, cmd *cobra.Command) {
	f.clusterFlags.bind(p, cmd)
	cmd.Flags().StringVarP(&f.name, "name", "n", "", "role binding")
	mustComplete(cmd, "name", p.completeBindings)
}

func (p *program) completeBindings(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		id, err := clusterFlags{scopeFlags{group: flagOf(cmd, "resource-group")}, flagOf(cmd, "cluster-name")}.id(ctx, s)
		return id + "/" + bindingCollection, err
	})
}

// atBinding is the server, and the id of the binding that is meant there.
func (p *program) atBinding(ctx context.Context, at bindingFlags) (session, string, error) {
	if at.name == "" {
		return session{}, "", usageError{errors.New("name the role binding with --name")}
	}
	if err := checkSegment("name", at.name); err != nil {
		return session{}, "", err
	}
	s, err := p.server()
	if err != nil {
		return s, "", err
	}
	cluster, err := at.id(ctx, s)
	return s, cluster + "/" + bindingCollection + "/" + at.name, err
}

func (p *program) newBindingCreate() *cobra.Command {
	var at bindingFlags
	var source string
	var roles []string
	cmd := &cobra.Command{
		Use: "create", Short: "Ask for trusted access of a Backup vault to a cluster; the cluster's owner approves it", Args: noArgs,
		Example: `  coffer trusted-access rolebinding create -g shop --cluster-name shop-1 -n shop-vault \
    --source-resource-id "$(coffer backup-vault show -g shop -v shop-vault --query id)" --roles Microsoft.DataProtection/backupVaults/backup-operator`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atBinding(cmd.Context(), at)
			if err != nil {
				return err
			}
			if source == "" {
				if source, err = s.vaultID(cmd.Context(), at.scopeFlags); err != nil {
					return usageError{errors.New("name the Backup vault with --source-resource-id, or --vault-name")}
				}
			}
			body := map[string]any{"properties": map[string]any{"sourceResourceId": source, "roles": roles}}
			doing := "create trusted access role binding " + at.name
			return p.write(cmd.Context(), s, bindingNoun(), write{method: http.MethodPut, id: id, body: body, doing: doing})
		},
	}
	at.clusterFlags.bind(p, cmd)
	cmd.Flags().StringVarP(&at.name, "name", "n", "", "role binding: 1 to 24 letters, digits and -")
	cmd.Flags().StringVar(&source, "source-resource-id", "", "id of the Backup vault (default that of --vault-name)")
	cmd.Flags().StringVarP(&at.vault, "vault-name", "v", "", "Backup vault in the same resource group (default the profile's)")
	cmd.Flags().StringSliceVar(&roles, "roles", []string{operatorRole}, "roles of the vault")
	mustComplete(cmd, "vault-name", p.completeVaults)
	mustComplete(cmd, "roles", cobra.FixedCompletions([]string{operatorRole}, cobra.ShellCompDirectiveNoFileComp))
	return p.onServer(cmd)
}

func (p *program) newBindingShow() *cobra.Command {
	var at bindingFlags
	cmd := p.newShow("Show trusted access, and whether the cluster's owner has approved it", bindingNoun(), located(p.atBinding, &at))
	at.bind(p, cmd)
	return p.onServer(cmd)
}

func (p *program) newBindingCheck() *cobra.Command {
	var at bindingFlags
	cmd := &cobra.Command{
		Use: "check", Short: "Ask the cluster now whether trusted access is approved", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atBinding(cmd.Context(), at)
			if err != nil {
				return err
			}
			_, text, err := s.checkBinding(cmd.Context(), id)
			if err != nil {
				return err
			}
			return p.showOne(bindingNoun(), text)
		},
	}
	at.bind(p, cmd)
	return p.onServer(cmd)
}

// checkBinding has the server ask the cluster whether trusted access is approved.
func (s session) checkBinding(ctx context.Context, id string) (bindingView, json.RawMessage, error) {
	text, err := s.send(ctx, http.MethodPost, id+ownProvider+"check", map[string]any{})
	if err != nil {
		return bindingView{}, nil, fmt.Errorf("check trusted access: %w", err)
	}
	v, err := decodeAs[bindingView](text)
	return v, text, err
}

func (p *program) newBindingList() *cobra.Command {
	var at clusterFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List which Backup vaults have, or ask for, trusted access to a cluster", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := p.server()
			if err != nil {
				return err
			}
			cluster, err := at.id(cmd.Context(), s)
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, bindingNoun(), cluster+"/"+bindingCollection)
		},
	}
	at.bind(p, cmd)
	return p.onServer(cmd)
}

func (p *program) newBindingDelete() *cobra.Command {
	var at bindingFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Forget trusted access at the server; the cluster's owner takes it away with kubectl", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atBinding(cmd.Context(), at)
			if err != nil {
				return err
			}
			v, _, there, err := readAs[bindingView](cmd.Context(), s, id)
			switch {
			case err != nil:
				return err
			case !there:
				p.told("There was no trusted access role binding %s.", at.name)
				return nil
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Delete trusted access role binding %s?", at.name)); err != nil {
					return err
				}
			}
			if _, err := s.Do(cmd.Context(), Call{Method: http.MethodDelete, Path: id, Follow: true, Progress: func(string) {}}); err != nil {
				return fmt.Errorf("delete trusted access role binding %s: %w", at.name, err)
			}
			p.told("Trusted access role binding %s is deleted.", at.name)
			if state := v.Properties.Coffer; identityForm.MatchString(state.Identity) && state.Namespace != "" {
				p.told("In the cluster, `kubectl -n %s delete rolebinding %s` takes it away.", state.Namespace, bindingObject(state.Identity))
			}
			return nil
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return p.onServer(cmd)
}
