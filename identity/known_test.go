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

func TestASharedDeviceStaysWithTheFirst(t *testing.T) {
	kim, lou := id(canonical.UserID, "kim"), id(canonical.UserID, "lou")
	facts := []canonical.Fact{
		link(1, true, kim, cookie), link(2, true, lou, cookie),
		link(3, true, lou, id(canonical.FBP, "f")), link(2, true, id(canonical.FBP, "f"), cookie),
	}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 1)
		if v.Person(cookie.Node()) != kim.Node() || v.Person(lou.Node()) != lou.Node() || v.Person(id(canonical.FBP, "f").Node()) != kim.Node() {
			t.Fatalf("wrong persons after%s", show(order))
		}
	})
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
		"an unknown kind":    {{Offset: 9, Fact: link(1, false, lead, cookie)}, {Offset: 10, Fact: canonical.Fact{Kind: "unmerge"}}},
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
