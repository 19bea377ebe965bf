package warehouse_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

// counted is a mapping of three stages that contacts, deals and companies reach, each counted in
// one of the ways that the language has.
func counted(t *testing.T, roll *rand.Rand) (*mappings.Mapping, string) {
	t.Helper()
	pick := func(of ...string) string { return of[roll.IntN(len(of))] }
	text := "version: 1\nvocabulary:\n"
	by := ""
	for _, name := range []string{"lead", "sold", "grown"} {
		text += fmt.Sprintf("  - %s: { count: %s }\n", name, pick("once", "once", "every", "first_per_person"))
		if who := pick("", "any", "any", "contact", "deal"); who != "" {
			by += fmt.Sprintf("  %s: %s\n", name, who)
		}
	}
	text += "sources:\n  hubspot:\n    lifecycle: { lead: lead, sold: sold, grown: grown }\n    deals: { \"*\": { lead: lead, sold: sold, grown: grown } }\n"
	if by != "" {
		text += "counted_by:\n" + by
	}
	m, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte(text)})
	if m == nil {
		t.Fatal(text, problems)
	}
	return m, text
}

// A world is what some people and deals went through: receipts, and facts about who is who.
type world struct {
	receipts []canonical.Receipt
	facts    []canonical.Fact
}

// anyWorld is a handful of reports of three contacts and two deals, within a few days, with
// contacts merged and deals associated late. Its ids are its own.
func anyWorld(roll *rand.Rand, n int) world {
	var w world
	pick := func(of ...string) string { return of[roll.IntN(len(of))] }
	contactID := func(i int) string { return fmt.Sprintf("1%04d%d", n, i) }
	dealID := func(i int) string { return fmt.Sprintf("2%04d%d", n, i) }
	person := func() string { return contactID(roll.IntN(3)) }
	for i := range 3 + roll.IntN(8) {
		deal, stage := dealID(roll.IntN(2)), pick("lead", "sold", "sold", "grown")
		when := at(float64(roll.IntN(12))).Add(time.Duration(len(stage)+int(stage[0])) * time.Minute) // no two stages at one time
		rc := canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprintf("%d-%d", n, i)), Source: "hubspot", Way: canonical.WayCRM, ReceivedAt: at(13)}
		written := when.Format(time.RFC3339)
		switch roll.IntN(5) {
		case 0: // HubSpot's own: it names no deal
			rc.Body = fmt.Appendf(nil, `{"event":"hubspot.lifecycle_changed","changed_at":%q,"contact":{"id":%q,"lifecycle_stage":%q}}`, written, person(), stage)
		case 1: // a middleware's, which knows the deal
			rc.Body = fmt.Appendf(nil, `{"event":"hubspot.lifecycle_changed","changed_at":%q,"contact":{"id":%q,"lifecycle_stage":%q},"deal":{"id":%q}}`, written, person(), stage, deal)
		case 2: // a deal nobody is known of yet
			rc.Body = fmt.Appendf(nil, `{"event":"deal.stage_changed","changed_at":%q,"deal":{"id":%q,"stage":%q,"amount":%d}}`, written, deal, stage, 100+i)
		case 3:
			rc.Body = fmt.Appendf(nil, `{"event":"deal.stage_changed","changed_at":%q,"deal":{"id":%q,"stage":%q,"amount":%d},"contact":{"id":%q}}`, written, deal, stage, 100+i, person())
		case 4: // a server's own word, with an id of its own and no stage
			rc.Way = canonical.WayEvents
			rc.Body = fmt.Appendf(nil, `{"event":%q,"event_id":"own-%d-%d","occurred_at":%q,"contact":{"id":%q}%s}`, stage, n, i, written, person(), pick("", `,"deal":{"id":"`+deal+`"}`))
		}
		w.receipts = append(w.receipts, rc)
	}
	if roll.IntN(2) == 0 {
		w.facts = append(w.facts, canonical.Fact{Kind: canonical.FactMerge, At: at(5), Nodes: []canonical.Identifier{contact(contactID(0)), contact(contactID(2))}})
	}
	if roll.IntN(2) == 0 {
		deal := canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: dealID(0)}
		w.facts = append(w.facts, canonical.Fact{Kind: canonical.FactAssociation, At: at(20), Nodes: []canonical.Identifier{deal, contact(contactID(1))}})
	}
	return w
}

