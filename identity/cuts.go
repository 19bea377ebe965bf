package identity

import (
	"bytes"
	"encoding/json"
	"fmt"

	"tributary/canonical"
)

// A Reason says why two identifiers that something ties are not one person or account.
type Reason string

// The reasons, a closed set. The first three are also why a node is cut.
const (
	NeverLink    Reason = "never_link"    // one of them is on the guards' list
	Crowded      Reason = "crowded"       // one of them is linked to too many
	SharedDevice Reason = "shared_device" // one of them is a device of two or more people
	PersonLimit  Reason = "person_limit"  // together they would hold too many identifiers of a kind
	TwoPeople    Reason = "two_people"    // a weak link, and both belonged to somebody already
	Blocked      Reason = "blocked"       // a person forbade it
)

// A cut says why none of a node's links may join.
type cut byte

const (
	notCut cut = iota
	neverLink
	crowded
	sharedDevice
)

// reason gives the word for it; "" where the node is not cut.
func (c cut) reason() Reason { return [...]Reason{"", NeverLink, Crowded, SharedDevice}[c] }

// barred is true where a node's links are not there at all, not even to say who shares a
// device.
func (c cut) barred() bool { return c == neverLink || c == crowded }

// rules are the guards in force.
type rules struct {
	canonical.Guards
	hash  string
	never map[canonical.NodeID]bool
}

func newRules(g canonical.Guards) *rules {
	r := &rules{Guards: g.Whole(), hash: g.Hash(), never: make(map[canonical.NodeID]bool)}
	for _, id := range r.NeverLink {
		r.never[id.Node()] = true
	}
	return r
}

// Guards gives the guards in force and their hash.
func (v *View) Guards() (canonical.Guards, string) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.rules.Guards, v.rules.hash
}

var guardsKey = append([]byte{keyMeta}, "guards"...)

// storedRules gives the guards that a store holds, else the defaults.
func storedRules(store Store) (*rules, error) {
	b, ok, err := store.Get(guardsKey)
	if err != nil {
		return nil, err
	}
	var g canonical.Guards
	if ok {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&g); err != nil {
			return nil, fmt.Errorf("guards: %w", errRecord)
		}
	}
	return newRules(g), nil
}

// guard takes other guards into force and recomputes whom they concern.
func (f *folder) guard(fact canonical.Fact) bool {
	if fact.Guards == nil {
		return false
	}
	was, is := f.rules, newRules(*fact.Guards)
	if is.hash == was.hash {
		return false
	}
	f.rules = is
	if f.statements {
		return true
	}
	f.put(guardsKey, []byte(is.Text()))
	c := change{taken: true}
	for _, n := range f.concerned(was) {
		f.recut(&c, n)
		if n.limited && is.Limit > was.Limit {
			c.seed(n)
		}
	}
	if is.Limit < was.Limit {
		for _, id := range f.largerThan(is.Limit) {
			c.seed(f.look(id))
		}
	}
	if len(c.seeds) > 0 {
		f.recompute(c)
	}
	return true
}

// concerned gives the nodes that other guards may cut or free, or whose refused links may
// join.
func (f *folder) concerned(was *rules) []*node {
	fewest, fewestOfRecord := min(was.Crowd, f.rules.Crowd), min(was.CrowdRecord, f.rules.CrowdRecord)
	is := func(n *node) bool {
		return n.crowd > fewest && was.Crowd != f.rules.Crowd || n.crowd > fewestOfRecord && was.CrowdRecord != f.rules.CrowdRecord ||
			n.limited && was.Limit != f.rules.Limit || was.never[n.id] != f.rules.never[n.id]
	}
	ids := make(map[canonical.NodeID]bool)
	must(f.store.Range([]byte{keyNode}, []byte{keyNode + 1}, func(k, b []byte) bool {
		n, err := decodeNode(lastWord(k), b)
		must(err)
		if is(n) {
			ids[n.id] = true
		}
		return true
	}))
	for id := range f.dirty {
		ids[id] = true
	}
	var out []*node
	for _, id := range sorted(ids) {
		if n := f.look(id); n != nil && is(n) {
			out = append(out, n)
		}
	}
	return out
}

// largerThan gives the clusters that hold more anchors than a number.
func (f *folder) largerThan(limit int) []canonical.NodeID {
	ids := make(map[canonical.NodeID]bool)
	must(f.store.Range([]byte{keyCluster}, []byte{keyCluster + 1}, func(k, b []byte) bool {
		c, err := decodeCluster(lastWord(k), b)
		must(err)
		if c.anchors > limit {
			ids[c.id] = true
		}
		return true
	}))
	for id := range f.gone {
		delete(ids, id)
	}
	for id, c := range f.clusters {
		if c.anchors > limit {
			ids[id] = true
		}
	}
	return sorted(ids)
}

// crowds says whether a strong link to o counts for crowding n.
func crowds(o, n *node) bool {
	switch n.scheme {
	case canonical.HubSpotContact:
		return o.scheme == canonical.Email
	case canonical.Domain:
		return o.scheme == canonical.HubSpotCompany
	case canonical.HubSpotCompany:
		return false
	}
	return anchors(n.scheme) && anchors(o.scheme)
}

// recrowd counts a strong link that came or went, and cuts or frees its ends.
func (f *folder) recrowd(c *change, a, b *node, was, e edge) {
	counts := func(e edge) bool { return e.strong.set && !e.blocked() }
	if counts(was) == counts(e) {
		return
	}
	for _, p := range [...][2]*node{{a, b}, {b, a}} {
		n, o := p[0], p[1]
		switch {
		case !crowds(o, n):
			continue
		case counts(e):
			n.crowd++
		default:
			n.crowd--
		}
		f.change(n)
		if n.cut != neverLink && counts(e) == (n.cut != crowded) { // more cuts nobody free, and frees nobody cut
			f.recut(c, n)
		}
	}
}

// isCrowded says whether a node is linked strongly to more than it may.
func (f *folder) isCrowded(n *node) bool {
	most := f.rules.Crowd
	if n.scheme == canonical.HubSpotContact {
		most = f.rules.CrowdRecord
	}
	if n.crowd <= most || n.scheme == canonical.HubSpotContact || n.scheme == canonical.Domain {
		return n.crowd > most
	}
	tally, many := make(map[canonical.Scheme]int), false
	f.edges(n.id, func(other canonical.NodeID, e edge) bool {
		if o := f.look(other); e.strong.set && !e.blocked() && crowds(o, n) {
			tally[o.scheme]++
			many = tally[o.scheme] > most
		}
		return !many
	})
	return many
}

// recut cuts or frees a node by what the guards say of it and its links, and notes in c whom
// that concerns. Whether a device is shared is not decided here.
func (f *folder) recut(c *change, n *node) {
	to := notCut
	switch {
	case f.rules.never[n.id]:
		to = neverLink
	case f.isCrowded(n):
		to = crowded
	}
	if to == n.cut || to == notCut && n.cut == sharedDevice {
		return
	}
	was := n.cut
	n.cut = to
	f.change(n)
	if was.barred() && to.barred() {
		return
	}
	c.taken = c.taken || to.barred()
	c.seed(n)
	if isDevice(n) {
		f.retie(n)
		c.device(n)
	}
	f.edges(n.id, func(other canonical.NodeID, e edge) bool {
		o := f.look(other)
		if isDevice(o) && anchors(n.scheme) {
			f.retie(o)
			c.device(o)
		}
		if to == notCut && e.linked() {
			c.seed(o)
		}
		if was == sharedDevice && anchors(o.scheme) {
			f.change(o) // whoever holds its person in memory looks again
		}
		return true
	})
}
