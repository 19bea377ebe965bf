package mappings

import (
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

const guideTime = "2026-04-23T11:04:19Z"

var guideAt = time.Date(2026, 4, 23, 11, 4, 19, 0, time.UTC)

// lifecycle is the guide's step 1 as package wire reads it.
func lifecycle(stage string) canonical.Report {
	return canonical.Report{
		Subject: canonical.SubjectLifecycle, Event: "hubspot.lifecycle_changed",
		Object: canonical.Object{Type: "contact", ID: "102948"}, RawStage: stage, OccurredAt: guideAt, TimeText: guideTime,
		Contact: canonical.Contact{ID: "102948", Email: "buyer@acme.example"}, Company: canonical.Company{Domain: "acme.example"},
		Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "102948"}, {Scheme: canonical.Email, Value: canonical.EmailHash("buyer@acme.example")}},
	}
}

// deal is the guide's step 4, without the id that its caller gives.
func deal(stage string) canonical.Report {
	amount, _ := canonical.ParseMoney("36000")
	return canonical.Report{
		Subject: canonical.SubjectDealStage, Event: "deal.stage_changed",
		Object: canonical.Object{Type: "deal", ID: "84721"}, Pipeline: "sales_pipeline", RawStage: stage, OccurredAt: guideAt, TimeText: guideTime,
		Contact: canonical.Contact{ID: "102948", Email: "buyer@acme.example"}, Company: canonical.Company{ID: "3029911", Domain: "acme.example", Name: "Acme"},
		Contacts: []string{"102948"}, Companies: []string{"3029911"},
		Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "102948"}, {Scheme: canonical.Email, Value: canonical.EmailHash("buyer@acme.example")}},
		Revenue:     &canonical.Revenue{Amount: &amount, Currency: "USD", BillingPeriod: "annual"},
		Properties:  map[string]any{"owner_id": "55192", "tracklayer_stage": "proposal_sent"},
	}
}

func crm() canonical.Receipt {
	return canonical.Receipt{ID: "01J", Source: "hubspot", Way: canonical.WayCRM, ReceivedAt: guideAt.Add(time.Minute)}
}

func defaults(t testing.TB) *Mapping {
	t.Helper()
	m, problems := Compile(Default())
	if m == nil {
		t.Fatal(lines(problems))
	}
	return m
}

func apply(t testing.TB, m *Mapping, r canonical.Report, rc canonical.Receipt) *canonical.Event {
	t.Helper()
	got := m.Apply(r, rc)
	if got.Event == nil {
		t.Fatalf("no event; quarantine %v", got.Quarantine)
	}
	return got.Event
}

// The table of the guide, row by row: lifecycle as the guide's code spells it and as its
// table does, the canonical name, and what Meta and LinkedIn get.
func TestTheGuidesTable(t *testing.T) {
	m := defaults(t)
	for _, row := range []struct{ stage, name, meta, linkedin string }{
		{"subscriber", "lead_captured", "Lead", "lead"},
		{"lead", "lead_captured", "Lead", "lead"},
		{"Lead", "lead_captured", "Lead", "lead"},
		{"marketingqualifiedlead", "qualified_lead", "QualifiedLead", "mql"},
		{"Marketing Qualified Lead", "qualified_lead", "QualifiedLead", "mql"},
		{"salesqualifiedlead", "sales_qualified_lead", "SalesQualifiedLead", "sql"},
		{"Sales Qualified Lead", "sales_qualified_lead", "SalesQualifiedLead", "sql"},
		{"opportunity", "opportunity_created", "Opportunity", "opportunity"},
		{"customer", "customer_won", "Purchase", "closed_won"},
		{"evangelist", "customer_expanded", "Purchase", "expansion"},
		{"Expansion", "customer_expanded", "Purchase", "expansion"},
		{"other", "crm_stage_changed", "", ""},
		{"4417902", "crm_stage_changed", "", ""},
	} {
		e := apply(t, m, lifecycle(row.stage), crm())
		if e.Name != row.name {
			t.Errorf("%s became %s, want %s", row.stage, e.Name, row.name)
		}
		meta, _ := m.Route("meta", e.Name)
		linkedin, _ := m.Route("linkedin", e.Name)
		if meta.Event != row.meta || linkedin.Rule != row.linkedin {
			t.Errorf("%s goes to Meta as %q and to LinkedIn as %q, want %q and %q", row.stage, meta.Event, linkedin.Rule, row.meta, row.linkedin)
		}
		if funnel := row.name != "crm_stage_changed"; e.Funnel != funnel || (e.Rank > 0) != funnel || (e.Stage == e.Name) != funnel {
			t.Errorf("%s: funnel %v, rank %d, stage %q", row.stage, e.Funnel, e.Rank, e.Stage)
		}
	}
	e := apply(t, m, deal("contractsent"), crm())
	meta, _ := m.Route("meta", e.Name)
	linkedin, _ := m.Route("linkedin", e.Name)
	if e.Name != "proposal_sent" || meta.Event != "ProposalSent" || linkedin.Rule != "proposal" {
		t.Errorf("contractsent became %s, %s, %s", e.Name, meta.Event, linkedin.Rule)
	}
	for _, r := range []canonical.Route{meta, linkedin} {
		if v := e.Revenue.By(r.Value); v == nil || v.String() != "36000" {
			t.Errorf("the guide's deal sends %v as %s", v, r.Value)
		}
	}
}

