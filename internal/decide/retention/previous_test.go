package retention

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// history builds the recovery points of a text: TIME is a good one of that slot, TIME? a partial one, and TIME! one that somebody has asked for.
func history(t testing.TB, text string) []Point {
	t.Helper()
	var points []Point
	for _, word := range strings.Fields(text) {
		made := at(t, strings.TrimRight(word, "?!"))
		p := Point{Name: word, Taken: made, Slot: made, Good: !strings.HasSuffix(word, "?")}
		if strings.HasSuffix(word, "!") {
			p.Slot = time.Time{}
		}
		points = append(points, p)
	}
	return points
}

func TestOnlyAGoodBackupTakesThePlaceOfItsPeriod(t *testing.T) {
	p := mustParse(t, body(hourly, "", []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"]`)}, rule("Daily", lifecycle("OperationalStore", "P30D"))))
	for _, tt := range []struct {
		name, before, slot string
		good               bool
		rule               string
	}{
		{"there is none yet", "", "2026-11-21T02:30:00Z", true, "Daily"},
		{"the first of the day", "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", true, "Daily"},
		{"the second, after a good one", "2026-11-21T02:30:00Z", "2026-11-21T06:30:00Z", true, "Default"},
		{"the first was partial: the next good one gets it too", "2026-11-21T02:30:00Z?", "2026-11-21T06:30:00Z", true, "Daily"},
		{"and the next after that does not", "2026-11-21T02:30:00Z? 2026-11-21T06:30:00Z", "2026-11-21T10:30:00Z", true, "Default"},
		{"a partial one that is the first gets it, for it may be all there will be", "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", false, "Daily"},
		{"a second partial one does not", "2026-11-21T02:30:00Z?", "2026-11-21T06:30:00Z", false, "Default"},
		{"a partial one after a good one does not", "2026-11-21T02:30:00Z", "2026-11-21T06:30:00Z", false, "Default"},
		{"one by hand takes no place", "2026-11-21T00:10:00Z!", "2026-11-21T02:30:00Z", true, "Daily"},
		{"the one before failed, and has left nothing", "2026-11-20T22:30:00Z", "2026-11-21T06:30:00Z", true, "Daily"},
		{"the order says nothing", "2026-11-21T02:30:00Z 2026-11-20T22:30:00Z", "2026-11-21T06:30:00Z", true, "Default"},
		{"what is of a later slot is not before it", "2026-11-21T02:30:00Z", "2026-11-20T22:30:00Z", true, "Daily"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slot := at(t, tt.slot)
			if got := p.Choose(slot, Previous(history(t, tt.before), slot, tt.good)); got.Rule.Name != tt.rule {
				t.Errorf("got %+v, want %s", got, tt.rule)
			}
		})
	}
}

// TestEachPeriodHasItsGoodPoint goes through years in which backups fail, and are partial, and are made by hand. Of each period that has a
// good one the first good one has the tag of the period or a longer one's, and no other good one; and of the partial ones at most one
// has it, which is before all good ones.
func TestEachPeriodHasItsGoodPoint(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe"}
	for _, zone := range zones {
		p := gfs(t, "R/2023-12-30T01:30:00+00:00/PT4H", zone)
		location, err := schedule.Zone(zone)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(6, uint64(len(zone)))) //nolint:gosec // The same every time, and no secret in them.
		rank := map[string]int{"Default": 0, "Daily": 1, "Weekly": 2, "Monthly": 3, "Yearly": 4}
		var points []Point
		goods, partials := map[string]int{}, map[string]int{}
		tagged := 0
		for slot, _ := p.Schedule.Next(time.Time{}); slot.Year() < 2029; slot, _ = p.Schedule.Next(slot) {
			made := Point{Name: slot.String(), Taken: slot, Slot: slot, Good: true}
			switch r.IntN(5) {
			case 0, 1:
				continue // it failed
			case 2, 3:
				made.Good = false
			}
			recent := points[max(0, len(points)-500):]
			choice := p.Choose(slot, Previous(recent, slot, made.Good))
			if choice.Rule.Name != "Default" {
				tagged++
			}
			points = append(points, p.Promise(made, choice, time.Time{}))
			local := slot.In(location)
			for i, key := range []string{"any", local.Format("2006-01-02"), "w" + sundayBefore(local), local.Format("2006-01"), local.Format("2006")} {
				if i == 0 {
					continue // the default rule is for no period
				}
				first := goods[key] == 0
				if made.Good {
					goods[key]++
				} else {
					first = first && partials[key] == 0
					partials[key]++
				}
				if got := rank[choice.Rule.Name]; first && got < i || got == i && !first {
					t.Fatalf("%s: %v, good %v, is of %s by rule %s (%s)", zone, local, made.Good, key, choice.Rule.Name, choice.Reason)
				}
			}
			if r.IntN(20) == 0 {
				points = append(points, Point{Name: "by hand" + slot.String(), Taken: slot.Add(time.Minute), Good: true, Operational: Tier{Present: true}})
			}
		}
		if tagged < 1000 {
			t.Errorf("%s: %d have a tag", zone, tagged)
		}
	}
}

// sundayBefore is found by walking, not by counting.
func sundayBefore(t time.Time) string {
	for t.Weekday() != time.Sunday {
		t = time.Date(t.Year(), t.Month(), t.Day()-1, 12, 0, 0, 0, t.Location())
	}
	return t.Format(time.DateOnly)
}

// gfs is a policy with daily, weekly, monthly and yearly tags.
func gfs(t testing.TB, interval, zone string) Policy {
	t.Helper()
	return mustParse(t, body(interval, zone, []string{
		tag("Yearly", 10, `"absoluteCriteria":["FirstOfYear"]`), tag("Monthly", 15, `"absoluteCriteria":["FirstOfMonth"]`),
		tag("Weekly", 20, `"absoluteCriteria":["FirstOfWeek"]`), tag("Daily", 25, `"absoluteCriteria":["FirstOfDay"]`),
	}, rule("Yearly", lifecycle("OperationalStore", "P360D"), lifecycle("VaultStore", "P10Y")), rule("Monthly", lifecycle("OperationalStore", "P180D"), lifecycle("VaultStore", "P5Y")),
		rule("Weekly", lifecycle("OperationalStore", "P12W")), rule("Daily", lifecycle("OperationalStore", "P30D"))))
}
