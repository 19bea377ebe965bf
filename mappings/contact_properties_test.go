package mappings

import (
	"reflect"
	"testing"

	"tributary/canonical"
)

func TestContactProperties(t *testing.T) {
	m := mustCompile(t, linesHead+`contact_properties:
  prefix: acme_
  source_from: first_touch
  fields:
    lead_score: none
    source_campaign: paid_campaign
    utm_source: { property: first_source }
    plan: { type: enumeration, options: [free, 2], from: properties.plan_name, label: Plan }
    first_campaign: { type: text, from: first_touch.campaign }
    region: { type: text, from: = upper(country) }
    seats: { type: number }
`)
	got, ok := m.ContactProperties()
	want := canonical.ContactProperties{Prefix: "acme_", SourceFrom: "first_touch", Fields: []canonical.ContactField{
		{Name: "first_campaign", Own: true, Type: "text", From: "first_touch.campaign", At: "m.yaml:11"},
		{Name: "lead_score", Left: true, At: "m.yaml:7"},
		{Name: "plan", Own: true, Type: "enumeration", Options: []string{"free", "2"}, Label: "Plan", From: "properties.plan_name", At: "m.yaml:10"},
		{Name: "region", Own: true, Type: "text", From: "=", At: "m.yaml:12"},
		{Name: "seats", Own: true, Type: "number", From: "properties.seats", At: "m.yaml:13"},
		{Name: "source_campaign", Property: "paid_campaign", At: "m.yaml:8"},
		{Name: "utm_source", Property: "first_source", At: "m.yaml:9"},
	}}
	if !ok || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	r, mapped := m.RouteOf("crm", "hubspot", wonEvent())
	if mapped || !reflect.DeepEqual(r.Fields, map[string]any{"region": "DE"}) {
		t.Errorf("route %+v", r)
	}
	if r, _ := m.RouteOf("meta", "meta", wonEvent()); r.Fields != nil {
		t.Errorf("at Meta: %+v", r)
	}
	if _, ok := mustCompile(t, linesHead).ContactProperties(); ok {
		t.Error("a mapping without the section has it")
	}
}
