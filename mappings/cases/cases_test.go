package cases

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/canonical"
	"tributary/mappings"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata")

// Each file under testdata/bad holds the mistake it is named after; .want holds what Read
// says of it.
func TestMistakesAreFoundInTheirPlace(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.test.yaml")
	if len(files) < 15 {
		t.Fatalf("only %d files under testdata/bad", len(files))
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s, problems := Read(mappings.File{Name: filepath.Base(path), Text: text})
		if s != nil || len(problems) == 0 {
			t.Errorf("%s was read", path)
		}
		got := ""
		for _, p := range problems {
			got += p.String() + "\n"
		}
		wanted := strings.TrimSuffix(path, Suffix) + ".want"
		if *update {
			if err := os.WriteFile(wanted, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wanted)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got:\n%swant:\n%s", path, got, want)
		}
	}
}

const one = `# a comment on top
now: 2026-04-23T12:00:00Z
cases:
  - name: a lead # what it is about
    given:
      body: { contact: { id: "1", email: ada@example.com }, event: x, n: 1.50, at: 2026-04-23T11:04:19Z }
    expect:
      # the name
      event: lead_captured
      quarantined: ~
      destinations:
        meta: { body: { event_name: Lead, custom_data: { value: 36000.0 } } }
        linkedin: not_mapped
        hubspot:
          parts: { properties: sent, timeline: { body: { text: "a: b" } } }
      nowhere: [100]

  # the next one
  - name: nothing is expected yet
    given: { way: pixel, body: { url: "https://example.com/" } }
  - name: the last
    given: { way: events, source: shop, body: '{"event":"x"}' }
    expect: { fate: facts_only }
`

func read(t *testing.T, text string) *Suite {
	t.Helper()
	s, problems := Read(mappings.File{Name: "a.test.yaml", Text: []byte(text)})
	if s == nil {
		t.Fatalf("%v", problems)
	}
	return s
}

func outcome(name, reason, body string) Outcome {
	return Outcome{Fate: canonical.FateEvent, Event: &canonical.Event{Name: name, ID: "e1"}, Destinations: []Result{
		{"meta", []Part{{Name: "event", Sent: body != "", Reason: reason, Body: []byte(body)}}},
		{"linkedin", []Part{{Reason: "not_mapped"}}},
		{"hubspot", []Part{{Name: "properties", Sent: true, Body: []byte(`{"email":"x"}`)}, {Name: "timeline", Sent: true, Body: []byte(`{"text":"a: b","more":[1]}`)}}},
	}}
}

func TestInputs(t *testing.T) {
	s := read(t, one)
	rc := s.Cases[0].Given.Receipt
	if got, want := string(rc.Body), `{"contact":{"id":"1","email":"ada@example.com"},"event":"x","n":1.50,"at":"2026-04-23T11:04:19Z"}`; got != want {
		t.Errorf("the body is\n%s\nwant\n%s", got, want)
	}
	if rc.Way != canonical.WayCRM || rc.Source != "hubspot" || !rc.ReceivedAt.Equal(s.Cases[0].Now) {
		t.Errorf("%+v", rc)
	}
	if rc := s.Cases[1].Given.Receipt; !rc.Browser || rc.Source != "web" {
		t.Errorf("a pixel's input: %+v", rc)
	}
	if rc := s.Cases[2].Given.Receipt; string(rc.Body) != `{"event":"x"}` || rc.Source != "shop" {
		t.Errorf("a text of JSON: %+v", rc)
	}
}

func TestJudge(t *testing.T) {
	c := read(t, one).Cases[0]
	good := `{"event_name":"Lead","custom_data":{"value":36000,"currency":"USD"},"other":1}`
	for name, tt := range map[string]struct {
		outcome Outcome
		ok      bool
		shows   []string // of diff and says
	}{
		"it holds":               {outcome("lead_captured", "", good), true, nil},
		"another name":           {outcome("qualified_lead", "", good), false, []string{"-event: lead_captured\n+event: qualified_lead\n"}},
		"not sent":               {outcome("lead_captured", "recycled", ""), false, []string{"+  meta: recycled\n"}},
		"another value":          {outcome("lead_captured", "", strings.Replace(good, "36000", "36001", 1)), false, []string{"+  meta: {body: {event_name: Lead, custom_data: {value: 36001}}}"}},
		"the value is not there": {outcome("lead_captured", "", `{"event_name":"Lead","custom_data":{}}`), false, []string{"+  meta: {body: {event_name: Lead, custom_data: {}}}"}},
		"what must be nowhere":   {outcome("lead_captured", "", strings.Replace(good, `"other":1`, `"other":"worth 100.00 USD"`, 1)), false, []string{"100 stands in what meta is sent"}},
	} {
		v, err := c.Judge(tt.outcome)
		if err != nil {
			t.Fatal(err)
		}
		if v.OK != tt.ok || v.OK != (v.Diff == "" && len(v.Says) == 0) {
			t.Errorf("%s: ok %t, diff\n%s%v", name, v.OK, v.Diff, v.Says)
		}
		for _, s := range tt.shows {
			if !strings.Contains(v.Diff+strings.Join(v.Says, "\n"), s) {
				t.Errorf("%s: the diff does not show %q:\n%s%v", name, s, v.Diff, v.Says)
			}
		}
	}
}

