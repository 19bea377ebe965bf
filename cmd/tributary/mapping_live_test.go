package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/config"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

const onlyMeta = `
  meta: {kind: meta, mode: live, base_url: "VENDORS", allow_private: true, token: "file:meta.token", settings: {dataset_id: "111222333", linger: 0s}}
`

// withMapping is a system whose only destination is Meta and whose mapping is a file.
func withMapping(t *testing.T, text string) *system {
	t.Helper()
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/m.yaml]", Destinations: onlyMeta})
	path := filepath.Join(s.dir, "tributary.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s.write("tributary.yaml", strings.ReplaceAll(string(b), "VENDORS", s.vendors.URL))
	s.write("mappings/m.yaml", text)
	return s
}

// write writes a file of the system's folder as editors do: beside it, then in its place.
func (s *system) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		s.t.Fatal(err)
	}
}

func defaultWith(t *testing.T, changes ...string) string {
	t.Helper()
	text := string(mappings.Default().Text)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("the default mapping holds no %q", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text
}

func (s *system) live() mappingStanding {
	s.t.Helper()
	var v mappingStanding
	if status, answer := s.request(http.MethodGet, "/v1/mapping", nil, nil); status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		s.t.Fatalf("GET /v1/mapping: %d %s", status, answer)
	}
	return v
}

// becomes waits until the mapping stands as is wanted.
func (s *system) becomes(what string, good func(mappingStanding) bool) mappingStanding {
	s.t.Helper()
	var v mappingStanding
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v = s.live(); good(v) {
			return v
		}
	}
	s.t.Fatalf("%s: the mapping stands as %+v\n%s", what, v, s.err)
	return v
}

func (s *system) text(path string) string {
	s.t.Helper()
	_, b := s.request(http.MethodGet, path, nil, nil)
	return string(b)
}

func (s *system) lead(contact int, stage string) {
	s.t.Helper()
	s.send("/v1/ingest/crm", fmt.Sprintf(`{"event":"lifecycle_changed","changed_at":%q,"contact":{"id":"%d","email":"p%d@firm.example","lifecycle_stage":%q}}`,
		canonical.FormatTime(time.Now().UTC().Truncate(time.Second)), contact, contact, stage))
}

