package simulator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func (b *bench) hubspotSend(method, path, body string) reply {
	b.t.Helper()
	return b.send(method, path, body, "Authorization: Bearer pat", "Content-Type: application/json")
}

func newHubSpot(t *testing.T, account HubSpotAccount) *bench {
	if account.PropertyPrefix == "" {
		account.PropertyPrefix = "tributary_"
	}
	account.Token = "pat"
	return newBench(t, Options{People: []Person{ada}, HubSpot: account, Seed: 7})
}

func (b *bench) make(in Made) int64 {
	b.t.Helper()
	id, err := b.Make(in)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

func (b *bench) contact(email string) int64 {
	b.t.Helper()
	return b.make(Made{Type: "contact", Properties: map[string]string{"email": email}})
}

type batchReply struct {
	Status  string `json:"status"`
	Results []struct {
		ID         string             `json:"id"`
		New        bool               `json:"new"`
		Trace      string             `json:"objectWriteTraceId"`
		Properties map[string]*string `json:"properties"`
	} `json:"results"`
	NumErrors int `json:"numErrors"`
	Errors    []struct {
		Category string              `json:"category"`
		Message  string              `json:"message"`
		Context  map[string][]string `json:"context"`
	} `json:"errors"`
}

func TestHubSpotGate(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Tier: Professional, EventDefinitions: []string{"touch"}})
	b.send("GET", "/crm/v3/objects/contacts/1", "", "Authorization: Bearer wrong").wants(t, 401, "INVALID_AUTHENTICATION", `"status":"error"`, "correlationId")
	b.hubspotSend("GET", "/crm/v3/objects/contacts/1", "").wants(t, 404, "OBJECT_NOT_FOUND")
	if got := b.hubspotSend("GET", "/crm/v3/nothing/here", ""); got.status != 404 || got.header.Get("X-HubSpot-NotFound") != "true" {
		t.Errorf("got %+v", got)
	}
	b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_touch","objectId":"1"}`).wants(t, 403, "MISSING_SCOPES", "analytics.behavioral_events.send", "requiredGranularScopes")
	b.hubspotSend("POST", "/crm/v3/timeline/events", `{}`).wants(t, 403, "MISSING_SCOPES", "timeline")
	b.hubspotSend("POST", "/integrators/timeline/v3/events", `{}`).wants(t, 403, "MISSING_SCOPES")
	info := b.send("POST", "/oauth/v2/private-apps/get/access-token-info", `{"tokenKey":"pat"}`)
	info.wants(t, 200, `"hubId":424242`, "crm.objects.contacts.write")
	if strings.Contains(info.body, "behavioral") {
		t.Errorf("a Professional account has no custom events: %s", info.body)
	}
	b.hubspotSend("GET", "/account-info/v3/details", "").wants(t, 200, `"portalId":424242`, `"timeZone":"UTC"`)
	b.hubspotSend("GET", "/account-info/2026-03/details", "").wants(t, 200, `"portalId":424242`)

	narrow := newHubSpot(t, HubSpotAccount{Scopes: []string{"crm.objects.contacts.read"}})
	narrow.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{"inputs":[{"id":"1"}]}`).wants(t, 207)
	narrow.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", `{"inputs":[]}`).wants(t, 403, "crm.objects.contacts.write")
	narrow.hubspotSend("POST", "/crm/v3/objects/notes/batch/create", `{"inputs":[]}`).wants(t, 403, "crm.objects.contacts.write")
	narrow.hubspotSend("GET", "/crm/v3/properties/contacts", "").wants(t, 403, "crm.schemas.contacts.read")
}

func TestHubSpotReads(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Pipelines: []Pipeline{DealPipeline("sales_pipeline", "Sales")}})
	company := b.make(Made{Type: "company", ID: 3029911, Properties: map[string]string{"name": "Acme", "domain": "acme.example"}})
	one := b.make(Made{Type: "contact", ID: 102948, Properties: map[string]string{"email": "Buyer@Acme.example", "firstname": "Bo"}, Companies: []int64{company}})
	two := b.contact("other@acme.example")
	deal := b.make(Made{Type: "deal", ID: 84721, Properties: map[string]string{"dealname": "D", "pipeline": "sales_pipeline", "dealstage": "contractsent", "amount": "36000"}, Contacts: []int64{one, two}, Companies: []int64{company}})

	got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{"properties":["email","lifecyclestage","no_such","phone"],"inputs":[{"id":"102948"},{"id":7}]}`)
	got.wants(t, 207, "OBJECT_NOT_FOUND", `"ids":["7"]`)
	in := read[batchReply](t, got.body)
	if len(in.Results) != 1 || *in.Results[0].Properties["email"] != "buyer@acme.example" || *in.Results[0].Properties["lifecyclestage"] != "lead" || in.Results[0].Properties["phone"] != nil {
		t.Errorf("read %s", got.body)
	}
	if _, there := in.Results[0].Properties["no_such"]; there {
		t.Error("a property that does not exist was answered")
	}
	b.hubspotSend("POST", "/crm/objects/2026-03/contacts/batch/read", `{"idProperty":"email","inputs":[{"id":"BUYER@acme.example"}]}`).wants(t, 200, `"id":"102948"`)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{"inputs":[]}`).wants(t, 400, "VALIDATION_ERROR")
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{"inputs":[`+strings.TrimSuffix(strings.Repeat(`{"id":"1"},`, 101), ",")+`]}`).wants(t, 400, "VALIDATION_ERROR", "100")
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{`).wants(t, 400, "Invalid input JSON")

	b.hubspotSend("GET", "/crm/v3/objects/contacts/buyer@acme.example?idProperty=email&properties=email,associatedcompanyid&associations=companies,deals", "").
		wants(t, 200, `"associatedcompanyid":"3029911"`, `"companies":{"results":[{"id":"3029911","type":"contact_to_company"},{"id":"3029911","type":"contact_to_company_primary"}]}`, `"id":"84721"`)
	b.hubspotSend("GET", "/crm/v3/objects/deals/84721?properties=amount,hs_is_closed,hs_deal_stage_probability,hs_date_entered_contractsent&propertiesWithHistory=dealstage", "").
		wants(t, 200, `"amount":"36000"`, `"hs_is_closed":"false"`, `"hs_deal_stage_probability":"0.9"`, `"propertiesWithHistory":{"dealstage":[{"sourceId":"userId:12","sourceType":"CRM_UI"`)
	b.hubspotSend("POST", "/crm/v4/associations/deals/contacts/batch/read", `{"inputs":[{"id":"84721"},{"id":"5"}]}`).
		wants(t, 207, `"from":{"id":"84721"}`, `"toObjectId":102948`, `"typeId":3`, "OBJECT_NOT_FOUND")
	b.hubspotSend("POST", "/crm/associations/2026-03/contacts/companies/batch/read", `{"inputs":[{"id":"102948"}]}`).wants(t, 200, `"toObjectId":3029911`, `"typeId":1`, `"typeId":279`)
	b.hubspotSend("GET", "/crm/v4/objects/deals/84721/associations/companies", "").wants(t, 200, `"toObjectId":3029911`)
	b.hubspotSend("GET", "/crm/v3/pipelines/deals", "").wants(t, 200, `"id":"sales_pipeline"`, `"metadata":{"isClosed":"true","probability":"1.0"}`, `"probability":"0.9"`, `"metadata":{"isClosed":"true","probability":"0.0"}`)
	b.hubspotSend("GET", "/crm/pipelines/2026-03/contacts", "").wants(t, 200, "contacts-lifecycle-pipeline", "marketingqualifiedlead")
	if r, ok := b.Record("deal", deal); !ok || len(r.Linked[contacts]) != 2 {
		t.Errorf("deal %+v", r)
	}
}

func TestHubSpotPagesAssociations(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{LinkPage: 2})
	var people []int64
	for _, name := range []string{"a", "b", "c"} {
		people = append(people, b.contact(name+"@example.test"))
	}
	b.make(Made{Type: "deal", ID: 84721, Contacts: people})
	b.make(Made{Type: "deal", ID: 84722, Contacts: people[:2]})
	const path = "/crm/v4/associations/deals/contacts/batch/read"
	type reply struct {
		Results []struct {
			To     []any `json:"to"`
			Paging *struct {
				Next struct {
					After string `json:"after"`
				} `json:"next"`
			} `json:"paging"`
		} `json:"results"`
	}
	first := read[reply](t, b.hubspotSend("POST", path, `{"inputs":[{"id":"84721"}]}`).body).Results[0]
	if len(first.To) != 2 || first.Paging == nil {
		t.Fatalf("first page %+v", first)
	}
	after := first.Paging.Next.After
	last := read[reply](t, b.hubspotSend("POST", path, `{"inputs":[{"id":"84721","after":"`+after+`"}]}`).body).Results[0]
	if len(last.To) != 1 || last.Paging != nil {
		t.Errorf("last page %+v", last)
	}
	if whole := read[reply](t, b.hubspotSend("POST", path, `{"inputs":[{"id":"84722"}]}`).body).Results[0]; len(whole.To) != 2 || whole.Paging != nil {
		t.Errorf("a page that holds all %+v", whole)
	}
	for _, bad := range []string{"x", after + "x"} {
		b.hubspotSend("POST", path, `{"inputs":[{"id":"84721","after":"`+bad+`"}]}`).wants(t, 400, "VALIDATION_ERROR", "paging token")
	}
	b.hubspotSend("POST", path, `{"inputs":[{"id":"84722","after":"`+after+`"}]}`).wants(t, 400, "VALIDATION_ERROR", "paging token")
}

func TestHubSpotValueMayChangeBetweenWebhookAndRead(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	id := b.contact("ada.byron@example.com")
	if err := b.Set("contact", id, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, Change{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Set("contact", id, map[string]string{"lifecyclestage": "salesqualifiedlead"}, Change{Silent: true}); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, w := range b.Webhooks("https://router.example.test/h") {
		for _, e := range w.events {
			if e.PropertyName == "lifecyclestage" {
				told = append(told, *e.PropertyValue)
			}
		}
	}
	if len(told) != 2 { // lead at creation, then marketingqualifiedlead
		t.Errorf("webhooks told of %v", told)
	}
	b.hubspotSend("GET", "/crm/v3/objects/contacts/"+idOf(id)+"?properties=lifecyclestage", "").wants(t, 200, `"lifecyclestage":"salesqualifiedlead"`)
}

func TestHubSpotUpsert(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	old := b.contact("ada.byron@example.com")
	got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", `{"inputs":[
		{"id":"Ada.Byron@Example.com","idProperty":"email","objectWriteTraceId":"r1","properties":{"tributary_utm_source":"linkedin","tributary_first_touch_at":"1788000000000"}},
		{"id":"new@example.test","idProperty":"email","objectWriteTraceId":"r2","properties":{"tributary_lead_score":"7.5"}}]}`)
	got.wants(t, 200, `"status":"COMPLETE"`)
	in := read[batchReply](t, got.body)
	if len(in.Results) != 2 || in.NumErrors != 0 {
		t.Fatalf("upsert %s", got.body)
	}
	for _, r := range in.Results {
		switch r.Trace {
		case "r1":
			if r.New || r.ID != idOf(old) || *r.Properties["email"] != "ada.byron@example.com" {
				t.Errorf("row 1: %+v", r)
			}
		case "r2":
			if !r.New || *r.Properties["email"] != "new@example.test" {
				t.Errorf("row 2: %+v", r)
			}
		default:
			t.Errorf("row %+v", r)
		}
	}
	rec, _ := b.Record("contact", old)
	if rec.Properties["tributary_first_touch_at"] != "2026-08-29T10:40:00.000Z" {
		t.Errorf("first touch %q", rec.Properties["tributary_first_touch_at"])
	}
	items := b.Received(HubSpot)
	if len(items) != 2 || items[0].Person != "Ada Byron" || !items[0].Matched || items[0].EventName != "contact_updated" || items[1].Matched || items[1].EventName != "contact_created" {
		t.Errorf("received %+v", items)
	}
}

func TestHubSpotResultsComeInAnyOrder(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	var rows []string
	for i := range 20 {
		rows = append(rows, fmt.Sprintf(`{"id":"p%d@example.test","idProperty":"email","objectWriteTraceId":"%d","properties":{"firstname":"P"}}`, i, i))
	}
	got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", `{"inputs":[`+strings.Join(rows, ",")+`]}`)
	got.wants(t, 200)
	inOrder := true
	for i, r := range read[batchReply](t, got.body).Results {
		inOrder = inOrder && r.Trace == fmt.Sprint(i)
	}
	if inOrder {
		t.Error("results came in input order")
	}
}

func TestHubSpotRefusesWrites(t *testing.T) {
	row := func(id, properties string) string {
		return `{"id":"` + id + `","idProperty":"email","objectWriteTraceId":"` + id + `","properties":` + properties + `}`
	}
	good := row("good@example.test", `{"firstname":"G"}`)
	for name, tc := range map[string]struct {
		path, body string
		status     int
		want       []string
	}{
		"unknown property":       {"contacts/batch/upsert", good + "," + row("a@example.test", `{"no_such":"x"}`), 400, []string{"VALIDATION_ERROR", `"code":"PROPERTY_DOESNT_EXIST"`, `"propertyName":["no_such"]`, `Property values were not valid: [{`}},
		"bad e-mail":             {"contacts/batch/upsert", good + "," + row("nobody", `{"firstname":"x"}`), 400, []string{"VALIDATION_ERROR", "INVALID_EMAIL"}},
		"label of an option":     {"contacts/batch/upsert", good + "," + row("a@example.test", `{"lifecyclestage":"Lead"}`), 400, []string{"INVALID_OPTION"}},
		"number as words":        {"contacts/batch/upsert", good + "," + row("a@example.test", `{"tributary_lead_score":"1,200"}`), 400, []string{"VALIDATION_ERROR"}},
		"number not a string":    {"contacts/batch/upsert", good + "," + row("a@example.test", `{"tributary_lead_score":7}`), 400, []string{"string"}},
		"bad datetime":           {"contacts/batch/upsert", good + "," + row("a@example.test", `{"tributary_first_touch_at":"yesterday"}`), 400, []string{"INVALID_DATE"}},
		"read-only":              {"contacts/batch/upsert", good + "," + row("a@example.test", `{"createdate":"2026-01-01T00:00:00Z"}`), 400, []string{"READ_ONLY_VALUE"}},
		"same key, other case":   {"contacts/batch/upsert", good + "," + row("GOOD@example.test", `{"firstname":"x"}`), 400, []string{"Duplicate IDs", `"ids":["good@example.test"]`}},
		"one contact, two mails": {"contacts/batch/upsert", row("ada@private.example", `{"firstname":"x"}`) + "," + row("ada.byron@example.com", `{"firstname":"y"}`), 400, []string{"Duplicate IDs"}},
		"no properties":          {"contacts/batch/upsert", good + "," + row("a@example.test", `{}`), 400, []string{"VALIDATION_ERROR"}},
		"no key":                 {"contacts/batch/upsert", `{"id":"a@example.test","properties":{"firstname":"x"}}`, 400, []string{"idProperty"}},
		"by object id":           {"contacts/batch/upsert", `{"id":"1","idProperty":"hs_object_id","properties":{"firstname":"x"}}`, 400, []string{"non-unique property"}},
		"101 rows":               {"contacts/batch/upsert", strings.TrimSuffix(strings.Repeat(good+",", 101), ","), 400, []string{"100"}},
		"update by e-mail":       {"contacts/batch/update", good, 400, []string{"by non-unique property"}},
		"create a known one":     {"contacts/batch/create", `{"properties":{"email":"ada.byron@example.com"}}`, 409, []string{"CONFLICT", "Contact already exists. Existing ID: "}},
		"create without a name":  {"contacts/batch/create", `{"properties":{"phone":"1"}}`, 400, []string{"REQUIRED_FIELD"}},
		"note without a time":    {"notes/batch/create", `{"properties":{"hs_note_body":"x"}}`, 400, []string{"REQUIRED_FIELD", "hs_timestamp"}},
		"note on nobody":         {"notes/batch/create", noteText("7", "x", "2026-09-01T00:00:00Z", 202), 400, []string{"ids", "7"}},
		"note by another type":   {"notes/batch/create", noteText("7", "x", "2026-09-01T00:00:00Z", 203), 400, []string{"association"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHubSpot(t, HubSpotAccount{})
			one, two := b.contact("ada.byron@example.com"), b.contact("ada@private.example")
			if _, err := b.Merge(Merger{Primary: one, Merge: two}); err != nil {
				t.Fatal(err)
			}
			b.hubspotSend("POST", "/crm/v3/objects/"+tc.path, `{"inputs":[`+tc.body+`]}`).wants(t, tc.status, append(tc.want, `"status":"error"`)...)
			if n := len(b.Received(HubSpot)); n != 0 {
				t.Errorf("%d rows of a refused request were kept", n)
			}
		})
	}
}

func noteText(contact, body, at string, typeID int) string {
	return fmt.Sprintf(`{"objectWriteTraceId":"","properties":{"hs_timestamp":"%s","hs_note_body":"%s"},"associations":[{"to":{"id":"%s"},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":%d}]}]}`, at, body, contact, typeID)
}

func TestHubSpotAnswersForEachRow(t *testing.T) {
	t.Run("by trace id", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{})
		id := b.contact("ada.byron@example.com")
		rows := fmt.Sprintf(`{"inputs":[{"id":"%d","objectWriteTraceId":"r1","properties":{"firstname":"Ada"}},{"id":"%d","objectWriteTraceId":"r2","properties":{"tributary_lead_score":"many"}}]}`, id, b.contact("b@example.test"))
		got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/update", rows)
		got.wants(t, 207, `"objectWriteTraceId":["r2"]`, `"numErrors":1`)
		if in := read[batchReply](t, got.body); len(in.Results) != 1 || in.Results[0].Trace != "r1" {
			t.Errorf("results %s", got.body)
		}
	})
	t.Run("a taken e-mail", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{})
		b.contact("a@example.test")
		id := idOf(b.contact("b@example.test"))
		b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"email":"a@example.test"}}`).wants(t, 409, "CONFLICT", "existingId")
		b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"email":"c@example.test"}}`).wants(t, 200, "c@example.test")
		b.hubspotSend("GET", "/crm/v3/objects/contacts/b@example.test?idProperty=email", "").wants(t, 404)
	})
	t.Run("old ids", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{})
		old := b.contact("a@example.test")
		survivor, err := b.Merge(Merger{Primary: b.contact("ada.byron@example.com"), Merge: old})
		if err != nil {
			t.Fatal(err)
		}
		row := fmt.Sprintf(`{"inputs":[{"id":"%d","properties":{"firstname":"Ada"}}]}`, old)
		b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/update", row).wants(t, 207, "OBJECT_NOT_FOUND", `"ids":["`+idOf(old)+`"]`)
		b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+idOf(old), `{"properties":{"firstname":"Ada"}}`).wants(t, 200, `"id":"`+idOf(survivor)+`"`)
		b.hubspotSend("PATCH", "/crm/v3/objects/contacts/a@example.test?idProperty=email", `{"properties":{"lastname":"B"}}`).wants(t, 200, `"id":"`+idOf(survivor)+`"`)
		b.hubspotSend("GET", "/crm/v3/objects/contacts/"+idOf(old), "").wants(t, 200, `"id":"`+idOf(survivor)+`"`)
	})
	t.Run("by a unique property", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{})
		b.hubspotSend("POST", "/crm/v3/properties/contacts", `{"name":"our_id","label":"Our id","type":"string","fieldType":"text","groupName":"tributary","hasUniqueValue":true}`).wants(t, 201)
		body := `{"inputs":[{"id":"c-1","idProperty":"our_id","objectWriteTraceId":"r1","properties":{"firstname":"A"}},{"id":"c-2","idProperty":"our_id","objectWriteTraceId":"r2","properties":{"email":"broken"}}]}`
		b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", body).wants(t, 207, `"new":true`, `"objectWriteTraceId":["r2"]`)
		b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", strings.Replace(body, "broken", "c2@example.test", 1)).wants(t, 200, `"new":false`, `"new":true`)
	})
	t.Run("e-mail, where the account answers so", func(t *testing.T) {
		b := newHubSpot(t, HubSpotAccount{PartialUpsert: true})
		body := `{"inputs":[{"id":"a@example.test","idProperty":"email","objectWriteTraceId":"r1","properties":{"firstname":"A"}},{"id":"b@example.test","idProperty":"email","objectWriteTraceId":"r2","properties":{"tributary_lead_score":"x"}}]}`
		b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", body).wants(t, 207, `"objectWriteTraceId":["r2"]`)
	})
}

