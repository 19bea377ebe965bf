package catalog_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
)

// ask changes or reads the simulated account as its owner would.
func (s *story) ask(method, path, body string) destinations.Response {
	s.t.Helper()
	q := destinations.Request{Method: method, Path: path, Body: []byte(body), Header: destinations.JSONHeader()}
	r, err := s.send(s.t.Context(), q)
	if err != nil || r.Status/100 != 2 {
		s.t.Fatalf("%s %s: %d %s, %v", method, path, r.Status, r.Body, err)
	}
	return r
}

// deliver builds, sends and reads one batch.
func (s *story) deliver(batch []destinations.Item) []destinations.Outcome {
	s.t.Helper()
	q, err := s.dest.Build(batch)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.send(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.dest.Classify(batch, r)
}

// Custom events on a Professional account are refused: the finding says what to do, the lane
// stands with the scope's name, and nothing is written by another mechanism.
func TestCustomEventsBelowEnterpriseAreNotReplacedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)))
		s := tell(t, simulator.HubSpotAccount{Tier: simulator.Professional, PropertyPrefix: "tributary_"}, "timeline: custom_events\nportal_id: 424242\n")
		_, findings, err := s.dest.(destinations.Learner).Learn(t.Context(), s.send)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(findings, func(f destinations.Finding) bool {
			return f.Blocks && strings.Contains(f.Problem, "analytics.behavioral_events.send") && strings.Contains(f.Problem, "Enterprise") && strings.Contains(f.Problem, "timeline: notes")
		}) {
			t.Errorf("findings: %+v", findings)
		}
		if _, err := s.dest.(destinations.Arranger).Arrange(t.Context(), s.send, nil, true); err == nil || !strings.Contains(err.Error(), "behavioral_events.event_definitions.read_write") {
			t.Errorf("setup: %v", err)
		}
		s.run()
		id, err := s.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "ana@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		s.crm(fmt.Sprintf(`{"event":"deal.stage_changed","occurred_at":%q,"deal":{"id":"84721","stage":"closedwon","amount":36000,"currency":"USD"},"contact":{"id":"%d"}}`, stampOf(time.Now()), id))
		time.Sleep(10 * minute)
		if why := s.lane.Halted(); !strings.Contains(why, "analytics.behavioral_events.send") || !strings.Contains(why, "timeline: notes") {
			t.Errorf("the lane is halted for %q", why)
		}
		for _, e := range s.sim.Timeline(id) {
			if strings.Contains(e.Sentence, "Converted") {
				t.Errorf("%+v stands on the timeline", e)
			}
		}
	})
}

// A property that goes away stops nothing and is written again from the moment it is there;
// one of another type gets what can be written as that type.
func TestPropertiesMayComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)))
		s := tell(t, simulator.HubSpotAccount{PropertyPrefix: "tributary_"}, "timeline: off\ncounters: false\ncustom: {plan: {type: enumeration, options: [free, pro]}}\n")
		s.run()
		form := func(n int, plan string) {
			s.pixel(fmt.Sprintf(`{"event":"form_submit","event_id":"f%d","email":"ana@example.com","form":"demo","plan":%q,"url":"https://www.acme.example/?utm_source=s%d&utm_campaign=c%d","occurred_at":%q}`, n, plan, n, n, stampOf(time.Now())))
			time.Sleep(5 * minute)
		}
		property := func(name string) string {
			r, _ := s.sim.Record("contact", s.contact())
			return r.Properties[name]
		}
		form(1, "pro")
		if property("tributary_utm_source") != "s1" || property("tributary_plan") != "" {
			t.Errorf("the first form: %q", property("tributary_utm_source"))
		}
		if f := s.lane.Findings(); !slices.ContainsFunc(f, func(f destinations.Finding) bool {
			return f.Subject == "property tributary_plan of contacts" && !f.Blocks && strings.Contains(f.Problem, "tributary destinations setup hubspot")
		}) {
			t.Errorf("findings: %+v", f)
		}
		s.ask(http.MethodDelete, "/crm/v3/properties/contacts/tributary_utm_source", "")
		form(2, "pro")
		if property("tributary_utm_campaign") != "c2" {
			t.Errorf("after a property went: campaign %q, parked %v", property("tributary_utm_campaign"), s.parts(canonical.StateParked))
		}
		s.ask(http.MethodPost, "/crm/v3/properties/contacts", `{"name":"tributary_utm_source","label":"Source","type":"string","fieldType":"text","groupName":"tributary"}`)
		s.ask(http.MethodPost, "/crm/v3/properties/contacts", `{"name":"tributary_plan","label":"Plan","type":"enumeration","fieldType":"select","groupName":"tributary","options":[{"label":"Free","value":"free","displayOrder":0},{"label":"Pro","value":"pro","displayOrder":1}]}`)
		time.Sleep(2 * time.Hour)
		form(3, "pro")
		if property("tributary_utm_source") != "s3" || property("tributary_plan") != "pro" {
			t.Errorf("after they came: %q, %q", property("tributary_utm_source"), property("tributary_plan"))
		}
		form(4, "Free") // the label: left out, and the rest goes
		if property("tributary_utm_campaign") != "c4" || property("tributary_plan") != "pro" {
			t.Errorf("a label: %q, %q", property("tributary_utm_campaign"), property("tributary_plan"))
		}
		if why := s.lane.Halted(); why != "" || len(s.parts(canonical.StateDead)) > 0 {
			t.Errorf("halted for %q, dead %v", why, s.parts(canonical.StateDead))
		}
	})
}

