// Package storetest is the suite that every engine of identity.Store passes.
package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
)

// Run runs the suite. open gives an empty store each time.
func Run(t *testing.T, open func(t *testing.T) identity.Store) {
	t.Run("get and range", func(t *testing.T) { getAndRange(t, open(t)) })
	t.Run("like a map", func(t *testing.T) { likeAMap(t, open(t)) })
	t.Run("slices are its own", func(t *testing.T) { ownSlices(t, open(t)) })
	t.Run("a view", func(t *testing.T) { view(t, open(t)) })
}

func getAndRange(t *testing.T, s identity.Store) {
	if _, ok, err := s.Get([]byte("a")); ok || err != nil {
		t.Errorf("an empty store has a key (%v)", err)
	}
	apply(t, s, set("b", "1"), set("a", ""), set("c\x00", "2"), set("c", "3"), set("\xff", "4"))
	apply(t, s, identity.Write{Key: []byte("b")}, identity.Write{Key: []byte("none")}, set("c", "5"))
	if v, ok, err := s.Get([]byte("a")); !ok || v == nil || len(v) != 0 || err != nil {
		t.Errorf("an empty value came back as %q, %t, %v", v, ok, err)
	}
	for _, c := range []struct{ lo, hi, want string }{
		{"", "", "a= c=5 c\x00=2 \xff=4 "},
		{"", "c", "a= "},
		{"c", "c\x00", "c=5 "},
		{"b", "d", "c=5 c\x00=2 "},
		{"d", "", "\xff=4 "},
		{"d", "e", ""},
		{"z", "a", ""},
	} {
		if got := all(t, s, c.lo, c.hi); got != c.want {
			t.Errorf("range %q to %q: %q, want %q", c.lo, c.hi, got, c.want)
		}
	}
	visits := 0
	if err := s.Range(nil, nil, func(_, _ []byte) bool { visits++; return false }); err != nil || visits != 1 {
		t.Errorf("%d visits after false, %v", visits, err)
	}
}

