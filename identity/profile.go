package identity

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"tributary/canonical"
)

// A profile is what a View keeps in memory of one person: what Known needs, gathered
// over all its nodes.
type profile struct {
	root        canonical.NodeID
	nodes       []canonical.NodeID // ascending
	identifiers []canonical.Identifier
	clicks      []clickSeen
	touches     [2][]touchSeen     // by class: the first and the newest, ascending
	devices     []canonical.NodeID // shared ones that it is linked to: see touchesOf, clicksOf
	belongs     map[canonical.NodeID]membership
	company     canonical.NodeID  // the account's node now
	fields      map[string]string // of an account
	consent     *canonical.Consent
}

// A clickSeen is a click id of a person; timed when a touch brought it.
type clickSeen struct {
	scheme canonical.Scheme
	value  string
	node   canonical.NodeID
	timed  bool
}

// A touchSeen is a touch of a person: its time and where it is kept.
type touchSeen struct {
	at  int64
	key string
}

func (t touchSeen) compare(o touchSeen) int {
	// The hash of what it says comes before the node: copies on several nodes stand together.
	const hash = groupLen + 1 + 8
	return cmp.Or(cmp.Compare(t.at, o.at), cmp.Compare(t.key[hash:], o.key[hash:]), cmp.Compare(t.key, o.key))
}

// person gives the profile of a node's person; nil for a node that is not known. The
// caller holds v.mu.
func (v *View) person(n canonical.NodeID) *profile {
	nd := lookNode(v.store, v.warm, n)
	if nd == nil {
		return nil
	}
	if p, ok := v.warm.people.Get(nd.cluster); ok {
		return p
	}
	p := v.gather(nd)
	v.warm.people.Add(nd.cluster, p)
	return p
}

func (v *View) gather(n *node) *profile {
	c := lookCluster(v.store, v.warm, n)
	p := &profile{root: c.root, nodes: v.members(c), belongs: make(map[canonical.NodeID]membership)}
	var all []*node
	var consent consents
	fields := make(map[string]field)
	for _, id := range p.nodes {
		m := lookNode(v.store, v.warm, id)
		all = append(all, m)
		shared := m.cut == sharedDevice && c.anchors > 0 // allowed; what it brought is of whose hands it was in
		if m.touches {
			consent = newerConsent(v.store, id, consent)
		}
		if m.touches && !shared {
			p.addTouches(v.store, id)
		}
		if m.clicks && !shared {
			p.addClicks(v.store, id)
		}
		if m.accounts {
			memberships(v.store, id, p.belongs)
			addFields(v.store, id, fields)
		}
		if m.scheme.IsClick() {
			p.clicks = append(p.clicks, clickSeen{m.scheme, m.value, id, false})
		}
	}
	for class := range p.touches {
		slices.SortFunc(p.touches[class], touchSeen.compare)
		if t := p.touches[class]; len(t) > knownTouches+1 {
			p.touches[class] = append(t[:1:1], t[len(t)-knownTouches:]...)
		}
	}
	p.devices = v.sharedBy(all)
	p.identifiers = knownIdentifiers(all)
	p.company = v.bestAccount(p.belongs, math.MaxInt64)
	p.consent = consent.said()
	for name, said := range fields {
		if said.Value != "" {
			if p.fields == nil {
				p.fields = make(map[string]string)
			}
			p.fields[name] = said.Value
		}
	}
	return p
}

func (p *profile) addTouches(store Store, n canonical.NodeID) {
	prefix := key(keyTouch, uint64(n))
	must(store.Range(prefix, after(prefix), func(k, _ []byte) bool {
		r := reader{b: k[groupLen:]}
		class := r.byte()
		p.touches[class&1] = append(p.touches[class&1], touchSeen{unordered(r.word()), string(k)})
		return true
	}))
}

func (p *profile) addClicks(store Store, n canonical.NodeID) {
	prefix := key(keyClick, uint64(n))
	must(store.Range(prefix, after(prefix), func(k, _ []byte) bool {
		r := reader{b: k[groupLen:]}
		s := canonical.Scheme(r.take(int(r.byte())))
		id := canonical.Identifier{Scheme: s, Value: string(r.b)}
		p.clicks = append(p.clicks, clickSeen{s, id.Value, id.Node(), true})
		return true
	}))
}

// memberships adds what associations say of a node.
func memberships(store Store, n canonical.NodeID, to map[canonical.NodeID]membership) {
	prefix := key(keyAccount, uint64(n))
	must(store.Range(prefix, after(prefix), func(k, v []byte) bool {
		m, err := decodeMembership(v)
		must(err)
		other := lastWord(k)
		to[other] = to[other].join(m)
		return true
	}))
}