// Cases that go away while they are judged are a change that is still to be loaded.
func TestCasesThatGoDuringALoadAreAChange(t *testing.T) {
	dir := t.TempDir()
	l := &liveMapping{r: &router{cfg: config.Config{Mapping: []string{filepath.Join(dir, "m.yaml")}}}}
	for _, name := range []string{"m.yaml", "m.test.yaml"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := l.print(nil)
	if taken := l.taken(seen); !maps.Equal(taken, l.print(nil)) {
		t.Errorf("nothing has changed, and what was taken is not what is there: %d and %d files", len(taken), len(l.print(nil)))
	}
	if err := os.Remove(filepath.Join(dir, "m.test.yaml")); err != nil {
		t.Fatal(err)
	}
	if maps.Equal(l.taken(seen), l.print(nil)) {
		t.Error("the cases are gone, and nobody would look again")
	}
}

// A changed file is loaded while the router runs; a bad one is not, the last good one stays and
// everything says so, until a good one is there.
func TestMappingIsReloaded(t *testing.T) {
	t.Parallel()
	needEngine(t)
	s := withMapping(t, defaultWith(t))
	s.start()
	first := s.live()
	if first.By != "start" || len(first.Files) != 1 || first.Refused != nil {
		t.Errorf("at the start it stands as %+v", first)
	}
	s.lead(1, "lead")

	// A file with a mistake is refused, by name and place.
	s.write("mappings/m.yaml", defaultWith(t, "lead: lead_captured", "lead: lead_capturd"))
	v := s.becomes("a mistake", func(v mappingStanding) bool { return v.Refused != nil })
	if v.Version != first.Version || v.Refused.By != "file" || !strings.Contains(v.Refused.Error(), `"lead_capturd" is not in the vocabulary`) {
		t.Errorf("a mistake left it as %+v", v)
	}
	if ready := s.text("/readyz"); !strings.Contains(ready, `"ok":true`) || !strings.Contains(ready, "mapping: the changed files are not taken") {
		t.Errorf("readiness: %s", ready)
	}
	if m := s.text("/metrics"); !strings.Contains(m, `tributary_degraded{part="mapping"} 1`) || !strings.Contains(m, `tributary_mapping_loads_total{result="refused"} 1`) {
		t.Error("the metrics do not show a refused mapping")
	}
	if !strings.Contains(s.err.String(), "mapping refused; the one before stays live") {
		t.Error("the log does not show a refused mapping")
	}
	s.lead(2, "lead")
	status, answer := s.post("/v1/mapping/reload", nil, nil)
	if status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), `"bad_mapping"`) || !strings.Contains(string(answer), "lead_capturd") {
		t.Errorf("reload of a bad mapping: %d %s", status, answer)
	}

	// So is one whose cases do not hold.
	s.write("mappings/m.yaml", defaultWith(t, "lead: lead_captured", "lead: qualified_lead"))
	s.write("mappings/m.test.yaml", `
mapping: m.yaml
now: 2026-04-23T12:00:00Z
cases:
  - name: a lead is a lead
    given: { body: { event: lifecycle_changed, changed_at: 2026-04-23T11:00:00Z, contact: { id: "1", lifecycle_stage: lead } } }
    expect: { event: lead_captured }
`)
	s.becomes("a case that does not hold", func(v mappingStanding) bool {
		return v.Refused != nil && strings.Contains(v.Refused.Error(), "m.test.yaml:5:1: case \"a lead is a lead\" does not hold")
	})
	if err := os.Remove(filepath.Join(s.dir, "mappings/m.test.yaml")); err != nil {
		t.Fatal(err)
	}

	// With neither it is live, and ready says nothing any more.
	second := s.becomes("a good one", func(v mappingStanding) bool { return v.Version != first.Version })
	if second.Refused != nil || second.By != "file" || strings.Contains(s.text("/readyz"), "mapping") {
		t.Errorf("a good one left it as %+v, %s", second, s.text("/readyz"))
	}
	s.lead(3, "lead")
	s.settle()
	if got := s.got(simulator.Meta); got["Lead"] != 2 || got["QualifiedLead"] != 1 {
		t.Errorf("Meta got %v", got)
	}

	// By signal; and by an operator's call, which needs the scope.
	s.write("mappings/m.yaml", defaultWith(t, "lead: lead_captured", "lead: sales_qualified_lead"))
	s.signal(syscall.SIGHUP)
	s.becomes("a signal", func(v mappingStanding) bool { return v.Version != second.Version && v.By == "signal" })
	s.write("mappings/m.yaml", defaultWith(t))
	status, answer = s.post("/v1/mapping/reload", nil, nil)
	if status != http.StatusOK || !strings.Contains(string(answer), first.Version) {
		t.Errorf("reload: %d %s", status, answer)
	}
	if v := s.live(); v.Version != first.Version || v.By != "test" {
		t.Errorf("after a call it stands as %+v", v)
	}

	// Every version's text is kept, and its events name it.
	s.recorded("SELECT mapping_version, by, before FROM mapping_versions ORDER BY live_at LIMIT 2", first.Version+" start \n"+second.Version+" file "+first.Version)
	s.recorded("SELECT name, mapping_version FROM events WHERE object_id = '3'", "qualified_lead "+second.Version)
	s.recorded("SELECT meaning, count() FROM v_stage_history WHERE name != 'crm_stage_changed' GROUP BY meaning", "lead 3")
	if rows := s.query("SELECT file_texts[1] FROM mapping_versions WHERE mapping_version = '" + second.Version + "'"); len(rows) != 1 || !strings.Contains(rows[0][0], "lead: qualified_lead") {
		t.Errorf("the text of %s is kept as %v", second.Version, rows)
	}

	// What the other mapping would have done, by the version that was live.
	result, err := s.client().diff(t.Context(), diffRequest{Old: mappingName{Version: "live"}, New: mappingName{Version: second.Version[:12]}, Since: time.Now().Add(-time.Hour)}, func(pipeline.DiffProgress) {})
	if err != nil {
		t.Fatal(err)
	}
	if result.Receipts != 3 || result.Empty || len(result.Rows) != 2 || result.Rows[0].NoLonger != 3 || result.Rows[1].Newly != 3 {
		t.Errorf("the comparison is %+v", result)
	}
	if _, err := s.client().diff(t.Context(), diffRequest{Old: mappingName{Version: "live"}, New: mappingName{Version: "sha256:000000000000"}, Since: time.Now()}, nil); err == nil || !strings.Contains(err.Error(), "was live here") {
		t.Errorf("a version that never was: %v", err)
	}
	bad := diffRequest{Old: mappingName{Version: "live"}, New: mappingName{Files: []canonical.MappingFile{{Name: "x.yaml", Text: "version: 2\n"}}}, Since: time.Now()}
	if _, err := s.client().diff(t.Context(), bad, nil); err == nil || !strings.Contains(err.Error(), "x.yaml:1:") {
		t.Errorf("a mapping with a mistake: %v", err)
	}

	// Which lines were used: across versions, by what they say.
	s.stop()
	s.start()
	var c coverage
	if err := s.client().call(t.Context(), http.MethodGet, "/v1/mapping/coverage?since=1d", nil, &c); err != nil {
		t.Fatal(err)
	}
	for _, rule := range c.Rules {
		want := 0
		if rule.Table == "lifecycle" && rule.Raw[0] == "lead" {
			want = 2 // the third was named by a line that there is no more
		}
		if rule.Events != want {
			t.Errorf("%+v; want %d events", rule, want)
		}
	}
	for _, line := range c.Lines {
		if want := map[string]int{"meta lead_captured": 2, "meta qualified_lead": 1}[line.Destination+" "+line.Name]; line.Events != want {
			t.Errorf("%+v; want %d delivered", line, want)
		}
	}
	if c.Elsewhere != 1 || c.Unread != 0 || len(c.Lines) == 0 {
		t.Errorf("%d named elsewhere, %d unread, %d lines", c.Elsewhere, c.Unread, len(c.Lines))
	}
}

