package identity

import (
	"cmp"
	"slices"
	"strings"

	"tributary/canonical"
)

// An edgeKey orders weak edges: business time first, then the pair, the smaller node
// first. Strong edges come before every weak one.
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

// A pair is an edge between two nodes as partition sees it: strong, or weak since a time.
type pair struct {
	a, b   canonical.NodeID
	strong bool
	at     int64 // of a weak one
}

// partition is the rule of who is one person, from the set alone. Strong edges join.
// Then weak edges are looked at in the order of their keys; one joins unless both its
// sides hold an anchor already. Edges to nodes that are not given are left out. Groups
// and their members come in ascending order.
func partition(nodes []canonical.NodeID, anchor func(canonical.NodeID) bool, edges []pair) [][]canonical.NodeID {
	place := make(map[canonical.NodeID]int, len(nodes))
	parent := make([]int, len(nodes))
	held := make([]bool, len(nodes))
	for i, n := range nodes {
		place[n], parent[i], held[i] = i, i, anchor(n)
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	slices.SortFunc(edges, func(x, y pair) int {
		if x.strong != y.strong {
			if x.strong {
				return -1
			}
			return 1
		}
		return keyOf(x.at, x.a, x.b).compare(keyOf(y.at, y.a, y.b))
	})
	for _, e := range edges {
		i, ok := place[e.a]
		j, there := place[e.b]
		if !ok || !there {
			continue
		}
		i, j = find(i), find(j)
		if i == j || !e.strong && held[i] && held[j] {
			continue
		}
		parent[j], held[i] = i, held[i] || held[j]
	}

	groups := make(map[int][]canonical.NodeID)
	for i, n := range nodes {
		groups[find(i)] = append(groups[find(i)], n)
	}
	out := make([][]canonical.NodeID, 0, len(groups))
	for _, g := range groups {
		slices.Sort(g)
		out = append(out, g)
	}
	slices.SortFunc(out, func(x, y []canonical.NodeID) int { return cmp.Compare(x[0], y[0]) })
	return out
}

// before says whether a node comes before another as the root of a cluster: CRM records
// that no merge named as merged away come first, then the strongest scheme; among
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

// standing is 0 for a surviving CRM contact or company, else the scheme's strength.
func (n *node) standing() int {
	if !n.merged && (n.scheme == canonical.HubSpotContact || n.scheme == canonical.HubSpotCompany) {
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
