package warehouse_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/internal/warehouse"
	"tributary/internal/warehouse/warehousetest"
)

// day is the story's first day: recent, so that retention leaves it alone.
var day = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -200)

func at(days float64) time.Time {
	return day.Add(time.Duration(days * 24 * float64(time.Hour))).Truncate(time.Millisecond)
}

// open gives a migrated warehouse of its own.
func open(t testing.TB) *warehouse.Warehouse {
	t.Helper()
	w := warehousetest.Open(t)
	if err := w.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// ask gives a query's rows, one line each, cells separated by spaces.
func ask(t testing.TB, w *warehouse.Warehouse, sql string) string {
	t.Helper()
	r, err := w.Rows(t.Context(), sql, nil)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	var lines []string
	for _, row := range r.Rows {
		cells := make([]string, len(row))
		for i, c := range row {
			if d, ok := c.(time.Time); ok {
				c = d.Sub(day).Hours() / 24
			}
			cells[i] = fmt.Sprint(c)
		}
		lines = append(lines, strings.TrimRight(strings.Join(cells, " "), " "))
	}
	return strings.Join(lines, "\n")
}

func expect(t testing.TB, w *warehouse.Warehouse, sql, want string) {
	t.Helper()
	want = strings.ReplaceAll(strings.TrimSpace(want), "\t", "")
	if got := ask(t, w, sql); got != want {
		t.Errorf("%s\ngot\n%s\nwant\n%s", sql, got, want)
	}
}

func write(t testing.TB, w *warehouse.Warehouse, token string, b warehouse.Block) {
	t.Helper()
	if err := w.Write(t.Context(), token, b); err != nil {
		t.Fatal(err)
	}
}

func contact(id string) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.HubSpotContact, Value: id}
}

func company(id string) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.HubSpotCompany, Value: id}
}

func cookie(id string) canonical.Identifier {
	return canonical.Identifier{Scheme: canonical.Anonymous, Value: id}
}

var ranks = map[string]int{"lead_captured": 1, "qualified_lead": 2, "sales_qualified_lead": 3, "opportunity_created": 4, "proposal_sent": 5, "customer_won": 6}

// lifecycle is an event of a contact that reached a stage.
func lifecycle(id, contactID, name string, when time.Time) canonical.Event {
	return canonical.Event{
		ID: canonical.EventID(id), Name: name, OccurredAt: when, ReceivedAt: when.Add(time.Second), Source: "crm", Way: canonical.WayHubSpot,
		Object: canonical.Object{Type: "contact", ID: contactID}, RawStage: "raw_" + name, Stage: name, Funnel: true, Rank: ranks[name],
		CountedBy: "person", Node: contact(contactID).Node(), Identifiers: []canonical.Identifier{contact(contactID)},
		ReceiptID: canonical.ReceiptID("r-" + id),
	}
}

// dealStage is an event of a deal that entered a stage.
func dealStage(id, dealID, contactID, name string, amount canonical.Money, when time.Time) canonical.Event {
	e := lifecycle(id, contactID, name, when)
	e.Object, e.CountedBy, e.Pipeline = canonical.Object{Type: "deal", ID: dealID}, "deal", "sales_pipeline"
	e.Revenue = &canonical.Revenue{Amount: &amount, ARR: &amount, Currency: "USD"}
	return e
}

// touch is an ad click or a visit of whoever has the node.
func touch(id string, who canonical.Identifier, platform, campaign string, when time.Time) canonical.Event {
	t := &canonical.Touch{Kind: "page_view", At: when, Platform: platform, Campaign: campaign}
	if platform != "" {
		t.Kind, t.Clicks = "ad_click", []canonical.Click{{Scheme: canonical.LIFatID, Value: "c-" + id, At: when}}
	}
	return canonical.Event{
		ID: canonical.EventID(id), Name: t.Kind, OccurredAt: when, ReceivedAt: when.Add(time.Second), Source: "site", Way: canonical.WayPixel,
		Object: canonical.Object{Type: "page", ID: "/"}, Node: who.Node(), Identifiers: []canonical.Identifier{who}, Touch: t,
		ReceiptID: canonical.ReceiptID("r-" + id),
	}
}

