package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// simulate is what is there at the ends of days by the most obvious way: every run of the schedule is made, and after each one all points
// are judged, and what is decided is carried out.
func simulate(p Policy, points []Point, from time.Time, ends []time.Time, terms Terms) [][]string {
	var answer [][]string
	carry := func() {
		for range 3 { // a copy, what it lets go of, and nothing more
			// Copies are made in time, also where nobody looks for longer than they are kept.
			points = slices.Clone(points)
			for i, pt := range points {
				if due := pt.CopyDue(); !due.IsZero() && !due.After(terms.Now) {
					points[i].Vault.Present, points[i].Vault.Since = true, due
				}
			}
			var left []Point
			for i, d := range Judge(points, terms) {
				pt := points[i]
				pt.Operational.Present = pt.Operational.Present && d.Operational != Expire
				pt.Vault.Present = pt.Vault.Present && d.Vault != Expire
				if pt.There() {
					left = append(left, pt)
				}
			}
			points = left
		}
	}
	slot, _ := p.Timetable().Next(from.Add(-1))
	for _, end := range ends {
		for ; slot.Before(end); slot, _ = p.Timetable().Next(slot) {
			points = append(points, p.Promise(Point{Name: slot.UTC().Format(time.RFC3339), Taken: slot, Slot: slot, Good: true}, p.Choose(slot, Previous(points, slot, true)), PreviousCopy(points, slot, true)))
			terms.Now = slot
			carry()
		}
		terms.Now = end
		carry()
		answer = append(answer, shortly(points))
	}
	return answer
}

// shortly are points as NAME RULE TIERS, sorted.
func shortly(points []Point) []string {
	var all []string
	for _, p := range points {
		tiers := ""
		if p.Operational.Present {
			tiers += "O"
		}
		if p.Vault.Present {
			tiers += "V"
		}
		all = append(all, fmt.Sprintf("%s %s %s", p.Name, p.Rule, tiers))
	}
	slices.Sort(all)
	return all
}

func points(d Day) []Point {
	var all []Point
	for _, s := range d.Points {
		all = append(all, s.Point)
	}
	return all
}

