package hubspot

import (
	stdcontext "context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

// A portal answers as its table says: "METHOD path" → status and body. What is not in it is 404.
type portal struct {
	answers map[string]string
	asked   []string
	bodies  map[string]string
}

func (p *portal) call(_ stdcontext.Context, q destinations.Request) (destinations.Response, error) {
	name := q.Method + " " + q.Path
	p.asked = append(p.asked, name)
	if p.bodies == nil {
		p.bodies = map[string]string{}
	}
	p.bodies[name] += string(q.Body) + "\n"
	if strings.Contains(string(q.Body), `"archived":true`) {
		name += " archived"
	}
	text, ok := p.answers[name]
	if !ok {
		return destinations.Response{Status: 404, Body: []byte(`{"status":"error","message":"resource not found"}`)}, nil
	}
	if text == "broken" {
		return destinations.Response{}, errors.New("no connection")
	}
	status, body, _ := strings.Cut(text, " ")
	n := 0
	fmt.Sscan(status, &n)
	return destinations.Response{Status: n, Header: http.Header{}, Body: []byte(body)}, nil
}

func configured(t *testing.T, config string) destination {
	t.Helper()
	return destinationtest.Suite{Kind: Kind(), Config: config}.Open(t).(destination)
}

const (
	account      = `200 {"portalId":424242,"timeZone":"America/New_York"}`
	emptyBatch   = `400 {"status":"error","message":"inputs must not be empty","category":"VALIDATION_ERROR"}`
	readContacts = "POST /crm/v3/properties/contacts/batch/read"
)

func definitionText(name, kind, more string) string {
	return fmt.Sprintf(`{"name":%q,"type":%q,"fieldType":"text","hasUniqueValue":false,"calculated":false%s}`, name, kind, more)
}

func allDefinitions(d destination, object string, except ...string) string {
	var list []string
	for _, w := range d.wants() {
		if w.object == object && !slices.Contains(except, w.property) {
			list = append(list, definitionText(w.property, kinds[w.kind], ""))
		}
	}
	return `207 {"results":[` + strings.Join(list, ",") + `],"errors":[{"category":"OBJECT_NOT_FOUND"}]}`
}

func learn(t *testing.T, d destination, p *portal) (destination, []destinations.Finding) {
	t.Helper()
	learned, findings, err := d.Learn(t.Context(), p.call)
	if err != nil {
		t.Fatal(err)
	}
	return learned.(destination), findings
}

func told(findings []destinations.Finding, subject string) (destinations.Finding, bool) {
	for _, f := range findings {
		if f.Subject == subject {
			return f, true
		}
	}
	return destinations.Finding{}, false
}

// What is missing or closed is left out of the rows and told; the rest is written, by its
// actual type, and a value that does not fit is left out with a warning.
func TestWhatTheAccountCannotTakeIsLeftOut(t *testing.T) {
	d := configured(t, `
custom: {plan: {type: enumeration}, seats: {type: number}, renewal: {type: date}, trial: {type: bool}, gone: {}}
lifecycle: {customer_won: customer, qualified_lead: mql}
`)
	answer := allDefinitions(d, contacts, "tributary_source_ad", "tributary_lead_score", "tributary_plan", "tributary_utm_source", "lifecyclestage", "tributary_gone", "tributary_utm_medium")
	answer = strings.Replace(answer, `{"results":[`, `{"results":[`+strings.Join([]string{
		definitionText("tributary_lead_score", "string", ""),
		definitionText("tributary_utm_source", "string", `,"modificationMetadata":{"readOnlyValue":true}`),
		`{"name":"tributary_utm_medium","type":"string","calculated":true}`,
		definitionText("tributary_plan", "enumeration", `,"options":[{"label":"Pro","value":"pro"},{"value":"free"}]`),
		definitionText("lifecyclestage", "enumeration", `,"options":[{"value":"lead"},{"value":"customer"}]`),
	}, ",")+",", 1)
	p := &portal{answers: map[string]string{
		"GET /account-info/v3/details": account, readContacts: answer,
		readContacts + " archived": `200 {"results":[` + definitionText("tributary_gone", "string", `,"archived":true`) + `]}`,
	}}
	learned, findings := learn(t, d, p)
	for subject, words := range map[string]string{
		"property tributary_source_ad of contacts":  "it is not there and is left out: tributary destinations setup hubspot makes it as text",
		"property tributary_utm_source of contacts": "is read-only",
		"property tributary_utm_medium of contacts": "is calculated by HubSpot",
		"property tributary_gone of contacts":       "is archived",
		"property lifecyclestage of contacts":       `has no option "mql"`,
	} {
		if f, ok := told(findings, subject); !ok || f.Blocks || !strings.Contains(f.Problem, words) {
			t.Errorf("%s: %+v, want words %q", subject, f, words)
		}
	}
	if len(findings) != 5 {
		t.Errorf("findings: %+v", findings)
	}
	if learned.zone.String() != "America/New_York" || learned.PortalID != 424242 {
		t.Errorf("the account is %d in %v", learned.PortalID, learned.zone)
	}
	e := destinationtest.Deals(1)[0]
	e.Properties = map[string]any{"lead_score": 7.5, "plan": "Pro", "seats": "12", "renewal": "2026-05-01T23:30:00-02:00", "trial": "maybe", "gone": "x"}
	e.Touch = nil
	parts, refusal := learned.Plan(e, *e.Known, canonical.Route{})
	if want := "left out: tributary_plan takes one of its options by internal value, letter by letter, and the value is none of them; tributary_trial takes true or false, and the value is neither"; refusal.Detail != want {
		t.Errorf("the warning is %q", refusal.Detail)
	}
	q, err := learned.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: parts[0]}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"tributary_lead_score":"7.5"`, `"tributary_seats":"12"`, `"tributary_renewal":"2026-05-02"`, `"lifecyclestage":"customer"`} {
		if !strings.Contains(string(q.Body), want) {
			t.Errorf("%s is not in %s", want, q.Body)
		}
	}
	for _, not := range []string{"source_ad\"", "utm_source", "utm_medium", "gone", "trial", "plan"} {
		if strings.Contains(string(q.Body), not) {
			t.Errorf("%s is in %s", not, q.Body)
		}
	}
}

// A missing property stops a lane only where the account cannot be read.
func TestAMissingPropertyIsLearnedAnew(t *testing.T) {
	d := configured(t, "")
	batch := destinationtest.Plan(t, d, canonical.Route{}, destinationtest.Deals(1))[0]
	r := destinations.Response{Status: 400, Body: []byte(`{"category":"VALIDATION_ERROR","errors":[{"code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["tributary_utm_source"]}}]}`)}
	if o := d.Classify(batch, r)[0]; o.Verdict != destinations.Halt || o.Stale {
		t.Errorf("not learned: %+v", o)
	}
	p := &portal{answers: map[string]string{"GET /account-info/v3/details": account, readContacts: allDefinitions(d, contacts)}}
	learned, findings := learn(t, d, p)
	if len(findings) != 0 {
		t.Errorf("findings: %+v", findings)
	}
	if o := learned.Classify(batch, r)[0]; o.Verdict != destinations.Retry || !o.Stale || o.Reason != "property_missing" {
		t.Errorf("learned: %+v", o)
	}
}

// Scopes that the token lacks are told by name, with what to do.
func TestFindingsNameTheScope(t *testing.T) {
	lacks := func(scope string) string {
		return `403 {"status":"error","category":"MISSING_SCOPES","message":"no","errors":[{"message":"no","context":{"requiredGranularScopes":["` + scope + `"]}}]}`
	}
	for _, c := range []struct {
		name, config, path, scope string
		subject, hint             string
		blocks                    bool
	}{
		{"deals", "deal_fields: [last_activity_at]\n", "POST /crm/v3/objects/deals/batch/update", "crm.objects.deals.write", "writing deals", "", true},
		{"schemas", "", readContacts, "crm.schemas.contacts.read", "properties of contacts", "grant the token", false},
		{"custom events below Enterprise", "timeline: custom_events\nportal_id: 424242\n", "POST /events/v3/send/batch", "analytics.behavioral_events.send",
			"sending custom events", "need an Enterprise account", true},
		{"a private app's classic timeline", "timeline: oauth_timeline\ntemplates: {'*': '1'}\n", "POST /integrators/timeline/v3/events/batch/create", "timeline",
			"writing timeline entries", "private-app token cannot write classic timeline entries", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := configured(t, c.config)
			p := &portal{answers: map[string]string{
				"GET /account-info/v3/details": account, readContacts: allDefinitions(d, contacts),
				"POST /crm/v3/properties/deals/batch/read": allDefinitions(d, deals),
				"GET /events/v3/event-definitions":         `200 {"results":[{"fullyQualifiedName":"pe424242_customer_won","properties":[{"name":"summary"},{"name":"amount"}]}]}`,
			}}
			p.answers[c.path] = lacks(c.scope)
			_, findings := learn(t, d, p)
			f, ok := told(findings, c.subject)
			if !ok || f.Blocks != c.blocks || !strings.Contains(f.Problem, c.scope) || !strings.Contains(f.Problem, c.hint) {
				t.Errorf("findings: %+v", findings)
			}
		})
	}
}

// An account that does not answer leaves the destination as it was.
func TestLearningNeedsAnAnswer(t *testing.T) {
	d := configured(t, "")
	for _, answer := range []string{"broken", "503 <html>", "429 {}", "401 {}", "200 <html>", "477 "} {
		p := &portal{answers: map[string]string{"GET /account-info/v3/details": account, readContacts: answer}}
		if got, _, err := d.Learn(t.Context(), p.call); err == nil || got.(destination).schema != nil {
			t.Errorf("%s: learned all the same (%v)", answer, err)
		}
	}
	if _, findings := learn(t, configured(t, "portal_id: 7"), &portal{answers: map[string]string{"GET /account-info/v3/details": account}}); !findings[0].Blocks || !strings.Contains(findings[0].Problem, "account 424242 and portal_id says 7") {
		t.Errorf("another account: %+v", findings)
	}
}

// An entry whose custom event is known not to be defined is held; one that is defined carries
// what its definition has.
func TestCustomEventsGoByTheirDefinitions(t *testing.T) {
	d := configured(t, "timeline: custom_events\nportal_id: 424242\n")
	p := &portal{answers: map[string]string{
		"GET /account-info/v3/details": account, readContacts: allDefinitions(d, contacts), "POST /events/v3/send/batch": emptyBatch,
		"GET /events/v3/event-definitions": `200 {"results":[{"fullyQualifiedName":"pe424242_customer_won","properties":[{"name":"amount"},{"name":"hs_page_url"}]}]}`,
	}}
	learned, _ := learn(t, d, p)
	e := destinationtest.Deals(1)[0]
	parts, _ := learned.Plan(e, *e.Known, canonical.Route{})
	q, err := learned.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: parts[1]}})
	if err != nil || !strings.Contains(string(q.Body), `"properties":{"amount":"36000.00","summary":"Converted: customer_won - 36000.00 USD"}`) || q.Class != eventsClass {
		t.Errorf("%s of class %q, %v", q.Body, q.Class, err)
	}
	e.Name = "qualified_lead"
	parts, _ = learned.Plan(e, *e.Known, canonical.Route{})
	if r := parts[1].Refused; r.Reason != canonical.ReasonHold || !strings.Contains(r.Detail, "pe424242_qualified_lead") {
		t.Errorf("refused: %+v", r)
	}
}
