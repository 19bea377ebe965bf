package identity_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

var erasureKey = newKey("a key of thirty-two bytes, truly!")

func newKey(secret string) *identity.ErasureKey {
	k, err := identity.NewErasureKey([]byte(secret))
	if err != nil {
		panic(err)
	}
	return k
}

func openKeyed(t testing.TB, store identity.Store) *identity.View {
	t.Helper()
	v, err := identity.Open(store, identity.WithErasureKey(erasureKey))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// neverThere is a log as it would be had nobody erased been in it: the model of erasure.
func neverThere(log []canonical.Fact, hashes map[string]canonical.Identifier) []canonical.Fact {
	var out []canonical.Fact
	gone := map[canonical.Identifier]bool{}
	for _, f := range log {
		if f.Kind == canonical.FactErase {
			for _, h := range f.Hashes {
				gone[hashes[h]] = !f.Removed
			}
			if !f.Removed {
				var left []canonical.Fact
				for _, old := range out {
					left = append(left, remembered(old, gone)...)
				}
				out = left
			}
			continue
		}
		if slices.ContainsFunc(f.Nodes, func(id canonical.Identifier) bool { return gone[id] }) {
			continue
		}
		out = append(out, clicksLeft(f, gone))
	}
	return out
}

func clicksLeft(f canonical.Fact, gone map[canonical.Identifier]bool) canonical.Fact {
	if f.Touch != nil {
		t := *f.Touch
		t.Clicks = slices.DeleteFunc(slices.Clone(t.Clicks), func(c canonical.Click) bool {
			return gone[canonical.Identifier{Scheme: c.Scheme, Value: c.Value}]
		})
		if len(t.Clicks) == 0 {
			t.Clicks = nil
		}
		f.Touch = &t
	}
	return f
}

// remembered is what is left of a fact of before: of those who are not erased what it says
// of them among themselves, and that they were seen.
func remembered(f canonical.Fact, gone map[canonical.Identifier]bool) []canonical.Fact {
	stays := func(id canonical.Identifier) bool { return !gone[id] }
	if f.Kind == canonical.FactTouch || f.Kind == canonical.FactGuards {
		if len(f.Nodes) > 0 && !stays(f.Nodes[0]) {
			var out []canonical.Fact
			for _, c := range clicksLeft(f, gone).Touch.Clicks {
				id := canonical.Identifier{Scheme: c.Scheme, Value: c.Value}
				out = append(out, canonical.Fact{Kind: canonical.FactAssociation, At: c.At, Removed: true, Nodes: []canonical.Identifier{id, nowhere}})
			}
			return out
		}
		left := clicksLeft(f, gone)
		if f.Touch != nil && len(f.Touch.Clicks) > len(left.Touch.Clicks) {
			left.Touch.Campaign = "as the click made it"
		}
		return []canonical.Fact{left}
	}
	if !slices.ContainsFunc(f.Nodes, func(id canonical.Identifier) bool { return gone[id] }) {
		return []canonical.Fact{f}
	}
	var out []canonical.Fact
	for i, id := range f.Nodes {
		paired := f.Kind == canonical.FactAssociation && f.Nodes[0] != f.Nodes[1]
		for j := range f.Nodes {
			paired = paired || (i == 0) != (j == 0) && f.Kind != canonical.FactStage && f.Nodes[i] != f.Nodes[j] && f.Nodes[i].Scheme.IsAccount() == f.Nodes[j].Scheme.IsAccount()
		}
		if stays(id) && paired {
			out = append(out, canonical.Fact{Kind: canonical.FactAssociation, At: f.At, Removed: true, Nodes: []canonical.Identifier{id, nowhere}})
		}
	}
	if left := slices.DeleteFunc(slices.Clone(f.Nodes), func(id canonical.Identifier) bool { return gone[id] }); stays(f.Nodes[0]) && len(left) > 1 {
		f.Nodes = left
		out = append(out, f)
	}
	return out
}

var nowhere = canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: "nowhere"}

