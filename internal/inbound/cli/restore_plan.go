package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// planOptions say what is shown of a plan.
type planOptions struct {
	diff, secrets, keep bool
	color               string
}

func (p *program) newRestorePlan() *cobra.Command {
	var f restoreFlags
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan --backup-name BACKUP | plan NAME",
		Short: "Show what a restore would do, and change nothing",
		Long: `Show what a restore would do with each object, and change nothing in the cluster. With --diff, the API server is asked what
it would make of each object (a server-side dry run), so that what admission or validation refuses is seen beforehand. What
cannot be checked, because its namespace or its definition does not exist yet, is said to be unchecked.

It takes the flags of "restore create", and prints the command that carries out what was shown: that restore refuses to begin
if its plan is another by then. The plan is made by a Restore object that is removed again, unless --keep is given; the plan
itself stays stored with the recovery point, so that it can be said what has changed. With the NAME of a restore, its stored
plan is shown.

The plan is read from the Backup extension through a port-forward, which takes the right to list pods and to create
pods/portforward in its namespace.

Exit codes: 0 if the plan can be carried out, as far as is known; 3 if it would be refused, because objects exist under conflict
policy Fail, or, with --diff, because the API server would refuse an object; 1 if it could not be shown; 2 if the command line
is wrong.`,
		Example: `  coffer restore plan --backup-name shop-1
  coffer restore plan --backup-name shop-1 --conflict-policy Patch --diff
  coffer restore plan shop-back -o json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("give one name of a restore, or --backup-name: %s", cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(p); err != nil {
				return err
			}
			if len(args) == 1 {
				return p.planOf(cmd, args[0], o)
			}
			spec, err := f.checked(cmd)
			if err != nil {
				return err
			}
			return p.planNew(cmd.Context(), spec, o)
		},
	}
	f.define(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.keep, "keep", false, "keep the Restore object that made the plan")
	flags.BoolVar(&o.diff, "diff", false, "show what would change in each object, line by line of its YAML")
	flags.BoolVar(&o.secrets, "show-secrets", false, "show the values of Secrets in the diff")
	flags.StringVar(&o.color, "color", "auto", "colours in the diff: auto, always or never; auto heeds NO_COLOR")
	return cmd
}

// shownBy are the flags that say what is shown, and not what is restored.
func shownBy() []string { return []string{"diff", "show-secrets", "color"} }

func (o planOptions) check(p *program) error {
	if err := p.checkOutput(); err != nil {
		return err
	}
	switch {
	case o.color != "auto" && o.color != "always" && o.color != "never":
		return usageError{fmt.Errorf("--color %q is not known; use auto, always or never", o.color)}
	case o.secrets && !o.diff:
		return usageError{errors.New("--show-secrets is for --diff: a plan shows no values")}
	}
	return nil
}

// planOf shows the stored plan of a restore.
func (p *program) planOf(cmd *cobra.Command, name string, o planOptions) error {
	var given string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(shownBy(), f.Name) && cmd.InheritedFlags().Lookup(f.Name) == nil {
			given = f.Name
		}
	})
	if given != "" {
		return usageError{fmt.Errorf("--%s is for a new plan, and %s has made its own: leave one of them out", given, name)}
	}
	r, err := p.getRestore(cmd.Context(), name)
	if err != nil {
		return err
	}
	return p.showPlan(cmd.Context(), r, o)
}

// planNew has a plan made, and shows it.
func (p *program) planNew(ctx context.Context, spec v1alpha1.RestoreSpec, o planOptions) (err error) {
	c, err := p.client()
	if err != nil {
		return err
	}
	spec.PlanOnly = true
	r := &v1alpha1.Restore{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: "plan-" + rand.String(randomLength)}, Spec: spec}
	if err := c.Create(ctx, r); err != nil {
		return fmt.Errorf("create restore %s: %w", r.Name, err)
	}
	if o.keep {
		_, _ = fmt.Fprintf(p.Err, "The plan is made by restore %s, which is kept.\n", r.Name)
	} else {
		defer p.removePlanned(ctx, c, r.DeepCopy())
	}
	if err := p.follow(ctx, c, r, func() v1alpha1.RunStatus { return r.Status.RunStatus }, func() string { return "" }); err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped; nothing was restored")
		}
		return err
	}
	if s := r.Status; !s.Phase.Succeeded() {
		_, _ = fmt.Fprintf(p.Err, "coffer: no plan was made: %s: %s: %s\n", s.Phase, s.Reason, harmless(s.Message))
		return errShown
	}
	return p.showPlan(ctx, r, o)
}

// randomLength is how much of a name is random.
const randomLength = 5

// removePlanned removes the object of a plan, also if the user has had enough.
func (p *program) removePlanned(ctx context.Context, c client.Client, r *v1alpha1.Restore) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := c.Delete(ctx, r); err != nil && !apierrors.IsNotFound(err) {
		_, _ = fmt.Fprintf(p.Err, "coffer: restore %s, which only made the plan, is left: %v\n", r.Name, err)
	}
}
