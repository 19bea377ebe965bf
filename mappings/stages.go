package mappings

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// What may be said of a name of the funnel. The first of each holds where nothing is said.
var (
	meanings = []string{"other", "lead", "opportunity", "revenue", "expansion"}
	oftens   = []string{once, every, firstPerPerson}
	// Who may report a name of the funnel: a browser only where the second is said.
	reporters = []string{"servers", "anybody"}
	recycles  = []string{"suppress", canonical.RecycleReport, canonical.RecycleSend}
)

// How often a name is sent.
const (
	once           = "once"             // once for each deal where deals count it, else for each person
	every          = "every"            // once per event id
	firstPerPerson = "first_per_person" // once for each person, also where deals count it
)

// usualMeanings hold for the names of the usual funnel, unless the mapping says otherwise.
var usualMeanings = map[string]string{
	"lead_captured": "lead", "qualified_lead": "lead", "sales_qualified_lead": "lead",
	"opportunity_created": "opportunity", "proposal_sent": "opportunity",
	"customer_won": "revenue", "customer_expanded": "expansion",
}

var snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

const (
	maxName = 64
	maxRank = 1000
)

// vocabulary reads the canonical names, the funnel's in order and the others.
func (c *compiler) vocabulary(tops []top) {
	c.vocabularyAt = make(map[string]place)
	var from *place
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["vocabulary"]
		if !ok {
			continue
		}
		if from != nil {
			c.mistake(p.at, "second_vocabulary", "", "the vocabulary stands at %s already; its order must be said in one place", *from)
			continue
		}
		from = &p.at
		c.funnel(follow(p.value))
	}
	for _, t := range tops {
		c.file = t.file
		if p, ok := t.keys["other_names"]; ok {
			for _, n := range c.words(p.value, "other_names") {
				if word, ok := c.newName(n); ok {
					c.m.names[word] = name{browser: true}
				}
			}
		}
	}
	c.checkAliases()
	if from == nil && len(tops) > 0 {
		c.mistake(place{tops[0].file, 1, 1}, "no_vocabulary", "", "vocabulary is missing: list the canonical names in funnel order")
	}
}

// funnel reads the names of the vocabulary with what is said of each.
func (c *compiler) funnel(list *yaml.Node) {
	switch {
	case list.Kind != yaml.SequenceNode:
		c.mistake(c.place(list), "wrong_type", "", "vocabulary must be a list, not %s", kindOf(list))
		return
	case len(list.Content) == 0:
		c.mistake(c.place(list), "empty_vocabulary", "", "the vocabulary names nothing; list the canonical names in funnel order")
	}
	before := 0 // the rank of the name before
	for _, item := range list.Content {
		written, about := follow(item), (*yaml.Node)(nil)
		if written.Kind == yaml.MappingNode {
			pairs := c.pairs(written, "an entry of vocabulary", exactly)
			if len(pairs) != 1 {
				c.mistake(c.place(written), "many_names", "", "an entry of vocabulary is one name; begin each with its own -")
				continue
			}
			written, about = pairs[0].key, pairs[0].value
			if follow(about).Kind != yaml.MappingNode {
				c.mistake(c.place(written), "wrong_type", "", "an entry of vocabulary is a name, alone or with what is said of it behind the colon (meaning, aliases, count, recycle, rank, reported_by); behind %s stands %s",
					shown(written.Value), kindOf(follow(about)))
				continue
			}
		} else if _, ok := c.word(written, "an entry of vocabulary"); !ok {
			continue
		}
		word, ok := c.newName(written)
		if !ok {
			continue
		}
		n := name{rank: before + 1, counts: countContact, meaning: usualMeanings[word]}
		if about != nil {
			n = c.about(about, word, n, before)
		}
		c.m.vocabulary = append(c.m.vocabulary, word)
		c.m.names[word] = n
		before = n.rank
	}
}

