package ingest

import (
	"encoding/json"
	"strings"
	"testing"

	"tributary/canonical/wire"
)

// FuzzDoor: whatever is sent to any way in, there is no answer of ours for a fault of
// theirs, and exactly what was answered with a receipt id was kept.
func FuzzDoor(f *testing.F) {
	for i, s := range []string{
		benchEvent, "[" + benchEvent + ",5]", `{"events":[{}]}`, `{`, `[]`, bodyB, `{"key":"k-browser","event":"page_view"}`, `{"data":[{"event_name":"Lead"},"{}"],"access_token":"k-ingest"}`,
		"data=%5B%7B%7D%5D&access_token=k-ingest", "data[]={}&data[1]={}", "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[{}]\r\n--b--\r\n", `{"event_id":"e","reason":"r"}`,
		string(packed(`{"event":"x"}`)),
	} {
		f.Add(byte(i), byte(0), []byte(s))
	}
	paths := []string{"/v1/ingest/crm", "/v1/events", "/v1/ingest/hubspot/free", "/v1/ingest/hubspot/hub", "/v1/ingest/pixel", "/v25.0/1/events", "/v1/replay"}
	kinds := []string{"application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, path, kind byte, body []byte) {
		w.t = t
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
