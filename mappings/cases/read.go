package cases

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/mappings"
)

// maxFile bounds a file of cases: as far as one of a mapping.
const maxFile = 1 << 20

// Read reads one file of cases. All mistakes are reported at once; with one the suite is
// nil.
func Read(f mappings.File) (*Suite, []mappings.Problem) {
	r := &reader{file: f.Name}
	s := &Suite{File: f}
	if top := r.top(f); top != nil {
		r.suite(s, top)
	}
	if len(r.list) > 0 {
		return nil, r.list
	}
	return s, nil
}

// A reader gathers what is wrong.
type reader struct {
	file string
	list []mappings.Problem
}

func (r *reader) mistake(at *yaml.Node, code, suggestion, format string, args ...any) {
	p := mappings.Problem{File: r.file, Code: code, Suggestion: suggestion, Message: fmt.Sprintf(format, args...)}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	if len(r.list) < 100 {
		r.list = append(r.list, p)
	}
}

var syntaxLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

func (r *reader) top(f mappings.File) *yaml.Node {
	if len(f.Text) > maxFile {
		r.mistake(nil, "too_large", "", "the file is larger than %d KiB; split it", maxFile>>10)
		return nil
	}
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(f.Text))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.mistake(nil, "empty_file", "", "the file is empty")
		return nil
	case err != nil:
		text, _, _ := strings.Cut(err.Error(), "\n")
		parts := syntaxLine.FindStringSubmatch(text)
		at := &yaml.Node{Line: 1, Column: 1}
		if n, err := strconv.Atoi(parts[1]); err == nil {
			at.Line = n
		}
		r.mistake(at, "syntax", "", "this is not YAML: %s", parts[2])
		return nil
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		r.mistake(&doc, "wrong_type", "", "a file of cases must be a group of keys, with cases among them")
		return nil
	}
	return doc.Content[0]
}

func (r *reader) suite(s *Suite, top *yaml.Node) {
	keys := r.fields(top, "the file", "mapping", "now", "sources", "destinations", "cases")
	now := r.time(keys["now"])
	if n := keys["mapping"]; n != nil {
		if n.Kind == yaml.ScalarNode {
			s.Mapping = append(s.Mapping, r.text(n, "mapping"))
		} else {
			for _, item := range r.items(n, "mapping") {
				s.Mapping = append(s.Mapping, r.text(item, "an entry of mapping"))
			}
		}
	}
	r.sources(s, keys["sources"])
	r.destinations(s, keys["destinations"])
	n := keys["cases"]
	if n == nil {
		r.mistake(top, "no_cases", "", "the file has no cases")
		return
	}
	named := map[string]int{}
	for _, item := range r.items(n, "cases") {
		c, ok := r.caseOf(item, now)
		if !ok {
			continue
		}
		if before, twice := named[c.Name]; twice {
			r.mistake(item, "duplicate_name", "", "a case of this name stands on line %d already", before)
		}
		named[c.Name] = item.Line
		s.Cases = append(s.Cases, c)
	}
}

func (r *reader) sources(s *Suite, n *yaml.Node) {
	if n == nil {
		return
	}
	s.Sources = map[string]Source{}
	r.each(n, "sources", func(key, value *yaml.Node) {
		f := r.fields(value, "sources."+key.Value, "account", "region", "currency")
		s.Sources[key.Value] = Source{Account: r.text(f["account"], "account"), Region: r.text(f["region"], "region"), Currency: r.text(f["currency"], "currency")}
	})
}

func (r *reader) destinations(s *Suite, n *yaml.Node) {
	if n == nil {
		return
	}
	s.Destinations = map[string]Destination{}
	r.each(n, "destinations", func(key, value *yaml.Node) {
		f := r.fields(value, "destinations."+key.Value, "kind", "settings")
		d := Destination{Kind: key.Value, Line: value.Line, Column: value.Column}
		if k := f["kind"]; k != nil {
			d.Kind = r.text(k, "kind")
		}
		if settings := f["settings"]; settings != nil {
			d.Settings = *settings
		}
		s.Destinations[key.Value] = d
	})
}

