// Package hubspot writes events into HubSpot as properties of contacts, companies and deals
// and as timeline entries, and reads its answers. The facts it goes by are in its README.
package hubspot

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// What timeline entries are made of. None is ever taken in place of another.
const (
	customEvents  = "custom_events"  // Enterprise; uuid makes a resend harmless
	notes         = "notes"          // any tier; nothing makes a resend harmless
	oauthTimeline = "oauth_timeline" // classic: an OAuth app with event templates
	appEvents     = "app_events"     // a platform app of an approved partner
	off           = "off"
)

// Which touch the source properties are taken from.
const (
	lastTouch  = "last_touch"
	firstTouch = "first_touch"
)

// Settings are the section of a HubSpot destination.
type Settings struct {
	Account      string            `yaml:"account"` // the connected CRM account's name; "hubspot" where there is one
	PortalID     int64             `yaml:"portal_id"`
	API          string            `yaml:"api"`       // v3 or 2026-03
	Tier         string            `yaml:"tier"`      // free, starter, professional, enterprise, oauth: sizes the limits
	TimeZone     string            `yaml:"time_zone"` // of the account: the day's limit ends at its midnight
	Key          string            `yaml:"key"`       // email, or a unique property of contacts
	KeyFrom      string            `yaml:"key_from"`  // what that property holds: user_id, or a property of the event
	Timeline     string            `yaml:"timeline"`
	EventName    string            `yaml:"event_name"` // custom events: one definition for all; "": one for each event name
	Templates    map[string]string `yaml:"templates"`  // oauth_timeline, app_events: canonical name or "*" → template id or type name
	Tokens       map[string]string `yaml:"tokens"`     // entry field → token or property of the template
	TimelinePath string            `yaml:"timeline_path"`
	Unanswered   string            `yaml:"unanswered_notes"` // hold or look
	Prefix       string            `yaml:"prefix"`           // of our own properties
	SourceFrom   string            `yaml:"source_from"`
	Properties   map[string]string `yaml:"properties"` // our field → HubSpot's property of contacts; "" leaves the field out
	Custom       map[string]Custom `yaml:"custom"`     // further fields, by the event's property
	Counters     bool              `yaml:"counters"`
	Companies    []string          `yaml:"company_fields"`
	CompanyKey   string            `yaml:"company_key"` // a unique property of companies that holds the domain
	Deals        []string          `yaml:"deal_fields"`
	Lifecycle    map[string]string `yaml:"lifecycle"` // canonical name → internal name of a lifecycle stage
	Batch        int               `yaml:"batch"`
	Linger       time.Duration     `yaml:"linger"`
	Timeout      time.Duration     `yaml:"timeout"`
	Per10        int               `yaml:"requests_per_ten_seconds"` // 0: the tier's
	PerDay       int               `yaml:"requests_per_day"`         // 0: the tier's
}

// A Custom field is a field of the operator's own.
type Custom struct {
	Object   string   `yaml:"object"`   // contact, company or deal; "" is contact
	Property string   `yaml:"property"` // "" is the prefix with the field's name
	Type     string   `yaml:"type"`     // text, number, bool, date, datetime, enumeration; "" is text
	Options  []string `yaml:"options"`  // of an enumeration: internal values
	Label    string   `yaml:"label"`
	// From is where a field that the mapping declares is taken from: see canonical.ContactField.
	From string `yaml:"-"`
}

// Default is what holds where the section says nothing.
func Default() Settings {
	return Settings{
		Account: "hubspot", API: "v3", Tier: "free", Key: byEmailKey, KeyFrom: "user_id", Timeline: notes, Tokens: map[string]string{"summary": "summary"},
		Unanswered: string(destinations.Hold), Prefix: "tributary_", SourceFrom: lastTouch, Counters: true,
		Batch: 100, Linger: time.Second, Timeout: 15 * time.Second,
	}
}

const byEmailKey = "email"