func TestStagesInAnyDress(t *testing.T) {
	m := defaults(t)
	for _, stage := range []string{"MarketingQualifiedLead", " marketingqualifiedlead\t", "MARKETING QUALIFIED LEAD", "Marketing\u00a0Qualified Lead", "Marketing\u200bQualified\u00adLead\ufeff"} {
		r := lifecycle(stage)
		if e := apply(t, m, r, crm()); e.Name != "qualified_lead" || e.RawStage != stage {
			t.Errorf("%q became %s, raw %q", stage, e.Name, e.RawStage)
		}
	}
	accents := mustCompile(t, "version: 1\nvocabulary: [lead_captured]\nsources: { hubspot: { lifecycle: { \"Qualifi\u00e9\": lead_captured } } }\n")
	if e := apply(t, accents, lifecycle("QUALIFIE\u0301"), crm()); e.Name != "lead_captured" {
		t.Errorf("an accent in two characters became %s", e.Name)
	}
	r := lifecycle("77120")
	r.StageLabel = "Opportunity"
	if e := apply(t, m, r, crm()); e.Name != "opportunity_created" {
		t.Errorf("a label alone became %s", e.Name)
	}
	for _, empty := range []string{"", "  "} {
		if got := m.Apply(lifecycle(empty), crm()); got.Event != nil || got.Quarantine != nil {
			t.Errorf("an emptied stage became %v", got)
		}
	}
}

