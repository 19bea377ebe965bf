package mappings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExcerptPointsAtTheWord(t *testing.T) {
	file := func(text string) []File { return []File{{Name: "m.yaml", Text: []byte(text)}} }
	long := strings.Repeat("x", 90) + " here " + strings.Repeat("y", 90)
	for name, tt := range map[string]struct {
		text    string
		problem Problem
		want    string
	}{
		"a word":        {"a: 1\nname: custmer_won\n", Problem{Line: 2, Column: 7}, "   2 | name: custmer_won\n     |       ^~~~~~~~~~~\n"},
		"quotes":        {`a: "two words" # b`, Problem{Line: 1, Column: 4}, "   1 | a: \"two words\" # b\n     |    ^~~~~~~~~~~\n"},
		"a tab":         {"\tlead: 1", Problem{Line: 1, Column: 2}, "   1 | \tlead: 1\n     | \t^~~~\n"},
		"line ends":     {"lead:\r\n", Problem{Line: 1, Column: 6}, "   1 | lead:\n     |      ^\n"},
		"letters":       {"größe: 1", Problem{Line: 1, Column: 1}, "   1 | größe: 1\n     | ^~~~~\n"},
		"far right":     {long, Problem{Line: 1, Column: 92}, "   1 | …" + strings.Repeat("x", 59) + " here " + strings.Repeat("y", 35) + "…\n     | " + strings.Repeat(" ", 61) + "^~~~\n"},
		"an address":    {`a: "jane.doe@example.com"`, Problem{Line: 1, Column: 4}, "   1 | a: \"" + strings.Repeat("…", 20) + "\"\n     |    ^" + strings.Repeat("~", 21) + "\n"},
		"no line":       {"a: 1", Problem{}, ""},
		"another file":  {"a: 1", Problem{File: "other.yaml", Line: 1, Column: 1}, ""},
		"behind it all": {"a: 1", Problem{Line: 9, Column: 1}, ""},
	} {
		if tt.problem.File == "" {
			tt.problem.File = "m.yaml"
		}
		if got := Excerpt(file(tt.text), tt.problem); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", name, got, tt.want)
		}
	}
}

// Every mistake that has a line has an excerpt, with its caret within the line or right
// behind it.
func TestEveryMistakeHasAnExcerpt(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*/*.yaml")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files := []File{{Name: filepath.Base(path), Text: text}}
		_, problems := Compile(files...)
		for _, p := range problems {
			if p.Line == 0 {
				continue
			}
			got := Excerpt(files, p)
			if strings.Count(got, "\n") != 2 || !strings.Contains(got, "^") {
				t.Errorf("%s\n%s", p, got)
			}
			line, _ := lineOf(files, p.File, p.Line)
			if p.Column > len([]rune(line))+1 {
				t.Errorf("%s: the line has only %d characters", p, len([]rune(line)))
			}
			if end := EndColumn(files, p); end < p.Column || end > len([]rune(line))+1 {
				t.Errorf("%s: the word ends at %d", p, end)
			}
		}
	}
}
