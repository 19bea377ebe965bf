package identity_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

func link(d int, weak bool, nodes ...canonical.Identifier) canonical.Fact {
	return canonical.Fact{Kind: canonical.FactLink, At: day(d), Nodes: nodes, Weak: weak}
}

func merge(d int, nodes ...canonical.Identifier) canonical.Fact {
	return canonical.Fact{Kind: canonical.FactMerge, At: day(d), Nodes: nodes}
}

func touch(d int, n canonical.Identifier, t canonical.Touch) canonical.Fact {
	t.At = day(d)
	for i := range t.Clicks {
		t.Clicks[i].At = t.At
	}
	return canonical.Fact{Kind: canonical.FactTouch, At: t.At, Nodes: []canonical.Identifier{n}, Touch: &t}
}

func said(kind canonical.FactKind, d int, nodes ...canonical.Identifier) canonical.Fact {
	return canonical.Fact{Kind: kind, At: day(d), Nodes: nodes}
}

func guards(g canonical.Guards) canonical.Fact {
	return canonical.Fact{Kind: canonical.FactGuards, At: day(0), Guards: &g}
}

func click(s canonical.Scheme, v string) []canonical.Click {
	return []canonical.Click{{Scheme: s, Value: v}}
}

var (
	cookie  = id(canonical.Anonymous, "c-1")
	home    = id(canonical.Email, canonical.EmailHash("kim@example.org"))
	work    = id(canonical.Email, canonical.EmailHash("kim@acme.example"))
	lead    = id(canonical.HubSpotContact, 1001)
	demo    = id(canonical.HubSpotContact, 1002)
	united  = id(canonical.HubSpotContact, 1009)
	acme    = id(canonical.HubSpotCompany, 77)
	site    = id(canonical.Domain, "acme.example")
	bigDeal = id(canonical.HubSpotDeal, 5)
)

// story is one buyer: a click, a form, a demo with another address, a merge to a new id.
func story() []canonical.Fact {
	return []canonical.Fact{
		touch(1, cookie, canonical.Touch{Kind: "ad_click", Platform: "meta", Campaign: "spring", Clicks: click(canonical.FBCLID, "AbC")}),
		touch(2, cookie, canonical.Touch{Kind: "page_view", Page: "https://acme.example/pricing"}),
		link(3, true, home, cookie),
		link(4, false, lead, home),
		touch(6, work, canonical.Touch{Kind: "ad_click", Platform: "linkedin", Campaign: "abm", Clicks: click(canonical.LIFatID, "li-9")}),
		link(6, false, demo, work),
		merge(8, united, lead, demo),
		link(5, false, acme, site),
		{Kind: canonical.FactAssociation, At: day(6), Nodes: []canonical.Identifier{work, site}},
		{Kind: canonical.FactAssociation, At: day(5), Nodes: []canonical.Identifier{lead, acme}, Primary: true},
		{Kind: canonical.FactAssociation, At: day(7), Nodes: []canonical.Identifier{bigDeal, acme}, Primary: true},
	}
}

func TestKnownOfAMergedPerson(t *testing.T) {
	for seed := range uint64(20) {
		v := folded(t, shuffled(rand.New(rand.NewPCG(seed, 7)), story()), 3)
		for _, n := range []canonical.Identifier{cookie, home, work, lead, demo, united} {
			k := v.Known(canonical.Event{Node: n.Node(), OccurredAt: day(9)})
			if k.Person != united.Node() || k.Account != acme.Node() {
				t.Fatalf("%s: person %s, account %s", n.Value, k.Person, k.Account)
			}
			if got := []string{k.First(canonical.HubSpotContact), k.First(canonical.Email), k.First(canonical.Anonymous)}; !slices.Equal(got, []string{"1009", home.Value, "c-1"}) {
				t.Fatalf("identifiers %v", k.Identifiers)
			}
			if len(k.Clicks) != 2 || k.Clicks[0].Value != "li-9" || k.Clicks[1].Value != "AbC" || !k.Clicks[1].At.Equal(day(1)) {
				t.Fatalf("clicks %v", k.Clicks)
			}
			if k.FirstTouch.Campaign != "spring" || k.LastTouch.Campaign != "abm" {
				t.Fatalf("touches %+v, %+v", k.FirstTouch, k.LastTouch)
			}
		}
	}
}

