package hubspot

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The objects that properties are written to, as HubSpot's paths name them.
const (
	contacts  = "contacts"
	companies = "companies"
	deals     = "deals"
)

// A field is one of our own: what setup makes a property for.
type field struct {
	name, kind, label, about string
}

var sourceFields = []field{
	{"source_platform", "text", "Source platform", "Where the touch came from: linkedin, meta, google, …"},
	{"source_campaign", "text", "Source campaign", "The campaign of the touch, or its id"},
	{"source_ad_set", "text", "Source ad set", "The ad set or group of the touch"},
	{"source_ad", "text", "Source ad", "The ad of the touch"},
	{"utm_source", "text", "UTM source", "utm_source of the touch"},
	{"utm_medium", "text", "UTM medium", "utm_medium of the touch"},
	{"utm_campaign", "text", "UTM campaign", "utm_campaign of the touch"},
	{"first_touch_at", "datetime", "First touch", "When the person was first met"},
	{"last_touch_at", "datetime", "Last touch", "When the person was last met"},
}

// contactFields are the fifteen of the sheet (§5.6), in its order, and the counters.
var contactFields = slices.Concat([]field{
	{"email", "text", "", ""}, {"first_name", "text", "", ""}, {"last_name", "text", "", ""}, {"phone", "text", "", ""}, {"company", "text", "", ""},
}, sourceFields, []field{{"lead_score", "number", "Lead score", "The score that an event brought along"}}, counterFields)

// counterFields hold how many distinct events of a name the person has had.
var counterFields = []field{
	{"page_views", "number", "Page views", "Distinct page views of the person"},
	{"ad_clicks", "number", "Ad clicks", "Distinct ad clicks of the person"},
	{"form_submissions", "number", "Form submissions", "Distinct forms the person sent"},
	{"email_opens", "number", "E-mail opens", "Distinct e-mail opens of the person"},
}

// countedNames says which canonical name a counter counts.
var countedNames = map[string]string{
	"page_views": "page_viewed", "ad_clicks": "ad_clicked", "form_submissions": "form_submitted", "email_opens": "email_opened",
}

var lastActivity = field{"last_activity_at", "datetime", "Last activity", "When somebody here was last seen doing something"}

// companyFields are what can be said of an account; dealFields of a deal, whose contact that
// counts is meant.
var (
	companyFields = append(slices.Clone(sourceFields), lastActivity)
	dealFields    = slices.Concat(sourceFields, []field{lastActivity}, counterFields)
)

// standard are HubSpot's own properties of contacts; all other fields carry the prefix.
var standard = map[string]string{
	"email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "company": "company",
}

func names(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.name)
	}
	return out
}

// property gives the HubSpot property that a field goes to; "" where it is not written.
func (d destination) property(object, field string) string {
	switch object {
	case companies:
		if !slices.Contains(d.Companies, field) {
			return ""
		}
	case deals:
		if !slices.Contains(d.Deals, field) {
			return ""
		}
	default:
		if name, ok := d.Properties[field]; ok {
			return name
		}
		if _, counter := countedNames[field]; counter && !d.Counters {
			return ""
		}
		if name := standard[field]; name != "" {
			return name
		}
	}
	return d.Prefix + field
}

// objectOf is where a field of the operator's own is written.
func (c Custom) objectOf() string {
	return cmp.Or(map[string]string{"company": companies, "deal": deals}[c.Object], contacts)
}

// A want is a property that deliveries write.
type want struct {
	object, property string
	kind             string // text, number, bool, date, datetime, enumeration
	label, about     string
	options          []string
	unique           bool
}

// wants lists every property that deliveries may write, by object and name, each once.
func (d destination) wants() []want {
	var out []want
	for object, fields := range map[string][]field{contacts: contactFields, companies: companyFields, deals: dealFields} {
		for _, f := range fields {
			if p := d.property(object, f.name); p != "" {
				out = append(out, want{object: object, property: p, kind: f.kind, label: f.label, about: f.about})
			}
		}
	}
	for name, f := range d.Custom {
		out = append(out, want{
			object: f.objectOf(), property: d.customProperty(name, f), kind: cmp.Or(f.Type, "text"),
			label: cmp.Or(f.Label, strings.ReplaceAll(name, "_", " ")), about: "From the field " + name + " of events", options: f.Options,
		})
	}
	if d.Key != byEmailKey {
		out = append(out, want{object: contacts, property: d.Key, kind: "text", label: "Key", about: "Unique key of the person: " + d.KeyFrom, unique: true})
	}
	if d.CompanyKey != "" {
		out = append(out, want{object: companies, property: d.CompanyKey, kind: "text", label: "Domain key", about: "Unique key of the account: its domain", unique: true})
	}
	if len(d.Lifecycle) > 0 {
		out = append(out, want{object: contacts, property: "lifecyclestage", kind: "enumeration", options: slices.Sorted(maps.Values(d.Lifecycle))})
	}
	slices.SortFunc(out, func(a, b want) int {
		return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.property, b.property), cmp.Compare(a.kind, b.kind))
	})
	return slices.CompactFunc(out, func(a, b want) bool { return a.object == b.object && a.property == b.property })
}

