package mappings

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

func TestIgnoreRules(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
sources:
  hubspot:
    lifecycle: { lead: lead_captured }
    ignore:
      - when: email endsWith "@ourcompany.example"
        reason: internal_test
      - when: email_domain in ["rival.example", "rival.test"] or domain == "rival.example"
        reason: competitor
      - when: not (title contains "CEO") and stage == "lead" and name == "lead_captured" and company matches "^(?i)test"
        reason: test_company
  pixel:
    ignore:
      - when: browser and page startsWith "https://example.com/careers" or user_agent contains "bot"
        reason: applicant
`)
	report := func(change func(*canonical.Report)) canonical.Report {
		r := lifecycle("lead")
		change(&r)
		return r
	}
	for _, c := range []struct {
		title  string
		r      canonical.Report
		reason string
		at     string
	}{
		{"nobody", report(func(r *canonical.Report) {}), "", ""},
		{"colleague", report(func(r *canonical.Report) { r.Contact.Email = " Jane.Doe@OurCompany.example" }), "internal_test", "m.yaml:7"},
		{"rival's address", report(func(r *canonical.Report) { r.Contact.Email = "joe@rival.test" }), "competitor", "m.yaml:9"},
		{"rival's site", report(func(r *canonical.Report) { r.Company.Domain = "https://www.Rival.example/x" }), "competitor", "m.yaml:9"},
		{"test company", report(func(r *canonical.Report) { r.Company.Name = "Test Ltd" }), "test_company", "m.yaml:11"},
	} {
		got := m.Apply(c.r, crm())
		if got.Event == nil || got.Event.Ignored != c.reason || got.Event.IgnoredBy != c.at || got.Event.Name != "lead_captured" {
			t.Errorf("%s: %+v", c.title, got)
		}
	}
	page := canonical.Report{Subject: canonical.SubjectTouch, Event: "page_view", OccurredAt: guideAt, Touch: &canonical.Touch{Kind: "page_view", Page: "https://example.com/careers/42"}}
	if got := m.Apply(page, canonical.Receipt{Way: canonical.WayPixel, Browser: true}); got.Event.Ignored != "applicant" {
		t.Errorf("an applicant's page view: %+v", got)
	}
	if got := m.Apply(page, canonical.Receipt{Way: canonical.WayPixel}); got.Event.Ignored != "" {
		t.Errorf("the rule holds without a browser: %+v", got)
	}
}

func TestWhatAnAmountMeans(t *testing.T) {
	m := mustCompile(t, "version: 1\nvocabulary: [customer_won]\nsources:\n  hubspot:\n    deals: { \"*\": { closedwon: customer_won } }\nrevenue:\n  amount_means:\n    Annual: arr\n    monthly: mrr\n    otherwise: contract_value\n")
	thousand, two := canonical.Money(1_000_000_000), canonical.Money(2_000_000_000)
	for _, c := range []struct {
		period   string
		given    canonical.Revenue
		basis    string
		want     canonical.Money
		untested string
	}{
		{period: "annual", given: canonical.Revenue{Amount: &thousand}, basis: "arr", want: thousand},
		{period: "MONTHLY", given: canonical.Revenue{Amount: &thousand}, basis: "mrr", want: thousand},
		{period: "", given: canonical.Revenue{Amount: &thousand}, basis: "tcv", want: thousand},
		{period: "annual", given: canonical.Revenue{Amount: &thousand, ARR: &two}, basis: "arr", want: two},
	} {
		r := deal("closedwon")
		c.given.BillingPeriod = c.period
		r.Revenue = &c.given
		e := apply(t, m, r, crm())
		if got := e.Revenue.By(c.basis); got == nil || *got != c.want || *e.Revenue.Amount != thousand {
			t.Errorf("%q: %s = %v, want %v", c.period, c.basis, got, c.want)
		}
		others := 0
		for _, basis := range bases[1:] {
			if e.Revenue.By(basis) != nil {
				others++
			}
		}
		if others != 1 {
			t.Errorf("%q: %d values beside the amount", c.period, others)
		}
	}
	r := deal("closedwon")
	if e := apply(t, m, r, crm()); r.Revenue.ARR != nil || e.Revenue.ARR == nil {
		t.Error("the report was changed, or nothing was declared")
	}
	if e := apply(t, defaults(t), deal("closedwon"), crm()); e.Revenue.ARR != nil {
		t.Error("the default guesses what an amount means")
	}
}

func TestEventCarriesTheReport(t *testing.T) {
	m := defaults(t)
	r := deal("closedwon")
	r.Reported, r.ObservedAt = true, guideAt.Add(time.Hour).In(time.FixedZone("x", 3600))
	r.OccurredAt = guideAt.In(time.FixedZone("x", 7200))
	e := apply(t, m, r, crm())
	contact := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "102948"}
	company := canonical.Identifier{Scheme: canonical.HubSpotCompany, Value: "3029911"}
	if e.Node != contact.Node() || e.AccountNode != company.Node() {
		t.Errorf("node %s, account %s", e.Node, e.AccountNode)
	}
	if e.TimeBasis != "reported" || e.OccurredAt != guideAt || e.ObservedAt == nil || e.ObservedAt.Location() != time.UTC || e.ReceivedAt != crm().ReceivedAt {
		t.Errorf("times: %q %s %v %s", e.TimeBasis, e.OccurredAt, e.ObservedAt, e.ReceivedAt)
	}
	if e.ReceiptID != "01J" || e.MappingVersion != m.Version() || e.Way != canonical.WayCRM || e.Source != "hubspot" || e.Pipeline != "sales_pipeline" || e.Properties["owner_id"] != "55192" {
		t.Errorf("%+v", e)
	}
	if e.Known != nil {
		t.Error("the mapping cannot know what is known")
	}
}

func TestAccountNode(t *testing.T) {
	m := defaults(t)
	domain := func(d string) canonical.NodeID {
		return canonical.Identifier{Scheme: canonical.Domain, Value: d}.Node()
	}
	company := func(v string) canonical.NodeID {
		return canonical.Identifier{Scheme: canonical.HubSpotCompany, Value: v}.Node()
	}
	for title, c := range map[string]struct {
		r    canonical.Report
		want canonical.NodeID
	}{
		"company id":               {canonical.Report{Company: canonical.Company{ID: "7", Domain: "acme.example"}}, company("7")},
		"first of the companies":   {canonical.Report{Companies: []string{"8", "9"}}, company("8")},
		"company of another CRM":   {canonical.Report{Object: canonical.Object{Account: "emea", Type: "contact", ID: "1"}, Companies: []string{"8"}}, company("emea:8")},
		"domain":                   {canonical.Report{Company: canonical.Company{Domain: "https://www.Acme.example/"}}, domain("acme.example")},
		"domain of the address":    {canonical.Report{Contact: canonical.Contact{Email: "a@Acme.example"}}, domain("acme.example")},
		"below a company's domain": {canonical.Report{Company: canonical.Company{Domain: "shop.eu.acme.co.uk"}}, domain("acme.co.uk")},
		"address below it":         {canonical.Report{Contact: canonical.Contact{Email: "a@mail.acme.example"}}, domain("acme.example")},
		"a bare public suffix":     {canonical.Report{Company: canonical.Company{Domain: "co.uk"}}, 0},
		"an IP address":            {canonical.Report{Company: canonical.Company{Domain: "203.0.113.9"}}, 0},
		"free-mail domain":         {canonical.Report{Company: canonical.Company{Domain: "gmail.com"}}, 0},
		"free-mail address":        {canonical.Report{Contact: canonical.Contact{Email: "a@gmx.de"}}, 0},
		"nothing":                  {canonical.Report{}, 0},
		"the company is the thing": {canonical.Report{Subject: canonical.SubjectLifecycle, RawStage: "customer", Object: canonical.Object{Type: "company", ID: "5"}}, company("5")},
	} {
		if c.r.Subject == "" {
			c.r.Subject, c.r.Event = canonical.SubjectCustom, "x"
		}
		c.r.OccurredAt = guideAt
		if e := apply(t, m, c.r, crm()); e.AccountNode != c.want {
			t.Errorf("%s: account node %s, want %s", title, e.AccountNode, c.want)
		}
	}
}

func TestFactsOnlyAndQuarantine(t *testing.T) {
	m := defaults(t)
	for _, s := range []canonical.Subject{canonical.SubjectMerge, canonical.SubjectAssociation, canonical.SubjectDeletion, canonical.SubjectLeadStatus, canonical.SubjectProperty} {
		if got := m.Apply(canonical.Report{Subject: s}, crm()); got.Event != nil || got.Quarantine != nil {
			t.Errorf("%s became %+v", s, got)
		}
	}
	r := lifecycle("lead")
	r.OccurredAt = time.Time{}
	if got := m.Apply(r, crm()); got.Quarantine == nil || got.Quarantine.Code != CodeBadTime {
		t.Errorf("no time: %+v", got)
	}
	if got := m.Apply(canonical.Report{Subject: "dream", OccurredAt: guideAt}, crm()); got.Quarantine == nil || got.Quarantine.Code != CodeUnknownEvent {
		t.Errorf("no known subject: %+v", got)
	}
}

func TestRoute(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
destinations:
  meta:
    customer_won: { event: Purchase, value: contract_value, if_missing: use:amount, properties: { content_category: b2b, seats: 5, pilot: false, rate: 0.5, code: "007" } }
  meta_emea:
    customer_won:
      event: Subscribe
      value: arr
      if_missing:
        use: amount
  webhook:
    "*": {}
    lead_captured: { value: none }
`)
	got, ok := m.Route("meta", "customer_won")
	text, _ := json.Marshal(got)
	want := `{"event":"Purchase","value":"tcv","if_missing":"use:amount","properties":{"code":"007","content_category":"b2b","pilot":false,"rate":0.5,"seats":5},"at":"m.yaml:5"}`
	if !ok || string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
	if r, ok := m.Route("meta_emea", "customer_won"); !ok || r.Event != "Subscribe" || r.IfMissing != "use:amount" {
		t.Errorf("named destination: %+v", r)
	}
	if _, ok := m.Route("meta", "lead_captured"); ok {
		t.Error("a name without a line has a route")
	}
	if _, ok := m.Route("linkedin", "customer_won"); ok {
		t.Error("a key that is not there has a route")
	}
	if r, ok := m.Route("webhook", "page_viewed"); !ok || r.At != "m.yaml:13" {
		t.Errorf("any name: %+v", r)
	}
	if r, ok := m.Route("webhook", "lead_captured"); !ok || r.At != "m.yaml:14" {
		t.Errorf("a line of its own: %+v", r)
	}
	if got := m.DestinationKeys(); !slices.Equal(got, []string{"meta", "meta_emea", "webhook"}) {
		t.Errorf("keys %v", got)
	}
	if got := len(m.Routes("webhook")); got != 2 {
		t.Errorf("%d lines for webhook", got)
	}
}

