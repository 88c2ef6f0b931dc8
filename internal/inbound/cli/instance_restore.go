package cli

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

func (p *program) newInstanceRestore() *cobra.Command {
	return group("restore", "Restore recovery points of a backup instance, into its cluster or another one",
		p.newInstanceRestoreTrigger(), p.newInstanceRestorePlan(), p.newInstanceValidateRestore("validate"), p.newInstanceRestoreInitialize())
}

// vaultRestore are the flags by which a restore through a vault is asked for: a file, or what goes into it.
type vaultRestore struct {
	instance                                       instanceFlags
	how                                            restoreFlags
	file, configFile                               string
	point, target, location, store, datasource, id string
}

// criteriaFlags are the flags that a file of criteria stands for.
func criteriaFlags() []string {
	return []string{
		"included-namespaces", "excluded-namespaces", "namespace-mappings", "included-resource-types", "excluded-resource-types", "label-selectors",
		"or-label-selectors", "included-objects", "include-cluster-scope-resources", "persistent-volume-restore-mode", "conflict-policy", "conflict-policies",
		"confirm-replace", "restore-rollout-history", "priorities", "restore-hook-references", "resource-modifier-reference", "storage-class-mappings",
		"preserve-node-ports", "restore-status-included-types", "restore-status-excluded-types", "ready-timeout", "plan-digest", "storage-location",
	}
}

// requestFlags are the flags that a file of a request stands for.
func requestFlags() []string {
	return append([]string{"recovery-point-id", "target-cluster", "target-resource-id", "restore-location", "source-datastore", "restore-configuration"}, criteriaFlags()...)
}

func (f *vaultRestore) bindCriteria(cmd *cobra.Command) {
	f.how.defineCriteria(cmd)
	cmd.Flags().StringVar(&f.how.given.StorageLocation, "storage-location", "", "BackupStorageLocation of the target cluster that holds the recovery point (default default)")
	cmd.Flags().StringVar(&f.how.given.PlanDigest, "plan-digest", "", "restore only if the plan is the one with this digest")
	cmd.Flags().SetNormalizeFunc(azNames)
}

func (f *vaultRestore) bind(p *program, cmd *cobra.Command) {
	f.instance.bind(p, cmd)
	f.bindCriteria(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.point, "recovery-point-id", "", "recovery point to restore, by its name or id, or latest")
	flags.StringVar(&f.target, "target-cluster", "", "cluster to restore to, its id or, if only one has it, its name (default the one that was backed up)")
	flags.StringVar(&f.target, "target-resource-id", "", "the same as --target-cluster")
	flags.StringVar(&f.location, "restore-location", "", "region to restore in, to be compared with that of the vault")
	flags.StringVar(&f.store, "source-datastore", string(arm.OperationalStore), "tier to restore from: OperationalStore or VaultStore")
	flags.StringVar(&f.configFile, "restore-configuration", "", "what is restored and how: a file as initialize-restoreconfig prints it, in place of the flags for that")
	mustComplete(cmd, "recovery-point-id", p.completePoints)
	mustComplete(cmd, "target-cluster", p.completeClusters)
}

func (f *vaultRestore) bindFile(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "restore-request-object", "", "JSON or YAML of the request, as restore initialize prints it: a file, or - for what is piped in; in place of the flags for that")
}

