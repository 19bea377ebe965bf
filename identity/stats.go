package identity

import (
	"tributary/canonical"
)

// Stats counts what a View holds.
type Stats struct {
	Offset     int64                    `json:"offset"`
	Facts      int64                    `json:"facts"` // in the log, as far as it is folded
	Nodes      map[canonical.Scheme]int `json:"identifiers"`
	Persons    int                      `json:"persons"`
	Known      int                      `json:"known"` // persons of whom something says who they are
	Accounts   int                      `json:"accounts"`
	Largest    *Party                   `json:"largest_person,omitempty"`
	Cut        map[Reason]int           `json:"cut"` // identifiers, by reason
	Edges      int                      `json:"edges"`
	Blocks     int                      `json:"blocks"`
	Allows     int                      `json:"allows"`
	Collisions int                      `json:"collisions"`
	Guards     canonical.Guards         `json:"guards"`
	GuardsHash string                   `json:"guards_hash"`
	Digest     *Digested                `json:"digest,omitempty"`
}

// A Digested is the digest of the whole state at an offset, in hex: two views at one offset
// of one log have the same.
type Digested struct {
	Offset int64  `json:"offset"`
	SHA256 string `json:"sha256"`
}

// countedAtOnce is how many records are counted under one lock.
const countedAtOnce = 10_000

// Stats reads everything, a piece at a time, so that folding goes on meanwhile: where it
// does, counts are of different moments.
func (v *View) Stats() Stats {
	st := Stats{Nodes: map[canonical.Scheme]int{}, Cut: map[Reason]int{}, Collisions: len(v.Collisions())}
	v.mu.RLock()
	st.Offset, st.Facts, st.Guards, st.GuardsHash = v.offset, v.offset+1, v.rules.Guards, v.rules.hash
	v.mu.RUnlock()
	for _, r := range []Reason{NeverLink, Crowded, SharedDevice} {
		st.Cut[r] = 0
	}
	v.scan(keyNode, func(k, b []byte) {
		n, err := decodeNode(lastWord(k), b)
		must(err)
		st.Nodes[n.scheme]++
		if n.cut != notCut {
			st.Cut[n.cut.reason()]++
		}
		// A cluster's id is one of its members.
		switch graphOf(n.scheme) {
		case accounts:
			if n.cluster == n.id {
				st.Accounts++
			}
		case people:
			if n.cluster == n.id {
				st.Persons++
			}
			if !n.grouped && anchors(n.scheme) {
				st.Known++
			}
		}
	})
	var largest *cluster
	v.scan(keyCluster, func(k, b []byte) {
		c, err := decodeCluster(lastWord(k), b)
		must(err)
		if c.anchors == 0 {
			return
		}
		st.Known++
		if largest == nil || c.size > largest.size {
			largest = c
		}
	})
	v.scan(keyEdge, func(k, b []byte) {
		e, err := decodeEdge(b)
		must(err)
		if from, to := keyWord(k), lastWord(k); from > to {
			return // it stands in both directions
		}
		st.Edges++
		if e.blocked() {
			st.Blocks++
		}
		if e.allowed() {
			st.Allows++
		}
	})
	if largest != nil {
		v.mu.RLock()
		defer v.mu.RUnlock()
		s := newState(v.store, v.warm, 0)
		if n := s.look(largest.id); n != nil {
			g := s.party(n, someNeighbours)
			st.Largest = &g
		}
	}
	return st
}

// keyWord is the node that a key of something begins with.
func keyWord(k []byte) canonical.NodeID {
	r := reader{b: k[1:]}
	return canonical.NodeID(r.word())
}

// scan visits all records of a kind, a piece at a time.
func (v *View) scan(kind byte, visit func(k, b []byte)) {
	for lo := []byte{kind}; lo != nil; {
		lo = v.piece(lo, []byte{kind + 1}, visit)
	}
}

func (v *View) piece(lo, end []byte, visit func(k, b []byte)) (next []byte) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	n := 0
	must(v.store.Range(lo, end, func(k, b []byte) bool {
		if n == countedAtOnce {
			next = append([]byte{}, k...)
			return false
		}
		n++
		visit(k, b)
		return true
	}))
	return next
}

// Parties gives persons, or accounts, with all their identifiers, at most so many: those
// whose first node stands behind one. It says where to go on: zero at the end.
func (v *View) Parties(after canonical.NodeID, most int, account bool) (out []Party, next canonical.NodeID) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := newState(v.store, v.warm, 0)
	nodes := v.nodesBehind(after, most)
	for _, n := range nodes {
		if next = n.id; n.cluster == n.id && graphOf(n.scheme) != noGraph && (graphOf(n.scheme) == accounts) == account {
			c := s.clusterOf(s.look(n.id))
			g := s.party(s.look(n.id), c.size)
			out = append(out, g)
		}
	}
	if len(nodes) < most {
		next = 0
	}
	return out, next
}
