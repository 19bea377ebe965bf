package delivery

import (
	"strings"

	"tributary/canonical"
	"tributary/destinations"
)

// takeSlot takes the slot of a funnel event, looked up over all nodes of its person, or
// says why another event keeps it.
func (r *run) takeSlot(j job, p destinations.Part, s *send) (reason string, err error) {
	if SlotOf(j.event) == "" {
		return "", nil
	}
	node, nodes := r.slotNodes(j)
	slot := slotAt(node, j.event.Name)
	holder, own, err := r.holder(p.Name, nodes, j.event.Name, j.event.Key())
	if own == "" && err == nil && j.event.Recycle != "" {
		_, own, err = r.holder(p.Name, nodes, againName(j.event.Name, j.event.ID), j.event.Key())
	}
	if err != nil {
		return "", err
	}
	if own != "" { // it holds the slot itself: decided before, and not to be judged again
		s.slot = own
		r.taken[slotKey{p.Name, own}] = j.event.Key() // until the turn is over, whatever comes of it meanwhile
		return "", nil
	}
	history := r.People.History(nodes...)
	if reason := historyReason(j.event, history, holder); reason != "" && !j.forced {
		if !sentAgain(j.event, reason) {
			return reason, nil
		}
		for _, id := range stay(history, j.event.Name, j.event.OccurredAt) {
			if holder != nil && holder.ID == id {
				return canonical.ReasonReReport, nil
			}
			switch other, _, err := r.holder(p.Name, nodes, againName(j.event.Name, id), j.event.Key()); {
			case err != nil:
				return "", err
			case other != nil:
				return canonical.ReasonReReport, nil
			}
		}
		holder, slot = nil, slotAt(node, againName(j.event.Name, j.event.ID))
	}
	if holder != nil || s.part != p.Name { // forced: it is sent beside the one that holds the slot, or beside itself
		return "", nil
	}
	s.slot = slot
	r.taken[slotKey{p.Name, slot}] = j.event.Key()
	return "", nil
}

// slotNodes are the node that an event's slot is taken under, and all those that it is
// looked up under.
func (r *run) slotNodes(j job) (canonical.NodeID, []canonical.NodeID) {
	node := slotNode(j.event)
	if j.event.CountedBy == "deal" {
		return node, []canonical.NodeID{node}
	}
	if j.event.Node == 0 && j.known.Person != 0 { // a deal that found its contact later
		node = j.known.Person
	}
	return node, r.People.Cluster(node)
}

// holder finds who holds a name's slot under some nodes: another event, or the event itself,
// which then has the slot own.
func (r *run) holder(part string, nodes []canonical.NodeID, name string, self canonical.EventKey) (other *canonical.EventKey, own string, err error) {
	for _, n := range nodes {
		k := slotKey{part, slotAt(n, name)}
		key, held := r.taken[k]
		if !held {
			if key, held, err = r.Ledger.Holder(r.Name, part, k.slot); err != nil {
				return nil, "", err
			}
		}
		if held && key != self {
			return &key, "", nil
		}
		if held {
			return nil, k.slot, nil
		}
	}
	return nil, "", nil
}

// goesBack is true for a step back that the mapping has reported as lead_recycled.
func (r *run) goesBack(j job) (bool, error) {
	if e := j.event; e.Recycle != canonical.RecycleReport || e.Ignored != "" || e.Echo || e.CoveredBy != "" || SlotOf(e) == "" {
		return false, nil
	}
	states, err := r.Ledger.Event(r.Name, j.event.Key())
	for _, s := range states {
		if s.Slot != "" && !strings.Contains(s.Slot, "#") {
			return false, nil // it was a first reach when it was decided, and is not judged again
		}
	}
	_, nodes := r.slotNodes(j)
	return historyReason(j.event, r.People.History(nodes...), nil) == canonical.ReasonRecycled, err
}