// restoreCriteria are a restore's criteria in Azure's form.
func restoreCriteria(s v1alpha1.RestoreSpec) arm.RestoreCriteria {
	c := arm.RestoreCriteria{
		ObjectType:         arm.TypeRestoreCriteria,
		IncludedNamespaces: s.IncludedNamespaces, ExcludedNamespaces: s.ExcludedNamespaces,
		IncludedResourceTypes: s.IncludedResourceTypes, ExcludedResourceTypes: s.ExcludedResourceTypes,
		LabelSelectors: s.LabelSelectors, PersistentVolumeRestoreMode: arm.Word(s.PersistentVolumeRestoreMode), ConflictPolicy: arm.Word(s.ConflictPolicy),
		RestoreHookReferences: s.RestoreHookReferences, ResourceModifierReference: s.ResourceModifierReference,
		IncludeClusterScopeResources: s.IncludeClusterScopeResources,
	}
	more := arm.CofferRestoreOptions{
		OrLabelSelectors: s.OrLabelSelectors, IncludedObjects: s.IncludedObjects, ConflictPolicies: s.ConflictPolicies, ConfirmReplace: s.ConfirmReplace,
		RestoreRolloutHistory: s.RestoreRolloutHistory, Priorities: s.Priorities, PlanOnly: s.PlanOnly, PlanDigest: s.PlanDigest,
		StorageClassMappings: plainMap(s.StorageClassMappings), PreserveNodePorts: s.PreserveNodePorts, RestoreStatus: s.RestoreStatus,
		StorageLocation: s.StorageLocation,
	}
	if s.IncludeClusterScopeResources == nil {
		// Azure's field is required, and has two values.
		none := false
		c.IncludeClusterScopeResources, more.OnlyNeededClusterScopeResources = &none, true
	}
	if s.ReadyTimeout != nil {
		more.ReadyTimeout = s.ReadyTimeout.Duration.String()
	}
	c.NamespaceMappings = plainMap(s.NamespaceMappings)
	if !isZero(more) {
		c.Coffer = &more
	}
	return c
}

func plainMap[V ~string](m map[string]V) map[string]string {
	if len(m) == 0 {
		return nil
	}
	texts := make(map[string]string, len(m))
	for from, to := range m {
		texts[from] = string(to)
	}
	return texts
}

// criteria are what the flags or the file say of what is restored, and how.
func (f *vaultRestore) criteria(p *program, cmd *cobra.Command) (arm.RestoreCriteria, error) {
	if f.configFile != "" {
		if err := choose(cmd, "restore-configuration", criteriaFlags()); err != nil {
			return arm.RestoreCriteria{}, err
		}
		return readFileAs[arm.RestoreCriteria](p, "--restore-configuration", f.configFile)
	}
	spec, err := f.how.criteria(cmd)
	return restoreCriteria(spec), err
}

// request is the restore that is asked for, and the id of the instance.
func (f *vaultRestore) request(ctx context.Context, p *program, cmd *cobra.Command) (session, string, arm.RestoreRequest, error) {
	var request arm.RestoreRequest
	var criteria arm.RestoreCriteria
	err := f.check(cmd)
	switch {
	case err != nil:
	case f.file != "":
		request, err = readFileAs[arm.RestoreRequest](p, "--restore-request-object", f.file)
	default:
		criteria, err = f.criteria(p, cmd)
	}
	if err != nil {
		return session{}, "", request, err
	}
	s, id, err := p.atInstance(ctx, f.instance)
	if err != nil || f.file != "" {
		return s, id, request, err
	}
	request, err = f.describe(ctx, s, id, criteria)
	return s, id, request, err
}

func (f *vaultRestore) check(cmd *cobra.Command) error {
	switch {
	case f.file != "":
		return choose(cmd, "restore-request-object", requestFlags())
	case f.point == "":
		return usageError{errors.New("name the recovery point with --recovery-point-id, or say latest; `coffer recovery-point list` shows them")}
	}
	return nil
}

