package warehouse_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/warehouse"
)

// A graph folds facts as a router does and gives the rows that record writes of them.
type graph struct {
	view *identity.View
	next int64
}

func newGraph(t testing.TB, from int64) *graph {
	t.Helper()
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	return &graph{view, from}
}

// fold gives one block for each fact; all were appended at the time given.
func (g *graph) fold(t testing.TB, stated time.Time, facts ...canonical.Fact) []warehouse.Block {
	t.Helper()
	var out []warehouse.Block
	for _, f := range facts {
		if err := g.view.Fold([]identity.Folded{{Offset: g.next, Fact: f}}); err != nil {
			t.Fatal(err)
		}
		b := warehouse.Block{Facts: []warehouse.FactRow{{Offset: g.next, Fact: f}}}
		for _, o := range g.view.Overrides(g.next-1, g.next) {
			b.Overrides = append(b.Overrides, warehouse.OverrideRow{Offset: o.Offset, Stated: stated, Node: o.Node, Root: o.Root, Account: o.Account})
		}
		for _, h := range g.view.Hands(g.next-1, g.next) {
			b.Hands = append(b.Hands, warehouse.HandRow{Offset: h.Offset, Device: h.Device, Since: h.Since, Holder: h.Holder})
		}
		out = append(out, b)
		g.next++
	}
	return out
}

// events gives one block for each event, at places of their own from the offset given.
func eventRows(from int, events ...canonical.Event) []warehouse.Block {
	var out []warehouse.Block
	for i, e := range events {
		out = append(out, warehouse.Block{Events: []warehouse.EventRow{{Event: e, Position: canonical.Position{Offset: int64(from + i)}}}})
	}
	return out
}

// tellRows writes rows in any order, in blocks of the size given.
func tellRows(t testing.TB, w *warehouse.Warehouse, roll *rand.Rand, cut int, rows []warehouse.Block) {
	t.Helper()
	rows = slices.Clone(rows)
	roll.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	for part := range slices.Chunk(rows, cut) {
		var b warehouse.Block
		for _, r := range part {
			b.Events, b.Facts = append(b.Events, r.Events...), append(b.Facts, r.Facts...)
			b.Overrides, b.Hands = append(b.Overrides, r.Overrides...), append(b.Hands, r.Hands...)
		}
		write(t, w, fmt.Sprint("rows ", roll.Uint64()), b)
	}
}

// people are the identifiers of a small world of its own.
type people struct {
	contacts, mails, cookies, companies, domains, deals []canonical.Identifier
	others                                              []canonical.Identifier // whom a deal may name: people of another CRM and of none
}

func peopleOf(n int) people {
	named := func(s canonical.Scheme, many int, value func(i int) string) []canonical.Identifier {
		out := make([]canonical.Identifier, many)
		for i := range out {
			out[i] = canonical.Identifier{Scheme: s, Value: value(i)}
		}
		return out
	}
	number := func(i int) string { return fmt.Sprintf("%d%03d", 1+[]int{8, 9, 10, 7}[i%4], n) } // of different lengths
	word := func(i int) string { return fmt.Sprintf("w%d-%d", n, i) }
	return people{
		contacts:  named(canonical.HubSpotContact, 4, number),
		mails:     named(canonical.Email, 2, func(i int) string { return canonical.SHA256(word(i)) }),
		cookies:   named(canonical.Anonymous, 2, word),
		companies: named(canonical.HubSpotCompany, 3, number),
		domains:   named(canonical.Domain, 2, func(i int) string { return word(i) + ".example" }),
		deals:     named(canonical.HubSpotDeal, 2, number),
		others: slices.Concat(named(canonical.HubSpotContact, 2, func(i int) string { return "box:" + number(i) }),
			named(canonical.UserID, 2, func(i int) string { return fmt.Sprintf("0%d", n*10+i) }), named(canonical.Phone, 1, word)),
	}
}

