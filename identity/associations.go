package identity

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"tributary/canonical"
)

// Bounds of what is kept of one pair.
const (
	lastNotices = 30 // newest statements told; the first is kept beside them
	longestRole = 64 // bytes of a role
)

// A statement is what one association says of a pair.
type statement struct {
	at   int64
	says byte
	told bool   // by a notice, which tells when it became so; else found, and so by then
	role string // the label it was said with, if any
}

// What a statement says.
const (
	isThere byte = iota
	isPrimary
	isGone
)

func (s statement) compare(o statement) int {
	told := func(s statement) int {
		if s.told {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(s.at, o.at), cmp.Compare(s.says, o.says), cmp.Compare(told(s), told(o)), cmp.Compare(s.role, o.role))
}

// A membership is what associations say of one pair, by time: of what was told the first
// and the newest, of what was found the first and the last of each kind and role. What is kept
// of a set does not depend on its order.
type membership []statement

// with adds a statement and says whether it is kept and new.
func (m membership) with(s statement) (membership, bool) {
	i, there := slices.BinarySearchFunc(m, s, statement.compare)
	if there {
		return m, false
	}
	m = slices.Insert(slices.Clone(m), i, s)
	like := func(o statement) bool { return o.told == s.told && (s.told || o.says == s.says && o.role == s.role) }
	most, first, second, n := 2, -1, -1, 0
	if s.told {
		most = lastNotices + 1
	}
	for j, o := range m {
		if !like(o) {
			continue
		}
		if n++; first < 0 {
			first = j
		} else if second < 0 {
			second = j
		}
	}
	if n > most { // what goes stands between the first and the newest
		if second == i {
			return slices.Delete(m, second, second+1), false
		}
		m = slices.Delete(m, second, second+1)
	}
	return m, true
}

// newest gives the newest of two kinds of statement, up to a time. A role that is gone ends
// itself alone.
func (m membership) newest(a, b byte, until int64) times {
	var t times
	for _, s := range m {
		if (s.says == a || s.says == b) && s.at <= until && (s.says != isGone || s.role == "") {
			t.raise(s.at)
		}
	}
	return t
}

// is says whether the pair belongs together now, and primarily. What is said to be there at
// the time of a removal holds against it.
func (m membership) is() (present, primary bool) { return m.upTo(math.MaxInt64) }

func (m membership) upTo(until int64) (present, primary bool) {
	gone := m.newest(isGone, isGone, until)
	newer := func(t times) bool { return t.set && (!gone.set || t.at >= gone.at) }
	return newer(m.newest(isThere, isPrimary, until)), newer(m.newest(isPrimary, isPrimary, until))
}

// since is the newest statement that it is there.
func (m membership) since() int64 { return m.newest(isThere, isPrimary, math.MaxInt64).at }

// began is the first statement that it is there, since it was last gone.
func (m membership) began() int64 {
	gone := m.newest(isGone, isGone, math.MaxInt64)
	for _, s := range m {
		if s.says != isGone && (!gone.set || s.at >= gone.at) {
			return s.at
		}
	}
	return math.MaxInt64
}

// held says whether the pair belonged together at a time, and primarily. Before the first
// statement a pair that was told to begin later did not, one that was told to end did, and
// one that was only found stands as it does now.
func (m membership) held(at int64) (present, primary bool) {
	if len(m) == 0 || m[0].at <= at {
		return m.upTo(at)
	}
	for _, s := range m {
		if s.told {
			return s.says == isGone, false
		}
	}
	return m.is()
}

// roles lists the labels that the pair has now, ascending: those said since they were last
// said to be gone, and since the pair was.
func (m membership) roles() []string {
	standing := make(map[string]bool)
	for _, s := range m { // by time; at one time what is gone comes last
		switch {
		case s.says != isGone:
			standing[s.role] = true
		case s.role == "":
			for r := range standing {
				standing[r] = m.saidAt(s.at, r)
			}
		default:
			standing[s.role] = m.saidAt(s.at, s.role)
		}
	}
	var out []string
	for r, there := range standing {
		if there && r != "" {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}

// saidAt says whether a role was said to be there at a time.
func (m membership) saidAt(at int64, role string) bool {
	return slices.ContainsFunc(m, func(s statement) bool { return s.at == at && s.role == role && s.says != isGone })
}

// join gives what two nodes of one person say together.
func (m membership) join(o membership) membership {
	if len(m) == 0 {
		return o
	}
	all := append(slices.Clone(m), o...)
	slices.SortFunc(all, statement.compare)
	return slices.Compact(all)
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
	var b []byte
	for _, s := range m {
		says := s.says
		if s.told {
			says |= 1 << 7
		}
		b = binary.BigEndian.AppendUint64(append(b, says), uint64(s.at))
		b = binary.AppendUvarint(b, uint64(len(s.role)))
		b = append(b, s.role...)
	}
	return b
}

func decodeMembership(b []byte) (membership, error) {
	var m membership
	for r := (reader{b: b}); len(r.b) > 0; {
		says := r.byte()
		s := statement{says: says &^ (1 << 7), told: says&(1<<7) != 0, at: int64(r.word())}
		s.role = string(r.take(int(min(r.uvarint(), uint64(len(b))))))
		if r.short {
			return nil, fmt.Errorf("association: %w", errRecord)
		}
		m = append(m, s)
	}
	return m, nil
}

// associate notes that the first node belongs to the second, or no longer does. It
// states nothing where the same was said of the pair at the same time.
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
	was, first := m.is()
	said := statement{at: at, says: isThere, told: !fact.Weak, role: fact.Role[:min(len(fact.Role), longestRole)]}
	switch {
	case fact.Removed:
		said.says = isGone
	case fact.Primary:
		said.says = isPrimary
	}
	m, fresh := m.with(said)
	if !fresh {
		return stated
	}
	f.put(key(keyAccount, uint64(a.id), uint64(b.id)), m.encode())
	a.accounts = true
	f.change(a)
	if a.scheme == canonical.HubSpotDeal && graphOf(b.scheme) == people {
		f.put(key(keyDeal, uint64(b.id), uint64(a.id)), nil)
		b.accounts = true
		f.change(b)
		if is, now := m.is(); is != was || now != first {
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
// pair is there, is the primary one and has the role if that is said, no other account was said since that
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
	if !ok || !present || fact.Primary && !primary || fact.Role != "" && !slices.Contains(m.roles(), fact.Role) {
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