// What an included file that is not there keeps from being live becomes so once it is. And what of
// a mapping holds only from the next start on is said until then.
func TestMappingWaits(t *testing.T) {
	t.Parallel()
	needEngine(t)
	s := newSystem(t, systemOptions{Config: "mapping: [mappings/m.yaml]"})
	s.write("mappings/m.yaml", defaultWith(t))
	s.start()
	first := s.live()
	s.write("mappings/m.yaml", defaultWith(t, "version: 1", "version: 1\ninclude: [more.yaml]"))
	s.becomes("an included file is missing", func(v mappingStanding) bool {
		return v.Refused != nil && strings.Contains(v.Refused.Error(), `mappings/more.yaml" cannot be read`)
	})
	s.write("mappings/more.yaml", "version: 1\nsources: { hubspot: { lifecycle: { trial: lead_captured } } }\n")
	second := s.becomes("it is there", func(v mappingStanding) bool { return v.Version != first.Version })
	if n := strings.Count(s.err.String(), "mapping refused"); second.Refused != nil || len(second.Files) != 2 || len(second.AtStart) != 0 || n != 1 {
		t.Errorf("it stands as %+v", second)
	}

	// Contact properties are those of the start; a line that only moved is none that differs.
	s.write("mappings/more.yaml", "version: 1\ncontact_properties: { prefix: ours_ }\n")
	third := s.becomes("another prefix", func(v mappingStanding) bool { return v.Version != second.Version })
	if len(third.AtStart) != 1 || !strings.Contains(s.text("/readyz"), "mapping: contact_properties have changed since the start") {
		t.Errorf("it stands as %+v, %s", third, s.text("/readyz"))
	}
	result, err := s.client().diff(t.Context(), diffRequest{Old: mappingName{Version: "live"}, New: mappingName{Version: first.Version}, Since: time.Now().Add(-time.Hour)}, nil)
	if err != nil || len(result.NotCompared) != 1 {
		t.Errorf("the comparison is %+v, %v", result, err)
	}
	s.stop()
	s.start()
	if v := s.live(); len(v.AtStart) != 0 || v.Version != third.Version || strings.Contains(s.text("/readyz"), "contact_properties") {
		t.Errorf("after a start it stands as %+v, %s", v, s.text("/readyz"))
	}
	s.write("mappings/more.yaml", "version: 1\n\n# moved\ncontact_properties: { prefix: ours_ }\n")
	if v := s.becomes("a moved line", func(v mappingStanding) bool { return v.Version != third.Version }); len(v.AtStart) != 0 {
		t.Errorf("a moved line: %+v", v)
	}
}