// A report is what the model keeps of an event.
type report struct {
	name, id, slot, own string
	rank                int
	at                  time.Time
	covered             bool
	reported, staged    bool      // its time is that of reporting; the source's stage is given
	moved               time.Time // when it came, as far as others tell it
	aside               bool      // it says nothing of when
}

// corrected reads the course of each object: a time of reporting gives way to the last true time
// of the same stage, and what gives no stage of the source after another stands aside.
func corrected(reports []report) {
	for i := range reports {
		r := &reports[i]
		r.moved = r.at
		for _, b := range reports {
			earlier := b.at.Before(r.at) || b.at.Equal(r.at) && (!b.reported && r.reported || b.reported == r.reported && b.id < r.id)
			if b.own != r.own || b.name != r.name || !earlier {
				continue
			}
			r.aside = r.aside || !r.staged
			if r.reported && !b.reported && (r.moved.Equal(r.at) || b.at.After(r.moved)) {
				r.moved = b.at
			}
		}
	}
}

// model counts: every name once for each slot that some report reaches without stepping back. A
// step back comes from the last other name that the slot's own deal or person had reached.
func model(reports []report) map[string]int {
	corrected(reports)
	slots, out := map[string]bool{}, map[string]int{}
	slices.SortFunc(reports, func(x, y report) int {
		if c := x.moved.Compare(y.moved); c != 0 {
			return c
		}
		return strings.Compare(x.id, y.id)
	})
	for _, r := range reports {
		before, when, aside := 0, r.moved, r.aside
		if r.own != r.slot {
			when, aside = r.at, false
		}
		for _, b := range reports {
			if b.own == r.slot && b.name != r.name && !b.aside && b.moved.Before(when) && !aside {
				before = b.rank
			}
		}
		if !r.covered && before <= r.rank && !slots[r.name+r.slot] {
			slots[r.name+r.slot] = true
			out[r.name]++
		}
	}
	return out
}

