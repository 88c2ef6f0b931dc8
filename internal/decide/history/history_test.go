package history

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

func TestHistoriesAreReadFromWords(t *testing.T) {
	for _, c := range []struct {
		words string
		// change is what differs from the defaults; a period of no length is for ever.
		change  Histories
		refused string
	}{
		{"", nil, ""},
		{"jobs=P1Y", Histories{Jobs: {Months: 12}}, ""},
		{"jobs=P7D", Histories{Jobs: {Days: 7}}, ""},
		{" audit-log=P10Y , meter=P5Y6M", Histories{AuditLog: {Months: 120}, Meter: {Months: 66}}, ""},
		{"audit-log=0", Histories{AuditLog: {}}, ""},
		{"audit-log=P0D,slots=P60W", Histories{AuditLog: {}, Slots: {Days: 420}}, ""},
		{"jobs=0,jobs=P30D", Histories{Jobs: {Days: 30}}, ""},
		{"operations=P8D,alerts=P1M", Histories{Operations: {Days: 8}, Alerts: {Months: 1}}, ""},
		{"points=P30D", nil, `"points=P30D" is no history: write one of audit-log, jobs, operations, slots, alerts, meter`},
		{"jobs", nil, "is empty"},
		{"jobs=", nil, "is empty"},
		{"Jobs=P30D", nil, "is no history"},
		{"=P30D", nil, "is no history"},
		{"jobs=180", nil, "jobs: "},
		{"jobs=-P30D", nil, "it is negative"},
		{"jobs=P6D", nil, "jobs: P6D is less than seven days: write P7D or more, or 0 for ever"},
		{"audit-log=PT1000H", nil, "has hours or less"},
		{"audit-log=P1YT1S", nil, "has hours or less"},
		{"audit-log=P2000Y", nil, "longer than a thousand years"},
		{"audit-log=PT0S", nil, "of no length"},
	} {
		var words []string
		if c.words != "" {
			words = strings.Split(c.words, ",")
		}
		got, err := Parse(words)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) || got != nil {
				t.Errorf("%q: %v, %v", c.words, got, err)
			}
			continue
		}
		want := Defaults()
		for kind, p := range c.change {
			if want[kind] = p; p == (schedule.Period{}) {
				delete(want, kind)
			}
		}
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", c.words, got, err, want)
		}
	}
}

func TestEveryKindHasADefaultThatMayBeWritten(t *testing.T) {
	defaults := Defaults()
	for _, k := range Kinds() {
		if p, there := defaults[k]; !there || p.Shorter(least) || p.Seconds != 0 {
			t.Errorf("%s: %v", k, p)
		}
	}
	if len(defaults) != len(Kinds()) {
		t.Errorf("there are %d kinds and %d defaults", len(Kinds()), len(defaults))
	}
}

func TestTheEndOfAHistoryIsItsPeriodAgo(t *testing.T) {
	for _, c := range []struct{ period, now, want string }{
		{"P180D", "2026-11-22T07:00:00Z", "2026-05-26T07:00:00Z"},
		{"P2Y", "2026-11-22T07:00:00Z", "2024-11-22T07:00:00Z"},
		{"P1Y", "2024-02-29T07:00:00Z", "2023-02-28T07:00:00Z"},
		{"P1M", "2026-03-31T07:00:00Z", "2026-02-28T07:00:00Z"},
		{"P1M", "2026-03-31T09:00:00+02:00", "2026-02-28T07:00:00Z"},
	} {
		p, err := schedule.ParsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		now, _ := time.Parse(time.RFC3339, c.now)
		got, bounded := Histories{Jobs: p}.End(Jobs, now)
		if !bounded || got.Format(time.RFC3339) != c.want {
			t.Errorf("%s before %s: %v %v, want %s", c.period, c.now, got, bounded, c.want)
		}
	}
	if end, bounded := (Histories{}).End(AuditLog, time.Unix(0, 0)); bounded {
		t.Errorf("what is kept for ever ends before %v", end)
	}
}

// TestNothingIsYoungerThanItsHistoryWhenItEnds goes through the days of four years.
func TestNothingIsYoungerThanItsHistoryWhenItEnds(t *testing.T) {
	for _, p := range []schedule.Period{{Months: 1}, {Months: 2, Days: 1}, {Months: 13, Days: 30}, {Months: 24}, {Days: 180}, {Months: 12}} {
		h := Histories{Jobs: p}
		for now := time.Date(2023, 1, 1, 12, 0, 0, 0, time.UTC); now.Year() < 2027; now = now.AddDate(0, 0, 1) {
			end, _ := h.End(Jobs, now)
			if p.After(end).After(now) {
				t.Errorf("on %v, what is of %v has %+v behind it", now, end, p)
			}
			// It is the last such day, or what months of different lengths bring with them.
			if late := now.Sub(p.After(end)); late > 3*24*time.Hour {
				t.Errorf("on %v, what is of %v is kept %v too long", now, end, late)
			}
		}
	}
}