// Whatever is erased, and when: from then on everything is as if the facts of the erased had
// never been there.
func TestErasedAsIfNeverThere(t *testing.T) {
	for name, random := range map[string]func(*rand.Rand, int) []canonical.Fact{"everything": randomFacts, "devices": deviceFacts, "limits": anchorFacts} {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds(150) {
				r := rand.New(rand.NewPCG(seed, 31))
				store, again := memstore.New(), memstore.New()
				v := openKeyed(t, store)
				var log []canonical.Fact
				hashes, named := map[string]canonical.Identifier{}, map[canonical.Identifier]bool{}
				say := func(f canonical.Fact) {
					log = append(log, f)
					fold(t, v, log[len(log)-1:], 1)
				}
				for _, f := range random(r, 1+r.IntN(40)) {
					for _, id := range f.Nodes {
						named[id] = true
						hashes[erasureKey.Hash(id)] = id
					}
					if f.Touch != nil {
						for _, c := range f.Touch.Clicks {
							id := canonical.Identifier{Scheme: c.Scheme, Value: c.Value}
							hashes[erasureKey.Hash(id)] = id
						}
					}
					say(f)
					if len(f.Nodes) == 0 || r.IntN(8) > 0 {
						continue
					}
					who := f.Nodes[r.IntN(len(f.Nodes))]
					e, err := v.Erasure(day(30), who)
					if err == nil && r.IntN(4) == 0 { // somebody who was not known when it was stated
						e.Hashes = e.Hashes[:1+r.IntN(len(e.Hashes))]
					}
					if lift, no := v.Lifting(day(31), who); no == nil && r.IntN(2) == 0 {
						e, err = lift, nil
					}
					if err != nil {
						continue
					}
					if say(e); !e.Removed {
						checkErased(t, v, log, hashes)
					}
				}
				checkErased(t, v, log, hashes)
				whole := openKeyed(t, again)
				fold(t, whole, log, 1+r.IntN(60))
				checkStore(t, store, log)
				checkStore(t, again, log)
				if whole.Digest() != v.Digest() {
					t.Fatalf("seed %d: the digest depends on how the log is cut, of%s", seed, show(log))
				}
				if got, want := whole.Overrides(-1, 1000), v.Overrides(-1, 1000); !slices.Equal(got, want) {
					t.Fatalf("seed %d: the overrides depend on how the log is cut: %v, want %v, of%s", seed, got, want, show(log))
				}
				roots := map[canonical.NodeID]canonical.NodeID{}
				for _, o := range v.Overrides(-1, 1000) {
					roots[o.Node] = o.Root
				}
				for id := range named {
					n, root := id.Node(), v.Person(id.Node())
					if got, ok := roots[n]; ok && got != root || !ok && root != n {
						t.Fatalf("seed %d: the overrides give %s the root %s, want %s, of%s", seed, n, got, root, show(log))
					}
				}
				facts := slices.DeleteFunc(slices.Clone(log), func(f canonical.Fact) bool { return f.Kind == canonical.FactErase })
				if fresh := v.New(facts); slices.ContainsFunc(fresh, func(f canonical.Fact) bool { return v.Names(1000, f) }) {
					t.Fatalf("seed %d: a fact of somebody erased would be stated", seed)
				}
			}
		})
	}
}

// checkErased compares a view with the model, and with a view to which the erased were never named.
func checkErased(t *testing.T, v *identity.View, log []canonical.Fact, hashes map[string]canonical.Identifier) {
	t.Helper()
	left := neverThere(log, hashes)
	checkRoots(t, v, left)
	u := folded(t, left, 100)
	for _, id := range hashes {
		n := id.Node()
		a, there := v.Node(n)
		b, want := u.Node(n)
		if there != want || a != b {
			t.Fatalf("%v is %v %t, want %v %t, after%s\nthat is%s", id, a, there, b, want, show(log), show(left))
		}
		for _, at := range []int{0, 5, 40} {
			got, want := v.Known(canonical.Event{Node: n, OccurredAt: day(at)}), u.Known(canonical.Event{Node: n, OccurredAt: day(at)})
			withoutClicks(&got, log)
			withoutClicks(&want, log)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("known of %v on day %d: %+v (first %+v, last %+v), want %+v (first %+v, last %+v), after%s\nthat is%s", id, at, got, got.FirstTouch, got.LastTouch, want, want.FirstTouch, want.LastTouch, show(log), show(left))
			}
		}
		if got, want := v.History(n), u.History(n); !reflect.DeepEqual(got, want) {
			t.Fatalf("history of %v: %v, want %v", id, got, want)
		}
	}
}

