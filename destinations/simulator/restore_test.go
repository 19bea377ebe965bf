package simulator

import (
	"strings"
	"testing"
)

// TestHubSpotOutlivesTheProcess: every kind of thing a portal keeps is there again.
func TestHubSpotOutlivesTheProcess(t *testing.T) {
	opts := Options{Dir: t.TempDir(), HubSpot: HubSpotAccount{PropertyPrefix: "tributary_", EventLag: -1, Apps: []HubSpotApp{{Kind: OAuthApp, Token: "tok", Templates: adTemplates}}}}
	b := newBench(t, opts)
	as := func(token, method, path, body string, status int, want ...string) {
		t.Helper()
		b.send(method, path, body, "Authorization: Bearer "+token).wants(t, status, want...)
	}
	id := idOf(b.contact("ada.byron@example.com"))
	as("pat", "POST", "/crm/v3/properties/contacts/groups", `{"name":"own","label":"Own"}`, 201)
	as("pat", "POST", "/crm/v3/properties/contacts", `{"name":"our_id","label":"Our id","type":"string","fieldType":"text","groupName":"own","hasUniqueValue":true}`, 201)
	as("pat", "PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"our_id":"c-1"}}`, 200)
	as("pat", "POST", "/events/v3/event-definitions", `{"label":"Ad click","name":"ad_click","propertyDefinitions":[{"name":"sentence","label":"Sentence"}]}`, 200)
	as("pat", "POST", "/events/v3/event-definitions", `{"label":"Gone","name":"gone"}`, 200)
	as("pat", "DELETE", "/events/v3/event-definitions/gone", "", 204)
	as("pat", "POST", "/events/v3/send", `{"eventName":"pe424242_ad_click","objectId":"`+id+`","uuid":"u1","properties":{"sentence":"Clicked ad"}}`, 204)
	as("tok", "POST", "/integrators/timeline/v3/events", classicEvent("e1", `,"objectId":"`+id+`"`), 201)
	as("tok", "POST", "/integrators/timeline/v3/9002/event-templates/1001/tokens", `{"name":"extra","label":"Extra","type":"string"}`, 200)
	note := noteText(id, "Opened: Hello", "2026-09-01T09:00:00Z", 202)
	as("pat", "POST", "/crm/v3/objects/notes/batch/create", `{"inputs":[`+note+`]}`, 201)
	as("pat", "POST", "/crm/v3/objects/contacts/gdpr-delete", `{"objectId":"gone@example.test","idProperty":"email"}`, 204)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = newBench(t, opts)
	as("pat", "GET", "/crm/v3/objects/contacts/c-1?idProperty=our_id", "", 200, `"id":"`+id+`"`)
	as("pat", "GET", "/crm/v3/properties/contacts/groups/own", "", 200)
	as("pat", "POST", "/events/v3/send", `{"eventName":"pe424242_ad_click","objectId":"`+id+`","properties":{"other":"x"}}`, 400, "no property other")
	as("pat", "POST", "/events/v3/send", `{"eventName":"pe424242_gone","objectId":"`+id+`"}`, 400, "does not exist")
	as("tok", "POST", "/integrators/timeline/v3/events", classicEvent("e1", `,"objectId":"`+id+`"`), 409)
	as("tok", "POST", "/integrators/timeline/v3/events", strings.Replace(classicEvent("e2", `,"objectId":"`+id+`"`), "campaign", "extra", 1), 201)
	as("pat", "POST", "/crm/v3/objects/notes/batch/create", `{"inputs":[`+note+`]}`, 201)
	as("pat", "POST", "/crm/v3/objects/contacts", `{"properties":{"email":"gone@example.test"}}`, 400, "BLOCKLISTED_EMAIL")
	line := b.Timeline(b.hubspot.crm.emails["ada.byron@example.com"])
	if countKind(line, customKind) != 1 || countKind(line, templateKind) != 2 || countKind(line, "note") != 2 {
		t.Errorf("timeline %+v", line)
	}
	items := b.Received(HubSpot)
	if last := items[len(items)-1]; last.Kind != "note" || !last.Duplicate {
		t.Errorf("the second note reads %+v", last)
	}
}
