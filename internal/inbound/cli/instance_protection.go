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
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// protectionChange is a command that changes how an instance is protected.
type protectionChange struct {
	use, short, long string
	operation        protection.Operation
	// doing and done are for people; %s is the instance's name.
	doing, done string
	// guarded are the operations that a resource guard may cover of it.
	guarded []guard.Operation
	// before, if it is there, says what there is to know first.
	before func(ctx context.Context, s session, id string) (string, error)
}

func (p *program) newInstanceStop() *cobra.Command {
	return p.newProtectionChange(protectionChange{
		use: "stop-protection", short: "Make no more backups, and keep all recovery points for ever", operation: protection.StopProtection,
		guarded: []guard.Operation{guard.StopProtection},
		long:    `Make no more backups, and keep all recovery points for ever: nothing expires. Jobs that are under way go on, and restores are possible.`,
		doing:   "stop the protection of backup instance %s", done: "The protection of backup instance %s is stopped: it is not backed up, and nothing of it expires.",
	})
}

func (p *program) newInstanceSuspend() *cobra.Command {
	return p.newProtectionChange(protectionChange{
		use: "suspend-backup", short: "Make no more backups, and keep recovery points as the policy says", operation: protection.SuspendBackups,
		guarded: []guard.Operation{guard.SuspendBackups},
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
			return p.act(ctx, s, action{path: id + "/" + string(c.operation), body: body, doing: fmt.Sprintf(c.doing, name), done: fmt.Sprintf(c.done, name), noWait: noWait})
		},
	}
	at.bind(p, cmd)
	if len(c.guarded) > 0 {
		guarded.bind(cmd, c.guarded...)
	}
	bindNoWait(cmd, &noWait)
	return cmd
}

// action is a POST that does something to a resource.
type action struct {
	path string
	// body may be nil.
	body any
	// doing and done are for people: "purge backup instance shop", "Backup instance shop is purged."
	doing, done string
	noWait      bool
}

// act has the server do something to a resource, waits for its end, and says so.
func (p *program) act(ctx context.Context, s session, a action) error {
	var text []byte
	if a.body != nil {
		var err error
		if text, err = json.Marshal(a.body); err != nil {
			return fmt.Errorf("%s: %w", a.doing, err)
		}
	}
	told := newOperationLine(p, a.doing)
	reply, err := s.Do(ctx, Call{Method: http.MethodPost, Path: a.path, Body: text, Follow: !a.noWait, Progress: told.show})
	told.end()
	if err != nil {
		return fmt.Errorf("%s: %w", a.doing, err)
	}
	if a.noWait && reply.Status == http.StatusAccepted {
		p.told("%s: begun.", a.doing)
		return nil
	}
	p.told("%s", a.done)
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
			return p.act(ctx, s, action{
				path: id + "/" + string(protection.Sync), body: arm.SyncRequest{SyncType: arm.Word(kind)}, noWait: noWait,
				doing: "synchronise backup instance " + name, done: "Backup instance " + name + " is synchronised.",
			})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().StringVar(&kind, "sync-type", string(arm.SyncDefault), strings.Join([]string{string(arm.SyncDefault), string(arm.SyncForce)}, " or "))
	bindNoWait(cmd, &noWait)
	return cmd
}
