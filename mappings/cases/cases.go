// Package cases is the form of test cases that stand beside a mapping (*.test.yaml): a raw
// input and what is known of its person, and what is expected to become of it. It reads
// them, holds what came against what is expected, and rewrites expectations. It decides
// nothing and runs nothing.
//
// docs/mapping.md is the reference for those who write cases.
package cases

import (
	"time"

	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/mappings"
)

// Suffix is how the names of files with cases end.
const Suffix = ".test.yaml"

// A Suite is one file of cases.
type Suite struct {
	File mappings.File
	// Mapping lists the files that the cases are about, as written; none: whoever runs them says.
	Mapping []string
	// Destinations and Sources stand in for those of the configuration; nil: the file has none.
	Destinations map[string]Destination
	Sources      map[string]Source
	Cases        []Case
}

// A Destination is one that the cases are sent to.
type Destination struct {
	Kind     string
	Settings yaml.Node // the vendor's own
	Line     int
	Column   int
}

// A Source is what a source's configuration adds to the reading of its inputs.
type Source struct {
	Account, Region, Currency string
}

// A Case is one input and what is expected of it.
type Case struct {
	Name    string
	Now     time.Time // the clock
	History []Input   // came before, the oldest first
	Given   Input
	Known   Known
	To      []string // destinations that take part; none: all
	// With, where it has text, is a further mapping file that holds for this case: what the
	// mapping would say with a change.
	With mappings.File

	at     place
	item   *yaml.Node // the whole case
	expect *yaml.Node // nil: nothing is expected yet
}

// Line is where the case begins.
func (c Case) Line() int { return c.at.line }

// An Input is one raw input: a receipt without an id.
type Input struct {
	Receipt canonical.Receipt
	Line    int
}

// Known is what is known of the person besides what inputs say.
type Known struct {
	Identifiers []canonical.Identifier
	Touches     []canonical.Touch // clicks among them
	Since       time.Time         // since when the identifiers belong together
}

// An Outcome is what an input came to.
type Outcome struct {
	Fate           canonical.Fate
	Reason, Detail string           // of the fate
	Event          *canonical.Event // nil: none
	Destinations   []Result
}

// A Result is what one destination makes of the event.
type Result struct {
	Destination string
	Parts       []Part
}

// A Part is what the event becomes at a destination, or why it becomes nothing.
type Part struct {
	Name           string
	Sent           bool
	Reason, Detail string
	Body           []byte // JSON, or a JSON text; of what is sent
	Value          *canonical.Money
	Currency       string
}

type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }
