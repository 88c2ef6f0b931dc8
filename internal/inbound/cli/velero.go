package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newVelero() *cobra.Command {
	return group("velero", "Restore what Velero has backed up: import its bucket, list and describe what is in it",
		p.newVeleroImport(), p.newVeleroList(), p.newVeleroDescribe())
}

func (p *program) newVeleroImport() *cobra.Command {
	var f storageFlags
	var trust bool
	cmd := &cobra.Command{
		Use:   "import NAME",
		Short: "Register a bucket that Velero writes to, to restore from; nothing is ever written to it",
		Long: `Register a bucket that Velero writes to as a storage location to restore from. It is read-only: nothing is ever written
to the bucket, and no snapshot of Velero's is deleted.

Velero signs nothing: whoever can write to the bucket decides what is restored, and from which snapshots. With
--trust-unsigned you say that only those whom you trust can; without it restores are refused. For a bucket that is
imported already, --trust-unsigned alone says so.`,
		Example: `  coffer velero import old --provider s3 --container velero --region eu-central-1 --credentials-env --trust-unsigned --wait
  coffer velero import old --trust-unsigned
  coffer velero list --storage-location old
  coffer restore create shop-back --storage-location old --backup-name shop-daily-20260101 --wait`,
		Args: oneName("storage location"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			if trust && f.provider == "" && f.container == "" {
				return p.trustVelero(cmd.Context(), args[0])
			}
			spec, err := f.spec()
			if err != nil {
				return err
			}
			data, err := f.credentials()
			if err != nil {
				return err
			}
			spec.ReadOnly, spec.Velero = true, &v1alpha1.VeleroSource{TrustUnsigned: trust}
			return p.createStorage(cmd.Context(), args[0], spec, data, f)
		},
	}
	f.bind(cmd.Flags())
	cmd.Flags().BoolVar(&trust, "trust-unsigned", false, "allow restores of Velero's backups, which nothing vouches for")
	return cmd
}

// trustVelero says of a bucket that is imported already that it is trusted.
func (p *program) trustVelero(ctx context.Context, name string) error {
	c, l, err := p.veleroLocation(ctx, name)
	if err != nil {
		return err
	}
	before := l.DeepCopy()
	l.Spec.Velero.TrustUnsigned = true
	if err := c.Patch(ctx, l, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("change storage location %s: %w", name, err)
	}
	return p.showStorage(l)
}

// veleroLocation reads a location that has to be of a bucket of Velero's.
func (p *program) veleroLocation(ctx context.Context, name string) (client.Client, *v1alpha1.BackupStorageLocation, error) {
	c, l, err := p.storageLocation(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if l.Spec.Velero == nil {
		return nil, nil, fmt.Errorf("storage location %s is not of a bucket of Velero's; register one with `coffer velero import`", name)
	}
	return c, l, nil
}

// veleroBackups are the backups in a location as the extension finds them now.
func (p *program) veleroBackups(ctx context.Context, name string, timeout time.Duration) ([]v1alpha1.VeleroBackup, int64, error) {
	c, l, err := p.veleroLocation(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	ask, err := p.askForCheck(ctx, c, l, nil)
	if err != nil {
		return nil, 0, err
	}
	if err := p.awaitCheck(ctx, c, l, timeout, func() bool { return l.Status.LastHandledCheck == ask }); err != nil {
		return nil, 0, err
	}
	if l.Status.Phase != v1alpha1.StorageLocationAvailable {
		return nil, 0, fmt.Errorf("storage location %s is %s: %s: %s", l.Name, l.Status.Phase, l.Status.Reason, l.Status.Message)
	}
	total := int64(len(l.Status.VeleroBackups))
	if l.Status.RecoveryPoints != nil {
		total = *l.Status.RecoveryPoints
	}
	return l.Status.VeleroBackups, total, nil
}

func (p *program) newVeleroList() *cobra.Command {
	var location string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "list --storage-location NAME", Short: "List Velero's backups in an imported bucket, the newest 200", Aliases: []string{"ls"}, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.checkVelero(location); err != nil {
				return err
			}
			backups, total, err := p.veleroBackups(cmd.Context(), location, timeout)
			if err != nil {
				return err
			}
			return p.show(backups, func() error { return p.veleroTable(location, backups, total) })
		},
	}
	bindVelero(cmd, &location, &timeout)
	return cmd
}

