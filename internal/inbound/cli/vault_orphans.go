package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func orphanNoun() noun {
	return noun{
		name: "orphan", heading: []string{"ORPHAN", "CLUSTER", "INSTANCE", "TIME", "SIZE", "SNAPSHOTS LEFT", "WHY"}, row: orphanRow,
	}
}

func orphanRow(text json.RawMessage) ([]string, error) {
	o, err := decodeAs[arm.Orphan](text)
	cluster := catalogue.ID(o.ClusterID).Name()
	if err == nil && o.Kind == arm.OrphanNotAsked {
		return []string{"not known", cluster, "", "", "", "", oneLine(o.Reason)}, nil
	}
	size, left := "", ""
	if o.Bytes > 0 {
		size = bytesText(o.Bytes)
	}
	if o.Snapshots > 0 {
		left = strconv.Itoa(o.Snapshots) + " of " + bytesText(o.SnapshotBytes)
	}
	why := o.Reason
	if o.Kept != "" {
		why += "; kept, for " + o.Kept
	}
	return []string{o.ID, cluster, catalogue.ID(o.BackupInstanceID).Name(), timeText(o.Time), size, left, oneLine(why)}, err
}

func (p *program) newVaultOrphans() *cobra.Command {
	var at scopeFlags
	cmd := &cobra.Command{
		Use: "orphans", Short: "List what is in the clusters of a Backup vault and not in its catalogue, and the reverse", Args: noArgs,
		Long: `List what a Backup vault has made in its clusters and their storage locations, and does not have in its catalogue, and the recovery points of the catalogue whose
archive is not there. Nothing is changed. Each cluster is asked; one that cannot be is listed as not known. What other vaults, people or Velero have made is
no orphan.`,
		Example: "  coffer backup-vault orphans -g shop -v shop-vault",
		RunE:    p.listing(orphanNoun(), ownProvider+"orphans", located(p.atVault, &at)),
	}
	at.bindVault(p, cmd)
	cmd.AddCommand(p.newVaultOrphansRemove())
	return cmd
}

func (p *program) newVaultOrphansRemove() *cobra.Command {
	var at scopeFlags
	var cluster string
	var yes bool
	cmd := &cobra.Command{
		Use: "remove ORPHAN...", Short: "Remove orphans of a cluster, by their names", Args: cobra.ArbitraryArgs,
		Long: `Remove orphans of one cluster, named as they were listed. One that is not as it was then is refused: a backup may have ended since. What is in the cluster is deleted
like an expired recovery point, with its snapshots: it is a pending deletion until then. A recovery point without an archive leaves the catalogue.`,
		Example: "  coffer backup-vault orphans remove -g shop -v shop-vault --cluster production Archive/0f3a.../9c1d22aa",
		RunE: func(cmd *cobra.Command, names []string) error {
			s, vault, err := p.atVault(cmd.Context(), at)
			if err != nil {
				return err
			}
			if len(names) == 0 {
				return usageError{errors.New("name the orphans, as `coffer backup-vault orphans` lists them")}
			}
			id, err := s.listedCluster(cmd.Context(), vault+ownProvider+"orphans", cluster, "coffer backup-vault orphans")
			if err != nil {
				return err
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Remove %d orphans in %s for good?", len(names), catalogue.ID(id).Name())); err != nil {
					return err
				}
			}
			asked, err := json.Marshal(arm.RemoveOrphansRequest{ClusterID: id, IDs: names})
			if err != nil {
				return err
			}
			reply, err := s.Do(cmd.Context(), Call{Method: http.MethodPost, Path: vault + ownProvider + "removeOrphans", Body: asked})
			if err != nil {
				return err
			}
			return p.showRemovedOrphans(reply.Body)
		},
	}
	at.bindVault(p, cmd)
	p.bindListedCluster(cmd, &cluster)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// bindListedCluster is for commands on what a list of a vault says of one cluster.
func (p *program) bindListedCluster(cmd *cobra.Command, cluster *string) {
	cmd.Flags().StringVar(cluster, "cluster", "", "cluster, by its name in the list, or by its id")
	cmd.Flags().StringVar(cluster, "cluster-id", "", "the same as --cluster")
	mustComplete(cmd, "cluster", p.completeClusters)
}

// listedCluster is the id of a cluster that is named by its id, or by its name in what a command lists: one that is gone is listed
// nowhere else.
func (s session) listedCluster(ctx context.Context, path, text, command string) (string, error) {
	if text == "" {
		return "", usageError{errors.New("name the cluster with --cluster, as `" + command + "` has it")}
	}
	if strings.HasPrefix(text, "/") {
		return text, nil
	}
	ids := map[string]string{}
	err := s.Each(ctx, path, func(item json.RawMessage) error {
		one, err := decodeAs[struct {
			ClusterID catalogue.ID `json:"clusterId"`
		}](item)
		if one.ClusterID != "" {
			ids[one.ClusterID.Key()] = string(one.ClusterID)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	var found, names []string
	for _, key := range slices.Sorted(maps.Keys(ids)) {
		name := catalogue.ID(ids[key]).Name()
		if strings.EqualFold(name, text) {
			found = append(found, ids[key])
		}
		names = append(names, name)
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", usageError{errors.New(strings.TrimSuffix(fmt.Sprintf("--cluster %.80q is none of those that `%s` lists: %s", text, command, strings.Join(names, ", ")), ": "))}
	}
	return "", usageError{fmt.Errorf("%d clusters are called %q, such as %s: name one by its id", len(found), text, found[0])}
}

// showRemovedOrphans prints what became of each. That one was refused is an error.
func (p *program) showRemovedOrphans(body []byte) error {
	done, err := decodeAs[arm.RemovedOrphans](body)
	if err != nil {
		return err
	}
	refused := 0
	rows := [][]string{{"ORPHAN", "WHAT BECAME OF IT", "WHY"}}
	for _, o := range done.Value {
		became := map[arm.Word]string{arm.OrphanToBeDeleted: "to be deleted", arm.OrphanRemoved: "removed", arm.OrphanRefused: "refused"}[o.Outcome]
		if o.Outcome == arm.OrphanRefused {
			refused++
		}
		rows = append(rows, []string{printable(o.ID), became, printable(oneLine(o.Reason))})
	}
	if err := p.render(done.Value, func() error { return p.table(rows) }); err != nil || refused == 0 {
		return err
	}
	return fmt.Errorf("%d of %d orphans were not removed", refused, len(done.Value))
}
