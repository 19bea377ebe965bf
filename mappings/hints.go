package mappings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"gopkg.in/yaml.v3"
)

// The hints in this file say in plain words what was probably meant where a rule alone, or
// the YAML parser's own words, would leave somebody puzzled. Each begins with its
// separator, or is "".

// syntaxHint explains what the YAML parser says of a line. at is the line's text from the
// place on.
func syntaxHint(message, line, at string) string {
	trimmed := strings.TrimLeft(strings.TrimSpace(line), "- ")
	switch {
	case strings.Contains(message, "cannot start any token"):
		for _, c := range []string{"@", "%", "`"} {
			if strings.HasPrefix(at, "\t") {
				return "; YAML is indented with spaces, not tabs"
			}
			if strings.HasPrefix(trimmed, c) || strings.Contains(line, ": "+c) {
				return fmt.Sprintf("; %s means something of its own in YAML: put the text into quotes", c)
			}
		}
	case strings.Contains(message, "expected alphabetic or numeric character") && strings.Contains(line, "*"):
		return `; write the star in quotes: "*"`
	case strings.Contains(message, "mapping values are not allowed"):
		if strings.Count(trimmed, ": ") > 1 || strings.Count(trimmed, ": ") == 1 && strings.HasSuffix(trimmed, ":") {
			return "; a text with a colon in it must stand in quotes"
		}
		return "; this line is not indented like its neighbours, or the one before lacks its colon"
	case strings.Contains(message, "did not find expected key"):
		return "; in this group or below it a line is not indented like its neighbours, or a bracket or quote is one too many"
	case strings.Contains(message, "did not find expected ',' or '}'"):
		return "; a { has no }"
	case strings.Contains(message, "did not find expected ',' or ']'"):
		return "; a [ has no ]"
	case strings.Contains(message, "unexpected end of stream"):
		return "; a quote is not closed"
	}
	return ""
}

// oddSpace finds the first line that is indented with something that only looks like
// spaces. column is of that character, from 1; line 0: there is none.
func oddSpace(text []byte) (line, column int, r rune) {
	for number, l := range strings.Split(string(text), "\n") {
		for i, c := range []rune(l) {
			if c == ' ' || c == '\r' || c == '\t' {
				continue
			}
			if c > 0x7f && unicode.IsSpace(c) {
				return number + 1, i + 1, c
			}
			break
		}
	}
	return 0, 0, 0
}

var pairWithoutSpace = regexp.MustCompile(`^([^\s:]+):([^\s:/][^\s]*)$`)

// groupHint says how a text or list that stands where a group must could be one.
func groupHint(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		if len(n.Content) > 0 && !slices.ContainsFunc(n.Content, func(item *yaml.Node) bool { return follow(item).Kind != yaml.MappingNode }) {
			return "; leave the dashes away"
		}
	case yaml.ScalarNode:
		if m := pairWithoutSpace.FindStringSubmatch(n.Value); m != nil {
			return fmt.Sprintf("; a space is missing behind the colon: %s: %s", m[1], m[2])
		}
		for _, sign := range []string{"->", "=>", "="} {
			if left, right, ok := strings.Cut(n.Value, sign); ok && strings.TrimSpace(left) != "" && strings.TrimSpace(right) != "" {
				return fmt.Sprintf("; write a colon instead of %s", sign)
			}
		}
	}
	return ""
}

// keyHint says where a key belongs that is unknown here. before is the key above it, in
// the same group.
func keyHint(what, word string, before *pair) string {
	if what == "the mapping" {
		switch {
		case slices.Contains([]string{kindMeta, kindLinkedIn, kindWebhook}, word):
			return "; " + word + " belongs under destinations"
		case slices.Contains([]string{"lifecycle", "company_lifecycle", "deals", "lead_status", "ignore", "quarantine"}, word):
			return "; " + word + " belongs under one of sources, such as hubspot"
		case word == kindHubSpot:
			return "; hubspot belongs under sources, or under destinations"
		case isWayIn(word):
			return "; " + word + " belongs under sources"
		}
	}
	if before != nil && isNothing(before.value) {
		return fmt.Sprintf("; if it belongs to %s above, indent it further", before.key.Value)
	}
	return ""
}