func bindVelero(cmd *cobra.Command, location *string, timeout *time.Duration) {
	cmd.Flags().StringVar(location, "storage-location", "", "BackupStorageLocation of the bucket, as imported")
	cmd.Flags().DurationVar(timeout, "timeout", 3*time.Minute, "how long to wait for the extension's answer")
}

func (p *program) checkVelero(location string) error {
	if location == "" {
		return usageError{fmt.Errorf("name the imported bucket with --storage-location")}
	}
	return p.checkOutput()
}

func (p *program) veleroTable(location string, backups []v1alpha1.VeleroBackup, total int64) error {
	if len(backups) == 0 {
		_, err := fmt.Fprintf(p.Err, "There are no backups of Velero in storage location %s.\n", location)
		return err
	}
	rows := [][]string{{"NAME", "PHASE", "NAMESPACES", "OBJECTS", "VOLUMES", "ERRORS", "WARNINGS", "COMPLETED", "PROBLEM"}}
	for _, b := range backups {
		rows = append(rows, []string{
			b.Name, b.Phase, strings.Join(b.IncludedNamespaces, ","), strconv.FormatInt(b.Objects, 10), volumesText(b),
			strconv.Itoa(b.Errors), strconv.Itoa(b.Warnings), when(b.CompletionTime), b.Problem,
		})
	}
	if err := p.table(rows); err != nil {
		return err
	}
	if more := total - int64(len(backups)); more > 0 {
		_, err := fmt.Fprintf(p.Err, "The container holds %d more recovery points.\n", more)
		return err
	}
	return nil
}

// volumesText is how many of the volumes Coffer can restore.
func volumesText(b v1alpha1.VeleroBackup) string {
	return fmt.Sprintf("%d/%d", b.VolumesCaptured, b.VolumesCaptured+b.VolumesSkipped)
}

func (p *program) newVeleroDescribe() *cobra.Command {
	var location string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "describe BACKUP --storage-location NAME", Short: "Say what one of Velero's backups holds, and what of it Coffer cannot restore",
		Aliases: []string{"show"}, Args: oneName("backup of Velero"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkVelero(location); err != nil {
				return err
			}
			backups, _, err := p.veleroBackups(cmd.Context(), location, timeout)
			if err != nil {
				return err
			}
			at := slices.IndexFunc(backups, func(b v1alpha1.VeleroBackup) bool { return b.Name == args[0] })
			if at < 0 {
				return fmt.Errorf("there is no backup %s of Velero among the newest in storage location %s; see `coffer velero list --storage-location %s`", args[0], location, location)
			}
			return p.show(backups[at], func() error { return p.describeVelero(backups[at]) })
		},
	}
	bindVelero(cmd, &location, &timeout)
	return cmd
}

func (p *program) describeVelero(b v1alpha1.VeleroBackup) error {
	err := p.describe([]field{
		{"Name", b.Name},
		{"Phase", b.Phase},
		{"Problem", b.Problem},
		{"Namespaces", strings.Join(b.IncludedNamespaces, ", ")},
		{"Objects", strconv.FormatInt(b.Objects, 10)},
		{"Volumes", volumesText(b) + " can be restored"},
		{"Errors", strconv.Itoa(b.Errors)},
		{"Warnings", strconv.Itoa(b.Warnings)},
		{"Started", when(b.StartTime)},
		{"Completed", when(b.CompletionTime)},
	})
	if err != nil || b.VolumesSkipped == 0 {
		return err
	}
	lines := []string{"", "Volumes whose data Coffer cannot restore:"}
	for _, v := range b.Skipped {
		lines = append(lines, "  "+v.Volume+": "+v.Reason)
	}
	if more := b.VolumesSkipped - len(b.Skipped); more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	_, err = fmt.Fprintln(p.Out, strings.Join(lines, "\n"))
	return err
}