func TestHubSpotLifecycleOnlyMovesForwardThroughTheAPI(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	id := b.contact("ada.byron@example.com")
	set := func(stage string) reply {
		return b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+idOf(id), `{"properties":{"lifecyclestage":"`+stage+`"}}`)
	}
	set("customer").wants(t, 200, `"lifecyclestage":"customer"`)
	set("lead").wants(t, 200, `"lifecyclestage":"customer"`)
	set("").wants(t, 200, `"lifecyclestage":null`)
	set("lead").wants(t, 200, `"lifecyclestage":"lead"`)
	rec, _ := b.Record("contact", id)
	if rec.Properties["hs_lifecyclestage_customer_date"] != stamp(noon) {
		t.Errorf("properties %v", rec.Properties)
	}
}

func TestHubSpotNotes(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	id := b.contact("ada.byron@example.com")
	later, sooner := "2026-09-03T10:00:00Z", "1788000000000" // 29 August
	body := `{"inputs":[` + strings.Replace(noteText(idOf(id), "<p>Viewed: https://example.com/?a=1&amp;b=2</p>", later, 202), `"objectWriteTraceId":""`, `"objectWriteTraceId":"n1"`, 1) + "," +
		strings.Replace(noteText(idOf(id), "Clicked ad: Spring on LinkedIn", sooner, 202), `"objectWriteTraceId":""`, `"objectWriteTraceId":"n2"`, 1) + `]}`
	b.hubspotSend("POST", "/crm/objects/2026-03/notes/batch/create", body).wants(t, 201, `"objectWriteTraceId":"n1"`)
	line := b.Timeline(id)
	var got []string
	for _, e := range line {
		if e.Kind == "note" {
			got = append(got, e.At.Format(time.DateOnly)+" "+e.Sentence)
		}
	}
	want := []string{"2026-08-29 Clicked ad: Spring on LinkedIn", "2026-09-03 Viewed: https://example.com/?a=1&b=2"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("timeline %v, want %v", got, want)
	}
	b.hubspotSend("POST", "/crm/v3/objects/notes/batch/create", body).wants(t, 201)
	if items := b.Received(HubSpot); !items[2].Duplicate || items[0].Duplicate || items[0].Person != "Ada Byron" || !items[0].EventTime.Equal(time.Date(2026, 9, 3, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("received %+v", items)
	}
	b.send("GET", "/_timeline?contact="+idOf(id)+"&kind=note", "").wants(t, 200, "Clicked ad: Spring on LinkedIn")
}

func TestHubSpotCustomEvents(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{EventDefinitions: []string{"touch"}})
	id := b.contact("ada.byron@example.com")
	event := func(more string) string {
		return `{"eventName":"pe424242_touch","objectId":"` + idOf(id) + `","occurredAt":"2026-09-01T10:00:00Z","uuid":"u1"` + more + `}`
	}
	b.hubspotSend("POST", "/events/v3/send", event(`,"properties":{"title":"Clicked ad: Spring on linkedin"}`)).wants(t, 204)
	b.hubspotSend("POST", "/events/2026-03/send/batch", `{"inputs":[`+event("")+`,{"eventName":"pe424242_touch","email":"ghost@example.test","uuid":"u2"}]}`).wants(t, 204)
	items := b.Received(HubSpot)
	if len(items) != 3 || !items[0].Matched || !items[1].Ignored || items[2].Matched {
		t.Errorf("received %+v", items)
	}
	line := b.Timeline(id)
	if countKind(line, "custom_event") != 1 || !strings.Contains(fmt.Sprint(line), "Clicked ad: Spring on linkedin") {
		t.Errorf("timeline %+v", line)
	}
	b.hubspotSend("GET", "/events/event-occurrences/2026-03?objectType=contact&objectId="+idOf(id), "").wants(t, 200, `"results":[]`)
	b.now = b.now.Add(5 * time.Second)
	b.hubspotSend("GET", "/events/event-occurrences/2026-03?objectType=contact&objectId="+idOf(id), "").wants(t, 200, `"id":"u1"`)

	for name, tc := range map[string]struct{ path, body, want string }{
		"no definition":    {"/events/v3/send", `{"eventName":"pe424242_other","email":"a@example.test"}`, "does not exist"},
		"nobody":           {"/events/custom/2026-09/send", `{"eventName":"pe424242_touch"}`, "objectId"},
		"bad time":         {"/events/v3/send", event(`,"occurredAt":"soon"`), "occurredAt"},
		"long value":       {"/events/v3/send", event(`,"properties":{"title":"` + strings.Repeat("x", 257) + `"}`), "256"},
		"long URL":         {"/events/v3/send", event(`,"properties":{"page_url":"` + strings.Repeat("x", 1025) + `"}`), "1024"},
		"bad name":         {"/events/v3/send", event(`,"properties":{"1st":"x"}`), "1st"},
		"names that clash": {"/events/v3/send", event(`,"properties":{"a":"x","A":"y"}`), "twice"},
		"51 properties":    {"/events/v3/send", event(`,"properties":{` + manyProperties(51) + `}`), "50"},
		"501 events":       {"/events/v3/send/batch", `{"inputs":[` + strings.TrimSuffix(strings.Repeat(event("")+",", 501), ",") + `]}`, "500"},
		"one of a batch":   {"/events/v3/send/batch", `{"inputs":[` + event("") + `,{"eventName":"pe424242_other","email":"a@example.test"}]}`, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.Received(HubSpot))
			b.hubspotSend("POST", tc.path, tc.body).wants(t, 400, "VALIDATION_ERROR", tc.want)
			if len(b.Received(HubSpot)) != before {
				t.Error("something of a refused request was kept")
			}
		})
	}
	b.hubspotSend("POST", "/events/v3/send", event(`,"properties":{"page_url":"`+strings.Repeat("x", 1024)+`"}`)).wants(t, 204)
	b.hubspotSend("POST", "/events/v3/event-definitions", `{"label":"Other","name":"other"}`).wants(t, 200, `"fullyQualifiedName":"pe424242_other"`)
	b.hubspotSend("POST", "/events/v3/event-definitions", `{"label":"Other","name":"other"}`).wants(t, 409)
	b.hubspotSend("POST", "/events/v3/send", `{"eventName":"pe424242_other","email":"a@example.test"}`).wants(t, 204)
}

