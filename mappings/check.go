package mappings

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tributary/canonical"
)

// warnings says what works, but perhaps not as meant. It runs on a mapping without
// mistakes.
func (c *compiler) warnings() {
	c.unusedNames()
	for _, key := range c.m.Sections() {
		s := c.m.sections[key]
		if near := nearest(key, waysIn); near != "" && !isWayIn(key) {
			c.warn(s.at, "unknown_section", near, "sources.%s is no way in (%s); it is used only by a configured source of that name", key, strings.Join(waysIn, ", "))
		}
		c.deadRules(s)
		c.companyLines(s)
		c.shadowedRules(s)
	}
	c.misspeltKinds()
	c.choices()
	c.sharedRules()
}

// unusedNames finds names of the funnel that nothing gives or nobody gets.
func (c *compiler) unusedNames() {
	given, sent := make(map[string]bool), make(map[string]bool)
	for _, s := range c.m.sections {
		for _, t := range s.tables() {
			for _, r := range t {
				given[r.name] = true
			}
		}
	}
	for _, d := range c.m.destinations {
		for name := range d.routes {
			sent[name] = true
		}
	}
	for _, name := range c.m.vocabulary {
		if !given[name] {
			c.warn(c.vocabularyAt[name], "name_never_given", "", "no line under sources gives %s; only a server that sends that very name can", name)
		}
		if !sent[name] && !sent[anyName] && len(c.m.destinations) > 0 {
			c.warn(c.vocabularyAt[name], "name_never_sent", "", "no destination uses %s", name)
		}
	}
}

// tables lists all tables of a section.
func (s *section) tables() []map[string]rule {
	out := append(s.stageTables(), s.events, s.associations)
	for _, key := range slices.Sorted(maps.Keys(s.properties)) {
		p := s.properties[key]
		out = append(out, p.values, map[string]rule{"": p.any})
	}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		out = append(out, map[string]rule{"": s.objects[key].created})
	}
	return append(out, s.shape.names())
}

// crmEvents are event names that carry a stage: they are named by their stage.
var crmEvents = []string{"hubspot.lifecycle_changed", "lead_stage_changed", "deal.stage_changed"}

// deadRules finds lines that change nothing.
func (c *compiler) deadRules(s *section) {
	for _, r := range inOrder(s.lifecycle) {
		if r.name == StageChanged {
			c.warn(r.from, "dead_rule", "", "the line does nothing: what no line names is %s anyway", StageChanged)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.pipelines)) {
		for _, stage := range sortedKeys(s.pipelines[key]) {
			r := s.pipelines[key][stage]
			if r.alias {
				continue
			}
			other, shadow := s.pipelines[anyName][stage]
			switch {
			case key != anyName && shadow && other.name == r.name:
				c.warn(r.from, "dead_rule", "", "the line does nothing: under \"*\" at %s the stage becomes %s already", other.at, r.name)
			case r.name == StageChanged && (key == anyName || !shadow) && !takesFrom(stage, s.pipelines[key], s.pipelines[anyName]):
				c.warn(r.from, "dead_rule", "", "the line does nothing: what no line names is %s anyway", StageChanged)
			}
		}
	}
	for _, raw := range sortedKeys(s.events) {
		if r := s.events[raw]; slices.Contains(crmEvents, raw) {
			c.warn(r.from, "dead_rule", "", "the line is never asked: %s is named by its stage, under lifecycle and deals", raw)
		}
	}
}

// companyLines finds lines by which a company would take a step that contacts count: what they
// give is kept and never sent.
func (c *compiler) companyLines(s *section) {
	tables := []map[string]rule{s.company, {"": s.objects["company"].created}}
	for _, key := range sortedKeys(s.properties) {
		if strings.HasPrefix(key, "company.") {
			tables = append(tables, s.properties[key].values, map[string]rule{"": s.properties[key].any})
		}
	}
	for _, t := range tables {
		for _, raw := range sortedKeys(t) {
			if r := t[raw]; !r.alias && c.m.names[r.name].counts == countContact {
				c.warn(r.from, "nothing_counts", "", "contacts count %s, and this is a company's: no report of it by this line is sent; to have it sent, give it a name under other_names", r.name)
			}
		}
	}
}

