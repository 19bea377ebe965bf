package identity

import (
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tributary/canonical"
)

// An ErasureKey makes the hashes of erase facts. All routers of one log need the same.
type ErasureKey struct {
	secret []byte
	id     string
}

// NewErasureKey derives the key from a secret that all routers share, the data key.
func NewErasureKey(secret []byte) (*ErasureKey, error) {
	k, err := hkdf.Key(sha256.New, secret, nil, "tributary identity erasure 1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of erasures: %w", err)
	}
	key := &ErasureKey{secret: k}
	key.id = hex.EncodeToString(key.sum("key")[:8])
	return key, nil
}

// ID names the key and tells nothing of it.
func (k *ErasureKey) ID() string { return k.id }

func (k *ErasureKey) sum(purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, k.secret)
	for _, p := range append([]string{purpose}, parts...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// Hash is what an erase fact holds of an identifier: its keyed hash, then its node, which
// only the key uncovers.
func (k *ErasureKey) Hash(id canonical.Identifier) string {
	hash := k.sum("identifier", string(id.Scheme), id.Value)
	pad := binary.BigEndian.Uint64(k.sum("node", string(hash)))
	return hex.EncodeToString(binary.BigEndian.AppendUint64(hash, uint64(id.Node())^pad))
}

// node uncovers the node of a hash; false where the text is none.
func (k *ErasureKey) node(hash string) (canonical.NodeID, bool) {
	b, err := hex.DecodeString(hash)
	if err != nil || len(b) != sha256.Size+8 {
		return 0, false
	}
	pad := binary.BigEndian.Uint64(k.sum("node", string(b[:sha256.Size])))
	return canonical.NodeID(binary.BigEndian.Uint64(b[sha256.Size:]) ^ pad), true
}

// nobody is what stands in place of a person where its rows are counted on: see Erased.
func (k *ErasureKey) nobody(hashes []string) canonical.NodeID {
	return canonical.NodeID(binary.BigEndian.Uint64(k.sum("nobody", slices.Min(hashes))))
}

// An Option of Open.
type Option func(*View)

// WithErasureKey lets a view fold erase facts. Without it, or with another key than they
// were made with, folding one is an error.
func WithErasureKey(k *ErasureKey) Option { return func(v *View) { v.key = k } }

// A forgotten is what is kept of an erased identifier.
type forgotten struct {
	hash   string
	node   canonical.NodeID
	offset int64 // of the newest fact that erased it
	at     int64 // when that was stated, or lifted
	nobody canonical.NodeID
	lifted bool // it may be somebody's again
}

// erased says whether something is to be forgotten that was taken in when the view stood at
// an offset.
func (m forgotten) erased(known int64) bool { return !m.lifted || known < m.offset }

// erasures are the marks in force. They are never changed in place.
type erasures struct {
	marks map[canonical.NodeID]forgotten
	upTo  int64 // the offset of the newest erase fact
}

var erasedKey = append([]byte{keyMeta}, "erased"...)

func markKey(hash string) []byte { return append([]byte{keyErased}, hash...) }

func (m forgotten) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(m.offset))
	b = binary.BigEndian.AppendUint64(b, uint64(m.at))
	b = binary.BigEndian.AppendUint64(b, uint64(m.nobody))
	if m.lifted {
		return append(b, 1)
	}
	return append(b, 0)
}

// storedErasures gives the marks of a store.
func storedErasures(store Store, key *ErasureKey) (*erasures, error) {
	b, ok, err := store.Get(erasedKey)
	if err != nil || !ok {
		return &erasures{upTo: -1}, err
	}
	if key == nil {
		return nil, errNoKey
	}
	r := reader{b: b}
	out := &erasures{marks: make(map[canonical.NodeID]forgotten), upTo: int64(r.word())}
	err = store.Range([]byte{keyErased}, []byte{keyErased + 1}, func(k, b []byte) bool {
		r := reader{b: b}
		m := forgotten{hash: string(k[1:]), offset: int64(r.word()), at: int64(r.word()), nobody: canonical.NodeID(r.word()), lifted: r.byte() == 1}
		if n, ok := key.node(m.hash); ok {
			m.node = n
			out.marks[n] = m
		}
		return true
	})
	return out, err
}

var errNoKey = errors.New("somebody was erased, and this view has no key to tell whom: open it with the data_key of the routers that share this log")

