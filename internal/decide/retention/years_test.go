package retention

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestTenYearsOfAPolicy runs the clock over ten years of a policy with all tags, whose runs fail, are partial, and stay away for weeks, while
// copies are late, restores read and legal holds come and go.
func TestTenYearsOfAPolicy(t *testing.T) {
	for _, zone := range []string{"UTC", "Europe/Berlin", "America/Santiago"} {
		t.Run(zone, func(t *testing.T) {
			p := gfs(t, "R/2024-01-01T01:30:00+00:00/P1D", zone)
			r := rand.New(rand.NewPCG(6, 10)) //nolint:gosec // The same every time, and no secret in them.
			var points []Point
			atLeast, made, most := 3, 0, 0
			down := time.Time{}
			for slot, _ := p.Schedule.Next(time.Time{}); slot.Year() < 2034; slot, _ = p.Schedule.Next(slot) {
				if r.IntN(150) == 0 {
					down = slot.AddDate(0, 0, r.IntN(90))
				}
				if good := r.IntN(4) > 0; slot.After(down) && r.IntN(6) > 0 {
					made++
					points = append(points, p.Promise(Point{Name: slot.Format(time.RFC3339), Taken: slot, Slot: slot, Good: good}, p.Choose(slot, Previous(points, slot, good)), PreviousCopy(points, slot, good)))
				}
				if len(points) > 0 {
					victim := &points[r.IntN(len(points))]
					victim.Held = map[bool]string{true: "case 7"}[r.IntN(30) == 0]
					victim = &points[r.IntN(len(points))]
					victim.Reader = map[bool]string{true: "the restore 0f3c"}[r.IntN(30) == 0]
				}
				points = carry(t, points, Terms{Now: slot, KeepAtLeast: atLeast}, r)
				most = max(most, len(points))
			}
			// Ten yearly ones, sixty monthly, twelve weekly, thirty daily; a period has two at most, and some are held.
			if made < 1000 || most < 80 || most > 250 {
				t.Errorf("%d recovery points were made, and up to %d were there at a time", made, most)
			}
		})
	}
}

// carry carries out what is decided, now and then with a copy that does not come off, and holds it to what is promised.
func carry(t *testing.T, points []Point, terms Terms, r *rand.Rand) []Point {
	t.Helper()
	var left []Point
	newestGood, good := "", 0
	for i := len(points) - 1; i >= 0; i-- { // they were made in their order
		if good++; !points[i].Good {
			good--
		} else if newestGood == "" {
			newestGood = points[i].Name
		}
	}
	goodLeft := 0
	for i, d := range Judge(points, terms) {
		p := points[i]
		for _, tier := range []struct {
			Tier
			fate Fate
		}{{p.Operational, d.Operational}, {p.Vault, d.Vault}} {
			switch {
			case tier.fate == Expire && (terms.Now.Before(tier.Expires) || p.Held != "" || p.Reader != "" || p.Name == newestGood):
				t.Fatalf("%v: %+v: %+v", terms.Now, p, d)
			case tier.fate == Keep && !terms.Now.Before(tier.Expires) && !strings.Contains(d.Reason, "kept though its time was up on "+shownTime(tier.Expires)+": it") && !strings.Contains(d.Reason, ": the restore"):
				t.Fatalf("%v: %+v stays for no reason: %+v", terms.Now, p, d)
			}
		}
		if d.Vault == Copy && r.IntN(3) > 0 {
			p.Vault.Present, p.Vault.Since = true, terms.Now
		}
		p.Operational.Present = p.Operational.Present && d.Operational != Expire
		p.Vault.Present = p.Vault.Present && d.Vault != Expire
		if p.There() == d.Gone() {
			t.Fatalf("%v: %+v, there %v: %+v", terms.Now, p, p.There(), d)
		}
		if p.There() {
			left = append(left, p)
			if p.Good {
				goodLeft++
			}
		}
	}
	if goodLeft < min(good, terms.KeepAtLeast) {
		t.Fatalf("%v: of %d good ones %d are left", terms.Now, good, goodLeft)
	}
	return left
}
