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
	sectionHook    = string(canonical.WayHook)
	sectionFlow    = string(canonical.WayWorkflow)
	sectionSegment = string(canonical.WaySegment)
)

var waysIn = []string{sectionHubSpot, sectionCRM, sectionEvents, sectionPixel, sectionMeta, sectionHook, sectionFlow, sectionSegment}

// tablesOf lists what may stand in a section. What comes from browsers and in vendors'
// own formats has events only; only what is of any shape needs to be told it.
func tablesOf(section string) []string {
	switch section {
	case sectionPixel, sectionMeta, sectionSegment:
		return []string{"events", "ignore", "quarantine"}
	}
	tables := []string{"lifecycle", "company_lifecycle", "deals", "lead_status", "properties", "objects", "associations", "events", "ignore", "quarantine"}
	if section == sectionHook || !isWayIn(section) {
		tables = append(tables, "json")
	}
	return tables
}

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
	what := "sources." + key
	tables := tablesOf(key)
	if slices.Contains(tablesOf(sectionHubSpot), key) && !isWayIn(key) {
		c.mistake(p.at, "no_section", "", "%s stands where a way in or a source must stand; put it under one, such as hubspot", shown(key))
		return
	}
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
		case "lead_status":
			s.leadStatus = c.table(f.value, what, s.leadStatus)
		case "deals":
			c.pipelines(s, f.value, what)
		case "properties":
			c.propertyLines(s, f.value, what)
		case "objects":
			c.objectLines(s, f.value, what)
		case "associations":
			s.associations = c.ties(f.value, what, s.associations)
		case "events":
			before := len(c.list)
			s.events = c.table(f.value, what, s.events)
			if key == sectionPixel && len(c.list) == before {
				c.browserNames(s.events)
			}
		case "ignore":
			s.ignore = append(s.ignore, c.markRules(f.value, what, "ignore")...)
		case "quarantine":
			s.quarantine = append(s.quarantine, c.markRules(f.value, what, "quarantine")...)
			c.m.quarantines = true
		case "json":
			if s.shape != nil {
				c.mistake(f.at, "duplicate_key", "", "json stands twice in sources.%s; it is at %s already", key, s.shape.at)
				continue
			}
			s.shape = c.shape(f, what)
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
		if key == anyName {
			c.mistake(line.at, "no_pattern", "", "\"*\" stands for no value here: %s names each one; what no line names stays as the reference says", what)
			continue
		}
		if strings.HasPrefix(key, anyName) || strings.HasSuffix(key, anyName) {
			c.warn(line.at, "no_pattern", "", "%s is taken as it stands, star and all: there are no patterns in %s", shown(line.key.Value), what)
		}
		if r, ok := c.becomes(line); ok {
			into[key] = r
		}
	}
	return into
}

// turnedRound is true for a line with a name on the left and none on the right.
func (c *compiler) turnedRound(left string, right *yaml.Node) bool {
	isName := func(s string) bool {
		_, named := c.m.names[strings.TrimSpace(s)]
		return named
	}
	return right.Kind == yaml.ScalarNode && !isNothing(right) && isName(left) && !isName(right.Value) && c.nearestName(strings.TrimSpace(right.Value)) == "" &&
		c.m.aliases[fold(right.Value)].name == ""
}

// becomes reads the name on the right of one line.
func (c *compiler) becomes(line pair) (rule, bool) {
	if n := follow(line.value); c.turnedRound(line.key.Value, n) {
		c.mistake(c.place(n), "unknown_name", "", "%s is not in the vocabulary, and %s is: what the source says stands on the left, the name on the right", shown(n.Value), line.key.Value)
		return rule{}, false
	}
	word, ok := c.known(line.value, "what "+shown(line.key.Value)+" becomes")
	return rule{name: word, at: line.at.String(), from: line.at}, ok
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
		c.mistake(r.from, "browser_claim", "", "a browser may not claim %s: anybody could make one up; choose form_submitted, a name under other_names, or say reported_by: anybody of it in the vocabulary", shown(r.name))
	}
}

// isWayIn is true for sections that need no configured source of their name.
func isWayIn(key string) bool { return slices.Contains(waysIn, strings.TrimSpace(key)) }