// describe makes a request for a restore of an instance.
func (f *vaultRestore) describe(ctx context.Context, s session, id string, criteria arm.RestoreCriteria) (arm.RestoreRequest, error) {
	point, err := s.pointID(ctx, pointFlagsOf{instanceFlags{name: id}, f.point})
	if err != nil {
		return arm.RestoreRequest{}, err
	}
	source, err := s.readInstance(ctx, id)
	if err != nil {
		return arm.RestoreRequest{}, err
	}
	target := source.cluster()
	if f.target != "" {
		if target, err = s.clusterResource(ctx, "target-cluster", f.target); err != nil {
			return arm.RestoreRequest{}, err
		}
	}
	to := arm.Datasource{
		ObjectType: arm.TypeDatasource, DatasourceType: arm.ManagedClusters, ResourceID: string(target), ResourceURI: string(target),
		ResourceName: target.Name(), ResourceType: arm.ManagedClusters, ResourceLocation: f.location,
	}
	set := to
	set.ObjectType = arm.TypeDatasourceSet
	return arm.RestoreRequest{
		ObjectType: arm.TypePointRestore, RecoveryPointID: catalogue.ID(point).Name(), SourceDataStoreType: arm.Word(f.store),
		SourceResourceID: string(source.cluster()),
		RestoreTargetInfo: &arm.RestoreTargetInfo{
			ObjectType: arm.TypeItemTarget, RecoveryOption: arm.FailIfExists, RestoreLocation: f.location,
			DatasourceInfo: &to, DatasourceSetInfo: &set, RestoreCriteria: []arm.RestoreCriteria{criteria},
		},
	}, nil
}

func (p *program) newInstanceRestoreConfig() *cobra.Command {
	var f vaultRestore
	cmd := &cobra.Command{
		Use: "initialize-restoreconfig", Short: "Print what is restored and how, for `restore initialize --restore-configuration`", Args: noArgs,
		Example: "  coffer backup-instance initialize-restoreconfig --namespace-mappings shop=shop-copy --conflict-policy Patch > criteria.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDatasource(f.datasource); err != nil {
				return err
			}
			criteria, err := f.criteria(p, cmd)
			if err != nil {
				return err
			}
			return p.printJSON(criteria)
		},
	}
	f.bindCriteria(cmd)
	bindDatasource(cmd, &f.datasource)
	return cmd
}

func (p *program) newInstanceRestoreInitialize() *cobra.Command {
	var f vaultRestore
	cmd := &cobra.Command{
		Use: "initialize-for-item-recovery", Short: "Print a request for a restore, for `restore trigger --restore-request-object`", Args: noArgs,
		Aliases: []string{"initialize"},
		Example: `  coffer backup-instance restore initialize -g shop -v shop-vault -n shop --recovery-point-id latest --namespace-mappings shop=shop-copy > request.json
  coffer backup-instance restore trigger -g shop -v shop-vault -n shop --restore-request-object request.json --wait`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDatasource(f.datasource); err != nil {
				return err
			}
			if f.id != "" {
				if f.instance.name != "" {
					return usageError{errors.New("give --backup-instance-id or --backup-instance-name, not both")}
				}
				f.instance.name = f.id
			}
			_, _, request, err := f.request(cmd.Context(), p, cmd)
			if err != nil {
				return err
			}
			return p.printJSON(request)
		},
	}
	f.bind(p, cmd)
	bindDatasource(cmd, &f.datasource)
	cmd.Flags().StringVar(&f.id, "backup-instance-id", "", "backup instance by its id, in place of its name and vault")
	return cmd
}

