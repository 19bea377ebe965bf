package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
)

// buyer is the person of the published guide.
var buyer = simulator.Person{ID: "buyer", FirstName: "Bea", LastName: "Yer", Emails: []string{"buyer@acme.example.com"}, MetaUser: true, LinkedInMember: true}

func hourAgo() string { return time.Now().UTC().Add(-time.Hour).Format(time.RFC3339) }

// dealBody is the guide's deal body with its times set.
func dealBody(at string) string {
	return strings.ReplaceAll(`{
  "event": "deal.stage_changed",
  "source": "hubspot",
  "event_id": "deal_84721_contractsent_TIME",
  "occurred_at": "TIME",
  "user_data": {"email": "buyer@acme.example.com"},
  "account_data": {"domain": "acme.example.com", "company_name": "Acme", "hubspot_company_id": "3029911"},
  "custom_data": {
    "hubspot_contact_id": "102948", "hubspot_deal_id": "84721", "hubspot_pipeline": "sales_pipeline",
    "hubspot_deal_stage": "contractsent", "tracklayer_stage": "proposal_sent", "owner_id": "55192",
    "currency": "USD", "value": 36000, "billing_period": "annual"
  }
}`, "TIME", at)
}

func TestTheGuidesBodiesAgainstARunningRouter(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{People: []simulator.Person{buyer}, Destinations: `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "` + dataset + `", timeout: 300ms, linger: 0s}}
  linkedin: {kind: linkedin, mode: live, base_url: "VENDORS", allow_private: true, token: "file:linkedin.token", settings: {timeout: 300ms, linger: 0s, rules: {lead: 101, mql: 102, sql: 103, opportunity: 104, proposal: 105, closed_won: 106, expansion: 107}}}
`})
	s.pointAtVendors()
	s.start()
	at := hourAgo()

	t.Run("the lifecycle body", func(t *testing.T) {
		id := s.send("/v1/ingest/crm", fmt.Sprintf(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%q,
			"contact":{"id":"102948","email":"buyer@acme.example.com","lifecycle_stage":"marketingqualifiedlead","lead_status":"OPEN"},
			"company":{"id":"3029911","domain":"acme.example.com","name":"Acme"}}`, at))
		s.settle()
		if got := s.whereIs(id[0]); got != "event qualified_lead: linkedin delivered, meta delivered" {
			t.Errorf("it is %s", got)
		}
	})
	t.Run("the middleware's body is the same fact under its own id", func(t *testing.T) {
		id := s.send("/v1/events", fmt.Sprintf(`{"event_id":"%s","event":"lead_stage_changed","source":"hubspot","occurred_at":%q,
			"user_data":{"email":"buyer@acme.example.com"},"account_data":{"domain":"acme.example.com"},
			"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`, middlewareID("102948", "marketingqualifiedlead", at), at))
		s.settle()
		// The guide's body and its middleware hash the same change to the same id.
		if got := s.whereIs(id[0]); !strings.HasPrefix(got, "observation qualified_lead") {
			t.Errorf("it is %s", got)
		}
	})

	t.Run("replay while both vendors time out, and after", func(t *testing.T) {
		for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
			s.fail(simulator.Fault{Vendor: v, Mode: "timeout"})
		}
		s.send("/v1/events", dealBody(at))
		id := "deal_84721_contractsent_" + at
		want := `{"ok":true,"deduplicated":false,"canonical_event":"proposal_sent","replayed_destinations":2}`
		if got := s.untilResolved(id, "linkedin", "meta"); got != want {
			t.Errorf("replay answers %s, want %s", got, want)
		}
		s.sim.Heal(simulator.LinkedIn)
		s.until(func() bool { return s.got(simulator.LinkedIn)["105"] == 1 && s.stateOf(id, "linkedin") == "delivered" })
		if got, want := s.replay(id, "linkedin", "meta"), `{"ok":true,"deduplicated":false,"canonical_event":"proposal_sent","replayed_destinations":1}`; got != want {
			t.Errorf("with one of two delivered it answers %s, want %s", got, want)
		}
		s.sim.Heal("")
		s.settle()
		if got, want := s.replay(id, "linkedin", "meta"), `{"ok":true,"deduplicated":true,"canonical_event":"proposal_sent","replayed_destinations":0}`; got != want {
			t.Errorf("after delivery it answers %s, want %s", got, want)
		}
		if meta, linkedin := s.got(simulator.Meta)["ProposalSent"], s.got(simulator.LinkedIn)["105"]; meta != 1 || linkedin != 1 {
			t.Errorf("Meta took %d, LinkedIn %d; want 1 each", meta, linkedin)
		}
		for _, r := range s.sim.Received(simulator.Meta) {
			if r.EventName == "ProposalSent" && (r.EventID != id || !r.Matched || r.Value != "36000" || r.Currency != "USD") {
				t.Errorf("Meta took %+v", r)
			}
		}
	})
	t.Run("the original April date is too old for both", func(t *testing.T) {
		s.send("/v1/events", dealBody("2026-04-23T11:04:19Z"))
		want := `{"ok":true,"deduplicated":false,"canonical_event":"proposal_sent","replayed_destinations":0,"reasons":{"linkedin":"too_old","meta":"too_old"}}`
		if got := s.untilResolved("deal_84721_contractsent_2026-04-23T11:04:19Z", "linkedin", "meta"); got != want {
			t.Errorf("replay answers %s, want %s", got, want)
		}
	})
	t.Run("an unknown event, an unknown destination", func(t *testing.T) {
		if got := s.replay("deal_0"); !strings.HasPrefix(got, "404 ") {
			t.Errorf("%s", got)
		}
		if got := s.replay("deal_84721_contractsent_"+at, "pinterest"); !strings.HasPrefix(got, "400 ") || !strings.Contains(got, "linkedin, meta") {
			t.Errorf("%s", got)
		}
	})
}

