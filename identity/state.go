package identity

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"tributary/canonical"
)

// A state is a store with changes laid over it that are not written yet: what a fold in
// progress sees. Reading a store that fails panics with a storeError, which Fold turns
// into an error.
type state struct {
	store    Store
	warm     *warm                      // of the store
	over     map[string]Write           // by key
	groups   map[group][]string         // the keys of over by their first nine bytes, where they are ranged over
	nodes    map[canonical.NodeID]*node // read or changed; never those in warm
	clusters map[canonical.NodeID]*cluster
	dirty    map[canonical.NodeID]bool // nodes to write, or to delete where nodes has none
	stale    map[canonical.NodeID]bool // clusters likewise
	added    []Write                   // what no fold reads
}

// warm holds records as they are in the store. They are shared and never changed in
// place; whoever makes a fold visible takes out what it changed.
type warm struct {
	nodes    *lru.Cache[canonical.NodeID, *node]
	clusters *lru.Cache[canonical.NodeID, *cluster] // of several nodes
	people   *lru.Cache[canonical.NodeID, *profile] // by cluster
}

// How much is held: some 50 MB when full.
const (
	warmNodes    = 80_000
	warmClusters = 40_000
	warmPeople   = 5_000
)

func newWarm() *warm {
	w := &warm{}
	w.nodes, _ = lru.New[canonical.NodeID, *node](warmNodes) // fails for a size below one only
	w.clusters, _ = lru.New[canonical.NodeID, *cluster](warmClusters)
	w.people, _ = lru.New[canonical.NodeID, *profile](warmPeople)
	return w
}

// A storeError is what a failing store makes of a read.
type storeError struct{ err error }

func (e storeError) Error() string { return "identity store: " + e.err.Error() }
func (e storeError) Unwrap() error { return e.err }

func must(err error) {
	if err != nil {
		panic(storeError{err})
	}
}

// newState lays nothing over a store yet. It has room for as many facts.
func newState(store Store, warm *warm, facts int) *state {
	return &state{
		store: store, warm: warm,
		over:     make(map[string]Write, 2*facts),
		groups:   make(map[group][]string, 2*facts),
		nodes:    make(map[canonical.NodeID]*node, 2*facts),
		clusters: make(map[canonical.NodeID]*cluster, facts),
		dirty:    make(map[canonical.NodeID]bool, 2*facts),
		stale:    make(map[canonical.NodeID]bool, facts),
	}
}

// A group is the kind and the first word of a key: what is ranged over together.
type group [groupLen]byte

const groupLen = 9

func (s *state) get(k []byte) ([]byte, bool) {
	if w, ok := s.over[string(k)]; ok {
		return w.Value, w.Value != nil
	}
	v, ok, err := s.store.Get(k)
	must(err)
	return v, ok
}

func (s *state) put(k, v []byte) {
	if v == nil {
		v = []byte{}
	}
	s.lay(k, v)
}

func (s *state) delete(k []byte) { s.lay(k, nil) }

func (s *state) lay(k, v []byte) {
	if w, ok := s.over[string(k)]; ok {
		s.over[string(k)] = Write{w.Key, v}
		return
	}
	s.over[string(k)] = Write{k, v}
	switch k[0] {
	case keyMember, keyEdge, keyTouch, keyClick, keyAccount, keyHand, keyDeal, keyStage, keyCollision:
		s.groups[group(k)] = append(s.groups[group(k)], string(k))
	}
}

// An entry is a key with its value.
type entry struct{ key, value []byte }

// under gives the entries below a prefix that holds a group, in ascending order.
func (s *state) under(prefix []byte) []entry {
	var out []entry
	laid := s.groups[group(prefix)]
	must(s.store.Range(prefix, after(prefix), func(k, v []byte) bool {
		if len(laid) > 0 {
			if _, ok := s.over[string(k)]; ok {
				return true
			}
		}
		out = append(out, entry{slices.Clone(k), append([]byte{}, v...)})
		return true
	}))
	if len(laid) == 0 {
		return out
	}
	for _, k := range laid {
		if w := s.over[k]; w.Value != nil && strings.HasPrefix(k, string(prefix)) {
			out = append(out, entry{w.Key, w.Value})
		}
	}
	slices.SortFunc(out, func(x, y entry) int { return bytes.Compare(x.key, y.key) })
	return out
}

// look gives a node to read, nil where there is none.
func (s *state) look(id canonical.NodeID) *node {
	if n, ok := s.nodes[id]; ok {
		return n
	}
	n := lookNode(s.store, s.warm, id)
	if n == nil {
		return nil
	}
	copied := *n
	s.nodes[id] = &copied
	return &copied
}

// lookNode reads a node from the store through the cache. What it gives is shared.
func lookNode(store Store, warm *warm, id canonical.NodeID) *node {
	if n, ok := warm.nodes.Get(id); ok {
		return n
	}
	n, err := readNode(store, id)
	must(err)
	if n != nil {
		warm.nodes.Add(id, n)
	}
	return n
}

// readNode reads a node from the store, nil where there is none.
func readNode(store Store, id canonical.NodeID) (*node, error) {
	b, ok, err := store.Get(key(keyNode, uint64(id)))
	if err != nil || !ok {
		return nil, err
	}
	return decodeNode(id, b)
}

// change marks a node to be written.
func (s *state) change(n *node) {
	s.nodes[n.id] = n
	s.dirty[n.id] = true
}

