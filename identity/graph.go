package identity

import (
	"slices"

	"tributary/canonical"
)

// tie folds what was said of a pair. Where it only joins, and it is plain whom, a few
// look-ups do; everything else is recomputed. docs/identity.md has the proofs.
func (f *folder) tie(a, b *node, was, e edge) {
	if f.statements {
		f.putEdge(a.id, b.id, e)
		return
	}
	old := bondOf(a, b, was)
	f.putEdge(a.id, b.id, e)
	f.remerge(a, b, was, e)
	var c change
	f.recrowd(&c, a, b, was, e)
	f.relink(&c, a, b, was, e)
	f.relink(&c, b, a, was, e)

	now, known := bondOf(a, b, e), was != edge{}
	x, y := f.clusterOf(a), f.clusterOf(b)
	switch {
	case c.any || now.strength < old.strength:
		c.taken = c.taken || now.strength < old.strength
		if !f.recompute(c, a, b) {
			return
		}
	case now == old:
		return // nothing holds that did not
	case x.id == y.id:
		if known {
			return // said again, of people already one
		}
	case x.anchors == 0 || y.anchors == 0 || now.strength >= strong && f.plain(a, b, x, y):
		if now.strength == strong {
			x.last = max(x.last, now.at)
		}
		f.join(x, y)
	case now.strength == strong && now.at > max(x.last, y.last) && f.tooMany(x, y):
		f.refuse(a, b)
		return
	case now.strength == weak && f.settled(a, b, now.at), !f.recompute(c, a, b):
		return // guarded or refused: the edge stands in the log and joins nothing
	}
	mark(&f.touched, a.id)
	mark(&f.touched, b.id)
}

// plain says whether a strong edge makes one person of two and changes nothing else.
func (f *folder) plain(a, b *node, x, y *cluster) bool {
	return anchors(a.scheme) && anchors(b.scheme) && !(x.near && y.near) && !f.tooMany(x, y)
}

// tooMany says whether two people hold more anchors of a scheme, that both have, than one
// person may.
func (f *folder) tooMany(x, y *cluster) bool {
	if x.anchors+y.anchors <= f.rules.Limit {
		return false
	}
	var tally [2]map[canonical.Scheme]int
	for i, c := range [...]*cluster{x, y} {
		tally[i] = make(map[canonical.Scheme]int)
		for _, id := range f.members(c) {
			if n := f.look(id); anchors(n.scheme) {
				tally[i][n.scheme]++
			}
		}
	}
	for s, n := range tally[0] {
		if m := tally[1][s]; m > 0 && n+m > f.rules.Limit {
			return true
		}
	}
	return false
}

// refuse notes that a limit kept two nodes apart.
func (f *folder) refuse(nodes ...*node) {
	for _, n := range nodes {
		if !n.limited {
			n.limited = true
			f.change(n)
		}
	}
}

// settled says whether both ends belonged to somebody known already when a weak edge has
// its turn.
func (f *folder) settled(a, b *node, at int64) bool {
	k := keyOf(at, a.id, b.id)
	return f.anchoredBefore(a, k) && f.anchoredBefore(b, k)
}

// anchoredBefore says whether n already belonged to somebody known when the strong
// edges and the weak ones before k had been looked at. Which of them were admitted does not matter: one
// that was not stood between two known people.
func (f *folder) anchoredBefore(n *node, k edgeKey) bool {
	direct := func(n *node) bool {
		return anchors(n.scheme) || n.isTied && n.cut == notCut && n.tied.compare(k) < 0
	}
	if direct(n) {
		return true
	}
	seen := map[canonical.NodeID]bool{n.id: true}
	found := false
	for queue := []*node{n}; len(queue) > 0 && !found; queue = queue[1:] {
		from := queue[0]
		f.edges(from.id, func(other canonical.NodeID, e edge) bool {
			o := f.look(other)
			b := bondOf(from, o, e)
			if early := b.strength >= strong || b.strength == weak && keyOf(b.at, from.id, other).compare(k) < 0; !early || seen[other] {
				return true
			}
			seen[other] = true
			queue = append(queue, o)
			found = direct(o)
			return !found
		})
	}
	return found
}

