package wire

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

// The same change of stage by the two forms of a workflow, with what each knows of its time.
func TestWorkflowForms(t *testing.T) {
	const versions = `[{"value":"marketingqualifiedlead","timestamp":1776942259000,"source-type":"CRM_UI","source-id":"userId:12"},
		{"value":"lead","timestamp":1776900000000,"source-type":"FORM"}]`
	for name, c := range map[string]struct {
		body  string
		event string // of the URL
		want  string
	}{
		"contact, all properties": {`{"vid":102948,"canonical-vid":102948,"merged-vids":[],"portal-id":424242,"is-contact":true,"identity-profiles":[{"identities":[{"value":"x@example.com"}]}],
			"properties":{"email":{"value":"ada.byron@example.com"},"lifecyclestage":{"value":"marketingqualifiedlead","versions":` + versions + `},"hs_lead_status":{"value":"OPEN"},"hs_calculated_form_submissions":{"value":"7"},"plan":{"value":"team"}}}`, "",
			"lifecycle contact 102948 marketingqualifiedlead 2026-04-23T11:04:19Z false hubspot_contact=102948 email=d9acb9"},
		"a value set over and over holds since the first time": {`{"vid":1,"properties":{"lifecyclestage":{"value":"lead","versions":[
			{"value":"lead","timestamp":1776942259000},{"value":"lead","timestamp":1776900000000},{"value":"subscriber","timestamp":1776800000000},{"value":"lead","timestamp":1776700000000}]}}}`, "",
			"lifecycle contact 1 lead 2026-04-22T23:20:00Z false hubspot_contact=1"},
		"no versions, entered date": {`{"vid":1,"properties":{"lifecyclestage":{"value":"lead"},"hs_lifecyclestage_lead_date":{"value":"1776942259000"},"hs_lifecyclestage_customer_date":{"value":"1"}}}`, "",
			"lifecycle contact 1 lead 2026-04-23T11:04:19Z false hubspot_contact=1"},
		"no versions, no date": {`{"vid":1,"properties":{"lifecyclestage":{"value":"lead"}}}`, "", "lifecycle contact 1 lead 2026-04-23T12:00:00Z true hubspot_contact=1"},
		"merged":               {`{"vid":1,"canonical-vid":9,"merged-vids":[1,2],"properties":{"lifecyclestage":{"value":"lead","versions":` + strings.ReplaceAll(versions, "marketingqualifiedlead", "lead") + `}}}`, "", "lifecycle contact 9 lead 2026-04-22T23:20:00Z false hubspot_contact=9 merge 9<-[1 2]"},
		"deal, all properties": {`{"objectId":5550001,"objectTypeId":"0-3","portalId":424242,"properties":{"dealstage":{"value":"contractsent","timestamp":1776942259000,"source":"CRM_UI"},"pipeline":{"value":"sales"},"amount":{"value":"1200.50"},"deal_currency_code":{"value":"EUR"}}}`, "",
			"deal_stage deal 5550001 contractsent 2026-04-23T11:04:19Z false  1200.5 EUR"},
		"deal with plain values": {`{"objectId":"5550001","objectType":"DEAL","properties":{"dealstage":"contractsent","hs_v2_date_entered_contractsent":"2026-04-23T11:04:19Z"}}`, "",
			"deal_stage deal 5550001 contractsent 2026-04-23T11:04:19Z false "},
		"closed deal":            {`{"objectId":7,"objectType":"DEAL","properties":{"dealstage":"77001","hs_is_closed_won":"true","hs_is_closed":"true","closedate":"1776942259000"}}`, "", "deal_stage deal 7 77001 2026-04-23T11:04:19Z false "},
		"open deal's close date": {`{"objectId":7,"objectType":"DEAL","properties":{"dealstage":"77001","closedate":"1776942259000"}}`, "", "deal_stage deal 7 77001 2026-04-23T12:00:00Z true "},
		"company":                {`{"objectId":31,"objectTypeId":"0-2","properties":{"lifecyclestage":{"value":"customer","timestamp":1776942259000},"domain":{"value":"https://www.acme.example/"}}}`, "", "lifecycle company 31 customer 2026-04-23T11:04:19Z false "},
		"contact without stage":  {`{"vid":1,"properties":{"email":{"value":"ada.byron@example.com"},"lifecyclestage":{"value":""}}}`, "", "property contact 1  2026-04-23T12:00:00Z true hubspot_contact=1 email=d9acb9"},
		"lead status":            {`{"vid":1,"properties":{"hs_lead_status":{"value":"OPEN","versions":[{"value":"OPEN","timestamp":"1776942259000"}]}}}`, "", "lead_status contact 1 OPEN 2026-04-23T11:04:19Z false hubspot_contact=1"},
		"custom object":          {`{"objectId":8,"objectTypeId":"2-55","properties":{"state":{"value":"signed"}}}`, "", "property 2-55 8  2026-04-23T12:00:00Z true "},
		"named in the URL":       {`{"vid":1,"properties":{"email":{"value":"ada.byron@example.com"},"lifecyclestage":{"value":"lead"}}}`, "demo_booked", "custom contact 1  2026-04-23T12:00:00Z true hubspot_contact=1 email=d9acb9"},
		"a ticket, named":        {`{"hs_object_id":"3","object_type":"ticket","email":"ada.byron@example.com","subject":"Help"}`, "ticket_closed", "custom ticket 3  2026-04-23T12:00:00Z true email=d9acb9"},
		"the ticket of nobody":   {`{"objectId":3,"objectTypeId":"0-5","properties":{"subject":"Help"}}`, "ticket_closed", "missing_id"},

		"list":              {`{"hs_object_id":"102948","email":"ada.byron@example.com","lifecyclestage":"marketingqualifiedlead","hs_lifecyclestage_marketingqualifiedlead_date":"1776942259000","plan":null}`, "", "lifecycle contact 102948 marketingqualifiedlead 2026-04-23T11:04:19Z false hubspot_contact=102948 email=d9acb9"},
		"list, no date":     {`{"hs_object_id":102948,"email":"ada.byron@example.com","lifecyclestage":"lead"}`, "", "lifecycle contact 102948 lead 2026-04-23T12:00:00Z true hubspot_contact=102948 email=d9acb9"},
		"list of a deal":    {`{"deal_id":"5550001","dealstage":"contractsent","hs_v2_date_entered_contractsent":1776942259000,"pipeline":"sales","amount":"1200.50","deal_currency_code":"eur","email":"ada.byron@example.com"}`, "", "deal_stage deal 5550001 contractsent 2026-04-23T11:04:19Z false email=d9acb9 1200.5 EUR"},
		"dotted":            {`{"deal.id":"5550001","deal.dealstage":"contractsent","deal.stage_changed_at":"2026-04-23T11:04:19Z","contact.id":"102948","contact.email":"ada.byron@example.com","contact.lifecyclestage":"lead","company.domain":"acme.example"}`, "", "deal_stage deal 5550001 contractsent 2026-04-23T11:04:19Z false hubspot_contact=102948 email=d9acb9"},
		"list, fixed event": {`{"event":"hubspot.lifecycle_changed","contact_id":"1","lifecyclestage":"lead","dealstage":"closedwon"}`, "", "lifecycle contact 1 lead 2026-04-23T12:00:00Z true hubspot_contact=1"},
		"list, a company":   {`{"object_type":"company","hs_object_id":"31","lifecyclestage":"customer","name":"Acme"}`, "", "lifecycle company 31 customer 2026-04-23T12:00:00Z true "},
		"list, any event":   {`{"event":"demo_booked","email":"ada.byron@example.com","plan":"team","value":"99","currency":"EUR","occurred_at":"2026-04-23T11:04:19Z"}`, "", "custom person d9acb9  2026-04-23T11:04:19Z false email=d9acb9 99 EUR"},
		"nested as in crm":  {`{"contact":{"id":"1","lifecycle_stage":"lead"},"occurred_at":"2026-04-23T11:04:19Z"}`, "", "lifecycle contact 1 lead 2026-04-23T11:04:19Z true hubspot_contact=1"},
		"additional mails":  {`{"vid":1,"email":"ada.byron@example.com","hs_additional_emails":"ada.byron@example.com; b@example.com","hs_google_click_id":"Gc"}`, "", "property contact 1  2026-04-23T12:00:00Z true hubspot_contact=1 email=d9acb9 email=" + canonical.EmailHash("b@example.com")[:6] + " gclid=Gc"},
		"nothing":           {`{}`, "", "missing_id"},
		"not rendered":      {`{"hs_object_id":"{{ contact.id }}","lifecyclestage":"lead"}`, "", "unrendered_template"},
		"no record id":      {`{"vid":"x y","properties":{}}`, "", "property contact x y  2026-04-23T12:00:00Z true hubspot_contact=x y"},
	} {
		t.Run(name, func(t *testing.T) {
			r := receipt(canonical.WayWorkflow, c.body)
			r.ReceivedAt = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)
			if c.event != "" {
				r.Context = map[string]string{WorkflowEvent: c.event}
			}
			got, p := Read(r, Settings{})
			if s := said(got, p); s != c.want && (p == nil || p.Code != c.want) {
				t.Errorf("%s\nwant %s", s, c.want)
			}
			for k := range got.Properties {
				if strings.Contains(k, "hs_calculated") || strings.Contains(k, "identity") {
					t.Errorf("kept %s", k)
				}
			}
		})
	}
}

