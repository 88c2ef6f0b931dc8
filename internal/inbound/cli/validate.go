package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/capability"
	"github.com/coffer-backup/coffer/internal/flow"
)

// validateLong says of both commands what they do.
const validateLong = `Every check is a row: what a run would look at before it begins, and more of the cluster. What has failed would keep the run from
succeeding, and each says what to do about it. Nothing is changed in the cluster, but for a %s object that is removed again.

Exit codes: 0 if no check has failed; 3 if one has; 1 if the checks could not be made; 2 if the command line is wrong.`

func (p *program) newBackupValidate() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check whether a backup would succeed, and make none",
		Long: "Check whether a backup of these flags would succeed, and make none. It takes the flags of \"backup create\".\n\n" +
			fmt.Sprintf(validateLong, "ValidateForBackup"),
		Example: `  coffer backup validate
  coffer backup validate --included-namespaces shop --backup-hook-references shop/quiesce
  coffer backup validate --from-file backup.yaml -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			spec, err := f.spec(cmd)
			if err != nil {
				return err
			}
			if err := flow.CheckBackup(spec, p.target.Namespace); err != nil {
				return fmt.Errorf("nothing was done: %w", err)
			}
			v := &v1alpha1.ValidateForBackup{ObjectMeta: p.validationName(), Spec: v1alpha1.ValidateForBackupSpec{Backup: spec}}
			return p.validateCluster(cmd.Context(), v, "ValidateForBackup", &v.Status)
		},
	}
	f.defineSpec(cmd)
	return cmd
}

func (p *program) newRestoreValidate() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "validate --backup-name BACKUP",
		Short: "Check whether a restore would succeed here, and restore nothing",
		Long: "Check whether a restore of these flags would succeed in this cluster, and restore nothing. It takes the flags of \"restore create\". The\n" +
			"recovery point is read and verified as for the restore.\n\n" + fmt.Sprintf(validateLong, "ValidateForRestore"),
		Example: `  coffer restore validate --backup-name shop-1
  coffer restore validate --backup-name shop-1 --namespace-mappings shop=shop2 --storage-class-mappings managed-csi=standard
  coffer restore validate --backup-name shop-1 --context other-cluster -o json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			spec, err := f.checked(cmd)
			if err != nil {
				return err
			}
			v := &v1alpha1.ValidateForRestore{ObjectMeta: p.validationName(), Spec: v1alpha1.ValidateForRestoreSpec{Restore: spec}}
			return p.validateCluster(cmd.Context(), v, "ValidateForRestore", &v.Status)
		},
	}
	f.define(cmd)
	return cmd
}

func (p *program) validationName() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.target.Namespace, Name: "validate-" + rand.String(randomLength)}
}

// validateCluster has the checks made, and shows them. status is the object's.
func (p *program) validateCluster(ctx context.Context, object client.Object, kind string, status *v1alpha1.ValidationStatus) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	if err := c.Create(ctx, object); err != nil {
		return fmt.Errorf("create %s %s: %w", kind, object.GetName(), err)
	}
	defer p.removeValidation(ctx, c, object, kind)
	err = p.follow(ctx, c, object, func() v1alpha1.RunStatus { return status.RunStatus }, func() string { return "" })
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped; nothing was checked to its end")
		}
		return err
	}
	identify(object, kind)
	if err := p.show(object, func() error { return p.findingsTable(*status) }); err != nil {
		return err
	}
	if status.Phase == v1alpha1.RunFailed {
		return errUnworkable
	}
	return nil
}

// findingsTable shows checks, and what to do about those that are not as they should be.
func (p *program) findingsTable(status v1alpha1.ValidationStatus) error {
	rows := [][]string{{"CHECK", "STATUS", "RESOURCE", "FOUND"}}
	for _, c := range status.Checks {
		rows = append(rows, []string{c.Name, string(c.Status), oneLine(c.Resource), oneLine(c.Message)})
	}
	if err := p.table(rows); err != nil {
		return err
	}
	for _, c := range status.Checks {
		if c.Status != v1alpha1.CheckFailed && c.Status != v1alpha1.CheckWarning {
			continue
		}
		text := fmt.Sprintf("\n%s: %s", c.Name, oneLine(c.Message))
		if c.Code != "" {
			text += " (" + c.Code + ")"
		}
		if c.Remedy != "" {
			text += "\n  " + oneLine(c.Remedy)
		}
		if _, err := fmt.Fprintln(p.Out, harmless(text)); err != nil {
			return err
		}
	}
	_, _, counts := capability.Verdict(status.Checks)
	if status.Message != "" {
		counts = status.Message
	}
	_, err := fmt.Fprintln(p.Out, "\n"+harmless(counts))
	return err
}

// removeValidation removes the object, also if the user has had enough.
func (p *program) removeValidation(ctx context.Context, c client.Client, object client.Object, kind string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := c.Delete(ctx, object); err != nil && !apierrors.IsNotFound(err) {
		_, _ = fmt.Fprintf(p.Err, "coffer: %s %s is left, and goes by itself after an hour: %v\n", kind, object.GetName(), err)
	}
}
