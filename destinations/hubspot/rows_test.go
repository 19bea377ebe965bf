package hubspot

import (
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
)

// Whatever the order of the items, one record is one row with the same fields: the latest
// business time wins, the first touch is the earliest, counters only grow.
func TestRowsOfOneContactMergeInAnyOrder(t *testing.T) {
	d := configured(t, "custom: {plan: {}}\n")
	sample := destinationtest.Deals(1)[0]
	var batch []destinations.Item
	for i, plan := range []string{"free", "", "pro", "team"} {
		e := sample
		e.ID = canonical.EventID(plan + "!")
		e.OccurredAt = sample.OccurredAt.Add(time.Duration(i) * time.Hour)
		e.Properties = map[string]any{"plan": plan}
		k := *sample.Known
		k.Counts = map[string]int{"page_viewed": 10 - i, "ad_clicked": i}
		if i == 1 {
			k.FirstTouch = &canonical.Touch{Kind: "ad_click", At: sample.OccurredAt.AddDate(0, -1, 0), Platform: "google"}
		}
		parts, _ := d.Plan(e, k, canonical.Route{})
		batch = append(batch, destinations.Item{Event: e, Known: k, Part: parts[0]})
	}
	want := ""
	for range 50 {
		q, err := d.Build(batch)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = string(q.Body)
		}
		if string(q.Body) != want || q.Method != http.MethodPatch {
			t.Fatalf("%s %s, want %s", q.Method, q.Body, want)
		}
		rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	for _, has := range []string{`"tributary_plan":"team"`, `"tributary_page_views":"10"`, `"tributary_ad_clicks":"3"`, `"tributary_first_touch_at":"2026-08-01T12:00:00Z"`, `"tributary_form_submissions":"0"`} {
		if !strings.Contains(want, has) {
			t.Errorf("%s is not in %s", has, want)
		}
	}
	got := d.Classify(batch, destinations.Response{Status: 200, Body: []byte(`{"id":"1001","properties":{}}`)})
	for _, o := range got {
		if o.Verdict != destinations.Delivered {
			t.Errorf("%+v", o)
		}
	}
}

// Rows that turn out to be of one contact only when they are built are one row.
func TestAMergeKnownByNowMakesOneRow(t *testing.T) {
	d := configured(t, "")
	var batch []destinations.Item
	for _, e := range destinationtest.Deals(3) {
		parts, _ := d.Plan(e, *e.Known, canonical.Route{})
		k := *e.Known
		if e.Contact.ID != "1003" {
			k.Identifiers = []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "2000"}, {Scheme: canonical.HubSpotContact, Value: e.Contact.ID}}
		}
		batch = append(batch, destinations.Item{Event: e, Known: k, Part: parts[0]})
	}
	q, err := d.Build(batch)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(q.Body), `"id":`); n != 2 || q.Path != "/crm/v3/objects/contacts/batch/update" {
		t.Errorf("%d rows at %s: %s", n, q.Path, q.Body)
	}
	got := d.Classify(batch, destinations.Response{Status: 200, Body: []byte(`{"results":[{"id":"1003"},{"id":"2000"}]}`)})
	for _, o := range got {
		if o.Verdict != destinations.Delivered {
			t.Errorf("%+v", o)
		}
	}
}

// What is bound for an account's own company and deal is planned beside the contact's row.
func TestCompaniesAndDealsHavePartsOfTheirOwn(t *testing.T) {
	d := everywhere.Open(t).(destination)
	e := destinationtest.Deals(1)[0]
	e.Known.Identifiers = append(e.Known.Identifiers, canonical.Identifier{Scheme: canonical.UserID, Value: "u-7"})
	parts, refusal := d.Plan(e, *e.Known, canonical.Route{})
	var got []string
	for _, p := range parts {
		q, err := d.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: p}})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.Name+" "+q.Method+" "+q.Path+" "+string(q.Body))
	}
	want := []string{
		`properties PATCH /crm/v3/objects/contacts/1001 {"properties":{"lifecyclestage":"customer","tributary_first_touch_at":"2026-08-30T12:00:00Z","tributary_last_touch_at":"2026-08-31T12:00:00Z","tributary_source_ad":"Video","tributary_source_ad_set":"DE","tributary_source_campaign":"Demo days","tributary_source_platform":"linkedin","tributary_utm_campaign":"Demo days","tributary_utm_medium":"cpc","tributary_utm_source":"linkedin"}}`,
		`company PATCH /crm/v3/objects/companies/77 {"properties":{"tributary_last_activity_at":"2026-09-01T12:00:00Z","tributary_source_platform":"linkedin"}}`,
		`deal PATCH /crm/v3/objects/deals/91001 {"properties":{"tributary_first_touch_at":"2026-08-30T12:00:00Z","tributary_source_campaign":"Demo days"}}`,
	}
	if !reflect.DeepEqual(got, want) || refusal.Reason != "" {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	e.Way, e.Object, e.Contact.ID = canonical.WayPixel, canonical.Object{Type: "page", ID: "x"}, ""
	e.Identifiers, e.Known.Identifiers = nil, e.Known.Identifiers[len(e.Known.Identifiers)-1:]
	parts, _ = d.Plan(e, *e.Known, canonical.Route{})
	q, err := d.Build([]destinations.Item{{Event: e, Known: *e.Known, Part: parts[0]}})
	if err != nil || q.Path != "/crm/v3/objects/contacts/batch/upsert" || !strings.Contains(string(q.Body), `"id":"u-7","idProperty":"tributary_person"`) || !strings.Contains(string(q.Body), `"email":"person0@example.com"`) {
		t.Errorf("by the unique property: %s %s, %v", q.Path, q.Body, err)
	}
	if m := d.Match(destinations.Item{Event: e, Known: *e.Known, Part: parts[0]}); m["tributary_person"] != "usable" || m["email"] != "usable" || m["contact_id"] != "missing" {
		t.Errorf("match: %v", m)
	}
}

