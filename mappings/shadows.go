package mappings

import (
	"maps"
	"slices"
	"strings"
)

// shadowedRules finds rules of a section that never get a word: another is asked first and
// holds whenever they would.
func (c *compiler) shadowedRules(s *section) {
	c.shadowedMarks(s.quarantine, nil)
	c.shadowedMarks(s.ignore, s.quarantine)
}

// shadowedMarks looks through a list of rules. before are those that are asked first.
func (c *compiler) shadowedMarks(list, before []markRule) {
	for i, r := range list {
		for _, first := range slices.Concat(before, list[:i]) {
			if first.when.always && first.when.yes {
				c.warn(r.from, "shadowed_rule", "", "the rule is never asked: the one at %s comes first and always holds", first.at)
				break
			}
			if !r.when.always && !first.when.always && first.when.program.Source().String() == r.when.program.Source().String() {
				c.warn(r.from, "shadowed_rule", "", "the rule does nothing: the one at %s has the same condition and comes first", first.at)
				break
			}
		}
	}
}

// misspeltKinds finds keys of destinations that look like a kind and are none.
func (c *compiler) misspeltKinds() {
	kinds := []string{kindHubSpot, kindLinkedIn, kindMeta, kindWebhook}
	for _, key := range c.m.DestinationKeys() {
		if slices.Contains(kinds, key) || strings.ContainsAny(key, "0123456789") || slices.ContainsFunc(kinds, func(k string) bool { return strings.HasPrefix(key, k) }) {
			continue
		}
		if near := nearest(key, kinds); near != "" {
			c.warn(c.m.destinations[key].at, "unknown_destination", near, "destinations.%s is no kind of destination (%s); it is used only by a configured one of that name", key, strings.Join(kinds, ", "))
		}
	}
}

// shadowedLines finds lines of destinations that never hold or say nothing new, given what
// is configured: under the name of one destination what its kind says already, under a kind
// what every destination of the kind has lines of its own for.
func (m *Mapping) shadowedLines(ps *problems, takers []Taker) {
	byKind := map[string][]string{}
	for _, t := range takers {
		byKind[t.Kind] = append(byKind[t.Kind], t.Name)
	}
	for _, t := range takers {
		own, shared := m.destinations[t.Name], m.destinations[t.Kind]
		if own == nil || shared == nil || t.Name == t.Kind {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(own.lines)) {
			if l, k := own.lines[name], shared.lines[name]; k != nil && len(k.route.Accounts) == 0 && l.printed("", name).String() == k.printed("", name).String() {
				ps.warn(own.places[name], "dead_rule", "", "the line does nothing: destinations.%s says the same at %s", t.Kind, shared.places[name])
			}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(byKind)) {
		d := m.destinations[kind]
		if d == nil || slices.Contains(byKind[kind], kind) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(d.lines)) {
			covered := !slices.ContainsFunc(byKind[kind], func(dest string) bool {
				own := m.destinations[dest]
				return own == nil || own.lines[name] == nil && (own.lines[anyName] == nil || name == anyName)
			})
			if covered {
				ps.warn(d.places[name], "shadowed_rule", "", "the line is never asked: every configured destination of kind %s has one of its own for %s", kind, shownName(name))
			}
		}
	}
}

func shownName(name string) string {
	if name == anyName {
		return "any name"
	}
	return name
}
