package retention

import "time"

// Point is a recovery point as the rules of retention see it. What it was promised was written when it was made: they do not look it up
// in the policy, which may be another one by now.
type Point struct {
	Name  string
	Taken time.Time
	// Slot is the time of the schedule that it was made for; zero is of one that somebody has asked for, out of turn.
	Slot time.Time
	// Rule is the name of the rule that it falls under, and Reason why, as Choose says.
	Rule, Reason string
	// Good says that nothing is missing in it.
	Good bool
	// Operational and Vault are its places in the two tiers.
	Operational, Vault Tier
	// Copy is when it is to be copied to the vault tier at the earliest. Zero is never: no rule wants it, or it was given up.
	Copy time.Time
	// Held is why it is under legal hold, and Reader what reads it, such as "the restore 0f3c"; empty is none.
	Held, Reader string
}

// Tier is the place of a recovery point in a tier.
type Tier struct {
	// Present says that it is there, all of it. Of a copy that is under way it is false.
	Present bool
	// Since is when it came there; zero is never. Of one that is there no more it is still known, so that no second copy is made.
	Since time.Time
	// Expires is until when it was promised; for one that is not there yet, until when it will be. Zero is for ever.
	Expires time.Time
}

// Promise is a recovery point as it is once it is made: in the operational tier, with what the rule promises it. copied is what PreviousCopy
// says of its slot.
func (p Policy) Promise(made Point, choice Choice, copied time.Time) Point {
	choice, kept := p.once(choice, made.Slot, made.Taken, copied)
	made.Rule, made.Reason = choice.Rule.Name, choice.Reason
	made.Operational = Tier{Present: true, Since: made.Taken, Expires: kept.Operational}
	made.Vault, made.Copy = Tier{}, time.Time{}
	if kept.Vault != nil {
		made.Vault.Expires, made.Copy = kept.Vault.Expires, kept.Vault.Copy
	}
	return made
}

// There says whether it is in any tier.
func (p Point) There() bool { return p.Operational.Present || p.Vault.Present }

// Awaited says whether it has still to be copied to the vault tier, and can be.
func (p Point) Awaited() bool {
	return !p.Copy.IsZero() && p.Operational.Present && !p.Vault.Present && p.Vault.Since.IsZero()
}

// copyAt is when it is copied: when the operational tier would let go of it at the latest.
func (p Point) copyAt() time.Time {
	if end := p.Operational.Expires; !end.IsZero() && end.Before(p.Copy) {
		return end
	}
	return p.Copy
}

// Expires is until when it was promised in the tier that keeps it longest; zero is for ever.
func (p Point) Expires() time.Time {
	var last time.Time
	tiers := []Tier{p.Operational, p.Vault}
	for i, t := range tiers {
		if !t.Present && (i == 0 || !p.Awaited()) {
			continue
		}
		if t.Expires.IsZero() {
			return time.Time{}
		}
		if t.Expires.After(last) {
			last = t.Expires
		}
	}
	return last
}
