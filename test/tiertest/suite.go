package tiertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Subject is a vault tier that is held to its contract.
type Subject struct {
	// Open answers a vault tier as another process has it: what one has made durable the other finds.
	Open func(t *testing.T) catalogue.Vaulting
	// Whole are the copies that could be restored now, and All those that anything is left of.
	Whole, All func() []catalogue.VaultCopy
}

// Run runs the suite. fresh makes an empty vault tier. Its copies take several looks each.
func Run(t *testing.T, fresh func(t *testing.T) Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Subject){
		"a copy becomes whole, and stays so":                     testWhole,
		"what is not whole cannot be restored, and goes on":      testResumed,
		"nothing is left of what is deleted":                     testDeleted,
		"a copy is made anew after it was deleted":               testAnew,
		"others are whole when one is deleted":                   testOthers,
		"copies of one name in two repositories are two":         testRepositories,
		"who asks together has one copy":                         testTogether,
		"a call ends with its context, and loses nothing":        testContext,
		"no single fault loses a copy or leaves anything":        testFaults,
		"a vault tier that does not answer for one does for all": testHanging,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// NewCopy is a copy of a recovery point that is to be made.
func NewCopy(repository, point string) catalogue.VaultCopy {
	const vault = catalogue.ID("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v1")
	return catalogue.VaultCopy{
		VaultCopyID: catalogue.VaultCopyID{Vault: vault, Repository: repository, Point: point}, Taken: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		Cluster: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c1", Identity: "v", Location: "default",
	}
}

// mostLooks bounds how often is asked for what has to come to an end.
const mostLooks = 1000

// mustCopy asks until a copy is whole.
func mustCopy(t *testing.T, tier catalogue.Vaulting, c catalogue.VaultCopy) catalogue.CopyProgress {
	t.Helper()
	for range mostLooks {
		progress, err := tier.Copy(t.Context(), c)
		if err != nil {
			t.Fatalf("copy %s: %v", c.Point, err)
		}
		if progress.Whole {
			return progress
		}
	}
	t.Fatalf("the copy of %s is never whole", c.Point)
	return catalogue.CopyProgress{}
}

func mustDelete(t *testing.T, tier catalogue.Vaulting, id catalogue.VaultCopyID) {
	t.Helper()
	for range mostLooks {
		gone, err := tier.Delete(t.Context(), id)
		if err != nil {
			t.Fatalf("delete %s: %v", id.Point, err)
		}
		if gone {
			return
		}
	}
	t.Fatalf("the copy of %s is never gone", id.Point)
}

// mustBe holds the vault tier to what can be restored from it, and to what anything is left of.
func (s Subject) mustBe(t *testing.T, when string, whole, all []catalogue.VaultCopyID) {
	t.Helper()
	for what, pair := range map[string][2][]catalogue.VaultCopyID{"can be restored": {ids(s.Whole()), whole}, "is left": {ids(s.All()), all}} {
		if got, want := fmt.Sprint(pair[0]), fmt.Sprint(pair[1]); got != want {
			t.Errorf("%s, %s %s, want %s", when, got, what, want)
		}
	}
}

func ids(copies []catalogue.VaultCopy) (found []catalogue.VaultCopyID) {
	for _, c := range copies {
		found = append(found, c.VaultCopyID)
	}
	slices.SortFunc(found, func(a, b catalogue.VaultCopyID) int {
		return slices.Compare([]string{a.Repository, a.Point}, []string{b.Repository, b.Point})
	})
	return found
}

func list(of ...catalogue.VaultCopy) []catalogue.VaultCopyID { return ids(of) }

func testWhole(t *testing.T, s Subject) {
	tier, c := s.Open(t), NewCopy("r1", "p1")
	first := mustCopy(t, tier, c)
	if first.Bytes <= 0 || first.Bytes != first.Total || first.Stored <= 0 {
		t.Errorf("a whole copy says %+v", first)
	}
	s.mustBe(t, "once it is whole", list(c), list(c))
	for _, asked := range []catalogue.Vaulting{tier, s.Open(t)} {
		if again, err := asked.Copy(t.Context(), c); err != nil || again != first {
			t.Errorf("asked again it says %+v, %v", again, err)
		}
	}
	s.mustBe(t, "once it was asked for again", list(c), list(c))
}

func testResumed(t *testing.T, s Subject) {
	c, last := NewCopy("r1", "p1"), catalogue.CopyProgress{}
	for looks := 1; !last.Whole; looks++ {
		if looks > 1 {
			s.mustBe(t, "while it is not whole", nil, list(c))
		}
		// Each look is another process.
		next, err := s.Open(t).Copy(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if next.Bytes < last.Bytes || next.Total > 0 && next.Bytes > next.Total || looks > mostLooks {
			t.Fatalf("after %d looks it is at %+v, and was at %+v", looks, next, last)
		}
		last = next
	}
	s.mustBe(t, "in the end", list(c), list(c))
}

func testDeleted(t *testing.T, s Subject) {
	tier, whole, part, none := s.Open(t), NewCopy("r1", "whole"), NewCopy("r1", "part"), NewCopy("r1", "none")
	mustCopy(t, tier, whole)
	if progress, err := tier.Copy(t.Context(), part); err != nil || progress.Whole {
		t.Fatalf("the suite wants copies that take several looks: %+v, %v", progress, err)
	}
	for range 2 {
		for _, c := range []catalogue.VaultCopy{whole, part, none} {
			mustDelete(t, s.Open(t), c.VaultCopyID)
		}
		s.mustBe(t, "after all was deleted", nil, nil)
	}
}

func testAnew(t *testing.T, s Subject) {
	tier, c := s.Open(t), NewCopy("r1", "p1")
	for range 3 {
		mustCopy(t, tier, c)
		s.mustBe(t, "once it was copied", list(c), list(c))
		mustDelete(t, tier, c.VaultCopyID)
		s.mustBe(t, "once it was deleted", nil, nil)
	}
}

func testOthers(t *testing.T, s Subject) {
	tier := s.Open(t)
	var left []catalogue.VaultCopy
	for n := range 6 {
		left = append(left, NewCopy("r1", fmt.Sprint("p", n)))
		mustCopy(t, tier, left[n])
	}
	for len(left) > 0 {
		mustDelete(t, tier, left[len(left)/2].VaultCopyID)
		left = slices.Delete(left, len(left)/2, len(left)/2+1)
		s.mustBe(t, "after one more was deleted", list(left...), list(left...))
	}
}

func testRepositories(t *testing.T, s Subject) {
	tier, one, other := s.Open(t), NewCopy("r1", "p"), NewCopy("r2", "p")
	mustCopy(t, tier, one)
	s.mustBe(t, "after the first", list(one), list(one))
	mustCopy(t, tier, other)
	mustDelete(t, tier, one.VaultCopyID)
	s.mustBe(t, "after the first was deleted", list(other), list(other))
}

func testTogether(t *testing.T, s Subject) {
	c := NewCopy("r1", "p1")
	together := func(call func(tier catalogue.Vaulting) (bool, error)) {
		t.Helper()
		var all sync.WaitGroup
		for range 8 {
			tier := s.Open(t)
			all.Go(func() {
				for range mostLooks {
					if done, err := call(tier); err != nil || done {
						if err != nil {
							t.Error(err)
						}
						return
					}
				}
				t.Error("there is no end")
			})
		}
		all.Wait()
	}
	together(func(tier catalogue.Vaulting) (bool, error) {
		progress, err := tier.Copy(t.Context(), c)
		return progress.Whole, err
	})
	s.mustBe(t, "after all have copied", list(c), list(c))
	together(func(tier catalogue.Vaulting) (bool, error) { return tier.Delete(t.Context(), c.VaultCopyID) })
	s.mustBe(t, "after all have deleted", nil, nil)
}

func testContext(t *testing.T, s Subject) {
	tier, c := s.Open(t), NewCopy("r1", "p1")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if progress, err := tier.Copy(ended, c); err == nil {
		t.Errorf("it answers %+v to who is not there any more", progress)
	}
	mustCopy(t, tier, c)
	if gone, err := tier.Delete(ended, c.VaultCopyID); err == nil || gone {
		t.Errorf("it answers %v, %v to who is not there any more", gone, err)
	}
	mustDelete(t, tier, c.VaultCopyID)
	s.mustBe(t, "in the end", nil, nil)
}

func testFaults(t *testing.T, s Subject) {
	for _, fault := range []Fault{Refused, Lost} {
		for at := range 12 {
			c := NewCopy("r1", fmt.Sprint("p", int(fault), "-", at))
			tier := &Faulty{Vaulting: s.Open(t)}
			calls := 0
			tier.Break(func(string, catalogue.VaultCopyID) Fault {
				if calls++; calls == at+1 {
					return fault
				}
				return Sound
			})
			until(t, func() (bool, error) { progress, err := tier.Copy(t.Context(), c); return progress.Whole, err })
			s.mustBe(t, fmt.Sprintf("with call %d failing, once it is whole", at), list(c), list(c))
			until(t, func() (bool, error) { return tier.Delete(t.Context(), c.VaultCopyID) })
			s.mustBe(t, fmt.Sprintf("with call %d failing, once it is deleted", at), nil, nil)
		}
	}
}

// until asks until all is done, whatever fails on the way.
func until(t *testing.T, call func() (bool, error)) {
	t.Helper()
	for range mostLooks {
		if done, err := call(); err == nil && done {
			return
		}
	}
	t.Fatal("there is no end")
}

func testHanging(t *testing.T, s Subject) {
	stuck, c := NewCopy("r1", "stuck"), NewCopy("r1", "p1")
	tier := &Faulty{Vaulting: s.Open(t)}
	tier.Break(func(_ string, id catalogue.VaultCopyID) Fault {
		if id == stuck.VaultCopyID {
			return Hanging
		}
		return Sound
	})
	waiting, cancel := context.WithCancel(t.Context())
	var hangs sync.WaitGroup
	hangs.Go(func() {
		if _, err := tier.Copy(waiting, stuck); !errors.Is(err, context.Canceled) {
			t.Errorf("what hangs ends with %v", err)
		}
	})
	mustCopy(t, tier, c)
	mustDelete(t, tier, c.VaultCopyID)
	cancel()
	hangs.Wait()
	s.mustBe(t, "in the end", nil, nil)
}
