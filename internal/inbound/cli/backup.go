package cli

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func (p *program) newBackup() *cobra.Command {
	return group("backup", "Make, list, show, look into and delete recovery points",
		p.newBackupValidate(), p.newBackupCreate(), p.newBackupList(), p.newBackupShow(), p.newBackupContents(), p.newBackupCoverage(), p.newBackupLogs(), p.newBackupCancel(), p.newBackupDelete())
}

func (p *program) createBackup(ctx context.Context, name string, spec v1alpha1.BackupSpec, wait bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	b := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, Name: name}, Spec: spec}
	if err := c.Create(ctx, b); apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("a backup named %s exists already; choose another name, or delete it with `coffer backup delete %s`", name, name)
	} else if err != nil {
		return fmt.Errorf("create backup %s: %w", name, err)
	}
	if wait {
		if err := p.wait(ctx, c, b, func() v1alpha1.RunStatus { return b.Status.RunStatus }, func() string { return backupProgress(b.Status.Progress) }); err != nil {
			return err
		}
	}
	return p.showBackup(b)
}

func backupProgress(g v1alpha1.BackupProgress) string {
	parts := []string{}
	if g.VolumesTotal > 0 {
		parts = append(parts, fmt.Sprintf("volumes %d cut, %d ready of %d", g.VolumesCut, g.VolumesReady, g.VolumesTotal-g.VolumesSkipped))
	}
	if g.Objects > 0 {
		parts = append(parts, fmt.Sprintf("%d objects, %s", g.Objects, bytesText(g.Bytes)))
	}
	if g.ObjectsExpected > g.ObjectsListed {
		parts = append(parts, fmt.Sprintf("%d of about %d read, %d/s", g.ObjectsListed, g.ObjectsExpected, g.ObjectsPerSecond))
	}
	if g.TimeLeft != nil {
		parts = append(parts, fmt.Sprintf("about %s left", g.TimeLeft.Duration))
	}
	return strings.Join(parts, "; ")
}

// readText says how many objects were read for those that were captured, and how fast.
func readText(g v1alpha1.BackupProgress) string {
	if g.ObjectsListed == 0 {
		return ""
	}
	text := fmt.Sprintf("%d objects", g.ObjectsListed)
	if g.ObjectsExpected > g.ObjectsListed {
		text += fmt.Sprintf(" of about %d", g.ObjectsExpected)
	}
	text += fmt.Sprintf(", %d/s", g.ObjectsPerSecond)
	if g.TimeLeft != nil {
		text += fmt.Sprintf(", about %s left", g.TimeLeft.Duration)
	}
	return text
}

func (p *program) newBackupList() *cobra.Command {
	var all v1alpha1.BackupList
	return newList(p, "backups", "Backup", &all, &all.Items, newestFirst, p.backupTable)
}

func (p *program) backupTable(all []v1alpha1.Backup) error {
	if len(all) == 0 {
		_, err := fmt.Fprintf(p.Err, "There are no backups in namespace %s. Make one with `coffer backup create NAME`.\n", p.target.Namespace)
		return err
	}
	rows := [][]string{{"NAME", "PHASE", "NAMESPACES", "OBJECTS", "VOLUMES", "SIZE", "WARNINGS", "TOOK", "AGE"}}
	for _, b := range all {
		g := b.Status.Progress
		rows = append(rows, []string{
			b.Name, phaseText(b.Status.Phase), backupNamespaces(b.Spec),
			strconv.FormatInt(g.Objects, 10), fmt.Sprintf("%d/%d", g.VolumesReady, g.VolumesTotal), bytesText(g.Bytes),
			strconv.Itoa(b.Status.WarningCount), took(b.Status.RunStatus), age(b.CreationTimestamp),
		})
	}
	return p.table(rows)
}

func backupNamespaces(spec v1alpha1.BackupSpec) string {
	if len(spec.IncludedObjects) > 0 {
		return fmt.Sprintf("%d single objects", len(spec.IncludedObjects))
	}
	return namespacesText(spec.IncludedNamespaces, spec.ExcludedNamespaces)
}

func typesText(included, excluded []string) string {
	if len(included)+len(excluded) == 0 {
		return ""
	}
	return namespacesText(included, excluded)
}

func labelsText(every, alternatives []string) string {
	text := strings.Join(every, " and ")
	if len(alternatives) > 0 {
		if text != "" {
			text += " and one of "
		}
		text += strings.Join(alternatives, " or ")
	}
	return text
}

func objectsText(objects []v1alpha1.ObjectName) string {
	var texts []string
	for _, o := range objects {
		name := o.Name
		if o.Namespace != "" {
			name = o.Namespace + "/" + name
		}
		texts = append(texts, o.Type+" "+name)
	}
	return shorten(strings.Join(texts, ", "), 200)
}

func clusterScopeText(spec v1alpha1.BackupSpec) string {
	switch asked := spec.IncludeClusterScopeResources; {
	case spec.OnlyNeededClusterScopeResources:
		return "what the selected objects need"
	case asked == nil:
		return ""
	case *asked:
		return "all"
	}
	return "none"
}

