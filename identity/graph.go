package identity

import (
	"maps"
	"math"
	"slices"

	"tributary/canonical"
)

// tie writes an edge that became stronger or earlier and joins what follows from it.
//
// Nodes can move from one person to another in one case only: an edge between two that
// both hold an anchor, which comes before what ties its ends to them. Then the two are
// partitioned anew; nobody else can be concerned, because every edge that leaves them is
// one between two known people already (docs/identity.md has the proof).
func (f *folder) tie(a, b *node, e edge, strong bool, at int64, known bool) {
	if f.statements {
		f.putEdge(a.id, b.id, e)
		return
	}
	x, y := f.clusterOf(a), f.clusterOf(b)
	settled := x.id == y.id || !x.anchored || !y.anchored || f.settled(a, b, strong, at)
	f.putEdge(a.id, b.id, e)
	f.anchor(a, b, strong, at)
	f.anchor(b, a, strong, at)

	switch {
	case x.id == y.id:
		if known {
			return // said again, of people already one
		}
	case !x.anchored || !y.anchored, settled && strong:
		f.join(x, y)
	case settled, !f.repartition(x, y):
		return // guarded: the edge stands in the log and joins nothing
	}
	mark(&f.touched, a.id)
	mark(&f.touched, b.id)
}

// settled says whether both ends belonged to somebody known already when an edge that is
// not there yet has its turn.
func (f *folder) settled(a, b *node, strong bool, at int64) bool {
	k := keyOf(at, a.id, b.id)
	if strong {
		k = edgeKey{at: math.MinInt64} // before every weak edge
	}
	return f.anchoredBefore(a, k) && f.anchoredBefore(b, k)
}

// anchor notes on n the first edge that leads straight to an anchor.
func (f *folder) anchor(n, other *node, strong bool, at int64) {
	if !anchors(other.scheme) || n.tiedStrong {
		return
	}
	k := keyOf(at, n.id, other.id)
	if strong || !n.isTied || k.compare(n.tied) < 0 {
		n.tied, n.isTied, n.tiedStrong = k, true, strong
		f.change(n)
	}
}

// anchoredBefore says whether n already belonged to somebody known when the strong
// edges and the weak ones before k had been looked at. Which of them were admitted does not matter: one
// that was not stood between two known people.
func (f *folder) anchoredBefore(n *node, k edgeKey) bool {
	direct := func(n *node) bool {
		return anchors(n.scheme) || n.tiedStrong || n.isTied && n.tied.compare(k) < 0
	}
	if direct(n) {
		return true
	}
	seen := map[canonical.NodeID]bool{n.id: true}
	found := false
	for queue := []canonical.NodeID{n.id}; len(queue) > 0 && !found; queue = queue[1:] {
		from := queue[0]
		f.edges(from, func(other canonical.NodeID, e edge) bool {
			early := e.isStrong() || e.weak.set && keyOf(e.weak.at, from, other).compare(k) < 0
			if !early || seen[other] {
				return true
			}
			seen[other] = true
			queue = append(queue, other)
			found = direct(f.look(other))
			return !found
		})
	}
	return found
}

// join makes one cluster of two: the smaller moves.
func (f *folder) join(x, y *cluster) {
	big, small := x, y
	if big.size < small.size || big.size == small.size && small.id < big.id {
		big, small = small, big
	}
	for _, id := range f.members(small) {
		f.move(f.look(id), small, big.id)
	}
	if big.size == 1 {
		f.enter(f.look(big.id), big.id)
	}
	big.size += small.size
	big.anchored = big.anchored || small.anchored
	f.keep(big)
	if f.split[small.id] {
		mark(&f.split, big.id)
	}
	f.drop(small.id)
}

// move takes a node from one cluster to another and remembers the root it had.
func (f *folder) move(n *node, from *cluster, to canonical.NodeID) {
	if f.was == nil {
		f.was = make(map[canonical.NodeID]canonical.NodeID)
	}
	if _, ok := f.was[n.id]; !ok {
		f.was[n.id] = from.root
	}
	if from.size > 1 {
		f.leave(n)
	}
	f.enter(n, to)
}

// drop forgets a cluster id.
func (f *folder) drop(id canonical.NodeID) {
	f.delete(key(keyCluster, uint64(id)))
	delete(f.clusters, id)
	delete(f.split, id)
	f.gone[id] = true
}

// repartition looks at all edges within two clusters anew and says whether a node moved.
func (f *folder) repartition(x, y *cluster) bool {
	nodes := append(f.members(x), f.members(y)...)
	var edges []pair
	for _, n := range nodes {
		f.edges(n, func(other canonical.NodeID, e edge) bool {
			if n < other {
				edges = append(edges, pair{a: n, b: other, strong: e.isStrong(), at: e.weak.at})
			}
			return true
		})
	}
	groups := partition(nodes, func(n canonical.NodeID) bool { return anchors(f.look(n).scheme) }, edges)
	if f.stands(groups) && len(groups) == 2 {
		return false
	}
	f.regroup(map[canonical.NodeID]*cluster{x.id: x, y.id: y}, groups)
	return true
}

