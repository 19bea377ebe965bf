package delivery

import (
	"context"
	"fmt"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A Forgetter knows who asked to be forgotten.
type Forgetter interface {
	// Forget says whether an event's own person is erased; of any other event it takes out what
	// it knows of people who are.
	Forget(e *canonical.Event) bool
	// ErasedNode says whether a node is erased to whoever kept something of it at a time.
	ErasedNode(n canonical.NodeID, kept time.Time) bool
	// ErasedUpTo is the identity offset of the newest erasure, -1 where there is none.
	ErasedUpTo() int64
}

// forget says whether a job's person is erased, and takes others who are out of it.
func (r *run) forget(j *job) bool {
	if r.Erased == nil {
		return false
	}
	e := j.event
	e.Known = &j.known
	if r.Erased.Forget(&e) {
		return true
	}
	j.known, e.Known = *e.Known, j.event.Known
	j.event = e
	return false
}

// isErased says whether somebody whom an item would tell of is erased by now.
func (r *run) isErased(item *destinations.Item) bool {
	if r.Erased == nil {
		return false
	}
	e := item.Event
	e.Known = &item.Known
	return r.Erased.Forget(&e)
}

// leavesOut takes people who are erased out of an item of somebody else, and says whether there
// were any.
func (r *run) leavesOut(item *destinations.Item) bool {
	e := item.Event
	e.Known = &item.Known
	whole := e
	if r.Erased.Forget(&e) || !e.Less(&whole) {
		return false
	}
	item.Known, e.Known = *e.Known, item.Event.Known
	item.Event = e
	return true
}

// forgettable is true for a state that an erasure ends, or whose content it takes away.
func forgettable(d canonical.Delivery) bool {
	switch d.State {
	case canonical.StateDead, canonical.StateParked:
		return true
	case canonical.StateSuppressed:
		return d.Reason != canonical.ReasonErased && (len(d.Body) > 0 || d.Content != nil || d.Known != nil)
	}
	return false
}

// forgetErased ends what waits here for somebody who was erased since the last look.
func (r *run) forgetErased(ctx context.Context) error {
	if r.Erased == nil {
		return nil
	}
	now := r.Erased.ErasedUpTo()
	if now <= r.erased {
		return nil
	}
	if _, err := r.Forget(ctx, false, nil); err != nil {
		return err
	}
	r.erased = now
	return nil
}

// Forget ends what the ledger keeps at this destination of people who are erased: parked, held
// and dead parts and bodies of dry runs become suppressed as erased, without their content. It
// counts them by the state they were in; dry only counts, of the people whose nodes also names.
// Any process may do it, at any time and again.
func (l *Lane) Forget(ctx context.Context, dry bool, also func(canonical.NodeID) bool) (map[canonical.State]int, error) {
	counts := map[canonical.State]int{}
	var out []canonical.Delivery
	now := time.Now().UTC()
	err := l.Ledger.each(l.Name, func(d canonical.Delivery) {
		if !forgettable(d) {
			return
		}
		if !l.tellsOf(d, also) {
			if l.leaveOut(&d) {
				out = append(out, d)
			}
			return
		}
		counts[d.State]++
		out = append(out, canonical.Delivery{
			Destination: l.Name, Event: d.Event, Part: d.Part, State: canonical.StateSuppressed, Reason: canonical.ReasonErased,
			At: now, ReplayID: d.ReplayID, Attempt: d.Attempt, Mode: d.Mode, Owner: l.Owner,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("forget at %s: %w", l.Name, err)
	}
	if dry {
		return counts, nil
	}
	for len(out) > 0 {
		n := min(len(out), 1000)
		if err := l.write(ctx, out[:n]); err != nil {
			return counts, err
		}
		out = out[n:]
	}
	return counts, nil
}

// leaveOut takes people who are erased out of what waits for somebody else.
func (l *Lane) leaveOut(d *canonical.Delivery) bool {
	if d.Content == nil || d.State != canonical.StateParked || l.Erased == nil {
		return false
	}
	e := *d.Content
	if l.Erased.Forget(&e) || !e.Less(d.Content) {
		return false
	}
	d.Content = &e
	return true
}

// tellsOf says whether a state holds something of somebody erased, or of a node that also
// names.
func (l *Lane) tellsOf(d canonical.Delivery, also func(canonical.NodeID) bool) bool {
	if d.Content == nil {
		return d.Node != 0 && (l.Erased != nil && l.Erased.ErasedNode(d.Node, d.At) || also != nil && also(d.Node))
	}
	e := *d.Content
	if also != nil {
		if also(e.Node) {
			return true
		}
		for _, id := range e.Identifiers {
			if also(id.Node()) {
				return true
			}
		}
	}
	return l.Erased != nil && l.Erased.Forget(&e)
}