func namespacesText(included, excluded []string) string {
	text := strings.Join(included, ",")
	if text == "" {
		text = "all"
	}
	if len(excluded) > 0 {
		text += " but " + strings.Join(excluded, ",")
	}
	return shorten(text, 40)
}

func shorten(text string, width int) string {
	if len(text) > width {
		text = text[:width-1] + "…"
	}
	return text
}

func (p *program) newBackupShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one backup with its progress and warnings", Aliases: []string{"describe"}, Args: oneName("backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			var b v1alpha1.Backup
			if _, err := p.read(cmd.Context(), "show", "backup", "backup", args[0], &b); err != nil {
				return err
			}
			return p.showBackup(&b)
		},
	}
}

func (p *program) showBackup(b *v1alpha1.Backup) error {
	identify(b, "Backup")
	return p.show(b, func() error {
		g := b.Status.Progress
		err := p.describe([]field{
			{"Name", b.Name},
			{"Phase", phaseText(b.Status.Phase)},
			{"Step", stepText(b.Status.RunStatus)},
			{"Reason", b.Status.Reason},
			{"Message", b.Status.Message},
			{"Namespaces", backupNamespaces(b.Spec)},
			{"Resource types", typesText(b.Spec.IncludedResourceTypes, b.Spec.ExcludedResourceTypes)},
			{"Labels", labelsText(b.Spec.LabelSelectors, b.Spec.OrLabelSelectors)},
			{"Single objects", objectsText(b.Spec.IncludedObjects)},
			{"Cluster scope", clusterScopeText(b.Spec)},
			{"Storage location", b.Spec.StorageLocation},
			{"Started", when(b.Status.StartTime)},
			{"Completed", when(b.Status.CompletionTime)},
			{"Took", took(b.Status.RunStatus)},
			{"Objects", strconv.FormatInt(g.Objects, 10)},
			{"Read", readText(g)},
			{"Archive", bytesText(g.Bytes)},
			{"Volumes", fmt.Sprintf("%d captured, %d skipped of %d", g.VolumesReady, g.VolumesSkipped, g.VolumesTotal)},
			{"Encrypted to", keysText(b.Status.EncryptedTo)},
			{"Manifest", b.Status.ManifestDigest},
			{"What it holds", contentsCommand(b)},
		})
		if err != nil {
			return err
		}
		return p.describeWarnings(b.Status.RunStatus)
	})
}

func stepText(s v1alpha1.RunStatus) string {
	if s.Phase.Final() {
		return ""
	}
	return s.Step
}

func (p *program) newBackupDelete() *cobra.Command {
	var location string
	var yes, wait bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a recovery point: its snapshots and its archive", Args: oneName("backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Delete recovery point %s with all its snapshots? This cannot be undone.", args[0])); err != nil {
					return err
				}
			}
			return p.deleteBackup(cmd.Context(), args[0], location, wait)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&location, "storage-location", "default", "BackupStorageLocation that holds the recovery point")
	flags.BoolVarP(&yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

func (p *program) deleteBackup(ctx context.Context, name, location string, wait bool) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	d := &v1alpha1.DeleteBackup{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.target.Namespace, GenerateName: name + "-"},
		Spec:       v1alpha1.DeleteBackupSpec{StorageLocation: location, BackupName: name},
	}
	if err := c.Create(ctx, d); err != nil {
		return fmt.Errorf("delete backup %s: %w", name, err)
	}
	if wait {
		err := p.wait(ctx, c, d, func() v1alpha1.RunStatus { return d.Status.RunStatus }, func() string {
			return fmt.Sprintf("snapshots %d of %d deleted", d.Status.SnapshotsDeleted, d.Status.SnapshotsTotal)
		})
		if err != nil {
			return err
		}
	}
	identify(d, "DeleteBackup")
	return p.show(d, func() error {
		return p.describe([]field{{"Deleting", name}, {"Run", d.Name}, {"Phase", phaseText(d.Status.Phase)}})
	})
}

// confirm asks a person. Where there is none, the command line has to say yes itself.
func (p *program) confirm(question string) error {
	if !p.Terminal {
		return usageError{fmt.Errorf("%s Say so with --yes", question)}
	}
	_, _ = fmt.Fprintf(p.Err, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(p.In).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return fmt.Errorf("nothing was done")
	}
	return nil
}

func parseReferences(flag string, texts []string) ([]v1alpha1.NamespacedReference, error) {
	var refs []v1alpha1.NamespacedReference
	for _, t := range texts {
		namespace, name, ok := strings.Cut(t, "/")
		if !ok || namespace == "" || name == "" {
			return nil, usageError{fmt.Errorf("%s %q: write NAMESPACE/NAME", flag, t)}
		}
		refs = append(refs, v1alpha1.NamespacedReference{Namespace: namespace, Name: name})
	}
	return refs, nil
}

// identify puts back the kind, which clients drop from typed objects.
func identify(o client.Object, kind string) {
	o.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetManagedFields(nil)
}
