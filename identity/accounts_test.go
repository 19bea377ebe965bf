package identity_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/identity/memstore"
)

func yes() *canonical.Consent { v := true; return &canonical.Consent{AdUserData: &v} }
func no() *canonical.Consent  { return &canonical.Consent{AdUserData: new(bool)} }

func agrees(d int, n canonical.Identifier, c *canonical.Consent) canonical.Fact {
	return canonical.Fact{Kind: canonical.FactConsent, At: day(d), Nodes: []canonical.Identifier{n}, Consent: c}
}

func account(d int, n canonical.Identifier, found bool, pairs ...string) canonical.Fact {
	f := canonical.Fact{Kind: canonical.FactAccount, At: day(d), Nodes: []canonical.Identifier{n}, Weak: found, Fields: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		f.Fields[pairs[i]] = pairs[i+1]
	}
	return f
}

// dealings gives facts about few accounts, deals and people, so that they meet and
// contradict each other.
func dealings(r *rand.Rand, n int) []canonical.Fact {
	person := func() canonical.Identifier {
		return id([]canonical.Scheme{canonical.HubSpotContact, canonical.HubSpotContact, canonical.Email}[r.IntN(3)], 1+r.IntN(4))
	}
	company := func() canonical.Identifier {
		return id([]canonical.Scheme{canonical.HubSpotCompany, canonical.HubSpotCompany, canonical.Domain}[r.IntN(3)], 1+r.IntN(4))
	}
	facts := make([]canonical.Fact, n)
	for i := range facts {
		d := r.IntN(15)
		switch p := r.IntN(20); {
		case p < 1:
			facts[i] = link(d, false, person(), person())
		case p < 2:
			facts[i] = merge(d, company(), company())
		case p < 3:
			facts[i] = merge(d, id(canonical.HubSpotContact, 1+r.IntN(4)), id(canonical.HubSpotContact, 1+r.IntN(4)))
		case p < 12:
			facts[i] = says(d, person(), company(), r.IntN(3) == 0, r.IntN(3) == 0)
			if r.IntN(2) == 0 {
				facts[i].Nodes = []canonical.Identifier{bigDeal, person()}
			}
			if facts[i].Weak = r.IntN(3) == 0; facts[i].Weak {
				facts[i].Removed = false
			}
			if r.IntN(4) == 0 {
				facts[i].Role = fmt.Sprint(30 + r.IntN(2))
			}
		case p < 16:
			facts[i] = account(d, company(), r.IntN(2) == 0, canonical.AccountFields[r.IntN(3)], []string{"", "a", "b"}[r.IntN(3)], canonical.AccountParent, fmt.Sprint(r.IntN(3)))
		default:
			facts[i] = agrees(d, person(), []*canonical.Consent{yes(), no(), {DataProcessing: []string{"LDU"}}, {DataProcessing: []string{}}}[r.IntN(4)])
		}
	}
	return facts
}

// A modelPair is what is kept of one pair: all that was told, the first and the last of each
// kind found.
type modelPair struct{ said []canonical.Fact }

func modelPairs(facts []canonical.Fact, of func(canonical.NodeID) bool) map[canonical.NodeID]modelPair {
	out := map[canonical.NodeID]modelPair{}
	for _, one := range modelFound(facts) {
		if n := one.Nodes[0].Node(); of(n) {
			to := out[one.Nodes[1].Node()]
			to.said = append(to.said, one)
			out[one.Nodes[1].Node()] = to
		}
	}
	return out
}

func modelFound(facts []canonical.Fact) (out []canonical.Fact) {
	like := func(f, o canonical.Fact) bool {
		return o.Kind == f.Kind && o.Weak && f.Nodes[0] == o.Nodes[0] && f.Nodes[1] == o.Nodes[1] && f.Primary == o.Primary && f.Role == o.Role
	}
	for _, f := range facts {
		if f.Kind != canonical.FactAssociation || f.Nodes[0] == f.Nodes[1] {
			continue
		}
		earlier := slices.ContainsFunc(facts, func(o canonical.Fact) bool { return like(f, o) && o.At.Before(f.At) })
		later := slices.ContainsFunc(facts, func(o canonical.Fact) bool { return like(f, o) && o.At.After(f.At) })
		if !f.Weak || !earlier || !later {
			out = append(out, f)
		}
	}
	return out
}