func TestPipelines(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [proposal_sent, customer_won, customer_expanded]
sources:
  hubspot:
    deals:
      "*": { contractsent: proposal_sent, closedwon: customer_won }
      Renewals: { closedwon: customer_expanded, contractsent: crm_stage_changed }
      "7001": { "9002": proposal_sent }
`)
	for _, c := range []struct{ pipeline, label, stage, stageLabel, want, rule string }{
		{"", "", "closedwon", "", "customer_won", "m.yaml:6"},
		{"default", "Sales", "Closed Won", "", "customer_won", "m.yaml:6"},
		{"renewals", "", "closedwon", "", "customer_expanded", "m.yaml:7"},
		{"8123", "Renewals", "closedwon", "", "customer_expanded", "m.yaml:7"},
		{"8123", "renewals ", "contractsent", "", "crm_stage_changed", "m.yaml:7"},
		{"7001", "", "9002", "", "proposal_sent", "m.yaml:8"},
		{"7001", "", "9003", "Contract sent", "proposal_sent", "m.yaml:6"},
		{"7001", "", "9003", "Negotiation", "crm_stage_changed", ""},
		{"7002", "", "9002", "", "crm_stage_changed", ""},
	} {
		r := deal(c.stage)
		r.Pipeline, r.PipelineLabel, r.StageLabel = c.pipeline, c.label, c.stageLabel
		if e := apply(t, m, r, crm()); e.Name != c.want || e.Rule != c.rule {
			t.Errorf("%+v became %s by %s", c, e.Name, e.Rule)
		}
	}
}

// The ids are those of the published guide, so that a customer's own middleware agrees.
func TestIDsEqualTheGuide(t *testing.T) {
	m := defaults(t)
	const contact = "27caec5ade10f667c4a05e8387c5d97dac8c1be9ea715e820de22ab9fcdb91ff"
	const dealID = "deal_84721_contractsent_2026-04-23T11:04:19Z"
	if e := apply(t, m, lifecycle("marketingqualifiedlead"), crm()); e.ID != contact || e.IDRecipe != 1 {
		t.Errorf("contact id %s by recipe %d", e.ID, e.IDRecipe)
	}
	if e := apply(t, m, deal("contractsent"), crm()); e.ID != dealID || e.IDRecipe != 1 {
		t.Errorf("deal id %s by recipe %d", e.ID, e.IDRecipe)
	}
	webhook := lifecycle("marketingqualifiedlead")
	webhook.TimeText = "" // a time in milliseconds
	if e := apply(t, m, webhook, crm()); e.ID != contact {
		t.Errorf("a webhook of the same change has the id %s", e.ID)
	}
	caller := deal("contractsent")
	caller.EventID = dealID
	if e := apply(t, m, caller, crm()); e.ID != dealID || e.IDRecipe != 0 {
		t.Errorf("a caller's id became %s by recipe %d", e.ID, e.IDRecipe)
	}
	asSent := lifecycle("Marketing Qualified Lead")
	if e := apply(t, m, asSent, crm()); e.ID != canonical.MintContactID("102948", "Marketing Qualified Lead", guideTime) {
		t.Error("the id is not made of the stage as it was sent")
	}
}

func TestIDsTellFactsApart(t *testing.T) {
	m := defaults(t)
	seen := make(map[canonical.EventID]string)
	one := func(name string, r canonical.Report) {
		id := apply(t, m, r, crm()).ID
		if before, twice := seen[id]; twice {
			t.Errorf("%s and %s have one id", before, name)
		}
		seen[id] = name
	}
	with := func(r canonical.Report, change func(*canonical.Report)) canonical.Report { change(&r); return r }
	one("contact", lifecycle("customer"))
	one("company of the same number", with(lifecycle("customer"), func(r *canonical.Report) { r.Object.Type = "company" }))
	one("contact of another account", with(lifecycle("customer"), func(r *canonical.Report) { r.Object.Account = "emea" }))
	one("contact known by address", with(lifecycle("customer"), func(r *canonical.Report) { r.Object.ID = ""; r.Identifiers = r.Identifiers[1:] }))
	one("another contact known by address", with(lifecycle("customer"), func(r *canonical.Report) {
		r.Object.ID = ""
		r.Identifiers = []canonical.Identifier{{Scheme: canonical.Email, Value: "x"}}
	}))
	one("deal", deal("closedwon"))
	one("deal of another account", with(deal("closedwon"), func(r *canonical.Report) { r.Object.Account = "emea" }))
	one("deal without id", with(deal("closedwon"), func(r *canonical.Report) { r.Object.ID = "" }))
	page := canonical.Report{Subject: canonical.SubjectTouch, Event: "page_view", OccurredAt: guideAt, Touch: &canonical.Touch{Kind: "page_view", Page: "https://example.com/a"}}
	one("page", page)
	one("another page", with(page, func(r *canonical.Report) {
		r.Touch = &canonical.Touch{Kind: "page_view", Page: "https://example.com/b"}
	}))
	one("page of another browser", with(page, func(r *canonical.Report) { r.Browser.IP = "203.0.113.9" }))
	one("page of a known visitor", with(page, func(r *canonical.Report) {
		r.Identifiers = []canonical.Identifier{{Scheme: canonical.Anonymous, Value: "v1"}}
	}))
	one("page by a click", with(page, func(r *canonical.Report) {
		r.Touch = &canonical.Touch{Kind: "ad_click", Page: "https://example.com/a", Clicks: []canonical.Click{{Scheme: canonical.LIFatID, Value: "c1"}}}
	}))
	custom := canonical.Report{Subject: canonical.SubjectCustom, Event: "demo_watched", OccurredAt: guideAt}
	one("custom", custom)
	one("another custom", with(custom, func(r *canonical.Report) { r.Event = "demo_left" }))
}

// One won deal whose contacts and company all turn customer is counted by the deal.
func TestWhoCounts(t *testing.T) {
	company := lifecycle("customer")
	company.Object = canonical.Object{Type: "company", ID: "3029911"}
	claim := canonical.Report{Subject: canonical.SubjectCustom, Event: "customer_won", OccurredAt: guideAt}
	named := func(line string) *Mapping {
		return mustCompile(t, strings.Replace(string(Default().Text), "# counted_by:\n#   customer_won: contact\n", line, 1))
	}
	for _, c := range []struct {
		title   string
		m       *Mapping
		r       canonical.Report
		counted string
		covered string
	}{
		{"default, deal", defaults(t), deal("closedwon"), "deal", ""},
		{"default, contact", defaults(t), lifecycle("customer"), "person", "deal"},
		{"default, company", defaults(t), company, "person", "deal"},
		{"default, a server's own word", defaults(t), claim, "person", "deal"},
		{"default, a name no deal gives", defaults(t), lifecycle("opportunity"), "person", ""},
		{"default, a name only deals give", defaults(t), deal("contractsent"), "deal", ""},
		{"contact, deal", named("counted_by:\n  customer_won: contact\n"), deal("closedwon"), "person", "contact"},
		{"contact, contact", named("counted_by:\n  customer_won: contact\n"), lifecycle("customer"), "person", ""},
		{"contact, a server's own word", named("counted_by:\n  customer_won: contact\n"), claim, "person", ""},
		{"any, deal", named("counted_by:\n  customer_won: any\n"), deal("closedwon"), "deal", ""},
		{"any, contact", named("counted_by:\n  customer_won: any\n"), lifecycle("customer"), "person", ""},
	} {
		e := apply(t, c.m, c.r, crm())
		if e.Name != strings.Fields("customer_won opportunity_created proposal_sent")[map[string]int{"opportunity": 1, "contractsent": 2}[c.r.RawStage]] {
			t.Errorf("%s: named %s", c.title, e.Name)
		}
		if e.CountedBy != c.counted || e.CoveredBy != c.covered {
			t.Errorf("%s: counted by %q, covered by %q, want %q and %q", c.title, e.CountedBy, e.CoveredBy, c.counted, c.covered)
		}
	}

	company.RawStage = "opportunity"
	if e := apply(t, defaults(t), company, crm()); e.Name != StageChanged || e.Funnel || e.CountedBy != "" {
		t.Errorf("a company's stage that no deal covers became %s", e.Name)
	}
	m := mustCompile(t, "version: 1\nvocabulary: [lead_captured, opportunity_created]\nsources:\n  hubspot:\n    lifecycle: { lead: lead_captured }\n    company_lifecycle: { opportunity: opportunity_created }\ncounted_by: { opportunity_created: any }\n")
	if e := apply(t, m, company, crm()); e.Name != "opportunity_created" || e.CoveredBy != "" {
		t.Errorf("a company's stage that the mapping names became %s, covered by %q", e.Name, e.CoveredBy)
	}
	if e := apply(t, named("counted_by:\n  customer_won: contact\n"), func() canonical.Report { c := company; c.RawStage = "customer"; return c }(), crm()); e.Name != StageChanged {
		t.Errorf("a company's customer, counted by contacts, became %s", e.Name)
	}
}

// A browser never claims what belongs to the CRM, however it spells it.
func TestBrowserClaims(t *testing.T) {
	m := mustCompile(t, string(Default().Text)+"\nother_names: [webinar_attended]\n")
	browser := func(way canonical.Way) canonical.Receipt {
		return canonical.Receipt{ID: "01B", Source: "site", Way: way, Browser: true, ReceivedAt: guideAt}
	}
	server := func(way canonical.Way) canonical.Receipt { rc := browser(way); rc.Browser = false; return rc }
	custom := func(event string) canonical.Report {
		return canonical.Report{Subject: canonical.SubjectCustom, Event: event, EventID: "e1", OccurredAt: guideAt, Properties: map[string]any{"plan": "b"}}
	}
	for _, c := range []struct {
		event   string
		rc      canonical.Receipt
		want    string
		claimed any
	}{
		{"customer_won", browser(canonical.WayPixel), CustomEvent, "customer_won"},
		{"CustomerWon", browser(canonical.WayEvents), CustomEvent, "customer_won"},
		{"customer won", browser(canonical.WayMeta), CustomEvent, "customer_won"},
		{"crm_stage_changed", browser(canonical.WayPixel), CustomEvent, "crm_stage_changed"},
		{"lead_recycled", browser(canonical.WayPixel), CustomEvent, "lead_recycled"},
		{"Lead", browser(canonical.WayMeta), "lead", nil},
		{"Lead", server(canonical.WayMeta), "lead_captured", nil},
		{"PageView", browser(canonical.WayMeta), PageViewed, nil},
		{"SubmitApplication", server(canonical.WayMeta), "submit_application", nil},
		{"customer_won", server(canonical.WayEvents), "customer_won", nil},
		{"Webinar attended", browser(canonical.WayPixel), "webinar_attended", nil},
		{"custom_event", browser(canonical.WayPixel), CustomEvent, nil},
		{"デモ", server(canonical.WayEvents), CustomEvent, nil},
		{"a|b", server(canonical.WayEvents), "a_b", nil},
		{"42", server(canonical.WayEvents), CustomEvent, nil},
		{strings.Repeat("x", 300), server(canonical.WayEvents), CustomEvent, nil},
	} {
		r := custom(c.event)
		e := apply(t, m, r, c.rc)
		if e.Name != c.want || e.Properties["claimed_name"] != c.claimed || e.Properties["plan"] != "b" {
			t.Errorf("%.20s by %s (browser %v) became %s, claimed %v", c.event, c.rc.Way, c.rc.Browser, e.Name, e.Properties["claimed_name"])
		}
		if e.ID != "e1" || e.IDRecipe != 0 || e.Reported != c.event {
			t.Errorf("%.20s: id %s, reported as %s", c.event, e.ID, e.Reported)
		}
		if c.rc.Browser && e.Funnel {
			t.Errorf("%.20s: a browser's event is of the funnel", c.event)
		}
		if _, changed := r.Properties["claimed_name"]; changed {
			t.Error("the report was changed")
		}
	}
	for _, r := range []canonical.Report{lifecycle("marketingqualifiedlead"), deal("closedwon"), lifecycle("other")} {
		if e := apply(t, m, r, browser(canonical.WayEvents)); e.Name != CustomEvent || e.Funnel || e.Properties["claimed_name"] == nil {
			t.Errorf("a browser's %s became %s", r.RawStage, e.Name)
		}
	}
}

func TestTouches(t *testing.T) {
	m := defaults(t)
	for _, c := range []struct{ event, kind, want string }{
		{"page_view", "page_view", PageViewed}, {"page_view", "ad_click", AdClicked}, {"ad_click", "ad_click", AdClicked},
		{"form_submitted", "form", FormSubmitted}, {"form_submitted", "ad_click", FormSubmitted}, {"", "form", FormSubmitted},
		{"email_open", "email_open", EmailOpened}, {"email_click", "email_click", EmailClicked}, {"meeting", "meeting", MeetingBooked},
		{"demo_watched", "page_view", "demo_watched"},
	} {
		r := canonical.Report{Subject: canonical.SubjectTouch, Event: c.event, OccurredAt: guideAt, Touch: &canonical.Touch{Kind: c.kind}}
		e := apply(t, m, r, canonical.Receipt{Way: canonical.WayPixel, Browser: true})
		if e.Name != c.want || e.Funnel || e.CountedBy != "" || e.Touch == nil {
			t.Errorf("%+v became %s", c, e.Name)
		}
	}
	identify := canonical.Report{Subject: canonical.SubjectCustom, Event: "identify", OccurredAt: guideAt}
	if got := m.Apply(identify, canonical.Receipt{Way: canonical.WayPixel}); got.Event != nil || got.Quarantine != nil {
		t.Errorf("identify became %v", got)
	}
	over := mustCompile(t, "version: 1\nvocabulary: [lead_captured]\nother_names: [pricing_viewed]\nsources:\n  pixel:\n    events: { page_view: pricing_viewed }\n")
	r := canonical.Report{Subject: canonical.SubjectTouch, Event: "page_view", OccurredAt: guideAt, Touch: &canonical.Touch{Kind: "ad_click"}}
	if e := apply(t, over, r, canonical.Receipt{Way: canonical.WayPixel, Browser: true}); e.Name != "pricing_viewed" || e.Rule != "m.yaml:6" {
		t.Errorf("a mapped page view became %s by %s", e.Name, e.Rule)
	}
}

func TestWhichSectionSpeaks(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, qualified_lead, customer_won]
other_names: [demo_watched, demo_seen]
sources:
  hubspot:
    lifecycle: { lead: lead_captured, customer: customer_won }
    deals: { "*": { closedwon: customer_won } }
  emea_portal:
    lifecycle: { lead: qualified_lead }
    events: { demo: demo_seen }
  crm:
    events: { demo: demo_watched, other: demo_watched }
`)
	for _, c := range []struct {
		source string
		way    canonical.Way
		r      canonical.Report
		want   string
	}{
		{"hubspot", canonical.WayCRM, lifecycle("lead"), "lead_captured"},
		{"anything", canonical.WayEvents, lifecycle("lead"), "lead_captured"},
		{"anything", canonical.WayHubSpot, deal("closedwon"), "customer_won"},
		{"emea_portal", canonical.WayHubSpot, lifecycle("lead"), "qualified_lead"},
		{"emea_portal", canonical.WayHubSpot, lifecycle("customer"), StageChanged}, // its table stands for the whole
		{"emea_portal", canonical.WayHubSpot, deal("closedwon"), "customer_won"},   // a table it does not have
		{"emea_portal", canonical.WayCRM, canonical.Report{Subject: canonical.SubjectCustom, Event: "Demo"}, "demo_seen"},
		{"emea_portal", canonical.WayCRM, canonical.Report{Subject: canonical.SubjectCustom, Event: "other"}, "demo_watched"},
		{"emea_portal", canonical.WayEvents, canonical.Report{Subject: canonical.SubjectCustom, Event: "other"}, "other"},
	} {
		c.r.OccurredAt = guideAt
		if e := apply(t, m, c.r, canonical.Receipt{Source: c.source, Way: c.way}); e.Name != c.want {
			t.Errorf("%s by %s: %s%s became %s, want %s", c.source, c.way, c.r.Event, c.r.RawStage, e.Name, c.want)
		}
	}
}

