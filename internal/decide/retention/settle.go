package retention

import "time"

// settle is what is left of recovery points once all that was due up to a time is carried out, each copy when it was due. It may be asked
// seldom: what a point in time lets go of, each later one does too, for the newest of each tier only move on. The points are not changed.
func settle(points []Point, terms Terms) []Point {
	for {
		left, changed := make([]Point, 0, len(points)), false
		for i, holds := range hold(points, terms) {
			p := points[i]
			d := p.decide(holds, terms)
			if d.Vault == Copy {
				p.Vault = Tier{Present: true, Since: p.copyAt(), Expires: p.Vault.Expires}
				changed = true
			}
			if d.Operational == Expire {
				p.Operational.Present = false
				changed = true
			}
			if d.Vault == Expire {
				p.Vault.Present = false
				changed = true
			}
			if p.There() {
				left = append(left, p)
			}
		}
		if points = left; !changed {
			return points
		}
	}
}

// taken are those of the points that there are at a time.
func taken(points []Point, at time.Time) []Point {
	var found []Point
	for _, p := range points {
		if !p.Taken.After(at) {
			found = append(found, p)
		}
	}
	return found
}
