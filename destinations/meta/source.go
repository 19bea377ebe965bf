package meta

import (
	"fmt"
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// The action sources used here (meta.md §1.5).
const (
	website   = "website"
	generated = "system_generated"
	store     = "physical_store"
	app       = "app"
	messaging = "business_messaging"
	other     = "other"
)

// source says where an event came about, in Meta's words. What a caller said in Meta's own
// format holds, as long as the event has what Meta asks for with it.
func source(e *canonical.Event) string {
	if fromCRM(e) {
		return generated
	}
	if e.Way == canonical.WayMeta {
		switch s, _ := e.Properties["action_source"].(string); {
		case s == "email", s == "phone_call", s == "chat", s == other, s == generated, s == store,
			s == app && appData(e.Properties["app_data"]), s == messaging && messageIDs(e):
			return s
		}
	}
	if pageURL(e) != "" {
		return website
	}
	return other
}

// fromCRM is true for what a CRM reports: its own ways in, and anything about one of its
// records.
func fromCRM(e *canonical.Event) bool {
	switch e.Object.Type {
	case "contact", "company", "deal":
		return e.Way != canonical.WayPixel && e.Way != canonical.WayMeta
	}
	return e.Way == canonical.WayCRM || e.Way == canonical.WayHubSpot || e.Way == canonical.WayWorkflow
}

// crmMarked is true for a CRM's event that came in Meta's own format with its mark.
func crmMarked(e *canonical.Event) bool {
	s, _ := e.Properties["event_source"].(string)
	return e.Way == canonical.WayMeta && strings.EqualFold(s, "crm")
}

func pageURL(e *canonical.Event) string {
	if e.Browser.URL != "" {
		if u := destinations.CleanURL(e.Browser.URL); u != "" {
			return u
		}
	}
	if e.Touch != nil && e.Touch.Page != "" {
		return destinations.CleanURL(e.Touch.Page)
	}
	return ""
}

// appData is true for an app_data that Meta takes (meta.md §1.6).
func appData(v any) bool {
	m, _ := v.(map[string]any)
	info, _ := m["extinfo"].([]any)
	if m["advertiser_tracking_enabled"] == nil || m["application_tracking_enabled"] == nil || len(info) != 16 {
		return false
	}
	for i, item := range info {
		s, ok := item.(string)
		if !ok || i == 0 && s != "a2" && s != "i2" || i == 4 && s == "" {
			return false
		}
	}
	return true
}

// messageIDs is true where the ids of the messaging channel are there (meta.md §2.3).
func messageIDs(e *canonical.Event) bool {
	given := func(k key) bool { return givenID(e.Properties["user_data."+keyNames[k]], false) != "" }
	switch e.Properties["messaging_channel"] {
	case "messenger":
		return given(keyPage) && given(keyPageUser)
	case "whatsapp":
		return given(keyWhatsAppAccount) && given(keyWhatsAppClick)
	case "instagram":
		return given(keyInstagramSID) && (given(keyInstagramAccount) || given(keyInstagramBusiness))
	}
	return false
}

// passedOn are the fields of an event that only Meta's own format has, and that go on as
// they came where they have the shape Meta asks for.
type passedOn struct {
	table        string // advanced_measurement_table
	tracking     any    // advertiser_tracking_enabled
	app          any
	attribution  any
	segmentation string
	channel      string
	optOut       bool
	original     any
}

func passed(e *canonical.Event, from string) (p passedOn) {
	if e.Way != canonical.WayMeta || len(e.Properties) == 0 {
		return p
	}
	text := func(key string) string { s, _ := e.Properties[key].(string); return s }
	p.table = text("advanced_measurement_table")
	switch v := e.Properties["advertiser_tracking_enabled"].(type) {
	case bool, float64:
		p.tracking = v
	}
	if from == app {
		p.app = e.Properties["app_data"]
	}
	if from == messaging {
		p.channel = text("messaging_channel")
	}
	if s := text("customer_segmentation"); segmentations[s] {
		p.segmentation = s
	}
	switch strings.ToLower(strings.TrimSpace(fmt.Sprint(e.Properties["opt_out"]))) {
	case "true", "1":
		p.optOut = true
	}
	if m, ok := e.Properties["original_event_data"].(map[string]any); ok && m["event_name"] != nil && m["event_time"] != nil {
		p.original = m
	}
	if m, ok := e.Properties["attribution_data"].(map[string]any); ok {
		p.attribution = m
	}
	return p
}

// segmentations are the values of customer_segmentation (meta.md §1.4).
var segmentations = map[string]bool{
	"new_customer_to_business": true, "new_customer_to_business_line": true, "new_customer_to_product_area": true, "new_customer_to_medium": true,
	"existing_customer_to_business": true, "existing_customer_to_business_line": true, "existing_customer_to_product_area": true,
	"existing_customer_to_medium": true, "customer_in_loyalty_program": true,
}