// nameHint explains a word that was read as one name and is none.
func nameHint(word string) (hint string, several bool) {
	parts := strings.Fields(word)
	if len(parts) < 2 || !strings.Contains(word, "_") || slices.ContainsFunc(parts, func(p string) bool { return !snakeCase.MatchString(p) }) {
		return "", false
	}
	return fmt.Sprintf("; if %s and %s are two names, a dash or comma is missing between them", parts[0], parts[1]), true
}

var foreignWords = map[string]string{
	"AND": `"and" is written in small letters`, "OR": `"or" is written in small letters`, "NOT": `"not" is written in small letters`,
	"IN": `"in" is written in small letters`, "LIKE": likeHint, "like": likeHint, "is": `compare with == and !=`, "IS": `compare with == and !=`,
	"equals": "compare with ==", "ends": "write endsWith", "starts": "write startsWith", "includes": "write contains",
}

const likeHint = `there is no "like"; use contains, startsWith, endsWith or matches`

var (
	unexpectedWord     = regexp.MustCompile(`^unexpected token Identifier\("(\w+)"\)`)
	unexpectedOperator = regexp.MustCompile(`^unexpected token Operator\("([^"]+)"\)`)
	unrecognised       = regexp.MustCompile(`^unrecognized character: U\+([0-9A-F]+) '(.)'`)
	unknownFunction    = regexp.MustCompile(`^unknown (?:name|function) (\w+)`)
)

// conditionWords are what conditions can be written with, besides fields.
var conditionWords = []string{"contains", "startsWith", "endsWith", "matches", "in", "and", "or", "not", "lower", "upper", "trim", "len"}

// conditionHint says the expression compiler's words in ours; "" leaves them as they are. functions
// are what can be called.
func conditionHint(message, text string, functions []string) (says, suggestion string) {
	if m := unexpectedWord.FindStringSubmatch(message); m != nil {
		if says := foreignWords[m[1]]; says != "" {
			return says, ""
		}
		return fmt.Sprintf("%q stands where a comparison is expected, or a text lacks its quotes", m[1]), nearest(m[1], conditionWords)
	}
	if m := unexpectedOperator.FindStringSubmatch(message); m != nil && m[1] == "=" {
		return "two things are compared with ==, not =", ""
	}
	if m := unrecognised.FindStringSubmatch(message); m != nil && strings.Contains("“”„‟‘’‚«»", m[2]) {
		return fmt.Sprintf(`%s is a word processor's quote; write "`, m[2]), ""
	}
	if m := unknownFunction.FindStringSubmatch(message); m != nil && calls(text, m[1]) {
		switch strings.ToLower(m[1]) {
		case "now", "today", "date", "duration":
			return "conditions see no clock", ""
		case "startswith", "endswith", "contains", "matches":
			word := nearest(m[1], conditionWords)
			return fmt.Sprintf("conditions know no function %q; these words stand between two things: email endsWith \"@example.com\"", m[1]), word
		}
		return fmt.Sprintf("conditions know no function %q; there are %s", m[1], andOf(functions)), nearest(m[1], functions)
	}
	return "", ""
}

func andOf(words []string) string {
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// bareText gives the words of a name with dots, such as example.com, that begins with no
// field: most likely a text that lacks its quotes. "" for anything else.
func bareText(n *ast.MemberNode) string {
	part, ok := n.Property.(*ast.StringNode)
	if !ok {
		return ""
	}
	switch base := n.Node.(type) {
	case *ast.IdentifierNode:
		if slices.Contains(askedNames, base.Value) || base.Value == "properties" {
			return ""
		}
		return base.Value + "." + part.Value
	case *ast.MemberNode:
		if before := bareText(base); before != "" {
			return before + "." + part.Value
		}
	}
	return ""
}

// calls is true where a word is called like a function.
func calls(text, word string) bool {
	_, rest, ok := strings.Cut(text, word)
	return ok && strings.HasPrefix(strings.TrimLeft(rest, " "), "(")
}
