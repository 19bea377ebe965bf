package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/destinations/simulator"
)

// TestSetupMakesRules runs the command as an operator does: dry, with --apply, and again with
// the numbers that it printed.
func TestSetupMakesRules(t *testing.T) {
	sim, err := simulator.New(simulator.Options{LinkedIn: simulator.LinkedInAccount{
		Token: "t-1", Rules: []simulator.Rule{{ID: "77", Name: "lead", Account: "urn:li:sponsoredAccount:5"}}, Campaigns: []simulator.Campaign{{ID: "11", Account: "5"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "tributary.yaml")
	configure := func(token, rules string) {
		t.Helper()
		for path, text := range map[string]string{
			filepath.Join(dir, "token"): token,
			file: fmt.Sprintf(`
mapping: [mapping.yaml]
destinations:
  ads: {kind: linkedin, mode: dry_run, base_url: %q, allow_private: true, token: "file:token", settings: {ad_account: 5, rules: %s, arrange: {campaigns: [11]}}}
  hook: {kind: webhook, mode: dry_run, settings: {url: "http://127.0.0.1:1/"}}
`, server.URL, rules),
			filepath.Join(dir, "mapping.yaml"): `
version: 1
vocabulary: [lead_captured, customer_won]
sources:
  hubspot:
    lifecycle: {lead: lead_captured, customer: customer_won}
destinations:
  linkedin:
    lead_captured: {rule: lead}
    customer_won: {rule: closed_won, value: amount}
`,
		} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	setup := func(args ...string) (string, int) {
		t.Helper()
		var out, said bytes.Buffer
		err := run(t.Context(), slices.Concat([]string{"destinations", "setup", "-c", file}, args), nil, &out, &said)
		code := exitCode(err, &said)
		return out.String() + said.String(), code
	}

	configure("t-1", "{lead: 77}")
	out, code := setup("ads")
	if want := "to do  attach rule lead (77) to campaign 11"; code != 1 || !strings.Contains(out, want) || !strings.Contains(out, `create rule closed_won: "Tributary closed_won", PURCHASE, DYNAMIC`) {
		t.Errorf("dry: %d\n%s", code, out)
	}
	if n := sim.Stats(simulator.LinkedIn).Requests; n != 1 {
		t.Errorf("a dry run made %d requests", n)
	}
	out, code = setup("ads", "--apply", "--json")
	var told struct {
		Destination string
		Applied     bool
		Steps       []struct {
			What, Note string
			Done       bool
		}
	}
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != 0 || !told.Applied || len(told.Steps) != 3 {
		t.Fatalf("applied: %d, %v\n%s", code, err, out)
	}
	if !slices.ContainsFunc(told.Steps, func(s struct {
		What, Note string
		Done       bool
	}) bool {
		return s.Note == "put into settings.rules: closed_won: 18423000"
	}) {
		t.Errorf("the number is not told:\n%s", out)
	}
	if out, code = setup("ads", "--apply"); code != 0 || strings.Contains(out, "to do") || !strings.Contains(out, "rule closed_won is there") {
		t.Errorf("again, not configured: %d\n%s", code, out)
	}
	configure("t-1", "{lead: 77, closed_won: 18423000}")
	if out, code = setup("ads"); code != 0 || out != "destination ads: nothing to do\n" {
		t.Errorf("again, configured: %d\n%s", code, out)
	}

	configure("wrong", "{}")
	if _, code = setup("ads"); code != 1 {
		t.Errorf("a wrong token: %d", code)
	}
	for _, name := range []string{"hook", "adds"} {
		if out, code = setup(name); code != 2 {
			t.Errorf("setup of %s: %d\n%s", name, code, out)
		}
	}
}
