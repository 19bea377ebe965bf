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
	rules      *rules // the guards in force
	key        *ErasureKey
	erased     *erasures                 // who is forgotten
	ownErased  bool                      // they are this folder's, and may be changed
	buried     map[canonical.NodeID]bool // nodes that were taken away
	offset     int64
	gone       map[canonical.NodeID]bool // cluster ids no longer in use

	// Of the fact under way:
	raised  []canonical.NodeID                    // nodes seen earlier than known, or no longer merged away or deleted
	lost    map[canonical.NodeID]bool             // nodes that now are merged away or deleted
	was     map[canonical.NodeID]canonical.NodeID // root before, of nodes that changed cluster
	split   map[canonical.NodeID]bool             // clusters that gave nodes away
	touched map[canonical.NodeID]bool
	handed  map[hand]canonical.NodeID // who holds a device since when, of hands that changed; 0 nobody
}

func newFolder(s *state, r *rules) *folder {
	return &folder{state: s, rules: r, gone: make(map[canonical.NodeID]bool), erased: &erasures{upTo: -1}}
}

// apply folds one fact and says whether it stated anything that the log had not. A fact
// that ties nothing (too few nodes, an unusable identifier, nodes of different graphs)
// states nothing. An unknown kind is an error: an older version must not guess.
func (f *folder) apply(offset int64, fact canonical.Fact) (stated bool, err error) {
	f.offset, f.raised = offset, f.raised[:0]
	f.lost, f.was, f.split, f.touched, f.handed = nil, nil, nil, nil, nil
	fact, ok := f.erased.admit(fact)
	if !ok {
		return false, nil
	}
	switch fact.Kind {
	case canonical.FactLink:
		stated = f.link(fact)
	case canonical.FactMerge:
		stated = f.merge(fact)
	case canonical.FactUnmerge:
		stated = f.unmerge(fact)
	case canonical.FactBlock, canonical.FactAllow:
		stated = f.judge(fact)
	case canonical.FactDeletion:
		stated = f.remove(fact)
	case canonical.FactGuards:
		stated = f.guard(fact)
	case canonical.FactAssociation:
		stated = f.associate(fact)
	case canonical.FactStage:
		stated = f.stage(fact)
	case canonical.FactTouch:
		stated = f.touch(fact)
	case canonical.FactAccount:
		stated = f.fields(fact)
	case canonical.FactConsent:
		stated = f.consent(fact)
	case canonical.FactErase:
		if stated, err = f.erase(fact); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("identity fact of kind %q at offset %d: this version does not know it; run the version that wrote it, or a newer one", fact.Kind, offset)
	}
	if !f.statements {
		f.settle()
	}
	return stated, nil
}

// pairs lets say change what was said of the first node and each other one, and folds what
// follows from it. say returns false where it changes nothing.
func (f *folder) pairs(fact canonical.Fact, say func(a, b *node, e *edge) bool) bool {
	stated := false
	at := nanos(fact.At)
	for i := 1; i < len(fact.Nodes); i++ {
		if !joinable(fact.Nodes[0], fact.Nodes[i]) {
			continue
		}
		a, news := f.seeChanged(fact.Nodes[0], at)
		b, more := f.seeChanged(fact.Nodes[i], at)
		stated = stated || news || more
		if a == nil || b == nil {
			continue
		}
		was := f.edge(a, b)
		if e := was; say(a, b, &e) {
			stated = true
			f.tie(a, b, was, e)
		}
	}
	return stated
}

// link ties the first node to each other one. Who is no anchor is tied weakly, whatever
// the fact says; in the graph of accounts there is one strength.
func (f *folder) link(fact canonical.Fact) bool {
	at := nanos(fact.At)
	return f.pairs(fact, func(a, b *node, e *edge) bool {
		if graphOf(a.scheme) == accounts || !fact.Weak && anchors(a.scheme) && anchors(b.scheme) {
			return e.strong.lower(at)
		}
		return e.weak.lower(at)
	})
}

// merge states that each other node goes on in the first. One that was only found is
// said again at every read: it states nothing where it was said before.
func (f *folder) merge(fact canonical.Fact) bool {
	at := nanos(fact.At)
	return f.pairs(fact, func(a, b *node, e *edge) bool {
		t := &e.merge[sideOf(a, b)]
		return !(f.statements && fact.Weak && t.set) && t.raise(at)
	})
}

// sideOf is 0 where the first of two nodes is the smaller one, else 1.
func sideOf(a, b *node) int {
	if a.id < b.id {
		return 0
	}
	return 1
}

// unmerge cancels the merges said at or before its time between the first node and each
// other one.
func (f *folder) unmerge(fact canonical.Fact) bool {
	return f.pairs(fact, func(_, _ *node, e *edge) bool { return e.unmerge.raise(nanos(fact.At)) })
}

// judge states that two nodes never belong together, or do: a person's word.
func (f *folder) judge(fact canonical.Fact) bool {
	if len(fact.Nodes) != 2 {
		return false
	}
	return f.pairs(fact, func(_, _ *node, e *edge) bool {
		if fact.Kind == canonical.FactBlock {
			return e.block.raise(nanos(fact.At))
		}
		return e.allow.raise(nanos(fact.At))
	})
}

// remove notes that a record of the CRM was deleted, or restored.
func (f *folder) remove(fact canonical.Fact) bool {
	if len(fact.Nodes) == 0 {
		return false
	}
	switch fact.Nodes[0].Scheme {
	case canonical.HubSpotContact, canonical.HubSpotCompany, canonical.HubSpotDeal:
	default:
		return false
	}
	at := nanos(fact.At)
	n, stated := f.seeChanged(fact.Nodes[0], at)
	if n == nil {
		return false
	}
	was, to := n.isDeleted(), &n.deleted
	if fact.Removed {
		to = &n.restored
	}
	if !to.raise(at) {
		return stated
	}
	f.change(n)
	switch is := n.isDeleted(); {
	case is && !was:
		mark(&f.lost, n.id)
		mark(&f.touched, n.id)
	case was && !is:
		f.raised = append(f.raised, n.id)
		mark(&f.touched, n.id)
	}
	return true
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
	n, _ := f.seeChanged(id, at)
	return n
}

// seeChanged is see, and says whether the node is new or seen earlier than known.
func (f *folder) seeChanged(id canonical.Identifier, at int64) (*node, bool) {
	if !foldable(id) {
		return nil, false
	}
	name := id.Node()
	n := f.look(name)
	if n == nil {
		n = &node{id: name, scheme: id.Scheme, value: id.Value, seen: at, cluster: name, fresh: true}
		if f.rules.never[name] {
			n.cut = neverLink
		}
		f.change(n)
		return n, true
	}
	if n.scheme != id.Scheme || n.value != id.Value {
		f.collide(n, id)
		return nil, false
	}
	if at < n.seen {
		n.seen = at
		f.change(n)
		f.raised = append(f.raised, n.id)
		return n, true
	}
	return n, false
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
		f.added = append(f.added, Write{key(keyOverride, ordered(f.offset), uint64(i)), encodeRows(rows[i*chunk : min((i+1)*chunk, len(rows))])})
	}
	f.settleHands()
	if len(f.touched) > 0 {
		var v []byte
		for _, n := range sorted(f.touched) {
			v = binary.BigEndian.AppendUint64(v, uint64(n))
		}
		f.added = append(f.added, Write{key(keyTouched, ordered(f.offset)), v})
	}
}
