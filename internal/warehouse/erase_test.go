package warehouse_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/warehouse"
)

// Who is erased is nowhere, however often and after whatever it is done; others and all counts stay.
func TestErase(t *testing.T) {
	w := open(t)
	sealer, err := warehouse.NewSealer([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	sealed := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return sealer.Seal(b)
	}
	her, his, cook, deal := contact("4711001"), contact("4711002"), cookie("ck-ada"), canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: "9001"}
	mql := lifecycle("e1", her.Value, "qualified_lead", at(2))
	mql.Contact.Email, mql.ReceiptID = "ada@example.test", "r1"
	click := touch("e2", cook, "meta", "retarget", at(1))
	click.Touch.Clicks, click.ReceiptID = []canonical.Click{{Scheme: canonical.FBCLID, Value: "IwARada", At: at(1)}}, "r2"
	won := dealStage("e3", "9001", his.Value, "customer_won", 36_000_000_000, at(3))
	won.Contacts, won.ReceiptID = []string{his.Value, her.Value}, "r3.c"
	won.Known = &canonical.Known{Offset: 3, Contacts: []canonical.DealContact{{Node: his.Node()}, {Node: her.Node()}}}
	other := lifecycle("e4", his.Value, "lead_captured", at(2))
	other.ReceiptID = "r4"
	var b warehouse.Block
	for i, e := range []*canonical.Event{&mql, &click, &won, &other} {
		if e.Known == nil {
			e.Known = &canonical.Known{Offset: 3}
		}
		place := canonical.Position{Offset: int64(i)}
		b.Events = append(b.Events, warehouse.EventRow{Event: *e, Position: place, Sealed: sealed(e)})
		b.Fates = append(b.Fates, warehouse.FateRow{ReceiptID: e.ReceiptID, Fate: canonical.FateEvent, Event: e.Key(), At: at(4), Position: place})
		b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Position: place, Sealed: sealed(canonical.Delivery{Destination: "meta", Event: e.Key(), State: canonical.StateDead, Reason: "refused", At: at(4), Body: json.RawMessage(`"ada"`), Node: e.Node}),
			Delivery: canonical.Delivery{Destination: "meta", Event: e.Key(), State: canonical.StateDead, Reason: "refused", At: at(4), Slot: e.Node.String() + "|" + e.Name}})
	}
	parked := canonical.Delivery{Destination: "meta", Event: won.Key(), Part: "event", State: canonical.StateParked, Reason: "hold", At: at(4), Content: &won}
	b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: parked, Position: canonical.Position{Offset: 4}, Sealed: sealed(parked)})
	for i, id := range []canonical.ReceiptID{"r1", "r2", "r3", "r3.c", "r4", "quiet"} {
		b.Receipts = append(b.Receipts, warehouse.ReceiptRow{Receipt: canonical.Receipt{ID: id, ReceivedAt: at(4)}, Position: canonical.Position{Offset: int64(i)}, Sealed: sealed(id)})
	}
	b.Fates = append(b.Fates, warehouse.FateRow{ReceiptID: "quiet", Fate: canonical.FateFacts, At: at(4), Position: canonical.Position{Offset: 9}, Nodes: []canonical.NodeID{her.Node()}})
	fact := func(offset int64, kind canonical.FactKind, nodes ...canonical.Identifier) {
		b.Facts = append(b.Facts, warehouse.FactRow{Offset: offset, Fact: canonical.Fact{Kind: kind, At: at(1), Nodes: nodes, Cause: "r1"}})
	}
	fact(0, canonical.FactLink, her, cook)
	fact(1, canonical.FactAssociation, her, company("7101"))
	fact(2, canonical.FactAssociation, deal, her)
	fact(3, canonical.FactAssociation, deal, his)
	b.Overrides = []warehouse.OverrideRow{{Offset: 0, Node: cook.Node(), Root: her.Node()}, {Offset: 0, Node: her.Node(), Root: her.Node()}}
	write(t, w, "1", b)

	counts := "SELECT name, count(), sum(revenue_micros), uniqExact(person) FROM v_conversions GROUP BY name ORDER BY name"
	credit := "SELECT model, scope, campaign, name, conversions, revenue FROM v_revenue_by_campaign ORDER BY ALL"
	counted, credited := ask(t, w, counts), ask(t, w, credit)
	person := warehouse.Person{Nodes: []canonical.NodeID{her.Node(), cook.Node()}, Nobody: 77, Before: 4}
	f := warehouse.Forgetting{Open: sealer.Open, Seal: sealer.Seal, Forget: identity.ForgetThese(person.Nodes)}
	found, err := w.Tells(t.Context(), person, f)
	if want := (warehouse.Found{Events: 2, Mentioned: 1, Receipts: 5, Deliveries: 2, Facts: 3}); err != nil || found != want {
		t.Errorf("it tells of %+v, %v; want %+v", found, err, want)
	}
	for _, round := range []string{"once", "again", "after its block was written again"} {
		if round != "once" && round != "again" {
			late := b // as a process that is behind writes it
			write(t, w, "2", late)
		}
		if _, err := w.Erase(t.Context(), person, f); err != nil {
			t.Fatalf("%s: %v", round, err)
		}
		expect(t, w, counts, counted)
		expect(t, w, credit, credited)
		for _, table := range []string{"receipts", "events", "deliveries", "dead_letters", "touches", "stage_transitions", "conversions", "identity_nodes", "identity_facts", "identity_overrides", "associations", "node_accounts"} {
			for _, n := range []string{fmt.Sprint(uint64(her.Node())), fmt.Sprint(uint64(cook.Node())), her.Value, "IwARada", her.Node().String()} {
				columns := "*"
				if slices.Contains([]string{"receipts", "events", "deliveries", "dead_letters"}, table) {
					columns = "* EXCEPT sealed"
				}
				if got := ask(t, w, "SELECT count() FROM "+table+" WHERE position(toString(tuple("+columns+")), '"+n+"') > 0"); got != "0" {
					t.Errorf("%s: %s still holds %s in %s rows", round, table, n, got)
				}
			}
		}
		expect(t, w, "SELECT receipt_id FROM receipts FINAL WHERE sealed != '' ORDER BY 1", "r4")
		expect(t, w, "SELECT event_id FROM events FINAL WHERE sealed != '' ORDER BY 1", "e3\ne4")
		var told []string
		err := w.EventsBetween(t.Context(), 0, 0, 10, warehouse.EventFilter{}, 10, func(_ int64, sealed []byte) error {
			b, err := sealer.Open(sealed)
			told = append(told, string(b))
			return err
		})
		if err != nil || len(told) != 4 || strings.Contains(strings.Join(told, ""), her.Value) || strings.Contains(strings.Join(told, ""), her.Node().String()) || !strings.Contains(told[2], his.Value) {
			t.Errorf("%s: whole events: %v, %v", round, told, err)
		}
		var states []canonical.State
		err = w.DeliveriesBefore(t.Context(), 0, 0, 10, func(_ int64, sealed []byte) error {
			b, err := sealer.Open(sealed)
			if err != nil {
				return err
			}
			d, err := canonical.ReadDelivery(b)
			if states = append(states, d.State); slices.Contains([]canonical.EventID{"e1", "e2"}, d.Event.ID) && (len(d.Body) > 0 || d.Node != 0) {
				t.Errorf("%s: a delivery keeps %s", round, b)
			}
			if strings.Contains(string(b), her.Node().String()) || strings.Contains(string(b), `"`+her.Value+`"`) || d.State == canonical.StateParked && d.Content == nil {
				t.Errorf("%s: another's delivery is %s", round, b)
			}
			return err
		})
		if err != nil || len(states) != 5 {
			t.Errorf("%s: deliveries to rebuild a ledger from: %v, %v", round, states, err)
		}
	}
}