// said writes a report in one line.
func said(r canonical.Report, p *Problem) string {
	id := r.Object.ID
	if len(id) == 64 {
		id = id[:6]
	}
	s := fmt.Sprintf("%s %s %s %s %s %v %s", r.Subject, r.Object.Type, id, r.RawStage, canonical.FormatTime(r.OccurredAt), r.Reported, identifiers(r))
	if r.Revenue != nil && r.Revenue.Amount != nil {
		s += " " + r.Revenue.Amount.String() + " " + r.Revenue.Currency
	}
	if r.Merge != nil {
		s += fmt.Sprintf(" merge %s<-%v", r.Merge.Survivor, r.Merge.Merged)
	}
	if p != nil {
		s += " " + p.Code
	}
	return s
}

func TestWorkflowPortals(t *testing.T) {
	settings := Settings{Account: "emea", Portals: map[int64]string{424242: "hubspot", 7: "emea"}}
	for body, want := range map[string]string{
		`{"vid":1,"portal-id":424242,"properties":{}}`:                              "hubspot_contact=1",
		`{"vid":1,"portalId":"7","properties":{}}`:                                  "hubspot_contact=emea:1",
		`{"vid":1,"properties":{}}`:                                                 "hubspot_contact=emea:1", // its source's
		`{"hs_object_id":"1","email":"ada.byron@example.com","portal_id":"424242"}`: "hubspot_contact=1 email=d9acb9",
	} {
		r, p := Read(receipt(canonical.WayWorkflow, body), settings)
		if p != nil || identifiers(r) != want {
			t.Errorf("%s: %s, %v, want %s", body, identifiers(r), p, want)
		}
	}
	if _, p := Read(receipt(canonical.WayWorkflow, `{"vid":1,"portal-id":8,"properties":{}}`), settings); p == nil || p.Code != CodePortal {
		t.Errorf("a portal that nobody has: %v", p)
	}
}

