package runner_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/test/tiertest"
)

// obvious is a recovery point of the slow, obvious model of both tiers.
type obvious struct {
	slot               time.Time
	tag                string
	good, held         bool
	operational, vault bool
	until, vaultUntil  time.Time
	awaited            bool
	copyAt             time.Time
	takesPlace         bool
}

// promise is what a policy of the test says of the recovery points with the tag.
type promise struct {
	all         bool // of each backup, not of the first of a day alone
	days, delay int
	vaultDays   int
}

// model is what there is to be in both tiers, by the obvious way.
type model struct {
	promise
	points []*obvious
}

func sameDay(a, b time.Time) bool { return a.YearDay() == b.YearDay() && a.Year() == b.Year() }

// made adds a recovery point. Of a day the first good one has the tag, and is copied, and a partial one if nothing came before it.
func (m *model) made(slot, taken time.Time, good bool) {
	p := &obvious{slot: slot, tag: "Default", good: good, operational: true, until: taken.AddDate(0, 0, 7)}
	tagged, placed := false, false
	for _, q := range m.points {
		if sameDay(q.slot, slot) && (q.good || !good) {
			tagged, placed = true, placed || q.takesPlace
		}
	}
	if m.all || !tagged {
		p.tag, p.until = "Vault", taken.AddDate(0, 0, m.days)
		if !placed {
			p.takesPlace, p.awaited, p.copyAt = true, true, taken.AddDate(0, 0, m.delay)
			p.vaultUntil = p.copyAt.AddDate(0, 0, m.vaultDays)
		}
	}
	m.points = append(m.points, p)
}

// look copies what is due, if the vault tier is there, and lets go of what has expired.
func (m *model) look(now time.Time, up bool) {
	for _, p := range m.points {
		switch due := !now.Before(p.copyAt) || !now.Before(p.until); {
		case p.awaited && !now.Before(p.vaultUntil):
			p.awaited = false
		case p.awaited && p.operational && due && up:
			p.vault, p.awaited = true, false
		}
	}
	var newestGood, newestOperational, newestVault, newestGoodVault *obvious
	for _, p := range m.points {
		if (p.operational || p.vault) && p.good {
			newestGood = p
		}
		if p.operational {
			newestOperational = p
		}
		if p.vault {
			newestVault = p
		}
		if p.vault && p.good {
			newestGoodVault = p
		}
	}
	for _, p := range m.points {
		operational := p.operational && !now.Before(p.until) && !p.held && !p.awaited && p != newestGood && p != newestOperational && (p != newestVault || !p.vault)
		vault := p.vault && !now.Before(p.vaultUntil) && !p.held && p != newestGood && p != newestVault && p != newestGoodVault
		if operational {
			p.operational = false
		}
		if vault {
			p.vault = false
		}
	}
}

func (m *model) words() (points, vault string) {
	for _, p := range m.points {
		where := ""
		if p.operational {
			where += "O"
		}
		if p.vault {
			where += "V"
			vault += p.slot.Format("01-02T15 ")
		}
		if where != "" {
			points += p.slot.Format("01-02T15 ") + p.tag + " " + where + "\n"
		}
	}
	return points, vault
}

// words are the recovery points of the catalogue as those of the model.
func (w *tiered) words() (points string) {
	w.t.Helper()
	for _, one := range strings.Split(w.tiers(instanceID), ", ") {
		words := strings.Split(one, " ")
		where := ""
		for _, word := range words[2:] {
			if word[0] != 'C' {
				where += word[:1]
			}
		}
		points += words[0] + " " + words[1] + " " + where + "\n"
	}
	return points
}