// withoutClicks leaves out what others' touches still tell of a click id that was erased, and
// the offset.
func withoutClicks(k *canonical.Known, log []canonical.Fact) {
	k.Offset = 0
	k.Clicks = slices.DeleteFunc(k.Clicks, func(c canonical.Click) bool {
		h := erasureKey.Hash(canonical.Identifier{Scheme: c.Scheme, Value: c.Value})
		return slices.ContainsFunc(log, func(f canonical.Fact) bool { return slices.Contains(f.Hashes, h) })
	})
	lifted := slices.ContainsFunc(log, func(f canonical.Fact) bool { return f.Kind == canonical.FactErase && f.Removed })
	if len(k.Clicks) == 0 || lifted { // one that comes back counts on others' touches again
		k.Clicks = nil
	}
	for _, t := range []*canonical.Touch{k.FirstTouch, k.LastTouch} {
		if t != nil {
			t.Clicks, t.Campaign, t.Page = nil, "", "" // of two at one time the hash of all of it chooses
		}
	}
}

func TestErasureKeyHidesAndIsNeeded(t *testing.T) {
	lead, mail := id(canonical.HubSpotContact, 7), id(canonical.Email, canonical.EmailHash("ada@example.test"))
	facts := []canonical.Fact{link(1, false, lead, mail)}
	v := openKeyed(t, memstore.New())
	fold(t, v, facts, 1)
	e, err := v.Erasure(day(2), mail)
	if err != nil || len(e.Hashes) != 2 {
		t.Fatalf("erasure: %v, %v; want both identifiers", e, err)
	}
	for _, h := range e.Hashes {
		for _, clear := range []string{mail.Value, lead.Node().String(), mail.Node().String()} {
			if strings.Contains(h, clear) {
				t.Errorf("the hash %s shows %s", h, clear)
			}
		}
	}
	if got := newKey("another key of thirty-two bytes!!").Hash(mail); slices.Contains(e.Hashes, got) {
		t.Error("the hash does not depend on the key")
	}
	records := []identity.Folded{{Offset: 0, Fact: facts[0]}, {Offset: 1, Fact: e}}
	if err := open(t, memstore.New()).Fold(records); err == nil || !strings.Contains(err.Error(), "data_key") {
		t.Errorf("without a key: %v, want an error that names data_key", err)
	}
	other, err := identity.Open(memstore.New(), identity.WithErasureKey(newKey("another key of thirty-two bytes!!")))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Fold(records); err == nil || !strings.Contains(err.Error(), "another data_key") {
		t.Errorf("with another key: %v, want an error that says so", err)
	}
	store := memstore.New()
	v = openKeyed(t, store)
	if err := v.Fold(records); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(store); err == nil {
		t.Error("a store with erasures was opened without a key")
	}
	again := openKeyed(t, store)
	if again.Digest() != v.Digest() || !again.Erased(mail) || again.ErasedUpTo() != 1 {
		t.Error("a store opened again forgets who is erased")
	}
	store.Range(nil, nil, func(k, b []byte) bool {
		if bytes.Contains(append(slices.Clone(k), b...), []byte(mail.Value)) {
			t.Errorf("the store still holds the address' hash under %q", k)
		}
		return true
	})
}

