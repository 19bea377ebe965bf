package delivery

import (
	"slices"
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
	who := r.whose(j)
	slot := slotAt(who.Node, j.event.Name)
	holder, own, err := r.holder(p.Name, who, j.event.Name, j.event.Key())
	if own == "" && err == nil && j.event.Recycle != "" {
		_, own, err = r.holder(p.Name, who, againName(j.event.Name, j.event.ID), j.event.Key())
	}
	if err != nil {
		return "", err
	}
	if own != "" { // it holds the slot itself: decided before, and not to be judged again
		s.slot = own
		r.taken[slotKey{p.Name, own}] = j.event.Key() // until the turn is over, whatever comes of it meanwhile
		return "", nil
	}
	told := courseOf(j.event, j.event.ID, who.Stages)
	if reason := told.reason(j.event, holder); reason != "" && !j.forced {
		if !sentAgain(j.event, reason) {
			return reason, nil
		}
		for _, id := range told.stay(j.event.Name) {
			if holder != nil && holder.ID == id {
				return canonical.ReasonReReport, nil
			}
			switch other, _, err := r.holder(p.Name, who, againName(j.event.Name, id), j.event.Key()); {
			case err != nil:
				return "", err
			case other != nil:
				return canonical.ReasonReReport, nil
			}
		}
		holder, slot = nil, slotAt(who.Node, againName(j.event.Name, j.event.ID))
	}
	if holder != nil || s.part != p.Name { // forced: it is sent beside the one that holds the slot, or beside itself
		return "", nil
	}
	s.slot = slot
	r.taken[slotKey{p.Name, slot}] = j.event.Key()
	return "", nil
}

// whose says whom an event counts for: whose slots and stages decide on it. Its own slot is taken
// under Node.
func (r *run) whose(j job) canonical.Counted {
	node := slotNode(j.event)
	if j.event.CountedBy == "deal" {
		return canonical.Counted{Node: node, Nodes: []canonical.NodeID{node}, Stages: r.People.History(node)}
	}
	if j.event.Node == 0 && j.known.Person != 0 { // a deal that found its contact later
		node = j.known.Person
	}
	return r.People.Counted(node, j.event.OccurredAt)
}

// holder finds who holds a name's slot under some nodes: the event itself, which then has the
// slot own, or else another event. Both do where two became one after both had taken a slot. What
// took one under a device before that was shared keeps it from the one in whose hands it was.
func (r *run) holder(part string, who canonical.Counted, name string, self canonical.EventKey) (other *canonical.EventKey, own string, err error) {
	for i, n := range slices.Concat(who.Nodes, who.Shared) {
		k := slotKey{part, slotAt(n, name)}
		key, held, err := r.holds(k)
		if err == nil && !held { // what was imported of the past became no parts
			key, held, err = r.holds(slotKey{"", k.slot})
		}
		if err != nil {
			return nil, "", err
		}
		if held && key == self {
			return nil, k.slot, nil
		}
		if held && other == nil && (i < len(who.Nodes) || isAmong(who.Stages, key)) {
			other = &key
		}
	}
	return other, "", nil
}

// holds gives who holds one slot, in this turn or by the ledger.
func (r *run) holds(k slotKey) (canonical.EventKey, bool, error) {
	if key, held := r.taken[k]; held {
		return key, true, nil
	}
	return r.Ledger.Holder(r.Name, k.part, k.slot)
}

// isAmong is true where an event's stage is one of these.
func isAmong(stages []canonical.StageReached, e canonical.EventKey) bool {
	return slices.ContainsFunc(stages, func(h canonical.StageReached) bool { return h.EventID == e.ID && h.Name == e.Name })
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
	return courseOf(j.event, j.event.ID, r.whose(j).Stages).reason(j.event, nil) == canonical.ReasonRecycled, err
}
