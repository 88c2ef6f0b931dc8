package runner_test

import (
	"context"
	"sync"
	"testing"
	"time"
)

// TestAServerThatIsStartedAnewPurgesAtOnce holds for one that is restarted more often than it looks for what is overdue.
func TestAServerThatIsStartedAnewPurgesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.softDeleted("On")
	w.Clock.Move(fortnight + time.Minute)
	var once sync.Once
	begun := make(chan struct{})
	w.jobs.Wake = func() { once.Do(func() { close(begun) }) }

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); w.newRunner().Run(ctx) }()
	defer func() { cancel(); <-ended }()
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing is purged")
	}
	if !w.deletedRecord().Deleting {
		t.Errorf("the deleted instance is %+v", w.deletedRecord())
	}
}

func TestADayOfSoftDeleteCanBeShortForTests(t *testing.T) {
	w := newWorld(t)
	w.jobs.Keeper.Day = time.Second
	w.softDeleted("On")
	if d := w.deletedRecord().Deletion; !d.Until.Equal(d.At.Add(14 * time.Second)) {
		t.Errorf("it can be had again until %s, and was deleted at %s", d.Until, d.At)
	}
}