var (
	propertyShape = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)
	prefixShape   = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}_$`)
	eventShape    = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)
	tokenShape    = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	pathShape     = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
)

// Kind is HubSpot's line in the catalog.
func Kind() destinations.Kind {
	return destinations.Kind{
		Name:       "hubspot",
		New:        open,
		BaseURL:    "https://api.hubapi.com",
		Credential: "a private app's access token, a service key, a platform app's static token, or an OAuth app's",
		Authorize:  destinations.Bearer,
		OAuth:      &destinations.OAuth{TokenURL: "https://api.hubapi.com/oauth/v3/token", Ahead: 5 * time.Minute, InParams: true},
		Table:      table(),
	}
}

func open(section *yaml.Node) (destinations.Destination, []destinations.Problem) {
	settings := Default()
	s := destinations.Decode(section, &settings)
	settings.check(s)
	d := destination{Settings: settings, paths: versions[settings.API]}
	if settings.TimeZone != "" {
		zone, err := time.LoadLocation(settings.TimeZone)
		if err != nil || settings.TimeZone == "Local" {
			s.Problem("time_zone", "time_zone %q is not known; write it as HubSpot's account settings do, such as Europe/Berlin", settings.TimeZone)
		}
		d.zone = zone
	}
	return d, s.Problems()
}

func (c Settings) check(s *destinations.Section) {
	s.OneOf("api", c.API, "v3", "2026-03")
	s.OneOf("tier", c.Tier, slices.Sorted(maps.Keys(tiers))...)
	s.OneOf("source_from", c.SourceFrom, lastTouch, firstTouch)
	s.OneOf("unanswered_notes", c.Unanswered, string(destinations.Hold), string(destinations.Look))
	if c.PortalID < 0 || c.PortalID == 0 && c.Timeline == customEvents {
		s.Problem("portal_id", "portal_id is missing: timeline: custom_events needs the account's number, which is part of every event's name")
	}
	if !prefixShape.MatchString(c.Prefix) {
		s.Problem("prefix", "prefix is %q; it is lower-case letters, digits and _, beginning with a letter and ending with _", c.Prefix)
	}
	if strings.HasPrefix(c.Prefix, "hs_") {
		s.Problem("prefix", "prefix hs_ belongs to HubSpot; choose one of your own")
	}
	for path, name := range map[string]string{"key": c.Key, "company_key": c.CompanyKey} {
		if (name != "" || path == "key") && !propertyShape.MatchString(name) {
			s.Problem(path, "%s %q is no internal name of a HubSpot property", path, name)
		}
	}
	if c.Key == "hs_object_id" {
		s.Problem("key", "HubSpot takes no upsert by hs_object_id; contacts whose record id is known are written by it anyway")
	}
	if c.CompanyKey == "domain" {
		s.Problem("company_key", "domain is not unique through HubSpot's API; make a property with unique values that holds the domain, or leave company_key out")
	}
	c.checkFields(s)
	c.checkTimeline(s)
	for name, stage := range c.Lifecycle {
		if strings.TrimSpace(stage) == "" {
			s.Problem("lifecycle."+name, "lifecycle.%s names no stage; write its internal name, such as marketingqualifiedlead", name)
		}
	}
	destinations.Within(s, "batch", c.Batch, 1, 100)
	destinations.Within(s, "linger", c.Linger, 0, time.Minute)
	destinations.Within(s, "timeout", c.Timeout, 100*time.Millisecond, time.Minute)
	destinations.Within(s, "requests_per_ten_seconds", c.Per10, 0, 1000)
	destinations.Within(s, "requests_per_day", c.PerDay, 0, 10_000_000)
}

func (c Settings) checkFields(s *destinations.Section) {
	for field, property := range c.Properties {
		s.OneOf("properties."+field, field, names(contactFields)...)
		if property != "" && !propertyShape.MatchString(property) {
			s.Problem("properties."+field, "property %q is no internal name of a HubSpot property", property)
		}
	}
	for i, f := range c.Companies {
		s.OneOf("company_fields."+strconv.Itoa(i), f, names(companyFields)...)
	}
	for i, f := range c.Deals {
		s.OneOf("deal_fields."+strconv.Itoa(i), f, names(dealFields)...)
	}
	for name, f := range c.Custom {
		at := "custom." + name
		if f.Object != "" {
			s.OneOf(at+".object", f.Object, "contact", "company", "deal")
		}
		if f.Type != "" {
			s.OneOf(at+".type", f.Type, "text", "number", "bool", "date", "datetime", "enumeration")
		}
		if property := c.customProperty(name, f); !propertyShape.MatchString(property) {
			s.Problem(at, "property %q is no internal name of a HubSpot property; set custom.%s.property", property, name)
		}
		if len(f.Options) > 0 && f.Type != "enumeration" {
			s.Problem(at+".options", "only a field of type enumeration has options")
		}
	}
}

func (c Settings) checkTimeline(s *destinations.Section) {
	s.OneOf("timeline", c.Timeline, customEvents, notes, oauthTimeline, appEvents, off)
	if c.EventName != "" && !eventShape.MatchString(c.EventName) {
		s.Problem("event_name", "event_name is %q; it is lower-case letters, digits and _, beginning with a letter, at most 50", c.EventName)
	}
	if (c.Timeline == oauthTimeline || c.Timeline == appEvents) && len(c.Templates) == 0 {
		s.Problem("templates", "timeline: %s needs templates: the canonical name of an event, or \"*\", and the template's id or the type's full name", c.Timeline)
	}
	for name, template := range c.Templates {
		if !tokenShape.MatchString(template) {
			s.Problem("templates."+name, "template %q is neither the id of an event template nor the full name of an event type", template)
		}
	}
	for field, token := range c.Tokens {
		s.OneOf("tokens."+field, field, entryFields...)
		if !tokenShape.MatchString(token) || token == "log" || token == "lookup" {
			s.Problem("tokens."+field, "token %q holds other characters than letters, digits, '.', '-' and '_', or is log or lookup", token)
		}
	}
	if c.TimelinePath != "" && !pathShape.MatchString(c.TimelinePath) {
		s.Problem("timeline_path", "timeline_path is %q; it begins with / and does not end with one, such as /crm/v3/timeline", c.TimelinePath)
	}
}

// customProperty is where a field of the operator's own goes.
func (c Settings) customProperty(name string, f Custom) string {
	if f.Property != "" {
		return f.Property
	}
	return c.Prefix + name
}

// A destination is one HubSpot account as configured, and as far as it was learned.
type destination struct {
	Settings
	paths paths
	zone  *time.Location // of the account; nil: not known
	// schema is what the account was found to hold; nil: it was not read, and everything is
	// written as it is declared.
	schema *schema
}

var _ destinations.Destination = destination{}
