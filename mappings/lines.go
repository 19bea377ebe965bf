package mappings

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/vm"

	"tributary/canonical"
)

// A line is what one destination gets for one name, with what depends on the event.
type line struct {
	route    canonical.Route
	at       place
	own      []string // the keys that it says itself
	when     *vm.Program
	whenText string
	computed map[string]expression // properties
	words    map[string][]place    // where each word of a list stands, by key
}

// placeOf is where the i-th word of a list stands, as far as it is known.
func (l *line) placeOf(key string, i int) place {
	if list := l.words[key]; i < len(list) {
		return list[i]
	}
	return l.at
}

// An expression is compiled text.
type expression struct {
	program *vm.Program
	text    string
}

// heir begins a line with what it inherits.
func (l *line) heir(at place) *line {
	if l == nil {
		return &line{at: at}
	}
	return &line{at: at, route: l.route, when: l.when, whenText: l.whenText, computed: l.computed}
}

// inherits is true for a key that the line does not say itself.
func (l *line) inherits(key string) bool { return !slices.Contains(l.own, key) }

// lineFor finds the line for an event: that of its name, else "*". One that is for other
// accounts is as though it were not written.
func (d *destination) lineFor(destination, name string) *line {
	if d == nil {
		return nil
	}
	for _, key := range [2]string{name, anyName} {
		if l := d.lines[key]; l != nil && (len(l.route.Accounts) == 0 || slices.Contains(l.route.Accounts, destination)) {
			return l
		}
	}
	return nil
}

// RouteOf gives what an event becomes at a destination of the configuration: the line under
// its own name, else under its kind, with its condition and expressions evaluated and its
// currency's rate found. It reads nothing but the event. Without a line ok is false; what the
// mapping says of contact properties, and that the event is not meant for it, may be there all the same. The route's slices and maps are
// shared: do not change them.
func (m *Mapping) RouteOf(destination, kind string, e *canonical.Event) (r canonical.Route, ok bool) {
	l := m.destinations[destination].lineFor(destination, e.Name)
	if l == nil && kind != destination {
		l = m.destinations[kind].lineFor(destination, e.Name)
	}
	if l != nil {
		r, ok = l.route, true
		m.revenue.convert(&r, e)
		l.evaluate(&r, e)
	}
	r.NotMeant = r.NotMeant || unchosen(destination, kind, e)
	if len(m.contact.computed) > 0 && kind == kindHubSpot {
		r.Fields = m.contact.evaluate(e)
	}
	return r, ok
}

// evaluate asks the condition and computes the properties.
func (l *line) evaluate(r *canonical.Route, e *canonical.Event) {
	if l.when != nil {
		holds, err := new(vm.VM).Run(l.when, weigh(e))
		switch yes, is := holds.(bool); {
		case err != nil || !is:
			r.Broken = "the condition at " + r.At + " could not be evaluated for this event: mend it, then replay the event"
			return
		case !yes:
			r.NotMeant = true
			return
		}
	}
	if len(l.computed) == 0 {
		return
	}
	r.Properties = maps.Clone(r.Properties)
	if r.Properties == nil {
		r.Properties = make(map[string]any, len(l.computed))
	}
	compute(l.computed, e, r.Properties)
}

// compute evaluates expressions into a map. One that cannot be evaluated, or comes to
// nothing that can be sent, is left out.
func compute(list map[string]expression, e *canonical.Event, into map[string]any) {
	s := say(e)
	machine := new(vm.VM)
	for key, x := range list {
		v, err := machine.Run(x.program, &s)
		if err != nil {
			continue
		}
		if v, ok := scalar(v); ok {
			into[key] = v
		}
	}
}

// unusedDefaults warns of defaults that no line inherits.
func (c *compiler) unusedDefaults() {
	for _, key := range slices.Sorted(maps.Keys(c.m.destinations)) {
		d := c.m.destinations[key]
		if d.defaults == nil {
			continue
		}
		if len(d.lines) == 0 {
			c.warn(d.defaults.at, "dead_rule", "", "destinations.%s has defaults and no line that inherits them", key)
			continue
		}
		for _, name := range slices.Sorted(slices.Values(d.defaults.own)) {
			used := false
			for _, l := range d.lines {
				used = used || name == "properties" || l.inherits(name)
			}
			if !used {
				c.warn(d.defaults.at, "dead_rule", "", "every line of destinations.%s says its own %s; the default does nothing", key, name)
			}
		}
	}
}

func (c *compiler) ratesTo(currency string) bool {
	return slices.ContainsFunc(c.m.revenue.rates, func(r rate) bool { return r.to == currency })
}
