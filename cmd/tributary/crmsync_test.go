package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/destinations/catalog"
	"tributary/destinations/simulator"
	"tributary/internal/config"
)

// What docs/hubspot-sync.md types is typed here, against a HubSpot with a past: it says what the
// page shows, the past is in ClickHouse, and nobody was sent it.
func TestTheHubSpotSyncPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "hubspot-sync.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n\n```text\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 3 {
		t.Fatalf("docs/hubspot-sync.md types %d commands", len(blocks))
	}
	shown := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindStringSubmatch(string(page))
	if c, err := config.Parse("tributary.yaml", []byte(shown[1]), catalog.Kinds()); err != nil || !c.Accounts["hubspot"].Journal.Given() {
		t.Errorf("the page's configuration: %v", err)
	}
	s := newSystem(t, systemOptions{HubSpot: simulator.HubSpotAccount{SearchLag: -1}})
	past := func(ago time.Duration) simulator.Change { return simulator.Change{At: time.Now().Add(-ago)} }
	company, err := s.sim.Make(simulator.Made{Change: past(90 * time.Hour), Type: "company", Properties: map[string]string{"domain": "acme.example", "name": "Acme"}})
	if err != nil {
		t.Fatal(err)
	}
	contact, err := s.sim.Make(simulator.Made{Change: past(80 * time.Hour), Type: "contact", Properties: map[string]string{"email": "ana@acme.example", "lifecyclestage": "lead"}, Companies: []int64{company}})
	if err != nil {
		t.Fatal(err)
	}
	deal, err := s.sim.Make(simulator.Made{Change: past(70 * time.Hour), Type: "deal", Properties: map[string]string{"dealname": "d", "amount": "1200"}, Contacts: []int64{contact}, Companies: []int64{company}})
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []struct {
		kind        string
		id          int64
		name, value string
		ago         time.Duration
	}{
		{"contact", contact, "lifecyclestage", "marketingqualifiedlead", 60 * time.Hour}, {"contact", contact, "lifecyclestage", "salesqualifiedlead", 50 * time.Hour},
		{"deal", deal, "dealstage", "closedwon", 40 * time.Hour},
	} {
		if err := s.sim.Set(set.kind, set.id, map[string]string{set.name: set.value}, past(set.ago)); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	for _, b := range blocks {
		said := ""
		s.eventually(b[1], func(got string) bool { said = got; return true })
		if !answers(said, b[2]) {
			t.Errorf("%sshows\n%s\nand says\n%s", b[1], b[2], said)
		}
	}
	s.recorded("SELECT name, count() FROM v_events WHERE way = 'hubspot' AND name IN ('lead_captured', 'qualified_lead', 'sales_qualified_lead', 'customer_won') GROUP BY name ORDER BY name",
		"customer_won 1\nlead_captured 1\nqualified_lead 1\nsales_qualified_lead 1")
	s.recorded("SELECT destination, state, reason FROM v_deliveries GROUP BY ALL ORDER BY destination", "hubspot suppressed history\nlinkedin suppressed history\nmeta suppressed history")
	for _, v := range []simulator.Vendor{simulator.Meta, simulator.LinkedIn} {
		if got := s.got(v); len(got) > 0 {
			t.Errorf("%s was sent the past: %v", v, got)
		}
	}
	if said, code := s.shell("tributary import hubspot --account elsewhere --months 3"); code == 0 || !strings.Contains(said, "no HubSpot account of this name") {
		t.Errorf("%d %s", code, said)
	}
}
