package metadbtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func testCounts(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, vault+"2", instance(1), instance(2), vault.Child("backupPolicies", "p"), (vault+"2").Child("backupInstances", "other"))
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for i := range 20 {
			j := catalogue.Job{Vault: vault, Name: fmt.Sprintf("j%d", i), Instance: instance(1 + i%2), Status: "Completed", Operation: []string{"Restore", "OnDemandBackup"}[i/2%2], Started: at(i)}
			if err := tx.PutJob(t.Context(), j); err != nil {
				return err
			}
		}
		return nil
	})
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		for _, tt := range []struct {
			q    catalogue.JobQuery
			want int
		}{
			{catalogue.JobQuery{Vault: vault}, 20},
			{catalogue.JobQuery{Vault: vault, Limit: 3}, 20},
			{catalogue.JobQuery{Vault: vault, Instance: instance(1)}, 10},
			{catalogue.JobQuery{Vault: vault, Instance: catalogue.ID(strings.ToUpper(string(instance(1)))), Operation: "Restore"}, 5},
			{catalogue.JobQuery{Vault: vault, Instance: instance(2), Operation: "Restore", From: at(5)}, 4},
			{catalogue.JobQuery{Vault: vault, Instance: instance(2), Operation: "Restore", From: at(5), To: at(12)}, 2},
			{catalogue.JobQuery{Vault: vault, Instance: instance(3)}, 0},
			{catalogue.JobQuery{Vault: vault + "2"}, 0},
			{catalogue.JobQuery{Vault: vault + "3"}, 0},
			{catalogue.JobQuery{Vault: vault, Operation: "\x00"}, 0},
		} {
			if n, err := v.CountJobs(ctx, tt.q); err != nil || n != tt.want {
				t.Errorf("%+v: %d, %v, want %d", tt.q, n, err, tt.want)
			}
		}
		for _, tt := range []struct {
			q    catalogue.ResourceQuery
			want int
		}{
			{catalogue.ResourceQuery{Under: vault}, 3},
			{catalogue.ResourceQuery{Type: instance(1).Type(), Under: vault}, 2},
			{catalogue.ResourceQuery{Type: instance(1).Type()}, 3},
			{catalogue.ResourceQuery{Type: instance(1).Type(), Under: vault, After: instance(1).Key(), Limit: 7}, 1},
			{catalogue.ResourceQuery{Type: "x/y"}, 0},
			{catalogue.ResourceQuery{Type: "\x00"}, 0},
		} {
			if n, err := v.CountResources(ctx, tt.q); err != nil || n != tt.want {
				t.Errorf("%+v: %d, %v, want %d", tt.q, n, err, tt.want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testLastPlace has many look how many there are, and add one of what there may be most of.
func testLastPlace(t *testing.T, db catalogue.Database) {
	const most, writers, times = 5, 4, 4
	mustPut(t, db, vault)
	for what, add := range map[string]func(tx catalogue.Tx, name string) (room bool, err error){
		"jobs": func(tx catalogue.Tx, name string) (bool, error) {
			n, err := tx.CountJobs(t.Context(), catalogue.JobQuery{Vault: vault, Instance: instance(1), Operation: "Restore", From: at(0)})
			if err != nil || n >= most {
				return false, err
			}
			return true, tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: name, Instance: instance(1), Status: "InProgress", Operation: "Restore", Started: at(1)})
		},
		"resources": func(tx catalogue.Tx, name string) (bool, error) {
			n, err := tx.CountResources(t.Context(), catalogue.ResourceQuery{Type: instance(1).Type(), Under: vault})
			if err != nil || n >= most {
				return false, err
			}
			_, err = tx.PutResource(t.Context(), newResource(vault.Child("backupInstances", name)), catalogue.Condition{New: true})
			return true, err
		},
	} {
		t.Run(what, func(t *testing.T) {
			var added atomic.Int32
			var all sync.WaitGroup
			for n := range writers {
				all.Go(func() {
					for i := range times {
						room := false
						err := update(t.Context(), db, func(tx catalogue.Tx) (err error) {
							room, err = add(tx, fmt.Sprintf("n%d-%d", n, i))
							return err
						})
						switch {
						case err == nil && room:
							added.Add(1)
						case err != nil && coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable:
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			if added.Load() != most {
				t.Errorf("%d were added, and there may be %d", added.Load(), most)
			}
		})
	}
}