// admit gives a fact as it may be folded and stated; false where it names somebody erased.
// Of a touch only the click ids are left out.
func (x *erasures) admit(fact canonical.Fact) (canonical.Fact, bool) {
	if x == nil || len(x.marks) == 0 || fact.Kind == canonical.FactGuards {
		return fact, true
	}
	for _, id := range fact.Nodes {
		if x.now(id.Node()) {
			return fact, false
		}
	}
	if fact.Touch != nil {
		fact.Touch = x.touch(fact.Touch, x.now)
	}
	return fact, true
}

func (x *erasures) now(n canonical.NodeID) bool {
	m, ok := x.marks[n]
	return ok && !m.lifted
}

// touch leaves erased click ids out of a touch, of which it makes a copy.
func (x *erasures) touch(t *canonical.Touch, gone func(canonical.NodeID) bool) *canonical.Touch {
	if t == nil || !slices.ContainsFunc(t.Clicks, func(c canonical.Click) bool { return gone(clickNode(c)) }) {
		return t
	}
	out := *t
	out.Clicks = without(t.Clicks, func(c canonical.Click) bool { return gone(clickNode(c)) })
	return &out
}

func clickNode(c canonical.Click) canonical.NodeID {
	return canonical.Identifier{Scheme: c.Scheme, Value: c.Value}.Node()
}

// without is a list without some of it, another one where any goes; nil where nothing is left.
func without[E any](list []E, is func(E) bool) []E {
	if !slices.ContainsFunc(list, is) {
		return list
	}
	var out []E
	for _, e := range list {
		if !is(e) {
			out = append(out, e)
		}
	}
	return out
}

// erase folds a fact by which identifiers are nobody's from its offset on, or may be
// somebody's again.
func (f *folder) erase(fact canonical.Fact) (bool, error) {
	switch {
	case f.key == nil:
		return false, fmt.Errorf("erase fact at offset %d: %w", f.offset, errNoKey)
	case fact.KeyID != f.key.ID():
		return false, fmt.Errorf("erase fact at offset %d: it was stated under another data_key (key %s, here %s): give all routers that share this log the same data_key, the one it was stated under", f.offset, fact.KeyID, f.key.ID())
	case len(fact.Hashes) == 0:
		return false, nil
	}
	is := f.erased
	if !f.ownErased { // once a fold
		is = &erasures{marks: maps.Clone(is.marks)}
	}
	if is.marks == nil {
		is.marks = make(map[canonical.NodeID]forgotten)
	}
	nobody := f.key.nobody(fact.Hashes)
	var gone []*node
	stated := false
	for _, hash := range fact.Hashes {
		n, ok := f.key.node(hash)
		m, had := is.marks[n]
		if !ok || had && m.lifted == fact.Removed && m.hash == hash || !had && fact.Removed {
			continue
		}
		stated = true
		if m.lifted = fact.Removed; fact.Removed {
			m.at = nanos(fact.At) // what came in until then stays out
		} else {
			m = forgotten{hash: hash, node: n, offset: f.offset, at: nanos(fact.At), nobody: nobody}
			if nd := f.look(n); nd != nil && graphOf(nd.scheme) == people && f.key.Hash(nd.identifier()) == hash {
				gone = append(gone, nd)
			}
		}
		is.marks[n] = m
		f.put(markKey(hash), m.encode())
	}
	if !stated {
		return false, nil
	}
	f.erased, f.ownErased = is, true
	if is.upTo = f.offset; f.statements {
		return true, nil
	}
	f.put(erasedKey, binary.BigEndian.AppendUint64(nil, uint64(f.offset)))
	f.bury(gone)
	return true, nil
}

// bury takes nodes away with everything that stands under them, and partitions anew whom
// that concerns.
func (f *folder) bury(nodes []*node) {
	var c change
	for _, n := range nodes {
		var ties []tie
		f.edges(n.id, func(other canonical.NodeID, e edge) bool {
			ties = append(ties, tie{f.look(other), e})
			return true
		})
		for _, t := range ties {
			f.untie(&c, n, t.node, t.edge)
		}
	}
	if c.any {
		f.recompute(c, nodes...)
	}
	gone := make(map[canonical.NodeID]bool)
	for _, n := range nodes {
		f.purge(n)
		gone[n.id] = true
	}
	f.raised = slices.DeleteFunc(f.raised, func(n canonical.NodeID) bool { return gone[n] })
	for _, set := range []map[canonical.NodeID]bool{f.lost, f.touched, f.split} {
		maps.DeleteFunc(set, func(n canonical.NodeID, _ bool) bool { return gone[n] })
	}
	maps.DeleteFunc(f.was, func(n, _ canonical.NodeID) bool { return gone[n] })
	maps.DeleteFunc(f.handed, func(h hand, _ canonical.NodeID) bool { return gone[h.device] })
}

