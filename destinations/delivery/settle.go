package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

var errStopped = errors.New("the lane stopped before this was sent")

// A settled batch: what was refused with others, to be sent in halves, and whether all of it
// was delivered.
type settled struct {
	refused []*send
	clean   bool
}

// settle records the outcomes: the one place where verdicts become states.
func (r *run) settle(ctx context.Context, batch []*send, q destinations.Request, status int, outcomes []destinations.Outcome, took time.Duration) (settled, error) {
	now := time.Now().UTC()
	changes := make([]canonical.Delivery, 0, len(batch))
	done := settled{clean: true}
	halted, after := "", time.Duration(0)
	retried, unread := true, true // every item
	alone := alone(batch)
	for i, s := range batch {
		o := outcomes[i]
		retried = retried && o.Verdict == destinations.Retry
		unread = unread && o.Unknown
		done.clean = done.clean && o.Verdict == destinations.Delivered
		after = max(after, o.After)
		if o.Stale { // looked at anew before the next cycle
			r.learnAt = time.Time{}
		}
		if o.Verdict == destinations.Split && !alone {
			s.suspect = o.Suspect && !s.deaf
			done.refused = append(done.refused, s)
			continue
		}
		d := r.became(s, o, now)
		if d.State != canonical.StateDelivered && r.isErased(&s.item) { // meanwhile: nothing of it is kept or tried again
			d = r.change(s, canonical.StateSuppressed, canonical.ReasonErased, "", now)
			d.Ambiguous = d.Ambiguous || o.Unknown
		}
		switch {
		case o.Verdict == destinations.Halt:
			halted = strings.TrimSuffix(o.Reason+": "+o.Detail, ": ")
		case d.State == canonical.StateDelivered:
			d.Value, d.Currency = valueOf(q, i), currencyOf(q, i)
			if s.replayID == "" {
				r.Metrics.arrived(r.Name, now.Sub(s.item.Event.ReceivedAt))
			}
		case d.State == canonical.StateDead:
			d.Body, d.Match, d.Node = bodyOf(q, i), s.match, tells(s.item)
		}
		d.HTTPStatus, d.LatencyMS, d.TraceID, d.BatchSize = status, took.Milliseconds(), o.TraceID, len(batch)
		changes = append(changes, d)
	}
	r.logAttempt(batch, status, outcomes, took)
	switch {
	case halted != "":
		return done, errors.Join(r.record(ctx, changes), r.halt(ctx, halted))
	case retried && (status/100 != 2 || unread): // also a success that says nothing of any row, such as a proxy's page
		r.trip(outcomes[0].Reason, after)
	default:
		r.closeCircuit()
	}
	return done, r.record(ctx, changes)
}

// tells gives the node of whom a body tells: a deal's contact where it goes with another's
// identifiers.
func tells(i destinations.Item) canonical.NodeID {
	if i.Known.Contact != 0 {
		return i.Known.Contact
	}
	return i.Event.Node
}

// became gives what a verdict makes of an item.
func (r *run) became(s *send, o destinations.Outcome, now time.Time) canonical.Delivery {
	switch o.Verdict {
	case destinations.Delivered:
		return r.change(s, canonical.StateDelivered, "", o.Detail, now)
	case destinations.Retry:
		return r.again(s, o, now)
	case destinations.Halt:
		return r.parked(s, canonical.ReasonRetry, "halted: "+o.Reason, now, now)
	case destinations.Park:
		return r.parked(s, canonical.ReasonHold, strings.TrimSuffix(o.Reason+": "+o.Detail, ": "), now, time.Time{})
	}
	return r.change(s, canonical.StateDead, o.Reason, o.Detail, now) // Reject, or refused alone
}

// halt stops the lane, in every process, until somebody acts. Who stopped or disabled it while
// the request was on its way is not overruled.
func (r *run) halt(ctx context.Context, why string) error {
	if !r.sends() {
		return nil
	}
	r.Logger.Error("destination halted: its backlog is kept; mend the cause, then resume it", "destination", r.Name, "reason", why)
	r.closeCircuit()
	return r.write(ctx, []canonical.Delivery{r.controlRecord(canonical.ControlHalt, why)})
}

