package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestATimetableIsReadAsItWasWritten(t *testing.T) {
	for _, tt := range []struct {
		name      string
		zone      string
		spread    time.Duration
		intervals []string
		windows   [][2]string
	}{
		{"one interval", "UTC", 0, []string{"R/2026-01-01T02:30:00/PT4H"}, nil},
		{"a zone, and a spread", "Europe/Berlin", 30 * time.Second, []string{"R/2026-01-31T02:30:00/P1M", "R/2026-01-01T00:00:00/P1W"}, nil},
		{"a zone of Windows' and windows", "W. Europe Standard Time", 5 * time.Minute, []string{"R/2026-01-01T02:30:00/P1D"}, [][2]string{{"R/2026-12-24T00:00:00/P1Y", "P3DT1H"}, {"R/2026-01-01T08:00:00/P1D", "PT10H"}}},
		{"no intervals", "UTC", 0, nil, nil},
	} {
		table := mustTimetable(t, tt.zone, tt.spread, tt.intervals, tt.windows...)
		read, err := ParseTimetable(table.Text())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		same := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
		if diff := cmp.Diff(table, read, same); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		for range 50 {
			want, ok := table.Next(from)
			if got, found := read.Next(from); !got.Equal(want) || found != ok {
				t.Errorf("%s: after %s it is due at %s, was at %s", tt.name, from, got, want)
			}
			if !ok {
				break
			}
			from = want
		}
	}
	for _, text := range []string{"", "UTC", "Nowhere/At-all 0", "UTC x", "UTC 0;at 1 0 0", "UTC 0;at 1 0 0 0", "UTC 0;on 1 0 1 0", "UTC 0;not 1 0 1 0", "0123456789abcdef0123456789abcdef"} {
		if read, err := ParseTimetable(text); err == nil {
			t.Errorf("%q is read as %+v", text, read)
		}
	}
}
