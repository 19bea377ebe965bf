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

// A Seen is a CRM stage that receipts reported and that became crm_stage_changed.
type Seen struct {
	Source   string
	Way      canonical.Way
	Object   string // contact, company, deal
	Account  string // of the CRM
	Pipeline string
	Stage    string
	Times    int64
	Last     time.Time
}

// CheckSeen warns of stages that were reported and that no line of this mapping names.
func (m *Mapping) CheckSeen(seen []Seen) []Problem {
	ps := &problems{}
	for _, s := range seen {
		r := canonical.Report{Subject: canonical.SubjectLifecycle, Object: canonical.Object{Account: s.Account, Type: s.Object, ID: "1"},
			RawStage: s.Stage, Pipeline: s.Pipeline, OccurredAt: s.Last}
		what, table := s.Object+" stage", "lifecycle"
		if s.Object == "deal" {
			r.Subject, table = canonical.SubjectDealStage, "deals"
			what = "deal stage"
		}
		rc := canonical.Receipt{Source: s.Source, Way: s.Way, ReceivedAt: s.Last}
		got := m.Apply(r, rc)
		if got.Event == nil || got.Event.Name != StageChanged || got.Event.Rule != "" || got.Event.Ignored != "" || s.Object == "company" {
			continue
		}
		at := place{}
		for _, n := range m.near(&r, &rc) {
			if n != nil {
				at = n.at
				break
			}
		}
		where := ""
		if s.Pipeline != "" {
			where = " in pipeline " + shown(s.Pipeline)
		}
		near := nearest(s.Stage, m.stagesOf(&r, &rc))
		if near != "" {
			near = "the line " + near
		}
		ps.warn(at, "stage_not_covered", near, "%s %s%s was reported %s, last on %s, and no line of %s names it by that value",
			what, shown(s.Stage), where, times(s.Times), s.Last.UTC().Format(time.DateOnly), table)
	}
	return ps.list
}

// stagesOf lists the raw values that lines for such a report name.
func (m *Mapping) stagesOf(r *canonical.Report, rc *canonical.Receipt) []string {
	var out []string
	for _, s := range m.near(r, rc) {
		if s == nil {
			continue
		}
		if r.Subject == canonical.SubjectLifecycle {
			out = append(out, slices.Sorted(maps.Keys(s.lifecycle))...)
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(s.pipelines)) {
			out = append(out, slices.Sorted(maps.Keys(s.pipelines[p]))...)
		}
	}
	return out
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// declaresCurrency is true where the mapping says which currency holds for values without one.
func (m *Mapping) declaresCurrency() bool { return m.revenue.currency != "" }