// anyFact is one of every kind that says who is who.
func (p people) anyFact(roll *rand.Rand) canonical.Fact {
	one := func(of ...[]canonical.Identifier) canonical.Identifier {
		all := slices.Concat(of...)
		return all[roll.IntN(len(all))]
	}
	pair := func(of ...[]canonical.Identifier) []canonical.Identifier {
		for {
			if a, b := one(of...), one(of...); a != b {
				return []canonical.Identifier{a, b}
			}
		}
	}
	f := canonical.Fact{At: at(float64(roll.IntN(12)))}
	switch roll.IntN(12) {
	case 0, 1:
		f.Kind, f.Nodes = canonical.FactLink, pair(p.contacts, p.mails, p.cookies, p.others)
	case 2:
		f.Kind, f.Nodes = canonical.FactLink, []canonical.Identifier{one(p.companies), one(p.domains)}
	case 3:
		f.Kind, f.Nodes = canonical.FactMerge, pair(p.contacts)
	case 4:
		f.Kind, f.Nodes = []canonical.FactKind{canonical.FactMerge, canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow}[roll.IntN(4)], pair(p.contacts)
	case 5:
		f.Kind, f.Nodes = []canonical.FactKind{canonical.FactMerge, canonical.FactMerge, canonical.FactUnmerge}[roll.IntN(3)], pair(p.companies)
	case 6:
		f.Kind, f.Nodes, f.Removed = canonical.FactDeletion, []canonical.Identifier{one(p.contacts, p.companies)}, roll.IntN(3) == 0
	case 7:
		f.Kind, f.Nodes = canonical.FactAccount, []canonical.Identifier{one(p.companies, p.domains)}
		f.Fields = map[string]string{canonical.AccountFields[roll.IntN(len(canonical.AccountFields))]: []string{"", "true", "false", "x"}[roll.IntN(4)]}
	case 8:
		yes := roll.IntN(2) == 0
		f.Kind, f.Nodes, f.Consent = canonical.FactConsent, []canonical.Identifier{one(p.contacts, p.mails, p.cookies)}, &canonical.Consent{AdUserData: &yes}
	case 9:
		f.Kind, f.Nodes = canonical.FactAssociation, []canonical.Identifier{one(p.contacts, p.mails), one(p.companies, p.domains)}
	default:
		f.Kind, f.Nodes = canonical.FactAssociation, []canonical.Identifier{one(p.deals), one(p.contacts, p.contacts, p.mails, p.others)}
	}
	if f.Kind == canonical.FactAssociation {
		f.Role, f.Removed = []string{"", "", "31", "decision maker"}[roll.IntN(4)], roll.IntN(3) == 0
		f.Primary = !f.Removed && roll.IntN(3) == 0
		f.Weak = !f.Removed && roll.IntN(3) == 0
	}
	return f
}

