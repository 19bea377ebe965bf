package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFaultAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		fault  Fault
		status int
		want   string
	}{
		"meta 500":         {Fault{Vendor: Meta, Mode: "500"}, 500, `"is_transient":true`},
		"meta 401":         {Fault{Vendor: Meta, Mode: "401"}, 401, `"code":190`},
		"meta 429":         {Fault{Vendor: Meta, Mode: "429"}, 429, `"code":4`},
		"meta throttle":    {Fault{Vendor: Meta, Mode: "429", Status: 400, Code: 80004}, 400, `"code":80004`},
		"meta 502 page":    {Fault{Vendor: Meta, Mode: "502html"}, 502, "<html>"},
		"linkedin 401":     {Fault{Vendor: LinkedIn, Mode: "401"}, 401, `"serviceErrorCode":65600`},
		"linkedin revoked": {Fault{Vendor: LinkedIn, Mode: "401", Code: 65601}, 401, "REVOKED_ACCESS_TOKEN"},
		"linkedin 426":     {Fault{Vendor: LinkedIn, Mode: "426"}, 426, "NONEXISTENT_VERSION"},
		"linkedin 429":     {Fault{Vendor: LinkedIn, Mode: "429"}, 429, `"status":429`},
		"hubspot 401":      {Fault{Vendor: HubSpot, Mode: "401"}, 401, "INVALID_AUTHENTICATION"},
		"hubspot 403":      {Fault{Vendor: HubSpot, Mode: "403"}, 403, "MISSING_SCOPES"},
		"hubspot 423":      {Fault{Vendor: HubSpot, Mode: "423"}, 423, "locked"},
		"hubspot 429":      {Fault{Vendor: HubSpot, Mode: "429"}, 429, "TEN_SECONDLY_ROLLING"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, Options{})
			tc.fault.RetryAfter = 3
			if err := b.Fail(tc.fault); err != nil {
				t.Fatal(err)
			}
			path := map[Vendor]string{Meta: "/v25.0/1/events", LinkedIn: "/rest/conversionEvents", HubSpot: "/crm/v3/objects/contacts/1"}[tc.fault.Vendor]
			got := b.send("POST", path, "{}", "Authorization: Bearer t")
			got.wants(t, tc.status, tc.want)
			if tc.fault.Mode != "502html" && got.header.Get("Retry-After") != "3" {
				t.Error("no Retry-After")
			}
			if st := b.Stats(tc.fault.Vendor); st.Faults != 1 || st.Refused != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func TestFaultEnds(t *testing.T) {
	b := newBench(t, Options{})
	fail := func(f string) { b.send("POST", "/_fail", f).wants(t, 200) }
	status := func() int { return sendMeta(b, metaEventWith()).status }
	fail(`{"vendor":"meta","mode":"500","after":1,"count":2}`)
	if got, want := fmt.Sprint(status(), status(), status(), status()), "200 500 500 200"; got != want {
		t.Errorf("count: got %s, want %s", got, want)
	}
	fail(`{"vendor":"meta","mode":"503","for":"30s"}`)
	first := status()
	b.now = b.now.Add(30 * time.Second)
	if got, want := fmt.Sprint(first, status()), "503 200"; got != want {
		t.Errorf("for: got %s, want %s", got, want)
	}
	fail(`{"vendor":"meta","mode":"500","path":"/999/"}`)
	if got := status(); got != 200 {
		t.Errorf("another path: %d", got)
	}
	fail(`{"vendor":"linkedin","mode":"500"}`)
	if got := status(); got != 200 {
		t.Errorf("another vendor: %d", got)
	}
	fail(`{"vendor":"meta","mode":"500"}`)
	b.send("POST", "/_heal", `{"vendor":"meta"}`).wants(t, 200)
	if got := status(); got != 200 {
		t.Errorf("healed: %d", got)
	}
}

func TestFaultRate(t *testing.T) {
	count := func(seed uint64) (struck int, pattern string) {
		b := newBench(t, Options{})
		if err := b.Fail(Fault{Vendor: Meta, Mode: "500", Rate: 0.1, Seed: seed}); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			got := sendMeta(b, metaEventWith()).status
			if got == 500 {
				struck++
			}
			pattern += fmt.Sprint(got / 100)
		}
		return struck, pattern
	}
	n, first := count(1)
	if n < 20 || n > 90 {
		t.Errorf("%d of 500 struck, want about 50", n)
	}
	if _, second := count(1); second != first {
		t.Error("the same seed struck others")
	}
	if _, other := count(2); other == first {
		t.Error("another seed struck the same")
	}
}

