package hubspot

import (
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

var declared = canonical.ContactProperties{Prefix: "acme_", SourceFrom: "first_touch", Fields: []canonical.ContactField{
	{Name: "first_campaign", Own: true, Type: "text", From: "first_touch.campaign"},
	{Name: "last_page", Own: true, Type: "text", From: "last_touch.page", Property: "acme_last_page_seen"},
	{Name: "lead_score", Left: true},
	{Name: "plan", Own: true, Type: "enumeration", Options: []string{"free", "pro"}, From: "properties.plan_name", Label: "Plan"},
	{Name: "region", Own: true, Type: "text", From: "="},
	{Name: "job", Own: true, Type: "text", From: "title"},
	{Name: "source_campaign", Property: "paid_campaign"},
}}

// What the mapping declares of contacts is written instead of what the settings say.
func TestTheMappingsFieldsAreWritten(t *testing.T) {
	d, twice := configured(t, "custom: {seats: {object: company, type: number}}\n").WithFields(declared)
	if len(twice) > 0 {
		t.Errorf("said twice: %v", twice)
	}
	e := destinationtest.Deals(1)[0]
	e.Properties = map[string]any{"plan_name": "pro", "lead_score": 9, "plan": "free"}
	route := canonical.Route{Fields: map[string]any{"region": "EMEA"}}
	parts, refusal := d.Plan(e, *e.Known, route)
	if refusal.Reason != "" {
		t.Fatal(refusal)
	}
	q, err := d.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: parts[0]}})
	if err != nil {
		t.Fatal(err)
	}
	sent := string(q.Body)
	for _, has := range []string{`"acme_first_campaign":"Spring"`, `"acme_last_page_seen":"https://example.com/demo"`, `"acme_plan":"pro"`, `"acme_region":"EMEA"`, `"acme_job":"CFO"`,
		`"paid_campaign":"Spring"`, `"acme_utm_source":"facebook"`, `"acme_first_touch_at":`} {
		if !strings.Contains(sent, has) {
			t.Errorf("%s is not in %s", has, sent)
		}
	}
	for _, not := range []string{"tributary_", "lead_score", "seats"} {
		if strings.Contains(sent, not) {
			t.Errorf("%s is in %s", not, sent)
		}
	}
	var wants []string
	for _, w := range d.(destination).wants() {
		if w.object == contacts {
			wants = append(wants, w.property+" "+w.kind)
		}
	}
	for _, want := range []string{"acme_plan enumeration", "acme_region text", "acme_last_page_seen text", "paid_campaign text"} {
		if !slices.Contains(wants, want) {
			t.Errorf("setup makes no %s: %v", want, wants)
		}
	}
}

func TestOnePlaceSaysWhatContactsGet(t *testing.T) {
	_, twice := configured(t, "prefix: our_\nsource_from: first_touch\nproperties: {lead_score: score}\ncustom: {plan: {}, seats: {object: company}}\n").WithFields(declared)
	var settings []string
	for _, w := range twice {
		setting, _, _ := strings.Cut(w, ":")
		settings = append(settings, setting)
	}
	if want := []string{"settings.prefix", "settings.source_from", "settings.properties", "settings.custom.plan"}; !slices.Equal(settings, want) {
		t.Errorf("got %v, want %v", settings, want)
	}
}
