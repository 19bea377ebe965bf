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
	keyCluster   = 'c' // cluster → root, size, nodes of a small one; only from two nodes on
	keyMember    = 'b' // large cluster, node
	keyEdge      = 'e' // node, other node → what was said of the pair; stands in both directions
	keyHand      = 'g' // shared device, since → the anchor that holds it from then on
	keyHanded    = 'i' // offset, number → rows of hands
	keyTouch     = 't' // node, class, time, hash → touch
	keyClick     = 'q' // node, scheme, value → last seen
	keyAccount   = 'a' // node, the node it belongs to → times
	keyDeal      = 'd' // node of a person, deal that belongs or belonged to it
	keyStage     = 'h' // object node, time, hash → stage reached
	keyOverride  = 'o' // offset, number → rows
	keyTouched   = 'w' // offset → nodes
	keyCollision = 'x' // node, hash → collision
	keyField     = 'f' // node of an account → its fields; the node says accounts
	keyErased    = 'z' // keyed hash → since when it is erased, and whether still
	keyConsent   = 'k' // node → the newest of what it said of consent; the node says touches
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
	merged  bool             // a merge that holds names it as merged away
	cut     cut
	crowd   int // how many neighbours count for crowding it: see crowds
	// tied is the key of the first link to an anchor that is there, of a device.
	tied   edgeKey
	isTied bool
	// deleted and restored are the newest times that a CRM record was said to be so.
	deleted, restored times
	// near: a device that it is linked to is shared, or was; limited: a link of it was
	// refused once. Neither is taken back: they say where to look.
	near, limited bool
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
	flagCrowd
	flagTouches
	flagClicks
	flagAccounts
	flagStages
	flagGrouped
	flagNear
	flagLimited
	flagDeleted
	flagRestored
	cutShift = iota // the cut stands above the flags
)

func (n *node) encode() []byte {
	flags := uint16(n.cut) << cutShift
	for _, f := range [...]struct {
		set bool
		bit uint16
	}{{n.merged, flagMerged}, {n.isTied, flagTied}, {n.crowd > 0, flagCrowd}, {n.touches, flagTouches},
		{n.clicks, flagClicks}, {n.accounts, flagAccounts}, {n.stages, flagStages}, {n.grouped, flagGrouped},
		{n.near, flagNear}, {n.limited, flagLimited}, {n.deleted.set, flagDeleted}, {n.restored.set, flagRestored}} {
		if f.set {
			flags |= f.bit
		}
	}
	b := make([]byte, 0, 48+len(n.value))
	b = binary.BigEndian.AppendUint16(b, flags)
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
	if n.crowd > 0 {
		b = binary.AppendUvarint(b, uint64(n.crowd))
	}
	for _, t := range [...]times{n.deleted, n.restored} {
		if t.set {
			b = binary.BigEndian.AppendUint64(b, uint64(t.at))
		}
	}
	form, value := pack(n.value)
	b = append(b, form, byte(len(n.scheme)))
	b = append(b, n.scheme...)
	return append(b, value...)
}

func decodeNode(id canonical.NodeID, b []byte) (*node, error) {
	r := reader{b: b}
	flags := uint16(r.byte())<<8 | uint16(r.byte())
	n := &node{
		id: id, seen: int64(r.word()), cluster: canonical.NodeID(r.word()), cut: cut(flags >> cutShift),
		merged: flags&flagMerged != 0, isTied: flags&flagTied != 0, near: flags&flagNear != 0, limited: flags&flagLimited != 0,
		touches: flags&flagTouches != 0, clicks: flags&flagClicks != 0,
		accounts: flags&flagAccounts != 0, stages: flags&flagStages != 0, grouped: flags&flagGrouped != 0,
	}
	if n.isTied {
		at := int64(r.word())
		n.tied = keyOf(at, id, canonical.NodeID(r.word()))
	}
	if flags&flagCrowd != 0 {
		n.crowd = int(r.uvarint())
	}
	if flags&flagDeleted != 0 {
		n.deleted = times{int64(r.word()), true}
	}
	if flags&flagRestored != 0 {
		n.restored = times{int64(r.word()), true}
	}
	form := r.byte()
	n.scheme = canonical.Scheme(r.take(int(r.byte())))
	n.value = unpack(form, r.b)
	if r.short {
		return nil, fmt.Errorf("node %s: %w", id, errRecord)
	}
	return n, nil
}