func manyProperties(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"p%d":"x"`, i))
	}
	return strings.Join(parts, ",")
}

func TestHubSpotProperties(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	list := b.hubspotSend("GET", "/crm/v3/properties/contacts", "")
	list.wants(t, 200, `"name":"tributary_source_ad_set"`, `"name":"tributary_last_touch_at"`, `"name":"email"`)
	if n := strings.Count(list.body, `"name":"tributary_`); n != 10 {
		t.Errorf("%d of our properties, want 10", n)
	}
	b.hubspotSend("GET", "/crm/properties/2026-03/contacts/createdate", "").wants(t, 200, `"readOnlyValue":true`)
	b.hubspotSend("GET", "/crm/v3/properties/contacts/no_such", "").wants(t, 404)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", `{"name":"own_score","label":"Own","type":"number","fieldType":"number","groupName":"own"}`).wants(t, 400, "group own")
	b.hubspotSend("POST", "/crm/v3/properties/contacts/groups", `{"name":"own","label":"Own"}`).wants(t, 201)
	good := `{"name":"own_score","label":"Own","type":"number","fieldType":"number","groupName":"own"}`
	b.hubspotSend("POST", "/crm/v3/properties/contacts/batch/create", `{"inputs":[`+good+`,{"name":"tributary_utm_source","label":"x","type":"string","fieldType":"text","groupName":"g"}]}`).
		wants(t, 207, "OBJECT_ALREADY_EXISTS", "Properties.PROPERTY_WITH_NAME_EXISTS", `"name":["tributary_utm_source"]`, `"name":"own_score"`)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", good).wants(t, 409)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", strings.Replace(good, "own_score", "hs_score", 1)).wants(t, 400)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", strings.Replace(good, "own_score", "OwnScore", 1)).wants(t, 400)
	b.hubspotSend("POST", "/crm/v3/properties/contacts", strings.Replace(strings.Replace(good, "own_score", "x", 1), `"fieldType":"number"`, `"fieldType":"text"`, 1)).wants(t, 400, "fieldType")
	b.hubspotSend("POST", "/crm/v3/properties/contacts/batch/read", `{"inputs":[{"name":"own_score"},{"name":"x"}]}`).wants(t, 207, "OBJECT_NOT_FOUND")
	b.hubspotSend("PATCH", "/crm/v3/properties/contacts/own_score", `{"label":"Other"}`).wants(t, 200, `"label":"Other"`)
	b.hubspotSend("DELETE", "/crm/v3/properties/contacts/own_score", "").wants(t, 204)
	b.hubspotSend("DELETE", "/crm/v3/properties/contacts/email", "").wants(t, 400)
	b.hubspotSend("GET", "/crm/v3/properties/contacts/groups", "").wants(t, 200, `"name":"tributary"`)
}