func (r *reader) caseOf(n *yaml.Node, now time.Time) (Case, bool) {
	before := len(r.list)
	f := r.fields(n, "a case", "name", "now", "with", "to", "history", "given", "known", "expect")
	if len(r.list) > before {
		return Case{}, false
	}
	c := Case{Name: r.text(f["name"], "name"), Now: now, at: placeOf(n), item: n, expect: f["expect"]}
	if c.Name == "" {
		r.mistake(n, "no_name", "", "a case needs a name: a sentence that says what it holds the mapping to")
	}
	if f["now"] != nil {
		c.Now = r.time(f["now"])
	}
	if c.Now.IsZero() && f["now"] == nil {
		r.mistake(n, "no_clock", "", "the case does not say when it is run: give it, or the file, a now, such as now: 2026-04-23T12:00:00Z")
	}
	if f["history"] != nil {
		for _, item := range r.items(f["history"], "history") {
			c.History = append(c.History, r.input(item, "an entry of history", c.Now))
		}
	}
	if f["given"] == nil {
		r.mistake(n, "no_input", "", "the case has no given: the raw input that it is about")
	} else {
		c.Given = r.input(f["given"], "given", c.Now)
	}
	for i := range c.History {
		c.History[i].Receipt.ID = canonical.ReceiptID("case-history-" + strconv.Itoa(i+1))
	}
	c.Given.Receipt.ID = "case-given"
	if f["known"] != nil {
		c.Known = r.known(f["known"])
	}
	if f["to"] != nil {
		for _, item := range r.items(f["to"], "to") {
			c.To = append(c.To, r.text(item, "an entry of to"))
		}
	}
	if f["with"] != nil {
		c.With = r.with(f["with"])
	}
	if c.expect != nil {
		r.expected(c.expect)
	}
	return c, len(r.list) == before
}

// with writes what a case adds to the mapping as a file of its own.
func (r *reader) with(n *yaml.Node) mappings.File {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.mistake(n, "wrong_type", "", "with must be a group of keys: what the mapping says beside its files in this case")
		return mappings.File{}
	}
	line := n.Line
	plain, err := jsonOf(n)
	if err == nil {
		n, err = nodeOf(plain)
	}
	if err != nil {
		r.mistake(&yaml.Node{Line: line, Column: 1}, "wrong_type", "", "with %v", err)
		return mappings.File{}
	}
	text := render(n)
	if get(n, "version") == nil {
		text = "version: 1\n" + text
	}
	return mappings.File{Name: r.file + " (with, line " + strconv.Itoa(line) + ")", Text: []byte(text)}
}

// expected holds an expectation against what can be expected.
func (r *reader) expected(n *yaml.Node) {
	if isNull(n) { // written by --update
		return
	}
	r.fields(n, "expect", expectable...)
}

func (r *reader) input(n *yaml.Node, what string, now time.Time) Input {
	f := r.fields(n, what, "way", "source", "browser", "received_at", "context", "body", "read")
	in := Input{Line: n.Line, Receipt: canonical.Receipt{ReceivedAt: now, Source: "hubspot"}}
	if f["received_at"] != nil {
		in.Receipt.ReceivedAt = r.time(f["received_at"])
	}
	if f["body"] == nil {
		r.mistake(n, "no_body", "", "%s has no body: what was sent, as YAML or as a text of JSON", what)
		return in
	}
	body, err := bodyOf(f["body"])
	if err != nil {
		r.mistake(f["body"], "bad_body", "", "the body %v", err)
		return in
	}
	in.Receipt.Body = body
	in.Receipt.Way = GuessWay(body)
	if f["way"] != nil {
		way := r.text(f["way"], "way")
		if in.Receipt.Way = canonical.Way(way); !slices.Contains(ways, way) {
			r.mistake(f["way"], "unknown_way", mappings.Nearest(way, ways), "%q is no way in; choose one of %s", way, strings.Join(ways, ", "))
		}
	}
	in.Receipt.Source = SourceOf(in.Receipt.Way)
	if in.Receipt.Way == "" {
		r.mistake(f["body"], "no_way", "", "nothing in the body says which way in it came by; write way: with one of %s", strings.Join(ways, ", "))
	}
	if f["source"] != nil {
		in.Receipt.Source = r.text(f["source"], "source")
	}
	if b := f["browser"]; b != nil && b.Decode(&in.Receipt.Browser) != nil {
		r.mistake(b, "wrong_type", "", "browser must be true or false")
	}
	if in.Receipt.Way == canonical.WayPixel && f["browser"] == nil {
		in.Receipt.Browser = true
	}
	if f["context"] != nil {
		in.Receipt.Context = map[string]string{}
		r.each(f["context"], "context", func(key, value *yaml.Node) { in.Receipt.Context[key.Value] = r.text(value, "context."+key.Value) })
	}
	if f["read"] != nil {
		in.Receipt.Completion = &canonical.Completion{Of: "case", ReadAt: in.Receipt.ReceivedAt}
		r.decode(f["read"], "read", &in.Receipt.Completion.Objects)
	}
	return in
}

