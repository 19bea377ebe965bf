package mappings

import "testing"

func TestRulesListEveryLineOfSources(t *testing.T) {
	m, problems := Compile(File{Name: "m.yaml", Text: []byte(`version: 1
vocabulary: [lead_captured, customer_won]
sources:
  hubspot:
    lifecycle: { lead: lead_captured, subscriber: lead_captured }
    deals:
      Renewals:
        closedwon: customer_won
    ignore:
      - when: email endsWith "@example.com"
        reason: internal_test
  pixel:
    events:
      demo_watched: custom_event
`)})
	if Failed(problems) {
		t.Fatal(problems)
	}
	want := []Rule{
		{"m.yaml:5", "hubspot", "lifecycle", "lead", "lead_captured", ""},
		{"m.yaml:5", "hubspot", "lifecycle", "subscriber", "lead_captured", ""},
		{"m.yaml:8", "hubspot", "deals renewals", "closedwon", "customer_won", ""},
		{"m.yaml:10", "hubspot", "ignore", "internal_test", "", `email endsWith "@example.com"`},
		{"m.yaml:14", "pixel", "events", "demo_watched", "custom_event", ""},
	}
	got := m.Rules()
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("rule %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
