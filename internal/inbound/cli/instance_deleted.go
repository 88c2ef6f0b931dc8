package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

const deletedCollection = "deletedBackupInstances"

func (p *program) newInstanceDeleted() *cobra.Command {
	cmd := group("deleted-backup-instance", "Backup instances that were deleted and can be had again",
		p.newDeletedList(), p.newDeletedShow(), p.newDeletedUndelete(), p.newDeletedPurge())
	cmd.Aliases = []string{"deleted"}
	return cmd
}

func deletedNoun() noun {
	return noun{
		name: "deleted backup instance", fields: deletedFields,
		heading: []string{"NAME", "CLUSTER", "POLICY", "DELETED", "CAN BE HAD AGAIN UNTIL"}, row: deletedRow,
	}
}

// deletedView is a deleted backup instance as the server shows it.
type deletedView struct {
	Name       string `json:"name"`
	Properties struct {
		DeletionInfo struct {
			DeletionTime       *time.Time `json:"deletionTime"`
			ScheduledPurgeTime *time.Time `json:"scheduledPurgeTime"`
		} `json:"deletionInfo"`
	} `json:"properties"`
}

func deletedFields(text json.RawMessage) ([]field, error) {
	v, err := decodeAs[deletedView](text)
	if err != nil {
		return nil, err
	}
	fields, err := instanceFields(text)
	return append([]field{
		{"Deleted", timeText(v.Properties.DeletionInfo.DeletionTime)}, {"Can be had again until", timeText(v.Properties.DeletionInfo.ScheduledPurgeTime)},
	}, fields...), err
}

func deletedRow(text json.RawMessage) ([]string, error) {
	v, err := decodeAs[deletedView](text)
	if err != nil {
		return nil, err
	}
	i, err := decodeAs[instanceView](text)
	return []string{v.Name, i.cluster().Name(), i.policy().Name(), timeText(v.Properties.DeletionInfo.DeletionTime), timeText(v.Properties.DeletionInfo.ScheduledPurgeTime)}, err
}

// atDeleted is the server, and the id of the deleted backup instance that is meant there.
func (p *program) atDeleted(ctx context.Context, at instanceFlags) (session, string, error) {
	if at.name == "" {
		return session{}, "", usageError{errors.New("name the deleted backup instance with --backup-instance-name; `coffer backup-instance deleted-backup-instance list` shows them")}
	}
	s, id, err := p.atInstance(ctx, at)
	if err != nil {
		return s, "", err
	}
	return s, deletedOf(id), nil
}

// deletedOf is the id of a backup instance once it is deleted.
func deletedOf(instance string) string {
	id := catalogue.ID(instance)
	return string(id.Parent().Child(deletedCollection, id.Name()))
}

func (p *program) newDeletedList() *cobra.Command {
	var at scopeFlags
	cmd := p.newListBelow("List the deleted backup instances of a Backup vault", deletedNoun(), "/"+deletedCollection, located(p.atVault, &at))
	cmd.Example = "  coffer backup-instance deleted-backup-instance list -g shop -v shop-vault"
	at.bindVault(p, cmd)
	return cmd
}

func (p *program) newDeletedShow() *cobra.Command {
	var at instanceFlags
	cmd := p.newShow("Show a deleted backup instance", deletedNoun(), located(p.atDeleted, &at))
	cmd.Example = "  coffer backup-instance deleted-backup-instance show -g shop -v shop-vault -n shop"
	at.bind(p, cmd)
	return cmd
}

func (p *program) newDeletedUndelete() *cobra.Command {
	var at instanceFlags
	var noWait bool
	cmd := &cobra.Command{
		Use: "undelete", Short: "Have a deleted backup instance again, with its recovery points", Args: noArgs,
		Long: `Have a deleted backup instance again, with its recovery points. Its protection is stopped until it is resumed.`,
		Example: `  coffer backup-instance deleted-backup-instance undelete -g shop -v shop-vault -n shop
  coffer backup-instance resume-protection -g shop -v shop-vault -n shop`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atDeleted(cmd.Context(), at)
			if err != nil {
				return err
			}
			name := catalogue.ID(id).Name()
			return p.act(cmd.Context(), s, action{
				path: id + "/undelete", doing: "undelete backup instance " + name, noWait: noWait,
				done: fmt.Sprintf("Backup instance %s is there again, and its protection is stopped. Resume it with `coffer backup-instance resume-protection`.", name),
			})
		},
	}
	at.bind(p, cmd)
	bindNoWait(cmd, &noWait)
	return cmd
}

