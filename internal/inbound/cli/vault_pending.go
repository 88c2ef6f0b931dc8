package cli

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func pendingNoun() noun {
	return noun{
		name:    "pending deletion",
		heading: []string{"RECOVERY POINT", "TAKEN", "INSTANCE", "CLUSTER", "SIZE", "TO BE DELETED SINCE", "FAILED TRIES", "NEXT TRY", "WHY"}, row: pendingRow,
	}
}

func pendingRow(text json.RawMessage) ([]string, error) {
	d, err := decodeAs[arm.PendingDeletion](text)
	size := ""
	if d.Bytes > 0 {
		size = bytesText(d.Bytes)
	}
	return []string{
		catalogue.ID(d.RecoveryPointID).Name(), timeText(&d.RecoveryPointTime), catalogue.ID(d.BackupInstanceID).Name(), catalogue.ID(d.ClusterID).Name(), size,
		timeText(&d.Since), strconv.Itoa(d.Tries), timeText(&d.NextTry), oneLine(d.Failure),
	}, err
}

func (p *program) newVaultPending() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "pending-deletions", Short: "List the recovery points of a Backup vault that have expired and are not deleted in their clusters yet", Args: noArgs,
		Long: `List the recovery points of a Backup vault that have expired and are not deleted in their clusters yet, what has waited longest first. They cannot be
restored any more. Deleting each is tried again for as long as it takes, at least each hour.`,
		Example: "  coffer backup-vault pending-deletions -g shop -v shop-vault",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, vault, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.list(cmd.Context(), s, pendingNoun(), vault+ownProvider+"pendingDeletions")
		},
	}
	at.bindVault(p, cmd)
	return cmd
}
