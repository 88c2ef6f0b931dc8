package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// restoreTestFlags are what the command line says of a new test.
type restoreTestFlags struct {
	given        v1alpha1.RestoreTestSpec
	name, checks string
	volumeMode   string
	modifiers    string
	hooks        []string
	classes      map[string]string
	ready        time.Duration
	wait         bool
}

func (p *program) newRestoreTest() *cobra.Command {
	var f restoreTestFlags
	cmd := &cobra.Command{
		Use:   "test BACKUP",
		Short: "Prove that a recovery point restores: in namespaces of its own, with checks and a signed report, and no trace left",
		Long: `Prove that a recovery point restores. It is restored into namespaces of its own, without effects outside of them: no load balancers, no
running cron jobs, no connections to elsewhere. Its workloads are waited for, the checks of a file are made, a report is signed and
stored, and everything is removed again. The exit code is 0 if all held.`,
		Example: `  coffer restore test shop-1
  coffer restore test shop-1 --included-namespaces shop --checks checks.yaml
  coffer restore test shop-1 --keep --wait=false
  coffer restore test show shop-1-x7k2p`,
		Args: oneName("recovery point"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			spec, err := f.spec(cmd, args[0])
			if err != nil {
				return err
			}
			if err := flow.CheckRestoreTest(spec); err != nil {
				return fmt.Errorf("nothing was done: %w", err)
			}
			return p.createRestoreTest(cmd.Context(), f.name, spec, f.wait)
		},
	}
	f.define(cmd)
	cmd.AddCommand(p.newRestoreTestList(), p.newRestoreTestShow(), p.newRestoreTestCancel(), p.newRestoreTestDelete(), p.newRestoreTestLogs())
	return cmd
}

func (f *restoreTestFlags) define(cmd *cobra.Command) {
	g, flags := &f.given, cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name of the test (default the recovery point's with some letters more)")
	flags.StringVar(&g.StorageLocation, "storage-location", "default", "BackupStorageLocation that holds the recovery point")
	flags.StringSliceVar(&g.IncludedNamespaces, "included-namespaces", nil, "namespaces to test, by their names in the recovery point, names or patterns (default all but those of the system)")
	flags.StringSliceVar(&g.ExcludedNamespaces, "excluded-namespaces", nil, "namespaces to leave out, names or patterns")
	flags.StringSliceVar(&g.IncludedResourceTypes, "included-resource-types", nil, "types to restore (default all)")
	flags.StringSliceVar(&g.ExcludedResourceTypes, "excluded-resource-types", nil, "types to leave out")
	flags.StringArrayVar(&g.LabelSelectors, "label-selectors", nil, "labels that objects have to have; repeat for more, all have to match")
	flags.StringArrayVar(&g.OrLabelSelectors, "or-label-selectors", nil, "alternatives: one has to match; repeat for more")
	flags.StringVar(&f.volumeMode, "persistent-volume-restore-mode", string(v1alpha1.RestoreWithVolumeData), "RestoreWithVolumeData or RestoreWithoutVolumeData")
	flags.StringToStringVar(&f.classes, "storage-class-mappings", nil, "restore claims with other storage classes: OLD=NEW,...")
	flags.StringVar(&f.modifiers, "resource-modifier-reference", "", "ConfigMap with resource modifiers, NAMESPACE/NAME")
	flags.StringSliceVar(&f.hooks, "restore-hook-references", nil, "RestoreHooks to run, each NAMESPACE/NAME (default none)")
	flags.StringVar(&f.checks, "checks", "", "YAML file with the checks to make")
	flags.BoolVar(&g.IncludeCustomResources, "include-custom-resources", false, "restore custom resources too: operators in this cluster act on them")
	flags.BoolVar(&g.RunJobs, "run-jobs", false, "let restored Jobs run")
	flags.BoolVar(&g.AllowExternal, "allow-external", false, "let the test reach what is outside of it")
	flags.DurationVar(&f.ready, "ready-timeout", 0, "how long restored workloads may take to become ready, 0 for not waiting (default as the extension was installed: 5m)")
	flags.BoolVar(&g.Keep, "keep", false, "leave what was restored in place until the test is deleted")
	flags.BoolVar(&f.wait, "wait", true, "wait for the end and show the progress")
}

func (f *restoreTestFlags) spec(cmd *cobra.Command, backup string) (spec v1alpha1.RestoreTestSpec, err error) {
	spec = f.given
	spec.BackupName = backup
	spec.PersistentVolumeRestoreMode = v1alpha1.VolumeRestoreMode(f.volumeMode)
	if spec.RestoreHookReferences, err = parseReferences("--restore-hook-references", f.hooks); err != nil {
		return spec, err
	}
	if f.modifiers != "" {
		references, err := parseReferences("--resource-modifier-reference", []string{f.modifiers})
		if err != nil {
			return spec, err
		}
		spec.ResourceModifierReference = &references[0]
	}
	for from, to := range f.classes {
		if spec.StorageClassMappings == nil {
			spec.StorageClassMappings = map[string]v1alpha1.StorageClassName{}
		}
		spec.StorageClassMappings[from] = v1alpha1.StorageClassName(to)
	}
	if cmd.Flags().Changed("ready-timeout") {
		spec.ReadyTimeout = &metav1.Duration{Duration: f.ready}
	}
	if f.checks != "" {
		spec.Checks, err = readChecks(f.checks)
	}
	return spec, err
}

// readChecks reads a file of checks.
func readChecks(name string) ([]v1alpha1.RestoreCheck, error) {
	var list struct {
		Checks []v1alpha1.RestoreCheck `json:"checks"`
	}
	if err := readYAML("--checks", name, &list); err != nil {
		return nil, err
	}
	if len(list.Checks) == 0 {
		return nil, fmt.Errorf("--checks %s: it has no checks: begin it with `checks:` and a list", name)
	}
	return list.Checks, nil
}

// longestPrefix leaves room for the letters that the API server adds.
const longestPrefix = 200

func (p *program) createRestoreTest(ctx context.Context, name string, spec v1alpha1.RestoreTestSpec, wait bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	t := &v1alpha1.RestoreTest{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}, Spec: spec}
	if name == "" {
		t.GenerateName = spec.BackupName[:min(len(spec.BackupName), longestPrefix)] + "-"
	}
	if err := c.Create(ctx, t); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a restore test named %s exists already; choose another name", name)
	} else if err != nil {
		return fmt.Errorf("create a restore test: %w", err)
	}
	_, _ = fmt.Fprintf(p.Err, "restore test %s\n", t.Name)
	if !wait {
		return p.showRestoreTest(ctx, t)
	}
	err = p.wait(ctx, c, t, func() v1alpha1.RunStatus { return t.Status.RunStatus }, func() string { return restoreTestProgress(t.Status) })
	if err != nil && !errors.Is(err, errShown) {
		return err
	}
	return errors.Join(err, p.showRestoreTest(ctx, t))
}

func restoreTestProgress(s v1alpha1.RestoreTestStatus) string {
	text := restoreProgress(s.Progress)
	if len(s.Checks) > 0 {
		text += fmt.Sprintf("; %d checks made", len(s.Checks))
	}
	return text
}
