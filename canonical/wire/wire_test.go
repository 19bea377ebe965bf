package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

var received = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

func receipt(way canonical.Way, body string) canonical.Receipt {
	return canonical.Receipt{ID: "01RECEIPT", Source: "hubspot", Way: way, ReceivedAt: received, Body: []byte(body)}
}

func read(t *testing.T, way canonical.Way, body string) canonical.Report {
	t.Helper()
	r, p := Read(receipt(way, body), Settings{})
	if p != nil {
		t.Fatalf("%s: %v", body, p)
	}
	return r
}

// The bodies of the published guide, with the templates of the first rendered.
const (
	guideLifecycle = `{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-04-23T11:04:19Z",
		"contact":{"id":"102948","email":"buyer@acme.example","lifecycle_stage":"marketingqualifiedlead","lead_status":"OPEN"},
		"company":{"id":"3029911","domain":"acme.example","name":"Acme"}}`
	guideMiddleware = `{"event_id":"27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff","event":"lead_stage_changed","source":"hubspot",
		"occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"buyer@acme.example"},"account_data":{"domain":null},
		"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`
	guideDeal = `{"event":"deal.stage_changed","source":"hubspot","event_id":"deal_84721_contractsent_2026-04-23T11:04:19Z","occurred_at":"2026-04-23T11:04:19Z",
		"user_data":{"email":"buyer@acme.example"},"account_data":{"domain":"acme.example","company_name":"Acme","hubspot_company_id":"3029911"},
		"custom_data":{"hubspot_contact_id":"102948","hubspot_deal_id":"84721","hubspot_pipeline":"sales_pipeline","hubspot_deal_stage":"contractsent",
		"tracklayer_stage":"proposal_sent","owner_id":"55192","currency":"USD","value":36000,"billing_period":"annual"}}`
)

func TestTheGuidesDealBodyMintsItsOwnID(t *testing.T) {
	for _, way := range []canonical.Way{canonical.WayEvents, canonical.WayCRM} {
		r := read(t, way, guideDeal)
		if got := canonical.MintDealID(r.Object.ID, r.RawStage, r.TimeText); got != r.EventID {
			t.Errorf("%s: minted %s, sent %s", way, got, r.EventID)
		}
		if r.Subject != canonical.SubjectDealStage || r.Reported || r.Pipeline != "sales_pipeline" || r.Company.ID != "3029911" || r.Company.Domain != "acme.example" {
			t.Errorf("%s: read as %+v", way, r)
		}
		if r.Revenue == nil || r.Revenue.Amount.String() != "36000" || r.Revenue.Currency != "USD" || r.Revenue.BillingPeriod != "annual" {
			t.Errorf("%s: revenue %+v", way, r.Revenue)
		}
		if r.Properties["tracklayer_stage"] != "proposal_sent" || r.Properties["owner_id"] != "55192" || len(r.Contacts) != 1 || r.Contacts[0] != "102948" {
			t.Errorf("%s: properties %v, contacts %v", way, r.Properties, r.Contacts)
		}
	}
}

