package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

const deletedVaultCollection = "deletedVaults"

func (p *program) newVaultDeleted() *cobra.Command {
	return group("deleted", "Backup vaults that were deleted and can be had again", p.newVaultDeletedList(), p.newVaultDeletedShow(), p.newVaultUndelete())
}

func deletedVaultNoun() noun {
	return noun{
		name: "deleted backup vault", fields: deletedVaultFields,
		heading: []string{"NAME", "BACKUP VAULT", "RESOURCE GROUP", "DELETED", "CAN BE HAD AGAIN UNTIL"}, row: deletedVaultRow,
	}
}

// deletedVaultView is a deleted vault as the server shows it.
type deletedVaultView struct {
	ID         catalogue.ID     `json:"id"`
	Name       string           `json:"name"`
	Location   string           `json:"location"`
	Properties arm.DeletedVault `json:"properties"`
}

func readDeletedVault(text json.RawMessage) (deletedVaultView, error) {
	v, err := decodeAs[deletedVaultView](text)
	if v.Properties.ResourceDeletionInfo == nil {
		v.Properties.ResourceDeletionInfo = &arm.ResourceDeletionInfo{}
	}
	return v, err
}

func deletedVaultFields(text json.RawMessage) ([]field, error) {
	v, err := readDeletedVault(text)
	d := v.Properties
	return []field{
		{"Name", v.Name},
		{"Backup vault", d.OriginalBackupVaultName},
		{"Resource group", groupName(catalogue.ID(d.OriginalBackupVaultID))},
		{"Location", v.Location},
		{"Deleted", timeText(&d.ResourceDeletionInfo.DeletionTime)},
		{"Can be had again until", timeText(&d.ResourceDeletionInfo.ScheduledPurgeTime)},
		{"Redundancy", redundancyText(d.StorageSettings)},
		{"Soft delete", softDeleteText(d.SecuritySettings)},
		{"Immutability", immutabilityText(d.SecuritySettings)},
		{"Was", d.OriginalBackupVaultID},
		{"ID", string(v.ID)},
	}, err
}

func deletedVaultRow(text json.RawMessage) ([]string, error) {
	v, err := readDeletedVault(text)
	d := v.Properties
	return []string{
		v.Name, d.OriginalBackupVaultName, groupName(catalogue.ID(d.OriginalBackupVaultID)), timeText(&d.ResourceDeletionInfo.DeletionTime), timeText(&d.ResourceDeletionInfo.ScheduledPurgeTime),
	}, err
}

// deletedVaultFlags name a deleted vault: by --deleted-vault-name and its region, or by its id.
type deletedVaultFlags struct{ location, name string }

func (f *deletedVaultFlags) bindLocation(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.location, "location", "l", "", "region that the vault was in")
}

func (f *deletedVaultFlags) bind(cmd *cobra.Command) {
	f.bindLocation(cmd)
	cmd.Flags().StringVar(&f.name, "deleted-vault-name", "", "deleted vault, by its name or id, as coffer backup-vault deleted list shows it; it may also be given without the flag")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		return named(cmd, args, "deleted backup vault", "deleted-vault-name", &f.name)
	}
}

// deletedVaults is the server, and where the deleted vaults of a region are.
func (p *program) deletedVaults(cmd *cobra.Command, f deletedVaultFlags) (s session, path string, err error) {
	if s, err = p.server(); err != nil {
		return s, "", err
	}
	location := decide.Location(f.location)
	if location == "" {
		return s, "", usageError{errors.New("name the region with --location: deleted vaults are listed by it")}
	}
	if err := checkSegment("location", location); err != nil {
		return s, "", err
	}
	subscription, err := s.subscriptionID(cmd.Context())
	return s, subscription + "/providers/Microsoft.DataProtection/locations/" + location + "/" + deletedVaultCollection, err
}

func (p *program) atDeletedVault(cmd *cobra.Command, f deletedVaultFlags) (s session, id string, err error) {
	if strings.HasPrefix(f.name, "/") {
		if s, err = p.server(); err == nil {
			id, err = idOf("deleted-vault-name", f.name, deletedVaultCollection)
		}
		return s, id, err
	}
	if err := checkSegment("deleted-vault-name", f.name); err != nil {
		return s, "", err
	}
	s, id, err = p.deletedVaults(cmd, f)
	return s, id + "/" + f.name, err
}

func (p *program) newVaultDeletedList() *cobra.Command {
	var at deletedVaultFlags
	cmd := &cobra.Command{
		Use: "list", Short: "List the deleted Backup vaults of a region", Aliases: []string{"ls"}, Args: noArgs,
		Example: "  coffer backup-vault deleted list -l westeurope",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, path, err := p.deletedVaults(cmd, at)
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, deletedVaultNoun(), path)
		},
	}
	at.bindLocation(cmd)
	return cmd
}

func (p *program) newVaultDeletedShow() *cobra.Command {
	var at deletedVaultFlags
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a deleted Backup vault",
		Example: "  coffer backup-vault deleted show -l westeurope 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atDeletedVault(cmd, at)
			if err != nil {
				return err
			}
			return p.get(cmd.Context(), s, deletedVaultNoun(), id)
		},
	}
	at.bind(cmd)
	return cmd
}

func (p *program) newVaultUndelete() *cobra.Command {
	var at deletedVaultFlags
	cmd := &cobra.Command{
		Use: "undelete NAME", Short: "Have a deleted Backup vault again, with its policies and alerts",
		Long: `Have a deleted Backup vault again, under the name and in the resource group that it had, with its policies, jobs and alerts. Role assignments went with
its deletion, and do not come back. It is refused while another vault has the name.`,
		Example: "  coffer backup-vault deleted undelete -l westeurope 0b0f7f5e-1b35-4d5c-9d0a-6f5f5c1d9a70",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atDeletedVault(cmd, at)
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodGet, Path: id})
			if err != nil {
				return err
			}
			v, err := readDeletedVault(reply.Body)
			if err != nil {
				return err
			}
			reply, err = s.Do(cmd.Context(), Call{
				Method: http.MethodPut, Path: v.Properties.OriginalBackupVaultID, Header: http.Header{"X-Ms-Deleted-Vault-Id": {string(v.ID)}}, Follow: true,
			})
			if err != nil {
				return fmt.Errorf("undelete backup vault %s: %w", v.Properties.OriginalBackupVaultName, err)
			}
			return p.showOne(vaultNoun(), reply.Body)
		},
	}
	at.bind(cmd)
	return cmd
}
