package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/quota"
)

// vaultCollection is where Backup vaults lie below a subscription or a resource group.
const vaultCollection = "providers/Microsoft.DataProtection/backupVaults"

func (p *program) newBackupVault() *cobra.Command {
	cmd := group("backup-vault", "Make, list, show, change and delete Backup vaults of a server",
		p.newVaultCreate(), p.newVaultShow(), p.newVaultList(), p.newVaultUpdate(), p.newVaultDelete(), p.newVaultPending(), p.newGuardMapping(), p.newVaultMeter(),
		p.newVaultOrphans(), p.newVaultDeleted())
	cmd.Aliases = []string{"vault"}
	return p.onServer(cmd)
}

func vaultNoun() noun {
	return noun{
		name: "backup vault", create: "coffer backup-vault create", fields: vaultFields,
		heading: []string{"NAME", "RESOURCE GROUP", "LOCATION", "REDUNDANCY", "SOFT DELETE", "IMMUTABILITY", "STATE"}, row: vaultRow,
	}
}

// vaultView is a Backup vault as the server shows it.
type vaultView struct {
	ID   catalogue.ID `json:"id"`
	Name string       `json:"name"`
	arm.VaultResource
}

func readVault(text json.RawMessage) (vaultView, error) {
	v, err := decodeAs[vaultView](text)
	if v.Properties == nil {
		v.Properties = &arm.Vault{}
	}
	return v, err
}

func groupName(id catalogue.ID) string { return id.Group().Name() }

func redundancyText(settings []arm.StorageSetting) string {
	texts := make([]string, len(settings))
	for i, s := range settings {
		texts[i] = string(s.DatastoreType) + " " + string(s.Type)
	}
	return strings.Join(texts, ", ")
}

func softDeleteText(s *arm.SecuritySettings) string {
	if s == nil || s.SoftDeleteSettings == nil {
		return ""
	}
	text := string(s.SoftDeleteSettings.State)
	if days := s.SoftDeleteSettings.RetentionDurationInDays; days != nil && !s.SoftDeleteSettings.State.Is(arm.StateOff) {
		text += " " + strconv.FormatFloat(*days, 'f', -1, 64) + " days"
	}
	return text
}

func stateText(s *arm.State) string {
	if s == nil {
		return ""
	}
	return string(s.State)
}

func immutabilityText(s *arm.SecuritySettings) string {
	if s == nil {
		return ""
	}
	return stateText(s.ImmutabilitySettings)
}

func tagsText(tags map[string]*string) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if tags[name] != nil {
			texts = append(texts, name+"="+*tags[name])
		}
	}
	return strings.Join(texts, " ")
}

func vaultFields(text json.RawMessage) ([]field, error) {
	v, err := readVault(text)
	if err != nil {
		return nil, err
	}
	features := v.Properties.FeatureSettings
	if features == nil {
		features = &arm.FeatureSettings{}
	}
	identity := ""
	if v.Identity != nil {
		identity = strings.TrimSpace(string(v.Identity.Type) + " " + v.Identity.PrincipalID)
	}
	quotas := ""
	if c := v.Properties.Coffer; c != nil {
		quotas = strings.Join(quota.Quotas{}.With(c.Quotas).Words(), ", ")
	}
	return []field{
		{"Name", v.Name},
		{"Resource group", groupName(v.ID)},
		{"Location", v.Location},
		{"Redundancy", redundancyText(v.Properties.StorageSettings)},
		{"Soft delete", softDeleteText(v.Properties.SecuritySettings)},
		{"Immutability", immutabilityText(v.Properties.SecuritySettings)},
		{"Cross-subscription restore", stateText(features.CrossSubscriptionRestoreSettings)},
		{"Cross-region restore", stateText(features.CrossRegionRestoreSettings)},
		{"Alerts of jobs", alertsText(v.Properties.MonitoringSettings)},
		{"Quotas", quotas},
		{"Security level", string(v.Properties.SecureScore)},
		{"Under a resource guard", said(v.Properties.IsVaultProtectedByResourceGuard)},
		{"Identity", identity},
		{"Tags", tagsText(v.Tags)},
		{"State", string(v.Properties.ProvisioningState)},
		{"ID", string(v.ID)},
	}, nil
}

// alertsText says whether jobs that end badly are alerts.
func alertsText(s *arm.MonitoringSettings) string {
	if s == nil || s.AzureMonitorAlertSettings == nil {
		return ""
	}
	return string(s.AzureMonitorAlertSettings.AlertsForAllJobFailures)
}

func vaultRow(text json.RawMessage) ([]string, error) {
	v, err := readVault(text)
	return []string{
		v.Name, groupName(v.ID), v.Location, redundancyText(v.Properties.StorageSettings), softDeleteText(v.Properties.SecuritySettings),
		immutabilityText(v.Properties.SecuritySettings), string(v.Properties.ProvisioningState),
	}, err
}

func (p *program) newVaultShow() *cobra.Command {
	var at scopeFlags
	cmd := p.newShow("Show a Backup vault", vaultNoun(), located(p.atVault, &at))
	cmd.Example = "  coffer backup-vault show -g shop -v shop-vault --query properties.securitySettings -o yaml"
	at.bindVault(p, cmd)
	return cmd
}

func (p *program) newVaultList() *cobra.Command {
	cmd := p.newListInGroups("List the Backup vaults of a resource group, or of the subscription", vaultNoun(), vaultCollection)
	cmd.Example = "  coffer backup-vault list -g shop"
	return cmd
}

func (p *program) newVaultDelete() *cobra.Command {
	var at scopeFlags
	var yes, noWait bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete a Backup vault that protects nothing, with its policies", Args: noArgs,
		Long: `Delete a Backup vault that protects nothing, with its policies. Unless its soft delete is Off, it can be had again for as long as that says: see coffer
backup-vault deleted.`,
		Example: "  coffer backup-vault delete -g shop -v shop-vault",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.remove(cmd.Context(), s, vaultNoun(), id, yes, noWait)
		},
	}
	at.bindVault(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	bindNoWait(cmd, &noWait)
	return cmd
}

func bindNoWait(cmd *cobra.Command, noWait *bool) {
	cmd.Flags().BoolVar(noWait, "no-wait", false, "do not wait for the end of what is begun")
}

// parseTags reads KEY=VALUE of --tags. Where tags are changed, KEY alone takes one away.
func parseTags(texts []string, changes bool) (map[string]*string, error) {
	tags := map[string]*string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		switch {
		case name == "" || !ok && !changes:
			return nil, usageError{fmt.Errorf("--tags %q: write KEY=VALUE", text)}
		case ok:
			tags[name] = &value
		default:
			tags[name] = nil
		}
	}
	return tags, nil
}
