package ingest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/canonical/wire"
)

func basic(key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))
}

// Each route takes one call or a batch, with the write key wherever an SDK puts it, and answers
// as Segment does; the receipt says which call it is.
func TestSegmentRoutes(t *testing.T) {
	w := newWorld(t)
	const call = `{"userId":"u-1","event":"E","messageId":"m","previousId":"p","groupId":"g"}`
	for _, c := range segmentCalls {
		for _, path := range []string{"/v1/" + c.name, "/v1/" + c.short} {
			rec := w.send("POST", path, call, "Authorization", basic("k-ingest"))
			kept := w.log.take()
			if rec.Code != http.StatusOK || rec.Body.String() != "{\"success\":true}\n" || len(kept) != 1 {
				t.Fatalf("%s: %d %s, %d kept", path, rec.Code, rec.Body, len(kept))
			}
			r := kept[0]
			if r.Way != canonical.WaySegment || r.Source != "segment" || r.Context["type"] != c.name || string(r.Body) != call || r.Browser || r.Context["ip"] != "" {
				t.Errorf("%s kept %+v", path, r)
			}
			if report, p := wire.Read(r, wire.Settings{}); p != nil || report.EventID != "m" {
				t.Errorf("%s reads as %+v, %v", path, report, p)
			}
		}
	}
	batch := `{"batch":[{"type":"track","event":"E","userId":"u"},{"type":"page","userId":"u"}],"sentAt":"2026-04-23T11:59:00Z","writeKey":%q,"context":{"locale":"de"},"integrations":{"All":false}}`
	for name, send := range map[string]struct {
		path, body string
		headers    []string
		browser    bool
		source     string
	}{
		"a server's":        {"/v1/batch", fmt.Sprintf(batch, "k-ingest"), []string{"Authorization", basic("k-ingest")}, false, "segment"},
		"bound":             {"/v1/import", fmt.Sprintf(batch, ""), []string{"Authorization", basic("k-bound")}, false, "emea"},
		"key in the body":   {"/v1/batch", fmt.Sprintf(batch, "k-ingest"), nil, false, "segment"},
		"a bearer's":        {"/v1/batch", fmt.Sprintf(batch, "x"), []string{"Authorization", "Bearer k-ingest"}, false, "segment"},
		"a page's":          {"/v1/b", fmt.Sprintf(batch, "k-browser"), []string{"Content-Type", "text/plain", "User-Agent", "UA"}, true, "segment"},
		"without its colon": {"/v1/batch", fmt.Sprintf(batch, ""), []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("k-ingest"))}, false, "segment"},
		"packed":            {"/v1/batch", string(packed(fmt.Sprintf(batch, "k-ingest"))), []string{"Content-Encoding", "gzip"}, false, "segment"},
	} {
		rec := w.send("POST", send.path, send.body, send.headers...)
		kept := w.log.take()
		if rec.Code != http.StatusOK || len(kept) != 2 {
			t.Fatalf("%s: %d %s, %d kept", name, rec.Code, rec.Body, len(kept))
		}
		if rec.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: a page may not read the answer", name)
		}
		r := kept[0]
		if r.Browser != send.browser || r.Source != send.source || r.Context["sent_at"] != "2026-04-23T11:59:00Z" || r.Context["context"] != `{"locale":"de"}` ||
			r.Context["integrations"] != `{"All":false}` || (r.Context["user_agent"] == "UA") != send.browser || (r.Context["ip"] != "") != send.browser {
			t.Errorf("%s kept %+v", name, r)
		}
	}
}

// A write key in a call's own body is not kept with it; a name of ours in it is the caller's.
func TestAWriteKeyIsNotKept(t *testing.T) {
	w := newWorld(t)
	rec := w.send("POST", "/v1/track", ` {"source":"nowhere","writeKey" : "k-ingest","userId":"u","event":"E"}`)
	kept := w.log.take()
	if rec.Code != http.StatusOK || len(kept) != 1 || string(kept[0].Body) != ` {"source":"nowhere","writeKey" : "","userId":"u","event":"E"}` || kept[0].Source != "segment" {
		t.Fatalf("%d %s, kept %+v", rec.Code, rec.Body, kept)
	}
}