func (p *program) newDeletedPurge() *cobra.Command {
	var at instanceFlags
	var yes, noWait, retain bool
	var guarded guardedFlags
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete a deleted backup instance for good, with its recovery points", Args: noArgs,
		Long: `Delete a deleted backup instance for good, with its recovery points and their snapshots. Where soft delete is AlwaysOn, that is possible only
when its time is over, at which it happens by itself.

With --retain-data, recovery points are left where they are, and only the vault forgets them. That works also where the cluster is gone.`,
		Example: "  coffer backup-instance deleted-backup-instance purge -g shop -v shop-vault -n shop",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, id, err := p.atDeleted(cmd.Context(), at)
			if err != nil {
				return err
			}
			name := catalogue.ID(id).Name()
			path, what := id+ownProvider+"purge", "Its recovery points and their snapshots are deleted, for good."
			if retain {
				path, what = path+"?retainData=true", "Its recovery points stay in the blob container, and the vault forgets them."
			}
			if !yes {
				if err := p.confirm(fmt.Sprintf("Purge deleted backup instance %s? %s", name, what)); err != nil {
					return err
				}
			}
			body, err := guarded.body(cmd.Context(), s, string(catalogue.ID(id).Parent()))
			if err != nil {
				return err
			}
			return p.act(cmd.Context(), s, action{path: path, body: body, doing: "purge backup instance " + name, done: "Backup instance " + name + " is purged.", noWait: noWait})
		},
	}
	at.bind(p, cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&retain, "retain-data", false, "leave the recovery points where they are")
	guarded.bind(cmd, guard.DeleteInstance)
	bindNoWait(cmd, &noWait)
	return cmd
}

// goes says what becomes of the recovery points of an instance that is deleted with them.
func (s session) goes(ctx context.Context, id string, n int) (string, error) {
	text := fmt.Sprintf("Its recovery points (%d) and their snapshots are deleted with it, for good", n)
	if n == 0 {
		return text + ".", nil
	}
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: string(catalogue.ID(id).Parent())})
	if coffer.CodeOf(err) == coffer.CodeAuthorizationFailed {
		return text + ", unless the vault has soft delete, by which it can be had again for a while.", nil
	}
	if err != nil {
		return "", err
	}
	v, err := readVault(reply.Body)
	if err != nil {
		return "", err
	}
	if d := v.Properties.SecuritySettings; d != nil && d.SoftDeleteSettings != nil && !d.SoftDeleteSettings.State.Is(arm.StateOff) && d.SoftDeleteSettings.RetentionDurationInDays != nil {
		return fmt.Sprintf("It can be had again for %v days, and its recovery points (%d) and their snapshots stay until then.", *d.SoftDeleteSettings.RetentionDurationInDays, n), nil
	}
	return text + ".", nil
}

// tellDeleted says until when an instance that was deleted can be had again, if it can.
func (p *program) tellDeleted(ctx context.Context, s session, id string) error {
	reply, err := s.Do(ctx, Call{Method: http.MethodGet, Path: deletedOf(id)})
	switch coffer.CodeOf(err) {
	case coffer.CodeResourceNotFound, coffer.CodeAuthorizationFailed:
		return nil
	}
	if err != nil {
		return err
	}
	v, err := decodeAs[deletedView](reply.Body)
	if err != nil {
		return err
	}
	vault := catalogue.ID(id).Parent()
	p.told("It can be had again until %s:\n  coffer backup-instance deleted-backup-instance undelete -g %s -v %s -n %s", timeText(v.Properties.DeletionInfo.ScheduledPurgeTime), groupName(vault), vault.Name(), v.Name)
	return nil
}
