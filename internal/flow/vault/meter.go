package vault

import (
	"context"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	decide "github.com/coffer-backup/coffer/internal/decide/meter"
)

// meterBatch is how many readings are written in one transaction.
const meterBatch = 200

// Metered is a vault that is measured each day. Key is another one for a vault that is made anew under the id.
type Metered struct {
	Vault catalogue.ID
	Key   string
}

// MeteredVaults are all vaults.
func (j *Jobs) MeteredVaults(ctx context.Context) (found []Metered, err error) {
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeVault}, func(r catalogue.Resource) error {
			found = append(found, Metered{Vault: r.ID, Key: catalogue.VaultIdentity(r.ID, r.Created.At)})
			return nil
		})
	})
	return found, err
}

// Meter measures a vault on the day that it is, unless that was done already, and answers how many instances were measured. Stopped and
// deleted ones are, as long as they can be had again: what they have takes up room. The vault's own reading is the last one to be written:
// a day that has it was measured to the end.
func (j *Jobs) Meter(ctx context.Context, vault catalogue.ID) (measured int, err error) {
	day := decide.Day(j.Keeper.now())
	own, location, done := catalogue.Reading{Vault: vault, Instance: vault, Day: day}, "", false
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		where, settings, err := vaultSettings(ctx, v, vault)
		if err != nil {
			return err
		}
		location, own.Redundancy = where, string(settings.Redundancy)
		// Its key is less than those of its instances.
		first, err := v.Readings(ctx, catalogue.ReadingQuery{Vault: vault, From: day, To: day, Limit: 1})
		done = len(first) > 0 && first[0].Instance.Is(vault)
		return err
	})
	if err != nil || done {
		return 0, gone(err)
	}
	for _, kind := range []string{typeInstance, typeDeleted} {
		for q := (catalogue.ResourceQuery{Type: kind, Under: vault, Limit: meterBatch}); ; {
			page, last, err := j.measure(ctx, q, location, own)
			if err == nil {
				err = j.putReadings(ctx, page)
			}
			if err != nil {
				return measured, gone(err)
			}
			measured += len(page)
			if last == "" {
				break
			}
			q.After = last
		}
	}
	return measured, gone(j.putReadings(ctx, []catalogue.Reading{own}))
}

// gone is no error of a vault that was deleted meanwhile.
func gone(err error) error {
	if missing(err) {
		return nil
	}
	return err
}

// measure reads what a page of instances take up; last is the place of the next page, or empty.
func (j *Jobs) measure(ctx context.Context, q catalogue.ResourceQuery, location string, own catalogue.Reading) (readings []catalogue.Reading, last string, err error) {
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		page, err := v.Resources(ctx, q)
		if err != nil {
			return err
		}
		readings, last = make([]catalogue.Reading, len(page)), ""
		for i, r := range page {
			total, err := v.Total(ctx, r.ID)
			if err != nil {
				return err
			}
			reading := own
			reading.Instance, reading.Points = r.ID, total.Points
			reading.SnapshotBytes, reading.ArchiveBytes, reading.VaultBytes = total.SnapshotBytes, total.ArchiveBytes, total.VaultBytes
			if strings.EqualFold(q.Type, typeDeleted) {
				reading.Instance = instanceOf(r.ID) // it goes on under the name that it had
			}
			if reading.Namespaces = total.Namespaces; reading.Namespaces == 0 {
				// There is no recovery point that says so. What cannot be read names none.
				if c, err := configurationOf(r, location); err == nil {
					reading.Namespaces = decide.Namespaces(c.Backup.IncludedNamespaces)
				}
			}
			readings[i] = reading
		}
		if len(page) == q.Limit {
			last = page[len(page)-1].ID.Key()
		}
		return nil
	})
	return readings, last, err
}

func (j *Jobs) putReadings(ctx context.Context, readings []catalogue.Reading) error {
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		for _, r := range readings {
			if err := tx.PutReading(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// MeterPage is a part of what was measured.
type MeterPage struct {
	Readings []catalogue.Reading
	// Gaps are days that were not measured to the end: the server was away, or there was none yet.
	Gaps []decide.Span
	// More is the last reading of the page, if there are others after it.
	More *catalogue.Reading
}

// Readings is a page of what a vault, which has to be there, took up on the days from one to another, both included.
func (k *Keeper) Readings(ctx context.Context, q catalogue.ReadingQuery) (page MeterPage, err error) {
	today := decide.Day(k.now())
	err = k.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		page = MeterPage{}
		r, err := v.Resource(ctx, q.Vault)
		if err != nil {
			return err
		}
		one := q
		one.Limit++
		found, err := v.Readings(ctx, one)
		if err != nil {
			return err
		}
		if len(found) > q.Limit {
			found = found[:q.Limit]
			page.More = &found[q.Limit-1]
		}
		asked := decide.Span{From: later(q.From, decide.Day(r.Created.At)), To: earlier(q.To, today.AddDate(0, 0, -1))}
		if q.After != nil {
			asked.From = later(asked.From, q.After.Day.AddDate(0, 0, 1))
		}
		if page.More != nil {
			asked.To = earlier(asked.To, page.More.Day)
		}
		var whole []time.Time
		for _, f := range found {
			if f.Instance.Is(q.Vault) {
				whole = append(whole, f.Day)
			} else {
				page.Readings = append(page.Readings, f)
			}
		}
		page.Gaps = decide.Gaps(asked, whole)
		return nil
	})
	return page, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the first of two times, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
