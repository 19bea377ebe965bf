package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestSignatures holds the vectors of the reference sheet, section 2.6.
func TestSignatures(t *testing.T) {
	const (
		sdk    = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
		ours   = "c0ffee00-1111-2222-3333-444455556666"
		bodyB  = `[{"eventId":1001,"subscriptionId":77,"portalId":424242,"appId":9001,"occurredAt":1767225600000,"subscriptionType":"deal.propertyChange","attemptNumber":0,"objectId":5550001,"propertyName":"dealstage","propertyValue":"closedwon","changeSource":"CRM_UI","sourceId":"userId:12"}]`
		query  = "https://router.example.test/hooks/hubspot?next=https%3A%2F%2Fexample.test%2Fa%3Fb%3D1&mail=ana%40example.test&x=%20y"
		hook   = "https://router.example.test/hooks/hubspot"
		sdkURI = "https://www.example.com/webhook_uri"
		flow   = "https://router.example.test/hooks/workflow?tenant=acme&kind=deal"
	)
	for name, tc := range map[string]struct{ got, want string }{
		"v1":        {signV1(ours, []byte(bodyB)), "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91"},
		"v2 GET":    {signV2(sdk, "GET", sdkURI, nil), "eee2dddcc73c94d699f5e395f4b9d454a069a6855fbfa152e91e88823087200e"},
		"v2 POST":   {signV2(sdk, "POST", sdkURI, []byte(`{"example_field":"example_value"}`)), "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900"},
		"v2 flow":   {signV2(ours, "POST", flow, []byte(`{"email":"ana@example.test","amount":"1200"}`)), "920d0361705fe8a220007685541879bb39b97ef528ef9287828ab7712264c383"},
		"v2 flow 2": {signV2(ours, "GET", flow, nil), "035d5c1ab5a0643c2075f81a7fe3961caa6f28a6bbaabe8be320576b9c65ec34"},
		"v3 SDK":    {signV3(sdk, "POST", sdkURI, []byte(`{'example_field':'example_value'}`), "1693657560000"), "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="},
		"v3":        {signV3(ours, "POST", hook, []byte(bodyB), "1767225600123"), "v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g="},
		"v3 UTF-8":  {signV3(ours, "POST", hook, []byte(`{"name":"Zoë – 漢字"}`), "1767225600123"), "oEJDRLKtC2ukXmmyoyWP9gNdI4x0SdoJIUaeEIsHmHM="},
		"v3 query":  {signV3(ours, "POST", query, []byte(`{}`), "1767225600123"), "z66ShKef04wgQNMwdz2YfzMeE8fgK11fpIN/1nxuWrM="},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %s, want %s", name, tc.got, tc.want)
		}
	}
	// What is emitted is that body, byte for byte.
	k := newHooks(HubSpotAccount{ClientSecret: ours})
	won := "closedwon"
	w := k.webhook(hook, []hookEvent{{EventID: 1001, SubscriptionID: 77, PortalID: 424242, AppID: 9001, OccurredAt: 1767225600000, SubscriptionType: "deal.propertyChange",
		ObjectID: 5550001, PropertyName: "dealstage", PropertyValue: &won, ChangeSource: "CRM_UI", SourceID: "userId:12"}}, 0, time.UnixMilli(1767225600123))
	if string(w.Body) != bodyB {
		t.Errorf("body %s", w.Body)
	}
	if got, want := w.Header.Get("X-HubSpot-Signature"), "4d826d4049da4cd741bb98632e4221736cabd67bea9c6450950c82e98da44c91"; got != want {
		t.Errorf("v1 header %s, want %s", got, want)
	}
	if got, want := w.Header.Get("X-HubSpot-Signature-v3"), "v6pbDSjPpa4cKRjMXgGXc3u7BxLoFxYoPN5xdcShr2g="; got != want {
		t.Errorf("v3 header %s, want %s", got, want)
	}
}

func (b *bench) told() []hookEvent {
	var out []hookEvent
	for _, w := range b.Webhooks("https://router.example.test/h") {
		out = append(out, w.events...)
	}
	return out
}

func kinds(events []hookEvent) map[string]int {
	out := make(map[string]int)
	for _, e := range events {
		key := e.SubscriptionType
		if e.PropertyName != "" {
			key += ":" + e.PropertyName
		}
		out[key]++
	}
	return out
}

