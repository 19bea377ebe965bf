package mappings

import (
	"testing"
	"time"

	"tributary/canonical"
)

func TestAdviceStandsAtItsLine(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
destinations:
  linkedin:
    lead_captured: { rule: lead }
  li_emea:
    customer_won: { rule: closed_won }
`)
	got := lines(m.Advised("destination li_emea", []string{"li_emea", "linkedin"}, []string{
		"rule closed_won (m.yaml:7) is not bound", "rule lead (m.yaml:5) is not bound", "the version ends soon",
	}))
	want := `m.yaml:7:5: warning: destination li_emea: rule closed_won is not bound
m.yaml:5:5: warning: destination li_emea: rule lead is not bound
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestLinesThatTakersNeverSend(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, qualified_lead, customer_won]
destinations:
  meta:
    lead_captured: { event: Lead, delay: 5d }
    qualified_lead: { event: QualifiedLead }
    customer_won: { event: Purchase, value: amount, if_missing: hold }
  meta_a:
    qualified_lead: { event: QualifiedLead }
    customer_won: { event: Purchase, value: arr, if_missing: hold }
  meta_b:
    customer_won: { event: Subscribe, value: amount, if_missing: hold }
`)
	days := 4 * 24 * time.Hour
	takers := []Taker{{"meta_a", "meta", days}, {"meta_b", "meta", days}}
	want := `m.yaml:5:5: warning: meta_a takes nothing older than 4 days: an event that waits 5 days first is never sent
m.yaml:5:5: warning: meta_b takes nothing older than 4 days: an event that waits 5 days first is never sent
m.yaml:9:5: warning: the line does nothing: destinations.meta says the same at m.yaml:6
m.yaml:7:5: warning: the line is never asked: every configured destination of kind meta has one of its own for customer_won
`
	if got := lines(m.CheckTakers(takers, true)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := m.CheckTakers(takers[:1], false); len(got) == 0 || got[len(got)-1].Code != "value_without_currency" || got[len(got)-1].Line != 7 {
		t.Errorf("a value without a currency: %v", got)
	}
	declared := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nrevenue: { currency: EUR }\ndestinations:\n  webhook:\n    customer_won: { value: amount }\n")
	if got := declared.CheckTakers([]Taker{{"hook", "webhook", 0}}, false); len(got) > 0 {
		t.Errorf("the mapping says which currency: %v", got)
	}
}

func TestStagesThatNoLineNames(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
sources:
  hubspot:
    lifecycle: { lead: lead_captured, other: crm_stage_changed }
    deals:
      "*": { closedwon: customer_won }
`)
	at := time.Date(2026, 4, 23, 0, 0, 0, 0, time.UTC)
	seen := func(object, pipeline, stage string, times int64) Seen {
		return Seen{Source: "hubspot", Way: canonical.WayHubSpot, Object: object, Pipeline: pipeline, Stage: stage, Times: times, Last: at}
	}
	got := lines(m.CheckSeen([]Seen{
		seen("contact", "", "Lead", 1), seen("contact", "", "other", 5), seen("contact", "", "leads", 1), seen("company", "", "evangelist", 3),
		seen("deal", "renewals", "closedwon", 2), seen("deal", "renewals", "contractsent", 12),
	}))
	want := `m.yaml:4:3: warning: contact stage "leads" was reported once, last on 2026-04-23, and no line of lifecycle names it by that value (did you mean the line "lead"?)
m.yaml:4:3: warning: deal stage "contractsent" in pipeline "renewals" was reported 12 times, last on 2026-04-23, and no line of deals names it by that value
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestIDParts(t *testing.T) {
	m := defaults(t)
	for name, tt := range map[string]struct {
		report canonical.Report
		want   []IDPart
	}{
		"a contact's stage": {lifecycle("marketingqualifiedlead"), []IDPart{{"contact", "102948"}, {"stage", "marketingqualifiedlead"}, {"time", guideTime}}},
		"a deal's stage":    {deal("closedwon"), []IDPart{{"deal", "84721"}, {"stage", "closedwon"}, {"time", guideTime}}},
	} {
		r := tt.report
		if name == "a deal's stage" {
			r.TimeText = guideTime
		}
		got := m.IDParts(r, *apply(t, m, r, crm()))
		if len(got) != len(tt.want) {
			t.Errorf("%s: %v", name, got)
			continue
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%s: %v, want %v", name, got[i], tt.want[i])
			}
		}
	}
	given := lifecycle("lead")
	given.EventID = "mine"
	if got := m.IDParts(given, *apply(t, m, given, crm())); got != nil {
		t.Errorf("the sender's own id has parts: %v", got)
	}
}