// about reads what is said of one name.
func (c *compiler) about(node *yaml.Node, word string, n name, before int) name {
	what := "vocabulary." + word
	fields := c.fields(node, what, "meaning", "aliases", "count", "recycle", "rank", "reported_by")
	if p, ok := fields["meaning"]; ok {
		n.meaning = c.choice(p.value, "meaning of "+word, meanings)
	}
	if p, ok := fields["aliases"]; ok {
		for _, a := range c.words(p.value, what+".aliases") {
			c.aliasList = append(c.aliasList, alias{word: strings.TrimSpace(a.Value), name: word, at: c.place(a)})
		}
	}
	if p, ok := fields["count"]; ok {
		if n.often = c.choice(p.value, "count of "+word, oftens); n.often == once {
			n.often = ""
		}
	}
	if p, ok := fields["recycle"]; ok {
		if n.recycle = c.choice(p.value, "recycle of "+word, recycles); n.recycle == recycles[0] {
			n.recycle = ""
		}
	}
	if p, ok := fields["reported_by"]; ok {
		n.browser = c.choice(p.value, "reported_by of "+word, reporters) == reporters[1]
	}
	if p, ok := fields["rank"]; ok {
		rank, err := strconv.Atoi(strings.TrimSpace(follow(p.value).Value))
		switch {
		case err != nil || rank < 1 || rank > maxRank || follow(p.value).Kind != yaml.ScalarNode:
			c.mistake(c.place(follow(p.value)), "bad_rank", "", "rank of %s must be a whole number from 1 to %d, not %s", word, maxRank, kindOf(follow(p.value)))
		case rank < before:
			c.mistake(c.place(follow(p.value)), "bad_rank", "", "%s has a lower rank than the name before it, which has %d; the vocabulary stands in funnel order", word, before)
		default:
			n.rank = rank
		}
	}
	return n
}

// choice reads one of a few words; "" after a mistake.
func (c *compiler) choice(n *yaml.Node, what string, choices []string) string {
	word, ok := c.word(n, what)
	if !ok {
		return ""
	}
	if !slices.Contains(choices, word) {
		c.mistake(c.place(follow(n)), "unknown_choice", nearest(word, choices), "%s is no %s; choose %s", shown(word), what, oneOf(choices))
		return ""
	}
	return word
}

func oneOf(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// An alias is another word for a name.
type alias struct {
	word, name string
	at         place
}

// checkAliases checks the aliases against all names and against each other.
func (c *compiler) checkAliases() {
	for _, a := range c.aliasList {
		folded, snaked := fold(a.word), snake(a.word)
		before, twice := c.m.aliases[folded]
		if _, isName := c.m.names[snaked]; isName {
			c.mistake(a.at, "alias_is_a_name", "", "%s is a name itself, no alias", shown(a.word))
			continue
		}
		if _, builtIn := builtInEvent(folded); builtIn || folded == identifyEvent {
			c.mistake(a.at, "reserved_name", "", "%s always means the same and cannot be an alias; write a line under events", shown(a.word))
			continue
		}
		if !twice && snaked != "" {
			before, twice = c.m.aliases[snaked]
		}
		switch {
		case len(a.word) > maxName:
			c.mistake(a.at, "bad_name", "", "an alias has at most %d letters", maxName)
		case twice && before.name != a.name:
			c.mistake(a.at, "duplicate_name", "", "%s is an alias of %s already, at %s", shown(a.word), before.name, before.at)
		default:
			r := rule{name: a.name, at: a.at.String(), from: a.at}
			c.m.aliases[folded] = r
			if snaked != "" {
				c.m.aliases[snaked] = r
			}
		}
	}
}

// expandAliases lets every stage table that has a line for a name take the name's aliases
// too. Lines of the text stay as they are.
func (c *compiler) expandAliases() {
	if len(c.aliasList) == 0 {
		return
	}
	of := make(map[string][]alias)
	for _, a := range c.aliasList {
		of[a.name] = append(of[a.name], a)
	}
	for _, s := range c.m.sections {
		for _, t := range s.stageTables() {
			c.widen(t, of)
		}
	}
}

func (c *compiler) widen(t map[string]rule, of map[string][]alias) {
	given := make(map[string]bool)
	for _, r := range t {
		given[r.name] = true
	}
	for name := range given {
		for _, a := range of[name] {
			key := fold(a.word)
			if _, taken := t[key]; !taken {
				t[key] = rule{name: name, at: a.at.String(), from: a.at, alias: true}
			}
		}
	}
}

// stageTables lists the tables of a section whose keys are stages.
func (s *section) stageTables() []map[string]rule {
	out := []map[string]rule{s.lifecycle, s.company, s.leadStatus}
	for _, key := range slices.Sorted(maps.Keys(s.pipelines)) {
		out = append(out, s.pipelines[key])
	}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		out = append(out, s.objects[key].stages)
	}
	return out
}

// newName checks a name that the text brings in.
func (c *compiler) newName(n *yaml.Node) (string, bool) {
	word, at := strings.TrimSpace(n.Value), c.place(n)
	if _, builtIn := builtInNames()[word]; builtIn {
		c.mistake(at, "reserved_name", "", "%s always exists; leave it out", shown(word))
		return "", false
	}
	if before, twice := c.vocabularyAt[word]; twice {
		c.mistake(at, "duplicate_name", "", "%s is named at %s already", shown(word), before)
		return "", false
	}
	if len(word) > maxName || !snakeCase.MatchString(word) {
		hint, several := nameHint(word)
		meant := inSnake(word)
		if several {
			meant = ""
		}
		c.mistake(at, "bad_name", meant, "%s is no canonical name: small letters, digits and single _ between them, a letter first, at most %d%s", shown(word), maxName, hint)
		return "", false
	}
	c.vocabularyAt[word] = at
	return word, true
}

