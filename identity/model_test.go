package identity_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

// model is identity resolution from scratch, in a few lines: it knows all facts, reads
// them again each time and keeps nothing. It gives every node's root.
func model(facts []canonical.Fact) map[canonical.NodeID]canonical.NodeID {
	ids := map[canonical.NodeID]canonical.Identifier{}
	seen := map[canonical.NodeID]time.Time{}
	lost := map[canonical.NodeID]bool{}
	type edge struct {
		a, b canonical.NodeID
		weak bool
		at   time.Time
	}
	var edges []edge
	note := func(id canonical.Identifier, at time.Time) {
		n := id.Node()
		ids[n] = id
		if old, ok := seen[n]; !ok || at.Before(old) {
			seen[n] = at
		}
	}
	for _, f := range facts {
		for i, id := range f.Nodes {
			switch {
			case f.Kind == canonical.FactLink && i == 1 && f.Nodes[0].Scheme.IsAccount() == id.Scheme.IsAccount() && f.Nodes[0] != id,
				f.Kind == canonical.FactMerge && i > 0 && f.Nodes[0] != id:
				note(f.Nodes[0], f.At)
				note(id, f.At)
				a, b := f.Nodes[0].Node(), id.Node()
				edges = append(edges, edge{min(a, b), max(a, b), f.Weak && !id.Scheme.IsAccount(), f.At})
				lost[b] = lost[b] || f.Kind == canonical.FactMerge
			case f.Kind == canonical.FactStage || f.Kind == canonical.FactAssociation || f.Kind == canonical.FactTouch:
				note(id, f.At)
			}
		}
		if f.Touch != nil {
			for _, c := range f.Touch.Clicks {
				note(canonical.Identifier{Scheme: c.Scheme, Value: c.Value}, c.At)
			}
		}
	}
	slices.SortFunc(edges, func(x, y edge) int {
		if x.weak != y.weak {
			return map[bool]int{false: -1, true: 1}[x.weak]
		}
		return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b))
	})
	of := map[canonical.NodeID]canonical.NodeID{}
	for n := range ids {
		of[n] = n
	}
	known := func(group canonical.NodeID) bool {
		for n, g := range of {
			if g == group && ids[n].Scheme != canonical.Phone && !ids[n].Scheme.IsWeak() && ids[n].Scheme.IsPerson() {
				return true
			}
		}
		return false
	}
	for _, e := range edges {
		a, b := of[e.a], of[e.b]
		if a == b || e.weak && known(a) && known(b) {
			continue
		}
		for n, g := range of {
			if g == b {
				of[n] = a
			}
		}
	}
	place := func(n canonical.NodeID) int {
		if s := ids[n].Scheme; !lost[n] && (s == canonical.HubSpotContact || s == canonical.HubSpotCompany) {
			return 0
		}
		return ids[n].Scheme.Strength()
	}
	number := func(n canonical.NodeID) int { v, _ := strconv.Atoi(ids[n].Value); return v }
	root := map[canonical.NodeID]canonical.NodeID{}
	for n, g := range of {
		r, ok := root[g]
		if !ok || cmp.Or(cmp.Compare(place(n), place(r)), seen[n].Compare(seen[r]), cmp.Compare(number(n), number(r)), cmp.Compare(ids[n].Value, ids[r].Value)) < 0 {
			root[g] = n
		}
	}
	for n, g := range of {
		of[n] = root[g]
	}
	return of
}

// modelContact gives the node that counts among those that belong to a deal, from
// scratch; zero for other nodes and where nobody does.
func modelContact(facts []canonical.Fact, roots map[canonical.NodeID]canonical.NodeID, deal canonical.NodeID) canonical.NodeID {
	ids := map[canonical.NodeID]canonical.Identifier{}
	lost := map[canonical.NodeID]bool{}
	there, gone := map[canonical.NodeID]time.Time{}, map[canonical.NodeID]time.Time{}
	for _, f := range facts {
		for i, n := range f.Nodes {
			ids[n.Node()] = n
			if f.Kind == canonical.FactMerge && i > 0 && n != f.Nodes[0] {
				lost[n.Node()] = true
			}
		}
		if f.Kind != canonical.FactAssociation || f.Nodes[0].Scheme != canonical.HubSpotDeal || f.Nodes[0].Node() != deal {
			continue
		}
		said := there
		if f.Removed {
			said = gone
		}
		if n := f.Nodes[1].Node(); said[n].Before(f.At) {
			said[n] = f.At
		}
	}
	var best canonical.NodeID
	place := func(n canonical.NodeID) (int, int) {
		number, _ := strconv.Atoi(ids[n].Value)
		if ids[n].Scheme == canonical.HubSpotContact && !lost[n] {
			return 0, number
		}
		return ids[n].Scheme.Strength(), number
	}
	for n, at := range there {
		if at.Before(gone[n]) {
			continue
		}
		if r := roots[n]; lost[n] && ids[r].Scheme == canonical.HubSpotContact && !lost[r] {
			n = r
		}
		p, number := place(n)
		q, other := place(best)
		if best == 0 || cmp.Or(cmp.Compare(p, q), cmp.Compare(number, other), cmp.Compare(n, best)) < 0 {
			best = n
		}
	}
	return best
}

