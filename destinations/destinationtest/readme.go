package destinationtest

import (
	"os"
	"regexp"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Readme loads every YAML block of the adapter's README.md as its section.
func (s Suite) Readme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no configuration")
	}
	for _, b := range blocks {
		_, problems := s.Kind.New(Section(t, string(b[1])))
		for _, p := range problems {
			t.Errorf("%d:%d: %s in:\n%s", p.Line, p.Column, p.Message, b[1])
		}
	}
}