// clusterOf gives the cluster of a node that is there.
func (s *state) clusterOf(n *node) *cluster {
	if c, ok := s.clusters[n.cluster]; ok {
		return c
	}
	c := *lookCluster(s.store, s.warm, n)
	s.clusters[c.id] = &c
	return &c
}

// lookCluster reads a node's cluster through the cache. What it gives is shared.
func lookCluster(store Store, warm *warm, n *node) *cluster {
	if !n.grouped {
		c := &cluster{id: n.id, root: n.id, size: 1, near: n.near, last: math.MinInt64}
		if anchors(n.scheme) {
			c.anchors = 1
		}
		return c
	}
	if c, ok := warm.clusters.Get(n.cluster); ok {
		return c
	}
	b, ok, err := store.Get(key(keyCluster, uint64(n.cluster)))
	must(err)
	if !ok {
		must(errRecord)
	}
	c, err := decodeCluster(n.cluster, b)
	must(err)
	warm.clusters.Add(c.id, c)
	return c
}

// members gives a cluster's nodes in ascending order.
func (s *state) members(c *cluster) []canonical.NodeID {
	if nodes := c.own(); nodes != nil {
		return slices.Clone(nodes)
	}
	entries := s.under(key(keyMember, uint64(c.id)))
	out := make([]canonical.NodeID, len(entries))
	for i, e := range entries {
		out[i] = lastWord(e.key)
	}
	return out
}

// own gives the nodes of a small cluster; nil for a large one.
func (c *cluster) own() []canonical.NodeID {
	if c.size == 1 {
		return []canonical.NodeID{c.id}
	}
	return c.nodes
}

func lastWord(k []byte) canonical.NodeID {
	r := reader{b: k[len(k)-8:]}
	return canonical.NodeID(r.word())
}

// take makes nodes members of a cluster beside those it has.
func (s *state) take(c *cluster, more []canonical.NodeID) {
	had := c.own()
	c.size += len(more)
	if !c.isLarge() {
		c.nodes = slices.Sorted(slices.Values(slices.Concat(had, more)))
		return
	}
	c.nodes = nil
	for _, n := range slices.Concat(had, more) {
		s.put(key(keyMember, uint64(c.id), uint64(n)), nil)
	}
}

// keep notes that a cluster is to be written, or that nothing is to stand of one with a
// single node.
func (s *state) keep(c *cluster) {
	s.clusters[c.id] = c
	s.stale[c.id] = true
	if c.size == 1 {
		n := s.look(c.id)
		n.grouped = false
		s.change(n)
	}
}

func (s *state) edge(a, b *node) edge {
	k := key(keyEdge, uint64(a.id), uint64(b.id))
	if a.fresh || b.fresh {
		if _, ok := s.over[string(k)]; !ok {
			return edge{} // the store knows nothing of a new node
		}
	}
	v, ok := s.get(k)
	if !ok {
		return edge{}
	}
	e, err := decodeEdge(v)
	must(err)
	return e
}

func (s *state) putEdge(a, b canonical.NodeID, e edge) {
	v := e.encode()
	s.put(key(keyEdge, uint64(a), uint64(b)), v)
	s.put(key(keyEdge, uint64(b), uint64(a)), v)
}

// edges visits a node's edges, in no order, until visit returns false. It reads the store
// in pieces, so that who finds early what he looks for need not pay for a crowd.
func (s *state) edges(n canonical.NodeID, visit func(other canonical.NodeID, e edge) bool) {
	prefix := key(keyEdge, uint64(n))
	for _, k := range s.groups[group(prefix)] {
		if w := s.over[k]; w.Value != nil && !visitEdge(w.Key, w.Value, visit) {
			return
		}
	}
	if n := s.nodes[n]; n != nil && n.fresh {
		return // the store knows nothing of a new node
	}
	lo, end := prefix, after(prefix)
	for size := 8; lo != nil; size *= 4 {
		var piece []entry
		from := lo
		lo = nil
		must(s.store.Range(from, end, func(k, v []byte) bool {
			if len(piece) == size {
				lo = slices.Clone(k)
				return false
			}
			if _, laid := s.over[string(k)]; !laid {
				piece = append(piece, entry{slices.Clone(k), slices.Clone(v)})
			}
			return true
		}))
		for _, en := range piece {
			if !visitEdge(en.key, en.value, visit) {
				return
			}
		}
	}
}

func visitEdge(k, v []byte, visit func(canonical.NodeID, edge) bool) bool {
	e, err := decodeEdge(v)
	must(err)
	return visit(lastWord(k), e)
}

// writes gives all changes, those of a kind in the order of their keys.
func (s *state) writes() []Write {
	out := slices.AppendSeq(make([]Write, 0, len(s.over)+len(s.stale)+len(s.dirty)+len(s.added)), maps.Values(s.over))
	slices.SortFunc(out, func(x, y Write) int { return bytes.Compare(x.Key, y.Key) })
	for _, id := range sorted(s.stale) {
		w := Write{Key: key(keyCluster, uint64(id))}
		if c := s.clusters[id]; c != nil && c.size > 1 {
			w.Value = c.encode()
		}
		out = append(out, w)
	}
	for _, id := range sorted(s.dirty) {
		w := Write{Key: key(keyNode, uint64(id))}
		if n := s.nodes[id]; n != nil {
			w.Value = n.encode()
		}
		out = append(out, w)
	}
	return append(out, s.added...)
}
