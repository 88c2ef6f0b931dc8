package metadbtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func testSecrets(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, group)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := []catalogue.Secret{
		{Owner: vault, Name: "B", Sealed: every}, {Owner: vault, Name: "a", Sealed: []byte("one"), Expires: at(9)}, {Owner: vault, Name: "b", Sealed: []byte{}},
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, s := range append([]catalogue.Secret{{Owner: vault, Name: "a", Sealed: []byte("old")}, {Owner: group, Name: "a", Sealed: []byte("another's")}}, want...) {
			if err := tx.PutSecret(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(what string) {
		t.Helper()
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.Secrets(t.Context(), vault)
			mustMatch(t, what, want, got)
			return err
		})
	}
	check("the secrets")
	mustPut(t, db, vault)
	check("the secrets, after their owner was replaced")
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteSecret(t.Context(), vault, "a") })
	want = []catalogue.Secret{want[0], want[2]}
	check("the secrets, without one")
}

func testBodies(t *testing.T, db catalogue.Database) {
	var control strings.Builder
	for r := range rune(0x20) {
		fmt.Fprintf(&control, `\u%04x`, r)
	}
	var every strings.Builder
	for r := rune(0x20); r <= 0x10FFFF; r += 1 + r/97 {
		if r != '"' && r != '\\' && (r < 0xD800 || r > 0xDFFF) {
			every.WriteRune(r)
		}
	}
	for _, body := range []string{
		`{}`, ` { "b" : 1 , "a" : 2, "b" : 3 }` + "\n", `{"nul":"\u0000","escaped":"\\u0000","half":"\ud800","pair":"\ud83d\ude00","emoji":"😀"}`,
		`{"big":123456789012345678901234567890,"exact":1.10,"exponent":1E400,"zero":-0,"tiny":1e-999,"max":9223372036854775808}`,
		`{"control":"` + control.String() + `"}`, `{"every":"` + every.String() + `"}`, "{\"bad\":\"\xff\xfe\xc3\"}", "\ufeff{}", "{\"raw\":\"\x00\"}",
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000), `'; DROP TABLE resources; --`, `$1 ? :a @b`, `\x41`, `\\x41`,
	} {
		raw := json.RawMessage(body)
		r := newResource(instance(1))
		r.Body, r.Facts = raw, raw
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			if _, err := tx.PutResource(t.Context(), r, catalogue.Condition{}); err != nil {
				return err
			}
			if err := tx.PutPoint(t.Context(), catalogue.Point{Instance: r.ID, Name: "p", Time: at(0), Body: raw}); err != nil {
				return err
			}
			if err := tx.PutJob(t.Context(), catalogue.Job{Vault: r.ID, Name: "j", Started: at(0), Body: raw}); err != nil {
				return err
			}
			if err := tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: r.ID, Instance: r.ID, Point: "p", Work: raw}); err != nil {
				return err
			}
			if _, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: r.ID, Name: "a", Kind: "k", Target: r.ID, Body: raw}); err != nil {
				return err
			}
			if err := tx.AppendAudit(t.Context(), catalogue.AuditEntry{Time: at(0), Before: raw, After: raw}); err != nil {
				return err
			}
			return tx.PutOperation(t.Context(), catalogue.Operation{ID: "o", Started: at(0), Result: raw, Error: raw})
		})
		found := mustGet(t, db, r.ID)
		mustView(t, db, func(v catalogue.View) error {
			p, _ := v.Point(t.Context(), r.ID, "p")
			j, _ := v.Job(t.Context(), r.ID, "j")
			o, _ := v.Operation(t.Context(), "o")
			d, _ := v.Deletion(t.Context(), r.ID, r.ID, "p", "")
			raised, _ := v.Alert(t.Context(), r.ID, "a")
			a, err := v.Audit(t.Context(), catalogue.AuditQuery{Limit: 1})
			if err != nil || len(a) != 1 {
				t.Fatalf("the audit log has %d entries (%v)", len(a), err)
			}
			for _, got := range []json.RawMessage{found.Body, found.Facts, p.Body, j.Body, o.Result, o.Error, d.Work, raised.Body, a[0].Before, a[0].After} {
				if string(got) != body {
					t.Errorf("%.60q is read as %.60q", body, got)
				}
			}
			return nil
		})
	}
}

func testLargeBody(t *testing.T, db catalogue.Database) {
	r := newResource(vault)
	r.Body = json.RawMessage(`"` + strings.Repeat("0123456789abcdef", 8<<16) + `"`)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		_, err := tx.PutResource(t.Context(), r, catalogue.Condition{})
		return err
	})
	if found := mustGet(t, db, vault); !bytes.Equal(found.Body, r.Body) {
		t.Errorf("a body of %d bytes is read as %d", len(r.Body), len(found.Body))
	}
}

