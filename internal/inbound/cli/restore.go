package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newRestore() *cobra.Command {
	return group("restore", "Restore recovery points, plan and test restores, and list and show them",
		p.newRestoreValidate(), p.newRestorePlan(), p.newRestoreCreate(), p.newRestoreTest(), p.newRestoreList(), p.newRestoreShow(), p.newRestoreLogs(), p.newRestoreCancel())
}

func (p *program) createRestore(ctx context.Context, name string, spec v1alpha1.RestoreSpec, wait bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	r := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}, Spec: spec}
	if err := c.Create(ctx, r); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a restore named %s exists already; choose another name", name)
	} else if err != nil {
		return fmt.Errorf("create restore %s: %w", name, err)
	}
	if wait {
		if err := p.wait(ctx, c, r, func() v1alpha1.RunStatus { return r.Status.RunStatus }, func() string { return restoreProgress(r.Status.Progress) }); err != nil {
			return err
		}
	}
	return p.showRestore(r)
}

func restoreProgress(g v1alpha1.RestoreProgress) string {
	if g.ObjectsTotal == 0 {
		return ""
	}
	parts := []string{fmt.Sprintf("%d of %d objects", g.Created+g.Existing+g.Patched+g.Replaced+g.Failed, g.ObjectsTotal)}
	if g.VolumesTotal > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d volumes bound", g.VolumesBound, g.VolumesTotal))
	}
	if g.HooksTotal > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d hooks", g.HooksRun, g.HooksTotal))
	}
	if g.WorkloadsTotal > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d workloads ready", g.WorkloadsReady, g.WorkloadsTotal))
	}
	return strings.Join(parts, "; ")
}

func (p *program) newRestoreList() *cobra.Command {
	var all v1alpha1.RestoreList
	return newList(p, "restores", "Restore", &all, &all.Items, newestFirst, p.restoreTable)
}

func (p *program) restoreTable(all []v1alpha1.Restore) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.Err, "There are no restores in namespace %s. Make one with `coffer restore create NAME --backup-name BACKUP`.\n", p.target.Namespace)
		return err
	}
	rows := [][]string{{"NAME", "BACKUP", "PHASE", "CREATED", "EXISTING", "PATCHED", "REPLACED", "FAILED", "VOLUMES", "WARNINGS", "TOOK", "AGE"}}
	for _, r := range all {
		g := r.Status.Progress
		rows = append(rows, []string{
			r.Name, r.Spec.BackupName, phaseText(r.Status.Phase),
			strconv.Itoa(g.Created), strconv.Itoa(g.Existing), strconv.Itoa(g.Patched), strconv.Itoa(g.Replaced), strconv.Itoa(g.Failed), fmt.Sprintf("%d/%d", g.VolumesBound, g.VolumesTotal),
			strconv.Itoa(r.Status.WarningCount), took(r.Status.RunStatus), age(r.CreationTimestamp),
		})
	}
	return p.table(rows)
}

