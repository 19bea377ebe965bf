package mappings

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A propertyRule names changes of one property: every new value, or those of a table.
type propertyRule struct {
	any    rule            // name "" where only the values count
	values map[string]rule // folded
	from   place
}

// An objectRule names what happens to records of one type.
type objectRule struct {
	created rule            // name "" where it was not given
	stages  map[string]rule // folded stage of the record's pipeline
	from    place
}

// own tables of properties that are stages, and of objects that have such.
var (
	ownTable     = map[string]string{"lifecyclestage": "lifecycle", "hs_lead_status": "lead_status", "dealstage": "deals", "hs_pipeline_stage": "objects"}
	ownStages    = map[string]string{"contact": "lifecycle", "company": "company_lifecycle", "deal": "deals"}
	objectTypes  = []string{"contact", "company", "deal", "ticket", "lead", "product", "line_item", "conversation"}
	customObject = regexp.MustCompile(`^\d+-\d+$`)
)

// propertyLines reads which changes of a property are events.
func (c *compiler) propertyLines(s *section, n *yaml.Node, what string) {
	if s.properties == nil {
		s.properties = make(map[string]propertyRule)
	}
	for _, line := range c.pairs(n, what, fold) {
		key := fold(line.key.Value)
		object, property, both := strings.Cut(key, ".")
		if !both {
			object, property = "", key
		}
		if before, twice := s.properties[key]; twice {
			c.mistake(line.at, "duplicate_key", "", "%s stands twice in %s; it is at %s already", shown(line.key.Value), what, before.from)
			continue
		}
		if table := ownTable[property]; table != "" {
			c.mistake(line.at, "own_table", shown(table), "%s has a table of its own", shown(property))
			continue
		}
		if both && !c.objectType(line.at, object) {
			continue
		}
		r := propertyRule{from: line.at}
		if follow(line.value).Kind == yaml.MappingNode {
			r.values = c.table(line.value, what+"."+line.key.Value, nil)
		} else {
			r.any, _ = c.becomes(line)
		}
		s.properties[key] = r
	}
}

// objectType checks the name or number of a type of CRM object.
func (c *compiler) objectType(at place, word string) bool {
	if slices.Contains(objectTypes, word) || customObject.MatchString(word) {
		return true
	}
	c.mistake(at, "unknown_object", nearest(word, objectTypes), "%s is no type of record; write one of %s, or a custom object's type id such as \"2-4417\"", shown(word), strings.Join(objectTypes, ", "))
	return false
}

// objectLines reads what happens to records.
func (c *compiler) objectLines(s *section, n *yaml.Node, what string) {
	if s.objects == nil {
		s.objects = make(map[string]objectRule)
	}
	for _, line := range c.pairs(n, what, fold) {
		key := fold(line.key.Value)
		if !c.objectType(line.at, key) {
			continue
		}
		if before, twice := s.objects[key]; twice {
			c.mistake(line.at, "duplicate_key", "", "%s stands twice in %s; it is at %s already", shown(line.key.Value), what, before.from)
			continue
		}
		r := objectRule{from: line.at}
		fields := c.fields(line.value, what+"."+line.key.Value, "created", "stages")
		if p, ok := fields["created"]; ok {
			r.created, _ = c.becomes(p)
		}
		if p, ok := fields["stages"]; ok {
			if table := ownStages[key]; table != "" {
				c.mistake(p.at, "own_table", shown(table), "stages of %s have a table of their own", shown(key))
			} else {
				r.stages = c.table(p.value, what+"."+line.key.Value+".stages", nil)
			}
		}
		s.objects[key] = r
	}
}

// dealTables lists the tables whose lines are about deals: the names that they give are
// counted by deals, unless the mapping says otherwise.
func (s *section) dealTables() []map[string]rule {
	var out []map[string]rule
	for _, key := range sortedKeys(s.pipelines) {
		out = append(out, s.pipelines[key])
	}
	for _, key := range sortedKeys(s.properties) {
		if strings.HasPrefix(key, "deal.") {
			out = append(out, s.properties[key].values, map[string]rule{"": s.properties[key].any})
		}
	}
	return append(out, map[string]rule{"": s.objects["deal"].created})
}

