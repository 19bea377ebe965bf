package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gin-gonic/gin"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// TestEveryErrorCodeIsReached sends one request for every row of the table.
func TestEveryErrorCodeIsReached(t *testing.T) {
	ingest, gz := bearer("k-ingest"), []string{"Authorization", "Bearer k-ingest", "Content-Encoding", "gzip"}
	port := func(err error) func(*Options) {
		return func(o *Options) {
			o.Replay = func(context.Context, ReplayRequest) (ReplayAnswer, error) { return ReplayAnswer{}, err }
			o.Rerun = func(context.Context, canonical.ReceiptID, string) error { return err }
			o.Where = fakeWhere{err: err}
		}
	}
	refuses := func(code Code) func(*Options) { // a route of the process
		return func(o *Options) {
			o.Mount = func(r gin.IRouter, auth func(Scope) gin.HandlerFunc) {
				r.POST("/mounted", auth(ScopeRead), func(c *gin.Context) { Refuse(c, code, "no") })
			}
		}
	}
	replayBody := `{"event_id":"e","destinations":["meta"],"reason":"destination_timeout"}`
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	many := "[" + strings.Repeat("{},", 1000) + "{}]"
	cases := map[Code][]struct {
		method, path, body string
		headers            []string
		change             func(*Options)
	}{
		CodeMalformed:   {{"POST", "/v1/events", `{"event":}`, ingest, nil}, {"POST", "/v1/events", ``, ingest, nil}, {"POST", "/v1/events", `[{"a":1},`, ingest, nil}, {"POST", "/v1/ingest/crm", `{} {}`, ingest, nil}},
		CodeWrongType:   {{"POST", "/v1/events", `"x"`, ingest, nil}, {"POST", "/v1/ingest/crm", `12`, ingest, nil}, {"POST", "/v1/events", `{"event":"x","source":7}`, ingest, nil}, {"POST", "/v1/replay", `{"event_id":7}`, bearer("k-replay"), port(nil)}},
		CodeTooDeep:     {{"POST", "/v1/events", deep, ingest, nil}, {"POST", "/v1/events", strings.Repeat("[", 2000), ingest, nil}},
		CodeUTF8:        {{"POST", "/v1/events", "{\"event\":\"\xff\"}", ingest, nil}},
		CodeEncoding:    {{"POST", "/v1/events", `{"event":"x"}`, gz, nil}, {"POST", "/v1/events", string(packed(`{"event":"x"}`)[:20]), gz, nil}},
		CodeIncomplete:  {{"POST", "/v1/events", "", append([]string{"X-Broken", "100"}, ingest...), nil}, {"POST", "/v1/events", "{}", append([]string{"X-Broken", "100000"}, ingest...), nil}},
		CodeMissing:     {{"POST", "/v1/replay", `{"reason":"r"}`, bearer("k-replay"), port(nil)}, {"POST", "/v1/replay", `{"event_id":"e"}`, bearer("k-replay"), port(nil)}},
		CodeUnknown:     {{"POST", "/v1/replay", `{"event_id":"e","reason":"r","destination":"meta"}`, bearer("k-replay"), port(nil)}},
		CodeBadSource:   {{"POST", "/v1/events", `{"event":"x","source":"nowhere"}`, ingest, nil}, {"POST", "/v1/ingest/pixel?key=k-browser", `{"event":"x","source":"emea"}`, nil, nil}},
		CodeDestination: {{"POST", "/v1/replay", replayBody, bearer("k-replay"), port(ErrUnknownDestination)}},
		CodeMerge: {{"POST", "/v1/ingest/crm", `{"event":"contact.merged","contact":{"id":"1"}}`, ingest, nil}, {"POST", "/v1/events", `{"event_name":"HubSpot.company.unmerged","company":{"merged_ids":["2"]}}`, ingest, nil},
			{"POST", "/v1/events", `{"event":"contact.merged","survivor_id":1,"merged_ids":["1",1]}`, ingest, nil}, {"POST", "/v1/ingest/crm", `{"event":"contact.merged","newObjectId":"{{id}}","merged_ids":["1"]}`, ingest, nil}},
		CodeNothing:   {{"POST", "/v1/events", `[1,2]`, ingest, nil}, {"POST", "/v1/events", `[]`, ingest, nil}},
		CodeUnusable:  {{"POST", "/v25.0/1/events", `{"data":[{"event_name":"Lead","event_time":1776942259}]}`, ingest, nil}},
		CodeQuery:     {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeQuery)}},
		CodeNoKey:     {{"POST", "/v1/events", `{}`, nil, nil}, {"POST", "/v1/events", `{}`, []string{"Authorization", "Basic abc"}, nil}, {"GET", "/v1/pixel.gif", "", nil, nil}},
		CodeBadKey:    {{"POST", "/v1/events", `{}`, bearer("k-nobody"), nil}, {"GET", "/v1/pixel.gif?key=k-nobody", "", nil, nil}},
		CodeExpired:   {{"POST", "/v1/events", `{}`, bearer("k-expired"), nil}},
		CodeRevoked:   {{"POST", "/v1/events", `{}`, bearer("k-revoked"), nil}},
		CodeSignature: {{"POST", "/v1/ingest/hubspot/hub", `[]`, nil, nil}, {"POST", "/v1/ingest/hubspot/hub", `[]`, []string{"X-HubSpot-Signature", "abc"}, nil}, {"POST", "/v1/ingest/hubspot/hub", `[]`, ingest, nil}},
		CodeStale:     {{"POST", "/v1/ingest/hubspot/hub", `[]`, []string{"X-HubSpot-Signature-v3", "abc", "X-HubSpot-Request-Timestamp", "1767225600123"}, nil}},
		CodeScope: {{"POST", "/v1/events", `{}`, bearer("k-browser"), nil}, {"POST", "/v1/replay", replayBody, ingest, nil}, {"GET", "/v1/events/e", "", ingest, nil},
			{"GET", "/v1/pixel.gif?key=k-ingest", "", nil, nil}, {"GET", "/v1/balances", "", bearer("k-browser"), nil}, {"POST", "/v1/ingest/pixel", `{}`, bearer("k-read"), nil}},
		CodeAddress: {{"POST", "/v1/ingest/hook/h", `{}`, ingest, func(o *Options) {
			o.Sources["h"] = Source{Kind: KindHook, Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}
		}}},
		CodeOrigin: {{"POST", "/v1/ingest/pixel?key=k-acme", `{"event":"page_view"}`, []string{"Origin", "https://other.example"}, nil},
			{"POST", "/v1/ingest/pixel?key=k-browser", `{"event":"page_view","source":"acme"}`, []string{"Origin", "https://other.example"}, nil}},
		CodeNotFound:   {{"GET", "/v2/nothing", "", nil, nil}, {"POST", "/v1/abc/events", `{}`, ingest, nil}, {"GET", "/", "", nil, nil}},
		CodeNoSource:   {{"POST", "/v1/ingest/hubspot/nowhere", `[]`, nil, nil}, {"POST", "/v1/ingest/hubspot/shop", `[]`, nil, nil}},
		CodeNoReceipt:  {{"GET", "/v1/receipts/r", "", bearer("k-read"), port(ErrNotFound)}, {"POST", "/v1/receipts/r/rerun", "", bearer("k-replay"), port(ErrNotFound)}},
		CodeNoEvent:    {{"POST", "/v1/replay", replayBody, bearer("k-replay"), port(ErrNotFound)}, {"GET", "/v1/events/e", "", bearer("k-read"), port(ErrNotFound)}},
		CodeMethod:     {{"GET", "/v1/events", "", ingest, nil}, {"DELETE", "/v1/replay", "", nil, nil}},
		CodeUnresolved: {{"POST", "/v1/replay", replayBody, bearer("k-replay"), port(ErrNotYetResolved)}},
		CodeNotHeld:    {{"POST", "/v1/receipts/r/rerun", "", bearer("k-replay"), port(ErrNotQuarantined)}},
		CodeConfigured: {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeConfigured)}},
		CodeState:      {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeState)}},
		CodeCount:      {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeCount)}},
		CodeSelection:  {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeSelection)}},
		CodeNoReplay:   {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeNoReplay)}},
		CodeNoLetter:   {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeNoLetter)}},
		CodeIdentifier: {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeIdentifier)}},
		CodeNobody:     {{"POST", "/mounted", `{}`, bearer("k-read"), refuses(CodeNobody)}},
		CodeBooks: {{"POST", "/mounted", `{}`, bearer("k-read"), func(o *Options) {
			o.Mount = func(r gin.IRouter, auth func(Scope) gin.HandlerFunc) {
				r.POST("/mounted", auth(ScopeRead), func(c *gin.Context) { Refuse(c, CodeBooks, "the warehouse is behind") })
			}
		}}},
		CodeTooLarge: {{"POST", "/v1/events", `{"a":"` + strings.Repeat("x", 256<<10) + `"}`, ingest, nil}, {"POST", "/v1/ingest/crm", strings.Repeat(" ", 1<<20+1), ingest, nil},
			{"POST", "/v1/events", string(packed(strings.Repeat(" ", 6<<20))), gz, nil}},
		CodeTooMany:    {{"POST", "/v1/events", many, ingest, nil}, {"POST", "/v1/events", `{"events":` + many + `}`, ingest, nil}},
		CodeMediaType:  {{"POST", "/v1/events", `a=1`, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, ingest...), nil}, {"POST", "/v1/events", `{}`, append([]string{"Content-Type", "application/json; charset=latin1"}, ingest...), nil}},
		CodeContentEnc: {{"POST", "/v1/events", `{}`, append([]string{"Content-Encoding", "br"}, ingest...), nil}},
		CodeMapping: {{"POST", "/mounted", `{}`, bearer("k-read"), func(o *Options) {
			o.Mount = func(r gin.IRouter, auth func(Scope) gin.HandlerFunc) {
				r.POST("/mounted", auth(ScopeRead), func(c *gin.Context) { RefuseWith(c, CodeMapping, "m.yaml:1:1: …", gin.H{"problems": []string{}}) })
			}
		}}},
		CodeOverloaded: {{"POST", "/v1/events", `{}`, ingest, nil}},
		CodeBusy:       {{"POST", "/v1/events", `{}`, ingest, nil}},
		CodeRate:       {{"POST", "/v1/events", `{}`, ingest, nil}},
		CodeSlow:       {{"POST", "/v1/events", "", append([]string{"X-Slow", "100"}, ingest...), nil}, {"POST", "/v1/events", "{}", append([]string{"X-Slow", "100000"}, ingest...), nil}},
		CodeInternal:   {{"GET", "/v1/events/e", "", bearer("k-read"), port(errors.New("secret of ours"))}, {"GET", "/v1/events/panic", "", bearer("k-read"), port(nil)}},
		CodeNoSecret: {{"POST", "/v1/ingest/hubspot/hub", `[]`, nil, func(o *Options) {
			o.Sources["hub"] = Source{Kind: KindHubSpot, Secret: func() string { return "" }}
		}}},
		CodeNotHere: {{"GET", "/v1/events/e", "", bearer("k-read"), nil}, {"POST", "/v1/replay", replayBody, bearer("k-admin"), nil}, {"GET", "/v1/balances", "", bearer("k-read"), nil}},
		CodeLog:     {{"POST", "/v1/events", `{"event":"x"}`, ingest, func(o *Options) { o.Appender = &fakeLog{err: errors.New("secret of ours")} }}},
		CodeLogFull: {{"POST", "/v1/events", `{"event":"x"}`, ingest, func(o *Options) { o.Appender = &fakeLog{err: fmt.Errorf("%w: lane.meta holds it", ErrLogFull)} }},
			{"POST", "/v1/events", `{"event":"x"}`, ingest, func(o *Options) { o.Full = func() error { return errors.New("lane.meta holds it") } }}},
	}
	for _, row := range table {
		if len(cases[row.code]) == 0 {
			t.Errorf("no request reaches %s", row.code)
		}
		for _, c := range cases[row.code] {
			t.Run(string(row.code)+" "+c.method+" "+c.path, func(t *testing.T) {
				w := newWorld(t, func(o *Options) {
					if c.change != nil {
						c.change(o)
					}
				})
				switch row.code { // somebody was there before
				case CodeRate:
					w = newWorld(t, func(o *Options) {
						o.Keys = fakeKeys{"k-ingest": {Hash: "h", Scopes: []Scope{ScopeIngest}, Rate: Rate{PerSecond: 1e-6, Burst: 1}}}
					})
					w.send("POST", "/v1/events", `{"event":"x"}`, ingest...)
					w.log.take()
				case CodeOverloaded: // whose body is still coming
					w = newWorld(t, func(o *Options) { o.Limits.MaxInFlight = 1 })
					body, more := io.Pipe()
					done := make(chan struct{})
					go func() {
						defer close(done)
						req := httptest.NewRequest("POST", "/v1/events", body)
						req.Header.Set("Authorization", "Bearer k-ingest")
						w.http.ServeHTTP(httptest.NewRecorder(), req)
					}()
					more.Write([]byte("{")) // it is being read
					defer func() { more.Close(); <-done }()
				case CodeBusy: // who waits for the log
					w = newWorld(t, func(o *Options) { o.Limits.MaxInFlight = 1 })
					w.log.hold, w.log.in = make(chan struct{}), make(chan struct{}, 1)
					done := make(chan struct{})
					go func() { w.send("POST", "/v1/events", `{}`, ingest...); close(done) }()
					<-w.log.in
					defer func() { close(w.log.hold); <-done }()
				}
				rec := httptest.NewRecorder()
				req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				for i := 0; i < len(c.headers); i += 2 {
					req.Header.Set(c.headers[i], c.headers[i+1])
				}
				if n, err := strconv.Atoi(req.Header.Get("X-Broken")); err == nil {
					req.ContentLength = int64(n)
					req.Body = io.NopCloser(io.MultiReader(strings.NewReader(c.body), iotest.ErrReader(io.ErrUnexpectedEOF)))
				}
				if n, err := strconv.Atoi(req.Header.Get("X-Slow")); err == nil {
					req.ContentLength = int64(n)
					req.Body = io.NopCloser(io.MultiReader(strings.NewReader(c.body), iotest.ErrReader(os.ErrDeadlineExceeded)))
				}
				w.http.ServeHTTP(rec, req)
				if rec.Code != row.status {
					t.Fatalf("status %d, want %d: %s", rec.Code, row.status, rec.Body)
				}
				if row.code == CodeUnusable { // in Meta's shape: TestMetaErrors
					return
				}
				a := w.answer(rec)
				if a.Error == nil || a.Error.Code != row.code || a.Error.Message == "" {
					t.Errorf("answer %s, want %s", rec.Body, row.code)
				}
				if strings.Contains(rec.Body.String(), "secret of ours") || strings.Contains(rec.Body.String(), `"receipt_id"`) {
					t.Errorf("answer %s tells too much", rec.Body)
				}
				if (row.status == 429 || row.status == 503 || row.code == CodeUnresolved) != (rec.Header().Get("Retry-After") != "") {
					t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
				}
				if row.status == 405 && rec.Header().Get("Allow") == "" {
					t.Error("405 without Allow")
				}
				if n := len(w.log.take()); n != 0 {
					t.Errorf("%d receipts were kept", n)
				}
				if !strings.Contains(w.out.String(), `"code":"`+string(row.code)+`"`) {
					t.Errorf("log does not say %s: %s", row.code, w.out)
				}
			})
		}
	}
}

