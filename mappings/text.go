package mappings

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on what Compile reads: far above any mapping that people write.
const (
	maxFileBytes = 1 << 20
	maxFiles     = 100
	maxPairs     = 200_000 // keys and entries of lists looked at, aliases followed included
	maxMerge     = 8       // << within << within …
)

// read parses one file to its top node, or reports why it cannot.
func (c *compiler) read(f File) *yaml.Node {
	whole := place{file: f.Name}
	switch {
	case len(f.Text) > maxFileBytes:
		c.mistake(whole, "too_large", "", "the file is larger than %d KiB; split it", maxFileBytes>>10)
		return nil
	case !utf8.Valid(f.Text):
		c.mistake(invalidUTF8(f), "not_utf8", "", "this is not UTF-8 text; save the file as UTF-8")
		return nil
	}
	if line, col, r := oddSpace(f.Text); line > 0 {
		c.mistake(place{f.Name, line, col}, "odd_space", "", "the line is indented with %U, which only looks like a space; YAML takes plain spaces", r)
		return nil
	}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(f.Text))
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		c.mistake(whole, "empty_file", "", "the file is empty")
		return nil
	} else if err != nil {
		c.syntax(f, err)
		return nil
	}
	if err := d.Decode(&more); err == nil {
		c.mistake(place{f.Name, more.Line, more.Column}, "second_document", "", "a mapping is one YAML document; move what follows --- to a file of its own")
		return nil
	} else if !errors.Is(err, io.EOF) {
		c.syntax(f, err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || isNothing(doc.Content[0]) {
		c.mistake(whole, "empty_file", "", "the file is empty")
		return nil
	}
	return doc.Content[0]
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// syntax reports what the YAML parser refused. It knows the line, not the column.
func (c *compiler) syntax(f File, err error) {
	text := strings.TrimSpace(err.Error())
	text, _, _ = strings.Cut(text, "\n")
	at, parts := place{f.Name, 1, 1}, syntaxLine.FindStringSubmatch(text)
	if n, e := strconv.Atoi(parts[1]); e == nil && n > 0 {
		at.line = n
		if countedFromZero.MatchString(parts[2]) {
			at.line++
		}
	}
	if m := unknownAnchor.FindStringSubmatch(parts[2]); m != nil {
		at.line, at.col = aliasPlace(f.Text, m[1])
		c.mistake(at, "syntax", "", "no anchor &%s stands before this *%s", m[1], m[1])
		return
	}
	if i := bytes.IndexFunc(f.Text, controls); i >= 0 && strings.Contains(parts[2], "control characters are not allowed") {
		before := f.Text[:i]
		at.line, at.col = bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])+1
		c.mistake(at, "syntax", "", "here stands a character that is no text (%U); delete it", f.Text[i])
		return
	}
	lines := bytes.Split(f.Text, []byte("\n"))
	at.line = min(at.line, len(lines))
	line := lines[at.line-1]
	at.col = len(line) - len(bytes.TrimLeft(line, " ")) + 1
	c.mistake(at, "syntax", "", "this is not YAML: %s%s", parts[2], syntaxHint(parts[2], string(line), string(line[at.col-1:])))
}

// controls is true for what YAML takes in no text.
func controls(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }

// countedFromZero is what the YAML parser says with a line number that is one too low.
var countedFromZero = regexp.MustCompile(`^did not find expected (?:<document start>|node content|'-' indicator|key|',' or '[\]}]')`)

var unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

// aliasPlace finds the first alias of a name, comments left out; 1, 1 where the text does not
// show it.
func aliasPlace(text []byte, name string) (line, column int) {
	word := regexp.MustCompile(`(?:^|[\s\[{,:-])(\*` + regexp.QuoteMeta(name) + `)(?:[\s,\]}:]|$)`)
	for i, l := range bytes.Split(text, []byte("\n")) {
		if m := word.FindSubmatchIndex(l); m != nil && !bytes.HasPrefix(bytes.TrimSpace(l), []byte("#")) {
			return i + 1, utf8.RuneCount(l[:m[2]]) + 1
		}
	}
	return 1, 1
}

func invalidUTF8(f File) place {
	line, col := 1, 1
	for b := f.Text; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
		b = b[n:]
	}
	return place{f.Name, line, col}
}

// A pair is one key of a mapping node with its value, aliases followed.
type pair struct {
	key   *yaml.Node
	value *yaml.Node
	at    place // of the key
}

func (c *compiler) place(n *yaml.Node) place { return place{c.file, n.Line, n.Column} }

// follow gives the node an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	for range 100 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			return n
		}
		n = n.Alias
	}
	return n
}

