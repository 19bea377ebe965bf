package cases

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
)

// expectable are the keys of an expectation: what became of the input, fields of its event,
// destinations, and texts that must stand in no body.
var expectable = append([]string{"fate", "quarantined", "detail", "destinations", "nowhere"}, eventKeys...)

// eventKeys are the fields of an event that can be expected, as its JSON names them but
// for event, id and recipe.
var eventKeys = []string{
	"event", "id", "recipe", "ignored", "stage", "rank", "counted_by", "covered_by", "echo", "occurred_at", "time_basis", "reported_as",
	"object", "pipeline", "raw_stage", "revenue", "touch", "contact", "contacts", "company", "consent", "properties", "known",
}

// A Verdict is what a case came to against what it expects.
type Verdict struct {
	OK   bool
	Diff string   // what is expected and what came, line by line; "" where OK
	Says []string // what the diff does not show
	// expect is the expectation as it would have to be.
	expect *yaml.Node
}

// Judge holds an outcome against what a case expects. Only what is expected is looked at:
// groups may hold more than is named, lists may not. A case that expects nothing fails,
// and its verdict holds all that came.
func (c Case) Judge(o Outcome) (Verdict, error) {
	if c.expect == nil || isNull(c.expect) {
		all, err := whole(o)
		if err != nil {
			return Verdict{}, err
		}
		return Verdict{expect: all, Diff: lineDiff("", render(all)), Says: []string{"the case expects nothing yet"}}, nil
	}
	actual, err := document(o, c.expect)
	if err != nil {
		return Verdict{}, err
	}
	got, same := project(c.expect, actual)
	v := Verdict{OK: same, expect: got}
	if list := get(c.expect, "nowhere"); list != nil {
		v.Says = nowhere(list, o)
		v.OK = v.OK && len(v.Says) == 0
	}
	if !same {
		v.Diff = lineDiff(render(c.expect), render(got))
	}
	return v, nil
}

// Expected lists the destinations of which the case expects something.
func (c Case) Expected() []string {
	if c.expect == nil {
		return nil
	}
	var out []string
	if n := get(c.expect, "destinations"); n != nil {
		for _, p := range pairsOf(n) {
			out = append(out, p.key.Value)
		}
	}
	return out
}

// document writes an outcome in the form in which it is expected.
func document(o Outcome, expect *yaml.Node) (*yaml.Node, error) {
	doc, err := eventDocument(o)
	if err != nil {
		return nil, err
	}
	if list := get(expect, "nowhere"); list != nil {
		set(doc, "nowhere", list)
	}
	wanted := get(expect, "destinations")
	if wanted == nil {
		return doc, nil
	}
	all, err := o.destinations(wanted)
	if err != nil {
		return nil, err
	}
	set(doc, "destinations", all)
	return doc, nil
}

// destinations writes what every destination gets, in the shape of what is wanted of it (nil:
// all of it).
func (o Outcome) destinations(wanted *yaml.Node) (*yaml.Node, error) {
	all := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, r := range o.Destinations {
		var shape *yaml.Node
		if wanted != nil {
			shape = get(wanted, r.Destination)
		}
		n, err := r.node(shape)
		if err != nil {
			return nil, err
		}
		set(all, r.Destination, n)
	}
	return all, nil
}

// whole is the expectation that --update writes for a case that has none: what tells one
// event from another, and all that every destination gets.
func whole(o Outcome) (*yaml.Node, error) {
	doc, err := eventDocument(o)
	if err != nil {
		return nil, err
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, key := range []string{"event", "id", "stage", "counted_by", "covered_by", "ignored", "revenue"} {
		if n := get(doc, key); n != nil {
			set(out, key, n)
		}
	}
	for _, key := range []string{"fate", "quarantined"} {
		if n := get(doc, key); n != nil && o.Event == nil {
			set(out, key, n)
		}
	}
	if len(o.Destinations) == 0 {
		return out, nil
	}
	all, err := o.destinations(nil)
	if err != nil {
		return nil, err
	}
	set(out, "destinations", all)
	return out, nil
}

// eventDocument writes what the input became.
func eventDocument(o Outcome) (*yaml.Node, error) {
	doc := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	set(doc, "fate", textNode(string(o.Fate)))
	if o.Fate == canonical.FateQuarantined {
		set(doc, "quarantined", textNode(o.Reason))
	}
	if o.Detail != "" {
		set(doc, "detail", textNode(o.Detail))
	}
	if o.Event == nil {
		return doc, nil
	}
	text, err := json.Marshal(o.Event)
	if err != nil {
		return nil, err
	}
	event, err := nodeOf(text)
	if err != nil {
		return nil, err
	}
	names := map[string]string{"event_id": "id", "name": "event", "id_recipe": "recipe"}
	for _, p := range pairsOf(event) {
		key := p.key.Value
		if other := names[key]; other != "" {
			key = other
		}
		if slices.Contains(eventKeys, key) {
			set(doc, key, p.value)
		}
	}
	return doc, nil
}

func set(n *yaml.Node, key string, value *yaml.Node) {
	n.Content = append(n.Content, textNode(key), value)
}

// node writes what a destination makes of an event in the form in which it is expected: a
// word, one part, or parts by name. Without an expectation the form is the shortest that
// says all.
func (r Result) node(expect *yaml.Node) (*yaml.Node, error) {
	one := r.speaks(expect)
	switch {
	case expect == nil:
		return r.natural()
	case get(expect, "parts") != nil:
		parts := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, p := range r.Parts {
			n, err := p.node(get(get(expect, "parts"), p.Name))
			if err != nil {
				return nil, err
			}
			set(parts, p.Name, n)
		}
		out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		set(out, "parts", parts)
		return out, nil
	}
	return one.node(expect)
}

// speaks chooses the part that stands for the destination where one is expected: one that
// fits the word, else the first that is sent, else the first.
func (r Result) speaks(expect *yaml.Node) Part {
	if len(r.Parts) == 0 {
		return Part{}
	}
	sent := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Sent })
	if sent >= 0 {
		return r.Parts[sent]
	}
	for _, p := range r.Parts {
		if expect != nil && expect.Kind == yaml.ScalarNode && p.word() == expect.Value {
			return p
		}
	}
	return r.Parts[0]
}

