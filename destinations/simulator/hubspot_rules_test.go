package simulator

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestValueFormats(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Owners: []int64{501}})
	for _, p := range []string{
		`"name":"born","type":"date","fieldType":"date"`, `"name":"vip","type":"bool","fieldType":"booleancheckbox","options":[{"label":"Yes","value":"true"},{"label":"No","value":"false"}]`,
		`"name":"likes","type":"enumeration","fieldType":"checkbox","options":[{"label":"A","value":"a"},{"label":"B","value":"b"},{"label":"C","value":"c"}]`,
		`"name":"note","type":"string","fieldType":"textarea"`,
	} {
		b.hubspotSend("POST", "/crm/v3/properties/contacts", `{"label":"L","groupName":"tributary",`+p+`}`).wants(t, 201)
	}
	id := idOf(b.contact("a@example.test"))
	for name, tc := range map[string]struct {
		property, value string
		code, kept      string
	}{
		"number":               {"tributary_lead_score", "1200.5", "", "1200.5"},
		"negative number":      {"tributary_lead_score", "-3", "", "-3"},
		"number with a comma":  {"tributary_lead_score", "1,200", "INVALID_NUMBER", ""},
		"number in hex":        {"tributary_lead_score", "0x1F", "INVALID_NUMBER", ""},
		"no number":            {"tributary_lead_score", "NaN", "INVALID_NUMBER", ""},
		"date":                 {"born", "2015-05-01", "", "2015-05-01"},
		"date in ms":           {"born", "1430438400000", "", "2015-05-01"},
		"date with a time":     {"born", "1430438400001", "INVALID_DATE", ""},
		"no date":              {"born", "01.05.2015", "INVALID_DATE", ""},
		"datetime":             {"tributary_first_touch_at", "2026-09-01T10:00:00+02:00", "", "2026-09-01T08:00:00.000Z"},
		"datetime in ms":       {"tributary_first_touch_at", "1788000000000", "", "2026-08-29T10:40:00.000Z"},
		"bool":                 {"vip", "true", "", "true"},
		"bool in words":        {"vip", "Yes", "INVALID_OPTION", ""},
		"option":               {"lifecyclestage", "customer", "", "customer"},
		"option's case":        {"lifecyclestage", "Customer", "INVALID_OPTION", ""},
		"two options":          {"likes", "a;b", "", "a;b"},
		"one of two is none":   {"likes", "a;x", "INVALID_OPTION", ""},
		"owner":                {"hubspot_owner_id", "501", "", "501"},
		"nobody's owner":       {"hubspot_owner_id", "502", "INVALID_OWNER_ID", ""},
		"text":                 {"note", strings.Repeat("ä", 65536), "", strings.Repeat("ä", 65536)},
		"too long a text":      {"note", strings.Repeat("ä", 65537), "PROPERTY_TOO_LONG", ""},
		"clearing":             {"firstname", "", "", ""},
		"calculated":           {"hs_lifecyclestage_lead_date", "1788000000000", "READ_ONLY_VALUE", ""},
		"e-mail in upper case": {"email", " A@Example.TEST ", "", "a@example.test"},
		"no e-mail":            {"email", "a@b", "INVALID_EMAIL", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"`+tc.property+`":"`+tc.value+`"}}`)
			if tc.code != "" {
				got.wants(t, 400, `"category":"VALIDATION_ERROR"`, tc.code, `"propertyName":["`+tc.property+`"]`)
				return
			}
			got.wants(t, 200)
			body := read[struct{ Properties map[string]*string }](t, got.body)
			if v := body.Properties[tc.property]; (v == nil) != (tc.kept == "") || v != nil && *v != tc.kept {
				t.Errorf("kept %v, want %q", v, tc.kept)
			}
		})
	}
	for _, bad := range []string{"7", "null", "true", `["a"]`} {
		b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"firstname":`+bad+`}}`).wants(t, 400, "INVALID_TYPE")
	}
	b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"likes":";c"}}`).wants(t, 200, `"likes":"a;b;c"`)
	b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+id, `{"properties":{"tributary_first_touch_at":"1788000000"}}`).wants(t, 200)
	items := b.Received(HubSpot)
	if w := items[len(items)-1].Warnings; len(w) != 1 || !strings.Contains(w[0], "seconds") {
		t.Errorf("warnings %v", w)
	}
	b.hubspotSend("GET", "/crm/v3/owners/501", "").wants(t, 200, `"id":"501"`)
	b.hubspotSend("GET", "/crm/v3/owners/502", "").wants(t, 404)
}

// TestUnknownPropertiesAreNamedInTheText: the message names all, errors[] only the first.
func TestUnknownPropertiesAreNamedInTheText(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	got := b.hubspotSend("POST", upsertPath, `{"inputs":[{"id":"a@example.test","idProperty":"email","properties":{"no_a":"1","no_b":"2"}}]}`)
	got.wants(t, 400, `\"name\":\"no_a\"`, `\"name\":\"no_b\"`, `"propertyName":["no_a"]`)
	if strings.Contains(got.body, `"propertyName":["no_b"]`) {
		t.Error("errors[] names both")
	}
}

