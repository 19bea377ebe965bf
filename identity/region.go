package identity

import (
	"math"
	"slices"

	"tributary/canonical"
)

// A change is what a fact asks to have recomputed.
type change struct {
	any     bool
	seeds   []*node // whose persons are concerned
	devices []*node // whose links changed: perhaps shared now, or no longer
	taken   bool    // something that held does not any more
}

func (c *change) seed(n *node)   { c.any, c.seeds = true, append(c.seeds, n) }
func (c *change) device(d *node) { c.any, c.devices = true, append(c.devices, d) }

// recompute partitions anew whom a change concerns, and says whether a node moved.
func (f *folder) recompute(c change, seeds ...*node) bool {
	r := &region{folder: f, clusters: make(map[canonical.NodeID]*cluster), read: make(map[canonical.NodeID][]tie)}
	for _, n := range append(seeds, c.seeds...) {
		r.add(n)
	}
	r.close()
	taken := c.taken
	turned := r.turned(c.devices)
	for _, d := range turned {
		if d.cut == notCut {
			d.cut, taken = sharedDevice, true
		} else {
			d.cut = notCut
		}
		f.change(d)
	}
	for _, d := range turned {
		r.add(d)
		for _, t := range r.ties(d) {
			if bondOf(d, t.node, t.edge).strength > nothing {
				r.add(t.node)
			}
		}
	}
	for _, d := range append(turned, c.devices...) {
		f.rehand(d)
	}
	if taken {
		r.reach()
	}

	p := newPartition(r.nodes, f.rules.Limit)
	edges, last := r.pairs(weak), int64(math.MinInt64)
	for _, e := range edges {
		if e.strength == strong {
			last = max(last, e.at)
		}
	}
	for _, e := range p.join(edges) {
		f.refuse(f.look(e.a), f.look(e.b))
	}
	if !f.regroup(r.clusters, p.groups(), last) {
		return false
	}
	for n := range f.was {
		mark(&f.touched, n)
	}
	return true
}

// A region is a set of whole clusters that is partitioned anew.
type region struct {
	*folder
	clusters map[canonical.NodeID]*cluster
	nodes    []*node
	read     map[canonical.NodeID][]tie
}

// A tie is an edge as seen from one of its nodes.
type tie struct {
	node *node // the other one
	edge edge
}

func (r *region) add(n *node) {
	c := r.clusterOf(n)
	if r.clusters[c.id] != nil {
		return
	}
	r.clusters[c.id] = c
	for _, id := range r.members(c) {
		r.nodes = append(r.nodes, r.look(id))
	}
}

func (r *region) has(n *node) bool { return r.clusters[n.cluster] != nil }

func (r *region) ties(n *node) []tie {
	if all, ok := r.read[n.id]; ok {
		return all
	}
	var all []tie
	r.edges(n.id, func(other canonical.NodeID, e edge) bool {
		all = append(all, tie{r.look(other), e})
		return true
	})
	r.read[n.id] = all
	return all
}

// close adds whom strong edges lead to: only those that a limit refused leave a person.
func (r *region) close() {
	for i := 0; i < len(r.nodes); i++ {
		for _, t := range r.ties(r.nodes[i]) {
			if bondOf(r.nodes[i], t.node, t.edge).strength >= strong {
				r.add(t.node)
			}
		}
	}
}

// reach adds whom the weak edges of nodes that are no anchors lead to: who is known no
// longer, or later, may go there now.
func (r *region) reach() {
	for _, n := range slices.Clone(r.nodes) {
		if anchors(n.scheme) {
			continue
		}
		for _, t := range r.ties(n) {
			if bondOf(n, t.node, t.edge).strength > nothing {
				r.add(t.node)
			}
		}
	}
}

// pairs gives the edges inside the region from a strength on.
func (r *region) pairs(from strength) []pair {
	var out []pair
	for _, n := range r.nodes {
		for _, t := range r.ties(n) {
			if n.id < t.node.id && r.has(t.node) {
				if b := bondOf(n, t.node, t.edge); b.strength >= from {
					out = append(out, pair{n.id, t.node.id, b})
				}
			}
		}
	}
	return out
}

// turned gives the devices that become shared or cease to be, once the strong edges of the
// region are looked at anew: among those given, in the region, or next to its anchors.
func (r *region) turned(also []*node) []*node {
	p := newPartition(r.nodes, r.rules.Limit)
	p.join(r.pairs(strong))
	whose := func(n *node) canonical.NodeID {
		if r.has(n) {
			return p.of(n.id)
		}
		return n.cluster
	}
	var out []*node
	seen := make(map[canonical.NodeID]bool)
	look := func(d *node) {
		if seen[d.id] || !isDevice(d) || d.cut.barred() {
			return
		}
		seen[d.id] = true
		if r.isShared(d, whose) != (d.cut == sharedDevice) {
			out = append(out, d)
		}
	}
	for _, d := range also {
		look(d)
	}
	for _, n := range r.nodes {
		look(n)
		for _, t := range r.ties(n) {
			if isDevice(t.node) && tells(t.node, n, t.edge) {
				look(t.node)
			}
		}
	}
	return out
}