func (r Result) natural() (*yaml.Node, error) {
	if len(r.Parts) == 1 || !slices.ContainsFunc(r.Parts, func(p Part) bool { return p.Sent || p.Reason != r.Parts[0].Reason }) {
		return r.speaks(nil).node(nil)
	}
	parts := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, p := range r.Parts {
		n, err := p.node(nil)
		if err != nil {
			return nil, err
		}
		set(parts, p.Name, n)
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	set(out, "parts", parts)
	return out, nil
}

// word says what became of a part: sent, or the reason why it is not.
func (p Part) word() string {
	switch {
	case p.Sent:
		return "sent"
	case p.Reason == "":
		return "not_sent"
	}
	return p.Reason
}

// node writes a part in the form in which it is expected: a word or a group.
func (p Part) node(expect *yaml.Node) (*yaml.Node, error) {
	if expect != nil && expect.Kind == yaml.ScalarNode || !p.Sent && (expect == nil || get(expect, "reason") == nil && get(expect, "outcome") == nil) {
		return textNode(p.word()), nil // a group that names no reason is one of what is sent
	}
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	add := func(key, value string) {
		if value != "" && expect != nil {
			set(out, key, textNode(value))
		}
	}
	add("part", p.Name)
	add("outcome", p.word())
	add("reason", p.Reason)
	add("detail", p.Detail)
	if p.Value != nil && expect != nil {
		text, err := json.Marshal(p.Value)
		if err != nil {
			return nil, err
		}
		n, err := nodeOf(text)
		if err != nil {
			return nil, err
		}
		set(out, "value", n)
		add("currency", p.Currency)
	}
	if len(p.Body) > 0 {
		body, err := nodeOf(p.Body)
		if err != nil {
			return nil, fmt.Errorf("read the body of part %s: %w", p.Name, err)
		}
		set(out, "body", body)
	}
	return out, nil
}

// project gives what came, as far as it was expected, and whether the two are the same. An
// expected null stands for what is not there.
func project(expect, actual *yaml.Node) (*yaml.Node, bool) {
	if written := expect; written.Kind == yaml.AliasNode {
		got, same := project(follow(written), actual)
		if same {
			return written, true
		}
		if got != nil && got.Anchor != "" {
			got = &yaml.Node{Kind: got.Kind, Tag: got.Tag, Value: got.Value, Style: got.Style, Content: got.Content}
		}
		return got, false
	}
	switch {
	case actual == nil:
		return nil, isNull(expect)
	case isNull(expect):
		return actual, isNull(actual)
	case expect.Kind != actual.Kind:
		return actual, false
	case expect.Kind == yaml.ScalarNode:
		if sameScalar(expect, actual) {
			return expect, true
		}
		return actual, false
	case expect.Kind == yaml.SequenceNode:
		if len(expect.Content) != len(actual.Content) {
			return actual, false
		}
		out, same := *expect, true
		out.Content = nil
		for i := range expect.Content {
			n, ok := project(expect.Content[i], actual.Content[i])
			out.Content, same = append(out.Content, n), same && ok
		}
		return &out, same
	}
	out, same := *expect, true
	out.Content = nil
	for _, p := range pairsOf(expect) {
		n, ok := project(p.value, get(actual, p.key.Value))
		same = same && ok
		if n == nil && ok {
			n = p.value // a null that holds
		}
		if n != nil {
			out.Content = append(out.Content, p.key, n)
		}
	}
	return &out, same
}

// nowhere says which of the texts stand in a body that is sent.
func nowhere(list *yaml.Node, o Outcome) []string {
	var says []string
	for _, item := range follow(list).Content {
		text := follow(item).Value
		for _, r := range o.Destinations {
			for _, p := range r.Parts {
				if p.Sent && stands(text, p.Body) {
					says = append(says, fmt.Sprintf("%s stands in what %s is sent, and nowhere says that it must not (line %d)", text, r.Destination, item.Line))
				}
			}
		}
	}
	return says
}

// stands is true for a text that is a value of a body or a word within one.
func stands(text string, body []byte) bool {
	n, err := nodeOf(body)
	if err != nil {
		return bytes.Contains(body, []byte(text))
	}
	wanted := textNode(text)
	var within func(n *yaml.Node) bool
	within = func(n *yaml.Node) bool {
		if n.Kind == yaml.ScalarNode {
			return !isNull(n) && (sameScalar(wanted, n) || slices.ContainsFunc(strings.FieldsFunc(n.Value, func(r rune) bool {
				return strings.ContainsRune(" \t\n\"'<>()[]{},;:=&", r)
			}), func(word string) bool { return sameScalar(wanted, textNode(word)) }))
		}
		return slices.ContainsFunc(n.Content, within)
	}
	return within(n)
}

// render writes a node as it would stand in a file.
func render(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		return err.Error() + "\n"
	}
	e.Close()
	return b.String()
}
