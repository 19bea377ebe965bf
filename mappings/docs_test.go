package mappings

import (
	"os"
	"reflect"
	"regexp"
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
