// Package metadbtest is the conformance suite of catalogue.Database: every implementation passes it.
package metadbtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Run runs the suite. open opens a new, empty database each time, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) catalogue.Database) {
	t.Helper()
	tests := map[string]func(*testing.T, catalogue.Database){
		"a resource is read as it was written":                        testResource,
		"versions grow, and conditions hold":                          testConditions,
		"what is not there is ResourceNotFound":                       testMissing,
		"ids are found in any spelling":                               testSpelling,
		"of many creators of one resource exactly one wins":           testOneCreator,
		"no update of many writers is lost":                           testNoLostUpdate,
		"two who look and then write do not both win":                 testWriteSkew,
		"resources come in the order of their keys, page by page":     testResourcePages,
		"a scope is not its neighbour, whatever letters it has":       testScopes,
		"a random tree is listed as a simple search finds it":         testRandomTree,
		"links find resources, and follow their changes":              testLinks,
		"what belongs to a resource goes with it":                     testCascades,
		"recovery points come newest first, page by page":             testPointPages,
		"times are bounded to the microsecond, in UTC":                testTimeBounds,
		"a recovery point is replaced and deleted":                    testPointWrites,
		"recovery points without their bodies are all there":          testBarePoints,
		"recovery points have another mark once any has changed":      testPointMarks,
		"what is to be copied to the vault tier is found by its time": testCopiesDue,
		"instances are found by what expires of them":                 testExpiring,
		"what is due comes earliest first, page by page":              testDue,
		"slots come newest first, and old ones are deleted":           testSlots,
		"of many who deal with one slot exactly one does":             testOneSlot,
		"deletions are found by their vault and by their cluster":     testDeletions,
		"meter readings come day by day, one of a day":                testReadings,
		"what recovery points take up is summed by instance":          testTotals,
		"an alert counts while it is open, and then another is made":  testAlerts,
		"alerts are selected, the last one first, page by page":       testAlertPages,
		"of an alert that many raise there is one, and it counts":     testOneAlert,
		"a resource is moved with all that belongs to it":             testMove,
		"a vault is moved with all that it has written":               testMoveVault,
		"of many who move to one id exactly one does":                 testOneMover,
		"who takes turns is not run again for others who do":          testTurns,
		"many rows are written in one call":                           testMany,
		"many recovery points are deleted in one call":                testDeletePoints,
		"many entries of the audit log are written in one call":       testManyEntries,
		"one of many that cannot be written is an error":              testOneOfMany,
		"open jobs are found by their instances":                      testOpenJobsOfInstances,
		"jobs are selected, newest first, page by page":               testJobPages,
		"jobs and resources are counted as they are selected":         testCounts,
		"of what there may be so many of, no two take the last place": testLastPlace,
		"a job is replaced": testJobWrites,
		"open jobs are found by their cluster, oldest first":          testOpenJobs,
		"ended jobs are found earliest first, and deleted":            testEndedJobs,
		"a job is needed as a simple search says":                     testNeededJobs,
		"an operation is found by its request":                        testOperationOf,
		"of many who begin one request exactly one does":              testOneRequest,
		"operations that ended long ago are deleted, and no others":   testOldOperations,
		"an operation is read as it was written":                      testOperations,
		"the audit log grows, newest first, page by page":             testAuditPages,
		"the audit log is selected by scope, principal and time":      testAuditQueries,
		"whatever an audit entry says, it is kept":                    testHostileAudit,
		"old entries of the audit log are deleted, and no others":     testOldAudit,
		"secrets are kept by name":                                    testSecrets,
		"bodies are kept byte for byte":                               testBodies,
		"a body of several megabytes is kept":                         testLargeBody,
		"texts that cannot be kept are refused, and never found":      testHostileTexts,
		"texts of the greatest length are kept":                       testLongestTexts,
		"pages have bounds":                                           testLimits,
		"a transaction reads what it wrote":                           testOwnWrites,
		"nobody sees what is not committed":                           testIsolation,
		"a view stays on one state":                                   testSnapshot,
		"an error writes nothing":                                     testRollbackOnError,
		"a panic writes nothing, and the database goes on":            testRollbackOnPanic,
		"a cancelled update writes nothing, and the database goes on": testCancelled,
		"who is cancelled while waiting for a writer stops waiting":   testCancelledWait,
		"readers go on beside a writer":                               testReadersBesideWriter,
		"a view does not write":                                       testViewDoesNotWrite,
		"a database that is closed says so, also twice":               testClosed,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

const (
	group = catalogue.ID("/subscriptions/s1/resourceGroups/rg")
	vault = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
)

// at is a time with as many digits as are kept.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, seconds, 123456000, time.UTC)
}

func newResource(id catalogue.ID) catalogue.Resource {
	return catalogue.Resource{
		ID: id, Body: json.RawMessage(`{"location":"lab"}`), Facts: json.RawMessage(`{"properties":{"provisioningState":"Succeeded"}}`),
		Created: catalogue.Stamp{By: "somebody", At: at(0)}, Changed: catalogue.Stamp{By: "somebody", At: at(0)},
	}
}

func mustUpdate(t *testing.T, db catalogue.Database, do func(tx catalogue.Tx) error) {
	t.Helper()
	if err := update(t.Context(), db, do); err != nil {
		t.Fatal(err)
	}
}

func update(ctx context.Context, db catalogue.Database, do func(tx catalogue.Tx) error) error {
	return db.Update(ctx, func(_ context.Context, tx catalogue.Tx) error { return do(tx) })
}

func mustPut(t *testing.T, db catalogue.Database, ids ...catalogue.ID) {
	t.Helper()
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, id := range ids {
			if _, err := tx.PutResource(t.Context(), newResource(id), catalogue.Condition{}); err != nil {
				return err
			}
		}
		return nil
	})
}

func mustView(t *testing.T, db catalogue.Database, do func(v catalogue.View) error) {
	t.Helper()
	if err := db.View(t.Context(), func(_ context.Context, v catalogue.View) error { return do(v) }); err != nil {
		t.Fatal(err)
	}
}

// get reads a resource in a transaction of its own.
func get(t *testing.T, db catalogue.Database, id catalogue.ID) (found catalogue.Resource, err error) {
	t.Helper()
	err = db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		found, err = v.Resource(ctx, id)
		return err
	})
	return found, err
}

func mustGet(t *testing.T, db catalogue.Database, id catalogue.ID) catalogue.Resource {
	t.Helper()
	found, err := get(t, db, id)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustBe(t *testing.T, code coffer.Code, err error) {
	t.Helper()
	if coffer.CodeOf(err) != code {
		t.Errorf("the error is %v with code %q, want %q", err, coffer.CodeOf(err), code)
	}
}

// mustMatch compares; no rows are no rows, whether they are nil or not.
func mustMatch(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// pages gathers all rows of a list, asking for limit at a time.
func pages[T, C any](t *testing.T, limit int, ask func(after *C) ([]T, error), cursor func(T) C) []T {
	t.Helper()
	var all []T
	var after *C
	for {
		page, err := ask(after)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("a page has %d rows, asked for were %d", len(page), limit)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		next := cursor(page[len(page)-1])
		after = &next
		if len(all) > 100_000 {
			t.Fatal("the pages do not end")
		}
	}
}

func names[T any](rows []T, name func(T) string) []string {
	var found []string
	for _, row := range rows {
		found = append(found, name(row))
	}
	return found
}

// instance is a backup instance of the vault.
func instance(n int) catalogue.ID { return vault.Child("backupInstances", fmt.Sprintf("i%d", n)) }

// errStop is a use case's own.
var errStop = errors.New("the use case says no")
