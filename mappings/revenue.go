package mappings

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// A revenue is what the mapping says of money: nothing in it is guessed, and a value that was
// given is never replaced by one that was made here.
type revenue struct {
	means     map[string]string   // folded billing period → basis; "" for otherwise
	lines     []meaning           // asked in order, instead of means
	from      map[string][]string // value, billing_period, currency, term_months, term_years → properties of deals
	derive    map[string]formula  // basis → how it is computed where it was not given
	ifMissing string              // of lines that say nothing of it
	less      map[string]string   // basis → property with what an expansion is more than; nil: an expansion's value is its own
	expands   map[string]bool     // the names that less is about
	currency  string              // of values that come without one
	rates     []rate              // the newest first
	at        map[string]place    // of keys that stand once
	derivedAt map[string]place
}

// A meaning is one line of amount_means.
type meaning struct {
	period     string // folded; "" is any
	upTo, over int    // months of the term; 0: not asked
	basis      string
}

func (l meaning) holds(r *canonical.Revenue) bool {
	return (l.period == "" || l.period == fold(r.BillingPeriod)) &&
		(l.upTo == 0 || r.TermMonths > 0 && r.TermMonths <= l.upTo) && (l.over == 0 || r.TermMonths > l.over)
}

// A rate is what one unit of a currency is in another, from a time on.
type rate struct {
	from, to, rate string
	since          time.Time
}

// bases are the values that a deal can have.
var bases = []string{"amount", "mrr", "arr", "acv", "tcv"}

// basis reads the name of a value, one of the choices; contract_value is another word
// for tcv.
func (c *compiler) basis(n *yaml.Node, what string, choices []string) (string, bool) {
	word, ok := c.word(n, what)
	if !ok {
		return "", false
	}
	return c.basisWord(c.place(follow(n)), word, what, choices)
}

func (c *compiler) basisWord(at place, word, what string, choices []string) (string, bool) {
	if word == "contract_value" {
		return "tcv", true
	}
	if !slices.Contains(choices, word) {
		c.mistake(at, "unknown_value", nearest(word, choices), "%s is no %s; choose one of %s", shown(word), what, strings.Join(choices, ", "))
		return "", false
	}
	return word, true
}

// basisKeys reads a group whose keys are values. Each value is given once.
func (c *compiler) basisKeys(n *yaml.Node, what string, choices []string, each func(basis string, p pair)) {
	seen := make(map[string]bool)
	for _, p := range c.pairs(n, what, strings.TrimSpace) {
		basis, ok := c.basisWord(p.at, strings.TrimSpace(p.key.Value), "value", choices)
		if ok && seen[basis] {
			c.mistake(p.at, "duplicate_key", "", "%s stands twice in %s", basis, what)
			continue
		}
		if ok {
			seen[basis] = true
			each(basis, p)
		}
	}
}

// otherwise stands for any billing period that has no line of its own, and none.
const otherwise = "otherwise"

// revenue reads what the mapping says of money.
func (c *compiler) revenue(tops []top) {
	r := &c.m.revenue
	r.at = make(map[string]place)
	for _, t := range tops {
		c.file = t.file
		p, ok := t.keys["revenue"]
		if !ok {
			continue
		}
		fields := c.fields(p.value, "revenue", revenueKeys.names()...)
		for _, k := range revenueKeys {
			f, ok := fields[k.name]
			if !ok {
				continue
			}
			if before, twice := r.at[k.name]; twice && k.name != "amount_means" {
				c.mistake(f.at, "duplicate_key", "", "%s stands in revenue already, at %s", k.name, before)
				continue
			}
			r.at[k.name] = f.at
			switch k.name {
			case "amount_means":
				c.amountMeansWhat(f)
			case "properties":
				c.moneyProperties(f.value)
			case "derive":
				c.derivations(f.value)
			case "if_missing":
				r.ifMissing = c.ifMissing(f.value)
			case "expansion":
				c.expansion(f.value)
			case "currency":
				c.currency(f.value)
			}
		}
	}
	for _, basis := range bases {
		if r.ifMissing == "use:"+basis && r.less != nil {
			c.differenceUnused(basis)
		}
	}
}

func (c *compiler) amountMeansWhat(p pair) {
	switch n := follow(p.value); n.Kind {
	case yaml.MappingNode:
		for _, line := range c.pairs(n, "amount_means", fold) {
			c.amountMeans(line.key.Value, line.at, line.value)
		}
	case yaml.SequenceNode:
		if len(c.m.revenue.lines) > 0 || len(c.m.revenue.means) > 0 {
			c.mistake(p.at, "duplicate_key", "", "amount_means is said already; a list must be all of it")
			return
		}
		for _, item := range n.Content {
			c.meaningLine(item)
		}
	default:
		c.amountMeans(otherwise, p.at, n)
	}
}

