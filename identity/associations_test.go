package identity_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity/memstore"
)

func says(d int, n, a canonical.Identifier, primary, removed bool) canonical.Fact {
	return canonical.Fact{Kind: canonical.FactAssociation, At: day(d), Nodes: []canonical.Identifier{n, a}, Primary: primary, Removed: removed}
}

func found(d int, n, a canonical.Identifier, primary bool) canonical.Fact {
	f := says(d, n, a, primary, false)
	f.Weak = true
	return f
}

// in is an association said with a label.
func in(role string, f canonical.Fact) canonical.Fact {
	f.Role = role
	return f
}

// dealRead is a deal's stage webhook, completed by a read on a day.
func dealRead(receipt string, changed, read int, contacts ...string) (canonical.Report, *canonical.Event, canonical.Receipt) {
	object := canonical.Object{Type: "deal", ID: "5"}
	objects := []canonical.ReadObject{
		{Type: "deal", ID: "5", Associated: map[string][]string{"contact": contacts, "company": {"77", "78", "79"}}},
		{Type: "contact", ID: "1001", Properties: map[string]string{"email": "kim@acme.example", "associatedcompanyid": "77"}},
		{Type: "contact", ID: "1002", CurrentID: "1009", Properties: map[string]string{"email": "lou@acme.example"}},
		{Type: "company", ID: "77", Properties: map[string]string{"domain": "acme.example"}},
	}
	return canonical.Report{Subject: canonical.SubjectDealStage, OccurredAt: day(changed), Object: object, Identifiers: []canonical.Identifier{lead, work},
			Contact: canonical.Contact{ID: "1001", Email: "kim@acme.example"}, Contacts: contacts, Companies: []string{"77", "78", "79"}, Company: canonical.Company{ID: "77", Domain: "acme.example"}},
		&canonical.Event{ID: canonical.EventID(receipt), Name: "opportunity_created", Funnel: true, Rank: 4, OccurredAt: day(changed), Object: object, Node: lead.Node()},
		canonical.Receipt{ID: canonical.ReceiptID(receipt), Source: "crm", ReceivedAt: day(read), Completion: &canonical.Completion{ReadAt: day(read), Objects: objects}}
}

// What a deal's read finds stands in the log once, however often it is read.
func TestADealReadAgainStatesNothing(t *testing.T) {
	v := open(t, memstore.New())
	first := factsOf(dealRead("r0", 3, 10, "1001", "1002"))
	fold(t, v, v.New(first), 50)
	if got := v.Offset() + 1; got != int64(len(first)) {
		t.Fatalf("%d of %d facts in the log", got, len(first))
	}
	digest := v.Digest()
	for n := 1; n < 10; n++ {
		if again := v.New(factsOf(dealRead("r0", 3, 10+n, "1001", "1002"))); len(again) != 0 {
			t.Fatalf("read %d states%s", n+1, show(again))
		}
	}
	if v.Digest() != digest {
		t.Error("asking for what is new changed the state")
	}
	// Another webhook of the same deal says its own stage only.
	if again := v.New(factsOf(dealRead("r1", 20, 21, "1001", "1002"))); len(again) != 1 || again[0].Kind != canonical.FactStage {
		t.Errorf("another stage states%s", show(again))
	}
	// Ten of them at once are as ten after each other.
	var facts []canonical.Fact
	for n := range 10 {
		facts = append(facts, factsOf(dealRead("r0", 3, 10+n, "1001", "1002"))...)
	}
	if got := open(t, memstore.New()).New(facts); len(got) != len(first) {
		t.Errorf("%d facts of one poll, want %d:%s", len(got), len(first), show(got))
	}
}

