package mappings

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// Kinds of destination whose vendors ask for something that a mapping can get wrong.
const (
	kindMeta     = "meta"
	kindLinkedIn = "linkedin"
	kindHubSpot  = "hubspot"
	kindWebhook  = "webhook"
)

// defaultsKey stands, under one key of destinations, for what its lines inherit.
const defaultsKey = "defaults"

// destinations reads what each destination gets for each canonical name. What its lines
// inherit is read first, wherever it stands.
func (c *compiler) destinations(tops []top) {
	if at, is := c.vocabularyAt[defaultsKey]; is {
		c.mistake(at, "reserved_name", "", "\"defaults\" means what lines inherit and cannot be a canonical name")
	}
	var groups []destinationLines
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["destinations"]
		if !ok {
			continue
		}
		for _, d := range c.pairs(p.value, "destinations", exactly) {
			groups = append(groups, destinationLines{t.file, d, c.pairs(d.value, "destinations."+d.key.Value, strings.TrimSpace)})
		}
	}
	for _, inherited := range [2]bool{true, false} {
		for _, g := range groups {
			c.file = g.file
			c.destination(g, inherited)
		}
	}
	c.unusedDefaults()
}

// destinationLines are the lines of one file under one key of destinations.
type destinationLines struct {
	file  string
	of    pair
	lines []pair
}

func (c *compiler) destination(g destinationLines, inherited bool) {
	key := g.of.key.Value
	d, ok := c.m.destinations[key]
	if !ok {
		d = &destination{at: g.of.at, routes: map[string]canonical.Route{}, places: map[string]place{}, lines: map[string]*line{}}
		c.m.destinations[key] = d
	}
	for _, p := range g.lines {
		word := strings.TrimSpace(p.key.Value)
		switch {
		case (word == defaultsKey) != inherited:
		case inherited && d.defaults != nil:
			c.mistake(p.at, "duplicate_key", "", "defaults stands twice in destinations.%s; it is at %s already", key, d.defaults.at)
		case inherited:
			d.defaults = c.line(&line{at: p.at}, p, "destinations."+key+".defaults", defaultKeys)
		default:
			c.destinationLine(d, key, word, p)
		}
	}
}

func (c *compiler) destinationLine(d *destination, key, word string, p pair) {
	if _, ok := c.m.names[word]; !ok && word != anyName {
		if word == "default" {
			c.mistake(p.at, "unknown_name", `"defaults"`, "%s is not in the vocabulary", shown(word))
			return
		}
		c.unknownName(p.at, word)
		return
	}
	if before, twice := d.places[word]; twice {
		c.mistake(p.at, "duplicate_key", "", "%s stands twice in destinations.%s; it is at %s already", shown(word), key, before)
		return
	}
	before := len(c.list)
	l := c.line(d.defaults.heir(p.at), p, "destinations."+key+"."+word, lineKeys)
	c.completed(l)
	r := l.route
	if word == anyName && (r.Event != "" || r.Rule != "") {
		c.mistake(p.at, "many_names", "", "\"*\" stands for many names and cannot give them all one event or rule")
	}
	d.routes[word], d.places[word], d.lines[word] = r, p.at, l
	if len(c.list) == before && (key == kindMeta || key == kindLinkedIn) {
		checkRoute(&c.problems, key, word, r, p.at)
	}
	checkProperties(&c.problems, key, l)
	if c.m.revenue.expands[word] && c.m.revenue.less != nil && len(c.list) == before {
		for _, basis := range []string{r.Value, strings.TrimPrefix(r.IfMissing, "use:")} {
			if _, has := c.m.revenue.less[basis]; !has && slices.Contains(bases, basis) {
				c.warn(p.at, "no_difference", "", "%s never has %s: revenue.expansion.difference_to does not name it", word, basis)
			}
		}
	}
}

// checkProperties warns where a line adds what its vendor takes nowhere.
func checkProperties(ps *problems, kind string, l *line) {
	if (kind == kindLinkedIn || kind == kindHubSpot) && !l.inherits("properties") {
		ps.warn(l.at, "useless_properties", "", "%s is sent no properties of a line; they do nothing here", map[string]string{kindLinkedIn: "LinkedIn", kindHubSpot: "HubSpot"}[kind])
	}
}

