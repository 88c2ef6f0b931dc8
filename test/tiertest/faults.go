package tiertest

import (
	"context"
	"sync"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Fault is what becomes of a call.
type Fault int

// The faults.
const (
	// Sound is none.
	Sound Fault = iota
	// Refused is a call that fails before it does anything.
	Refused
	// Lost is a call that does all, and whose answer is lost.
	Lost
	// Hanging is a call that does nothing until its context ends.
	Hanging
)

// Faulty is a vault tier whose calls fail as is wanted. It may be used concurrently.
type Faulty struct {
	catalogue.Vaulting

	// mu guards all below.
	mu   sync.Mutex
	next func(what string, id catalogue.VaultCopyID) Fault
	// hanging counts calls that hang now.
	hanging int
}

// Break has each call ask what becomes of it; what is Copy or Delete. Nil is that none fails.
func (f *Faulty) Break(next func(what string, id catalogue.VaultCopyID) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = next
}

// Times breaks the next n calls.
func Times(n int, fault Fault) func(string, catalogue.VaultCopyID) Fault {
	var mu sync.Mutex
	return func(string, catalogue.VaultCopyID) Fault {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return Sound
		}
		return fault
	}
}

// Hanging is how many calls hang now.
func (f *Faulty) Hanging() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hanging
}

// Copy implements catalogue.Vaulting.
func (f *Faulty) Copy(ctx context.Context, c catalogue.VaultCopy) (progress catalogue.CopyProgress, err error) {
	return through(ctx, f, "Copy", c.VaultCopyID, func() (catalogue.CopyProgress, error) { return f.Vaulting.Copy(ctx, c) })
}

// Delete implements catalogue.Vaulting.
func (f *Faulty) Delete(ctx context.Context, id catalogue.VaultCopyID) (gone bool, err error) {
	return through(ctx, f, "Delete", id, func() (bool, error) { return f.Vaulting.Delete(ctx, id) })
}

func through[T any](ctx context.Context, f *Faulty, what string, id catalogue.VaultCopyID, call func() (T, error)) (answer T, err error) {
	f.mu.Lock()
	fault := Sound
	if f.next != nil {
		fault = f.next(what, id)
	}
	if fault == Hanging {
		f.hanging++
	}
	f.mu.Unlock()
	away := &coffer.Error{Code: coffer.CodeBusy, Message: "the vault tier does not answer", Hint: "see whether it runs", Transient: true}
	switch fault {
	case Sound:
		return call()
	case Refused:
		return answer, away
	case Hanging:
		<-ctx.Done()
		f.mu.Lock()
		f.hanging--
		f.mu.Unlock()
		return answer, ctx.Err()
	}
	if _, err := call(); err != nil {
		return answer, err
	}
	return answer, away
}
