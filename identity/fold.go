package identity

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"tributary/canonical"
)

// A folder applies facts to a state, one after the other. What comes of a set of facts
// does not depend on their order; the overrides of a fact do depend on what came before.
type folder struct {
	*state
	// statements folds what facts say but not who is joined by it: enough to know
	// whether a fact says anything new.
	statements bool
	offset     int64
	gone       map[canonical.NodeID]bool // cluster ids no longer in use

	// Of the fact under way:
	raised  []canonical.NodeID                    // nodes seen earlier than known
	lost    map[canonical.NodeID]bool             // nodes that a merge now names as merged away
	was     map[canonical.NodeID]canonical.NodeID // root before, of nodes that changed cluster
	split   map[canonical.NodeID]bool             // clusters that gave nodes away
	touched map[canonical.NodeID]bool
}

func newFolder(s *state) *folder {
	return &folder{state: s, gone: make(map[canonical.NodeID]bool)}
}

// apply folds one fact and says whether it stated anything that the log had not. A fact
// that ties nothing (too few nodes, an unusable identifier, nodes of different graphs)
// states nothing. An unknown kind is an error: an older version must not guess.
func (f *folder) apply(offset int64, fact canonical.Fact) (stated bool, err error) {
	f.offset, f.raised = offset, f.raised[:0]
	f.lost, f.was, f.split, f.touched = nil, nil, nil, nil
	switch fact.Kind {
	case canonical.FactLink:
		stated = f.link(fact)
	case canonical.FactMerge:
		stated = f.merge(fact)
	case canonical.FactAssociation:
		stated = f.associate(fact)
	case canonical.FactStage:
		stated = f.stage(fact)
	case canonical.FactTouch:
		stated = f.touch(fact)
	default:
		return false, fmt.Errorf("identity fact of kind %q at offset %d: this version does not know it; run the version that wrote it, or a newer one", fact.Kind, offset)
	}
	if !f.statements {
		f.settle()
	}
	return stated, nil
}

// link joins the first node with each other one.
func (f *folder) link(fact canonical.Fact) bool {
	stated := false
	at := nanos(fact.At)
	for i := 1; i < len(fact.Nodes); i++ {
		if !joinable(fact.Nodes[0], fact.Nodes[i]) {
			continue
		}
		a, b := f.see(fact.Nodes[0], at), f.see(fact.Nodes[i], at)
		if a == nil || b == nil {
			continue
		}
		e := f.edge(a, b)
		known := e != edge{}
		if fact.Weak && !e.weak.lower(at) || !fact.Weak && !e.strong.lower(at) {
			continue
		}
		stated = true
		f.tie(a, b, e, !fact.Weak || graphOf(a.scheme) == accounts, at, known)
	}
	return stated
}

// merge joins the first node with each other one and marks the others as merged away. It
// states nothing where each pair was merged so at an equal or earlier time.
func (f *folder) merge(fact canonical.Fact) bool {
	stated := false
	at := nanos(fact.At)
	for i := 1; i < len(fact.Nodes); i++ {
		if !joinable(fact.Nodes[0], fact.Nodes[i]) {
			continue
		}
		a, b := f.see(fact.Nodes[0], at), f.see(fact.Nodes[i], at)
		if a == nil || b == nil {
			continue
		}
		e := f.edge(a, b)
		known := e != edge{}
		if !e.merge.lower(at) && b.merged {
			continue
		}
		stated = true
		if !b.merged {
			b.merged = true
			f.change(b)
			mark(&f.lost, b.id)
		}
		f.tie(a, b, e, true, at, known)
	}
	return stated
}

// joinable is true for two different nodes of one graph.
func joinable(a, b canonical.Identifier) bool {
	g := graphOf(a.Scheme)
	return g != noGraph && g == graphOf(b.Scheme) && foldable(a) && foldable(b) && (a.Scheme != b.Scheme || a.Value != b.Value)
}

// foldable is false for what cannot be a node.
func foldable(id canonical.Identifier) bool {
	return id.Scheme != "" && id.Value != "" && len(id.Scheme) <= 64 && len(id.Value) <= 4096
}

// see gives the node of an identifier that a fact names, made where it was not known;
// nil when it cannot be used.
func (f *folder) see(id canonical.Identifier, at int64) *node {
	if !foldable(id) {
		return nil
	}
	name := id.Node()
	n := f.look(name)
	if n == nil {
		n = &node{id: name, scheme: id.Scheme, value: id.Value, seen: at, cluster: name, fresh: true}
		f.change(n)
		return n
	}
	if n.scheme != id.Scheme || n.value != id.Value {
		f.collide(n, id)
		return nil
	}
	if at < n.seen {
		n.seen = at
		f.change(n)
		f.raised = append(f.raised, n.id)
	}
	return n
}

// collide keeps that two identifiers have one node id.
func (f *folder) collide(n *node, id canonical.Identifier) {
	sum := sha256.Sum256([]byte(string(id.Scheme) + "\x00" + id.Value))
	k := key(keyCollision, uint64(n.id), binary.BigEndian.Uint64(sum[:]))
	if _, ok := f.get(k); ok {
		return
	}
	v, err := json.Marshal(Collision{Node: n.id, Kept: n.identifier(), Lost: id, Offset: f.offset})
	must(err)
	f.put(k, v)
}

// settle chooses the root of every cluster that the fact changed and writes down what
// follows for its nodes.
func (f *folder) settle() {
	rows := f.reroot()
	const chunk = 1024
	for i := 0; i*chunk < len(rows); i++ {
		var v []byte
		for _, r := range rows[i*chunk : min((i+1)*chunk, len(rows))] {
			v = binary.BigEndian.AppendUint64(v, uint64(r.Node))
			v = binary.BigEndian.AppendUint64(v, uint64(r.Root))
			if r.Account {
				v = append(v, 1)
			} else {
				v = append(v, 0)
			}
		}
		f.put(key(keyOverride, ordered(f.offset), uint64(i)), v)
	}
	if len(f.touched) > 0 {
		var v []byte
		for _, n := range sorted(f.touched) {
			v = binary.BigEndian.AppendUint64(v, uint64(n))
		}
		f.put(key(keyTouched, ordered(f.offset)), v)
	}
}
