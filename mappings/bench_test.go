package mappings

import (
	"fmt"
	"strings"
	"testing"
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
