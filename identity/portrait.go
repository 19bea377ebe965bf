package identity

import (
	"cmp"
	"slices"
	"time"

	"tributary/canonical"
)

// A Portrait is what a View holds of the person, account or deal of one identifier.
type Portrait struct {
	Offset int64  `json:"offset"` // of the last fact that it knows
	Asked  Member `json:"asked"`
	Party  *Party `json:"party,omitempty"` // of a deal none
	// Ties are those between the identifiers, and Stopped those to others that do not join.
	Ties     []Tie                  `json:"ties"`
	Stopped  []Tie                  `json:"stopped"`
	Devices  []canonical.Identifier `json:"devices,omitempty"`  // shared ones that were in its hands, or may have been
	Accounts []Belonging            `json:"accounts,omitempty"` // of a person or deal
	Contacts []Belonging            `json:"contacts,omitempty"` // of a deal, the one that counts first
	Deals    []canonical.Identifier `json:"deals,omitempty"`    // of a person
	Fields   map[string]string      `json:"fields,omitempty"`   // of an account
	Consent  *canonical.Consent     `json:"consent,omitempty"`
	Touches  []Touched              `json:"touches"`
	Stages   []Reached              `json:"stages"`        // with those of its deals
	Cut      bool                   `json:"cut,omitempty"` // lists are longer than they are given here
}

// A Belonging is an association with an account, or of a deal with a contact.
type Belonging struct {
	canonical.Identifier
	Party   canonical.NodeID `json:"id"`     // the account, or the person
	Counts  bool             `json:"counts"` // it is the one that counts
	Primary bool             `json:"primary,omitempty"`
	Since   time.Time        `json:"since,omitzero"`
	Ended   bool             `json:"ended,omitempty"` // no longer so
	Roles   []string         `json:"roles,omitempty"`
}

// A Touched is a touch as it is kept, on the device that brought it.
type Touched struct {
	On canonical.Identifier `json:"on"`
	canonical.Touch
}

// A Reached is a stage with the record that reached it.
type Reached struct {
	On canonical.Identifier `json:"on"`
	canonical.StageReached
}

// About gives the portrait of an identifier's person, account or deal; false where no
// fact named it.
func (v *View) About(id canonical.NodeID) (Portrait, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := newState(v.store, v.warm, 0)
	n := s.look(id)
	if n == nil {
		return Portrait{}, false
	}
	p := Portrait{Offset: v.offset, Asked: s.described([]canonical.NodeID{id}, 1)[0], Ties: []Tie{}, Stopped: []Tie{}, Touches: []Touched{}, Stages: []Reached{}}
	nodes := []canonical.NodeID{id}
	if graphOf(n.scheme) == noGraph {
		for i, c := range v.contactsOf(id) {
			p.Contacts = append(p.Contacts, Belonging{Identifier: c.node.identifier(), Party: c.root, Counts: i == 0, Primary: c.primary, Since: timeOf(c.began), Roles: c.roles})
		}
	} else {
		all := s.party(n, shownMembers)
		p.Party = &all
		nodes = s.members(s.clusterOf(n))
		v.drawTies(&p, s, n)
	}
	v.drawAccounts(&p, s, nodes)
	v.drawTouches(&p, id)
	for _, d := range p.Deals {
		nodes = append(nodes, d.Node())
	}
	for _, m := range nodes {
		for _, st := range v.history(m) {
			p.Stages = append(p.Stages, Reached{s.look(m).identifier(), st})
		}
	}
	slices.SortStableFunc(p.Stages, func(x, y Reached) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Rank, y.Rank)) })
	return p, true
}

// drawTies fills in what ties the identifiers to each other, and to whom they are not
// joined.
func (v *View) drawTies(p *Portrait, s *state, n *node) {
	c := s.clusterOf(n)
	for _, id := range s.members(c) {
		for _, st := range s.stepsFrom(s.look(id)) {
			inside := st.b.cluster == c.id
			if inside && st.b.id < st.a.id {
				continue // it stands in both directions
			}
			list := &p.Ties
			if !inside {
				list = &p.Stopped
			}
			if len(*list) == shownTies {
				p.Cut = true
				continue
			}
			*list = append(*list, v.tie(st))
		}
	}
	p.Cut = p.Cut || c.size > shownMembers
}

// drawAccounts fills in accounts, deals and fields.
func (v *View) drawAccounts(p *Portrait, s *state, nodes []canonical.NodeID) {
	belongs := make(map[canonical.NodeID]membership)
	for _, id := range nodes {
		memberships(v.store, id, belongs)
		v.dealsOf(id, func(deal canonical.NodeID) {
			if d := s.look(deal); d != nil && !slices.Contains(p.Deals, d.identifier()) {
				p.Deals = append(p.Deals, d.identifier())
			}
		})
	}
	best := v.bestAccount(belongs, nanos(latest))
	for _, id := range sortedKeys(belongs) {
		n := s.look(id)
		if n == nil || graphOf(n.scheme) != accounts {
			continue
		}
		present, primary := belongs[id].is()
		p.Accounts = append(p.Accounts, Belonging{Identifier: n.identifier(), Party: s.clusterOf(n).root, Counts: id == best, Primary: primary,
			Since: timeOf(belongs[id].since()), Ended: !present, Roles: belongs[id].roles()})
	}
	slices.SortStableFunc(p.Accounts, func(x, y Belonging) int { return y.Since.Compare(x.Since) })
	if p.Party != nil && p.Party.Account {
		p.Fields = v.fieldsOf(p.Asked.Node)
	}
}

// drawTouches fills in the touches, the newest first, and the consent.
func (v *View) drawTouches(p *Portrait, id canonical.NodeID) {
	pr := v.person(id)
	if pr == nil {
		return
	}
	p.Consent = pr.consent
	var all []touchSeen
	for _, list := range v.touchesOf(pr) {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(x, y touchSeen) int { return y.compare(x) })
	for _, t := range all {
		if len(p.Touches) == shownTies {
			p.Cut = true
			break
		}
		on := lookNode(v.store, v.warm, keyWord([]byte(t.key)))
		if touch := v.touchKept(t); touch != nil && on != nil {
			p.Touches = append(p.Touches, Touched{on.identifier(), *touch})
		}
	}
	for _, d := range pr.devices {
		if n := lookNode(v.store, v.warm, d); n != nil {
			p.Devices = append(p.Devices, n.identifier())
		}
	}
}

// Party gives the person or account of a node with the first of its identifiers; false where no
// fact named it, and of a deal.
func (v *View) Party(n canonical.NodeID) (Party, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := newState(v.store, v.warm, 0)
	nd := s.look(n)
	if nd == nil || graphOf(nd.scheme) == noGraph {
		return Party{}, false
	}
	return s.party(nd, shownMembers), true
}