func TestWebhooksAreBare(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{ClientSecret: "s"})
	id := b.contact("ada.byron@example.com")
	b.told()
	at := noon.Add(-48 * time.Hour)
	if err := b.Set("contact", id, map[string]string{"lifecyclestage": "marketingqualifiedlead", "firstname": "Ada"}, Change{At: at}); err != nil {
		t.Fatal(err)
	}
	hooks := b.Webhooks("https://router.example.test/h")
	if len(hooks) != 1 || len(hooks[0].events) != 1 {
		t.Fatalf("webhooks %+v", hooks)
	}
	want := fmt.Sprintf(`[{"eventId":%d,"subscriptionId":7,"portalId":424242,"appId":9001,"occurredAt":%d,"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":%d,"propertyName":"lifecyclestage","propertyValue":"marketingqualifiedlead","changeSource":"CRM_UI","sourceId":"userId:12"}]`,
		hooks[0].events[0].EventID, at.UnixMilli(), id)
	if got := string(hooks[0].Body); got != want {
		t.Errorf("body %s\nwant %s", got, want)
	}
	again := b.Again(hooks[0], 4)
	var events []map[string]any
	if err := json.Unmarshal(again.Body, &events); err != nil || events[0]["attemptNumber"] != 4.0 || events[0]["eventId"] != float64(hooks[0].events[0].EventID) {
		t.Errorf("fifth try %s", again.Body)
	}
}

func TestMergeWebhooks(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	company := b.make(Made{Type: "company", Properties: map[string]string{"name": "Acme"}})
	one := b.make(Made{Type: "contact", Properties: map[string]string{"email": "one@example.test", "lifecyclestage": "lead"}})
	two := b.make(Made{Type: "contact", Properties: map[string]string{"email": "two@example.test", "lifecyclestage": "salesqualifiedlead", "phone": "+49 30 901820"}, Companies: []int64{company}})
	b.told()
	survivor, err := b.Merge(Merger{Primary: one, Merge: two})
	if err != nil {
		t.Fatal(err)
	}
	events := b.told()
	got := kinds(events)
	if got["contact.merge"] != 1 || got["contact.deletion"] != 2 || got["contact.propertyChange:lifecyclestage"] != 0 || len(events) != 3 {
		t.Errorf("told of %v", got)
	}
	for _, e := range events {
		if e.SubscriptionType == "contact.merge" && (e.PrimaryObjectID != one || !slices.Equal(e.MergedObjectIDs, []int64{two}) || e.NewObjectID != survivor || e.PropertiesMoved == nil || e.ObjectID != 0) {
			t.Errorf("merge %+v", e)
		}
	}
	rec, _ := b.Record("contact", two)
	if rec.ID != survivor || rec.Properties["lifecyclestage"] != "salesqualifiedlead" || rec.Properties["phone"] == "" || rec.Properties["email"] != "one@example.test" || !slices.Equal(rec.Linked[companies], []int64{company}) {
		t.Errorf("survivor %+v", rec)
	}
	kept, err := b.Merge(Merger{Primary: survivor, Merge: b.contact("three@example.test"), NewID: survivor})
	if err != nil || kept != survivor {
		t.Errorf("merge into the primary: %d, %v", kept, err)
	}
}