func TestForget(t *testing.T) {
	ada, bo := id(canonical.Email, canonical.EmailHash("ada@example.test")), id(canonical.Email, canonical.EmailHash("bo@example.test"))
	adas, cookie := id(canonical.HubSpotContact, 1), id(canonical.Anonymous, "cookie-a")
	v := openKeyed(t, memstore.New())
	fold(t, v, []canonical.Fact{link(1, false, adas, ada), link(1, true, adas, cookie), link(1, false, id(canonical.HubSpotContact, 2), bo)}, 3)
	e, err := v.Erasure(day(3), ada)
	if err != nil {
		t.Fatal(err)
	}
	fold(t, v, []canonical.Fact{e}, 1) // at offset 3
	before, after := &canonical.Known{Offset: 2}, &canonical.Known{Offset: 3}
	of := func(k *canonical.Known, ids ...canonical.Identifier) canonical.Event {
		return canonical.Event{Node: ids[0].Node(), Identifiers: ids, Known: k}
	}
	for name, c := range map[string]struct {
		e    canonical.Event
		want bool
	}{
		"hers":                         {of(before, ada), true},
		"on her cookie":                {of(before, cookie), true},
		"a colleague's":                {of(before, bo), false},
		"a colleague's on her cookie":  {of(before, bo, cookie), false},
		"about her record":             {canonical.Event{Object: canonical.Object{Type: "contact", ID: "1"}}, true},
		"about a deal, with her first": {canonical.Event{Node: ada.Node(), Object: canonical.Object{Type: "deal", ID: "1"}}, true},
	} {
		if got := v.Forget(&c.e); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	his := of(&canonical.Known{Offset: 2, Identifiers: []canonical.Identifier{bo}, Contacts: []canonical.DealContact{{Node: adas.Node()}, {Node: bo.Node()}}}, bo, cookie)
	his.Contacts = []string{"1", "2"}
	whole := his
	v.Forget(&his)
	if len(his.Identifiers) != 1 || len(his.Known.Contacts) != 1 || fmt.Sprint(his.Contacts) != "[2]" {
		t.Errorf("a colleague's event is left with %v %v %v", his.Identifiers, his.Known.Contacts, his.Contacts)
	}
	if len(whole.Identifiers) != 2 || len(whole.Known.Contacts) != 2 {
		t.Error("what the event pointed to was changed")
	}

	lift, err := v.Lifting(day(9), ada)
	if err != nil || len(lift.Hashes) != 3 {
		t.Fatalf("lifting: %v %v", lift, err)
	}
	fold(t, v, []canonical.Fact{lift}, 1)
	old, fresh := of(before, ada), of(after, ada)
	if !v.Forget(&old) || v.Forget(&fresh) {
		t.Error("after lifting, what was before must stay erased and what comes must not be")
	}
	for d, want := range map[int]bool{2: true, 5: true, 10: false} {
		if got := v.ErasedSince(day(d), []canonical.Identifier{ada}); got != want {
			t.Errorf("a receipt of day %d is erased: %t, want %t: those from before the lifting stay erased, those after it are taken", d, got, want)
		}
	}
	if _, err := v.Lifting(time.Time{}, bo); err == nil {
		t.Error("somebody who is not erased was lifted")
	}
}

// Of a person who was lifted and erased again in part, what is the others' now stays theirs.
func TestErasedAgainInPart(t *testing.T) {
	ada, cookie := id(canonical.Email, canonical.EmailHash("ada@example.test")), id(canonical.Anonymous, "cookie-a")
	for _, who := range []canonical.Identifier{ada, cookie} {
		v := openKeyed(t, memstore.New())
		say := func(f canonical.Fact, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			fold(t, v, []canonical.Fact{f}, 1)
		}
		say(link(1, true, ada, cookie), nil)
		for _, d := range []int{2, 5} {
			say(v.Erasure(day(d), who))
			if d == 2 {
				say(v.Lifting(day(3), who))
			}
		}
		for range 10 { // whichever comes first
			got := v.ErasedAfter(-1)
			if len(got) != 2 || got[0].Offset != 1 || !got[0].Lifted || !got[0].LiftedAt.Equal(day(3)) || slices.Contains(got[0].Nodes, who.Node()) ||
				got[1].Offset != 3 || got[1].Lifted || !slices.Equal(got[1].Nodes, []canonical.NodeID{who.Node()}) {
				t.Fatalf("%v erased again: %+v", who.Scheme, got)
			}
		}
	}
}

// A link that two people opened is nobody's.
func TestASharedClickIsNotErased(t *testing.T) {
	ada, bo := id(canonical.UserID, "ada"), id(canonical.UserID, "bo")
	shared, own := id(canonical.FBCLID, "shared"), id(canonical.FBCLID, "own")
	v := openKeyed(t, memstore.New())
	fold(t, v, []canonical.Fact{
		link(1, true, ada, shared), link(2, true, bo, shared),
		touch(1, ada, canonical.Touch{Kind: "page_view", Clicks: click(shared.Scheme, shared.Value)}),
		touch(2, bo, canonical.Touch{Kind: "page_view", Clicks: click(shared.Scheme, shared.Value)}),
		touch(3, ada, canonical.Touch{Kind: "page_view", Clicks: click(own.Scheme, own.Value)}),
	}, 5)
	e, err := v.Erasure(day(4), ada)
	if err != nil {
		t.Fatal(err)
	}
	fold(t, v, []canonical.Fact{e}, 1)
	if v.Erased(shared) || !v.Erased(own) || !v.Erased(ada) {
		t.Errorf("erased: the shared click %t, her own %t, she %t; want her own and her", v.Erased(shared), v.Erased(own), v.Erased(ada))
	}
	if got := v.Known(canonical.Event{Node: bo.Node(), OccurredAt: day(5)}).Clicks; len(got) != 1 {
		t.Errorf("the other one is left with the clicks %v", got)
	}
}
