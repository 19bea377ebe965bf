package identity

import (
	"cmp"
	"slices"
	"time"

	"tributary/canonical"
)

// An Explanation says why two identifiers are one person or account, or what keeps them
// apart.
type Explanation struct {
	Offset   int64 `json:"offset"` // of the last fact that it knows
	Together bool  `json:"together"`
	A        Party `json:"a"` // whom the first belongs to
	B        Party `json:"b"` // of two that are together the same
	// Chain leads from the one to the other. Of two that are together it is the shortest of
	// the ties that join them; of two that are not, one with the fewest ties that do not
	// join. It is empty where nothing that was said leads from one to the other.
	Chain []Tie `json:"chain"`
	// Between is what was said and does not join them: of somebody on either side, straight from one to
	// the other or by way of a third that belongs to neither. Of two that are together all
	// the same it is what was said of these two.
	Between []Tie `json:"between,omitempty"`
	// Cut is true where not everything was looked at: too much was said.
	Cut bool `json:"cut,omitempty"`
}

// A Tie is what was said of two identifiers.
type Tie struct {
	A     canonical.Identifier `json:"a"`
	B     canonical.Identifier `json:"b"`
	Joins bool                 `json:"joins"`
	// Reason is why it does not join. "" where it does, and where an unmerge took away all
	// there was.
	Reason Reason `json:"reason,omitempty"`
	// Whose is the identifier that the reason is about, where it is about one.
	Whose *canonical.Identifier `json:"whose,omitempty"`
	Said  []Saying              `json:"said"` // by time
}

// A Saying is one kind of thing said of two identifiers: of links the first time, else the
// last.
type Saying struct {
	Kind     canonical.FactKind    `json:"kind"`
	Weak     bool                  `json:"weak,omitempty"`
	At       time.Time             `json:"at"`
	Survivor *canonical.Identifier `json:"survivor,omitempty"` // of a merge
	Holds    bool                  `json:"holds"`              // nothing that was said later or beside it undoes it
}

// A Party is a person or an account.
type Party struct {
	Root        canonical.NodeID `json:"id"`
	Account     bool             `json:"account,omitempty"` // an account; else a person
	Size        int              `json:"size"`              // how many identifiers it has
	Identifiers []Member         `json:"identifiers"`       // the strongest first, perhaps not all
}

// A Member is an identifier of a party.
type Member struct {
	Node canonical.NodeID `json:"node"`
	canonical.Identifier
	Merged  bool   `json:"merged,omitempty"`  // a CRM record that was merged away
	Deleted bool   `json:"deleted,omitempty"` // a CRM record that was deleted
	Cut     Reason `json:"cut,omitempty"`     // none of its links joins
}

// Bounds of what explanations give and look at.
const (
	shownMembers = 50
	shownTies    = 100
	walkedTies   = 200_000
)

// Why explains how two identifiers stand to each other: nodes of one graph that some fact
// named. False where they are not.
func (v *View) Why(a, b canonical.NodeID) (Explanation, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := newState(v.store, v.warm, 0)
	x, y := s.look(a), s.look(b)
	if x == nil || y == nil || graphOf(x.scheme) == noGraph || graphOf(x.scheme) != graphOf(y.scheme) {
		return Explanation{}, false
	}
	e := Explanation{Offset: v.offset, Together: x.cluster == y.cluster, A: s.party(x, shownMembers), B: s.party(y, shownMembers), Chain: []Tie{}}
	chain, all := s.lead(x, y, e.Together)
	for _, st := range chain {
		e.Chain = append(e.Chain, v.tie(st))
	}
	e.Cut = !all
	if !e.Together {
		e.Between, all = v.between(s, x, y)
		e.Cut = e.Cut || !all
	} else if own := (step{x, y, s.edge(x, y)}); own.edge != (edge{}) && !own.joins() && x != y {
		e.Between = []Tie{v.tie(own)}
	}
	return e, true
}

// A step is a tie as it is walked, from a to b.
type step struct {
	a, b *node
	edge
}

// joins says whether it is one of those that make a person.
func (st step) joins() bool {
	return st.a.cluster == st.b.cluster && bondOf(st.a, st.b, st.edge).strength > nothing
}

// ties is true where something was said that joins, or would.
func (e edge) ties() bool {
	return e.strong.set || e.weak.set || e.merge[0].set || e.merge[1].set || e.allow.set
}

// stepsFrom gives what ties a node to others: what joins first, by strength and age.
func (s *state) stepsFrom(n *node) []step {
	var out []step
	s.edges(n.id, func(other canonical.NodeID, e edge) bool {
		if o := s.look(other); o != nil && e.ties() {
			out = append(out, step{n, o, e})
		}
		return true
	})
	slices.SortFunc(out, func(x, y step) int {
		p, q := bondOf(x.a, x.b, x.edge), bondOf(y.a, y.b, y.edge)
		return cmp.Or(cmp.Compare(q.strength, p.strength), cmp.Compare(p.at, q.at), cmp.Compare(x.b.id, y.b.id))
	})
	return out
}

