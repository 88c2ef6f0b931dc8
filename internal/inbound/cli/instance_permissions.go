package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func (p *program) newInstancePermissions() *cobra.Command {
	var at instanceFlags
	var f instanceSpec
	cmd := &cobra.Command{
		Use: "update-msi-permissions", Aliases: []string{"grant-permissions"}, Args: noArgs,
		Short: "Give the vault what it lacks in a cluster, as far as that can be done from here, and say what only the cluster's owner can",
		Long: `Give the vault what it lacks to protect a cluster, as far as that can be done from here, and say what only the cluster's owner can.

Trusted access is asked for where it is missing, and is given at once where the cluster's owner has allowed that at join. Otherwise the command that
gives it is printed. Then the cluster is asked whether it could be backed up, and what it finds is shown with what to do.`,
		Example: `  coffer backup-instance update-msi-permissions -g shop -v shop-vault --cluster production --policy-name daily`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, made, err := f.asked(cmd.Context(), p, cmd, at)
			if err != nil {
				return err
			}
			d := made.Properties.DataSourceInfo
			if d == nil {
				return usageError{fmt.Errorf("the instance has no dataSourceInfo: `coffer backup-instance initialize` prints one to begin with")}
			}
			if err := p.grant(cmd.Context(), s, d.ResourceID, string(id.Parent())); err != nil {
				return err
			}
			body := arm.ValidateForBackupRequest{BackupInstance: made.Properties}
			return p.validate(cmd.Context(), s, string(id.Parent())+"/validateForBackup", body, "validate backup instance "+id.Name())
		},
	}
	at.bind(p, cmd)
	f.bind(p, cmd)
	bindInstanceFile(cmd, &f.file)
	return cmd
}

// grant gives a vault trusted access to a cluster, or says who can.
func (p *program) grant(ctx context.Context, s session, cluster, vault string) error {
	c, _, there, err := readAs[clusterView](ctx, s, cluster)
	switch {
	case err != nil:
		return err
	case !there || c.Properties.Coffer.State == clusterPending:
		return fmt.Errorf("cluster %s has not joined, which takes its kubeconfig; its owner runs `coffer cluster join %s`", catalogue.ID(cluster).Name(), cluster)
	}
	v, err := p.ensureBinding(ctx, s, cluster, vault)
	if err != nil {
		return err
	}
	if v.Properties.Coffer.State != bindingApproved {
		// It may have been approved a moment ago.
		if v, _, err = s.checkBinding(ctx, string(v.ID)); err != nil {
			return err
		}
	}
	if v.Properties.Coffer.State == bindingApproved {
		p.told("Backup vault %s has trusted access to cluster %s.", catalogue.ID(vault).Name(), c.Name)
		return nil
	}
	return fmt.Errorf("trusted access of backup vault %s waits for the owner of cluster %s, who approves it with\n  %s\nor, by the kubeconfig of the cluster, with\n  coffer trusted-access rolebinding approve --cluster-name %s --name %s",
		catalogue.ID(vault).Name(), c.Name, v.Properties.Coffer.Command, cluster, v.Name)
}