func TestKnownLooksNoFurtherThanTheEvent(t *testing.T) {
	v := folded(t, story(), 3)
	k := v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(5)})
	if len(k.Clicks) != 1 || k.Clicks[0].Value != "AbC" || k.LastTouch.Campaign != "spring" {
		t.Errorf("on day 5: clicks %v, last touch %+v", k.Clicks, k.LastTouch)
	}
	k = v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(0)})
	if len(k.Clicks) != 0 || k.FirstTouch != nil || k.LastTouch != nil {
		t.Errorf("on day 0: %+v", k)
	}
	if k.Offset != v.Offset() {
		t.Errorf("known at %d, want %d", k.Offset, v.Offset())
	}
}

func TestDirectTouchesCountOnlyWithoutOthers(t *testing.T) {
	v := folded(t, []canonical.Fact{
		touch(1, cookie, canonical.Touch{Kind: "page_view", Page: "https://acme.example/"}),
		touch(3, cookie, canonical.Touch{Kind: "page_view", Source: "newsletter"}),
		touch(5, cookie, canonical.Touch{Kind: "form", Form: "demo"}),
	}, 1)
	k := v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(2)})
	if k.FirstTouch == nil || k.FirstTouch.Page == "" {
		t.Errorf("on day 2: %+v", k.FirstTouch)
	}
	k = v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(9)})
	if k.FirstTouch.Source != "newsletter" || k.LastTouch.Source != "newsletter" {
		t.Errorf("on day 9: %+v, %+v", k.FirstTouch, k.LastTouch)
	}
}

func TestAClickCountsFromWhenItWasFirstSeen(t *testing.T) {
	v := folded(t, []canonical.Fact{
		touch(1, cookie, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, "old")}),
		touch(5, cookie, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, "new")}),
		touch(7, cookie, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, "old")}), // a bookmark
		link(8, true, cookie, id(canonical.GCLID, "typed-in")),
	}, 4)
	k := v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(9)})
	if len(k.Clicks) != 1 || k.Clicks[0].Value != "new" {
		t.Errorf("clicks %v", k.Clicks)
	}
	if k.First(canonical.GCLID) != "" {
		t.Error("a click id stands among the identifiers")
	}
}

func TestRegistersAreBounded(t *testing.T) {
	var facts []canonical.Fact
	for d := range 300 {
		t := canonical.Touch{Kind: "ad_click", Campaign: fmt.Sprint(d)}
		if d%3 == 0 {
			t.Clicks = click(canonical.GCLID, fmt.Sprint(d))
		}
		facts = append(facts, touch(d, cookie, t))
	}
	v := open(t, memstore.New())
	for _, f := range shuffled(rand.New(rand.NewPCG(1, 8)), facts) {
		fold(t, v, v.New([]canonical.Fact{f}), 1)
	}
	if v.Offset() >= 250 {
		t.Errorf("%d of 300 touches became facts", v.Offset()+1)
	}
	if v.Digest() != folded(t, facts, 100).Digest() {
		t.Error("what is kept depends on the order")
	}
	for at, last := range map[int]string{400: "299", 290: "290", 5: "0"} {
		k := v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(at)})
		if k.FirstTouch.Campaign != "0" || k.LastTouch.Campaign != last {
			t.Errorf("on day %d: %s to %s, want 0 to %s", at, k.FirstTouch.Campaign, k.LastTouch.Campaign, last)
		}
	}
}

