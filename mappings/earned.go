package mappings

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"tributary/canonical"
)

// earns gives an event the values that the mapping declares, beside those it was given: from the
// properties of a deal, from what a bare amount means, derived; and takes from an expansion
// what it was worth before. It changes nothing that the report shares.
func (m *Mapping) earns(e *canonical.Event) {
	r := &m.revenue
	deal := len(r.from) > 0 && e.Object.Type == "deal"
	if e.Revenue == nil && !deal {
		return
	}
	if !deal && len(r.means) == 0 && len(r.lines) == 0 && len(r.derive) == 0 && (r.currency == "" || e.Revenue.Currency != "") && !r.expands[e.Name] {
		return
	}
	var given canonical.Revenue
	if e.Revenue != nil {
		given = *e.Revenue
	}
	byDefault := r.currency
	if deal {
		var foreign bool
		if given, foreign = r.read(given, e.Properties); foreign {
			byDefault = ""
		}
	}
	if !hasValue(&given) {
		e.Revenue = nil
		return
	}
	given.Currency = cmp.Or(given.Currency, byDefault)
	r.meant(&given)
	r.derived(&given)
	if r.less != nil && r.expands[e.Name] {
		r.difference(&given, e.Properties)
	}
	e.Revenue = &given
}

func hasValue(r *canonical.Revenue) bool {
	return r.Amount != nil || r.MRR != nil || r.ARR != nil || r.ACV != nil || r.TCV != nil
}

// field is where a value is kept.
func field(r *canonical.Revenue, basis string) **canonical.Money {
	switch basis {
	case "mrr":
		return &r.MRR
	case "arr":
		return &r.ARR
	case "acv":
		return &r.ACV
	case "tcv":
		return &r.TCV
	}
	return &r.Amount
}

// standard are properties that every way in reads by itself, and what they hold.
var standard = map[string]string{
	"amount": "amount", "value": "amount", "mrr": "mrr", "hs_mrr": "mrr", "arr": "arr", "hs_arr": "arr", "acv": "acv", "hs_acv": "acv",
	"tcv": "tcv", "hs_tcv": "tcv", "contract_value": "tcv", "deal_currency_code": "currency", "currency": "currency", "billing_period": "billing_period",
}

// read takes the values of a deal from the properties that the mapping names. One that is
// named and empty was not given, whatever else the deal says. foreign is true where the deal says a
// currency that is none: which one it is nobody knows, least of all the default.
func (r *revenue) read(given canonical.Revenue, properties map[string]any) (out canonical.Revenue, foreign bool) {
	out = given
	if !hasValue(&given) { // what comes with none is kept with the properties
		given.Currency, given.BillingPeriod = plain(property(properties, "deal_currency_code")), plain(property(properties, "billing_period"))
		out.Currency, out.BillingPeriod = given.Currency, given.BillingPeriod
	}
	for _, basis := range bases {
		names := r.from[basis]
		if names == nil {
			continue
		}
		var v *canonical.Money
		for _, name := range names {
			if own := standard[name]; own != "" {
				v = given.By(own)
			}
			if v == nil {
				v = moneyOf(property(properties, name))
			}
			if v != nil {
				break
			}
		}
		*field(&out, basis) = v
	}
	if names := r.from["currency"]; names != nil {
		out.Currency = ""
		for _, name := range names {
			text, _ := property(properties, name).(string)
			if standard[name] == "currency" {
				text = cmp.Or(given.Currency, text)
			}
			if code, is := canonical.Currency(text); is {
				out.Currency, foreign = code, false
				break
			}
			foreign = foreign || strings.TrimSpace(text) != ""
		}
	}
	if names := r.from["billing_period"]; names != nil {
		out.BillingPeriod = ""
		for _, name := range names {
			text := given.BillingPeriod
			if standard[name] != "billing_period" {
				text, _ = property(properties, name).(string)
			}
			out.BillingPeriod = cmp.Or(out.BillingPeriod, strings.TrimSpace(text))
		}
	}
	for key, each := range map[string]int64{"term_months": 1, "term_years": 12} {
		for _, name := range r.from[key] {
			if n := termOf(property(properties, name), each); n > 0 {
				out.TermMonths = n
				break
			}
		}
	}
	return out, foreign
}

// property finds what a report kept under a name: bodies keep a deal's own under deal.
func property(properties map[string]any, name string) any {
	if v, ok := properties[name]; ok {
		return v
	}
	return properties["deal."+name]
}

