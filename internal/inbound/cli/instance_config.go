package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coffer-backup/coffer/api/arm"
)

// instanceConfig are the flags that say what of a cluster an instance backs up. They are those of `coffer backup create`, as far as
// a policy does not decide, with az's names.
type instanceConfig struct {
	backup backupFlags
	// volumes are the types of volume, as Azure calls them.
	volumes []string
}

// bind defines the flags. Where an instance is changed, none has a default.
func (c *instanceConfig) bind(cmd *cobra.Command) {
	g, flags := &c.backup.given, cmd.Flags()
	flags.StringSliceVar(&g.IncludedNamespaces, "included-namespaces", nil, "namespaces to back up, names or patterns with *, ? and [abc] (default all but those of the system, also future ones)")
	flags.StringSliceVar(&g.ExcludedNamespaces, "excluded-namespaces", nil, "namespaces to leave out, names or patterns")
	flags.StringSliceVar(&g.IncludedResourceTypes, "included-resource-types", nil, "types to back up: v1/Secret, apps/Deployment, deployments.apps, deployments, *.apps (default all)")
	flags.StringSliceVar(&g.ExcludedResourceTypes, "excluded-resource-types", nil, "types to leave out")
	flags.StringArrayVar(&g.LabelSelectors, "label-selectors", nil, "labels that objects have to have: k=v, k!=v, k in (a,b), !k; repeat for more, all have to match")
	flags.StringArrayVar(&g.OrLabelSelectors, "or-label-selectors", nil, "alternatives: one has to match; repeat for more")
	flags.StringArrayVar(&c.backup.objects, "included-objects", nil, "single objects, each TYPE=NAMESPACE/NAME, or TYPE=NAME if in no namespace; repeat for more")
	flags.StringVar(&c.backup.scope, "include-cluster-scope-resources", "true", "true: all cluster-scoped objects, false: none, needed: what the selected objects need")
	flags.BoolVar(&c.backup.snapshots, "snapshot-volumes", true, "take snapshots of the volumes")
	flags.StringVar(&c.backup.policiesFile, "volume-policies-file", "", "YAML with volumePolicies, as Velero's: which volumes to snapshot or skip")
	flags.BoolVar(&g.AllowEmpty, "allow-empty", false, "allow a recovery point that holds nothing")
	flags.StringSliceVar(&c.backup.hooks, "backup-hook-references", nil, "BackupHooks to run, each NAMESPACE/NAME")
	flags.StringSliceVar(&c.volumes, "included-volume-types", nil, "of Azure's types of volume only these: AzureDisk, AzureFileShareSMB (default both)")
	flags.SetNormalizeFunc(azNames)
}

// azNames lets flags be called as az abbreviates them.
func azNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "include-cluster-scope", "include-cluster-resources":
		name = "include-cluster-scope-resources"
	case "backup-hook-refs":
		name = "backup-hook-references"
	case "restore-hook-refs":
		name = "restore-hook-references"
	case "persistent-restoremode":
		name = "persistent-volume-restore-mode"
	case "resource-modifier":
		name = "resource-modifier-reference"
	case "backup-policy-name":
		name = "policy-name"
	case "snapshot-resource-group-name", "snapshot-rg":
		name = "snapshot-resource-group"
	}
	return pflag.NormalizedName(name)
}

// configFlags are the names of the flags of a configuration.
func configFlags() []string {
	return []string{
		"included-namespaces", "excluded-namespaces", "included-resource-types", "excluded-resource-types", "label-selectors", "or-label-selectors",
		"included-objects", "include-cluster-scope-resources", "snapshot-volumes", "volume-policies-file", "allow-empty", "backup-hook-references",
		"included-volume-types",
	}
}

func anyChanged(cmd *cobra.Command, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return cmd.Flags().Changed(n) })
}

