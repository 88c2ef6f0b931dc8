package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// now is the moment at which the tables judge: a Saturday, at noon.
const now = "2026-11-21T12:00:00Z"

// days is a time so many days from now.
func days(t testing.TB, n int) time.Time {
	t.Helper()
	return at(t, now).AddDate(0, 0, n)
}

// operational builds a good recovery point of the operational tier by the days of when it was taken and of when its time is up.
func operational(t testing.TB, name string, made, expires int, change ...func(*Point)) Point {
	t.Helper()
	p := Point{Name: name, Taken: days(t, made), Slot: days(t, made), Rule: "Daily", Reason: "tag Daily: so it is", Good: true, Operational: Tier{Present: true, Since: days(t, made), Expires: days(t, expires)}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func partial(p *Point) { p.Good = false }

// copied gives a recovery point a copy in the vault tier, and wanted wants one made.
func copied(t testing.TB, since, expires int) func(*Point) {
	t.Helper()
	return func(p *Point) {
		p.Vault, p.Copy = Tier{Present: true, Since: days(t, since), Expires: days(t, expires)}, days(t, since)
	}
}

func wanted(t testing.TB, from, expires int) func(*Point) {
	t.Helper()
	return func(p *Point) { p.Vault, p.Copy = Tier{Expires: days(t, expires)}, days(t, from) }
}

func gone(p *Point) { p.Operational.Present = false }

// fates are the decisions in short: NAME OPERATIONAL/VAULT.
func fates(decisions []Decision) string {
	var all []string
	for _, d := range decisions {
		all = append(all, fmt.Sprintf("%s %s/%s", d.Name, d.Operational, d.Vault))
	}
	return strings.Join(all, ", ")
}

func TestWhatBecomesOfRecoveryPoints(t *testing.T) {
	pt := func(name string, made, expires int, change ...func(*Point)) Point {
		return operational(t, name, made, expires, change...)
	}
	for _, tt := range []struct {
		name   string
		points []Point
		terms  Terms
		want   string
		// reason is that of the first point.
		reason string
	}{
		{"its time is not up", []Point{pt("a", -3, 4), pt("b", -1, 6)}, Terms{}, "a Keep/, b Keep/", "kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"its time is up", []Point{pt("a", -8, -1), pt("b", -1, 6)}, Terms{}, "a Expire/, b Keep/", "expires: its time was up on 2026-11-20 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"its time is up this moment", []Point{pt("a", -7, 0), pt("b", -1, 6)}, Terms{}, "a Expire/, b Keep/", ""},
		{"the order says nothing", []Point{pt("b", -1, 6), pt("a", -8, -1)}, Terms{}, "b Keep/, a Expire/", ""},
		{"the newest good one", []Point{pt("a", -9, -2), pt("b", -8, -1, partial)}, Terms{}, "a Keep/, b Keep/", "kept though its time was up on 2026-11-19 12:00 UTC: it is the newest good recovery point"},
		{"the newest operational one, though it is partial", []Point{pt("b", -8, -1, partial), pt("a", -9, -2), pt("0", -10, -3)}, Terms{}, "b Keep/, a Keep/, 0 Expire/", "kept though its time was up on 2026-11-20 12:00 UTC: it is the newest in the operational tier"},
		{"there is none that is good", []Point{pt("b", -8, -1, partial), pt("a", -9, -2, partial)}, Terms{}, "b Keep/, a Expire/", ""},
		{"two of one moment: the last name is the newest", []Point{pt("a", -8, -1), pt("b", -8, -1)}, Terms{}, "a Expire/, b Keep/", ""},
		{"at least two good ones", []Point{pt("a", -20, -9), pt("b", -19, -8), pt("c", -18, -7, partial), pt("d", -17, -6)}, Terms{KeepAtLeast: 2}, "a Expire/, b Keep/, c Expire/, d Keep/", ""},
		{"of those kept at least one tier is enough", []Point{pt("a", -20, -9, copied(t, -20, -1)), pt("b", -19, -8, copied(t, -19, -1)), pt("c", -1, 6)}, Terms{KeepAtLeast: 3}, "a Expire/Keep, b Keep/Keep, c Keep/",
			"operational tier: expires: its time was up on 2026-11-12 12:00 UTC, by rule Daily (tag Daily: so it is); vault tier: kept though its time was up on 2026-11-20 12:00 UTC: it is one of the newest 3 good recovery points, which the policy keeps at least"},
		{"legal hold", []Point{pt("a", -8, -1, func(p *Point) { p.Held = "case 7" }), pt("b", -1, 6)}, Terms{}, "a Keep/, b Keep/", "kept though its time was up on 2026-11-20 12:00 UTC: it is under legal hold: case 7"},
		{"legal hold before its time", []Point{pt("a", -3, 4, func(p *Point) { p.Held = "case 7" }), pt("b", -1, 6)}, Terms{}, "a Keep/, b Keep/",
			"kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is), and for as long as it is under legal hold: case 7"},
		{"a restore reads it", []Point{pt("a", -8, -1, func(p *Point) { p.Reader = "the restore 0f3c" }), pt("b", -1, 6)}, Terms{}, "a Keep/, b Keep/", "kept though its time was up on 2026-11-20 12:00 UTC: the restore 0f3c reads it"},
		{"protection is stopped", []Point{pt("a", -8, -1), pt("b", -7, -1)}, Terms{Stopped: true}, "a Keep/, b Keep/", "kept though its time was up on 2026-11-20 12:00 UTC: protection is stopped"},
		{"protection is stopped before its time", []Point{pt("a", -3, 4), pt("b", -1, 6)}, Terms{Stopped: true}, "a Keep/, b Keep/", "kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is), and for as long as protection is stopped"},
		{"backups are suspended", []Point{pt("b", -8, -1), pt("a", -9, -2)}, Terms{Suspended: true}, "b Keep/, a Expire/",
			"kept though its time was up on 2026-11-20 12:00 UTC: backups are suspended, and it is the latest, and it is the newest good recovery point, and it is the newest in the operational tier"},
		{"nothing says until when", []Point{pt("a", -9, 0, func(p *Point) { p.Operational.Expires = time.Time{} }), pt("b", -1, 6)}, Terms{}, "a Keep/, b Keep/", "kept: nothing says until when"},
		{"an immutable vault", []Point{pt("a", -3, 4)}, Terms{Immutable: true}, "a Keep/", "kept until 2026-11-25 12:00 UTC, by rule Daily (tag Daily: so it is); the vault is immutable: nothing deletes it before"},
		{"a copy at once", []Point{pt("a", 0, 7, wanted(t, 0, 90))}, Terms{}, "a Keep/Copy", "operational tier: kept until 2026-11-28 12:00 UTC, by rule Daily (tag Daily: so it is); vault tier: to be copied now"},
		{"a copy after a delay", []Point{pt("a", 0, 7, wanted(t, 2, 90))}, Terms{}, "a Keep/CopyLater", "operational tier: kept until 2026-11-28 12:00 UTC, by rule Daily (tag Daily: so it is); vault tier: to be copied on 2026-11-23 12:00 UTC"},
		{"a copy on expiry comes first", []Point{pt("a", -7, 0, wanted(t, 0, 90)), pt("b", -1, 6)}, Terms{}, "a Keep/Copy, b Keep/", "operational tier: kept though its time was up on 2026-11-21 12:00 UTC: it is not in the vault tier yet; vault tier: to be copied now"},
		{"then the operational one goes", []Point{pt("0", -7, 0, copied(t, 0, 90)), pt("a", -6, 1, copied(t, 0, 90)), pt("b", -1, 6)}, Terms{}, "0 Expire/Keep, a Keep/Keep, b Keep/", ""},
		{"a copy that the vault tier would let go of at once", []Point{pt("a", -90, -83, wanted(t, -90, 0)), pt("b", -1, 6)}, Terms{}, "a Expire/, b Keep/", "expires: its time was up on 2026-08-30 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"a delay that is longer than the operational tier keeps", []Point{pt("a", -8, -1, wanted(t, 3, 90)), pt("b", -1, 6)}, Terms{}, "a Keep/Copy, b Keep/", ""},
		{"no second copy is made of what the vault tier kept shorter", []Point{pt("a", -4, 20, copied(t, -4, -1), func(p *Point) { p.Vault.Present = false }), pt("b", -3, 20, copied(t, -3, 9))}, Terms{}, "a Keep/, b Keep/Keep", ""},
		{"a copy that was given up", []Point{pt("a", -8, -1), pt("b", -1, 6)}, Terms{}, "a Expire/, b Keep/", ""},
		{"the operational one of the newest copy", []Point{pt("a", -8, -1, copied(t, -8, 82)), pt("b", -1, 6)}, Terms{}, "a Keep/Keep, b Keep/",
			"operational tier: kept though its time was up on 2026-11-20 12:00 UTC: its copy is the newest in the vault tier, and the next is made against it; vault tier: kept until 2027-02-11 12:00 UTC, by rule Daily (tag Daily: so it is)"},
		{"a vault tier that keeps shorter", []Point{pt("a", -4, 20, copied(t, -4, -1)), pt("b", -3, 20, copied(t, -3, -1)), pt("c", -1, 6)}, Terms{}, "a Keep/Expire, b Keep/Keep, c Keep/", ""},
		{"the vault tier alone", []Point{pt("a", -90, -83, gone, copied(t, -90, -1)), pt("b", -60, -53, gone, copied(t, -60, 30)), pt("c", -1, 6)}, Terms{}, "a /Expire, b /Keep, c Keep/", "expires: its time was up on 2026-11-20 12:00 UTC, by rule Daily (tag Daily: so it is), in the vault tier"},
		{"the newest in the vault tier, while no copies succeed", []Point{pt("a", -90, -83, gone, copied(t, -90, -1)), pt("c", -1, 6)}, Terms{}, "a /Keep, c Keep/", "kept though its time was up on 2026-11-20 12:00 UTC: it is the newest in the vault tier, in the vault tier"},
		{"the newest good one in the vault tier", []Point{pt("a", -90, -83, gone, copied(t, -90, -2)), pt("b", -89, -82, gone, partial, copied(t, -89, -1)), pt("c", -1, 6)}, Terms{}, "a /Keep, b /Keep, c Keep/", "kept though its time was up on 2026-11-19 12:00 UTC: it is the newest good one in the vault tier, in the vault tier"},
		{"what is in no tier is the newest of nothing", []Point{pt("z", 0, 7, gone), pt("a", -8, -1)}, Terms{}, "z /, a Keep/", "in no tier"},
		{"what the operational tier has lost cannot be copied", []Point{pt("a", -8, -1, gone, wanted(t, -8, 82)), pt("b", -1, 6)}, Terms{}, "a /, b Keep/", "in no tier"},
		{"none", nil, Terms{}, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.terms.Now = at(t, now)
			before := slices.Clone(tt.points)
			got := Judge(tt.points, tt.terms)
			if diff := cmp.Diff(tt.want, fates(got)); diff != "" {
				t.Errorf("fates (-want +got):\n%s", diff)
			}
			if tt.reason != "" && got[0].Reason != tt.reason {
				t.Errorf("reason\n%s, want\n%s", got[0].Reason, tt.reason)
			}
			if diff := cmp.Diff(before, tt.points); diff != "" {
				t.Errorf("the points were changed: %s", diff)
			}
		})
	}
}

func TestUntilWhenAndWhenToLookAgain(t *testing.T) {
	for _, tt := range []struct {
		name        string
		point       Point
		terms       Terms
		until, next int // days; 0 is never
	}{
		{"the operational tier", operational(t, "a", -3, 4), Terms{}, 4, 4},
		{"both tiers", operational(t, "a", -3, 4, copied(t, -3, 87)), Terms{}, 87, 4},
		{"a copy to come", operational(t, "a", -3, 4, wanted(t, 2, 92)), Terms{}, 92, 2},
		{"a copy on expiry", operational(t, "a", -3, 4, wanted(t, 4, 94)), Terms{}, 94, 4},
		{"the newest one whose time is up", operational(t, "a", -8, -1), Terms{}, 0, 0},
		{"the newest one whose time is up in one tier", operational(t, "a", -8, -1, copied(t, -8, 82)), Terms{}, 0, 82},
		{"legal hold", operational(t, "a", -3, 4, func(p *Point) { p.Held = "case 7" }), Terms{}, 0, 4},
		{"stopped", operational(t, "a", -3, 4), Terms{Stopped: true}, 0, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.terms.Now = at(t, now)
			got := Judge([]Point{tt.point}, tt.terms)[0]
			want := []time.Time{{}, {}}
			for i, n := range []int{tt.until, tt.next} {
				if n != 0 {
					want[i] = days(t, n)
				}
			}
			if !got.Until.Equal(want[0]) || !got.Next.Equal(want[1]) {
				t.Errorf("until %v, next %v, want %v", got.Until, got.Next, want)
			}
		})
	}
}

// model says in the most obvious way, a point and a rule at a time, what a tier lets go of.
func model(points []Point, terms Terms, i int) (operational, vault bool) {
	p := points[i]
	newer := func(of func(Point) bool) (n int) {
		for _, other := range points {
			if of(other) && other.There() && (other.Taken.After(p.Taken) || other.Taken.Equal(p.Taken) && other.Name > p.Name) {
				n++
			}
		}
		return n
	}
	good := func(p Point) bool { return p.Good }
	inVault := func(p Point) bool { return p.Vault.Present }
	// What its copy would be let go of by now is not copied any more.
	late := !p.Vault.Expires.IsZero() && !p.Vault.Expires.After(terms.Now)
	due := func(t Tier) bool { return t.Present && !t.Expires.IsZero() && !t.Expires.After(terms.Now) }
	switch {
	case terms.Stopped, p.Held != "", p.Reader != "", p.Good && newer(good) == 0:
		return false, false
	case terms.Suspended && newer(func(Point) bool { return true }) == 0:
		return false, false
	}
	operational, vault = due(p.Operational), due(p.Vault)
	if newer(func(p Point) bool { return p.Operational.Present }) == 0 || p.Vault.Present && newer(inVault) == 0 || !p.Copy.IsZero() && p.Vault.Since.IsZero() && !late {
		operational = false
	}
	if newer(inVault) == 0 || p.Good && newer(func(p Point) bool { return good(p) && inVault(p) }) == 0 {
		vault = false
	}
	if p.Good && newer(good) < terms.KeepAtLeast {
		if p.Vault.Present {
			vault = false
		} else {
			operational = false
		}
	}
	return operational, vault
}

// random builds recovery points of any kind.
func random(t testing.TB, r *rand.Rand) ([]Point, Terms) {
	t.Helper()
	maybe := func(n int) bool { return r.IntN(n) == 0 }
	terms := Terms{Now: at(t, now), KeepAtLeast: r.IntN(5), Suspended: maybe(8), Stopped: maybe(12), Immutable: maybe(4)}
	points := make([]Point, r.IntN(14))
	for i := range points {
		made := -r.IntN(40)
		p := operational(t, fmt.Sprintf("p%02d", i), made, made+r.IntN(30))
		p.Good = !maybe(3)
		switch r.IntN(4) {
		case 0:
			copied(t, made, made+r.IntN(60))(&p)
		case 1:
			wanted(t, made+r.IntN(20), made+20+r.IntN(60))(&p)
		}
		if p.Operational.Present = !maybe(3); maybe(15) {
			p.Operational.Expires = time.Time{}
		}
		if maybe(10) {
			p.Held = "case 7"
		}
		if maybe(10) {
			p.Reader = "the restore 0f3c"
		}
		points[i] = p
	}
	return points, terms
}

func TestJudgingIsWhatTheObviousModelSays(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 1)) //nolint:gosec // The same every time, and no secret in them.
	for n := range 20_000 {
		points, terms := random(t, r)
		decisions := Judge(points, terms)
		newestGood := -1
		for i, d := range decisions {
			p := points[i]
			operational, vault := model(points, terms, i)
			if (d.Operational == Expire) != operational || (d.Vault == Expire) != vault {
				t.Fatalf("%d: %+v is %+v, and the model lets go: operational %v, vault %v; terms %+v of %+v", n, p, d, operational, vault, terms, points)
			}
			if p.Good && p.There() && (newestGood < 0 || p.Taken.After(points[newestGood].Taken) || p.Taken.Equal(points[newestGood].Taken) && p.Name > points[newestGood].Name) {
				newestGood = i
			}
			if p.Held != "" && (d.Operational == Expire || d.Vault == Expire) {
				t.Fatalf("%d: %+v is held, and %+v", n, p, d)
			}
			if d.Operational == Expire && terms.Now.Before(p.Operational.Expires) || d.Vault == Expire && terms.Now.Before(p.Vault.Expires) {
				t.Fatalf("%d: %+v expires before its time: %+v", n, p, d)
			}
			if d.Operational == Expire && p.Awaited() && !p.TooLate(terms.Now) {
				t.Fatalf("%d: %+v expires before it is copied: %+v", n, p, d)
			}
			if (d.Vault == Copy || d.Vault == CopyLater) != (p.Awaited() && !p.TooLate(terms.Now)) {
				t.Fatalf("%d: %+v is to be copied, and %+v", n, p, d)
			}
			if d.Reason == "" {
				t.Fatalf("%d: %+v has no reason", n, p)
			}
			if !d.Next.IsZero() && !d.Next.After(terms.Now) {
				t.Fatalf("%d: %+v is looked at again in the past: %+v", n, p, d)
			}
		}
		if newestGood >= 0 && (decisions[newestGood].Operational == Expire || decisions[newestGood].Vault == Expire) {
			t.Fatalf("%d: the newest good one expires: %+v", n, decisions[newestGood])
		}
		// Nothing of it depends on the order.
		shuffled := slices.Clone(points)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		byName := map[string]Decision{}
		for _, d := range Judge(shuffled, terms) {
			byName[d.Name] = d
		}
		for _, d := range decisions {
			if diff := cmp.Diff(d, byName[d.Name]); diff != "" {
				t.Fatalf("%d: in another order (-want +got):\n%s", n, diff)
			}
		}
	}
}

func TestASecondLookExpiresNothingMore(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 2)) //nolint:gosec // The same every time, and no secret in them.
	for n := range 5_000 {
		points, terms := random(t, r)
		left := settle(points, terms)
		for _, d := range Judge(left, terms) {
			if d.Operational == Expire || d.Vault == Expire || d.Vault == Copy {
				t.Fatalf("%d: %+v", n, d)
			}
		}
		if len(left) == 0 && slices.ContainsFunc(points, Point.There) {
			t.Fatalf("%d: nothing is left of %+v", n, points)
		}
	}
}