// ours is true for a property that setup may make: one of our prefix, or named by the operator.
func (d destination) ours(w want) bool {
	return w.label != "" && !strings.HasPrefix(w.property, "hs_") && !slices.Contains(slices.Collect(maps.Values(standard)), w.property)
}

// fromHubSpot is true for what HubSpot itself reported: it has it already.
func fromHubSpot(e canonical.Event) bool {
	switch e.Way {
	case canonical.WayHubSpot, canonical.WayCRM, canonical.WayWorkflow:
		return true
	case canonical.WayEvents: // middleware between HubSpot and us
		return e.Source == "hubspot" || e.Object.Type == "contact" || e.Object.Type == "company" || e.Object.Type == "deal"
	}
	return false
}

// given is what an event says under a name of the operator's: its own property, else one of
// the fields that every event has.
func given(e canonical.Event, name string) any {
	if v, ok := e.Properties[name]; ok {
		return v
	}
	switch name {
	case "event":
		return e.Name
	case "occurred_at":
		return e.OccurredAt
	case "stage":
		return e.Stage
	case "title":
		return unhashed(e.Contact.Title)
	case "city":
		return unhashed(e.Contact.City)
	case "state":
		return unhashed(e.Contact.State)
	case "zip":
		return unhashed(e.Contact.Zip)
	case "country":
		return unhashed(e.Contact.Country)
	case "domain":
		return companyDomain(e)
	case "amount":
		if e.Revenue != nil && e.Revenue.Amount != nil {
			return e.Revenue.Amount.Fixed()
		}
	case "currency":
		if e.Revenue != nil {
			return e.Revenue.Currency
		}
	}
	return nil
}

var _ destinations.Fielder = destination{}

// WithFields puts what the mapping declares of contacts in the place of the settings.
func (d destination) WithFields(p canonical.ContactProperties) (destinations.Destination, []string) {
	var twice []string
	said := func(is bool, setting string) {
		if is {
			twice = append(twice, "settings."+setting+": the mapping's contact_properties say it; take it out of the destination")
		}
	}
	standing := Default()
	said(d.Prefix != standing.Prefix, "prefix")
	said(d.SourceFrom != standing.SourceFrom, "source_from")
	said(len(d.Properties) > 0, "properties")
	custom := map[string]Custom{}
	for _, name := range slices.Sorted(maps.Keys(d.Custom)) {
		if f := d.Custom[name]; f.objectOf() != contacts {
			custom[name] = f
		} else {
			said(true, "custom."+name)
		}
	}
	d.Prefix, d.SourceFrom = cmp.Or(p.Prefix, standing.Prefix), cmp.Or(p.SourceFrom, standing.SourceFrom)
	d.Properties = map[string]string{}
	for _, f := range p.Fields {
		switch {
		case f.Own:
			key := f.Name
			if _, taken := custom[key]; taken { // a company's or a deal's of the same name
				key = "contact " + key
			}
			custom[key] = Custom{Property: cmp.Or(f.Property, d.Prefix+f.Name), Type: f.Type, Options: f.Options, Label: cmp.Or(f.Label, strings.ReplaceAll(f.Name, "_", " ")), From: cmp.Or(f.From, "properties."+f.Name)}
		case f.Left:
			d.Properties[f.Name] = ""
		case f.Property != "":
			d.Properties[f.Name] = f.Property
		}
	}
	d.Custom = custom
	return d, twice
}

// fromTouch is true for a field that is taken from a touch of the person.
func (c Custom) fromTouch() bool {
	return strings.HasPrefix(c.From, "first_touch.") || strings.HasPrefix(c.From, "last_touch.")
}

// value is what an event says of a field of the operator's own.
func (c Custom) value(it destinations.Item, name string) any {
	switch {
	case c.From == "":
		return given(it.Event, name)
	case c.From == "=":
		return it.Part.Route.Fields[strings.TrimPrefix(name, "contact ")]
	case c.fromTouch():
		return nil // see touched
	}
	if property, is := strings.CutPrefix(c.From, "properties."); is {
		return it.Event.Properties[property]
	}
	return given(canonical.Event{Name: it.Event.Name, OccurredAt: it.Event.OccurredAt, Stage: it.Event.Stage, Contact: it.Event.Contact,
		Company: it.Event.Company, Revenue: it.Event.Revenue}, c.From)
}

// ofTouch is one field of a touch.
func ofTouch(t *canonical.Touch, field string) any {
	if t == nil {
		return nil
	}
	switch field {
	case "at":
		return t.At
	case "kind":
		return t.Kind
	case "platform":
		return t.Platform
	case "campaign":
		return t.Campaign
	case "campaign_id":
		return t.CampaignID
	case "ad_set":
		return t.AdSet
	case "ad":
		return t.Ad
	case "utm_source":
		return t.Source
	case "utm_medium":
		return t.Medium
	case "utm_campaign":
		return t.Campaign
	case "utm_term":
		return t.Term
	case "utm_content":
		return t.Content
	case "page":
		return destinations.CleanURL(t.Page)
	case "referrer":
		return destinations.CleanURL(t.Referrer)
	case "form":
		return t.Form
	}
	return nil
}

func unhashed(s string) string {
	if canonical.IsHash(s) {
		return ""
	}
	return s
}