// A story is what reached the log: facts in the order of the log, events in any.
type story struct {
	events    []canonical.Event
	facts     []canonical.Fact
	overrides []warehouse.OverrideRow
}

func (s *story) link(when time.Time, nodes ...canonical.Identifier) {
	s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactLink, At: when, Nodes: nodes})
}

// join makes nodes one cluster with the root given, as the fact just appended does.
func (s *story) join(account bool, root canonical.Identifier, nodes ...canonical.Identifier) {
	for _, n := range append(nodes, root) {
		s.overrides = append(s.overrides, warehouse.OverrideRow{Offset: int64(len(s.facts) - 1), Node: n.Node(), Root: root.Node(), Account: account})
	}
}

func (s *story) associate(when time.Time, from, to canonical.Identifier, primary bool) {
	s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactAssociation, At: when, Nodes: []canonical.Identifier{from, to}, Primary: primary})
}

// tell writes the story: rows shuffled, cut into blocks of the size given, and each block
// again later under another cut. An event keeps its place in the log whatever the order.
func (s *story) tell(t testing.TB, w *warehouse.Warehouse, seed uint64, cut int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	for round := range 2 {
		var rows []warehouse.Block
		for i, e := range s.events {
			p := canonical.Position{Partition: i % 3, Offset: int64(i)}
			rows = append(rows, warehouse.Block{Events: []warehouse.EventRow{{Event: e, Position: p, Sealed: []byte("sealed " + e.ID)}}})
		}
		for i, f := range s.facts {
			rows = append(rows, warehouse.Block{Facts: []warehouse.FactRow{{Offset: int64(i), Fact: f}}})
		}
		for _, o := range s.overrides {
			rows = append(rows, warehouse.Block{Overrides: []warehouse.OverrideRow{o}})
		}
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for i := 0; i < len(rows); i += cut + round {
			var b warehouse.Block
			for _, r := range rows[i:min(i+cut+round, len(rows))] {
				b.Events, b.Facts, b.Overrides = append(b.Events, r.Events...), append(b.Facts, r.Facts...), append(b.Overrides, r.Overrides...)
			}
			write(t, w, fmt.Sprintf("%d/%d/%d", seed, round, i), b)
		}
	}
}

func TestMigrationsAreRememberedAndMayRunAgain(t *testing.T) {
	w := open(t)
	if err := w.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, w, "SELECT count() = uniqExact(number), count() > 20 FROM schema_migrations"); got != "1 1" && got != "true true" {
		t.Errorf("schema_migrations: %s", got)
	}
	if err := w.Conn().Exec(t.Context(), "TRUNCATE TABLE schema_migrations"); err != nil {
		t.Fatal(err)
	}
	if err := w.Migrate(t.Context()); err != nil { // as after a crash before the last was remembered
		t.Fatal(err)
	}
	if err := w.Conn().Exec(t.Context(), "INSERT INTO schema_migrations SELECT 999, 'later', 'x', now()"); err != nil {
		t.Fatal(err)
	}
	if err := w.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "999_later") {
		t.Errorf("a database of a later version was accepted: %v", err)
	}
}

func TestColumnsWrittenAreThoseOfTheTables(t *testing.T) {
	w := open(t)
	for name, want := range warehouse.TableColumns() {
		got := ask(t, w, "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = '"+name+"' ORDER BY position")
		if got != strings.Join(want, "\n") {
			t.Errorf("%s\nhas\n%s\nwritten\n%s", name, got, strings.Join(want, "\n"))
		}
	}
}

// threeContacts is the acceptance story: three contacts of one person in the end (A←B,
// then C←A), five conversions, and touches before and after.
func threeContacts() *story {
	a, b, c := contact("1"), contact("2"), contact("3")
	s := &story{events: []canonical.Event{
		touch("t1", cookie("x"), "linkedin", "spring", at(1)),
		touch("t2", b, "meta", "summer", at(6)),
		lifecycle("mql-a", "1", "qualified_lead", at(3)),
		lifecycle("mql-b", "2", "qualified_lead", at(2)),
		lifecycle("sql-c", "3", "sales_qualified_lead", at(7)),
		dealStage("won-1", "900", "3", "customer_won", 36_000_000_000, at(20)),
		dealStage("won-2", "901", "3", "customer_won", 1_500_500_000, at(40)),
	}}
	s.link(at(2), cookie("x"), a)
	s.join(false, a, cookie("x"))
	s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactMerge, At: at(4), Nodes: []canonical.Identifier{a, b}})
	s.join(false, a, b, cookie("x"))
	s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactMerge, At: at(5), Nodes: []canonical.Identifier{c, a}})
	s.join(false, c, a, b, cookie("x"))
	s.associate(at(5), c, company("77"), true)
	return s
}

