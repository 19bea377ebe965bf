package identity

import (
	"cmp"
	"slices"

	"tributary/canonical"
)

// A contact is one person among those associated with a deal.
type contact struct {
	node    *node // the record that the first of its associations goes on in
	root    canonical.NodeID
	primary bool
	began   int64
	roles   []string
}

// knownContacts is how many contacts of a deal Known gives.
const knownContacts = 10

// contactsOf lists the persons of a deal, the one that counts first: contacts of the CRM
// that stand before all else, the primary one before others, the earliest associated, the
// lowest record id. Nothing where the node is no deal or nobody is associated with it.
func (v *View) contactsOf(deal canonical.NodeID) []contact {
	d := lookNode(v.store, v.warm, deal)
	if d == nil || d.scheme != canonical.HubSpotDeal || !d.accounts {
		return nil
	}
	belongs := make(map[canonical.NodeID]membership)
	memberships(v.store, deal, belongs)
	var all []contact
	for id, m := range belongs {
		n := lookNode(v.store, v.warm, id)
		present, primary := m.is()
		if !present || n == nil || graphOf(n.scheme) != people {
			continue
		}
		all = append(all, contact{node: v.survivor(n), root: v.root(id), primary: primary, began: m.began(), roles: m.roles()})
	}
	slices.SortFunc(all, contact.compare)
	var out []contact
	place := make(map[canonical.NodeID]int, len(all)) // by person
	for _, c := range all {                           // those of one person are one, by the first
		i, known := place[c.root]
		if !known {
			place[c.root] = len(out)
			out = append(out, c)
			continue
		}
		out[i].roles = slices.Compact(slices.Sorted(slices.Values(slices.Concat(out[i].roles, c.roles))))
	}
	return out
}

func (c contact) compare(o contact) int {
	first := func(c contact) int {
		if c.primary {
			return 0
		}
		return 1
	}
	_, a := recordID(c.node.value)
	_, b := recordID(o.node.value)
	return cmp.Or(cmp.Compare(c.node.standing(), o.node.standing()), cmp.Compare(first(c), first(o)), cmp.Compare(c.began, o.began),
		compareIDs(a, b), cmp.Compare(c.node.id, o.node.id))
}

// contactOf gives the contact of a deal that counts; zero where there is none.
func (v *View) contactOf(deal canonical.NodeID) canonical.NodeID {
	if all := v.contactsOf(deal); len(all) > 0 {
		return all[0].node.id
	}
	return 0
}

// knownOf gives the contacts of the deal that an event is about, with what is known of
// each who is not the event's own person.
func (v *View) knownOf(e canonical.Event, own canonical.PersonID, at int64) []canonical.DealContact {
	deal, ok := canonical.ObjectIdentifier(e.Object)
	if !ok || deal.Scheme != canonical.HubSpotDeal {
		return nil
	}
	var out []canonical.DealContact
	for _, c := range v.contactsOf(deal.Node()) {
		if len(out) == knownContacts {
			break
		}
		known := canonical.DealContact{Node: c.node.id, Person: c.root, Primary: c.primary, Since: timeOf(c.began), Roles: c.roles}
		if p := v.person(c.node.id); p != nil && p.root != own {
			known.Identifiers, known.Clicks = slices.Clone(p.identifiers), v.clicksAt(p, at)
			known.FirstTouch, known.LastTouch = v.touchesAt(p, at)
			known.Consent = p.consent
		}
		out = append(out, known)
	}
	return out
}
