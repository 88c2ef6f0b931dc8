package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

func (p *program) newBackupContents() *cobra.Command {
	var q content.Contents
	cmd := &cobra.Command{
		Use:   "contents NAME",
		Short: "List the objects of a recovery point, or print them with -o yaml or -o json",
		Long: `List the objects of a recovery point, or print them: as a stream of YAML documents with -o yaml, as a List with -o json.
Values of Secrets are masked unless --show-secrets is given.

The Backup extension reads and verifies the recovery point as for a restore; what a restore would refuse is refused. It is
reached through a port-forward, which takes the right to list pods and to create pods/portforward in its namespace. Who
has that right can read every Secret in the backups.

If nothing matches, that is said, and the exit code is 0; with --name it is 1, as for kubectl get. If the exit code is not
0, what was printed is not all.`,
		Example: `  coffer backup contents shop-1
  coffer backup contents shop-1 --namespace shop --kind Deployment
  coffer backup contents shop-1 --namespace shop --kind secret --name login -o yaml --show-secrets
  coffer backup contents shop-1 --kind configmaps -o json | jq '.items[].metadata.name'`,
		Args: oneName("recovery point"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.checkOutput(); err != nil {
				return err
			}
			q.BackupName, q.Objects = args[0], p.output != "table"
			if q.Type != "" {
				if err := selection.CheckSpelling("--kind", q.Type); err != nil {
					return usageError{err}
				}
			}
			if q.Secrets && !q.Objects {
				return usageError{errors.New("--show-secrets is for -o yaml and -o json: the list shows no values")}
			}
			return p.showContents(cmd.Context(), q)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&q.StorageLocation, "storage-location", "default", "BackupStorageLocation that holds the recovery point")
	// Here it is what is looked for that has a namespace. Left out, -n is an error rather than one or the other.
	flags.StringVar(&q.Namespace, "namespace", "", "only objects of this namespace of the recovery point")
	flags.StringVar(&p.target.Namespace, "extension-namespace", v1alpha1.DefaultNamespace, "namespace of the Backup extension")
	flags.StringVar(&q.Type, "kind", "", "only objects of this type, such as Secret, v1/Secret, deployments.apps or *.acme.io")
	flags.StringVar(&q.Name, "name", "", "only objects of this name")
	flags.BoolVar(&q.Secrets, "show-secrets", false, "print the values of Secrets")
	return cmd
}

// contentsCommand is how a person looks into a recovery point; empty if there is none.
func contentsCommand(b *v1alpha1.Backup) string {
	if b.Status.ManifestDigest == "" || !b.Status.Phase.Succeeded() {
		return ""
	}
	command := "coffer backup contents " + b.Name
	if at := b.Spec.StorageLocation; at != "" && at != "default" {
		command += " --storage-location " + at
	}
	if b.Namespace != v1alpha1.DefaultNamespace {
		command += " --extension-namespace " + b.Namespace
	}
	return command
}

// showContents prints what is asked for while it arrives.
func (p *program) showContents(ctx context.Context, q content.Contents) error {
	answer, err := p.askReader(ctx, q.URL())
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	printer := p.newContentsPrinter()
	if err := content.Read(answer, printer.print); err != nil {
		printer.cut()
		if errors.Is(err, content.ErrCut) {
			return fmt.Errorf("contents of %s: %w; try again", q.BackupName, err)
		}
		return fmt.Errorf("contents of %s: %w", q.BackupName, err)
	}
	items, err := printer.end()
	switch {
	case err != nil:
		return err
	case items == 0 && q.Name != "":
		return fmt.Errorf("recovery point %s has no such object named %s", q.BackupName, q.Name)
	case items == 0:
		_, err = fmt.Fprintf(p.Err, "Nothing in recovery point %s matches.\n", q.BackupName)
	}
	return err
}