func TestBatchTimesAreMixed(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	var rows []string
	for i := range 30 {
		rows = append(rows, fmt.Sprintf(`{"id":"p%d@example.test","idProperty":"email","properties":{"tributary_first_touch_at":"1788000000000"}}`, i))
	}
	got := b.hubspotSend("POST", upsertPath, `{"inputs":[`+strings.Join(rows, ",")+`]}`)
	got.wants(t, 200, `"tributary_first_touch_at":"1788000000000"`, `"tributary_first_touch_at":"2026-08-29T10:40:00.000Z"`)
}

func TestUniqueProperties(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	property := func(i int) reply {
		return b.hubspotSend("POST", "/crm/v3/properties/companies", fmt.Sprintf(`{"name":"key_%d","label":"Key","type":"string","fieldType":"text","groupName":"companyinformation","hasUniqueValue":true}`, i))
	}
	for i := range 10 {
		property(i).wants(t, 201, `"hasUniqueValue":true`)
	}
	property(10).wants(t, 400, "unique")
	upsert := func(key, name string) reply {
		return b.hubspotSend("POST", "/crm/v3/objects/companies/batch/upsert", `{"inputs":[{"id":"`+key+`","idProperty":"key_1","objectWriteTraceId":"t","properties":{"name":"`+name+`"}}]}`)
	}
	upsert("k1", "Acme").wants(t, 200, `"new":true`)
	upsert("k1", "Acme Ltd").wants(t, 200, `"new":false`)
	b.hubspotSend("GET", "/crm/v3/objects/companies/k1?idProperty=key_1", "").wants(t, 200, `"id"`)
	b.hubspotSend("POST", "/crm/v3/objects/companies", `{"properties":{"name":"Other","key_1":"k1"}}`).wants(t, 400, "CONFLICTING_UNIQUE_VALUE", "existingId")
	b.hubspotSend("POST", "/crm/v3/objects/companies/batch/upsert", `{"inputs":[{"id":"acme.example","idProperty":"domain","properties":{"name":"A"}}]}`).wants(t, 400, "non-unique")
	b.hubspotSend("POST", "/crm/v3/objects/companies/batch/upsert", `{"inputs":[{"id":"k9","idProperty":"key_1","objectWriteTraceId":"t","properties":{"phone":"1"}}]}`).wants(t, 207, "name, domain")
	moved := b.hubspotSend("PATCH", "/crm/v3/objects/companies/k1?idProperty=key_1", `{"properties":{"key_1":"k2"}}`)
	moved.wants(t, 200)
	b.hubspotSend("GET", "/crm/v3/objects/companies/k1?idProperty=key_1", "").wants(t, 404)
	b.hubspotSend("GET", "/crm/v3/objects/companies/x?idProperty=name", "").wants(t, 400, "unique property")
}