// TestTheViewsSayWhatTheGraphSays: whatever facts are stated, and however their rows come, the views
// name the persons, the accounts, the contacts of deals and whatever is said of them as a router does.
func TestTheViewsSayWhatTheGraphSays(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(11, 3))
	const worlds = 250
	want := map[string]map[string]string{} // what is looked at -> which -> what it is
	texts := map[string]int{}
	say := func(n int, what string, who any, is ...any) {
		if want[what] == nil {
			want[what] = map[string]string{}
		}
		texts[what+fmt.Sprint(who)] = n
		want[what][fmt.Sprint(who)] = strings.TrimSpace(fmt.Sprintln(is...))
	}
	told := make([]string, worlds)
	var rows []warehouse.Block
	var offset int64
	for n := range worlds {
		p := peopleOf(n)
		g := newGraph(t, offset)
		for range 3 + roll.IntN(25) {
			f := p.anyFact(roll)
			told[n] += fmt.Sprint(f.Kind, " ", f.At.Sub(day).Hours()/24, " ", f.Nodes, f.Fields, " primary ", f.Primary, " removed ", f.Removed, " ", f.Role, "\n")
			rows = append(rows, g.fold(t, at(13), f)...)
		}
		offset = g.next
		var events []canonical.Event
		for i, c := range p.cookies {
			for d := range 13 {
				e := touch(fmt.Sprintf("t-%d-%d-%d", n, i, d), c, "meta", "spring", at(float64(d)))
				e.Funnel, e.Stage, e.Rank, e.CountedBy = true, "lead_captured", 1, "person"
				events = append(events, e)
				say(n, "touch", e.ID, g.view.Known(e).Person)
			}
		}
		rows = append(rows, eventRows(n*100, events...)...)
		for _, id := range slices.Concat(p.contacts, p.mails, p.cookies, p.others, p.companies, p.domains) {
			if _, known := g.view.Node(id.Node()); !known {
				continue
			}
			say(n, "root", id.Node(), g.view.Person(id.Node()))
			if id.Scheme.IsAccount() {
				fields := g.view.AccountFields(id.Node())
				var all []any
				for _, name := range canonical.AccountFields {
					all = append(all, cmp.Or(fields[name], "-"))
				}
				say(n, "fields", g.view.Account(id.Node()), all...)
				continue
			}
			if a := g.view.AccountOf(id.Node()); a != 0 {
				say(n, "account", g.view.Person(id.Node()), a)
			}
			if k := g.view.Known(canonical.Event{Node: id.Node()}); k.Consent != nil && k.Person == g.view.Person(id.Node()) { // not of a shared device
				c := k.Consent
				say(n, "consent", k.Person, map[bool]string{true: "denied", false: "given"}[c.DeniesAds()])
			}
		}
		for _, d := range p.deals {
			for i, c := range g.view.Known(canonical.Event{Object: canonical.Object{Type: "deal", ID: d.Value}}).Contacts {
				say(n, "deal", fmt.Sprint(d.Value, " ", i+1), c.Person, c.Primary, c.Since.Sub(day).Hours()/24, c.Roles)
			}
		}
	}
	tellRows(t, w, roll, 400, rows)
	for what, query := range map[string]string{
		"root":    "SELECT node, root FROM v_nodes WHERE belongs_to != 'deal' AND node NOT IN (SELECT leftPad(lower(hex(node)), 16, '0') FROM touches WHERE node NOT IN (SELECT arrayJoin(nodes) FROM identity_facts))",
		"account": "SELECT person, account FROM v_person_accounts",
		"consent": "SELECT person, consent FROM v_persons WHERE consent != ''",
		"deal":    "SELECT concat(deal, ' ', toString(place)), person, is_primary, since, roles FROM v_deal_contacts",
		"fields":  "SELECT account, " + strings.Join(mapped(canonical.AccountFields, func(f string) string { return fmt.Sprintf("if(%[1]s = '', '-', %[1]s)", f) }), ", ") + " FROM v_accounts",
		"touch":   "SELECT event_id, person FROM v_touches",
	} {
		rs, err := w.Rows(t.Context(), query, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, row := range rs.Rows {
			for i, c := range row {
				if d, ok := c.(time.Time); ok {
					row[i] = d.Sub(day).Hours() / 24
				}
			}
			got[fmt.Sprint(row[0])] = strings.TrimSpace(fmt.Sprintln(row[1:]...))
		}
		wrong := 0
		for which := range maps.Keys(want[what]) {
			if got[which] != want[what][which] {
				if wrong++; wrong < 3 {
					t.Errorf("%s %s is %q, the graph says %q, of\n%s", what, which, got[which], want[what][which], told[texts[what+which]])
				}
			}
		}
		if wrong > 0 || len(got) != len(want[what]) && what != "consent" { // what was said on a shared device is nobody's
			t.Errorf("%s: %d of %d differ; %d rows", what, wrong, len(want[what]), len(got))
		}
	}
	expect(t, w, "SELECT count() FROM (SELECT event_id, person FROM v_touches EXCEPT SELECT event_id, person FROM v_events)", "0")
	expect(t, w, "SELECT count() FROM (SELECT event_id, person FROM v_touches EXCEPT SELECT event_id, person FROM v_stage_history)", "0")
	expect(t, w, "SELECT count() > 20 FROM r_hands", "1")
}