func TestMalformedSaysWhere(t *testing.T) {
	w := newWorld(t)
	a := w.answer(w.send("POST", "/v1/events", `{"event": nope}`, bearer("k-ingest")...))
	if want := "the body is not JSON: expected a value (at byte 10)"; a.Error.Message != want {
		t.Errorf("got %q, want %q", a.Error.Message, want)
	}
}

// fakeWhere answers with one error, or panics.
type fakeWhere struct{ err error }

func (w fakeWhere) Receipt(context.Context, canonical.ReceiptID) (ReceiptView, error) {
	return ReceiptView{Fate: canonical.FateEvent}, w.err
}

func (w fakeWhere) Event(_ context.Context, id canonical.EventID, _ string) (EventView, error) {
	if id == "panic" {
		panic("somebody@example.com")
	}
	return EventView{ID: id, Name: "qualified_lead"}, w.err
}

func packed(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.Bytes()
}

func TestGzip(t *testing.T) {
	w := newWorld(t)
	body := `{"event":"x"}`
	rec := w.send("POST", "/v1/events", string(packed(body)), "Authorization", "Bearer k-ingest", "Content-Encoding", "gzip")
	if kept := w.log.take(); rec.Code != 202 || len(kept) != 1 || string(kept[0].Body) != body {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	// A bomb: 100 MiB that packs to 100 KiB is cut off where it passes the limit.
	bomb := string(packed(strings.Repeat("\x00", 100<<20)))
	for name, c := range map[string]struct {
		body, encoding string
		status         int
		code           Code
		says           string
	}{
		"a bomb":               {bomb, "gzip", 413, CodeTooLarge, "unpacks to more than 100 times"},
		"members one by one":   {strings.Repeat(string(packed(strings.Repeat(" ", 1<<20))), 6), "gzip", 413, CodeTooLarge, "unpacks to more than 100 times"},
		"large, but no bomb":   {string(packed(noise(5<<20) + "  ")), "gzip", 413, CodeTooLarge, "larger than 5242880 bytes"},
		"a bomb in gzip":       {string(packed(bomb)), "gzip", 400, CodeMalformed, ""},
		"gzip, twice":          {string(packed(bomb)), "gzip, gzip", 415, CodeContentEnc, ""},
		"another within":       {string(packed(bomb)), "gzip, br", 415, CodeContentEnc, ""},
		"identity and gzip":    {string(packed(body)), "identity, gzip", 415, CodeContentEnc, ""},
		"small, packed well":   {string(packed(`{"event":"x","note":"` + strings.Repeat("y", 200<<10) + `"}`)), "gzip", 202, "", ""},
		"many alike in a list": {string(packed("[" + strings.Repeat(benchEvent+",", 400) + benchEvent + "]")), "gzip", 202, "", ""},
	} {
		rec := w.send("POST", "/v1/events", c.body, "Authorization", "Bearer k-ingest", "Content-Encoding", c.encoding)
		if a := w.answer(rec); rec.Code != c.status || c.code != "" && (a.Error.Code != c.code || !strings.Contains(a.Error.Message, c.says)) {
			t.Errorf("%s: %d %.300s", name, rec.Code, rec.Body)
		}
	}
	two := httptest.NewRequest("POST", "/v1/events", strings.NewReader(string(packed(body))))
	two.Header = http.Header{"Authorization": {"Bearer k-ingest"}, "Content-Encoding": {"gzip", "gzip"}}
	rec = httptest.NewRecorder()
	if w.http.ServeHTTP(rec, two); rec.Code != 415 {
		t.Errorf("two headers: %d %s", rec.Code, rec.Body)
	}
}

// noise is text that hardly packs.
func noise(n int) string {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(r.Uint32()%64)
	}
	return string(b)
}

