package warehouse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// A year of 50,000 people with a cookie each: 200,000 events and 100,000 overrides.
const (
	buyers   = 50_000
	happened = 200_000
)

func largeWarehouse(b *testing.B) *warehouse.Warehouse {
	b.Helper()
	w := open(b)
	names := []string{"lead_captured", "qualified_lead", "sales_qualified_lead", "opportunity_created"}
	var block warehouse.Block
	offset := int64(0)
	flush := func(least int) {
		if block.Len() > least {
			write(b, w, fmt.Sprint("large ", offset, " ", len(block.Events)), block)
			block = warehouse.Block{}
		}
	}
	fact := func(f canonical.Fact, cluster ...canonical.Identifier) {
		block.Facts = append(block.Facts, warehouse.FactRow{Offset: offset, Fact: f})
		for _, n := range cluster {
			block.Overrides = append(block.Overrides, warehouse.OverrideRow{Offset: offset, Stated: f.At, Node: n.Node(), Root: cluster[0].Node()})
		}
		offset++
		flush(20_000)
	}
	when := func(n int) time.Time { return at(float64(n%150) + float64(n%1000)/1000) }
	event := func(n int, e canonical.Event) {
		block.Events = append(block.Events, warehouse.EventRow{Event: e, Position: canonical.Position{Partition: n % 6, Offset: int64(n)}, Sealed: make([]byte, 600)})
		flush(20_000)
	}
	for i := range buyers {
		who, browser := contact(fmt.Sprint(i)), cookie(fmt.Sprint("c", i))
		fact(canonical.Fact{Kind: canonical.FactLink, At: when(i), Weak: true, Nodes: []canonical.Identifier{who, browser}}, who, browser)
		fact(canonical.Fact{Kind: canonical.FactAssociation, At: when(i), Weak: true, Primary: true, Nodes: []canonical.Identifier{who, company(fmt.Sprint(i % 8000))}})
	}
	for n := range happened {
		i := n % buyers
		id := fmt.Sprint("e", n)
		switch n / buyers {
		case 0:
			event(n, touch(id, cookie(fmt.Sprint("c", i)), "linkedin", fmt.Sprint("campaign ", n%40), when(n)))
		case 1:
			event(n, touch(id, contact(fmt.Sprint(i)), "", "", when(n+7)))
		case 2:
			event(n, lifecycle(id, fmt.Sprint(i), names[n%4], when(n+11)))
		case 3:
			if n%5 > 0 {
				event(n, lifecycle(id, fmt.Sprint(i), names[(n+1)%4], when(n+20)))
				continue
			}
			event(n, dealStage(id, fmt.Sprint(n%buyers/2), fmt.Sprint(i), "customer_won", 1_000_000, when(n+30)))
			fact(canonical.Fact{Kind: canonical.FactAssociation, At: when(n + 30), Weak: true,
				Nodes: []canonical.Identifier{{Scheme: canonical.HubSpotDeal, Value: fmt.Sprint(n % buyers / 2)}, contact(fmt.Sprint(i))}})
		}
	}
	flush(0)
	return w
}

func BenchmarkViews(b *testing.B) {
	w := largeWarehouse(b)
	run := func(name, sql string) {
		b.Run(name, func(b *testing.B) {
			rows := ""
			for b.Loop() {
				rows = ask(b, w, sql)
			}
			b.Logf("%s: %s", sql, strings.ReplaceAll(rows, "\n", "; "))
		})
	}
	run("Conversions", "SELECT count(), sum(revenue_micros) FROM v_conversions")
	run("Credit", "SELECT count(), sum(revenue_micros) FROM v_credit")
	run("Touches", "SELECT count(), uniqExact(person), uniqExact(account) FROM v_touches")
	run("OneEvent", "SELECT person, account FROM v_events WHERE event_id = 'e77'")
	run("Accounts", "SELECT count(), sum(persons) FROM v_accounts")
	run("DealContacts", "SELECT count() FROM v_deal_contacts")
	run("Persons", "SELECT count() FROM r_persons")
}

// BenchmarkMergeIsSeen is from a merge's rows to a query that has the merged person, where 100,000
// overrides stand already.
func BenchmarkMergeIsSeen(b *testing.B) {
	w := largeWarehouse(b)
	n := 0
	for b.Loop() {
		one, other := contact(fmt.Sprint(2*n)), contact(fmt.Sprint(2*n+1))
		offset := int64(1_000_000 + n)
		block := warehouse.Block{Facts: []warehouse.FactRow{{Offset: offset, Fact: canonical.Fact{Kind: canonical.FactMerge, At: at(199), Nodes: []canonical.Identifier{one, other}}}}}
		for _, id := range []canonical.Identifier{one, other, cookie(fmt.Sprint("c", 2*n)), cookie(fmt.Sprint("c", 2*n+1))} {
			block.Overrides = append(block.Overrides, warehouse.OverrideRow{Offset: offset, Stated: at(199), Node: id.Node(), Root: one.Node()})
		}
		write(b, w, fmt.Sprint("merge ", n), block)
		if got := ask(b, w, fmt.Sprintf("SELECT DISTINCT person FROM v_touches WHERE event_id IN ('e%d', 'e%d')", 2*n, 2*n+1)); got != one.Node().String() {
			b.Fatalf("got %s", got)
		}
		n++
	}
}

// BenchmarkLargeMergeIsSeen is the same where one merge changes 100,000 overrides.
func BenchmarkLargeMergeIsSeen(b *testing.B) {
	w := largeWarehouse(b)
	n := 0
	for b.Loop() {
		root := contact(fmt.Sprint(n))
		offset := int64(1_000_000 + n)
		var block warehouse.Block
		for i := range buyers {
			for _, id := range []canonical.Identifier{contact(fmt.Sprint(i)), cookie(fmt.Sprint("c", i))} {
				block.Overrides = append(block.Overrides, warehouse.OverrideRow{Offset: offset, Stated: at(199), Node: id.Node(), Root: root.Node()})
			}
		}
		write(b, w, fmt.Sprint("merge ", n), block)
		if got := ask(b, w, "SELECT DISTINCT person FROM v_touches"); got != root.Node().String() {
			b.Fatalf("got %s", got)
		}
		n++
	}
}