// plain gives a scalar's text, or "".
func plain(v any) string {
	switch t := v.(type) {
	case string:
		return strings.TrimSpace(t)
	case json.Number:
		return t.String()
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	case int:
		return strconv.Itoa(t)
	case int64:
		return strconv.FormatInt(t, 10)
	}
	return ""
}

// decimalOf reads a decimal; nil where there is none.
func decimalOf(v any) *decimal.Decimal {
	s := plain(v)
	if s == "" || len(s) > 64 {
		return nil
	}
	d, err := decimal.NewFromString(s)
	if err != nil || d.Exponent() > 18 || d.Exponent() < -40 {
		return nil
	}
	return &d
}

// moneyOf reads an amount to six decimals; calculated properties have more. Nil: none.
func moneyOf(v any) *canonical.Money {
	d := decimalOf(v)
	if d == nil {
		return nil
	}
	m, ok := roundMicro(d.Rat())
	if !ok {
		return nil
	}
	return &m
}

// termOf reads a term in months; each is how many the unit of a bare number has. 0: none.
func termOf(v any, each int64) int {
	d := decimalOf(v)
	if d == nil {
		n, _ := months(plain(v))
		return n
	}
	d2 := d.Mul(decimal.NewFromInt(each))
	if !d2.IsInteger() || d2.Sign() <= 0 || d2.GreaterThan(decimal.NewFromInt(10_000)) {
		return 0
	}
	return int(d2.IntPart())
}

// meant gives a bare amount the meaning that the mapping declares, beside the amount.
func (r *revenue) meant(given *canonical.Revenue) {
	if given.Amount == nil {
		return
	}
	basis := ""
	if len(r.lines) > 0 {
		for i := range r.lines {
			if r.lines[i].holds(given) {
				basis = r.lines[i].basis
				break
			}
		}
	} else if len(r.means) > 0 {
		var ok bool
		if basis, ok = r.means[fold(given.BillingPeriod)]; !ok {
			basis = r.means[""]
		}
	}
	if basis != "" && given.By(basis) == nil {
		*field(given, basis) = given.Amount
	}
}

// derived computes values that were not given of those that were.
func (r *revenue) derived(given *canonical.Revenue) {
	if len(r.derive) == 0 {
		return
	}
	before := *given
	s := &sums{money: before.By, months: before.TermMonths, period: fold(before.BillingPeriod)}
	for _, basis := range bases {
		f, ok := r.derive[basis]
		if !ok || before.By(basis) != nil {
			continue
		}
		if v, ok := f.value(s); ok {
			*field(given, basis) = &v
		}
	}
}

// difference leaves of an expansion what it is worth more than before. A value of which nobody
// knows what it was is not given: it would be the whole contract again.
func (r *revenue) difference(given *canonical.Revenue, properties map[string]any) {
	for _, basis := range bases {
		to := field(given, basis)
		if *to == nil {
			continue
		}
		was := moneyOf(property(properties, cmp.Or(r.less[basis], "\x00")))
		if was == nil {
			*to = nil
			continue
		}
		more := **to - *was
		*to = &more
	}
}

// convert says in which currency a line sends an event's value, and at what rate.
func (r *revenue) convert(route *canonical.Route, e *canonical.Event) {
	if route.Currency == "" || e.Revenue == nil || strings.EqualFold(e.Revenue.Currency, route.Currency) {
		return
	}
	for _, known := range r.rates { // the newest first
		if known.to == route.Currency && strings.EqualFold(known.from, e.Revenue.Currency) && !e.OccurredAt.Before(known.since) {
			route.Rate = known.rate
			return
		}
	}
}

// ReadProperties lists the properties that the mapping reads of a type of CRM object, sorted:
// what the CRM must be asked for beside what every mapping needs.
func (m *Mapping) ReadProperties(objectType string) []string {
	if objectType != "deal" {
		return nil
	}
	names := make(map[string]bool)
	for _, list := range m.revenue.from {
		for _, name := range list {
			names[strings.TrimPrefix(name, "deal.")] = true
		}
	}
	for _, name := range m.revenue.less {
		names[strings.TrimPrefix(name, "deal.")] = true
	}
	for _, name := range m.looksAt {
		if name = strings.TrimPrefix(name, "deal."); hubspotName.MatchString(name) {
			names[name] = true
		}
	}
	for name := range standard {
		delete(names, name)
	}
	return slices.Sorted(maps.Keys(names))
}