// bestAccount chooses among associations: companies before domains; those said to hold by
// the time before those that may have held then, and these before those that hold only now;
// the primary one before others; then what was said last; then the smaller node. Zero: none
// holds.
func (v *View) bestAccount(belongs map[canonical.NodeID]membership, at int64) canonical.NodeID {
	type candidate struct {
		strength, then, primary int
		since                   int64
		id                      canonical.NodeID
	}
	var list []candidate
	for id, m := range belongs {
		n := lookNode(v.store, v.warm, id)
		if n == nil || graphOf(n.scheme) != accounts {
			continue
		}
		c := candidate{strength: n.scheme.Strength(), since: m.since(), id: id}
		if t := m.newest(isThere, isPrimary, at); t.set {
			c.since = t.at
		}
		present, primary := m.held(at)
		switch {
		case !present:
			present, primary = m.is()
			c.then, c.since = 2, m.since()
		case m[0].at > at:
			c.then = 1
		}
		if !present {
			continue
		}
		if !primary {
			c.primary = 1
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return 0
	}
	return slices.MinFunc(list, func(x, y candidate) int {
		return cmp.Or(cmp.Compare(x.strength, y.strength), cmp.Compare(x.then, y.then), cmp.Compare(x.primary, y.primary),
			cmp.Compare(y.since, x.since), cmp.Compare(x.id, y.id))
	}).id
}

// knownIdentifiers lists who a person is: the strongest schemes first, CRM contacts that
// no merge took away before the others, then by time first seen. Click ids are not
// among them: see Known.Clicks.
func knownIdentifiers(nodes []*node) []canonical.Identifier {
	list := slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool {
		return n.scheme.IsClick() || graphOf(n.scheme) != people
	})
	slices.SortFunc(list, func(x, y *node) int {
		if c := cmp.Or(cmp.Compare(x.scheme.Strength(), y.scheme.Strength()), cmp.Compare(x.scheme, y.scheme)); c != 0 {
			return c
		}
		if before(x, y) {
			return -1
		}
		return 1
	})
	var out []canonical.Identifier
	count := make(map[canonical.Scheme]int)
	for _, n := range list {
		if count[n.scheme]++; count[n.scheme] <= knownPerScheme && len(out) < knownAll {
			out = append(out, canonical.Identifier{Scheme: n.scheme, Value: n.value, Seen: timeOf(n.seen)})
		}
	}
	return out
}

// clicksAt gives the newest click of each scheme not later than at, by scheme. A click's
// time is when it was first seen, on whomever. A click id known only as an identifier,
// without the click itself, counts from then on where no real click of its scheme does.
func (v *View) clicksAt(p *profile, at int64) []canonical.Click {
	type found struct {
		click clickSeen
		at    int64
	}
	best := make(map[canonical.Scheme]found)
	for _, c := range v.clicksOf(p) {
		n := lookNode(v.store, v.warm, c.node)
		if n == nil || n.seen > at || n.value != c.value {
			continue
		}
		b, ok := best[c.scheme]
		better := !ok || c.timed && !b.click.timed
		if ok && c.timed == b.click.timed {
			better = n.seen > b.at || n.seen == b.at && c.value > b.click.value
		}
		if better {
			best[c.scheme] = found{c, n.seen}
		}
	}
	var out []canonical.Click
	for _, b := range best {
		out = append(out, canonical.Click{Scheme: b.click.scheme, Value: b.click.value, At: timeOf(b.at)})
	}
	slices.SortFunc(out, func(x, y canonical.Click) int {
		return cmp.Or(cmp.Compare(x.Scheme.Strength(), y.Scheme.Strength()), cmp.Compare(x.Scheme, y.Scheme))
	})
	return out
}

// touchesAt gives the first and the last touch not later than at, as far as they are
// kept: of those that say where the person came from, else of the others.
func (v *View) touchesAt(p *profile, at int64) (first, last *canonical.Touch) {
	for _, list := range v.touchesOf(p) {
		n, _ := slices.BinarySearchFunc(list, at, func(t touchSeen, at int64) int {
			if t.at <= at {
				return -1
			}
			return 1
		})
		if n > 0 {
			return v.touchKept(list[0]), v.touchKept(list[n-1])
		}
	}
	return nil, nil
}

func (v *View) touchKept(t touchSeen) *canonical.Touch {
	b, ok, err := v.store.Get([]byte(t.key))
	must(err)
	if !ok {
		must(errRecord)
	}
	var out canonical.Touch
	if err := json.Unmarshal(b, &out); err != nil {
		must(errRecord)
	}
	return &out
}