// upTo says what holds of a pair by what was said up to a time, and since when.
func (p modelPair) upTo(at time.Time) (there, primary bool, since time.Time, any bool) {
	var gone time.Time
	for _, f := range p.said {
		if f.Removed && f.Role == "" && !f.At.After(at) && f.At.After(gone) {
			gone = f.At
		}
	}
	for _, f := range p.said {
		if f.At.After(at) {
			continue
		}
		any = true
		if !f.Removed && f.At.After(since) {
			since = f.At
		}
		if !f.Removed && !f.At.Before(gone) {
			there, primary = true, primary || f.Primary
		}
	}
	return there, primary, since, any
}

func modelAccount(facts []canonical.Fact, roots map[canonical.NodeID]canonical.NodeID, ids map[canonical.NodeID]canonical.Identifier, person canonical.NodeID, at time.Time) canonical.NodeID {
	type option struct {
		strength, then, other int
		since                 time.Time
		id                    canonical.NodeID
	}
	var list []option
	end := day(1000)
	for n, p := range modelPairs(facts, func(n canonical.NodeID) bool { return roots[n] == person }) {
		if !ids[n].Scheme.IsAccount() {
			continue
		}
		now, nowPrimary, newest, _ := p.upTo(end)
		there, primary, since, any := p.upTo(at)
		if !any {
			told := slices.DeleteFunc(slices.Clone(p.said), func(f canonical.Fact) bool { return f.Weak })
			slices.SortFunc(told, func(x, y canonical.Fact) int {
				return cmp.Or(x.At.Compare(y.At), cmp.Compare(fmt.Sprint(x.Removed), fmt.Sprint(y.Removed)))
			})
			there, primary = now, nowPrimary
			if len(told) > 0 {
				there, primary = told[0].Removed, false
			}
		}
		o := option{strength: ids[n].Scheme.Strength(), since: since, id: n}
		if o.since.IsZero() {
			o.since = newest
		}
		switch {
		case !there:
			there, primary, o.then, o.since = now, nowPrimary, 2, newest
		case !any:
			o.then = 1
		}
		if !primary {
			o.other = 1
		}
		if there {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return 0
	}
	return roots[slices.MinFunc(list, func(x, y option) int {
		return cmp.Or(cmp.Compare(x.strength, y.strength), cmp.Compare(x.then, y.then), cmp.Compare(x.other, y.other), y.since.Compare(x.since), cmp.Compare(x.id, y.id))
	}).id]
}

func modelFields(facts []canonical.Fact, roots map[canonical.NodeID]canonical.NodeID, root canonical.NodeID) map[string]string {
	at, out := map[string]time.Time{}, map[string]string{}
	for _, f := range facts {
		for name, v := range f.Fields {
			if old, had := out[name]; roots[f.Nodes[0].Node()] == root && (!had || f.At.After(at[name]) || f.At.Equal(at[name]) && v > old) {
				at[name], out[name] = f.At, v
			}
		}
	}
	maps.DeleteFunc(out, func(_, v string) bool { return v == "" })
	return out
}

func modelConsent(facts []canonical.Fact, roots map[canonical.NodeID]canonical.NodeID, root canonical.NodeID) *canonical.Consent {
	rank := func(f canonical.Fact) string {
		b, _ := json.Marshal(f.Consent)
		return fmt.Sprint(f.Consent.DeniesAds() || f.Consent.LimitsUse(), string(b))
	}
	newest := func(of func(*canonical.Consent) bool) *canonical.Consent {
		var best *canonical.Fact
		for _, f := range facts {
			if f.Consent != nil && of(f.Consent) && roots[f.Nodes[0].Node()] == root && (best == nil || f.At.After(best.At) || f.At.Equal(best.At) && rank(f) > rank(*best)) {
				best = &f
			}
		}
		if best == nil {
			return nil
		}
		return best.Consent
	}
	answer := newest(func(c *canonical.Consent) bool { return c.AdStorage != nil || c.AdUserData != nil })
	limit := newest(func(c *canonical.Consent) bool { return c.DataProcessing != nil })
	switch {
	case limit == nil:
		return answer
	case answer == nil:
		return limit
	}
	return &canonical.Consent{AdStorage: answer.AdStorage, AdUserData: answer.AdUserData, DataProcessing: limit.DataProcessing}
}

// modelRoots is model for dealings: their consents and account fields name nodes too.
func modelRoots(facts []canonical.Fact) (roots map[canonical.NodeID]canonical.NodeID, ids map[canonical.NodeID]canonical.Identifier) {
	ids = map[canonical.NodeID]canonical.Identifier{}
	plain := slices.Clone(facts)
	for i, f := range plain {
		for _, n := range f.Nodes {
			ids[n.Node()] = n
		}
		if f.Kind == canonical.FactAccount || f.Kind == canonical.FactConsent {
			plain[i] = canonical.Fact{Kind: canonical.FactStage, At: f.At, Nodes: f.Nodes}
		}
	}
	return model(plain), ids
}

func TestAccountsConsentsAndDealsEqualTheModel(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 31))
		facts := dealings(r, 5+r.IntN(60))
		roots, ids := modelRoots(facts)
		var digest [32]byte
		for turn := range 6 {
			v := folded(t, shuffled(r, facts), 1+r.IntN(20))
			if turn > 0 && v.Digest() != digest {
				t.Fatalf("seed %d: another digest in another order", seed)
			}
			digest = v.Digest()
			for n, root := range roots {
				switch {
				case ids[n].Scheme.IsAccount():
					if got, want := v.AccountFields(n), modelFields(facts, roots, root); !maps.Equal(got, want) {
						t.Fatalf("seed %d: fields of %v: %v, want %v, after%s", seed, ids[n], got, want, show(facts))
					}
				case ids[n].Scheme != canonical.HubSpotDeal:
					for _, at := range []int{0, 4, 7, 11, 1000} {
						k := v.Known(canonical.Event{Node: n, OccurredAt: day(at)})
						if want := modelAccount(facts, roots, ids, root, day(at)); k.Account != want {
							t.Fatalf("seed %d: account of %v on day %d: %v, want %v, after%s", seed, ids[n], at, ids[k.Account], ids[want], show(facts))
						}
						if !maps.Equal(k.Fields, modelFields(facts, roots, k.Account)) {
							t.Fatalf("seed %d: fields known %v", seed, k.Fields)
						}
						if want := modelConsent(facts, roots, root); !reflect.DeepEqual(k.Consent, want) {
							t.Fatalf("seed %d: consent of %v: %v, want %v", seed, ids[n], k.Consent, want)
						}
					}
				default:
					contacts := v.Known(canonical.Event{Object: canonical.Object{Type: "deal", ID: ids[n].Value}}).Contacts
					first := canonical.NodeID(0)
					if len(contacts) > 0 {
						first = contacts[0].Node
					}
					if want := modelContact(facts, roots, n); first != want {
						t.Fatalf("seed %d: contact %v counts, want %v, after%s", seed, ids[first], ids[want], show(facts))
					}
				}
			}
		}
		v := folded(t, facts, 7)
		if left := v.New(shuffled(r, facts)); len(left) != 0 {
			t.Fatalf("seed %d: said again but new:%s", seed, show(left))
		}
		fold(t, v, facts[:len(facts)/2], 3)
		if v.Digest() != digest {
			t.Fatalf("seed %d: another digest after saying again", seed)
		}
	}
}

