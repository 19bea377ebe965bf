package main

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/internal/budget"
	"tributary/internal/config"
)

func budgetsOf(t *testing.T, text string) (*budgets, map[string]*budget.Account) {
	t.Helper()
	cfg, err := config.Parse("t.yaml", []byte(text), catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]destinations.Kind{}
	for _, k := range catalog.Kinds() {
		kinds[k.Name] = k
	}
	b, err := openBudgets(cfg, kinds, nil)
	if err != nil {
		t.Fatal(err)
	}
	lanes := map[string]*budget.Account{}
	for name, d := range cfg.Destinations {
		section := d.Settings
		dest, _ := kinds[d.Kind].New(settingsNode(&section))
		lanes[name] = b.of(d.Kind, name, dest)
	}
	return b, lanes
}

// One budget an account, whoever calls it; its size by the account's settings.
func TestOneBudgetForEachAccount(t *testing.T) {
	b, lanes := budgetsOf(t, `
accounts:
  hubspot: {kind: hubspot, tier: enterprise, requests_per_day: 5000, share: 0.5}
  second: {kind: hubspot, tier: oauth, requests_per_10s: 250}
destinations:
  hub: {kind: hubspot, mode: dry_run}
  hub2: {kind: hubspot, mode: dry_run}
  other: {kind: hubspot, mode: dry_run, settings: {account: second}}
  alone: {kind: hubspot, mode: dry_run, settings: {account: third, tier: professional}}
  smaller: {kind: hubspot, mode: dry_run, budget: {share: 0.5}, settings: {account: third, tier: free}}
  meta: {kind: meta, mode: dry_run, settings: {dataset_id: "1000000000000000"}}
  meta2: {kind: meta, mode: dry_run, settings: {dataset_id: "1000000000000000", requests_per_second: 20}, budget: {share: 0.5}}
`)
	if lanes["hub"] != lanes["hub2"] || lanes["alone"] != lanes["smaller"] || lanes["hub"] == lanes["other"] || lanes["meta"] == lanes["meta2"] {
		t.Error("budgets are shared by the wrong destinations")
	}
	cfg := config.Account{Kind: "hubspot"}
	if account, headroom := b.fetch(cfg, "hubspot"); account != lanes["hub"] || headroom == nil {
		t.Error("fetch has a budget of its own")
	}
	for name, want := range map[string]map[string]int{
		"hub":   {"ten_seconds": 95, "day": 2500, "search_second": 2, "events_second": 625},
		"other": {"ten_seconds": 250, "search_second": 5, "events_second": 1250},
		"alone": {"ten_seconds": 50, "day": 125_000, "search_second": 2, "events_second": 625},
		"meta":  {"second": 10},
		"meta2": {"second": 10},
	} {
		got := lanes[name].Headroom()
		for limit, n := range want {
			if got[limit] != n {
				t.Errorf("%s, %s: room for %d, want %d", name, limit, got[limit], n)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has limits %v, want %v", name, got, want)
		}
	}
}

// A limit that is used up is told, with the time at which it comes back.
func TestAUsedUpDayIsDegraded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10 * time.Hour) // of the first day of 2000, UTC
		b, lanes := budgetsOf(t, `
accounts:
  hubspot: {kind: hubspot, time_zone: America/New_York}
destinations:
  hub: {kind: hubspot, mode: dry_run}
`)
		if got := b.degraded(); len(got) != 0 {
			t.Errorf("degraded: %v", got)
		}
		lanes["hub"].Refused("", "day", 0)
		want := `budget hubspot/hubspot: the vendor's limit "day" is used up; what it counts waits until 2000-01-02T05:00:05Z`
		if got := b.degraded(); !slices.Equal(got, []string{want}) {
			t.Errorf("degraded: %v", got)
		}
		time.Sleep(19*time.Hour + 5*time.Second)
		if got := b.degraded(); len(got) != 0 {
			t.Errorf("degraded: %v", got)
		}
	})
}

// Every tier that the configuration takes is one that the adapter knows.
func TestEveryTier(t *testing.T) {
	for _, tier := range strings.Fields("free starter professional enterprise oauth") {
		budgetsOf(t, "accounts: {hubspot: {kind: hubspot, tier: "+tier+", time_zone: Asia/Tokyo, requests_per_10s: 1000, requests_per_day: 10000000}}\n")
	}
	var node yaml.Node
	if err := yaml.Unmarshal([]byte("{tier: platinum}"), &node); err != nil {
		t.Fatal(err)
	}
	kind, _ := catalog.Kind("hubspot")
	if _, problems := kind.New(&node); len(problems) != 1 {
		t.Errorf("an unknown tier: %v", problems)
	}
}