// takesFrom is true for a pipeline's line for whatever is won or lost that may keep a stage
// from the lines under "*".
func takesFrom(stage string, own, anyPipeline map[string]rule) bool {
	if stage != "won" && stage != "lost" {
		return false
	}
	for other, r := range anyPipeline {
		if _, named := own[other]; !named && r.name != StageChanged {
			return true
		}
	}
	return false
}

func inOrder(t map[string]rule) []rule {
	return slices.SortedFunc(maps.Values(t), func(a, b rule) int {
		return cmp.Or(cmp.Compare(a.from.line, b.from.line), cmp.Compare(a.from.col, b.from.col))
	})
}

// choices says in words what a line of counted_by means.
func (c *compiler) choices() {
	byDeal, byOther := make(map[string]bool), make(map[string]bool)
	for _, s := range c.m.sections {
		for _, t := range s.dealTables() {
			for _, r := range t {
				byDeal[r.name] = true
			}
		}
		for _, t := range []map[string]rule{s.lifecycle, s.leadStatus, s.events} {
			for _, r := range t {
				byOther[r.name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.counted)) {
		at := c.counted[name].at
		switch n := c.m.names[name]; {
		case n.counts == countDeal && !byDeal[name]:
			c.warn(at, "nothing_counts", "", "deals count %s, but no deal stage becomes it: no report of it will ever be sent", name)
		case n.counts == countContact && !byOther[name]:
			c.warn(at, "nothing_counts", "", "contacts count %s, but no lifecycle stage becomes it: no report of it will ever be sent", name)
		case n.counts == countContact && byDeal[name]:
			c.warn(at, "counted_by_contact", "", "%s is sent once for each contact that reaches it and never for a deal: one deal with three contacts is three, and lifecycle reports carry no amount", name)
		case n.counts == countAny && byDeal[name] && byOther[name]:
			c.warn(at, "counted_by_any", "", "%s is sent once for the deal and once for each contact that reaches it and whose report names no deal: one deal with three contacts can be four", name)
		}
	}
	for _, name := range c.m.vocabulary {
		switch n := c.m.names[name]; {
		case n.often == every:
			c.warn(c.vocabularyAt[name], "counted_every", "", "%s is sent each time: one change that is reported with two ids, by a webhook and a workflow say, is sent twice", name)
		case n.recycle == canonical.RecycleReport && !c.takesRecycled():
			c.warn(c.vocabularyAt[name], "recycled_nowhere", "", "a step back to %s is to be reported, but no destination has a line for %s", name, LeadRecycled)
		}
	}
}

// takesRecycled is true where a destination has a line for leads that went back.
func (c *compiler) takesRecycled() bool {
	for _, d := range c.m.destinations {
		for _, name := range []string{LeadRecycled, anyName} {
			if _, ok := d.routes[name]; ok {
				return true
			}
		}
	}
	return false
}

// sharedRules finds LinkedIn rules that two names go to: most rule types count a person
// once, so the second is worth nothing.
func (c *compiler) sharedRules() {
	d := c.m.destinations[kindLinkedIn]
	if d == nil {
		return
	}
	first := make(map[string]string)
	for _, name := range slices.SortedFunc(maps.Keys(d.routes), func(a, b string) int { return cmp.Compare(d.places[a].line, d.places[b].line) }) {
		for _, rule := range d.routes[name].Rules() {
			if before, shared := first[rule]; shared {
				c.warn(d.places[name], "shared_rule", "", "%s and %s go to one rule; LinkedIn counts most rules once for each person", before, name)
				continue
			}
			first[rule] = name
		}
	}
}