// A stage that this router wrote itself is told as an echo by a workflow too, where its body has the
// history.
func TestWorkflowEcho(t *testing.T) {
	body := `{"vid":1,"properties":{"lifecyclestage":{"value":"lead","versions":[{"value":"lead","timestamp":1776942259000,"source-type":"INTEGRATION","source-id":"%s"}]}}}`
	settings := Settings{Apps: map[string]App{"hubspot": {ID: 9001, Stages: []string{"lead"}}}}
	for by, want := range map[string]bool{"9001": true, "appId:9001": true, "9002": false} {
		r, p := Read(receipt(canonical.WayWorkflow, fmt.Sprintf(body, by)), settings)
		if p != nil || r.Echo != want {
			t.Errorf("%s: %v, %v", by, r.Echo, p)
		}
	}
}

// FuzzWorkflow: whatever comes, reading it ends, twice with the same report, and keeps to bounds.
func FuzzWorkflow(f *testing.F) {
	for _, s := range []string{
		`{"vid":1,"properties":{"lifecyclestage":{"value":"lead","versions":[{"value":"lead","timestamp":1}]}}}`, `{"properties":[]}`, `{"properties":{"":{}}}`,
		`{"contact.email":"a@example.com","contact":{"email":5},"deal":[],"deal.id":{"a":1}}`, `{"objectTypeId":"2-1","properties":{"a":null}}`, `{"hs_additional_emails":";;","vid":{}}`,
		`{"event":"deal.stage_changed","dealstage":"x","closedate":"9999999999999999999","hs_is_closed_won":"true"}`,
	} {
		f.Add([]byte(s), "")
		f.Add([]byte(s), "demo_booked")
	}
	f.Fuzz(func(t *testing.T, body []byte, event string) {
		r := canonical.Receipt{ID: "r", Source: "s", Way: canonical.WayWorkflow, ReceivedAt: received, Body: body, Context: map[string]string{WorkflowEvent: event}}
		a, pa := Read(r, Settings{})
		b, pb := Read(r, Settings{})
		if (pa == nil) != (pb == nil) || pa == nil && said(a, nil) != said(b, nil) {
			t.Fatalf("%s: %s %v, then %s %v", body, said(a, pa), pa, said(b, pb), pb)
		}
		if len(a.Identifiers) > maxIdentifiers {
			t.Fatalf("%d identifiers", len(a.Identifiers))
		}
	})
}

// A body of a megabyte that is made to cost much costs less than 64.
func TestWorkflowMemory(t *testing.T) {
	fill := func(head, part, tail string) string {
		return head + strings.Repeat(part, (1<<20-len(head)-len(tail))/len(part)) + tail
	}
	var many strings.Builder
	many.WriteString(`{"vid":1,"properties":{"a":0`)
	for i := 0; many.Len() < 1<<20; i++ {
		fmt.Fprintf(&many, `,"%x":1`, i)
	}
	many.WriteString("}}")
	for name, body := range map[string]string{
		"numbers":  fill(`{"a":[1`, ",1", "]}"),
		"lists":    fill(`{"a":[[]`, ",[]", "]}"),
		"objects":  fill(`{"properties":{"a":{"versions":[{}`, ",{}", "]}}}"),
		"names":    many.String(),
		"versions": fill(`{"vid":1,"properties":{"a":{"value":"x","versions":[{}`, `,{"value":"x"}`, "]}}}"),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, _ = Read(receipt(canonical.WayWorkflow, body), Settings{})
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d MB", name, (after.TotalAlloc-before.TotalAlloc)>>20)
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb >= 96 { // all of it, also what was free again meanwhile
			t.Errorf("%s: %d MB", name, mb)
		}
	}
}
