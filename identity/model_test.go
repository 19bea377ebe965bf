package identity_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
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
func model(facts []canonical.Fact) map[canonical.NodeID]canonical.NodeID { return modelOf(facts).root }

// A world is what the model makes of a set of facts.
type world struct {
	root  map[canonical.NodeID]canonical.NodeID
	lost  map[canonical.NodeID]bool   // merged away or deleted
	cut   map[canonical.NodeID]string // why
	hands map[canonical.NodeID]map[time.Time]canonical.NodeID
}

func modelOf(facts []canonical.Fact) world {
	type node = canonical.NodeID
	w := world{map[node]node{}, map[node]bool{}, map[node]string{}, map[node]map[time.Time]node{}}
	ids, seen := map[node]canonical.Identifier{}, map[node]time.Time{}
	deleted, restored := map[node]time.Time{}, map[node]time.Time{}
	type said struct {
		strong, weak          time.Time // the earliest
		unmerge, block, allow time.Time // the newest
		merge                 map[node]time.Time
	}
	pairs := map[[2]node]*said{}
	var guards canonical.Guards
	note := func(id canonical.Identifier, at time.Time) node {
		n := id.Node()
		ids[n] = id
		if old, ok := seen[n]; !ok || at.Before(old) {
			seen[n] = at
		}
		return n
	}
	anchor := func(n node) bool {
		s := ids[n].Scheme
		return s != canonical.Phone && !s.IsWeak() && s.IsPerson()
	}
	later := func(t *time.Time, at time.Time) {
		if at.After(*t) {
			*t = at
		}
	}
	for _, f := range facts {
		for i, id := range f.Nodes {
			switch f.Kind {
			case canonical.FactStage, canonical.FactAssociation, canonical.FactTouch:
				note(id, f.At)
			case canonical.FactDeletion:
				if id.Scheme == canonical.Domain {
					continue // no record: nothing is said
				}
				n := note(id, f.At)
				t := map[bool]map[node]time.Time{false: deleted, true: restored}[f.Removed]
				if at := t[n]; f.At.After(at) {
					t[n] = f.At
				}
			case canonical.FactLink, canonical.FactMerge, canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow:
				if i == 0 || f.Nodes[0].Scheme.IsAccount() != id.Scheme.IsAccount() || f.Nodes[0] == id {
					continue
				}
				a, b := note(f.Nodes[0], f.At), note(id, f.At)
				p := pairs[[2]node{min(a, b), max(a, b)}]
				if p == nil {
					p = &said{merge: map[node]time.Time{}}
					pairs[[2]node{min(a, b), max(a, b)}] = p
				}
				switch f.Kind {
				case canonical.FactLink:
					t := &p.strong
					if !id.Scheme.IsAccount() && (f.Weak || !anchor(a) || !anchor(b)) {
						t = &p.weak
					}
					if t.IsZero() || f.At.Before(*t) {
						*t = f.At
					}
				case canonical.FactMerge:
					if f.At.After(p.merge[b]) {
						p.merge[b] = f.At
					}
				case canonical.FactUnmerge:
					later(&p.unmerge, f.At)
				case canonical.FactBlock:
					later(&p.block, f.At)
				case canonical.FactAllow:
					later(&p.allow, f.At)
				}
			}
		}
		if f.Touch != nil {
			for _, c := range f.Touch.Clicks {
				note(canonical.Identifier{Scheme: c.Scheme, Value: c.Value}, c.At)
			}
		}
		if f.Guards != nil {
			guards = *f.Guards
		}
	}
	guards = guards.Whole()

	// What holds: firm, then links, as far as nobody blocked them or is cut.
	for n := range ids {
		w.lost[n] = !deleted[n].IsZero() && !restored[n].After(deleted[n])
	}
	var firm [][2]node
	links := map[[2]node]*said{}
	crowd := map[node]map[canonical.Scheme]int{}
	for k, p := range pairs {
		if !p.block.IsZero() && !p.allow.After(p.block) {
			continue
		}
		holds := p.allow.After(p.block)
		for n, at := range p.merge {
			if at.After(p.unmerge) {
				w.lost[n], holds = true, true
			}
		}
		if holds {
			firm = append(firm, k)
		}
		links[k] = p
		for i, n := range k {
			if crowd[n] == nil {
				crowd[n] = map[canonical.Scheme]int{}
			}
			if !p.strong.IsZero() {
				crowd[n][ids[k[1-i]].Scheme]++
			}
		}
	}
	for n, id := range ids {
		for s, many := range crowd[n] {
			switch {
			case id.Scheme == canonical.HubSpotCompany,
				id.Scheme == canonical.HubSpotContact && (s != canonical.Email || many <= guards.CrowdRecord),
				id.Scheme == canonical.Domain && (s != canonical.HubSpotCompany || many <= guards.Crowd),
				id.Scheme != canonical.HubSpotContact && many <= guards.Crowd:
			default:
				w.cut[n] = "crowded"
			}
		}
		if slices.ContainsFunc(guards.NeverLink, func(o canonical.Identifier) bool { return o == id }) {
			w.cut[n] = "never_link"
		}
	}
	type edge struct {
		nodes [2]node
		at    time.Time
	}
	var strong, weak []edge
	for k, p := range links {
		switch {
		case w.cut[k[0]] != "" || w.cut[k[1]] != "":
		case !p.strong.IsZero():
			strong = append(strong, edge{k, p.strong})
		case !p.weak.IsZero():
			weak = append(weak, edge{k, p.weak})
		}
	}
	inOrder := func(x, y edge) int {
		return cmp.Or(x.at.Compare(y.at), cmp.Compare(x.nodes[0], y.nodes[0]), cmp.Compare(x.nodes[1], y.nodes[1]))
	}
	slices.SortFunc(strong, inOrder)
	slices.SortFunc(weak, inOrder)

	// Who is one with whom.
	of := map[node]node{}
	for n := range ids {
		of[n] = n
	}
	holds := func(group node) map[canonical.Scheme]int {
		m := map[canonical.Scheme]int{}
		for n, g := range of {
			if g == group && anchor(n) {
				m[ids[n].Scheme]++
			}
		}
		return m
	}
	join := func(a, b node) {
		a, b = of[a], of[b]
		for n, g := range of {
			if g == b {
				of[n] = a
			}
		}
	}
	for _, k := range firm {
		join(k[0], k[1])
	}
	for _, e := range strong {
		a, b := of[e.nodes[0]], of[e.nodes[1]]
		tooMany, with := false, holds(b)
		for s, n := range holds(a) {
			tooMany = tooMany || with[s] > 0 && n+with[s] > guards.Limit
		}
		if a != b && !tooMany {
			join(a, b)
		}
	}
	for n, id := range ids {
		if anchor(n) || id.Scheme.IsAccount() {
			continue
		}
		people, hands := map[node]bool{}, map[time.Time]node{}
		for _, e := range weak {
			if e.nodes[0] == n || e.nodes[1] == n {
				if o := e.nodes[0] ^ e.nodes[1] ^ n; anchor(o) {
					people[of[o]] = true
					if h, ok := hands[e.at]; !ok || o < h {
						hands[e.at] = o
					}
				}
			}
		}
		if len(people) > 1 {
			w.cut[n], w.hands[n] = "shared_device", hands
		}
	}
	for _, e := range weak {
		if w.cut[e.nodes[0]] == "" && w.cut[e.nodes[1]] == "" && (len(holds(of[e.nodes[0]])) == 0 || len(holds(of[e.nodes[1]])) == 0) {
			join(e.nodes[0], e.nodes[1])
		}
	}

	// What they are called.
	place := func(n node) int {
		if s := ids[n].Scheme; !w.lost[n] && (s == canonical.HubSpotContact || s == canonical.HubSpotCompany) {
			return 0
		}
		return ids[n].Scheme.Strength()
	}
	number := func(n node) int { v, _ := strconv.Atoi(ids[n].Value); return v }
	root := map[node]node{}
	for n, g := range of {
		r, ok := root[g]
		if !ok || cmp.Or(cmp.Compare(place(n), place(r)), seen[n].Compare(seen[r]), cmp.Compare(number(n), number(r)), cmp.Compare(ids[n].Value, ids[r].Value)) < 0 {
			root[g] = n
		}
	}
	for n, g := range of {
		w.root[n] = root[g]
	}
	return w
}

