package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

func (p *program) newPointHold() *cobra.Command {
	var reason string
	cmd := p.newHold("hold", "hold", "Put a recovery point under legal hold: it is not deleted, nor its backup instance, until that is released", func(context.Context, session, string) (any, error) {
		return arm.HoldRequest{Reason: reason}, nil
	})
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if reason == "" {
			return usageError{errors.New("say why with --reason: it is what others read who want to delete it")}
		}
		return nil
	}
	cmd.Example = `  coffer recovery-point hold -g shop -v shop-vault -n shop latest --reason "Case 42"`
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func (p *program) newPointRelease() *cobra.Command {
	var guarded guardedFlags
	cmd := p.newHold("release-hold", "releaseHold", "End the legal hold of a recovery point", guarded.body)
	guarded.bind(cmd, guard.ReleaseHold)
	cmd.Example = "  coffer recovery-point release-hold -g shop -v shop-vault -n shop latest"
	return cmd
}

// newHold is a command that changes whether a recovery point is held.
func (p *program) newHold(use, action, short string, body func(ctx context.Context, s session, vault string) (any, error)) *cobra.Command {
	var at pointFlagsOf
	cmd := &cobra.Command{
		Use: use + " [RECOVERY-POINT]", Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, err := p.server()
			if err != nil {
				return err
			}
			id, err := s.pointID(ctx, at)
			if err != nil {
				return err
			}
			asked, err := body(ctx, s, string(catalogue.ID(id).Parent().Parent()))
			if err != nil {
				return err
			}
			var text []byte
			if asked != nil {
				if text, err = json.Marshal(asked); err != nil {
					return fmt.Errorf("%s: %w", use, err)
				}
			}
			reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: id + ownProvider + action, Body: text})
			if err != nil {
				return err
			}
			return p.showOne(pointNoun(), reply.Body)
		},
	}
	at.bind(p, cmd)
	return cmd
}

// holdText says by whom a recovery point is held, and why.
func holdText(p arm.CofferPoint) string {
	h := p.LegalHold
	if h == nil {
		return ""
	}
	return fmt.Sprintf("%s (by %s, %s)", h.Reason, h.By, timeText(&h.At))
}
