package meta

import (
	"math"
	"net/http"
	"time"

	"tributary/destinations"
)

// usage is what any of Meta's three usage headers says, in percent (meta.md §5.3).
type usage struct {
	Calls   float64 `json:"call_count"`
	CPU     float64 `json:"total_cputime"`
	Time    float64 `json:"total_time"`
	Account float64 `json:"acc_id_util_pct"`
	Minutes float64 `json:"estimated_time_to_regain_access"`
}

func (u usage) percent() float64 { return max(u.Calls, u.CPU, u.Time, u.Account) }

// The usage headers, and how their readings are called.
var usageHeaders = []struct{ header, limit string }{
	{"X-App-Usage", "app_usage"},
	{"X-Business-Use-Case-Usage", "business_usage"},
	{"X-Ad-Account-Usage", "ad_account_usage"},
}

// usages reads one header: an object, or for businesses lists of objects by business id.
// Nil where it is absent or cannot be read.
func usages(h http.Header, name string) []usage {
	text := h.Get(name)
	if text == "" {
		return nil
	}
	if name == "X-Business-Use-Case-Usage" {
		var by map[string][]usage
		if !destinations.ReadJSON([]byte(text), &by) {
			return nil
		}
		var out []usage
		for _, list := range by {
			out = append(out, list...)
		}
		return out
	}
	var u usage
	if !destinations.ReadJSON([]byte(text), &u) {
		return nil
	}
	return []usage{u}
}

// Headroom gives a reading in percent for every usage header there is. The account's budget
// slows down above 80 %, and stops at 100 % until Meta says it may go on. Throttles come as 400
// too, and without headers (meta.md §5.2): they stop all that calls for the account.
func (d destination) Headroom(r destinations.Response) []destinations.Reading {
	var out []destinations.Reading
	switch {
	case r.Status/100 == 2: // it takes calls again
		out = append(out, destinations.Reading{Limit: "calls", Remaining: -1})
	case throttled(r):
		out = append(out, destinations.Reading{Limit: "calls", Max: 100, Resets: pause(r.Header)})
	}
	for _, u := range usageHeaders {
		list := usages(r.Header, u.header)
		if len(list) == 0 {
			continue
		}
		percent, minutes := 0.0, 0.0
		for _, one := range list {
			percent, minutes = max(percent, one.percent()), max(minutes, one.Minutes)
		}
		out = append(out, destinations.Reading{Limit: u.limit, Max: 100, Remaining: 100 - int(math.Ceil(min(percent, 100))), Resets: waitOf(minutes)})
	}
	return out
}

// throttled is true for an answer whose code says that there were too many calls.
func throttled(r destinations.Response) bool {
	var a answer
	if !destinations.ReadJSON(r.Body, &a) || a.Error == nil {
		return false
	}
	c, _ := causeOf(*a.Error)
	return c.reason == "throttled"
}

func waitOf(minutes float64) time.Duration {
	if !(minutes > 0) {
		return 0
	}
	return time.Duration(min(minutes, 24*60) * float64(time.Minute))
}

// pause is how long to leave the account alone: Retry-After, else what the usage headers
// estimate, else a minute.
func pause(h http.Header) time.Duration {
	if after := destinations.RetryAfter(h); after > 0 {
		return after
	}
	longest := 0.0
	for _, u := range usageHeaders {
		for _, one := range usages(h, u.header) {
			longest = max(longest, one.Minutes)
		}
	}
	if wait := waitOf(longest); wait > 0 {
		return wait
	}
	return throttleWait
}