// likeAMap does the same at random to a map.
func likeAMap(t *testing.T, s identity.Store) {
	r := rand.New(rand.NewPCG(1, 1))
	want := map[string]string{}
	for range 200 {
		var writes []identity.Write
		for range r.IntN(60) {
			k := fmt.Sprintf("k%03d", r.IntN(900))
			if r.IntN(3) == 0 {
				writes = append(writes, identity.Write{Key: []byte(k)})
				delete(want, k)
			} else {
				v := fmt.Sprint(r.IntN(1000))
				writes = append(writes, set(k, v))
				want[k] = v
			}
		}
		apply(t, s, writes...)
		lo, hi := fmt.Sprintf("k%03d", r.IntN(900)), fmt.Sprintf("k%03d", r.IntN(900))
		var keys []string
		for k := range want {
			if k >= lo && k < hi {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		var text string
		for _, k := range keys {
			text += k + "=" + want[k] + " "
		}
		if got := all(t, s, lo, hi); got != text {
			t.Fatalf("range %s to %s: %s, want %s", lo, hi, got, text)
		}
	}
	for i := range 900 {
		k := fmt.Sprintf("k%03d", i)
		v, ok, err := s.Get([]byte(k))
		if w, there := want[k]; ok != there || string(v) != w || err != nil {
			t.Fatalf("get %s: %q %t %v, want %q %t", k, v, ok, err, w, there)
		}
	}
}

func ownSlices(t *testing.T, s identity.Store) {
	w := set("key", "value")
	apply(t, s, w)
	copy(w.Key, "xxx")
	copy(w.Value, "yyyyy")
	before, _, err := s.Get([]byte("key"))
	if err != nil || string(before) != "value" {
		t.Fatalf("the store kept the caller's slice: %q, %v", before, err)
	}
	apply(t, s, set("key", "other"))
	if string(before) != "value" {
		t.Errorf("a value changed after Get: %q", before)
	}
}

// view folds one log here and in memory: digest, overrides and what was touched agree,
// also for a second view opened on what the first left.
func view(t *testing.T, s identity.Store) {
	facts := Facts(500, 40)
	here, there := mustOpen(t, s), mustOpen(t, memstore.New())
	for part := range slices.Chunk(facts, 37) {
		for _, v := range []*identity.View{here, there} {
			if err := v.Fold(part); err != nil {
				t.Fatal(err)
			}
		}
	}
	Same(t, here, there)
	Same(t, mustOpen(t, s), there)
}

// Same fails the test unless two views agree in everything.
func Same(t *testing.T, got, want *identity.View) {
	t.Helper()
	if got.Offset() != want.Offset() {
		t.Fatalf("offset %d, want %d", got.Offset(), want.Offset())
	}
	if got.Digest() != want.Digest() {
		t.Error("the digests differ")
	}
	end := want.Offset()
	if !slices.Equal(got.Overrides(-1, end), want.Overrides(-1, end)) {
		t.Error("the overrides differ")
	}
	if !slices.Equal(got.Hands(-1, end), want.Hands(-1, end)) {
		t.Error("the hands differ")
	}
	if !slices.Equal(got.Touched(end/2, end), want.Touched(end/2, end)) {
		t.Error("the touched nodes differ")
	}
}

// Facts gives a log of n facts about some people, with gaps in its offsets; always the
// same.
func Facts(n, people int) []identity.Folded {
	r := rand.New(rand.NewPCG(uint64(n), uint64(people)))
	node := func(schemes ...canonical.Scheme) canonical.Identifier {
		return canonical.Identifier{Scheme: schemes[r.IntN(len(schemes))], Value: fmt.Sprint(1 + r.IntN(people))}
	}
	out := make([]identity.Folded, n)
	for i := range out {
		f := canonical.Fact{At: time.Date(2026, 1, 1, r.IntN(500), 0, 0, 0, time.UTC), Cause: canonical.ReceiptID(fmt.Sprint("r", i))}
		switch r.IntN(13) {
		case 0, 1:
			f.Kind, f.Nodes = canonical.FactLink, []canonical.Identifier{node(canonical.HubSpotContact), node(canonical.Email, canonical.UserID)}
		case 2, 3, 4:
			f.Kind, f.Weak = canonical.FactLink, true
			f.Nodes = []canonical.Identifier{node(canonical.HubSpotContact, canonical.Email), node(canonical.Anonymous, canonical.GCLID)}
		case 5:
			f.Kind, f.Nodes = canonical.FactMerge, []canonical.Identifier{node(canonical.HubSpotContact), node(canonical.HubSpotContact)}
		case 6:
			f.Kind, f.Nodes = canonical.FactLink, []canonical.Identifier{node(canonical.HubSpotCompany), node(canonical.Domain)}
		case 7:
			f.Kind, f.Nodes = canonical.FactAssociation, []canonical.Identifier{node(canonical.HubSpotContact), node(canonical.HubSpotCompany)}
			switch i % 4 {
			case 0:
				f.Kind, f.Nodes, f.Fields = canonical.FactAccount, f.Nodes[1:], map[string]string{canonical.AccountTier: fmt.Sprint(i % 5)}
			case 1:
				f.Kind, f.Nodes, f.Consent = canonical.FactConsent, f.Nodes[:1], &canonical.Consent{AdUserData: new(bool)}
			case 2:
				f.Nodes, f.Weak, f.Role = []canonical.Identifier{node(canonical.HubSpotDeal), f.Nodes[0]}, true, "31"
			}
		case 9:
			f.Kind = []canonical.FactKind{canonical.FactUnmerge, canonical.FactBlock, canonical.FactAllow}[r.IntN(3)]
			f.Nodes = []canonical.Identifier{node(canonical.HubSpotContact), node(canonical.HubSpotContact)}
		case 10:
			f.Kind, f.Nodes, f.Removed = canonical.FactDeletion, []canonical.Identifier{node(canonical.HubSpotContact)}, r.IntN(2) == 0
		case 11:
			f.Kind, f.Weak = canonical.FactLink, true
			f.Nodes = []canonical.Identifier{node(canonical.Email), {Scheme: canonical.Anonymous, Value: "kiosk"}}
			if r.IntN(20) == 0 {
				f = canonical.Fact{Kind: canonical.FactGuards, At: f.At, Guards: &canonical.Guards{Crowd: 1 + r.IntN(3), Limit: 1 + r.IntN(5)}}
			}
		case 8:
			f.Kind, f.Nodes = canonical.FactStage, []canonical.Identifier{node(canonical.HubSpotContact, canonical.HubSpotDeal)}
			f.Stage = &canonical.StageReached{Name: "qualified_lead", Rank: 2, At: f.At, EventID: canonical.EventID(fmt.Sprint("e", i))}
		default:
			f.Kind, f.Nodes = canonical.FactTouch, []canonical.Identifier{node(canonical.Anonymous)}
			f.Touch = &canonical.Touch{Kind: "ad_click", At: f.At, Clicks: []canonical.Click{{Scheme: canonical.GCLID, Value: fmt.Sprint(r.IntN(people)), At: f.At}}}
		}
		out[i] = identity.Folded{Offset: int64(2 * i), Fact: f}
	}
	return out
}

func mustOpen(t *testing.T, s identity.Store) *identity.View {
	t.Helper()
	v, err := identity.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func set(k, v string) identity.Write { return identity.Write{Key: []byte(k), Value: []byte(v)} }

func apply(t *testing.T, s identity.Store, writes ...identity.Write) {
	t.Helper()
	if err := s.Apply(writes); err != nil {
		t.Fatal(err)
	}
}

func all(t *testing.T, s identity.Store, lo, hi string) string {
	t.Helper()
	var out string
	if err := s.Range([]byte(lo), []byte(hi), func(k, v []byte) bool {
		out += string(k) + "=" + string(v) + " "
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}
