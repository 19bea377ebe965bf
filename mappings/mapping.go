// Package mappings is the language in which marketers say what an event means: raw
// stages and event names become canonical names, and canonical names become vendor
// events. Text is compiled once, with every mistake at its place; the compiled mapping
// is then applied by pure functions that see no clock, no network and no history.
//
// docs/mapping.md is the reference for those who write mappings.
package mappings

import (
	_ "embed" // the default mapping
	"maps"
	"slices"

	"tributary/canonical"
)

// A File is one mapping file: its name is what problems and rules are placed by.
type File struct {
	Name string
	Text []byte
}

//go:embed library/default.yaml
var defaultText string

// Default gives the mapping that ships with the product, comments and all: what `init`
// writes and what is printed when asked for. It compiles without errors and warnings.
func Default() File { return File{Name: "default.yaml", Text: []byte(defaultText)} }

// A Mapping is compiled text. It never changes; all methods may be called at the same
// time.
type Mapping struct {
	version      string
	vocabulary   []string
	names        map[string]name
	sections     map[string]*section
	destinations map[string]*destination
	amountMeans  map[string]string // folded billing period → basis; "" for otherwise
}

// A name is a canonical name.
type name struct {
	rank    int    // from 1 in funnel order; 0: not of the funnel
	counts  counts // which object's reports count it
	browser bool   // a browser may report it
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
	name      string
	at        place
	lifecycle map[string]rule
	company   map[string]rule
	pipelines map[string]map[string]rule // folded pipeline → folded stage
	events    map[string]rule
	ignore    []ignoreRule
}

// A rule names one raw value.
type rule struct {
	name string
	at   string // file:line
	from place
}

// A destination holds the lines of one key under destinations.
type destination struct {
	at     place
	routes map[string]canonical.Route
	places map[string]place
}

// Version names the text: "sha256:" and twelve hex digits over the files' contents in
// their order. File names do not count.
func (m *Mapping) Version() string { return m.version }

// Vocabulary gives the funnel's names in their order. The caller owns the slice.
func (m *Mapping) Vocabulary() []string { return slices.Clone(m.vocabulary) }

// Rank gives a name's place in the funnel, 1 the first; 0 is outside the funnel.
func (m *Mapping) Rank(name string) int { return m.names[name].rank }

// CountedBy says which object's reports count a name of the funnel: deal, contact or
// any; "" for every other name.
func (m *Mapping) CountedBy(name string) string { return string(m.names[name].counts) }

// Route gives what an event of this name becomes under one key of destinations: its own
// line, else the line "*". Ask first with the destination's configured name, then with
// its kind. The route's properties are shared: do not change them.
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
