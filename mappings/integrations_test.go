package mappings

import (
	"encoding/json"
	"testing"

	"tributary/canonical"
)

func TestIntegrationsChooseDestinations(t *testing.T) {
	for _, c := range []struct {
		integrations, destination, kind string
		sent                            bool
	}{
		{`{}`, "meta", "meta", true},
		{`{"All":true}`, "meta", "meta", true},
		{`{"All":false}`, "meta", "meta", false},
		{`{"All":false,"Meta":true}`, "meta", "meta", true},
		{`{"All":false,"Meta":{"x":1}}`, "meta_eu", "meta", true},
		{`{"All":false,"Meta":true}`, "linkedin", "linkedin", false},
		{`{"meta_eu":false}`, "meta_eu", "meta", false},
		{`{"meta_eu":false}`, "meta_us", "meta", true},
		{`{"meta":false,"meta_eu":true}`, "meta_eu", "meta", true},
		{`{"Facebook Conversions API (Actions)":false}`, "meta", "meta", false},
		{`{"Facebook Pixel":false,"Facebook Conversions API (Actions)":true}`, "meta", "meta", true},
		{`{"All":false,"LinkedIn Conversions API":true}`, "linkedin", "linkedin", true},
		{`{"HubSpot Cloud Mode (Actions)":false,"All":true}`, "crm", "hubspot", false},
		{`{"Segment.io":false}`, "meta", "meta", true},
		{`{"All":"false"}`, "meta", "meta", false},
	} {
		e := canonical.Event{Way: canonical.WaySegment, Properties: map[string]any{}}
		var v map[string]any
		if err := json.Unmarshal([]byte(c.integrations), &v); err != nil {
			t.Fatal(err)
		}
		e.Properties["integrations"] = v
		if got := !unchosen(c.destination, c.kind, &e); got != c.sent {
			t.Errorf("%s for %s (%s): sent %v", c.integrations, c.destination, c.kind, got)
		}
		e.Way = canonical.WayEvents
		if unchosen(c.destination, c.kind, &e) {
			t.Errorf("%s of another way in is heard", c.integrations)
		}
	}
}

// What is not meant for a destination is not for one either that takes events without a line.
func TestIntegrationsAreHeardWithoutALine(t *testing.T) {
	m, problems := Compile(Default())
	if m == nil {
		t.Fatal(problems)
	}
	e := canonical.Event{Name: "song_played", Way: canonical.WaySegment, Properties: map[string]any{"integrations": map[string]any{"All": false, "hooks": true}}}
	for destination, kind := range map[string]string{"archive": "webhook", "hooks": "webhook", "hubspot": "hubspot"} {
		if r, _ := m.RouteOf(destination, kind, &e); r.NotMeant != (destination != "hooks") {
			t.Errorf("%s: not meant %t", destination, r.NotMeant)
		}
	}
}