func TestAnAssociationIsStatedWhereItChangesWhatStands(t *testing.T) {
	other, domain := id(canonical.HubSpotCompany, 78), id(canonical.Domain, "other.example")
	for name, c := range map[string]struct {
		log    []canonical.Fact
		fact   canonical.Fact
		stated bool
	}{
		"a new pair":                                {nil, found(5, lead, acme, false), true},
		"found again":                               {[]canonical.Fact{found(5, lead, acme, false)}, found(9, lead, acme, false), false},
		"found before, later known":                 {[]canonical.Fact{found(5, lead, acme, false), link(1, false, lead, home), link(1, false, acme, site)}, found(3, lead, acme, false), false},
		"seen earlier than known":                   {[]canonical.Fact{found(5, lead, acme, false)}, found(3, lead, acme, false), true},
		"now the primary one":                       {[]canonical.Fact{found(5, lead, acme, false)}, found(9, lead, acme, true), true},
		"the primary one is there":                  {[]canonical.Fact{found(5, lead, acme, true)}, found(9, lead, acme, false), false},
		"removed since":                             {[]canonical.Fact{found(5, lead, acme, false), says(7, lead, acme, false, true)}, found(9, lead, acme, false), true},
		"removed before":                            {[]canonical.Fact{says(3, lead, acme, false, true), found(5, lead, acme, false)}, found(9, lead, acme, false), false},
		"another one since":                         {[]canonical.Fact{found(5, lead, acme, true), found(7, lead, other, true)}, found(9, lead, acme, true), true},
		"another one later still":                   {[]canonical.Fact{found(5, lead, acme, true), found(11, lead, other, true)}, found(9, lead, acme, true), false},
		"another one, gone by now":                  {[]canonical.Fact{found(5, lead, acme, true), found(7, lead, other, true), says(8, lead, other, false, true)}, found(9, lead, acme, true), false},
		"another one, not the primary one":          {[]canonical.Fact{found(5, lead, acme, true), found(7, lead, other, false)}, found(9, lead, acme, true), false},
		"a domain since":                            {[]canonical.Fact{found(5, lead, acme, false), found(7, lead, domain, false)}, found(9, lead, acme, false), false},
		"several at once":                           {[]canonical.Fact{found(5, lead, acme, false), found(5, lead, other, false)}, found(9, lead, other, false), false},
		"another contact of the deal since":         {[]canonical.Fact{found(5, bigDeal, lead, false), found(7, bigDeal, demo, false)}, found(9, bigDeal, lead, false), false},
		"told at another time":                      {[]canonical.Fact{found(5, lead, acme, false)}, says(9, lead, acme, false, false), true},
		"told again":                                {[]canonical.Fact{says(5, lead, acme, false, false)}, says(5, lead, acme, false, false), false},
		"told of an earlier time":                   {[]canonical.Fact{says(5, lead, acme, false, false), link(1, false, lead, home), link(1, false, acme, site)}, says(3, lead, acme, false, false), true},
		"found in a role":                           {[]canonical.Fact{found(5, lead, acme, false)}, in("31", found(9, lead, acme, false)), true},
		"found in a role again":                     {[]canonical.Fact{in("31", found(5, lead, acme, false))}, in("31", found(9, lead, acme, false)), false},
		"its removal":                               {[]canonical.Fact{found(5, lead, acme, false)}, says(9, lead, acme, false, true), true},
		"the removal of what nobody knows is there": {nil, says(9, lead, acme, false, true), true},
	} {
		v := folded(t, c.log, 1)
		if got := v.New([]canonical.Fact{c.fact}); len(got) > 0 != c.stated {
			t.Errorf("%s: stated %t, want %t", name, len(got) > 0, c.stated)
		}
	}
}

// Notices come in any order: one that tells a pair's return before the one that tells
// its removal is stated although the pair stands.
func TestANoticeBeforeTheOneItAnswers(t *testing.T) {
	v := folded(t, []canonical.Fact{found(20, lead, acme, true)}, 1)
	for _, f := range []canonical.Fact{says(30, lead, acme, true, false), says(25, lead, acme, false, true)} {
		fold(t, v, v.New([]canonical.Fact{f}), 1)
	}
	if got := v.AccountOf(lead.Node()); got != acme.Node() {
		t.Errorf("account %s", got)
	}
}