// A cluster is a connected set of nodes. Its id is one of its members, kept through
// growth so that little is rewritten; its root is chosen by rule. A node alone has none
// stored. A small one holds its nodes; those of a large one stand under keys of their own, so
// that it grows without being written anew.
type cluster struct {
	id, root canonical.NodeID
	size     int
	nodes    []canonical.NodeID // of a small one, ascending; never changed in place
	anchors  int                // how many of its nodes are
	near     bool               // one of its nodes is
	// last is a time by which strong links have made it what it is.
	last int64
}

// smallCluster is how many nodes a cluster holds itself. Only tests set it.
var smallCluster = 24

func (c *cluster) isLarge() bool { return c.size > smallCluster }

func (c *cluster) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 24+8*len(c.nodes)), uint64(c.root))
	b = binary.AppendUvarint(b, uint64(c.size))
	b = binary.AppendUvarint(b, uint64(c.anchors))
	b = binary.BigEndian.AppendUint64(b, uint64(c.last))
	if c.near {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	for _, n := range c.nodes {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func decodeCluster(id canonical.NodeID, b []byte) (*cluster, error) {
	r := reader{b: b}
	c := &cluster{id: id, root: canonical.NodeID(r.word()), size: int(r.uvarint()), anchors: int(r.uvarint()), last: int64(r.word()), near: r.byte() == 1}
	if !c.isLarge() {
		for range c.size {
			c.nodes = append(c.nodes, canonical.NodeID(r.word()))
		}
	}
	if r.short {
		return nil, fmt.Errorf("cluster %s: %w", id, errRecord)
	}
	return c, nil
}

// encodeRows writes what roots the nodes of one fact have now; rows of one root stand together.
func encodeRows(rows []Override) []byte {
	var b []byte
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Root == rows[0].Root && rows[n].Account == rows[0].Account {
			n++
		}
		b = binary.BigEndian.AppendUint64(b, uint64(rows[0].Root))
		head := uint64(n) << 1
		if rows[0].Account {
			head++
		}
		b = binary.AppendUvarint(b, head)
		for _, r := range rows[:n] {
			b = binary.BigEndian.AppendUint64(b, uint64(r.Node))
		}
		rows = rows[n:]
	}
	return b
}

func decodeRows(offset int64, b []byte) ([]Override, error) {
	var out []Override
	r := reader{b: b}
	for len(r.b) > 0 {
		root, head := canonical.NodeID(r.word()), r.uvarint()
		for range head >> 1 {
			if r.short {
				return nil, errRecord
			}
			out = append(out, Override{Offset: offset, Node: canonical.NodeID(r.word()), Root: root, Account: head&1 == 1})
		}
	}
	if r.short {
		return nil, errRecord
	}
	return out, nil
}

// An edge is what was said of two nodes.
type edge struct {
	strong, weak times    // links: the earliest
	merge        [2]times // the newest, by which of the two survives: the smaller node, the larger
	unmerge      times    // the newest, as the others
	block, allow times
}

// times is a time, where there is one.
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

// holdsAgainst says whether a statement is newer than another one.
func (t times) holdsAgainst(o times) bool { return t.set && (!o.set || t.at > o.at) }

// blocked says whether nothing holds between the two, whatever else was said.
func (e edge) blocked() bool { return e.block.set && !e.allow.holdsAgainst(e.block) }

func (e edge) allowed() bool { return e.allow.holdsAgainst(e.block) }

// mergedInto says whether a merge holds with the smaller node (0) or the larger (1) as the
// survivor.
func (e edge) mergedInto(side int) bool { return e.merge[side].holdsAgainst(e.unmerge) && !e.blocked() }

// firm says whether the two belong together whatever the guards say.
func (e edge) firm() bool { return e.allowed() || e.mergedInto(0) || e.mergedInto(1) }

// linked says whether there is a link between them that nobody blocked.
func (e edge) linked() bool { return (e.strong.set || e.weak.set) && !e.blocked() }

func (e *edge) times() [7]*times {
	return [...]*times{&e.strong, &e.weak, &e.merge[0], &e.merge[1], &e.unmerge, &e.block, &e.allow}
}

func (e edge) encode() []byte {
	b := make([]byte, 1, 17)
	for i, t := range e.times() {
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
	for i, t := range e.times() {
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
