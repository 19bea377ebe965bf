package mappings

import (
	"testing"

	"tributary/canonical"
)

const records = `version: 1
vocabulary:
  - lead_captured: { meaning: lead, aliases: [mql, Erstkontakt] }
  - qualified_lead: { rank: 2 }
  - sql_or_demo: { rank: 2, recycle: send }
  - customer_won: { meaning: revenue, count: first_per_person }
  - customer_expanded: { meaning: expansion, count: every, recycle: report }
other_names: [demo_requested, account_created, seat_opened, joined_deal, champion_found, deal_lost]
sources:
  hubspot:
    lifecycle: { lead: mql, "4417902": qualified_lead }
    deals:
      "*": { closedwon: customer_won, won: customer_won, lost: deal_lost }
      Renewals: { won: customer_expanded, "77": customer_won }
    lead_status: { OPEN_DEAL: qualified_lead, Unqualified: lead_recycled }
    properties:
      demo_requested_at: demo_requested
      contact.lead_grade: { A: qualified_lead }
      company.lead_grade: account_created
    objects:
      company: { created: account_created }
      "2-4417": { stages: { Active: seat_opened } }
    associations: { contact_to_deal: joined_deal, "36": champion_found }
    ignore:
      - { when: property == "demo_requested_at" and value == "test", reason: trial }
    quarantine:
      - { when: email_domain == "spam.example", reason: spam }
  pixel:
    quarantine:
      - { when: user_agent contains "Headless", reason: bot }
`

func TestRecords(t *testing.T) {
	m := mustCompile(t, records)
	status := func(raw string) canonical.Report {
		r := lifecycle(raw)
		r.Subject, r.Event = canonical.SubjectLeadStatus, "contact.propertyChange"
		return r
	}
	property := func(object, name, value string) canonical.Report {
		return canonical.Report{Subject: canonical.SubjectProperty, Event: object + ".propertyChange", Object: canonical.Object{Type: object, ID: "5"}, OccurredAt: guideAt, Property: name, Value: value}
	}
	tied := func(from, to, label string, removed bool) canonical.Report {
		return canonical.Report{Subject: canonical.SubjectAssociation, Event: from + ".associationChange", Object: canonical.Object{Type: from, ID: "5"}, OccurredAt: guideAt,
			Association: &canonical.Association{FromType: from, FromID: "5", ToType: to, ToID: "5", Label: label, Removed: removed}}
	}
	made := func(object string) canonical.Report {
		r := property(object, "", "")
		r.Event = object + ".creation"
		return r
	}
	for _, c := range []struct {
		title, want string
		r           canonical.Report
	}{
		{"lead status", "qualified_lead", status("open_deal")},
		{"a lead status for recycled leads", LeadRecycled, status("UNQUALIFIED")},
		{"another lead status", "", status("NEW")},
		{"an emptied lead status", "", status(" ")},
		{"any value", "demo_requested", property("contact", "demo_requested_at", "1776942300000")},
		{"an emptied value", "", property("contact", "demo_requested_at", "")},
		{"this value", "qualified_lead", property("contact", "lead_grade", "a")},
		{"another value", "", property("contact", "lead_grade", "B")},
		{"of another object", "account_created", property("company", "lead_grade", "B")},
		{"another property", "", property("contact", "jobtitle", "CEO")},
		{"a stage of a custom object", "seat_opened", property("2-4417", "hs_pipeline_stage", "active")},
		{"a stage of another", "", property("2-9", "hs_pipeline_stage", "active")},
		{"a record made", "account_created", made("company")},
		{"another record made", "", made("deal")},
		{"a tie", "joined_deal", tied("contact", "deal", "", false)},
		{"the same tie from its other end", "joined_deal", tied("deal", "contact", "", false)},
		{"a tie with a label", "champion_found", tied("contact", "deal", "36", false)},
		{"a tie that is cut", "", tied("contact", "deal", "", true)},
		{"another tie", "", tied("contact", "company", "", false)},
		{"a merge", "", canonical.Report{Subject: canonical.SubjectMerge}},
		{"an alias in a table", "lead_captured", lifecycle("erst kontakt")},
		{"an alias on the right", "lead_captured", lifecycle("lead")},
		{"an alias as a server's event", "lead_captured", canonical.Report{Subject: canonical.SubjectCustom, Event: "MQL", OccurredAt: guideAt}},
	} {
		got := m.Apply(c.r, crm())
		name := ""
		if got.Event != nil {
			name = got.Event.Name
		}
		if name != c.want || got.Quarantine != nil {
			t.Errorf("%s became %q, %v, want %q", c.title, name, got.Quarantine, c.want)
		}
		browser := crm()
		browser.Browser = true
		if got := m.Apply(c.r, browser); got.Event != nil && (got.Event.Funnel || c.r.Subject == canonical.SubjectProperty) {
			t.Errorf("%s: a browser's became %s", c.title, got.Event.Name)
		}
	}
	if a, b := apply(t, m, tied("contact", "deal", "", false), crm()), apply(t, m, tied("deal", "contact", "", false), crm()); a.ID != b.ID {
		t.Error("the two ends of one tie give two events")
	}
	pulled := crm() // since when a tie is there that was found, nobody knows
	pulled.Pull(canonical.PulledByReconcile)
	if got := m.Apply(tied("contact", "deal", "", false), pulled); got.Event != nil || got.Quarantine != nil {
		t.Errorf("a tie that was found became %+v", got)
	}
	if got := m.Apply(property("contact", "demo_requested_at", "test"), crm()); got.Event == nil || got.Event.Ignored != "trial" {
		t.Errorf("%+v", got)
	}
}

