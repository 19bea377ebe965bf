package mappings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
)

// Advised puts what an adapter says of its lines (destinations.Adviser) at their places:
// words that name a line as (file:line) become a warning there, any others say nothing of
// the mapping and are left out. keys are those under destinations that were asked for the
// destination, the nearest first; who names it in the message.
func (m *Mapping) Advised(who string, keys []string, words []string) []Problem {
	ps := &problems{}
	for _, w := range words {
		for _, at := range m.linesOf(keys) {
			if named := "(" + at.String() + ")"; strings.Contains(w, named) {
				said := strings.ReplaceAll(strings.ReplaceAll(w, " "+named, ""), named, "")
				ps.warn(at, "vendor_advice", "", "%s: %s", who, said)
				break
			}
		}
	}
	return ps.list
}

// linesOf gives the places of the lines under some keys of destinations.
func (m *Mapping) linesOf(keys []string) []place {
	var out []place
	for _, key := range keys {
		if d := m.destinations[key]; d != nil {
			for _, name := range slices.Sorted(maps.Keys(d.places)) {
				out = append(out, d.places[name])
			}
		}
	}
	return out
}

// A Taker is what a configured destination takes, as far as a mapping can get it wrong.
type Taker struct {
	Name, Kind string
	MaxAge     time.Duration // of an event when it is sent; 0: none
}

// CheckTakers finds lines that a destination can never send as they are meant. currency
// is true where the configuration names a currency for values that come without one.
func (m *Mapping) CheckTakers(takers []Taker, currency bool) []Problem {
	ps := &problems{}
	for _, t := range takers {
		for _, key := range []string{t.Name, t.Kind} {
			d := m.destinations[key]
			if d == nil {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(d.routes)) {
				if r := d.routes[name]; t.MaxAge > 0 && r.Delay >= t.MaxAge {
					ps.warn(d.places[name], "delay_beyond_window", "", "%s takes nothing older than %s: an event that waits %s first is never sent", t.Name, inWords(t.MaxAge), inWords(r.Delay))
				}
			}
			if t.Name == t.Kind {
				break
			}
		}
	}
	m.shadowedLines(ps, takers)
	if at, sends := m.firstValue(takers); sends && !currency && !m.declaresCurrency() {
		ps.warn(at, "value_without_currency", "", "a value is sent only with its currency, and neither the mapping nor the configuration says which one holds where a deal names none: write revenue: currency: default, or currency under the source or account")
	}
	return ps.list
}

// firstValue is the first line that sends a value to one of the takers.
func (m *Mapping) firstValue(takers []Taker) (first place, found bool) {
	for _, t := range takers {
		for _, key := range []string{t.Name, t.Kind} {
			d := m.destinations[key]
			if d == nil {
				continue
			}
			for name, r := range d.routes {
				if at := d.places[name]; sendsValue(r) && (!found || at.file == first.file && at.line < first.line) {
					first, found = at, true
				}
			}
		}
	}
	return first, found
}

func sendsValue(r canonical.Route) bool { return r.Value != "" && r.Value != "none" }

// inWords writes a duration as people say it.
func inWords(d time.Duration) string {
	if days := d.Hours() / 24; days >= 2 && days == float64(int(days)) {
		return fmt.Sprintf("%d days", int(days))
	}
	if h := d.Hours(); h >= 1 && h == float64(int(h)) {
		return fmt.Sprintf("%d hours", int(h))
	}
	return d.String()
}

// declaresCurrency is true where the mapping says which currency holds for values without one.
func (m *Mapping) declaresCurrency() bool { return m.revenue.currency != "" }