// TestAYearOfBothTiers runs the clock over a year of the real flow on the real database, with backups that fail or are partial, a vault tier
// that is away for days, and legal holds, and compares what is in which tier at the end of each day with a model.
func TestAYearOfBothTiers(t *testing.T) {
	for i, tt := range []struct {
		name, policy string
		promise      promise
		days         int
	}{
		{"the first of a day at once, kept longer in the vault tier", disasterRecovery("P30D"), promise{days: 7, vaultDays: 30}, 366},
		{"on expiry", vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P3D", onExpiry)+","+lifecycleOf("VaultStore", "P10D")), promise{days: 3, delay: 3, vaultDays: 10}, 60},
		{"one a day of all, after two days, kept shorter in the vault tier", vaultPolicy(allBackups, lifecycleOf("OperationalStore", "P9D", `"CustomCopyOption","duration":"P2D"`)+","+lifecycleOf("VaultStore", "P2D")), promise{all: true, days: 9, delay: 2, vaultDays: 2}, 60},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTiered(t, tt.policy)
			m := &model{promise: tt.promise}
			r := rand.New(rand.NewPCG(2026, uint64(i))) //nolint:gosec // The same every time, and no secret in them.
			outcome := completed
			w.cluster.OnMade(func(resource, _ string) string {
				return strings.ReplaceAll(outcome, "2026-05-04T12:00:0", w.Clock.Now().Format("2006-01-02T15:04:0"))
			})
			down, copies := time.Time{}, 0
			slot := time.Date(2026, 5, 5, 2, 0, 0, 0, time.UTC)
			for day := 0; day < tt.days; day++ {
				if r.IntN(40) == 0 {
					down = slot.AddDate(0, 0, 1+r.IntN(9))
				}
				up := slot.After(down)
				w.faulty.Break(nil)
				if !up {
					w.faulty.Break(tiertest.Times(1<<30, tiertest.Refused))
				}
				for half := range 2 {
					at := slot.Add(time.Duration(12*half) * time.Hour)
					fate := r.IntN(10)
					switch outcome = completed; fate {
					case 0, 1:
						outcome = `{"phase":"Failed","reason":"Broken","message":"no","startTime":"2026-05-04T12:00:01Z"}`
					case 2, 3:
						outcome = strings.Replace(completed, `"Completed"`, `"CompletedWithWarnings"`, 1)
					}
					w.backUp(at)
					if fate > 1 {
						m.made(at, w.points()[0].Time, fate > 3)
					}
					outcome = completed // what expires is deleted in its cluster
					w.judgeBoth(m, up)
				}
				w.holdOne(m, r)
				w.Clock.Move(slot.Add(21*time.Hour + 30*time.Minute).Sub(w.Clock.Now()))
				w.judgeBoth(m, up)
				want, vault := m.words()
				if got := w.words(); got != want {
					t.Fatalf("on %s there are\n%s\nwant\n%s", slot.Format(time.DateOnly), got, want)
				}
				if got := w.whole() + " "; up && strings.TrimSpace(got) != strings.TrimSpace(vault) || len(w.tier.Whole()) != len(w.tier.All()) {
					t.Fatalf("on %s the vault tier has\n%s, want\n%s", slot.Format(time.DateOnly), got, vault)
				}
				copies = max(copies, len(w.tier.Whole()))
				slot = slot.AddDate(0, 0, 1)
			}
			jobs, perDay := w.tierings(), map[string]int{}
			for _, j := range jobs {
				perDay[j.ExtendedInfo.SourceRecoverPoint.RecoveryPointTime.Format(time.DateOnly)]++
			}
			for day, n := range perDay {
				if n > 2 {
					t.Errorf("of %s there are %d copies", day, n)
				}
			}
			if len(jobs) < tt.days*2/3 || copies < min(tt.promise.vaultDays, 30)-1 {
				t.Errorf("%d copies were made in %d days, and up to %d were there at a time", len(jobs), tt.days, copies)
			}
		})
	}
}

// judgeBoth has the flow and the model look at what is due.
func (w *tiered) judgeBoth(m *model, up bool) {
	w.t.Helper()
	w.copies()
	w.expire()
	w.copies()
	w.look()
	m.look(w.Clock.Now(), up)
}

// holdOne puts a recovery point under legal hold now and then, and releases it later.
func (w *tiered) holdOne(m *model, r *rand.Rand) {
	w.t.Helper()
	for _, p := range m.points {
		there := p.operational || p.vault
		change := there && (p.held && r.IntN(10) == 0 || !p.held && r.IntN(300) == 0)
		if !change {
			continue
		}
		name := ""
		for _, q := range w.points() {
			if q.Time.Truncate(time.Hour).Equal(p.slot) {
				name = q.Name
			}
		}
		var err error
		if p.held = !p.held; p.held {
			_, err = w.jobs.Keeper.Hold(w.t.Context(), w.by, instanceID, name, []byte(`{"reason":"case 7"}`))
		} else {
			_, err = w.jobs.Keeper.ReleaseHold(w.t.Context(), w.by, instanceID, name)
		}
		if err != nil {
			w.t.Fatalf("%s: %v", fmt.Sprint(p.slot, catalogue.ID(name)), err)
		}
	}
}
