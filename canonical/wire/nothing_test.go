package wire

import (
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
)

// What a program writes where it has no id is none: else all that have none would be one event, one
// deal, one person, and of merges one contact.
func TestIDsThatAreNone(t *testing.T) {
	for _, none := range []string{"null", "undefined", "None", "NaN", "(null)", "<nil>", "[object Object]", "00000000-0000-0000-0000-000000000000"} {
		for _, c := range []struct {
			way  canonical.Way
			body string
		}{
			{canonical.WayEvents, `{"event":"x","event_id":"%[1]s","user_id":"%[1]s","external_id":["%[1]s"],"anonymous_id":"%[1]s","lead_id":"%[1]s","gclid":"%[1]s","email":"ada.byron@example.com","custom_data":{"hubspot_deal_id":"%[1]s","hubspot_contact_id":"%[1]s","hubspot_company_id":"%[1]s"}}`},
			{canonical.WayEvents, `{"event":"form_submitted","event_id":"%[1]s","email":"ada.byron@example.com","deal":{"id":"%[1]s"}}`},
			{canonical.WayCRM, `{"event":"deal.stage_changed","event_id":"%[1]s","deal":{"id":"%[1]s","stage":"won","contact_ids":["%[1]s"],"company_ids":"%[1]s"},"contact":{"id":"%[1]s","email":"ada.byron@example.com"}}`},
			{canonical.WayPixel, `{"event_id":"%[1]s","anonymous_id":"%[1]s","user_id":"%[1]s","email":"ada.byron@example.com","clicks":{"gclid":{"id":"%[1]s"}}}`},
			{canonical.WayMeta, `{"event_name":"Lead","event_time":1776942259,"event_id":"%[1]s","user_data":{"em":"ada.byron@example.com","external_id":"%[1]s","fbp":"%[1]s","lead_id":"%[1]s"}}`},
			{canonical.WaySegment, `{"type":"track","event":"x","messageId":"%[1]s","userId":"%[1]s","anonymousId":"%[1]s","context":{"traits":{"email":"ada.byron@example.com"}}}`},
		} {
			r := read(t, c.way, fmt.Sprintf(c.body, none))
			if r.EventID != "" || identifiers(r) != "email=d9acb9" || r.Deal != "" || r.Contact.ID != "" || len(r.Companies)+len(r.Contacts) > 0 || r.Object.Type == "deal" && r.Object.ID != "" {
				t.Errorf("%s by %s: id %q of %s, deal %q, %+v", none, c.way, r.EventID, identifiers(r), r.Deal, r.Object)
			}
		}
		for _, body := range []string{`{"event":"contact.merged","contact":{"id":"1","merged_ids":[%q]}}`, `{"event":"contact.merged","merged_ids":["1"],"survivor_id":%q}`} {
			r, problem := Read(canonical.Receipt{Way: canonical.WayCRM, ReceivedAt: time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC), Body: fmt.Appendf(nil, body, none)}, Settings{})
			if problem == nil || problem.Code != CodeMissingID || r.Merge != nil {
				t.Errorf("a merge with %s: %v %+v", none, problem, r.Merge)
			}
		}
	}
	for _, none := range []string{"", "null", "undefined", "None"} {
		h := canonical.SHA256(none)
		r := read(t, canonical.WayMeta, fmt.Sprintf(`{"event_name":"Lead","event_time":1776942259,"event_id":"e","user_data":{"em":%[1]q,"ph":[%[1]q],"external_id":%[1]q,"fbp":"fb.1.1776942000000.1"}}`, h))
		if identifiers(r) != "fbp=fb.1.1776942000000.1" || len(r.Contact.Hashed) > 0 {
			t.Errorf("the hash of %q is %s", none, identifiers(r))
		}
	}
	if r := read(t, canonical.WayEvents, `{"event":"x","email":"ada@example.com","user_data":{"last_name":"Null","user_id":"nullius"}}`); r.Contact.LastName != "Null" || len(r.Identifiers) != 2 {
		t.Errorf("a person of that name: %+v", r.Contact)
	}
}

// What is new to a reading does not refuse a body that was read without it.
func TestAnOddFieldStaysAProperty(t *testing.T) {
	for _, c := range []struct {
		way        canonical.Way
		body, kept string
	}{
		{canonical.WayEvents, `{"event":"deal.stage_changed","deal":{"id":"5","stage":"won","owner":{"id":7}}}`, "deal.owner"},
		{canonical.WayEvents, `{"event":"deal.stage_changed","deal":{"id":"5","stage":"won","owner":["a"],"hubspot_owner_id":"{{ owner }}"}}`, "deal.hubspot_owner_id"},
		{canonical.WayPixel, `{"anonymous_id":"a","clicks":3}`, "clicks"},
		{canonical.WayPixel, `{"anonymous_id":"a","clicks":{"gclid":3,"ttclid":[]},"sent_at":{}}`, "sent_at"},
	} {
		if r := read(t, c.way, c.body); r.Properties[c.kept] == nil {
			t.Errorf("%s: %v", c.body, r.Properties)
		}
	}
}

// A receipt says the same however often it is read.
func TestAWorkflowsListSaysOneThing(t *testing.T) {
	for range 50 {
		r := read(t, canonical.WayWorkflow, `{"contact.email":"ada.byron@example.com","contact":{"email":"b@example.com","id":"4","lifecyclestage":"customer"},"contact.id":"3","contact.lifecyclestage":"lead"}`)
		if got := identifiers(r) + " " + r.RawStage; got != "hubspot_contact=3 email=d9acb9 lead" {
			t.Fatal(got)
		}
		r = read(t, canonical.WayWorkflow, `{"hs_object_id":"3","object_type":"ticket","contact.id":"7","id":"top","deal.id":"9","deal.phone":"1","contact.phone":"2"}`)
		if r.Properties["id"] != "top" || r.Properties["phone"] != "2" {
			t.Fatal(r.Properties)
		}
	}
}

// A no is heard in any form.
func TestANoInAnyForm(t *testing.T) {
	for _, c := range []struct {
		way  canonical.Way
		body string
	}{
		{canonical.WaySegment, `{"type":"track","event":"x","userId":"u","context":{"consent":{"categoryPreferences":{"Advertising":"false","Analytics":true}}}}`},
		{canonical.WaySegment, `{"type":"track","event":"x","userId":"u","context":{"consent":{"categoryPreferences":{"Marketing":true,"C0004":0}}}}`},
		{canonical.WaySegment, `{"type":"track","event":"x","userId":"u","context":{"consent":{"categoryPreferences":{"targeting":"Denied"}}}}`},
		{canonical.WayPixel, `{"anonymous_id":"a","consent":null,"ad_storage":"denied","ad_user_data":"denied"}`},
		{canonical.WayPixel, `{"anonymous_id":"a","consent":"","ad_user_data":"0"}`},
		{canonical.WayPixel, `{"anonymous_id":"a","consent":{"ad_storage":true},"ad_user_data":false}`},
		{canonical.WayEvents, `{"event":"x","contact":{"id":"1","consent":{"ad_user_data":false}},"user_data":{"consent":{"ad_storage":true}},"consent":{"ad_user_data":true}}`},
	} {
		if r := read(t, c.way, c.body); r.Consent == nil || !r.Consent.DeniesAds() {
			t.Errorf("%s: %+v", c.body, r.Consent)
		}
	}
}