func TestPropertyGroupsAndArchive(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	const path = "/crm/v3/properties/deals"
	b.hubspotSend("POST", path+"/groups", `{"name":"own","label":"Own","displayOrder":3}`).wants(t, 201, `"archived":false`)
	b.hubspotSend("POST", path+"/groups", `{"name":"own","label":"Own"}`).wants(t, 409, "OBJECT_ALREADY_EXISTS")
	b.hubspotSend("POST", path+"/groups", `{"name":"Own Group","label":"Own"}`).wants(t, 400)
	b.hubspotSend("PATCH", path+"/groups/own", `{"label":"Ours"}`).wants(t, 200, `"label":"Ours"`)
	b.hubspotSend("GET", path+"/groups/own", "").wants(t, 200, `"displayOrder":3`)
	property := func(more string) reply {
		return b.hubspotSend("POST", path, `{"label":"L","groupName":"own",`+more+`}`)
	}
	for name, tc := range map[string]struct{ more, want string }{
		"bool without options": {`"name":"a","type":"bool","fieldType":"booleancheckbox"`, "true and false"},
		"option twice":         {`"name":"a","type":"enumeration","fieldType":"select","options":[{"label":"A","value":"a"},{"label":"B","value":"a"}]`, "option"},
		"enum without options": {`"name":"a","type":"enumeration","fieldType":"radio"`, "options"},
		"unknown type":         {`"name":"a","type":"json","fieldType":"text"`, "type json"},
		"HubSpot's prefix":     {`"name":"hs_a","type":"string","fieldType":"text"`, "hs_"},
		"upper case":           {`"name":"A","type":"string","fieldType":"text"`, "lower-case"},
		"no formula":           {`"name":"a","type":"number","fieldType":"calculation_equation"`, "calculationFormula"},
		"unique date":          {`"name":"a","type":"date","fieldType":"date","hasUniqueValue":true`, "unique"},
	} {
		t.Run(name, func(t *testing.T) { property(tc.more).wants(t, 400, "VALIDATION_ERROR", tc.want) })
	}
	property(`"name":"sum","type":"number","fieldType":"calculation_equation","calculationFormula":"amount * 2"`).wants(t, 201, `"calculated":true`, `"readOnlyValue":true`)
	property(`"name":"one","type":"string","fieldType":"html"`).wants(t, 201)
	b.hubspotSend("POST", "/crm/v3/objects/deals", `{"properties":{"dealname":"D","dealstage":"contractsent","sum":"2"}}`).wants(t, 400, "READ_ONLY_VALUE")
	b.hubspotSend("PATCH", path+"/one", `{"name":"two","label":"Two","hasUniqueValue":true}`).wants(t, 200, `"name":"one"`, `"hasUniqueValue":false`)
	b.hubspotSend("DELETE", path+"/groups/own", "").wants(t, 400, "has properties")
	b.hubspotSend("POST", path+"/batch/archive", `{"inputs":[{"name":"one"},{"name":"sum"},{"name":"never"}]}`).wants(t, 204)
	b.hubspotSend("POST", path+"/batch/archive", `{"inputs":[{"name":"amount"}]}`).wants(t, 400, "read only")
	b.hubspotSend("GET", path+"/one", "").wants(t, 404)
	b.hubspotSend("DELETE", path+"/groups/own", "").wants(t, 204)
}

func TestPropertyLimit(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Burst: -1})
	made := 0
	for round := range 11 {
		var rows []string
		for i := range 100 {
			rows = append(rows, fmt.Sprintf(`{"name":"own_%d_%d","label":"L","type":"string","fieldType":"text","groupName":"dealinformation"}`, round, i))
		}
		got := b.hubspotSend("POST", "/crm/v3/properties/deals/batch/create", `{"inputs":[`+strings.Join(rows, ",")+`]}`)
		made += len(read[batchReply](t, got.body).Results)
	}
	if made != maxCustomProperties {
		t.Errorf("%d properties made", made)
	}
}

