package mappings

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var fence = regexp.MustCompile("(?ms)^```([a-z ]+)\n(.*?)^```$")

// Every example of the reference compiles, and the mistake it shows gets the message it
// shows.
func TestTheReferenceIsTrue(t *testing.T) {
	text, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	said, examples := "", 0
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		switch kind, body := block[1], block[2]; kind {
		case "yaml":
			examples++
			if m, problems := Compile(File{Name: "mapping.yaml", Text: []byte(whole(body))}); m == nil {
				t.Errorf("%s\n%s", lines(problems), body)
			}
		case "yaml bad":
			_, problems := Compile(File{Name: "mapping.yaml", Text: []byte(body)})
			said = lines(problems)
		case "text":
			if body != said {
				t.Errorf("the reference shows\n%sCompile says\n%s", body, said)
			}
		}
	}
	if examples < 9 {
		t.Errorf("only %d examples", examples)
	}
	for _, field := range askedNames {
		if !strings.Contains(string(text), "`"+field+"`") {
			t.Errorf("the reference does not name the field %s", field)
		}
	}
	for name := range builtInNames() {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the reference does not name %s", name)
		}
	}
}

// Every word that the language knows stands in the reference.
func TestTheReferenceIsWhole(t *testing.T) {
	text, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, words := range map[string][]string{
		"field of expressions": weighedNames, "function of lines": lineFunctions, "function of json": functionNames, "part of an id": recipeParts,
		"field of any JSON": slices.Sorted(maps.Keys(shapeFields)), "kind of any JSON": shapeKinds, "key of a line": lineKeys.names(), "top key": topKeys.names(),
		"key of a section": sourceKeys.names(), "key of a name": vocabularyKeys.names(), "field of a contact": contactFields, "type of a field": fieldTypes,
		"field of an event": eventFields, "field of a touch": touchFields, "way in": waysIn, "meaning": meanings, "name of the usual funnel": slices.Sorted(maps.Keys(usualMeanings)), "count": oftens, "recycle": recycles,
		"consent": consents, "value": bases, "key of revenue": revenueKeys.names(), "key of contact properties": contactKeys.names(),
	} {
		for _, word := range words {
			if !regexp.MustCompile("`" + `([a-z]+\.)?` + regexp.QuoteMeta(word) + "[`(:.]").Match(text) {
				t.Errorf("the reference does not name the %s %s", what, word)
			}
		}
	}
}

// The table of the default is what the default says.
func TestTheReferenceShowsTheDefault(t *testing.T) {
	text, err := os.ReadFile("../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	m, rows := defaults(t), 0
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\| (\\w+)[^|]*\\| `(\\w+)` \\| (\\w+) \\|$").FindAllStringSubmatch(string(text), -1) {
		name, from, event, rule, value := row[1], row[2], row[3], row[4], row[5]
		rows++
		meta, _ := m.Route("meta", name)
		linkedin, _ := m.Route("linkedin", name)
		if meta.Event != event || linkedin.Rule != rule || meta.Value != value || linkedin.Value != value {
			t.Errorf("%s: Meta %s %s, LinkedIn %s %s, not what the reference shows: %s %s %s", name, meta.Event, meta.Value, linkedin.Rule, linkedin.Value, event, rule, value)
		}
		var given []string
		for _, r := range m.Rules() {
			if r.Name == name && r.Table == "lifecycle" {
				given = append(given, r.Raw)
			}
		}
		for _, r := range m.Rules() {
			if r.Name == name && r.Table == "deals *" {
				given = append(given, r.Raw)
			}
		}
		shown := regexp.MustCompile(`deal: |[,;] `).Split(from, -1)
		shown = slices.DeleteFunc(shown, func(s string) bool { return s == "" })
		slices.Sort(given)
		slices.Sort(shown)
		if !slices.Equal(given, shown) {
			t.Errorf("%s is given by %v, not by %v as the reference shows", name, given, shown)
		}
	}
	if rows != len(m.Vocabulary()) {
		t.Errorf("%d rows, %d names", rows, len(m.Vocabulary()))
	}
}

// whole adds what an excerpt leaves out.
func whole(excerpt string) string {
	if !strings.Contains(excerpt, "version:") {
		excerpt = "version: 1\n" + excerpt
	}
	if !strings.HasPrefix(excerpt, "vocabulary:") && !strings.Contains(excerpt, "\nvocabulary:") {
		excerpt += "vocabulary: [lead_captured, qualified_lead, sales_qualified_lead, opportunity_created, proposal_sent, customer_won, customer_expanded]\n"
	}
	return excerpt
}

func TestConditionFieldsAreListed(t *testing.T) {
	fields := reflect.TypeFor[asked]()
	if fields.NumField() != len(askedNames) {
		t.Errorf("%d fields, %d names", fields.NumField(), len(askedNames))
	}
	for i := range fields.NumField() {
		if tag := fields.Field(i).Tag.Get("expr"); !strings.Contains(" "+strings.Join(askedNames, " ")+" ", " "+tag+" ") {
			t.Errorf("%s is not listed", tag)
		}
	}
}
