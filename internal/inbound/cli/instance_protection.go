package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// protectionChange is a command that changes how an instance is protected.
type protectionChange struct {
	use, short, long string
	operation        protection.Operation
	// doing and done are for people; %s is the instance's name.
	doing, done string
	// guarded says that a resource guard may cover it.
	guarded bool
	// before, if it is there, says what there is to know first.
	before func(ctx context.Context, s session, id string) (string, error)
}

func (p *program) newInstanceStop() *cobra.Command {
	return p.newProtectionChange(protectionChange{
		use: "stop-protection", short: "Make no more backups, and keep all recovery points for ever", operation: protection.StopProtection, guarded: true,
		long:  `Make no more backups, and keep all recovery points for ever: nothing expires. Jobs that are under way go on, and restores are possible.`,
		doing: "stop the protection of backup instance %s", done: "The protection of backup instance %s is stopped: it is not backed up, and nothing of it expires.",
	})
}

func (p *program) newInstanceSuspend() *cobra.Command {
	return p.newProtectionChange(protectionChange{
		use: "suspend-backup", short: "Make no more backups, and keep recovery points as the policy says", operation: protection.SuspendBackups, guarded: true,
		long: `Make no more backups, and keep recovery points as the policy says: they expire, but for the newest good one. Jobs that are under way go on, and
restores are possible.`,
		doing: "suspend the backups of backup instance %s", done: "The backups of backup instance %s are suspended: it is not backed up, and its recovery points expire, but for the newest good one.",
	})
}

func (p *program) newInstanceResume() *cobra.Command {
	return p.newProtectionChange(protectionChange{
		use: "resume-protection", short: "Make backups by the policy again, after stop-protection, suspend-backup or undelete", operation: protection.ResumeProtection,
		long: `Make backups by the policy again, after stop-protection, suspend-backup or undelete. Recovery points whose time came meanwhile are deleted, but for
the newest good one: the command says how many.`,
		doing: "resume the protection of backup instance %s", done: "Backup instance %s is protected again.",
		before: overdue,
	})
}

func (p *program) newProtectionChange(c protectionChange) *cobra.Command {
	var at instanceFlags
	var noWait bool
	var guarded guardedFlags
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Args: noArgs,
		Example: "  coffer backup-instance " + c.use + " -g shop -v shop-vault -n shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, id, err := p.atInstance(ctx, at)
			if err != nil {
				return err
			}
			if c.before != nil {
				note, err := c.before(ctx, s, id)
				if err != nil {
					return err
				}
				if note != "" {
					p.told("%s", note)
				}
			}
			body, err := guarded.body(ctx, s, string(catalogue.ID(id).Parent()))
			if err != nil {
				return err
			}
			name := catalogue.ID(id).Name()
			if err := p.act(ctx, s, id+"/"+string(c.operation), body, fmt.Sprintf(c.doing, name), noWait); err != nil {
				return err
			}
			p.told(c.done, name)
			return nil
		},
	}
	at.bind(p, cmd)
	if c.guarded {
		guarded.bind(cmd)
	}
	bindNoWait(cmd, &noWait)
	return cmd
}

// act has the server do something to a resource, and waits for its end.
func (p *program) act(ctx context.Context, s session, path string, body any, doing string, noWait bool) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	told := newOperationLine(p, doing)
	_, err := s.Do(ctx, Call{Method: http.MethodPost, Path: path, Body: text, Follow: !noWait, Progress: told.show})
	told.end()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// overdue says how many recovery points of an instance are past their time.
func overdue(ctx context.Context, s session, id string) (string, error) {
	n, now := 0, time.Now()
	err := s.Each(ctx, id+"/"+pointCollection, func(item json.RawMessage) error {
		v, err := decodeAs[pointView](item)
		if e := v.Properties.ExpiryTime; e != nil && e.Before(now) {
			n++
		}
		return err
	})
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("Recovery points whose time has come (%d) expire now, but for the newest good one.", n), nil
}

func (p *program) newInstanceSync() *cobra.Command {
	var at instanceFlags
	var kind string
	var noWait bool
	cmd := &cobra.Command{
		Use: "sync", Short: "Try again what has failed of a backup instance", Args: noArgs,
		Long: `Try again what has failed of a backup instance: a deletion. With --sync-type ForceResync, one of which nothing has failed is judged again, as when it
was created: whether its cluster has joined and lets the vault in, and which version of the policy it follows.`,
		Example: "  coffer backup-instance sync -g shop -v shop-vault -n shop --sync-type ForceResync",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			s, id, err := p.atInstance(ctx, at)
			if err != nil {
				return err
			}
			name := catalogue.ID(id).Name()
			if err := p.act(ctx, s, id+"/"+string(protection.Sync), arm.SyncRequest{SyncType: arm.Word(kind)}, "synchronise backup instance "+name, noWait); err != nil {
				return err
			}
			p.told("Backup instance %s is synchronised.", name)
			return nil
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&kind, "sync-type", string(arm.SyncDefault), strings.Join([]string{string(arm.SyncDefault), string(arm.SyncForce)}, " or "))
	bindNoWait(cmd, &noWait)
	return cmd
}
