package mappings

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const linesHead = "version: 1\nvocabulary: [lead_captured, qualified_lead, customer_won]\n"

func wonEvent() *canonical.Event {
	return &canonical.Event{
		ID: "e1", Name: "customer_won", OccurredAt: time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC), Way: canonical.WayHubSpot,
		Object: canonical.Object{Type: "deal", ID: "9"}, Pipeline: "emea", RawStage: "closedwon",
		Contact: canonical.Contact{Email: "Ada@Example.com", Country: "de"}, Company: canonical.Company{Domain: "www.Example.com", Name: "Example", Tier: "tier_1"},
		Revenue:    &canonical.Revenue{Amount: cash("36000"), ARR: cash("12000.1"), Currency: "USD", BillingPeriod: "annual"},
		Properties: map[string]any{"plan": "pro", "seats": json.Number("40"), "score": "80", "blank": " ", "long": strings.Repeat("x", maxOperand), "owner_mail": "sam@example.com", "nested": map[string]any{"a": 1}},
	}
}

func routeOf(t testing.TB, lines string, e *canonical.Event) canonical.Route {
	t.Helper()
	r, ok := mustCompile(t, linesHead+lines).RouteOf("meta", "meta", e)
	if !ok {
		t.Fatalf("no line")
	}
	return r
}

func TestConditionsOfLines(t *testing.T) {
	for when, want := range map[string]bool{
		`pipeline == "emea"`:                                 true,
		`amount >= 36000 and arr == 12000.1`:                 true,
		`amount > 36000`:                                     false,
		`mrr > 0`:                                            false,
		`email endsWith "@example.com"`:                      true,
		`domain in ["example.com", "example.org"]`:           true,
		`properties.plan == "pro" and properties.seats > 39`: true,
		`properties.absent == "x"`:                           false,
		`properties.absent == nil`:                           true,
		`lower(tier) matches "^tier_[12]$"`:                  true,
		`billing_period == "annual" ? rank == 0 : true`:      true,
		`(properties.absent ?? "none") == "none"`:            true,
		`occurred_on < "2026-10-01"`:                         true,
		`not reported`:                                       true,
		`number(properties.seats) == 40`:                     true,
		`number(properties.score) >= 79.5`:                   true,
		`number(properties.absent) >= 50`:                    false,
		`number(properties.blank) == 0`:                      true,
	} {
		r := routeOf(t, "destinations:\n  meta:\n    customer_won: { event: Lead, when: '"+when+"' }\n", wonEvent())
		if r.NotMeant == want || r.Broken != "" {
			t.Errorf("%s: meant is %v, want %v (%s)", when, !r.NotMeant, want, r.Broken)
		}
	}
	if r := routeOf(t, "destinations:\n  meta:\n    customer_won: { event: Lead, when: 'properties.nested > 5' }\n", wonEvent()); r.Broken == "" || strings.Contains(r.Broken, "nested") {
		t.Errorf("a condition that cannot be evaluated: %+v", r)
	}
}

// A number that is none, and a text compared with a number, hold the event.
func TestWhatIsNoNumber(t *testing.T) {
	for _, when := range []string{`number(properties.plan) > 5`, `properties.score > 5`, `number(properties.nested) > 5`} {
		if r := routeOf(t, "destinations:\n  meta:\n    customer_won: { event: Lead, when: '"+when+"' }\n", wonEvent()); r.Broken == "" {
			t.Errorf("%s: %+v", when, r)
		}
	}
}

func TestPropertiesOfLines(t *testing.T) {
	e := wonEvent()
	before, _ := json.Marshal(e)
	m := mustCompile(t, linesHead+`destinations:
  meta:
    defaults:
      properties: { team: sales, land: none, tier: = tier }
    customer_won:
      event: Purchase
      value: arr
      if_missing: hold
      properties:
        land: = upper(country)
        plan: = properties.plan
        seats: = properties.seats + 2
        what: = company + " (" + (properties.absent ?? "new") + ")"
        big: = properties.seats > 30
        absent: = properties.absent
        mail: = properties.owner_mail
        list: = properties.nested
        broken: = upper(properties.absent)
        score: = number(properties.score)
        unscored: = number(properties.absent)
        unnumbered: = number(properties.plan)
        long: = properties.long + properties.long
        count: 3
`)
	r, _ := m.RouteOf("meta", "meta", e)
	want := map[string]any{"team": "sales", "land": "DE", "tier": "tier_1", "plan": "pro", "seats": 42.0, "what": "Example (new)", "big": true, "count": int64(3), "score": 80.0}
	if !reflect.DeepEqual(r.Properties, want) {
		t.Errorf("got  %v\nwant %v", r.Properties, want)
	}
	again, _ := m.RouteOf("meta", "meta", e)
	if !reflect.DeepEqual(r, again) {
		t.Error("the same event gives another route")
	}
	if after, _ := json.Marshal(e); string(after) != string(before) {
		t.Error("the event was changed")
	}
	if r, _ := m.Route("meta", "customer_won"); len(r.Properties) != 2 {
		t.Errorf("the line itself was changed: %v", r.Properties)
	}
	var decoded canonical.Event // as a lane reads it
	if err := json.Unmarshal(before, &decoded); err != nil {
		t.Fatal(err)
	}
	if fromLog, _ := m.RouteOf("meta", "meta", &decoded); !reflect.DeepEqual(fromLog, r) {
		t.Errorf("from the log %+v, else %+v", fromLog, r)
	}
}

