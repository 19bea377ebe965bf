package identity_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

// known lists the identifiers that facts named.
func known(v *identity.View, facts []canonical.Fact) (out []canonical.Identifier) {
	for n := range model(facts) {
		if who, ok := v.Node(n); ok {
			who.Seen = day(0)
			out = append(out, who)
		}
	}
	slices.SortFunc(out, func(x, y canonical.Identifier) int { return int(int64(x.Node()>>1) - int64(y.Node()>>1)) })
	return out
}

func TestTheStoryExplained(t *testing.T) {
	v := folded(t, story(), 3)
	e, ok := v.Why(home.Node(), work.Node())
	if !ok || !e.Together || e.A.Root != e.B.Root {
		t.Fatalf("the buyer's two addresses: %+v", e)
	}
	var names []string
	for _, tie := range e.Chain {
		names = append(names, string(tie.Said[0].Kind)+" "+tie.B.Value)
	}
	if want := []string{"link 1001", "merge 1009", "merge 1002", "link " + work.Value}; !slices.Equal(names, want) {
		t.Errorf("the chain is %q, want %q", names, want)
	}
	if !slices.ContainsFunc(e.A.Identifiers, func(m identity.Member) bool { return m.Value == "1001" && m.Merged }) {
		t.Errorf("nothing says that 1001 was merged away: %+v", e.A.Identifiers)
	}

	// The merge is undone for one of the two: nothing joins the addresses any more.
	undo := said(canonical.FactUnmerge, 20, united, demo)
	p, err := v.After(undo)
	if err != nil || p.Already || len(p.Before) != 1 || len(p.After) != 2 || len(p.Still) != 0 || p.Moved != 2 || p.Renamed != 0 {
		t.Fatalf("what the unmerge would leave: %+v, %v", p, err)
	}
	fold(t, v, append(story(), undo), 20)
	e, _ = v.Why(home.Node(), work.Node())
	if e.Together || len(e.Chain) != 4 || e.Chain[2].Joins || e.Chain[2].Reason != "" || e.Chain[2].Said[1].Kind != canonical.FactUnmerge || !e.Chain[2].Said[1].Holds || e.Chain[2].Said[0].Holds {
		t.Errorf("after the unmerge: %+v", e)
	}
	if e, _ := v.Why(united.Node(), demo.Node()); len(e.Between) == 0 || len(e.Between[0].Said) != 2 {
		t.Errorf("between the two records: %+v", e.Between)
	}
	if p, err := v.After(undo); err != nil || !p.Already {
		t.Errorf("the same unmerge again: %+v, %v", p, err)
	}
	// A block of two that a third joins is said, though they are one.
	third := id(canonical.HubSpotContact, 1010)
	whole := folded(t, append(story(), said(canonical.FactBlock, 21, united, demo), link(22, false, third, home), link(22, false, third, work)), 20)
	if e, _ = whole.Why(united.Node(), demo.Node()); !e.Together || len(e.Between) != 1 || e.Between[0].Reason != identity.Blocked {
		t.Errorf("blocked, and one by a third: %+v", e)
	}
	if _, ok := v.Why(home.Node(), acme.Node()); ok {
		t.Error("a person and a company are compared")
	}
}

// What else joins two that are unmerged is named, link by link, with the block for each.
func TestWhatStillJoinsIsNamed(t *testing.T) {
	facts := append(story(), link(9, false, united, work), link(10, false, demo, home), link(11, false, demo, id(canonical.UserID, "u")))
	v := folded(t, facts, 4)
	undo := said(canonical.FactUnmerge, 20, united, demo)
	p, err := v.After(undo)
	if err != nil || len(p.Still) != 2 || len(p.Halves) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p.Halves[0].Root == p.Halves[1].Root {
		t.Error("after the blocks the two are one still")
	}
	facts = append(facts, p.Fact)
	for _, s := range p.Still {
		facts = append(facts, said(canonical.FactBlock, 21, s.Block[0], s.Block[1]))
	}
	fold(t, v, facts, 50)
	if v.Person(united.Node()) == v.Person(demo.Node()) {
		t.Errorf("the blocks named do not separate them: %+v", p.Still)
	}
	// The links that were said last are what is blocked: the first ones made the two.
	for _, s := range p.Still {
		if !slices.Contains(s.Block[:], work) && !slices.Contains(s.Block[:], home) {
			t.Errorf("blocked is %v", s.Block)
		}
	}
}