var tie = regexp.MustCompile(`^(.+)_to_(.+)$`)

// ties reads which new ties between records are events: by their two objects, or by the
// type id of a label.
func (c *compiler) ties(n *yaml.Node, what string, into map[string]rule) map[string]rule {
	before := maps.Clone(into)
	into = c.table(n, what, into)
	for _, r := range sortedKeys(into) {
		if _, read := before[r]; read {
			continue
		}
		if two := tie.FindStringSubmatch(r); two != nil {
			if !c.objectType(into[r].from, two[1]) || !c.objectType(into[r].from, two[2]) {
				continue
			}
			if other, both := into[two[2]+"_to_"+two[1]]; both && other.name != into[r].name && two[1] < two[2] {
				c.mistake(into[r].from, "both_directions", "", "the line at %s names the same tie from its other end and becomes %s", other.at, other.name)
			}
		} else if !digits.MatchString(r) {
			c.mistake(into[r].from, "unknown_tie", "", "%s is no tie: write the two records, such as contact_to_deal, or the type id of a label", shown(r))
		}
	}
	return into
}

var digits = regexp.MustCompile(`^\d+$`)

func sortedKeys[T any](t map[string]T) []string { return slices.Sorted(maps.Keys(t)) }

// recordName names a change of a record other than its stage: by its own line, else it
// is a fact only.
func (m *Mapping) recordName(r *canonical.Report, near [3]*section) naming {
	n := naming{nothing: true}
	found := func(by rule) naming { return naming{name: by.name, at: by.at} }
	switch {
	case r.Subject == canonical.SubjectLeadStatus:
		if strings.TrimSpace(r.RawStage) == "" {
			return n
		}
		if named := stageName(table(near, func(s *section) map[string]rule { return s.leadStatus }), r); named.at != "" {
			return named
		}
	case r.Subject == canonical.SubjectAssociation:
		if by, ok := tieRule(near, r.Association); ok {
			return found(by)
		}
	case r.Property != "":
		if by, ok := propertyRuleOf(near, r); ok {
			return found(by)
		}
	case strings.HasSuffix(r.Event, ".creation") || strings.HasSuffix(fold(r.Event), ".created"):
		for _, s := range near {
			if s != nil && s.objects != nil {
				if by := s.objects[r.Object.Type].created; by.name != "" {
					return found(by)
				}
				return n
			}
		}
	}
	return n
}

// propertyRuleOf finds the line for a property's new value; one that was emptied is no
// event.
func propertyRuleOf(near [3]*section, r *canonical.Report) (rule, bool) {
	if strings.TrimSpace(r.Value) == "" {
		return rule{}, false
	}
	property, value := fold(r.Property), fold(r.Value)
	for _, s := range near {
		switch {
		case s == nil:
		case property == "hs_pipeline_stage" && s.objects != nil:
			by, ok := s.objects[r.Object.Type].stages[value]
			return by, ok
		case property != "hs_pipeline_stage" && s.properties != nil:
			for _, key := range [...]string{r.Object.Type + "." + property, property} {
				line, ok := s.properties[key]
				if !ok {
					continue
				}
				if by, ok := line.values[value]; ok {
					return by, true
				}
				if line.any.name != "" {
					return line.any, true
				}
			}
			return rule{}, false
		}
	}
	return rule{}, false
}

// tieRule finds the line for a tie that was made: by its label, else by its two ends in
// either direction.
func tieRule(near [3]*section, a *canonical.Association) (rule, bool) {
	if a == nil || a.Removed {
		return rule{}, false
	}
	for _, s := range near {
		if s == nil || s.associations == nil {
			continue
		}
		for _, key := range [...]string{a.Label, a.FromType + "_to_" + a.ToType, a.ToType + "_to_" + a.FromType} {
			if by, ok := s.associations[key]; ok && key != "" {
				return by, true
			}
		}
		break
	}
	return rule{}, false
}

// ends gives the two ends of a tie in one order, whichever direction was told.
func ends(a *canonical.Association) (string, string) {
	from, to := a.FromType+":"+a.FromID, a.ToType+":"+a.ToID
	if from > to {
		return to, from
	}
	return from, to
}