func TestLinesInheritDefaults(t *testing.T) {
	m := mustCompile(t, linesHead+`revenue: { if_missing: hold }
destinations:
  meta:
    customer_won:  { event: Purchase, consent: ignore, match: [em] }
    lead_captured: { event: Lead, value: none }
    defaults:
      value: amount
      currency: EUR
      consent: required
      match: [em, ph, external_id]
      when: pipeline != "test"
      delay: 2h
      properties: { team: sales }
  linkedin:
    customer_won: { rule: [closed_won, all_deals], value: tcv, if_missing: use:amount }
`)
	var got []string
	for _, l := range m.Lines() {
		got = append(got, l.Destination+": "+l.String()+" <- "+strings.Join(l.Inherited, " "))
	}
	want := []string{
		"linkedin: customer_won: {rule: [closed_won, all_deals], value: tcv, if_missing: use:amount} <- ",
		"meta: customer_won: {event: Purchase, value: amount, if_missing: hold, currency: EUR, properties: {team: sales}, match: [em], consent: ignore, when: 'pipeline != \"test\"', delay: 2h0m0s} <- value if_missing currency properties when delay",
		"meta: lead_captured: {event: Lead, value: none, properties: {team: sales}, match: [em, ph, external_id], consent: required, when: 'pipeline != \"test\"', delay: 2h0m0s} <- properties match consent when delay",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e := wonEvent()
	e.Pipeline = "test"
	if r, _ := m.RouteOf("meta", "meta", e); !r.NotMeant || r.Delay != 2*time.Hour {
		t.Errorf("%+v", r)
	}
	if r, _ := m.Route("linkedin", "customer_won"); !reflect.DeepEqual(r.Rules(), []string{"closed_won", "all_deals"}) {
		t.Errorf("rules %v", r.Rules())
	}
}

// What is printed is the line: written down, it compiles to the same.
func TestPrintedLinesMeanTheSame(t *testing.T) {
	m := mustCompile(t, linesHead+`destinations:
  meta:
    defaults: { consent: required, properties: { "a b": "x: y, z", n: "1", yes: "true", at: "= company" } }
    customer_won: { event: "Won: #1", value: arr, if_missing: use:tcv, when: "email endsWith '@example.com' or company == \"O'Hara\"" }
    qualified_lead: { event: "null", delay: 90m }
`)
	var b strings.Builder
	b.WriteString(linesHead + "destinations:\n  meta:\n")
	for _, l := range m.Lines() {
		b.WriteString("    " + l.String() + "\n")
	}
	again := mustCompile(t, b.String())
	for i, l := range m.Lines() {
		if other := again.Lines()[i]; !reflect.DeepEqual(l.Says, other.Says) {
			t.Errorf("%s\nbecame\n%s", l, other)
		}
	}
}

func TestAccountsOfLines(t *testing.T) {
	m := mustCompile(t, linesHead+`destinations:
  meta:
    customer_won: { event: Subscribe, value: amount, if_missing: hold, accounts: meta_us }
    qualified_lead: { event: QualifiedLead }
  meta_emea:
    lead_captured: { event: Lead }
  webhook:
    "*": {}
    customer_won: { value: amount, accounts: [hook_a, hook_b] }
`)
	for _, tt := range []struct{ destination, kind, name, want string }{
		{"meta_us", "meta", "customer_won", "Subscribe"},
		{"meta_emea", "meta", "customer_won", "no line"},
		{"meta_emea", "meta", "qualified_lead", "QualifiedLead"},
		{"meta_emea", "meta", "lead_captured", "Lead"},
		{"meta_us", "meta", "lead_captured", "no line"},
		{"hook_a", "webhook", "customer_won", "amount"},
		{"hook_c", "webhook", "customer_won", ""}, // as though the line were not written
	} {
		e := wonEvent()
		e.Name = tt.name
		r, ok := m.RouteOf(tt.destination, tt.kind, e)
		got := r.Event
		if tt.kind == "webhook" {
			got = r.Value
		}
		if !ok {
			got = "no line"
		}
		if got != tt.want {
			t.Errorf("%s at %s is %q, want %q", tt.name, tt.destination, got, tt.want)
		}
	}
}

func TestRates(t *testing.T) {
	m := mustCompile(t, linesHead+`revenue:
  currency:
    rates:
      - { from: USD, to: EUR, rate: "0.90", since: 2026-01-01 }
      - { from: USD, to: EUR, rate: "0.92", since: 2026-09-01T12:00:00Z }
      - { from: GBP, to: EUR, rate: 1.15, since: 2026-01-01 }
destinations:
  meta:
    customer_won: { event: Purchase, value: arr, if_missing: hold, currency: EUR }
`)
	noon := wonEvent().OccurredAt
	for _, tt := range []struct {
		currency string
		at       time.Time
		want     string
	}{
		{"USD", noon, "0.92"},
		{"usd", noon.Add(-time.Nanosecond), "0.90"},
		{"USD", time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC), ""},
		{"GBP", noon, "1.15"},
		{"EUR", noon, ""},
		{"CHF", noon, ""},
	} {
		e := wonEvent()
		e.OccurredAt, e.Revenue.Currency = tt.at, tt.currency
		if r, _ := m.RouteOf("meta", "meta", e); r.Rate != tt.want || r.Currency != "EUR" {
			t.Errorf("%s at %v: rate %q to %s, want %q", tt.currency, tt.at, r.Rate, r.Currency, tt.want)
		}
	}
}

