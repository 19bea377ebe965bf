// Package hubspot writes events into HubSpot as contact properties and timeline entries,
// and reads its answers. The facts it goes by are in its README.
package hubspot

import (
	"regexp"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
)

// What timeline entries are made of.
const (
	customEvents = "custom_events" // Enterprise; sent again safely
	notes        = "notes"         // any tier
	off          = "off"
)

// Which touch the source properties are taken from.
const (
	lastTouch  = "last_touch"
	firstTouch = "first_touch"
)

// Settings are the section of a HubSpot destination.
type Settings struct {
	Account       string            `yaml:"account"` // the connected CRM account's name; "hubspot" where there is one
	PortalID      int64             `yaml:"portal_id"`
	API           string            `yaml:"api"` // v3 or 2026-03
	Timeline      string            `yaml:"timeline"`
	EventName     string            `yaml:"event_name"` // custom events: one definition for all; "": one for each event name
	Prefix        string            `yaml:"prefix"`     // of our own properties
	SourceFrom    string            `yaml:"source_from"`
	Properties    map[string]string `yaml:"properties"` // our field → HubSpot's property; "" leaves the field out
	Batch         int               `yaml:"batch"`
	Linger        time.Duration     `yaml:"linger"`
	Timeout       time.Duration     `yaml:"timeout"`
	RequestsPer10 int               `yaml:"requests_per_ten_seconds"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Account: "hubspot", API: "v3", Timeline: notes, Prefix: "tributary_", SourceFrom: lastTouch,
		Batch: 100, Linger: time.Second, Timeout: 15 * time.Second, RequestsPer10: 100,
	}
}

// paths are the addresses of one API version.
type paths struct {
	update, upsert, notes, events string
	ends                          time.Time // "unsupported" in HubSpot's word; no shutdown is dated
}

var versions = map[string]paths{
	"v3": {
		update: "/crm/v3/objects/contacts/batch/update",
		upsert: "/crm/v3/objects/contacts/batch/upsert",
		notes:  "/crm/v3/objects/notes/batch/create",
		events: "/events/v3/send/batch",
		ends:   time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC),
	},
	"2026-03": {
		update: "/crm/objects/2026-03/contacts/batch/update",
		upsert: "/crm/objects/2026-03/contacts/batch/upsert",
		notes:  "/crm/objects/2026-03/notes/batch/create",
		events: "/events/2026-03/send/batch",
		ends:   time.Date(2027, 9, 1, 0, 0, 0, 0, time.UTC), // 18 months after release
	},
}

var (
	propertyShape = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)
	prefixShape   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}_$`)
	eventShape    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)
)

// Kind is HubSpot's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "hubspot",
		New:        open,
		BaseURL:    "https://api.hubapi.com",
		Credential: "a private app's access token, a service key or a platform app's static token",
		Authorize:  destinations.Bearer,
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	s.OneOf("api", settings.API, "v3", "2026-03")
	s.OneOf("timeline", settings.Timeline, customEvents, notes, off)
	s.OneOf("source_from", settings.SourceFrom, lastTouch, firstTouch)
	if settings.PortalID < 0 || settings.PortalID == 0 && settings.Timeline == customEvents {
		s.Problem("portal_id", "portal_id is missing: timeline: custom_events needs the account's number, which is part of every event's name")
	}
	if !prefixShape.MatchString(settings.Prefix) {
		s.Problem("prefix", "prefix is %q; it is lower-case letters, digits and _, beginning with a letter and ending with _", settings.Prefix)
	}
	if len(settings.Prefix) >= 3 && settings.Prefix[:3] == "hs_" {
		s.Problem("prefix", "prefix hs_ belongs to HubSpot; choose one of your own")
	}
	if settings.EventName != "" && !eventShape.MatchString(settings.EventName) {
		s.Problem("event_name", "event_name is %q; it is lower-case letters, digits and _, beginning with a letter, at most 50", settings.EventName)
	}
	for field, property := range settings.Properties {
		s.OneOf("properties."+field, field, fields...)
		if property != "" && !propertyShape.MatchString(property) {
			s.Problem("properties."+field, "property %q is no internal name of a HubSpot property", property)
		}
	}
	destinations.Within(s, "batch", settings.Batch, 1, 100)
	destinations.Within(s, "linger", settings.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", settings.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_ten_seconds", settings.RequestsPer10, 1, 250)
	return destination{Settings: settings, paths: versions[settings.API]}, s.Problems()
}

type destination struct {
	Settings
	paths paths
}

var _ destinations.Destination = destination{}

// Contract says what HubSpot takes.
func (d destination) Contract() destinations.Contract {
	return destinations.Contract{
		Vendor:      "HubSpot CRM",
		APIVersion:  d.API,
		VersionEnds: d.paths.ends,
		MaxBatch:    d.Batch,
		MaxBytes:    3 << 20, // ours: no limit is documented
		Account:     d.Account,
		Limits:      []destinations.Limit{{Name: "ten_seconds", Requests: d.RequestsPer10, Per: 10 * time.Second}},
		Ambiguous:   destinations.Resend,
		Timeout:     d.Timeout,
		Linger:      d.Linger,
	}
}

var _ destinations.Adviser = destination{}

// Advice says what the timeline setting means for the account's token.
func (d destination) Advice(map[string]canonical.Route) []string {
	const classic = "a private-app token cannot write classic timeline entries (HubSpot keeps those to OAuth apps)"
	switch d.Timeline {
	case notes:
		return []string{"timeline entries are written as notes: " + classic}
	case customEvents:
		return []string{"timeline entries are written as custom events, which needs an Enterprise account and their definition with a text property summary: " + classic}
	}
	return nil
}
