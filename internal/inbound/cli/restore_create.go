package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// restoreFlags are what the command line says of a new restore.
type restoreFlags struct {
	given                    v1alpha1.RestoreSpec
	clusterScope, wait       bool
	volumeMode, policy       string
	hooks, objects, policies []string
	mappings                 map[string]string
	change                   restoreChanges
	ready                    time.Duration
}

func (p *program) newRestoreCreate() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "create NAME --backup-name BACKUP",
		Short: "Restore a recovery point, or a part of it",
		Example: `  coffer restore create shop-back --backup-name shop-1 --wait
  coffer restore create shop-copy --backup-name shop-1 --namespace-mappings shop=shop-copy --wait
  coffer restore create login-back --backup-name shop-1 --included-objects v1/Secret=shop/login --conflict-policy Patch --wait
  coffer restore create as-shown --backup-name shop-1 --plan-digest sha256:... --wait`,
		Args: oneName("restore"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			spec, err := f.checked(cmd)
			if err != nil {
				return err
			}
			return p.createRestore(cmd.Context(), args[0], spec, f.wait)
		},
	}
	f.define(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.given.PlanOnly, "plan-only", false, "make and store the plan, and restore nothing")
	flags.StringVar(&f.given.PlanDigest, "plan-digest", "", "restore only if the plan is the one with this digest")
	flags.BoolVar(&f.wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// define defines the flags that say which recovery point of which location is restored, what of it, and how.
func (f *restoreFlags) define(cmd *cobra.Command) {
	g, flags := &f.given, cmd.Flags()
	flags.StringVar(&g.BackupName, "backup-name", "", "recovery point to restore")
	flags.StringVar(&g.StorageLocation, "storage-location", "default", "BackupStorageLocation that holds the recovery point")
	f.defineCriteria(cmd)
}

// defineCriteria defines the flags that say what of a recovery point is restored, and how.
func (f *restoreFlags) defineCriteria(cmd *cobra.Command) {
	g, flags := &f.given, cmd.Flags()
	flags.StringSliceVar(&g.IncludedNamespaces, "included-namespaces", nil, "namespaces to restore, by their names in the recovery point, names or patterns (default all)")
	flags.StringSliceVar(&g.ExcludedNamespaces, "excluded-namespaces", nil, "namespaces to leave out, names or patterns")
	flags.StringToStringVar(&f.mappings, "namespace-mappings", nil, "restore namespaces under other names: OLD=NEW,...")
	flags.StringSliceVar(&g.IncludedResourceTypes, "included-resource-types", nil, "types to restore: v1/Secret, apps/Deployment, deployments.apps, deployments, *.apps (default all)")
	flags.StringSliceVar(&g.ExcludedResourceTypes, "excluded-resource-types", nil, "types to leave out")
	flags.StringArrayVar(&g.LabelSelectors, "label-selectors", nil, "labels that objects have to have: k=v, k!=v, k in (a,b), !k; repeat for more, all have to match")
	flags.StringArrayVar(&g.OrLabelSelectors, "or-label-selectors", nil, "alternatives: one has to match; repeat for more")
	flags.StringArrayVar(&f.objects, "included-objects", nil, "single objects, each TYPE=NAMESPACE/NAME, or TYPE=NAME if in no namespace; repeat for more")
	flags.BoolVar(&f.clusterScope, "include-cluster-scope-resources", false, "all cluster-scoped objects, or none (default: all with the whole recovery point, else what the selected objects need)")
	flags.StringVar(&f.volumeMode, "persistent-volume-restore-mode", string(v1alpha1.RestoreWithVolumeData), "RestoreWithVolumeData or RestoreWithoutVolumeData")
	flags.StringVar(&f.policy, "conflict-policy", string(v1alpha1.ConflictSkip), "what to do with objects that exist: Skip, Patch, Replace (delete and create again, with --confirm-replace) or Fail")
	flags.StringSliceVar(&f.policies, "conflict-policies", nil, "other policies for single types: TYPE=POLICY,...; the first that matches decides")
	flags.BoolVar(&g.ConfirmReplace, "confirm-replace", false, "confirm that policy Replace deletes what exists, the data of claims included")
	flags.BoolVar(&g.RestoreRolloutHistory, "restore-rollout-history", false, "restore ReplicaSets and ControllerRevisions too, for kubectl rollout undo")
	flags.StringSliceVar(&g.Priorities, "priorities", nil, "types to restore first, -, types to restore last: a,b,-,y,z")
	flags.StringSliceVar(&f.hooks, "restore-hook-references", nil, "RestoreHooks to run, each NAMESPACE/NAME")
	f.change.add(cmd)
	flags.DurationVar(&f.ready, "ready-timeout", 0, "how long restored workloads may take to become ready, 0 for not waiting (default as the extension was installed: 5m)")
}

func (f *restoreFlags) spec(cmd *cobra.Command) (v1alpha1.RestoreSpec, error) {
	if f.given.BackupName == "" {
		return f.given, usageError{fmt.Errorf("say what to restore with --backup-name; see `coffer backup list`")}
	}
	return f.criteria(cmd)
}

// checked is a spec that can be carried out, as far as that is to be seen without a cluster.
func (f *restoreFlags) checked(cmd *cobra.Command) (v1alpha1.RestoreSpec, error) {
	spec, err := f.spec(cmd)
	if err != nil {
		return spec, err
	}
	if err := flow.CheckRestore(spec); err != nil {
		return spec, fmt.Errorf("nothing was done: %w", err)
	}
	return spec, nil
}

// criteria is a spec of what of a recovery point is restored, and how.
func (f *restoreFlags) criteria(cmd *cobra.Command) (v1alpha1.RestoreSpec, error) {
	spec := f.given
	var err error
	if spec.RestoreHookReferences, err = parseReferences("--restore-hook-references", f.hooks); err != nil {
		return spec, err
	}
	if spec.IncludedObjects, err = parseObjects(f.objects); err != nil {
		return spec, err
	}
	for from, to := range f.mappings {
		if spec.NamespaceMappings == nil {
			spec.NamespaceMappings = map[string]v1alpha1.NamespaceName{}
		}
		spec.NamespaceMappings[from] = v1alpha1.NamespaceName(to)
	}
	for _, text := range f.policies {
		kind, policy, found := strings.Cut(text, "=")
		if !found || kind == "" || policy == "" {
			return spec, usageError{fmt.Errorf("--conflict-policies %q: write TYPE=POLICY", text)}
		}
		spec.ConflictPolicies = append(spec.ConflictPolicies, v1alpha1.TypeConflictPolicy{Type: kind, Policy: v1alpha1.ConflictPolicy(policy)})
	}
	if err := f.change.into(&spec); err != nil {
		return spec, err
	}
	spec.PersistentVolumeRestoreMode = v1alpha1.VolumeRestoreMode(f.volumeMode)
	spec.ConflictPolicy = v1alpha1.ConflictPolicy(f.policy)
	if cmd.Flags().Changed("ready-timeout") {
		spec.ReadyTimeout = &metav1.Duration{Duration: f.ready}
	}
	if cmd.Flags().Changed("include-cluster-scope-resources") {
		spec.IncludeClusterScopeResources = &f.clusterScope
	}
	return spec, nil
}