// Which account a person had is asked for the time of the event, as far as notices date it.
func TestTheAccountAtTheTime(t *testing.T) {
	other := id(canonical.HubSpotCompany, 78)
	for name, c := range map[string]struct {
		facts []canonical.Fact
		want  map[int]canonical.Identifier
	}{
		"moved from one company to another": {
			[]canonical.Fact{says(2, lead, acme, true, false), says(9, lead, acme, false, true), says(9, lead, other, true, false)},
			map[int]canonical.Identifier{3: acme, 8: acme, 9: other, 20: other},
		},
		"before anything was told, what holds now": {
			[]canonical.Fact{says(5, lead, acme, true, false)}, map[int]canonical.Identifier{1: acme, 5: acme},
		},
		"told only that it ended": {
			[]canonical.Fact{says(9, lead, acme, false, true), says(9, lead, other, false, false)}, map[int]canonical.Identifier{1: acme, 9: other},
		},
		"found, and nothing told": {
			[]canonical.Fact{found(5, lead, acme, false), found(9, lead, other, false)}, map[int]canonical.Identifier{1: other, 20: other, 6: acme},
		},
		"back again": {
			[]canonical.Fact{says(1, lead, acme, true, false), says(5, lead, acme, false, true), says(5, lead, other, false, false), says(8, lead, acme, true, false)},
			map[int]canonical.Identifier{2: acme, 6: other, 8: acme},
		},
	} {
		permute(c.facts, func(order []canonical.Fact) {
			v := folded(t, order, 1)
			for d, want := range c.want {
				if got := v.Known(canonical.Event{Node: lead.Node(), OccurredAt: day(d)}).Account; got != want.Node() {
					t.Errorf("%s: on day %d account %s, want %s, in%s", name, d, got, want.Value, show(order))
				}
			}
		})
	}
}

