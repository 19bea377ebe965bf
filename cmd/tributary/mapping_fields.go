package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/internal/pipeline"
)

// shownFields lists the values of a body by their paths, for somebody who compares mappings.
// Numbers and what the mapping or the report's own stage says are shown as they are: every other
// text may name a person, and only tells whether it is the same as another.
func shownFields(body []byte, e *canonical.Event, routes ...canonical.Route) []pipeline.Field {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return nil
	}
	plain := map[string]bool{
		e.Name: true, string(e.ID): true, e.RawStage: true, e.Stage: true, e.Pipeline: true, e.Reported: true, e.Source: true, e.Object.Type: true,
		canonical.FormatTime(e.OccurredAt): true,
	}
	if e.Revenue != nil {
		plain[e.Revenue.Currency], plain[e.Revenue.BillingPeriod] = true, true
		for _, m := range []*canonical.Money{e.Revenue.Amount, e.Revenue.MRR, e.Revenue.ARR, e.Revenue.ACV, e.Revenue.TCV} {
			if m != nil {
				plain[m.String()], plain[m.Fixed()] = true, true
			}
		}
	}
	for _, r := range routes {
		plain[r.Event], plain[r.Rule], plain[r.Value] = true, true, true
		for key, value := range r.Properties {
			plain[key], plain[fmt.Sprint(value)] = true, true
		}
	}
	var out []pipeline.Field
	flatten("", v, func(path, text string, quoted bool) {
		f := pipeline.Field{Path: path, Value: text, Exact: text}
		switch {
		case quoted && !plain[text] && !harmless.MatchString(text):
			f.Value = "(text)"
		case !quoted && telephone.MatchString(text):
			f.Value = "(number)"
		}
		out = append(out, f)
	})
	return out
}

// harmless are texts of a form that names nobody: a currency, a time, a vendor's rule, where
// something was done.
var harmless = regexp.MustCompile(`^([A-Z]{3}|\d{4}-\d\d-\d\dT[0-9:.]+Z|urn:lla:[A-Za-z]+:\d+|website|system_generated|crm)$`)

// telephone is a number that may be one; the seconds of a time have ten digits.
var telephone = regexp.MustCompile(`^\d{11,}$`)

func flatten(path string, v any, field func(path, text string, quoted bool)) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			flatten(strings.TrimPrefix(path+"."+key, "."), v[key], field)
		}
	case []any:
		for i, item := range v {
			flatten(path+"["+strconv.Itoa(i)+"]", item, field)
		}
	case string:
		field(path, v, true)
	case float64:
		field(path, strconv.FormatFloat(v, 'f', -1, 64), false)
	case nil:
		field(path, "null", false)
	default:
		field(path, fmt.Sprint(v), false)
	}
}
