package catalog_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
)

// vendors starts a simulator that knows the people of the samples by their plain data.
func vendors(t *testing.T) (*simulator.Simulator, string) {
	t.Helper()
	var people []simulator.Person
	for i := range 3 {
		id := fmt.Sprint(1001 + i)
		people = append(people,
			simulator.Person{
				ID: "person " + id, FirstName: "Ada", LastName: "Byron", Emails: []string{fmt.Sprintf(" Person%d@Example.com", i)},
				Phones: []string{"+1 (415) 555-01" + fmt.Sprint(10+i)}, MetaUser: true, LinkedInMember: true, ExternalIDs: []string{id},
				FBCLIDs: []string{"IwAR0-Click" + id}, LiFatIDs: []string{"0a1b2c3d-0000-4000-8000-00000000" + id},
			},
			simulator.Person{ID: fmt.Sprint("visitor ", i), Emails: []string{fmt.Sprintf("visitor%d@example.org", i)}, MetaUser: true, LinkedInMember: true},
		)
	}
	sim, err := simulator.New(simulator.Options{
		People:   people,
		Meta:     simulator.MetaAccount{DatasetIDs: []string{"111222333444555"}, Token: "t-1"},
		LinkedIn: simulator.LinkedInAccount{Token: "t-1", Rules: []simulator.Rule{{ID: "18423345"}}},
		HubSpot:  simulator.HubSpotAccount{Token: "t-1", PropertyPrefix: "tributary_", EventDefinitions: []string{"customer_won", "form_submitted"}},
		Now:      func() time.Time { return destinationtest.Noon.Add(time.Hour) },
		Seed:     7,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, err := sim.Make(simulator.Made{Type: "contact", ID: int64(1001 + i), Properties: map[string]string{"email": fmt.Sprintf("person%d@example.com", i)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	return sim, server.URL
}

// send sends a request as the lane does: credential last, body as built.
func send(t *testing.T, kind destinations.Kind, base string, q destinations.Request) destinations.Response {
	t.Helper()
	r, err := http.NewRequest(q.Method, base+q.Path, bytes.NewReader(q.Body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.RawQuery = q.Query.Encode()
	for name, values := range q.Header {
		r.Header[name] = values
	}
	kind.Authorize(r, q.Body, "t-1")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}
}

// What an adapter builds is taken by a vendor that checks what its documentation says it
// checks, finds the people it was made for, and is read as delivered.
func TestVendorsTakeWhatWeBuild(t *testing.T) {
	for _, c := range []struct {
		name, kind, config string
		route              canonical.Route
		vendor             simulator.Vendor
		items              int // deals and forms, parts of each
	}{
		{"meta", "meta", "dataset_id: 111222333444555\n", canonical.Route{Event: "Purchase", Value: "amount"}, simulator.Meta, 6},
		{"linkedin", "linkedin", "rules: {won: 18423345}\n", canonical.Route{Rule: "won", Value: "amount"}, simulator.LinkedIn, 6},
		{"hubspot with notes", "hubspot", "timeline: notes\n", canonical.Route{}, simulator.HubSpot, 9},
		{"hubspot with custom events", "hubspot", "timeline: custom_events\nportal_id: 424242\n", canonical.Route{}, simulator.HubSpot, 9},
		{"hubspot with dated paths", "hubspot", "timeline: custom_events\nportal_id: 424242\napi: 2026-03\n", canonical.Route{}, simulator.HubSpot, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			sim, base := vendors(t)
			kind, _ := catalog.Kind(c.kind)
			d := destinationtest.Suite{Kind: kind, Config: c.config}.Open(t)
			events := slices.Concat(destinationtest.Deals(3), destinationtest.Forms(3))
			for _, batch := range destinationtest.Plan(t, d, c.route, events) {
				q, err := d.Build(batch)
				if err != nil {
					t.Fatal(err)
				}
				answer := send(t, kind, base, q)
				for i, o := range d.Classify(batch, answer) {
					if o.Verdict != destinations.Delivered {
						t.Errorf("%s of %s: %s %s: %d %s", batch[i].Part.Name, batch[i].Event.ID, o.Verdict, o.Reason, answer.Status, answer.Body)
					}
				}
			}
			got := sim.Received(c.vendor)
			if len(got) != c.items {
				t.Errorf("%d items were received, want %d", len(got), c.items)
			}
			for _, r := range got {
				if c.vendor != simulator.HubSpot && !r.Matched {
					t.Errorf("nobody was found by %v: %s", r.UnmatchedBy, r.Body)
				}
				if c.vendor != simulator.HubSpot && !onlyUntold(r.UnmatchedBy) {
					t.Errorf("%s was not found by %v: %s", r.Person, r.UnmatchedBy, r.Body)
				}
				if len(r.Warnings) > 0 {
					t.Errorf("warnings: %v for %s", r.Warnings, r.Body)
				}
			}
		})
	}
}

// onlyUntold is true for keys that the simulator was not told of, or has to learn first.
func onlyUntold(keys []string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool {
		return k != "fbp" && k != "userInfo" && k != "externalIds" && !strings.HasPrefix(k, "client_")
	})
}

// The vendors' own refusals come back as the verdicts that the adapters promise.
func TestVendorsRefuse(t *testing.T) {
	_, base := vendors(t)
	for _, c := range []struct {
		name, kind, config string
		route              canonical.Route
		change             func(*canonical.Event)
		verdict            destinations.Verdict
		reason             string
	}{
		{"meta, too old", "meta", "dataset_id: 111222333444555\n", canonical.Route{Event: "Lead"}, old(8), destinations.Reject, "too_old"},
		{"linkedin, too old", "linkedin", "rules: {won: 18423345}\n", canonical.Route{Rule: "won"}, old(91), destinations.Reject, "refused"},
		{"linkedin, no such rule", "linkedin", "rules: {won: 99}\n", canonical.Route{Rule: "won"}, old(0), destinations.Park, "rule_forbidden"},
		{"hubspot, no such property", "hubspot", "prefix: other_\n", canonical.Route{}, old(0), destinations.Halt, "property_missing"},
		{"hubspot, no such contact", "hubspot", "", canonical.Route{}, func(e *canonical.Event) {
			e.Known.Identifiers = []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "4040404"}}
		}, destinations.Reject, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, _ := catalog.Kind(c.kind)
			d := destinationtest.Suite{Kind: kind, Config: c.config}.Open(t)
			events := destinationtest.Deals(1)
			c.change(&events[0])
			batch := destinationtest.Plan(t, d, c.route, events)[0]
			q, err := d.Build(batch)
			if err != nil {
				t.Fatal(err)
			}
			answer := send(t, kind, base, q)
			if o := d.Classify(batch, answer)[0]; o.Verdict != c.verdict || o.Reason != c.reason {
				t.Errorf("%s %s, want %s %s: %d %s", o.Verdict, o.Reason, c.verdict, c.reason, answer.Status, answer.Body)
			}
		})
	}
}

func old(days int) func(*canonical.Event) {
	return func(e *canonical.Event) { e.OccurredAt = e.OccurredAt.AddDate(0, 0, -days) }
}