func TestHubSpotSearch(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{SearchRate: 1000})
	id := b.contact("ada.byron@example.com")
	query := `{"filterGroups":[{"filters":[{"propertyName":"email","operator":"EQ","value":"ada.byron@example.com"}]}],"properties":["email"]}`
	b.hubspotSend("POST", "/crm/v3/objects/contacts/search", query).wants(t, 200, `"total":0`)
	b.now = b.now.Add(5 * time.Second)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/search", query).wants(t, 200, `"total":1`, idOf(id))
	b.hubspotSend("POST", "/crm/v3/objects/notes/batch/create", `{"inputs":[`+noteText(idOf(id), "x", "2026-09-01T00:00:00Z", 202)+`]}`).wants(t, 201)
	b.now = b.now.Add(5 * time.Second)
	notesOf := `{"filterGroups":[{"filters":[{"propertyName":"associations.contact","operator":"EQ","value":"` + idOf(id) + `"},{"propertyName":"hs_timestamp","operator":"EQ","value":"1788220800000"}]}]}`
	b.hubspotSend("POST", "/crm/v3/objects/notes/search", notesOf).wants(t, 200, `"total":1`)
	filter := `{"propertyName":"email","operator":"EQ","value":"x"}`
	for name, body := range map[string]string{
		"6 groups":       `{"filterGroups":[` + strings.TrimSuffix(strings.Repeat(`{"filters":[]},`, 6), ",") + `]}`,
		"7 filters":      `{"filterGroups":[{"filters":[` + strings.TrimSuffix(strings.Repeat(filter+",", 7), ",") + `]}]}`,
		"page of 201":    `{"limit":201}`,
		"beyond 10000":   `{"limit":200,"after":"9900"}`,
		"no such op":     `{"filterGroups":[{"filters":[{"propertyName":"email","operator":"LIKE"}]}]}`,
		"no such name":   `{"filterGroups":[{"filters":[{"propertyName":"nope","operator":"EQ"}]}]}`,
		"two sorts":      `{"sorts":["email","firstname"]}`,
		"no JSON at all": `[`,
	} {
		t.Run(name, func(t *testing.T) { b.hubspotSend("POST", "/crm/v3/objects/contacts/search", body).wants(t, 400) })
	}
}