// What is found again and again is stated once; what was told is stated whenever it is new.
func TestAccountFieldsAreStatedWhereTheyChange(t *testing.T) {
	known := []canonical.Fact{account(5, acme, true, "tier", "tier_1", "owner", "7")}
	for name, c := range map[string]struct {
		fact   canonical.Fact
		stated bool
	}{
		"found again":               {account(9, acme, true, "tier", "tier_1", "owner", "7"), false},
		"found in part":             {account(9, acme, true, "owner", "7"), false},
		"found changed":             {account(9, acme, true, "tier", "tier_2", "owner", "7"), true},
		"found emptied":             {account(9, acme, true, "tier", ""), true},
		"one more field":            {account(9, acme, true, "tier", "tier_1", "target", "true"), true},
		"found changed, but before": {account(5, acme, true, "owner", "6"), false},
		"seen earlier than known":   {account(4, acme, true, "owner", "7"), true},
		"told at a later time":      {account(9, acme, false, "owner", "7"), true},
		"told at the same time":     {account(5, acme, false, "owner", "7"), false},
	} {
		if got := folded(t, known, 1).New([]canonical.Fact{c.fact}); len(got) > 0 != c.stated {
			t.Errorf("%s: stated %t, want %t", name, len(got) > 0, c.stated)
		}
	}
}

func TestConsentIsStatedWhereItChanges(t *testing.T) {
	known := []canonical.Fact{agrees(5, cookie, yes())}
	hours := func(n int, c *canonical.Consent) canonical.Fact {
		f := agrees(5, cookie, c)
		f.At = f.At.Add(time.Duration(n) * time.Hour)
		return f
	}
	for name, c := range map[string]struct {
		fact   canonical.Fact
		stated bool
	}{
		"the same yes within a day": {hours(23, yes()), false},
		"the same yes a day later":  {hours(24, yes()), true},
		"a no":                      {hours(1, no()), true},
		"a no at the same time":     {hours(0, no()), true},
		"a no before":               {hours(-1, no()), true}, // the node is seen earlier
		"limited use":               {hours(1, &canonical.Consent{DataProcessing: []string{"LDU"}}), true},
		"no limit":                  {hours(1, &canonical.Consent{DataProcessing: []string{}}), true},
	} {
		if got := folded(t, known, 1).New([]canonical.Fact{c.fact}); len(got) > 0 != c.stated {
			t.Errorf("%s: stated %t, want %t", name, len(got) > 0, c.stated)
		}
	}
	denied := folded(t, []canonical.Fact{agrees(5, cookie, no())}, 1)
	if got := denied.New([]canonical.Fact{hours(1, no())}); len(got) != 1 {
		t.Error("a no said again is left out")
	}
}

// A server that says with every event that it limits nothing lifts nobody's no, and one that
// limits does not either.
func TestALimitAnswersNoOtherQuestion(t *testing.T) {
	none, ldu := &canonical.Consent{DataProcessing: []string{}}, &canonical.Consent{DataProcessing: []string{"LDU"}}
	permute([]canonical.Fact{agrees(5, cookie, no()), agrees(6, cookie, ldu), agrees(8, cookie, none), agrees(4, cookie, yes())}, func(order []canonical.Fact) {
		k := folded(t, order, 2).Known(canonical.Event{Node: cookie.Node(), OccurredAt: day(9)})
		if k.Consent == nil || !k.Consent.DeniesAds() || k.Consent.LimitsUse() || k.Consent.DataProcessing == nil {
			t.Fatalf("%v: %+v", order, k.Consent)
		}
	})
	if got := folded(t, []canonical.Fact{agrees(5, cookie, no()), agrees(5, cookie, none)}, 1).New([]canonical.Fact{agrees(5, cookie, none)}); len(got) != 0 {
		t.Error("no limit is stated with every event")
	}
}

