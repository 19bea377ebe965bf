package mappings

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Problem is one mistake in a mapping, or a warning, at its place. No field holds an
// e-mail address.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0: the file as a whole
	Code         string // what kind of problem, in snake_case; stable
	Message      string
	Suggestion   string // what was perhaps meant; "" for none
	Warning      bool   // the mapping works, but perhaps not as meant
}

// String gives the problem on one line: file:line:column: message (did you mean …?).
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %s?)", p.Suggestion)
	}
	return b.String()
}

// Failed is true when one of the problems is more than a warning.
func Failed(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// A place is where something stands in the text.
type place struct {
	file      string
	line, col int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// maxProblems bounds what one Compile reports: nobody reads more at a time.
const maxProblems = 500

// problems gathers what is wrong.
type problems struct{ list []Problem }

func (ps *problems) mistake(at place, code, suggestion, format string, args ...any) {
	ps.add(at, code, suggestion, fmt.Sprintf(format, args...), false)
}

func (ps *problems) warn(at place, code, suggestion, format string, args ...any) {
	ps.add(at, code, suggestion, fmt.Sprintf(format, args...), true)
}

func (ps *problems) add(at place, code, suggestion, message string, warning bool) {
	if ps.full() {
		last := &ps.list[maxProblems] // stands for all that are not shown
		last.Warning = last.Warning && warning
		return
	}
	if len(ps.list) == maxProblems {
		code, suggestion, message = "too_many_problems", "", "there are more problems; mend these first"
	}
	if hideAddresses(suggestion) != suggestion {
		suggestion = ""
	}
	ps.list = append(ps.list, Problem{File: at.file, Line: at.line, Column: at.col, Code: code,
		Message: hideAddresses(message), Suggestion: suggestion, Warning: warning})
}

// full is true once nothing more is reported.
func (ps *problems) full() bool { return len(ps.list) > maxProblems }

// sorted gives the problems in the order of the text.
func (ps *problems) sorted(files []File) []Problem {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f.Name] = i
	}
	slices.SortStableFunc(ps.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps.list) // what stands behind an anchor is read once for each alias
}

var address = regexp.MustCompile(`[^\s"'@<>(),;]+@[^\s"'@<>(),;]+`)

// hideAddresses keeps e-mail addresses that somebody wrote into a mapping out of
// messages, which end up in logs.
func hideAddresses(s string) string {
	if !strings.Contains(s, "@") {
		return s
	}
	return address.ReplaceAllString(s, "<address>")
}

// shown quotes a word of the text, cut to a length that fits a message.
func shown(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// maxCandidates bounds the work of one suggestion.
const maxCandidates = 1000

// nearest gives the candidate that a word was perhaps meant to be, quoted, or "".
// Candidates are asked in order, so that the answer is always the same.
func nearest(word string, candidates []string) string {
	plain := func(s string) string { return joints.Replace(strings.ToLower(s)) }
	w := plain(word)
	if len(w) > 100 {
		return ""
	}
	best, least := "", max(1, len(w)/3)+1
	for _, c := range candidates[:min(len(candidates), maxCandidates)] {
		if longer, shorter := max(len(c), len(w)), min(len(c), len(w)); longer-shorter >= utf8.UTFMax*least {
			continue
		}
		if d := distance(w, plain(c)); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("%q", best)
}

// joints are what stands between the words of one name.
var joints = strings.NewReplacer("-", "_", " ", "_")

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, cur := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		cur[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			cur[j] = min(last[j]+1, cur[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, last, cur = last, cur, before
	}
	return last[len(y)]
}
