package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func pendingNoun() noun {
	return noun{
		name:    "pending deletion",
		heading: []string{"RECOVERY POINT", "INSTANCE", "TIER", "CLUSTER", "SIZE", "SNAPSHOTS", "SINCE", "TRIES", "NEXT TRY", "WHY"}, row: pendingRow,
	}
}

func pendingRow(text json.RawMessage) ([]string, error) {
	d, err := decodeAs[arm.PendingDeletion](text)
	size, snapshots, cluster := "", "", ""
	if d.ClusterID != "" {
		cluster = catalogue.ID(d.ClusterID).Name()
	}
	if d.Bytes > 0 {
		size = bytesText(d.Bytes)
	}
	if d.SnapshotBytes > 0 {
		snapshots = bytesText(d.SnapshotBytes)
	}
	return []string{
		catalogue.ID(d.RecoveryPointID).Name(), catalogue.ID(d.BackupInstanceID).Name(), string(d.DataStoreType), cluster, size, snapshots,
		timeText(&d.Since), strconv.Itoa(d.Tries), timeText(&d.NextTry), oneLine(d.Failure),
	}, err
}

func (p *program) newVaultPending() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "pending-deletions", Short: "List the recovery points of a Backup vault that have expired in a tier and are not deleted there yet", Args: noArgs,
		Long: `List the recovery points of a Backup vault that have expired in a tier and are not deleted there yet, what has waited longest first: those of the
OperationalStore in their clusters, those of the VaultStore by the server. They cannot be restored from there any more. Deleting each is tried again for as long as it
takes, at least each hour.`,
		Example: "  coffer backup-vault pending-deletions -g shop -v shop-vault",
		RunE:    p.listing(pendingNoun(), ownProvider+"pendingDeletions", located(p.atVault, &at)),
	}
	at.bindVault(p, cmd)
	cmd.AddCommand(p.newVaultForget())
	return cmd
}

func (p *program) newVaultForget() *cobra.Command {
	var at scopeFlags
	var cluster string
	var yes bool
	cmd := &cobra.Command{
		Use: "forget", Short: "Give up deleting what has expired in a cluster that never comes back", Args: noArgs,
		Long: `Give up deleting what has expired in a cluster that never comes back. What is in its blob container, and its snapshots, stay where they are, and
the vault knows nothing of them any more. Until then, the vault cannot be deleted.`,
		Example: "  coffer backup-vault pending-deletions forget -g shop -v shop-vault --cluster gone",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, vault, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			id, err := s.listedCluster(cmd.Context(), vault+ownProvider+"pendingDeletions", cluster, "coffer backup-vault pending-deletions")
			if err != nil {
				return err
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Give up deleting what has expired in %s? It stays there, and nobody will know of it.", catalogue.ID(id).Name())); err != nil {
					return err
				}
			}
			asked, err := json.Marshal(arm.ForgetDeletionsRequest{ClusterID: id})
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodPost, Path: vault + ownProvider + "forgetDeletions", Body: asked})
			if err != nil {
				return err
			}
			var done arm.ForgottenDeletions
			if err := json.Unmarshal(reply.Body, &done); err != nil {
				return err
			}
			p.told("%d pending deletions in %s are given up.", done.Forgotten, catalogue.ID(id).Name())
			return nil
		},
	}
	at.bindVault(p, cmd)
	p.bindListedCluster(cmd, &cluster)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
