package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
)

// Nothing that was sent shows in a log line or a metric, whatever goes well or wrong.
func TestNothingPersonalIsLogged(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Where = fakeWhere{} })
	const who = "ana.secret@example.com"
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/v1/events?who=" + url.QueryEscape(who), `{"event":"x","user_data":{"email":"` + who + `"}}`},
		{"POST", "/v1/events", `{"event":"` + who + `"`},
		{"POST", "/v1/events", `[{"email":"` + who + `"},"` + who + `"]`},
		{"POST", "/v1/events", `{"source":"` + who + `"}`},
		{"GET", "/v1/events/panic?" + url.QueryEscape(who), ""},
		{"GET", "/v1/receipts/" + who, ""},
		{"GET", "/" + who, ""},
		{"GET", "/v1/pixel.gif?key=k-browser&email=" + who, ""},
		{"POST", "/v1/ingest/hubspot/" + who, `{}`},
		{"POST", "/v1/ingest/hubspot/hub?mail=" + who, `{}`},
		{"POST", "/v1/ingest/hubspot/hub/workflow?" + who, `{}`},
		{"POST", "/v25.0/1/events?access_token=" + who, `{"data":[{"event_name":"x","user_data":{"em":"` + who + `"}}]}`},
		{"POST", "/v1/replay", `{"` + who + `":1}`},
	} {
		w.send(c.method, c.path, c.body, "Authorization", "Bearer k-admin", "User-Agent", "agent-of-ana.secret", "Referer", "https://example.com/?ana.secret", "X-Forwarded-For", "203.0.113.77")
		w.send(c.method, c.path, c.body, "Authorization", "Bearer "+who)
	}
	for _, personal := range []string{"ana.secret", "203.0.113", "k-admin", "192.0.2"} {
		if strings.Contains(w.out.String(), personal) {
			t.Errorf("the log holds %s:\n%s", personal, w.out)
		}
	}
	metrics := w.send("GET", "/metrics", "").Body.String()
	if strings.Contains(metrics, "secret") || !strings.Contains(metrics, `tributary_ingest_receipts_total{way="events"} 2`) {
		t.Errorf("metrics:\n%s", metrics)
	}
	lines := strings.Count(w.out.String(), `"msg":"request"`)
	if lines != 2*13+1 {
		t.Errorf("%d lines for %d requests", lines, 2*13+1)
	}
}

func TestTheLogLineOfARequest(t *testing.T) {
	w := newWorld(t)
	w.send("POST", "/v1/events", `[{"event":"a"},{"event":"b"},3]`, bearer("k-ingest")...)
	var line map[string]any
	if err := json.Unmarshal(w.out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	delete(line, "took")
	want := map[string]any{"level": "INFO", "msg": "request", "method": "POST", "route": "/v1/events", "status": 202.0, "kept": 2.0, "refused": 1.0, "key": "server"}
	if fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", line, want)
	}
}

