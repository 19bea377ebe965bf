package ingest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"tributary/canonical/wire"
)

// FuzzDoor: whatever is sent to any way in, there is no answer of ours for a fault of
// theirs, exactly what was answered with a receipt id was kept, and it takes no more memory than
// any body may.
func FuzzDoor(f *testing.F) {
	for i, s := range []string{
		benchEvent, "[" + benchEvent + ",5]", `{"events":[{}]}`, `{`, `[]`, bodyB, `{"key":"k-browser","event":"page_view"}`, `{"data":[{"event_name":"Lead"},"{}"],"access_token":"k-ingest"}`,
		"data=%5B%7B%7D%5D&access_token=k-ingest", "data[]={}&data[1]={}", "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[{}]\r\n--b--\r\n", `{"event_id":"e","reason":"r"}`,
		string(packed(`{"event":"x"}`)),
	} {
		f.Add(byte(i), byte(0), []byte(s))
	}
	paths := []string{"/v1/ingest/crm", "/v1/events", "/v1/ingest/hubspot/free", "/v1/ingest/hubspot/hub", "/v1/ingest/pixel", "/v25.0/1/events", "/v1/replay",
		"/v1/ingest/hook/tool", "/v1/ingest/hubspot/free/workflow"}
	kinds := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"}
	w := newWorld(f, func(o *Options) { o.Sources["tool"] = Source{Kind: KindHook} })
	f.Fuzz(func(t *testing.T, path, kind byte, body []byte) {
		w.t = t
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		defer func() {
			if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 64<<20 && len(body) <= 1<<20 {
				t.Fatalf("%d MB for a body of %d bytes", (after.TotalAlloc-before.TotalAlloc)>>20, len(body))
			}
		}()
		w.out.Reset()
		headers := []string{"Content-Type", kinds[int(kind)%len(kinds)], "Authorization", "Bearer k-admin"}
		if kind&0x80 != 0 {
			headers = append(headers, "Content-Encoding", "gzip")
		}
		rec := w.send("POST", paths[int(path)%len(paths)], string(body), headers...)
		kept := w.log.take()
		if rec.Code >= 500 && rec.Code != 503 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		var a struct {
			Receipts []struct {
				ID string `json:"receipt_id"`
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
			t.Fatalf("answer %q: %v", rec.Body, err)
		}
		ids := 0
		for _, r := range a.Receipts {
			if r.ID != "" {
				ids++
			}
		}
		if ids != len(kept) || rec.Code/100 != 2 && len(kept) > 0 {
			t.Fatalf("%d with %d ids, %d kept: %s", rec.Code, ids, len(kept), rec.Body)
		}
		for _, r := range kept {
			wire.Bare(r)
			_, _ = wire.Read(r, wire.Settings{})
		}
		if strings.Contains(w.out.String(), "panic in a handler") {
			t.Fatalf("panic: %s", w.out)
		}
	})
}

// FuzzPixelQuery: whatever an image is asked for with, the answer is an image or an error of theirs; what
// was answered with an image was kept, unless nobody saw it; and it can be read.
func FuzzPixelQuery(f *testing.F) {
	for _, q := range []string{
		"event=page_view&anonymous_id=a", "event=email_open&email_sha256=x&ad_storage=denied", "a=%C3%A9&a=2", "%zz", "source=acme", "source=hub", "dl=https%3A%2F%2Facme.example%2F%3Fgclid%3Dg&ts=1", "=&&;=", "clicks=x&consent=y&sent_at=9",
	} {
		f.Add(q, chromeAgent, "_trb=0123456789abcdef", byte(0))
	}
	f.Add("", "Googlebot/2.1", "", byte(1))
	f.Add("", "", "_trb=\xff", byte(2))
	w := newWorld(f, func(o *Options) { o.Limits.Rate, o.Limits.AddressRate = Unlimited, Unlimited })
	f.Fuzz(func(t *testing.T, query, agent, cookie string, how byte) {
		w.t = t
		w.out.Reset()
		req := httptest.NewRequest([]string{"GET", "HEAD"}[how&1], "/v1/pixel.gif", nil)
		req.URL.RawQuery = "key=" + []string{"k-acme", "k-browser"}[how>>1&1] + "&" + query
		req.Header = http.Header{"User-Agent": {agent}, "Cookie": {cookie}, "Sec-Fetch-Site": {"same-site"}, "Referer": {query}, "Sec-Purpose": {cookie}}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, req)
		kept := w.log.take()
		image := rec.Code == http.StatusOK && rec.Header().Get("Content-Type") == "image/gif"
		if !image && (rec.Code < 400 || rec.Code >= 500) || len(kept) > 1 || len(kept) == 1 && !image || image && len(kept) == 0 && req.Method == "GET" {
			t.Fatalf("%d %v with %d receipts: %s", rec.Code, rec.Header(), len(kept), rec.Body)
		}
		for _, r := range kept {
			_, _ = wire.Read(r, wire.Settings{})
		}
		if strings.Contains(w.out.String(), "panic in a handler") {
			t.Fatalf("panic: %s", w.out)
		}
	})
}