// Whatever is left out, what stands is at each time what it would be with all facts in
// the log; and the log that is left is folded in any order.
func TestLeavingOutWhatWasFoundChangesNoAnswer(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 21))
		all, some := open(t, memstore.New()), open(t, memstore.New())
		holders := []canonical.Identifier{lead, demo, home, bigDeal, id(canonical.HubSpotDeal, 6)}
		var log []canonical.Fact
		for d := range 150 {
			who := holders[r.IntN(len(holders))]
			whose := id([]canonical.Scheme{canonical.HubSpotCompany, canonical.Domain}[r.IntN(2)], 1+r.IntN(3))
			if who.Scheme == canonical.HubSpotDeal && r.IntN(2) == 0 {
				whose = id(canonical.HubSpotContact, 1+r.IntN(3))
			}
			f := found(d, who, whose, r.IntN(2) == 0)
			if r.IntN(6) == 0 {
				f = says(d, who, whose, r.IntN(2) == 0, r.IntN(2) == 0)
			}
			left := some.New([]canonical.Fact{f})
			log = append(log, left...)
			fold(t, all, []canonical.Fact{f}, 1)
			fold(t, some, left, 1)
			for _, n := range holders {
				e := canonical.Event{Node: n.Node()}
				if n.Scheme == canonical.HubSpotDeal {
					e = canonical.Event{Object: canonical.Object{Type: "deal", ID: n.Value}}
				}
				x, y := all.Known(e), some.Known(e)
				if x.Account != y.Account || x.Person != y.Person || !slices.Equal(all.Cluster(n.Node()), some.Cluster(n.Node())) {
					t.Fatalf("seed %d, day %d: %s of %s: %v, with facts left out %v, after%s", seed, d, n.Scheme, n.Value, x, y, show(log))
				}
			}
		}
		if len(log) == 150 {
			t.Errorf("seed %d: nothing was left out", seed)
		}
		if again := some.New(shuffled(r, log)); len(again) != 0 {
			t.Fatalf("seed %d: said again but new:%s", seed, show(again))
		}
		for range 5 {
			if folded(t, shuffled(r, log), 1+r.IntN(50)).Digest() != some.Digest() {
				t.Fatalf("seed %d: another digest in another order", seed)
			}
		}
	}
}

