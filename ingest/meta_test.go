package ingest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"tributary/canonical/wire"
)

const metaLead = `{"event_name":"Lead","event_time":1776942259,"user_data":{"em":"ana@example.com"}}`

// The members beside data are kept with every receipt, whatever form they came in; what has
// no use is not.
func TestMetaKeepsWhatStandsBesideData(t *testing.T) {
	v := url.Values{"data": {"[" + metaLead + "]"}, "access_token": {"k-ingest"}, "progress": {"1"}}
	j := map[string]any{"data": []json.RawMessage{json.RawMessage(metaLead), json.RawMessage(metaLead)}, "access_token": "k-ingest", "progress": 1, "trace": "x"}
	var parts strings.Builder
	part := func(name, text string) {
		fmt.Fprintf(&parts, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, text)
	}
	part("data", "["+metaLead+"]")
	part("access_token", "k-ingest")
	for _, k := range besideData {
		v.Set(k, "said "+k)
		j[k] = "said " + k
		part(k, "said "+k)
	}
	asJSON, _ := json.Marshal(j)
	for kind, body := range map[string]string{"application/json": string(asJSON), "application/x-www-form-urlencoded": v.Encode(), "multipart/form-data; boundary=b": parts.String() + "--b--\r\n"} {
		w := newWorld(t)
		rec := w.send("POST", "/v25.0/123/events", body, "Content-Type", kind)
		kept := w.log.take()
		if rec.Code != 200 || len(kept) == 0 {
			t.Fatalf("%s: %d %s", kind, rec.Code, rec.Body)
		}
		for _, r := range kept {
			if len(r.Context) != len(besideData)+1 || r.Context["pixel_id"] != "123" {
				t.Errorf("%s: context %v", kind, r.Context)
			}
			report, p := wire.Read(r, wire.Settings{})
			for _, k := range besideData {
				if p != nil || report.Properties[k] != "said "+k {
					t.Errorf("%s: %s is %v (%v)", kind, k, report.Properties[k], p)
				}
			}
		}
		if rec.Header().Get("X-Fb-Trace-Id") == "" {
			t.Errorf("%s: no trace in the header", kind)
		}
	}
}

// A request whose data stands in its query, as Graph takes it; the body comes first.
func TestMetaReadsTheQueryToo(t *testing.T) {
	q := "/v25.0/1/events?access_token=k-ingest&test_event_code=T&data=" + url.QueryEscape("["+metaLead+"]")
	for body, kind := range map[string]string{"": "application/json", "test_event_code=T": "application/x-www-form-urlencoded", "data=" + url.QueryEscape("["+metaLead+"]") + "&test_event_code=T": "application/x-www-form-urlencoded"} {
		w := newWorld(t)
		rec := w.send("POST", q, body, "Content-Type", kind)
		if kept := w.log.take(); rec.Code != 200 || len(kept) != 1 || kept[0].Context["test_event_code"] != "T" {
			t.Errorf("%q: %d %s", body, rec.Code, rec.Body)
		}
	}
}

