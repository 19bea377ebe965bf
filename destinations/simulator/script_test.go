package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// ask makes one request by a client and says how it went: the status, or what was lost.
func ask(ctx context.Context, client *http.Client, base, path, body, agent string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Authorization", "Bearer pat")
	req.Header.Set("User-Agent", agent)
	res, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "late"
	case err != nil:
		return "lost"
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Sprint(res.StatusCode, " cut")
	}
	if len(text) == 0 {
		return fmt.Sprint(res.StatusCode, " empty")
	}
	return fmt.Sprint(res.StatusCode)
}

const oneUpsert = `{"inputs":[{"id":"a@example.test","idProperty":"email","properties":{"firstname":"A"}}]}`

const upsertPath = "/crm/v3/objects/contacts/batch/upsert"

// TestScript plays faults by time in a bubble, through the handler itself.
func TestScript(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		sc, err := ReadScript([]byte(`{"seed":3,"faults":[
			{"at":"10s","for":"10s","vendor":"hubspot","mode":"refuse"},
			{"at":"20s","for":"10s","vendor":"hubspot","mode":"503html","path":"/upsert"},
			{"at":"30s","count":1,"vendor":"hubspot","mode":"truncated"},
			{"at":"30s","count":1,"vendor":"hubspot","mode":"broken"},
			{"at":"30s","count":1,"vendor":"hubspot","mode":"empty"},
			{"at":"40s","for":"5s","vendor":"hubspot","mode":"timeout","agent":"router-b"},
			{"at":"50s","count":1,"vendor":"hubspot","mode":"slow","delay":"3s"},
			{"at":"60s","for":"10s","vendor":"hubspot","mode":"477"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Play(sc); err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: s.Transport(), Timeout: 5 * time.Second}
		start := time.Now()
		var got []string
		at := func(second int, agent string) {
			time.Sleep(time.Until(start.Add(time.Duration(second) * time.Second)))
			got = append(got, fmt.Sprint(second, " ", ask(t.Context(), client, "http://sim.test", upsertPath, oneUpsert, agent)))
		}
		for _, second := range []int{0, 10, 19, 20, 29, 30, 31, 32, 33} {
			at(second, "router-a")
		}
		at(40, "router-a")
		at(40, "router-b")
		at(50, "router-a")
		at(60, "router-a")
		at(70, "router-a")
		want := []string{"0 200", "10 refused", "19 refused", "20 503", "29 503", "30 200 cut", "31 200", "32 200 empty", "33 200", "40 200", "40 late", "50 200", "60 477", "70 200"}
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if n := len(s.Received(HubSpot)); n != 8 {
			t.Errorf("%d rows taken, want 8: also those whose answer was spoilt", n)
		}
		q := s.Requests(HubSpot, 0)
		if len(q) != 14 || q[10].Agent != "router-b" || q[10].Status != 0 || q[10].Ended.Sub(q[10].Begun) != 5*time.Second || q[10].Fault != "timeout" {
			t.Errorf("requests %+v", q)
		}
		if q[11].Ended.Sub(q[11].Begun) != 3*time.Second || q[11].Items != 1 || q[11].App != "424242/9001" || q[11].Path != upsertPath {
			t.Errorf("slow request %+v", q[11])
		}
		if more := s.Requests(HubSpot, q[11].Number); len(more) != 2 {
			t.Errorf("%d requests after the twelfth", len(more))
		}
	})
}

func TestScriptIsTheSameForASeed(t *testing.T) {
	run := func(seed string) string {
		b := newHubSpot(t, HubSpotAccount{Burst: -1})
		b.send("POST", "/_script", `{"seed":`+seed+`,"faults":[{"vendor":"hubspot","mode":"flaky","rate":0.3},{"vendor":"hubspot","mode":"429","limit":"day","rate":0.2}]}`).wants(t, 200)
		client := &http.Client{Transport: b.Transport()}
		var out strings.Builder
		for range 100 {
			out.WriteString(ask(t.Context(), client, "http://sim.test", upsertPath, oneUpsert, "") + " ")
		}
		return out.String()
	}
	first := run("1")
	if run("1") != first {
		t.Error("one seed, two courses")
	}
	if run("2") == first {
		t.Error("two seeds, one course")
	}
	if !strings.Contains(first, "429") || !strings.Contains(first, "200") || !strings.Contains(first, "lost") {
		t.Errorf("course %s", first)
	}
}

func TestScriptIsRefusedWhole(t *testing.T) {
	b := newBench(t, Options{})
	for name, tc := range map[string]struct{ script, want string }{
		"unknown field": {`{"faults":[{"vendor":"meta","mode":"500","whne":"1s"}]}`, "whne"},
		"bad duration":  {`{"faults":[{"vendor":"meta","mode":"500","at":"soon"}]}`, "fault 1"},
		"bad mode":      {`{"faults":[{"vendor":"meta","mode":"500"},{"vendor":"meta","mode":"700"}]}`, "fault 2"},
		"bad html":      {`{"faults":[{"vendor":"meta","mode":"200html"}]}`, "mode"},
		"no end":        {`{"faults":[{"vendor":"meta","mode":"refuse"}]}`, "for"},
		"no day":        {`{"faults":[{"vendor":"meta","mode":"day_spent"}]}`, "meta"},
		"not there":     {`{"faults":[{"vendor":"linkedin","mode":"pending"}]}`, "hubspot"},
		"bad limit":     {`{"faults":[{"vendor":"hubspot","mode":"429","limit":"hour"}]}`, "limit"},
		"two values":    {`{} {}`, "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			b.send("POST", "/_script", tc.script).wants(t, 400, tc.want)
			if len(b.faults) != 0 {
				t.Error("some of it was scripted")
			}
		})
	}
}

func TestDaySpent(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{TimeZone: "America/New_York"})
	b.send("POST", "/_fail", `{"vendor":"hubspot","mode":"day_spent","count":1}`).wants(t, 200)
	got := b.hubspotSend("GET", "/account-info/v3/details", "")
	got.wants(t, 429, `"policyName":"DAILY"`)
	if got.header.Get("X-HubSpot-RateLimit-Daily-Remaining") != "0" {
		t.Errorf("headers %v", got.header)
	}
	b.now = time.Date(2026, 9, 16, 4, 0, 0, 0, time.UTC) // midnight there
	b.hubspotSend("GET", "/account-info/v3/details", "").wants(t, 200)
}

func TestHubSpotFaultShapes(t *testing.T) {
	for fault, wants := range map[string][]string{
		`{"vendor":"hubspot","mode":"429","limit":"day"}`:    {"429", `"policyName":"DAILY"`, "requestId"},
		`{"vendor":"hubspot","mode":"429","limit":"search"}`: {"429", `"category":"RATE_LIMITS"`},
		`{"vendor":"hubspot","mode":"477"}`:                  {"477", "region"},
		`{"vendor":"hubspot","mode":"404"}`:                  {"404", "resource not found"},
		`{"vendor":"hubspot","mode":"409"}`:                  {"409", "CONFLICT"},
		`{"vendor":"hubspot","mode":"521html"}`:              {"521", "<html>"},
		`{"vendor":"hubspot","mode":"pending"}`:              {"200", `"status":"PENDING"`, `"results":[]`},
	} {
		b := newHubSpot(t, HubSpotAccount{})
		b.send("POST", "/_fail", fault).wants(t, 200)
		got := b.hubspotSend("POST", upsertPath, oneUpsert)
		if fmt.Sprint(got.status) != wants[0] {
			t.Errorf("%s: status %d", fault, got.status)
		}
		got.wants(t, got.status, wants[1:]...)
		if got.status == 477 && got.header.Get("Retry-After") != "30" {
			t.Error("477 without Retry-After")
		}
		if st := b.Stats(HubSpot); st.Statuses[got.status] != 1 {
			t.Errorf("statuses %v", st.Statuses)
		}
	}
}

func TestTransportLeavesWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Options{Hang: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []string{"timeout", "hang_after_accept"} {
			if err := s.Fail(Fault{Vendor: HubSpot, Mode: mode, Count: 1}); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			client := &http.Client{Transport: s.Transport(), Timeout: 7 * time.Second}
			if got := ask(t.Context(), client, "http://sim.test", upsertPath, oneUpsert, ""); got != "late" || time.Since(start) != 7*time.Second {
				t.Errorf("%s: %s after %v", mode, got, time.Since(start))
			}
		}
		if n := len(s.Received(HubSpot)); n != 1 {
			t.Errorf("%d rows taken", n)
		}
	})
}

// TestServe: while "refuse" holds nobody listens, and then somebody does again at the same
// address.
func TestServe(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + l.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	try := func() string { return ask(t.Context(), client, base, upsertPath, oneUpsert, "") }
	if got := try(); got != "200" {
		t.Fatalf("before: %s", got)
	}
	if err := s.Fail(Fault{Vendor: HubSpot, Mode: "refuse", For: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	course := []string{}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		got := try()
		if len(course) == 0 || course[len(course)-1] != got {
			course = append(course, got)
		}
		if got == "200" {
			break
		}
	}
	if !slices.Contains(course, "refused") || course[len(course)-1] != "200" {
		t.Errorf("course %v", course)
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestTruncatedOnTheWire(t *testing.T) {
	b := newBench(t, Options{})
	server := httptest.NewServer(b.Handler())
	defer server.Close()
	if err := b.Fail(Fault{Vendor: HubSpot, Mode: "truncated"}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t.Context(), server.Client(), server.URL, upsertPath, oneUpsert, ""); got != "200 cut" {
		t.Errorf("got %s", got)
	}
	if n := len(b.Received(HubSpot)); n != 1 {
		t.Errorf("%d rows taken", n)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	b := newBench(t, Options{MaxRequests: 3})
	for range 5 {
		b.send("GET", "/crm/v3/objects/contacts/1", "", "Authorization: Bearer t", "User-Agent: router-a")
	}
	q := b.Requests("", 0)
	if len(q) != 3 || q[0].Number != 3 || q[2].Number != 5 || q[2].Status != 404 || q[2].Agent != "router-a" || q[2].Ended.IsZero() {
		t.Errorf("requests %+v", q)
	}
	b.send("GET", "/_requests?vendor=hubspot&after=3&last=1", "").wants(t, 200, `"number":5`, `"user_agent":"router-a"`, `"status":404`)
	if err := b.Reset(); err != nil {
		t.Fatal(err)
	}
	b.send("GET", "/crm/v3/objects/contacts/1", "", "Authorization: Bearer t")
	if q := b.Requests("", 0); len(q) != 1 || q[0].Status != 404 {
		t.Errorf("after a reset %+v", q)
	}
}

func TestPeaks(t *testing.T) {
	b := newHubSpot(t, HubSpotAccount{Tier: Starter})
	read := func(n int) {
		for range n {
			b.hubspotSend("GET", "/account-info/v3/details", "")
		}
	}
	read(60)
	b.now = b.now.Add(9 * time.Second)
	read(45) // 105 within ten seconds, five refused
	b.now = b.now.Add(time.Hour)
	read(10)
	st := b.Stats(HubSpot)
	if w := st.Windows[0]; w.Name != "ten_seconds" || w.Peak != 105 || w.Used != 10 || w.Limit != 100 {
		t.Errorf("window %+v", w)
	}
	if st.Statuses[429] != 5 || st.Throttled != 5 || st.Statuses[200] != 110 {
		t.Errorf("stats %+v", st)
	}
	if w := st.Windows[1]; w.Name != "day" || w.Peak != 110 {
		t.Errorf("window %+v", w)
	}
}