func mapped(of []string, to func(string) string) []string {
	out := make([]string, len(of))
	for i, s := range of {
		out[i] = to(s)
	}
	return out
}

// reports gives every view as one text.
func reports(t testing.TB, w *warehouse.Warehouse) map[string]string {
	t.Helper()
	views, err := w.Rows(t.Context(), "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'v\\_%'", nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, v := range views.Rows {
		out[v[0].(string)] = ask(t, w, fmt.Sprintf("SELECT * FROM %s ORDER BY ALL", v[0]))
	}
	return out
}

// TestUnmergingRestoresEveryReport: a merge that was wrong leaves no trace in any view once it is
// taken back, in whatever order rows come.
func TestUnmergingRestoresEveryReport(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(5, 8))
	type pair struct{ survivor, merged canonical.Identifier }
	var rows, merges, unmerges []warehouse.Block
	var offset int64
	for n := range 25 {
		p := peopleOf(n)
		g := newGraph(t, offset)
		var facts []canonical.Fact
		for len(facts) < 20 {
			if f := p.anyFact(roll); f.Kind != canonical.FactMerge && f.Kind != canonical.FactUnmerge {
				facts = append(facts, f)
			}
		}
		for _, c := range slices.Concat(p.contacts, p.companies) { // all are known, so that the merge is nobody's first sight
			facts = append(facts, canonical.Fact{Kind: canonical.FactTouch, At: at(0), Nodes: []canonical.Identifier{c}, Touch: &canonical.Touch{Kind: "form", At: at(0)}})
		}
		rows = append(rows, g.fold(t, at(13), facts...)...)
		var wrong []pair
		for i := range 3 {
			wrong = append(wrong, pair{p.contacts[i], p.contacts[i+1]})
		}
		wrong = append(wrong, pair{p.companies[0], p.companies[1]})
		for i, m := range wrong {
			merges = append(merges, g.fold(t, at(14), canonical.Fact{Kind: canonical.FactMerge, At: at(20 + float64(i)), Nodes: []canonical.Identifier{m.survivor, m.merged}})...)
		}
		for _, m := range wrong {
			unmerges = append(unmerges, g.fold(t, at(15), canonical.Fact{Kind: canonical.FactUnmerge, At: at(30), Nodes: []canonical.Identifier{m.survivor, m.merged}})...)
		}
		offset = g.next
		var events []canonical.Event
		for i, c := range slices.Concat(p.contacts, p.cookies) {
			events = append(events, touch(fmt.Sprintf("t-%d-%d", n, i), c, "meta", fmt.Sprint("c", i), at(float64(i))))
		}
		for i, c := range p.contacts {
			for j, name := range []string{"lead_captured", "qualified_lead", "sales_qualified_lead"}[:1+roll.IntN(3)] {
				events = append(events, lifecycle(fmt.Sprintf("l-%d-%d-%d", n, i, j), c.Value, name, at(6+float64(roll.IntN(6)))))
			}
		}
		for i, d := range p.deals {
			events = append(events, dealStage(fmt.Sprintf("d-%d-%d", n, i), d.Value, p.contacts[i].Value, "customer_won", canonical.Money(1+n), at(12)))
		}
		rows = append(rows, eventRows(n*100, events...)...)
	}
	tellRows(t, w, roll, 300, rows)
	before := reports(t, w)
	tellRows(t, w, roll, 30, merges)
	during := reports(t, w)
	for _, v := range []string{"v_nodes", "v_persons", "v_accounts", "v_person_accounts", "v_touches", "v_events", "v_conversions", "v_stage_history", "v_credit", "v_revenue_by_campaign", "v_deal_contacts"} {
		if during[v] == before[v] {
			t.Errorf("%s did not change by merges", v)
		}
	}
	reconciles(t, w)
	tellRows(t, w, roll, 30, unmerges)
	after := reports(t, w)
	if len(after) < 15 {
		t.Errorf("only %d views", len(after))
	}
	for v, was := range before {
		if after[v] != was {
			t.Errorf("%s is another after merge and unmerge:\n%s", v, firstDifference(was, after[v]))
		}
	}
	tellRows(t, w, roll, 30, append(merges, unmerges...)) // all of it again, by another cut
	for v, was := range reports(t, w) {
		if was != before[v] {
			t.Errorf("%s is another after the same facts again", v)
		}
	}
}

