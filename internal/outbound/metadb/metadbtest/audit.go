package metadbtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

func newEntry(n int, target catalogue.ID) catalogue.AuditEntry {
	return catalogue.AuditEntry{
		Time: at(n), Principal: fmt.Sprintf("p%d", n%2), Name: "Somebody", Action: "Microsoft.DataProtection/backupVaults/write", Target: target,
		Request: fmt.Sprint(n), Remote: "192.0.2.1", Status: 200 + n, Code: "C", Before: json.RawMessage(`{"a":1}`), After: json.RawMessage(`{"a":2}`),
	}
}

func mustAppend(t *testing.T, db catalogue.Database, entries ...catalogue.AuditEntry) {
	t.Helper()
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.AppendAudit(t.Context(), entries...) })
}

func audit(t *testing.T, db catalogue.Database, q catalogue.AuditQuery) []catalogue.AuditEntry {
	t.Helper()
	var found []catalogue.AuditEntry
	mustView(t, db, func(v catalogue.View) error {
		found = pages(t, q.Limit, func(before *int64) ([]catalogue.AuditEntry, error) {
			if before != nil {
				q.Before = *before
			}
			return v.Audit(t.Context(), q)
		}, func(e catalogue.AuditEntry) int64 { return e.Sequence })
		return nil
	})
	for i := range found[min(1, len(found)):] {
		if found[i].Sequence <= found[i+1].Sequence {
			t.Errorf("entry %d is followed by %d", found[i].Sequence, found[i+1].Sequence)
		}
	}
	return found
}

func testAuditPages(t *testing.T, db catalogue.Database) {
	var want []catalogue.AuditEntry
	for n := range 13 {
		// The order is that of writing, not of time.
		want = append(want, newEntry((n*5)%13, vault))
		mustAppend(t, db, want[n])
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 5, 13, 100} {
		got := audit(t, db, catalogue.AuditQuery{Limit: limit})
		for i := range got {
			if got[i].Sequence <= 0 {
				t.Errorf("the sequence is %d", got[i].Sequence)
			}
			got[i].Sequence = 0
		}
		mustMatch(t, fmt.Sprintf("%d at a time", limit), want, got)
	}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			if err := update(t.Context(), db, func(tx catalogue.Tx) error { return tx.AppendAudit(t.Context(), newEntry(n, vault)) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := audit(t, db, catalogue.AuditQuery{Limit: 7}); len(got) != 17 {
		t.Errorf("%d entries are there, want 17", len(got))
	}
}

// testManyEntries writes many in one call, while others write as well: they are in their order, and each is found by its own target.
func testManyEntries(t *testing.T, db catalogue.Database) {
	var all sync.WaitGroup
	for writer := range 3 {
		all.Go(func() {
			var entries []catalogue.AuditEntry
			for n := range several {
				entries = append(entries, newEntry(writer, instance(writer*several+n)))
				entries[n].Request = fmt.Sprint(writer, " ", n)
			}
			if err := update(t.Context(), db, func(tx catalogue.Tx) error { return tx.AppendAudit(t.Context(), entries...) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	request := func(e catalogue.AuditEntry) string { return e.Request }
	written := make([][]string, 3)
	for _, e := range audit(t, db, catalogue.AuditQuery{Under: vault, Limit: 1000}) {
		writer := int(e.Request[0] - '0')
		written[writer] = append(written[writer], e.Request)
	}
	for writer, got := range written {
		var want []string
		for n := range several {
			want = append(want, fmt.Sprint(writer, " ", several-1-n))
			own := names(audit(t, db, catalogue.AuditQuery{Under: instance(writer*several + n), Limit: 10}), request)
			mustMatch(t, "those of one instance", []string{fmt.Sprint(writer, " ", n)}, own)
		}
		mustMatch(t, "the entries of one call, the last one first", want, got)
	}
}

func testAuditQueries(t *testing.T, db catalogue.Database) {
	targets := []catalogue.ID{"", "/subscriptions/s1", group, group + "2", vault, vault + "2", instance(1), instance(11), catalogue.ID(strings.ToUpper(string(instance(1))))}
	var all []catalogue.AuditEntry
	for n, target := range targets {
		all = append(all, newEntry(n, target))
	}
	mustAppend(t, db, all...)
	slices.Reverse(all)
	for _, q := range []catalogue.AuditQuery{
		{}, {Under: "/subscriptions/S1"}, {Under: group}, {Under: vault}, {Under: instance(1)}, {Under: instance(2)}, {Under: "/subscriptions/s"},
		{Principal: "p1"}, {Principal: "nobody"}, {Under: vault, Principal: "p0"}, {From: at(3), To: at(5)}, {Under: group, From: at(5)}, {To: at(0)},
	} {
		var want []string
		for _, e := range all {
			if e.Target.Within(q.Under) && (q.Principal == "" || e.Principal == q.Principal) &&
				(q.From.IsZero() || !e.Time.Before(q.From)) && (q.To.IsZero() || !e.Time.After(q.To)) {
				want = append(want, e.Request)
			}
		}
		q.Limit = 2
		got := names(audit(t, db, q), func(e catalogue.AuditEntry) string { return e.Request })
		mustMatch(t, fmt.Sprintf("%+v", q), want, got)
	}
}

// testHostileAudit has texts that come from tokens and requests of strangers.
func testHostileAudit(t *testing.T, db catalogue.Database) {
	long := strings.Repeat("ä", 1<<20)
	hostile := []catalogue.AuditEntry{
		{Principal: "a\x00b", Name: "\xff\xfe", Action: "\x00", Target: "\x00/\xff", Request: "\x00", Remote: "\xc3", Code: "\x00"},
		{Principal: long, Name: long, Action: long, Target: catalogue.ID(long), Request: long, Remote: long, Code: long},
		{Target: catalogue.ID(strings.Repeat("/a", 1024)), Before: json.RawMessage("\x00\xff"), After: json.RawMessage("not JSON")},
		{Target: "words"}, {Target: "/"}, {Target: "//"}, {},
	}
	for _, e := range hostile {
		e.Time = at(0)
		mustAppend(t, db, e)
	}
	got := audit(t, db, catalogue.AuditQuery{Limit: 100})
	if len(got) != len(hostile) {
		t.Fatalf("%d of %d entries are there", len(got), len(hostile))
	}
	slices.Reverse(got)
	if e := got[0]; e.Principal != "a\uFFFDb" || e.Name != "\uFFFD" || e.Target != "\uFFFD/\uFFFD" {
		t.Errorf("what is not text is kept as %+v", e)
	}
	if e := got[1]; len(e.Name) < 1000 || len(e.Name) > 2048 || !strings.HasPrefix(e.Name, "ää") || !strings.HasSuffix(e.Name, "ä…") {
		t.Errorf("a text of %d bytes is kept as %d: %.20q", len(long), len(e.Name), e.Name)
	}
	if e := got[2]; string(e.Before) != "\x00\xff" || string(e.After) != "not JSON" {
		t.Errorf("what is not JSON is kept as %q and %q", e.Before, e.After)
	}
	for _, q := range []catalogue.AuditQuery{{Principal: "a\x00b", Limit: 100}, {Principal: long, Limit: 100}, {Under: "\x00/\xff", Limit: 100}, {Under: "/a/a", Limit: 100}} {
		if got := audit(t, db, q); len(got) != 1 {
			t.Errorf("%.20q under %.20q finds %d entries, want 1", q.Principal, q.Under, len(got))
		}
	}
}
