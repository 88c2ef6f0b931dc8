package retention

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shownChanges are changes as NAME RULE BEFORE>AFTER, with what is deleted.
func shownChanges(changes []Change) string {
	day := func(p Point) string {
		if p.Expires().IsZero() {
			return "ever"
		}
		return p.Expires().Format("01-02")
	}
	var all []string
	for _, c := range changes {
		text := fmt.Sprintf("%s %s %s>%s", c.After.Name, c.After.Rule, day(c.Before), day(c.After))
		if c.Deletes {
			text += " deleted"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestWhatAChangeOfAPolicyDoes(t *testing.T) {
	pt := func(name string, made, expires int, change ...func(*Point)) Point {
		return operational(t, name, made, expires, change...)
	}
	// Slots are at noon; 2026-11-21 is a Saturday.
	daily := func(keep string, more ...string) Policy {
		return mustParse(t, body("R/2026-01-01T12:00:00Z/PT12H", "", []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"]`)}, rule("Daily", append([]string{lifecycle("OperationalStore", keep, more[:min(1, len(more))]...)}, more[min(1, len(more)):]...)...)))
	}
	byHand := func(rule string) func(*Point) {
		return func(p *Point) { p.Slot, p.Rule = time.Time{}, rule }
	}
	toVault := []string{copyAfter(`"ImmediateCopyOption"`), lifecycle("VaultStore", "P60D")}
	for _, tt := range []struct {
		name          string
		policy        Policy
		points        []Point
		adopt         bool
		before, after Terms
		want          string
		// reason is that of the first point.
		reason string
	}{
		{"they keep what they were promised", daily("P2D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, false, Terms{}, Terms{}, "a Daily 11-25>11-25, b Daily 11-27>11-27", "kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"a shorter time deletes", daily("P2D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{}, Terms{}, "a Daily 11-25>11-20 deleted, b Daily 11-27>11-22",
			"expires: its time was up on 2026-11-20 12:00 UTC, by rule Daily (tag Daily: it is the first of 2026-11-18). Before: kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"a shorter time deletes all but the newest good one", daily("P1D"), []Point{pt("a", -5, 2), pt("b", -4, 3), pt("c", -3, 4, partial)}, true, Terms{}, Terms{}, "a Daily 11-23>11-17 deleted, b Daily 11-24>11-18, c Daily 11-25>11-19", ""},
		{"a longer time", daily("P30D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{}, Terms{}, "a Daily 11-25>12-18, b Daily 11-27>12-20", ""},
		{"what has to go anyway is not the change's", daily("P2D"), []Point{pt("a", -8, -1), pt("b", -1, 6)}, true, Terms{}, Terms{}, "a Daily 11-20>11-15, b Daily 11-27>11-22", ""},
		{"the tag is that of the new policy", gfs(t, "R/2026-01-01T12:00:00Z/P1D", ""), []Point{pt("a", -21, 4), pt("b", -20, 6), pt("c", -6, 1), pt("d", -5, 1)}, true, Terms{}, Terms{},
			"a Yearly 11-25>10-31, b Monthly 11-27>11-01, c Weekly 11-22>02-07, d Daily 11-22>12-16", ""},
		{"those by hand keep the rule of their name", daily("P30D"), []Point{pt("a", -3, 4, byHand("daily")), pt("b", -1, 6, byHand("Monthly"))}, true, Terms{}, Terms{}, "a Daily 11-25>12-18, b Default 11-27>11-27", ""},
		{"an immutable vault shortens nothing", daily("P2D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{}, Terms{Immutable: true}, "a Daily 11-25>11-25, b Daily 11-27>11-27", ""},
		{"and lengthens", daily("P30D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{}, Terms{Immutable: true}, "a Daily 11-25>12-18, b Daily 11-27>12-20", ""},
		{"copies are made that the new policy wants", daily("P7D", toVault...), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{}, Terms{}, "a Daily 11-25>01-17, b Daily 11-27>01-19",
			"operational tier: kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: it is the first of 2026-11-18); vault tier: to be copied now. Before: kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"copies that there are keep what they were promised by a policy without a vault tier", daily("P7D"), []Point{pt("a", -3, 4, copied(t, -2, 40)), pt("b", -1, 6, wanted(t, 1, 50))}, true, Terms{}, Terms{}, "a Daily 12-31>12-31, b Daily 01-10>11-27", ""},
		{"a copy that an immutable vault has promised is made", daily("P7D"), []Point{pt("b", -1, 6, wanted(t, 1, 50))}, true, Terms{}, Terms{Immutable: true}, "b Daily 01-10>01-10", ""},
		{"a copy is kept from when it was made", daily("P7D", toVault...), []Point{pt("a", -3, 4, copied(t, -2, 40))}, true, Terms{}, Terms{}, "a Daily 12-31>01-18", ""},
		{"fewer are kept at least", daily("P2D"), []Point{pt("a", -9, -2), pt("b", -8, -1), pt("c", -1, 6)}, false, Terms{KeepAtLeast: 3}, Terms{KeepAtLeast: 2}, "a Daily 11-19>11-19 deleted, b Daily 11-20>11-20, c Daily 11-27>11-27", ""},
		{"what is held is not deleted", daily("P2D"), []Point{pt("a", -3, 4, func(p *Point) { p.Held = "case 7" }), pt("b", -1, 6)}, true, Terms{}, Terms{}, "a Daily 11-25>11-20, b Daily 11-27>11-22", ""},
		{"nothing is while protection is stopped", daily("P2D"), []Point{pt("a", -3, 4), pt("b", -1, 6)}, true, Terms{Stopped: true}, Terms{Stopped: true}, "a Daily 11-25>11-20, b Daily 11-27>11-22", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.before.Now, tt.after.Now = at(t, now), at(t, now)
			tt.policy.Adopt = tt.adopt
			got := tt.policy.PreviewChange(tt.points, tt.before, tt.after)
			if diff := cmp.Diff(tt.want, shownChanges(got)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if tt.reason != "" && got[0].Reason != tt.reason {
				t.Errorf("reason\n%s, want\n%s", got[0].Reason, tt.reason)
			}
		})
	}
}

func TestAnImmutableVaultNeverShortens(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 4)) //nolint:gosec // The same every time, and no secret in them.
	policies := []Policy{
		gfs(t, "R/2026-01-01T12:00:00Z/P1D", ""),
		mustParse(t, body("R/2026-01-01T12:00:00Z/P1D", "", nil)),
		mustParse(t, body("R/2026-01-01T12:00:00Z/P1D", "", []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"]`)}, rule("Daily", lifecycle("OperationalStore", "P1D", copyAfter(`"CopyOnExpiryOption"`)), lifecycle("VaultStore", "P1D")))),
	}
	forever := at(t, "9999-01-01T00:00:00Z")
	end := func(t time.Time) time.Time {
		if t.IsZero() {
			return forever
		}
		return t
	}
	for n := range 3_000 {
		points, terms := random(t, r)
		terms.Immutable = true
		p := policies[n%len(policies)]
		p.Adopt = true
		changes := p.PreviewChange(points, terms, terms)
		for _, c := range changes {
			before, after := c.Before, c.After
			if end(after.Operational.Expires).Before(end(before.Operational.Expires)) || before.Awaited() && !after.Awaited() ||
				(before.Vault.Present || before.Awaited()) && end(after.Vault.Expires).Before(end(before.Vault.Expires)) ||
				c.Deletes && terms.Now.Before(end(before.Expires())) {
				t.Fatalf("%d: %+v", n, c)
			}
		}
	}
}

// TestWhatIsShownIsWhatIsDeleted: what a change is said to delete is what is left less once it is made.
func TestWhatIsShownIsWhatIsDeleted(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 5)) //nolint:gosec // The same every time, and no secret in them.
	p := gfs(t, "R/2026-01-01T12:00:00Z/P1D", "")
	p.Adopt = true
	for n := range 2_000 {
		points, terms := random(t, r)
		stayed := names(settle(points, terms))
		left := names(settle(p.Adopted(points, terms.Immutable), terms))
		for _, c := range p.PreviewChange(points, terms, terms) {
			if name := c.Before.Name; c.Deletes != (stayed[name] && !left[name]) {
				t.Fatalf("%d: %+v", n, c)
			}
		}
	}
}