// What is rewritten holds; everything else of the file stands as it was.
// A short text that stands for an endless one is read to its end, or refused.
func TestReadIsBounded(t *testing.T) {
	const head = "now: 2026-04-23T12:00:00Z\ncases:\n  - name: x\n    expect: { event: a }\n    given:\n"
	merges := head + "      x: &a0 { k: v }\n"
	for i := range 8 {
		merges += fmt.Sprintf("      x%d: &a%d { <<: [%s*a%d] }\n", i, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 40), i)
	}
	for name, text := range map[string]string{
		"merges within merges": merges + "      body: *a8\n",
		"a body in itself":     head + "      body: &b { event: a, x: *b, y: *b }\n",
		"cases in themselves":  "cases: &c [*c]\n",
	} {
		if s, problems := Read(mappings.File{Name: "x.test.yaml", Text: []byte(text)}); s != nil || len(problems) == 0 {
			t.Errorf("%s: read with %v", name, problems)
		}
	}
}

func TestUpdate(t *testing.T) {
	s := read(t, one)
	outcomes := []Outcome{
		outcome("qualified_lead", "", `{"event_name":"QualifiedLead","custom_data":{"value":36000,"currency":"USD"}}`),
		outcome("page_viewed", "not_mapped", ""),
		{Fate: canonical.FateFacts},
	}
	verdicts := map[int]Verdict{}
	for i, c := range s.Cases {
		v, err := c.Judge(outcomes[i])
		if err != nil {
			t.Fatal(err)
		}
		verdicts[i] = v
	}
	text := string(s.Update(verdicts))
	for _, kept := range []string{
		"# a comment on top\n", "  - name: a lead # what it is about\n", "      # the name\n", "      event: qualified_lead\n", "event_name: QualifiedLead, custom_data: {value: 36000.0}",
		"      nowhere: [100]\n\n  # the next one\n", "    expect: { fate: facts_only }\n",
		"    given: { way: pixel, body: { url: \"https://example.com/\" } }\n    expect:\n      event: page_viewed\n      id: e1\n      destinations:\n",
	} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is not in\n%s", kept, text)
		}
	}
	again := read(t, text)
	for i, c := range again.Cases {
		if v, err := c.Judge(outcomes[i]); err != nil || !v.OK {
			t.Errorf("case %d does not hold after an update: %v\n%s%v", i, err, v.Diff, v.Says)
		}
	}
	if got := string(again.Update(map[int]Verdict{0: {OK: true}})); got != text {
		t.Errorf("an update of what holds changed\n%s", got)
	}
}

func TestGuessWay(t *testing.T) {
	for body, want := range map[string]canonical.Way{
		`{"subscriptionType":"deal.propertyChange","objectId":1}`: canonical.WayHubSpot,
		`{"event_name":"Lead","action_source":"website"}`:         canonical.WayMeta,
		`{"source":"hubspot","contact":{}}`:                       canonical.WayCRM,
		`{"event":"deal.stage_changed","custom_data":{}}`:         canonical.WayEvents,
		`{"anonymous_id":"a","event":"page_view"}`:                canonical.WayPixel,
		`{"order":1}`: "", `[1]`: "",
	} {
		if got := GuessWay([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(one)
	f.Add("cases:\n- name: a\n  now: 2026-04-23T12:00:00Z\n  given: {body: &b {a: *b}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, _ := Read(mappings.File{Name: "a.test.yaml", Text: []byte(text)})
		if s == nil {
			return
		}
		verdicts := map[int]Verdict{}
		for i, c := range s.Cases {
			v, err := c.Judge(outcome("lead_captured", "", `{"value":1}`))
			if err != nil {
				t.Fatal(err)
			}
			verdicts[i] = v
		}
		s.Update(verdicts)
	})
}
