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
  crm:
    events: { signup: lead_captured }
    ignore:
      - { when: 'email endsWith "@example.com"', reason: internal_test }
  hubspot:
    lifecycle: { lead: lead_captured, other: crm_stage_changed, Evangelist: lead_captured }
    lead_status: { NEW: lead_captured }
    objects: { "2-4417": { stages: { signed: customer_won } } }
    deals:
      "*": { won: customer_won, offered: lead_captured }
      Renewals: { signed: customer_won }
`)
	at := time.Date(2026, 4, 23, 0, 0, 0, 0, time.UTC)
	of := func(subject canonical.Subject, object, stage string, also ...func(*canonical.Report)) canonical.Report {
		r := canonical.Report{Subject: subject, Object: canonical.Object{Type: object, ID: "1"}, RawStage: stage, OccurredAt: at}
		for _, change := range also {
			change(&r)
		}
		return r
	}
	pipeline := func(id, label string) func(*canonical.Report) {
		return func(r *canonical.Report) { r.Pipeline, r.PipelineLabel = id, label }
	}
	var seen []Seen
	for _, c := range []struct {
		title string
		r     canonical.Report
		is    bool
	}{
		{"a line in other letters", of(canonical.SubjectLifecycle, "contact", "Lead"), false},
		{"a line that leaves it as it is", of(canonical.SubjectLifecycle, "contact", "other"), false},
		{"a custom stage by its label", of(canonical.SubjectLifecycle, "contact", "8841", func(r *canonical.Report) { r.StageLabel = "evangelist" }), false},
		{"ignored", of(canonical.SubjectLifecycle, "contact", "leads", func(r *canonical.Report) { r.Contact.Email = "a@example.com" }), false},
		{"no stage", of(canonical.SubjectLifecycle, "contact", ""), false},
		{"a company's, where no line is for companies", of(canonical.SubjectLifecycle, "company", "evangelist"), false},
		{"won, as the CRM has it", of(canonical.SubjectDealStage, "deal", "77", func(r *canonical.Report) { r.Outcome = "won" }), false},
		{"a pipeline by its label", of(canonical.SubjectDealStage, "deal", "signed", pipeline("88", "renewals")), false},
		{"a stage of another pipeline", of(canonical.SubjectDealStage, "deal", "signed", pipeline("99", "Sales")), true},
		{"misspelt", of(canonical.SubjectLifecycle, "contact", "leads"), true},
		{"a lead status", of(canonical.SubjectLeadStatus, "contact", "OPEN"), true},
		{"a custom object's", of(canonical.SubjectProperty, "2-4417", "", func(r *canonical.Report) { r.Property, r.Value = "hs_pipeline_stage", "drafted" }), true},
		{"a deal's that no line names", of(canonical.SubjectDealStage, "deal", "78", func(r *canonical.Report) { r.StageLabel = "Offers" }, pipeline("99", "Sales")), true},
	} {
		s, is := m.Uncovered(c.r, canonical.Receipt{Source: "hubspot", Way: canonical.WayCRM, ReceivedAt: at})
		if is != c.is {
			t.Errorf("%s: %t, %+v", c.title, is, s)
		}
		if is {
			seen = append(seen, s)
		}
	}
	seen[4].Times = 12
	want := `m.yaml:8:3: warning: deal stage "signed" in pipeline "99" (Sales) was reported once, last on 2026-04-23, and no line of deals names it (did you mean the line "signed"?)
m.yaml:8:3: warning: contact stage "leads" was reported once, last on 2026-04-23, and no line of lifecycle names it (did you mean the line "lead"?)
m.yaml:8:3: warning: lead status "OPEN" was reported once, last on 2026-04-23, and no line of lead_status names it
m.yaml:8:3: warning: 2-4417 stage "drafted" was reported once, last on 2026-04-23, and no line of objects names it
m.yaml:8:3: warning: deal stage "78" (Offers) in pipeline "99" (Sales) was reported 12 times, last on 2026-04-23, and no line of deals names it (did you mean the line "offered"?)
`
	if got := lines(m.CheckSeen(seen)); got != want {
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