// lead finds the way from one node to another with the fewest ties that do not join, of
// those the shortest; with joined it takes only ties that join. False where it gave up.
func (s *state) lead(from, to *node, joined bool) ([]step, bool) {
	came := map[canonical.NodeID]step{from.id: {}}
	done := make(map[canonical.NodeID]bool)
	walked := 0
	for now := []*node{from}; len(now) > 0; {
		var next []*node // reached by one more tie that does not join
		over := make(map[canonical.NodeID]step)
		for ; len(now) > 0; now = now[1:] {
			n := now[0]
			if done[n.id] {
				continue
			}
			done[n.id] = true
			if n.id == to.id {
				return trace(came, from, to), true
			}
			for _, st := range s.stepsFrom(n) {
				if walked++; walked > walkedTies {
					return nil, false
				}
				if _, known := came[st.b.id]; known || st.b.id == from.id {
					continue
				}
				if st.joins() {
					came[st.b.id] = st
					now = append(now, st.b)
				} else if _, known := over[st.b.id]; !known && !joined {
					over[st.b.id] = st
					next = append(next, st.b)
				}
			}
		}
		now = now[:0]
		for _, n := range next {
			if _, known := came[n.id]; !known {
				came[n.id] = over[n.id]
				now = append(now, n)
			}
		}
	}
	return nil, true
}

func trace(came map[canonical.NodeID]step, from, to *node) []step {
	var out []step
	for n := to; n.id != from.id; n = came[n.id].a {
		out = append(out, came[n.id])
	}
	slices.Reverse(out)
	return out
}

// between lists what was said of the two sides and does not join them.
func (v *View) between(s *state, x, y *node) (out []Tie, all bool) {
	near, all := s.outward(x)
	far, more := s.outward(y)
	all = all && more
	by := make(map[canonical.NodeID][]step)
	for _, st := range far {
		by[st.b.id] = append(by[st.b.id], st)
	}
	for _, st := range near {
		switch {
		case st.b.cluster == y.cluster:
			out = append(out, v.tie(st))
		case len(by[st.b.id]) > 0:
			out = append(out, v.tie(st))
			for _, o := range by[st.b.id] {
				out = append(out, v.tie(step{o.b, o.a, o.edge}))
			}
			delete(by, st.b.id)
		}
		if len(out) >= shownTies {
			return out[:shownTies], false
		}
	}
	return out, all
}

// outward gives the ties of a whole person to others.
func (s *state) outward(n *node) (out []step, all bool) {
	c := s.clusterOf(n)
	walked := 0
	for _, id := range s.members(c) {
		for _, st := range s.stepsFrom(s.look(id)) {
			if walked++; walked > walkedTies {
				return out, false
			}
			if st.b.cluster != c.id {
				out = append(out, st)
			}
		}
	}
	return out, true
}

// tie says what a step is.
func (v *View) tie(st step) Tie {
	a, b := st.a, st.b
	t := Tie{A: a.identifier(), B: b.identifier(), Joins: st.joins(), Said: sayings(a, b, st.edge)}
	switch {
	case t.Joins:
	case st.blocked():
		t.Reason = Blocked
	default:
		t.Reason = v.keptApart(a, b, st.edge)
	}
	for _, n := range [...]*node{a, b} {
		if n.cut != notCut && n.cut.reason() == t.Reason && t.Whose == nil {
			id := n.identifier()
			t.Whose = &id
		}
	}
	return t
}

// sayings lists what was said of two nodes, by time.
func sayings(a, b *node, e edge) []Saying {
	var out []Saying
	say := func(kind canonical.FactKind, t times, holds bool, change func(*Saying)) {
		if t.set {
			s := Saying{Kind: kind, At: timeOf(t.at), Holds: holds}
			if change != nil {
				change(&s)
			}
			out = append(out, s)
		}
	}
	say(canonical.FactLink, e.strong, e.linked(), nil)
	say(canonical.FactLink, e.weak, e.linked(), func(s *Saying) { s.Weak = true })
	for side, t := range e.merge {
		survivor := a.identifier()
		if sideOf(a, b) != side {
			survivor = b.identifier()
		}
		say(canonical.FactMerge, t, e.mergedInto(side), func(s *Saying) { s.Survivor = &survivor })
	}
	say(canonical.FactUnmerge, e.unmerge, !e.mergedInto(0) && !e.mergedInto(1), nil)
	say(canonical.FactBlock, e.block, e.blocked(), nil)
	say(canonical.FactAllow, e.allow, e.allowed(), nil)
	slices.SortStableFunc(out, func(x, y Saying) int { return x.At.Compare(y.At) })
	return out
}

// party describes the person or account of a node, with at most so many identifiers.
func (s *state) party(n *node, most int) Party {
	c := s.clusterOf(n)
	g := Party{Root: c.root, Account: graphOf(n.scheme) == accounts, Size: c.size}
	g.Identifiers = s.described(s.members(c), most)
	return g
}

// described gives nodes as members, those first that could be a root.
func (s *state) described(ids []canonical.NodeID, most int) []Member {
	list := make([]*node, 0, len(ids))
	for _, id := range ids {
		if n := s.look(id); n != nil {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(x, y *node) int {
		switch {
		case x.id == y.id:
			return 0
		case before(x, y):
			return -1
		}
		return 1
	})
	out := make([]Member, 0, min(len(list), most))
	for _, n := range list[:min(len(list), most)] {
		m := Member{Node: n.id, Identifier: n.identifier(), Merged: n.merged, Deleted: n.isDeleted(), Cut: n.cut.reason()}
		m.Seen = timeOf(n.seen)
		out = append(out, m)
	}
	return out
}
