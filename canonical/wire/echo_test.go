package wire

import (
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
)

// A change that our own app made is told as an echo; everything else it says is read as ever.
func TestOwnChangesAreEchoes(t *testing.T) {
	settings := Settings{Portals: map[int64]string{424242: "hubspot", 5: "second"}, Apps: map[string]App{"hubspot": {9001, []string{"customer"}}, "second": {7, []string{"customer"}}}}
	for _, c := range []struct {
		name       string
		portal     int
		source, id string
		property   string
		settings   Settings
		echo       bool
	}{
		{"our app", 424242, "INTEGRATION", `"9001"`, "lifecyclestage", settings, true},
		{"our app through the API", 424242, "API", `9001`, "lifecyclestage", settings, true},
		{"our app, named", 424242, "INTEGRATION", `"appId:9001"`, "lifecyclestage", settings, true},
		{"a stage that is never written", 424242, "INTEGRATION", `"9001"`, "lifecyclestage", Settings{Apps: map[string]App{"hubspot": {9001, []string{"lead"}}}}, false},
		{"what is never written", 424242, "INTEGRATION", `"9001"`, "dealstage", settings, false},
		{"another app", 424242, "INTEGRATION", `"9002"`, "lifecyclestage", settings, false},
		{"another account's app", 5, "INTEGRATION", `"9001"`, "lifecyclestage", settings, false},
		{"that account's own", 5, "INTEGRATION", `"7"`, "lifecyclestage", settings, true},
		{"a person in HubSpot", 424242, "CRM_UI", `"userId:9001"`, "lifecyclestage", settings, false},
		{"no app configured", 424242, "INTEGRATION", `"9001"`, "lifecyclestage", Settings{}, false},
		{"no source", 424242, "", `null`, "lifecyclestage", settings, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			object := "contact"
			if c.property == "dealstage" {
				object = "deal"
			}
			body := fmt.Sprintf(`{"eventId":1,"portalId":%d,"occurredAt":1767225600000,"subscriptionType":"%s.propertyChange","objectId":12,"propertyName":%q,"propertyValue":"customer","changeSource":%q,"sourceId":%s}`,
				c.portal, object, c.property, c.source, c.id)
			r, problem := Read(canonical.Receipt{Way: canonical.WayHubSpot, ReceivedAt: time.UnixMilli(1767225601000), Body: []byte(body)}, c.settings)
			if problem != nil {
				t.Fatal(problem)
			}
			if r.Echo != c.echo {
				t.Errorf("echo is %v", r.Echo)
			}
			if r.RawStage != "customer" || c.source != "" && r.Properties["change_source"] != c.source {
				t.Errorf("the rest is read otherwise: %+v", r)
			}
		})
	}
}