// stands is true when no group has nodes of two clusters.
func (f *folder) stands(groups [][]canonical.NodeID) bool {
	for _, g := range groups {
		for _, n := range g {
			if f.look(n).cluster != f.look(g[0]).cluster {
				return false
			}
		}
	}
	return true
}

// regroup turns old clusters into the groups given, which hold the same nodes. A group
// keeps the id of the cluster whose namesake it holds (the larger, where it holds
// several), so that few nodes move; else it takes its first node's.
func (f *folder) regroup(old map[canonical.NodeID]*cluster, groups [][]canonical.NodeID) {
	fresh := make([]*cluster, len(groups))
	for i, g := range groups {
		c := &cluster{id: g[0], size: len(g)}
		kept := 0
		for _, n := range g {
			if o := old[n]; o != nil && o.size > kept {
				c.id, c.root, kept = o.id, o.root, o.size
			}
			c.anchored = c.anchored || anchors(f.look(n).scheme)
		}
		fresh[i] = c
	}
	for i, g := range groups {
		for _, id := range g {
			if n := f.look(id); n.cluster != fresh[i].id || old[n.cluster].size == 1 {
				f.move(n, old[n.cluster], fresh[i].id)
			}
		}
	}
	for id := range old {
		f.drop(id)
	}
	for _, c := range fresh {
		f.keep(c)
		mark(&f.split, c.id)
	}
}

// reroot chooses the roots of the clusters that the fact changed and gives the rows of
// their nodes: all nodes of a cluster where a root changed; only the new nodes where
// single ones joined and the others' root stands; only the changed ones where the
// cluster is larger than wholeBlock.
func (f *folder) reroot() []Override {
	if len(f.was) == 0 && len(f.raised) == 0 && len(f.lost) == 0 && len(f.split) == 0 {
		return nil
	}
	joined := make(map[canonical.NodeID][]canonical.NodeID)
	raised := make(map[canonical.NodeID][]canonical.NodeID)
	concerned := maps.Clone(f.split)
	for _, id := range sortedKeys(f.was) {
		c := f.clusterOf(f.look(id)).id
		joined[c] = append(joined[c], id)
		mark(&concerned, c)
	}
	for _, id := range f.raised {
		c := f.clusterOf(f.look(id)).id
		raised[c] = append(raised[c], id)
		mark(&concerned, c)
	}
	for id := range f.lost {
		mark(&concerned, f.clusterOf(f.look(id)).id)
	}
	var rows []Override
	for _, id := range sorted(concerned) {
		c := f.clusters[id]
		if c.size == 1 && c.root == c.id {
			continue // alone, as before
		}
		rows = append(rows, f.rows(c, joined[id], raised[id])...)
	}
	return rows
}

func (f *folder) rows(c *cluster, joined, raised []canonical.NodeID) []Override {
	before := c.root
	root := f.rootOf(c, joined, raised)
	kept := c.size - len(joined)
	keptChanged := kept > 0 && before != root
	var changed []canonical.NodeID
	single := true
	for _, n := range joined {
		if f.was[n] != root {
			changed = append(changed, n)
		}
		single = single && f.was[n] == n
	}
	if root != before {
		c.root = root
		f.keep(c)
	}
	switch {
	case !keptChanged && len(changed) == 0:
		return nil
	case !keptChanged && (single || c.size > wholeBlock):
	case c.size <= wholeBlock || len(joined) == 0:
		changed = f.members(c)
	default:
		changed = slices.DeleteFunc(f.members(c), func(n canonical.NodeID) bool { return f.was[n] == root && f.was[n] != 0 })
	}
	account := graphOf(f.look(root).scheme) == accounts
	out := make([]Override, len(changed))
	for i, n := range changed {
		out[i] = Override{Offset: f.offset, Node: n, Root: root, Account: account}
	}
	return out
}

// rootOf gives a cluster's root: the first by rule. Where no candidate fell behind, only
// the roots of its parts and the nodes seen earlier than known can be it.
func (f *folder) rootOf(c *cluster, joined, raised []canonical.NodeID) canonical.NodeID {
	candidates := map[canonical.NodeID]bool{}
	if c.root != 0 {
		candidates[c.root] = true
	}
	for _, n := range joined {
		candidates[f.was[n]] = true
	}
	scan := f.split[c.id] || len(candidates) == 0
	for n := range candidates {
		scan = scan || f.lost[n]
	}
	list := append(sorted(candidates), raised...)
	if scan {
		list = f.members(c)
	}
	best := f.look(list[0])
	for _, id := range list[1:] {
		if n := f.look(id); before(n, best) {
			best = n
		}
	}
	return best.id
}

func mark(set *map[canonical.NodeID]bool, n canonical.NodeID) {
	if *set == nil {
		*set = make(map[canonical.NodeID]bool)
	}
	(*set)[n] = true
}

func sorted(set map[canonical.NodeID]bool) []canonical.NodeID { return sortedKeys(set) }

func sortedKeys[V any](m map[canonical.NodeID]V) []canonical.NodeID {
	return slices.Sorted(maps.Keys(m))
}
