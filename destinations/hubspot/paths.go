package hubspot

import (
	"cmp"
	"time"

	"tributary/destinations"
)

// paths are the addresses of one API version. {object} stands for contacts, companies, deals
// or notes.
type paths struct {
	objects     string // below it: /{id}, /batch/update, /batch/upsert, /batch/create, /search
	properties  string // below it: /{object}, /{object}/groups, /{object}/batch/read
	send        string // custom events, in batches
	definitions string // of custom events
	timeline    string // classic: below it /events/batch/create
	appEvents   string // below it: /events/batch
	account     string
	ends        time.Time // "unsupported" in HubSpot's word; no shutdown is dated
}

var versions = map[string]paths{
	"v3": {
		objects: "/crm/v3/objects", properties: "/crm/v3/properties",
		send: "/events/v3/send/batch", definitions: "/events/v3/event-definitions",
		timeline: "/integrators/timeline/v3", appEvents: "/integrators/timeline/2026-03", account: "/account-info/v3/details",
		ends: time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC),
	},
	"2026-03": {
		objects: "/crm/objects/2026-03", properties: "/crm/properties/2026-03",
		send: "/events/2026-03/send/batch", definitions: "/events/2026-03/event-definitions",
		timeline: "/integrators/timeline/v3", appEvents: "/integrators/timeline/2026-03", account: "/account-info/2026-03/details",
		ends: time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC), // 18 months after release
	},
}

// the timeline's address, as configured or as the version has it.
func (d destination) timelineEvents() string {
	if d.Timeline == appEvents {
		return cmp.Or(d.TimelinePath, d.paths.appEvents) + "/events/batch"
	}
	return cmp.Or(d.TimelinePath, d.paths.timeline) + "/events/batch/create"
}

// table is what is known of HubSpot's API, as data.
func table() destinations.Table {
	return destinations.Table{
		Vendor: "HubSpot CRM",
		Versions: []destinations.Version{
			{Name: "v3", Ends: versions["v3"].ends, Source: "hubspot.md §8: v1–v3 unsupported from September 2027"},
			{Name: "2026-03", Ends: versions["2026-03"].ends, Source: "hubspot.md §8: dated versions are supported 18 months"},
		},
		Facts: []destinations.Fact{
			{Name: "batch of contacts, companies, deals, notes", Value: "100 rows", Mark: "doc", Source: "§4.1"},
			{Name: "batch of custom events", Value: "500; at most 100 are used", Mark: "doc", Source: "§5.4"},
			{Name: "rows of one record in a request", Value: "refused, also by another of its e-mail addresses", Mark: "seen", Source: "§4.2 rule 5"},
			{Name: "ten seconds, private app", Value: "100 Free and Starter, 190 Professional and Enterprise, 250 with the add-on", Mark: "doc", Source: "§6.1"},
			{Name: "ten seconds, OAuth app", Value: "110 for each account", Mark: "doc", Source: "§6.1"},
			{Name: "day", Value: "250,000, 625,000, 1,000,000, to midnight in the account's zone; none for OAuth apps", Mark: "doc", Source: "§6.1"},
			{Name: "search", Value: "5 a second for each account", Mark: "doc", Source: "§6.1"},
			{Name: "custom events", Value: "1,250 requests a second; 30 million occurrences a month; 500 definitions", Mark: "doc", Source: "§5.4"},
			{Name: "custom event values", Value: "50 properties; 256 characters, 1,024 where the name holds url, referrer or link", Mark: "doc", Source: "§5.4"},
			{Name: "custom event uuid", Value: "repeats within a year are ignored", Mark: "doc", Source: "§5.4"},
			{Name: "custom events' tier", Value: "Enterprise; a third party says Professional", Mark: "open", Source: "§9"},
			{Name: "classic timeline and app events", Value: "OAuth apps only; an id is taken once, ever", Mark: "doc", Source: "§5.1, §5.2"},
			{Name: "app events, a used id", Value: "409; what follows is not said", Mark: "open", Source: "§5.3, §9"},
			{Name: "note text", Value: "65,536 characters; no idempotency key", Mark: "doc", Source: "§5.5"},
			{Name: "field string", Value: "65,536 characters", Mark: "doc", Source: "§4.3"},
			{Name: "field date", Value: "midnight UTC", Mark: "doc", Source: "§4.3"},
			{Name: "field enumeration", Value: "internal value, case-sensitive", Mark: "doc", Source: "§4.3"},
			{Name: "field lifecyclestage", Value: "moves forward only; a backward write answers 200 with the old value", Mark: "doc", Source: "§4.8"},
			{Name: "Retry-After on 429", Value: "not documented; honoured in seconds", Mark: "open", Source: "§6.2"},
		},
	}
}
