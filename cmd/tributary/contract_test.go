package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/internal/config"
	"tributary/mappings"
)

const linkedIn202511 = `
destinations:
  linkedin: {kind: linkedin, mode: MODE, settings: {version: "202511", rules: {mql: 1}}}
`

// LinkedIn 202511 stops answering on 2026-11-16 (sheet §2).
var endOf202511 = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

func checkedAt(t *testing.T, mode string, now time.Time) (text string, failed bool) {
	t.Helper()
	cfg, err := config.Parse("t.yaml", []byte(strings.ReplaceAll(linkedIn202511, "MODE", mode)), catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	m, problems := mappings.Compile(mappings.Default())
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	var out bytes.Buffer
	k := checker{w: &out}
	k.destinations(cfg, m, now)
	return out.String(), k.failed
}

// The check is silent long before the end of an API version, warns from 60 days before
// it, and fails from its day on.
func TestCheckOnBothSidesOfAVersionsEnd(t *testing.T) {
	const dayLong = 24 * time.Hour
	for _, c := range []struct {
		name  string
		at    time.Time
		mark  string
		words string
	}{
		{"61 days before", endOf202511.Add(-61 * dayLong), "", ""},
		{"a moment before 60 days", endOf202511.Add(-60*dayLong - 1), "", ""},
		{"60 days before", endOf202511.Add(-60 * dayLong), "warn", "ends on 2026-11-16, in 60 days: set a later one in its settings: 202609 (until 2027-09-15)"},
		{"the last moment", endOf202511.Add(-1), "warn", "ends on 2026-11-16, in 0 days"},
		{"its end", endOf202511, "error", "ended on 2026-11-16: set a later one"},
		{"a year later", endOf202511.Add(365 * dayLong), "error", "ended on 2026-11-16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text, failed := checkedAt(t, "live, token: env:LINKEDIN", c.at)
			var lines []string
			for line := range strings.Lines(text) {
				if strings.Contains(line, "API version 202511 end") {
					lines = append(lines, line)
				}
			}
			if c.mark == "" {
				if len(lines) > 0 || failed {
					t.Errorf("failed %v:\n%s", failed, text)
				}
				return
			}
			if len(lines) != 1 || !strings.HasPrefix(lines[0], c.mark+" ") || !strings.Contains(lines[0], c.words) || failed != (c.mark == "error") {
				t.Errorf("failed %v, want %s with %q:\n%s", failed, c.mark, c.words, text)
			}
		})
	}
	if text, failed := checkedAt(t, "disabled", endOf202511); failed || !strings.Contains(text, "warn ") {
		t.Errorf("what is disabled fails nothing:\n%s", text)
	}
}

// The router's clock says the same: the metric passes zero at the end.
func TestVersionStandingByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := destinations.Contract{APIVersion: "7", VersionEnds: time.Now().Add(61 * 24 * time.Hour)}
		var marks []string
		for range 63 {
			mark, _ := versionStanding(c, destinations.Table{}, time.Now())
			if len(marks) == 0 || marks[len(marks)-1] != mark {
				marks = append(marks, mark)
			}
			time.Sleep(24 * time.Hour)
		}
		if got := strings.Join(marks, ","); got != ",warn,error" {
			t.Errorf("marks %q", got)
		}
		if mark, _ := versionStanding(destinations.Contract{}, destinations.Table{}, time.Now()); mark != "" {
			t.Error("a version without an end has no standing")
		}
	})
}

// Every kind's table is filled, and the version that a destination uses unless told
// otherwise stands in it with the same end.
func TestEveryKindHasATable(t *testing.T) {
	for _, k := range catalog.Kinds() {
		if k.Table.Vendor == "" || len(k.Table.Facts) == 0 {
			t.Errorf("%s has no table", k.Name)
		}
		for _, f := range k.Table.Facts {
			if f.Name == "" || f.Value == "" || f.Source == "" || !strings.Contains(" doc seen assumed open ours ", " "+f.Mark+" ") {
				t.Errorf("%s: %+v lacks a name, a value, a source or a mark", k.Name, f)
			}
		}
	}
}

func TestContractCommand(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"destinations", "contract", "linkedin"}, nil, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"linkedin: LinkedIn", "version 202511", "2026-11-16"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	out.Reset()
	if err := run(t.Context(), []string{"destinations", "contract", "--json"}, nil, &out, &out); err != nil {
		t.Fatal(err)
	}
	var all []contractTable
	if err := json.Unmarshal(out.Bytes(), &all); err != nil || len(all) != len(catalog.Kinds()) {
		t.Errorf("%v: %d tables", err, len(all))
	}
	err := run(t.Context(), []string{"destinations", "contract", "linkedn"}, nil, &out, &out)
	if err == nil || !strings.Contains(err.Error(), `did you mean "linkedin"`) || exitCode(err, &out) != 2 {
		t.Errorf("%v", err)
	}
}

// The example with many accounts: each destination has its own credential, or the one
// that another shares; its own budget unless they are one vendor account's; its own lines.
func TestManyAccountsOfOneVendor(t *testing.T) {
	cfg, err := config.Load(filepath.Join("..", "..", "deploy", "examples", "many-accounts.yaml"), catalog.Kinds())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LINKEDIN_REFRESH_TOKEN", "refresh-linkedin")
	kinds := map[string]destinations.Kind{}
	for _, k := range catalog.Kinds() {
		kinds[k.Name] = k
	}
	b, err := openBudgets(cfg, kinds, nil)
	if err != nil {
		t.Fatal(err)
	}
	budgets := map[string]string{}
	for name, d := range cfg.Destinations {
		section := d.Settings
		dest, problems := kinds[d.Kind].New(settingsNode(&section))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		account := b.of(d.Kind, name, dest).Name()
		if other := budgets[account]; other != "" {
			t.Errorf("%s and %s share the budget %s", name, other, account)
		}
		budgets[account] = name
	}
	if budgets["hubspot/hubspot_eu"] != "hubspot_eu" || budgets["hubspot/hubspot_us"] != "hubspot_us" {
		t.Errorf("budgets %v", budgets)
	}

	// A mapping's own section of a destination is used, else its kind's.
	m, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte(`version: 1
vocabulary: [lead_captured, qualified_lead]
destinations:
  meta:
    lead_captured: {event: Lead}
    qualified_lead: {event: QualifiedLead}
  meta_enterprise:
    qualified_lead: {event: EnterpriseLead}
`)})
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	if got := routesOf(m, "meta_enterprise", "meta")["qualified_lead"].Event; got != "EnterpriseLead" {
		t.Errorf("meta_enterprise sends %q", got)
	}
	if got := routesOf(m, "meta_selfserve", "meta")["qualified_lead"].Event; got != "QualifiedLead" {
		t.Errorf("meta_selfserve sends %q", got)
	}
}
