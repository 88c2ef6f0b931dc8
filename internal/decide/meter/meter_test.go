package meter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/meter"
)

func day(n int) time.Time { return time.Date(2026, 2, n, 0, 0, 0, 0, time.UTC) }

func TestDaysThatWereNotMeasuredAreGaps(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to int
		measured []int
		want     string
	}{
		{"all were measured", 1, 3, []int{1, 2, 3}, ""},
		{"none was", 1, 3, nil, "1-3"},
		{"the first was not", 1, 3, []int{2, 3}, "1-1"},
		{"the last were not", 1, 5, []int{1, 2}, "3-5"},
		{"days between were not, twice", 1, 9, []int{2, 5, 6, 9}, "1-1 3-4 7-8"},
		{"what is before and after counts for nothing", 3, 5, []int{1, 2, 4, 6, 7}, "3-3 5-5"},
		{"a day was measured twice", 1, 3, []int{1, 2, 2, 3}, ""},
		{"nothing was asked for", 3, 2, []int{1}, ""},
		{"one day", 3, 3, nil, "3-3"},
		{"over the end of a month", 27, 31, []int{28}, "27-27 1-3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var measured []time.Time
			for _, n := range tt.measured {
				measured = append(measured, day(n).Add(time.Hour))
			}
			var got []string
			for _, gap := range meter.Gaps(meter.Span{From: day(tt.from).Add(time.Minute), To: day(tt.to)}, measured) {
				got = append(got, fmt.Sprintf("%d-%d", gap.From.Day(), gap.To.Day()))
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("gaps are %q, want %q", text, tt.want)
			}
		})
	}
}

func TestADayIsThatOfUTC(t *testing.T) {
	late := time.Date(2026, 2, 1, 23, 30, 0, 0, time.FixedZone("", -3600))
	if got := meter.Day(late); !got.Equal(day(2)) || got.Location() != time.UTC {
		t.Errorf("%v is of %v", late, got)
	}
}

func TestNamespacesThatAreNamedAreCounted(t *testing.T) {
	for want, included := range map[int][]string{2: {"shop", "bank"}, 0: {"shop", "team-*"}} {
		if got := meter.Namespaces(included); got != want {
			t.Errorf("%q are %d, want %d", included, got, want)
		}
	}
	if got := meter.Namespaces(nil); got != 0 {
		t.Errorf("none named are %d", got)
	}
}
