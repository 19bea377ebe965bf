package identity

import (
	"fmt"
	"slices"

	"tributary/canonical"
)

// Inconsistencies lists what does not fit in a store: records that say different things of one
// thing, or keys of nothing.
func Inconsistencies(store Store) (bad []string) {
	say := func(f string, a ...any) { bad = append(bad, fmt.Sprintf(f, a...)) }
	nodes := map[canonical.NodeID]*node{}
	clusters := map[canonical.NodeID]*cluster{}
	listed := map[canonical.NodeID][]canonical.NodeID{}
	type kv struct{ k, v []byte }
	by := map[byte][]kv{}
	all := map[string]bool{}
	must(store.Range(nil, nil, func(k, v []byte) bool {
		by[k[0]] = append(by[k[0]], kv{slices.Clone(k), slices.Clone(v)})
		all[string(k)] = true
		return true
	}))
	for kind := range by {
		switch kind {
		case keyMeta, keyNode, keyCluster, keyMember, keyEdge, keyHand, keyHanded, keyTouch, keyClick, keyAccount, keyDeal, keyStage, keyOverride, keyTouched, keyCollision, keyField, keyErased, keyConsent:
		default:
			say("unknown kind %c", kind)
		}
	}
	for _, e := range by[keyNode] {
		n, err := decodeNode(lastWord(e.k), e.v)
		if err != nil {
			say("node %v", err)
			continue
		}
		if n.identifier().Node() != n.id {
			say("node %s is %v", n.id, n.identifier())
		}
		if string(n.encode()) != string(e.v) {
			say("node %s encodes otherwise", n.id)
		}
		nodes[n.id] = n
	}
	for _, e := range by[keyCluster] {
		c, err := decodeCluster(lastWord(e.k), e.v)
		if err != nil {
			say("cluster %v", err)
			continue
		}
		if string(c.encode()) != string(e.v) {
			say("cluster %s encodes otherwise", c.id)
		}
		clusters[c.id] = c
	}
	for _, e := range by[keyMember] {
		c := keyWord(e.k)
		listed[c] = append(listed[c], lastWord(e.k))
	}
	for c := range listed {
		if clusters[c] == nil {
			say("member keys of no cluster %s", c)
		}
	}
	in := map[canonical.NodeID]canonical.NodeID{}
	for _, c := range clusters {
		if c.size < 2 {
			say("cluster %s of %d", c.id, c.size)
		}
		members := c.nodes
		if c.isLarge() {
			if c.nodes != nil {
				say("large cluster %s holds nodes", c.id)
			}
			members = listed[c.id]
		} else if len(listed[c.id]) > 0 {
			say("small cluster %s has member keys %v", c.id, listed[c.id])
		}
		if len(members) != c.size {
			say("cluster %s of %d has %d", c.id, c.size, len(members))
		}
		if !slices.IsSorted(members) || len(slices.Compact(slices.Clone(members))) != len(members) {
			say("members of %s not in order", c.id)
		}
		anch, near := 0, false
		best := (*node)(nil)
		for _, m := range members {
			if o, ok := in[m]; ok {
				say("node %s in %s and %s", m, o, c.id)
			}
			in[m] = c.id
			n := nodes[m]
			if n == nil {
				say("member %s of %s is no node", m, c.id)
				continue
			}
			if !n.grouped || n.cluster != c.id {
				say("member %s of %s says %s %t", m, c.id, n.cluster, n.grouped)
			}
			if anchors(n.scheme) {
				anch++
			}
			near = near || n.near
			if best == nil || before(n, best) {
				best = n
			}
		}
		if anch != c.anchors || near != c.near {
			say("cluster %s anchors %d want %d near %t want %t", c.id, c.anchors, anch, c.near, near)
		}
		if best != nil && best.id != c.root {
			say("cluster %s root %s want %s", c.id, c.root, best.id)
		}
		if !slices.Contains(members, c.id) {
			say("cluster %s is not its member", c.id)
		}
	}
	for _, n := range nodes {
		if n.grouped != (in[n.id] != 0) {
			say("node %s grouped %t, in %s", n.id, n.grouped, in[n.id])
		}
		if !n.grouped && n.cluster != n.id {
			say("node %s alone in %s", n.id, n.cluster)
		}
		crowd := 0
		var tied edgeKey
		isTied := false
		for _, e := range by[keyEdge] {
			if keyWord(e.k) != n.id {
				continue
			}
			ed, _ := decodeEdge(e.v)
			o := nodes[lastWord(e.k)]
			if o == nil {
				continue
			}
			if crowds(o, n) && ed.strong.set && !ed.blocked() {
				crowd++
			}
			if isDevice(n) && tells(n, o, ed) {
				if k := keyOf(ed.weak.at, n.id, o.id); !isTied || k.compare(tied) < 0 {
					tied, isTied = k, true
				}
			}
		}
		if crowd != n.crowd {
			say("node %s crowd %d want %d", n.id, n.crowd, crowd)
		}
		if isDevice(n) && (isTied != n.isTied || tied != n.tied) {
			say("node %s tied %v want %v", n.id, n.tied, tied)
		}
	}
	for _, e := range by[keyEdge] {
		a, b := keyWord(e.k), lastWord(e.k)
		if nodes[a] == nil || nodes[b] == nil {
			say("edge of no nodes %s %s", a, b)
		}
		v, ok, _ := store.Get(key(keyEdge, uint64(b), uint64(a)))
		if !ok || string(v) != string(e.v) {
			say("edge %s %s is not in both directions", a, b)
		}
	}
	flags := map[byte]func(*node) bool{
		keyTouch: func(n *node) bool { return n.touches }, keyConsent: func(n *node) bool { return n.touches },
		keyClick: func(n *node) bool { return n.clicks }, keyAccount: func(n *node) bool { return n.accounts }, keyField: func(n *node) bool { return n.accounts },
		keyDeal: func(n *node) bool { return n.accounts }, keyStage: func(n *node) bool { return n.stages }, keyHand: func(n *node) bool { return n.cut == sharedDevice },
		keyCollision: func(*node) bool { return true },
	}
	for kind, is := range flags {
		for _, e := range by[kind] {
			n := nodes[keyWord(e.k)]
			if n == nil {
				say("%c of no node %s", kind, keyWord(e.k))
			} else if !is(n) {
				say("%c of node %s without its flag", kind, n.id)
			}
		}
	}
	for _, e := range by[keyAccount] {
		a, b := nodes[keyWord(e.k)], nodes[lastWord(e.k)]
		if b == nil {
			say("account of no node %s", lastWord(e.k))
		} else if a != nil && a.scheme == canonical.HubSpotDeal && graphOf(b.scheme) == people && !all[string(key(keyDeal, uint64(b.id), uint64(a.id)))] {
			say("deal key missing")
		}
	}
	for _, e := range by[keyDeal] {
		if !all[string(key(keyAccount, uint64(lastWord(e.k)), uint64(keyWord(e.k))))] {
			say("deal key without account")
		}
	}
	for _, e := range by[keyHand] {
		if nodes[lastWord(e.v)] == nil {
			say("hand of nobody")
		}
	}
	return bad
}