// Errors in Meta's numbers and words, of a request that is then not kept at all.
func TestMetaErrorsInFull(t *testing.T) {
	with := func(member string) string {
		return `{"data":[` + metaLead + `,{"event_name":"Contact","event_time":1776942259,"user_data":{"em":"ana@example.com"},` + member + `}]}`
	}
	for name, c := range map[string]struct {
		method, path, body, key string
		status, code, subcode   int
		kind, field             string
	}{
		"missing key":     {"POST", "/v25.0/1/events", with(`"opt_out":true`), "", 401, 190, 0, "OAuthException", ""},
		"expired key":     {"POST", "/v25.0/1/events", with(`"opt_out":true`), "k-expired", 401, 190, 463, "OAuthException", ""},
		"revoked key":     {"POST", "/v25.0/1/events", with(`"opt_out":true`), "k-revoked", 401, 190, 460, "OAuthException", ""},
		"browser key":     {"POST", "/v25.0/1/events", with(`"opt_out":true`), "k-browser", 403, 200, 0, "OAuthException", ""},
		"key before data": {"POST", "/v25.0/1/events", `{"data":7}`, "k-nobody", 401, 190, 0, "OAuthException", ""},
		"too old":         {"POST", "/v25.0/1/events", with(`"event_time":1776000000`), "k-ingest", 400, 100, 2804003, "OAuthException", "data[1].event_time"},
		"no value":        {"POST", "/v25.0/1/events", with(`"event_name":"Purchase"`), "k-ingest", 400, 100, 2804009, "OAuthException", "data[1].custom_data.value"},
		"nobody":          {"POST", "/v25.0/1/events", with(`"user_data":{"country":"de"}`), "k-ingest", 400, 100, 2804050, "OAuthException", "data[1].user_data"},
		"no time":         {"POST", "/capi/1/events", with(`"event_time":null`), "k-ingest", 400, 100, 0, "OAuthException", "data[1].event_time"},
		"bad source":      {"POST", "/v25.0/1/events", with(`"action_source":"web"`), "k-ingest", 400, 100, 0, "OAuthException", "data[1].action_source"},
		"GET of events":   {"GET", "/v25.0/1/events", "", "k-ingest", 405, 100, 33, "GraphMethodException", ""},
		"another edge":    {"POST", "/v25.0/1/instruments", "{}", "k-ingest", 404, 100, 33, "GraphMethodException", ""},
		"a batch":         {"POST", "/v25.0", "{}", "k-ingest", 404, 100, 33, "GraphMethodException", ""},
		"pixel, no key":   {"GET", "/v25.0/1", "", "", 401, 190, 0, "OAuthException", ""},
		"pixel, POST":     {"POST", "/v25.0/1", "{}", "k-ingest", 405, 100, 33, "GraphMethodException", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			rec := w.send(c.method, c.path, c.body, bearer(c.key)...)
			var a struct {
				Error struct {
					Message, Type string
					Code          int
					Subcode       int    `json:"error_subcode"`
					Transient     bool   `json:"is_transient"`
					Title         string `json:"error_user_title"`
					Says          string `json:"error_user_msg"`
					Trace         string `json:"fbtrace_id"`
					Data          struct {
						Blame [][]string `json:"blame_field_specs"`
					} `json:"error_data"`
				}
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			e := a.Error
			if rec.Code != c.status || e.Code != c.code || e.Subcode != c.subcode || e.Type != c.kind || e.Message == "" || e.Title == "" || e.Says == "" || e.Trace == "" || e.Transient {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			if got := fmt.Sprint(e.Data.Blame); c.field != "" && got != "[["+c.field+"]]" {
				t.Errorf("blames %s, want %s", got, c.field)
			}
			if c.subcode == 0 && strings.Contains(rec.Body.String(), "error_subcode") {
				t.Errorf("a subcode that there is none of: %s", rec.Body)
			}
			if len(w.log.take()) != 0 {
				t.Error("something was kept")
			}
		})
	}
	w := newWorld(t)
	many := `{"data":[` + strings.Repeat(metaLead+",", 1000) + metaLead + `]}`
	if rec := w.send("POST", "/v25.0/1/events", many, bearer("k-ingest")...); rec.Code != 413 || !strings.Contains(rec.Body.String(), `"code":100`) {
		t.Errorf("1001 events: %d %s", rec.Code, rec.Body)
	}
	full := `{"data":[` + strings.Repeat(metaLead+",", 999) + metaLead + `]}`
	if rec := w.send("POST", "/v25.0/1/events", full, bearer("k-ingest")...); rec.Code != 200 || !strings.HasPrefix(rec.Body.String(), `{"events_received":1000,"messages":[],"fbtrace_id":"`) {
		t.Errorf("1000 events: %d %.200s", rec.Code, rec.Body)
	}
	w = newWorld(t, func(o *Options) { o.Limits.MaxInFlight = 1 })
	w.log.hold, w.log.in = make(chan struct{}), make(chan struct{}, 1)
	done := make(chan struct{})
	go func() { w.send("POST", "/v1/events", `{}`, bearer("k-ingest")...); close(done) }()
	<-w.log.in
	if rec := w.send("POST", "/v25.0/1/events", full, bearer("k-ingest")...); rec.Code != 503 || !strings.Contains(rec.Body.String(), `"code":2,`) || !strings.Contains(rec.Body.String(), `"is_transient":true`) || rec.Header().Get("Retry-After") == "" {
		t.Errorf("no room: %d %s", rec.Code, rec.Body)
	}
	close(w.log.hold)
	<-done
}

// What calls itself the Gateway sends its key as accessKey and wants 202; who asks for a pixel
// is told that there is one.
func TestMetaGatewayAndPixel(t *testing.T) {
	w := newWorld(t)
	rec := w.send("POST", "/capi/123/events", `{"accessKey":"k-ingest","data":[{"event_name":"Lead","event_time":1776942259,"user_data":{"em":"ana@example.com"},"contents":[{"id":"a"}]}]}`)
	kept := w.log.take()
	if rec.Code != 202 || len(kept) != 1 || !strings.HasPrefix(rec.Body.String(), `{"events_received":1,`) {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	if r, p := wire.Read(kept[0], wire.Settings{}); p != nil || r.Properties["contents"] == nil || r.Properties["pixel_id"] != "123" {
		t.Errorf("%v %v", r.Properties, p)
	}
	for key, want := range map[string]string{"k-ingest": `{"id":"123","name":"meta"}`, "k-bound": `{"id":"123","name":"emea"}`} {
		if rec := w.send("GET", "/v25.0/123?fields=id,name&access_token="+key, ""); rec.Code != 200 || rec.Body.String() != want {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
	}
}

// What docs/meta.md says of an old event is what it is answered; the rest of the page's requests
// are sent by TestTheDocumentsExamplesWork, its mappings and SDK code by other tests.
func TestTheMetaPage(t *testing.T) {
	page, err := os.ReadFile("../docs/meta.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?m)^(\\{\"error\":.*)$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 {
		t.Fatalf("the page shows %d errors", len(blocks))
	}
	w := newWorld(t)
	rec := w.send("POST", "/v25.0/1/events", `{"data":[`+strings.Replace(metaLead, "1776942259", "1776000000", 1)+`]}`, bearer("k-ingest")...)
	if rec.Code != 400 || !sameAnswer(t, rec, blocks[0][1]) {
		t.Errorf("answered %s, the page says %s", rec.Body, blocks[0][1])
	}
	for status, code := range map[string][]Code{
		"| 401 | 190 | |": {CodeNoKey, CodeBadKey}, "| 401 | 190 | 463, 460 |": {CodeExpired, CodeRevoked}, "| 403 | 200 | |": {CodeScope},
		"| 400 | 100 | |": {CodeMalformed, CodeMissing, CodeWrongType, CodeUnusable}, "| 413 | 100 | |": {CodeTooMany, CodeTooLarge},
		"| 429 | 4 | |": {CodeRate, CodeOverloaded}, "| 405, 404 | 100 | 33 |": {CodeMethod, CodeNotFound}, "| 503, 500 | 2 | |": {CodeBusy, CodeLog, CodeLogFull, CodeInternal},
	} {
		if !strings.Contains(string(page), status) {
			t.Errorf("the page has no row %s", status)
		}
		for _, c := range code {
			if !strings.Contains(status, fmt.Sprint(rows[c].status)) || !strings.Contains(status, fmt.Sprintf("| %d |", rows[c].meta)) {
				t.Errorf("%s is %d %d, the page says %s", c, rows[c].status, rows[c].meta, status)
			}
		}
	}
}
