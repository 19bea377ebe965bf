package wire

import (
	"testing"

	"tributary/canonical"
)

// A hook's body that no mapping has shaped is read as that of POST /v1/events; what a shape
// says beside it is heard only in an object of that name.
func TestAHookIsReadAsAnEvent(t *testing.T) {
	r := read(t, canonical.WayHook, `{"event":"Invoice paid","occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"ada.byron@example.com"},"shape":"round"}`)
	if r.Subject != canonical.SubjectCustom || r.Event != "Invoice paid" || r.Reported || r.Properties["shape"] != "round" {
		t.Errorf("%+v", r)
	}
	r = read(t, canonical.WayHook, `{"event":"Invoice paid","occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"ada.byron@example.com"},"shape":{"kind":"custom","object_type":"invoice","object_id":7,"reported":true}}`)
	if r.Object != (canonical.Object{Type: "invoice", ID: "7"}) || !r.Reported || !r.ObservedAt.Equal(r.OccurredAt) || r.Properties["shape"] != nil {
		t.Errorf("%+v", r)
	}
}

func TestWhatTheCRMCallsWonAndLost(t *testing.T) {
	for _, c := range []struct{ won, closed, probability, want string }{
		{"true", "true", "1", "won"}, {"true", "", "", "won"}, {"", "true", "1.0", "won"}, {"", "true", "0.0", "lost"}, {"false", "true", "", "lost"},
		{"false", "false", "0", ""}, {"", "", "1", ""}, {"", "true", "", ""}, {"false", "true", "1", "lost"}, {"", "true", "0.5", ""}, {"", "", "", ""},
	} {
		if got := outcome(c.won, c.closed, c.probability); got != c.want {
			t.Errorf("%+v is %q", c, got)
		}
	}
	r := read(t, canonical.WayEvents, `{"event":"deal.stage_changed","occurred_at":"2026-04-23T11:04:19Z","deal":{"id":"7","stage":"9001","is_closed_won":true},"user_data":{"email":"ada.byron@example.com"}}`)
	if r.Outcome != "won" || r.Properties["deal.is_closed_won"] != true || r.Deal != "" {
		t.Errorf("%q, %v", r.Outcome, r.Properties)
	}
	r = read(t, canonical.WayEvents, `{"event":"lead_stage_changed","occurred_at":"2026-04-23T11:04:19Z","custom_data":{"hubspot_contact_id":"1","hubspot_lifecycle_stage":"customer","hubspot_deal_id":"7"}}`)
	if r.Deal != "7" || r.Properties["hubspot_deal_id"] != "7" {
		t.Errorf("a lifecycle report names the deal %q, %v", r.Deal, r.Properties)
	}
}

func TestATieNamesItsContactAndLabel(t *testing.T) {
	r := read(t, canonical.WayHubSpot, `{"eventId":1,"portalId":42,"occurredAt":1776942259000,"subscriptionType":"object.associationChange","fromObjectTypeId":"0-3","fromObjectId":7,"toObjectTypeId":"0-1","toObjectId":9,"associationTypeId":36,"associationCategory":"USER_DEFINED"}`)
	if r.Association == nil || r.Association.Label != "36" || r.Contact.ID != "9" || len(r.Identifiers) != 1 {
		t.Errorf("%+v %+v", r.Association, r.Contact)
	}
	r = read(t, canonical.WayHubSpot, `{"eventId":1,"portalId":42,"occurredAt":1776942259000,"subscriptionType":"contact.associationChange","associationType":"CONTACT_TO_DEAL","fromObjectId":9,"toObjectId":7,"associationTypeId":4,"associationCategory":"HUBSPOT_DEFINED"}`)
	if r.Association.Label != "" || r.Deal != "7" {
		t.Errorf("%+v", r.Association)
	}
	r = read(t, canonical.WayHubSpot, `{"eventId":1,"portalId":42,"occurredAt":1776942259000,"subscriptionType":"object.propertyChange","objectTypeId":"2-4417","objectId":5,"propertyName":"hs_pipeline_stage","propertyValue":"active"}`)
	if r.Subject != canonical.SubjectProperty || r.Object.Type != "2-4417" || r.Property != "hs_pipeline_stage" || r.Value != "active" {
		t.Errorf("%+v", r)
	}
}
