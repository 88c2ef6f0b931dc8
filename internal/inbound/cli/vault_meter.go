package cli

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func meterNoun() noun {
	return noun{
		name:    "meter reading",
		heading: []string{"DAY", "INSTANCE", "NAMESPACES", "RECOVERY POINTS", "SNAPSHOTS", "ARCHIVES", "VAULT TIER", "REDUNDANCY"}, row: meterRow,
	}
}

func meterRow(text json.RawMessage) ([]string, error) {
	r, err := decodeAs[arm.MeterReading](text)
	if err == nil && !r.Measured {
		days := r.Day
		if r.Through != "" {
			days += " to " + r.Through
		}
		return []string{days, "not measured", "", "", "", "", "", ""}, nil
	}
	return []string{
		r.Day, catalogue.ID(r.BackupInstanceID).Name(), strconv.Itoa(r.Namespaces), strconv.Itoa(r.RecoveryPoints), bytesText(r.SnapshotBytes), bytesText(r.ArchiveBytes),
		bytesText(r.VaultBytes), string(r.Redundancy),
	}, err
}

func (p *program) newVaultMeter() *cobra.Command {
	var at scopeFlags
	var from, to string
	cmd := &cobra.Command{
		Use: "meter", Short: "List what the backup instances of a Backup vault took up, day by day", Args: noArgs,
		Long: `List what the backup instances of a Backup vault took up, day by day: how many namespaces they protect, how many recovery points there are, and how
large their snapshots, their archives and their copies in the vault tier are. Each day is measured once, soon after midnight UTC; stopped and deleted
instances are, as long as they can be had again. Snapshots count by the least size of volumes made of them. Days that were not measured are listed as such.`,
		Example: `  coffer backup-vault meter -g shop -v shop-vault
  coffer backup-vault meter -g shop -v shop-vault --from 2026-11-01 --to 2026-11-30 -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, vault, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			query := url.Values{}
			for name, day := range map[string]string{"from": from, "to": to} {
				if day != "" {
					query.Set(name, day)
				}
			}
			return p.list(cmd.Context(), s, meterNoun(), vault+ownProvider+"meter?"+query.Encode())
		},
	}
	at.bindVault(p, cmd)
	cmd.Flags().StringVar(&from, "from", "", "first day, such as 2026-11-01; without it, the last 31 days are listed")
	cmd.Flags().StringVar(&to, "to", "", "last day; without it, today")
	return cmd
}
