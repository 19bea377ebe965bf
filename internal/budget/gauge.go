package budget

import (
	"cmp"
	"time"

	"tributary/destinations"
)

// A gauge is what the vendor tells of a limit that nobody declared, such as a percentage of
// something only the vendor can count.
type gauge struct {
	destinations.Reading
	at time.Time
}

const (
	pressed    = 0.2 // of a gauge's Max left: from here on requests are spaced (Meta's sheet §5.3: above ~80 %)
	widest     = 10 * time.Second
	forgotten  = 10 * time.Minute
	gaugeEmpty = time.Minute // how long an empty gauge is left alone where the vendor does not say
)

// reopens is when the next request may go after the last one; zero or past: now. The fuller the
// gauge, the wider the space; an empty one stops everything until it resets, and spaces widely
// until the vendor's next word. What was said long ago no longer counts.
func (g *gauge) reopens(last time.Time) time.Time {
	left := float64(g.Remaining) / float64(max(g.Max, 1))
	switch {
	case g.Remaining < 0 || last.Sub(g.at) > forgotten:
		return time.Time{}
	case g.Remaining == 0:
		at := g.at.Add(cmp.Or(g.Resets, gaugeEmpty))
		if spaced := last.Add(widest); spaced.After(at) {
			return spaced
		}
		return at
	case g.Max <= 0 || left >= pressed:
		return time.Time{}
	default:
		return last.Add(time.Duration(float64(widest) * (pressed - left) / pressed))
	}
}