func TestSegmentRefusals(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits = Limits{Body: 600, Batch: 200_000, Item: 400, Items: 10} })
	const call = `{"userId":"u","event":"E"}`
	key := []string{"Authorization", basic("k-ingest")}
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
		code       Code
	}{
		"no key":             {"/v1/track", call, nil, 401, CodeNoKey},
		"a key of nobody's":  {"/v1/batch", `{"batch":[]}`, []string{"Authorization", basic("wrong")}, 401, CodeBadKey},
		"revoked":            {"/v1/track", call, []string{"Authorization", basic("k-revoked")}, 401, CodeRevoked},
		"another scope":      {"/v1/track", call, []string{"Authorization", basic("k-read")}, 403, CodeScope},
		"no JSON":            {"/v1/track", `{`, key, 400, CodeMalformed},
		"a list":             {"/v1/track", `[]`, key, 400, CodeWrongType},
		"a form":             {"/v1/track", `a=b`, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, key...), 415, CodeMediaType},
		"a large call":       {"/v1/track", `{"a":"` + strings.Repeat("x", 450) + `"}`, key, 413, CodeTooLarge},
		"a large body":       {"/v1/track", `{"a":"` + strings.Repeat("x", 650) + `"}`, key, 413, CodeTooLarge},
		"no batch":           {"/v1/batch", `{}`, key, 400, CodeMissing},
		"a batch of one":     {"/v1/batch", `{"batch":{}}`, key, 400, CodeWrongType},
		"a batch of large":   {"/v1/batch", `{"batch":[{"a":"` + strings.Repeat("x", 450) + `"}]}`, key, 413, CodeTooLarge},
		"too many":           {"/v1/batch", `{"batch":[` + strings.Repeat("{},", segmentItems) + `{}]}`, key, 413, CodeTooMany},
		"a large context":    {"/v1/batch", `{"batch":[{}],"context":{"a":"` + strings.Repeat("x", segmentShared) + `"}}`, key, 413, CodeTooLarge},
		"settings of none":   {"/v1/projects/nobody/settings", "", nil, 401, CodeBadKey},
		"settings, a server": {"/v1/projects/k-ingest/settings", "", nil, 403, CodeScope},
	} {
		method := "POST"
		if c.body == "" {
			method = "GET"
		}
		rec := w.send(method, c.path, c.body, c.headers...)
		var a struct {
			Success *bool
			Message string
			Error   Error
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != c.status || a.Error.Code != c.code || a.Success == nil || *a.Success || a.Message == "" {
			t.Errorf("%s: %d %s, want %d %s", name, rec.Code, rec.Body, c.status, c.code)
		}
		if kept := w.log.take(); len(kept) > 0 {
			t.Errorf("%s: %d kept", name, len(kept))
		}
	}
}

// What is no call stands in a batch beside others: it is kept, to be quarantined with a reason;
// what is too large to be kept is counted in answer, log and metrics.
func TestABatchLosesNothingInSilence(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits = Limits{Item: 400} })
	rec := w.send("POST", "/v1/batch", `{"batch":[{"type":"track","event":"E","userId":"u"},5,{"type":"nothing"},{"a":"`+strings.Repeat("x", 450)+`"}]}`, "Authorization", basic("k-ingest"))
	kept := w.log.take()
	if rec.Code != http.StatusOK || rec.Body.String() != "{\"success\":true,\"refused\":1}\n" || len(kept) != 3 {
		t.Fatalf("%d %s, %d kept", rec.Code, rec.Body, len(kept))
	}
	for i, want := range []string{"", wire.CodeMalformed, wire.CodeUnknown} {
		if _, p := wire.Read(kept[i], wire.Settings{}); (p == nil) != (want == "") || p != nil && p.Code != want {
			t.Errorf("%s: %v, want %s", kept[i].Body, p, want)
		}
	}
	if !strings.Contains(w.out.String(), `"refused":1`) || !strings.Contains(w.send("GET", "/metrics", "").Body.String(), `tributary_http_refused_total{code="too_large",route="/v1/batch"} 1`) {
		t.Errorf("not told: %s", w.out)
	}
}

