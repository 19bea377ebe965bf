package hubspot

import (
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
)

// What is there is fine if its type is; what is missing is made with group, type and options;
// what cannot be changed is told once the rest stands.
func TestSetup(t *testing.T) {
	d := configured(t, `
timeline: custom_events
portal_id: 424242
key: tributary_person
company_fields: [last_activity_at]
custom: {plan: {type: enumeration, options: [free, pro_plus]}, bare: {type: enumeration}, trial: {type: bool}}
`)
	there := allDefinitions(d, contacts, "tributary_plan", "tributary_bare", "tributary_trial", "tributary_person", "tributary_lead_score", "tributary_first_touch_at")
	there = strings.Replace(there, `{"results":[`, `{"results":[`+definitionText("tributary_lead_score", "bool", "")+`,`+definitionText("tributary_person", "string", "")+`,`, 1)
	p := &portal{answers: map[string]string{
		readContacts: there,
		"POST /crm/v3/properties/companies/batch/read": `207 {"results":[]}`,
		"GET /crm/v3/properties/contacts/groups":       `200 {"results":[{"name":"contactinformation","label":"x"},{"name":"tributary"}]}`,
		"GET /crm/v3/properties/companies/groups":      `200 {"results":[]}`,
		"POST /crm/v3/properties/companies/groups":     `201 {"name":"tributary"}`,
		"POST /crm/v3/properties/contacts":             `201 {}`,
		"POST /crm/v3/properties/companies":            `409 {"category":"OBJECT_ALREADY_EXISTS","subCategory":"Properties.PROPERTY_WITH_NAME_EXISTS"}`,
		"GET /events/v3/event-definitions":             `200 {"results":[{"fullyQualifiedName":"pe424242_page_viewed","properties":[{"name":"summary"}]},{"fullyQualifiedName":"pe424242_ad_clicked","properties":[{"name":"other"}]}]}`,
		"POST /events/v3/event-definitions":            `200 {}`,
	}}
	routes := map[string]canonical.Route{"customer_won": {Event: "Closed won!"}, "*": {}}
	want := []string{
		"create property tributary_first_touch_at (datetime) of contacts", "create property tributary_plan (enumeration) of contacts", "create property tributary_trial (bool) of contacts",
		"create property group tributary of companies", "create property tributary_last_activity_at (datetime) of companies",
		"create custom event pe424242_closed_won", "create custom event pe424242_email_opened", "create custom event pe424242_form_submitted",
	}
	for _, apply := range []bool{false, true} {
		p.asked, p.bodies = nil, nil
		steps, err := d.Arrange(t.Context(), p.call, routes, apply)
		var got []string
		for _, s := range steps {
			got = append(got, s.What)
			if s.Done != apply || (s.Note != "") != (apply && strings.Contains(s.What, "property tributary_last_activity_at")) {
				t.Errorf("%+v", s)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("steps\n%s", strings.Join(got, "\n"))
		}
		for _, words := range []string{"tributary_lead_score of contacts is of type bool", "tributary_person of contacts has no unique values", "tributary_bare of contacts is an enumeration without options", "pe424242_ad_clicked has no property summary"} {
			if err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("apply %v: the error does not say %q: %v", apply, words, err)
			}
		}
		if wrote := strings.Contains(strings.Join(p.asked, "\n"), "POST /crm/v3/properties/contacts\n"); wrote != apply {
			t.Errorf("apply %v wrote %v", apply, wrote)
		}
	}
	for _, body := range []string{
		`{"name":"tributary_plan","label":"Plan","type":"enumeration","fieldType":"select","groupName":"tributary","description":"From the field plan of events. Written by Tributary.","options":[{"label":"Free","value":"free","displayOrder":0,"hidden":false},{"label":"Pro plus","value":"pro_plus","displayOrder":1,"hidden":false}],"formField":false}`,
		`{"name":"tributary_first_touch_at","label":"First touch","type":"datetime","fieldType":"date","groupName":"tributary"`,
		`"name":"tributary_trial","label":"Trial","type":"bool","fieldType":"booleancheckbox"`,
	} {
		if !strings.Contains(p.bodies["POST /crm/v3/properties/contacts"], body) {
			t.Errorf("%s is not in %s", body, p.bodies["POST /crm/v3/properties/contacts"])
		}
	}
}

// A step that fails ends the setup, with what was done.
func TestSetupStopsWhereItFails(t *testing.T) {
	d := configured(t, "timeline: off\n")
	p := &portal{answers: map[string]string{
		readContacts:                             allDefinitions(d, contacts, "tributary_utm_source"),
		"GET /crm/v3/properties/contacts/groups": `200 {"results":[{"name":"tributary"}]}`,
		"POST /crm/v3/properties/contacts":       `403 {"category":"MISSING_SCOPES","errors":[{"context":{"requiredGranularScopes":["crm.schemas.contacts.write"]}}]}`,
	}}
	steps, err := d.Arrange(t.Context(), p.call, nil, true)
	if err == nil || !strings.Contains(err.Error(), "it lacks the scopes crm.schemas.contacts.write") || len(steps) != 1 || steps[0].Done {
		t.Errorf("%+v, %v", steps, err)
	}
	p.answers[readContacts] = `403 {"category":"MISSING_SCOPES"}`
	if _, err := d.Arrange(t.Context(), p.call, nil, true); err == nil || !strings.Contains(err.Error(), "crm.schemas.contacts.read") {
		t.Errorf("%v", err)
	}
}

var _ destinations.Caller = (&portal{}).call
