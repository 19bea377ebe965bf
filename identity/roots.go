package identity

import (
	"maps"
	"slices"

	"tributary/canonical"
)

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
