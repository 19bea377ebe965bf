package mappings

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected messages in testdata")

// Each file under testdata/bad holds the mistake it is named after; .want holds what
// Compile says of it, line by line.
func TestMistakesAreFoundInTheirPlace(t *testing.T) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	if len(files) < 60 {
		t.Fatalf("only %d files under testdata/bad", len(files))
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			m, got := compileFile(t, path)
			if m != nil || !Failed(got) {
				t.Errorf("the mapping was compiled: %v", got)
			}
			wantFile(t, strings.TrimSuffix(path, ".yaml")+".want", lines(got))
		})
	}
}

// The files under testdata/odd compile, with the warnings in .want.
func TestOddMappingsAreWarnedOf(t *testing.T) {
	files, _ := filepath.Glob("testdata/odd/*.yaml")
	if len(files) < 10 {
		t.Fatalf("only %d files under testdata/odd", len(files))
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			m, got := compileFile(t, path)
			if m == nil || Failed(got) {
				t.Errorf("the mapping was not compiled")
			}
			wantFile(t, strings.TrimSuffix(path, ".yaml")+".want", lines(got))
		})
	}
}

func compileFile(t *testing.T, path string) (*Mapping, []Problem) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Compile(File{Name: filepath.Base(path), Text: text})
}

func wantFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func lines(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

func TestDefaultCompilesWithoutAWord(t *testing.T) {
	m, problems := Compile(Default())
	if m == nil || len(problems) > 0 {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	want := "lead_captured qualified_lead sales_qualified_lead opportunity_created proposal_sent customer_won customer_expanded"
	if got := strings.Join(m.Vocabulary(), " "); got != want {
		t.Errorf("vocabulary %s, want %s", got, want)
	}
	if !regexp.MustCompile(`^sha256:[0-9a-f]{12}$`).MatchString(m.Version()) {
		t.Errorf("version %s", m.Version())
	}
	text := Default().Text
	text[0] = 'x'
	if bytes.Equal(text, Default().Text) {
		t.Error("a caller can change the default")
	}
}

// What the default shows behind # works as well once the # is taken away.
func TestCommentsOfTheDefaultCompile(t *testing.T) {
	text := string(Default().Text)
	for _, part := range []string{
		"    # ignore:\n    #   - when: email endsWith \"@example.com\"\n    #     reason: internal_test\n",
		"# counted_by:\n#   customer_won: contact\n",
		"# revenue:\n#   amount_means: arr\n",
	} {
		if !strings.Contains(text, part) {
			t.Fatalf("the default does not show:\n%s", part)
		}
		text = strings.Replace(text, part, strings.ReplaceAll(part, "# ", ""), 1)
	}
	m, problems := Compile(File{Name: "default.yaml", Text: []byte(text)})
	if m == nil {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	if got := m.CountedBy("customer_won"); got != "contact" {
		t.Errorf("customer_won is counted by %s", got)
	}
}

func TestVersionFollowsTheContent(t *testing.T) {
	a := mustCompile(t, "version: 1\nvocabulary: [lead_captured]\n")
	b := mustCompile(t, "version: 1\nvocabulary: [lead_captured]\n\n")
	if a.Version() == b.Version() {
		t.Error("two texts have one version")
	}
	renamed, _ := Compile(File{Name: "other.yaml", Text: []byte("version: 1\nvocabulary: [lead_captured]\n")})
	if renamed.Version() != a.Version() {
		t.Error("the file's name is part of the version")
	}
}

func TestSeveralFilesSpeakAsOne(t *testing.T) {
	names := File{Name: "names.yaml", Text: []byte("version: 1\nvocabulary: [lead_captured, customer_won]\n")}
	hubspot := File{Name: "hubspot.yaml", Text: []byte("version: 1\nsources:\n  hubspot:\n    lifecycle:\n      lead: lead_captured\n")}
	more := File{Name: "more.yaml", Text: []byte("version: 1\nsources:\n  hubspot:\n    lifecycle:\n      customer: customer_won\ndestinations:\n  meta:\n    \"lead_captured\": { event: Lead }\n    customer_won: { event: Purchase, value: arr, if_missing: hold }\n")}
	m, problems := Compile(names, hubspot, more)
	if m == nil || len(problems) > 0 {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	if got := m.sections["hubspot"].lifecycle["customer"].at; got != "more.yaml:5" {
		t.Errorf("rule at %s", got)
	}

	again := File{Name: "again.yaml", Text: []byte("version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    lifecycle:\n      Lead: customer_won\ndestinations:\n  meta:\n    lead_captured: { event: Lead }\n")}
	_, problems = Compile(names, hubspot, more, again)
	want := `again.yaml:2:1: the vocabulary stands at names.yaml:2 already; its order must be said in one place
again.yaml:6:7: "Lead" stands twice in sources.hubspot.lifecycle; it is at hubspot.yaml:5 already
again.yaml:9:5: "lead_captured" stands twice in destinations.meta; it is at more.yaml:8 already
`
	if got := lines(problems); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if m, problems := Compile(); m != nil || !Failed(problems) {
		t.Error("no files gave a mapping")
	}
	if m, problems := Compile(names, names); m != nil || !Failed(problems) {
		t.Error("one file given twice gave a mapping")
	}
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
x-shared:
  stages: &stages
    lead: lead_captured
    customer: lead_captured
  own: &own
    - when: domain == "example.com"
      reason: own_domain
sources:
  hubspot:
    lifecycle:
      <<: *stages
      customer: customer_won
    ignore: *own
  pixel:
    ignore: *own
`)
	table := m.sections["hubspot"].lifecycle
	if got := table["lead"]; got.name != "lead_captured" || got.at != "m.yaml:5" {
		t.Errorf("lead: %+v", got)
	}
	if got := table["customer"]; got.name != "customer_won" || got.at != "m.yaml:14" {
		t.Errorf("a line of its own does not win over a merged one: %+v", got)
	}
	if len(m.sections["pixel"].ignore) != 1 {
		t.Error("the anchor's rules are missing")
	}
}

// A short text that stands for a huge or endless one ends in a message.
func TestCompileIsBounded(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("version: 1\nvocabulary: [lead_captured]\nx-a:\n  - &a0 {")
	for i := range 400 {
		laughs.WriteString("k" + strings.Repeat("x", i%40) + string(rune('a'+i%26)) + ": lead_captured, ")
	}
	laughs.WriteString("z: lead_captured}\n")
	for i := range 7 {
		n := string(rune('0' + i))
		next := string(rune('1' + i))
		laughs.WriteString("  - &a" + next + " {<<: [" + strings.TrimSuffix(strings.Repeat("*a"+n+", ", 10), ", ") + "]}\n")
	}
	laughs.WriteString("sources:\n  hubspot:\n    lifecycle: *a7\n")
	for name, text := range map[string]string{
		"merges within merges": laughs.String(),
		"an anchor in itself":  "version: 1\nvocabulary: &v [*v]\n",
		"a merge of itself":    "version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    lifecycle: &l\n      <<: *l\n",
		"deep brackets":        strings.Repeat("[", 100_000),
		"keys within keys":     keysWithinKeys(60),
		"merges of nothing":    "version: 1\nvocabulary: [lead_captured]\nx-e: &e {}\nx-m: &m {<<: [" + strings.Repeat("*e,", 90_000) + "]}\nsources: {<<: [" + strings.Repeat("*m,", 90_000) + "]}\n",
		"a long list, shared": "version: 1\nvocabulary: [lead_captured]\nx-o: &o [" + strings.Repeat("a,", 100_000) + "]\ncontact_properties:\n  fields:\n" +
			numbered("    f%d: {type: enumeration, options: *o}\n", 9000),
		"a long list of words": "version: 1\nvocabulary: [lead_captured]\ndestinations:\n  meta:\n    lead_captured: {event: Lead, match: [" + numbered("k%d,", 100_000) + "]}\n",
		"a long list of parts": "version: 1\nvocabulary: [lead_captured]\nids: [{event: '*', recipe: 2, from: 2027-01-01, parts: [" + numbered("properties.k%d,", 50_000) + "]}]\n",
		"no name is right": "version: 1\nvocabulary:\n" + numbered("  - some_canonical_name_%d\n", 3000) + "sources:\n  hubspot:\n    lifecycle:\n" +
			numbered("      s%[1]d: sume_canonical_nome_x%[1]d\n", 3000),
		"too large":     "version: 1\n#" + strings.Repeat("x", maxFileBytes),
		"many mistakes": "version: 1\nvocabulary: [" + strings.Repeat("A, ", 5000) + "B]\n",
	} {
		m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)})
		if m != nil || len(problems) == 0 || len(problems) > maxProblems+1 {
			t.Errorf("%s: mapping %v, %d problems", name, m != nil, len(problems))
		}
	}
}

// keysWithinKeys is a text whose keys stand for twice as many at every step, and for themselves.
func keysWithinKeys(steps int) string {
	text := "version: 1\nvocabulary: [lead_captured]\nx-0: &a0\n  ? &own\n    ? *own\n    : 1\n  : 2\n"
	for i := 1; i < steps; i++ {
		text += fmt.Sprintf("x-%[1]d: &a%[1]d\n  ? *a%[2]d\n  : 1\n  ? *a%[2]d\n  : 2\n", i, i-1)
	}
	return text + fmt.Sprintf("sources:\n  ? *a%d\n  : 1\n", steps-1)
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// However much there is to say, warnings alone refuse nothing, a mistake behind them does, and
// the same is said twice.
func TestManyWarnings(t *testing.T) {
	text := "version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    lifecycle: { lead: lead_captured }\n    deals:\n      A:\n" + numbered("        s%d: crm_stage_changed\n", 2*maxProblems)
	m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)})
	if m == nil || len(problems) != maxProblems+1 || problems[maxProblems].Code != "too_many_problems" && problems[0].Code != "too_many_problems" {
		t.Errorf("mapping %v, %d problems, the last %+v", m != nil, len(problems), problems[len(problems)-1])
	}
	if _, again := Compile(File{Name: "m.yaml", Text: []byte(text)}); lines(again) != lines(problems) {
		t.Error("another time it says something else")
	}
	rules := numbered("      - { when: 'title == \"x\" and %d < 0', reason: never }\n", 2*maxProblems)
	text = "version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    ignore:\n" + numbered("      - { when: '%d < 0', reason: never }\n", 2*maxProblems) + "      - { when: email, reason: wrong }\n" + rules
	if m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)}); m != nil || !Failed(problems) {
		t.Errorf("a mistake behind %d warnings is lost", len(problems))
	}
}

// What is too much to be read is a mistake, wherever it stands; nothing is left out in silence.
func TestNoLineIsLost(t *testing.T) {
	text := "version: 1\nvocabulary: [lead_captured]\nother_names:\n" + numbered("  - n%d\n", 5000) + "x-l: &l\n" + numbered("  n%d: {}\n", 5000) + "destinations:\n"
	for _, destinations := range []int{3, 12, 13, 14, 15, 16, 30} {
		m, _ := Compile(File{Name: "m.yaml", Text: []byte(text + numbered("  hook%d: *l\n", destinations))})
		if m == nil {
			continue
		}
		for _, key := range m.DestinationKeys() {
			if got := len(m.Routes(key)); got != 5000 {
				t.Fatalf("%s of %d has %d lines", key, destinations, got)
			}
		}
	}
}

func TestNoAddressInAMessage(t *testing.T) {
	for _, text := range []string{
		"version: 1\nvocabulary: [jane.doe@example.com]\n",
		"version: 1\nvocabulary: [lead_captured]\njane.doe@example.com: 1\n",
		"version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    ignore:\n      - when: email === \"jane.doe@example.com\"\n        reason: x\n",
		"version: 1\nvocabulary: [lead_captured]\nsources:\n  hubspot:\n    ignore:\n      - when: \"'jane.doe@example.com'\"\n        reason: jane.doe@example.com\n",
		"version: 1\nvocabulary: [lead_captured]\ndestinations:\n  meta:\n    lead_captured: jane.doe@example.com\n",
	} {
		_, problems := Compile(File{Name: "m.yaml", Text: []byte(text)})
		if len(problems) == 0 {
			t.Errorf("no problem in:\n%s", text)
		}
		if got := lines(problems); strings.Contains(got, "jane") {
			t.Errorf("a message holds an address:\n%s", got)
		}
	}
}

func TestCheckConfigured(t *testing.T) {
	m := mustCompile(t, `version: 1
vocabulary: [lead_captured, customer_won]
sources:
  hubspot:
    lifecycle: { lead: lead_captured }
  emea_portal:
    lifecycle: { customer: customer_won }
  apac_portal: {}
destinations:
  meta:
    lead_captured: { event: Lead }
  meta_emea:
    customer_won: { rule: closed_won }
  linkdin:
    lead_captured: { rule: lead }
`)
	got := lines(m.CheckConfigured([]string{"emea_portal", "site"}, map[string]string{"meta": "meta", "meta_emea": "meta", "li": "linkedin"}, map[string]Vendor{"hubspot": {}, "linkedin": {}, "meta": {}, "webhook": {}}))
	want := `m.yaml:8:3: sources.apac_portal is no way in and no configured source
m.yaml:13:5: Meta takes an event name; a rule means nothing there (did you mean "event"?)
m.yaml:14:3: destinations.linkdin is no kind of destination and no configured one (did you mean "linkedin"?)
`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"lead_captured", "qualified_lead", "customer_won", "arr", "acv"}
	for word, want := range map[string]string{
		"qualifed_lead": `"qualified_lead"`, "Qualified-Lead": `"qualified_lead"`, "lead_capturde": `"lead_captured"`,
		"ar": `"arr"`, "rar": `"arr"`, "handshake": "", "": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %s, want %s", word, got, want)
		}
	}
}

func mustCompile(t testing.TB, text string) *Mapping {
	t.Helper()
	m, problems := Compile(File{Name: "m.yaml", Text: []byte(text)})
	if m == nil {
		t.Fatalf("problems:\n%s", lines(problems))
	}
	return m
}