func TestLostConnections(t *testing.T) {
	for mode, kept := range map[string]int{"reset": 0, "timeout": 0, "drop_after_accept": 1, "hang_after_accept": 1} {
		t.Run(mode, func(t *testing.T) {
			b := newBench(t, Options{Hang: 20 * time.Millisecond})
			server := httptest.NewServer(b.Handler())
			defer server.Close()
			if err := b.Fail(Fault{Vendor: Meta, Mode: mode, Count: 1}); err != nil {
				t.Fatal(err)
			}
			res, err := post1(t.Context(), server, metaEventWith())
			if err == nil {
				t.Errorf("an answer came: %d %s", res.StatusCode, get(t, res))
			}
			if got := len(b.Received(Meta)); got != kept {
				t.Errorf("%d events kept, want %d", got, kept)
			}
			res, err = post1(t.Context(), server, metaEventWith())
			if err != nil {
				t.Fatal(err)
			}
			if get(t, res); res.StatusCode != 200 {
				t.Errorf("after the fault %d", res.StatusCode)
			}
			if dup := b.Received(Meta)[kept].Duplicate; dup != (kept == 1) {
				t.Errorf("duplicate %v", dup)
			}
		})
	}
}

func post1(ctx context.Context, server *httptest.Server, event string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/v25.0/1/events", io.NopCloser(strings.NewReader(`{"data":[`+event+`]}`)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer t")
	return server.Client().Do(req)
}

