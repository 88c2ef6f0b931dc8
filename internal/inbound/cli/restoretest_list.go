package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newRestoreTestLogs() *cobra.Command {
	return p.newLogs("restore test", "RestoreTest", func(name string) (client.Object, func() v1alpha1.RunPhase) {
		t := &v1alpha1.RestoreTest{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		return t, func() v1alpha1.RunPhase { return t.Status.Phase }
	})
}

func (p *program) newRestoreTestList() *cobra.Command {
	var all v1alpha1.RestoreTestList
	return newList(p, "restore tests", "RestoreTest", &all, &all.Items, newestFirst, p.restoreTestTable)
}

func (p *program) restoreTestTable(all []v1alpha1.RestoreTest) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.Err, "There are no restore tests in namespace %s. Make one with `coffer restore test BACKUP`.\n", p.target.Namespace)
		return err
	}
	rows := [][]string{{"NAME", "BACKUP", "PHASE", "OUTCOME", "VOLUMES", "CHECKS", "READY AFTER", "WARNINGS", "TOOK", "AGE"}}
	for _, t := range all {
		g := t.Status.Progress
		rows = append(rows, []string{
			t.Name, t.Spec.BackupName, phaseText(t.Status.Phase), string(t.Status.Outcome),
			fmt.Sprintf("%d/%d", g.VolumesBound, g.VolumesTotal), fmt.Sprintf("%d/%d", passed(t.Status.Checks), len(t.Spec.Checks)),
			after(t.Status, t.Status.ReadyTime), strconv.Itoa(t.Status.WarningCount), took(t.Status.RunStatus), age(t.CreationTimestamp),
		})
	}
	return p.table(rows)
}

func passed(checks []v1alpha1.RestoreCheckStatus) int {
	n := 0
	for _, c := range checks {
		if c.Passed {
			n++
		}
	}
	return n
}

// after is how long after the start of a test something was.
func after(s v1alpha1.RestoreTestStatus, at *metav1.Time) string {
	if at == nil || s.StartTime == nil {
		return ""
	}
	return at.Sub(s.StartTime.Time).Round(time.Second).String()
}

func (p *program) newRestoreTestCancel() *cobra.Command {
	return p.newCancel("restore test", "End a restore test that is under way; what it has made is removed", func(ctx context.Context, c client.Client, name string, wait bool) error {
		t := &v1alpha1.RestoreTest{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}}
		if err := p.cancel(ctx, c, "restore test", t, func() v1alpha1.RunPhase { return t.Status.Phase }); err != nil {
			return err
		}
		if wait {
			return p.awaitCancelled(ctx, c, t, func() v1alpha1.RunStatus { return t.Status.RunStatus }, func() string { return restoreTestProgress(t.Status) })
		}
		return nil
	})
}

func (p *program) newRestoreTestDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a restore test, and what it has kept or could not remove; the stored report stays", Args: oneName("restore test"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			t := &v1alpha1.RestoreTest{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: args[0]}}
			if err := c.Delete(cmd.Context(), t); apierrors.IsNotFound(err) {
				return missing("restore test", "restore test", args[0])
			} else if err != nil {
				return fmt.Errorf("delete restore test %s: %w", args[0], err)
			}
			return p.awaitDeleted(cmd.Context(), c, t)
		},
	}
}

// awaitDeleted waits until an object is gone.
func (p *program) awaitDeleted(ctx context.Context, c client.Client, t *v1alpha1.RestoreTest) error {
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		if err := c.Get(ctx, client.ObjectKeyFromObject(t), t); apierrors.IsNotFound(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("wait for the end of restore test %s: %w", t.Name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped waiting; restore test %s is being removed, with %s: %w", t.Name, strings.Join(t.Status.ScratchNamespaces, ", "), ctx.Err())
		case <-tick.C:
		}
	}
}