// pairs gives the keys of a mapping node in order, merge keys (<<) expanded behind the
// node's own. same says when two keys are one; a second one is a mistake. what names the
// node in messages. A node of another kind is a mistake and gives nothing.
func (c *compiler) pairs(n *yaml.Node, what string, same func(string) string) []pair {
	own := c.ownPairs(n, what, same, 0)
	seen := make(map[string]bool, len(own))
	out := own[:0:0]
	for _, p := range own {
		if k := same(p.key.Value); !seen[k] {
			seen[k] = true
			out = append(out, p)
		}
	}
	return out
}

func (c *compiler) ownPairs(n *yaml.Node, what string, same func(string) string, depth int) []pair {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		c.mistake(c.place(n), "wrong_type", "", "%s must be a group of keys, not %s%s", what, kindOf(n), groupHint(n))
		return nil
	}
	if !c.look(n, 1+len(n.Content)/2) {
		return nil
	}
	var own, merged []pair
	first := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		written := n.Content[i]
		key, value := follow(written), follow(n.Content[i+1])
		at := c.place(written)
		switch {
		case key.Kind == yaml.ScalarNode && key.Tag == "!!merge":
			merged = append(merged, c.merged(value, what, same, depth)...)
		case key.Kind != yaml.ScalarNode:
			c.mistake(at, "wrong_type", "", "a key in %s must be one word, not %s", what, kindOf(key))
		case strings.TrimSpace(key.Value) == "":
			c.mistake(at, "empty_key", "", "a key in %s is empty", what)
		default:
			k := same(key.Value)
			if line, twice := first[k]; twice {
				c.mistake(at, "duplicate_key", "", "%s stands twice in %s; it is on line %d already", shown(key.Value), what, line)
				continue
			}
			first[k] = at.line
			own = append(own, pair{key, value, at})
		}
	}
	return append(own, merged...)
}

// look counts what is read; false once it is more than maxPairs, which is a mistake.
func (c *compiler) look(n *yaml.Node, more int) bool {
	if c.looked += more; c.looked > maxPairs && !c.tooMany {
		c.tooMany = true
		c.mistake(c.place(n), "too_large", "", "the mapping has more than %d keys and entries of lists", maxPairs)
	}
	return !c.tooMany
}

func (c *compiler) merged(n *yaml.Node, what string, same func(string) string, depth int) []pair {
	if depth >= maxMerge {
		c.mistake(c.place(n), "too_deep", "", "<< within << goes deeper than %d levels", maxMerge)
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return c.ownPairs(n, what, same, depth+1)
	}
	var out []pair
	for _, item := range n.Content {
		if c.tooMany {
			return nil
		}
		out = append(out, c.ownPairs(item, what, same, depth+1)...)
	}
	return out
}

// fields gives the values of a mapping node whose keys are known, by key. Other keys are
// mistakes.
func (c *compiler) fields(n *yaml.Node, what string, known ...string) map[string]pair {
	out := make(map[string]pair)
	var before *pair
	for _, p := range c.pairs(n, what, exactly) {
		if slices.Contains(known, p.key.Value) {
			out[p.key.Value], before = p, &p
			continue
		}
		c.mistake(p.at, "unknown_key", nearest(p.key.Value, known), "unknown key %s in %s; known are %s%s", shown(p.key.Value), what, strings.Join(known, ", "), keyHint(what, p.key.Value, before))
	}
	return out
}

// word gives a scalar's text, trimmed, or reports another kind of node. Nothing at all
// is a mistake too.
func (c *compiler) word(n *yaml.Node, what string) (string, bool) {
	n = follow(n)
	if n.Kind != yaml.ScalarNode || isNothing(n) {
		c.mistake(c.place(n), "wrong_type", "", "%s must be one word, not %s", what, kindOf(n))
		return "", false
	}
	return strings.TrimSpace(n.Value), true
}

// words gives the scalars of a sequence with their nodes.
func (c *compiler) words(n *yaml.Node, what string) []*yaml.Node {
	n = follow(n)
	if n.Kind != yaml.SequenceNode {
		c.mistake(c.place(n), "wrong_type", "", "%s must be a list, not %s", what, kindOf(n))
		return nil
	}
	if !c.look(n, len(n.Content)) {
		return nil
	}
	var out []*yaml.Node
	for _, item := range n.Content {
		if _, ok := c.word(item, "an entry of "+what); ok {
			out = append(out, follow(item))
		}
	}
	return out
}

func isNothing(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && (n.Tag == "!!null" || strings.TrimSpace(n.Value) == "")
}

// kindOf says in plain words what a node is.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a group of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNothing(n):
		return "nothing"
	case n.Tag == "!!int", n.Tag == "!!float":
		return "the number " + shown(n.Value)
	case n.Tag == "!!bool":
		return "the yes or no " + shown(n.Value)
	default:
		return "the text " + shown(n.Value)
	}
}

func exactly(s string) string { return s }
