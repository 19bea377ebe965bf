package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/eventlog"
)

// Statements reads and writes what stands in the identity log: the graph keeps what follows
// from it, and not who said it.
type Statements struct {
	Log    eventlog.Log
	Topics eventlog.Topics
	View   *identity.View
	// Archive holds the facts again, and finds them by node.
	Archive interface {
		FactsAmong(ctx context.Context, nodes []canonical.NodeID, least int, kinds []canonical.FactKind, limit int, each func(offset int64, fact []byte) error) error
		LastFact(ctx context.Context) (int64, error)
	}
}

// Bounds of a look at the identity log.
const (
	mostFound    = 5000             // facts given
	mostLooked   = 2_000_000        // facts read from the log
	longestLook  = 20 * time.Second // in the log
	factsInOneGo = 2000
	foldedInTime = 5 * time.Second
)

// State appends a fact and returns once it is durable, with its offset; folded says whether
// this process has folded it too, which it waits for some seconds.
func (s *Statements) State(ctx context.Context, f canonical.Fact) (offset int64, folded bool, err error) {
	r, err := encode(eventlog.TypeFact, "", f)
	if err != nil {
		return 0, false, err
	}
	placed, err := s.Log.Append(ctx, s.Topics.Identity, r)
	if err != nil {
		return 0, false, fmt.Errorf("append a statement: %w", err)
	}
	wait, cancel := context.WithTimeout(ctx, foldedInTime)
	defer cancel()
	return placed[0].Offset, s.View.Wait(wait, placed[0].Offset) == nil, nil
}

// Among finds the facts of some kinds that name at least so many of some nodes, in the
// order of the log: from the warehouse, and what it does not hold yet, or cannot tell,
// from the log itself. gap says in words what was not looked at or does not answer; "" when
// nothing.
func (s *Statements) Among(ctx context.Context, nodes []canonical.NodeID, least int, kinds ...canonical.FactKind) (found []identity.Folded, gap string, err error) {
	end := s.View.Offset()
	take := func(offset int64, f canonical.Fact) {
		if len(found) < mostFound && slices.Contains(kinds, f.Kind) && nodesOf(f, nodes) >= least && !s.View.Names(offset, f) {
			found = append(found, identity.Folded{Offset: offset, Fact: f})
		}
	}
	last, err := s.Archive.LastFact(ctx)
	if err == nil {
		err = s.Archive.FactsAmong(ctx, nodes, least, kinds, mostFound, func(offset int64, b []byte) error {
			f, err := decode[canonical.Fact](eventlog.Record{Topic: s.Topics.Identity, Offset: offset, Version: eventlog.Schema, Value: b})
			take(offset, f)
			return err
		})
	}
	away := err != nil
	if away {
		last, found = -1, nil
	}
	read, err := s.read(ctx, last+1, end, take)
	switch {
	case err != nil:
		return nil, "", err
	case read < end && away:
		gap = fmt.Sprintf("ClickHouse does not answer, and the log was read up to offset %d of %d", read, end)
	case read < end:
		gap = fmt.Sprintf("ClickHouse and the log were read up to offset %d of %d", read, end)
	case away:
		gap = "ClickHouse does not answer: the log was read instead"
	case len(found) == mostFound:
		gap = fmt.Sprintf("only the first %d statements were read", mostFound)
	}
	return found, gap, nil
}

// read takes the facts of the log from one offset to another, as far as its bounds go, and
// says how far.
func (s *Statements) read(ctx context.Context, from, end int64, take func(int64, canonical.Fact)) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, longestLook, errLongLook)
	defer cancel()
	for n := 0; from <= end && n < mostLooked; {
		records, err := s.Log.Read(ctx, s.Topics.Identity, 0, from, factsInOneGo, time.Second)
		if context.Cause(ctx) == errLongLook {
			break
		}
		if err != nil {
			return from - 1, fmt.Errorf("read the identity log from %d: %w", from, err)
		}
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			f, err := decode[canonical.Fact](r)
			if err != nil {
				return from - 1, err
			}
			if r.Offset <= end {
				take(r.Offset, f)
			}
			from = r.Offset + 1
		}
		n += len(records)
	}
	return from - 1, nil
}

var errLongLook = fmt.Errorf("the identity log was read for %s", longestLook)

// nodesOf counts the different nodes of a list that a fact names.
func nodesOf(f canonical.Fact, nodes []canonical.NodeID) int {
	seen := make([]canonical.NodeID, 0, len(f.Nodes))
	for _, id := range f.Nodes {
		if n := id.Node(); slices.Contains(nodes, n) && !slices.Contains(seen, n) {
			seen = append(seen, n)
		}
	}
	return len(seen)
}

// A Cause is what made a statement of two identifiers.
type Cause struct {
	Offset  int64               `json:"offset"` // in topic identity
	Kind    canonical.FactKind  `json:"kind"`
	Weak    bool                `json:"weak,omitempty"`
	At      time.Time           `json:"at"`
	Receipt canonical.ReceiptID `json:"receipt_id,omitempty"`
	Source  string              `json:"source,omitempty"`
	By      string              `json:"by,omitempty"`
	Reason  string              `json:"reason,omitempty"`
}

// mostCauses is how many causes of one pair are given.
const mostCauses = 6

// CausesOf gives what made the ties: for each, in the same order, the statements of its two
// identifiers, by offset; the first and the newest where there are many.
func (s *Statements) CausesOf(ctx context.Context, ties []identity.Tie) (causes [][]Cause, gap string, err error) {
	var nodes []canonical.NodeID
	for _, t := range ties {
		nodes = append(nodes, t.A.Node(), t.B.Node())
	}
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	found, gap, err := s.Among(ctx, nodes, 2, canonical.FactLink, canonical.FactMerge, canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow)
	if err != nil {
		return nil, "", err
	}
	type pair [2]canonical.NodeID
	of := func(a, b canonical.NodeID) pair { return pair{min(a, b), max(a, b)} }
	by := make(map[pair][]Cause)
	for _, r := range found {
		f := r.Fact
		for i := 1; i < len(f.Nodes); i++ {
			k := of(f.Nodes[0].Node(), f.Nodes[i].Node())
			by[k] = append(by[k], Cause{Offset: r.Offset, Kind: f.Kind, Weak: f.Weak, At: f.At, Receipt: f.Cause, Source: f.Source, By: f.By, Reason: f.Reason})
		}
	}
	for _, t := range ties {
		list := by[of(t.A.Node(), t.B.Node())]
		slices.SortStableFunc(list, func(x, y Cause) int { return cmp.Compare(x.Offset, y.Offset) })
		if len(list) > mostCauses {
			list = append(list[:mostCauses/2:mostCauses/2], list[len(list)-mostCauses/2:]...)
		}
		causes = append(causes, list)
	}
	return causes, gap, nil
}
