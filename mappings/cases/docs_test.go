package cases

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"tributary/mappings"
)

var fence = regexp.MustCompile("(?ms)^```yaml case\n(.*?)^```$")

// Every example of the reference can be read, and every key stands in it.
func TestTheReferenceIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := fence.FindAllStringSubmatch(string(text), -1)
	if len(examples) == 0 {
		t.Error("no example")
	}
	for _, e := range examples {
		if s, problems := Read(mappings.File{Name: "example" + Suffix, Text: []byte(e[1])}); s == nil {
			t.Errorf("%v in\n%s", problems, e[1])
		}
	}
	for _, key := range []string{"mapping", "destinations", "sources", "now", "cases", "name", "given", "history", "known", "with", "to", "expect",
		"body", "way", "source", "browser", "context", "received_at", "read", "identifiers", "clicks", "touches", "since", "fate", "quarantined", "nowhere",
		"parts", "part", "reason", "outcome", "value", "currency"} {
		if !strings.Contains(string(text), "`"+key+"`") && !strings.Contains(string(text), "`"+key+":") {
			t.Errorf("the reference does not name %s", key)
		}
	}
}