// day is a business time: small numbers, so that ties are frequent.
func day(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

func id(s canonical.Scheme, v any) canonical.Identifier {
	return canonical.Identifier{Scheme: s, Value: fmt.Sprint(v)}
}

// randomFacts gives facts over few nodes, so that they meet: links strong and weak,
// merges with chains and cycles, touches, stages, associations.
func randomFacts(r *rand.Rand, n int) []canonical.Fact {
	spread := 2 + r.IntN(6)
	schemes := []canonical.Scheme{canonical.HubSpotContact, canonical.Email, canonical.UserID, canonical.Phone, canonical.Anonymous, canonical.Anonymous, canonical.FBP, canonical.FBCLID, "loyalty_card"}
	person := func() canonical.Identifier { return id(schemes[r.IntN(len(schemes))], 1+r.IntN(spread)) }
	contact := func() canonical.Identifier { return id(canonical.HubSpotContact, 1+r.IntN(spread)) }
	account := func() canonical.Identifier {
		return id([]canonical.Scheme{canonical.HubSpotCompany, canonical.Domain}[r.IntN(2)], 1+r.IntN(spread))
	}
	facts := make([]canonical.Fact, n)
	for i := range facts {
		f := canonical.Fact{At: day(r.IntN(12)), Cause: canonical.ReceiptID(fmt.Sprint("r", i))}
		switch p := r.IntN(100); {
		case p < 20:
			f.Kind, f.Nodes = canonical.FactLink, []canonical.Identifier{person(), person()}
		case p < 60:
			f.Kind, f.Nodes, f.Weak = canonical.FactLink, []canonical.Identifier{person(), person()}, true
		case p < 68:
			f.Kind, f.Nodes = canonical.FactLink, []canonical.Identifier{account(), account()}
		case p < 76:
			f.Kind, f.Nodes = canonical.FactMerge, []canonical.Identifier{contact(), contact(), contact()}
		case p < 84:
			f.Kind, f.Nodes = canonical.FactAssociation, []canonical.Identifier{person(), account()}
			if deal := id(canonical.HubSpotDeal, 1+r.IntN(2)); r.IntN(3) == 0 {
				f.Nodes = []canonical.Identifier{deal, person()}
			}
			f.Primary, f.Removed = r.IntN(2) == 0, r.IntN(3) == 0
		case p < 90:
			f.Kind, f.Nodes = canonical.FactStage, []canonical.Identifier{contact()}
			f.Stage = &canonical.StageReached{Name: "qualified_lead", Rank: 2, At: f.At, EventID: canonical.EventID(fmt.Sprint(r.IntN(3)))}
		default:
			f.Kind, f.Nodes = canonical.FactTouch, []canonical.Identifier{person()}
			f.Touch = &canonical.Touch{Kind: "page_view", At: f.At, Page: fmt.Sprint("https://example.com/", r.IntN(3))}
			if r.IntN(2) == 0 {
				f.Touch.Clicks = []canonical.Click{{Scheme: canonical.FBCLID, Value: fmt.Sprint(1 + r.IntN(3)), At: f.At}}
			}
		}
		facts[i] = f
	}
	return facts
}

func open(t testing.TB, store identity.Store) *identity.View {
	t.Helper()
	v, err := identity.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// folded gives a view of the facts, folded in pieces of the size given.
func folded(t testing.TB, facts []canonical.Fact, piece int) *identity.View {
	t.Helper()
	v := open(t, memstore.New())
	fold(t, v, facts, piece)
	return v
}

func fold(t testing.TB, v *identity.View, facts []canonical.Fact, piece int) {
	t.Helper()
	next := v.Offset() + 1
	for part := range slices.Chunk(facts, piece) {
		var records []identity.Folded
		for _, f := range part {
			records = append(records, identity.Folded{Offset: next, Fact: f})
			next++
		}
		if err := v.Fold(records); err != nil {
			t.Fatal(err)
		}
	}
}

func shuffled(r *rand.Rand, facts []canonical.Fact) []canonical.Fact {
	out := slices.Clone(facts)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// show writes facts for a failure message.
func show(facts []canonical.Fact) string {
	var s string
	for _, f := range facts {
		s += fmt.Sprintf("\n  %s %s weak=%t", f.Kind, f.At.Format("01-02"), f.Weak)
		for _, n := range f.Nodes {
			s += fmt.Sprintf(" %s:%s=%s", n.Scheme, n.Value, n.Node())
		}
	}
	return s
}

// checkRoots compares every node's root with the model's.
func checkRoots(t *testing.T, v *identity.View, facts []canonical.Fact) {
	t.Helper()
	want := model(facts)
	groups := map[canonical.NodeID][]canonical.NodeID{}
	for n, r := range want {
		groups[r] = append(groups[r], n)
	}
	for n, r := range want {
		if got := v.Person(n); got != r {
			t.Fatalf("node %s has root %s, want %s, after%s", n, got, r, show(facts))
		}
		nodes := slices.Clone(groups[r])
		if c := modelContact(facts, want, n); c != 0 {
			nodes = append(nodes, groups[want[c]]...)
		}
		slices.Sort(nodes)
		if got := v.Cluster(n); !slices.Equal(got, nodes) {
			t.Fatalf("cluster of %s is %v, want %v, after%s", n, got, nodes, show(facts))
		}
	}
}

func TestEveryPrefixEqualsTheModel(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 1))
		facts := randomFacts(r, 1+r.IntN(40))
		v := open(t, memstore.New())
		for i := range facts {
			fold(t, v, facts[i:i+1], 1)
			checkRoots(t, v, facts[:i+1])
		}
	}
}