func TestLifecycleSync(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{LifecycleSync: true})
	company := b.make(Made{Type: "company", Properties: map[string]string{"name": "Acme"}})
	var people []int64
	for i := range 3 {
		people = append(people, b.make(Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("p%d@example.test", i)}, Companies: []int64{company}}))
	}
	stages := func() (out []string) {
		for _, id := range people {
			r, _ := b.Record("contact", id)
			out = append(out, r.Properties["lifecyclestage"])
		}
		r, _ := b.Record("company", company)
		return append(out, r.Properties["lifecyclestage"])
	}
	if err := b.Set("contact", people[0], map[string]string{"lifecyclestage": "evangelist"}, Change{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Set("company", company, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, Change{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"evangelist", "marketingqualifiedlead", "marketingqualifiedlead", "marketingqualifiedlead"}
	if got := stages(); !slices.Equal(got, want) {
		t.Errorf("after the company's stage %v, want %v", got, want)
	}
	deal := b.make(Made{Type: "deal", Properties: map[string]string{"dealname": "D", "dealstage": "contractsent", "amount": "36000"}, Contacts: people, Companies: []int64{company}})
	want = []string{"evangelist", "opportunity", "opportunity", "opportunity"}
	if got := stages(); !slices.Equal(got, want) {
		t.Errorf("after the deal %v, want %v", got, want)
	}
	b.told()
	won := noon.Add(time.Hour)
	if err := b.Set("deal", deal, map[string]string{"dealstage": "closedwon"}, Change{At: won}); err != nil {
		t.Fatal(err)
	}
	want = []string{"evangelist", "customer", "customer", "customer"}
	if got := stages(); !slices.Equal(got, want) {
		t.Errorf("after the win %v, want %v", got, want)
	}
	events := b.told()
	if got := kinds(events); got["deal.propertyChange:dealstage"] != 1 || got["contact.propertyChange:lifecyclestage"] != 2 || got["company.propertyChange:lifecyclestage"] != 1 {
		t.Errorf("told of %v", got)
	}
	for _, e := range events {
		if late := e.OccurredAt - won.UnixMilli(); late < 0 || late >= 3000 {
			t.Errorf("%s %d ms after the win", e.SubscriptionType, late)
		}
	}
	r, _ := b.Record("deal", deal)
	if r.Properties["hs_is_closed_won"] != "true" || r.Properties["hs_closed_amount"] != "36000" || r.Properties["hs_date_entered_closedwon"] != stamp(won) {
		t.Errorf("deal %v", r.Properties)
	}
}

func TestWebhookBatches(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Subscriptions: []string{"contact.creation", "object.creation"}})
	for i := range 130 {
		b.contact(fmt.Sprintf("p%d@example.test", i))
	}
	hooks := b.Webhooks("https://router.example.test/h")
	var sizes []int
	ordered, generic := true, 0
	last := int64(0)
	for _, w := range hooks {
		sizes = append(sizes, len(w.events))
		for _, e := range w.events {
			ordered = ordered && e.EventID > last
			last = e.EventID
			if e.SubscriptionType == "object.creation" && e.ObjectTypeID == "0-1" {
				generic++
			}
		}
	}
	if !slices.Equal(sizes, []int{100, 100, 60}) || ordered || generic != 130 {
		t.Errorf("sizes %v, ordered %v, generic %d", sizes, ordered, generic)
	}
	if more := b.Webhooks("https://router.example.test/h"); len(more) != 0 {
		t.Errorf("%d webhooks after draining", len(more))
	}
}

func TestAssociationWebhooks(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	company := b.make(Made{Type: "company", Properties: map[string]string{"name": "Acme"}})
	contact := b.contact("a@example.test")
	b.told()
	if err := b.Associate(Tie{FromType: "contact", From: contact, ToType: "company", To: company}); err != nil {
		t.Fatal(err)
	}
	if err := b.Associate(Tie{FromType: "contact", From: contact, ToType: "company", To: company}); err != nil {
		t.Fatal(err)
	}
	events := b.told()
	types := make(map[string]bool)
	for _, e := range events {
		types[e.AssociationType] = *e.Primary && !*e.Removed
	}
	if len(events) != 2 || !types["CONTACT_TO_COMPANY"] || !types["COMPANY_TO_CONTACT"] {
		t.Errorf("told of %+v", events)
	}
	if err := b.Associate(Tie{FromType: "contact", From: contact, ToType: "company", To: company, Remove: true}); err != nil {
		t.Fatal(err)
	}
	if events := b.told(); len(events) != 2 || !*events[0].Removed {
		t.Errorf("told of %+v", events)
	}
}

func TestOwnWritesComeBackAsWebhooks(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", `{"inputs":[{"id":"a@example.test","idProperty":"email","properties":{"lifecyclestage":"customer"}}]}`).wants(t, 200)
	for _, e := range b.told() {
		if e.ChangeSource != "INTEGRATION" || e.SourceID != "9001" {
			t.Errorf("told %+v", e)
		}
	}
}

func TestPostRetriesWhatWasRefused(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{ClientSecret: "s"})
	b.contact("a@example.test")
	var mu sync.Mutex
	var attempts []int
	refuse := true
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		var events []struct{ AttemptNumber int }
		if err := json.Unmarshal(body, &events); err != nil {
			t.Error(err)
		}
		if r.Header.Get("X-HubSpot-Signature") != signV1("s", body) || r.Header.Get("X-HubSpot-Signature-v3") != signV3("s", "POST", "http://"+r.Host+r.URL.RequestURI(), body, r.Header.Get("X-HubSpot-Request-Timestamp")) {
			t.Error("signature does not hold")
		}
		attempts = append(attempts, events[0].AttemptNumber)
		if refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer target.Close()
	posted, err := b.Post(t.Context(), target.Client(), target.URL+"/h?source=acme", 2)
	if err != nil || len(posted) != 1 || posted[0].Status != 503 {
		t.Errorf("posted %+v, %v", posted, err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	b.send("POST", "/_hubspot/webhooks", `{"url":"`+target.URL+`/h","repeat":3}`).wants(t, 200, `"attempt":4`, `"status":200`)
	mu.Lock()
	defer mu.Unlock()
	if want := []int{0, 1, 2, 3, 4}; !slices.Equal(attempts, want) {
		t.Errorf("attempts %v, want %v", attempts, want)
	}
}

func TestRunWebhooks(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	came := make(chan struct{}, 10)
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came <- struct{}{} }))
	defer target.Close()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.RunWebhooks(ctx, target.Client(), target.URL, time.Millisecond) }()
	for i := range 3 {
		b.contact(fmt.Sprintf("p%d@example.test", i))
		<-came
	}
	stop()
	if err := <-ended; err != context.Canceled {
		t.Errorf("ended with %v", err)
	}
}