// The forms of meta.md §7.1.
func TestMetaForms(t *testing.T) {
	const event = `{"event_name":"Lead","event_time":1776942259,"user_data":{"em":["ana@example.com"]},"app_data":null}`
	quoted, _ := json.Marshal(event)
	form := func(kv ...string) (string, string) {
		v := url.Values{}
		for i := 0; i < len(kv); i += 2 {
			v.Add(kv[i], kv[i+1])
		}
		return v.Encode(), "application/x-www-form-urlencoded"
	}
	parts := func(kv ...string) (string, string) {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		for i := 0; i < len(kv); i += 2 {
			_ = m.WriteField(kv[i], kv[i+1])
		}
		_ = m.Close()
		return b.String(), m.FormDataContentType()
	}
	type sent struct{ path, body, kind, token string }
	mk := func(path string, token string) func(body, kind string) sent {
		return func(body, kind string) sent { return sent{path, body, kind, token} }
	}
	for name, s := range map[string]sent{
		"node":        {"/v26.0/123/events?access_token=k-ingest", `{"data":[` + event + `],"access_token":"k-ingest","id":"123","test_event_code":"T1","partner_agent":null}`, "application/json", ""},
		"python":      mk("/v25.0/123/events?access_token=k-ingest&appsecret_proof=p", "")(form("data", "["+string(quoted)+"]", "test_event_code", "T1")),
		"php":         mk("/v25.0/123/events", "")(parts("data", "["+event+"]", "access_token", "k-ingest", "test_event_code", "T1")),
		"java":        mk("/v26.0/123/events", "")(parts("access_token", "k-ingest", "data", "["+event+"]", "test_event_code", "T1")),
		"rudderstack": mk("/v20.0/123/events?access_token=k-ingest", "")(form("data[]", event, "test_event_code", "T1")),
		"indexed":     mk("/v20.0/123/events?access_token=k-ingest", "")(form("data[0]", event, "test_event_code", "T1")),
		"no version":  {"/123/events", `{"data":[` + event + `],"test_event_code":"T1"}`, "application/json; charset=utf-8", "k-ingest"},
		"data as one text": {"/v25.0/123/events", `{"data":"[` + strings.ReplaceAll(event, `"`, `\"`) + `]","test_event_code":"T1"}`,
			"application/json", "k-ingest"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := []string{"Content-Type", s.kind}
			if s.token != "" {
				h = append(h, "Authorization", "Bearer "+s.token)
			}
			rec := w.send("POST", s.path, s.body, h...)
			kept := w.log.take()
			if rec.Code != 200 || len(kept) != 1 || string(kept[0].Body) != event {
				t.Fatalf("%d %s, kept %v", rec.Code, rec.Body, kept)
			}
			if c := kept[0].Context; c["pixel_id"] != "123" || c["test_event_code"] != "T1" {
				t.Errorf("context %v", c)
			}
			var a map[string]any
			_ = json.Unmarshal(rec.Body.Bytes(), &a)
			if a["events_received"] != 1.0 || a["fbtrace_id"] == "" || fmt.Sprint(a["messages"]) != "[]" {
				t.Errorf("answer %s", rec.Body)
			}
		})
	}
}

// Whoever asks for a dry run expects that nothing is kept, also where there is none.
func TestADryRunIsNeverKept(t *testing.T) {
	w := newWorld(t)
	for path, body := range map[string]string{
		"/v1/track": `{"event":"Order Completed","userId":"u"}`, "/v1/batch": `{"batch":[{"type":"track","event":"x","userId":"u"}]}`,
		"/v25.0/1/events": `{"data":[{"event_name":"Lead","event_time":1776942259,"user_data":{"em":"ana@example.com"}}]}`, "/v1/ingest/hubspot/free": `[{}]`, "/v1/pixel.gif": "",
		"/v1/events": `{"event":"x"}`, "/v1/ingest/pixel": `{"event":"x"}`, // whose process has no such role here
	} {
		method := map[bool]string{true: "GET", false: "POST"}[body == ""]
		if rec := w.send(method, path, body, bearer("k-ingest")...); rec.Code/100 != 2 || len(w.log.take()) != 1 {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		if rec := w.send(method, path+"?dry_run=true", body, bearer("k-ingest")...); rec.Code/100 == 2 || len(w.log.take()) != 0 {
			t.Errorf("%s, dry: %d %s", path, rec.Code, rec.Body)
		}
	}
}

func TestMetaErrors(t *testing.T) {
	const event = `{"event_name":"Lead","event_time":1776942259,"user_data":{"em":"ana@example.com"}}`
	ok := `{"data":[` + event + `]}`
	for name, c := range map[string]struct {
		path, body, key string
		status, code    int
	}{
		"no token":        {"/v25.0/1/events", ok, "", 401, 190},
		"bad token":       {"/v25.0/1/events", ok, "k-nobody", 401, 190},
		"wrong scope":     {"/v25.0/1/events", ok, "k-browser", 403, 200},
		"no data":         {"/v25.0/1/events", `{}`, "k-ingest", 400, 100},
		"empty data":      {"/v25.0/1/events", `{"data":[]}`, "k-ingest", 400, 100},
		"data no array":   {"/v25.0/1/events", `{"data":{}}`, "k-ingest", 400, 100},
		"one bad of two":  {"/v25.0/1/events", `{"data":[` + event + `,7]}`, "k-ingest", 400, 100},
		"text that isn't": {"/v25.0/1/events", `{"data":["{"]}`, "k-ingest", 400, 100},
		"malformed":       {"/v25.0/1/events", `{"data":`, "k-ingest", 400, 100},
		"not an object":   {"/v25.0/1/events", `[]`, "k-ingest", 400, 100},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.send("POST", c.path, c.body, bearer(c.key)...)
			var a struct {
				Error struct {
					Message, Type string
					Code          int
					Trace         string `json:"fbtrace_id"`
				}
			}
			_ = json.Unmarshal(rec.Body.Bytes(), &a)
			if rec.Code != c.status || a.Error.Code != c.code || a.Error.Message == "" || a.Error.Type == "" || a.Error.Trace == "" {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if n := len(w.log.take()); n != 0 {
				t.Errorf("%d receipts of a request that was refused", n)
			}
		})
	}
	w := newWorld(t)
	if rec := w.send("GET", "/v25.0/1/events", ""); rec.Code != 405 || rec.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d", rec.Code)
	}
	w.log.err = ErrLogFull
	if rec := w.send("POST", "/v25.0/1/events", ok, bearer("k-ingest")...); rec.Code != 503 || !strings.Contains(rec.Body.String(), `"is_transient":true`) {
		t.Errorf("a full log: %d %s", rec.Code, rec.Body)
	}
}