// TestOtherGuardsReachEveryReport: guards that take people apart write rows of their own offset, which every report
// follows; with the guards of before, every report is as before.
func TestOtherGuardsReachEveryReport(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(6, 9))
	var rows, strict, plain []warehouse.Block
	var offset, separated int64
	for n := range 10 {
		p := peopleOf(n)
		g := newGraph(t, offset)
		var facts []canonical.Fact
		for i, c := range p.contacts {
			facts = append(facts, canonical.Fact{Kind: canonical.FactLink, At: at(float64(i)), Nodes: []canonical.Identifier{c, p.mails[i%2]}},
				canonical.Fact{Kind: canonical.FactLink, At: at(float64(i) + 0.5), Weak: true, Nodes: []canonical.Identifier{c, p.cookies[i%2]}})
		}
		for i, c := range p.companies {
			facts = append(facts, canonical.Fact{Kind: canonical.FactLink, At: at(float64(i)), Nodes: []canonical.Identifier{c, p.domains[i%2]}})
		}
		rows = append(rows, g.fold(t, at(13), facts...)...)
		other := canonical.Guards{NeverLink: slices.Concat(p.mails[:1], p.cookies[:1]), Crowd: 1}
		strict = append(strict, g.fold(t, at(14), canonical.Fact{Kind: canonical.FactGuards, At: at(14), Guards: &other})...)
		separated = g.next - 1
		plain = append(plain, g.fold(t, at(15), canonical.Fact{Kind: canonical.FactGuards, At: at(15), Guards: &canonical.Guards{}})...)
		offset = g.next
		var events []canonical.Event
		for i, c := range slices.Concat(p.contacts, p.cookies) {
			events = append(events, touch(fmt.Sprintf("t-%d-%d", n, i), c, "meta", fmt.Sprint("c", i), at(float64(i))))
		}
		for i, c := range p.contacts {
			events = append(events, lifecycle(fmt.Sprintf("l-%d-%d", n, i), c.Value, "qualified_lead", at(6+float64(i))))
		}
		rows = append(rows, eventRows(n*100, events...)...)
	}
	tellRows(t, w, roll, 100, rows)
	before := reports(t, w)
	expect(t, w, "SELECT uniqExact(root) FROM v_nodes WHERE scheme = 'hubspot_contact'", "20")
	tellRows(t, w, roll, 3, strict)
	during := reports(t, w)
	expect(t, w, "SELECT uniqExact(root) FROM v_nodes WHERE scheme = 'hubspot_contact'", "40")
	expect(t, w, fmt.Sprintf("SELECT count() > 0 FROM identity_overrides WHERE version = %d", separated), "1")
	expect(t, w, fmt.Sprintf("SELECT kind, length(nodes) FROM identity_facts WHERE fact_offset = %d", separated), "guards 0")
	for _, v := range []string{"v_nodes", "v_persons", "v_touches", "v_credit"} {
		if during[v] == before[v] {
			t.Errorf("%s did not change by other guards", v)
		}
	}
	reconciles(t, w)
	tellRows(t, w, roll, 3, plain)
	after := reports(t, w)
	for v, was := range before {
		if after[v] != was {
			t.Errorf("%s is another after other guards and those of before:\n%s", v, firstDifference(was, after[v]))
		}
	}
}

