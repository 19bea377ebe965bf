package cases

import (
	"bytes"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"gopkg.in/yaml.v3"
)

// Update gives the file with the expectations of some cases rewritten, by the cases'
// place in the suite. Everything else stands as it was, comments too; comments within
// a rewritten expectation stay where what they are about stays.
func (s *Suite) Update(verdicts map[int]Verdict) []byte {
	lines := strings.SplitAfter(string(s.File.Text), "\n")
	order := make([]int, 0, len(verdicts))
	for i := range verdicts {
		order = append(order, i)
	}
	slices.SortFunc(order, func(a, b int) int { return s.Cases[b].at.line - s.Cases[a].at.line }) // from below: places stay true
	for _, i := range order {
		if v := verdicts[i]; !v.OK && v.expect != nil {
			lines = s.Cases[i].rewrite(lines, v.expect)
		}
	}
	return []byte(strings.Join(lines, ""))
}

// rewrite puts a new expectation into the lines of the file.
func (c Case) rewrite(lines []string, expect *yaml.Node) []string {
	indent := c.at.column - 1
	from, to := 0, 0
	key := c.expectKey()
	if key == nil { // behind everything else of the case
		from = lastLine(c.item)
		to = from
	} else {
		from, to = key.Line-1, key.Line-1
		for to++; to < len(lines) && (blank(lines[to]) || indentOf(lines[to]) > indent); to++ {
		}
		for to > from+1 && blank(lines[to-1]) { // what follows keeps its distance
			to--
		}
	}
	text := "expect:\n" + shift(render(expect), 2)
	if from > 0 && !strings.HasSuffix(lines[from-1], "\n") {
		lines[from-1] += "\n"
	}
	return slices.Concat(lines[:from], []string{shift(text, indent)}, lines[to:])
}

// expectKey is the key of the case's expectation, nil where it has none.
func (c Case) expectKey() *yaml.Node {
	for _, p := range pairsOf(c.item) {
		if p.key.Value == "expect" {
			return p.key
		}
	}
	return nil
}

// lastLine is the number of the last line of a node.
func lastLine(n *yaml.Node) int {
	last := n.Line
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		last += strings.Count(strings.TrimRight(n.Value, "\n"), "\n") + 1
	}
	for _, item := range n.Content {
		last = max(last, lastLine(item))
	}
	return last
}

func blank(line string) bool { return strings.TrimSpace(line) == "" }

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// shift moves a text to the right.
func shift(text string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !blank(line) {
			b.WriteString(strings.Repeat(" ", by))
		}
		b.WriteString(line)
	}
	return b.String()
}

// lineDiff gives the lines that differ, in the unified form.
func lineDiff(want, got string) string {
	d := diff.Diff("expected", []byte(want), "came", []byte(got))
	if i := bytes.Index(d, []byte("--- ")); i >= 0 { // without the line that names the command
		d = d[i:]
	}
	return string(d)
}
