package simulator

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var adTemplates = []EventTemplate{{ID: "1001", Name: "Ad", ObjectType: "contacts", HeaderTemplate: "Clicked ad: {{campaign}} on {{ platform }}", Tokens: []TemplateToken{
	{Name: "campaign", Label: "Campaign", Type: "string"}, {Name: "platform", Label: "Platform", Type: "enumeration", Options: []TokenOption{{"LinkedIn", "linkedin"}}},
	{Name: "score", Label: "Score", Type: "number"}, {Name: "seen", Label: "Seen", Type: "date"},
}}}

func newTimelineBench(t *testing.T) *bench {
	return newBench(t, Options{People: []Person{ada}, HubSpot: HubSpotAccount{Kind: OAuthApp, Token: "tok", TokenLife: time.Hour, Templates: adTemplates, Partner: true,
		EventTypes: []AppEventType{{Project: "router", Symbol: "viewed", HeaderTemplate: "Viewed: {{url}}", Properties: []string{"url"}}}}})
}

func (b *bench) timelineSend(method, path, body string) reply {
	b.t.Helper()
	return b.send(method, path, body, "Authorization: Bearer tok")
}

func classicEvent(id, more string) string {
	return `{"eventTemplateId":"1001","id":"` + id + `","tokens":{"campaign":"Spring","platform":"linkedin"},"timestamp":"2026-09-01T10:00:00Z"` + more + `}`
}

func TestClassicTimeline(t *testing.T) {
	b := newTimelineBench(t)
	id := b.contact("ada.byron@example.com")
	const path = "/integrators/timeline/v3/events"
	b.timelineSend("POST", path, classicEvent("e1", `,"objectId":"`+idOf(id)+`"`)).wants(t, 201, `"id":"e1"`, `"eventTemplateId":"1001"`)
	b.timelineSend("POST", "/crm/v3/timeline/events", classicEvent("e1", `,"email":"ada.byron@example.com"`)).wants(t, 409, "CONFLICT") // immutable, by template
	b.timelineSend("POST", path, classicEvent("e2", `,"email":"new@example.test"`)).wants(t, 201)                                       // makes a contact
	made := b.hubspotRead(t, "/crm/v3/objects/contacts/new@example.test?idProperty=email")
	if line := b.Timeline(made); countKind(line, templateKind) != 1 {
		t.Errorf("timeline of the new contact %+v", line)
	}
	batch := `{"inputs":[` + classicEvent("e3", `,"objectId":`+idOf(id)) + "," + classicEvent("e1", `,"objectId":`+idOf(id)) + "," + classicEvent("e3", `,"objectId":`+idOf(id)) + `]}`
	b.timelineSend("POST", path+"/batch/create", batch).wants(t, 207, `"numErrors":2`, `"id":["e1"]`)
	b.timelineSend("POST", path+"/batch/create", `{"inputs":[`+classicEvent("e4", `,"utk":"cookie"`)+`]}`).wants(t, 201, `"id":"e4"`)
	b.timelineSend("GET", path+"/1001/e3", "").wants(t, 200, `"campaign":"Spring"`, `"objectId":"`+idOf(id)+`"`)
	b.timelineSend("GET", path+"/1001/e9", "").wants(t, 404)
	b.timelineSend("GET", "/_timeline?contact="+idOf(id)+"&kind=timeline_event", "").wants(t, 200, `"at":"2026-09-01T10:00:00Z"`, "Clicked ad: Spring on linkedin", `"id":"e3"`, `"name":"1001"`)
	if line := b.Timeline(id); countKind(line, templateKind) != 2 {
		t.Errorf("timeline %+v", line)
	}
	for name, tc := range map[string]struct{ event, want string }{
		"no id":         {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), `"id":"x",`, "", 1), "id is required"},
		"no template":   {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), "1001", "9", 1), "template"},
		"no such token": {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), "campaign", "budget", 1), "token"},
		"no option":     {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), "linkedin", "LinkedIn", 1), "enumeration"},
		"no number":     {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), `"campaign":"Spring"`, `"score":"many"`, 1), "number"},
		"date in ISO":   {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), `"campaign":"Spring"`, `"seen":"2026-09-01"`, 1), "date"},
		"nobody":        {classicEvent("x", ""), "objectId"},
		"no contact":    {classicEvent("x", `,"objectId":"9"`), "9"},
		"no e-mail":     {classicEvent("x", `,"email":"nobody"`), "Email"},
		"no time":       {strings.Replace(classicEvent("x", `,"email":"a@example.test"`), "2026-09-01T10:00:00Z", "soon", 1), "timestamp"},
	} {
		t.Run(name, func(t *testing.T) { b.timelineSend("POST", path, tc.event).wants(t, 400, "VALIDATION_ERROR", tc.want) })
	}
}

