package identity

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tributary/canonical"
)

// A Prospect is what a statement would change if it were folded now.
type Prospect struct {
	Offset int64 `json:"offset"` // of the last fact that it knows
	// Fact is the statement as it must be said: not earlier than what it is said against.
	Fact canonical.Fact `json:"-"`
	// Already is true where what it states holds already.
	Already bool `json:"already"`
	// Blocked are those of a merge that a block keeps from the survivor all the same.
	Blocked []canonical.Identifier `json:"blocked,omitempty"`
	Before  []Party                `json:"before"` // whom it concerns, as they are
	After   []Party                `json:"after"`  // as they would be
	Moved   int                    `json:"moved"`  // identifiers that would come to others than now, or lose them: of two parts the smaller one
	// Renamed counts those that would not move, and whose person or account another of its
	// identifiers would name.
	Renamed int `json:"renamed,omitempty"`
	// Still is what keeps two together all the same that it was to separate.
	Still []Still `json:"still,omitempty"`
	// Halves are the two once everything in Still is blocked as well; nothing where Still is.
	Halves []Party `json:"halves,omitempty"`
}

// A Still is a chain of ties that keeps two together, and the block that breaks it. Later ones
// count the blocks before them.
type Still struct {
	Chain []Tie                   `json:"chain"`
	Block [2]canonical.Identifier `json:"block"`
}

// mostStill is how many blocks a Prospect names.
const mostStill = 20

// After gives what would become of a merge, unmerge, block or allow. Nothing is changed.
func (v *View) After(fact canonical.Fact) (Prospect, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	switch fact.Kind {
	case canonical.FactMerge, canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow:
	default:
		return Prospect{}, fmt.Errorf("identity: a fact of kind %q separates and joins nobody by itself", fact.Kind)
	}
	f := newFolder(newState(v.store, v.warm, 0), v.rules)
	f.key, f.erased = v.key, v.erased.Load()
	fact.At = f.outdoing(fact)
	p := Prospect{Offset: v.offset, Fact: fact, Already: true}
	held := f.holding(fact)
	if _, err := f.apply(v.offset+1, fact); err != nil {
		return p, err
	}
	holding := f.holding(fact)
	p.Already = slices.Equal(held, holding)
	for i, h := range holding {
		if fact.Kind == canonical.FactMerge && h.blocked {
			p.Blocked = append(p.Blocked, fact.Nodes[i+1])
		}
	}
	v.compare(f, fact, &p)
	if fact.Kind == canonical.FactUnmerge || fact.Kind == canonical.FactBlock {
		if err := v.part(f, fact, &p); err != nil {
			return p, err
		}
	}
	return p, nil
}

// outdoing gives the time at which a statement holds against what was said of its nodes.
func (f *folder) outdoing(fact canonical.Fact) time.Time {
	at := nanos(fact.At)
	for _, e := range f.pairsOf(fact) {
		against, later := times{}, int64(0)
		switch fact.Kind {
		case canonical.FactMerge:
			against, later = e.unmerge, 1
		case canonical.FactUnmerge:
			for _, t := range e.merge {
				if t.holdsAgainst(against) {
					against = t
				}
			}
		case canonical.FactBlock:
			against = e.allow
		case canonical.FactAllow:
			against, later = e.block, 1
		}
		if against.set {
			at = max(at, against.at+later)
		}
	}
	return timeOf(at)
}

// pairsOf gives the edges of the first node and each other one, as far as both are known.
func (f *folder) pairsOf(fact canonical.Fact) []edge {
	var out []edge
	for i := 1; i < len(fact.Nodes); i++ {
		a, b := f.look(fact.Nodes[0].Node()), f.look(fact.Nodes[i].Node())
		if a == nil || b == nil {
			out = append(out, edge{})
			continue
		}
		out = append(out, f.edge(a, b))
	}
	return out
}

// A standing is what holds of a pair beside its links.
type standing struct{ blocked, allowed, first, second bool }