// A name that anybody may report is the same from a page and from a server, and of the funnel; all
// others stay a server's to say.
func TestWhoMayReportAName(t *testing.T) {
	m, problems := Compile(File{Name: "m.yaml", Text: []byte("version: 1\nvocabulary:\n  - lead_captured: { reported_by: anybody }\n  - qualified_lead: { reported_by: servers }\nsources:\n  pixel:\n    events: { Lead: lead_captured }\n  meta_api:\n    events: { Lead: lead_captured }\n")})
	if m == nil {
		t.Fatal(problems)
	}
	for _, c := range []struct {
		event   string
		way     canonical.Way
		browser bool
		name    string
		funnel  bool
	}{
		{"Lead", canonical.WayPixel, true, "lead_captured", true}, {"Lead", canonical.WayMeta, false, "lead_captured", true}, {"lead_captured", canonical.WayPixel, true, "lead_captured", true},
		{"qualified_lead", canonical.WayPixel, true, CustomEvent, false}, {"qualified_lead", canonical.WayMeta, false, "qualified_lead", true},
	} {
		r := canonical.Report{Subject: canonical.SubjectCustom, Event: c.event, EventID: "web-77", OccurredAt: guideAt, Object: canonical.Object{Type: "person", ID: "a"}}
		e := apply(t, m, r, canonical.Receipt{ID: "r", Source: "s", Way: c.way, Browser: c.browser, ReceivedAt: guideAt})
		if e.Name != c.name || e.Funnel != c.funnel || e.ID != "web-77" {
			t.Errorf("%s by %s became %s, funnel %v", c.event, c.way, e.Name, e.Funnel)
		}
	}
}
