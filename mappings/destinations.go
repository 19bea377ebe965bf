package mappings

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// Kinds of destination whose vendors ask for something that a mapping can get wrong.
const (
	kindMeta     = "meta"
	kindLinkedIn = "linkedin"
)

// destinations reads what each destination gets for each canonical name.
func (c *compiler) destinations(tops []top) {
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["destinations"]
		if !ok {
			continue
		}
		for _, d := range c.pairs(p.value, "destinations", exactly) {
			c.destination(d)
		}
	}
}

func (c *compiler) destination(p pair) {
	key := p.key.Value
	d, ok := c.m.destinations[key]
	if !ok {
		d = &destination{at: p.at, routes: map[string]canonical.Route{}, places: map[string]place{}}
		c.m.destinations[key] = d
	}
	for _, line := range c.pairs(p.value, "destinations."+key, strings.TrimSpace) {
		word := strings.TrimSpace(line.key.Value)
		if _, ok := c.m.names[word]; !ok && word != anyName {
			c.unknownName(line.at, word)
			continue
		}
		if before, twice := d.places[word]; twice {
			c.mistake(line.at, "duplicate_key", "", "%s stands twice in destinations.%s; it is at %s already", shown(word), key, before)
			continue
		}
		before := len(c.list)
		r := c.route(line, "destinations."+key+"."+word)
		if word == anyName && (r.Event != "" || r.Rule != "") {
			c.mistake(line.at, "many_names", "", "\"*\" stands for many names and cannot give them all one event or rule")
		}
		d.routes[word], d.places[word] = r, line.at
		if len(c.list) == before && (key == kindMeta || key == kindLinkedIn) {
			checkRoute(&c.problems, key, word, r, line.at)
		}
	}
}

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// maxVendorName is what Meta is said to take.
const maxVendorName = 50

func (c *compiler) route(line pair, what string) canonical.Route {
	r := canonical.Route{At: line.at.String()}
	fields := c.fields(line.value, what, "event", "rule", "value", "if_missing", "properties")
	if p, ok := fields["event"]; ok {
		r.Event = c.vendorName(p.value)
	}
	if p, ok := fields["rule"]; ok {
		word, ok := c.word(p.value, "rule")
		if ok && !ruleName.MatchString(word) {
			c.mistake(c.place(follow(p.value)), "bad_rule", "", "%s is no rule name: small letters, digits and single _ between them; the vendor's own id stands in the destination's configuration", shown(word))
		}
		r.Rule = word
		if _, both := fields["event"]; both {
			c.mistake(p.at, "event_and_rule", "", "a line gives an event or a rule, not both")
		}
	}
	if p, ok := fields["value"]; ok {
		r.Value, _ = c.basis(p.value, "value", append([]string{"none"}, bases...))
	}
	if p, ok := fields["if_missing"]; ok {
		r.IfMissing = c.ifMissing(p.value)
		if r.Value == "" || r.Value == "none" {
			c.mistake(p.at, "useless_if_missing", "", "if_missing says nothing where no value is sent; add value")
		} else if r.IfMissing == "use:"+r.Value {
			c.mistake(p.at, "useless_if_missing", "", "if_missing names the value itself")
		}
	}
	if p, ok := fields["properties"]; ok {
		r.Properties = c.properties(p.value, what+".properties")
	}
	return r
}

func (c *compiler) vendorName(n *yaml.Node) string {
	n = follow(n)
	if n.Kind != yaml.ScalarNode || isNothing(n) {
		c.mistake(c.place(n), "wrong_type", "", "event must be the vendor's name for it, not %s", kindOf(n))
		return ""
	}
	if n.Value != strings.TrimSpace(n.Value) || len(n.Value) > maxVendorName || strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' }) {
		c.mistake(c.place(n), "bad_event", "", "%s is no event name: at most %d letters, no white space at the ends", shown(n.Value), maxVendorName)
		return ""
	}
	return n.Value
}