// What was told of a lead that went back was delivered by the line for that.
func TestCoverageOfStepsBack(t *testing.T) {
	t.Parallel()
	m, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte(`version: 1
vocabulary: [ { lead_captured: { recycle: report } }, { qualified_lead: { recycle: send } } ]
sources: { hubspot: { lifecycle: { lead: lead_captured, mql: qualified_lead } } }
destinations:
  meta:
    lead_captured: { event: Lead }
    qualified_lead: { event: MQL }
    lead_recycled: { event: Back }
`)})
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	var got []string
	for _, l := range usedLines(m, []warehouse.Counted{{Of: "ads", Name: "lead_captured", Events: 5}, {Of: "ads", Name: "lead_captured", Again: true, Events: 2}, {Of: "ads", Name: "qualified_lead", Again: true, Events: 1}}, map[string]string{"ads": "meta"}) {
		got = append(got, fmt.Sprintf("%s %d", l.Name, l.Events))
	}
	if want := "lead_captured 5, qualified_lead 1, lead_recycled 2"; strings.Join(got, ", ") != want {
		t.Errorf("lines were used as %v; want %s", got, want)
	}
}

// Rules that ignore and hold back are counted each by itself, also where they share a reason, and
// what no line of a mapping names is found by that mapping, whatever was live.
func TestMappingCoverage(t *testing.T) {
	t.Parallel()
	needEngine(t)
	rules := func(more string) string {
		return defaultWith(t, "version: 1", "version: 1"+more, "sources:\n", `sources:
  crm:
    ignore:
      - { when: 'email endsWith "@test.example"', reason: internal_test }
      - { when: 'email endsWith "@firm.example"', reason: internal_test }
      - { when: 'email endsWith "@nobody.example"', reason: internal_test }
    quarantine:
      - { when: 'email endsWith "@spam.example"', reason: bot }
      - { when: 'email endsWith "@bots.example"', reason: bot }
`)
	}
	s := withMapping(t, rules(""))
	s.start()
	first := s.live()
	post := func(contact int, domain, stage string) {
		s.send("/v1/ingest/crm", fmt.Sprintf(`{"event":"lifecycle_changed","changed_at":%q,"contact":{"id":"%d","email":"p%d@%s","lifecycle_stage":%q}}`,
			canonical.FormatTime(time.Now().UTC().Truncate(time.Second)), contact, contact, domain, stage))
	}
	post(1, "test.example", "lead")
	post(2, "firm.example", "lead")
	post(3, "firm.example", "lead")
	post(4, "spam.example", "lead")
	post(5, "other.example", "lead")
	post(6, "other.example", "our_own_stage")
	s.settle()
	s.write("mappings/m.yaml", rules("\n# a line more\n\n"))
	s.becomes("lines that moved", func(v mappingStanding) bool { return v.Version != first.Version })
	post(7, "bots.example", "lead")
	s.settle()
	s.recorded("SELECT count() FROM receipt_fates WHERE fate = 'quarantined'", "2")
	var c coverage
	if err := s.client().call(t.Context(), http.MethodGet, "/v1/mapping/coverage?since=1d", nil, &c); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rule := range c.Rules {
		if rule.Table == "ignore" || rule.Table == "quarantine" {
			got = append(got, fmt.Sprintf("%s %s %d", rule.Table, rule.Raw[0], rule.Events))
		}
	}
	if want := "ignore internal_test 1, ignore internal_test 2, ignore internal_test 0, quarantine bot 1, quarantine bot 1"; strings.Join(got, ", ") != want {
		t.Errorf("rules were counted as %s; want %s", strings.Join(got, ", "), want)
	}

	// The live mapping names lead; the one that is asked about does not.
	for text, want := range map[string]string{
		rules(""): `contact stage "our_own_stage" was reported once`,
		strings.Replace(rules(""), "      lead: lead_captured\n", "", 1):                                                                `contact stage "lead" was reported once`,
		strings.Replace(rules(""), "      lead: lead_captured\n", "      lead: lead_captured\n      our_own_stage: lead_captured\n", 1): "",
	} {
		s.write("next.yaml", text)
		said, code := s.shell("tributary mapping check --since 1d next.yaml")
		if code != 0 || !strings.Contains(said, want) || strings.Contains(said, "was reported") != (want != "") {
			t.Errorf("check --since ended with %d and says\n%swant %q", code, said, want)
		}
	}

	// An event's rule is shown by its text as it was when it named it, and so is what ignored it.
	rows := s.query("SELECT event_id FROM events WHERE object_id = '2'")
	said, code := s.shell("tributary mapping explain " + rows[0][0])
	if code != 0 || !strings.Contains(said, "\n              lead: lead_captured\n") || !strings.Contains(said, "ignored   internal_test\n              by ") {
		t.Errorf("explain ended with %d and says\n%s", code, said)
	}
}