// TestAConversionIsASlot: however the mapping has a name counted, and in whatever order reports
// come, v_conversions counts of it what the model counts, and as many as a destination is sent.
func TestAConversionIsASlot(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(9, 4))
	const worlds = 300
	wants, texts := make([]map[string]int, worlds), make([]string, worlds)
	of := map[canonical.EventKey]int{}
	var rows []warehouse.Block
	var offset int64
	for n := range worlds {
		m, text := counted(t, roll)
		told := anyWorld(roll, n)
		texts[n] = text
		view, err := identity.Open(memstore.New())
		if err != nil {
			t.Fatal(err)
		}
		facts := told.facts
		var events []canonical.Event
		seen := map[canonical.EventKey]bool{}
		for _, rc := range told.receipts {
			rd := pipeline.Understand(rc, m, wire.Settings{})
			if rd.Event == nil {
				t.Fatalf("%s came to %s %s", rc.Body, rd.Fate, rd.Reason)
			}
			if roll.IntN(6) == 0 {
				rd.Event.TimeBasis = "reported"
			}
			rd.Event.Echo = rd.Event.Object.Type == "contact" && roll.IntN(8) == 0 // told of what this router wrote
			texts[n] += fmt.Sprintf("%s %q %v\n", rc.Body, rd.Event.TimeBasis, rd.Event.Echo)
			facts = append(facts, rd.Facts...)
			if !seen[rd.Event.Key()] {
				seen[rd.Event.Key()] = true
				events = append(events, *rd.Event)
				of[rd.Event.Key()] = n
			}
		}
		for _, f := range told.facts {
			texts[n] += fmt.Sprint(f.Kind, f.Nodes, "\n")
		}
		for _, f := range facts {
			if err := view.Fold([]identity.Folded{{Offset: offset, Fact: f}}); err != nil {
				t.Fatal(err)
			}
			b := warehouse.Block{Facts: []warehouse.FactRow{{Offset: offset, Fact: f}}}
			for _, o := range view.Overrides(offset-1, offset) {
				b.Overrides = append(b.Overrides, warehouse.OverrideRow{Offset: o.Offset, Node: o.Node, Root: o.Root, Account: o.Account})
			}
			rows = append(rows, b)
			offset++
		}
		for i, e := range events {
			rows = append(rows, warehouse.Block{Events: []warehouse.EventRow{{Event: e, Position: canonical.Position{Offset: int64(i)}}}})
		}

		var reports []report
		for _, e := range events {
			r := report{name: e.Name, id: string(e.ID), rank: e.Rank, at: e.OccurredAt, covered: e.CoveredBy != "" || e.Echo,
				reported: e.TimeBasis == "reported", staged: e.RawStage != ""}
			who := view.Known(e).Person.String()
			r.own = who
			if e.Object.Type == "deal" {
				r.own = "deal " + e.Object.ID
			}
			switch {
			case e.CountedBy == "event":
				r.slot = r.id
			case e.CountedBy == "deal" && e.Object.Type == "deal":
				r.slot = r.own
			case e.CountedBy == "deal":
				r.slot = "deal " + e.Deal
			case view.Known(e).Person == 0:
				r.slot = r.own
			default:
				r.slot = who
			}
			reports = append(reports, r)
		}
		wants[n] = model(reports)

		for range 20 {
			course, sent := delivery.NewCourse(), map[string]int{}
			for i := range events {
				course.Reach(&events[i])
			}
			roll.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			for i := range events {
				e := &events[i]
				if e.CoveredBy == "" && !e.Echo && course.Take("acme", "event", e, delivery.SlotNodes(e, view.Known(*e)), nil) == "" {
					sent[e.Name]++
				}
			}
			if !maps.Equal(sent, wants[n]) {
				t.Fatalf("sent %v, the model says %v of\n%s", sent, wants[n], texts[n])
			}
		}
	}
	roll.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var all warehouse.Block
	for i, r := range rows {
		all.Events, all.Facts, all.Overrides = append(all.Events, r.Events...), append(all.Facts, r.Facts...), append(all.Overrides, r.Overrides...)
		if i%700 == 699 || i == len(rows)-1 {
			write(t, w, fmt.Sprint("rows ", i), all)
			all = warehouse.Block{}
		}
	}
	got := make([]map[string]int, worlds)
	rs, err := w.Rows(t.Context(), "SELECT name, event_id FROM v_conversions", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rs.Rows {
		key := canonical.EventKey{Name: row[0].(string), ID: canonical.EventID(row[1].(string))}
		n, known := of[key]
		if !known {
			t.Fatalf("%s counts and is no event", key)
		}
		if got[n] == nil {
			got[n] = map[string]int{}
		}
		got[n][key.Name]++
	}
	wrong := 0
	for n, want := range wants {
		if !maps.Equal(got[n], want) {
			if wrong++; wrong < 3 {
				t.Errorf("ClickHouse counts %v, destinations %v of\n%s", got[n], want, texts[n])
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d worlds count differently", wrong, worlds)
	}
	expect(t, w, "SELECT count() = uniqExact(slot, name), sum(reports) > count() FROM v_conversions", "1 1")
	reconciles(t, w)
}

// TestWhatAConversionSaysOfItsReports: its time, its person and its worth, by the way it is counted.
func TestWhatAConversionSaysOfItsReports(t *testing.T) {
	open := func(t *testing.T, s *story) *warehouse.Warehouse {
		w := open(t)
		s.tell(t, w, 3, 2)
		reconciles(t, w)
		return w
	}
	every := func(e canonical.Event) canonical.Event { e.CountedBy = "event"; return e }
	t.Run("any", func(t *testing.T) { // the contact's report comes first and knows no amount
		turned := lifecycle("turned", "1", "customer_won", at(9))
		turned.Deal, turned.CountedBy = "900", "deal"
		other := lifecycle("other", "1", "customer_won", at(9.5)) // names no deal
		s := &story{events: []canonical.Event{turned, other,
			dealStage("won", "900", "2", "customer_won", 36_000_000_000, at(10)), dealStage("again", "900", "2", "customer_won", 40_000_000_000, at(11))}}
		expect(t, open(t, s), "SELECT event_id, occurred_at, counted_by, slot, person, reports, revenue_micros FROM v_conversions ORDER BY occurred_at", fmt.Sprintf(`
			turned 9 deal deal/900 %[1]s 3 36000000000
			other 9.5 person %[1]s %[1]s 1 0`, contact("1").Node()))
	})
	t.Run("every", func(t *testing.T) {
		form := func(id string, when time.Time) canonical.Event {
			e := every(lifecycle(id, "1", "lead_captured", when))
			e.RawStage = ""
			return e
		}
		echo := every(lifecycle("echo", "1", "lead_captured", at(4)))
		echo.Echo = true
		s := &story{events: []canonical.Event{touch("ad", contact("1"), "meta", "spring", at(0)), form("f1", at(1)), form("f2", at(2)), lifecycle("mql", "1", "qualified_lead", at(2.5)), form("f3", at(3)), echo,
			every(dealStage("won", "900", "1", "customer_won", 5, at(150))), every(dealStage("more", "900", "1", "customer_won", 7, at(151)))}}
		w := open(t, s)
		expect(t, w, "SELECT name, event_id, counted_by, slot, revenue_micros FROM v_conversions ORDER BY occurred_at", fmt.Sprintf(`
			lead_captured f1 event event/f1 0
			lead_captured f2 event event/f2 0
			qualified_lead mql person %s 0
			lead_captured f3 event event/f3 0
			customer_won won event event/won 5
			customer_won more event event/more 7`, contact("1").Node()))
		expect(t, w, "SELECT name, campaign, conversions, revenue * 1000000 FROM v_revenue_by_campaign WHERE scope = 'person' AND model = 'last_touch' ORDER BY name", `
			customer_won spring 2 12
			lead_captured spring 3 0
			qualified_lead spring 1 0`) // 150 days: a deal's own report has the deals' window
	})
	t.Run("first per person", func(t *testing.T) {
		one, two := dealStage("won-1", "900", "1", "customer_won", 5, at(10)), dealStage("won-2", "901", "2", "customer_won", 7, at(5))
		one.CountedBy, two.CountedBy = "person", "person"
		s := &story{events: []canonical.Event{one, two}}
		expect(t, open(t, s), "SELECT event_id, counted_by, revenue_micros FROM v_conversions ORDER BY event_id", `
			won-1 person 5
			won-2 person 7`)
		s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactMerge, At: at(20), Nodes: []canonical.Identifier{contact("1"), contact("2")}})
		s.join(false, contact("1"), contact("2"))
		expect(t, open(t, s), "SELECT event_id, reports, revenue_micros FROM v_conversions", "won-2 1 7")
		s.events[0].CountedBy, s.events[1].CountedBy = "event", "event"
		expect(t, open(t, s), "SELECT event_id FROM v_conversions ORDER BY event_id", `
			won-1
			won-2`)
	})
	t.Run("a deal that finds its contact late", func(t *testing.T) {
		alone := func(id, deal string) canonical.Event {
			e := dealStage(id, deal, "1", "customer_won", 5, at(10))
			e.Node, e.Identifiers = 0, nil
			return e
		}
		s := &story{events: []canonical.Event{alone("won-1", "900"), alone("won-2", "901"), touch("ad", contact("7"), "meta", "spring", at(1))}}
		s.events[1].CountedBy = "person"
		expect(t, open(t, s), "SELECT event_id, slot, person FROM v_conversions ORDER BY event_id", `
			won-1 deal/900
			won-2 deal/901`)
		for _, id := range []string{"900", "901"} {
			s.associate(at(20), canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: id}, contact("12"), false)
			s.associate(at(21), canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: id}, contact("7"), id == "900")
			s.associate(at(19), canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: "901"}, contact("7"), false)
		}
		for _, id := range []string{"7", "12"} { // events of theirs name their nodes
			s.events = append(s.events, lifecycle("mql-"+id, id, "qualified_lead", at(2)))
		}
		w := open(t, s)
		expect(t, w, "SELECT event_id, slot, person FROM v_conversions WHERE name = 'customer_won' ORDER BY event_id", fmt.Sprintf(`
			won-1 deal/900 %[1]s
			won-2 %[1]s %[1]s`, contact("7").Node()))
		expect(t, w, "SELECT campaign, conversions FROM v_revenue_by_campaign WHERE scope = 'person' AND model = 'first_touch' AND name = 'customer_won'", "spring 2")
	})
	t.Run("a name reached again after steps back only", func(t *testing.T) { // none of them was sent, so the slot is free
		s := &story{events: []canonical.Event{lifecycle("sql", "1", "sales_qualified_lead", at(1)), lifecycle("back", "1", "qualified_lead", at(2)),
			lifecycle("lead", "1", "lead_captured", at(3)), lifecycle("mql", "1", "qualified_lead", at(4)), lifecycle("sql-2", "1", "sales_qualified_lead", at(5))}}
		expect(t, open(t, s), "SELECT event_id FROM v_conversions ORDER BY occurred_at", `
			sql
			mql`)
	})
}
