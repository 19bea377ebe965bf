package main

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/destinations/simulator"
	"tributary/ingest"
)

// The key, the configuration, the mapping and the calls that docs/segment.md shows: one person with
// a page view, a company, two user ids and two events, and what is no call quarantined. Sent
// again, as an SDK does whose answer was lost, it is the same.
func TestTheSegmentPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "segment.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	yaml := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(page, -1)
	curls := regexp.MustCompile(`(?s)\ncurl https://in\.example\.com(\S+) -u "\$WRITE_KEY:" -H "Content-Type: application/json" -d '(.*?)'\n`).FindAllStringSubmatch(page, -1)
	if len(yaml) != 2 || len(curls) != 2 {
		t.Fatalf("docs/segment.md shows %d files and %d calls", len(yaml), len(curls))
	}
	_, source, _ := strings.Cut(yaml[0][1], "sources:\n")
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/default.yaml, mappings/shop.yaml]"})
	s.shell("mkdir -p mappings && tributary mapping default > mappings/default.yaml")
	s.write("mappings/shop.yaml", "version: 1\n"+yaml[1][1])
	config, err := os.ReadFile(filepath.Join(s.dir, "tributary.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("tributary.yaml", strings.Replace(string(config), "sources:\n", "sources:\n"+source, 1))
	keys, err := ingest.OpenKeys(filepath.Join(s.dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := keys.Create(ingest.NewKey{Name: "shop", Scopes: []ingest.Scope{ingest.ScopeIngest}, Source: "shop"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	for range 2 {
		for _, c := range curls {
			status, answer := s.post(c[1], []byte(c[2]), http.Header{
				"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))}, "Content-Type": {"application/json"},
			})
			if status != http.StatusOK || string(answer) != "{\"success\":true}\n" {
				t.Fatalf("%s: %d %s", c[1], status, answer)
			}
		}
	}
	s.recorded("SELECT name, event_id, source, way FROM v_events ORDER BY event_id",
		"ad_clicked m-2 shop segment\nlead_captured m-5 shop segment\ncustomer_won m-6 shop segment")
	s.recorded("SELECT event_id, revenue_micros, currency FROM v_conversions WHERE name = 'customer_won'", "m-6 149900000 EUR")
	s.recorded("SELECT reason, count() FROM v_quarantine GROUP BY reason", "unknown_event 2")
	s.recorded("SELECT count(DISTINCT person) FROM v_events", "1")
	s.recorded("SELECT name, tier FROM v_accounts WHERE has(domains, 'acme.example')", "Acme gold")
	s.until(func() bool { g := s.got(simulator.Meta); return g["Purchase"] == 1 && g["Lead"] == 1 })
	s.until(func() bool { return s.stateOf("m-6", "hubspot") == "suppressed not_meant" })
}
