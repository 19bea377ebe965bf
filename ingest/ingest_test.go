package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
)

var noon = time.Date(2026, 4, 23, 12, 0, 0, 0, time.UTC)

// A fakeLog is an Appender that remembers, and fails when told to.
type fakeLog struct {
	mu    sync.Mutex
	kept  []canonical.Receipt
	calls int
	err   error
	hold  chan struct{} // when set, Append waits for it
	in    chan struct{} // when set, told that Append waits
}

func (l *fakeLog) Append(ctx context.Context, rs ...canonical.Receipt) error {
	if l.hold != nil {
		l.in <- struct{}{}
		select {
		case <-l.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.err != nil {
		return l.err
	}
	l.kept = append(l.kept, rs...)
	return nil
}

func (l *fakeLog) take() []canonical.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs := l.kept
	l.kept = nil
	return rs
}

// fakeKeys are keys in the clear: the scope is the key.
type fakeKeys map[string]Key

func (k fakeKeys) Find(secret string) (Key, bool) { key, ok := k[secret]; return key, ok }

func testKeys() fakeKeys {
	past := noon.Add(-time.Hour)
	return fakeKeys{
		"k-ingest":  {Name: "server", Scopes: []Scope{ScopeIngest}},
		"k-bound":   {Name: "bound", Scopes: []Scope{ScopeIngest}, Source: "emea"},
		"k-browser": {Name: "page", Scopes: []Scope{ScopeBrowser}},
		"k-acme":    {Name: "acme", Scopes: []Scope{ScopeBrowser}, Source: "acme"},
		"k-replay":  {Name: "ops", Scopes: []Scope{ScopeReplay}},
		"k-read":    {Name: "analyst", Scopes: []Scope{ScopeRead}},
		"k-admin":   {Name: "root", Scopes: []Scope{ScopeAdmin}},
		"k-expired": {Name: "old", Scopes: []Scope{ScopeIngest}, Expires: &past},
		"k-revoked": {Name: "gone", Scopes: []Scope{ScopeIngest}, Revoked: &past},
	}
}

const clientSecret = "c0ffee00-1111-2222-3333-444455556666"

// A world is one front with all round it.
type world struct {
	t    testing.TB
	log  *fakeLog
	out  *bytes.Buffer // the log lines
	http http.Handler
	reg  *prometheus.Registry
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, log: &fakeLog{}, out: &bytes.Buffer{}, reg: prometheus.NewRegistry()}
	o := Options{
		Appender: w.log, Keys: testKeys(),
		Sources: map[string]Source{
			"hub":  {Kind: KindHubSpot, Secret: func() string { return clientSecret }},
			"free": {Kind: KindHubSpot}, "emea": {}, "shop": {Kind: KindWebsite}, "acme": {Kind: KindWebsite, Site: acmeSite},
		},
		PublicURL: "https://router.example.test", Now: func() time.Time { return noon },
		Logger:     slog.New(slog.NewJSONHandler(&lockedWriter{w: w.out}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: w.reg,
	}
	for _, f := range change {
		f(&o)
	}
	h, err := Handler(o)
	if err != nil {
		t.Fatal(err)
	}
	w.http = h
	return w
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// send sends a request; headers come in pairs.
func (w *world) send(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, req)
	return rec
}

func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

// An answered is every field that an answer of ours can have.
type answered struct {
	OK       bool   `json:"ok"`
	Error    *Error `json:"error"`
	Receipts []struct {
		ID    string `json:"receipt_id"`
		Error *Error `json:"error"`
	} `json:"receipts"`
}

func (w *world) answer(rec *httptest.ResponseRecorder) answered {
	w.t.Helper()
	var a answered
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		w.t.Fatalf("answer %q: %v", rec.Body, err)
	}
	return a
}

func TestEachWayInEndToEnd(t *testing.T) {
	hook := `[{"subscriptionType":"deal.creation","objectId":1,"occurredAt":1776942259000},5]`
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		way                canonical.Way
		source             string
		browser            bool
		bodies             []string
	}{
		"crm": {"POST", "/v1/ingest/crm", `{"event":"hubspot.lifecycle_changed","source":"hubspot"}`, bearer("k-ingest"), 202,
			canonical.WayCRM, "hubspot", false, []string{`{"event":"hubspot.lifecycle_changed","source":"hubspot"}`}},
		"crm without a source": {"POST", "/v1/ingest/crm", `{"event":"x"}`, bearer("k-ingest"), 202, canonical.WayCRM, "hubspot", false, []string{`{"event":"x"}`}},
		"one event":            {"POST", "/v1/events", ` {"event":"x"} `, bearer("k-admin"), 202, canonical.WayEvents, "api", false, []string{` {"event":"x"} `}},
		"an array": {"POST", "/v1/events", `[{"event":"a","n":1e2}, {"event" : "b"}]`, bearer("k-ingest"), 202, canonical.WayEvents, "api", false,
			[]string{`{"event":"a","n":1e2}`, `{"event" : "b"}`}},
		"an object with events": {"POST", "/v1/events", `{"source":"shop","events":[{"event":"a"}]}`, bearer("k-ingest"), 202, canonical.WayEvents, "shop", false,
			[]string{`{"event":"a"}`}},
		"one event with a property named events": {"POST", "/v1/events", `{"event":"a","events":[1]}`, bearer("k-ingest"), 202, canonical.WayEvents, "api", false,
			[]string{`{"event":"a","events":[1]}`}},
		"a bound key":        {"POST", "/v1/events", `{"event":"x","source":"hubspot"}`, bearer("k-bound"), 202, canonical.WayEvents, "emea", false, []string{`{"event":"x","source":"hubspot"}`}},
		"hubspot with a key": {"POST", "/v1/ingest/hubspot/free", hook, bearer("k-ingest"), 200, canonical.WayHubSpot, "free", false, []string{hook[1 : len(hook)-3], "5"}},
		"pixel": {"POST", "/v1/ingest/pixel?key=k-browser", `{"event":"page_view","url":"https://example.com/"}`, nil, 202, canonical.WayPixel, "web", true,
			[]string{`{"event":"page_view","url":"https://example.com/"}`}},
		"pixel with the key in its body, as a beacon": {"POST", "/v1/ingest/pixel", `{"key":"k-browser","event":"page_view"}`,
			[]string{"Content-Type", "text/plain;charset=UTF-8"}, 202, canonical.WayPixel, "web", true, []string{`{"key":"k-browser","event":"page_view"}`}},
		"pixel from a server": {"POST", "/v1/ingest/pixel", `[{"event":"page_view"}]`, bearer("k-ingest"), 202, canonical.WayPixel, "web", false, []string{`{"event":"page_view"}`}},
		"image":               {"GET", "/v1/pixel.gif?key=k-browser&event=page_view&a=%C3%A9", "", nil, 200, canonical.WayPixel, "web", true, []string{`{"a":"é","event":"page_view"}`}},
		"meta": {"POST", "/v25.0/123/events", `{"data":[{"event_name":"Lead","event_time":1776942259,"user_data":{"fbp":"fb.1.1.1"}},"{\"event_name\":\"Contact\",\"event_time\":1776942259,\"user_data\":{\"fbp\":\"fb.1.1.1\"}}"],"id":"123","access_token":"k-ingest"}`, nil, 200,
			canonical.WayMeta, "meta", false, []string{`{"event_name":"Lead","event_time":1776942259,"user_data":{"fbp":"fb.1.1.1"}}`, `{"event_name":"Contact","event_time":1776942259,"user_data":{"fbp":"fb.1.1.1"}}`}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.send(c.method, c.path, c.body, c.headers...)
			if rec.Code != c.status {
				t.Fatalf("status %d, want %d: %s", rec.Code, c.status, rec.Body)
			}
			kept := w.log.take()
			if len(kept) != len(c.bodies) || w.log.calls != 1 {
				t.Fatalf("%d receipts in %d appends, want %d in one", len(kept), w.log.calls, len(c.bodies))
			}
			var ids []string
			for i, r := range kept {
				if string(r.Body) != c.bodies[i] || r.Way != c.way || r.Source != c.source || r.Browser != c.browser || !r.ReceivedAt.Equal(noon) {
					t.Errorf("receipt %d is %+v with body %s, want %s", i, r, r.Body, c.bodies[i])
				}
				ids = append(ids, string(r.ID))
			}
			if !slices.IsSorted(ids) || len(ids[0]) != 26 {
				t.Errorf("receipt ids %v are not ascending ULIDs", ids)
			}
			if c.path[:4] == "/v1/" && rec.Header().Get("Content-Type") == jsonType {
				a := w.answer(rec)
				for i, r := range a.Receipts {
					if r.ID != ids[i] {
						t.Errorf("answered id %s, kept %s", r.ID, ids[i])
					}
				}
				if !a.OK || len(a.Receipts) != len(ids) {
					t.Errorf("answer %s", rec.Body)
				}
			}
		})
	}
}

