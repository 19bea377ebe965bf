package identity

import (
	"cmp"
	"strings"

	"tributary/canonical"
)

// A membership is what associations say of one pair: the newest statements.
type membership struct {
	present, primary, removed times
}

// is says whether the pair belongs together, and primarily. What was said at the same
// time as a removal holds against it.
func (m membership) is() (present, primary bool) {
	newer := func(t times) bool { return t.set && (!m.removed.set || t.at >= m.removed.at) }
	return newer(m.present) || newer(m.primary), newer(m.primary)
}

// since is the newest statement that it is there.
func (m membership) since() int64 {
	if m.primary.set && (!m.present.set || m.primary.at > m.present.at) {
		return m.primary.at
	}
	return m.present.at
}

// join gives what two nodes of one person say together.
func (m membership) join(o membership) membership {
	for _, p := range []struct {
		to   *times
		with times
	}{{&m.present, o.present}, {&m.primary, o.primary}, {&m.removed, o.removed}} {
		if p.with.set {
			p.to.raise(p.with.at)
		}
	}
	return m
}

// raise takes a later time and says whether it was.
func (t *times) raise(at int64) bool {
	if t.set && t.at >= at {
		return false
	}
	t.at, t.set = at, true
	return true
}

func (m membership) encode() []byte {
	return edge{strong: m.present, weak: m.primary, merge: m.removed}.encode()
}

func decodeMembership(b []byte) (membership, error) {
	e, err := decodeEdge(b)
	return membership{present: e.strong, primary: e.weak, removed: e.merge}, err
}

// associate notes that the first node belongs to the second, or no longer does. It
// states nothing where the same was said of the pair at an equal or later time.
func (f *folder) associate(fact canonical.Fact) bool {
	if len(fact.Nodes) < 2 || !foldable(fact.Nodes[0]) || !foldable(fact.Nodes[1]) || f.statements && f.foundAgain(fact) {
		return false
	}
	at := nanos(fact.At)
	a, stated := f.seeChanged(fact.Nodes[0], at)
	b, earlier := f.seeChanged(fact.Nodes[1], at)
	stated = stated || earlier
	if a == nil || b == nil || a.id == b.id {
		return stated
	}
	m, _ := f.membership(a, b)
	was, _ := m.is()
	to := &m.present
	switch {
	case fact.Removed:
		to = &m.removed
	case fact.Primary:
		to = &m.primary
	}
	if !to.raise(at) {
		return stated
	}
	f.put(key(keyAccount, uint64(a.id), uint64(b.id)), m.encode())
	a.accounts = true
	f.change(a)
	if a.scheme == canonical.HubSpotDeal && graphOf(b.scheme) == people {
		f.put(key(keyDeal, uint64(b.id), uint64(a.id)), nil)
		b.accounts = true
		f.change(b)
		if is, _ := m.is(); is != was {
			mark(&f.touched, a.id)
		}
	}
	return true
}

// membership gives what is kept of a pair.
func (f *folder) membership(a, b *node) (membership, bool) {
	v, ok := f.get(key(keyAccount, uint64(a.id), uint64(b.id)))
	if !ok {
		return membership{}, false
	}
	m, err := decodeMembership(v)
	must(err)
	return m, true
}

// foundAgain says whether an association was only found, and as what stands already: the
// pair is there, is the primary one if that is said, no other account was said since that
// it would come before now, and neither node is seen earlier.
func (f *folder) foundAgain(fact canonical.Fact) bool {
	if !fact.Weak || fact.Removed {
		return false
	}
	at := nanos(fact.At)
	a, b := f.look(fact.Nodes[0].Node()), f.look(fact.Nodes[1].Node())
	if a == nil || b == nil || at < a.seen || at < b.seen {
		return false
	}
	m, ok := f.membership(a, b)
	present, primary := m.is()
	if !ok || !present || fact.Primary && !primary {
		return false
	}
	if graphOf(b.scheme) != accounts {
		return true
	}
	for _, e := range f.under(key(keyAccount, uint64(a.id))) {
		o, err := decodeMembership(e.value)
		must(err)
		there, first := o.is()
		if !there || first != primary || o.since() <= m.since() || o.since() > at {
			continue
		}
		if n := f.look(lastWord(e.key)); n != nil && n.scheme == b.scheme {
			return false // told since, and now it is this one again
		}
	}
	return true
}

// contactOf gives the contact of a deal that counts: the surviving one with the lowest
// record id; without a contact, another node of a person. Zero: the node is no deal, or
// nobody is associated with it.
func (v *View) contactOf(deal canonical.NodeID) canonical.NodeID {
	d := lookNode(v.store, v.warm, deal)
	if d == nil || d.scheme != canonical.HubSpotDeal || !d.accounts {
		return 0
	}
	belongs := make(map[canonical.NodeID]membership)
	memberships(v.store, deal, belongs)
	var best *node
	for id, m := range belongs {
		n := lookNode(v.store, v.warm, id)
		if present, _ := m.is(); !present || n == nil || graphOf(n.scheme) != people {
			continue
		}
		if n = v.survivor(n); best == nil || countsBefore(n, best) {
			best = n
		}
	}
	if best == nil {
		return 0
	}
	return best.id
}

// survivor gives the record that a merged contact goes on in, where its person is named
// by one of the same CRM; else the node itself.
func (v *View) survivor(n *node) *node {
	if n.scheme != canonical.HubSpotContact || !n.merged {
		return n
	}
	root := lookNode(v.store, v.warm, lookCluster(v.store, v.warm, n).root)
	if root == nil || root.scheme != n.scheme || root.merged {
		return n
	}
	here, _ := recordID(n.value)
	if there, _ := recordID(root.value); there != here {
		return n
	}
	return root
}

func countsBefore(x, y *node) bool {
	_, a := recordID(x.value)
	_, b := recordID(y.value)
	return cmp.Or(cmp.Compare(x.standing(), y.standing()), compareIDs(a, b), cmp.Compare(x.id, y.id)) < 0
}

// recordID takes the name of a CRM, with its colon, and the id of the record apart.
func recordID(value string) (account, id string) {
	i := strings.LastIndexByte(value, ':') + 1
	return value[:i], value[i:]
}

// dealsOf visits the deals that belong, or belonged, to a node of a person.
func (v *View) dealsOf(n canonical.NodeID, visit func(deal canonical.NodeID)) {
	if nd := lookNode(v.store, v.warm, n); nd == nil || !nd.accounts {
		return
	}
	prefix := key(keyDeal, uint64(n))
	must(v.store.Range(prefix, after(prefix), func(k, _ []byte) bool {
		visit(lastWord(k))
		return true
	}))
}