func TestReasonsInWords(t *testing.T) {
	shared := id(canonical.Email, canonical.EmailHash("info@acme.example"))
	kiosk := id(canonical.Anonymous, "kiosk")
	var facts []canonical.Fact
	for i := range 12 {
		facts = append(facts, link(i, false, id(canonical.HubSpotContact, 500+i), shared))
	}
	facts = append(facts, link(30, true, kiosk, home), link(31, true, kiosk, work), link(32, false, lead, home), link(33, false, demo, work),
		said(canonical.FactBlock, 34, lead, demo), link(35, false, lead, demo))
	v := folded(t, facts, 7)
	for _, tt := range []struct {
		a, b   canonical.Identifier
		reason identity.Reason
		whose  canonical.Identifier
	}{
		{id(canonical.HubSpotContact, 500), id(canonical.HubSpotContact, 501), identity.Crowded, shared},
		{id(canonical.HubSpotContact, 500), shared, identity.Crowded, shared},
		{home, kiosk, identity.SharedDevice, kiosk},
		{lead, demo, identity.Blocked, canonical.Identifier{}},
	} {
		e, ok := v.Why(tt.a.Node(), tt.b.Node())
		if !ok || e.Together || len(e.Chain) == 0 {
			t.Fatalf("%v and %v: %+v", tt.a, tt.b, e)
		}
		i := slices.IndexFunc(e.Chain, func(x identity.Tie) bool { return !x.Joins })
		if got := e.Chain[i]; got.Reason != tt.reason || (got.Whose == nil) != (tt.whose == canonical.Identifier{}) || got.Whose != nil && *got.Whose != tt.whose {
			t.Errorf("%v and %v: %+v, want %s", tt.a, tt.b, got, tt.reason)
		}
	}
	// The kiosk stands between the two, beside the block.
	e, _ := v.Why(home.Node(), work.Node())
	through := slices.ContainsFunc(e.Between, func(x identity.Tie) bool { return x.A == kiosk || x.B == kiosk })
	blocked := slices.ContainsFunc(e.Between, func(x identity.Tie) bool { return x.Reason == identity.Blocked })
	if !through || !blocked {
		t.Errorf("between the two: %+v", e.Between)
	}

	found, next := v.Review(0, 100)
	if next != 0 {
		t.Errorf("the review goes on behind %s", next)
	}
	byReason := map[identity.Reason]identity.Stopped{}
	for _, s := range found {
		byReason[s.Reason] = s
	}
	if s := byReason[identity.Crowded]; s.Identifier.Value != shared.Value || s.Neighbours != 12 || len(s.Some) != 5 {
		t.Errorf("of the mailbox: %+v", s)
	}
	if s := byReason[identity.SharedDevice]; s.Value != kiosk.Value || s.Neighbours != 2 {
		t.Errorf("of the kiosk: %+v", s)
	}
	if s := byReason[identity.Blocked]; s.Neighbours != 1 {
		t.Errorf("of the block: %+v", s)
	}
	if only, _ := v.Review(0, 100, identity.Crowded); len(only) != 1 || only[0].Reason != identity.Crowded {
		t.Errorf("only the crowded: %+v", only)
	}
	st := v.Stats()
	if st.Persons != 16 || st.Known != 15 || st.Cut[identity.Crowded] != 1 || st.Cut[identity.SharedDevice] != 1 || st.Blocks != 1 || st.Edges != 17 || st.Largest.Size != 2 {
		t.Errorf("stats: %+v", st)
	}
}

