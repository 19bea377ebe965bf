package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
	"tributary/mappings"
)

// sections configures every kind, HubSpot with all that it can write.
var sections = map[string][]string{
	"meta":     {"dataset_id: '1234567890'\n"},
	"linkedin": {"rules: {closed_won: 104012}\nuser_info: true\n"},
	"hubspot": {"timeline: notes\ncompany_fields: [source_platform, last_activity_at]\ndeal_fields: [source_campaign]\nlifecycle: {customer_won: customer}\n",
		"timeline: custom_events\nportal_id: 424242\n", "timeline: oauth_timeline\ntier: oauth\ntemplates: {'*': '1001298'}\ntokens: {summary: sentence, amount: amount}\n"},
	"webhook": {"url: https://hook.example.com/x\n", "url: https://hook.example.com/x\nbatch: 50\ninclude_contact: true\n"},
}

// MRR, ARR, contract value and amount are given as distinct numbers, and every destination is
// told another one to send: whatever the adapter, only that one occurs in what leaves.
func TestOnlyTheChosenValueLeaves(t *testing.T) {
	values := map[string]string{"amount": "71301", "mrr": "1401.25", "arr": "16815", "acv": "17919", "tcv": "50445"}
	money := func(s string) *canonical.Money {
		m, err := canonical.ParseMoney(s)
		if err != nil {
			t.Fatal(err)
		}
		return &m
	}
	for _, chosen := range []string{"none", "amount", "mrr", "arr", "acv", "tcv"} {
		m, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: fmt.Appendf(nil, `version: 1
vocabulary: [customer_won]
sources:
  hubspot:
    deals: { "*": { closedwon: customer_won } }
revenue:
  properties: { arr: contract_arr, acv: contract_acv }
  derive: { tcv: "= arr * 3" }
destinations:
  meta:     { customer_won: { event: Won, value: %[1]s, properties: { plan: = properties.plan } } }
  linkedin: { customer_won: { rule: closed_won, value: %[1]s } }
  hubspot:  { customer_won: { value: %[1]s } }
  webhook:  { "*": { value: %[1]s } }
`, chosen)})
		if m == nil {
			t.Fatal(problems)
		}
		sample := destinationtest.Deals(1)[0]
		report := canonical.Report{
			Subject: canonical.SubjectDealStage, Event: "deal.propertyChange", Object: sample.Object, RawStage: "closedwon", Pipeline: "sales",
			OccurredAt: sample.OccurredAt, Contact: sample.Contact, Company: sample.Company, Contacts: []string{sample.Contact.ID}, Identifiers: sample.Identifiers,
			Revenue:    &canonical.Revenue{Amount: money(values["amount"]), MRR: money(values["mrr"]), ARR: money("999331"), Currency: "USD", BillingPeriod: "annual"},
			Properties: map[string]any{"contract_arr": values["arr"], "contract_acv": values["acv"], "plan": "pro"},
		}
		e := *m.Apply(report, canonical.Receipt{Source: "hubspot", Way: canonical.WayHubSpot, ReceivedAt: sample.ReceivedAt}).Event
		for basis, v := range values {
			if got := e.Revenue.By(basis); got == nil || got.String() != v {
				t.Fatalf("%s of the event is %v, want %s", basis, got, v)
			}
		}
		e.Known = sample.Known
		for kind, list := range sections {
			for _, section := range list {
				k, _ := Kind(kind)
				d, wrong := k.New(destinationtest.Section(t, section))
				if len(wrong) > 0 {
					t.Fatalf("%s: %v", kind, wrong)
				}
				route, ok := m.RouteOf("d", kind, &e)
				if !ok {
					t.Fatalf("no line for %s", kind)
				}
				for _, batch := range destinationtest.Plan(t, d, route, []canonical.Event{e}) {
					q, err := d.Build(batch)
					if err != nil {
						t.Fatalf("%s: %v", kind, err)
					}
					sent := outgoing(q)
					for basis, v := range values {
						if says(sent, v) && basis != chosen {
							t.Errorf("value %s: %s sends %s (%s): %s", chosen, kind, basis, v, sent)
						}
					}
					if says(sent, "999331") {
						t.Errorf("value %s: %s sends HubSpot's own ARR: %s", chosen, kind, sent)
					}
					if part := batch[0].Part.Name; chosen != "none" && (part == "event" || strings.HasPrefix(part, "rule:") || part == "timeline") && !says(sent, values[chosen]) {
						t.Errorf("value %s: %s does not send it: %s", chosen, kind, sent)
					}
				}
			}
		}
	}
}

// outgoing is all of a request that leaves.
func outgoing(q destinations.Request) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s?%s%s %v ", q.Path, q.RawQuery, q.Query.Encode(), q.Header)
	b.Write(q.Body)
	return b.String()
}

// says is true where a number stands in a text, whatever separates its thousands.
func says(sent, number string) bool {
	whole, _, _ := strings.Cut(number, ".")
	return strings.Contains(strings.NewReplacer(",", "", "\u202f", "", "\u00a0", "").Replace(sent), whole)
}