// schemes are what a person can be known by.
var schemes = []string{"hubspot_contact", "email", "phone", "user_id", "lead_id", "anonymous", "hubspotutk", "fbp", "fbclid", "gclid", "gbraid", "wbraid", "li_fat_id", "msclkid", "ttclid"}

func (r *reader) known(n *yaml.Node) Known {
	var k Known
	f := r.fields(n, "known", "since", "identifiers", "clicks", "touches")
	k.Since = r.time(f["since"])
	if f["identifiers"] != nil {
		r.each(f["identifiers"], "known.identifiers", func(key, value *yaml.Node) {
			if !slices.Contains(schemes, key.Value) {
				r.mistake(key, "unknown_key", mappings.Nearest(key.Value, schemes), "nobody is known by %q; choose among %s", key.Value, strings.Join(schemes, ", "))
				return
			}
			values := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				values = value.Content
			}
			for _, v := range values {
				id := canonical.Identifier{Scheme: canonical.Scheme(key.Value), Value: r.text(v, key.Value)}
				switch id.Scheme {
				case canonical.Email:
					id.Value = hashed(id.Value, canonical.EmailHash(id.Value))
				case canonical.Phone:
					id.Value = hashed(id.Value, canonical.PhoneHash(id.Value, ""))
				}
				if id.Value == "" {
					r.mistake(v, "bad_identifier", "", "this is no %s", key.Value)
				}
				k.Identifiers = append(k.Identifiers, id)
			}
		})
	}
	if f["clicks"] != nil {
		var clicks []canonical.Click
		r.decode(f["clicks"], "known.clicks", &clicks)
		for _, c := range clicks {
			k.Touches = append(k.Touches, canonical.Touch{Kind: "ad_click", At: c.At, Clicks: []canonical.Click{c}})
		}
	}
	if f["touches"] != nil {
		var touches []canonical.Touch
		r.decode(f["touches"], "known.touches", &touches)
		k.Touches = append(k.Touches, touches...)
	}
	for _, t := range k.Touches {
		if t.At.IsZero() {
			r.mistake(n, "no_time", "", "a click or touch has no time: at")
			break
		}
	}
	return k
}

func hashed(given, hash string) string {
	if canonical.IsHash(given) {
		return given
	}
	return hash
}

// fields gives the values of a group whose keys are known. Other keys are mistakes.
func (r *reader) fields(n *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	r.each(n, what, func(key, value *yaml.Node) {
		if !slices.Contains(known, key.Value) {
			r.mistake(key, "unknown_key", mappings.Nearest(key.Value, known), "unknown key %q in %s; known are %s", key.Value, what, strings.Join(known, ", "))
			return
		}
		out[key.Value] = value
	})
	return out
}

func (r *reader) each(n *yaml.Node, what string, visit func(key, value *yaml.Node)) {
	n = follow(n)
	if n.Kind != yaml.MappingNode {
		r.mistake(n, "wrong_type", "", "%s must be a group of keys", what)
		return
	}
	seen := map[string]int{}
	for _, p := range pairsOf(n) {
		if line, twice := seen[p.key.Value]; twice {
			r.mistake(p.key, "duplicate_key", "", "%q stands twice in %s; it is on line %d already", p.key.Value, what, line)
			continue
		}
		seen[p.key.Value] = p.key.Line
		visit(p.key, follow(p.value))
	}
}

func (r *reader) items(n *yaml.Node, what string) []*yaml.Node {
	if n = follow(n); n.Kind != yaml.SequenceNode {
		r.mistake(n, "wrong_type", "", "%s must be a list", what)
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, item := range n.Content {
		out[i] = follow(item)
	}
	return out
}

func (r *reader) text(n *yaml.Node, what string) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || isNull(n) {
		r.mistake(n, "wrong_type", "", "%s must be a text", what)
		return ""
	}
	return n.Value
}

func (r *reader) time(n *yaml.Node) time.Time {
	if n == nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		r.mistake(n, "bad_time", "", "%q is no time; write it like 2026-04-23T12:00:00Z", n.Value)
	}
	return t.UTC()
}

// decode reads a value into one of our own types, strictly.
func (r *reader) decode(n *yaml.Node, what string, into any) {
	text, err := jsonOf(n)
	if err != nil {
		r.mistake(n, "wrong_type", "", "%s %v", what, err)
		return
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		r.mistake(n, "wrong_type", "", "%s: %s", what, strings.TrimPrefix(err.Error(), "json: "))
	}
}

// Names lists the destinations of a suite, sorted; nil where it has none of its own.
func (s *Suite) Names() []string { return slices.Sorted(maps.Keys(s.Destinations)) }