// completed gives a line what the mapping says for all lines, and drops what it inherited
// and has no use for.
func (c *compiler) completed(l *line) {
	r := &l.route
	if r.Value == "" || r.Value == "none" {
		if l.inherits("if_missing") {
			r.IfMissing = ""
		}
		if l.inherits("currency") {
			r.Currency = ""
		}
		return
	}
	if r.IfMissing == "" {
		r.IfMissing = c.m.revenue.ifMissing
	}
	if r.IfMissing == "use:"+r.Value {
		r.IfMissing = "" // what everybody else uses instead is what this line sends
	}
}

var ruleName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

const (
	maxVendorName = 50  // what Meta is said to take
	maxRules      = 20  // of one line
	maxWords      = 100 // in one list of a line
	// maxDelay leaves Meta, which takes nothing older than seven days, a day.
	maxDelay = 6 * 24 * time.Hour
)

// line reads one line, or what lines inherit, over what it inherits itself.
func (c *compiler) line(l *line, p pair, what string, known keys) *line {
	r := &l.route
	r.At = p.at.String()
	fields := c.fields(p.value, what, known.names()...)
	for name := range fields {
		l.own = append(l.own, name)
	}
	if p, ok := fields["event"]; ok {
		r.Event = c.vendorName(p.value)
	}
	if p, ok := fields["rule"]; ok {
		c.rules(r, p.value)
		if _, both := fields["event"]; both {
			c.mistake(p.at, "event_and_rule", "", "a line gives an event or a rule, not both")
		}
	}
	if p, ok := fields["value"]; ok {
		r.Value, _ = c.basis(p.value, "value", append([]string{"none"}, bases...))
	}
	_, says := fields["value"]
	valueless := (r.Value == "" && !says || r.Value == "none") && len(known) == len(lineKeys)
	if p, ok := fields["if_missing"]; ok {
		r.IfMissing = c.ifMissing(p.value)
		if valueless {
			c.mistake(p.at, "useless_if_missing", "", "if_missing says nothing where no value is sent; add value")
		} else if r.IfMissing == "use:"+r.Value {
			c.mistake(p.at, "useless_if_missing", "", "if_missing names the value itself")
		}
	}
	if p, ok := fields["currency"]; ok {
		r.Currency, _ = c.currencyCode(p.value, "currency")
		if valueless {
			c.mistake(p.at, "useless_currency", "", "currency says nothing where no value is sent; add value")
		} else if r.Currency != "" && !c.ratesTo(r.Currency) {
			c.warn(p.at, "no_rate", "", "there is no rate to %s under revenue.currency.rates: a value in another currency counts as missing", r.Currency)
		}
	}
	if p, ok := fields["properties"]; ok {
		c.properties(l, p.value, what+".properties")
	}
	if p, ok := fields["match"]; ok {
		r.Match = c.wordList(l, "match", p.value)
	}
	if p, ok := fields["consent"]; ok {
		r.Consent = c.choice(p.value, "consent", consents)
	}
	if p, ok := fields["when"]; ok {
		l.when, l.whenText = c.lineCondition(p.value), strings.TrimSpace(follow(p.value).Value)
	}
	if p, ok := fields["delay"]; ok {
		r.Delay = c.delay(p.value)
	}
	if p, ok := fields["accounts"]; ok {
		r.Accounts = c.wordList(l, "accounts", p.value)
	}
	return l
}

var consents = []string{"required", "not_denied", "ignore"}

// rules reads one rule or a list.
func (c *compiler) rules(r *canonical.Route, n *yaml.Node) {
	n = follow(n)
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if nodes = c.words(n, "rule"); len(nodes) == 0 && len(n.Content) == 0 {
			c.mistake(c.place(n), "empty_list", "", "rule lists no rule")
		}
	}
	var names []string
	for _, n := range nodes {
		word, ok := c.word(n, "rule")
		switch {
		case !ok:
		case !ruleName.MatchString(word):
			c.mistake(c.place(n), "bad_rule", ruleMeant(word), "%s is no rule name: small letters, digits and single _ between them; the vendor's own id stands in the destination's configuration", shown(word))
		case slices.Contains(names, word):
			c.mistake(c.place(n), "duplicate_name", "", "%s stands twice in rule", shown(word))
		case len(names) == maxRules:
			c.mistake(c.place(n), "too_many_rules", "", "a line goes to at most %d rules", maxRules)
		default:
			names = append(names, word)
		}
	}
	if len(names) > 0 {
		r.Rule, r.MoreRules = names[0], names[1:len(names):len(names)]
	}
	if len(names) == 1 {
		r.MoreRules = nil
	}
}

