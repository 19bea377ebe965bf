package identity

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tributary/canonical"
)

// The kinds of key: one letter, then node, cluster or offset in eight bytes, so that
// everything of one node stands together.
const (
	keyMeta      = 'm' // name → value
	keyNode      = 'n' // node → record
	keyCluster   = 'c' // cluster → root, size; only from two nodes on
	keyMember    = 'b' // cluster, node
	keyEdge      = 'e' // node, other node → times; stands in both directions
	keyTouch     = 't' // node, class, time, hash → touch
	keyClick     = 'q' // node, scheme, value → last seen
	keyAccount   = 'a' // node, the node it belongs to → times
	keyDeal      = 'd' // node of a person, deal that belongs or belonged to it
	keyStage     = 'h' // object node, time, hash → stage reached
	keyOverride  = 'o' // offset, number → rows
	keyTouched   = 'w' // offset → nodes
	keyCollision = 'x' // node, hash → collision
)

func key(kind byte, words ...uint64) []byte {
	k := make([]byte, 1, 1+8*len(words)+16)
	k[0] = kind
	for _, w := range words {
		k = binary.BigEndian.AppendUint64(k, w)
	}
	return k
}

// ordered makes a signed number sort as its bytes.
func ordered(ns int64) uint64 { return uint64(ns) ^ 1<<63 }

func unordered(w uint64) int64 { return int64(w ^ 1<<63) }

// after is the smallest key that does not begin with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

var errRecord = errors.New("a record of the identity store cannot be read: delete the store, it is rebuilt from the log")

// A node is what is kept of one identifier, besides its edges and registers.
type node struct {
	id      canonical.NodeID
	scheme  canonical.Scheme
	value   string
	seen    int64            // first business time of any fact that names it
	cluster canonical.NodeID // a member of its cluster; its own id when alone
	merged  bool             // a merge names it as merged away
	// tied is the key of the first edge to an anchor, where there is one; tiedStrong when
	// that edge is a strong one.
	tied       edgeKey
	isTied     bool
	tiedStrong bool
	// grouped: in a cluster of several. The others say what else is kept under this node,
	// accounts of associations in either direction. So a reader need not look.
	grouped, touches, clicks, accounts, stages bool
	fresh                                      bool // not in the store yet
}

func (n *node) identifier() canonical.Identifier {
	return canonical.Identifier{Scheme: n.scheme, Value: n.value}
}

const (
	flagMerged = 1 << iota
	flagTied
	flagTiedStrong
	flagTouches
	flagClicks
	flagAccounts
	flagStages
	flagGrouped
)

func (n *node) encode() []byte {
	var flags byte
	for _, f := range []struct {
		set bool
		bit byte
	}{{n.merged, flagMerged}, {n.isTied, flagTied}, {n.tiedStrong, flagTiedStrong}, {n.touches, flagTouches},
		{n.clicks, flagClicks}, {n.accounts, flagAccounts}, {n.stages, flagStages}, {n.grouped, flagGrouped}} {
		if f.set {
			flags |= f.bit
		}
	}
	b := make([]byte, 0, 48+len(n.value))
	b = append(b, flags)
	b = binary.BigEndian.AppendUint64(b, uint64(n.seen))
	b = binary.BigEndian.AppendUint64(b, uint64(n.cluster))
	if n.isTied {
		b = binary.BigEndian.AppendUint64(b, uint64(n.tied.at))
		other := n.tied.low
		if other == n.id {
			other = n.tied.high
		}
		b = binary.BigEndian.AppendUint64(b, uint64(other))
	}
	b = append(b, byte(min(len(n.scheme), 255)))
	b = append(b, n.scheme[:min(len(n.scheme), 255)]...)
	return append(b, n.value...)
}

func decodeNode(id canonical.NodeID, b []byte) (*node, error) {
	r := reader{b: b}
	flags := r.byte()
	n := &node{
		id: id, seen: int64(r.word()), cluster: canonical.NodeID(r.word()),
		merged: flags&flagMerged != 0, isTied: flags&flagTied != 0, tiedStrong: flags&flagTiedStrong != 0,
		touches: flags&flagTouches != 0, clicks: flags&flagClicks != 0,
		accounts: flags&flagAccounts != 0, stages: flags&flagStages != 0, grouped: flags&flagGrouped != 0,
	}
	if n.isTied {
		at := int64(r.word())
		n.tied = keyOf(at, id, canonical.NodeID(r.word()))
	}
	n.scheme = canonical.Scheme(r.take(int(r.byte())))
	n.value = string(r.b)
	if r.short {
		return nil, fmt.Errorf("node %s: %w", id, errRecord)
	}
	return n, nil
}

// A cluster is a connected set of nodes. Its id is one of its members, kept through
// growth so that little is rewritten; its root is chosen by rule. A node alone has none
// stored.
type cluster struct {
	id, root canonical.NodeID
	size     int
	anchored bool // it holds an anchor
}

func (c *cluster) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.root))
	b = binary.AppendUvarint(b, uint64(c.size))
	if c.anchored {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeCluster(id canonical.NodeID, b []byte) (*cluster, error) {
	r := reader{b: b}
	c := &cluster{id: id, root: canonical.NodeID(r.word()), size: int(r.uvarint()), anchored: r.byte() == 1}
	if r.short {
		return nil, fmt.Errorf("cluster %s: %w", id, errRecord)
	}
	return c, nil
}

// An edge is what links and merges say of two nodes: the earliest time of each kind.
type edge struct {
	strong, weak, merge times
}

// times is an earliest time, where there is one.
type times struct {
	at  int64
	set bool
}

// lower takes an earlier time and says whether it was.
func (t *times) lower(at int64) bool {
	if t.set && t.at <= at {
		return false
	}
	t.at, t.set = at, true
	return true
}

func (e edge) isStrong() bool { return e.strong.set || e.merge.set }

func (e edge) encode() []byte {
	b := []byte{0}
	for i, t := range []times{e.strong, e.weak, e.merge} {
		if t.set {
			b[0] |= 1 << i
			b = binary.BigEndian.AppendUint64(b, uint64(t.at))
		}
	}
	return b
}

func decodeEdge(b []byte) (edge, error) {
	var e edge
	r := reader{b: b}
	flags := r.byte()
	for i, t := range []*times{&e.strong, &e.weak, &e.merge} {
		if flags&(1<<i) != 0 {
			t.at, t.set = int64(r.word()), true
		}
	}
	if r.short {
		return e, fmt.Errorf("edge: %w", errRecord)
	}
	return e, nil
}

// A reader takes a record apart; short is set when it ends too early.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) word() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.short = true
		return 0
	}
	r.b = r.b[n:]
	return v
}