func (p *program) newRestoreShow() *cobra.Command {
	var failed, results bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show one restore with its warnings, or what became of each object",
		Example: `  coffer restore show shop-back
  coffer restore show shop-back --failed
  coffer restore show shop-back --results -o json`,
		Args: oneName("restore"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			switch {
			case failed && results:
				return usageError{errors.New("--failed lists a part of what --results lists: give one of them")}
			case failed || results:
				return p.showResults(cmd.Context(), args[0], failed)
			}
			r, err := p.getRestore(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.showRestore(r)
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "list each object that failed, and why")
	cmd.Flags().BoolVar(&results, "results", false, "list each object of the plan, and what became of it")
	return cmd
}

func (p *program) getRestore(ctx context.Context, name string) (*v1alpha1.Restore, error) {
	var r v1alpha1.Restore
	_, err := p.read(ctx, "show", "restore", "restore", name, &r)
	return &r, err
}

func (p *program) showRestore(r *v1alpha1.Restore) error {
	identify(r, "Restore")
	return p.show(r, func() error {
		g := r.Status.Progress
		hooks := ""
		if g.HooksTotal > 0 {
			hooks = fmt.Sprintf("%d run of %d", g.HooksRun, g.HooksTotal)
		}
		err := p.describe([]field{
			{"Name", r.Name},
			{"Backup", r.Spec.BackupName},
			{"Phase", phaseText(r.Status.Phase)},
			{"Step", stepText(r.Status.RunStatus)},
			{"Reason", r.Status.Reason},
			{"Message", r.Status.Message},
			{"Namespaces", namespacesText(r.Spec.IncludedNamespaces, r.Spec.ExcludedNamespaces)},
			{"Mapped", mappingsText(r.Spec.NamespaceMappings)},
			{"Started", when(r.Status.StartTime)},
			{"Completed", when(r.Status.CompletionTime)},
			{"Took", took(r.Status.RunStatus)},
			{"Plan", planText(r.Status.Plan)},
			{"Plan stored", planPlace(r.Status.Plan)},
			{"Report stored", reportPlace(r.Status.Report)},
			{"Failures", failuresCommand(r)},
			{"Objects", fmt.Sprintf("%d created, %d existing, %d patched, %d replaced, %d failed; %d left to Kubernetes or out of scope",
				g.Created, g.Existing, g.Patched, g.Replaced, g.Failed, g.Skipped)},
			{"Volumes", fmt.Sprintf("%d bound of %d", g.VolumesBound, g.VolumesTotal)},
			{"Hooks", hooks},
			{"Workloads", workloadsText(r.Status)},
		})
		if err != nil {
			return err
		}
		return p.describeWarnings(r.Status.RunStatus)
	})
}

// workloadsText says how long the recovery took, from the start of the run until everything was ready.
func workloadsText(s v1alpha1.RestoreStatus) string {
	if s.Progress.WorkloadsTotal == 0 {
		return ""
	}
	text := fmt.Sprintf("%d ready of %d", s.Progress.WorkloadsReady, s.Progress.WorkloadsTotal)
	if s.ReadyTime != nil && s.StartTime != nil {
		text += fmt.Sprintf(", %s after the start", s.ReadyTime.Sub(s.StartTime.Time))
	}
	return text
}

// planText says what a plan is.
func planText(p *v1alpha1.RestorePlan) string {
	if p == nil {
		return ""
	}
	return countsText(p.Counts) + "; " + p.Digest
}

// countsText counts what is in a plan, leaving out what is not.
func countsText(n v1alpha1.RestorePlanCounts) string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{n.Create, "to create"}, {n.RestoreVolume, "volumes to restore"}, {n.Patch, "to patch"}, {n.Replace, "to replace"},
		{n.Existing, "existing"}, {n.Skip, "to skip"}, {n.Fail, "in conflict"}, {n.Unchecked, "unchecked"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	return strings.Join(parts, ", ")
}

func planPlace(p *v1alpha1.RestorePlan) string {
	switch {
	case p == nil:
		return ""
	case p.Key == "":
		return "nowhere"
	}
	return p.Key + " in " + p.StorageLocation
}

// reportPlace says where a report is stored.
func reportPlace(r *v1alpha1.RestoreReport) string {
	if r == nil {
		return ""
	}
	return r.Key + " in " + r.StorageLocation
}

// failuresCommand is how a person sees what failed; empty if nothing did.
func failuresCommand(r *v1alpha1.Restore) string {
	if r.Status.Report == nil || r.Status.Progress.Failed == 0 {
		return ""
	}
	command := "coffer restore show " + r.Name + " --failed"
	if r.Namespace != v1alpha1.DefaultNamespace {
		command += " --namespace " + r.Namespace
	}
	return command
}

func mappingsText(m map[string]v1alpha1.NamespaceName) string {
	var parts []string
	for from, to := range m {
		parts = append(parts, from+" to "+string(to))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
