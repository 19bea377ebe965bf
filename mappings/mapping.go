// Package mappings is the language in which marketers say what an event means: raw
// stages and event names become canonical names, and canonical names become vendor
// events. Text is compiled once, with every mistake at its place; the compiled mapping
// is then applied by pure functions that see no clock, no network and no history.
//
// docs/mapping.md is the reference for those who write mappings.
package mappings

import (
	"cmp"
	_ "embed" // the default mapping
	"maps"
	"slices"

	"tributary/canonical"
)

// A File is one mapping file: its name is what problems and rules are placed by.
type File struct {
	Name string
	Text []byte
	// Env holds the environment variables that the text names: see Read.
	Env map[string]string
}

//go:embed library/default.yaml
var defaultText string

// Default gives the mapping that ships with the product, comments and all: what `init`
// writes and what is printed when asked for. It compiles without errors and warnings.
func Default() File { return File{Name: "default.yaml", Text: []byte(defaultText)} }

//go:embed library/default.test.yaml
var defaultCases string

// DefaultCases gives the test cases of the default mapping, in the form of package cases:
// what `init` writes beside it.
func DefaultCases() File { return File{Name: "default.test.yaml", Text: []byte(defaultCases)} }

// A Mapping is compiled text. It never changes; all methods may be called at the same
// time.
type Mapping struct {
	version      string
	vocabulary   []string
	names        map[string]name
	sections     map[string]*section
	destinations map[string]*destination
	revenue      revenue
	contact      contactProperties
	looksAt      []string        // properties that expressions of lines look at
	aliases      map[string]rule // folded or snake-cased alias → its name
	recipes      map[string][]recipe
	recipesAt    place // where a missing recipe is reported
	quarantines  bool  // a section has quarantine rules
}

// A name is a canonical name.
type name struct {
	rank    int    // from 1 in funnel order; 0: not of the funnel
	counts  counts // which object's reports count it
	browser bool   // a browser may report it
	meaning string // one of meanings; "" is other
	often   string // one of oftens; "" is once
	recycle string // one of recycles; "" is suppress
}

// counts says which object's reports count a name.
type counts string

const (
	countDeal    counts = "deal"
	countContact counts = "contact"
	countAny     counts = "any"
)

// A section is what the mapping says about one way in or one configured source. A nil
// table was not given.
type section struct {
	name         string
	at           place
	lifecycle    map[string]rule
	company      map[string]rule
	leadStatus   map[string]rule
	pipelines    map[string]map[string]rule // folded pipeline → folded stage, won, lost
	properties   map[string]propertyRule    // [object.]property, folded
	objects      map[string]objectRule      // folded object type
	associations map[string]rule            // from_to_to or a label's type id
	events       map[string]rule
	ignore       []markRule
	quarantine   []markRule
	shape        *shape // json
}

// A rule names one raw value.
type rule struct {
	name  string
	at    string // file:line
	from  place
	alias bool // no line of the text: an alias of the name
}

// A destination holds the lines of one key under destinations.
type destination struct {
	at       place
	defaults *line // what lines inherit; nil: nothing
	routes   map[string]canonical.Route
	places   map[string]place
	lines    map[string]*line
}

// Version names the text: "sha256:" and twelve hex digits over the files' contents in
// their order. File names do not count.
func (m *Mapping) Version() string { return m.version }

// Vocabulary gives the funnel's names in their order. The caller owns the slice.
func (m *Mapping) Vocabulary() []string { return slices.Clone(m.vocabulary) }

// Rank gives a name's place in the funnel, 1 the first; 0 is outside the funnel.
func (m *Mapping) Rank(name string) int { return m.names[name].rank }

// Meanings says what every name stands for in reports: lead, opportunity, revenue, expansion
// or other. The caller owns the map.
func (m *Mapping) Meanings() map[string]string {
	out := make(map[string]string, len(m.names))
	for word, n := range m.names {
		out[word] = cmp.Or(n.meaning, "other")
	}
	return out
}

// CountedBy says which object's reports count a name of the funnel: deal, contact or
// any; "" for every other name.
func (m *Mapping) CountedBy(name string) string { return string(m.names[name].counts) }

// Route gives what an event of this name becomes under one key of destinations, as far as no
// event need be looked at: its own line, else the line "*". The route's properties are shared:
// do not change them. What becomes of one event says RouteOf.
func (m *Mapping) Route(destinationKey, eventName string) (canonical.Route, bool) {
	d, ok := m.destinations[destinationKey]
	if !ok {
		return canonical.Route{}, false
	}
	r, ok := d.routes[eventName]
	if !ok {
		r, ok = d.routes[anyName]
	}
	return r, ok
}

// Routes gives every line under one key of destinations by canonical name ("*" stands
// for any other name); nil where there are none.
func (m *Mapping) Routes(destinationKey string) map[string]canonical.Route {
	if d, ok := m.destinations[destinationKey]; ok {
		return maps.Clone(d.routes)
	}
	return nil
}

// Sections lists the keys under sources, sorted. Those that are no way in must be names
// of configured sources: see CheckConfigured.
func (m *Mapping) Sections() []string { return slices.Sorted(maps.Keys(m.sections)) }

// DestinationKeys lists the keys under destinations, sorted.
func (m *Mapping) DestinationKeys() []string { return slices.Sorted(maps.Keys(m.destinations)) }
