package flow

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// TestBackupsOfOnePodFreezeItOneAfterTheOther holds it of several instances that overlap: what one thaws too early is in another's snapshot.
func TestBackupsOfOnePodFreezeItOneAfterTheOther(t *testing.T) {
	for _, failing := range []string{"", "freeze"} {
		t.Run("fails: "+failing, func(t *testing.T) {
			w := newShop(t)
			config := w.config()
			config.Freezing = &Freezing{}
			var mu sync.Mutex
			frozen, most, execs := 0, 0, 0
			w.failExec = func(e coffer.Exec) (coffer.ExecResult, error) {
				mu.Lock()
				if execs++; e.Command[0] == "freeze" {
					frozen++
				}
				most = max(most, frozen)
				mu.Unlock()
				<-time.After(20 * time.Millisecond) // The others have time to come.
				if e.Command[0] == "thaw" {
					mu.Lock()
					frozen--
					mu.Unlock()
				}
				if e.Command[0] == failing {
					return coffer.ExecResult{ExitCode: 1}, nil
				}
				return coffer.ExecResult{}, nil
			}
			var all sync.WaitGroup
			for _, name := range []string{"one", "two", "three"} {
				object := newBackupObject()
				object.Name, object.UID = name, types.UID("uid-of-"+name)
				all.Go(func() {
					if err := Backup(t.Context(), config, object, func(context.Context) error { return nil }); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if want := failing == ""; (object.Status.Phase == v1alpha1.RunCompleted) != want {
						t.Errorf("%s: %s %s %+v", name, object.Status.Phase, object.Status.Message, object.Status.Warnings)
					}
				})
			}
			all.Wait()
			if most != 1 || frozen != 0 || execs != 6 {
				t.Errorf("%d were frozen at a time, and %d at the end, by %d commands", most, frozen, execs)
			}
			if n := len(config.Freezing.turns); n != 0 {
				t.Errorf("%d turns are left", n)
			}
		})
	}
}

func TestWhoWaitsForATurnCanBeCancelled(t *testing.T) {
	var f Freezing
	done, err := f.take(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.take(ctx, "shop"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second turn: %v", err)
	}
	other, err := f.take(t.Context(), "blog")
	if err != nil {
		t.Fatal(err)
	}
	other()
	done()
	again, err := f.take(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if len(f.turns) != 0 {
		t.Errorf("turns are left: %v", f.turns)
	}
}
