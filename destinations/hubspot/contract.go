package hubspot

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// The classes of requests that are counted apart from the ordinary.
const (
	searchClass = "search"
	eventsClass = "events"
)

// A tier is what an account grants a caller (sheet §6.1).
type tier struct{ window, day int }

var tiers = map[string]tier{
	"free":         {100, 250_000},
	"starter":      {100, 250_000},
	"professional": {190, 625_000},
	"enterprise":   {190, 1_000_000},
	"oauth":        {110, 0}, // each installing account; no daily limit
}

// Contract says what HubSpot takes.
func (d destination) Contract() destinations.Contract {
	t := tiers[d.Tier]
	limits := []destinations.Limit{{Name: "ten_seconds", Requests: max(cmp.Or(d.Per10, t.window), 1), Per: 10 * time.Second}}
	if day := cmp.Or(d.PerDay, t.day); day > 0 {
		limits = append(limits, destinations.Limit{
			Name: "day", Requests: day, Per: 24 * time.Hour, Daily: true, Zone: d.zone, Classes: []string{"", searchClass},
		})
	}
	limits = append(limits,
		destinations.Limit{Name: "search_second", Requests: 5, Per: time.Second, Classes: []string{searchClass}},
		destinations.Limit{Name: "events_second", Requests: 1250, Per: time.Second, Classes: []string{eventsClass}},
	)
	return destinations.Contract{
		Vendor:      "HubSpot CRM",
		APIVersion:  d.API,
		VersionEnds: d.paths.ends,
		MaxBatch:    d.Batch,
		MaxBytes:    3 << 20, // ours: no limit is documented
		Account:     d.Account,
		Limits:      limits,
		Ambiguous:   destinations.Resend,
		LookAfter:   30 * time.Second, // search shows a note seconds after it was made (§4.4)
		Timeout:     d.Timeout,
		Linger:      d.Linger,
	}
}

var _ destinations.Gauge = destination{}

// Headroom reads HubSpot's headers. Searches have none of the ten seconds, OAuth apps none of
// the day.
func (d destination) Headroom(r destinations.Response) []destinations.Reading {
	var out []destinations.Reading
	for _, l := range []struct{ name, max, remaining string }{
		{"ten_seconds", "Max", "Remaining"}, {"day", "Daily", "Daily-Remaining"},
	} {
		most, remaining := count(r.Header, l.max), count(r.Header, l.remaining)
		if most > 0 || remaining >= 0 {
			out = append(out, destinations.Reading{Limit: l.name, Max: max(most, 0), Remaining: remaining})
		}
	}
	return out
}

// count reads one header of a limit; -1 where there is none that makes sense.
func count(h http.Header, name string) int {
	n, err := strconv.Atoi(strings.TrimSpace(h.Get("X-HubSpot-RateLimit-" + name)))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// midnight is how long it is from an answer's own Date to the account's next midnight; 0
// where either is not known.
func (d destination) midnight(h http.Header) time.Duration {
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil || d.zone == nil {
		return 0
	}
	here := now.In(d.zone)
	next := time.Date(here.Year(), here.Month(), here.Day()+1, 0, 0, 0, 0, d.zone)
	return min(next.Sub(now)+time.Second, 24*time.Hour) // a day with a clock change may have 25 hours
}

var _ destinations.Matcher = destination{}

// Match says what HubSpot could find the item's record by.
func (d destination) Match(it destinations.Item) map[string]string {
	e, k := it.Event, it.Known
	found := func(ok bool) string {
		if ok {
			return "usable"
		}
		return "missing"
	}
	switch it.Part.Name {
	case companyPart:
		m := map[string]string{"company_id": found(d.companyID(e) != "")}
		if d.CompanyKey != "" {
			m[d.CompanyKey] = found(companyDomain(e) != "")
		}
		return m
	case dealPart:
		return map[string]string{"deal_id": found(d.dealID(e) != "")}
	}
	email := found(canonical.NormalEmail(e.Contact.Email) != "")
	switch {
	case email == "missing" && strings.TrimSpace(e.Contact.Email) != "" && !canonical.IsHash(e.Contact.Email):
		email = "refused"
	case email == "missing" && len(destinations.EmailHashes(e, k)) > 0:
		email = "prehashed" // HubSpot finds nobody by a hash
	}
	m := map[string]string{"contact_id": found(d.contactID(e, k) != ""), "email": email}
	if d.Key != byEmailKey {
		m[d.Key] = found(d.keyOf(e, k) != "")
	}
	return m
}

var _ destinations.Adviser = destination{}

// Advice says what the timeline setting means for the account's token.
func (d destination) Advice(map[string]canonical.Route) []string {
	var out []string
	switch d.Timeline {
	case notes:
		out = append(out, "timeline entries are written as notes: "+classicOnly)
	case customEvents:
		out = append(out, "timeline entries are written as custom events, which needs an Enterprise account and their definitions (tributary destinations setup hubspot): "+classicOnly)
	case appEvents:
		out = append(out, "timeline: app_events works only for a platform app of an approved technology partner")
	}
	if len(d.Lifecycle) > 0 {
		out = append(out, "lifecycle stages are written: HubSpot moves them only forward, and its webhook of the change comes back; set accounts."+d.Account+".app_id so that it is recognised as our own")
	}
	return out
}

const classicOnly = "a private-app token cannot write classic timeline entries (HubSpot keeps those to OAuth apps)"

var _ destinations.Tokened = destination{}

// TokenProblem says why a kind of token will not do: classic timeline entries and app events
// are for OAuth apps.
func (d destination) TokenProblem(oauth bool) string {
	if oauth || d.Timeline != oauthTimeline && d.Timeline != appEvents {
		return ""
	}
	return "timeline: " + d.Timeline + " needs an OAuth app's token (oauth:), and this destination has a static one: " + classicOnly +
		"; use timeline: notes on any tier, or custom_events on Enterprise"
}

var _ destinations.Counter = destination{}

// WritesCounts is true where counters are among the properties.
func (d destination) WritesCounts() bool {
	for _, f := range counterFields {
		for _, object := range []string{contacts, deals} {
			if d.property(object, f.name) != "" {
				return true
			}
		}
	}
	return false
}

var _ destinations.Stager = destination{}

// WritesStages gives the lifecycle stages that are written: HubSpot's webhooks of them are echoes.
func (d destination) WritesStages() (account string, stages []string) {
	return d.Account, slices.Compact(slices.Sorted(maps.Values(d.Lifecycle)))
}