// A name stands for what the last mapping says that went live with it, in whatever order they
// are written, and for what happened before; of a name that is gone the last one that had it says.
func TestReportsGoByMeaning(t *testing.T) {
	live := func(hour float64, meanings map[string]string) warehouse.MappingRow {
		packed, err := canonical.PackMapping([]canonical.MappingFile{{Name: "m.yaml", Text: "version: 1\n"}})
		if err != nil {
			t.Fatal(err)
		}
		return warehouse.MappingRow{LiveMapping: canonical.LiveMapping{Version: fmt.Sprint("sha256:", hour), At: at(hour), Process: "r1", By: "file", Packed: packed, Meanings: meanings},
			Position: canonical.Position{Offset: int64(hour)}, Sealed: []byte("sealed")}
	}
	versions := []warehouse.MappingRow{
		live(3, map[string]string{"qualified_lead": "opportunity", "customer_won": "revenue"}),
		live(1, nil), // of a version of the program that did not write them
		live(4, map[string]string{"qualified_lead": "lead"}),
		live(2, map[string]string{"qualified_lead": "other", "customer_won": "expansion"}),
	}
	w := open(t)
	s := threeContacts()
	s.tell(t, w, 1, 3)
	expect(t, w, "SELECT meaning, count() FROM v_conversions GROUP BY meaning", "other 4")
	for i, v := range versions {
		write(t, w, fmt.Sprint("mapping ", i), warehouse.Block{Mappings: []warehouse.MappingRow{v}})
	}
	expect(t, w, "SELECT meaning, count(), sum(revenue_micros) / 1000000 FROM v_conversions GROUP BY meaning ORDER BY meaning", `
		lead 1 0
		other 1 0
		revenue 2 37500.5`)
	expect(t, w, "SELECT meaning, count() FROM v_stage_history WHERE track = 'person' GROUP BY meaning ORDER BY meaning", "lead 2\nother 1")
	expect(t, w, "SELECT meaning, count() FROM v_credit WHERE scope = 'person' AND model = 'last_touch' GROUP BY meaning ORDER BY meaning", "lead 1\nother 1\nrevenue 2")
	expect(t, w, "SELECT campaign, conversions, revenue FROM v_revenue_by_campaign WHERE scope = 'person' AND model = 'first_touch' AND meaning = 'revenue'", "spring 2 37500.5")
}

func TestAnyOrderAndCutGiveTheHandAnswer(t *testing.T) {
	person, account := contact("3").Node(), company("77").Node()
	for seed, cut := range []int{1, 2, 3, 5, 8, 100, 4, 7} {
		t.Run(fmt.Sprintf("cut by %d", cut), func(t *testing.T) {
			w := open(t)
			threeContacts().tell(t, w, uint64(seed), cut)
			expect(t, w, "SELECT person, account, hubspot_contacts, identifiers FROM v_persons", fmt.Sprintf("%s %s [1 2 3] 4", person, account))
			expect(t, w, "SELECT name, event_id, occurred_at, counted_by, slot, person, account, reports, revenue_micros, currency FROM v_conversions ORDER BY occurred_at", fmt.Sprintf(`
				qualified_lead mql-b 2 person %[1]s %[1]s %[2]s 2 0
				sales_qualified_lead sql-c 7 person %[1]s %[1]s %[2]s 1 0
				customer_won won-1 20 deal deal/900 %[1]s %[2]s 1 36000000000 USD
				customer_won won-2 40 deal deal/901 %[1]s %[2]s 1 1500500000 USD`, person, account))
			expect(t, w, "SELECT name, event_id, kind, nth, came_from FROM v_stage_history WHERE track = 'person' ORDER BY at, occurred_at", `
				qualified_lead mql-b first 1
				qualified_lead mql-a re_report 1
				sales_qualified_lead sql-c first 1 qualified_lead`)
			expect(t, w, "SELECT model, name, campaign, platform, conversions, revenue FROM v_revenue_by_campaign WHERE scope = 'person' ORDER BY ALL", `
				first_touch customer_won spring linkedin 2 37500.5
				first_touch qualified_lead spring linkedin 1 0
				first_touch sales_qualified_lead spring linkedin 1 0
				last_touch customer_won summer meta 2 37500.5
				last_touch qualified_lead spring linkedin 1 0
				last_touch sales_qualified_lead summer meta 1 0`)
			expect(t, w, "SELECT count(), uniqExact(event_id) FROM v_events", "7 7")
			expect(t, w, "SELECT count() FROM v_touches", "2")
		})
	}
}