func TestABatchAnswersPerItem(t *testing.T) {
	w := newWorld(t)
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	big := `{"a":"` + strings.Repeat("x", 256<<10) + `"}`
	rec := w.send("POST", "/v1/events", `[{"event":"a"},7,`+deep+`,{"event":"b","source":"nope"},{"event":"c","source":4},{"event":"`+"\xff"+`"},`+big+`,{"event":"d"}]`, bearer("k-ingest")...)
	if rec.Code != 202 {
		t.Fatalf("status %d: %s", rec.Code, rec.Body)
	}
	a := w.answer(rec)
	want := []Code{"", CodeWrongType, CodeTooDeep, CodeBadSource, CodeWrongType, CodeUTF8, CodeTooLarge, ""}
	if len(a.Receipts) != len(want) {
		t.Fatalf("%d answers: %s", len(a.Receipts), rec.Body)
	}
	for i, r := range a.Receipts {
		switch {
		case want[i] == "" && (r.ID == "" || r.Error != nil):
			t.Errorf("item %d: %+v, want a receipt", i, r)
		case want[i] != "" && (r.Error == nil || r.Error.Code != want[i] || r.ID != ""):
			t.Errorf("item %d: %+v, want %s", i, r, want[i])
		}
	}
	kept := w.log.take()
	if len(kept) != 2 || string(kept[0].ID) != a.Receipts[0].ID || string(kept[1].ID) != a.Receipts[7].ID {
		t.Errorf("kept %v", kept)
	}

	rec = w.send("POST", "/v1/events", `[7,"x"]`, bearer("k-ingest")...)
	if a := w.answer(rec); rec.Code != 400 || a.OK || a.Error.Code != CodeNothing || len(a.Receipts) != 2 || len(w.log.take()) != 0 {
		t.Errorf("a batch of bad items: %d %s", rec.Code, rec.Body)
	}
	if rec = w.send("POST", "/v1/events", `[]`, bearer("k-ingest")...); rec.Code != 400 || w.answer(rec).Error.Code != CodeNothing {
		t.Errorf("an empty batch: %d %s", rec.Code, rec.Body)
	}
}