func TestOneChangeByThreeWaysInReachesMetaOnceInEveryOrder(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{HubSpot: simulator.HubSpotAccount{Subscriptions: []string{"contact.propertyChange:lifecyclestage"}}})
	s.start()
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	target := "http://" + s.address + "/v1/ingest/hubspot/hubspot_app"
	orders := permutations(3)
	for i, order := range orders {
		contact, err := s.sim.Make(simulator.Made{Type: "contact", Change: simulator.Change{Silent: true, At: at.Add(-time.Hour)},
			Properties: map[string]string{"email": fmt.Sprintf("person%d@example.com", i)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.sim.Set("contact", contact, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, simulator.Change{At: at}); err != nil {
			t.Fatal(err)
		}
		hooks := s.sim.Webhooks(target)
		if len(hooks) != 1 {
			t.Fatalf("%d webhooks, want one", len(hooks))
		}
		ways := []func(){
			func() {
				for attempt := range 5 {
					w := s.sim.Again(hooks[0], attempt)
					if status, answer := s.post("/v1/ingest/hubspot/hubspot_app", w.Body, w.Header); status/100 != 2 {
						t.Fatalf("webhook: %d %s", status, answer)
					}
				}
			},
			func() {
				s.send("/v1/ingest/crm", fmt.Sprintf(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%q,"contact":{"id":"%d","email":" Person%d@Example.com","lifecycle_stage":"MarketingQualifiedLead"}}`,
					at.Add(20*time.Minute).Format(time.RFC3339), contact, i))
			},
			func() {
				text := at.Format(time.RFC3339)
				s.send("/v1/events", fmt.Sprintf(`{"event_id":%q,"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"user_data":{"email":"person%d@example.com"},"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":"marketingqualifiedlead"}}`,
					middlewareID(fmt.Sprint(contact), "marketingqualifiedlead", text), text, i, contact))
			},
		}
		for _, way := range order {
			ways[way]()
			if i >= len(orders)/2 {
				s.settle() // half of the orders one by one, half in a heap
			}
		}
	}
	s.settle()
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
		people := map[string]int{}
		for _, r := range s.sim.Received(v) {
			people[fmt.Sprint(r.EventID)]++
		}
		if total := s.got(v)[map[simulator.Vendor]string{simulator.Meta: "QualifiedLead", simulator.LinkedIn: "102"}[v]]; total != len(orders) || len(people) != len(orders) {
			t.Errorf("%s took %d conversions with %d ids, want one for each of %d people", v, total, len(people), len(orders))
		}
	}
	s.recorded("SELECT count() FROM v_conversions WHERE name = 'qualified_lead'", fmt.Sprint(len(orders)))
}

// permutations gives every order of n things.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for at := 0; at <= len(p); at++ {
			q := append(append(append([]int{}, p[:at]...), n-1), p[at:]...)
			out = append(out, q)
		}
	}
	return out
}

