package mappings

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/canonical/wire"
)

const billing = `version: 1
vocabulary: [proposal_sent, customer_won]
other_names: [invoice_paid, form_seen]
sources:
  hubspot:
    lifecycle: { customer: customer_won }
    deals: { "*": { sent: proposal_sent, won: customer_won } }
  billing:
    json:
      each: $.invoices[*]
      event: $.type
      fields:
        event_id: $.id
        occurred_at: $.paid_at
        observed_at: $.told_at
        email: $.customer.emails
        first_name: = part(trim($.customer.name), " ", 0)
        domain: = lower(part($.customer.site, "/", 2))
        amount: = number($.total_cents) / 100
        mrr: $.monthly
        currency: = first($.currency, "EUR")
        kind: $.how
        stage: $.stage
        deal_id: $.deal
        is_closed_won: $.won
        form: $.form
        platform: $.platform
        ad_user_data: $.consent.ads
        properties.plan: $.lines[0]["plan name"]
        properties.large: = number($.total_cents) > 100000
        properties.version: 2
    events: { invoice.settled: invoice_paid }
`

func hooked(t testing.TB, m *Mapping, body string) (canonical.Report, Result) {
	t.Helper()
	rc := canonical.Receipt{ID: "01H", Source: "billing", Way: canonical.WayHook, ReceivedAt: guideAt, Body: []byte(body)}
	shaped, q := m.Shape(rc)
	if q != nil {
		return canonical.Report{}, Result{Quarantine: q}
	}
	r, problem := wire.Read(shaped, wire.Settings{})
	if problem != nil {
		return r, Result{Quarantine: &Quarantine{problem.Code, problem.Detail}}
	}
	return r, m.Apply(r, rc)
}

func TestAnyJSON(t *testing.T) {
	m := mustCompile(t, billing)
	_, got := hooked(t, m, `{"type":"Invoice.Settled","id":"in_42","paid_at":"2026-04-23T11:04:19Z","told_at":1776942300,"customer":{"emails":["Buyer@Acme.example","b2@acme.example"],"name":" Ada Byron ","site":"HTTPS://Shop.Acme.example/x","vat":"DE1"},
		"total_cents":3600050,"monthly":3000.5,"lines":[{"plan name":"Team","sku":9}],"consent":{"ads":"granted"},"memo":{"a":[1,2]},"big":12345678901234567890}`)
	e := got.Event
	if e == nil {
		t.Fatalf("%+v", got.Quarantine)
	}
	if e.Name != "invoice_paid" || e.ID != "in_42" || !e.OccurredAt.Equal(guideAt) || e.ObservedAt == nil || e.TimeBasis != "" || e.Way != canonical.WayHook {
		t.Errorf("%+v", e)
	}
	if e.Contact.Email != "buyer@acme.example" || e.Contact.FirstName != "Ada" || e.Company.Domain != "shop.acme.example" || len(e.Identifiers) != 2 {
		t.Errorf("%+v %+v %v", e.Contact, e.Company, e.Identifiers)
	}
	if e.Revenue.Amount.String() != "36000.5" || e.Revenue.MRR.String() != "3000.5" || e.Revenue.Currency != "EUR" || e.Consent == nil || !*e.Consent.AdUserData {
		t.Errorf("%+v %+v", e.Revenue, e.Consent)
	}
	want := map[string]any{"plan": "Team", "large": true, "version": json.Number("2"), "memo": map[string]any{"a": []any{json.Number("1"), json.Number("2")}}, "big": json.Number("12345678901234567890"),
		"customer": map[string]any{"vat": "DE1"}, "lines": []any{map[string]any{"sku": json.Number("9")}}}
	if !reflect.DeepEqual(e.Properties, want) {
		t.Errorf("properties %v, want %v", e.Properties, want)
	}
}