// A company that is merged away takes what was said of it, its domain and its people along.
func TestWhatIsSaidOfAnAccountFollowsItsMerge(t *testing.T) {
	kept := id(canonical.HubSpotCompany, 99)
	facts := []canonical.Fact{
		link(1, false, acme, site), says(2, lead, acme, true, false),
		account(3, acme, true, "owner", "7", "tier", "tier_2"), account(5, acme, false, "target", "true"),
		account(4, kept, true, "tier", "tier_1", "name", "Acme"), merge(8, kept, acme),
	}
	permute(facts, func(order []canonical.Fact) {
		k := folded(t, order, 2).Known(canonical.Event{Node: lead.Node(), OccurredAt: day(9)})
		want := map[string]string{"owner": "7", "tier": "tier_1", "name": "Acme", "target": "true"}
		if k.Account != kept.Node() || !maps.Equal(k.Fields, want) {
			t.Fatalf("account %s %v, in%s", k.Account, k.Fields, show(order))
		}
	})
}

func TestTheContactsOfADeal(t *testing.T) {
	third := id(canonical.HubSpotContact, 1003)
	facts := []canonical.Fact{
		found(6, bigDeal, lead, false), in("31", says(4, bigDeal, demo, false, false)), says(5, bigDeal, third, true, false),
		in("32", says(5, bigDeal, third, false, false)), in("32", says(7, bigDeal, third, false, true)), in("33", says(7, bigDeal, third, false, false)),
		link(3, false, third, work), touch(2, demo, canonical.Touch{Kind: "ad_click", Campaign: "abm", Page: "https://acme.example/pricing", Clicks: click(canonical.LIFatID, "li-9")}),
		agrees(3, third, no()), touch(9, lead, canonical.Touch{Kind: "ad_click", Clicks: click(canonical.GCLID, "late")}),
	}
	r := rand.New(rand.NewPCG(1, 32))
	for range 200 {
		v := folded(t, shuffled(r, facts), 1+r.IntN(5))
		k := v.Known(canonical.Event{Node: lead.Node(), Object: canonical.Object{Type: "deal", ID: "5"}, OccurredAt: day(8)})
		if len(k.Contacts) != 3 || k.Person != lead.Node() {
			t.Fatalf("contacts %+v", k.Contacts)
		}
		a, b, c := k.Contacts[0], k.Contacts[1], k.Contacts[2]
		if a.Node != third.Node() || !a.Primary || !a.Since.Equal(day(5)) || !slices.Equal(a.Roles, []string{"33"}) || a.Consent == nil || len(a.Identifiers) != 2 {
			t.Errorf("first %+v", a)
		}
		if b.Node != demo.Node() || b.Primary || !b.Since.Equal(day(4)) || !slices.Equal(b.Roles, []string{"31"}) || len(b.Clicks) != 1 || b.FirstTouch.Page != "https://acme.example/pricing" {
			t.Errorf("second %+v", b)
		}
		if c.Node != lead.Node() || c.Identifiers != nil || c.Clicks != nil {
			t.Errorf("the event's own person stands twice: %+v", c)
		}
	}
	if k := folded(t, facts, 3).Known(canonical.Event{Node: lead.Node(), Object: canonical.Object{Type: "contact", ID: "1001"}}); k.Contacts != nil {
		t.Errorf("an event about no deal: %+v", k.Contacts)
	}
}

// The statements kept of one pair are bounded, and what is kept does not depend on the order.
func TestStatementsOfOnePairAreBounded(t *testing.T) {
	var facts []canonical.Fact
	for d := range 200 {
		facts = append(facts, says(d, lead, acme, d%3 == 0, d%2 == 0))
	}
	v := open(t, memstore.New())
	for _, f := range shuffled(rand.New(rand.NewPCG(1, 33)), facts) {
		fold(t, v, v.New([]canonical.Fact{f}), 1)
	}
	if n := v.Offset() + 1; n > 150 {
		t.Errorf("%d of 200 notices became facts", n)
	}
	if v.Digest() != folded(t, facts, 50).Digest() {
		t.Error("what is kept depends on the order")
	}
	if got := v.Known(canonical.Event{Node: lead.Node(), OccurredAt: day(199)}).Account; got != acme.Node() {
		t.Errorf("account %s", got)
	}
}