func TestOneLifecycleChangeHasOneIDByEveryWay(t *testing.T) {
	at := time.Date(2026, 4, 23, 11, 4, 19, 0, time.UTC)
	webhook := fmt.Sprintf(`{"subscriptionType":"contact.propertyChange","objectId":102948,"portalId":1,"propertyName":"lifecyclestage",
		"propertyValue":"marketingqualifiedlead","occurredAt":%d,"eventId":100,"attemptNumber":3}`, at.UnixMilli())
	generic := strings.Replace(webhook, `"contact.propertyChange"`, `"object.propertyChange","objectTypeId":"0-1"`, 1)
	old := strings.Replace(webhook, "subscriptionType", "eventType", 1)
	changed := strings.Replace(guideLifecycle, `"lead_status"`, `"lifecycle_stage_changed_at":"2026-04-23T11:04:19Z","lead_status"`, 1)
	entered := strings.Replace(guideLifecycle, `"lead_status"`, fmt.Sprintf(`"hs_lifecyclestage_marketingqualifiedlead_date":"%d","lead_status"`, at.UnixMilli()), 1)
	middleware := read(t, canonical.WayEvents, guideMiddleware)
	for name, r := range map[string]canonical.Report{
		"webhook": read(t, canonical.WayHubSpot, webhook), "generic webhook": read(t, canonical.WayHubSpot, generic),
		"webhook with eventType": read(t, canonical.WayHubSpot, old), "middleware": middleware,
		"crm body with the change's time": read(t, canonical.WayCRM, changed), "crm body with the entered date": read(t, canonical.WayCRM, entered),
	} {
		if got := canonical.MintContactID(r.Object.ID, r.RawStage, r.TimeText); got != middleware.EventID {
			t.Errorf("%s: minted %s from %q %q %q, the middleware sent %s", name, got, r.Object.ID, r.RawStage, r.TimeText, middleware.EventID)
		}
		if r.Subject != canonical.SubjectLifecycle || r.Reported || !r.OccurredAt.Equal(at) || r.Object.Type != "contact" {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
	if r := read(t, canonical.WayCRM, guideLifecycle); !r.Reported || !r.OccurredAt.Equal(at) || r.Properties["contact.lead_status"] != "OPEN" {
		t.Errorf("the guide's lifecycle body reads as %+v", r)
	}
}

func TestProblems(t *testing.T) {
	event := func(s string) (canonical.Way, string) { return canonical.WayEvents, s }
	crm := func(s string) (canonical.Way, string) { return canonical.WayCRM, s }
	hook := func(s string) (canonical.Way, string) { return canonical.WayHubSpot, s }
	type in struct {
		way  canonical.Way
		body string
	}
	of := func(w canonical.Way, b string) in { return in{w, b} }
	for name, c := range map[string]struct {
		in
		code, field string
	}{
		"no object":                     {of(event(`[1]`)), CodeMalformed, ""},
		"empty":                         {of(event(``)), CodeMalformed, ""},
		"null":                          {of(event(`null`)), CodeMalformed, ""},
		"two values":                    {of(event(`{} {}`)), CodeMalformed, ""},
		"no name":                       {of(event(`{"user_data":{"email":"a@example.com"}}`)), CodeBadName, "event"},
		"name with a bar":               {of(event(`{"event":"a|b","user_data":{"email":"a@example.com"}}`)), CodeBadName, "event"},
		"template in the id":            {of(crm(strings.Replace(guideLifecycle, "102948", "{{ contact.hs_object_id }}", 1))), CodeTemplate, "contact.id"},
		"template in the e-mail":        {of(crm(strings.Replace(guideLifecycle, "buyer@acme.example", "{{ contact.email }}", 1))), CodeTemplate, "contact.email"},
		"template in the stage":         {of(crm(strings.Replace(guideLifecycle, "marketingqualifiedlead", "{{ contact.lifecyclestage }}", 1))), CodeTemplate, "contact.lifecycle_stage"},
		"template in the time":          {of(crm(strings.Replace(guideLifecycle, "2026-04-23T11:04:19Z", "{{ date_now }}", 1))), CodeTemplate, "occurred_at"},
		"template in the domain":        {of(crm(strings.Replace(guideLifecycle, `"acme.example"`, `"{{ company.domain }}"`, 1))), CodeTemplate, "company.domain"},
		"before 2000":                   {of(event(strings.ReplaceAll(guideDeal, "2026-04-23T11:04:19Z", "1999-12-31T23:59:59Z"))), CodeBadTime, "occurred_at"},
		"a day and a second ahead":      {of(event(strings.ReplaceAll(guideDeal, "2026-04-23T11:04:19Z", "2026-04-24T12:00:01Z"))), CodeBadTime, "occurred_at"},
		"time in words":                 {of(event(`{"event":"x","occurred_at":"yesterday","user_id":"u1"}`)), CodeBadTime, "occurred_at"},
		"time out of range":             {of(event(`{"event":"x","occurred_at":"99999999999999999999","user_id":"u1"}`)), CodeBadTime, "occurred_at"},
		"nothing to tie to":             {of(event(`{"event":"signup","custom_data":{"plan":"pro"}}`)), CodeMissingID, ""},
		"lifecycle of nobody":           {of(crm(`{"event":"hubspot.lifecycle_changed","contact":{"lifecycle_stage":"lead"},"company":{"domain":"acme.example"}}`)), CodeMissingID, ""},
		"only a bad address":            {of(event(`{"event":"signup","user_data":{"email":"nobody"}}`)), CodeBadEmail, "email"},
		"no stage":                      {of(crm(`{"event":"hubspot.lifecycle_changed","contact":{"id":"1"}}`)), CodeMissing, "lifecycle_stage"},
		"no deal stage":                 {of(event(`{"event":"deal.stage_changed","custom_data":{"hubspot_deal_id":"1"}}`)), CodeMissing, "hubspot_deal_stage"},
		"unknown crm event":             {of(crm(`{"event":"ticket.closed","contact":{"id":"1"}}`)), CodeUnknown, "event"},
		"id is an object":               {of(event(`{"event":"x","custom_data":{"hubspot_contact_id":{}}}`)), CodeWrongType, "custom_data.hubspot_contact_id"},
		"user_data is a list":           {of(event(`{"event":"x","user_data":[]}`)), CodeWrongType, "user_data"},
		"value with a symbol":           {of(event(strings.Replace(guideDeal, "36000", `"$36,000"`, 1))), CodeWrongType, "custom_data.value"},
		"currency in words":             {of(event(strings.Replace(guideDeal, `"USD"`, `"dollars"`, 1))), CodeWrongType, "custom_data.currency"},
		"merge without losers":          {of(crm(`{"event":"contact.merged","contact":{"id":"1"}}`)), CodeMissingID, "merged_ids"},
		"webhook of no type":            {of(hook(`{"objectId":1,"occurredAt":1776942259000}`)), CodeUnknown, "subscriptionType"},
		"webhook of a strange type":     {of(hook(`{"subscriptionType":"contact.sneezed","objectId":1,"occurredAt":1776942259000}`)), CodeUnknown, "subscriptionType"},
		"webhook without a time":        {of(hook(`{"subscriptionType":"contact.creation","objectId":1}`)), CodeBadTime, "occurredAt"},
		"webhook without an object":     {of(hook(`{"subscriptionType":"deal.propertyChange","propertyName":"dealstage","propertyValue":"x","occurredAt":1776942259000}`)), CodeMissingID, ""},
		"webhook with an id of letters": {of(hook(`{"subscriptionType":"deal.creation","objectId":"abc","occurredAt":1776942259000}`)), CodeWrongType, "objectId"},
		"association without an end":    {of(hook(`{"subscriptionType":"contact.associationChange","associationType":"CONTACT_TO_DEAL","fromObjectId":1,"occurredAt":1776942259000}`)), CodeMissingID, "fromObjectId"},
		"meta without a name":           {in{canonical.WayMeta, `{"event_time":1776942259,"user_data":{"em":"a@example.com"}}`}, CodeBadName, "event_name"},
		"meta without a time":           {in{canonical.WayMeta, `{"event_name":"Lead","user_data":{"em":"a@example.com"}}`}, CodeBadTime, "event_time"},
		"pixel of nobody":               {in{canonical.WayPixel, `{"url":"https://example.com/"}`}, CodeMissingID, ""},
		"too many addresses":            {of(event(`{"event":"x","email":[` + strings.Repeat(`"a@example.com",`, 1000) + `"b@example.com"]}`)), CodeWrongType, "email"},
		"too many identifiers":          {of(event(`{"event":"x","external_id":[` + numbers(201) + `]}`)), CodeWrongType, ""},
		"unknown way":                   {in{"fax", `{}`}, CodeUnknownWay, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := Read(receipt(c.way, c.body), Settings{})
			if p == nil {
				t.Fatalf("%s was read without a problem", c.body)
			}
			if p.Code != c.code || p.Field != c.field {
				t.Errorf("%s: got %s at %q (%s), want %s at %q", c.body, p.Code, p.Field, p.Detail, c.code, c.field)
			}
			if Codes()[p.Code] == "" {
				t.Errorf("code %s is not listed", p.Code)
			}
			for _, personal := range []string{"buyer", "acme", "nobody", "yesterday", "dollars"} {
				if strings.Contains(p.Error(), personal) {
					t.Errorf("%v repeats what was sent", p)
				}
			}
		})
	}
}

func TestTimesAreReadInEveryForm(t *testing.T) {
	at := time.Date(2026, 4, 23, 11, 4, 19, 0, time.UTC)
	for in, text := range map[string]string{
		`"2026-04-23T11:04:19Z"`:           "2026-04-23T11:04:19Z",
		`"2026-04-23T11:04:19.000Z"`:       "2026-04-23T11:04:19.000Z", // as the caller hashed it
		`"2026-04-23T13:04:19+02:00"`:      "2026-04-23T13:04:19+02:00",
		`"2026-04-23T13:04:19+0200"`:       "2026-04-23T13:04:19+0200",
		`"2026-04-23 11:04:19"`:            "2026-04-23 11:04:19",
		`1776942259`:                       "2026-04-23T11:04:19Z",
		`1776942259000`:                    "2026-04-23T11:04:19Z",
		`"1776942259000"`:                  "2026-04-23T11:04:19Z",
		`"1776942259"`:                     "2026-04-23T11:04:19Z",
		`1.776942259e9`:                    "2026-04-23T11:04:19Z",
		`1776942259.0`:                     "2026-04-23T11:04:19Z",
		`"  2026-04-23T11:04:19Z  "`:       "2026-04-23T11:04:19Z",
		`"2026-04-23T11:04:19.000000000Z"`: "2026-04-23T11:04:19.000000000Z",
	} {
		r := read(t, canonical.WayEvents, `{"event":"x","user_id":"u","occurred_at":`+in+`}`)
		if !r.OccurredAt.Equal(at) || r.TimeText != text {
			t.Errorf("%s: %v, text %q, want %v, %q", in, r.OccurredAt, r.TimeText, at, text)
		}
	}
	r := read(t, canonical.WayEvents, `{"event":"x","user_id":"u","occurred_at":1776942259.25}`)
	if r.TimeText != "2026-04-23T11:04:19.25Z" {
		t.Errorf("a fraction reads as %s", r.TimeText)
	}
}

func TestIDsAreReadInEveryNumberForm(t *testing.T) {
	for _, in := range []string{`"102948"`, `102948`, `" 102948 "`, `102948.0`, `1.02948e5`, `1.02948E+5`} {
		r := read(t, canonical.WayEvents, strings.Replace(guideMiddleware, `"102948"`, in, 1))
		if r.Object.ID != "102948" || r.Contact.ID != "102948" {
			t.Errorf("%s reads as %q", in, r.Object.ID)
		}
	}
	if r := read(t, canonical.WayEvents, strings.Replace(guideMiddleware, `"102948"`, "9007199254740993", 1)); r.Object.ID != "9007199254740993" {
		t.Errorf("a 64-bit id reads as %s", r.Object.ID)
	}
}

func TestMergeBodies(t *testing.T) {
	for _, c := range []struct{ way, body string }{
		{"crm", `{"event":"contact.merged","occurred_at":"2026-04-23T11:00:00Z","contact":{"id":"9","merged_ids":[7,"8"]}}`},
		{"crm", `{"event":"hubspot.contact.merged","occurred_at":"2026-04-23T11:00:00Z","survivor_id":9,"merged_ids":["8","7","9"]}`},
		{"hubspot", `{"subscriptionType":"contact.merge","occurredAt":1776942000000,"primaryObjectId":8,"mergedObjectIds":[7],"newObjectId":9}`},
		{"hubspot", `{"subscriptionType":"object.merge","objectTypeId":"0-1","occurredAt":1776942000000,"objectId":9,"mergedObjectIds":["7","8"]}`},
	} {
		r := read(t, canonical.Way(c.way), c.body)
		m := r.Merge
		if m == nil || m.Type != "contact" || m.Survivor != "9" || fmt.Sprint(m.Merged) != "[7 8]" {
			t.Errorf("%s: %+v", c.body, m)
		}
		if r.Subject != canonical.SubjectMerge || r.Reported || r.Object.ID != "9" {
			t.Errorf("%s: %+v", c.body, r)
		}
	}
}

func TestBodiesThatUndo(t *testing.T) {
	r := read(t, canonical.WayCRM, `{"event":"contact.unmerged","occurred_at":"2026-04-23T11:00:00Z","contact":{"id":"9","merged_ids":[7]}}`)
	if r.Subject != canonical.SubjectMerge || r.Merge == nil || !r.Merge.Undone || r.Merge.Survivor != "9" {
		t.Errorf("unmerged: %+v", r.Merge)
	}
	for event, restored := range map[string]bool{"contact.deleted": false, "contact.restored": true} {
		r := read(t, canonical.WayCRM, fmt.Sprintf(`{"event":%q,"occurred_at":"2026-04-23T11:00:00Z","contact":{"id":"9"}}`, event))
		if r.Subject != canonical.SubjectDeletion || r.Restored != restored || r.Object.ID != "9" {
			t.Errorf("%s: %+v", event, r)
		}
	}
}

func TestNoReadingDependsOnWhatIsNotInTheReceipt(t *testing.T) {
	a, _ := Read(receipt(canonical.WayEvents, guideDeal), Settings{})
	b, _ := Read(receipt(canonical.WayEvents, guideDeal), Settings{})
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if string(x) != string(y) {
		t.Errorf("two readings differ:\n%s\n%s", x, y)
	}
}

// numbers lists n texts that all differ.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", i)
	}
	return b.String()
}
