package identity

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"tributary/canonical"
)

// Known says what is known of an event's person now: everything for e.Node's whole
// person, clicks and touches not later than e.OccurredAt. The person of a deal's event
// without a node is that of the deal's contact that counts now; where there is none,
// nobody is known. The account is the one the event names, else the person's, else that
// of the deal it is about. All of it is as of the offset given.
func (v *View) Known(e canonical.Event) canonical.Known {
	v.mu.RLock()
	defer v.mu.RUnlock()
	k := canonical.Known{Offset: v.offset, Person: e.Node}
	at := int64(math.MaxInt64)
	if !e.OccurredAt.IsZero() {
		at = nanos(e.OccurredAt)
	}
	if p := v.person(v.subject(e)); p != nil {
		k.Person = p.root
		k.Identifiers = slices.Clone(p.identifiers)
		k.Clicks = v.clicksAt(p, at)
		k.FirstTouch, k.LastTouch = v.touchesAt(p, at)
		k.Consent = p.consent
	}
	k.Contacts = v.knownOf(e, k.Person, at)
	if k.Account = v.accountOf(e, at); k.Account != 0 {
		k.Fields = v.fieldsOf(k.Account)
	}
	return k
}

// subject gives the node of the person that an event is about: its own, of a shared device
// the one in whose hands it was then; without one, of a deal the contact that counts; else
// zero.
func (v *View) subject(e canonical.Event) canonical.NodeID {
	if e.Node != 0 {
		at := int64(math.MaxInt64)
		if !e.OccurredAt.IsZero() {
			at = nanos(e.OccurredAt)
		}
		return v.holderAt(e.Node, at)
	}
	if id, ok := canonical.ObjectIdentifier(e.Object); ok {
		return v.contactOf(id.Node())
	}
	return 0
}

func (v *View) accountOf(e canonical.Event, at int64) canonical.AccountID {
	if e.AccountNode != 0 {
		return v.root(e.AccountNode)
	}
	if p := v.person(v.subject(e)); p != nil {
		if a := v.bestAccount(p.belongs, at); a != 0 {
			return v.root(a)
		}
	}
	if id, ok := canonical.ObjectIdentifier(e.Object); ok && id.Scheme == canonical.HubSpotDeal {
		belongs := make(map[canonical.NodeID]membership)
		memberships(v.store, id.Node(), belongs)
		return v.root(v.bestAccount(belongs, at))
	}
	return 0
}

// Person gives the root of a node's person: the node itself when it is alone.
func (v *View) Person(n canonical.NodeID) canonical.PersonID {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.root(n)
}

// Account gives the root of an account node: the node itself when it is alone.
func (v *View) Account(n canonical.NodeID) canonical.AccountID { return v.Person(n) }

// AccountOf gives the account of a person's node by the associations of the whole
// person; zero where it has none.
func (v *View) AccountOf(n canonical.NodeID) canonical.AccountID {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if p := v.person(n); p != nil {
		return v.root(p.company)
	}
	return 0
}

func (v *View) root(n canonical.NodeID) canonical.NodeID {
	nd := lookNode(v.store, v.warm, n)
	if nd == nil {
		return n
	}
	if p, ok := v.warm.people.Peek(nd.cluster); ok {
		return p.root
	}
	return lookCluster(v.store, v.warm, nd).root
}

// Cluster gives all nodes of a node's person or account, ascending: at least the node. A
// deal's are the deal and the person of its contact that counts.
func (v *View) Cluster(n canonical.NodeID) []canonical.NodeID {
	v.mu.RLock()
	defer v.mu.RUnlock()
	nodes := v.cluster(n)
	if c := v.contactOf(n); c != 0 {
		nodes = append(nodes, v.cluster(c)...)
		slices.Sort(nodes)
	}
	return nodes
}

func (v *View) cluster(n canonical.NodeID) []canonical.NodeID {
	if p := v.person(n); p != nil {
		return slices.Clone(p.nodes)
	}
	return []canonical.NodeID{n}
}

func (v *View) members(c *cluster) []canonical.NodeID {
	if nodes := c.own(); nodes != nil {
		return nodes
	}
	out := make([]canonical.NodeID, 0, c.size)
	prefix := key(keyMember, uint64(c.id))
	must(v.store.Range(prefix, after(prefix), func(k, _ []byte) bool {
		out = append(out, lastWord(k))
		return true
	}))
	return out
}

// Node gives the identifier of a node, false where no fact named it.
func (v *View) Node(n canonical.NodeID) (canonical.Identifier, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	nd := lookNode(v.store, v.warm, n)
	if nd == nil {
		return canonical.Identifier{}, false
	}
	id := nd.identifier()
	id.Seen = timeOf(nd.seen)
	return id, true
}

// History gives the stages reached on these nodes, contacts, companies or deals, by
// business time, ties by event id. The nodes are taken as they are, not as persons: give
// Cluster to have a person's.
func (v *View) History(nodes ...canonical.NodeID) []canonical.StageReached {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.history(nodes...)
}