func firstDifference(was, is string) string {
	a, b := strings.Split(was, "\n"), strings.Split(is, "\n")
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("was %s\nis  %s", a[i], strings.Join(b[min(i, len(b)):min(i+1, len(b))], ""))
		}
	}
	return fmt.Sprintf("%d rows more", len(b)-len(a))
}

// TestASharedDeviceIsOfWhoeverHadItThen: touches bind by date, and go to the one person once its
// people are one.
func TestASharedDeviceIsOfWhoeverHadItThen(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(1, 2))
	kiosk := cookie("kiosk")
	a, b := contact("1"), contact("2")
	g := newGraph(t, 0)
	link := func(who canonical.Identifier, when float64) canonical.Fact {
		return canonical.Fact{Kind: canonical.FactLink, At: at(when), Weak: true, Nodes: []canonical.Identifier{who, kiosk}}
	}
	rows := g.fold(t, at(13), link(a, 2), link(b, 5))
	form := touch("form", kiosk, "", "", at(5.5)) // nobody signed it: it counts for whoever has the device
	form.Name, form.Funnel, form.Stage, form.Rank, form.CountedBy = "lead_captured", true, "lead_captured", 1, "person"
	events := eventRows(0,
		touch("before", kiosk, "linkedin", "first", at(1)), touch("hers", kiosk, "meta", "second", at(3)),
		touch("at once", kiosk, "meta", "third", at(5)), touch("his", kiosk, "meta", "fourth", at(6)), form,
		lifecycle("mql-a", "1", "qualified_lead", at(8)), lifecycle("mql-b", "2", "qualified_lead", at(8)),
	)
	tellRows(t, w, roll, 2, append(rows, events...))
	expect(t, w, "SELECT event_id, person FROM v_touches ORDER BY touch_at", fmt.Sprintf(`
		before %[1]s
		hers %[1]s
		at once %[2]s
		form %[2]s
		his %[2]s`, a.Node(), b.Node()))
	expect(t, w, "SELECT name, slot FROM v_conversions WHERE event_id = 'form'", "lead_captured "+b.Node().String())
	expect(t, w, "SELECT event_id, model, campaign, touches FROM v_credit WHERE scope = 'person' AND name = 'qualified_lead' ORDER BY ALL", `
		mql-a first_touch first 2
		mql-a last_touch second 2
		mql-b first_touch third 3
		mql-b last_touch fourth 3`)
	reconciles(t, w)
	tellRows(t, w, roll, 2, g.fold(t, at(14), canonical.Fact{Kind: canonical.FactMerge, At: at(9), Nodes: []canonical.Identifier{a, b}}))
	expect(t, w, "SELECT DISTINCT person FROM v_touches", a.Node().String())
	expect(t, w, "SELECT count() FROM r_hands", "0")
	expect(t, w, "SELECT name, person, touches FROM v_credit WHERE scope = 'person' AND model = 'first_touch' ORDER BY name", fmt.Sprintf(`
		lead_captured %[1]s 4
		qualified_lead %[1]s 5`, a.Node()))
	tellRows(t, w, roll, 2, g.fold(t, at(15), canonical.Fact{Kind: canonical.FactUnmerge, At: at(10), Nodes: []canonical.Identifier{a, b}}))
	expect(t, w, "SELECT person, count() FROM v_touches GROUP BY person ORDER BY count()", fmt.Sprintf(`
		%s 2
		%s 3`, a.Node(), b.Node()))
}

