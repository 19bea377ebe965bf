package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

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

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

type pair struct{ key, value *yaml.Node }

// pairsOf gives the keys of a group with their values as they are written, aliases too;
// merge keys are expanded behind its own.
func pairsOf(n *yaml.Node) []pair {
	groups := maxMerged
	return pairsWithin(n, 0, &groups)
}

// maxMerged bounds how many groups are merged into one.
const maxMerged = 1000

func pairsWithin(n *yaml.Node, depth int, groups *int) []pair {
	var own, merged []pair
	if *groups--; *groups < 0 {
		return nil
	}
	if n = follow(n); n.Kind != yaml.MappingNode || depth > 8 {
		return nil
	}
	named := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := follow(n.Content[i]), n.Content[i+1]
		if key.Tag == "!!merge" {
			from := []*yaml.Node{value}
			if list := follow(value); list.Kind == yaml.SequenceNode {
				from = list.Content
			}
			for _, f := range from {
				merged = append(merged, pairsWithin(f, depth+1, groups)...)
			}
			continue
		}
		named[key.Value] = true
		own = append(own, pair{key, value})
	}
	for _, p := range merged {
		if !named[p.key.Value] {
			named[p.key.Value] = true
			own = append(own, p)
		}
	}
	return own
}

// get gives the value of a key, or nil.
func get(n *yaml.Node, key string) *yaml.Node {
	for _, p := range pairsOf(n) {
		if p.key.Value == key {
			return follow(p.value)
		}
	}
	return nil
}

// bodyOf gives the bytes of a body: a text as it stands, anything else as JSON in the
// order in which it is written.
func bodyOf(n *yaml.Node) ([]byte, error) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		if !json.Valid([]byte(n.Value)) {
			return nil, errors.New("is a text, and not one of JSON")
		}
		return []byte(n.Value), nil
	}
	return jsonOf(n)
}

// jsonOf writes a node as JSON, keys in their order and numbers as they are written.
func jsonOf(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	if err := writeJSON(&b, n, 0); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

const maxDepth = 64

var jsonNumber = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$`)

func writeJSON(b *bytes.Buffer, n *yaml.Node, depth int) error {
	if depth > maxDepth || b.Len() > maxFile {
		return errors.New("is too deep or too large")
	}
	switch n = follow(n); n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i, p := range pairsOf(n) {
			if i > 0 {
				b.WriteByte(',')
			}
			key, err := json.Marshal(p.key.Value)
			if err != nil {
				return err
			}
			b.Write(key)
			b.WriteByte(':')
			if err := writeJSON(b, p.value, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item, depth+1); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		return writeScalar(b, n)
	}
	return nil
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		b.WriteString("null")
	case "!!bool":
		var yes bool
		if err := n.Decode(&yes); err != nil {
			return err
		}
		b.WriteString(strconv.FormatBool(yes))
	case "!!int", "!!float":
		if !jsonNumber.MatchString(n.Value) {
			return fmt.Errorf("holds %q, which is no number of JSON; put it into quotes or write it out", n.Value)
		}
		b.WriteString(n.Value)
	default:
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(n.Value); err != nil {
			return err
		}
		b.Write(bytes.TrimRight(out.Bytes(), "\n"))
	}
	return nil
}

// nodeOf reads JSON into a node, keys in their order and numbers as they are written.
func nodeOf(text []byte) (*yaml.Node, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := readNode(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something behind the JSON")
	}
	return n, nil
}

func readNode(d *json.Decoder, depth int) (*yaml.Node, error) {
	if depth > maxDepth {
		return nil, errors.New("the JSON is too deep")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if t == '[' {
			n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		}
		for d.More() {
			if t == '{' {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.Content = append(n.Content, textNode(key.(string)))
			}
			item, err := readNode(d, depth+1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, item)
		}
		_, err := d.Token()
		return n, err
	case json.Number:
		tag := "!!int"
		if _, err := strconv.ParseInt(t.String(), 10, 64); err != nil {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(t)}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case string:
		return textNode(t), nil
	}
	return nil, fmt.Errorf("unexpected %v", t)
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

var plainNumber = regexp.MustCompile(`^-?[0-9]{1,40}(?:\.[0-9]{1,40})?$`)

// sameScalar is true for one text, or one number however it is written.
func sameScalar(a, b *yaml.Node) bool {
	if a.Value == b.Value && isNull(a) == isNull(b) {
		return true
	}
	if !plainNumber.MatchString(a.Value) || !plainNumber.MatchString(b.Value) {
		return false
	}
	x, ok := new(big.Rat).SetString(a.Value)
	y, fine := new(big.Rat).SetString(b.Value)
	return ok && fine && x.Cmp(y) == 0
}
