package mappings

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf8"

	"tributary/canonical"
)

// Whatever the text, Compile ends, gives a mapping or a mistake, says the same twice and
// places every problem within the text.
func FuzzCompile(f *testing.F) {
	f.Add(Default().Text)
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/odd/*.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, problems := Compile(File{Name: "m.yaml", Text: text})
		if (m == nil) != Failed(problems) {
			t.Fatalf("mapping %v with problems:\n%s", m != nil, lines(problems))
		}
		_, again := Compile(File{Name: "m.yaml", Text: text})
		if lines(again) != lines(problems) {
			t.Fatalf("first:\n%sthen:\n%s", lines(problems), lines(again))
		}
		for _, p := range problems {
			if p.Line < 0 || p.Column < 0 || p.Message == "" || p.Code == "" || address.MatchString(p.Message) {
				t.Fatalf("%+v", p)
			}
		}
		if m == nil {
			return
		}
		m.Apply(lifecycle("lead"), crm())
		m.Apply(deal("closedwon"), crm())
		m.CheckConfigured(nil, nil, nil)
		for _, key := range m.DestinationKeys() {
			for _, name := range m.Vocabulary() {
				r, _ := m.Route(key, name)
				if _, err := json.Marshal(r); err != nil {
					t.Fatalf("route %s %s: %v", key, name, err)
				}
			}
		}
	})
}

// Whatever a source sends, Apply ends, gives an event, a quarantine or nothing, says the
// same twice, and lets no browser into the funnel.
func FuzzApply(f *testing.F) {
	text := string(Default().Text) + `
other_names: [webinar_attended]
revenue: { amount_means: { annual: arr } }
`
	m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)}, File{Name: "ignore.yaml", Text: []byte(`version: 1
sources:
  hubspot:
    ignore:
      - { when: 'email endsWith "@example.com" or not (company matches "^a+$") and stage in ["x", "lead"] or len(title) > 3', reason: odd }
  pixel:
    ignore:
      - { when: 'browser and lower(trim(page)) contains "careers"', reason: applicant }
`)}, File{Name: "records.yaml", Text: []byte(`version: 1
ids:
  - { event: "*", recipe: 2, parts: [object_id, stage, day], from: 2026-01-01 }
sources:
  hubspot:
    lead_status: { OPEN: qualified_lead, UNQUALIFIED: lead_recycled }
    properties: { demo: webinar_attended, deal.grade: { A: qualified_lead } }
    objects: { "2-1": { created: webinar_attended, stages: { open: webinar_attended } } }
    associations: { contact_to_deal: webinar_attended, "36": qualified_lead }
    quarantine:
      - { when: property == "spam" or value startsWith "spam" or outcome == "spam", reason: spam }
`)})
	if m == nil {
		f.Fatal(lines(problems))
	}
	f.Add("lifecycle", "hubspot.lifecycle_changed", "contact", "102948", "marketingqualifiedlead", "", "buyer@example.com", "acme.example", "", false)
	f.Add("deal_stage", "deal.stage_changed", "deal", "84721", "closedwon", "sales_pipeline", "buyer@gmail.com", "", "e1", false)
	f.Add("custom", "Customer Won", "", "", "", "", "", "", "", true)
	f.Add("lead_status", "contact.propertyChange", "contact", "1", "open", "", "a@example.com", "", "", false)
	f.Add("property", "deal.propertyChange", "deal", "1", "a", "grade", "", "", "", false)
	f.Add("property", "2-1.creation", "2-1", "1", "", "", "", "", "", false)
	f.Add("association", "36", "contact", "1", "2", "deal", "", "", "", false)
	f.Add("touch", "page_view", "", "", "", "", "", "", "", true)
	f.Fuzz(func(t *testing.T, subject, event, object, id, stage, pipeline, email, domain, eventID string, browser bool) {
		thousand := canonical.Money(1000)
		r := canonical.Report{
			Subject: canonical.Subject(subject), Event: event, EventID: canonical.EventID(eventID), Object: canonical.Object{Type: object, ID: id},
			RawStage: stage, StageLabel: event, Pipeline: pipeline, PipelineLabel: stage, OccurredAt: time.Unix(1_780_000_000, 0),
			Contact: canonical.Contact{Email: email, Title: event}, Company: canonical.Company{Domain: domain, Name: domain},
			Outcome: pipeline, Property: pipeline, Value: stage, Deal: id,
			Association: &canonical.Association{FromType: object, FromID: id, ToType: pipeline, ToID: stage, Label: event},
			Touch:       &canonical.Touch{Kind: stage, Page: pipeline}, Revenue: &canonical.Revenue{Amount: &thousand, BillingPeriod: stage},
		}
		if h := canonical.EmailHash(email); h != "" {
			r.Identifiers = []canonical.Identifier{{Scheme: canonical.Email, Value: h}}
		}
		rc := canonical.Receipt{ID: "01J", Source: "hubspot", Way: canonical.WayCRM, Browser: browser, ReceivedAt: guideAt}
		got, again := m.Apply(r, rc), m.Apply(r, rc)
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(again)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("%s (%v), then %s (%v)", a, errA, b, errB)
		}
		if got.Quarantine != nil && got.Event != nil {
			t.Fatalf("both an event and a quarantine: %s", a)
		}
		e := got.Event
		if e == nil {
			return
		}
		if !snakeCase.MatchString(e.Name) || e.ID == "" || !utf8.ValidString(e.Name) {
			t.Fatalf("name %q, id %q", e.Name, e.ID)
		}
		if browser && (e.Funnel || r.Subject == canonical.SubjectProperty || e.Name == StageChanged || e.Name == LeadRecycled) {
			t.Fatalf("a browser claimed %s", e.Name)
		}
		if e.Funnel != (e.Rank > 0) || e.Funnel != (e.CountedBy != "") || e.Funnel != (e.Stage != "") {
			t.Fatalf("%s", a)
		}
	})
}