func TestAssociations(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{LinkPage: 1})
	contact, company, deal := idOf(b.contact("a@example.test")), idOf(b.make(Made{Type: "company", Properties: map[string]string{"name": "A"}})), idOf(b.make(Made{Type: "deal"}))
	other := idOf(b.make(Made{Type: "company", Properties: map[string]string{"name": "B"}}))
	b.hubspotSend("PUT", "/crm/v4/objects/contacts/"+contact+"/associations/default/companies/"+company, "").wants(t, 200, `"toObjectId"`)
	b.hubspotSend("PUT", "/crm/v4/objects/deals/"+deal+"/associations/contacts/"+contact, `[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":"3"}]`).wants(t, 200) // a text does too
	for name, types := range map[string]string{
		"the other way": `[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":4}]`, "no such category": `[{"associationCategory":"USER_DEFINED","associationTypeId":3}]`, "none": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			b.hubspotSend("PUT", "/crm/v4/objects/deals/"+deal+"/associations/contacts/"+contact, types).wants(t, 400, "VALIDATION_ERROR")
		})
	}
	const path = "/crm/v4/associations/companies/contacts/batch/"
	link := func(from, typeID string) string {
		return `{"from":{"id":"` + from + `"},"to":{"id":"` + contact + `"},"types":[{"associationCategory":"HUBSPOT_DEFINED","associationTypeId":` + typeID + `}]}`
	}
	b.hubspotSend("POST", path+"create", `{"inputs":[`+link(other, "280")+","+link("7", "280")+`]}`).wants(t, 207, "OBJECT_NOT_FOUND", `"ids":["7"`)
	b.hubspotSend("POST", path+"create", `{"inputs":[`+link(other, "279")+`]}`).wants(t, 400)
	b.hubspotSend("GET", "/crm/v4/objects/contacts/"+contact+"/associations/companies", "").wants(t, 200, `"typeId":1`, `"after"`)
	b.hubspotSend("POST", path+"labels/archive", `{"inputs":[`+link(company, "2")+`]}`).wants(t, 204)
	r, _ := b.Record("contact", read[int64](t, contact))
	if r.Properties["associatedcompanyid"] != "" || len(r.Linked[companies]) != 2 {
		t.Errorf("without the primary label %+v", r)
	}
	b.hubspotSend("POST", path+"archive", `{"inputs":[{"from":{"id":"`+company+`"},"to":[{"id":"`+contact+`"}]}]}`).wants(t, 204)
	b.hubspotSend("POST", path+"associate/default", `{"inputs":[{"from":{"id":"`+company+`"},"to":{"id":"`+contact+`"}}]}`).wants(t, 200)
	inputs := func(n int) string {
		return `{"inputs":[` + strings.TrimSuffix(strings.Repeat(`{"id":"1"},`, n), ",") + `]}`
	}
	b.hubspotSend("POST", path+"read", inputs(1001)).wants(t, 400, "1000")
	b.hubspotSend("POST", path+"archive", inputs(2001)).wants(t, 400, "2000")
}

func TestCustomObjects(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Objects: []CustomObject{{Name: "licence", Properties: []string{"serial string unique", "seats number"}, Needs: []string{"serial"}}}})
	b.hubspotSend("POST", "/crm/v3/objects/licences/batch/upsert", `{"inputs":[{"id":"s-1","idProperty":"serial","objectWriteTraceId":"t","properties":{"seats":"5"}}]}`).wants(t, 200, `"new":true`)
	made := b.hubspotSend("POST", "/crm/v3/objects/2-4200001", `{"properties":{"serial":"s-2"}}`)
	made.wants(t, 201, "/record/2-4200001/")
	id := read[struct{ ID string }](t, made.body).ID
	b.hubspotSend("GET", "/crm/v3/objects/p424242_licence/s-1?idProperty=serial&properties=seats", "").wants(t, 200, `"seats":"5"`)
	b.hubspotSend("POST", "/crm/v3/objects/licence", `{"properties":{"seats":"1"}}`).wants(t, 400, "serial")
	b.hubspotSend("GET", "/crm/v3/properties/licences", "").wants(t, 200, `"name":"serial"`)
	contact := idOf(b.contact("a@example.test"))
	b.hubspotSend("PUT", "/crm/v4/objects/licences/"+id+"/associations/default/contacts/"+contact, "").wants(t, 200, `"fromObjectTypeId":"2-4200001"`)
	b.hubspotSend("GET", "/crm/v4/objects/contacts/"+contact+"/associations/licences", "").wants(t, 200, "USER_DEFINED")
	b.hubspotSend("GET", "/crm/v3/objects/tickets/1", "").wants(t, 400, "object type")

	narrow := newHubSpot(t, HubSpotAccount{Scopes: []string{"crm.objects.contacts.write"}, Objects: b.hubspot.account.Objects})
	narrow.hubspotSend("POST", "/crm/v3/objects/licences", `{}`).wants(t, 403, "crm.objects.custom.write")
}