// The same report and the same text give the same bytes, in whatever order maps are
// walked.
func TestSameInputSameBytes(t *testing.T) {
	reports := []canonical.Report{lifecycle("marketingqualifiedlead"), lifecycle("customer"), deal("closedwon"), deal("other"),
		{Subject: canonical.SubjectCustom, Event: "customer_won", OccurredAt: guideAt, Properties: map[string]any{"a": 1, "b": 2, "c": 3}}}
	say := func() string {
		m := defaults(t)
		var b strings.Builder
		for _, r := range reports {
			for _, browser := range []bool{false, true} {
				rc := crm()
				rc.Browser = browser
				out, err := json.Marshal(m.Apply(r, rc))
				if err != nil {
					t.Fatal(err)
				}
				b.Write(out)
			}
		}
		fmt.Fprint(&b, m.Vocabulary(), m.Sections(), m.DestinationKeys())
		return b.String()
	}
	first := say()
	for range 100 {
		if got := say(); got != first {
			t.Fatalf("got %s, then %s", first, got)
		}
	}
}

// Every order of counting mistakes is the order of the text.
func TestSameTextSameProblems(t *testing.T) {
	text := File{Name: "m.yaml", Text: []byte("version: 1\nvocabulary: [b, a]\nsources:\n  pixel:\n    events: { x: a, y: b }\n  hubspot:\n    deals: { p: { s: c, t: d }, q: { s: e } }\ndestinations:\n  z: { c: {}, d: {} }\n  y: { e: {} }\n")}
	_, first := Compile(text)
	for range 50 {
		if _, got := Compile(text); lines(got) != lines(first) {
			t.Fatalf("got:\n%sthen:\n%s", lines(first), lines(got))
		}
	}
}
