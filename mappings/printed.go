package mappings

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Line is one line of destinations as it holds, inherited keys and all.
type Line struct {
	Destination string // the key under destinations
	Name        string // canonical, or "*"
	At          string // file:line
	// Says holds the keys as they could be written; Inherited names those that the line does not
	// say itself.
	Says      []Said
	Inherited []string
}

// A Said is one key of a line with its value.
type Said struct{ Key, Value string }

// Lines gives every line with all that holds for it, by destination and in the order of the
// text.
func (m *Mapping) Lines() []Line {
	var out []Line
	for _, key := range m.DestinationKeys() {
		d := m.destinations[key]
		for _, name := range slices.SortedFunc(maps.Keys(d.lines), func(a, b string) int { return d.places[a].compare(d.places[b]) }) {
			out = append(out, d.lines[name].printed(key, name))
		}
	}
	return out
}

func (l *line) printed(key, name string) Line {
	r := l.route
	out := Line{Destination: key, Name: name, At: r.At}
	add := func(key, value string) {
		if value == "" {
			return
		}
		out.Says = append(out.Says, Said{key, value})
		if l.inherits(key) {
			out.Inherited = append(out.Inherited, key)
		}
	}
	list := func(words []string) string {
		if len(words) == 0 {
			return ""
		}
		return "[" + strings.Join(words, ", ") + "]"
	}
	add("event", yamlText(r.Event))
	if rules := r.Rules(); len(rules) > 1 {
		add("rule", list(rules))
	} else {
		add("rule", r.Rule)
	}
	add("value", r.Value)
	add("if_missing", yamlText(r.IfMissing))
	add("currency", r.Currency)
	var properties []string
	for _, k := range slices.Sorted(maps.Keys(r.Properties)) {
		properties = append(properties, yamlText(k)+": "+yamlConstant(r.Properties[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(l.computed)) {
		properties = append(properties, yamlText(k)+": "+yamlQuoted(l.computed[k].text))
	}
	if len(properties) > 0 {
		add("properties", "{"+strings.Join(properties, ", ")+"}")
	}
	add("match", list(r.Match))
	add("consent", r.Consent)
	add("when", yamlWhen(l.whenText))
	if r.Delay > 0 {
		add("delay", r.Delay.String())
	}
	add("accounts", list(r.Accounts))
	return out
}

// String gives the line as it could be written, with what it inherits.
func (l Line) String() string {
	var b strings.Builder
	b.WriteString(yamlText(l.Name) + ": {")
	for i, s := range l.Says {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s.Key + ": " + s.Value)
	}
	b.WriteString("}")
	return b.String()
}

// compare orders places of one mapping by file, line and column.
func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.file, q.file), cmp.Compare(p.line, q.line), cmp.Compare(p.col, q.col))
}

// yamlText writes a word so that it can stand in {…}: quoted where it must be.
func yamlText(s string) string {
	if s == "" || plainWord(s) {
		return s
	}
	return yamlQuoted(s)
}

// plainWord is true for a text that YAML reads as that text without quotes.
func plainWord(s string) bool {
	if strings.ContainsAny(s, ":#,[]{}&*!|>'\"%@`\\\n\t") || strings.TrimSpace(s) != s || strings.HasPrefix(s, "=") || strings.HasPrefix(s, "-") || strings.HasPrefix(s, "?") {
		return s != "" && !strings.ContainsAny(s, "#,[]{}&*!|>'\"%@`\\\n\t ") && strings.Count(s, ":") == 1 && !strings.HasSuffix(s, ":") && !strings.HasPrefix(s, ":")
	}
	var n yaml.Node
	return yaml.Unmarshal([]byte(s), &n) == nil && len(n.Content) == 1 && n.Content[0].Kind == yaml.ScalarNode && n.Content[0].Tag == "!!str"
}

func yamlQuoted(s string) string {
	if !strings.ContainsAny(s, "'\n") {
		return "'" + s + "'"
	}
	return strconv.Quote(s)
}

func yamlWhen(s string) string {
	if s == "" {
		return ""
	}
	return yamlQuoted(s)
}

func yamlConstant(v any) string {
	if s, ok := v.(string); ok {
		if s == "" {
			return "''"
		}
		return yamlText(s)
	}
	return fmt.Sprint(v)
}