// FuzzMeta: a request in any of Meta's three body forms is taken whole or refused whole, in Meta's
// shape; the answer counts what was kept, and nothing that was kept is quarantined on reading.
func FuzzMeta(f *testing.F) {
	for i, s := range []string{
		`{"data":[` + metaLead + `],"test_event_code":"T"}`, `{"data":["` + strings.ReplaceAll(metaLead, `"`, `\"`) + `"]}`, `{"data":"[]"}`, `{"data":[{"event_name":"Purchase","event_time":"1776942259","user_data":{"em":[null],"fbp":["a"]},"custom_data":{"value":"1","currency":"eur"}}]}`,
		"data=%5B" + url.QueryEscape(metaLead) + "%5D&upload_tag=x", "data[]=" + url.QueryEscape(metaLead) + "&data[1]={}", "a&=&%zz", "data=&data=[]",
		"--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[" + metaLead + "]\r\n--b--\r\n", "--b\r\nContent-Disposition: form-data; name=\"data[0]\"\r\n\r\n" + metaLead + "\r\n--b\r\n\r\n--b--",
		`{"data":[{"event_name":"PageView","event_time":1776942259,"event_source_url":"https://a.example/?fbclid=x","user_data":{"client_ip_address":"1.2.3.4","client_user_agent":"UA"},"data_processing_options":"LDU","data_processing_options_state":1000}]}`,
	} {
		f.Add(byte(i), []byte(s), "")
		f.Add(byte(i/4), []byte(s), "data[]="+url.QueryEscape(metaLead))
	}
	kinds := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"}
	w := newWorld(f, func(o *Options) { o.Limits.Rate, o.Limits.AddressRate = Unlimited, Unlimited })
	f.Fuzz(func(t *testing.T, kind byte, body []byte, query string) {
		w.t = t
		w.out.Reset()
		req := httptest.NewRequest("POST", "/v25.0/1/events", bytes.NewReader(body))
		req.URL.RawQuery = query
		req.Header = http.Header{"Content-Type": {kinds[int(kind)%len(kinds)]}, "Authorization": {"Bearer k-ingest"}}
		rec := httptest.NewRecorder()
		w.http.ServeHTTP(rec, req)
		kept := w.log.take()
		var a struct {
			Received int               `json:"events_received"`
			Receipts []json.RawMessage `json:"receipts"`
			Error    *struct {
				Code  int
				Trace string `json:"fbtrace_id"`
			}
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
			t.Fatalf("answer %q: %v", rec.Body, err)
		}
		switch {
		case rec.Code == http.StatusOK && a.Received == len(kept) && len(a.Receipts) == len(kept) && len(kept) > 0 && a.Error == nil:
		case rec.Code/100 == 4 && len(kept) == 0 && a.Error != nil && a.Error.Code != 0 && a.Error.Trace != "":
		default:
			t.Fatalf("%d with %d kept: %s", rec.Code, len(kept), rec.Body)
		}
		for _, r := range kept {
			if _, p := wire.Read(r, wire.Settings{}); p != nil {
				t.Fatalf("%s was kept and is quarantined: %v", r.Body, p)
			}
		}
		if strings.Contains(w.out.String(), "panic in a handler") {
			t.Fatalf("panic: %s", w.out)
		}
	})
}