func TestReplayAndRerun(t *testing.T) {
	var asked ReplayRequest
	var rerun string
	w := newWorld(t, func(o *Options) {
		o.Replay = func(_ context.Context, q ReplayRequest) (ReplayAnswer, error) {
			asked = q
			return ReplayAnswer{OK: true, CanonicalEvent: "proposal_sent", Reasons: map[string]string{"meta": "too_old"}}, nil
		}
		o.Rerun = func(_ context.Context, id canonical.ReceiptID, who string) error {
			rerun = string(id) + " by " + who
			return nil
		}
	})
	rec := w.send("POST", "/v1/replay", `{"event_id":"e/1","reason":"r","force":true,"name":"proposal_sent"}`, bearer("k-replay")...)
	if want := `{"ok":true,"deduplicated":false,"canonical_event":"proposal_sent","replayed_destinations":0,"reasons":{"meta":"too_old"}}`; rec.Body.String() != want {
		t.Errorf("got %s, want %s", rec.Body, want)
	}
	if asked.EventID != "e/1" || !asked.Force || asked.Who != "ops" || asked.Destinations != nil {
		t.Errorf("asked for %+v", asked)
	}
	if rec := w.send("POST", "/v1/receipts/01J/rerun", "", bearer("k-replay")...); rec.Code != 202 || rerun != "01J by ops" {
		t.Errorf("%d, rerun %q", rec.Code, rerun)
	}
}

func TestWhere(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Where = fakeWhere{}
		o.Balances = func(context.Context) (any, error) { return map[string]int{"lost": 0}, nil }
	})
	for path, want := range map[string]string{
		"/v1/events/deal_84721_contractsent_2026-04-23T11:04:19Z": `{"name":"qualified_lead","event_id":"deal_84721_contractsent_2026-04-23T11:04:19Z","destinations":[]}`,
		"/v1/events/a%2Fb": `{"name":"qualified_lead","event_id":"a/b","destinations":[]}`,
		"/v1/receipts/01J": `{"receipt_id":"","fate":"event"}`,
		"/v1/balances":     `{"lost":0}`,
	} {
		if rec := w.send("GET", path, "", bearer("k-read")...); rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", path, rec.Code, rec.Body, want)
		}
	}
}

