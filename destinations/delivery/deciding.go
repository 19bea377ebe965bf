package delivery

import (
	"encoding/json"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// decide says what becomes of one event here: records for the outbox, and what to send.
func (r *run) decide(j job) ([]send, error) {
	now := time.Now().UTC()
	contract := r.Destination.Contract()
	route, routed := r.Routes(j.event.Name)
	whole, had, err := r.Ledger.Part(r.Name, j.event.Key(), "")
	if err != nil {
		return nil, err
	}
	if had && j.resumed == nil && !reopens(j, whole) {
		return nil, nil // another copy of an event that came to no parts
	}
	if j.resumed != nil && j.resumed.Mode == string(Test) && r.mode() == Live { // nothing of a test is sent for real later
		r.decided(j, j.resumed.Part, canonical.StateSuppressed, canonical.ReasonDryRun, "was parked in mode test")
		return nil, nil
	}
	reason, detail := refuse(situation{
		event: j.event, known: j.known, route: route, routed: routed, contract: contract,
		mode: r.mode(), policy: r.Policy, now: now, forced: j.forced,
	}), ""
	var parts []destinations.Part
	if reason == "" {
		var refusal destinations.Refusal
		parts, refusal = r.Destination.Plan(j.event, j.known, route)
		if awaits(parts, refusal) { // more may be known now than when the event was built
			j.known = r.People.Known(j.event)
			parts, refusal = r.Destination.Plan(j.event, j.known, route)
		}
		reason, detail = refusal.Reason, refusal.Detail
		if reason == "" && len(parts) == 0 {
			reason = canonical.ReasonNotMapped // it becomes nothing here
		}
	}
	if reason != "" {
		return nil, r.refused(j, reason, detail, now)
	}
	var sends []send
	found := false
	for _, p := range parts {
		if !j.means(p.Name) {
			continue
		}
		found = true
		s, err := r.decidePart(j, p, now)
		if err != nil {
			return nil, err
		}
		sends = append(sends, s...)
	}
	if !found && j.resumed != nil && j.resumed.Part != "" { // parked under a plan that is no longer so
		r.decided(j, j.resumed.Part, canonical.StateSuppressed, canonical.ReasonNotConfigured,
			"the mapping or the destination's settings no longer give this part")
	}
	if had && !whole.State.Terminal() { // it waited as a whole; once its parts have states of their own, it is over
		r.closing = append(r.closing, canonical.Delivery{
			Destination: r.Name, Event: j.event.Key(), State: canonical.StateSuppressed, Reason: canonical.ReasonPlanned,
			At: now, ReplayID: j.replayID, Owner: r.Owner,
		})
	}
	return sends, nil
}

// planned is the part of the plan that a part of the ledger stands for.
func planned(part string) string {
	name, _, _ := strings.Cut(part, "!")
	return name
}

// means is true when the job is about a part of the plan: every part, unless it takes up
// one that was parked.
func (j job) means(part string) bool {
	return j.resumed == nil || j.resumed.Part == "" || planned(j.resumed.Part) == part
}

// awaits is true when the whole event or one of its parts waits to be known.
func awaits(parts []destinations.Part, refusal destinations.Refusal) bool {
	if refusal.Reason == canonical.ReasonAwaitingIdentity {
		return true
	}
	for _, p := range parts {
		if p.Refused.Reason == canonical.ReasonAwaitingIdentity {
			return true
		}
	}
	return false
}

// reopens is true when a replay may act on a state that is otherwise final.
func reopens(j job, cur canonical.Delivery) bool {
	return j.replayID != "" && j.replayID != cur.ReplayID
}

// refused gives an event that goes no further its state: parked when time may mend it,
// else suppressed. Parts that have a state keep it, unless one of them is what is being
// taken up again.
func (r *run) refused(j job, reason, detail string, now time.Time) error {
	part := ""
	if j.resumed != nil {
		part = j.resumed.Part
	} else {
		states, err := r.Ledger.Event(r.Name, j.event.Key())
		if err != nil {
			return err
		}
		stands := false
		for _, s := range states {
			if s.State == canonical.StateIntent { // an attempt whose answer never came, and no other will be made
				r.decided(j, s.Part, canonical.StateSuppressed, reason, "after an attempt whose answer never came").Ambiguous = true
			}
			stands = stands || s.State == canonical.StateIntent || s.State == canonical.StateDelivered || !reopens(j, s)
		}
		if stands {
			return nil
		}
	}
	attempt := 0
	if j.resumed != nil {
		attempt = j.resumed.Attempt
	}
	r.hold(j, part, reason, detail, now, attempt)
	return nil
}

// hold parks what time may mend, until a limit, and suppresses the rest. attempt is how
// many were made before.
func (r *run) hold(j job, part, reason, detail string, now time.Time, attempt int) {
	if r.mode() == DryRun && (reason == canonical.ReasonAwaitingIdentity || reason == canonical.ReasonHold) {
		detail, reason = strings.TrimSpace("would wait: "+reason+" "+detail), canonical.ReasonDryRun // nothing of a dry run is sent later
	}
	switch reason {
	case canonical.ReasonAwaitingIdentity:
		until := j.event.ReceivedAt.Add(r.Policy.AwaitFor)
		if j.resumed != nil && j.resumed.Part == part && j.resumed.GiveUpAt != nil {
			until = *j.resumed.GiveUpAt
		} else if j.replayID != "" {
			until = now.Add(r.Policy.AwaitFor)
		}
		if !now.Before(until) {
			r.decided(j, part, canonical.StateSuppressed, canonical.ReasonNoIdentifier, detail)
			return
		}
		d := r.decided(j, part, canonical.StateParked, reason, detail)
		d.Due, d.GiveUpAt = &until, &until
		d.Content, d.Attempt = &j.event, attempt
	case canonical.ReasonHold:
		d := r.decided(j, part, canonical.StateParked, reason, detail)
		d.Content, d.Attempt = &j.event, attempt
	default:
		r.decided(j, part, canonical.StateSuppressed, reason, detail)
	}
}

// decided puts one change into the outbox and gives it back to be completed.
func (r *run) decided(j job, part string, state canonical.State, reason, detail string) *canonical.Delivery {
	r.outbox = append(r.outbox, canonical.Delivery{
		Destination: r.Name, Event: j.event.Key(), Part: part, State: state, Reason: reason, Detail: detail,
		At: time.Now().UTC(), ReplayID: j.replayID, Forced: j.forced, Mode: r.recordedMode(), Owner: r.Owner,
	})
	return &r.outbox[len(r.outbox)-1]
}

// decidePart decides on one part: skip, suppress, build dry, or send.
func (r *run) decidePart(j job, p destinations.Part, now time.Time) ([]send, error) {
	name := p.Name
	if j.resumed != nil && j.resumed.Part != "" {
		name = j.resumed.Part
	}
	cur, had, err := r.Ledger.Part(r.Name, j.event.Key(), name)
	if err != nil {
		return nil, err
	}
	if had && cur.State == canonical.StateDelivered && j.forced && cur.ReplayID != j.replayID { // a part of its own, once per replay
		name = p.Name + "!" + j.replayID
		if cur, had, err = r.Ledger.Part(r.Name, j.event.Key(), name); err != nil {
			return nil, err
		}
	}
	s := send{item: destinations.Item{Event: j.event, Known: j.known, Part: p}, part: name, attempt: 1, replayID: j.replayID, forced: j.forced}
	if had {
		s.attempt, s.firstTry, s.ambig = cur.Attempt+1, cur.FirstTry, cur.Ambiguous
		if reopens(j, cur) { // somebody asks for it anew: the limits of the first try are over
			s.firstTry, s.ambig = nil, false
		}
		switch cur.State {
		case canonical.StateDelivered:
			return nil, nil
		case canonical.StateDead, canonical.StateSuppressed:
			if !reopens(j, cur) {
				return nil, nil
			}
		case canonical.StateIntent: // left by an owner that died before its answer was recorded
			cur.Content = &j.event
			r.outbox = append(r.outbox, r.unanswered(cur, now))
			return nil, nil
		case canonical.StateParked:
			if !reopens(j, cur) && (j.resumed == nil || j.resumed.Part != name) {
				return nil, nil // it has a due time, or a wait, of its own
			}
		}
	}
	if p.Refused.Reason != "" {
		r.hold(j, name, p.Refused.Reason, p.Refused.Detail, now, cur.Attempt)
		return nil, nil
	}
	if r.mode() == Live && !p.Slotless {
		reason, err := r.takeSlot(j, p, &s)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			r.decided(j, name, canonical.StateSuppressed, reason, "")
			return nil, nil
		}
	}
	if p.Slotless { // what is written over and over must not go back: it says what is known now
		at := j.event
		at.OccurredAt = now
		s.item.Known = r.People.Known(at)
	}
	if r.mode() == DryRun {
		r.dry(j, s)
		return nil, nil
	}
	return []send{s}, nil
}