func TestAccountsByRule(t *testing.T) {
	other := id(canonical.HubSpotCompany, 78)
	says := func(d int, n, a canonical.Identifier, primary, removed bool) canonical.Fact {
		return canonical.Fact{Kind: canonical.FactAssociation, At: day(d), Nodes: []canonical.Identifier{n, a}, Primary: primary, Removed: removed}
	}
	for name, c := range map[string]struct {
		facts []canonical.Fact
		want  canonical.NodeID
	}{
		"none":                           {nil, 0},
		"a domain":                       {[]canonical.Fact{says(1, lead, site, false, false)}, site.Node()},
		"a company before a domain":      {[]canonical.Fact{says(9, lead, site, true, false), says(1, lead, acme, false, false)}, acme.Node()},
		"the primary one":                {[]canonical.Fact{says(1, lead, acme, true, false), says(9, lead, other, false, false)}, acme.Node()},
		"the newer primary one":          {[]canonical.Fact{says(1, lead, acme, true, false), says(2, lead, other, true, false)}, other.Node()},
		"the one left":                   {[]canonical.Fact{says(1, lead, acme, true, false), says(2, lead, acme, false, true), says(1, lead, other, false, false)}, other.Node()},
		"there again":                    {[]canonical.Fact{says(2, lead, acme, true, true), says(3, lead, acme, false, false)}, acme.Node()},
		"told of another of their nodes": {[]canonical.Fact{link(1, false, lead, home), says(1, home, acme, false, false)}, acme.Node()},
		"the account's root":             {[]canonical.Fact{link(1, false, acme, site), says(1, lead, site, false, false)}, acme.Node()},
		"a merged company":               {[]canonical.Fact{merge(1, other, acme), says(1, lead, acme, false, false)}, other.Node()},
	} {
		permute(c.facts, func(order []canonical.Fact) {
			v := folded(t, order, 1)
			if got := v.AccountOf(lead.Node()); got != c.want {
				t.Errorf("%s: %s, want %s, in%s", name, got, c.want, show(order))
			}
			if got := v.Known(canonical.Event{Node: lead.Node()}).Account; got != c.want {
				t.Errorf("%s: known %s, want %s", name, got, c.want)
			}
		})
	}
	v := folded(t, story(), 3)
	if got := v.Known(canonical.Event{Object: canonical.Object{Type: "deal", ID: "5"}}).Account; got != acme.Node() {
		t.Errorf("a deal without contacts: account %s", got)
	}
	if got := v.Known(canonical.Event{AccountNode: site.Node(), Node: cookie.Node()}).Account; got != acme.Node() {
		t.Errorf("an event that names a domain: account %s", got)
	}
}

// A device of two people joins neither; what was done on it belongs to the one in whose
// hands it was. When they become one it is theirs.
func TestASharedDeviceJoinsNobody(t *testing.T) {
	kim, lou, fbp := id(canonical.UserID, "kim"), id(canonical.UserID, "lou"), id(canonical.FBP, "f")
	facts := []canonical.Fact{
		link(2, true, kim, cookie), link(5, true, lou, cookie), link(3, true, fbp, cookie),
		touch(1, cookie, canonical.Touch{Kind: "ad_click", Campaign: "first", Clicks: click(canonical.GCLID, "one")}),
		touch(6, cookie, canonical.Touch{Kind: "ad_click", Campaign: "second", Clicks: click(canonical.GCLID, "two")}),
	}
	last := func(v *identity.View, who canonical.Identifier) (campaign, click string) {
		k := v.Known(canonical.Event{Node: who.Node(), OccurredAt: day(9)})
		if k.LastTouch != nil {
			campaign = k.LastTouch.Campaign
		}
		if len(k.Clicks) > 0 {
			click = k.Clicks[0].Value
		}
		return campaign, click
	}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 1)
		for _, n := range []canonical.Identifier{cookie, kim, lou, fbp} {
			if v.Person(n.Node()) != n.Node() {
				t.Fatalf("%s has root %s after%s", n.Value, v.Person(n.Node()), show(order))
			}
		}
		for who, want := range map[canonical.Identifier][2]string{kim: {"first", "one"}, lou: {"second", "two"}, fbp: {}} {
			if campaign, click := last(v, who); campaign != want[0] || click != want[1] {
				t.Fatalf("%s has %q %q, want %v, after%s", who.Value, campaign, click, want, show(order))
			}
		}
		for at, want := range map[int]canonical.Identifier{1: kim, 2: kim, 4: kim, 5: lou, 8: lou} {
			if k := v.Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(at)}); k.Person != want.Node() {
				t.Fatalf("on day %d the device is %s's, want %s, after%s", at, k.Person, want.Value, show(order))
			}
		}
		fold(t, v, []canonical.Fact{link(9, false, kim, lou)}, 1)
		if got := v.Cluster(cookie.Node()); len(got) != 4 {
			t.Fatalf("one person now, but %v", got)
		}
		if campaign, click := last(v, kim); campaign != "second" || click != "two" {
			t.Fatalf("one person now, but %q %q", campaign, click)
		}
	})
}

