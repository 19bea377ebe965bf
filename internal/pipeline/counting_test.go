package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/mappings"
)

// sent runs receipts in their order through a mapping and the slots of one destination, and
// lists the events of one name that go out.
func sent(m *mappings.Mapping, name string, receipts []canonical.Receipt) []canonical.EventKey {
	course, seen := delivery.NewCourse(), map[canonical.EventKey]bool{}
	var out []canonical.EventKey
	for _, rc := range receipts {
		e := Understand(rc, m, wire.Settings{}).Event
		if e == nil {
			continue
		}
		course.Reach(e)
		if e.Name != name || e.CoveredBy != "" || seen[e.Key()] {
			continue
		}
		seen[e.Key()] = true
		if course.Take("acme", "event", e, delivery.SlotNodes(e, canonical.Known{}), nil) == "" {
			out = append(out, e.Key())
		}
	}
	return out
}

// One win is reported by the deal, by its three contacts and by the company; some of it twice,
// by a webhook that is retried and by a server that says it in other words. It counts once, in
// every order.
func TestOneWinCountsOnceInEveryOrder(t *testing.T) {
	m, problems := mappings.Compile(mappings.Default())
	if m == nil {
		t.Fatal(problems)
	}
	at := time.Date(2026, 4, 23, 11, 4, 19, 0, time.UTC)
	crm := func(id, body string) canonical.Receipt {
		return canonical.Receipt{ID: canonical.ReceiptID(id), Source: "hubspot", Way: canonical.WayCRM, ReceivedAt: at.Add(time.Minute), Body: []byte(body)}
	}
	stage := func(id, object string, n int, raw string, second int) canonical.Receipt {
		return crm(id, fmt.Sprintf(`{"event":"hubspot.lifecycle_changed","changed_at":"2026-04-23T11:04:%02dZ",%q:{"id":"%d","lifecycle_stage":%q}}`, second, object, n, raw))
	}
	five := []canonical.Receipt{
		dealt("deal", 84721, "closedwon", at, 0, at.Add(time.Minute)),
		stage("c1", "contact", 9, "customer", 20), stage("c2", "contact", 10, "customer", 21), stage("c3", "contact", 11, "Customer", 18),
		stage("co", "company", 9, "customer", 22),
	}
	orders := 0
	permute(five, func(order []canonical.Receipt) {
		orders++
		if got := sent(m, "customer_won", order); len(got) != 1 || got[0].ID != canonical.MintDealID("84721", "closedwon", "2026-04-23T11:04:19Z") {
			t.Fatalf("order %d sends %v", orders, got)
		}
	})
	if orders != 120 {
		t.Fatalf("%d orders", orders)
	}
	more := append(five, dealt("again", 84721, "closedwon", at, 3, at.Add(time.Hour)), stage("c1b", "contact", 9, "customer", 40),
		crm("server", `{"event":"deal.stage_changed","occurred_at":"2026-04-23T11:04:19.250Z","deal":{"id":"84721","stage":"Closed Won","amount":36000},"contact":{"id":"10"}}`))
	random := rand.New(rand.NewPCG(5, 4))
	for n := range 2000 {
		order := append([]canonical.Receipt(nil), more...)
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		if got := sent(m, "customer_won", order[:1+n%len(order)]); len(got) > 1 {
			t.Fatalf("sends %v", got)
		}
		if got := sent(m, "customer_won", order); len(got) != 1 {
			t.Fatalf("sends %v", got)
		}
	}
	two := append(append([]canonical.Receipt(nil), five...), dealt("other", 90000, "closedwon", at.Add(time.Hour), 0, at.Add(2*time.Hour)))
	if got := sent(m, "customer_won", two); len(got) != 2 {
		t.Errorf("two deals send %v", got)
	}
	once, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte("version: 1\nvocabulary:\n  - customer_won: { count: first_per_person }\nsources:\n  hubspot:\n    lifecycle: { customer: customer_won }\n    deals: { \"*\": { won: customer_won } }\n")})
	if once == nil {
		t.Fatal(problems)
	}
	if got := sent(once, "customer_won", two); len(got) != 1 {
		t.Errorf("two deals of one customer, counted once for the person, send %v", got)
	}
}

func permute(list []canonical.Receipt, visit func([]canonical.Receipt)) {
	var walk func(n int)
	walk = func(n int) {
		if n == len(list) {
			visit(list)
			return
		}
		for i := n; i < len(list); i++ {
			list[n], list[i] = list[i], list[n]
			walk(n + 1)
			list[n], list[i] = list[i], list[n]
		}
	}
	walk(0)
}
