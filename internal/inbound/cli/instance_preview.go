package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func (p *program) newInstancePreviewChange() *cobra.Command {
	var at instanceFlags
	var policy followedPolicy
	cmd := &cobra.Command{
		Use: "preview-change", Short: "Show what following another policy does to the recovery points that there are", Args: noArgs,
		Long: `Show what becomes of the recovery points of a backup instance if it follows another policy of the vault. They keep what they were promised, unless that
policy says "coffer": {"existingRecoveryPoints": "Adopt"}. Nothing is changed by this command; coffer backup-instance update changes it.`,
		Example: `  coffer backup-instance preview-change -g shop -v shop-vault -n shop --policy-name hourly`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			follows, err := policy.given()
			if err != nil {
				return err
			}
			if !follows {
				return usageError{errors.New("say which policy it is to follow, with --policy-name or --policy-id")}
			}
			s, id, err := p.atInstance(cmd.Context(), at)
			if err != nil {
				return err
			}
			policyID, err := policy.of(catalogue.ID(id).Parent())
			if err != nil {
				return err
			}
			return p.previewChange(cmd.Context(), s, instanceNoun(), id, arm.PreviewChangeRequest{PolicyID: policyID})
		},
	}
	at.bind(p, cmd)
	policy.bind(p, cmd, "backup policy of the vault that it would follow")
	return cmd
}