// takeSlot takes the slot of a funnel event, looked up over all nodes of its person, or
// says why another event keeps it.
func (r *run) takeSlot(j job, p destinations.Part, s *send) (reason string, err error) {
	if SlotOf(j.event) == "" {
		return "", nil
	}
	node := slotNode(j.event)
	if j.event.Node == 0 && j.event.CountedBy != "deal" && j.known.Person != 0 { // a deal that found its contact later
		node = j.known.Person
	}
	slot, nodes := slotAt(node, j.event.Name), []canonical.NodeID{node}
	if j.event.CountedBy != "deal" {
		nodes = r.People.Cluster(node)
	}
	var holder *canonical.EventKey
	for _, n := range nodes {
		k := slotKey{p.Name, slotAt(n, j.event.Name)}
		key, held := r.taken[k]
		if !held {
			if key, held, err = r.Ledger.Holder(r.Name, p.Name, k.slot); err != nil {
				return "", err
			}
		}
		if held && key != j.event.Key() {
			holder = &key
			break
		}
		if held { // it holds the slot itself: decided before, and not to be judged again
			s.slot = k.slot
			return "", nil
		}
	}
	if reason := historyReason(j.event, r.People.History(nodes...), holder); reason != "" && !j.forced {
		return reason, nil
	}
	if holder != nil { // forced: it is sent beside the one that holds the slot
		return "", nil
	}
	s.slot = slot
	r.taken[slotKey{p.Name, slot}] = j.event.Key()
	return "", nil
}

