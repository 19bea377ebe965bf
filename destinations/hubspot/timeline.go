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
// events that get no entry: everything but touches and funnel events.
func sentence(e canonical.Event, route canonical.Route) string {
	if e.Funnel {
		return converted(e, route)
	}
	t := e.Touch
	if t == nil {
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
	basis := cmp.Or(route.Value, "amount")
	value, _ := destinations.ValueOf(e.Revenue, canonical.Route{Value: basis, IfMissing: route.IfMissing})
	s := "Converted: " + cmp.Or(route.Event, e.Name)
	if value != nil {
		s += " - " + value.Amount.Fixed() + " " + value.Currency
	}
	return s
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

var notInName = regexp.MustCompile(`[^a-z0-9_]+`)

// eventName is the fully qualified name of a custom event's definition; "" where no name
// can be made of the event's.
func (d destination) eventName(e canonical.Event, route canonical.Route) string {
	name := cmp.Or(d.EventName, route.Event, e.Name)
	name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "_"), "_")
	if name == "" {
		return ""
	}
	return "pe" + strconv.FormatInt(d.PortalID, 10) + "_" + name
}

// uuid is HubSpot's idempotency key: the same for the same event, for ever.
func uuid(key canonical.EventKey) string {
	h := string(canonical.MintID("hubspot", "timeline", key.Name, string(key.ID)))
	return h[:8] + "-" + h[8:12] + "-8" + h[13:16] + "-a" + h[17:20] + "-" + h[20:32] // version 8: a hash of our own
}

// traceID names a row of a batch in HubSpot's answer.
func traceID(it destinations.Item) string {
	key := it.Event.Key()
	return string(canonical.MintID("hubspot", it.Part.Name, key.Name, string(key.ID)))[:32]
}
