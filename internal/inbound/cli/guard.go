package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

const guardCollection = "providers/" + guard.Type

func (p *program) newResourceGuard() *cobra.Command {
	return p.onServer(group("resource-guard", "Make, list, show, change and delete resource guards: what critical operations on Backup vaults take somebody else's consent to",
		p.newGuardCreate(), p.newGuardShow(), p.newGuardList(), p.newGuardUpdate(), p.newGuardDelete(), p.newGuardOperations(), p.newGuardUnlock()))
}

func guardNoun() noun {
	return noun{
		name: "resource guard", create: "coffer resource-guard create", fields: guardFields,
		heading: []string{"NAME", "RESOURCE GROUP", "LOCATION", "LEAVES OUT"}, row: guardRow,
	}
}

// guardView is a resource guard as the server shows it.
type guardView struct {
	ID   catalogue.ID `json:"id"`
	Name string       `json:"name"`
	arm.ResourceGuardResource
}

func readGuard(text json.RawMessage) (guardView, error) {
	v, err := decodeAs[guardView](text)
	if v.Properties == nil {
		v.Properties = &arm.ResourceGuard{}
	}
	return v, err
}

// leftOut are the operations that a guard does not cover, in words where there are.
func (v guardView) leftOut() string {
	var words []string
	for _, name := range v.Properties.VaultCriticalOperationExclusionList {
		if o, ok := guard.Find(name); ok {
			name = o.Word
		}
		words = append(words, name)
	}
	return strings.Join(words, ", ")
}

func guardFields(text json.RawMessage) ([]field, error) {
	v, err := readGuard(text)
	var words []string
	for _, covered := range v.Properties.ResourceGuardOperations {
		if o, ok := guard.Find(covered.VaultCriticalOperation); ok {
			words = append(words, o.Word)
		}
	}
	return []field{
		{"Name", v.Name},
		{"Resource group", groupName(v.ID)},
		{"Location", v.Location},
		{"Covers", strings.Join(words, ", ")},
		{"Leaves out", v.leftOut()},
		{"Tags", tagsText(v.Tags)},
		{"ID", string(v.ID)},
	}, err
}

func guardRow(text json.RawMessage) ([]string, error) {
	v, err := readGuard(text)
	return []string{v.Name, groupName(v.ID), v.Location, v.leftOut()}, err
}

// guardFlags name a resource guard.
type guardFlags struct {
	scopeFlags
	name string
}

func (f *guardFlags) bind(p *program, cmd *cobra.Command) {
	f.bindGroup(p, cmd)
	cmd.Flags().StringVarP(&f.name, "resource-guard-name", "n", "", "resource guard; --name is the same")
	bindName(cmd, &f.name)
	mustComplete(cmd, "resource-guard-name", p.completeGuards)
}

func (p *program) completeGuards(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return p.completeFrom(cmd, func(ctx context.Context, s session) (string, error) {
		id, err := s.groupID(ctx, scopeFlags{group: flagOf(cmd, "resource-group")})
		return id + "/" + guardCollection, err
	})
}

// guardID is the id of the resource guard that is meant.
func (s session) guardID(ctx context.Context, f guardFlags) (string, error) {
	if f.name == "" {
		return "", usageError{errors.New("name the resource guard with --resource-guard-name; `coffer resource-guard list` shows them")}
	}
	if err := checkSegment("resource-guard-name", f.name); err != nil {
		return "", err
	}
	group, err := s.groupID(ctx, f.scopeFlags)
	return group + "/" + guardCollection + "/" + f.name, err
}

// atGuard is the server, and the id of the resource guard that is meant there.
func (p *program) atGuard(ctx context.Context, at guardFlags) (session, string, error) {
	return atServer(ctx, p, session.guardID, at)
}

const exclusionsFlag = "critical-operation-exclusion-list"

// optionalWords are those of the operations that a guard need not cover.
func optionalWords() []string {
	var optional []guard.Operation
	for _, o := range guard.Operations() {
		if !o.Mandatory {
			optional = append(optional, o)
		}
	}
	return guardWords(optional)
}

