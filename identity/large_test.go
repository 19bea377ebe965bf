package identity_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/identity/pebblestore"
)

// Ten thousand people on one device: it is nobody's, whatever the order, and each has it
// in hand from some day on.
func TestAKioskJoinsNobody(t *testing.T) {
	const people = 10_000
	var facts []canonical.Fact
	for n := range people {
		facts = append(facts, link(n%97, true, id(canonical.Email, n), cookie))
	}
	want := folded(t, facts, people).Digest()
	for seed := range uint64(3) {
		v := folded(t, shuffled(rand.New(rand.NewPCG(seed, 9)), facts), 1000)
		if v.Digest() != want {
			t.Fatalf("seed %d: another state", seed)
		}
		if c := v.Cluster(cookie.Node()); len(c) != 1 || v.Cut(cookie.Node()) != identity.SharedDevice {
			t.Fatalf("seed %d: the device's person has %d nodes", seed, len(c))
		}
		if rows := v.Overrides(-1, people); len(rows) > 5 {
			t.Errorf("seed %d: %d overrides for a device that moves once", seed, len(rows))
		}
		if rows := v.Hands(-1, people); len(rows) < 97 || len(rows) > 2000 {
			t.Errorf("seed %d: %d rows of hands for 97 days", seed, len(rows))
		}
	}
}

// A person that grows one node at a time is not written anew for each.
func TestALargePersonGrowsInSmallSteps(t *testing.T) {
	const size = 10_000
	r := rand.New(rand.NewPCG(1, 10))
	hub := id(canonical.HubSpotContact, 1)
	facts := []canonical.Fact{guards(canonical.Guards{Crowd: size, CrowdRecord: size, Limit: size}), link(0, false, hub, id(canonical.Email, 0))}
	for n := 1; n < size; n++ {
		to := id(canonical.Email, r.IntN(n))
		facts = append(facts, link(1+r.IntN(300), false, to, id(canonical.Email, n)))
	}
	v := folded(t, facts, 500)
	if c := v.Cluster(hub.Node()); len(c) != size+1 {
		t.Fatalf("%d nodes", len(c))
	}
	if rows := v.Overrides(-1, v.Offset()); len(rows) != size {
		t.Errorf("%d overrides for %d nodes joined one by one", len(rows), size)
	}
	// A merge that changes the root changes it for all, in one block.
	fold(t, v, []canonical.Fact{merge(400, id(canonical.HubSpotContact, 2), hub)}, 1)
	rows := v.Overrides(v.Offset()-1, v.Offset())
	if len(rows) < size+1 {
		t.Errorf("%d overrides for a new root of %d nodes", len(rows), size+2)
	}
	for _, o := range rows {
		if o.Root != id(canonical.HubSpotContact, 2).Node() {
			t.Fatalf("override %+v", o)
		}
	}
}

// What a small cluster brings is overridden with all nodes of the person in one block.
func TestAChangedPersonIsOverriddenWhole(t *testing.T) {
	v := folded(t, []canonical.Fact{link(1, false, lead, home), link(2, false, demo, work), link(3, false, home, work)}, 1)
	var got []canonical.NodeID
	for _, o := range v.Overrides(1, 2) {
		got = append(got, o.Node)
	}
	if want := v.Cluster(lead.Node()); !slices.Equal(got, want) || len(want) != 4 {
		t.Errorf("overrides of %v, want all of %v", got, want)
	}
}