func (c *compiler) amountMeans(period string, at place, n *yaml.Node) {
	if len(c.m.revenue.lines) > 0 {
		c.mistake(at, "duplicate_key", "", "amount_means is said already, as a list, which must be all of it")
		return
	}
	basis, ok := c.basis(n, "meaning of an amount", bases[1:])
	if !ok {
		return
	}
	key := fold(period)
	if key == otherwise {
		key = ""
	}
	if _, twice := c.m.revenue.means[key]; twice {
		c.mistake(at, "duplicate_key", "", "%s stands twice in amount_means", shown(period))
		return
	}
	if c.m.revenue.means == nil {
		c.m.revenue.means = make(map[string]string)
	}
	c.m.revenue.means[key] = basis
}

func (c *compiler) meaningLine(n *yaml.Node) {
	fields := c.fields(n, "a line of amount_means", meaningKeys.names()...)
	if follow(n).Kind != yaml.MappingNode {
		return
	}
	var l meaning
	good := true
	p, ok := fields["means"]
	if !ok {
		c.mistake(c.place(n), "no_meaning", "", "the line does not say what the amount means; add means: arr, or mrr, acv, tcv")
		return
	}
	if l.basis, ok = c.basis(p.value, "meaning of an amount", bases[1:]); !ok {
		good = false
	}
	if p, ok := fields["billing_period"]; ok {
		word, is := c.word(p.value, "billing_period")
		l.period, good = fold(word), good && is
	}
	for key, to := range map[string]*int{"term_up_to": &l.upTo, "term_over": &l.over} {
		p, ok := fields[key]
		if !ok {
			continue
		}
		word, is := c.word(p.value, key)
		months, reads := months(word)
		if is && (!reads || months == 0) {
			c.mistake(c.place(follow(p.value)), "bad_term", "", "%s is no term; write it as 12 months or 2 years", shown(word))
		}
		*to, good = months, good && is && reads
	}
	if l.upTo > 0 && l.over >= l.upTo {
		c.mistake(c.place(n), "bad_term", "", "no term is over %d months and at most %d", l.over, l.upTo)
		return
	}
	if lines := c.m.revenue.lines; len(lines) > 0 && lines[len(lines)-1] == (meaning{basis: lines[len(lines)-1].basis}) {
		c.warn(c.place(n), "dead_rule", "", "the line is never asked: the one before it takes every amount")
	}
	if good {
		c.m.revenue.lines = append(c.m.revenue.lines, l)
	}
}

var (
	termWords = regexp.MustCompile(`^(\d{1,4})\s*(months?|years?)$`)
	termISO   = regexp.MustCompile(`^P(?:(\d{1,3})Y)?(?:(\d{1,4})M)?$`)
)

// months reads a term: 12 months, 2 years, P1Y6M.
func months(s string) (int, bool) {
	s = strings.TrimSpace(s)
	if m := termWords.FindStringSubmatch(strings.ToLower(s)); m != nil {
		n, _ := strconv.Atoi(m[1])
		if m[2][0] == 'y' {
			n *= 12
		}
		return n, true
	}
	if m := termISO.FindStringSubmatch(strings.ToUpper(s)); m != nil && m[1]+m[2] != "" {
		years, _ := strconv.Atoi(m[1])
		n, _ := strconv.Atoi(m[2])
		return 12*years + n, true
	}
	return 0, false
}

// moneyProperties reads which properties of a deal hold its values.
func (c *compiler) moneyProperties(n *yaml.Node) {
	r := &c.m.revenue
	fields := c.fields(n, "revenue.properties", moneyKeys.names()...)
	used := make(map[string]string)
	for _, k := range moneyKeys {
		p, ok := fields[k.name]
		if !ok {
			continue
		}
		if names := c.propertyNames(p.value, "revenue.properties."+k.name); len(names) > 0 {
			key := k.name
			if key == "contract_value" {
				key = "tcv"
			}
			if r.from[key] != nil {
				c.mistake(p.at, "duplicate_key", "", "tcv and contract_value are one value; write one of them")
				continue
			}
			for _, name := range names {
				if other := used[name]; other != "" {
					c.mistake(c.place(follow(p.value)), "two_meanings", "", "%s is %s already; if an amount means it, say so in amount_means", shown(name), other)
				}
				used[name] = key
			}
			c.readFrom(key, names)
		}
	}
	if fields["term_months"].key != nil && fields["term_years"].key != nil {
		c.mistake(fields["term_years"].at, "two_meanings", "", "the term is said in months already; write one of term_months and term_years")
	}
}

func (c *compiler) readFrom(key string, names []string) {
	if c.m.revenue.from == nil {
		c.m.revenue.from = make(map[string][]string)
	}
	c.m.revenue.from[key] = names
}

var propertyName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,99}$`)

// propertyNames reads one property or a list, of which the first that is given holds.
func (c *compiler) propertyNames(n *yaml.Node, what string) []string {
	n = follow(n)
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = c.words(n, what)
	}
	var out []string
	for _, n := range nodes {
		word, ok := c.word(n, what)
		switch {
		case !ok:
		case !propertyName.MatchString(word):
			c.mistake(c.place(n), "bad_property", inSnake(word), "%s is no internal name of a property; HubSpot's settings show it beside the label", shown(word))
		case slices.Contains(out, word):
			c.mistake(c.place(n), "duplicate_name", "", "%s stands twice in %s", shown(word), what)
		default:
			out = append(out, word)
		}
	}
	return out
}

// derivations reads how values that were not given are computed. One sees what was given, never
// what another made.
func (c *compiler) derivations(n *yaml.Node) {
	r := &c.m.revenue
	r.derive, r.derivedAt = make(map[string]formula), make(map[string]place)
	c.basisKeys(n, "revenue.derive", bases, func(basis string, p pair) {
		f, ok := c.formula(p.value, "the derivation of "+basis)
		if !ok {
			return
		}
		if slices.Contains(f.reads, basis) {
			c.mistake(c.place(follow(p.value)), "bad_formula", "", "%s is derived where it was not given, so it cannot be made of itself", basis)
			return
		}
		if len(f.reads) == 0 {
			c.mistake(c.place(follow(p.value)), "bad_formula", "", "the derivation of %s looks at no value, so it would be the same for every deal", basis)
			return
		}
		r.derive[basis], r.derivedAt[basis] = f, p.at
	})
}

// expansion reads what an expansion is worth.
func (c *compiler) expansion(n *yaml.Node) {
	r := &c.m.revenue
	n = follow(n)
	if n.Kind == yaml.ScalarNode {
		word, ok := c.word(n, "revenue.expansion")
		if ok && word != "own" {
			c.mistake(c.place(n), "unknown_choice", nearest(word, []string{"own"}), "%s is no value of an expansion; choose own, or say the difference as {difference_to: {arr: previous_arr}}", shown(word))
		}
		return
	}
	fields := c.fields(n, "revenue.expansion", expansionKeys.names()...)
	r.expands = make(map[string]bool)
	if p, ok := fields["names"]; ok {
		for _, item := range c.words(p.value, "revenue.expansion.names") {
			if word, ok := c.known(item, "an entry of revenue.expansion.names"); ok {
				r.expands[word] = true
			}
		}
	} else {
		for _, name := range c.namesMeaning("expansion") {
			r.expands[name] = true
		}
		if len(r.expands) == 0 {
			c.mistake(c.place(n), "no_expansion", "", "no name of the vocabulary means expansion; list the ones meant under names")
		}
	}
	p, ok := fields["difference_to"]
	if !ok {
		c.mistake(c.place(n), "no_difference", "", "difference_to is missing: which property of the deal holds what the value was before?")
		return
	}
	r.less = make(map[string]string)
	c.basisKeys(p.value, "difference_to", bases, func(basis string, p pair) {
		if names := c.propertyNames(p.value, "difference_to."+basis); len(names) == 1 {
			r.less[basis] = names[0]
		} else if len(names) > 1 {
			c.mistake(c.place(follow(p.value)), "wrong_type", "", "difference_to.%s must be one property", basis)
		}
	})
}

// differenceUnused refuses that a line takes a value which an expansion does not have.
func (c *compiler) differenceUnused(basis string) {
	if _, ok := c.m.revenue.less[basis]; !ok {
		c.mistake(c.m.revenue.at["if_missing"], "no_difference", "", "if_missing uses %s, which no expansion has: difference_to does not name it", basis)
	}
}

// namesMeaning lists the names of the vocabulary with a meaning.
func (c *compiler) namesMeaning(meaning string) []string {
	var out []string
	for _, name := range c.m.vocabulary {
		if c.m.names[name].meaning == meaning {
			out = append(out, name)
		}
	}
	return out
}