func bindExclusions(cmd *cobra.Command, names *[]string) {
	words := optionalWords()
	cmd.Flags().StringSliceVar(names, exclusionsFlag, nil, "critical operations that the guard does not cover, by their names, or some of "+strings.Join(words, ", ")+` (default none; "" is none)`)
	mustComplete(cmd, exclusionsFlag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// exclusions are the names of the operations that are left out. Which can be is for the server to judge.
func exclusions(texts []string) ([]string, error) {
	names := []string{}
	for _, text := range texts {
		o, ok := guard.Find(text)
		switch {
		case ok:
			names = append(names, o.Name)
		case text != "":
			return nil, usageError{fmt.Errorf("--%s %.80q is no critical operation: write some of %s", exclusionsFlag, text, strings.Join(optionalWords(), ", "))}
		}
	}
	return names, nil
}

func (p *program) newGuardCreate() *cobra.Command {
	var at guardFlags
	var location string
	var tags, left []string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a resource guard", Args: noArgs,
		Long: `Make a resource guard, in a resource group that administrators of the vaults have no role in, nor in its subscription: who can go past a guard by
themselves is not kept by it. It covers every critical operation but those that are left out. Vaults are put under it with
backup-vault resource-guard-mapping create.`,
		Example: `  coffer resource-guard create -g security -n keeper -l westeurope
  coffer resource-guard create -g security -n keeper --critical-operation-exclusion-list Restore`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			parsed, err := parseTags(tags, false)
			if err != nil {
				return err
			}
			leftOut, err := exclusions(left)
			if err != nil {
				return err
			}
			s, id, err := p.atGuard(cmd.Context(), at)
			if err != nil {
				return err
			}
			body := map[string]any{"tags": parsed, "properties": map[string]any{"vaultCriticalOperationExclusionList": leftOut}}
			if body["location"], err = s.location(cmd.Context(), location, id); err != nil {
				return err
			}
			return p.write(cmd.Context(), s, guardNoun(), write{method: http.MethodPut, id: id, body: body, doing: "create resource guard " + at.name})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVarP(&location, "location", "l", "", "region (default the profile's, or that of the resource group)")
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "tags KEY=VALUE, separated by commas")
	bindExclusions(cmd, &left)
	return cmd
}

func (p *program) newGuardUpdate() *cobra.Command {
	var at guardFlags
	var tags, left []string
	cmd := &cobra.Command{
		Use: "update", Short: "Change what a resource guard leaves out, at once in all vaults that are under it, or its tags", Args: noArgs,
		Example: `  coffer resource-guard update -g security -n keeper --critical-operation-exclusion-list Restore,SuspendBackups
  coffer resource-guard update -g security -n keeper --critical-operation-exclusion-list ""`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body := map[string]any{}
			if cmd.Flags().Changed("tags") {
				parsed, err := parseTags(tags, true)
				if err != nil {
					return err
				}
				body["tags"] = parsed
			}
			if cmd.Flags().Changed(exclusionsFlag) {
				leftOut, err := exclusions(left)
				if err != nil {
					return err
				}
				putValue(body, leftOut, "properties", "vaultCriticalOperationExclusionList")
			}
			if len(body) == 0 {
				return usageError{fmt.Errorf("say what to change: see `%s --help`", cmd.CommandPath())}
			}
			s, id, err := p.atGuard(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.write(cmd.Context(), s, guardNoun(), write{method: http.MethodPatch, id: id, body: body, doing: "update resource guard " + at.name})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "tags KEY=VALUE, separated by commas; KEY alone takes one away, and others stay")
	bindExclusions(cmd, &left)
	return cmd
}

func (p *program) newGuardShow() *cobra.Command {
	var at guardFlags
	cmd := p.newShow("Show a resource guard, with what it covers", guardNoun(), located(p.atGuard, &at))
	cmd.Example = "  coffer resource-guard show -g security -n keeper"
	at.bind(p, cmd)
	return cmd
}

func (p *program) newGuardList() *cobra.Command {
	cmd := p.newListInGroups("List the resource guards of a resource group, or of the subscription", guardNoun(), guardCollection)
	cmd.Example = "  coffer resource-guard list -g security"
	return cmd
}

func (p *program) newGuardDelete() *cobra.Command {
	var at guardFlags
	cmd := p.newRemoval("Delete a resource guard that no vault is under", guardNoun(), located(p.atGuard, &at))
	cmd.Example = "  coffer resource-guard delete -g security -n keeper"
	at.bind(p, cmd)
	return cmd
}

// newGuardOperations lists the operations that a guard covers, with the requests that they take.
func (p *program) newGuardOperations() *cobra.Command {
	var at guardFlags
	cmd := &cobra.Command{
		Use: "list-protected-operations", Short: "List the critical operations that a resource guard covers, and the operation request that each takes", Args: noArgs,
		Example: "  coffer resource-guard list-protected-operations -g security -n keeper",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atGuard(cmd.Context(), at)
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodGet, Path: id})
			if err != nil {
				return err
			}
			v, err := readGuard(reply.Body)
			if err != nil {
				return err
			}
			var all []json.RawMessage
			for _, covered := range v.Properties.ResourceGuardOperations {
				text, err := json.Marshal(map[string]any{
					"vaultCriticalOperation": covered.VaultCriticalOperation, "requestResourceType": covered.RequestResourceType,
					"defaultResourceRequest": v.ID.Child(covered.RequestResourceType[strings.LastIndex(covered.RequestResourceType, "/")+1:], "default"),
				})
				if err != nil {
					return err
				}
				all = append(all, text)
			}
			return p.showAll(noun{name: "protected operation", heading: []string{"OPERATION", "WHAT IT IS", "REQUEST, BELOW THE GUARD"}, row: operationRow}, all)
		},
	}
	at.bind(p, cmd)
	return cmd
}

func operationRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[arm.ResourceGuardOperationDetail](text)
	o, ok := guard.Find(v.VaultCriticalOperation)
	if !ok {
		o.Word = v.VaultCriticalOperation
	}
	request := catalogue.ID(v.DefaultResourceRequest)
	return []string{o.Word, o.What, strings.TrimPrefix(string(request), string(request.Parent())+"/")}, err
}

// newGuardUnlock is az's command for what is deleted by a request that names nothing.
func (p *program) newGuardUnlock() *cobra.Command {
	var at scopeFlags
	var f guardedFlags
	var resource string
	cmd := &cobra.Command{
		Use: "unlock", Short: "Get a resource guard's consent to one deletion, for a quarter of an hour", Args: noArgs,
		Long: `Get a resource guard's consent to one deletion that it covers, for a quarter of an hour: for clients that delete by requests that cannot name the
guard's operation request. Nothing is deleted by this command. The consent is for you alone, for one deletion, and for as long as you have your role at
the guard. The delete commands of this program get it by themselves, with --resource-guard-operation-requests.`,
		Example: `  coffer resource-guard unlock -g shop -v shop-vault --resource-guard-operation-requests DeleteBackupInstance \
    --resource-to-be-deleted /subscriptions/.../backupVaults/shop-vault/backupInstances/shop`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, vault, err := p.atVault(ctx, at)
			if err != nil {
				return err
			}
			if len(f.requests) == 0 {
				return usageError{errors.New("say what takes the guard's consent with --" + requestsFlag + ": " + guard.DeleteInstance.Word + " or " + guard.Unguard.Word)}
			}
			if _, err := s.readMapping(ctx, vault, ": nothing needs its consent"); err != nil {
				return err
			}
			ids, err := f.named(ctx, s, vault)
			if err != nil {
				return err
			}
			reply, err := p.unlock(ctx, s, vault, ids, resource)
			if err != nil {
				return err
			}
			return p.render(reply, func() error { return nil })
		},
	}
	at.bindVault(p, cmd)
	f.bind(cmd, guard.DeleteInstance, guard.Unguard)
	cmd.Flags().StringVar(&resource, "resource-to-be-deleted", "", "backup instance, by its id (default that the vault is under the guard)")
	return cmd
}