// Of random facts: who is together is, by ties that join; who is not is not, for a reason.
func TestWhyAgreesWithTheFold(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 70))
		facts := randomFacts(r, 60)
		v := folded(t, facts, 60)
		ids := known(v, facts)
		for range 60 {
			a, b := ids[r.IntN(len(ids))], ids[r.IntN(len(ids))]
			e, ok := v.Why(a.Node(), b.Node())
			if !ok {
				continue
			}
			if together := v.Person(a.Node()) == v.Person(b.Node()); e.Together != together {
				t.Fatalf("seed %d: %v and %v: %+v", seed, a, b, e)
			}
			at, stopped := a.Node(), 0
			for _, tie := range e.Chain {
				if tie.A.Node() != at {
					t.Fatalf("seed %d: the chain is broken: %+v", seed, e.Chain)
				}
				at = tie.B.Node()
				if tie.Joins {
					continue
				}
				stopped++
				unmerged := slices.ContainsFunc(tie.Said, func(s identity.Saying) bool { return s.Kind == canonical.FactUnmerge && s.Holds })
				if tie.Reason == "" && !unmerged {
					t.Fatalf("seed %d: nothing says why it does not join: %+v%s", seed, tie, show(facts))
				}
			}
			if e.Together && (stopped > 0 || at != b.Node()) || !e.Together && len(e.Chain) > 0 && (stopped == 0 || at != b.Node()) {
				t.Fatalf("seed %d: %v to %v, together %v: %+v", seed, a, b, e.Together, e.Chain)
			}
		}
	}
}

// What After foretells of a statement is what its fold brings, and telling changes nothing.
func TestAfterForetellsTheFold(t *testing.T) {
	separated := 0
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 71))
		facts := randomFacts(r, 50)
		v := folded(t, facts, 50)
		ids := known(v, facts)
		kinds := []canonical.FactKind{canonical.FactMerge, canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow}
		fact := said(kinds[r.IntN(len(kinds))], r.IntN(60), ids[r.IntN(len(ids))], ids[r.IntN(len(ids))])
		before := v.Digest()
		p, err := v.After(fact)
		if err != nil {
			t.Fatal(err)
		}
		if v.Digest() != before {
			t.Fatalf("seed %d: foretelling changed the state", seed)
		}
		roots := map[canonical.NodeID]canonical.NodeID{}
		for n := range model(facts) {
			roots[n] = v.Person(n)
		}
		facts = append(facts, p.Fact)
		fold(t, v, facts, 1)
		moved := 0
		for n, root := range roots {
			if v.Person(n) != root {
				moved++
			}
		}
		if moved < p.Renamed || (moved > 0) != (p.Moved+p.Renamed > 0) {
			t.Fatalf("seed %d: %s: %d have another root, foretold %d and %d%s", seed, fact.Kind, moved, p.Moved, p.Renamed, show(facts))
		}
		for _, g := range p.After {
			if nodes := v.Cluster(g.Identifiers[0].Node); len(nodes) != g.Size && g.Identifiers[0].Scheme != canonical.HubSpotDeal || v.Person(g.Identifiers[0].Node) != g.Root {
				t.Fatalf("seed %d: %s: %d nodes of %s, foretold %+v%s", seed, fact.Kind, len(nodes), v.Person(g.Identifiers[0].Node), g, show(facts))
			}
		}
		if again, _ := v.After(p.Fact); !again.Already {
			t.Fatalf("seed %d: %s said, and it does not hold already: %+v", seed, fact.Kind, again)
		}
		for _, s := range p.Still {
			block, err := v.After(said(canonical.FactBlock, 0, s.Block[0], s.Block[1]))
			if err != nil {
				t.Fatal(err)
			}
			facts = append(facts, block.Fact)
			fold(t, v, facts, 1)
		}
		if len(p.Still) > 0 {
			if separated++; v.Person(fact.Nodes[0].Node()) == v.Person(fact.Nodes[1].Node()) {
				t.Fatalf("seed %d: the blocks do not separate %v%s", seed, p.Still, show(facts))
			}
		}
	}
	if separated < 5 {
		t.Errorf("only %d cases had something to block", separated)
	}
}