// A merge before its members were ever seen, deletions of the losers before or after it and
// old ids in later webhooks: all end on the survivor, in any order.
func TestEverythingEndsOnTheSurvivor(t *testing.T) {
	facts := []canonical.Fact{
		merge(5, united, lead, demo),
		said(canonical.FactDeletion, 6, lead), said(canonical.FactDeletion, 4, demo),
		link(1, false, lead, home), link(9, false, demo, work), // an old id in a later webhook
		{Kind: canonical.FactAssociation, At: day(2), Nodes: []canonical.Identifier{bigDeal, demo}},
	}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 2)
		for _, n := range []canonical.Identifier{united, lead, demo, home, work} {
			if got := v.Person(n.Node()); got != united.Node() {
				t.Fatalf("%s ends on %s after%s", n.Value, got, show(order))
			}
		}
		if got := v.Known(canonical.Event{Object: canonical.Object{Type: "deal", ID: "5"}}).Person; got != united.Node() {
			t.Fatalf("the deal is %s's after%s", got, show(order))
		}
	})
}

// An unmerge takes apart what only the merge held together, and puts back who was named
// by what; a later merge holds again, a read that finds the old merge does not say so.
func TestUnmerge(t *testing.T) {
	merged := []canonical.Fact{link(1, false, lead, home), link(2, false, demo, work), merge(5, united, lead, demo)}
	v := folded(t, merged, 1)
	fold(t, v, []canonical.Fact{said(canonical.FactUnmerge, 6, united, demo)}, 1)
	for n, want := range map[canonical.Identifier]canonical.Identifier{home: united, lead: united, united: united, work: demo, demo: demo} {
		if got := v.Person(n.Node()); got != want.Node() {
			t.Errorf("%s is %s's, want %s", n.Value, got, want.Value)
		}
	}
	found := canonical.Fact{Kind: canonical.FactMerge, At: day(8), Nodes: []canonical.Identifier{united, demo}, Weak: true}
	if again := v.New([]canonical.Fact{found}); len(again) != 0 {
		t.Errorf("a read finds the merge that was undone, and states%s", show(again))
	}
	told := merge(8, united, demo)
	if again := v.New([]canonical.Fact{told, merge(6, united, demo)}); len(again) != 1 {
		t.Errorf("a notice of a later merge states%s", show(again))
	}
	before := folded(t, append(merged, told), 1).Digest()
	fold(t, v, []canonical.Fact{told}, 1)
	if v.Person(work.Node()) != united.Node() {
		t.Error("the later merge does not hold")
	}
	if v.Digest() == before {
		t.Error("the digest does not tell that there was an unmerge")
	}
}

// A block keeps two apart whatever the CRM says; an allow joins them whatever the guards
// say. The newest word of a person counts.
func TestBlockAndAllow(t *testing.T) {
	permute([]canonical.Fact{
		link(1, false, lead, home), merge(2, lead, demo), said(canonical.FactBlock, 5, lead, home), said(canonical.FactBlock, 5, demo, lead),
		said(canonical.FactAllow, 5, demo, lead), said(canonical.FactAllow, 4, home, lead),
	}, func(order []canonical.Fact) {
		v := folded(t, order, 2)
		for _, n := range []canonical.Identifier{home, lead, demo} {
			if v.Person(n.Node()) != n.Node() {
				t.Fatalf("%s is not alone after%s", n.Value, show(order))
			}
		}
		fold(t, v, []canonical.Fact{said(canonical.FactAllow, 6, home, lead)}, 1)
		if v.Person(home.Node()) != lead.Node() {
			t.Fatalf("allowed later, but apart after%s", show(order))
		}
	})
	facts := []canonical.Fact{guards(canonical.Guards{NeverLink: []canonical.Identifier{home}}), link(1, false, lead, home), said(canonical.FactAllow, 2, home, lead), link(1, false, demo, home)}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 1)
		if v.Person(home.Node()) != lead.Node() || v.Person(demo.Node()) != demo.Node() || v.Cut(home.Node()) != identity.NeverLink {
			t.Fatalf("an allowed link of an identifier that never links, after%s", show(order))
		}
	})
}

