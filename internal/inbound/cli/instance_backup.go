package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

func (p *program) newInstanceBackup() *cobra.Command {
	var at instanceFlags
	var rule, tag, kind string
	var wait bool
	cmd := &cobra.Command{
		Use: "adhoc-backup", Short: "Make a recovery point now", Aliases: []string{"backup"}, Args: noArgs,
		Example: `  coffer backup-instance adhoc-backup -g shop -v shop-vault -n shop --wait
  coffer backup-instance adhoc-backup -n shop --rule-name BackupHourly --retention-tag-override Weekly`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if kind != "" && !strings.EqualFold(kind, string(arm.PointIncremental)) {
				return usageError{fmt.Errorf("--backup-type %q is not known; clusters are backed up as %s", kind, arm.PointIncremental)}
			}
			s, id, err := p.atInstance(ctx, at)
			if err != nil {
				return err
			}
			if rule == "" {
				if rule, err = s.backupRule(ctx, id); err != nil {
					return err
				}
			}
			body := arm.BackupRequest{BackupRuleOptions: &arm.BackupRuleOptions{RuleName: rule}}
			if tag != "" {
				body.BackupRuleOptions.TriggerOption = &arm.BackupTriggerOption{RetentionTagOverride: tag}
			}
			job, err := p.startJob(ctx, s, id+"/backup", body, "back up "+catalogue.ID(id).Name())
			if err != nil {
				return err
			}
			return p.began(ctx, s, catalogue.ID(id).Parent(), job, wait)
		},
	}
	at.bind(p, cmd)
	flags := cmd.Flags()
	flags.StringVar(&rule, "rule-name", "", "backup rule of the policy, such as BackupHourly (default the one that there is)")
	flags.StringVar(&tag, "retention-tag-override", "", "retention rule of the policy by which the recovery point is kept, such as Weekly (default what the policy says)")
	flags.StringVar(&kind, "backup-type", "", "")
	_ = flags.MarkHidden("backup-type") // It is there; az has it for other datasources.
	flags.BoolVar(&wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// backupRule is the one backup rule of the policy that an instance follows.
func (s session) backupRule(ctx context.Context, instance string) (string, error) {
	v, err := s.readInstance(ctx, instance)
	if err != nil {
		return "", err
	}
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: string(v.policy())})
	if err != nil {
		return "", fmt.Errorf("look for the backup rule of the policy: %w", err)
	}
	policy, err := decodeAs[policyView](reply.Body)
	if err != nil {
		return "", err
	}
	var names []string
	for _, r := range policy.Properties.PolicyRules {
		if r.Trigger != nil {
			names = append(names, r.Name)
		}
	}
	if len(names) != 1 {
		return "", usageError{errors.New("name the backup rule with --rule-name; the policy " + policy.Name + " has " + strings.Join(names, ", "))}
	}
	return names[0], nil
}