// Nobody's deal still gets its row, while the contact's parts wait.
func TestADealWithoutAContact(t *testing.T) {
	d := configured(t, "deal_fields: [last_activity_at]\n")
	e := destinationtest.Deals(1)[0]
	e.Identifiers, e.Contact = nil, canonical.Contact{}
	parts, refusal := d.Plan(e, canonical.Known{FirstTouch: e.Known.FirstTouch}, canonical.Route{})
	if refusal.Reason != "" || len(parts) != 3 {
		t.Fatalf("%+v %+v", parts, refusal)
	}
	for _, p := range parts {
		if waits := p.Refused.Reason == canonical.ReasonAwaitingIdentity; waits != (p.Name != dealPart) {
			t.Errorf("%s: %+v", p.Name, p.Refused)
		}
	}
}

// A stage that HubSpot keeps is delivered and told.
func TestALifecycleStageThatIsKeptIsTold(t *testing.T) {
	d := configured(t, "timeline: off\nlifecycle: {customer_won: customer}\n")
	batch := destinationtest.Plan(t, d, canonical.Route{}, destinationtest.Deals(2))[0]
	answer := `{"results":[{"id":"1001","properties":{"lifecyclestage":"evangelist"}},{"id":"1002","properties":{"lifecyclestage":"customer"}}]}`
	got := d.Classify(batch, destinations.Response{Status: 200, Body: []byte(answer)})
	if o := got[0]; o.Verdict != destinations.Delivered || o.Reason != "lifecycle_kept" || o.Detail != "lifecycle kept at evangelist" {
		t.Errorf("kept: %+v", o)
	}
	if o := got[1]; o.Verdict != destinations.Delivered || o.Reason != "accepted" || o.Detail != "" {
		t.Errorf("taken: %+v", o)
	}
	e := destinationtest.Deals(1)[0]
	e.Object.Type = "contact" // HubSpot's own report: nothing to write
	if values, _ := d.contactValues(byID, []destinations.Item{{Event: e, Known: *e.Known}}); values["lifecyclestage"] != "" {
		t.Error("what HubSpot's contact reported is written back")
	}
}

// A day's limit is waited for until the account's midnight, by the answer's own clock.
func TestADayEndsAtTheAccountsMidnight(t *testing.T) {
	day := `{"status":"error","message":"You have reached your daily limit.","errorType":"RATE_LIMIT","policyName":"DAILY","requestId":"r"}`
	for _, c := range []struct {
		zone, date string
		want       time.Duration
	}{
		{"Europe/Berlin", "Tue, 01 Sep 2026 20:30:00 GMT", 90*time.Minute + time.Second},
		{"America/New_York", "Tue, 01 Sep 2026 20:30:00 GMT", 7*time.Hour + 30*time.Minute + time.Second},
		{"Europe/Berlin", "Sat, 24 Oct 2026 22:10:00 GMT", 24 * time.Hour}, // 25 hours that day
		{"Europe/Berlin", "", time.Hour},
		{"", "Tue, 01 Sep 2026 20:30:00 GMT", time.Hour},
	} {
		d := configured(t, "time_zone: "+c.zone+"\n")
		batch := destinationtest.Plan(t, d, canonical.Route{}, destinationtest.Deals(1))[0]
		r := destinations.Response{Status: 429, Header: http.Header{"Date": {c.date}}, Body: []byte(day)}
		if o := d.Classify(batch, r)[0]; o.After != c.want || o.Verdict != destinations.Retry {
			t.Errorf("%s at %s: %+v, want %v", c.zone, c.date, o, c.want)
		}
	}
}