// An id that a merge took away is not found by the batch and found by the single call; one
// that was deleted is told as such.
func TestMergedAndDeletedContacts(t *testing.T) {
	s := tell(t, simulator.HubSpotAccount{PropertyPrefix: "tributary_"}, "timeline: off\n")
	events := destinationtest.Deals(3)
	for i := range events {
		if _, err := s.sim.Make(simulator.Made{Type: "contact", ID: int64(1001 + i), Properties: map[string]string{"email": events[i].Contact.Email}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.sim.Merge(simulator.Merger{Primary: 1001, Merge: 1002}); err != nil {
		t.Fatal(err)
	}
	s.ask(http.MethodDelete, "/crm/v3/objects/contacts/1003", "")
	batch := destinationtest.Plan(t, s.dest, canonical.Route{}, events)[0]
	for i, o := range s.deliver(batch) {
		if o.Verdict != destinations.Split || o.Reason != "not_found" {
			t.Errorf("row %d of the batch: %+v", i, o)
		}
	}
	for i, want := range []destinations.Verdict{destinations.Delivered, destinations.Delivered, destinations.Reject} {
		if o := s.deliver(batch[i : i+1])[0]; o.Verdict != want {
			t.Errorf("row %d alone: %+v, want %v", i, o, want)
		}
	}
	if r, _ := s.sim.Record("contact", 1002); r.Properties["tributary_source_campaign"] != "Demo days" {
		t.Errorf("the survivor: %v", r.Properties)
	}
}

// Two addresses of one contact in a batch are refused by HubSpot, and found by halves; two
// addresses of one known person are one row.
func TestAddressesOfOneContact(t *testing.T) {
	s := tell(t, simulator.HubSpotAccount{PropertyPrefix: "tributary_"}, "timeline: off\n")
	for i, email := range []string{"visitor0@example.org", "visitor1@example.org"} {
		if _, err := s.sim.Make(simulator.Made{Type: "contact", ID: int64(1 + i), Properties: map[string]string{"email": email}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.sim.Merge(simulator.Merger{Primary: 1, Merge: 2}); err != nil {
		t.Fatal(err)
	}
	events := destinationtest.Forms(3)
	batch := destinationtest.Plan(t, s.dest, canonical.Route{}, events)[0]
	for _, o := range s.deliver(batch) {
		if o.Verdict != destinations.Split {
			t.Errorf("hidden duplicates: %+v", o)
		}
	}
	events[1].Known.Person = events[0].Known.Person // the identity log knows
	batch = destinationtest.Plan(t, s.dest, canonical.Route{}, events)[0]
	for i, o := range s.deliver(batch) {
		if o.Verdict != destinations.Delivered {
			t.Errorf("row %d: %+v", i, o)
		}
	}
}

// A lifecycle stage is written forward only; counters are what they are, however often they
// are written; companies and deals have rows of their own.
func TestLifecycleCountersCompaniesAndDeals(t *testing.T) {
	s := tell(t, simulator.HubSpotAccount{}, "timeline: off\nlifecycle: {customer_won: customer, qualified_lead: marketingqualifiedlead}\ncompany_fields: [source_platform, last_activity_at]\ndeal_fields: [source_campaign, page_views]\n")
	s.arrange()
	e := destinationtest.Deals(1)[0]
	for _, m := range []simulator.Made{
		{Type: "contact", ID: 1001, Properties: map[string]string{"email": e.Contact.Email}},
		{Type: "company", ID: 77, Properties: map[string]string{"name": "Example Inc"}},
		{Type: "deal", ID: 91001, Properties: map[string]string{"dealname": "Big"}},
	} {
		if _, err := s.sim.Make(m); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, views int) []destinations.Outcome {
		e := e
		e.Name = name
		k := *e.Known
		k.Counts = map[string]int{"page_viewed": views, "ad_clicked": 2}
		parts, refusal := s.dest.Plan(e, k, canonical.Route{})
		if refusal.Reason != "" || len(parts) != 3 {
			t.Fatalf("%+v %+v", parts, refusal)
		}
		var out []destinations.Outcome
		for _, p := range parts {
			out = append(out, s.deliver([]destinations.Item{{Event: e, Known: k, Part: p}})...)
		}
		return out
	}
	for n, c := range []struct {
		name, reason string
		views        int
	}{{"customer_won", "accepted", 3}, {"customer_won", "accepted", 3}, {"qualified_lead", "lifecycle_kept", 4}} {
		for i, o := range write(c.name, c.views) {
			want := "accepted"
			if i == 0 {
				want = c.reason
			}
			if o.Verdict != destinations.Delivered || o.Reason != want {
				t.Errorf("write %d, part %d: %+v, want %s", n, i, o, want)
			}
		}
	}
	contact, _ := s.sim.Record("contact", 1001)
	company, _ := s.sim.Record("company", 77)
	deal, _ := s.sim.Record("deal", 91001)
	for name, c := range map[string]struct{ got, want string }{
		"lifecycle":        {contact.Properties["lifecyclestage"], "customer"},
		"views":            {contact.Properties["tributary_page_views"], "4"},
		"clicks":           {contact.Properties["tributary_ad_clicks"], "2"},
		"company platform": {company.Properties["tributary_source_platform"], "linkedin"},
		"deal campaign":    {deal.Properties["tributary_source_campaign"], "Demo days"},
		"deal views":       {deal.Properties["tributary_page_views"], "4"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}
