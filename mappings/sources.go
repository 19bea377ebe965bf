package mappings

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// The sections that are ways in; any other is for a configured source of that name.
const (
	sectionHubSpot = "hubspot" // every CRM report, unless a nearer section has the table
	sectionCRM     = string(canonical.WayCRM)
	sectionEvents  = string(canonical.WayEvents)
	sectionPixel   = string(canonical.WayPixel)
	sectionMeta    = string(canonical.WayMeta)
)

var waysIn = []string{sectionHubSpot, sectionCRM, sectionEvents, sectionPixel, sectionMeta}

// sources reads what each way in and each configured source calls things.
func (c *compiler) sources(tops []top) {
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["sources"]
		if !ok {
			continue
		}
		for _, s := range c.pairs(p.value, "sources", exactly) {
			c.section(s)
		}
	}
}

func (c *compiler) section(p pair) {
	key := p.key.Value
	s, ok := c.m.sections[key]
	if !ok {
		s = &section{name: key, at: p.at}
		c.m.sections[key] = s
	}
	tables := []string{"lifecycle", "company_lifecycle", "deals", "events", "ignore"}
	if key == sectionPixel || key == sectionMeta {
		tables = []string{"events", "ignore"}
	}
	what := "sources." + key
	fields := c.fields(p.value, what, tables...)
	for _, table := range tables {
		f, ok := fields[table]
		if !ok {
			continue
		}
		what := what + "." + table
		switch table {
		case "lifecycle":
			s.lifecycle = c.table(f.value, what, s.lifecycle)
		case "company_lifecycle":
			s.company = c.table(f.value, what, s.company)
		case "deals":
			c.pipelines(s, f.value, what)
		case "events":
			before := len(c.list)
			s.events = c.table(f.value, what, s.events)
			if key == sectionPixel && len(c.list) == before {
				c.browserNames(s.events)
			}
		case "ignore":
			c.ignoreRules(s, f.value, what)
		}
	}
}

// table reads raw values and the names they become, and adds them to what other files
// said.
func (c *compiler) table(n *yaml.Node, what string, into map[string]rule) map[string]rule {
	if into == nil {
		into = make(map[string]rule)
	}
	for _, line := range c.pairs(n, what, fold) {
		key := fold(line.key.Value)
		if before, twice := into[key]; twice {
			c.mistake(line.at, "duplicate_key", "", "%s stands twice in %s; it is at %s already", shown(line.key.Value), what, before.at)
			continue
		}
		if word, ok := c.known(line.value, "what "+shown(line.key.Value)+" becomes"); ok {
			into[key] = rule{name: word, at: line.at.String(), from: line.at}
		}
	}
	return into
}

// pipelines reads the deal stages of each pipeline.
func (c *compiler) pipelines(s *section, n *yaml.Node, what string) {
	if s.pipelines == nil {
		s.pipelines = make(map[string]map[string]rule)
	}
	for _, p := range c.pairs(n, what, fold) {
		if follow(p.value).Kind == yaml.ScalarNode && !isNothing(follow(p.value)) {
			c.mistake(p.at, "no_pipeline", "", "%s stands where a pipeline must stand; put deal stages under their pipeline, or under \"*\" for any", shown(p.key.Value))
			continue
		}
		key := fold(p.key.Value)
		s.pipelines[key] = c.table(p.value, what+"."+p.key.Value, s.pipelines[key])
	}
}

// browserNames refuses that a browser's word counts as a fact of the CRM.
func (c *compiler) browserNames(events map[string]rule) {
	var lines []rule
	for _, r := range events {
		if !c.m.names[r.name].browser {
			lines = append(lines, r)
		}
	}
	slices.SortFunc(lines, func(a, b rule) int { return a.from.line - b.from.line })
	for _, r := range lines {
		c.mistake(r.from, "browser_claim", "", "a browser may not claim %s: anybody could make one up; choose form_submitted or a name under other_names", shown(r.name))
	}
}

// An ignoreRule marks events that are kept and never sent.
type ignoreRule struct {
	when   condition
	reason string
	at     string // file:line
}

func (c *compiler) ignoreRules(s *section, n *yaml.Node, what string) {
	n = follow(n)
	if n.Kind != yaml.SequenceNode {
		c.mistake(c.place(n), "wrong_type", "", "%s must be a list of rules, each with when and reason, not %s", what, kindOf(n))
		return
	}
	for _, item := range n.Content {
		fields := c.fields(item, "a rule of "+what, "when", "reason")
		if follow(item).Kind != yaml.MappingNode {
			continue
		}
		when, hasWhen := fields["when"]
		reason, hasReason := fields["reason"]
		if !hasWhen {
			c.mistake(c.place(item), "no_condition", "", "the rule has no when: which events does it ignore?")
		}
		if !hasReason {
			c.mistake(c.place(item), "no_reason", "", "the rule has no reason: it is what counts and reports call it")
		}
		if !hasWhen || !hasReason {
			continue
		}
		word, ok := c.word(reason.value, "reason")
		if ok && (len(word) > maxName || !snakeCase.MatchString(word)) {
			c.mistake(c.place(follow(reason.value)), "bad_reason", inSnake(word), "%s is no reason: small letters, digits and single _ between them", shown(word))
			ok = false
		}
		cond, compiled := c.condition(when.value)
		if ok && compiled {
			s.ignore = append(s.ignore, ignoreRule{when: cond, reason: word, at: c.place(item).String()})
		}
	}
}

// isWayIn is true for sections that need no configured source of their name.
func isWayIn(key string) bool { return slices.Contains(waysIn, strings.TrimSpace(key)) }