func TestWhatLinesSayIsHeldAgainstTheVendor(t *testing.T) {
	m := mustCompile(t, linesHead+`destinations:
  meta:
    defaults: { match: [em, phone] }
    customer_won: { event: Purchase, value: amount, if_missing: hold, match: [em, fbq] }
    lead_captured: { event: Lead, accounts: [meta_emae, li] }
  meta_emea:
    lead_captured: { event: Lead, accounts: meta_emea }
  li:
    lead_captured: { rule: lead, match: SHA256_EMIAL }
  webhook:
    lead_captured: { match: em }
`)
	got := lines(m.CheckConfigured(nil, map[string]string{"meta_us": "meta", "meta_emea": "meta", "li": "linkedin"}, map[string]Vendor{
		"hubspot": {}, "webhook": {}, "meta": {Match: []string{"em", "ph", "fbc", "fbp"}}, "linkedin": {Match: []string{"SHA256_EMAIL"}},
	}))
	want := `m.yaml:5:29: meta finds nobody by "phone"; it knows em, ph, fbc, fbp
m.yaml:6:83: meta finds nobody by "fbq"; it knows em, ph, fbc, fbp (did you mean "fbc"?)
m.yaml:7:46: "meta_emae" is no configured destination of kind meta (did you mean "meta_emea"?)
m.yaml:7:57: "li" is no configured destination of kind meta
m.yaml:9:45: the lines of destinations.meta_emea are for that one destination already
m.yaml:11:41: linkedin finds nobody by "SHA256_EMIAL"; it knows SHA256_EMAIL (did you mean "SHA256_EMAIL"?)
m.yaml:13:29: webhook finds people in one way; match says nothing there
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Whatever somebody writes as a condition or property, a line answers, the same twice.
func FuzzLine(f *testing.F) {
	for _, s := range [][2]string{{`amount > 5`, `= upper(country)`}, {`properties.a.b`, `= properties["x"] ?? 1`}, {`[1,2,3]`, `= 1/0`}, {`email matches "(a+)+$"`, `= "a" + 1`}, {`not not not true`, `= nil`}} {
		f.Add(s[0], s[1])
	}
	e := wonEvent()
	f.Fuzz(func(t *testing.T, when, property string) {
		m, problems := Compile(File{Name: "m.yaml", Text: []byte(linesHead + "destinations:\n  meta:\n    customer_won:\n      event: Lead\n      when: " + yamlQuoted(when) + "\n      properties: { x: " + yamlQuoted(property) + " }\n")})
		for _, p := range problems {
			if p.Message == "" || strings.Contains(p.Message, "ada@example") {
				t.Errorf("%+v", p)
			}
		}
		if m == nil {
			return
		}
		first, _ := m.RouteOf("meta", "meta", e)
		if again, _ := m.RouteOf("meta", "meta", e); !reflect.DeepEqual(first, again) {
			t.Errorf("%+v, then %+v", first, again)
		}
		for _, l := range m.Lines() {
			if !strings.HasPrefix(l.String(), "customer_won: {event: Lead") {
				t.Error(l)
			}
		}
	})
}