// TestWhoWasWhoNamesNobodyWhoIsErased: what was taken for somebody who is erased since was that person's then, and
// not whose it had been before.
func TestWhoWasWhoNamesNobodyWhoIsErased(t *testing.T) {
	w := open(t)
	a, b, login := contact("1"), contact("2"), canonical.Identifier{Scheme: canonical.UserID, Value: "u"}
	g := newGraph(t, 0)
	rows := g.fold(t, at(1), canonical.Fact{Kind: canonical.FactLink, At: at(0), Nodes: []canonical.Identifier{a, login}})
	rows = append(rows, g.fold(t, at(3), canonical.Fact{Kind: canonical.FactMerge, At: at(2), Nodes: []canonical.Identifier{b, a}})...)
	rows = append(rows, g.fold(t, at(6), canonical.Fact{Kind: canonical.FactUnmerge, At: at(5), Nodes: []canonical.Identifier{b, a}})...)
	tellRows(t, w, rand.New(rand.NewPCG(1, 1)), 1, rows)
	nodesAt := func(days float64) string {
		return fmt.Sprintf("SELECT value, root FROM p_nodes_at(at = '%s') ORDER BY value", at(days).Format("2006-01-02 15:04:05"))
	}
	one, two, u := a.Node().String(), b.Node().String(), login.Node().String()
	expect(t, w, nodesAt(4), "1 "+two+"\n2 "+two+"\nu "+two)
	gone := warehouse.Person{Nodes: []canonical.NodeID{b.Node()}, Nobody: 77, Before: g.next}
	for range 2 {
		if _, err := w.Erase(t.Context(), gone, warehouse.Forgetting{Forget: identity.ForgetThese(gone.Nodes)}); err != nil {
			t.Fatal(err)
		}
		expect(t, w, nodesAt(2), "1 "+one+"\nu "+one)
		expect(t, w, nodesAt(4), "1 "+one+"\nu "+u)
		expect(t, w, nodesAt(7), "1 "+one+"\nu "+one)
		expect(t, w, "SELECT count() FROM identity_log WHERE root = "+fmt.Sprint(uint64(b.Node())), "0")
	}
}