func (f *folder) holding(fact canonical.Fact) []standing {
	var out []standing
	for _, e := range f.pairsOf(fact) {
		out = append(out, standing{e.blocked(), e.allowed(), e.mergedInto(0), e.mergedInto(1)})
	}
	return out
}

// compare fills in whom a fact concerns, before and after it was folded.
func (v *View) compare(f *folder, fact canonical.Fact, p *Prospect) {
	concerned := make(map[canonical.NodeID]bool)
	for _, id := range fact.Nodes {
		concerned[id.Node()] = true
	}
	for id := range f.was {
		concerned[id] = true
	}
	is := newState(v.store, v.warm, 0)
	nodes := make(map[canonical.NodeID]bool) // of all persons concerned
	for _, s := range []struct {
		*state
		into *[]Party
	}{{is, &p.Before}, {f.state, &p.After}} {
		seen := make(map[canonical.NodeID]bool)
		for _, id := range sorted(concerned) {
			n := s.look(id)
			if n == nil || seen[n.cluster] {
				continue
			}
			seen[n.cluster] = true
			*s.into = append(*s.into, s.party(n, shownMembers))
			for _, m := range s.members(s.clusterOf(n)) {
				nodes[m] = true
			}
		}
		slices.SortStableFunc(*s.into, func(x, y Party) int { return y.Size - x.Size })
	}
	p.Moved, p.Renamed = moves(is, f.state, nodes)
}

// moves counts the nodes that would be with others in another state, and those that would only have
// another root. What stays is, of each party, its largest part, if it is the largest there too.
func moves(was, is *state, nodes map[canonical.NodeID]bool) (moved, renamed int) {
	type part struct{ from, to canonical.NodeID } // roots
	parts := make(map[part]int)
	for id := range nodes {
		if a, b := was.look(id), is.look(id); a != nil && b != nil {
			parts[part{was.clusterOf(a).root, is.clusterOf(b).root}]++
		}
	}
	largest := func(same func(part) bool) (most part) {
		for p, n := range parts {
			if same(p) && (n > parts[most] || n == parts[most] && cmp.Or(cmp.Compare(p.from, most.from), cmp.Compare(p.to, most.to)) < 0) {
				most = p
			}
		}
		return most
	}
	for p, n := range parts {
		switch {
		case largest(func(o part) bool { return o.from == p.from }) != p, largest(func(o part) bool { return o.to == p.to }) != p:
			moved += n
		case p.from != p.to:
			renamed += n
		}
	}
	return moved, renamed
}

// part finds what else keeps the nodes of a fact together, and the blocks that separate
// them.
func (v *View) part(f *folder, fact canonical.Fact, p *Prospect) error {
	a := f.look(fact.Nodes[0].Node())
	for _, id := range fact.Nodes[1:] {
		for a != nil && len(p.Still) < mostStill {
			a = f.look(a.id)
			b := f.look(id.Node())
			if b == nil || f.clusterOf(a).id != f.clusterOf(b).id {
				break
			}
			chain, _ := f.lead(a, b, true)
			if len(chain) == 0 {
				break
			}
			still := Still{}
			newest := chain[0]
			for _, st := range chain {
				still.Chain = append(still.Chain, v.tie(st))
				if st.said() >= newest.said() {
					newest = st
				}
			}
			still.Block = [2]canonical.Identifier{newest.a.identifier(), newest.b.identifier()}
			p.Still = append(p.Still, still)
			block := canonical.Fact{Kind: canonical.FactBlock, At: fact.At, Nodes: still.Block[:]}
			block.At = f.outdoing(block)
			if _, err := f.apply(v.offset+1, block); err != nil {
				return err
			}
		}
	}
	if len(p.Still) == 0 {
		return nil
	}
	for _, id := range fact.Nodes {
		if n := f.look(id.Node()); n != nil {
			p.Halves = append(p.Halves, f.party(n, shownMembers))
		}
	}
	return nil
}

// said is when what joins two nodes was said: of links the first time.
func (e edge) said() int64 {
	var at int64
	for _, t := range []times{e.strong, e.weak, e.merge[0], e.merge[1], e.allow} {
		if t.set {
			at = max(at, t.at)
		}
	}
	return at
}