func TestRecyclingInAllOrders(t *testing.T) {
	events := []canonical.Event{
		lifecycle("e1", "5", "qualified_lead", at(1)),
		lifecycle("e2", "5", "sales_qualified_lead", at(2)),
		lifecycle("e3", "5", "qualified_lead", at(3)),
		lifecycle("e4", "5", "sales_qualified_lead", at(4)),
	}
	n := 0
	var blocks [4]warehouse.Block
	permute(4, func(order []int) { // every order tells of a person of its own
		n++
		for i, o := range order {
			e := events[o]
			e.ID = canonical.EventID(fmt.Sprintf("%s-%02d", e.ID, n))
			e.Object.ID = fmt.Sprint(1000 + n)
			e.Node = contact(e.Object.ID).Node()
			blocks[i].Events = append(blocks[i].Events, warehouse.EventRow{Event: e, Position: canonical.Position{Offset: int64(n*10 + i)}})
		}
	})
	w := open(t)
	for i, b := range blocks {
		write(t, w, fmt.Sprint("step ", i), b)
	}
	if n != 24 {
		t.Fatalf("%d orders", n)
	}
	expect(t, w, `SELECT substring(event_id, 1, 2) AS e, name, kind, counts_as, nth, came_from, count() FROM v_stage_history
		GROUP BY ALL ORDER BY ALL`, `
		e1 qualified_lead first qualified_lead 1  24
		e2 sales_qualified_lead first sales_qualified_lead 1 qualified_lead 24
		e3 qualified_lead recycled lead_recycled 2 sales_qualified_lead 24
		e4 sales_qualified_lead repeat sales_qualified_lead 2 qualified_lead 24`)
	expect(t, w, "SELECT name, count(), uniqExact(person) FROM v_conversions GROUP BY name ORDER BY name", `
		qualified_lead 24 24
		sales_qualified_lead 24 24`)
}

