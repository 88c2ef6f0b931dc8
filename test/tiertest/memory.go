// Package tiertest holds vault tiers to their contract, and has one in memory, and what makes one fail.
package tiertest

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Memory is a vault tier in memory, which outlives those who use it. It may be used concurrently.
type Memory struct {
	// Looks is how many looks it takes until a copy is whole; 0 is that the first answers so. Deleting takes as many.
	Looks int

	// mu guards all below.
	mu     sync.Mutex
	copies map[catalogue.VaultCopyID]*kept
	begun  map[catalogue.VaultCopyID]int
}

// kept is a copy as far as it is.
type kept struct {
	of catalogue.VaultCopy
	// looks is how often it was asked for, and deleting how often its deletion.
	looks, deleting int
	whole           bool
}

// copyBytes is the size of each copy.
const copyBytes = 1000

// Copy implements catalogue.Vaulting.
func (m *Memory) Copy(ctx context.Context, c catalogue.VaultCopy) (catalogue.CopyProgress, error) {
	if err := ctx.Err(); err != nil {
		return catalogue.CopyProgress{}, err
	}
	if c.Vault == "" || c.Repository == "" || c.Point == "" || c.Cluster == "" || c.Taken.IsZero() {
		return catalogue.CopyProgress{}, coffer.Errorf(coffer.CodeInvalidInput, "it is not said what to copy: %+v", c)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.copies[c.VaultCopyID]
	if one == nil {
		one = &kept{of: c}
		m.make()
		m.copies[c.VaultCopyID] = one
		m.begun[c.VaultCopyID]++
	}
	if one.deleting > 0 {
		return catalogue.CopyProgress{}, &coffer.Error{Code: coffer.CodeBusy, Message: "the copy is being deleted", Hint: "it is made anew after that", Transient: true}
	}
	if one.looks++; one.looks > m.Looks {
		one.whole = true
		return catalogue.CopyProgress{Whole: true, Bytes: copyBytes, Total: copyBytes, Stored: copyBytes / 10}, nil
	}
	return catalogue.CopyProgress{Bytes: int64(copyBytes * one.looks / (m.Looks + 1)), Total: copyBytes}, nil
}

// Delete implements catalogue.Vaulting.
func (m *Memory) Delete(ctx context.Context, id catalogue.VaultCopyID) (gone bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	one := m.copies[id]
	if one == nil {
		return true, nil
	}
	one.whole = false
	if one.deleting++; one.deleting > m.Looks {
		delete(m.copies, id)
		return true, nil
	}
	return false, nil
}

func (m *Memory) make() {
	if m.copies == nil {
		m.copies, m.begun = map[catalogue.VaultCopyID]*kept{}, map[catalogue.VaultCopyID]int{}
	}
}

// Whole are the copies that could be restored, by the time when their recovery points were taken.
func (m *Memory) Whole() []catalogue.VaultCopy { return m.list(func(k *kept) bool { return k.whole }) }

// All are the copies that anything is left of, whole or not.
func (m *Memory) All() []catalogue.VaultCopy { return m.list(func(*kept) bool { return true }) }

func (m *Memory) list(wanted func(*kept) bool) (found []catalogue.VaultCopy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.copies {
		if wanted(one) {
			found = append(found, one.of)
		}
	}
	slices.SortFunc(found, func(a, b catalogue.VaultCopy) int {
		return cmp.Or(a.Taken.Compare(b.Taken), cmp.Compare(a.Point, b.Point))
	})
	return found
}

// Begun is how often a copy was begun from nothing.
func (m *Memory) Begun(point string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, times := range m.begun {
		if id.Point == point {
			n += times
		}
	}
	return n
}
