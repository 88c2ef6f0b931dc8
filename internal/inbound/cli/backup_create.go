package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// backupFlags are what the command line says of a new backup.
type backupFlags struct {
	given                           v1alpha1.BackupSpec
	fromFile, policiesFile, scope   string
	snapshots, excludeSecrets, wait bool
	hooks, objects                  []string
}

func (p *program) newBackupCreate() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Back up the chosen namespaces, or all, into a recovery point of this name",
		Example: `  coffer backup create shop-1 --included-namespaces shop --wait
  coffer backup create everything --wait
  coffer backup create shop-2 --included-namespaces shop --backup-hook-references shop/quiesce --wait
  coffer backup create teams --included-namespaces 'team-*' --excluded-namespaces '*-test' --exclude-secrets --wait
  coffer backup create front --label-selectors 'tier=front,env in (prod,canary)' --excluded-resource-types '*.apps' --wait
  coffer backup create two --included-objects v1/Secret=shop/login --included-objects clusterroles=reader --wait`,
		Args: oneName("backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			return p.createBackup(cmd.Context(), args[0], spec, f.wait)
		},
	}
	f.defineSpec(cmd)
	cmd.Flags().BoolVar(&f.wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// defineSpec defines the flags that say what is backed up.
func (f *backupFlags) defineSpec(cmd *cobra.Command) {
	g, flags := &f.given, cmd.Flags()
	flags.StringVar(&f.fromFile, "from-file", "", "YAML or JSON of a Backup, whose spec is taken; other flags change it")
	flags.StringVar(&g.StorageLocation, "storage-location", "default", "BackupStorageLocation that receives the archive")
	flags.StringSliceVar(&g.IncludedNamespaces, "included-namespaces", nil, "namespaces to back up, names or patterns with *, ? and [abc] (default all but those of the system)")
	flags.StringSliceVar(&g.ExcludedNamespaces, "excluded-namespaces", nil, "namespaces to leave out, names or patterns")
	flags.StringSliceVar(&g.IncludedResourceTypes, "included-resource-types", nil, "types to back up: v1/Secret, apps/Deployment, deployments.apps, deployments, *.apps (default all)")
	flags.StringSliceVar(&g.ExcludedResourceTypes, "excluded-resource-types", nil, "types to leave out")
	flags.BoolVar(&f.excludeSecrets, "exclude-secrets", false, "leave out all Secrets: --excluded-resource-types v1/Secret")
	flags.StringArrayVar(&g.LabelSelectors, "label-selectors", nil, "labels that objects have to have: k=v, k!=v, k in (a,b), !k; repeat for more, all have to match")
	flags.StringArrayVar(&g.OrLabelSelectors, "or-label-selectors", nil, "alternatives: one has to match; repeat for more")
	flags.StringArrayVar(&f.objects, "included-objects", nil, "single objects, each TYPE=NAMESPACE/NAME, or TYPE=NAME if in no namespace; repeat for more")
	flags.StringVar(&f.scope, "include-cluster-scope-resources", "", "true: all cluster-scoped objects, false: none, needed: what the selected objects need (default true with all namespaces, else needed)")
	flags.Lookup("include-cluster-scope-resources").NoOptDefVal = "true"
	flags.BoolVar(&f.snapshots, "snapshot-volumes", true, "take snapshots of the volumes")
	flags.StringVar(&f.policiesFile, "volume-policies-file", "", "YAML with volumePolicies, as Velero's: which volumes to snapshot or skip")
	flags.BoolVar(&g.AllowEmpty, "allow-empty", false, "allow a recovery point that holds nothing")
	flags.StringSliceVar(&f.hooks, "backup-hook-references", nil, "BackupHooks to run, each NAMESPACE/NAME")
}

// spec is what the file says, changed by what the flags say.
func (f *backupFlags) spec(cmd *cobra.Command) (v1alpha1.BackupSpec, error) {
	spec := v1alpha1.BackupSpec{StorageLocation: f.given.StorageLocation}
	if f.fromFile != "" {
		var b v1alpha1.Backup
		if err := readYAML("--from-file", f.fromFile, &b); err != nil {
			return spec, err
		}
		if b.Kind != "" && b.Kind != "Backup" {
			return spec, usageError{fmt.Errorf("--from-file %s: it holds a %s, not a Backup", f.fromFile, b.Kind)}
		}
		spec = b.Spec
	}
	g := f.given
	for name, set := range map[string]func(){
		"storage-location":        func() { spec.StorageLocation = g.StorageLocation },
		"included-namespaces":     func() { spec.IncludedNamespaces = g.IncludedNamespaces },
		"excluded-namespaces":     func() { spec.ExcludedNamespaces = g.ExcludedNamespaces },
		"included-resource-types": func() { spec.IncludedResourceTypes = g.IncludedResourceTypes },
		"excluded-resource-types": func() { spec.ExcludedResourceTypes = g.ExcludedResourceTypes },
		"label-selectors":         func() { spec.LabelSelectors = g.LabelSelectors },
		"or-label-selectors":      func() { spec.OrLabelSelectors = g.OrLabelSelectors },
		"allow-empty":             func() { spec.AllowEmpty = g.AllowEmpty },
		"snapshot-volumes":        func() { spec.SnapshotVolumes = &f.snapshots },
	} {
		if cmd.Flags().Changed(name) {
			set()
		}
	}
	if spec.SnapshotVolumes == nil {
		spec.SnapshotVolumes = &f.snapshots
	}
	if secrets := "v1/Secret"; f.excludeSecrets && !slices.Contains(spec.ExcludedResourceTypes, secrets) {
		spec.ExcludedResourceTypes = append(spec.ExcludedResourceTypes, secrets)
	}
	return spec, errors.Join(f.addScope(&spec), f.addObjects(&spec), f.addPolicies(&spec), f.addHooks(&spec))
}

func (f *backupFlags) addScope(spec *v1alpha1.BackupSpec) error {
	if f.scope == "" {
		return nil
	}
	spec.IncludeClusterScopeResources, spec.OnlyNeededClusterScopeResources = nil, f.scope == "needed"
	if spec.OnlyNeededClusterScopeResources {
		return nil
	}
	all, err := strconv.ParseBool(f.scope)
	if err != nil {
		return usageError{fmt.Errorf("--include-cluster-scope-resources %q: write true, false or needed", f.scope)}
	}
	spec.IncludeClusterScopeResources = &all
	return nil
}

func (f *backupFlags) addObjects(spec *v1alpha1.BackupSpec) error {
	if len(f.objects) == 0 {
		return nil
	}
	objects, err := parseObjects(f.objects)
	spec.IncludedObjects = objects
	return err
}

// parseObjects reads --included-objects.
func parseObjects(texts []string) ([]v1alpha1.ObjectName, error) {
	var objects []v1alpha1.ObjectName
	for _, text := range texts {
		kind, name, found := strings.Cut(text, "=")
		namespace, inside, namespaced := strings.Cut(name, "/")
		if !namespaced {
			namespace, inside = "", name
		}
		if !found || kind == "" || inside == "" || namespaced && namespace == "" {
			return nil, usageError{fmt.Errorf("--included-objects %q: write TYPE=NAMESPACE/NAME, or TYPE=NAME for an object in no namespace", text)}
		}
		objects = append(objects, v1alpha1.ObjectName{Type: kind, Namespace: namespace, Name: inside})
	}
	return objects, nil
}

// addPolicies reads the file that Velero calls resource policies.
func (f *backupFlags) addPolicies(spec *v1alpha1.BackupSpec) error {
	if f.policiesFile == "" {
		return nil
	}
	var file struct {
		Version        string                  `json:"version"`
		VolumePolicies []v1alpha1.VolumePolicy `json:"volumePolicies"`
	}
	if err := readYAML("--volume-policies-file", f.policiesFile, &file); err != nil {
		return err
	}
	if file.Version != "" && file.Version != "v1" {
		return usageError{fmt.Errorf("--volume-policies-file %s: version %q is not known; write v1", f.policiesFile, file.Version)}
	}
	if len(file.VolumePolicies) == 0 {
		return usageError{fmt.Errorf("--volume-policies-file %s has no volumePolicies", f.policiesFile)}
	}
	spec.VolumePolicies = file.VolumePolicies
	return nil
}

func (f *backupFlags) addHooks(spec *v1alpha1.BackupSpec) error {
	refs, err := parseReferences("--backup-hook-references", f.hooks)
	if err == nil && len(refs) > 0 {
		spec.BackupHookReferences = refs
	}
	return err
}

// maxYAML bounds a file of the user's: a Kubernetes object has 1.5 MiB at most.
const maxYAML = 2 << 20

// readYAML reads a file of YAML or JSON, and refuses fields that it does not know.
func readYAML(flag, name string, into any) error {
	file, err := os.Open(name) //nolint:gosec // The user names a file of theirs.
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", flag, err)}
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxYAML+1))
	if err != nil {
		return usageError{fmt.Errorf("%s %s: %w", flag, name, err)}
	}
	if len(text) > maxYAML {
		return usageError{fmt.Errorf("%s %s: it has more than %s", flag, name, bytesText(maxYAML))}
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return usageError{fmt.Errorf("%s %s: %w", flag, name, err)}
	}
	return nil
}