func TestAStoryToldTwice(t *testing.T) {
	opts := Options{Dir: t.TempDir()}
	b := newBench(t, opts)
	id := b.contact("a@example.test")
	first := kinds(b.told())
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = newBench(t, opts)
	if got := b.told(); len(got) != 0 {
		t.Errorf("%d webhooks wait after a restart", len(got))
	}
	var again []hookEvent
	for _, w := range b.Emitted("https://router.example.test/h") {
		again = append(again, w.events...)
	}
	if got := kinds(again); fmt.Sprint(got) != fmt.Sprint(first) || again[0].ObjectID != id {
		t.Errorf("told again %v, want %v", got, first)
	}
	b.send("POST", "/_hubspot/webhooks", `{"url":"https://router.example.test/h","drain":true,"all":true}`).wants(t, 200, "contact.creation")
}

func TestControlStory(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	made := b.send("POST", "/_hubspot/make", `{"type":"contact","id":102948,"at":"2026-04-23T11:04:19Z","properties":{"email":"buyer@acme.example"}}`)
	made.wants(t, 200, `"id":102948`)
	b.send("POST", "/_hubspot/make", `{"type":"contact","id":102948,"properties":{}}`).wants(t, 400, "exists already")
	b.send("POST", "/_hubspot/make", `{"type":"contact","properties":{"email":"buyer@acme.example"}}`).wants(t, 400, "already exists")
	b.send("POST", "/_hubspot/make", `{"type":"contact","id":2,"properties":{"email":"two@acme.example"}}`).wants(t, 200)
	b.send("POST", "/_hubspot/make", `{"type":"company","id":3,"properties":{"name":"Acme"}}`).wants(t, 200)
	b.send("POST", "/_hubspot/make", `{"type":"deal","id":4,"properties":{"dealname":"D","amount":"5","hs_arr":"60"},"contacts":[2],"companies":[3]}`).wants(t, 200)
	b.send("POST", "/_hubspot/make", `{"type":"deal","properties":{"dealname":"D"},"contacts":[99]}`).wants(t, 400, "does not exist")
	b.send("POST", "/_hubspot/set", `{"type":"contact","id":102948,"properties":{"lifecyclestage":"customer"},"at":"2026-05-01T00:00:00Z"}`).wants(t, 200)
	b.send("POST", "/_hubspot/set", `{"type":"contact","id":102948,"properties":{"nope":"x"}}`).wants(t, 400, "nope")
	b.send("POST", "/_hubspot/associate", `{"from_type":"contact","from":102948,"to_type":"company","to":3}`).wants(t, 200)
	b.send("POST", "/_hubspot/merge", `{"primary":102948,"merge":2,"new_id":500}`).wants(t, 200, `"id":500`)
	b.send("GET", "/_hubspot/record?type=contact&id=2", "").wants(t, 200, `"id":500`, `"lifecyclestage":"customer"`, `"deals":[4]`)
	b.send("GET", "/_hubspot/record?type=deal&id=4", "").wants(t, 200, `"hs_arr":"60"`)
	b.send("GET", "/_timeline?contact=2", "").wants(t, 200, `"at":"2026-05-01T00:00:00Z","kind":"lifecycle","sentence":"Lifecycle stage: customer"`)
	b.send("POST", "/_hubspot/webhooks", `{"url":"https://router.example.test/h","drain":true}`).wants(t, 200, "X-Hubspot-Signature-V3", "contact.merge")
	b.send("POST", "/_hubspot/webhooks", `{"url":"nowhere"}`).wants(t, 400)
	b.send("POST", "/_hubspot/delete", `{"type":"contact","id":500}`).wants(t, 200)
	b.send("POST", "/_hubspot/restore", `{"type":"contact","id":500}`).wants(t, 200)
	b.send("POST", "/_hubspot/delete", `{"type":"contact","id":500,"forget":true}`).wants(t, 200)
	b.send("GET", "/_hubspot/record?type=contact&id=500", "").wants(t, 404)
}