// The answer, worked out by hand: A, B and C are one person, whom C stands for. A's MQL is
// the first; B's later one is the same stage again, and counts no more. SQL, proposal and
// the won deal count once each; the deal brings 36,000.
func TestSixArrivalOrdersGiveTheSameAnswer(t *testing.T) {
	t.Parallel()
	s := newSystem(t, systemOptions{})
	s.start()
	base := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Second)
	for i, order := range sixOrders(7) {
		a, b, c, deal := 10_000+i*10+1, 10_000+i*10+2, 10_000+i*10+3, 90_000+i
		at := func(hours int) string { return base.Add(time.Duration(hours) * time.Hour).Format(time.RFC3339) }
		stage := func(contact int, stage string, hours int) string {
			return fmt.Sprintf(`{"event":"lead_stage_changed","source":"hubspot","occurred_at":%q,"custom_data":{"hubspot_contact_id":"%d","hubspot_lifecycle_stage":%q}}`, at(hours), contact, stage)
		}
		dealStage := func(stage string, value, hours int) string {
			return fmt.Sprintf(`{"event":"deal.stage_changed","source":"hubspot","occurred_at":%q,"custom_data":{"hubspot_contact_id":"%d","hubspot_deal_id":"%d","hubspot_pipeline":"sales_pipeline","hubspot_deal_stage":%q,"currency":"USD","value":%d}}`,
				at(hours), c, deal, stage, value)
		}
		merge := func(survivor, merged, hours int) string {
			return fmt.Sprintf(`{"source":"hubspot","event":"contact.merged","occurred_at":%q,"contact":{"id":"%d","merged_ids":["%d"]}}`, at(hours), survivor, merged)
		}
		things := []func(){
			func() { s.send("/v1/events", stage(a, "marketingqualifiedlead", 1)) },
			func() { s.send("/v1/events", stage(b, "marketingqualifiedlead", 2)) },
			func() { s.send("/v1/events", stage(b, "salesqualifiedlead", 3)) },
			func() { s.send("/v1/events", dealStage("contractsent", 30000, 4)) },
			func() { s.send("/v1/events", dealStage("closedwon", 36000, 5)) },
			func() { s.send("/v1/ingest/crm", merge(a, b, 6)) },
			func() { s.send("/v1/ingest/crm", merge(c, a, 7)) },
		}
		for n, k := range append(append([]int{}, order...), order...) { // each twice
			things[k]()
			if i%3 == 1 || i%3 == 2 && n%4 == 0 {
				s.settle() // blocks are cut differently
			}
		}
	}
	s.settle()
	for i := range 6 {
		c, deal := 10_000+i*10+3, 90_000+i
		person := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: fmt.Sprint(c)}.Node().String()
		s.recorded(fmt.Sprintf("SELECT name, toString(occurred_at), if(counted_by = 'deal', object_id, ''), person, amount_micros FROM v_conversions WHERE person = '%s' ORDER BY occurred_at", person),
			strings.Join([]string{
				"qualified_lead " + stamp(base, 1) + "  " + person + " -",
				"sales_qualified_lead " + stamp(base, 3) + "  " + person + " -",
				fmt.Sprintf("proposal_sent %s %d %s 30000000000", stamp(base, 4), deal, person),
				fmt.Sprintf("customer_won %s %d %s 36000000000", stamp(base, 5), deal, person),
			}, "\n"))
		s.recorded(fmt.Sprintf("SELECT count() FROM v_nodes WHERE root = '%s'", person), "3")
	}
	s.recorded("SELECT sum(amount_micros) FROM v_conversions WHERE name = 'customer_won'", fmt.Sprint(6*36000_000000))
}

func stamp(base time.Time, hours int) string {
	return base.Add(time.Duration(hours) * time.Hour).Format("2006-01-02 15:04:05.000")
}

// sixOrders gives six orders of n things: as they happened, backwards, and four dealt at
// random with fixed seeds.
func sixOrders(n int) [][]int {
	var out [][]int
	straight, back := make([]int, n), make([]int, n)
	for i := range n {
		straight[i], back[n-1-i] = i, i
	}
	out = append(out, straight, back)
	for seed := range uint64(4) {
		out = append(out, rand.New(rand.NewPCG(seed, 7)).Perm(n))
	}
	return out
}