// TestWhoWasWhoAtATime: what was known of who is who can be read as of any time, also after the
// tables were merged.
func TestWhoWasWhoAtATime(t *testing.T) {
	w := open(t)
	a, b := contact("1"), contact("2")
	g := newGraph(t, 0)
	rows := g.fold(t, at(1), canonical.Fact{Kind: canonical.FactLink, At: at(0), Nodes: []canonical.Identifier{a, canonical.Identifier{Scheme: canonical.UserID, Value: "u"}}})
	rows = append(rows, g.fold(t, at(3), canonical.Fact{Kind: canonical.FactMerge, At: at(2.5), Nodes: []canonical.Identifier{a, b}})...)
	rows = append(rows, g.fold(t, at(6), canonical.Fact{Kind: canonical.FactUnmerge, At: at(5), Nodes: []canonical.Identifier{a, b}})...)
	tellRows(t, w, rand.New(rand.NewPCG(1, 1)), 1, append(rows, rows...))
	for _, table := range []string{"identity_overrides", "identity_log"} {
		if err := w.Conn().Exec(t.Context(), "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Conn().Exec(t.Context(), "TRUNCATE TABLE schema_migrations"); err != nil {
		t.Fatal(err)
	}
	if err := w.Migrate(t.Context()); err != nil { // what the log has is not begun again
		t.Fatal(err)
	}
	one, two := a.Node().String(), b.Node().String()
	for days, want := range map[float64]string{0.5: "1 " + one + "\n2 " + two, 1: "1 " + one + "\n2 " + two + "\nu " + one, 3: "1 " + one + "\n2 " + one + "\nu " + one, 5.9: "1 " + one + "\n2 " + one + "\nu " + one, 6: "1 " + one + "\n2 " + two + "\nu " + one} {
		if days == 0.5 {
			want += "\nu " + canonical.Identifier{Scheme: canonical.UserID, Value: "u"}.Node().String()
		}
		expect(t, w, fmt.Sprintf("SELECT value, root FROM p_nodes_at(at = '%s') ORDER BY value", at(days).Format("2006-01-02 15:04:05")), want)
	}
	expect(t, w, "SELECT groupArray(value) FROM (SELECT value, root FROM v_nodes EXCEPT SELECT value, root FROM p_nodes_at(at = '2199-01-01 00:00:00'))", "[]")
	expect(t, w, "SELECT fact_offset, uniqExact(root) FROM identity_log GROUP BY fact_offset ORDER BY fact_offset", `
		0 1
		1 1
		2 1`)
}

// Groups follow parent companies to the top, through merges, and end where they go in a ring or
// name a company that nobody has seen.
func TestAccountsOfOneGroup(t *testing.T) {
	s := &story{}
	under := func(child, parent string) {
		s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactAccount, At: at(1), Nodes: []canonical.Identifier{company(child)}, Fields: map[string]string{canonical.AccountParent: parent}})
	}
	under("1", "2")
	under("2", "3")
	under("5", "6")
	under("6", "5")
	under("7", "99")
	under("9", "8")
	for _, alone := range []string{"3", "4", "8"} {
		under(alone, "")
	}
	s.facts = append(s.facts, canonical.Fact{Kind: canonical.FactMerge, At: at(2), Nodes: []canonical.Identifier{company("10"), company("8")}})
	s.join(true, company("10"), company("8"))
	w := open(t)
	s.tell(t, w, 3, 4)
	name := map[string]string{}
	for _, c := range []string{"1", "2", "3", "4", "5", "6", "7", "9", "10"} {
		name[company(c).Node().String()] = c
	}
	got := map[string]string{}
	rs, err := w.Rows(t.Context(), "SELECT account, top FROM v_account_groups", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs.Rows {
		got[name[r[0].(string)]] = name[r[1].(string)]
	}
	ring := name[min(company("5").Node().String(), company("6").Node().String())]
	want := map[string]string{"1": "3", "2": "3", "3": "3", "4": "4", "5": ring, "6": ring, "7": "7", "9": "10", "10": "10"}
	if len(rs.Rows) != len(want) || !maps.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}
