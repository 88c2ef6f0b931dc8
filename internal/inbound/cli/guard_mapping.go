package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

// mappingPath is where it stands below a vault that it is under a resource guard.
const mappingPath = "/backupResourceGuardProxies/DppResourceGuardProxy"

func (p *program) newGuardMapping() *cobra.Command {
	return group("resource-guard-mapping", "Put a Backup vault under a resource guard, say which it is under, and take it from under it",
		p.newMappingCreate(), p.newMappingShow(), p.newMappingDelete())
}

func mappingNoun() noun {
	return noun{name: "resource guard mapping", create: "coffer backup-vault resource-guard-mapping create", fields: mappingFields}
}

// mappingView is what puts a vault under a resource guard, as the server shows it.
type mappingView struct {
	ID         catalogue.ID           `json:"id"`
	Properties arm.ResourceGuardProxy `json:"properties"`
}

func mappingFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[mappingView](text)
	var words []string
	for _, d := range v.Properties.ResourceGuardOperationDetails {
		if o, ok := guard.Find(d.VaultCriticalOperation); ok {
			words = append(words, o.Word)
		}
	}
	fields := []field{
		{"Backup vault", v.ID.Parent().Name()},
		{"Resource guard", v.Properties.ResourceGuardResourceID},
		{"Covers", strings.Join(words, ", ")},
		{"Since", timeText(v.Properties.LastUpdatedTime)},
	}
	if c := v.Properties.Coffer; c != nil {
		for _, u := range c.Unlocks {
			fields = append(fields, field{"Unlocked", catalogue.ID(u.Resource).Name() + " until " + timeText(&u.ExpiryTime) + ", for " + u.PrincipalID})
		}
	}
	return append(fields, field{"ID", string(v.ID)}), err
}

func (p *program) newMappingCreate() *cobra.Command {
	var at scopeFlags
	var f guardedFlags
	var id string
	cmd := &cobra.Command{
		Use: "create", Short: "Put a Backup vault under a resource guard, or under another one", Args: noArgs,
		Long: `Put a Backup vault under a resource guard, or under another one. From then on, what the guard covers is done by those only who were given the role
Backup MUA Operator at the guard by somebody else, and who name the guard's operation request. You need to be a Reader of the guard, and should be nothing more.

To put it under another guard takes the consent of the one that it is under, DisableMUA.`,
		Example: `  coffer backup-vault resource-guard-mapping create -g shop -v shop-vault \
    --resource-guard-id /subscriptions/.../resourceGroups/security/providers/Microsoft.DataProtection/resourceGuards/keeper`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if id == "" {
				return usageError{errors.New("name the resource guard with --resource-guard-id")}
			}
			ctx := cmd.Context()
			s, vault, err := p.atVault(ctx, at)
			if err != nil {
				return err
			}
			body := map[string]any{"properties": map[string]any{"resourceGuardResourceId": id}}
			if err := f.put(ctx, s, vault, body); err != nil {
				return err
			}
			text, err := json.Marshal(body)
			if err != nil {
				return err
			}
			reply, err := s.Do(ctx, Call{Method: http.MethodPut, Path: vault + mappingPath, Body: text})
			if err != nil {
				return err
			}
			v, err := decodeAs[mappingView](reply.Body)
			if err != nil {
				return err
			}
			if c := v.Properties.Coffer; c != nil && c.Warning != "" {
				p.told("Warning: %s. Have somebody else administer it, in a subscription of its own.", c.Warning)
			}
			return p.showOne(mappingNoun(), reply.Body)
		},
	}
	at.bindVault(p, cmd)
	f.bind(cmd, guard.Unguard)
	cmd.Flags().StringVar(&id, "resource-guard-id", "", "resource guard, by its id")
	return cmd
}

func (p *program) newMappingShow() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "show", Short: "Show which resource guard a Backup vault is under, and what that covers", Args: noArgs,
		Example: "  coffer backup-vault resource-guard-mapping show -g shop -v shop-vault",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, vault, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			err = p.get(cmd.Context(), s, mappingNoun(), vault+mappingPath)
			if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
				return s.unguarded(cmd.Context(), vault, "; `"+mappingNoun().create+"` puts it under one")
			}
			return err
		},
	}
	at.bindVault(p, cmd)
	return cmd
}

func (p *program) newMappingDelete() *cobra.Command {
	var at scopeFlags
	var f guardedFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Take a Backup vault from under its resource guard", Args: noArgs,
		Long:    `Take a Backup vault from under its resource guard, which takes the consent of the guard.`,
		Example: "  coffer backup-vault resource-guard-mapping delete -g shop -v shop-vault --resource-guard-operation-requests DisableMUA",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, vault, err := p.atVault(ctx, at)
			if err != nil {
				return err
			}
			name := catalogue.ID(vault).Name()
			if !yes {
				if err := p.confirm("Take the Backup vault " + name + " from under its resource guard?"); err != nil {
					return err
				}
			}
			if err := f.unlock(ctx, p, s, vault, vault+mappingPath); err != nil {
				return err
			}
			return p.removeAt(ctx, s, mappingNoun(), name, vault+mappingPath, false)
		},
	}
	at.bindVault(p, cmd)
	f.bind(cmd, guard.Unguard)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