// Counted gives the person that a node was of at a time (zero: now), with its slots' nodes and
// stages; of a deal those of Cluster.
func (v *View) Counted(n canonical.NodeID, at time.Time) canonical.Counted {
	v.mu.RLock()
	defer v.mu.RUnlock()
	then := int64(math.MaxInt64)
	if !at.IsZero() {
		then = nanos(at)
	}
	c := canonical.Counted{Node: v.holderAt(n, then)}
	c.Nodes = v.cluster(c.Node)
	p := v.person(c.Node)
	if who := v.contactOf(n); who != 0 {
		c.Nodes, p = append(c.Nodes, v.cluster(who)...), v.person(who)
		slices.Sort(c.Nodes)
	}
	if p == nil || len(p.devices) == 0 {
		c.Stages = v.history(c.Nodes...)
		return c
	}
	c.Shared = slices.Clone(p.devices)
	c.Nodes = slices.DeleteFunc(c.Nodes, func(n canonical.NodeID) bool { return slices.Contains(p.devices, n) })
	c.Stages = v.history(c.Nodes...)
	for _, d := range p.devices {
		for _, st := range v.history(d) {
			if v.root(v.holderAt(d, nanos(st.At))) == p.root {
				c.Stages = append(c.Stages, st)
			}
		}
	}
	slices.SortStableFunc(c.Stages, inTime)
	return c
}

func (v *View) history(nodes ...canonical.NodeID) []canonical.StageReached {
	var out []canonical.StageReached
	seen := make(map[canonical.NodeID]bool)
	for _, n := range nodes {
		nd := lookNode(v.store, v.warm, n)
		if seen[n] || nd == nil || !nd.stages {
			continue
		}
		seen[n] = true
		prefix := key(keyStage, uint64(n))
		must(v.store.Range(prefix, after(prefix), func(_, b []byte) bool {
			var st canonical.StageReached
			if err := json.Unmarshal(b, &st); err != nil {
				must(errRecord)
			}
			out = append(out, st)
			return true
		}))
	}
	slices.SortStableFunc(out, inTime)
	return out
}

// inTime is the order of a history.
func inTime(x, y canonical.StageReached) int {
	return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.EventID, y.EventID), cmp.Compare(x.Rank, y.Rank), cmp.Compare(x.Name, y.Name))
}

// Overrides gives the rows that the facts at offsets in (from, to] caused, in their
// order. They are what was computed when each fact was folded, and do not change but by an
// erasure: then nodes of somebody erased have no rows from before, and a node whose root that was
// stands alone in them.
func (v *View) Overrides(from, to int64) []Override {
	v.mu.RLock()
	defer v.mu.RUnlock()
	x := v.erased.Load()
	var out []Override
	v.span(keyOverride, from, to, func(offset int64, b []byte) {
		rows, err := decodeRows(offset, b)
		must(err)
		for _, o := range rows {
			if !x.shownRow(offset, o.Node) {
				continue
			}
			if !x.shownRow(offset, o.Root) {
				o.Root = o.Node // whom it was before that is not who it was then
			}
			out = append(out, o)
		}
	})
	return out
}

// Touched gives the nodes, ascending, of all persons and accounts that gained an
// identifier, a click id or an edge by the facts at offsets in (from, to], as they are
// now, with the deals of these persons and the shared devices that may be in their hands;
// and the deals that gained or lost a contact.
func (v *View) Touched(from, to int64) []canonical.NodeID {
	v.mu.RLock()
	defer v.mu.RUnlock()
	named := make(map[canonical.NodeID]bool)
	v.span(keyTouched, from, to, func(_ int64, b []byte) {
		for ; len(b) >= 8; b = b[8:] {
			named[canonical.NodeID(binary.BigEndian.Uint64(b))] = true
		}
	})
	all := make(map[canonical.NodeID]bool)
	done := make(map[canonical.NodeID]bool) // persons looked at, by each of their nodes
	for n := range named {
		if done[n] {
			continue
		}
		for _, m := range v.cluster(n) {
			all[m], done[m] = true, true
			v.dealsOf(m, func(deal canonical.NodeID) { all[deal] = true })
		}
		if p := v.person(n); p != nil {
			for _, d := range p.devices {
				all[d] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (v *View) span(kind byte, from, to int64, visit func(offset int64, b []byte)) {
	if to <= from {
		return
	}
	lo := key(kind, ordered(from))
	must(v.store.Range(after(lo), after(key(kind, ordered(to))), func(k, b []byte) bool {
		r := reader{b: k[1:]}
		visit(unordered(r.word()), b)
		return true
	}))
}

// Collisions lists identifiers that are not folded because another one has their node
// id. There are none unless somebody made them.
func (v *View) Collisions() []Collision {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []Collision
	must(v.store.Range([]byte{keyCollision}, []byte{keyCollision + 1}, func(_, b []byte) bool {
		var c Collision
		if err := json.Unmarshal(b, &c); err != nil {
			must(errRecord)
		}
		out = append(out, c)
		return true
	}))
	return out
}