// untie takes away all that was said of a pair and notes in c whom that concerns.
func (f *folder) untie(c *change, a, b *node, was edge) {
	f.delete(key(keyEdge, uint64(a.id), uint64(b.id)))
	f.delete(key(keyEdge, uint64(b.id), uint64(a.id)))
	f.remerge(a, b, was, edge{})
	f.recrowd(c, a, b, was, edge{})
	f.relink(c, a, b, was, edge{})
	f.relink(c, b, a, was, edge{})
	f.change(a)
	f.change(b)
	c.seed(a)
	c.seed(b)
	c.taken = true
}

// purge deletes a node that nothing ties any more, and what is kept under it.
func (f *folder) purge(n *node) {
	for _, e := range f.under(key(keyDeal, uint64(n.id))) {
		deal := lastWord(e.key)
		f.delete(e.key)
		f.delete(key(keyAccount, uint64(deal), uint64(n.id)))
		if d := f.look(deal); d != nil {
			f.change(d) // whoever holds its contacts in memory looks again
			mark(&f.touched, d.id)
		}
	}
	for _, kind := range []byte{keyTouch, keyClick, keyAccount, keyStage, keyHand, keyMember, keyCollision} {
		for _, e := range f.under(key(kind, uint64(n.id))) {
			f.delete(e.key)
		}
	}
	for _, kind := range []byte{keyConsent, keyField} {
		f.delete(key(kind, uint64(n.id)))
	}
	delete(f.clusters, n.id)
	f.nodes[n.id] = nil
	f.dirty[n.id], f.stale[n.id] = true, true
	f.gone[n.id] = true
	mark(&f.buried, n.id)
}