func TestJSONIsReadAsWhatItIs(t *testing.T) {
	m := mustCompile(t, billing)
	for _, c := range []struct{ title, body, name, subject, object string }{
		{"a deal's stage", `{"type":"x","deal":"77","stage":"sent","customer":{"emails":"a@acme.example"}}`, "proposal_sent", "deal_stage", "deal"},
		{"a deal that is won by the sender's word", `{"type":"x","deal":"77","stage":"zzz","won":true}`, "customer_won", "deal_stage", "deal"},
		{"a person's stage", `{"type":"x","stage":"Customer","customer":{"emails":"a@acme.example"}}`, "customer_won", "lifecycle", "person"},
		{"a form", `{"type":"x","how":"form","form":"demo","platform":"linkedin","customer":{"emails":"a@acme.example"}}`, "x", "touch", "form"},
		{"its own name", `{"type":"Form seen","customer":{"emails":"a@acme.example"}}`, "form_seen", "custom", "person"},
	} {
		r, got := hooked(t, m, c.body)
		if got.Event == nil || got.Event.Name != c.name || string(r.Subject) != c.subject || r.Object.Type != c.object {
			t.Errorf("%s: %+v, %v, %+v", c.title, got.Event, got.Quarantine, r)
			continue
		}
		if got.Event.TimeBasis != "reported" || !got.Event.OccurredAt.Equal(guideAt) {
			t.Errorf("%s: without a time it happened at %s, %q", c.title, got.Event.OccurredAt, got.Event.TimeBasis)
		}
	}
	for _, c := range []struct{ title, body, code string }{
		{"nobody's", `{"type":"x"}`, "missing_id"},
		{"a number that is none", `{"type":"x","total_cents":"many","customer":{"emails":"a@acme.example"}}`, CodeRuleFailed},
		{"no name", `{"customer":{"emails":"a@acme.example"}}`, "bad_name"},
		{"no JSON", `{"type":`, "malformed"},
		{"a kind that is none", `{"type":"x","how":"dance","customer":{"emails":"a@acme.example"}}`, "unknown_event"},
		{"a text beyond bounds", `{"type":"x","customer":{"name":"` + strings.Repeat("x", maxOperand+1) + `"}}`, CodeRuleFailed},
	} {
		if _, got := hooked(t, m, c.body); got.Quarantine == nil || got.Quarantine.Code != c.code || strings.Contains(got.Quarantine.Detail, "many") {
			t.Errorf("%s: %+v %+v", c.title, got.Quarantine, got.Event)
		}
	}
}

func TestItems(t *testing.T) {
	m := mustCompile(t, billing)
	items, err := m.Items("billing", []byte(`{"invoices":[{"id": 1 }, {"id":2}],"more":1}`))
	if err != nil || len(items) != 2 || string(items[0]) != `{"id": 1 }` {
		t.Errorf("%s, %v", items, err)
	}
	for _, body := range []string{`{}`, `[]`, `{"invoices":{}}`, `{"invoices":null}`, `x`} {
		if items, err := m.Items("billing", []byte(body)); err == nil {
			t.Errorf("%s gave %s", body, items)
		}
	}
	if items, err := m.Items("another", []byte(`[1]`)); err != nil || string(items[0]) != `[1]` {
		t.Errorf("%s, %v", items, err)
	}
	other := canonical.Receipt{Source: "billing", Way: canonical.WayEvents, Body: []byte(`{"type":"x"}`)}
	if shaped, q := m.Shape(other); q != nil || string(shaped.Body) != string(other.Body) {
		t.Errorf("a server's event was shaped: %s, %v", shaped.Body, q)
	}
}

// Every field of the reference's table is one of the language, and the other way about.
func TestEveryFieldCanBeSet(t *testing.T) {
	for name, f := range shapeFields {
		value := `"v"`
		switch f.as {
		case asNumber, asTime:
			value = "1776942300"
		case asFlag:
			value = "true"
		case asKind:
			value = "custom"
		}
		text := "version: 1\nvocabulary: [customer_won]\nsources:\n  billing:\n    json:\n      event: x\n      fields:\n        properties.p: 1\n"
		if name != "event" {
			text += "        " + name + ": " + value + "\n"
		}
		if m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)}); m == nil {
			t.Errorf("%s: %s", name, lines(problems))
		}
	}
}

// Whatever a source sends, Shape ends, says the same twice, and what it gives can be read.
func FuzzShape(f *testing.F) {
	m := mustCompile(f, billing)
	f.Add([]byte(`{"type":"x","id":"1","customer":{"emails":["a@example.com"],"name":"Ada"},"total_cents":"12.5","lines":[{"plan name":1}]}`))
	f.Add([]byte(`[{"type":{"a":null}}]`))
	f.Add([]byte(`{"customer":{"customer":{}},"invoices":[[],{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		rc := canonical.Receipt{ID: "01H", Source: "billing", Way: canonical.WayHook, ReceivedAt: guideAt, Body: body}
		one, q := m.Shape(rc)
		two, _ := m.Shape(rc)
		if string(one.Body) != string(two.Body) {
			t.Fatalf("%s, then %s", one.Body, two.Body)
		}
		if items, err := m.Items("billing", body); err == nil && len(items) > len(body) {
			t.Fatalf("%d items of %d bytes", len(items), len(body))
		}
		if q != nil {
			return
		}
		r, problem := wire.Read(one, wire.Settings{})
		if problem != nil {
			return
		}
		got := m.Apply(r, rc)
		if got.Event != nil && (got.Event.ID == "" || !snakeCase.MatchString(got.Event.Name)) {
			t.Fatalf("%+v", got.Event)
		}
	})
}
