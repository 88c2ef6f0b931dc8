// Package meter holds the rules of what is measured day by day.
package meter

import (
	"strings"
	"time"
)

// Day is the day that a time is in, in UTC: its midnight.
func Day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// Span are days in a row, both ends included. One that ends before it begins has none.
type Span struct{ From, To time.Time }

// Gaps are the days of a span that are not among those measured, which are in order.
func Gaps(of Span, measured []time.Time) (gaps []Span) {
	next := Day(of.From)
	end := Day(of.To)
	add := func(until time.Time) {
		if until.After(end) {
			until = end
		}
		if !until.Before(next) {
			gaps = append(gaps, Span{From: next, To: until})
		}
	}
	for _, day := range measured {
		day = Day(day)
		if day.Before(next) {
			continue
		}
		add(day.AddDate(0, 0, -1))
		next = day.AddDate(0, 0, 1)
	}
	add(end)
	return gaps
}

// Namespaces is how many namespaces a configuration names, and 0 where only a cluster could say how many that are.
func Namespaces(included []string) int {
	for _, name := range included {
		if strings.ContainsAny(name, "*?[") {
			return 0
		}
	}
	return len(included)
}
