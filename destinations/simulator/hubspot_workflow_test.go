package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Both forms of a workflow's body, signed over the whole URL, and what is done about each answer.
func TestWorkflows(t *testing.T) {
	s, err := New(Options{HubSpot: HubSpotAccount{ClientSecret: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.UnixMilli(1776942259000)
	id, err := s.Make(Made{Change: Change{At: at.Add(-time.Hour)}, Type: "contact", Properties: map[string]string{"email": "ana@example.com", "lifecyclestage": "lead"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set("contact", id, map[string]string{"lifecyclestage": "customer"}, Change{At: at}); err != nil {
		t.Fatal(err)
	}
	status, retryAfter := 200, ""
	var method, uri, body string
	var header http.Header
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		method, uri, body, header = r.Method, r.RequestURI, string(b), r.Header
		w.Header().Set("Retry-After", retryAfter)
		w.WriteHeader(status)
	}))
	defer target.Close()
	enrol := func(w Workflow) Enrolled {
		t.Helper()
		w.URL, w.Type, w.ID = target.URL+w.URL, "contact", id
		out, err := s.Enrol(t.Context(), target.Client(), w)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := enrol(Workflow{URL: "/hook?event=x"}); out.Fate != "done" || header.Get("X-HubSpot-Signature") != signV2("secret", "POST", target.URL+"/hook?event=x", []byte(body)) {
		t.Errorf("%+v %v", out, header)
	}
	var whole struct {
		VID        int64 `json:"vid"`
		Properties map[string]struct {
			Value    string
			Versions []struct {
				Value     string
				Timestamp int64
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatal(err)
	}
	if stage := whole.Properties["lifecyclestage"]; whole.VID != id || stage.Value != "customer" || len(stage.Versions) != 2 || stage.Versions[0].Timestamp != at.UnixMilli() {
		t.Errorf("the body is %s", body)
	}
	fields := map[string]string{"email": "email", "since": "hs_lifecyclestage_customer_date", "plan": "plan"}
	if enrol(Workflow{Fields: fields, Fixed: map[string]string{"event": "won"}}); body != `{"email":"ana@example.com","event":"won","since":"1776942259000"}` {
		t.Errorf("the list is %s", body)
	}
	enrol(Workflow{URL: "/hook?a=1", Method: "GET", Fields: fields, Query: "key", Key: "k"})
	if method != "GET" || body != "" || !strings.HasPrefix(uri, "/hook?a=1&email=ana%40example.com&key=k&since=") || header.Get("X-HubSpot-Signature") != "" {
		t.Errorf("%s %s %q", method, uri, body)
	}
	if enrol(Workflow{Header: "Authorization", Key: "Bearer k"}); header.Get("Authorization") != "Bearer k" {
		t.Errorf("%v", header)
	}
	for _, c := range []struct {
		status int
		after  string
		fate   string
		wait   time.Duration
	}{{401, "", "failed", 0}, {429, "30", "again", 30 * time.Millisecond}, {429, "", "again", time.Minute}, {503, "30", "again", time.Minute}, {204, "", "done", 0}} {
		status, retryAfter = c.status, c.after
		if out := enrol(Workflow{}); out.Fate != c.fate || out.After != c.wait {
			t.Errorf("%d: %+v", c.status, out)
		}
	}
	for _, w := range []Workflow{{URL: "/x", Type: "contact", ID: id}, {URL: target.URL, Type: "contact", ID: 1}, {URL: target.URL, Type: "contact", ID: id, Method: "PUT"}, {URL: target.URL, Type: "contact", ID: id, Method: "GET"},
		{URL: target.URL, Type: "contact", ID: id, Fields: fields, Fixed: map[string]string{"email": "x"}}} {
		if _, err := s.Enrol(t.Context(), target.Client(), w); err == nil {
			t.Errorf("%+v was sent", w)
		}
	}
}
