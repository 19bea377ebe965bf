package hubspotcrm_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical/wire"
	"tributary/destinations/simulator"
	"tributary/internal/budget"
	"tributary/internal/hubspotcrm"
	"tributary/internal/pipeline"
)

// TestThePageOfFetchIsTrue holds docs/hubspot-fetch.md to what is asked for: the properties of every
// type, which of them are set back, the metrics, the kinds of reads, the sizes and the shares.
func TestThePageOfFetchIsTrue(t *testing.T) {
	b, err := os.ReadFile("../../docs/hubspot-fetch.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	says := func(text string) {
		t.Helper()
		if !strings.Contains(page, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
	quoted := func(names []string) string { return "`" + strings.Join(names, "` `") + "`" }
	for _, object := range []string{"contact", "company", "deal"} {
		says("| " + object + " | " + quoted(wire.Properties(object)) + " |")
	}
	says("\n" + quoted(wire.Dated("deal")) + ", and what the mapping reads besides")
	if hubspotcrm.BatchSize != 100 || hubspotcrm.HistorySize != 50 || budget.Default != (budget.Shares{0.5, 0.4, 0.1}) {
		t.Error("the sizes or shares are not those of the page")
	}

	// Everything that reads is asked for once, of an account where somebody was merged and somebody deleted.
	a := newAccount(t, simulator.HubSpotAccount{Owners: []int64{1}}).serve()
	r := prometheus.NewRegistry()
	a.Client.Account, a.Metrics = "hubspot", hubspotcrm.NewMetrics(r)
	a.Budget = budget.New("hubspot/hubspot", nil, budget.Options{Metrics: budget.NewMetrics(r)})
	pipeline.NewMetrics(r)
	one, two, gone := a.contact(1), a.contact(2), a.contact(3)
	if _, err := a.Merge(simulator.Merger{Primary: number(t, one), Merge: number(t, two)}); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete("contact", number(t, gone), false, simulator.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err = a.Read(t.Context(), "contact", []string{one, two, gone, "7"})
	for _, read := range []func() error{
		func() error { _, _, err := a.Associated(t.Context(), "contact", []string{one}, "company"); return err },
		func() error { _, err := a.Pipelines(t.Context(), "deal"); return err },
		func() error { _, err := a.Definitions(t.Context(), "deal"); return err },
		func() error { _, err := a.Owners(t.Context()); return err },
	} {
		if err == nil {
			err = read()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "read" {
					kinds[l.GetValue()] = true
				}
			}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		name, _, typed := strings.Cut(kind, ".")
		if typed {
			name += ".<type>"
		}
		says("`" + name)
	}
	if want := []string{"archived.contact", "associations.contact.company", "object.contact", "objects.contact", "owners", "pipelines.deal", "properties.deal"}; !slices.Equal(slices.Sorted(maps.Keys(kinds)), want) {
		t.Errorf("reads of the kinds %v, want %v", slices.Sorted(maps.Keys(kinds)), want)
	}
	described := make(chan *prometheus.Desc, 100)
	r.Describe(described)
	close(described)
	known := ""
	for d := range described {
		known += d.String()
	}
	for line := range strings.Lines(page) {
		if name, ok := strings.CutPrefix(line, "| `tributary_"); ok {
			name, _, _ = strings.Cut(name, "`")
			if !strings.Contains(known, fmt.Sprintf("%q", "tributary_"+name)) {
				t.Errorf("there is no metric tributary_%s", name)
			}
		}
	}
}