func TestTheProcess(t *testing.T) {
	ready := true
	w := newWorld(t, func(o *Options) {
		o.Readiness = func() (bool, []string) { return ready, []string{"lane meta: halted"} }
		o.Mount = func(r gin.IRouter, auth func(Scope) gin.HandlerFunc) {
			r.GET("/v1/deadletters", auth(ScopeRead), func(c *gin.Context) { c.String(200, KeyName(c)) })
		}
	})
	if rec := w.send("GET", "/healthz", ""); rec.Code != 200 {
		t.Errorf("healthz %d", rec.Code)
	}
	if rec := w.send("GET", "/readyz", ""); rec.Code != 200 || rec.Body.String() != `{"ok":true,"degraded":["lane meta: halted"]}` {
		t.Errorf("readyz %d %s", rec.Code, rec.Body)
	}
	ready = false
	if rec := w.send("GET", "/readyz", ""); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("readyz %d", rec.Code)
	}
	if rec := w.send("GET", "/v1/deadletters", "", bearer("k-read")...); rec.Code != 200 || rec.Body.String() != "analyst" {
		t.Errorf("mounted: %d %s", rec.Code, rec.Body)
	}
	for key, status := range map[string]int{"k-ingest": 403, "k-nobody": 401} {
		if rec := w.send("GET", "/v1/deadletters", "", bearer(key)...); rec.Code != status || w.answer(rec).Error == nil {
			t.Errorf("mounted with %s: %d %s", key, rec.Code, rec.Body)
		}
	}
	if !strings.Contains(w.out.String(), `"route":"/v1/deadletters","status":200`) {
		t.Errorf("a mounted route is not logged: %s", w.out)
	}
}

func TestThePixelsRequest(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.TrustedProxies = []string{"192.0.2.0/24"} })
	rec := w.send("GET", "/v1/pixel.gif?key=k-browser&anonymous_id=a1&source=shop", "", "User-Agent", "Firefox", "Referer", "https://example.com/p?x=1", "X-Forwarded-For", "198.51.100.9")
	r := w.log.take()[0]
	if r.Context["user_agent"] != "Firefox" || r.Context["referer"] != "https://example.com/p?x=1" || r.Context["ip"] != "198.51.100.9" || r.Source != "shop" {
		t.Errorf("receipt %+v", r)
	}
	if rec.Header().Get("Content-Type") != "image/gif" || !strings.Contains(rec.Header().Get("Cache-Control"), "no-store") || !bytes.HasPrefix(rec.Body.Bytes(), []byte("GIF89a")) {
		t.Errorf("answer %v", rec.Header())
	}
	rec = w.send("OPTIONS", "/v1/ingest/pixel", "", "Origin", "https://example.com", "Access-Control-Request-Method", "POST")
	if rec.Code != 204 || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight %d %v", rec.Code, rec.Header())
	}
	w = newWorld(t) // no proxy is trusted
	w.send("GET", "/v1/pixel.gif?key=k-browser&anonymous_id=a1", "", "X-Forwarded-For", "198.51.100.9")
	if ip := w.log.take()[0].Context["ip"]; ip != "192.0.2.1" {
		t.Errorf("a header of a stranger gave the address %s", ip)
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if rec := w.send("POST", "/v1/events", `[{"event":"a"},{"event":"b"}]`, bearer("k-ingest")...); rec.Code != http.StatusAccepted {
					t.Errorf("%d %s", rec.Code, rec.Body)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[canonical.ReceiptID]bool)
	for _, r := range w.log.take() {
		seen[r.ID] = true
	}
	if len(seen) != 800 {
		t.Errorf("%d receipt ids, want 800", len(seen))
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, public := range []string{"in.example.com", "ftp://in.example.com", "https://", "https://in.example.com?x=1"} {
		if _, err := Handler(Options{Appender: &fakeLog{}, Keys: testKeys(), PublicURL: public}); err == nil {
			t.Errorf("public_url %s was taken", public)
		}
	}
	if _, err := Handler(Options{}); err == nil {
		t.Error("a front without a log")
	}
}
