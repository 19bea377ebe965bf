package identity

import (
	"cmp"
	"slices"
	"strings"

	"tributary/canonical"
)

// An edgeKey orders edges of one strength: business time first, then the pair, the smaller
// node first.
type edgeKey struct {
	at   int64
	low  canonical.NodeID
	high canonical.NodeID
}

func keyOf(at int64, a, b canonical.NodeID) edgeKey {
	return edgeKey{at: at, low: min(a, b), high: max(a, b)}
}

func (k edgeKey) compare(o edgeKey) int {
	return cmp.Or(cmp.Compare(k.at, o.at), cmp.Compare(k.low, o.low), cmp.Compare(k.high, o.high))
}

// A bond is what holds between two nodes, by what was said of them and by their cuts.
type bond struct {
	strength strength
	at       int64 // of links: since when
}

// A strength says how an edge joins.
type strength byte

const (
	nothing strength = iota
	weak             // not two known people
	strong           // within the limit of a person
	firm             // always: the CRM or a person says so
)

// bondOf gives what holds between two nodes.
func bondOf(a, b *node, e edge) bond {
	switch {
	case e.firm():
		return bond{strength: firm}
	case a.cut != notCut || b.cut != notCut || !e.linked():
		return bond{}
	case e.strong.set:
		return bond{strong, e.strong.at}
	}
	return bond{weak, e.weak.at}
}

// A pair is an edge between two nodes as a partition sees it.
type pair struct {
	a, b canonical.NodeID
	bond
}

// A partition is the rule of who is one person, over nodes and the edges between them.
// docs/identity.md says why it may be applied to a part of all.
type partition struct {
	nodes  []*node
	place  map[canonical.NodeID]int
	parent []int
	held   []bool // the group of this parent holds an anchor
	limit  int
	tally  []map[canonical.Scheme]int // anchors of the group by scheme; nil where no limit can be reached
}

func newPartition(nodes []*node, limit int) *partition {
	p := &partition{nodes: nodes, place: make(map[canonical.NodeID]int, len(nodes)), parent: make([]int, len(nodes)), held: make([]bool, len(nodes)), limit: limit}
	all := 0
	for i, n := range nodes {
		p.place[n.id], p.parent[i], p.held[i] = i, i, anchors(n.scheme)
		if p.held[i] {
			all++
		}
	}
	if all > limit {
		p.tally = make([]map[canonical.Scheme]int, len(nodes))
		for i, n := range nodes {
			if p.tally[i] = make(map[canonical.Scheme]int); p.held[i] {
				p.tally[i][n.scheme] = 1
			}
		}
	}
	return p
}

func (p *partition) find(i int) int {
	for p.parent[i] != i {
		p.parent[i] = p.parent[p.parent[i]]
		i = p.parent[i]
	}
	return i
}

// of names the group of a node: one of its nodes.
func (p *partition) of(n canonical.NodeID) canonical.NodeID { return p.nodes[p.find(p.place[n])].id }

// join looks at edges in their order: what is firm first, then strong links, then weak
// ones. It gives the strong ones that the limit refused.
func (p *partition) join(edges []pair) (refused []pair) {
	slices.SortFunc(edges, func(x, y pair) int {
		return cmp.Or(cmp.Compare(y.strength, x.strength), keyOf(x.at, x.a, x.b).compare(keyOf(y.at, y.a, y.b)))
	})
	for _, e := range edges {
		i, j := p.find(p.place[e.a]), p.find(p.place[e.b])
		switch {
		case i == j, e.strength == weak && p.held[i] && p.held[j]:
			continue
		case e.strength == strong && p.tooMany(i, j):
			refused = append(refused, e)
			continue
		}
		p.parent[j], p.held[i] = i, p.held[i] || p.held[j]
		if p.tally != nil {
			for s, n := range p.tally[j] {
				p.tally[i][s] += n
			}
			p.tally[j] = nil
		}
	}
	return refused
}

// tooMany says whether two groups that both hold anchors of one scheme would hold more of
// them together than a person may.
func (p *partition) tooMany(i, j int) bool {
	if p.tally == nil {
		return false
	}
	for s, n := range p.tally[i] {
		if m := p.tally[j][s]; m > 0 && n+m > p.limit {
			return true
		}
	}
	return false
}

// groups and their members come in ascending order.
func (p *partition) groups() [][]canonical.NodeID {
	groups := make(map[int][]canonical.NodeID)
	for i, n := range p.nodes {
		groups[p.find(i)] = append(groups[p.find(i)], n.id)
	}
	out := make([][]canonical.NodeID, 0, len(groups))
	for _, g := range groups {
		slices.Sort(g)
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y []canonical.NodeID) int { return cmp.Compare(x[0], y[0]) })
	return out
}

// isDeleted says whether the CRM record is: where both were said at one time, it is.
func (n *node) isDeleted() bool { return n.deleted.set && !n.restored.holdsAgainst(n.deleted) }

// before says whether a node comes before another as the root of a cluster: CRM records
// that were neither merged away nor deleted come first, then the strongest scheme; among
// those the one seen first by business time; then the smaller id, numbers by their
// value; then the smaller node.
func before(x, y *node) bool {
	return cmp.Or(
		cmp.Compare(x.standing(), y.standing()),
		cmp.Compare(x.seen, y.seen),
		compareIDs(x.value, y.value),
		cmp.Compare(x.id, y.id),
	) < 0
}

// standing is 0 for a CRM contact or company that was neither merged away nor deleted,
// else the scheme's strength.
func (n *node) standing() int {
	if !n.merged && !n.isDeleted() && (n.scheme == canonical.HubSpotContact || n.scheme == canonical.HubSpotCompany) {
		return 0
	}
	return n.scheme.Strength()
}

// compareIDs orders numbers by value and before everything else, the rest as text.
func compareIDs(x, y string) int {
	if nx, ny := isNumber(x), isNumber(y); nx != ny {
		if nx {
			return -1
		}
		return 1
	} else if nx {
		tx, ty := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(tx), len(ty)), strings.Compare(tx, ty)); c != 0 {
			return c
		}
	}
	return strings.Compare(x, y)
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
