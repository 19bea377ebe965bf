// Package identity says who an event belongs to. What receipts state (FactsOf) is kept
// as a log of facts; the graph of persons and accounts is a pure fold of that log, whose
// result does not depend on the order of the facts. docs/identity.md says why.
//
// The core (facts, partition, fold) does no I/O and reads no clock. A View is the fold of
// one log over a Store, which is a cache: deleting it and folding the log again gives the
// same state. One goroutine folds, any number reads.
package identity

import (
	"time"

	"tributary/canonical"
)

// A Folded is a fact with its place in the log.
type Folded struct {
	Offset int64
	Fact   canonical.Fact
}

// An Override says that from Offset on a node belongs to Root. A node without one is its
// own root.
type Override struct {
	Offset  int64
	Node    canonical.NodeID
	Root    canonical.NodeID
	Account bool // of the account graph; else of the person graph
}

// A Collision is an identifier whose node id belongs to another one already. The one
// that the log named first keeps the id; what facts say of the other is not folded.
type Collision struct {
	Node   canonical.NodeID
	Kept   canonical.Identifier
	Lost   canonical.Identifier
	Offset int64 // of the first fact that named the lost one
}

// Bounds of what a View keeps and gives of one node or person.
const (
	lastTouches    = 20   // newest touches of a node, of each class; the first is kept beside them
	lastClicks     = 20   // newest click ids of a node, of each scheme
	knownTouches   = 100  // newest touches of a person that Known looks at, of each class
	knownPerScheme = 10   // identifiers of one scheme in Known
	knownAll       = 50   // identifiers in Known
	wholeBlock     = 1024 // a changed cluster up to this size is overridden whole
)

// A graph tells which nodes may be joined: people with people, accounts with accounts.
type graph byte

const (
	noGraph graph = iota // deals and whatever is no identifier
	people
	accounts
)

func graphOf(s canonical.Scheme) graph {
	switch {
	case s == "" || s == canonical.HubSpotDeal:
		return noGraph
	case s.IsAccount():
		return accounts
	}
	return people
}

// anchors is true for identifiers that say who somebody is: a weak link never joins two
// clusters that both hold one. A telephone is shared by an office as a device is.
func anchors(s canonical.Scheme) bool {
	return graphOf(s) == people && !s.IsWeak() && s != canonical.Phone
}

// nanos is a time as the store orders it; times outside the range of nanoseconds take
// its ends.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(earliest):
		return earliest.UnixNano()
	case t.After(latest):
		return latest.UnixNano()
	}
	return t.UnixNano()
}

var (
	earliest = time.Date(1680, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2260, 1, 1, 0, 0, 0, 0, time.UTC)
)

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }
