package hubspot

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// fields are our own names of the fifteen fields, in the order of the sheet.
var fields = []string{
	"email", "first_name", "last_name", "phone", "company",
	"source_platform", "source_campaign", "source_ad_set", "source_ad",
	"utm_source", "utm_medium", "utm_campaign",
	"first_touch_at", "last_touch_at", "lead_score",
}

// standard are HubSpot's own properties; all other fields carry the prefix.
var standard = map[string]string{
	"email": "email", "first_name": "firstname", "last_name": "lastname", "phone": "phone", "company": "company",
}

// longest text a HubSpot property takes.
const longest = 65536

// property gives the HubSpot property a field goes to, or "".
func (d destination) property(field string) string {
	if name, ok := d.Properties[field]; ok {
		return name
	}
	return cmp.Or(standard[field], d.Prefix+field)
}

// properties gives what an event has to say of its contact: only fields with a value.
// What came from HubSpot is not written back to it.
func (d destination) properties(e canonical.Event, k canonical.Known) map[string]string {
	values := map[string]string{}
	set := func(field, value string) {
		value = destinations.Text(value)
		if name := d.property(field); name != "" && value != "" {
			values[name] = destinations.Clip(value, longest)
		}
	}
	if !fromHubSpot(e) {
		set("first_name", unhashed(e.Contact.FirstName))
		set("last_name", unhashed(e.Contact.LastName))
		set("phone", unhashed(e.Contact.Phone))
		set("company", e.Company.Name)
	}
	first, last := touches(e, k)
	if first != nil {
		set("first_touch_at", datetime(first.At))
	}
	if last != nil {
		set("last_touch_at", datetime(last.At))
	}
	if t := d.sourceTouch(first, last); t != nil {
		set("source_platform", t.Platform)
		set("source_campaign", cmp.Or(t.Campaign, t.CampaignID))
		set("source_ad_set", t.AdSet)
		set("source_ad", t.Ad)
		set("utm_source", t.Source)
		set("utm_medium", t.Medium)
		set("utm_campaign", t.Campaign)
	}
	set("lead_score", number(e.Properties["lead_score"]))
	if len(values) == 0 && !fromHubSpot(e) && d.contactID(e, k) == "" {
		// A new contact needs something to be made of. Else the e-mail is only what the row is
		// found by: written to a contact that has it as a further address, it would become the first.
		set("email", canonical.NormalEmail(e.Contact.Email))
	}
	return values
}

// fromHubSpot is true for what HubSpot itself reported: it has it already.
func fromHubSpot(e canonical.Event) bool {
	switch e.Way {
	case canonical.WayHubSpot, canonical.WayCRM:
		return true
	case canonical.WayEvents: // middleware between HubSpot and us
		return e.Source == "hubspot" || e.Object.Type == "contact" || e.Object.Type == "company" || e.Object.Type == "deal"
	}
	return false
}

// touches gives the person's first and last touch, the event's own among them.
func touches(e canonical.Event, k canonical.Known) (first, last *canonical.Touch) {
	first, last = k.FirstTouch, k.LastTouch
	if t := e.Touch; t != nil && t.Kind != "" && !t.At.IsZero() {
		if first == nil || t.At.Before(first.At) {
			first = t
		}
		if last == nil || t.At.After(last.At) {
			last = t
		}
	}
	return first, last
}

// sourceTouch is the touch that says where the contact came from: the one configured, or
// the other where that one says nothing (a direct visit). Fields of two are never mixed.
func (d destination) sourceTouch(first, last *canonical.Touch) *canonical.Touch {
	candidates := []*canonical.Touch{last, first}
	if d.SourceFrom == firstTouch {
		slices.Reverse(candidates)
	}
	for _, t := range candidates {
		if t != nil && cmp.Or(t.Platform, t.Source, t.Medium, t.Campaign, t.CampaignID, t.AdSet, t.Ad) != "" {
			return t
		}
	}
	return nil
}

func datetime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return canonical.FormatTime(t.UTC().Truncate(time.Millisecond))
}

func unhashed(s string) string {
	if canonical.IsHash(s) {
		return ""
	}
	return s
}

// number gives a number as HubSpot wants it: one point, no commas, no exponent.
func number(v any) string {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return ""
		}
		return strconv.FormatFloat(v, 'f', -1, 64)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case json.Number:
		return number(v.String())
	case string:
		f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
		if err != nil {
			return ""
		}
		return number(f)
	}
	return ""
}
