package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// previewQuestion is what is sent: policies go as they are, whatever their form.
type previewQuestion struct {
	Policy json.RawMessage `json:"policy,omitempty"`
	From   *time.Time      `json:"from,omitempty"`
	Runs   *int            `json:"runs,omitempty"`
	Days   []string        `json:"days,omitempty"`
}

func (p *program) newPolicyPreview() *cobra.Command {
	var at policyFlags
	var file, from string
	var runs int
	var days []string
	cmd := &cobra.Command{
		Use: "preview", Short: "Show the next runs of a backup policy, and what will be kept on days to come", Args: noArgs,
		Long: `Show the next runs of a backup policy with their tags, and which recovery points there will be at the end of a day, if all runs are good.
The policy is one of the vault, or that of a file, which need not be in the vault.`,
		Example: `  coffer backup-policy preview -g shop -v shop-vault -n four-hourly --day 2027-03-01
  coffer backup-policy preview -g shop -v shop-vault --policy policy.json --runs 20`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			asked := previewQuestion{Runs: &runs, Days: days}
			if from != "" {
				t, err := time.Parse(time.RFC3339, from)
				if err != nil {
					t, err = time.Parse(time.DateOnly, from)
				}
				if err != nil {
					return usageError{fmt.Errorf("--from %q is not a time: write one such as 2027-03-01 or 2027-03-01T08:00:00Z", from)}
				}
				asked.From = &t
			}
			told, err := p.askPreview(cmd, at, file, asked)
			if err != nil {
				return err
			}
			return p.render(told, func() error { return p.printPreview(told) })
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&file, "policy", "", "JSON or YAML of a policy that is not in the vault: a file, or - for what is piped in")
	cmd.Flags().StringVar(&from, "from", "", "from when on, such as 2027-03-01 or 2027-03-01T08:00:00Z (default now)")
	cmd.Flags().IntVar(&runs, "runs", 10, "how many of the next runs")
	cmd.Flags().StringSliceVar(&days, "day", nil, "show which recovery points there will be at the end of this day, such as 2027-03-01; may be given again")
	return cmd
}

// askPreview asks a policy of the vault, or the vault about that of a file.
func (p *program) askPreview(cmd *cobra.Command, at policyFlags, file string, asked previewQuestion) (told arm.Preview, err error) {
	var s session
	var path string
	switch {
	case file != "" && at.name != "":
		return told, usageError{errors.New("name a backup policy of the vault, or give one with --policy, not both")}
	case file != "":
		if asked.Policy, err = p.policyProperties(file); err != nil {
			return told, err
		}
		s, path, err = p.atVault(cmd.Context(), at.scopeFlags)
		path += ownProvider + "previewPolicy"
	case at.name == "":
		return told, usageError{errors.New("name the backup policy with --backup-policy-name, or give one with --policy FILE; `coffer backup-policy list` shows them")}
	default:
		s, path, err = p.atPolicy(cmd.Context(), at)
		path += ownProvider + "preview"
	}
	if err != nil {
		return told, err
	}
	text, err := s.send(cmd.Context(), http.MethodPost, path, asked)
	if err != nil {
		return told, fmt.Errorf("preview: %w", err)
	}
	return decodeAs[arm.Preview](text)
}

// policyProperties are the properties of the policy of a file.
func (p *program) policyProperties(file string) (json.RawMessage, error) {
	body, err := p.readPolicy(file)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(body.Properties)
	if err != nil {
		return nil, fmt.Errorf("--policy %s: %w", file, err)
	}
	return text, nil
}

func (p *program) printPreview(told arm.Preview) error {
	rows := [][]string{{"RUN", "TAG", "KEPT UNTIL", "REASON"}}
	for _, r := range told.Runs {
		rows = append(rows, []string{r.Slot.UTC().Format(time.RFC3339), r.Tag, untilText(r.Expiry), r.Reason})
	}
	if err := p.table(rows); err != nil {
		return err
	}
	for _, d := range told.Days {
		rows = [][]string{{"RECOVERY POINT", "TAG", "TIERS", "REASON"}}
		for _, point := range d.RecoveryPoints {
			var tiers []string
			for _, t := range point.Tiers {
				tiers = append(tiers, string(t))
			}
			rows = append(rows, []string{point.Time.UTC().Format(time.RFC3339), point.Tag, strings.Join(tiers, ", "), point.Reason})
		}
		if _, err := fmt.Fprintf(p.Out, "\nAt the end of %s there will be %d recovery points:\n", harmless(d.Date), len(d.RecoveryPoints)); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		if err := p.table(rows); err != nil {
			return err
		}
	}
	for _, note := range told.Notes {
		p.told("Note: %s.", harmless(note))
	}
	return nil
}

// untilText is an expiry; without one something else than the time decides.
func untilText(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func (p *program) newPolicyPreviewChange() *cobra.Command {
	var at policyFlags
	var file string
	cmd := &cobra.Command{
		Use: "preview-change", Short: "Show what a change of a backup policy does to the recovery points that there are", Args: noArgs,
		Long: `Show what a change of a backup policy does to the recovery points of the backup instances that follow it. They keep what they were promised, unless the
policy says "coffer": {"existingRecoveryPoints": "Adopt"}. Nothing is changed by this command.`,
		Example: `  coffer backup-policy preview-change -g shop -v shop-vault -n four-hourly --policy policy.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("say what the policy is to be with --policy FILE; `coffer backup-policy show -o json` prints what it is")}
			}
			properties, err := p.policyProperties(file)
			if err != nil {
				return err
			}
			s, id, err := p.atPolicy(cmd.Context(), at)
			if err != nil {
				return err
			}
			return p.previewChange(cmd.Context(), s, policyNoun(), id, previewQuestion{Policy: properties})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&file, "policy", "", "JSON or YAML of what the policy is to be: a file, or - for what is piped in")
	return cmd
}

// changes asks what a change of a policy, or of the one that an instance follows, does to recovery points.
func (s session) changes(ctx context.Context, id string, change any) (told arm.PreviewedChanges, err error) {
	text, err := s.send(ctx, http.MethodPost, id+ownProvider+"previewChange", change)
	if err != nil {
		return told, err
	}
	return decodeAs[arm.PreviewedChanges](text)
}

// previewChange prints what a change does to recovery points; the noun is what is changed.
func (p *program) previewChange(ctx context.Context, s session, n noun, id string, change any) error {
	told, err := s.changes(ctx, id, change)
	if err != nil {
		return fmt.Errorf("preview the change of %s %s: %w", n.name, catalogue.ID(id).Name(), err)
	}
	return p.render(told, func() error { return p.printChanges(told) })
}

func (p *program) printChanges(told arm.PreviewedChanges) error {
	if len(told.RecoveryPoints) > 0 {
		rows := [][]string{{"BACKUP INSTANCE", "RECOVERY POINT", "TAKEN", "KEPT UNTIL", "WITH THE CHANGE", "REASON"}}
		for _, c := range told.RecoveryPoints {
			change := untilText(c.NewExpiry)
			if c.Deleted {
				change = "deleted"
			}
			instance := c.Instance[strings.LastIndex(c.Instance, "/")+1:]
			rows = append(rows, []string{instance, c.Name, c.Time.UTC().Format(time.RFC3339), untilText(c.Expiry), change, c.Reason})
		}
		if err := p.table(rows); err != nil {
			return err
		}
	}
	more := ""
	if told.More {
		more = "; not all of them are listed"
	}
	_, err := fmt.Fprintf(p.Out, "%d recovery points stay as they are, %d are kept for another time, %d are deleted%s.\n", told.Kept, told.Changed, told.Deleted, more)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
