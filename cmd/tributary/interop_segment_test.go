//go:build interop

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"tributary/destinations/simulator"
	"tributary/ingest"
)

// Segment's own SDKs for Node and Python with nothing changed but the host, as docs/segment.md
// shows them: all six calls come in batches to one person and one company each; a wrong key is the
// SDK's own error; what is sent while the router is away arrives once when it is there.
func TestInteropSegment(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "segment.md"))
	if err != nil {
		t.Fatal(err)
	}
	for language, program := range map[string]string{"js": "node/segment.mjs", "python": "python/segment_calls.py"} {
		text, err := os.ReadFile(filepath.Join(clients, program))
		shown := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$").FindSubmatch(page)
		if err != nil || shown == nil || !strings.Contains(string(text), strings.TrimSpace(string(shown[1]))) {
			t.Errorf("%s does not do what docs/segment.md shows (%v)", program, err)
		}
	}
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/default.yaml, mappings/shop.yaml]"})
	s.shell("mkdir -p mappings && tributary mapping default > mappings/default.yaml")
	s.write("mappings/shop.yaml", "version: 1\nsources: { segment: { events: { Lead Generated: lead_captured, Order Completed: customer_won } } }\ncounted_by: { customer_won: any }\n")
	config, err := os.ReadFile(filepath.Join(s.dir, "tributary.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("tributary.yaml", strings.Replace(string(config), "sources:\n", "sources:\n  shop: {kind: segment}\n", 1))
	keys, err := ingest.OpenKeys(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := keys.Create(ingest.NewKey{Name: "shop", Scopes: []ingest.Scope{ingest.ScopeIngest}, Source: "shop"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		Answers  []int
		Failures []string
	}
	sdks := map[string]func(env map[string]string) (told, error){
		"node": func(env map[string]string) (a told, err error) {
			err = runNode(t, "segment", env, &a)
			return a, err
		},
		"python": func(env map[string]string) (a told, err error) {
			err = runPython(t, "segment_calls", env, &a)
			return a, err
		},
	}
	env := func(mode, key string) map[string]string {
		return map[string]string{"MODE": mode, "WRITE_KEY": key, "TRIBUTARY": "http://" + s.address}
	}
	type run struct {
		sdk string
		told
		err error
	}
	sent := make(chan run, len(sdks))
	for sdk, send := range sdks { // while nobody listens
		go func() {
			a, err := send(env("send", key))
			sent <- run{sdk, a, err}
		}()
	}
	time.Sleep(3 * time.Second) // until both have been refused at least once
	s.start()
	for range sdks {
		r := <-sent
		if r.err != nil || len(r.Failures) > 0 || slices.ContainsFunc(r.Answers, func(status int) bool { return status != 200 }) {
			t.Errorf("%s: %v %v %v", r.sdk, r.err, r.Answers, r.Failures)
		}
	}
	for sdk, send := range sdks {
		a, err := send(env("wrong", "nobody's"))
		if err != nil || len(a.Failures) != 1 || !strings.Contains(a.Failures[0], "401") && !strings.Contains(a.Failures[0], "none of ours") {
			t.Errorf("%s with a wrong key: %v %v", sdk, err, a)
		}
	}
	each := strings.Join([]string{"ad_clicked 2", "customer_won 2", "lead_captured 2", "page_viewed 2", "song_played 2"}, "\n")
	s.recorded("SELECT name, count() FROM v_events WHERE source = 'shop' AND way = 'segment' GROUP BY name ORDER BY name", each)
	s.recorded("SELECT count(DISTINCT person), count(DISTINCT account) FROM v_events", "2 2")
	s.recorded("SELECT event_id, revenue_micros, currency FROM v_conversions WHERE name = 'customer_won' ORDER BY event_id", "node-order-1 149900000 EUR\npy-order-1 20000000 EUR")
	s.recorded("SELECT name, tier, persons FROM v_accounts WHERE name != '' ORDER BY name", "Acme gold 1\nBeta silver 1")
	s.recorded("SELECT count() FROM v_quarantine", "0")
	s.until(func() bool { g := s.got(simulator.Meta); return g["Purchase"] == 2 && g["Lead"] == 2 })
	s.until(func() bool { return s.stateOf("py-order-1", "hubspot") == "suppressed not_meant" })
}

// Segment's library for browsers in a real one, told its write key and cdnURL as docs/segment.md
// shows it: it asks the router where to send, and sends there what one visitor does.
func TestInteropSegmentInABrowser(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "segment.md"))
	if err != nil {
		t.Fatal(err)
	}
	load := regexp.MustCompile(`(?m)^const analytics = AnalyticsBrowser\.load\(.*$`).FindString(string(text))
	s := newSystem(t, systemOptions{})
	keys, err := ingest.OpenKeys(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := keys.Create(ingest.NewKey{Name: "page", Scopes: []ingest.Scope{ingest.ScopeBrowser}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	load = strings.NewReplacer("trib_browser_…", key, "https://in.example.com", "http://"+s.address).Replace(load)
	library := http.FileServer(http.Dir(filepath.Join(clients, "node", "node_modules", "@segment", "analytics-next", "dist", "umd")))
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasSuffix(q.URL.Path, ".js") {
			library.ServeHTTP(w, q)
			return
		}
		fmt.Fprintf(w, `<!doctype html><html><head><title>Acme</title></head><body><script src="/index.js"></script><script>
			const { AnalyticsBrowser } = window.AnalyticsNext || window
			%s
			analytics.page("Pricing").then(() => analytics.identify("u-1", { email: "ana@acme.example" })).then(() => analytics.track("Song Played", { name: "Fallin" }))
				.then(() => { document.title = "done" }, (err) => { document.title = String(err) })
			</script></body></html>`, load)
	}))
	defer pages.Close()
	v := (&web{t: t}).visitor(t, true)
	v.run(chromedp.Navigate(pages.URL + "/pricing?utm_source=linkedin&utm_campaign=spring&li_fat_id=7F3c"))
	v.until(`document.title == "done"`)
	s.recorded("SELECT name, source, way, count() FROM v_events GROUP BY ALL ORDER BY name", "ad_clicked segment segment 1\nsong_played segment segment 1")
	s.recorded("SELECT count(DISTINCT person), count(DISTINCT account) FROM v_events", "1 1")
	s.recorded("SELECT count() FROM v_quarantine", "0")
	if len(v.errors) > 0 {
		t.Errorf("in the page: %v", v.errors)
	}
}
