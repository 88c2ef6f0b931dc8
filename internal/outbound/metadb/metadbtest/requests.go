package metadbtest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func testOperationOf(t *testing.T, db catalogue.Database) {
	operation := func(id, request string, started int) catalogue.Operation {
		return catalogue.Operation{ID: id, Resource: instance(1), Kind: "Restore", By: "somebody", Status: catalogue.OperationSucceeded, Started: at(started), Ended: at(started), Request: request}
	}
	all := []catalogue.Operation{operation("o1", "a", 1), operation("o2", "a", 3), operation("o3", "a", 3), operation("o4", "b", 5), operation("o5", "", 6)}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, o := range all {
			if err := tx.PutOperation(t.Context(), o); err != nil {
				return err
			}
		}
		return nil
	})
	of := func(request string, since time.Time) (found catalogue.Operation, err error) {
		mustView(t, db, func(v catalogue.View) error {
			found, err = v.OperationOf(t.Context(), request, since)
			return nil
		})
		return found, err
	}
	for _, c := range []struct {
		request string
		since   int
		want    int
	}{{"a", 0, 2}, {"a", 3, 2}, {"b", 5, 3}} {
		got, err := of(c.request, at(c.since))
		if err != nil {
			t.Error(err)
		}
		mustMatch(t, fmt.Sprintf("%+v", c), all[c.want], got)
	}
	for request, since := range map[string]int{"a": 4, "b": 6, "c": 0, "A": 0, "": 0, "a\x00": 0} {
		_, err := of(request, at(since))
		mustBe(t, coffer.CodeResourceNotFound, err)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		o := all[2]
		o.Request = ""
		return tx.PutOperation(t.Context(), o)
	})
	if got, err := of("a", at(0)); err != nil || got.ID != "o2" {
		t.Errorf("after one has another request: %+v, %v", got, err)
	}
	err := update(t.Context(), db, func(tx catalogue.Tx) error {
		return tx.PutOperation(t.Context(), operation("long", strings.Repeat("x", 261), 1))
	})
	mustBe(t, coffer.CodeInvalidInput, err)
}

// testOneRequest has many look whether a request was made before, and begin it if it was not.
func testOneRequest(t *testing.T, db catalogue.Database) {
	const writers, requests = 6, 5
	var all sync.WaitGroup
	answers := make([][writers]string, requests)
	for writer := range writers {
		all.Go(func() {
			for n := range requests {
				err := update(t.Context(), db, func(tx catalogue.Tx) error {
					found, err := tx.OperationOf(t.Context(), fmt.Sprint("r", n), at(0))
					if err == nil {
						answers[n][writer] = found.ID
						return nil
					}
					if coffer.CodeOf(err) != coffer.CodeResourceNotFound {
						return err
					}
					answers[n][writer] = fmt.Sprint("o", writer, "-", n)
					return tx.PutOperation(t.Context(), catalogue.Operation{ID: answers[n][writer], Started: at(writer), Request: fmt.Sprint("r", n)})
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for n, got := range answers {
		for _, answer := range got {
			if answer != got[0] || answer == "" {
				t.Errorf("request %d has begun %v", n, got)
				break
			}
		}
	}
}
