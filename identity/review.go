package identity

import (
	"cmp"
	"slices"

	"tributary/canonical"
)

// A Stopped is what a guard, or a person's block, stopped at one identifier.
type Stopped struct {
	Member
	Reason Reason `json:"reason"`
	// Neighbours is how many identifiers it is tied to that it does not join for this
	// reason, and Some are a few of them.
	Neighbours int                    `json:"neighbours"`
	Some       []canonical.Identifier `json:"some"`
}

// Bounds of a review.
const (
	someNeighbours = 5
	reviewedAtOnce = 500    // nodes looked at under one lock
	reviewedNodes  = 50_000 // nodes looked at for one answer
)

// Review lists what was stopped at the identifiers behind a node, in the order of nodes, and
// where to go on: zero at the end. It gives as many as most, all of the last identifier, fewer where a
// long look found few, and only those of the reasons given, if any are. What stands between two
// identifiers, and is no cut, is listed once, at the one that says less of who somebody is.
func (v *View) Review(after canonical.NodeID, most int, reasons ...Reason) (out []Stopped, next canonical.NodeID) {
	for looked := 0; looked < reviewedNodes && len(out) < most; looked += reviewedAtOnce {
		found, last, end := v.reviewed(after, most-len(out), reasons)
		out = append(out, found...)
		if after = last; end {
			return out, 0
		}
	}
	return out, after
}

// reviewed looks at the nodes behind one, under one lock, until it found so many; end says that
// there are no more nodes.
func (v *View) reviewed(after canonical.NodeID, most int, reasons []Reason) (out []Stopped, last canonical.NodeID, end bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	nodes := v.nodesBehind(after, reviewedAtOnce)
	for i, n := range nodes {
		out = append(out, v.stoppedAt(n, reasons)...)
		if last = n.id; len(out) >= most && i < len(nodes)-1 {
			return out, last, false
		}
	}
	return out, last, len(nodes) < reviewedAtOnce
}

// nodesBehind gives the next nodes in their order. The caller holds v.mu.
func (v *View) nodesBehind(after canonical.NodeID, most int) []*node {
	var out []*node
	must(v.store.Range(append(key(keyNode, uint64(after)), 0), []byte{keyNode + 1}, func(k, b []byte) bool {
		n, err := decodeNode(lastWord(k), b)
		must(err)
		out = append(out, n)
		return len(out) < most
	}))
	return out
}

// stoppedAt gives what was stopped at a node, by reason.
func (v *View) stoppedAt(n *node, reasons []Reason) []Stopped {
	wanted := func(r Reason) bool { return r != "" && (len(reasons) == 0 || slices.Contains(reasons, r)) }
	if graphOf(n.scheme) == noGraph || n.cut != notCut && !wanted(n.cut.reason()) && !wanted(Blocked) {
		return nil
	}
	by := make(map[Reason]*Stopped)
	note := func(r Reason, other *node) {
		if !wanted(r) {
			return
		}
		if by[r] == nil {
			m := Member{Node: n.id, Identifier: n.identifier(), Merged: n.merged, Deleted: n.isDeleted(), Cut: n.cut.reason()}
			m.Seen = timeOf(n.seen)
			by[r] = &Stopped{Member: m, Reason: r, Some: []canonical.Identifier{}}
		}
		if by[r].Neighbours++; len(by[r].Some) < someNeighbours {
			by[r].Some = append(by[r].Some, other.identifier())
		}
	}
	for _, t := range v.tiesOf(n) {
		switch r := v.keptApart(n, t.node, t.edge); r {
		case "":
			if t.edge.blocked() && lesser(n, t.node) {
				note(Blocked, t.node)
			}
		case NeverLink, Crowded, SharedDevice:
			if n.cut.reason() == r {
				note(r, t.node)
			}
		default:
			if lesser(n, t.node) {
				note(r, t.node)
			}
		}
	}
	out := make([]Stopped, 0, len(by))
	for _, st := range by {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(x, y Stopped) int { return cmp.Compare(x.Reason, y.Reason) })
	return out
}

// lesser says whether n says less than o of who somebody is.
func lesser(n, o *node) bool {
	return cmp.Or(cmp.Compare(o.scheme.Strength(), n.scheme.Strength()), cmp.Compare(o.id, n.id)) < 0
}
