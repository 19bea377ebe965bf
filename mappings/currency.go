package mappings

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// currency reads which currency values are in, and rates.
func (c *compiler) currency(n *yaml.Node) {
	r := &c.m.revenue
	if n := follow(n); n.Kind == yaml.ScalarNode { // currency: EUR
		r.currency, _ = c.currencyCode(n, "revenue.currency")
		return
	}
	fields := c.fields(n, "revenue.currency", currencyKeys.names()...)
	if p, ok := fields["property"]; ok {
		if names := c.propertyNames(p.value, "revenue.currency.property"); len(names) > 0 {
			c.readFrom("currency", names)
		}
	}
	if p, ok := fields["default"]; ok {
		r.currency, _ = c.currencyCode(p.value, "revenue.currency.default")
	}
	p, ok := fields["rates"]
	if !ok {
		return
	}
	list := follow(p.value)
	if list.Kind != yaml.SequenceNode {
		c.mistake(c.place(list), "wrong_type", "", "rates must be a list of rates, each with from, to, rate and since, not %s", kindOf(list))
		return
	}
	for _, item := range list.Content {
		c.rate(item)
	}
	slices.SortStableFunc(r.rates, func(a, b rate) int { return b.since.Compare(a.since) })
}

func (c *compiler) currencyCode(n *yaml.Node, what string) (string, bool) {
	word, ok := c.word(n, what)
	if !ok {
		return "", false
	}
	code, known := canonical.Currency(word)
	if word != code || !known {
		suggestion := ""
		if known {
			suggestion = shown(code)
		}
		c.mistake(c.place(follow(n)), "bad_currency", suggestion, "%s is no ISO 4217 code such as EUR", shown(word))
		return "", false
	}
	return word, true
}

var plainDecimal = regexp.MustCompile(`^\d{1,9}(\.\d{1,12})?$`)

func (c *compiler) rate(n *yaml.Node) {
	fields := c.fields(n, "a rate", rateKeys.names()...)
	if follow(n).Kind != yaml.MappingNode {
		return
	}
	good := true
	for _, k := range rateKeys {
		if _, ok := fields[k.name]; !ok {
			c.mistake(c.place(n), "no_"+k.name, "", "the rate has no %s; write {from: USD, to: EUR, rate: \"0.92\", since: 2026-01-01}", k.name)
			good = false
		}
	}
	if !good {
		return
	}
	var r rate
	var okFrom, okTo bool
	r.from, okFrom = c.currencyCode(fields["from"].value, "from")
	r.to, okTo = c.currencyCode(fields["to"].value, "to")
	if okFrom && r.from == r.to {
		c.mistake(fields["to"].at, "bad_rate", "", "from and to are one currency")
		good = false
	}
	r.rate, good = c.rateOf(fields["rate"].value, good)
	since := follow(fields["since"].value)
	var err error
	if r.since, err = timeOf(since.Value); err != nil || since.Kind != yaml.ScalarNode {
		c.mistake(c.place(since), "bad_time", "", "since must be a day such as 2026-01-01, from its beginning in UTC, or a time such as 2026-01-01T00:00:00Z")
		good = false
	}
	if !good || !okFrom || !okTo {
		return
	}
	for _, other := range c.m.revenue.rates {
		if other.from == r.from && other.to == r.to && other.since.Equal(r.since) {
			c.mistake(c.place(n), "duplicate_key", "", "there is a rate from %s to %s since that time already", r.from, r.to)
			return
		}
	}
	c.m.revenue.rates = append(c.m.revenue.rates, r)
}

func (c *compiler) rateOf(n *yaml.Node, good bool) (string, bool) {
	word, ok := c.word(n, "rate")
	if !ok {
		return "", false
	}
	if !plainDecimal.MatchString(word) || strings.Trim(word, "0.") == "" {
		c.mistake(c.place(follow(n)), "bad_rate", "", "%s is no rate: a decimal above 0 such as \"0.92\", at most 12 places behind the point", shown(word))
		return "", false
	}
	return word, good
}

// timeOf reads a day, from its beginning in UTC, or a time.
func timeOf(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, strings.TrimSpace(s)); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, strings.TrimSpace(s))
	return t.UTC(), err
}