func TestEveryOrderGivesTheSameState(t *testing.T) {
	for seed := range uint64(30) {
		facts := randomFacts(rand.New(rand.NewPCG(seed, 2)), 5)
		want := folded(t, facts, 5).Digest()
		permute(facts, func(order []canonical.Fact) {
			v := folded(t, order, 2)
			if v.Digest() != want {
				t.Fatalf("seed %d: another digest for%s", seed, show(order))
			}
		})
	}
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 3))
		facts := randomFacts(r, 60)
		first := folded(t, facts, 7)
		checkRoots(t, first, facts)
		want := first.Digest()
		for range 1000 {
			order := shuffled(r, facts)
			if folded(t, order, 1+r.IntN(60)).Digest() != want {
				t.Fatalf("seed %d: another digest for%s", seed, show(order))
			}
		}
	}
}

func permute(facts []canonical.Fact, visit func([]canonical.Fact)) {
	var rec func(k int)
	rec = func(k int) {
		if k == len(facts) {
			visit(facts)
			return
		}
		for i := k; i < len(facts); i++ {
			facts[k], facts[i] = facts[i], facts[k]
			rec(k + 1)
			facts[k], facts[i] = facts[i], facts[k]
		}
	}
	rec(0)
}

func TestFactsSaidAgainChangeNothing(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 4))
		facts := randomFacts(r, 40)
		v := folded(t, facts, 10)
		want, end := v.Digest(), v.Offset()
		again := shuffled(r, facts)[:r.IntN(40)]
		if left := v.New(again); len(left) != 0 {
			t.Fatalf("seed %d: said again but new:%s", seed, show(left))
		}
		fold(t, v, again, 3)
		if v.Digest() != want {
			t.Fatalf("seed %d: another digest after saying again%s", seed, show(again))
		}
		if rows, nodes := v.Overrides(end, v.Offset()), v.Touched(end, v.Offset()); len(rows) != 0 || len(nodes) != 0 {
			t.Fatalf("seed %d: overrides %v, touched %v after saying again%s", seed, rows, nodes, show(again))
		}
	}
}

// What New leaves out would have changed nothing, in any order and against any part of
// the log that is folded already.
func TestLeavingOutWhatIsNotNewChangesNothing(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 5))
		facts := randomFacts(r, 60)
		want := folded(t, facts, 60).Digest()
		facts = shuffled(r, append(facts, randomPick(r, facts, 30)...))
		v := open(t, memstore.New())
		kept := 0
		for part := range slices.Chunk(facts, 1+r.IntN(20)) {
			left := v.New(part)
			kept += len(left)
			fold(t, v, left, 60)
		}
		if v.Digest() != want {
			t.Fatalf("seed %d: another digest with facts left out:%s", seed, show(facts))
		}
		if kept > 60 {
			t.Errorf("seed %d: %d of 60 facts kept", seed, kept)
		}
	}
}

func randomPick(r *rand.Rand, facts []canonical.Fact, n int) []canonical.Fact {
	out := make([]canonical.Fact, n)
	for i := range out {
		out[i] = facts[r.IntN(len(facts))]
	}
	return out
}

// Whoever applies the overrides up to an offset has the roots at that offset.
func TestOverridesGiveTheRoots(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 6))
		facts := randomFacts(r, 40)
		v := open(t, memstore.New())
		roots := map[canonical.NodeID]canonical.NodeID{}
		for i := range facts {
			before := v.Offset()
			fold(t, v, facts[i:i+1], 1)
			for _, o := range v.Overrides(before, v.Offset()) {
				roots[o.Node] = o.Root
				if who, ok := v.Node(o.Root); !ok || who.Scheme.IsAccount() != o.Account {
					t.Fatalf("override %+v is of the wrong graph", o)
				}
			}
			for n, want := range model(facts[:i+1]) {
				got, ok := roots[n]
				if !ok {
					got = n
				}
				if got != want {
					t.Fatalf("seed %d: overrides give %s root %s, want %s, after%s", seed, n, got, want, show(facts[:i+1]))
				}
			}
		}
		whole := folded(t, facts, 40)
		if !slices.Equal(whole.Overrides(-1, 100), v.Overrides(-1, 100)) || !slices.Equal(whole.Touched(-1, 100), v.Touched(-1, 100)) {
			t.Fatalf("seed %d: overrides or touched depend on how the log is cut", seed)
		}
		if whole.Digest() != v.Digest() {
			t.Fatalf("seed %d: digest depends on how the log is cut", seed)
		}
	}
}
