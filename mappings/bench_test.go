package mappings

import (
	"fmt"
	"strings"
	"testing"

	"tributary/canonical"
)

// large gives a mapping with n lifecycle rules beside the default's destinations.
func large(n int) File {
	var b strings.Builder
	b.WriteString("version: 1\nvocabulary: [lead_captured, qualified_lead, customer_won]\nsources:\n  hubspot:\n    lifecycle:\n      marketingqualifiedlead: qualified_lead\n")
	for i := range n - 1 {
		fmt.Fprintf(&b, "      stage_%d: lead_captured\n", i)
	}
	return File{Name: "large.yaml", Text: []byte(b.String())}
}

func BenchmarkApplyLifecycle(b *testing.B) {
	m, _ := Compile(large(200))
	r, rc := lifecycle("marketingqualifiedlead"), crm()
	b.ReportAllocs()
	for b.Loop() {
		if m.Apply(r, rc).Event.Name != "qualified_lead" {
			b.Fatal("wrong name")
		}
	}
}

// rich gives a mapping with n rules of every kind, aliases, recipes and marks.
func rich(n int) File {
	var b strings.Builder
	b.WriteString("version: 1\nvocabulary:\n  - lead_captured: { meaning: lead }\n  - qualified_lead: { aliases: [mql], recycle: send }\n  - customer_won: { count: first_per_person }\nother_names: [demo_requested]\n")
	b.WriteString("ids:\n  - { event: qualified_lead, recipe: 2, parts: [object_id, stage, time], from: 2026-01-01 }\nsources:\n  hubspot:\n")
	b.WriteString("    ignore:\n      - { when: 'email endsWith \"@ourcompany.example\"', reason: internal_test }\n    quarantine:\n      - { when: 'email_domain == \"spam.example\"', reason: spam }\n")
	b.WriteString("    lifecycle:\n      marketingqualifiedlead: qualified_lead\n")
	tables := []struct{ head, line string }{
		{"", "      stage_%d: lead_captured\n"}, {"    lead_status:\n", "      status_%d: qualified_lead\n"},
		{"    properties:\n", "      property_%d: { a: demo_requested }\n"}, {"    associations:\n", "      \"%d\": demo_requested\n"},
		{"    deals:\n      \"*\":\n        won: customer_won\n", "        stage_%d: customer_won\n"},
		{"    events:\n", "      event_%d: demo_requested\n"},
	}
	for _, t := range tables {
		b.WriteString(t.head)
		for i := range n / len(tables) {
			fmt.Fprintf(&b, t.line, i)
		}
	}
	return File{Name: "rich.yaml", Text: []byte(b.String())}
}

func BenchmarkApplyRich(b *testing.B) {
	m := mustCompile(b, string(rich(200).Text))
	r, rc := lifecycle("marketingqualifiedlead"), crm()
	b.ReportAllocs()
	for b.Loop() {
		if e := m.Apply(r, rc).Event; e.Name != "qualified_lead" || e.IDRecipe != 2 {
			b.Fatal("wrong name")
		}
	}
}

func BenchmarkCompile10000RichRules(b *testing.B) {
	file := rich(10_000)
	for b.Loop() {
		if m, problems := Compile(file); m == nil {
			b.Fatal(lines(problems))
		}
	}
}

func BenchmarkShape(b *testing.B) {
	m := mustCompile(b, billing)
	rc := canonical.Receipt{Source: "billing", Way: canonical.WayHook, Body: []byte(`{"type":"invoice.settled","id":"in_42","paid_at":"2026-04-23T11:04:19Z","customer":{"emails":["buyer@acme.example"],"name":"Ada","site":"https://acme.example/x"},"total_cents":3600050}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, q := m.Shape(rc); q != nil {
			b.Fatal(q)
		}
	}
}

func BenchmarkApplyDeal(b *testing.B) {
	m := defaults(b)
	r, rc := deal("closedwon"), crm()
	b.ReportAllocs()
	for b.Loop() {
		if m.Apply(r, rc).Event.Name != "customer_won" {
			b.Fatal("wrong name")
		}
	}
}

func BenchmarkApplyWithIgnoreRules(b *testing.B) {
	rules := strings.Repeat("      - when: email endsWith \"@ourcompany.example\" or domain == \"ourcompany.example\"\n        reason: internal_test\n", 5)
	m := mustCompile(b, "version: 1\nvocabulary: [qualified_lead]\nsources:\n  hubspot:\n    lifecycle: { marketingqualifiedlead: qualified_lead }\n    ignore:\n"+rules)
	r, rc := lifecycle("marketingqualifiedlead"), crm()
	b.ReportAllocs()
	for b.Loop() {
		if m.Apply(r, rc).Event.Ignored != "" {
			b.Fatal("ignored")
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	m := defaults(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.Route("meta", "customer_won"); !ok {
			b.Fatal("no route")
		}
	}
}

func BenchmarkCompileDefault(b *testing.B) {
	file := Default()
	b.ReportAllocs()
	for b.Loop() {
		if m, _ := Compile(file); m == nil {
			b.Fatal("not compiled")
		}
	}
}

func BenchmarkCompile10000Rules(b *testing.B) {
	file := large(10_000)
	for b.Loop() {
		if m, _ := Compile(file); m == nil {
			b.Fatal("not compiled")
		}
	}
}

// A line with a condition, expressions and a rate, in a mapping of its own.
func BenchmarkRouteOfWithExpressions(b *testing.B) {
	m := mustCompile(b, linesHead+"revenue: { currency: { rates: [{ from: USD, to: EUR, rate: 0.92, since: 2026-01-01 }] } }\ndestinations:\n  meta:\n    customer_won: { event: Lead, value: arr, currency: EUR, when: pipeline == \"emea\" and amount > 100, properties: { land: = upper(country), team: sales } }\n")
	e := wonEvent()
	b.ReportAllocs()
	for b.Loop() {
		if r, ok := m.RouteOf("meta", "meta", e); !ok || r.NotMeant || r.Rate == "" {
			b.Fatal("no route")
		}
	}
}

func BenchmarkRouteOf(b *testing.B) {
	m := defaults(b)
	e := wonEvent()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.RouteOf("meta", "meta", e); !ok {
			b.Fatal("no route")
		}
	}
}

func BenchmarkApplyDealWithRevenue(b *testing.B) {
	m := mustCompile(b, "version: 1\nvocabulary: [customer_won]\nsources:\n  hubspot:\n    deals: { \"*\": { closedwon: customer_won } }\nrevenue:\n  properties: { arr: contract_arr, term_months: months }\n  amount_means: tcv\n  derive: { acv: = tcv / term_years, mrr: = arr / 12 }\n")
	r, rc := deal("closedwon"), crm()
	r.Revenue = &canonical.Revenue{Amount: cash("36000"), Currency: "USD"}
	r.Properties = map[string]any{"contract_arr": "12000", "months": "36"}
	b.ReportAllocs()
	for b.Loop() {
		if m.Apply(r, rc).Event.Revenue.MRR == nil {
			b.Fatal("nothing derived")
		}
	}
}