func FuzzFold(f *testing.F) {
	for seed := range uint64(8) {
		b, err := json.Marshal(randomFacts(rand.New(rand.NewPCG(seed, 11)), 12))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{
		`[{"kind":"link","nodes":[{"scheme":"email","value":"a"}]}]`,
		`[{"kind":"merge","nodes":[{"scheme":"hubspot_contact","value":"007"},{"scheme":"hubspot_contact","value":"7"}]}]`,
		`[{"kind":"touch","nodes":[{"scheme":"email","value":"a"}],"touch":{"kind":"ad_click","at":"9999-12-31T23:59:59Z","clicks":[{"scheme":"gclid"}]}}]`,
		`[{"kind":"stage","nodes":[{"scheme":"hubspot_deal","value":"1"}]},{"kind":"erase"}]`,
		`[{"kind":"guards","guards":{"crowd":-1,"limit":-5}},{"kind":"block","nodes":[{"scheme":"email","value":"a"},{"scheme":"email","value":"b"}]},{"kind":"guards"}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var facts []canonical.Fact
		if json.Unmarshal(b, &facts) != nil || len(facts) > 100 {
			return
		}
		facts = oneGuards(facts)
		var records, backwards []identity.Folded
		for i, fact := range facts {
			records = append(records, identity.Folded{Offset: int64(i), Fact: fact})
			backwards = append(backwards, identity.Folded{Offset: int64(i), Fact: facts[len(facts)-1-i]})
		}
		v, w := open(t, memstore.New()), open(t, memstore.New())
		if v.Fold(records) != nil || w.Fold(backwards) != nil {
			return // an unknown kind
		}
		if v.Digest() != w.Digest() {
			t.Errorf("the order counts:%s", show(facts))
		}
		if left := v.New(facts); len(left) != 0 {
			t.Errorf("folded but new:%s", show(left))
		}
		for _, fact := range facts {
			for _, n := range fact.Nodes {
				k := v.Known(canonical.Event{Node: n.Node(), AccountNode: n.Node(), OccurredAt: fact.At})
				if v.Cut(n.Node()) != identity.SharedDevice && !slices.Contains(v.Cluster(n.Node()), k.Person) {
					t.Errorf("root %s is no member of %v", k.Person, v.Cluster(n.Node()))
				}
				v.History(n.Node())
			}
		}
	})
}

func BenchmarkFold(b *testing.B) {
	var records []identity.Folded
	for n := range 100_000 {
		// Four identifiers to a person: contact, address, two devices.
		who := id(canonical.HubSpotContact, n/3)
		with := []canonical.Identifier{id(canonical.Email, n/3), id(canonical.Anonymous, n), id(canonical.FBP, n)}[n%3]
		records = append(records, identity.Folded{Offset: int64(n), Fact: link(n/1000, n%3 > 0, who, with)})
	}
	for name, store := range engines(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v := open(b, store())
				for part := range slices.Chunk(records, 2000) {
					if err := v.Fold(part); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "facts/s")
		})
	}
}

func BenchmarkKnown(b *testing.B) {
	for name, store := range engines(b) {
		b.Run(name, func(b *testing.B) {
			v := open(b, store())
			fold(b, v, story(), 20)
			e := canonical.Event{Node: cookie.Node(), OccurredAt: day(9)}
			b.ReportAllocs()
			for b.Loop() {
				if v.Known(e).Person == 0 {
					b.Fatal("nobody")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	v := open(b, memstore.New())
	fold(b, v, story(), 20)
	b.ReportAllocs()
	for b.Loop() {
		if len(v.New(story())) != 0 {
			b.Fatal("news")
		}
	}
}

func engines(b *testing.B) map[string]func() identity.Store {
	n := 0
	return map[string]func() identity.Store{
		"mem": func() identity.Store { return memstore.New() },
		"pebble": func() identity.Store {
			n++
			db, err := pebble.Open(fmt.Sprint(b.TempDir(), "/", n), pebblestore.Tune(&pebble.Options{Logger: quiet{}}))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { db.Close() })
			return pebblestore.New(db, []byte("identity/"))
		},
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// Two identifiers with one node id cannot be had cheaply; a store that says so can.
func TestACollisionIsReportedAndNotFolded(t *testing.T) {
	recordOf := func(n canonical.NodeID) []byte {
		return binary.BigEndian.AppendUint64([]byte{'n'}, uint64(n))
	}
	one, two := id(canonical.Email, "one"), id(canonical.Email, "two")
	store := memstore.New()
	fold(t, open(t, store), []canonical.Fact{{Kind: canonical.FactStage, At: day(1), Nodes: []canonical.Identifier{one}, Stage: &canonical.StageReached{Name: "lead_captured"}}}, 1)
	record, _, err := store.Get(recordOf(one.Node()))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Apply([]identity.Write{{Key: recordOf(two.Node()), Value: record}}); err != nil {
		t.Fatal(err)
	}
	v := open(t, store)
	for range 2 {
		fold(t, v, []canonical.Fact{link(2, false, lead, two)}, 1)
	}
	if got := v.Cluster(lead.Node()); len(got) != 1 {
		t.Errorf("joined across a collision: %v", got)
	}
	if c := v.Collisions(); len(c) != 1 || c[0].Kept != one || c[0].Lost != two || c[0].Offset != 1 {
		t.Errorf("collisions %+v", c)
	}

	if err := store.Apply([]identity.Write{{Key: recordOf(home.Node()), Value: []byte{1}}}); err != nil {
		t.Fatal(err)
	}
	if err := v.Fold([]identity.Folded{{Offset: 9, Fact: link(3, false, lead, home)}}); err == nil {
		t.Error("a record that cannot be read was folded over")
	}
}