// Pages of a review and of an export hold everything once, whatever their size.
func TestPagesHoldEverythingOnce(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 72))
		facts := randomFacts(r, 300)
		v := folded(t, facts, 300)
		roots := model(facts)
		all, next := v.Review(0, 10_000)
		if next != 0 {
			t.Fatal("one page was not enough")
		}
		var paged []identity.Stopped
		for after, first := canonical.NodeID(0), true; first || after != 0; first = false {
			var page []identity.Stopped
			if page, after = v.Review(after, 3); len(page) > 3+2 {
				t.Errorf("seed %d: a page of %d", seed, len(page))
			}
			paged = append(paged, page...)
		}
		if fmt.Sprint(paged) != fmt.Sprint(all) {
			t.Errorf("seed %d: pages hold %d, the whole %d", seed, len(paged), len(all))
		}
		cut := 0
		for n := range roots {
			if p, ok := v.About(n); ok && p.Asked.Cut != "" {
				cut++
				if !slices.ContainsFunc(all, func(s identity.Stopped) bool { return s.Node == n && s.Reason == p.Asked.Cut }) && len(p.Stopped) > 0 {
					t.Errorf("seed %d: %s is cut and not reviewed", seed, n)
				}
			}
		}
		st := v.Stats()
		if st.Cut[identity.Crowded]+st.Cut[identity.SharedDevice]+st.Cut[identity.NeverLink] != cut {
			t.Errorf("seed %d: %d cut, stats say %v", seed, cut, st.Cut)
		}
		for _, account := range []bool{false, true} {
			seen, parties := map[canonical.NodeID]bool{}, 0
			for after, first := canonical.NodeID(0), true; first || after != 0; first = false {
				var page []identity.Party
				page, after = v.Parties(after, 7, account)
				for _, g := range page {
					parties++
					for _, m := range g.Identifiers {
						if seen[m.Node] || v.Person(m.Node) != g.Root || m.Scheme.IsAccount() != account {
							t.Fatalf("seed %d: %+v in %+v", seed, m, g)
						}
						seen[m.Node] = true
					}
				}
			}
			if want := map[bool]int{false: st.Persons, true: st.Accounts}[account]; parties != want {
				t.Errorf("seed %d: %d, stats say %d", seed, parties, want)
			}
		}
	}
}

func TestThePortrait(t *testing.T) {
	facts := append(story(), canonical.Fact{Kind: canonical.FactAssociation, At: day(7), Nodes: []canonical.Identifier{bigDeal, demo}, Primary: true, Role: "buyer"},
		canonical.Fact{Kind: canonical.FactStage, At: day(9), Nodes: []canonical.Identifier{demo}, Stage: &canonical.StageReached{Name: "qualified_lead", Rank: 2, At: day(9), EventID: "e"}},
		link(10, true, cookie, work))
	v := folded(t, facts, 5)
	p, ok := v.About(home.Node())
	if !ok || p.Party.Root != united.Node() || p.Party.Size != 6 {
		t.Fatalf("%+v", p)
	}
	if len(p.Touches) != 3 || p.Touches[0].Kind != "ad_click" || p.Touches[0].Platform != "linkedin" || p.Touches[2].On != cookie {
		t.Errorf("touches: %+v", p.Touches)
	}
	if len(p.Stages) != 1 || p.Stages[0].On != demo || len(p.Deals) != 1 || p.Deals[0] != bigDeal {
		t.Errorf("stages %+v, deals %+v", p.Stages, p.Deals)
	}
	if len(p.Accounts) != 2 || !p.Accounts[1].Counts || p.Accounts[1].Identifier != acme {
		t.Errorf("accounts: %+v", p.Accounts)
	}
	d, ok := v.About(bigDeal.Node())
	if !ok || d.Party != nil || len(d.Contacts) != 1 || d.Contacts[0].Party != united.Node() || d.Contacts[0].Roles[0] != "buyer" {
		t.Errorf("the deal: %+v", d)
	}
	if _, ok := open(t, memstore.New()).About(home.Node()); ok {
		t.Error("an empty view knows somebody")
	}
}

// The tools look while facts are folded, and never see a part of a fold.
func TestToolsBesideTheFold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 73))
	facts := randomFacts(r, 400)
	v := open(t, memstore.New())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range facts {
			if err := v.Fold([]identity.Folded{{Offset: int64(i), Fact: facts[i]}}); err != nil {
				t.Error(err)
			}
		}
	}()
	for working := true; working; {
		select {
		case <-done:
			working = false
		default:
		}
		a, b := facts[r.IntN(len(facts))], facts[r.IntN(len(facts))]
		if len(a.Nodes) == 0 || len(b.Nodes) == 0 {
			continue
		}
		v.Why(a.Nodes[0].Node(), b.Nodes[0].Node())
		v.About(a.Nodes[0].Node())
		if _, err := v.After(said(canonical.FactBlock, 1, a.Nodes[0], b.Nodes[0])); err != nil {
			t.Error(err)
		}
		found, _ := v.Review(0, 1000)
		v.Stats()
		page, _ := v.Parties(0, 1000, false)
		for _, p := range page {
			if p.Size != len(p.Identifiers) || len(found) > 1002 {
				t.Fatalf("a part of a fold: %+v", p)
			}
		}
	}
}
