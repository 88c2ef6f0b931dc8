package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newBackupCoverage() *cobra.Command {
	var q content.Coverage
	cmd := &cobra.Command{
		Use:   "coverage NAME",
		Short: "Show what a recovery point covers: what was captured, what was not, and why",
		Long: `Show the ledger of a recovery point: the objects captured of each type, each object, type and volume that was left out, and why.

The Backup extension reads it as for a restore, and is reached through a port-forward, which takes the right to list pods and to
create pods/portforward in its namespace.`,
		Example: `  coffer backup coverage shop-1
  coffer backup coverage shop-1 --context other-cluster -o json`,
		Args: oneName("recovery point"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			q.BackupName = args[0]
			return p.showCoverage(cmd.Context(), q)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.StorageLocation, "storage-location", "default", "BackupStorageLocation that holds the recovery point")
	flags.StringVar(&p.target.Namespace, "extension-namespace", v1alpha1.DefaultNamespace, "namespace of the Backup extension")
	return cmd
}

// showCoverage prints a ledger, once it is known to be complete.
func (p *program) showCoverage(ctx context.Context, q content.Coverage) error {
	answer, err := p.askReader(ctx, q.URL())
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	items := []content.CoverageItem{}
	err = content.Read(answer, func(i content.CoverageItem) error {
		items = append(items, i)
		return nil
	})
	switch {
	case errors.Is(err, content.ErrCut):
		return fmt.Errorf("coverage of %s: %w; try again", q.BackupName, err)
	case err != nil:
		return fmt.Errorf("coverage of %s: %w", q.BackupName, err)
	}
	return p.show(items, func() error { return p.coverageTable(items) })
}