// A line may name the keys by which the vendor may find somebody: no other leaves.
func TestOnlyTheKeysOfTheLineLeave(t *testing.T) {
	e := destinationtest.Deals(1)[0]
	for kind, list := range map[string]map[string]bool{
		"meta": {"em": true, "ph": true, "fbc": true, "external_id": false}, "linkedin": {"SHA256_EMAIL": true, "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID": true, "externalIds": false, "userInfo": true},
	} {
		k, _ := Kind(kind)
		d, wrong := k.New(destinationtest.Section(t, sections[kind][0]))
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		for key, alone := range list {
			if !slices.Contains(k.MatchKeys, key) {
				t.Errorf("%s does not list %s", kind, key)
			}
			route := canonical.Route{Event: "Won", Rule: "closed_won", Match: []string{key}}
			parts, refusal := d.Plan(e, *e.Known, route)
			if !alone {
				if refusal.Reason != canonical.ReasonAwaitingIdentity {
					t.Errorf("%s by %s alone: %v %v", kind, key, parts, refusal)
				}
				continue
			}
			if len(parts) != 1 {
				t.Fatalf("%s by %s: %v", kind, key, refusal)
			}
			it := destinations.Item{Event: e, Known: *e.Known, Part: parts[0]}
			q, err := d.Build([]destinations.Item{it})
			if err != nil {
				t.Fatal(err)
			}
			if got := keysIn(t, kind, q.Body); !slices.Equal(got, []string{key}) {
				t.Errorf("%s by %s sends %v", kind, key, got)
			}
			for said := range d.(destinations.Matcher).Match(it) {
				if said != key {
					t.Errorf("%s by %s: match says something of %s", kind, key, said)
				}
			}
		}
	}
}

func keysIn(t *testing.T, kind string, body []byte) []string {
	t.Helper()
	var out []string
	if kind == "meta" {
		var b struct {
			Data []struct {
				User map[string]any `json:"user_data"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &b); err != nil {
			t.Fatal(err)
		}
		for k := range b.Data[0].User {
			out = append(out, k)
		}
		return out
	}
	var b struct {
		Elements []struct {
			User map[string]json.RawMessage `json:"user"`
		} `json:"elements"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		t.Fatal(err)
	}
	for k, v := range b.Elements[0].User {
		if k != "userIds" {
			out = append(out, k)
			continue
		}
		var ids []struct {
			Type string `json:"idType"`
		}
		if err := json.Unmarshal(v, &ids); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			out = append(out, id.Type)
		}
	}
	return out
}

// Several rules are several parts, each with its own state: one that is not bound leaves the
// others alone.
func TestALineWithSeveralRules(t *testing.T) {
	k, _ := Kind("linkedin")
	d, wrong := k.New(destinationtest.Section(t, "rules: {closed_won: 104012, all_deals: [104013, 104014]}\n"))
	if len(wrong) > 0 {
		t.Fatal(wrong)
	}
	e := destinationtest.Deals(1)[0]
	parts, refusal := d.Plan(e, *e.Known, canonical.Route{Rule: "closed_won", MoreRules: []string{"all_deals", "nobody_bound"}, Value: "amount"})
	if refusal.Reason != "" {
		t.Fatal(refusal)
	}
	var got []string
	for _, p := range parts {
		if p.Refused.Reason != "" {
			got = append(got, p.Name+" "+p.Refused.Reason)
			continue
		}
		q, err := d.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: p}})
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Elements []struct {
				Conversion string `json:"conversion"`
			} `json:"elements"`
		}
		if err := json.Unmarshal(q.Body, &b); err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Name+" "+b.Elements[0].Conversion)
	}
	want := []string{"rule:closed_won urn:lla:llaPartnerConversion:104012", "rule:all_deals urn:lla:llaPartnerConversion:104013", "rule:all_deals:104014 urn:lla:llaPartnerConversion:104014", "rule:nobody_bound not_configured"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	advice := d.(destinations.Adviser).Advice(map[string]canonical.Route{"customer_won": {Rule: "closed_won", MoreRules: []string{"nobody_bound"}}})
	if len(advice) == 0 || !strings.Contains(advice[0], "nobody_bound") {
		t.Errorf("advice %v", advice)
	}
}

// The fields that a mapping may name are those that the adapter writes.
func TestTheMappingKnowsHubSpotsFields(t *testing.T) {
	k, _ := Kind("hubspot")
	for _, field := range mappings.ContactFieldNames() {
		if _, wrong := k.New(destinationtest.Section(t, "properties: {"+field+": some_property}\n")); len(wrong) > 0 {
			t.Errorf("%s: %v", field, wrong)
		}
	}
	_, wrong := k.New(destinationtest.Section(t, "properties: {no_such_field: x}\n"))
	if len(wrong) != 1 {
		t.Fatal(wrong)
	}
	_, list, _ := strings.Cut(wrong[0].Message, "of ")
	for _, field := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		if strings.Contains(field, "_") && !strings.ContainsAny(field, "()\"") && !slices.Contains(mappings.ContactFieldNames(), field) {
			t.Errorf("the mapping does not know %s", field)
		}
	}
}