func TestWriteRules(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Rules: []WriteRule{{Object: "deal", Where: "dealstage", Is: "closedlost", Needs: []string{"description"}}, {Object: "contact", Needs: []string{"phone"}}}})
	b.hubspotSend("POST", "/crm/v3/objects/contacts", `{"properties":{"email":"a@example.test"}}`).wants(t, 400, "REQUIRED_FIELD", "phone")
	made := b.hubspotSend("POST", "/crm/v3/objects/contacts", `{"properties":{"email":"a@example.test","phone":"1"}}`)
	made.wants(t, 201)
	b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+read[struct{ ID string }](t, made.body).ID, `{"properties":{"firstname":"A"}}`).wants(t, 200)
	deal := idOf(b.make(Made{Type: "deal", Properties: map[string]string{"dealname": "D"}}))
	b.hubspotSend("POST", "/crm/v3/objects/deals/batch/update", `{"inputs":[{"id":"`+deal+`","objectWriteTraceId":"t","properties":{"dealstage":"closedlost"}}]}`).wants(t, 207, "description")
	b.hubspotSend("PATCH", "/crm/v3/objects/deals/"+deal, `{"properties":{"dealstage":"closedlost","description":"too dear"}}`).wants(t, 200)
}

func TestDealStagesAreTheirPipelines(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Pipelines: []Pipeline{{ID: "77", Label: "Renewals", Stages: []Stage{{ID: "9001", Label: "Open"}, {ID: "9002", Label: "Won", Closed: true, Probability: 1}}}}})
	create := func(more string) reply {
		return b.hubspotSend("POST", "/crm/v3/objects/deals", `{"properties":{"dealname":"D",`+more+`}}`)
	}
	create(`"dealstage":"contractsent"`).wants(t, 201)
	create(`"dealstage":"9001"`).wants(t, 400, "INVALID_OPTION", "dealstage") // of another pipeline
	create(`"dealstage":"9001","pipeline":"78"`).wants(t, 400, "INVALID_OPTION", "pipeline")
	made := create(`"dealstage":"9001","pipeline":"77"`)
	made.wants(t, 201)
	id := read[struct{ ID string }](t, made.body).ID
	b.hubspotSend("PATCH", "/crm/v3/objects/deals/"+id, `{"properties":{"dealstage":"closedwon"}}`).wants(t, 400, "pipeline 77")
	b.hubspotSend("PATCH", "/crm/v3/objects/deals/"+id, `{"properties":{"pipeline":"default"}}`).wants(t, 400, "dealstage")
	b.hubspotSend("PATCH", "/crm/v3/objects/deals/"+id, `{"properties":{"dealstage":"9002"}}`).wants(t, 200)
	b.hubspotSend("GET", "/crm/v3/objects/deals/"+id+"?properties=hs_is_closed_won", "").wants(t, 200, `"hs_is_closed_won":"true"`)
}

func TestDefaultStage(t *testing.T) {
	for want, a := range map[string]HubSpotAccount{
		"lead": {}, "subscriber": {DefaultStage: "subscriber"}, "1001": {Lifecycle: []string{"1001", "customer"}},
	} {
		b := newHubSpot(t, a)
		r, _ := b.Record("contact", b.contact("a@example.test"))
		if got := r.Properties["lifecyclestage"]; got != want || r.Properties["hs_lifecyclestage_"+want+"_date"] == "" {
			t.Errorf("stage %s, want %s", got, want)
		}
	}
}

