package webhook

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/destinations"
)

// A node is one value of a body: written out of the template's own YAML, so that whatever
// an event holds can only ever fill a value, never the shape.
type node struct {
	keys     []string // of a mapping; values stand in the same order
	values   []*node
	kind     yaml.Kind // MappingNode, SequenceNode, ScalarNode
	constant []byte    // a scalar without {{ }}, as JSON
	text     *text
}

// Bounds on a template and on what comes out of it.
const (
	maxNodes = 2000
	maxDepth = 50
	maxBody  = 4 << 20 // of one event, in bytes
)

// compiler reads a template and gathers its mistakes.
type compiler struct {
	section  *destinations.Section
	settings Settings
	path     string
	nodes    int
}

func (c *compiler) mistake(at *yaml.Node, format string, args ...any) {
	c.section.Place(destinations.Problem{Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}, c.path)
}

// compileBody compiles the template of one event's body. It is tried on an event that has
// nothing at all, so that a template that fails for want of a field says so at once.
func compileBody(s *destinations.Section, n *yaml.Node, settings Settings) *node {
	c := &compiler{section: s, settings: settings, path: "body"}
	before := len(s.Problems())
	out := c.node(n, 0)
	if len(s.Problems()) > before {
		return nil
	}
	return out
}

func (c *compiler) node(n *yaml.Node, depth int) *node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if c.nodes++; c.nodes > maxNodes || depth > maxDepth {
		if c.nodes <= maxNodes+1 {
			c.mistake(n, "the body is too large: at most %d values, %d deep", maxNodes, maxDepth)
		}
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n, depth)
	case yaml.SequenceNode:
		out := &node{kind: n.Kind}
		for _, e := range n.Content {
			out.values = append(out.values, c.node(e, depth+1))
		}
		return out
	}
	return c.scalar(n)
}

func (c *compiler) mapping(n *yaml.Node, depth int) *node {
	out := &node{kind: n.Kind}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			c.mistake(key, "a key of the body must be plain text (is {{ }} in quotes?)")
		case strings.Contains(key.Value, "{{"):
			c.mistake(key, "a key of the body cannot hold {{ }}: only values are filled in")
		case seen[key.Value]:
			c.mistake(key, "%q stands here twice", key.Value)
		}
		seen[key.Value] = true
		out.keys = append(out.keys, key.Value)
		out.values = append(out.values, c.node(n.Content[i+1], depth+1))
	}
	return out
}

func (c *compiler) scalar(n *yaml.Node) *node {
	out := &node{kind: yaml.ScalarNode}
	var v any
	switch n.Tag {
	case "!!int", "!!float", "!!bool", "!!null":
		if err := n.Decode(&v); err != nil {
			c.mistake(n, "%q cannot be read", n.Value)
			return out
		}
	default:
		if strings.Contains(n.Value, "{{") {
			out.text = c.text(n, n.Value)
			return out
		}
		v = n.Value
	}
	b, err := destinations.JSON(v)
	if err != nil { // .inf and .nan
		c.mistake(n, "%q is no value of JSON", n.Value)
	}
	out.constant = b
	return out
}

// write writes the value for an event. given is false where it is left out: a value that
// came to nothing (nil).
func (n *node) write(w *bytes.Buffer, f *fields) (given bool, err error) {
	switch n.kind {
	case yaml.MappingNode:
		return true, n.list(w, f, '{', '}')
	case yaml.SequenceNode:
		return true, n.list(w, f, '[', ']')
	}
	if n.text == nil {
		w.Write(n.constant)
		return true, nil
	}
	v, err := n.text.value(f)
	if err != nil || v == nil {
		return false, err
	}
	b, err := destinations.JSON(v)
	if err != nil {
		return false, fmt.Errorf("%s is no value of JSON", n.text.source)
	}
	w.Write(b)
	return true, nil
}

func (n *node) list(w *bytes.Buffer, f *fields, open, end byte) error {
	w.WriteByte(open)
	first := true
	for i, v := range n.values {
		at := w.Len()
		if !first {
			w.WriteByte(',')
		}
		if n.keys != nil {
			key, err := destinations.JSON(n.keys[i])
			if err != nil {
				return err
			}
			w.Write(key)
			w.WriteByte(':')
		}
		given, err := v.write(w, f)
		if err != nil {
			return err
		}
		if w.Len() > maxBody {
			return fmt.Errorf("the body is larger than %d bytes", maxBody)
		}
		if !given { // left out with its key
			w.Truncate(at)
			continue
		}
		first = false
	}
	w.WriteByte(end)
	return nil
}

// render gives an event's body.
func (n *node) render(f *fields) ([]byte, error) {
	var w bytes.Buffer
	given, err := n.write(&w, f)
	switch {
	case err != nil:
		return nil, err
	case !given:
		return []byte("null"), nil
	case w.Len() > maxBody:
		return nil, fmt.Errorf("the body is larger than %d bytes", maxBody)
	}
	return w.Bytes(), nil
}

// asText writes a value as it stands inside a text: numbers without exponent, nothing for
// nil, lists and objects as JSON.
func asText(v any) (string, error) {
	switch v := plain(v).(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	default:
		b, err := destinations.JSON(v)
		return string(b), err
	}
}