// recordedMode marks what was done in mode test.
func (r *run) recordedMode() string {
	if r.mode() == Test {
		return string(Test)
	}
	return ""
}

// dry builds a part and keeps the body.
func (r *run) dry(j job, s send) {
	d := r.decided(j, s.part, canonical.StateSuppressed, canonical.ReasonDryRun, "")
	request, err := r.Destination.Build([]destinations.Item{s.item})
	if err != nil {
		d.State, d.Reason, d.Detail = canonical.StateDead, "unbuildable", err.Error()
		return
	}
	d.Body, d.Value, d.Currency = bodyOf(request, 0), valueOf(request, 0), currencyOf(request, 0)
}

func bodyOf(q destinations.Request, i int) json.RawMessage {
	b := q.Body
	if i < len(q.Bodies) {
		b = q.Bodies[i]
	}
	if json.Valid(b) {
		return b
	}
	text, _ := json.Marshal(string(b)) // a form, say: kept as text
	return text
}

func valueOf(q destinations.Request, i int) *canonical.Money {
	if i < len(q.Values) && q.Values[i].Currency != "" {
		return &q.Values[i].Amount
	}
	return nil
}

func currencyOf(q destinations.Request, i int) string {
	if i < len(q.Values) {
		return q.Values[i].Currency
	}
	return ""
}

// unanswered says what becomes of an attempt whose answer never came.
func (r *run) unanswered(d canonical.Delivery, now time.Time) canonical.Delivery {
	contract := r.Destination.Contract()
	how := contract.Ambiguous
	if d.Content != nil {
		j := job{event: *d.Content, known: known(*d.Content)}
		if d.Known != nil {
			j.known = *d.Known
		}
		parts, _ := r.plan(j)
		for _, p := range parts {
			if p.Name == planned(d.Part) && p.Ambiguous != "" {
				how = p.Ambiguous
			}
		}
		event := *d.Content
		event.Known = &j.known
		d.Content = &event
	}
	d.State, d.At, d.Owner, d.Ambiguous, d.Known = canonical.StateParked, now, r.Owner, true, nil
	first := now
	if d.FirstTry != nil {
		first = *d.FirstTry
	}
	if how == destinations.Hold || contract.ResendWithin > 0 && now.Sub(first) > contract.ResendWithin {
		d.Reason, d.Due = canonical.ReasonAmbiguous, nil
		d.Detail = "an attempt's answer never came; it may have arrived"
		return d
	}
	d.Reason, d.Due = canonical.ReasonRetry, &now
	d.Detail = "an attempt's answer never came; it is sent again under the same event id"
	return d
}