// Segment's libraries for pages and apps ask where to send: here.
func TestSegmentSettings(t *testing.T) {
	w := newWorld(t)
	rec := w.send("GET", "/v1/projects/k-browser/settings", "")
	var a struct {
		Integrations map[string]struct{ APIKey, APIHost, Protocol string }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(rec.Code, a.Integrations); got != "200 map[Segment.io:{k-browser router.example.test/v1 https}]" {
		t.Error(got)
	}
}

// FuzzSegment: whatever is sent, there is no fault of ours, what was answered with success was
// kept call by call, and each reads or has a reason, twice the same.
func FuzzSegment(f *testing.F) {
	for i, s := range []string{
		`{"userId":"u","event":"E","writeKey":"k-browser"}`, `{"batch":[{"type":"track"},5,"x",[{}]],"context":{"page":{"url":"https://e.example/?gclid=1"}},"sentAt":"2026-04-23T11:59:00Z","integrations":{"All":false}}`,
		`{"batch":{}}`, `{"batch":[`, `{"writeKey":5,"writeKey":"k-ingest","batch":[]}`, `{"previousId":"a","userId":"b"}`, string(packed(`{"batch":[{}]}`)),
	} {
		f.Add(byte(i), []byte(s))
	}
	paths := []string{"/v1/track", "/v1/batch", "/v1/identify", "/v1/group", "/v1/alias", "/v1/p", "/v1/b"}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, how byte, body []byte) {
		w.t = t
		w.out.Reset()
		headers := []string{"Authorization", basic("k-ingest")}
		if how&0x40 != 0 {
			headers = nil
		}
		if how&0x80 != 0 {
			headers = append(headers, "Content-Encoding", "gzip")
		}
		rec := w.send("POST", paths[int(how&0x3f)%len(paths)], string(body), headers...)
		kept := w.log.take()
		var a struct{ Success bool }
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code >= 500 || a.Success != (rec.Code == http.StatusOK) || !a.Success && len(kept) > 0 {
			t.Fatalf("%d %s, %d kept (%v)", rec.Code, rec.Body, len(kept), err)
		}
		for _, r := range kept {
			x, p := wire.Read(r, wire.Settings{})
			y, q := wire.Read(r, wire.Settings{})
			if fmt.Sprint(x.Identifiers, x.Event, x.OccurredAt) != fmt.Sprint(y.Identifiers, y.Event, y.OccurredAt) || (p == nil) != (q == nil) {
				t.Fatalf("two readings of %s differ", r.Body)
			}
		}
		if strings.Contains(w.out.String(), "panic in a handler") {
			t.Fatalf("panic: %s", w.out)
		}
	})
}

// A body of a megabyte costs less than 64 MB from the door to the log, whatever it is made of.
func TestWhatABatchCosts(t *testing.T) {
	w := newWorld(t)
	beside := `{"a":"` + strings.Repeat(`\"`, 450) + `"}`
	for name, body := range map[string]string{
		"many small calls": `{"batch":[` + strings.Repeat(`{},`, segmentItems-1) + `{}],"context":` + beside + `,"integrations":` + beside + `}`,
		"nested":           `{"batch":[` + strings.Repeat(strings.Repeat(`[`, 500)+strings.Repeat(`]`, 500)+`,`, 1000) + `{}]}`,
		"members":          `{"batch":[{` + strings.Repeat(`"a":1,`, 40_000) + `"b":2}]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rec := w.send("POST", "/v1/batch", body, "Authorization", basic("k-ingest"))
		size := 0
		for _, r := range w.log.take() {
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			size += len(b)
		}
		runtime.ReadMemStats(&after)
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; rec.Code != http.StatusOK || mb >= 64 {
			t.Errorf("%s: %d, %d bytes became %d in the log and took %d MB", name, rec.Code, len(body), size, mb)
		} else {
			t.Logf("%s: %d bytes became %d in the log and took %d MB", name, len(body), size, mb)
		}
	}
}