// A deleted contact names nobody while there is another, and does again when restored.
func TestDeletionAndRestore(t *testing.T) {
	v := folded(t, []canonical.Fact{link(1, false, lead, home), link(2, false, demo, home),
		{Kind: canonical.FactAssociation, At: day(2), Nodes: []canonical.Identifier{bigDeal, lead}}}, 1)
	for _, step := range []struct {
		fact canonical.Fact
		want canonical.Identifier
	}{
		{said(canonical.FactStage, 0, home), lead},
		{said(canonical.FactDeletion, 5, lead), demo},
		{canonical.Fact{Kind: canonical.FactDeletion, At: day(5), Nodes: []canonical.Identifier{lead}, Removed: true}, demo},
		{canonical.Fact{Kind: canonical.FactDeletion, At: day(6), Nodes: []canonical.Identifier{lead}, Removed: true}, lead},
	} {
		before := v.Offset()
		fold(t, v, []canonical.Fact{step.fact}, 1)
		if got := v.Person(home.Node()); got != step.want.Node() {
			t.Errorf("after%s: named by %s, want %s", show([]canonical.Fact{step.fact}), got, step.want.Value)
		}
		if rows := v.Overrides(before, v.Offset()); step.fact.Kind == canonical.FactDeletion && step.want != demo && len(rows) != 3 {
			t.Errorf("after%s: overrides %v", show([]canonical.Fact{step.fact}), rows)
		}
		if deal := id(canonical.HubSpotDeal, 5).Node(); step.fact.Kind == canonical.FactDeletion && step.fact.At != day(5) && !slices.Contains(v.Touched(before, v.Offset()), deal) {
			t.Errorf("after%s: the deal is not touched", show([]canonical.Fact{step.fact}))
		}
	}
}

func TestHistory(t *testing.T) {
	reached := func(d int, event string) canonical.Fact {
		return canonical.Fact{Kind: canonical.FactStage, At: day(d), Nodes: []canonical.Identifier{lead},
			Stage: &canonical.StageReached{Name: "qualified_lead", Rank: 2, At: day(d), EventID: canonical.EventID(event)}}
	}
	v := folded(t, []canonical.Fact{reached(3, "b"), reached(3, "a"), reached(1, "c"), reached(3, "b")}, 2)
	var got []canonical.EventID
	for _, s := range v.History(lead.Node(), demo.Node(), lead.Node()) {
		got = append(got, s.EventID)
	}
	if !slices.Equal(got, []canonical.EventID{"c", "a", "b"}) {
		t.Errorf("history %v", got)
	}
}

func TestTouchedWakesTheWholePerson(t *testing.T) {
	v := folded(t, story()[:4], 4)
	if got := v.Touched(2, 3); !slices.Contains(got, cookie.Node()) || !slices.Contains(got, lead.Node()) {
		t.Errorf("touched %v", got)
	}
	if got := v.Touched(3, 3); len(got) != 0 {
		t.Errorf("touched %v by nothing", got)
	}
	if got := v.Touched(-1, 0); !slices.Contains(got, cookie.Node()) {
		t.Errorf("a click id wakes nobody: %v", got)
	}
}

// What happens on a shared device, and to those in whose hands it was, wakes what waits under
// either.
func TestTouchedKnowsTheHandsOfADevice(t *testing.T) {
	kim, lou, max, utk := id(canonical.UserID, "kim"), id(canonical.UserID, "lou"), id(canonical.UserID, "max"), id(canonical.UTK, "u")
	ad := func(d int, id string) canonical.Fact {
		return touch(d, cookie, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, id)})
	}
	v := folded(t, []canonical.Fact{link(2, true, kim, cookie), link(5, true, lou, cookie), ad(8, "two")}, 3)
	for _, step := range []struct {
		name string
		fact canonical.Fact
		want []canonical.Identifier
		not  []canonical.Identifier
	}{
		{"a click on it", ad(3, "one"), []canonical.Identifier{cookie, kim}, []canonical.Identifier{lou}},
		{"one of its people is known by more", link(6, true, lou, utk), []canonical.Identifier{lou, utk, cookie}, []canonical.Identifier{kim}},
		{"it comes into other hands", link(7, true, max, cookie), []canonical.Identifier{max, cookie}, []canonical.Identifier{kim}},
		{"it came into them earlier", link(1, true, max, cookie), []canonical.Identifier{max, cookie}, nil},
		{"it was not in somebody's", said(canonical.FactBlock, 9, lou, cookie), []canonical.Identifier{kim, cookie}, nil},
	} {
		before := v.Offset()
		fold(t, v, []canonical.Fact{step.fact}, 1)
		got := v.Touched(before, v.Offset())
		for _, n := range step.want {
			if !slices.Contains(got, n.Node()) {
				t.Errorf("%s does not wake %s", step.name, n.Value)
			}
		}
		for _, n := range step.not {
			if slices.Contains(got, n.Node()) {
				t.Errorf("%s wakes %s", step.name, n.Value)
			}
		}
	}
}