func TestHubSpotRecordLife(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	b.hubspotSend("POST", "/crm/v3/objects/companies", `{"properties":{"name":"Acme"}}`).wants(t, 201, `"name":"Acme"`)
	b.hubspotSend("POST", "/crm/v3/objects/deals", `{"properties":{"dealname":"D","dealstage":"nope"}}`).wants(t, 400, "dealstage")
	one := b.hubspotSend("POST", "/crm/v3/objects/contacts", `{"properties":{"email":"a@example.test"}}`)
	one.wants(t, 201, `"email":"a@example.test"`)
	id := read[struct{ ID string }](t, one.body).ID
	two := read[struct{ ID string }](t, b.hubspotSend("POST", "/crm/v3/objects/contacts", `{"properties":{"email":"b@example.test"}}`).body).ID
	merged := b.hubspotSend("POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":"`+id+`","objectIdToMerge":"`+two+`"}`)
	merged.wants(t, 200, `"hs_additional_emails":"b@example.test"`, `"hs_merged_object_ids"`)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":"`+id+`","objectIdToMerge":"`+two+`"}`).wants(t, 404)
	b.hubspotSend("DELETE", "/crm/v3/objects/contacts/"+id, "").wants(t, 204)
	b.hubspotSend("GET", "/crm/v3/objects/contacts/"+id, "").wants(t, 404)
	three := b.contact("c@example.test")
	b.hubspotSend("POST", "/crm/v3/objects/contacts/gdpr-delete", `{"objectId":"c@example.test","idProperty":"email"}`).wants(t, 204)
	if _, ok := b.Record("contact", three); ok {
		t.Error("an erased contact is still there")
	}
	if err := b.Restore("contact", three, Change{}); err == nil {
		t.Error("an erased contact came back")
	}
	four := b.contact("d@example.test")
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/archive", `{"inputs":[{"id":"`+idOf(four)+`"}]}`).wants(t, 204)
	if err := b.Restore("contact", four, Change{}); err != nil {
		t.Error(err)
	}
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/read", `{"inputs":[{"id":"`+idOf(four)+`"}]}`).wants(t, http.StatusOK)
}