// Erasure gives the fact that erases the person of each of some identifiers, as it is known
// now; an identifier that nobody named yet is erased as well. It erases people only.
func (v *View) Erasure(at time.Time, ids ...canonical.Identifier) (canonical.Fact, error) {
	f := canonical.Fact{Kind: canonical.FactErase, At: at}
	if v.key == nil {
		return f, errNoKey
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, id := range v.wholePersons(ids) {
		f.Hashes = append(f.Hashes, v.key.Hash(id))
	}
	slices.Sort(f.Hashes) // tells nothing of which was named first
	f.Hashes = slices.Compact(f.Hashes)
	if f.KeyID = v.key.ID(); len(f.Hashes) == 0 {
		return f, errors.New("only people are erased: name an address, a number, a contact, a user id or a cookie")
	}
	return f, nil
}

// wholePersons gives identifiers of people with all others of their persons, and the click ids
// of their touches.
func (v *View) wholePersons(ids []canonical.Identifier) []canonical.Identifier {
	var out []canonical.Identifier
	for _, id := range ids {
		if graphOf(id.Scheme) != people || !foldable(id) {
			continue
		}
		id.Seen = time.Time{}
		out = append(out, id)
		n := lookNode(v.store, v.warm, id.Node())
		if n == nil || n.scheme != id.Scheme || n.value != id.Value {
			continue
		}
		for _, m := range v.members(lookCluster(v.store, v.warm, n)) {
			of := lookNode(v.store, v.warm, m)
			out = append(out, of.identifier())
			if !of.clicks {
				continue
			}
			var clicks profile
			clicks.addClicks(v.store, m)
			for _, c := range clicks.clicks { // those that nothing ties to anybody else
				if o := lookNode(v.store, v.warm, c.node); o != nil && !o.grouped && o.cut != sharedDevice {
					out = append(out, canonical.Identifier{Scheme: c.scheme, Value: c.value})
				}
			}
		}
	}
	return out
}

// Lifting gives the fact that lets the erased persons of some identifiers in again, with all
// that was erased with each.
func (v *View) Lifting(at time.Time, ids ...canonical.Identifier) (canonical.Fact, error) {
	f := canonical.Fact{Kind: canonical.FactErase, At: at, Removed: true}
	if v.key == nil {
		return f, errNoKey
	}
	f.KeyID = v.key.ID()
	x := v.erased.Load()
	for _, id := range ids {
		m, ok := x.marks[id.Node()]
		if !ok || m.lifted || m.hash != v.key.Hash(id) {
			continue
		}
		for _, o := range x.marks {
			if o.nobody == m.nobody && o.offset == m.offset && !o.lifted {
				f.Hashes = append(f.Hashes, o.hash)
			}
		}
	}
	slices.Sort(f.Hashes)
	if f.Hashes = slices.Compact(f.Hashes); len(f.Hashes) == 0 {
		return f, errors.New("nobody with this identifier is erased")
	}
	return f, nil
}

// ErasedUpTo is the offset of the newest erase fact that is folded, -1 where there is none:
// whoever keeps something of people looks again when it changes.
func (v *View) ErasedUpTo() int64 { return v.erased.Load().upTo }

// Erased says whether an identifier is erased now.
func (v *View) Erased(id canonical.Identifier) bool { return v.erased.Load().now(id.Node()) }

// ErasedSince says whether a person of these identifiers, the strongest first, is erased to
// whoever takes in at a time what was received: one of its anchors is; where it has none, one of
// the others.
func (v *View) ErasedSince(received time.Time, ids []canonical.Identifier) bool {
	x := v.erased.Load()
	if len(x.marks) == 0 {
		return false
	}
	return personGone(ids, func(n canonical.NodeID) bool {
		m, ok := x.marks[n]
		return ok && (!m.lifted || nanos(received) < m.at)
	})
}

func personGone(ids []canonical.Identifier, gone func(canonical.NodeID) bool) bool {
	known, weak := false, false
	for _, id := range ids {
		switch is := gone(id.Node()); {
		case graphOf(id.Scheme) != people:
		case anchors(id.Scheme) && is:
			return true
		case anchors(id.Scheme):
			known = true
		default:
			weak = weak || is
		}
	}
	return weak && !known
}

// ErasedNode says whether a node is erased to whoever kept something of it at a time.
func (v *View) ErasedNode(n canonical.NodeID, kept time.Time) bool {
	m, ok := v.erased.Load().marks[n]
	return ok && (!m.lifted || nanos(kept) < m.at)
}

// An Erased is a person that an erase fact named: what stands of Nodes is to be taken away.
// Nobody is a number of no identifier that stands in for them where rows are counted: it
// is the same for one erasure in every process, and only the key tells of whom.
type Erased struct {
	Offset int64 // of the newest fact that erased them
	Nobody canonical.NodeID
	Nodes  []canonical.NodeID
	Lifted bool // it may be somebody's again
	// LiftedAt is since when: what came in later is not meant.
	LiftedAt time.Time
}

// ErasedAfter gives the persons erased by facts behind an offset, by offset, also where that was
// lifted since.
func (v *View) ErasedAfter(offset int64) []Erased {
	by := make(map[forgotten]*Erased) // one nobody may be that of several: a part was lifted, and another erased again
	for _, m := range v.erased.Load().marks {
		if m.offset <= offset {
			continue
		}
		k := m
		k.hash, k.node = "", 0
		e := by[k]
		if e == nil {
			e = &Erased{Offset: m.offset, Nobody: m.nobody, Lifted: m.lifted}
			if m.lifted {
				e.LiftedAt = timeOf(m.at)
			}
			by[k] = e
		}
		e.Nodes = append(e.Nodes, m.node)
	}
	out := make([]Erased, 0, len(by))
	for _, e := range by {
		slices.Sort(e.Nodes)
		out = append(out, *e)
	}
	slices.SortFunc(out, func(x, y Erased) int {
		return cmp.Or(cmp.Compare(x.Offset, y.Offset), cmp.Compare(x.Nobody, y.Nobody), slices.Compare(x.Nodes, y.Nodes))
	})
	return out
}

// Nobody gives what stands in for an erased node where rows are counted; the node itself
// where it is not erased.
func (v *View) Nobody(n canonical.NodeID) canonical.NodeID {
	if m, ok := v.erased.Load().marks[n]; ok {
		return m.nobody
	}
	return n
}

// Forget says whether an event's own person is erased: nothing of it may be used then. Of
// any other event it takes out what it knows of people who are. What e points to is left as it is; where
// nothing is taken out, so is e.
func (v *View) Forget(e *canonical.Event) bool {
	x := v.erased.Load()
	if len(x.marks) == 0 {
		return false
	}
	known := int64(-1)
	if e.Known != nil {
		known = e.Known.Offset
	}
	gone := func(n canonical.NodeID) bool {
		m, ok := x.marks[n]
		return ok && m.erased(known)
	}
	if o, ok := canonical.ObjectIdentifier(e.Object); gone(e.Node) || ok && gone(o.Node()) || personGone(e.Identifiers, gone) {
		return true
	}
	isGone := func(id canonical.Identifier) bool { return gone(id.Node()) }
	if left := without(e.Identifiers, isGone); len(left) < len(e.Identifiers) {
		e.Identifiers, e.Browser.FBP, e.Browser.FBC = left, "", ""
	}
	e.Touch = x.touch(e.Touch, gone)
	e.Contacts = without(e.Contacts, func(id string) bool {
		o, ok := canonical.ObjectIdentifier(canonical.Object{Account: e.Object.Account, Type: "contact", ID: id})
		return ok && isGone(o)
	})
	if e.Known != nil {
		k := *e.Known
		if x.forget(&k, gone); len(k.Identifiers) < len(e.Known.Identifiers) || len(k.Clicks) < len(e.Known.Clicks) || len(k.Contacts) < len(e.Known.Contacts) ||
			len(k.Others) < len(e.Known.Others) || k.Contact != e.Known.Contact || k.FirstTouch != e.Known.FirstTouch || k.LastTouch != e.Known.LastTouch {
			e.Known = &k
		}
	}
	return false
}

// forget takes out of what was known of a person what is known of others who are erased.
func (x *erasures) forget(k *canonical.Known, gone func(canonical.NodeID) bool) {
	if gone(k.Contact) { // it was told with the identifiers of somebody erased
		k.Contact, k.Identifiers, k.Clicks, k.FirstTouch, k.LastTouch, k.Consent = 0, nil, nil, nil, nil, nil
	}
	k.Identifiers = without(k.Identifiers, func(id canonical.Identifier) bool { return gone(id.Node()) })
	k.Clicks = without(k.Clicks, func(c canonical.Click) bool { return gone(clickNode(c)) })
	k.FirstTouch, k.LastTouch = x.touch(k.FirstTouch, gone), x.touch(k.LastTouch, gone)
	k.Contacts = without(k.Contacts, func(c canonical.DealContact) bool { return gone(c.Node) || gone(c.Person) })
	k.Others = without(k.Others, gone)
}

// PersonOf lists the usable identifiers of a report's person, the strongest first.
func PersonOf(r canonical.Report) []canonical.Identifier { return (&statements{report: r}).person() }

// Names says whether a fact that stands at an offset names somebody who was erased later, or
// is now.
func (v *View) Names(offset int64, f canonical.Fact) bool {
	x := v.erased.Load()
	return len(x.marks) > 0 && f.Kind != canonical.FactGuards && slices.ContainsFunc(f.Nodes, func(id canonical.Identifier) bool {
		m, ok := x.marks[id.Node()]
		return ok && m.erased(offset)
	})
}

// KeyID names the key of erasures, "" where there is none.
func (v *View) KeyID() string {
	if v.key == nil {
		return ""
	}
	return v.key.ID()
}

// shownRow says whether a row of overrides or hands may be given: not those of people who
// were erased since.
func (x *erasures) shownRow(offset int64, nodes ...canonical.NodeID) bool {
	for _, n := range nodes {
		if m, ok := x.marks[n]; ok && offset <= m.offset {
			return false
		}
	}
	return true
}

// WholePersons gives identifiers of people with everything that Erasure would erase with them.
func (v *View) WholePersons(ids ...canonical.Identifier) []canonical.Identifier {
	v.mu.RLock()
	defer v.mu.RUnlock()
	all := v.wholePersons(ids)
	slices.SortFunc(all, func(x, y canonical.Identifier) int {
		return cmp.Or(cmp.Compare(x.Scheme.Strength(), y.Scheme.Strength()), cmp.Compare(x.Scheme, y.Scheme), cmp.Compare(x.Value, y.Value))
	})
	return slices.Compact(all)
}

// ForgetThese is View.Forget as it would be were the nodes given erased now, and nobody else.
func ForgetThese(nodes []canonical.NodeID) func(*canonical.Event) bool {
	x := &erasures{marks: make(map[canonical.NodeID]forgotten)}
	for _, n := range nodes {
		x.marks[n] = forgotten{node: n}
	}
	v := &View{}
	v.erased.Store(x)
	return v.Forget
}