// wordList reads one word or a list, each once, and keeps where each stands. Which words there
// are, the configuration and the vendor's adapter know: CheckConfigured.
func (c *compiler) wordList(l *line, key string, n *yaml.Node) []string {
	n = follow(n)
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		if nodes = c.words(n, key); len(n.Content) == 0 {
			c.mistake(c.place(n), "empty_list", "", "%s lists nothing; leave it out instead", key)
		}
	}
	var out []string
	if l.words == nil {
		l.words = make(map[string][]place)
	}
	l.words[key] = nil
	for _, n := range nodes {
		if len(out) == maxWords {
			c.mistake(c.place(n), "too_large", "", "%s lists more than %d words", key, maxWords)
			break
		}
		word, ok := c.word(n, key)
		if ok && slices.Contains(out, word) {
			c.mistake(c.place(n), "duplicate_name", "", "%s stands twice in %s", shown(word), key)
		} else if ok {
			out = append(out, word)
			l.words[key] = append(l.words[key], c.place(n))
		}
	}
	return out
}

func (c *compiler) delay(n *yaml.Node) time.Duration {
	word, ok := c.word(n, "delay")
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(word)
	if days, is := strings.CutSuffix(word, "d"); is && err != nil {
		if d, err = time.ParseDuration(days + "h"); err == nil && d > 0 && d <= maxDelay {
			d *= 24
		}
	}
	if err != nil || d <= 0 || d > maxDelay {
		c.mistake(c.place(follow(n)), "bad_delay", "", "%s is no delay: write a time such as 30m, 6h or 2d, at most 6d", shown(word))
		return 0
	}
	return d
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

// properties reads what is added: text, numbers, yes and no as they are, and expressions,
// which begin with =. What a line says of one that it inherits holds.
func (c *compiler) properties(l *line, n *yaml.Node, what string) {
	constants, computed := maps.Clone(l.route.Properties), maps.Clone(l.computed)
	if constants == nil {
		constants = make(map[string]any)
	}
	for _, p := range c.pairs(n, what, exactly) {
		key, v := p.key.Value, follow(p.value)
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			c.mistake(c.place(v), "wrong_type", "", "%s must be text, a number, true or false, not %s", shown(key), kindOf(v))
			continue
		}
		if slices.Contains([]string{"value", "currency"}, key) {
			c.mistake(p.at, "reserved_property", "", "%s is sent by the line's own value; it cannot be a property", shown(key))
			continue
		}
		delete(computed, key)
		delete(constants, key)
		if _, is := expressionText(v); is && v.Tag == "!!str" {
			if program := c.lineExpression(v, shown(key)); program != nil {
				if computed == nil {
					computed = make(map[string]expression)
				}
				computed[key] = expression{program, strings.TrimSpace(v.Value)}
			}
			continue
		}
		constants[key] = constantOf(v)
	}
	l.route.Properties, l.computed = constants, computed
}

func constantOf(v *yaml.Node) any {
	switch v.Tag {
	case "!!int":
		var i int64
		if v.Decode(&i) == nil {
			return i
		}
	case "!!bool":
		var b bool
		if v.Decode(&b) == nil {
			return b
		}
	case "!!float":
		var f float64
		if v.Decode(&f) == nil && f-f == 0 { // neither infinite nor not a number
			return f
		}
	}
	return v.Value
}

// checkRoute holds a line against what is known of the vendor.
func checkRoute(ps *problems, kind, name string, r canonical.Route, at place) {
	if vendor := map[string]string{kindMeta: "Meta", kindLinkedIn: "LinkedIn"}[kind]; vendor != "" && name == anyName {
		ps.mistake(at, "many_names", "", "\"*\" stands for many names, and %s wants to know each by a name of its own; write a line for each", vendor)
		return
	}
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

// ruleMeant suggests a rule's name for a word that is none, unless it looks like an id.
func ruleMeant(word string) string {
	if strings.ContainsAny(word, ":/0123456789") {
		return ""
	}
	return inSnake(word)
}