// What an event on a shared device counts for is the person in whose hands it was, in any order
// of the facts; before it was shared it was one of that person's identifiers.
func TestCountedKnowsTheHandsOfADevice(t *testing.T) {
	kim, lou := id(canonical.UserID, "kim"), id(canonical.UserID, "lou")
	reached := func(d int, event string) canonical.Fact {
		return canonical.Fact{Kind: canonical.FactStage, At: day(d), Nodes: []canonical.Identifier{cookie},
			Stage: &canonical.StageReached{Name: "lead", Rank: 1, At: day(d), EventID: canonical.EventID(event)}}
	}
	facts := []canonical.Fact{link(2, true, kim, cookie), link(5, true, lou, cookie), reached(3, "kims"), reached(6, "lous")}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 1)
		for _, c := range []struct {
			of, holder canonical.Identifier
			at         int
			event      canonical.EventID
		}{{kim, kim, 9, "kims"}, {lou, lou, 9, "lous"}, {cookie, kim, 4, "kims"}, {cookie, lou, 9, "lous"}} {
			got := v.Counted(c.of.Node(), day(c.at))
			if got.Node != c.holder.Node() || !slices.Equal(got.Nodes, []canonical.NodeID{c.holder.Node()}) || !slices.Equal(got.Shared, []canonical.NodeID{cookie.Node()}) ||
				len(got.Stages) != 1 || got.Stages[0].EventID != c.event {
				t.Fatalf("%s on day %d counts for %+v after%s", c.of.Value, c.at, got, show(order))
			}
		}
	})
	v := folded(t, append(facts, said(canonical.FactBlock, 9, lou, cookie)), 9)
	if got := v.Counted(kim.Node(), day(9)); len(got.Nodes) != 2 || len(got.Shared) != 0 || len(got.Stages) != 2 {
		t.Errorf("of one alone: %+v", got)
	}
}

