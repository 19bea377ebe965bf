package identity_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"tributary/canonical"
	"tributary/identity"
)

// office is what a careless world says of n contacts: all have the one address of the
// office, though nobody called it shared, and n test@test.com; all used the kiosk in the
// hall; an agency put its own domain on each of its n clients; and a few people pass a
// phone and their addresses on in a chain.
func office(n int) []canonical.Fact {
	info, test := id(canonical.Email, "info"), id(canonical.Email, "test@test.com")
	kiosk, agency := id(canonical.Anonymous, "kiosk"), id(canonical.Domain, "agency.example")
	facts := []canonical.Fact{guards(canonical.Guards{NeverLink: []canonical.Identifier{test}})}
	for i := range n {
		contact, own := id(canonical.HubSpotContact, i), id(canonical.Email, fmt.Sprint("own", i))
		facts = append(facts,
			link(i%50, false, contact, own),
			link(i%61, false, contact, info),
			link(i%71, true, contact, kiosk),
			link(i%41, false, id(canonical.HubSpotCompany, i), agency),
			link(i%31, false, id(canonical.HubSpotCompany, i), id(canonical.Domain, fmt.Sprint("client", i))),
			canonical.Fact{Kind: canonical.FactLink, At: day(i % 11), Nodes: []canonical.Identifier{contact, test}},
		)
		if i < 300 {
			facts = append(facts, link(i%23, false, own, id(canonical.UserID, i/2)), link(i%19, false, id(canonical.UserID, i/2), id(canonical.Email, fmt.Sprint("own", i+1))))
		}
	}
	return facts
}

// However the facts come, nobody becomes one with the whole office, and the guards say
// why. TRIBUTARY_IDENTITY_OFFICE makes it ten thousand contacts and a hundred orders.
func TestAnOfficeStaysManyPeople(t *testing.T) {
	people, orders := 1000, 6
	if n, err := strconv.Atoi(os.Getenv("TRIBUTARY_IDENTITY_OFFICE")); err == nil {
		people, orders = n, 100
	}
	facts := office(people)
	var want [32]byte
	for order := range orders {
		if order > 0 {
			facts = shuffled(rand.New(rand.NewPCG(uint64(order), 13)), facts)
		}
		v := folded(t, facts, 2000)
		if digest := v.Digest(); order == 0 {
			want = digest
		} else if digest != want {
			t.Fatalf("order %d: another state", order)
		}
		for n, why := range map[canonical.Identifier]identity.Reason{
			id(canonical.Email, "info"): identity.Crowded, id(canonical.Domain, "agency.example"): identity.Crowded,
			id(canonical.Email, "test@test.com"): identity.NeverLink, id(canonical.Anonymous, "kiosk"): identity.SharedDevice,
		} {
			if got := v.Cut(n.Node()); got != why || len(v.Cluster(n.Node())) != 1 {
				t.Fatalf("order %d: %s is cut for %q, want %q, in a person of %d", order, n.Value, got, why, len(v.Cluster(n.Node())))
			}
		}
		largest := 0
		for i := range people {
			scheme := map[canonical.Scheme]int{}
			for _, n := range v.Cluster(id(canonical.HubSpotContact, i).Node()) {
				who, _ := v.Node(n)
				scheme[who.Scheme]++
			}
			for _, n := range scheme {
				largest = max(largest, n)
			}
			if c := v.Cluster(id(canonical.HubSpotCompany, i).Node()); len(c) != 2 {
				t.Fatalf("order %d: company %d is an account of %d", order, i, len(c))
			}
		}
		if largest > 100 || largest < 60 {
			t.Fatalf("order %d: the largest person holds %d of a kind", order, largest)
		}
		if order == 0 {
			t.Logf("%d facts, the largest person holds %d identifiers of a kind, %d overrides, %d hands", len(facts), largest,
				len(v.Overrides(-1, v.Offset())), len(v.Hands(-1, v.Offset())))
		}
	}
}

// Which link a limit refuses is decided by their times, also when what made a person whole
// is taken away and a later link still does.
func TestALimitLooksAtTheTimes(t *testing.T) {
	a, b, c, d := id(canonical.UserID, "a"), home, lead, id(canonical.UserID, "d")
	facts := []canonical.Fact{
		guards(canonical.Guards{Limit: 1}),
		link(1, false, a, b), link(2, false, b, c), link(9, false, a, c),
		said(canonical.FactBlock, 3, b, c),
		link(5, false, c, d),
	}
	permute(facts, func(order []canonical.Fact) {
		v := folded(t, order, 1)
		if v.Person(a.Node()) != v.Person(b.Node()) || v.Person(c.Node()) != v.Person(d.Node()) || v.Person(a.Node()) == v.Person(d.Node()) {
			t.Fatalf("%v, %v after%s", v.Cluster(a.Node()), v.Cluster(d.Node()), show(order))
		}
	})
}

// Guards that are changed and changed back leave the state as it was, and what they
// change has overrides at their offset.
func TestGuardsChangedAndBack(t *testing.T) {
	facts := office(200)
	v := folded(t, facts, 500)
	digest, before := v.Digest(), v.Offset()
	roots := map[canonical.NodeID]canonical.NodeID{}
	now := map[canonical.NodeID]canonical.NodeID{}
	for _, f := range facts {
		for _, n := range f.Nodes {
			roots[n.Node()] = v.Person(n.Node())
		}
	}
	loose := guards(canonical.Guards{Crowd: 500, CrowdRecord: 500, Limit: 100_000})
	fold(t, v, []canonical.Fact{loose}, 1)
	if c := v.Cluster(id(canonical.HubSpotContact, 7).Node()); len(c) < 400 {
		t.Fatalf("without guards a person of %d", len(c))
	}
	if again := v.New([]canonical.Fact{loose}); len(again) != 0 {
		t.Error("the guards in force are stated again")
	}
	fold(t, v, facts[slices.IndexFunc(facts, func(f canonical.Fact) bool { return f.Guards != nil }):][:1], 1)
	if v.Digest() != digest {
		t.Error("another state after guards changed and changed back")
	}
	for _, o := range v.Overrides(before, v.Offset()) {
		now[o.Node] = o.Root
	}
	if len(now) < 400 || len(v.Overrides(before+2, v.Offset())) != 0 {
		t.Errorf("%d nodes overridden", len(now))
	}
	for n, root := range now {
		if root != roots[n] {
			t.Fatalf("overrides give node %s root %s, it had %s", n, root, roots[n])
		}
	}
}