// parameters are what the flags say, in Azure's form. What is changed of was is what flags are given for; a zero was is all that there is
// by default.
func (c *instanceConfig) parameters(cmd *cobra.Command, was *arm.ClusterBackupParameters) (arm.ClusterBackupParameters, error) {
	yes := true
	b := arm.ClusterBackupParameters{ObjectType: arm.TypeClusterBackupSettings, SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}
	if was != nil {
		b = *was
	}
	spec, err := c.backup.spec(cmd)
	if err != nil {
		return b, err
	}
	more := arm.CofferBackupOptions{}
	if b.Coffer != nil {
		more = *b.Coffer
	}
	for name, set := range map[string]func(){
		"included-namespaces":     func() { b.IncludedNamespaces = spec.IncludedNamespaces },
		"excluded-namespaces":     func() { b.ExcludedNamespaces = spec.ExcludedNamespaces },
		"included-resource-types": func() { b.IncludedResourceTypes = spec.IncludedResourceTypes },
		"excluded-resource-types": func() { b.ExcludedResourceTypes = spec.ExcludedResourceTypes },
		"label-selectors":         func() { b.LabelSelectors = spec.LabelSelectors },
		"snapshot-volumes":        func() { b.SnapshotVolumes = spec.SnapshotVolumes },
		"backup-hook-references":  func() { b.BackupHookReferences = spec.BackupHookReferences },
		"included-volume-types":   func() { b.IncludedVolumeTypes = words(c.volumes) },
		"include-cluster-scope-resources": func() {
			all := spec.IncludeClusterScopeResources != nil && *spec.IncludeClusterScopeResources
			b.IncludeClusterScopeResources, more.OnlyNeededClusterScopeResources = &all, spec.OnlyNeededClusterScopeResources
		},
		"or-label-selectors":   func() { more.OrLabelSelectors = spec.OrLabelSelectors },
		"included-objects":     func() { more.IncludedObjects = spec.IncludedObjects },
		"volume-policies-file": func() { more.VolumePolicies = spec.VolumePolicies },
		"allow-empty":          func() { more.AllowEmpty = spec.AllowEmpty },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	if b.Coffer = nil; !isZero(more) {
		b.Coffer = &more
	}
	return b, nil
}

// isZero says whether options say nothing.
func isZero(o any) bool {
	text, err := json.Marshal(o)
	return err == nil && string(text) == "{}"
}

func words(texts []string) []arm.Word {
	all := make([]arm.Word, len(texts))
	for i, t := range texts {
		all[i] = arm.Word(t)
	}
	return all
}

func (p *program) newInstanceBackupConfig() *cobra.Command {
	var c instanceConfig
	var datasource string
	cmd := &cobra.Command{
		Use: "initialize-backupconfig", Short: "Print what of a cluster is backed up, for `initialize --backup-configuration`", Args: noArgs,
		Example: "  coffer backup-instance initialize-backupconfig --included-namespaces shop --excluded-resource-types v1/Secret > config.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDatasource(datasource); err != nil {
				return err
			}
			parameters, err := c.parameters(cmd, nil)
			if err != nil {
				return err
			}
			return p.printJSON(parameters)
		},
	}
	c.bind(cmd)
	bindDatasource(cmd, &datasource)
	return cmd
}

func bindDatasource(cmd *cobra.Command, datasource *string) {
	cmd.Flags().StringVar(datasource, "datasource-type", clusterDatasource, "what is backed up")
	mustComplete(cmd, "datasource-type", cobra.FixedCompletions([]string{clusterDatasource}, cobra.ShellCompDirectiveNoFileComp))
}

// printJSON prints what is put into a file and given back: as JSON, unless it is to be YAML.
func (p *program) printJSON(value any) error {
	return p.render(value, func() error {
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	})
}

// readFileAs reads a file of a flag, or what is piped in, as one thing.
func readFileAs[T any](p *program, flag, file string) (v T, err error) {
	text, err := p.readInput(flag, file)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, usageError{fmt.Errorf("%s %s is not understood: %w", flag, file, err)}
	}
	return v, nil
}

// choose fails unless exactly the file or the flags are given.
func choose(cmd *cobra.Command, fileFlag string, flags []string) error {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return usageError{errors.New("give --" + fileFlag + " or --" + name + ", not both")}
		}
	}
	return nil
}