// ambiguity says what to do with an attempt at a part whose answer never came.
func (r *run) ambiguity(p destinations.Part) destinations.Ambiguous {
	adapter := r.Adapter()
	how := adapter.Contract().Ambiguous
	if p.Ambiguous != "" {
		how = p.Ambiguous
	}
	if r.Ambiguous != "" {
		how = r.Ambiguous
	}
	if _, can := adapter.(destinations.Seeker); how == destinations.Look && !can {
		return destinations.Hold
	}
	return how
}

// held is true when an attempt whose answer never came is not made again by itself at a time.
func (r *run) held(how destinations.Ambiguous, firstTry, at time.Time) bool {
	within := r.Adapter().Contract().ResendWithin
	return how == destinations.Hold || how != destinations.Look && within > 0 && at.Sub(firstTry) > within
}

// again parks an item for its next try, holds it, or gives it up.
func (r *run) again(s *send, o destinations.Outcome, now time.Time) canonical.Delivery {
	ambiguous := s.ambig || o.Unknown
	due := now.Add(max(o.After, backoff(r.Policy, s.attempt, rand.Float64())))
	if o.Unknown && r.ambiguity(s.item.Part) == destinations.Look {
		due = now.Add(max(due.Sub(now), r.Adapter().Contract().LookAfter))
	}
	var d canonical.Delivery
	switch {
	case o.Unknown && r.held(r.ambiguity(s.item.Part), *s.firstTry, due):
		d = r.parked(s, canonical.ReasonAmbiguous, o.Detail, now, time.Time{})
	case due.Sub(r.triedSince(s)) > r.Policy.RetryFor:
		d = r.change(s, canonical.StateDead, "retries_exhausted", o.Reason+": "+o.Detail, now)
	default:
		d = r.parked(s, canonical.ReasonRetry, o.Reason+": "+o.Detail, now, due)
	}
	d.Ambiguous = ambiguous
	return d
}

// triedSince is from when on the tries of an item are counted: its first one, or the last time
// somebody resumed the destination, because nothing was tried while it stood still.
func (r *run) triedSince(s *send) time.Time {
	since := *s.firstTry
	if d, ok := r.Ledger.Control(r.Name); ok && d.Reason == canonical.ControlRun && d.At.After(since) {
		since = d.At
	}
	return since
}

// putBack parks what was decided but not tried, or refused with others and not tried alone.
func (r *run) putBack(ctx context.Context, batch []*send) error {
	now := time.Now().UTC()
	due := now
	if at := r.resumeAt(); at.After(now) {
		due = at
	}
	changes := make([]canonical.Delivery, len(batch))
	for i, s := range batch {
		changes[i] = r.parked(s.untried(), canonical.ReasonRetry, errStopped.Error(), now, due)
	}
	return r.record(ctx, changes)
}

// untried is the send before its attempt, which is not made. One whose intent stands has
// been made, in a batch that was refused.
func (s *send) untried() *send {
	if s.open {
		return s
	}
	before := *s
	before.attempt--
	return &before
}

func (r *run) parked(s *send, reason, detail string, now, due time.Time) canonical.Delivery {
	d := r.change(s, canonical.StateParked, reason, detail, now)
	if !due.IsZero() {
		d.Due = &due
	}
	content := s.item.Event
	content.Name = s.name
	content.Known = &s.item.Known // retries reuse what was known
	d.Content = &content
	return d
}

func (r *run) change(s *send, state canonical.State, reason, detail string, now time.Time) canonical.Delivery {
	return canonical.Delivery{
		Destination: r.Name, Event: s.key(), Part: s.part, Forced: s.forced, Mode: r.recordedMode(), State: state, Reason: reason, Detail: detail,
		At: now, Attempt: s.attempt, ReplayID: s.replayID, Owner: r.Owner, FirstTry: s.firstTry, Slot: s.slot, Ambiguous: s.ambig, BodyHash: s.hash,
	}
}