func TestHeadroom(t *testing.T) {
	d := configured(t, "")
	h := http.Header{}
	for name, v := range map[string]string{"Max": "190", "Remaining": "12", "Interval-Milliseconds": "10000", "Daily": "625000", "Daily-Remaining": "0"} {
		h.Set("X-HubSpot-RateLimit-"+name, v)
	}
	want := []destinations.Reading{{Limit: "ten_seconds", Max: 190, Remaining: 12}, {Limit: "day", Max: 625000, Remaining: 0}}
	if got := d.Headroom(destinations.Response{Header: h}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := d.Headroom(destinations.Response{Header: http.Header{"X-Hubspot-Ratelimit-Max": {"many"}}}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// A note is found by its contact, time and words; an answer that shows none is sure too.
func TestLookingForANote(t *testing.T) {
	d := configured(t, "unanswered_notes: look\n")
	items := destinationtest.Plan(t, d, canonical.Route{}, destinationtest.Deals(1))
	it := items[1][0]
	if it.Part.Ambiguous != destinations.Look {
		t.Fatalf("%+v", it.Part)
	}
	q, err := d.Seek(it)
	if err != nil || q.Path != "/crm/v3/objects/notes/search" || q.Class != searchClass || !strings.Contains(string(q.Body), `"operator":"EQ","propertyName":"associations.contact","value":"1001"`) {
		t.Errorf("%+v %s, %v", q, q.Body, err)
	}
	for _, c := range []struct {
		name, body  string
		status      int
		found, sure bool
	}{
		{"there", `{"total":1,"results":[{"id":"5","properties":{"hs_note_body":"<p>Converted: customer_won - 36000.00 USD</p>","hs_timestamp":"2026-09-01T12:00:00.000Z"}}]}`, 200, true, true},
		{"another of that time", `{"total":1,"results":[{"id":"5","properties":{"hs_note_body":"Called","hs_timestamp":"2026-09-01T12:00:00Z"}}]}`, 200, false, true},
		{"another time", `{"total":1,"results":[{"id":"5","properties":{"hs_note_body":"Converted: customer_won - 36000.00 USD","hs_timestamp":"2026-09-01T12:00:01Z"}}]}`, 200, false, true},
		{"none", `{"total":0,"results":[]}`, 200, false, true},
		{"refused", `{"status":"error"}`, 400, false, false},
		{"no list", `{}`, 200, false, false},
		{"broken", `{"results":[`, 200, false, false},
	} {
		if found, sure := d.Found(it, destinations.Response{Status: c.status, Body: []byte(c.body)}); found != c.found || sure != c.sure {
			t.Errorf("%s: found %v, sure %v", c.name, found, sure)
		}
	}
	if _, err := d.Seek(items[0][0]); err != nil {
		t.Error(err)
	}
	if found, sure := d.Found(items[0][0], destinations.Response{Status: 200}); found || !sure {
		t.Error("properties are not simply sent again")
	}
}

// An id that was taken before is the event's own: the entry is there.
func TestATakenEntryIsThere(t *testing.T) {
	d := templated.Open(t)
	batch := destinationtest.Plan(t, d, canonical.Route{}, destinationtest.Deals(2))[1]
	one := destinations.Response{Status: 409, Body: []byte(`{"status":"error","category":"CONFLICT","message":"Event with that ID already exists"}`)}
	if o := d.Classify(batch[:1], one)[0]; o.Verdict != destinations.Delivered || o.Reason != "already_there" {
		t.Errorf("%+v", o)
	}
	if o := d.Classify(batch, one)[0]; o.Verdict != destinations.Split {
		t.Errorf("%+v", o)
	}
	many := `{"status":"COMPLETE","results":[{"id":"` + uuid(batch[1].Event.Key()) + `"}],"numErrors":1,"errors":[{"status":"error","category":"CONFLICT","context":{"id":["` + uuid(batch[0].Event.Key()) + `"]}}]}`
	got := d.Classify(batch, destinations.Response{Status: 207, Body: []byte(many)})
	if got[0].Reason != "already_there" || got[1].Reason != "accepted" {
		t.Errorf("%+v", got)
	}
}

// The domain by which a company is found is that of the event's account, as it was judged when the
// event was resolved.
func TestACompanyIsFoundByTheDomainOfItsAccount(t *testing.T) {
	own := canonical.NewLists(nil, nil, []string{"freebie.example"})
	for _, c := range []struct{ company, domain, email, want string }{
		{"", "mail.acme.example", "", "acme.example"},
		{"", "", "ada@eu.acme.example", "acme.example"},
		{"", "", "ada@gmail.com", ""},
		{"", "", "ada@freebie.example", ""},
		{"", "freebie.example", "ada@acme.example", ""},
		{"77", "acme.example", "ada@freebie.example", "acme.example"},
	} {
		e := canonical.Event{Company: canonical.Company{ID: c.company, Domain: c.domain}, Contact: canonical.Contact{Email: c.email}}
		e.AccountNode = own.AccountNode(&e)
		if got := companyDomain(e); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
