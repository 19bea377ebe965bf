//go:build interop

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/destinations/simulator"
)

// sdkAnswers is what interop/node/meta.mjs and interop/python/meta.py print.
type sdkAnswers struct {
	Answers map[string]struct {
		Received int    `json:"events_received"`
		Messages []any  `json:"messages"`
		Trace    string `json:"fbtrace_id"`
		ID, Name string
	}
	Refused map[string]struct {
		Exception, Message, Type string
		Status, Code, Subcode    int
	}
}

// Meta's business SDKs for Node and Python send server events with nothing changed but the host:
// what they send stands in the router with its own ids, goes on to Meta once, and what is refused
// is the SDK's own exception with our words.
func TestInteropMetaSDKs(t *testing.T) {
	needEngine(t)
	t.Parallel()
	s := newSystem(t, systemOptions{People: []simulator.Person{ // Meta refuses a lead that it does not know
		{Emails: []string{"nora.node@example.com"}, MetaUser: true, MetaLeadIDs: []string{"123456789012345"}, FBCLIDs: []string{"NodeClick"}},
		{Emails: []string{"ana@example.com"}, MetaUser: true},
		{Emails: []string{"petra.python@example.com"}, MetaUser: true, MetaLeadIDs: []string{"123456789012346"}, FBCLIDs: []string{"PythonClick"}},
	}, Config: "mapping: [mappings/default.yaml, mappings/web.yaml]"})
	s.shell("mkdir -p mappings && tributary mapping default > mappings/default.yaml")
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "meta.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := func(language string) string { // of the page, as it stands there
		_, rest, _ := strings.Cut(string(page), "```"+language+"\n")
		text, _, _ := strings.Cut(rest, "```")
		return text
	}
	s.write("mappings/web.yaml", strings.Replace(code("yaml"), "[purchase, contact]", "[purchase, contact, submit_application, schedule]", 1)+`    submit_application: { event: SubmitApplication }
    schedule: { event: Schedule }
`)
	s.start()

	ids := []string{}
	for sdk, run := range map[string]func(*testing.T, string, map[string]string, any) error{"node": runNode, "python": runPython} {
		var got sdkAnswers
		if err := run(t, "meta", map[string]string{"HOST": "http://" + s.address, "KEY": s.key, "PIXEL": dataset}, &got); err != nil {
			t.Fatalf("%s: %v", sdk, err)
		}
		want := map[string]int{"purchase": 1, "batch": 3, "test": 1, "async1": 1, "async2": 1, "async3": 1, "client": 1}
		for name, n := range want {
			if a := got.Answers[name]; a.Received != n || a.Messages == nil || len(a.Trace) != 26 {
				t.Errorf("%s: %s is answered %+v", sdk, name, a)
			}
		}
		if a := got.Answers["pixel"]; a.ID != dataset || a.Name != "meta" {
			t.Errorf("%s: the pixel is %+v", sdk, a)
		}
		if r := got.Refused["token"]; r.Exception != "FacebookRequestError" || r.Status != 401 || r.Code != 190 || r.Type != "OAuthException" || r.Message != "this key is none of ours" {
			t.Errorf("%s: a wrong token is %+v", sdk, r)
		}
		if r := got.Refused["old"]; r.Exception != "FacebookRequestError" || r.Status != 400 || r.Code != 100 || r.Subcode != 2804003 || !strings.Contains(r.Message, "data[1].event_time is more than 7 days ago") {
			t.Errorf("%s: an old event is %+v", sdk, r)
		}
		for _, id := range []string{"purchase", "batch-a", "batch-b", "batch-c", "test", "async-1", "async-2", "async-3", "client"} {
			ids = append(ids, sdk+"-"+id)
		}
	}
	// The page's own code.
	for _, c := range []struct{ folder, program, flag, language, id string }{{"node", "node", "--input-type=module", "js", "order-1001"}, {"python", "venv/bin/python", "-I", "python", "order-1002"}} {
		flag := "-e"
		if c.language == "python" {
			flag = "-c"
		}
		var got struct{ Received int }
		if err := runClient(t, filepath.Join(clients, c.folder), map[string]string{"HOST": "http://" + s.address, "KEY": s.key, "PIXEL": dataset}, &got, c.program, c.flag, flag, code(c.language)); err != nil || got.Received != 1 {
			t.Fatalf("the page's %s: %+v %v", c.language, got, err)
		}
		ids = append(ids, c.id)
	}
	slices.Sort(ids)

	s.until(func() bool { return len(s.sim.Received(simulator.Meta)) >= len(ids) })
	s.settle()
	var sent []string
	for _, r := range s.sim.Received(simulator.Meta) {
		sent = append(sent, r.EventID)
		if r.Duplicate || !r.Matched {
			t.Errorf("%s: sent twice %v, recognised %v", r.EventID, r.Duplicate, r.Matched)
		}
	}
	slices.Sort(sent)
	if !slices.Equal(sent, ids) {
		t.Errorf("Meta has %v, want %v", sent, ids)
	}
	s.recorded("SELECT event_id FROM v_events WHERE way = 'meta_api' ORDER BY event_id", strings.Join(ids, "\n"))
	s.recorded("SELECT count() FROM v_quarantine", "0")

	// What a purchase with everything comes to at Meta.
	bodies := map[string]map[string]any{}
	for _, r := range s.sim.Received(simulator.Meta) {
		var e map[string]any
		if err := json.Unmarshal(r.Body, &e); err != nil {
			t.Fatal(err)
		}
		if bodies[r.EventID] = e; r.Test {
			t.Errorf("the code of a test went on to Meta with %s", r.EventID)
		}
	}
	for id, want := range map[string]struct {
		place    string
		currency string
		user     []string
	}{
		"node-purchase":   {"1 1000", "USD", []string{"anon_id", "client_ip_address", "client_user_agent", "country", "ct", "ctwa_clid", "db", "em", "external_id", "fb_login_id", "fbc", "fbp", "fn", "ge", "lead_id", "ln", "madid", "page_id", "ph", "st", "subscription_id", "zp"}},
		"python-purchase": {"0 0", "EUR", []string{"anon_id", "client_ip_address", "client_user_agent", "country", "ct", "ctwa_clid", "db", "em", "external_id", "fb_login_id", "fbc", "fbp", "fn", "ge", "lead_id", "ln", "madid", "page_id", "ph", "st", "subscription_id", "zp"}},
	} {
		e := bodies[id]
		user, _ := e["user_data"].(map[string]any)
		for _, k := range want.user {
			if user[k] == nil {
				t.Errorf("%s: %s did not reach Meta", id, k)
			}
		}
		custom, _ := e["custom_data"].(map[string]any)
		if custom["value"] != 142.5 || custom["currency"] != want.currency || custom["order_id"] == nil || custom["contents"] == nil || custom["predicted_ltv"] != 900.0 {
			t.Errorf("%s: custom_data is %v", id, custom)
		}
		if got := fmt.Sprint(e["data_processing_options"], " ", e["data_processing_options_country"], " ", e["data_processing_options_state"]); got != "[LDU] "+want.place {
			t.Errorf("%s: limited data use is %s", id, got)
		}
	}
}
