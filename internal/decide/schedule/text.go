package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Text is the timetable as ParseTimetable reads it: whoever comes upon another one than there was knows what would have been due by that. Those of
// the same slots and spread, as they are written, have the same text.
func (t Timetable) Text() string {
	zone := "UTC"
	if t.Schedule.Zone != nil {
		zone = t.Schedule.Zone.String()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %d", zone, t.Spread.Milliseconds())
	write := func(mark string, i Interval) {
		fmt.Fprintf(&text, ";%s %d %d %d %d", mark, i.Start.Unix(), i.Every.Months, i.Every.Days, i.Every.Seconds)
	}
	for _, i := range t.Schedule.Intervals {
		write("at", i)
	}
	for _, w := range t.Windows {
		write("not", w.Start)
		fmt.Fprintf(&text, " %d %d %d", w.For.Months, w.For.Days, w.For.Seconds)
	}
	return text.String()
}

// ParseTimetable reads what Text has written.
func ParseTimetable(text string) (t Timetable, err error) {
	refuse := func() (Timetable, error) {
		return Timetable{}, coffer.Errorf(coffer.CodeInvalidInput, "%s is not how a timetable is kept", shown(text))
	}
	parts := strings.Split(text, ";")
	var name string
	var spread int64
	if n, err := fmt.Sscanf(parts[0], "%s %d", &name, &spread); err != nil || n != 2 {
		return refuse()
	}
	t.Spread = time.Duration(spread) * time.Millisecond
	if t.Schedule.Zone, err = Zone(name); err != nil {
		return Timetable{}, err
	}
	for _, part := range parts[1:] {
		mark, rest, _ := strings.Cut(part, " ")
		var start int64
		var every, length Period
		fields := []any{&start, &every.Months, &every.Days, &every.Seconds}
		if mark == "not" {
			fields = append(fields, &length.Months, &length.Days, &length.Seconds)
		}
		if n, err := fmt.Sscan(rest, fields...); err != nil || n != len(fields) || every.atLeast() <= 0 {
			return refuse()
		}
		i := Interval{Start: time.Unix(start, 0).In(t.Schedule.Zone), Every: every}
		switch mark {
		case "at":
			t.Schedule.Intervals = append(t.Schedule.Intervals, i)
		case "not":
			t.Windows = append(t.Windows, Window{Start: i, For: length})
		default:
			return refuse()
		}
	}
	return t, nil
}