func TestTimeoutEndsWithTheClient(t *testing.T) {
	b := newBench(t, Options{Hang: time.Hour})
	server := httptest.NewServer(b.Handler())
	defer server.Close() // waits for the handler: it must have ended
	if err := b.Fail(Fault{Vendor: Meta, Mode: "timeout"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := post1(ctx, server, metaEventWith()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Fail(Fault{Vendor: Meta, Mode: "slow", Delay: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v25.0/1/events", strings.NewReader("{}")))
		if took := time.Since(start); took != 3*time.Second || w.Code != 401 {
			t.Errorf("%d after %v", w.Code, took)
		}
	})
}

func TestAnErrorAfterTheWrite(t *testing.T) {
	for mode, status := range map[string]int{"500": 500, "502html": 502} {
		b := newBench(t, Options{})
		if err := b.Fail(Fault{Vendor: Meta, Mode: mode, Applied: true, Count: 1}); err != nil {
			t.Fatal(err)
		}
		sendMeta(b, metaEventWith()).wants(t, status, "")
		if got := len(b.Received(Meta)); got != 1 {
			t.Errorf("%s: %d events kept, want 1", mode, got)
		}
		if q := b.Requests(Meta, 0); len(q) != 1 || q[0].Status != status || q[0].Items != 1 {
			t.Errorf("%s: the record says %+v", mode, q)
		}
	}
	for _, f := range []Fault{{Vendor: Meta, Mode: "429", Applied: true}, {Vendor: Meta, Mode: "reset", Applied: true}} {
		if err := newBench(t, Options{}).Fail(f); err == nil {
			t.Errorf("%+v was taken", f)
		}
	}
}

func TestFlaky(t *testing.T) {
	b := newBench(t, Options{})
	server := httptest.NewServer(b.Handler())
	defer server.Close()
	if err := b.Fail(Fault{Vendor: Meta, Mode: "flaky", Rate: 0.5, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	answered, lost := make(map[int]int), 0
	for i := range 60 {
		res, err := post1(t.Context(), server, metaEventWith(fmt.Sprintf(`"event_id":"e%d"`, i)))
		if err != nil {
			lost++
			continue
		}
		get(t, res)
		answered[res.StatusCode]++
	}
	if answered[200] == 0 || lost == 0 || answered[500]+answered[502]+answered[503] == 0 {
		t.Errorf("answered %v, lost %d", answered, lost)
	}
	if got := len(b.Received(Meta)); got < answered[200] || got > answered[200]+lost {
		t.Errorf("%d kept, %d answered 200, %d lost", got, answered[200], lost)
	}
}

func TestLostRow(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{})
	if err := b.Fail(Fault{Vendor: HubSpot, Mode: "lost_row", Count: 1}); err != nil {
		t.Fatal(err)
	}
	got := b.hubspotSend("POST", "/crm/v3/objects/contacts/batch/upsert", `{"inputs":[{"id":"a@example.test","idProperty":"email","objectWriteTraceId":"1","properties":{"firstname":"A"}},{"id":"b@example.test","idProperty":"email","objectWriteTraceId":"2","properties":{"firstname":"B"}}]}`)
	got.wants(t, 200)
	if in := read[batchReply](t, got.body); len(in.Results) != 1 || len(in.Errors) != 0 || len(b.Received(HubSpot)) != 1 {
		t.Errorf("answer %s", got.body)
	}
}

func TestLostRowElsewhere(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{EventDefinitions: []string{"touch"}})
	for _, v := range []Vendor{Meta, LinkedIn, HubSpot} {
		if err := b.Fail(Fault{Vendor: v, Mode: "lost_row", Count: 1}); err != nil {
			t.Fatal(err)
		}
	}
	sendMeta(b, metaEventWith(`"event_id":"1"`)+","+metaEventWith(`"event_id":"2"`)).wants(t, 200, `"events_received":1`)
	event := `{"eventName":"pe424242_touch","email":"a@example.test"}`
	b.hubspotSend("POST", "/events/v3/send/batch", `{"inputs":[`+event+`,`+event+`]}`).wants(t, 204)
	two := `{"elements":[` + linkedInEventText(emailUser) + `,` + linkedInEventText(emailUser) + `]}`
	got := b.send("POST", "/rest/conversionEvents", two, append([]string{"X-RestLi-Method: BATCH_CREATE"}, linkedInHeaders...)...)
	got.wants(t, 200)
	for _, v := range []Vendor{Meta, LinkedIn, HubSpot} {
		if n := len(b.Received(v)); n != 1 {
			t.Errorf("%s took %d, want 1", v, n)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	b := newBench(t, Options{Dir: t.TempDir(), People: []Person{ada}, HubSpot: HubSpotAccount{Burst: -1}})
	id := b.contact("ada.byron@example.com")
	var g sync.WaitGroup
	for worker := range 8 {
		g.Go(func() {
			for i := range 10 {
				sendMeta(b, metaEventWith(fmt.Sprintf(`"event_id":"%d-%d"`, worker, i)))
				b.send("POST", "/rest/conversionEvents", linkedInEventText(emailUser), linkedInHeaders...)
				b.hubspotSend("PATCH", "/crm/v3/objects/contacts/"+idOf(id), `{"properties":{"firstname":"Ada"}}`)
				b.send("POST", "/webhook/in", `{"event_id":"1","name":"x"}`, "Content-Type: application/json")
				b.send("GET", "/_received?vendor=meta&last=2", "")
				b.Stats(HubSpot)
				b.Timeline(id)
				b.Webhooks("https://router.example.test/h")
			}
		})
	}
	g.Wait()
	for _, v := range vendors {
		if got := len(b.Received(v)); got != 80 {
			t.Errorf("%s kept %d, want 80", v, got)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := sendMeta(b, metaEventWith()).status; got != 500 {
		t.Errorf("after Close %d, want 500: nothing may be taken that is not kept", got)
	}
}