func (p *program) newInstanceRestoreTrigger() *cobra.Command {
	var f vaultRestore
	var wait bool
	var guarded guardedFlags
	cmd := &cobra.Command{
		Use: "trigger", Short: "Restore a recovery point, or a part of it", Args: noArgs,
		Example: `  coffer backup-instance restore trigger -g shop -v shop-vault -n shop --recovery-point-id latest --wait
  coffer backup-instance restore trigger -n shop --recovery-point-id latest --namespace-mappings shop=shop-copy --wait
  coffer backup-instance restore trigger -n shop --recovery-point-id latest --target-cluster standby --conflict-policy Patch
  coffer backup-instance restore trigger -n shop --restore-request-object request.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, id, request, err := f.request(ctx, p, cmd)
			if err != nil {
				return err
			}
			if len(guarded.requests) > 0 {
				if request.ResourceGuardOperationRequests, err = guarded.named(ctx, s, string(catalogue.ID(id).Parent())); err != nil {
					return err
				}
			}
			job, err := p.startJob(ctx, s, id+"/restore", request, "restore "+catalogue.ID(id).Name())
			if err != nil {
				return err
			}
			return p.began(ctx, s, catalogue.ID(id).Parent(), job, wait)
		},
	}
	f.bind(p, cmd)
	f.bindFile(cmd)
	guarded.bind(cmd, guard.Restore)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// newInstanceValidateRestore is one command in two places: az's, and among those of restores.
func (p *program) newInstanceValidateRestore(name string) *cobra.Command {
	var f vaultRestore
	called := name
	if name == "validate" {
		called = "restore validate"
	}
	cmd := &cobra.Command{
		Use: name, Short: "Ask whether a restore could be made so", Args: noArgs,
		Long: `Ask whether a restore could be made so. The cluster that is restored to is asked, too, and each of its checks is shown: what fails is
said with what to do, and ends with exit code 1.`,
		Example: "  coffer backup-instance " + called + " -g shop -v shop-vault -n shop --recovery-point-id latest --namespace-mappings shop=shop-copy",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, request, err := f.request(cmd.Context(), p, cmd)
			if err != nil {
				return err
			}
			body := arm.ValidateRestoreRequest{RestoreRequestObject: &request}
			return p.validate(cmd.Context(), s, id+"/validateRestore", body, "validate a restore of "+catalogue.ID(id).Name())
		},
	}
	f.bind(p, cmd)
	f.bindFile(cmd)
	return cmd
}

func (p *program) newInstanceRestorePlan() *cobra.Command {
	var f vaultRestore
	var o planOptions
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a restore would do, and change nothing", Args: noArgs,
		Long: `Show what a restore would do with each object, and change nothing in the cluster. With --diff, the API server is asked what it would
make of each object, so that what admission or validation refuses is seen beforehand.

It prints the command that carries out what was shown: that restore refuses to begin if its plan is another by then.

Exit codes: 0 if the plan can be carried out, as far as is known; 3 if it would be refused; 1 if it could not be shown.`,
		Example: `  coffer backup-instance restore plan -g shop -v shop-vault -n shop --recovery-point-id latest
  coffer backup-instance restore plan -n shop --recovery-point-id latest --conflict-policy Patch --diff`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.planThrough(cmd, &f, objectFlags{}, o) },
	}
	f.bind(p, cmd)
	f.bindFile(cmd)
	cmd.Flags().BoolVar(&o.diff, "diff", false, "show what would change in each object, line by line of its YAML")
	bindColor(cmd, &o)
	return cmd
}

func bindColor(cmd *cobra.Command, o *planOptions) {
	cmd.Flags().StringVar(&o.color, "color", "auto", "colours in the diff: auto, always or never; auto heeds NO_COLOR")
}

func (p *program) newPointDiff() *cobra.Command {
	var f vaultRestore
	var object objectFlags
	o := planOptions{diff: true}
	cmd := &cobra.Command{
		Use: "diff RECOVERY-POINT", Short: "Show what a restore of a recovery point would change in the cluster, line by line",
		Long: `Show what a restore of a recovery point would change in the cluster, line by line, with conflict policy Patch: how the cluster differs
from what was backed up. Nothing is changed. With the flags of ` + "`coffer backup-instance restore plan`" + ` it is about another restore.`,
		Example: `  coffer recovery-point diff -g shop -v shop-vault -n shop latest --included-namespaces shop
  coffer recovery-point diff -n shop latest --included-namespaces shop --object-type ConfigMap --object-name settings`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("conflict-policy") && f.configFile == "" {
				f.how.policy = string(v1alpha1.ConflictPatch)
			}
			return p.planThrough(cmd, &f, object, o)
		},
	}
	f.bind(p, cmd)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		return named(cmd, args, "recovery point", "recovery-point-id", &f.point)
	}
	cmd.ValidArgsFunction = p.completePoints
	flags := cmd.Flags()
	flags.StringVar(&object.namespace, "object-namespace", "", "compare only objects of this namespace of the cluster")
	flags.StringVar(&object.kind, "object-type", "", "compare only objects of this type")
	flags.StringVar(&object.name, "object-name", "", "compare only objects of this name")
	bindColor(cmd, &o)
	return cmd
}

// planThrough has a job make a plan, and shows it.
func (p *program) planThrough(cmd *cobra.Command, f *vaultRestore, object objectFlags, o planOptions) error {
	ctx := cmd.Context()
	if err := o.check(p); err != nil {
		return err
	}
	query, err := object.query(nil)
	if err != nil {
		return err
	}
	s, id, request, err := f.request(ctx, p, cmd)
	if err != nil {
		return err
	}
	instance := catalogue.ID(id)
	job, err := p.startJob(ctx, s, question(id, "plan"), request, "plan a restore of "+instance.Name())
	if err == nil {
		job, err = jobOf(instance.Parent(), job)
	}
	if err != nil {
		return err
	}
	v, _, err := p.followJob(ctx, s, job)
	if err != nil {
		return err
	}
	if err := p.judgePlan(v); err != nil {
		return err
	}
	return p.printPlan(plannedRestore{
		noun: "job", name: catalogue.ID(job).Name(), planOnly: true, status: warningsOf(v),
		plan: pagesOf[content.PlanItem](ctx, s, question(job, "plan")), diff: pagesOf[content.DiffItem](ctx, s, question(job, "diff")+query),
		command: func(digest string) string { return p.carryOutThrough(cmd, f, instance, request, digest) },
	}, o)
}

// judgePlan says why no plan was made. Warnings of the job are shown with the plan.
func (p *program) judgePlan(v jobView) error {
	if v.succeeded() {
		return nil
	}
	return p.judgeJob(v)
}

// warningsOf are the warnings of a job as a run has them.
func warningsOf(v jobView) v1alpha1.RunStatus {
	var s v1alpha1.RunStatus
	for _, w := range v.details().WarningDetails {
		one := v1alpha1.Warning{Resource: w.ResourceName}
		if w.Warning != nil {
			one.Code, one.Message = w.Warning.Code, w.Warning.Message
		}
		s.Warnings = append(s.Warnings, one)
	}
	s.WarningCount = len(s.Warnings)
	return s
}

// carryOutThrough is the command that carries out a plan. What was asked for by files is asked for by them again, and by the digest.
func (p *program) carryOutThrough(cmd *cobra.Command, f *vaultRestore, instance catalogue.ID, request arm.RestoreRequest, digest string) string {
	words := slices.Concat([]string{"coffer", "backup-instance", "restore", "trigger"}, p.vaultArgs(instance.Parent()), []string{"-n", instance.Name()})
	if f.file != "" {
		return shellText(append(words, "--restore-request-object", f.file)) + "   # with coffer.planDigest " + digest + " in its criteria"
	}
	words = append(words, "--recovery-point-id", request.RecoveryPointID)
	if f.target != "" {
		words = append(words, "--target-cluster", request.RestoreTargetInfo.DatasourceInfo.ResourceID)
	}
	if !arm.OperationalStore.Is(request.SourceDataStoreType) {
		words = append(words, "--source-datastore", string(request.SourceDataStoreType))
	}
	if f.configFile != "" {
		words = append(words, "--restore-configuration", f.configFile)
		return shellText(words) + "   # with coffer.planDigest " + digest + " in it"
	}
	spec, err := f.how.criteria(cmd)
	if err != nil {
		return ""
	}
	spec.PlanDigest = digest
	return shellText(slices.Concat(words, restoreArgs(spec), []string{"--wait"}))
}
