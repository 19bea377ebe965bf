package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// noon is the time of most tests.
var noon = time.Date(2026, 9, 15, 12, 0, 0, 0, time.UTC)

// A bench is a simulator with a clock that tests set.
type bench struct {
	*Simulator
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T, opts Options) *bench {
	t.Helper()
	b := &bench{t: t, now: noon}
	opts.Now = func() time.Time { return b.now }
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	b.Simulator = s
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
}

// send makes one request in process. Headers are "Name: value".
func (b *bench) send(method, path, body string, headers ...string) reply {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), method, "http://vendor.test"+path, strings.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	return reply{w.Code, w.Result().Header, w.Body.String()}
}

func (r reply) wants(t *testing.T, status int, parts ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("got status %d, want %d; body %s", r.status, status, r.body)
	}
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			t.Errorf("body %s\nlacks %s", r.body, p)
		}
	}
}

func read[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

var ada = Person{
	FirstName: "Ada", LastName: "Byron", Company: "Example GmbH", Emails: []string{" Ada.Byron@Example.COM "}, Phones: []string{"+49 30 901820"},
	MetaUser: true, FBCLIDs: []string{"IwAR0click"}, FBPs: []string{"fb.1.1788000000000.123456789"}, MetaLeadIDs: []string{"123456789012345"}, ExternalIDs: []string{"HS-00042"},
	LinkedInMember: true, LiFatIDs: []string{"li-0001"}, LinkedInLeadIDs: []string{"3af1c0de-1"},
}

func TestVendorsAreToldApartByPath(t *testing.T) {
	for path, want := range map[string]Vendor{
		"/v25.0/1/events": Meta, "/meta/v25.0/1/events": Meta, "/rest/conversionEvents": LinkedIn, "/linkedin/rest/x": LinkedIn, "/oauth/v2/accessToken": LinkedIn,
		"/crm/v3/objects/contacts": HubSpot, "/events/v3/send": HubSpot, "/account-info/v3/details": HubSpot,
		"/oauth/v2/private-apps/get/access-token-info": HubSpot, "/hubspot/crm/v3/x": HubSpot, "/elsewhere": "", "/metadata": "",
	} {
		if got, _ := vendorOf(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestBodyBound(t *testing.T) {
	b := newBench(t, Options{MaxBody: 100})
	b.send("POST", "/v25.0/1/events", strings.Repeat("x", 101)).wants(t, http.StatusRequestEntityTooLarge)
	if got := b.Stats(Meta).Refused; got != 1 {
		t.Errorf("refused %d, want 1", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(100)
	for range 1000 {
		m.add(&Received{Kind: "event", EventID: "same"})
	}
	if got := len(m.items); got > 110 {
		t.Errorf("%d items kept, want about 100", got)
	}
	if m.stats.Accepted != 1000 || m.stats.Duplicates != 999 || m.stats.Forgotten+int64(len(m.items)) != 1000 {
		t.Errorf("counts do not add up: %+v", m.stats)
	}
}

func TestWhatWasReceivedOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	opts := Options{Dir: dir, People: []Person{ada}, HubSpot: HubSpotAccount{PropertyPrefix: "tributary_", EventDefinitions: []string{"touch"}}}
	b := newBench(t, opts)
	sendMeta(b, metaEventWith(`"event_id":"one"`)).wants(t, 200)
	if err := b.AddPeople(Person{ID: "Bo", Emails: []string{"bo@example.test"}, MetaUser: true}); err != nil {
		t.Fatal(err)
	}
	a, err := b.Make(Made{Type: "contact", Properties: map[string]string{"email": "ada.byron@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Make(Made{Type: "contact", Properties: map[string]string{"email": "ada@private.example"}})
	if err != nil {
		t.Fatal(err)
	}
	survivor, err := b.Merge(Merger{Primary: a, Merge: c})
	if err != nil {
		t.Fatal(err)
	}
	event := `{"eventName":"pe424242_touch","objectId":"` + idOf(survivor) + `","uuid":"u1","properties":{"title":"Clicked ad: Spring on linkedin"}}`
	b.hubspotSend("POST", "/events/v3/send", event).wants(t, 204)
	want := b.Received(Meta)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	tear(t, dir)
	b = newBench(t, opts)
	got := b.Received(Meta)
	if len(got) != 1 || got[0].EventID != want[0].EventID || got[0].Person != "Ada Byron" || string(got[0].Body) != string(want[0].Body) {
		t.Errorf("after the restart %+v, want %+v", got, want)
	}
	sendMeta(b, metaEventWith(`"event_id":"one"`)).wants(t, 200)
	if !b.Received(Meta)[1].Duplicate {
		t.Error("a duplicate across the restart was not seen")
	}
	if r, ok := b.Record("contact", c); !ok || r.ID != survivor || r.Properties["hs_additional_emails"] != "ada@private.example" {
		t.Errorf("the merged contact reads %+v, %v", r, ok)
	}
	b.hubspotSend("POST", "/events/v3/send", event).wants(t, 204)
	if line := b.Timeline(survivor); countKind(line, "custom_event") != 1 {
		t.Errorf("timeline after a repeat across the restart: %+v", line)
	}
	if b.people.find("crm.email", "bo@example.test") != "Bo" {
		t.Error("a person added was forgotten")
	}
	if err := b.Reset(); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, opts)
	if n := len(b.Received(Meta)); n != 0 {
		t.Errorf("%d items after a reset", n)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]Options{
		"time zone": {HubSpot: HubSpotAccount{TimeZone: "Mars/North"}},
		"tier":      {HubSpot: HubSpotAccount{Tier: "platinum"}},
		"dataset":   {Meta: MetaAccount{DatasetIDs: []string{"my-pixel"}}},
		"rule":      {LinkedIn: LinkedInAccount{Rules: []Rule{{ID: "mql"}}}},
		"directory": {Dir: "/nowhere/at/all"},
	} {
		if _, err := New(opts); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestControlRefusesWhatItDoesNotKnow(t *testing.T) {
	b := newBench(t, Options{})
	b.send("POST", "/_fail", `{"vendor":"meta","mode":"500","cuont":1}`).wants(t, 400, "unknown field")
	b.send("POST", "/_fail", `{"vendor":"meta","mode":"explode"}`).wants(t, 400, "mode")
	b.send("POST", "/_fail", `{"vendor":"tiktok","mode":"500"}`).wants(t, 400, "vendor")
	b.send("GET", "/_received?vendor=x", "").wants(t, 400)
	b.send("GET", "/_received?vendor=meta", "").wants(t, 200, "[]")
	b.send("GET", "/_stats", "").wants(t, 200, `"linkedin":{"requests":0`)
	b.send("GET", "/_timeline?contact=1", "").wants(t, 404)
	b.send("POST", "/_nothing", "{}").wants(t, 404)
	b.send("POST", "/_heal", "").wants(t, 200)
	b.send("POST", "/_people", `[{"id":"Bo","emails":["bo@example.test"],"meta_user":true}]`).wants(t, 200)
	b.send("POST", "/_reset", "{}").wants(t, 200)
}

// get reads all of a response and closes it.
func get(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func countKind(line []Entry, kind string) int {
	n := 0
	for _, e := range line {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