// A merge does not lift a block, and who would say one is told so.
func TestAMergeOfTwoWhoAreBlocked(t *testing.T) {
	v := folded(t, []canonical.Fact{link(1, false, lead, home), link(1, false, demo, work), said(canonical.FactBlock, 2, lead, demo)}, 3)
	p, err := v.After(merge(9, lead, demo))
	if err != nil || len(p.After) != 2 || !p.Already || len(p.Blocked) != 1 || p.Blocked[0] != demo {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := v.After(said(canonical.FactAllow, 9, lead, demo)); err != nil || len(p.After) != 1 || p.Already || len(p.Blocked) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := v.After(said(canonical.FactBlock, 9, lead, demo)); err != nil || !p.Already || len(p.Blocked) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

// An allow makes a shared device one of its person's identifiers; what was done on it is
// still that of the one in whose hands it was, and is told once.
func TestAnAllowedSharedDevice(t *testing.T) {
	kim, lou := id(canonical.UserID, "kim"), id(canonical.UserID, "lou")
	v := folded(t, []canonical.Fact{
		link(2, true, kim, cookie), link(5, true, lou, cookie), said(canonical.FactAllow, 6, kim, cookie),
		touch(3, cookie, canonical.Touch{Kind: "ad_click", Campaign: "kims", Clicks: click(canonical.GCLID, "one")}),
		touch(7, cookie, canonical.Touch{Kind: "ad_click", Campaign: "lous", Clicks: click(canonical.GCLID, "two")}),
	}, 5)
	for who, want := range map[canonical.Identifier][2]string{kim: {"kims", "one"}, lou: {"lous", "two"}} {
		k := v.Known(canonical.Event{Node: who.Node(), OccurredAt: day(9)})
		if k.LastTouch == nil || k.FirstTouch.Campaign != want[0] || k.LastTouch.Campaign != want[0] || len(k.Clicks) != 1 || k.Clicks[0].Value != want[1] {
			t.Errorf("%s is known by %+v, %+v, %v, want %v", who.Value, k.FirstTouch, k.LastTouch, k.Clicks, want)
		}
		if p, _ := v.About(who.Node()); len(p.Touches) != 1 {
			t.Errorf("%s has %d touches, want 1", who.Value, len(p.Touches))
		}
	}
}

func TestFoldTakesRecordsOnce(t *testing.T) {
	v := open(t, memstore.New())
	records := []identity.Folded{{Offset: 3, Fact: link(1, false, lead, home)}, {Offset: 7, Fact: link(1, false, lead, work)}}
	for range 2 {
		if err := v.Fold(records); err != nil {
			t.Fatal(err)
		}
	}
	if v.Offset() != 7 || len(v.Cluster(lead.Node())) != 3 {
		t.Errorf("offset %d, cluster %v", v.Offset(), v.Cluster(lead.Node()))
	}
	digest := v.Digest()
	for name, wrong := range map[string][]identity.Folded{
		"descending offsets": {{Offset: 9, Fact: link(1, false, lead, cookie)}, {Offset: 8, Fact: link(1, false, lead, cookie)}},
		"an unknown kind":    {{Offset: 9, Fact: link(1, false, lead, cookie)}, {Offset: 10, Fact: canonical.Fact{Kind: "erase"}}},
	} {
		if err := v.Fold(wrong); err == nil || v.Offset() != 7 || v.Digest() != digest {
			t.Errorf("%s: %v, offset %d", name, err, v.Offset())
		}
	}
}

// A failing store is an error of Fold and leaves what was.
type failing struct {
	identity.Store
	get, apply bool
}

var errDisk = errors.New("disk")

func (f *failing) Get(k []byte) ([]byte, bool, error) {
	if f.get {
		return nil, false, errDisk
	}
	return f.Store.Get(k)
}

func (f *failing) Apply(w []identity.Write) error {
	if f.apply {
		return errDisk
	}
	return f.Store.Apply(w)
}

func TestAFailingStoreStopsTheFold(t *testing.T) {
	store := &failing{Store: memstore.New()}
	v := open(t, store)
	fold(t, v, story()[:4], 4)
	digest := v.Digest()
	records := []identity.Folded{{Offset: 9, Fact: link(9, false, lead, work)}}
	store.get = true
	if err := v.Fold(records); !errors.Is(err, errDisk) {
		t.Errorf("a failing read: %v", err)
	}
	store.get, store.apply = false, true
	if err := v.Fold(records); !errors.Is(err, errDisk) || v.Offset() != 3 || v.Digest() != digest {
		t.Errorf("a failing write: %v, offset %d", err, v.Offset())
	}
	store.apply = false
	if err := v.Fold(records); err != nil || v.Person(work.Node()) != v.Person(cookie.Node()) {
		t.Errorf("after the failure: %v", err)
	}
}

// One folds, many read and ask for what is new, and see no part of a fold.
func TestReadersBesideTheFold(t *testing.T) {
	v := open(t, memstore.New())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const people = 200
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n = (n + 1) % people {
				mail, contact := id(canonical.Email, n).Node(), id(canonical.HubSpotContact, n).Node()
				c := v.Cluster(mail)
				if len(c) != 1 && len(c) != 3 {
					t.Errorf("a part of a fold: %v", c)
				}
				if k := v.Known(canonical.Event{Node: mail}); len(k.Identifiers) > 1 && k.Person != contact {
					t.Errorf("person %s of %v", k.Person, k.Identifiers)
				}
				v.New([]canonical.Fact{link(1, false, id(canonical.HubSpotContact, n), id(canonical.Email, n))})
				v.Overrides(-1, v.Offset())
			}
		})
	}
	wg.Go(func() {
		if err := v.Wait(ctx, 2*people-1); err != nil {
			t.Error(err)
		}
		cancel()
	})
	for n := range people {
		changed := v.Changed()
		who := id(canonical.HubSpotContact, n)
		fold(t, v, []canonical.Fact{link(1, false, who, id(canonical.Email, n)), link(1, true, who, id(canonical.Anonymous, n))}, 2)
		<-changed
	}
	wg.Wait()
	if err := v.Wait(ctx, 1_000_000); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for what never comes: %v", err)
	}
}