// An erasure that is followed again, by a process that joins in, leaves what somebody told who was
// let in again meanwhile.
func TestWhoCameBackIsNotErasedAgain(t *testing.T) {
	w := open(t)
	sealer, err := warehouse.NewSealer([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	her := contact("4711001")
	var b warehouse.Block
	for i, id := range []canonical.ReceiptID{"before", "back"} {
		received := at(4 + 5*float64(i))
		b.Receipts = append(b.Receipts, warehouse.ReceiptRow{Receipt: canonical.Receipt{ID: id, ReceivedAt: received}, Position: canonical.Position{Offset: int64(i)}, Sealed: sealer.Seal([]byte(id))})
		b.Fates = append(b.Fates, warehouse.FateRow{ReceiptID: id, Fate: canonical.FateFacts, At: received, Position: canonical.Position{Offset: int64(i)}, Nodes: []canonical.NodeID{her.Node()}})
	}
	write(t, w, "1", b)
	person := warehouse.Person{Nodes: []canonical.NodeID{her.Node()}, Nobody: 77, Before: 4, Lifted: true, LiftedAt: at(6)}
	f := warehouse.Forgetting{Open: sealer.Open, Seal: sealer.Seal, Forget: identity.ForgetThese(nil)}
	for range 2 {
		if _, err := w.Erase(t.Context(), person, f); err != nil {
			t.Fatal(err)
		}
		expect(t, w, "SELECT receipt_id FROM receipts FINAL WHERE sealed != '' ORDER BY 1", "back")
		expect(t, w, "SELECT receipt_id FROM receipt_fates WHERE notEmpty(nodes) ORDER BY 1", "back")
	}
}
