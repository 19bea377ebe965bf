package destinations

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
	"golang.org/x/text/currency"

	"tributary/canonical"
)

// ValueOf gives what an event sends as its value under a route: nil where the route
// wants none, and nil with a gap, in words, where the basis it names cannot be sent
// (not given, negative, no real currency, no rate to the one it is to be sent in). The gap is ""
// where nothing is missing. What is converted is rounded to the currency's smallest coin, halves up.
// What a gap leads to is the route's if_missing: see HoldsForValue.
func ValueOf(r *canonical.Revenue, route canonical.Route) (v *Value, gap string) {
	if route.Value == "" || route.Value == "none" {
		return nil, ""
	}
	v, gap = valueBy(r, route.Value, &route)
	if other, ok := strings.CutPrefix(route.IfMissing, "use:"); ok && v == nil {
		if v, otherGap := valueBy(r, other, &route); v != nil || otherGap == "" {
			return v, otherGap
		}
	}
	return v, gap
}

func valueBy(r *canonical.Revenue, basis string, route *canonical.Route) (*Value, string) {
	if basis == "none" {
		return nil, ""
	}
	m := r.By(basis)
	if m == nil {
		return nil, basis + " was not given"
	}
	if *m < 0 {
		return nil, basis + " is negative"
	}
	code, ok := canonical.Currency(r.Currency)
	if !ok {
		return nil, basis + " has no ISO 4217 currency"
	}
	if route.Currency == "" || route.Currency == code {
		return &Value{Amount: *m, Currency: code}, ""
	}
	v, ok := convert(*m, route.Rate, route.Currency)
	if !ok {
		return nil, fmt.Sprintf("%s is in %s, and the mapping has no rate to %s that held then", basis, code, route.Currency)
	}
	return &Value{Amount: v, Currency: route.Currency}, ""
}

// convert gives an amount that is not negative in another currency.
func convert(m canonical.Money, rate, to string) (canonical.Money, bool) {
	r, err := decimal.NewFromString(rate)
	unit, parsed := currency.ParseISO(to)
	if err != nil || parsed != nil || r.Sign() <= 0 {
		return 0, false
	}
	coins, _ := currency.Standard.Rounding(unit)
	d := decimal.New(int64(m), -6).Mul(r).Round(int32(coins)).Shift(6)
	if !d.BigInt().IsInt64() {
		return 0, false
	}
	return canonical.Money(d.IntPart()), true
}

// HoldsForValue gives the refusal of an event whose value is missing where its route
// says to hold it: parked until somebody decides. ok is false where it is to be sent.
func HoldsForValue(gap string, route canonical.Route) (Refusal, bool) {
	if gap == "" || route.IfMissing != "hold" {
		return Refusal{}, false
	}
	return Refusal{Reason: canonical.ReasonHold, Detail: fmt.Sprintf("%s, and the mapping says to hold it (%s)", gap, route.At)}, true
}