func TestWonAndLostByTheCRMsWord(t *testing.T) {
	m := mustCompile(t, records)
	for _, c := range []struct{ pipeline, stage, outcome, want string }{
		{"sales", "closedwon", "", "customer_won"},
		{"sales", "9001", "won", "customer_won"},
		{"sales", "Won", "", "customer_won"},
		{"sales", "9002", "lost", "deal_lost"},
		{"sales", "9003", "", StageChanged},
		{"renewals", "closedwon", "won", "customer_expanded"},
		{"renewals", "77", "won", "customer_won"},
		{"renewals", "78", "lost", "deal_lost"},
	} {
		r := deal(c.stage)
		r.Pipeline, r.Outcome = c.pipeline, c.outcome
		if e := apply(t, m, r, crm()); e.Name != c.want {
			t.Errorf("%+v became %s", c, e.Name)
		}
	}
}

func TestQuarantineRules(t *testing.T) {
	m := mustCompile(t, records)
	spam := lifecycle("lead")
	spam.Contact.Email = "x@spam.example"
	merge := canonical.Report{Subject: canonical.SubjectMerge, Contact: spam.Contact}
	for _, r := range []canonical.Report{spam, merge} {
		got := m.Apply(r, crm())
		if got.Event != nil || got.Quarantine == nil || got.Quarantine.Code != "spam" || got.Quarantine.Detail != "by the quarantine rule at m.yaml:27" || got.QuarantinedBy != "m.yaml:27" {
			t.Errorf("%s: %+v", r.Subject, got.Quarantine)
		}
	}
	page := canonical.Report{Subject: canonical.SubjectTouch, Event: "page_view", OccurredAt: guideAt, Touch: &canonical.Touch{Kind: "page_view"}, Browser: canonical.BrowserContext{UserAgent: "HeadlessChrome"}}
	if got := m.Apply(page, canonical.Receipt{Way: canonical.WayPixel, Browser: true}); got.Quarantine == nil || got.Quarantine.Code != "bot" {
		t.Errorf("%+v", got)
	}
	if got := m.Apply(page, canonical.Receipt{Way: canonical.WayEvents}); got.Quarantine != nil {
		t.Errorf("a rule of the pixel holds for servers: %+v", got.Quarantine)
	}
}

func TestWhatIsSaidOfAName(t *testing.T) {
	m := mustCompile(t, records)
	for _, c := range []struct {
		name, meaning, counted, recycle string
		rank                            int
		r                               canonical.Report
	}{
		{"lead_captured", "lead", "person", "", 1, lifecycle("lead")},
		{"qualified_lead", "lead", "person", "", 2, lifecycle("4417902")},
		{"customer_won", "revenue", "person", "", 3, deal("closedwon")},
		{"customer_expanded", "expansion", "event", "report", 4, func() canonical.Report { r := deal("9"); r.Pipeline, r.Outcome = "renewals", "won"; return r }()},
	} {
		e := apply(t, m, c.r, crm())
		if e.Name != c.name || m.Meanings()[c.name] != c.meaning || e.CountedBy != c.counted || e.Recycle != c.recycle || e.Rank != c.rank || e.CoveredBy != "" {
			t.Errorf("%+v: %s, %s, counted by %s, recycle %q, rank %d, covered by %q", c.name, e.Name, m.Meanings()[c.name], e.CountedBy, e.Recycle, e.Rank, e.CoveredBy)
		}
	}
	if m.Meanings()["sql_or_demo"] != "other" || m.Rank("sql_or_demo") != 2 || m.Meanings()["page_viewed"] != "other" {
		t.Error("rank or meaning")
	}
}

// Under any, a report that names a deal counts under the deal, any other under its person.
func TestWhicheverComesFirst(t *testing.T) {
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nsources:\n  hubspot:\n    lifecycle: { customer: customer_won }\n    deals: { \"*\": { closedwon: customer_won } }\ncounted_by: { customer_won: any }\n")
	named := lifecycle("customer")
	named.Deal = "84721"
	for _, c := range []struct {
		r    canonical.Report
		want string
	}{{deal("closedwon"), "deal"}, {named, "deal"}, {lifecycle("customer"), "person"}} {
		if e := apply(t, m, c.r, crm()); e.CountedBy != c.want || e.CoveredBy != "" || e.Deal != c.r.Deal {
			t.Errorf("%s is counted by %s, covered by %q", c.r.Subject, e.CountedBy, e.CoveredBy)
		}
	}
}

// Seed 004's Customer row, three ways.
func TestTheCustomerRowThreeWays(t *testing.T) {
	for _, c := range []struct {
		title, counted string
		r              canonical.Report
		covered        string
	}{
		{"a won deal", "", deal("closedwon"), ""},
		{"lifecycle under the default", "", lifecycle("customer"), "deal"},
		{"lifecycle where contacts count", "counted_by:\n  customer_won: contact\n", lifecycle("customer"), ""},
	} {
		m, problems := Compile(Default(), File{Name: "counted.yaml", Text: []byte("version: 1\n" + c.counted)})
		if m == nil {
			t.Fatal(lines(problems))
		}
		e := apply(t, m, c.r, crm())
		route, _ := m.Route("meta", e.Name)
		if e.CoveredBy != c.covered || route.Event != "Purchase" {
			t.Errorf("%s: covered by %q, goes to Meta as %s", c.title, e.CoveredBy, route.Event)
		}
	}
}