func TestErasedEmailsStayOut(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	b.contact("a@example.test")
	for _, email := range []string{"A@example.test", "never@example.test"} { // the second nobody had
		b.hubspotSend("POST", "/crm/v3/objects/contacts/gdpr-delete", `{"objectId":"`+email+`","idProperty":"email"}`).wants(t, 204)
		b.hubspotSend("POST", upsertPath, `{"inputs":[{"id":"`+email+`","idProperty":"email","properties":{"firstname":"A"}}]}`).wants(t, 400, "BLOCKLISTED_EMAIL")
	}
}

func TestSearchSeesWhatWas(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{SearchRate: 1000})
	id := b.contact("a@example.test")
	b.now = b.now.Add(time.Minute)
	if err := b.Set("contact", id, map[string]string{"firstname": "Ada"}, Change{}); err != nil {
		t.Fatal(err)
	}
	query := func(name, value string) string {
		return `{"filterGroups":[{"filters":[{"propertyName":"` + name + `","operator":"EQ","value":"` + value + `"}]}],"properties":["firstname"]}`
	}
	search := func(name, value string) reply {
		return b.hubspotSend("POST", "/crm/v3/objects/contacts/search", query(name, value))
	}
	search("firstname", "Ada").wants(t, 200, `"total":0`)
	search("email", "a@example.test").wants(t, 200, `"total":1`, `"firstname":null`)
	b.now = b.now.Add(5 * time.Second)
	search("firstname", "Ada").wants(t, 200, `"total":1`, `"firstname":"Ada"`)
	for name, filter := range map[string]string{
		"no value": `{"propertyName":"email","operator":"EQ"}`, "no values": `{"propertyName":"email","operator":"IN"}`, "no high": `{"propertyName":"email","operator":"BETWEEN","value":"a"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{"filterGroups":[{"filters":[`+filter+`]}]}`).wants(t, 400, "lacks")
		})
	}
	b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{"after":"x"}`).wants(t, 400)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{"filterGroups":[{"filters":[{"propertyName":"email","operator":"IN","values":["A@example.test"]}]}]}`).wants(t, 200, `"total":0`) // wants lower case
	b.hubspotSend("POST", "/crm/v3/objects/contacts/search", `{"filterGroups":[{"filters":[{"propertyName":"email","operator":"IN","values":["a@example.test"]}]}]}`).wants(t, 200, `"total":1`)
}

// TestCreateConflicts: without trace ids 409 and the first duplicate only, with them 207
// and context.existingId.
func TestCreateConflicts(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	one, two := idOf(b.contact("one@example.test")), idOf(b.contact("two@example.test"))
	rows := func(traces bool) string {
		var out []string
		for i, email := range []string{"one@example.test", "two@example.test", "three@example.test"} {
			trace := ""
			if traces {
				trace = fmt.Sprintf(`"objectWriteTraceId":"t%d",`, i)
			}
			out = append(out, `{`+trace+`"properties":{"email":"`+email+`"}}`)
		}
		return `{"inputs":[` + strings.Join(out, ",") + `]}`
	}
	got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/create", rows(false))
	got.wants(t, 409, "CONFLICT", "Existing ID: "+one)
	if strings.Contains(got.body, two) {
		t.Error("the second duplicate is named")
	}
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/create", rows(true)).wants(t, 207, `"existingId":["`+one+`"]`, `"existingId":["`+two+`"]`, `"objectWriteTraceId":"t2"`, `"numErrors":2`)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/create", `{"inputs":[{"properties":{"email":"x@example.test"}},{"properties":{"email":"X@example.test"}}]}`).wants(t, 400, "Duplicate IDs", `"ids":["x@example.test"]`)
	b.hubspotSend("POST", "/crm/v3/objects/contacts/merge", `{"primaryObjectId":`+one+`,"objectIdToMerge":`+two+`}`).wants(t, 400) // texts only
}
