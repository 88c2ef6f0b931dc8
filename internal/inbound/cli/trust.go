package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/retry"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

func (p *program) newTrust() *cobra.Command {
	return &cobra.Command{
		Use:   "trust LOCATION SIGNER",
		Short: "Believe the recovery points that a signer has written to a location",
		Long: "Believe the recovery points that a signer has written to a location: they may be restored and deleted from here.\n" +
			"The signer of a cluster is in `coffer storage-location show` there. Trust only what you have from its administrator.",
		Example: "  coffer storage-location trust default ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
		Args:    locationAndSigner,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.changeTrust(cmd.Context(), args[0], args[1], func(trusted []string, signer string) ([]string, string) {
				if slices.Contains(trusted, signer) {
					return trusted, "%s is trusted already in BackupStorageLocation %s.\n"
				}
				return append(trusted, signer), "%s is now trusted in BackupStorageLocation %s.\n"
			})
		},
	}
}

func (p *program) newDistrust() *cobra.Command {
	return &cobra.Command{
		Use:   "distrust LOCATION SIGNER",
		Short: "Refuse the recovery points of a signer again",
		Args:  locationAndSigner,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.changeTrust(cmd.Context(), args[0], args[1], func(trusted []string, signer string) ([]string, string) {
				if !slices.Contains(trusted, signer) {
					return trusted, "%s was not trusted in BackupStorageLocation %s.\n"
				}
				return slices.DeleteFunc(trusted, func(s string) bool { return s == signer }), "%s is no longer trusted in BackupStorageLocation %s.\n"
			})
		},
	}
}

func locationAndSigner(cmd *cobra.Command, args []string) error {
	if len(args) != 2 {
		return usageError{fmt.Errorf("give a storage location and a signer: %s", cmd.UseLine())}
	}
	if _, err := recoverypoint.ParseSigner(args[1]); err != nil {
		return usageError{err}
	}
	return nil
}

// changeTrust replaces a location's list of signers by what change makes of it, and says what change answers.
func (p *program) changeTrust(ctx context.Context, location, signer string, change func(trusted []string, signer string) ([]string, string)) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	var said string
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		var object v1alpha1.BackupStorageLocation
		if err := c.Get(ctx, p.key(location), &object); err != nil {
			return err
		}
		before := len(object.Spec.TrustedSigners)
		object.Spec.TrustedSigners, said = change(object.Spec.TrustedSigners, signer)
		if len(object.Spec.TrustedSigners) == before {
			return nil
		}
		return c.Update(ctx, &object)
	})
	if apierrors.IsNotFound(err) {
		return missing("storage location", "storage-location", location)
	}
	if err != nil {
		return fmt.Errorf("change the trusted signers of storage location %s: %w", location, err)
	}
	_, err = fmt.Fprintf(p.Out, said, signer, location)
	return err
}