func testHostileTexts(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	for _, text := range []string{"a\x00", "\xff", "\xc3\x28", strings.Repeat("a", 3000)} {
		id := catalogue.ID(text)
		for name, write := range map[string]func(tx catalogue.Tx) error{
			"a link's relation": func(tx catalogue.Tx) error {
				r := newResource(vault)
				r.Links = []catalogue.Link{{Relation: text}}
				_, err := tx.PutResource(t.Context(), r, catalogue.Condition{})
				return err
			},
			"a link's target": func(tx catalogue.Tx) error {
				r := newResource(vault)
				r.Links = []catalogue.Link{{Relation: "r", Target: text}}
				_, err := tx.PutResource(t.Context(), r, catalogue.Condition{})
				return err
			},
			"a point's name": func(tx catalogue.Tx) error {
				return tx.PutPoint(t.Context(), catalogue.Point{Instance: vault, Name: text})
			},
			"a job's name": func(tx catalogue.Tx) error {
				return tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: text})
			},
			"a job's instance": func(tx catalogue.Tx) error {
				return tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: "j", Instance: id})
			},
			"an operation": func(tx catalogue.Tx) error { return tx.PutOperation(t.Context(), catalogue.Operation{ID: text}) },
			"a point that is to be deleted": func(tx catalogue.Tx) error {
				return tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: vault, Instance: instance(1), Point: text})
			},
			"a cluster of a deletion": func(tx catalogue.Tx) error {
				return tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: vault, Instance: instance(1), Point: "p", Cluster: id})
			},
			"what is due": func(tx catalogue.Tx) error { return tx.PutDue(t.Context(), catalogue.Due{Instance: id}) },
			"a slot's job": func(tx catalogue.Tx) error {
				return tx.AddSlot(t.Context(), catalogue.Slot{Instance: vault, Job: text})
			},
			"an alert's target": func(tx catalogue.Tx) error {
				_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: "a", Kind: "k", Target: id})
				return err
			},
			"an alert's kind": func(tx catalogue.Tx) error {
				_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: "a", Kind: text})
				return err
			},
			"an alert's name": func(tx catalogue.Tx) error {
				_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: text, Kind: "k"})
				return err
			},
			"a reading's instance": func(tx catalogue.Tx) error {
				return tx.PutReading(t.Context(), catalogue.Reading{Vault: vault, Instance: id})
			},
			"a secret": func(tx catalogue.Tx) error {
				return tx.PutSecret(t.Context(), catalogue.Secret{Owner: vault, Name: text})
			},
		} {
			if err := update(t.Context(), db, write); coffer.CodeOf(err) != coffer.CodeInvalidInput {
				t.Errorf("%s of %.10q: %v", name, text, err)
			}
		}
		testHostileQueries(t, db, text)
	}
	for _, id := range []catalogue.ID{"", "/", "x", "/subscriptions", "/subscriptions/s/providers", "/subscriptions/ä"} {
		err := update(t.Context(), db, func(tx catalogue.Tx) error {
			_, err := tx.PutResource(t.Context(), newResource(id), catalogue.Condition{})
			return err
		})
		mustBe(t, coffer.CodeInvalidResourceID, err)
	}
}