func permute(n int, each func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var walk func(int)
	walk = func(k int) {
		if k == n {
			each(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			walk(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	walk(0)
}

func TestOneWonDealIsOneConversion(t *testing.T) {
	s := &story{}
	for i, id := range []string{"1", "2", "3"} {
		e := lifecycle("customer-"+id, id, "customer_won", at(10+float64(i)/100))
		e.CoveredBy = "deal"
		s.events = append(s.events, e)
		s.associate(at(1), contact(id), company("77"), true)
	}
	turned := lifecycle("customer-company", "", "customer_won", at(10.1))
	turned.Object, turned.Node, turned.Identifiers = canonical.Object{Type: "company", ID: "77"}, 0, nil
	turned.AccountNode, turned.CoveredBy = company("77").Node(), "deal"
	won := dealStage("won", "900", "2", "customer_won", 36_000_000_000, at(10))
	again := dealStage("won-again", "900", "2", "customer_won", 36_000_000_000, at(10.5))
	s.events = append(s.events, turned, won, again)
	w := open(t)
	s.tell(t, w, 1, 3)
	expect(t, w, "SELECT name, event_id, person, account, reports, revenue_micros FROM v_conversions", fmt.Sprintf(
		"customer_won won %s %s 2 36000000000", contact("2").Node(), company("77").Node()))
	expect(t, w, "SELECT kind, count() FROM v_stage_history GROUP BY kind ORDER BY kind", `
		covered_by_deal 4
		first 1
		re_report 1`)
	expect(t, w, "SELECT sum(revenue_micros), count() FROM v_credit WHERE scope = 'account' AND model = 'last_touch'", "36000000000 1")
}

func TestMergesChangeWhoAtRead(t *testing.T) {
	a, b, c := contact("1"), contact("2"), contact("3")
	w := open(t)
	s := &story{events: []canonical.Event{
		lifecycle("mql-a", "1", "qualified_lead", at(1)), lifecycle("mql-b", "2", "qualified_lead", at(2)), lifecycle("mql-c", "3", "qualified_lead", at(3)),
	}}
	s.tell(t, w, 1, 10)
	expect(t, w, "SELECT count(), uniqExact(person) FROM v_conversions", "3 3")
	override := func(offset int64, root canonical.Identifier, nodes ...canonical.Identifier) {
		var b warehouse.Block
		for _, n := range nodes {
			b.Overrides = append(b.Overrides, warehouse.OverrideRow{Offset: offset, Node: n.Node(), Root: root.Node()})
		}
		write(t, w, fmt.Sprint("overrides ", offset), b)
	}
	override(7, c, a, b, c) // C←A arrives before A←B does
	override(5, a, a, b)
	expect(t, w, "SELECT event_id, person FROM v_conversions", "mql-a "+c.Node().String())
	expect(t, w, "SELECT count() FROM v_persons", "1")
	override(9, b, b) // unmerged: B stands alone again
	override(9, c, a, c)
	expect(t, w, "SELECT event_id, person FROM v_conversions ORDER BY event_id", fmt.Sprintf(`
		mql-a %s
		mql-b %s`, c.Node(), b.Node()))
}

func TestReportedTimesGiveWay(t *testing.T) {
	reported := func(id, name string, when time.Time) canonical.Event {
		e := lifecycle(id, "5", name, when)
		e.TimeBasis = "reported"
		return e
	}
	w := open(t)
	s := &story{events: []canonical.Event{
		lifecycle("true-mql", "5", "qualified_lead", at(1)),
		lifecycle("true-sql", "5", "sales_qualified_lead", at(2)),
		reported("late-mql", "qualified_lead", at(3)), // after SQL, and no step back
		reported("early-sql", "sales_qualified_lead", at(1.5)),
		reported("only-opp", "opportunity_created", at(4)),
	}}
	s.tell(t, w, 3, 2)
	expect(t, w, "SELECT event_id, kind, at, occurred_at FROM v_stage_history ORDER BY at, event_id", `
		late-mql re_report 1 3
		true-mql first 1 1
		early-sql re_report 2 1.5
		true-sql first 2 2
		only-opp first 4 4`)
	expect(t, w, "SELECT name, event_id, occurred_at, time_basis FROM v_conversions ORDER BY occurred_at", `
		qualified_lead true-mql 1
		sales_qualified_lead true-sql 2
		opportunity_created only-opp 4 reported`)
}

func TestStagesThatAreOneAndStagesWithoutName(t *testing.T) {
	w := open(t)
	sub, lead := lifecycle("sub", "5", "lead_captured", at(1)), lifecycle("lead", "5", "lead_captured", at(2))
	sub.RawStage, lead.RawStage = "subscriber", "lead"
	other := lifecycle("nurture", "5", "crm_stage_changed", at(4))
	other.Stage, other.Funnel, other.Rank, other.CountedBy = "", false, 0, ""
	form := lifecycle("form", "5", "lead_captured", at(6)) // a server's event, no move of a stage
	form.RawStage = ""
	ignored := lifecycle("ours", "5", "customer_won", at(7))
	ignored.Ignored = "internal_test"
	s := &story{events: []canonical.Event{sub, lead, lifecycle("mql", "5", "qualified_lead", at(3)), other, lifecycle("mql2", "5", "qualified_lead", at(5)), form, ignored}}
	s.tell(t, w, 4, 2)
	expect(t, w, "SELECT event_id, kind, nth FROM v_stage_history ORDER BY at, occurred_at", `
		sub first 1
		lead re_report 1
		mql first 1
		nurture unmapped 1
		mql2 repeat 2
		form re_report 1`)
	expect(t, w, "SELECT name, event_id FROM v_conversions ORDER BY occurred_at", `
		lead_captured sub
		qualified_lead mql`)
}