// remerge keeps on a node whether a merge that holds names it as merged away.
func (f *folder) remerge(a, b *node, was, e edge) {
	for _, p := range [...][2]*node{{a, b}, {b, a}} {
		side, lost := sideOf(p[0], p[1]), p[1]
		holds := e.mergedInto(side)
		if holds == was.mergedInto(side) || holds == lost.merged {
			continue
		}
		if !holds && f.isMerged(lost) {
			continue
		}
		lost.merged = holds
		f.change(lost)
		if holds {
			mark(&f.lost, lost.id)
		} else {
			f.raised = append(f.raised, lost.id)
		}
	}
}

// isMerged looks for a merge that holds and names n as merged away.
func (f *folder) isMerged(n *node) bool {
	found := false
	f.edges(n.id, func(other canonical.NodeID, e edge) bool {
		found = e.mergedInto(sideOf(&node{id: other}, n))
		return !found
	})
	return found
}

// join makes one cluster of two: the smaller moves.
func (f *folder) join(x, y *cluster) {
	big, small := x, y
	if big.size < small.size || big.size == small.size && small.id < big.id {
		big, small = small, big
	}
	moved := f.members(small)
	for _, id := range moved {
		f.move(f.look(id), small, big.id)
		if small.isLarge() {
			f.delete(key(keyMember, uint64(small.id), uint64(id)))
		}
	}
	if big.size == 1 {
		n := f.look(big.id)
		n.grouped = true
		f.change(n)
	}
	f.take(big, moved)
	big.anchors += small.anchors
	big.near = big.near || small.near
	big.last = max(big.last, small.last)
	f.keep(big)
	if f.split[small.id] {
		mark(&f.split, big.id)
	}
	f.drop(small)
}

// move takes a node from one cluster to another and remembers the root it had.
func (f *folder) move(n *node, from *cluster, to canonical.NodeID) {
	if f.was == nil {
		f.was = make(map[canonical.NodeID]canonical.NodeID)
	}
	if _, ok := f.was[n.id]; !ok {
		f.was[n.id] = from.root
	}
	n.cluster, n.grouped = to, true
	f.change(n)
}

// drop forgets a cluster. Of a node alone nothing is stored.
func (f *folder) drop(c *cluster) {
	if c.size > 1 {
		f.stale[c.id] = true
	}
	delete(f.clusters, c.id)
	delete(f.split, c.id)
	f.gone[c.id] = true
}

// regroup turns old clusters into the groups given, which hold the same nodes, and says
// whether anything moved. By last all strong links among them were looked at. A group keeps the id of the cluster whose namesake it holds (the larger, where it holds
// several), so that few nodes move; else it takes its first node's.
func (f *folder) regroup(old map[canonical.NodeID]*cluster, groups [][]canonical.NodeID, last int64) bool {
	groups = slices.DeleteFunc(groups, func(g []canonical.NodeID) bool {
		c := old[f.look(g[0]).cluster]
		stands := c.size == len(g) && !slices.ContainsFunc(g, func(n canonical.NodeID) bool { return f.look(n).cluster != c.id })
		if stands {
			if delete(old, c.id); c.size > 1 && c.last < last {
				c.last = last
				f.keep(c)
			}
		}
		return stands
	})
	fresh := make([]*cluster, len(groups))
	for i, g := range groups {
		c := &cluster{id: g[0], size: len(g), last: last}
		kept := 0
		for _, id := range g {
			if o := old[id]; o != nil && o.size > kept {
				c.id, c.root, kept = o.id, o.root, o.size
			}
			n := f.look(id)
			if anchors(n.scheme) {
				c.anchors++
			}
			c.near = c.near || n.near
		}
		fresh[i] = c
	}
	for i, g := range groups {
		c := fresh[i]
		if !c.isLarge() {
			c.nodes = g
		}
		for _, id := range g {
			n := f.look(id)
			from := old[n.cluster]
			stays := from.id == c.id && from.size > 1
			if listed := from.isLarge(); !(stays && listed && c.isLarge()) {
				if listed {
					f.delete(key(keyMember, uint64(from.id), uint64(id)))
				}
				if c.isLarge() {
					f.put(key(keyMember, uint64(c.id), uint64(id)), nil)
				}
			}
			if !stays {
				f.move(n, from, c.id)
			}
		}
	}
	for _, c := range old {
		f.drop(c)
	}
	for _, c := range fresh {
		f.keep(c)
		mark(&f.split, c.id)
	}
	return len(groups) > 0
}