func TestABodyOfUnknownLengthIsBounded(t *testing.T) {
	w := newWorld(t)
	req := httptest.NewRequest("POST", "/v1/events", struct{ *strings.Reader }{strings.NewReader(strings.Repeat(" ", 6<<20))})
	req.ContentLength = -1
	req.Header.Set("Authorization", "Bearer k-ingest")
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, req)
	if rec.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// The table of errors in docs/http.md is the table in errors.go, and the table of
// quarantine reasons is that of package wire.
func TestTheDocumentHasTheSameTables(t *testing.T) {
	doc, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	var order []string
	for _, m := range regexp.MustCompile("(?m)^\\| (\\d{3}) \\| `([a-z0-9_]+)` \\| (.*) \\|$").FindAllStringSubmatch(string(doc), -1) {
		got[m[2]] = m[1] + " " + m[3]
		order = append(order, m[2])
	}
	for i, row := range table {
		if want := strconv.Itoa(row.status) + " " + row.says; got[string(row.code)] != want {
			t.Errorf("%s: the document says %q, the code %q", row.code, got[string(row.code)], want)
		}
		if i < len(order) && order[i] != string(row.code) {
			t.Errorf("row %d of the document is %s, of the code %s", i, order[i], row.code)
		}
	}
	if len(order) != len(table) {
		t.Errorf("the document has %d rows, the code %d", len(order), len(table))
	}
	for code, says := range wire.Codes() {
		if !strings.Contains(string(doc), "| `"+code+"` | "+says+" |") {
			t.Errorf("the document lacks the quarantine reason | `%s` | %s |", code, says)
		}
	}
}

func TestErrorsAreWrittenAsOneShape(t *testing.T) {
	b, _ := json.Marshal(map[string]any{"error": failField(CodeMissing, "event_id", "says which")})
	if want := `{"error":{"code":"missing_field","message":"says which","field":"event_id"}}`; string(b) != want {
		t.Errorf("got %s, want %s", b, want)
	}
}