func (s *system) client() *client { return &client{base: "http://" + s.address, key: s.key} }

// A recipe of ids changes in mid-stream, webhooks are sent again after the switch, and the
// router is killed across it: every fact is one event, and one conversion.
func TestRecipeChangedInMidStream(t *testing.T) {
	t.Parallel()
	needEngine(t)
	s := withMapping(t, defaultWith(t))
	s.start()
	from := time.Now().Add(8 * time.Second).UTC().Truncate(time.Second)
	s.write("mappings/m.yaml", defaultWith(t)+fmt.Sprintf("\nids:\n  - {event: \"*\", recipe: 2, parts: [object, object_id, stage, time], from: %s}\n", canonical.FormatTime(from)))
	first := s.live().Version
	s.becomes("a recipe to come", func(v mappingStanding) bool { return v.Version != first && v.Refused == nil })

	// Facts from before to after the switch, one each tenth of a second. Each is sent, and sent
	// again later in the same words, as a webhook is that got no answer.
	var bodies []string
	post := func(body string) {
		for {
			if status, _ := s.post("/v1/ingest/crm", []byte(body), nil); status/100 == 2 {
				return
			}
			time.Sleep(20 * time.Millisecond) // the router is down
		}
	}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for _, after := range []time.Duration{-300, 400, 1100} { // ms from the switch
			time.Sleep(time.Until(from.Add(after * time.Millisecond)))
			s.kill()
			s.start()
		}
	}()
	began := from.Add(-3 * time.Second)
	time.Sleep(time.Until(began))
	for i := range 60 {
		at := began.Add(time.Duration(i) * 100 * time.Millisecond)
		body := fmt.Sprintf(`{"event":"lifecycle_changed","changed_at":%q,"contact":{"id":"%d","email":"p%d@firm.example","lifecycle_stage":"lead"}}`,
			at.Format("2006-01-02T15:04:05.000Z"), 1000+i, 1000+i)
		bodies = append(bodies, body)
		time.Sleep(time.Until(at))
		post(body)
		if i >= 20 {
			post(bodies[i-20]) // two seconds late: across the switch
		}
	}
	<-killed
	for _, body := range bodies {
		post(body)
	}
	s.settle()
	s.recorded("SELECT count(), uniqExact(object_id), countIf(id_recipe = 1), countIf(id_recipe = 2) FROM events FINAL WHERE name = 'lead_captured'", "60 60 30 30")
	ids := map[string]int{}
	for _, r := range s.sim.Received(simulator.Meta) {
		ids[r.EventID]++
	}
	if len(ids) != 60 {
		t.Errorf("Meta was told of %d facts; want 60", len(ids))
	}

	// A recipe that begins in the past is none: what has an id would get another.
	s.write("mappings/m.yaml", defaultWith(t)+fmt.Sprintf("\nids:\n  - {event: \"*\", recipe: 3, parts: [object_id, stage, time], from: %s}\n", canonical.FormatTime(from)))
	v := s.becomes("a recipe in the past", func(v mappingStanding) bool { return v.Refused != nil })
	if !strings.Contains(v.Refused.Error(), "was not live before") {
		t.Errorf("refused for %v", v.Refused)
	}
	s.stop()
	if said, code := s.shell("tributary serve"); code != 2 || !strings.Contains(said, "was not live before") {
		t.Errorf("a start with it ended with %d: %s", code, said)
	}
}