func TestADealWithoutAPersonIsThatOfItsContact(t *testing.T) {
	e := canonical.Event{ID: "won", Object: canonical.Object{Type: "deal", ID: "5"}, OccurredAt: day(40)}
	v := open(t, memstore.New())
	step := func(facts ...canonical.Fact) (touched bool) {
		before := v.Offset()
		fold(t, v, v.New(facts), 1)
		return slices.Contains(v.Touched(before, v.Offset()), bigDeal.Node())
	}
	known := func(contact canonical.Identifier, mail, click string) {
		t.Helper()
		k := v.Known(e)
		got := ""
		if len(k.Clicks) > 0 {
			got = k.Clicks[0].Value
		}
		if k.First(canonical.HubSpotContact) != contact.Value || k.First(canonical.Email) != mail || got != click {
			t.Errorf("known %v, clicks %v, want %s, %s, %q", k.Identifiers, k.Clicks, contact.Value, mail, click)
		}
		if contact.Value != "" && k.Person != contact.Node() {
			t.Errorf("person %s, want %s", k.Person, contact.Node())
		}
		if k.Offset != v.Offset() {
			t.Errorf("known at %d, want %d", k.Offset, v.Offset())
		}
		want := append(v.Cluster(contact.Node()), bigDeal.Node())
		slices.Sort(want)
		if got := v.Cluster(bigDeal.Node()); contact.Value != "" && !slices.Equal(got, want) {
			t.Errorf("cluster %v, want %v", got, want)
		}
	}
	step(found(1, bigDeal, acme, true))
	known(canonical.Identifier{}, "", "")
	if k := v.Known(e); k.Person != 0 || k.Account != acme.Node() {
		t.Errorf("without a contact: %+v", k)
	}
	if !step(says(2, bigDeal, demo, false, false)) { // 1002
		t.Error("its first contact does not wake the deal")
	}
	known(demo, "", "")
	if !step(link(3, false, demo, work)) {
		t.Error("its contact's address does not wake the deal")
	}
	known(demo, work.Value, "")
	if !step(link(3, true, work, cookie)) || !step(touch(4, cookie, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, "g-1")})) {
		t.Error("its contact's click does not wake the deal")
	}
	known(demo, work.Value, "g-1")
	if k := v.Known(canonical.Event{Object: e.Object, OccurredAt: day(3)}); len(k.Clicks) != 0 || k.LastTouch != nil {
		t.Errorf("before the click: %+v", k)
	}
	step(link(5, false, lead, home))
	if !step(says(5, bigDeal, lead, false, false)) {
		t.Error("another contact does not wake the deal")
	}
	known(demo, work.Value, "g-1") // the earliest counts
	if !step(says(6, bigDeal, lead, true, false)) {
		t.Error("a primary contact does not wake the deal")
	}
	known(lead, home.Value, "") // before the earliest
	if !step(merge(6, united, lead)) {
		t.Error("a merge of its contact does not wake the deal")
	}
	known(united, home.Value, "")
	if !step(says(7, bigDeal, demo, false, true)) {
		t.Error("a contact that left does not wake the deal")
	}
	known(united, home.Value, "")
	if step(says(7, bigDeal, demo, false, true), found(8, bigDeal, lead, false), link(9, true, id(canonical.Email, "x"), id(canonical.Anonymous, "x"))) {
		t.Error("what changes nothing for it wakes the deal")
	}
	if k := v.Known(canonical.Event{Node: cookie.Node(), Object: e.Object, OccurredAt: day(40)}); k.Person != demo.Node() {
		t.Errorf("an event's own node counts before the deal's contact: %s", k.Person)
	}
	// The same in any order.
	other := id(canonical.HubSpotDeal, "emea:5")
	facts := []canonical.Fact{says(1, other, id(canonical.HubSpotContact, "emea:10"), false, false), says(1, other, id(canonical.HubSpotContact, "emea:9"), false, false), says(1, other, home, false, false)}
	permute(facts, func(order []canonical.Fact) {
		k := folded(t, order, 1).Known(canonical.Event{Object: canonical.Object{Account: "emea", Type: "deal", ID: "5"}})
		if k.First(canonical.HubSpotContact) != "emea:9" {
			t.Errorf("contact %v counts", k.Identifiers)
		}
	})
}

// Known is of one offset: what it gives is what stands at the offset that it names.
func TestKnownIsOfItsOffset(t *testing.T) {
	v := open(t, memstore.New())
	const last, end = 1000, 1010 // of the event, of the log
	e := canonical.Event{Object: canonical.Object{Type: "deal", ID: "5"}, OccurredAt: day(last)}
	fold(t, v, []canonical.Fact{says(0, bigDeal, lead, false, false)}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for k := v.Known(e); k.Offset < end; k = v.Known(e) {
			// The fact at offset n is the touch of day n.
			want := min(k.Offset, last)
			if k.Offset == 0 {
				if k.LastTouch != nil {
					t.Errorf("at offset 0 a touch: %+v", k.LastTouch)
				}
				continue
			}
			if k.LastTouch == nil || k.LastTouch.Campaign != fmt.Sprint(want) || len(k.Clicks) != 1 || k.Clicks[0].Value != fmt.Sprint(want) {
				t.Errorf("at offset %d: touch %+v, clicks %v, want of day %d", k.Offset, k.LastTouch, k.Clicks, want)
				return
			}
		}
	}()
	for n := 1; n <= end; n++ {
		fold(t, v, []canonical.Fact{touch(n, lead, canonical.Touch{Kind: "ad_click", Campaign: fmt.Sprint(n), Clicks: click(canonical.GCLID, fmt.Sprint(n))})}, 1)
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the reader does not come to the end")
	}
}
