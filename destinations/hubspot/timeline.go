package hubspot

import (
	"cmp"
	"html"
	"regexp"
	"strconv"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// sentence is what a timeline entry says, in the wording that seed users know; "" for
// events that get no entry: everything but touches and funnel events. The click that another
// report carries is no touch.
func sentence(e canonical.Event, route canonical.Route) string {
	if e.Funnel {
		return converted(e, route)
	}
	t := e.Touch
	if t == nil || t.Carried {
		return ""
	}
	switch t.Kind {
	case "ad_click":
		return filled("Clicked ad: ", cmp.Or(t.Campaign, t.CampaignID, t.Ad), " on ", cmp.Or(t.Platform, t.Source))
	case "page_view":
		return filled("Viewed: ", t.Page, "", "")
	case "form":
		return filled("Submitted form: ", cmp.Or(t.Form, t.Page), "", "")
	case "email_open":
		return filled("Opened: ", t.Subject, "", "")
	}
	return ""
}

// converted names the event as the mapping does, else by its canonical name, with the
// value of the route's basis, else the amount.
func converted(e canonical.Event, route canonical.Route) string {
	s := "Converted: " + cmp.Or(route.Event, e.Name)
	if v := valueOf(e, route); v != nil {
		s += " - " + v.Amount.Fixed() + " " + v.Currency
	}
	return s
}

func valueOf(e canonical.Event, route canonical.Route) *destinations.Value {
	value, _ := destinations.ValueOf(e.Revenue, canonical.Route{Value: cmp.Or(route.Value, "amount"), IfMissing: route.IfMissing})
	return value
}

// filled leaves out what is not known; "" when nothing is.
func filled(before, what, between, where string) string {
	what, where = destinations.Text(what), destinations.Text(where)
	switch {
	case what == "" && where == "":
		return ""
	case what == "":
		return before + where
	case where == "":
		return before + what
	}
	return before + what + between + where
}

// noteBody is the sentence as HTML.
func noteBody(s string) string {
	return destinations.Clip(html.EscapeString(destinations.Text(s)), longest)
}

// entryFields are what an entry can say beside its sentence: properties of our definitions of
// custom events, and what tokens of templates may be filled with.
var entryFields = []string{
	"summary", "event", "campaign", "platform", "page_url", "form", "subject", "amount", "currency", "utm_source", "utm_medium", "utm_campaign",
}

// entryValues gives those of an event; only what is known.
func entryValues(e canonical.Event, route canonical.Route) map[string]string {
	out := map[string]string{"summary": sentence(e, route), "event": cmp.Or(route.Event, e.Name)}
	if t := e.Touch; t != nil && !t.Carried {
		out["campaign"], out["platform"], out["page_url"] = cmp.Or(t.Campaign, t.CampaignID), t.Platform, t.Page
		out["form"], out["subject"] = t.Form, t.Subject
		out["utm_source"], out["utm_medium"], out["utm_campaign"] = t.Source, t.Medium, t.Campaign
	}
	if v := valueOf(e, route); e.Funnel && v != nil {
		out["amount"], out["currency"] = v.Amount.Fixed(), v.Currency
	}
	for name, v := range out {
		if v = destinations.Text(v); v == "" {
			delete(out, name)
		} else {
			out[name] = v
		}
	}
	return out
}

var notInName = regexp.MustCompile(`[^a-z0-9_]+`)

// definitionName is the name of a custom event's definition; "" where none can be made.
func (d destination) definitionName(name string, route canonical.Route) string {
	name = cmp.Or(d.EventName, route.Event, name)
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "_"), "_")
}

// eventName is the fully qualified one.
func (d destination) eventName(e canonical.Event, route canonical.Route) string {
	name := d.definitionName(e.Name, route)
	if name == "" {
		return ""
	}
	return d.qualified(name)
}

func (d destination) qualified(name string) string {
	return "pe" + strconv.FormatInt(d.PortalID, 10) + "_" + name
}

// template is the event template or type that an event's entries are of.
func (d destination) template(e canonical.Event) string {
	return cmp.Or(d.Templates[e.Name], d.Templates["*"])
}

// uuid is what HubSpot tells repeats by: the same for the same event, for ever.
func uuid(key canonical.EventKey) string {
	h := string(canonical.MintID("hubspot", "timeline", key.Name, string(key.ID)))
	return h[:8] + "-" + h[8:12] + "-8" + h[13:16] + "-a" + h[17:20] + "-" + h[20:32] // version 8: a hash of our own
}