// holder gives the anchor in whose hands a shared device was at a time, else the node.
func (w world) holder(n canonical.NodeID, at time.Time) canonical.NodeID {
	if len(w.hands[n]) == 0 {
		return n
	}
	first, last := time.Time{}, time.Time{}
	for since := range w.hands[n] {
		if first.IsZero() || since.Before(first) {
			first = since
		}
		if since.After(last) && !since.After(at) {
			last = since
		}
	}
	if last.IsZero() {
		last = first
	}
	return w.hands[n][last]
}

// modelContact gives the node that counts among those that belong to a deal, from
// scratch; zero for other nodes and where nobody does.
func modelContact(facts []canonical.Fact, roots map[canonical.NodeID]canonical.NodeID, deal canonical.NodeID) canonical.NodeID {
	ids := map[canonical.NodeID]canonical.Identifier{}
	lost := modelOf(facts).lost
	there, gone := map[canonical.NodeID][]canonical.Fact{}, map[canonical.NodeID]time.Time{}
	for _, f := range facts {
		for _, n := range f.Nodes {
			ids[n.Node()] = n
		}
		if f.Kind != canonical.FactAssociation || f.Nodes[0].Scheme != canonical.HubSpotDeal || f.Nodes[0].Node() != deal {
			continue
		}
		switch n := f.Nodes[1].Node(); {
		case !f.Removed:
			there[n] = append(there[n], f)
		case f.Role == "" && gone[n].Before(f.At):
			gone[n] = f.At
		}
	}
	// A contact that stands, the primary one, the earliest, the lowest id.
	type rank struct {
		strength, other int
		began           time.Time
		number          int
	}
	var best canonical.NodeID
	var first rank
	for n, said := range there {
		said = slices.DeleteFunc(said, func(f canonical.Fact) bool { return f.At.Before(gone[n]) })
		if len(said) == 0 {
			continue
		}
		r := rank{other: 1, began: said[0].At}
		for _, f := range said {
			if f.Primary {
				r.other = 0
			}
			if f.At.Before(r.began) {
				r.began = f.At
			}
		}
		if root := roots[n]; lost[n] && ids[root].Scheme == canonical.HubSpotContact && !lost[root] {
			n = root
		}
		r.number, _ = strconv.Atoi(ids[n].Value)
		if r.strength = ids[n].Scheme.Strength(); ids[n].Scheme == canonical.HubSpotContact && !lost[n] {
			r.strength = 0
		}
		if best == 0 || cmp.Or(cmp.Compare(r.strength, first.strength), cmp.Compare(r.other, first.other), r.began.Compare(first.began), cmp.Compare(r.number, first.number), cmp.Compare(n, best)) < 0 {
			best, first = n, r
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
		switch p := r.IntN(130); {
		case p >= 128:
			f.Kind, f.Nodes = canonical.FactDeletion, []canonical.Identifier{contact()}
			if r.IntN(3) == 0 {
				f.Nodes = []canonical.Identifier{account()}
			}
			f.Removed = r.IntN(2) == 0
		case p >= 118:
			f.Kind, f.Nodes = canonical.FactBlock, []canonical.Identifier{person(), person()}
			if r.IntN(3) == 0 {
				f.Kind = canonical.FactAllow
			}
			if r.IntN(5) == 0 {
				f.Nodes = []canonical.Identifier{account(), account()}
			}
		case p >= 112:
			f.Kind, f.Nodes = canonical.FactUnmerge, []canonical.Identifier{contact(), contact(), contact()}
		case p >= 100:
			f.Kind, f.Nodes = canonical.FactMerge, []canonical.Identifier{contact(), contact()}
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
	if n > 0 && r.IntN(3) > 0 { // one at most, so that any order means the same
		facts[r.IntN(n)] = randomGuards(r)
	}
	return facts
}

// randomGuards are so strict that a few facts come up against them.
func randomGuards(r *rand.Rand) canonical.Fact {
	g := canonical.Guards{Crowd: 1 + r.IntN(4), CrowdRecord: 1 + r.IntN(4), Limit: 1 + r.IntN(4)}
	if r.IntN(2) == 0 {
		g.NeverLink = []canonical.Identifier{id(canonical.Email, 1), id(canonical.Anonymous, 1+r.IntN(3))}
	}
	return canonical.Fact{Kind: canonical.FactGuards, At: day(1), Guards: &g}
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
		if f.Removed {
			s += " removed"
		}
		if f.Guards != nil {
			s += " " + f.Guards.Text()
		}
		for _, n := range f.Nodes {
			s += fmt.Sprintf(" %s:%s=%s", n.Scheme, n.Value, n.Node())
		}
	}
	return s
}

// checkRoots compares every node's root with the model's.
func checkRoots(t *testing.T, v *identity.View, facts []canonical.Fact) {
	t.Helper()
	w := modelOf(facts)
	want := w.root
	for n := range want {
		if got := v.Cut(n); string(got) != w.cut[n] {
			t.Fatalf("node %s is cut for %q, want %q, after%s", n, got, w.cut[n], show(facts))
		}
	}
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

// deviceFacts are about a few people on a few devices: links, and what takes them away.
func deviceFacts(r *rand.Rand, n int) []canonical.Fact {
	who := func() canonical.Identifier { return id(canonical.UserID, 1+r.IntN(4)) }
	device := func() canonical.Identifier { return id(canonical.Anonymous, 1+r.IntN(5)) }
	facts := make([]canonical.Fact, n)
	for i := range facts {
		f := canonical.Fact{Kind: canonical.FactLink, At: day(r.IntN(20)), Nodes: []canonical.Identifier{device(), device()}}
		switch p := r.IntN(20); {
		case p < 3:
			f.Nodes[0] = who()
		case p < 5:
			f.Nodes = []canonical.Identifier{who(), who()}
		case p < 6:
			f.Kind = canonical.FactBlock
		case p < 10:
			f.Kind, f.Nodes[0] = canonical.FactBlock, who()
		case p < 12:
			f.Kind = canonical.FactAllow
		case p < 14:
			f.Kind, f.Nodes[0] = canonical.FactAllow, who()
		case p < 15:
			g := canonical.Guards{Crowd: 1 + r.IntN(2)}
			for range r.IntN(3) {
				g.NeverLink = append(g.NeverLink, []canonical.Identifier{who(), device()}[r.IntN(2)])
			}
			f = guards(g)
		}
		facts[i] = f
	}
	return facts
}

// anchorFacts are about people who come up against their limit.
func anchorFacts(r *rand.Rand, n int) []canonical.Fact {
	who := func() canonical.Identifier {
		return id([]canonical.Scheme{canonical.UserID, canonical.Email, canonical.HubSpotContact}[r.IntN(3)], 1+r.IntN(4))
	}
	facts := []canonical.Fact{guards(canonical.Guards{Crowd: 4 + r.IntN(20), CrowdRecord: 20, Limit: 1 + r.IntN(3)})}
	for len(facts) < n {
		f := canonical.Fact{Kind: canonical.FactLink, At: day(r.IntN(20)), Nodes: []canonical.Identifier{who(), who()}}
		switch p := r.IntN(30); {
		case p < 6:
			f.Nodes[0] = id(canonical.Anonymous, 1+r.IntN(4))
		case p < 8:
			f.Nodes = []canonical.Identifier{id(canonical.Anonymous, 1+r.IntN(4)), id(canonical.Anonymous, 1+r.IntN(4))}
		case p < 9:
			f.Kind = canonical.FactBlock
		case p < 10:
			f.Kind = canonical.FactAllow
		case p < 11:
			f.Kind = canonical.FactMerge
		case p < 12:
			f.Kind = canonical.FactUnmerge
		case p < 13:
			f = guards(canonical.Guards{Crowd: 4 + r.IntN(20), CrowdRecord: 20, Limit: 1 + r.IntN(3)})
		}
		facts = append(facts, f)
	}
	return facts
}

// seeds is how many random logs a test looks at: a quarter where the race detector makes each
// ten times as slow; TRIBUTARY_IDENTITY_SEEDS times as many.
func seeds(n uint64) uint64 {
	if raceDetector {
		n = max(1, n/4)
	}
	if times, err := strconv.ParseUint(os.Getenv("TRIBUTARY_IDENTITY_SEEDS"), 10, 32); err == nil {
		n *= times
	}
	return n
}

func TestEveryPrefixEqualsTheModel(t *testing.T) {
	for name, random := range map[string]func(*rand.Rand, int) []canonical.Fact{
		"everything": func(r *rand.Rand, n int) []canonical.Fact {
			facts := randomFacts(r, n)
			for i := range facts {
				if r.IntN(12) == 0 {
					facts[i] = randomGuards(r)
				}
			}
			return facts
		},
		"devices": deviceFacts, "limits": anchorFacts,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds(120) {
				r := rand.New(rand.NewPCG(seed, 1))
				facts := random(r, 1+r.IntN(40))
				store := memstore.New()
				v := open(t, store)
				for i := range facts {
					fold(t, v, facts[i:i+1], 1)
					checkRoots(t, v, facts[:i+1])
				}
				checkStore(t, store, facts)
			}
		})
	}
}

// checkStore looks at every record of a store.
func checkStore(t *testing.T, store identity.Store, facts []canonical.Fact) {
	t.Helper()
	if bad := identity.Inconsistencies(store); len(bad) > 0 {
		t.Fatalf("the store does not fit: %v, after%s", bad, show(facts))
	}
}

// Whoever applies the rows of hands up to an offset has all hands at that offset, and an
// event on a shared device is known as the person's in whose hands it was.
func TestHandsEqualTheModel(t *testing.T) {
	for seed := range seeds(100) {
		r := rand.New(rand.NewPCG(seed, 12))
		facts := randomFacts(r, 60)
		v := open(t, memstore.New())
		type begin struct {
			device canonical.NodeID
			since  int64
		}
		hands := map[begin]canonical.NodeID{}
		for i := range facts {
			before := v.Offset()
			fold(t, v, facts[i:i+1], 1)
			for _, h := range v.Hands(before, v.Offset()) {
				if hands[begin{h.Device, h.Since}] = h.Holder; h.Holder == 0 {
					delete(hands, begin{h.Device, h.Since})
				}
			}
			w := modelOf(facts[:i+1])
			want := map[begin]canonical.NodeID{}
			for d, all := range w.hands {
				for since, who := range all {
					want[begin{d, since.UnixNano()}] = who
				}
				for at := range 13 {
					if got, want := v.Known(canonical.Event{Node: d, OccurredAt: day(at)}).Person, w.root[w.holder(d, day(at))]; got != want {
						t.Fatalf("seed %d: device %s on day %d is %s's, want %s, after%s", seed, d, at, got, want, show(facts[:i+1]))
					}
				}
			}
			if !maps.Equal(hands, want) {
				t.Fatalf("seed %d: hands %v, want %v, after%s", seed, hands, want, show(facts[:i+1]))
			}
		}
		if whole := folded(t, facts, 60); !slices.Equal(whole.Hands(-1, 100), v.Hands(-1, 100)) {
			t.Fatalf("seed %d: hands depend on how the log is cut", seed)
		}
	}
}

func TestEveryOrderGivesTheSameState(t *testing.T) {
	kinds := []func(*rand.Rand, int) []canonical.Fact{randomFacts, deviceFacts, anchorFacts}
	for seed := range seeds(45) {
		facts := oneGuards(kinds[seed%3](rand.New(rand.NewPCG(seed, 2)), 5))
		first := folded(t, facts, 5)
		want, profiles := first.Digest(), profilesOf(first, facts)
		permute(facts, func(order []canonical.Fact) {
			v := folded(t, order, 2)
			if v.Digest() != want {
				t.Fatalf("seed %d: another digest for%s", seed, show(order))
			}
			if !reflect.DeepEqual(profilesOf(v, facts), profiles) {
				t.Fatalf("seed %d: other profiles for%s", seed, show(order))
			}
		})
	}
	for seed := range seeds(4) {
		r := rand.New(rand.NewPCG(seed, 3))
		facts := oneGuards(kinds[seed%4%3](r, 60))
		first := folded(t, facts, 7)
		checkRoots(t, first, facts)
		want, profiles := first.Digest(), profilesOf(first, facts)
		for turn := range 1000 {
			order := shuffled(r, facts)
			v := folded(t, order, 1+r.IntN(60))
			if v.Digest() != want {
				t.Fatalf("seed %d: another digest for%s", seed, show(order))
			}
			if turn%50 == 0 && !reflect.DeepEqual(profilesOf(v, facts), profiles) {
				t.Fatalf("seed %d: other profiles for%s", seed, show(order))
			}
		}
	}
}

// oneGuards leaves the first guards: only of those the order counts.
func oneGuards(facts []canonical.Fact) []canonical.Fact {
	held := false
	return slices.DeleteFunc(facts, func(f canonical.Fact) bool {
		again := held && f.Kind == canonical.FactGuards
		held = held || f.Kind == canonical.FactGuards
		return again
	})
}

// profilesOf gives what is known of every node that facts name, early and late.
func profilesOf(v *identity.View, facts []canonical.Fact) map[string]canonical.Known {
	out := map[string]canonical.Known{}
	for _, f := range facts {
		for _, n := range f.Nodes {
			for _, at := range []int{3, 8, 20} {
				k := v.Known(canonical.Event{Node: n.Node(), OccurredAt: day(at)})
				k.Offset = 0
				out[fmt.Sprint(n.Node(), " ", at)] = k
			}
		}
	}
	return out
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

// Whether a cluster holds its nodes itself or they stand under keys of their own, and how often
// it goes from one to the other, makes no difference.
func TestWhereNodesStandMakesNoDifference(t *testing.T) {
	defer identity.HoldAtMost(2)()
	t.Run("model", TestEveryPrefixEqualsTheModel)
	t.Run("overrides", TestOverridesGiveTheRoots)
	t.Run("erased", TestErasedAsIfNeverThere)
}

// What a view keeps in memory is what its store says, after every fold.
func TestNothingKeptInMemoryIsStale(t *testing.T) {
	for name, random := range map[string]func(*rand.Rand, int) []canonical.Fact{"everything": randomFacts, "devices": deviceFacts, "limits": anchorFacts} {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds(60) {
				r := rand.New(rand.NewPCG(seed, 32))
				facts := random(r, 60)
				for range 3 {
					facts[r.IntN(len(facts))] = randomGuards(r)
				}
				store := memstore.New()
				v := openKeyed(t, store)
				for len(facts) > 0 {
					n := min(1+r.IntN(10), len(facts))
					next := facts[:n]
					if e, err := v.Erasure(day(30), id(canonical.Anonymous, 1+r.IntN(4))); err == nil && r.IntN(8) == 0 {
						next = append(next[:n:n], e)
					}
					facts = facts[n:]
					fold(t, v, next, len(next))
					kept, stored := told(v), told(openKeyed(t, store))
					for k := range stored {
						if !reflect.DeepEqual(kept[k], stored[k]) {
							t.Fatalf("seed %d, offset %d: %s is %+v, want %+v", seed, v.Offset(), k, kept[k], stored[k])
						}
					}
				}
			}
		})
	}
}

// told is what a view says of each of a few people and devices.
func told(v *identity.View) map[string]any {
	out := make(map[string]any)
	for _, s := range []canonical.Scheme{canonical.HubSpotContact, canonical.Email, canonical.UserID, canonical.Anonymous, canonical.FBCLID, "loyalty_card"} {
		for i := range 4 {
			who := id(s, 1+i)
			n := who.Node()
			about, _ := v.About(n)
			out[fmt.Sprint(s, " ", 1+i)] = []any{v.Known(canonical.Event{Node: n, OccurredAt: day(8)}), v.Counted(n, day(8)), v.Cluster(n), about}
		}
	}
	return out
}
