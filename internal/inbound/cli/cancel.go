package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newBackupCancel() *cobra.Command {
	return p.newCancel("backup", "End a backup that is under way; nothing is left of it", func(ctx context.Context, c client.Client, name string, wait bool) error {
		b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		if err := p.cancel(ctx, c, "backup", b, func() v1alpha1.RunPhase { return b.Status.Phase }); err != nil {
			return err
		}
		if wait {
			return p.awaitCancelled(ctx, c, b, func() v1alpha1.RunStatus { return b.Status.RunStatus }, func() string { return backupProgress(b.Status.Progress) })
		}
		return nil
	})
}

func (p *program) newRestoreCancel() *cobra.Command {
	return p.newCancel("restore", "End a restore that is under way; what it has created stays", func(ctx context.Context, c client.Client, name string, wait bool) error {
		r := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		if err := p.cancel(ctx, c, "restore", r, func() v1alpha1.RunPhase { return r.Status.Phase }); err != nil {
			return err
		}
		if wait {
			return p.awaitCancelled(ctx, c, r, func() v1alpha1.RunStatus { return r.Status.RunStatus }, func() string { return restoreProgress(r.Status.Progress) })
		}
		return nil
	})
}

func (p *program) newCancel(kind, short string, run func(ctx context.Context, c client.Client, name string, wait bool) error) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "cancel NAME", Short: short, Args: oneName(kind),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			return run(cmd.Context(), c, args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// cancel asks for the end of a run, and refuses if it has ended already.
func (p *program) cancel(ctx context.Context, c client.Client, kind string, object client.Object, phase func() v1alpha1.RunPhase) error {
	name := object.GetName()
	err := c.Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return missing(kind, kind, name)
	}
	if err != nil {
		return fmt.Errorf("cancel %s %s: %w", kind, name, err)
	}
	if phase().Final() {
		return fmt.Errorf("%s %s has ended already: it is %s", kind, name, phase())
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancel":true}}`))
	if err := c.Patch(ctx, object, patch); err != nil {
		return fmt.Errorf("cancel %s %s: %w", kind, name, err)
	}
	_, err = fmt.Fprintf(p.Err, "%s %s is asked to end.\n", kind, name)
	return err
}

// awaitCancelled waits for the end of a run that was asked for. One that came to its own end first is a failure of the
// command, not of the run.
func (p *program) awaitCancelled(ctx context.Context, c client.Client, object client.Object, status func() v1alpha1.RunStatus, progress func() string) error {
	if err := p.follow(ctx, c, object, status, progress); err != nil {
		return err
	}
	if got := status().Phase; got != v1alpha1.RunCancelled {
		return fmt.Errorf("it was too late to cancel %s: it is %s", object.GetName(), got)
	}
	return nil
}
