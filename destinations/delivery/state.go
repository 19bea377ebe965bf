package delivery

import "tributary/canonical"

// State gives what stands of an event here, for people: the states of its parts.
func (l *Lane) State(key canonical.EventKey) ([]canonical.Delivery, error) {
	all, err := l.Ledger.Event(l.Name, key)
	if err != nil {
		return nil, err
	}
	return standing(all), nil
}

// standing leaves out the wait of a whole event that its parts have ended.
func standing(all []canonical.Delivery) []canonical.Delivery {
	var parts []canonical.Delivery
	for _, d := range all {
		if d.Part != "" || d.Reason != canonical.ReasonPlanned {
			parts = append(parts, d)
		}
	}
	return parts
}

// Each visits every event that has a state here, once, with the states of its parts.
func (l *Lane) Each(visit func(key canonical.EventKey, parts []canonical.Delivery)) error {
	var parts []canonical.Delivery
	err := l.Ledger.each(l.Name, func(d canonical.Delivery) {
		if len(parts) > 0 && parts[0].Event != d.Event {
			visit(parts[0].Event, standing(parts))
			parts = parts[:0]
		}
		parts = append(parts, d)
	})
	if err == nil && len(parts) > 0 {
		visit(parts[0].Event, standing(parts))
	}
	return err
}

// worse orders states by how much they want attention: what an event is at a destination
// is the worst of its parts. A part that was rightly not sent does not outweigh one that was.
var worse = map[canonical.State]int{
	canonical.StateSuppressed: 1, canonical.StateDelivered: 2, canonical.StateParked: 3, canonical.StateIntent: 4, canonical.StateDead: 5,
}

// Worst gives the worst state among an event's own parts; the zero Delivery when there are
// none. Of several in one state the reason that sorts last speaks, as in ClickHouse.
func Worst(parts []canonical.Delivery) canonical.Delivery {
	var w canonical.Delivery
	for _, d := range parts {
		if d.Part != planned(d.Part) { // sent once more by force: a story of its own
			continue
		}
		if more := worse[d.State] - worse[w.State]; more > 0 || more == 0 && d.Reason > w.Reason {
			w = d
		}
	}
	return w
}