func testHostileQueries(t *testing.T, db catalogue.Database, text string) {
	t.Helper()
	id := catalogue.ID(text)
	err := update(t.Context(), db, func(tx catalogue.Tx) error {
		_, err := tx.PutResource(t.Context(), newResource("/subscriptions/"+id), catalogue.Condition{})
		return err
	})
	mustBe(t, coffer.CodeInvalidResourceID, err)
	mustView(t, db, func(v catalogue.View) error {
		_, missing := v.Resource(t.Context(), id)
		mustBe(t, coffer.CodeResourceNotFound, missing)
		_, missing = v.Point(t.Context(), vault, text)
		mustBe(t, coffer.CodeResourceNotFound, missing)
		_, missing = v.Job(t.Context(), vault, text)
		mustBe(t, coffer.CodeResourceNotFound, missing)
		_, missing = v.Operation(t.Context(), text)
		mustBe(t, coffer.CodeResourceNotFound, missing)
		for _, q := range []catalogue.ResourceQuery{{Type: text}, {Under: id}, {Among: []catalogue.ID{id}}, {Linked: &catalogue.Link{Relation: text, Target: text}}} {
			q.Limit = 1
			if found, err := v.Resources(t.Context(), q); err != nil || len(found) > 0 {
				t.Errorf("%.10q finds %d (%v)", text, len(found), err)
			}
		}
		for _, q := range []catalogue.JobQuery{{Vault: id}, {Vault: vault, Instance: id}, {Vault: vault, Status: text}, {Vault: vault, Operation: text}, {Vault: vault, After: &catalogue.PointCursor{Name: text}}} {
			q.Limit = 1
			if found, err := v.Jobs(t.Context(), q); err != nil || len(found) > 0 {
				t.Errorf("%.10q finds %d jobs (%v)", text, len(found), err)
			}
		}
		if due, err := v.DueOf(t.Context(), id, vault); err != nil || len(due) > 0 {
			t.Errorf("%.10q has %d that are due (%v)", text, len(due), err)
		}
		if found, err := v.OpenJobs(t.Context(), catalogue.OpenJobQuery{Instances: []catalogue.ID{id}, Operations: []string{text}, Limit: 1}); err != nil || len(found) > 0 {
			t.Errorf("%.10q finds %d open jobs (%v)", text, len(found), err)
		}
		_, missing = v.Alert(t.Context(), vault, text)
		mustBe(t, coffer.CodeResourceNotFound, missing)
		_, missing = v.Deletion(t.Context(), vault, id, text, "")
		mustBe(t, coffer.CodeResourceNotFound, missing)
		for _, q := range []catalogue.AlertQuery{
			{Vault: id}, {Vault: vault, Target: id}, {Vault: vault, Kind: text}, {Vault: vault, State: catalogue.AlertState(text)}, {Vault: vault, After: &catalogue.PointCursor{Name: text}},
		} {
			q.Limit = 1
			if found, err := v.Alerts(t.Context(), q); err != nil || len(found) > 0 {
				t.Errorf("%.10q finds %d alerts (%v)", text, len(found), err)
			}
		}
		_, err := v.Points(t.Context(), catalogue.PointQuery{Instance: vault, After: &catalogue.PointCursor{Name: text}, Limit: 1})
		_, expiring := v.Expiring(t.Context(), at(0), text, 1)
		_, due := v.Due(t.Context(), catalogue.DueQuery{After: &catalogue.Due{Instance: id}, Limit: 1})
		_, deletions := v.Deletions(t.Context(), catalogue.DeletionQuery{Vault: vault, After: &catalogue.Deletion{Instance: id, Point: text}, Limit: 1})
		_, inCluster := v.Deletions(t.Context(), catalogue.DeletionQuery{Cluster: id, Limit: 1})
		_, readings := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: vault, After: &catalogue.Reading{Instance: id}, Limit: 1})
		return errors.Join(err, expiring, due, deletions, inCluster, readings)
	})
}

func testLongestTexts(t *testing.T, db catalogue.Database) {
	longest := catalogue.ID("/subscriptions/" + strings.Repeat("s", 260))
	for len(longest) < 1700 {
		longest = longest.Child("providers/Microsoft.X/things", strings.Repeat("n", 260))
	}
	r := newResource(longest)
	r.Links = []catalogue.Link{{Relation: strings.Repeat("r", 260), Target: strings.Repeat("t", 2048)}}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if _, err := tx.PutResource(t.Context(), r, catalogue.Condition{}); err != nil {
			return err
		}
		id, name := catalogue.ID(randomText(2048)), strings.Repeat("n", 260)
		if _, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: longest, Name: name, Kind: randomText(260), Target: id}); err != nil {
			return err
		}
		return errors.Join(
			tx.PutJob(t.Context(), catalogue.Job{Vault: longest, Name: name, Instance: id, Started: at(0)}),
			tx.PutDue(t.Context(), catalogue.Due{Instance: longest, At: at(0)}),
			tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: longest, Instance: id, Point: randomText(260), Cluster: id}),
			tx.PutReading(t.Context(), catalogue.Reading{Vault: longest, Instance: id}),
		)
	})
}

// randomText does not compress.
func randomText(length int) string {
	var text strings.Builder
	for n := uint64(88172645463325252); text.Len() < length; {
		n ^= n << 13
		n ^= n >> 7
		n ^= n << 17
		text.WriteByte('a' + byte(n%26))
	}
	return text.String()
}

func testLimits(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	mustView(t, db, func(v catalogue.View) error {
		for limit, possible := range map[int]bool{-1: false, 0: false, 1: true, 1000: true, 1001: false} {
			_, resources := v.Resources(t.Context(), catalogue.ResourceQuery{Limit: limit})
			_, points := v.Points(t.Context(), catalogue.PointQuery{Instance: vault, Limit: limit})
			_, jobs := v.Jobs(t.Context(), catalogue.JobQuery{Vault: vault, Limit: limit})
			_, entries := v.Audit(t.Context(), catalogue.AuditQuery{Limit: limit})
			_, expiring := v.Expiring(t.Context(), at(0), "", limit)
			_, due := v.Due(t.Context(), catalogue.DueQuery{Limit: limit})
			_, slots := v.Slots(t.Context(), catalogue.SlotQuery{Instance: vault, Limit: limit})
			_, deletions := v.Deletions(t.Context(), catalogue.DeletionQuery{Vault: vault, Limit: limit})
			_, alerts := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: vault, Limit: limit})
			_, readings := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: vault, Limit: limit})
			_, ended := v.EndedJobs(t.Context(), catalogue.EndedJobQuery{Limit: limit})
			for _, err := range []error{resources, points, jobs, entries, expiring, due, slots, deletions, alerts, readings, ended} {
				if (err == nil) != possible {
					t.Errorf("a page of %d: %v", limit, err)
				}
			}
		}
		return nil
	})
}