func TestDaysToComeAreWhatASimulationComesTo(t *testing.T) {
	vaultDaily := []string{tag("Daily", 10, `"absoluteCriteria":["FirstOfDay"]`)}
	for _, tt := range []struct {
		name   string
		policy Policy
		days   int
	}{
		{"twice a day with all tags", gfs(t, "R/2026-01-01T01:30:00+00:00/PT12H", "Europe/Berlin"), 200},
		{"daily, where midnight is left out", gfs(t, "R/2026-01-01T03:00:00+00:00/P1D", "America/Santiago"), 250},
		{"daily at midnight", gfs(t, "R/2026-01-01T00:00:00/P1D", "America/Havana"), 250},
		{"weekly, kept for a day", mustParse(t, strings.Replace(body("R/2026-01-01T02:30:00/P1W", "Europe/Berlin", nil), "P7D", "P1D", 1)), 200},
		{"each month, kept for a week", mustParse(t, body("R/2026-01-31T02:30:00/P1M", "Europe/Berlin", nil)), 250},
		{"each five hours", mustParse(t, body("R/2026-01-01T02:30:00/PT5H", "Asia/Kathmandu", vaultDaily, rule("Daily", lifecycle("OperationalStore", "P2D", copyAfter(`"CopyOnExpiryOption"`)), lifecycle("VaultStore", "P20D")))), 80},
		{"a copy after a delay", mustParse(t, body("R/2026-01-01T02:30:00/P1D", "", vaultDaily, rule("Daily", lifecycle("OperationalStore", "P9D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P3D")))), 200},
		{"windows that are longer than anything is kept", mustParse(t, strings.Replace(body("R/2026-01-01T02:30:00/PT12H", "Europe/Berlin", vaultDaily, rule("Daily", lifecycle("OperationalStore", "P5D"))), `{"properties":{`, `{"properties":{"coffer":{"exclusionWindows":[{"start":"R/2026-12-10T00:00:00/P1M","duration":"P20D"}]},`, 1)), 200},
		{"a tag for times", mustParse(t, body("R/2026-01-01T02:30:00/PT4H", "Europe/Berlin", []string{tag("Night", 10, `"scheduleTimes":["02:30","22:30"]`)}, rule("Night", lifecycle("OperationalStore", "P60D")))), 200},
		{"a tag for Sundays at a time", mustParse(t, body("R/2026-01-01T02:30:00/PT2H", "Australia/Lord_Howe", []string{tag("Night", 10, `"daysOfTheWeek":["Sunday"],"scheduleTimes":["02:30"]`)}, rule("Night", lifecycle("OperationalStore", "P60D")))), 200},
		{"a tag for all of a month's last day", mustParse(t, body("R/2026-01-01T02:30:00/PT4H", "Europe/Berlin", []string{tag("Last", 10, `"daysOfMonth":[{"isLast":true}]`)}, rule("Last", lifecycle("OperationalStore", "P90D")))), 80},
		{"of each Sunday one is copied", mustParse(t, body("R/2026-01-01T02:30:00/PT4H", "Europe/Berlin", []string{tag("Sunday", 10, `"daysOfTheWeek":["Sunday"]`)}, rule("Sunday", lifecycle("OperationalStore", "P9D", copyAfter(`"CustomCopyOption","duration":"P2D"`)), lifecycle("VaultStore", "P30D")))), 80},
		{"the default rule copies one of each day, and so does a tag", mustParse(t, strings.Replace(body("R/2026-01-01T02:30:00/PT6H", "", []string{tag("Night", 10, `"daysOfTheWeek":["Sunday"],"scheduleTimes":["20:30"]`)}, rule("Night", lifecycle("VaultStore", "P60D"))),
			`"OperationalStore"},"targetDataStoreCopySettings":[]}]}`, `"OperationalStore"},"targetDataStoreCopySettings":[`+copyAfter(`"ImmediateCopyOption"`)+`]},`+lifecycle("VaultStore", "P20D")+`]}`, 1)), 80},
		{"the default rule copies", mustParse(t, strings.Replace(body("R/2026-01-01T02:30:00/P3D", "", nil), `"targetDataStoreCopySettings":[]}]}`, `"targetDataStoreCopySettings":[`+copyAfter(`"CopyOnExpiryOption"`)+`]},`+lifecycle("VaultStore", "P2D")+`]}`, 1)), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(6, uint64(len(tt.name)))) //nolint:gosec // The same every time, and no secret in them.
			from := at(t, "2026-11-21T12:00:00Z")
			existing := []Point{
				operational(t, "good", -3, 4), operational(t, "partial", -2, 5, partial), operational(t, "by hand", -1, 50, func(p *Point) { p.Slot = time.Time{} }),
				operational(t, "held", -40, -33, func(p *Point) { p.Held = "case 7" }), operational(t, "old", -40, -33),
			}
			for _, atLeast := range []int{0, 5} {
				var dates, ends []time.Time
				for range 8 {
					dates = append(dates, from.AddDate(0, 0, r.IntN(tt.days)))
				}
				dates = append(dates, from, from.AddDate(0, 0, 1))
				got, err := tt.policy.Days(existing, from, dates, Terms{KeepAtLeast: atLeast})
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range got {
					ends = append(ends, midnight(d.Date, 1).Add(-1))
				}
				want := simulate(tt.policy, existing, from, ends, Terms{KeepAtLeast: atLeast})
				for i, d := range got {
					if diff := cmp.Diff(want[i], shortly(points(d))); diff != "" {
						t.Errorf("%v, at least %d (-want +got):\n%s", d.Date, atLeast, diff)
					}
				}
			}
		})
	}
}

func TestTenYearsOfFiveMinutesAreToldInNoTime(t *testing.T) {
	p := gfs(t, "R/2026-01-01T00:00:00+00:00/PT5M", "Europe/Berlin")
	from := at(t, "2026-11-21T12:00:00Z")
	began := time.Now()
	got, err := p.Days(nil, from, []time.Time{at(t, "2036-11-20T12:00:00Z")}, Terms{})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	rules := map[string]int{}
	for _, s := range got[0].Points {
		rules[s.Rule]++
	}
	// 2036-11-20 was a Thursday. The default rule has seven days of 288 but for those that have a tag; 29 days and 23 hours, for the
	// clock was put back since, have daily ones but for four Sundays and the first of November; twelve weeks have weekly ones; five years have monthly ones, but for January; ten years have yearly ones.
	want := map[string]int{"Default": 7*288 - 7, "Daily": 29 - 5, "Weekly": 12, "Monthly": 55, "Yearly": 11}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("points by rules (-want +got):\n%s", diff)
	}
}