// hubspotRead returns the id of the record at path.
func (b *bench) hubspotRead(t *testing.T, path string) (id int64) {
	t.Helper()
	got := b.timelineSend("GET", path, "")
	got.wants(t, 200)
	if _, err := fmt.Sscan(read[struct{ ID string }](t, got.body).ID, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTemplates(t *testing.T) {
	b := newTimelineBench(t)
	const path = "/integrators/timeline/v3/9001/event-templates"
	b.timelineSend("GET", path, "").wants(t, 200, `"id":"1001"`)
	made := b.timelineSend("POST", path, `{"name":"View","objectType":"CONTACT","headerTemplate":"Viewed: {{url}}","tokens":[{"name":"url","label":"URL","type":"string"}]}`)
	made.wants(t, 201, `"objectType":"contacts"`)
	one := path + "/" + read[struct{ ID string }](t, made.body).ID
	b.timelineSend("GET", one, "").wants(t, 200, `"name":"View"`)
	b.timelineSend("POST", one+"/tokens", `{"name":"title","label":"Title","type":"string"}`).wants(t, 200)
	b.timelineSend("POST", one+"/tokens", `{"name":"title","label":"Title","type":"string"}`).wants(t, 400, "exists")
	b.timelineSend("POST", one+"/tokens", `{"name":"log","label":"Log","type":"string"}`).wants(t, 400, "log")
	b.timelineSend("POST", one+"/tokens", `{"name":"a b","label":"Log","type":"string"}`).wants(t, 400)
	b.timelineSend("POST", one+"/tokens", `{"name":"x","label":"X","type":"enumeration"}`).wants(t, 400, "options")
	b.timelineSend("PUT", one+"/tokens/title", `{"label":"Its title"}`).wants(t, 200, "Its title")
	b.timelineSend("DELETE", one+"/tokens/title", "").wants(t, 204)
	b.timelineSend("DELETE", one+"/tokens/title", "").wants(t, 404)
	b.timelineSend("PUT", one, `{"name":"Seen","objectType":"contacts","headerTemplate":"Seen: {{url}}"}`).wants(t, 200, "Seen")
	b.timelineSend("POST", path, `{"name":"x","objectType":"tickets"}`).wants(t, 400)
	b.timelineSend("DELETE", one, "").wants(t, 204)
	b.timelineSend("GET", one, "").wants(t, 404)
	b.timelineSend("GET", "/integrators/timeline/v3/1/event-templates", "").wants(t, 403)
}

func TestAppEvents(t *testing.T) {
	b := newTimelineBench(t)
	id := idOf(b.contact("ada.byron@example.com"))
	const path = "/integrators/timeline/2026-03"
	named := b.timelineSend("POST", path+"/types/projects", `{"developerSymbol":"viewed","projectName":"router"}`)
	named.wants(t, 200, `"fullyQualifiedName":"ae9001_router_viewed"`)
	b.timelineSend("POST", path+"/types/projects", `{"developerSymbol":"x","projectName":"router"}`).wants(t, 404)
	event := func(id, more string) string {
		return `{"eventTypeName":"ae9001_router_viewed","id":"` + id + `","properties":{"url":"https://example.com/"},"timestamp":1788256800000` + more + `}`
	}
	b.timelineSend("POST", path+"/events", event("a1", `,"objectId":"`+id+`"`)).wants(t, 201)
	b.timelineSend("POST", "/integrators/timeline/v4/events", event("a1", `,"objectId":"`+id+`"`)).wants(t, 409)
	b.timelineSend("POST", path+"/events/batch", `{"inputs":[`+event("a2", `,"objectId":"`+id+`"`)+","+event("a1", `,"objectId":"`+id+`"`)+`]}`).wants(t, 409)
	b.timelineSend("POST", path+"/events/batch", `{"inputs":[`+event("a2", `,"objectId":"`+id+`"`)+","+event("a3", `,"objectId":"`+id+`"`)+`]}`).wants(t, 201, `"id":"a3"`)
	b.timelineSend("POST", path+"/events", strings.Replace(event("a4", `,"objectId":"`+id+`"`), `"url"`, `"title"`, 1)).wants(t, 400, "title")
	b.timelineSend("POST", path+"/events", strings.Replace(event("a4", `,"objectId":"`+id+`"`), `"https://example.com/"`, `7`, 1)).wants(t, 400, "text")
	b.timelineSend("POST", path+"/events", strings.Replace(event("a4", ""), "viewed", "x", 1)).wants(t, 400, "type")
	b.timelineSend("GET", "/_timeline?contact="+id+"&kind=app_event", "").wants(t, 200, "Viewed: https://example.com/", `"at":"2026-09-01T10:00:00Z"`)
	if items := b.Received(HubSpot); len(items) != 3 || items[0].Kind != appKind || items[0].EventID != "a1" {
		t.Errorf("received %+v", items)
	}
}

// TestTimelineFollowsMerges: all mechanisms, each sentence once, at its own time, also when
// what came after a merge names the old contact.
func TestTimelineFollowsMerges(t *testing.T) {
	b := newBench(t, Options{HubSpot: HubSpotAccount{EventDefinitions: []string{"touch"}, Apps: []HubSpotApp{{Kind: OAuthApp, Token: "tok", Templates: adTemplates}}}})
	old, winner := b.contact("a@example.test"), b.contact("b@example.test")
	as := func(token, path, body string) reply {
		return b.send("POST", path, body, "Authorization: Bearer "+token)
	}
	as("pat", "/events/v3/send", `{"eventName":"pe424242_touch","objectId":"`+idOf(old)+`","uuid":"u1","occurredAt":"2026-09-01T08:00:00Z","properties":{"sentence":"Viewed: /pricing"}}`).wants(t, 204)
	as("tok", "/integrators/timeline/v3/events", classicEvent("e1", `,"objectId":"`+idOf(old)+`"`)).wants(t, 201)
	as("pat", "/crm/v3/objects/notes/batch/create", `{"inputs":[`+noteText(idOf(old), "Opened: Hello", "2026-09-01T09:00:00Z", 202)+`]}`).wants(t, 201)
	survivor, err := b.Merge(Merger{Primary: winner, Merge: old})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once more, as a retry would
		as("pat", "/events/v3/send", `{"eventName":"pe424242_touch","email":"a@example.test","uuid":"u2","occurredAt":"2026-09-01T11:00:00Z","properties":{"sentence":"Submitted form: Demo"}}`).wants(t, 204)
	}
	as("pat", "/events/v3/send", `{"eventName":"pe424242_touch","objectId":"`+idOf(old)+`","uuid":"u1","properties":{"sentence":"Viewed: /pricing"}}`).wants(t, 204)
	as("tok", "/integrators/timeline/v3/events", classicEvent("e1", `,"objectId":"`+idOf(survivor)+`"`)).wants(t, 409)
	var got []string
	for _, e := range b.Timeline(old) {
		if e.Kind != "created" && e.Kind != "merged" && e.Kind != "lifecycle" {
			got = append(got, e.At.Format("15:04 ")+e.Kind+" "+e.Sentence)
		}
	}
	want := []string{"08:00 custom_event Viewed: /pricing", "09:00 note Opened: Hello", "10:00 timeline_event Clicked ad: Spring on linkedin", "11:00 custom_event Submitted form: Demo"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEventDefinitions(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{EventLag: -1})
	id := b.contact("ada.byron@example.com")
	const path = "/events/v3/event-definitions"
	b.hubspotSend("POST", path, `{"label":"Ad click","name":"ad_click","primaryObject":"CONTACT","includeDefaultProperties":true,"propertyDefinitions":[
		{"name":"sentence","label":"Sentence","type":"string"},{"name":"value","label":"Value","type":"number"},{"name":"platform","label":"Platform","type":"enumeration","options":[{"label":"LinkedIn","value":"linkedin"}]}]}`).
		wants(t, 200, `"fullyQualifiedName":"pe424242_ad_click"`, `"name":"sentence"`, `"name":"hs_page_url"`, `"primaryObjectId":"0-1"`)
	send := func(properties string) reply {
		return b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_ad_click","objectId":"`+idOf(id)+`","properties":`+properties+`}`)
	}
	send(`{"sentence":"x","value":"12.5","platform":"linkedin","hs_page_url":"https://example.com/"}`).wants(t, 204)
	send(`{"budget":"x"}`).wants(t, 400, "budget")
	send(`{"value":"many"}`).wants(t, 400, "value")
	send(`{"platform":"LinkedIn"}`).wants(t, 400, "platform")
	b.hubspotSend("POST", path+"/ad_click/property", `{"name":"budget","label":"Budget","type":"string"}`).wants(t, 200)
	send(`{"budget":"x"}`).wants(t, 204)
	b.hubspotSend("POST", path+"/ad_click/property", `{"name":"budget","label":"Budget","type":"string"}`).wants(t, 409, "OBJECT_ALREADY_EXISTS")
	b.hubspotSend("POST", path+"/ad_click/property", `{"name":"Budget 2","label":"Budget","type":"string"}`).wants(t, 400)
	b.hubspotSend("PATCH", path+"/ad_click/property/budget", `{"label":"Money"}`).wants(t, 200, "Money")
	b.hubspotSend("DELETE", path+"/pe424242_ad_click/property/budget", "").wants(t, 204)
	send(`{"budget":"x"}`).wants(t, 400)
	b.hubspotSend("PATCH", path+"/ad_click", `{"label":"Click"}`).wants(t, 200, "Click")
	b.hubspotSend("GET", path+"?limit=1", "").wants(t, 200, `"total":1`)
	b.hubspotSend("GET", "/events/event-occurrences/2026-03?objectType=CONTACT&limit=1&objectId="+idOf(id), "").wants(t, 200, `"eventType":"pe424242_ad_click"`, `"after":"1"`)
	b.hubspotSend("GET", "/events/event-occurrences/2026-03?objectType=CONTACT&after=1&objectId="+idOf(id), "").wants(t, 200, `"results":[{`)
	b.hubspotSend("DELETE", path+"/ad_click", "").wants(t, 204)
	send(`{}`).wants(t, 400, "does not exist")
	for name, body := range map[string]string{
		"no label": `{"name":"x"}`, "bad name": `{"label":"X","name":"X y"}`, "no object": `{"label":"X","name":"x","primaryObject":"TICKET"}`,
		"bad type": `{"label":"X","name":"x","propertyDefinitions":[{"name":"a","label":"A","type":"json"}]}`,
	} {
		t.Run(name, func(t *testing.T) { b.hubspotSend("POST", path, body).wants(t, 400, "VALIDATION_ERROR") })
	}
}

func TestEventsOfOtherObjectsAndMatchingIDs(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	company := b.make(Made{Type: "company", Properties: map[string]string{"name": "Acme"}})
	b.hubspotSend("POST", "/events/v3/event-definitions", `{"label":"Renewed","name":"renewed","primaryObject":"COMPANY"}`).wants(t, 200, `"primaryObjectId":"0-2"`)
	b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_renewed","objectId":"`+idOf(company)+`"}`).wants(t, 204)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", `{"name":"our_id","label":"Our id","type":"string","fieldType":"text","groupName":"tributary","hasUniqueValue":true}`).wants(t, 201)
	id := b.make(Made{Type: "contact", Properties: map[string]string{"email": "a@example.test", "our_id": "c-7"}})
	b.hubspotSend("POST", "/events/v3/event-definitions", `{"label":"Used","name":"used","propertyDefinitions":[{"name":"account","label":"Account"}],
		"customMatchingId":{"primaryObjectRule":{"targetObjectPropertyName":"our_id","eventPropertyName":"account"}}}`).wants(t, 200)
	b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_used","email":"other@example.test","properties":{"account":"c-7"}}`).wants(t, 204) // it wins over the e-mail
	items := b.Received(HubSpot)
	if len(items) != 2 || items[0].Object != idOf(company) || items[1].Object != idOf(id) || items[1].MatchedBy[0] != "account" {
		t.Errorf("received %+v", items)
	}
}
