package retention

import (
	"cmp"
	"slices"
	"time"
)

// Adopted is what the policy promises to recovery points that there are: each of the schedule gets its tag anew, in the order of their
// slots, and each that somebody has asked for keeps the rule of the same name, if there is one, and has the default one otherwise.
//
// A copy in the vault tier is kept as the rule says, counted from when it was made; a rule that has nothing to say of the vault tier leaves
// it its promise. In an immutable vault nothing is shortened: the later time holds, and a copy that was promised is made. The points are
// not changed, and the answer is in their order.
func (p Policy) Adopted(points []Point, immutable bool) []Point {
	order := make([]int, len(points))
	for i := range points {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(points[a].Slot.Compare(points[b].Slot), cmp.Compare(points[a].Name, points[b].Name))
	})
	adopted := make([]Point, len(points))
	var latest, latestGood time.Time
	copied := p.copiedDays(points)
	for _, i := range order {
		old := points[i]
		var choice Choice
		switch {
		case old.Slot.IsZero():
			choice = p.byName(old)
		case old.Good:
			choice = p.Choose(old.Slot, latestGood)
			latest, latestGood = old.Slot, old.Slot
		default:
			choice = p.Choose(old.Slot, latest)
			latest = old.Slot
		}
		adopted[i] = p.adopt(old, choice, copied.before(old), immutable)
		copied.add(adopted[i])
	}
	return adopted
}

// byName is the rule of a recovery point that no slot stands for.
func (p Policy) byName(old Point) Choice {
	if rule, ok := p.Rule(old.Rule); ok {
		return Choice{Rule: rule, Reason: old.Reason}
	}
	return Choice{Rule: p.Default(), Reason: "the policy has no rule " + old.Rule + " any more"}
}

func (p Policy) adopt(old Point, choice Choice, copied time.Time, immutable bool) Point {
	made := p.Promise(old, choice, copied)
	made.Operational.Present, made.Operational.Since = old.Operational.Present, old.Operational.Since
	switch v := choice.Rule.Vault; {
	case old.Vault.Present:
		made.Vault, made.Copy, made.Reason = old.Vault, old.Copy, choice.Reason
		if v != nil {
			made.Vault.Expires = v.Keep.After(old.Vault.Since.UTC())
		}
	case !old.Vault.Since.IsZero():
		// The vault tier has let go of it, and gets no second copy.
		made.Vault, made.Copy = old.Vault, time.Time{}
	}
	if !immutable {
		return made
	}
	kept := made
	kept.Operational.Expires = later(old.Operational.Expires, made.Operational.Expires)
	switch {
	case old.Copy.IsZero() && !old.Vault.Present:
		// Nothing was promised of the vault tier.
	case made.Copy.IsZero():
		kept.Copy, kept.Vault = old.Copy, old.Vault
	default:
		kept.Vault.Expires = later(old.Vault.Expires, made.Vault.Expires)
	}
	if kept != made {
		kept.Reason += "; an immutable vault keeps it as long as rule " + old.Rule + " has promised"
	}
	return kept
}

// later is the later one of two times; zero is for ever.
func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return a
	}
	return b
}

// Change is what a change of a policy does to a recovery point.
type Change struct {
	Before, After Point
	// Deletes says that the change makes the recovery point expire now, which would go on otherwise.
	Deletes bool
	// Reason is a sentence for people.
	Reason string
}

// Changed says whether another time is promised than before, in any tier.
func (c Change) Changed() bool {
	return !c.Before.Operational.Expires.Equal(c.After.Operational.Expires) || !c.Before.Copy.Equal(c.After.Copy) ||
		!c.Before.Vault.Expires.Equal(c.After.Vault.Expires)
}

// PreviewChange tells what becomes of the recovery points of an instance if its policy is changed, or it is given another one, which is p:
// they keep what they were promised, unless p is for recovery points that there are too. before and after are the terms on both sides:
// their times are the same, and what a policy keeps at least may be another. Changes are in the order of the points.
func (p Policy) PreviewChange(points []Point, before, after Terms) []Change {
	adopted := points
	if p.Adopt {
		adopted = p.Adopted(points, after.Immutable)
	}
	was, is := Judge(points, before), Judge(adopted, after)
	stayed, stays := names(settle(points, before)), names(settle(adopted, after))
	changes := make([]Change, len(points))
	for i := range points {
		c := Change{Before: points[i], After: adopted[i], Deletes: stayed[points[i].Name] && !stays[points[i].Name], Reason: is[i].Reason}
		if c.Deletes || c.Changed() || was[i].Operational != is[i].Operational || was[i].Vault != is[i].Vault {
			c.Reason += ". Before: " + was[i].Reason
		}
		changes[i] = c
	}
	return changes
}

func names(points []Point) map[string]bool {
	found := make(map[string]bool, len(points))
	for _, p := range points {
		found[p.Name] = true
	}
	return found
}