func TestWhatIsTooMuchToTellIsRefused(t *testing.T) {
	from := at(t, "2026-11-21T12:00:00Z")
	frequent := mustParse(t, body("R/2026-01-01T00:00:00+00:00/PT5M", "", []string{tag("All", 10, `"daysOfTheWeek":["Sunday"]`)}, rule("All", lifecycle("OperationalStore", "P30D"))))
	many := make([]time.Time, MostDays+1)
	for i := range many {
		many[i] = from.AddDate(0, 0, i)
	}
	for _, tt := range []struct {
		name  string
		dates []time.Time
		want  string
	}{
		{"too many days", many, "367 days are asked for: up to 366 are told at a time"},
		{"a day that is over", []time.Time{from.AddDate(0, 0, -1)}, "the day 2026-11-20 is over at 2026-11-21 12:00 UTC"},
		{"a day too far", []time.Time{from.AddDate(101, 0, 0)}, "the day 2127-11-21 is more than 100 years away"},
		{"too many slots", []time.Time{from.AddDate(10, 0, 0)}, "days has 2036-11-21, and more than 50000 backups of the policy would have to be looked at to tell of it; they reach until "},
		{"too many recovery points", many[10:50], "days has 40 days, and there are more than 50000 recovery points at their ends; ask for up to "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := frequent.Days(nil, from, tt.dates, Terms{})
			if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
	if _, err := frequent.Runs(nil, from, MostRuns+1); coffer.CodeOf(err) != coffer.CodeInvalidInput {
		t.Errorf("too many runs: %v", err)
	}
}

func TestWithoutBackupsNothingComes(t *testing.T) {
	p := gfs(t, "R/2026-01-01T01:30:00+00:00/PT12H", "")
	existing := []Point{operational(t, "a", -3, 4), operational(t, "b", -2, 5)}
	from := at(t, now)
	for _, tt := range []struct {
		name  string
		terms Terms
		want  []string
	}{
		{"suspended", Terms{Suspended: true}, []string{"b Daily O"}},
		{"stopped", Terms{Stopped: true}, []string{"a Daily O", "b Daily O"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := p.Days(existing, from, []time.Time{from.AddDate(5, 0, 0)}, tt.terms)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, shortly(points(got[0]))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheNextRuns(t *testing.T) {
	p := gfs(t, "R/2026-01-01T08:00:00+00:00/PT12H", "")
	runs, err := p.Runs(history(t, "2026-11-30T08:00:00Z"), at(t, "2026-11-30T09:00:00Z"), 4)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range runs {
		got = append(got, fmt.Sprintf("%s %s (%s) %s", r.Slot.Format(time.RFC3339), r.Rule.Name, r.Reason, r.Kept.Expires().Format(time.DateOnly)))
	}
	want := []string{
		"2026-11-30T20:00:00Z Default (tag Default: no other tag is for it) 2026-12-07",
		"2026-12-01T08:00:00Z Monthly (tag Monthly: it is the first of December 2026) 2031-12-01",
		"2026-12-01T20:00:00Z Default (tag Default: no other tag is for it) 2026-12-08",
		"2026-12-02T08:00:00Z Daily (tag Daily: it is the first of 2026-12-02) 2027-01-01",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

func TestMidnightIsTheFirstMomentOfADay(t *testing.T) {
	for _, tt := range []struct{ zone, noon, want string }{
		{"UTC", "2026-11-21T12:00:00Z", "2026-11-21T00:00:00Z"},
		{"America/Santiago", "2026-09-06T16:00:00Z", "2026-09-06T04:00:00Z"}, // 00:00 is left out
		{"America/Havana", "2026-11-01T17:00:00Z", "2026-11-01T04:00:00Z"},   // 00:00 is shown twice
		{"Asia/Beirut", "2026-03-29T09:00:00Z", "2026-03-28T22:00:00Z"},      // 00:00 is left out
		{"Europe/Berlin", "2026-10-25T11:00:00Z", "2026-10-24T22:00:00Z"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := midnight(at(t, tt.noon).In(zone), 0); !got.Equal(at(t, tt.want)) {
			t.Errorf("%s: %v is %v", tt.zone, got, got.UTC())
		}
		if got := midnight(at(t, tt.noon).AddDate(0, 0, -3).In(zone), 3); !got.Equal(at(t, tt.want)) {
			t.Errorf("%s, three days later: %v", tt.zone, got.UTC())
		}
	}
}
