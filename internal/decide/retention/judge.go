package retention

import (
	"cmp"
	"slices"
	"time"
)

// Terms are what has to be known of a backup instance to judge its recovery points.
type Terms struct {
	Now time.Time
	// KeepAtLeast is how many of the newest good recovery points are never expired; 1 and less are the newest, which never is.
	KeepAtLeast int
	// Suspended: no backups are made, expiry goes on, and the latest recovery point is kept for ever.
	Suspended bool
	// Stopped: protection is stopped, and nothing expires.
	Stopped bool
	// Immutable: the vault lets nobody shorten what was promised.
	Immutable bool
}

// Fate is what becomes of a recovery point in a tier.
type Fate string

// The fates.
const (
	// Nothing: it is not in the tier, and is not to be.
	Nothing Fate = ""
	Keep    Fate = "Keep"
	// Copy: it is to be copied to the tier now. CopyLater: at a later time.
	Copy      Fate = "Copy"
	CopyLater Fate = "CopyLater"
	// Expire: the tier is to let go of it now.
	Expire Fate = "Expire"
)

// Decision is what becomes of a recovery point.
type Decision struct {
	Name string
	// Operational is Keep, Expire or Nothing; Vault may be any.
	Operational, Vault Fate
	// Reason is a sentence for people.
	Reason string
	// Until is when the last tier lets go of it, if nothing else is decided before. Zero: that depends on something else than the time.
	Until time.Time
	// Next is when time alone changes the decision; zero is never.
	Next time.Time
}

// Gone says whether nothing is left of the recovery point once the decision is carried out.
func (d Decision) Gone() bool {
	return (d.Operational == Expire || d.Vault == Expire) && d.Operational != Keep && d.Vault != Keep
}

// Judge decides what becomes of each of the recovery points of an instance, which are all that it has. Decisions are in the order of the
// points, which may be any. All of them can be carried out at once.
//
// A tier lets go of a recovery point when the time that it was promised is up, and nothing below holds it:
//   - the newest good one stays, in each tier that has it; so do the newest of either tier, and the newest good one of the vault tier
//   - the operational one of which the newest copy in the vault tier was made stays, for the next copy is made against it
//   - of the newest so many good ones, that the policy keeps at least, each stays in one tier: the vault tier if that has it
//   - while backups are suspended the latest one stays
//   - what is under legal hold, or is being read, stays, and while protection is stopped everything does
//   - what is to be copied to the vault tier, and is not there yet, stays in the operational tier
//
// Copies are made when they are due, whatever else holds the recovery point: at the latest when the operational tier would let go of it. One
// that the vault tier would let go of by now is not made any more, and keeps nothing.
func Judge(points []Point, terms Terms) []Decision {
	points = slices.Clone(points)
	for i := range points {
		if points[i].TooLate(terms.Now) {
			points[i].Copy = time.Time{}
		}
	}
	decisions, holds := make([]Decision, len(points)), hold(points, terms)
	for i, p := range points {
		decisions[i] = p.decide(holds[i], terms)
		decisions[i].Reason = p.explain(decisions[i], holds[i], terms)
	}
	return decisions
}

// held are the reasons for which the tiers do not let go of a recovery point.
type held struct{ operational, vault []string }

func (h *held) both(why string) {
	h.operational, h.vault = append(h.operational, why), append(h.vault, why)
}

// hold finds what holds each of the points. Of what is in no tier nothing is the newest.
func hold(points []Point, terms Terms) []held {
	holds := make([]held, len(points))
	var order []int
	for i, p := range points {
		if p.There() {
			order = append(order, i)
		}
		switch {
		case terms.Stopped:
			holds[i].both("protection is stopped")
		case p.Held != "":
			holds[i].both("it is under legal hold: " + p.Held)
		}
		if p.Reader != "" {
			holds[i].both(p.Reader + " reads it")
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(points[b].Taken.Compare(points[a].Taken), cmp.Compare(points[b].Name, points[a].Name))
	})
	if terms.Suspended && len(order) > 0 {
		holds[order[0]].both("backups are suspended, and it is the latest")
	}
	var seen ranks
	for _, i := range order {
		seen.hold(points[i], &holds[i], terms.KeepAtLeast)
	}
	return holds
}

// ranks count the recovery points that are newer, those of each kind on their own.
type ranks struct{ good, operational, vault, goodVault int }

// hold finds what holds the next older recovery point for its place among the others.
func (r *ranks) hold(p Point, h *held, atLeast int) {
	if p.Good {
		r.good++
	}
	switch {
	case p.Good && r.good == 1:
		h.both("it is the newest good recovery point")
	case p.Good && r.good <= atLeast && p.Vault.Present:
		h.vault = append(h.vault, newestOf(atLeast))
	case p.Good && r.good <= atLeast:
		h.operational = append(h.operational, newestOf(atLeast))
	}
	if p.Operational.Present {
		if r.operational++; r.operational == 1 {
			h.operational = append(h.operational, "it is the newest in the operational tier")
		}
	}
	if !p.Vault.Present {
		return
	}
	if r.vault++; r.vault == 1 {
		h.vault = append(h.vault, "it is the newest in the vault tier")
		h.operational = append(h.operational, "its copy is the newest in the vault tier, and the next is made against it")
	}
	if p.Good {
		if r.goodVault++; r.goodVault == 1 && r.vault > 1 {
			h.vault = append(h.vault, "it is the newest good one in the vault tier")
		}
	}
}

// decide is the decision without its reason.
func (p Point) decide(h held, terms Terms) Decision {
	d := Decision{Name: p.Name, Operational: p.Operational.fate(h.operational, terms.Now), Vault: p.Vault.fate(h.vault, terms.Now)}
	if p.Awaited() {
		if d.Vault = Copy; terms.Now.Before(p.copyAt()) {
			d.Vault = CopyLater
			d.Next = p.copyAt()
		}
		if d.Operational == Expire {
			d.Operational = Keep
		}
	}
	settled := true
	for _, tier := range []struct {
		Tier
		fate  Fate
		holds []string
	}{{p.Operational, d.Operational, h.operational}, {p.Vault, d.Vault, h.vault}} {
		switch {
		case tier.fate != Keep && tier.fate != Copy && tier.fate != CopyLater:
			continue
		case tier.Expires.IsZero() || !tier.Expires.After(terms.Now):
			settled = false
		case tier.Present && (d.Next.IsZero() || tier.Expires.Before(d.Next)):
			d.Next = tier.Expires
		}
		if tier.Expires.After(d.Until) {
			d.Until = tier.Expires
		}
		if tier.Present && lasting(terms, p) {
			settled = false
		}
	}
	if !settled {
		d.Until = time.Time{}
	}
	return d
}

// lasting says whether a recovery point is held by what does not end with time, however far that is from being up.
func lasting(terms Terms, p Point) bool { return terms.Stopped || p.Held != "" }

// fate is that of a tier's, as far as the tier itself decides it.
func (t Tier) fate(holds []string, now time.Time) Fate {
	switch {
	case !t.Present:
		return Nothing
	case t.Expires.IsZero() || now.Before(t.Expires) || len(holds) > 0:
		return Keep
	}
	return Expire
}