// known reads a canonical name that must exist, or an alias of one.
func (c *compiler) known(n *yaml.Node, what string) (string, bool) {
	word, ok := c.word(n, what)
	if !ok {
		return "", false
	}
	if _, ok := c.m.names[word]; ok {
		return word, true
	}
	if of, ok := c.m.aliases[fold(word)]; ok {
		return of.name, true
	}
	c.unknownName(c.place(follow(n)), word)
	return "", false
}

func (c *compiler) unknownName(at place, word string) {
	if of, ok := c.m.aliases[fold(word)]; ok {
		c.mistake(at, "unknown_name", shown(of.name), "%s is an alias; here the name itself must stand", shown(word))
		return
	}
	c.mistake(at, "unknown_name", cmp.Or(c.nearestName(word), c.beginsWith(word)), "%s is not in the vocabulary", shown(word))
}

// beginsWith gives the one name that a word is the first word of, quoted, or "".
func (c *compiler) beginsWith(word string) string {
	found := ""
	for _, name := range c.m.vocabulary {
		if !c.full() && word != "" && strings.HasPrefix(name, snake(word)+"_") {
			if found != "" {
				return ""
			}
			found = shown(name)
		}
	}
	return found
}

// nearestName gives the name that a word was perhaps meant to be; none once nothing more is
// reported.
func (c *compiler) nearestName(word string) string {
	if c.full() {
		return ""
	}
	if c.every == nil { // the vocabulary is whole by now
		c.every = c.allNames()
	}
	return nearest(word, c.every)
}

// countedBy reads which object's reports count a name. It runs after sources: what the
// default is depends on which tables yield the name.
func (c *compiler) countedBy(tops []top) {
	c.counted = make(map[string]pair)
	for _, s := range c.m.sections {
		for _, stages := range s.dealTables() {
			for _, r := range stages {
				if n := c.m.names[r.name]; n.rank > 0 {
					n.counts = countDeal
					c.m.names[r.name] = n
				}
			}
		}
	}
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["counted_by"]
		if !ok {
			continue
		}
		for _, line := range c.pairs(p.value, "counted_by", strings.TrimSpace) {
			c.countedLine(line)
		}
	}
}

func (c *compiler) countedLine(line pair) {
	word := strings.TrimSpace(line.key.Value)
	n, ok := c.m.names[word]
	if !ok {
		c.unknownName(line.at, word)
		return
	}
	if n.rank == 0 {
		c.mistake(line.at, "not_funnel", "", "%s is not a name of the funnel: it is sent each time and counted by nothing", shown(word))
		return
	}
	if before, twice := c.counted[word]; twice {
		c.mistake(line.at, "duplicate_key", "", "%s stands twice in counted_by; it is at %s already", shown(word), before.at)
		return
	}
	by, ok := c.word(line.value, "counted_by "+word)
	if !ok {
		return
	}
	choices := []string{string(countDeal), string(countContact), string(countAny)}
	if !slices.Contains(choices, by) {
		c.mistake(c.place(follow(line.value)), "unknown_choice", nearest(by, choices), "%s cannot count %s; choose deal, contact or any", shown(by), word)
		return
	}
	n.counts = counts(by)
	c.m.names[word] = n
	c.counted[word] = line
}

// count says what a name of the funnel is counted by, and whether this report is the one
// that counts: the mapping alone decides, whether or not the other is ever seen.
func (m *Mapping) count(e *canonical.Event) {
	n := m.names[e.Name]
	if n.rank == 0 {
		return
	}
	e.Funnel, e.Rank, e.Stage, e.CountedBy, e.Recycle = true, n.rank, e.Name, "person", n.recycle
	deal := e.Object.Type == "deal"
	switch {
	case n.counts == countDeal && !deal:
		e.CoveredBy = "deal"
	case n.counts == countContact && e.Object.Type != "contact" && (deal || e.Object.Type == "company"):
		e.CoveredBy = "contact"
	case n.often == every:
		e.CountedBy = "event"
	case n.often == firstPerPerson:
	case deal && e.Object.ID != "", n.counts == countAny && e.Deal != "":
		e.CountedBy = "deal"
	}
}
