package mappings

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on an excerpt: what fits a terminal.
const (
	excerptWidth = 100 // of the source line, in characters
	excerptLead  = 60  // of them before the place, where the line is longer
)

// Excerpt shows the line that a problem stands on, with a caret under its place and a
// line under the rest of the word:
//
//	7 |         closedwon: custmer_expanded
//	  |                    ^~~~~~~~~~~~~~~~
//
// It is "" where the problem has no line or the files do not hold it. Addresses are made
// unreadable in it.
func Excerpt(files []File, p Problem) string {
	line, ok := lineOf(files, p.File, p.Line)
	if !ok {
		return ""
	}
	runes := []rune(blot(line))
	col := min(max(p.Column, 1), len(runes)+1) - 1
	width := wordAt(runes, col)
	from, cut := 0, ""
	if len(runes) > excerptWidth && col > excerptLead {
		from, cut = col-excerptLead, "…"
	}
	to, more := len(runes), ""
	if to-from > excerptWidth {
		to, more = from+excerptWidth, "…"
	}
	var under strings.Builder
	for _, r := range runes[from:col] {
		if r == '\t' {
			under.WriteByte('\t') // as wide as above
		} else {
			under.WriteByte(' ')
		}
	}
	number := fmt.Sprintf("%4d", p.Line)
	return fmt.Sprintf("%s | %s%s%s\n%s | %s%s^%s\n", number, cut, string(runes[from:to]), more,
		strings.Repeat(" ", len(number)), strings.Repeat(" ", utf8.RuneCountInString(cut)), under.String(),
		strings.Repeat("~", max(min(width, to-col)-1, 0)))
}

// EndColumn is one behind the last character of the word that a problem stands on, or its
// own column where that cannot be told.
func EndColumn(files []File, p Problem) int {
	line, ok := lineOf(files, p.File, p.Line)
	if runes := []rune(line); ok && p.Column > 0 && p.Column <= len(runes) {
		return p.Column + max(wordAt(runes, p.Column-1), 1)
	}
	return max(p.Column, 1)
}

// lineOf gives one line of a file, from 1, without its end.
func lineOf(files []File, name string, number int) (string, bool) {
	for _, f := range files {
		if f.Name != name || number < 1 {
			continue
		}
		lines := bytes.Split(f.Text, []byte("\n"))
		if number > len(lines) {
			return "", false
		}
		return strings.ToValidUTF8(strings.TrimSuffix(string(lines[number-1]), "\r"), "\uFFFD"), true
	}
	return "", false
}

// wordAt is how many characters the word, or the quoted text, at a place has.
func wordAt(line []rune, at int) int {
	if at >= len(line) {
		return 0
	}
	if quote := line[at]; quote == '"' || quote == '\'' {
		for i := at + 1; i < len(line); i++ {
			if line[i] == quote && (quote != '"' || line[i-1] != '\\') {
				return i + 1 - at
			}
		}
		return len(line) - at
	}
	n := 0
	for _, r := range line[at:] {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.*$@/…", r) {
			break
		}
		n++
	}
	return max(n, 1)
}

// blot makes the addresses of a line unreadable and leaves everything in its column.
func blot(line string) string {
	return address.ReplaceAllStringFunc(line, func(s string) string {
		return strings.Repeat("…", utf8.RuneCountInString(s))
	})
}

// Nearest gives the candidate that a word was perhaps meant to be, quoted, or "".
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

// LineText gives one line of a file, from 1, without its end, addresses made unreadable;
// "" where there is none.
func LineText(files []File, name string, number int) string {
	line, _ := lineOf(files, name, number)
	return blot(line)
}