func TestNothingIsAnsweredBeforeTheAppend(t *testing.T) {
	w := newWorld(t)
	w.log.hold, w.log.in = make(chan struct{}), make(chan struct{}, 1)
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- w.send("POST", "/v1/events", `{"event":"x"}`, bearer("k-ingest")...) }()
	<-w.log.in
	select {
	case rec := <-done:
		t.Fatalf("answered %d while the append was under way", rec.Code)
	default:
	}
	w.log.mu.Lock()
	w.log.err = errors.New("disk on fire")
	w.log.mu.Unlock()
	close(w.log.hold)
	rec := <-done
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || strings.Contains(rec.Body.String(), "receipt_id") || strings.Contains(rec.Body.String(), "fire") {
		t.Errorf("after a failed append: %d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestACallerThatHangsUpDoesNotCutAnAppendShort(t *testing.T) {
	w := newWorld(t)
	w.log.hold, w.log.in = make(chan struct{}), make(chan struct{}, 1)
	ctx, hangUp := context.WithCancel(t.Context())
	req := httptest.NewRequestWithContext(ctx, "POST", "/v1/events", strings.NewReader(`{"event":"x"}`))
	req.Header.Set("Authorization", "Bearer k-ingest")
	done := make(chan struct{})
	go func() { w.http.ServeHTTP(httptest.NewRecorder(), req); close(done) }()
	<-w.log.in
	hangUp()
	close(w.log.hold)
	<-done
	if n := len(w.log.take()); n != 1 {
		t.Errorf("%d receipts kept, want 1", n)
	}
}

func TestAnAppendThatHangsIsGivenUp(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Append = time.Millisecond })
	w.log.hold, w.log.in = make(chan struct{}), make(chan struct{}, 1)
	rec := w.send("POST", "/v1/events", `{"event":"x"}`, bearer("k-ingest")...)
	if rec.Code != 503 || w.answer(rec).Error.Code != CodeLog {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}
