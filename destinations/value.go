package destinations

import (
	"fmt"
	"strings"

	"golang.org/x/text/currency"

	"tributary/canonical"
)

// ValueOf gives what an event sends as its value under a route: nil where the route
// wants none, and nil with a gap, in words, where the basis it names cannot be sent
// (not given, negative, no real currency). The gap is "" where nothing is missing.
// What a gap leads to is the route's if_missing: see HoldsForValue.
func ValueOf(r *canonical.Revenue, route canonical.Route) (v *Value, gap string) {
	if route.Value == "" || route.Value == "none" {
		return nil, ""
	}
	v, gap = valueBy(r, route.Value)
	if other, ok := strings.CutPrefix(route.IfMissing, "use:"); ok && v == nil {
		if v, otherGap := valueBy(r, other); v != nil || otherGap == "" {
			return v, otherGap
		}
	}
	return v, gap
}

func valueBy(r *canonical.Revenue, basis string) (*Value, string) {
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
	code, ok := Currency(r.Currency)
	if !ok {
		return nil, basis + " has no ISO 4217 currency"
	}
	return &Value{Amount: *m, Currency: code}, ""
}

// HoldsForValue gives the refusal of an event whose value is missing where its route
// says to hold it: parked until somebody decides. ok is false where it is to be sent.
func HoldsForValue(gap string, route canonical.Route) (Refusal, bool) {
	if gap == "" || route.IfMissing != "hold" {
		return Refusal{}, false
	}
	return Refusal{Reason: canonical.ReasonHold, Detail: fmt.Sprintf("%s, and the mapping says to hold it (%s)", gap, route.At)}, true
}

// Currency gives a code of ISO 4217 in upper case; false where there is no such code.
func Currency(s string) (string, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	u, err := currency.ParseISO(s)
	if err != nil || s == "XXX" || s == "XTS" {
		return "", false
	}
	return u.String(), true
}