// ifMissing reads what to do when the value was not given: hold, send_without_value,
// use:<basis>, the last also as {use: <basis>}.
func (c *compiler) ifMissing(n *yaml.Node) string {
	n = follow(n)
	if n.Kind == yaml.MappingNode {
		p, ok := c.fields(n, "if_missing", "use")["use"]
		if !ok {
			return ""
		}
		basis, ok := c.basis(p.value, "value", bases)
		if !ok {
			return ""
		}
		return "use:" + basis
	}
	word, ok := c.word(n, "if_missing")
	if !ok {
		return ""
	}
	if basis, ok := strings.CutPrefix(word, "use:"); ok {
		basis, ok = c.basisWord(c.place(n), strings.TrimSpace(basis), "value", bases)
		if !ok {
			return ""
		}
		return "use:" + basis
	}
	choices := []string{"hold", "send_without_value", "use:amount", "use:mrr", "use:arr", "use:acv", "use:tcv"}
	if !slices.Contains(choices[:2], word) {
		c.mistake(c.place(n), "unknown_choice", nearest(word, choices), "%s is no answer to a missing value; choose hold, send_without_value or use:<value>", shown(word))
		return ""
	}
	return word
}

// properties reads constants: text, numbers, yes and no.
func (c *compiler) properties(n *yaml.Node, what string) map[string]any {
	out := make(map[string]any)
	for _, p := range c.pairs(n, what, exactly) {
		v := follow(p.value)
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			c.mistake(c.place(v), "wrong_type", "", "%s must be text, a number, true or false, not %s", shown(p.key.Value), kindOf(v))
			continue
		}
		switch v.Tag {
		case "!!int":
			var i int64
			if v.Decode(&i) == nil {
				out[p.key.Value] = i
				continue
			}
		case "!!bool":
			var b bool
			if v.Decode(&b) == nil {
				out[p.key.Value] = b
				continue
			}
		case "!!float":
			var f float64
			if v.Decode(&f) == nil && f-f == 0 { // neither infinite nor not a number
				out[p.key.Value] = f
				continue
			}
		}
		out[p.key.Value] = v.Value
	}
	return out
}

// checkRoute holds a line against what is known of the vendor.
func checkRoute(ps *problems, kind, name string, r canonical.Route, at place) {
	switch kind {
	case kindMeta:
		if r.Rule != "" {
			ps.mistake(at, "rule_for_meta", `"event"`, "Meta takes an event name; a rule means nothing there")
		} else if r.Event == "" {
			ps.mistake(at, "no_event", "", "%s at Meta needs an event: the name Meta is to see", shown(name))
		}
		if r.Event == "Purchase" {
			if r.Value == "" || r.Value == "none" {
				ps.mistake(at, "purchase_without_value", "", "Meta refuses Purchase without a value; say which one is sent, such as value: amount")
			} else if r.IfMissing == "" || r.IfMissing == "send_without_value" {
				ps.warn(at, "purchase_without_value", "", "Meta refuses Purchase without a value; say what to do when a deal has no %s: if_missing: hold, or use:<value>", r.Value)
			}
		}
	case kindLinkedIn:
		if r.Event != "" {
			ps.mistake(at, "event_for_linkedin", `"rule"`, "LinkedIn takes a conversion rule; an event name means nothing there")
		} else if r.Rule == "" {
			ps.mistake(at, "no_rule", "", "%s at LinkedIn needs a rule: a name that the destination's configuration binds to the account's own id", shown(name))
		}
	}
}

// CheckConfigured holds the mapping against the configuration: sources lists the
// configured sources, destinations the configured destinations' kinds by name. Keys that
// mean none of them are mistakes, and lines of a named destination are held against its
// vendor.
func (m *Mapping) CheckConfigured(sources []string, kinds map[string]string, knownKinds []string) []Problem {
	ps := &problems{}
	for _, key := range m.Sections() {
		if !isWayIn(key) && !slices.Contains(sources, key) {
			ps.mistake(m.sections[key].at, "unknown_section", nearest(key, append(slices.Clone(waysIn), sources...)), "sources.%s is no way in and no configured source", key)
		}
	}
	names := slices.Sorted(maps.Keys(kinds))
	for _, key := range m.DestinationKeys() {
		d := m.destinations[key]
		kind, configured := kinds[key]
		if !configured && !slices.Contains(knownKinds, key) {
			ps.mistake(d.at, "unknown_destination", nearest(key, append(slices.Clone(knownKinds), names...)), "destinations.%s is no kind of destination and no configured one", key)
			continue
		}
		if configured && kind != key {
			for _, name := range slices.Sorted(maps.Keys(d.routes)) {
				checkRoute(ps, kind, name, d.routes[name], d.places[name])
			}
		}
	}
	return ps.sorted(nil)
}
