package delivery

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// decide says what becomes of one event here: records for the outbox, and what to send.
func (r *run) decide(j job) ([]*send, error) {
	now := r.now()
	contract := r.Adapter().Contract()
	whole, had, err := r.Ledger.Part(r.Name, j.event.Key(), "")
	if err != nil {
		return nil, err
	}
	if had && j.resumed == nil && !reopens(j, whole) {
		return nil, nil // another copy of an event that came to no parts
	}
	if r.forget(&j) {
		return nil, r.refused(j, canonical.ReasonErased, "", now)
	}
	told, route, routed, err := r.line(j)
	if err != nil {
		return nil, err
	}
	if told.Name != j.event.Name && !routed {
		return nil, r.refused(j, canonical.ReasonRecycled, "", now)
	}
	if j.resumed != nil && j.resumed.Mode == string(Test) && r.mode() == Live { // nothing of a test is sent for real later
		r.decided(j, j.resumed.Part, canonical.StateSuppressed, canonical.ReasonDryRun, "was parked in mode test")
		return nil, nil
	}
	_, known := r.carried(j)
	reason, detail := refuse(situation{
		event: told, known: known, route: route, routed: routed, contract: contract,
		mode: r.mode(), policy: r.Policy, now: now, forced: j.forced, asked: r.isAsked(j),
	}), ""
	if reason == canonical.ReasonHold {
		detail = route.Broken
	}
	var parts []destinations.Part
	if reason == "" {
		var refusal destinations.Refusal
		parts, refusal = r.Adapter().Plan(told, known, route)
		if awaits(parts, refusal) { // more may be known now than when the event was built
			j.known, j.learnt = r.People.Known(j.event), true
			name := told.Name
			told, known = r.carried(j)
			told.Name = name
			parts, refusal = r.Adapter().Plan(told, known, route)
		}
		reason, detail = refusal.Reason, refusal.Detail
		if reason == "" && len(parts) == 0 {
			reason = canonical.ReasonNotMapped // it becomes nothing here
		}
	}
	if reason != "" {
		j.due = dueAt(j.event, route)
		return nil, r.refused(j, reason, detail, now)
	}
	var sends []*send
	found := false
	for _, p := range parts {
		if !j.means(p.Name) {
			continue
		}
		found = true
		s, err := r.decidePart(j, destinations.Item{Event: told, Known: known, Part: p}, now)
		if err != nil {
			return nil, err
		}
		sends = append(sends, s...)
	}
	if !found && j.resumed != nil && j.resumed.Part != "" { // parked under a plan that is no longer so
		r.decided(j, j.resumed.Part, canonical.StateSuppressed, canonical.ReasonNotConfigured,
			"the mapping or the destination's settings no longer give this part")
	}
	if len(r.left) > 0 && (j.resumed == nil || j.resumed.Part == "") {
		r.closeLeft(j, parts)
	}
	if had && !whole.State.Terminal() && j.only == nil { // it waited as a whole; once its parts have states of their own, it is over
		r.closing = append(r.closing, canonical.Delivery{
			Destination: r.Name, Event: j.event.Key(), State: canonical.StateSuppressed, Reason: canonical.ReasonPlanned,
			At: now, ReplayID: j.replayID, Owner: r.Owner,
		})
	}
	return sends, nil
}

// closeLeft ends the attempts of a dead owner at parts of an event that are planned no longer,
// which nobody else would come to.
func (r *run) closeLeft(j job, parts []destinations.Part) {
	key := j.event.Key()
	left := r.left[key]
	delete(r.left, key)
	for _, d := range left {
		name := planned(d.Part)
		switch {
		case j.only != nil && !j.only(name):
			r.left[key] = append(r.left[key], d)
		case !slices.ContainsFunc(parts, func(p destinations.Part) bool { return p.Name == name }):
			end := r.decided(j, d.Part, canonical.StateSuppressed, canonical.ReasonNotConfigured,
				"after an attempt whose answer never came; the mapping or the destination's settings no longer give this part")
			end.Ambiguous, end.Attempt, end.ReplayID, end.FirstTry, end.BodyHash = true, d.Attempt, d.ReplayID, d.FirstTry, d.BodyHash
		}
	}
}

// isAsked is true where a delay of the mapping does not hold an event back: somebody asked for
// it, it is past its delay and waits for something else, or nothing is sent in this mode.
func (r *run) isAsked(j job) bool {
	return j.replayID != "" || j.resumed != nil && j.resumed.Reason != canonical.ReasonDelay || r.mode() == DryRun
}

// planned is the part of the plan that a part of the ledger stands for.
func planned(part string) string {
	name, _, _ := strings.Cut(part, "!")
	return name
}

// onlyParts says which parts of the plan a replay order means; nil: all.
func onlyParts(parts []string) func(string) bool {
	if len(parts) == 0 {
		return nil
	}
	return func(part string) bool { return slices.Contains(parts, part) }
}

// means is true when the job is about a part of the plan: every part, unless it takes up
// one that was parked, or a replay names others.
func (j job) means(part string) bool {
	if j.only != nil && !j.only(part) {
		return false
	}
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
	r.refusal = reason
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
			r.decided(j, part, canonical.StateSuppressed, canonical.ReasonNoIdentifier, detail).Match = r.matched(destinations.Item{Event: j.event, Known: j.known})
			return
		}
		d := r.decided(j, part, canonical.StateParked, reason, detail)
		d.Due, d.GiveUpAt = &until, &until
		d.Content, d.Attempt = &j.event, attempt
	case canonical.ReasonHold:
		d := r.decided(j, part, canonical.StateParked, reason, detail)
		d.Content, d.Attempt = &j.event, attempt
	case canonical.ReasonDelay:
		d := r.decided(j, part, canonical.StateParked, reason, detail)
		d.Content, d.Attempt, d.Due = &j.event, attempt, &j.due
	default:
		d := r.decided(j, part, canonical.StateSuppressed, reason, detail)
		if e := j.event; reason == canonical.ReasonHistory && SlotOf(e) != "" && e.CoveredBy == "" && !e.Echo { // the stage was reached: whoever reports it again is not the first
			d.Slot = slotAt(r.whose(j).Node, j.event.Name)
			r.taken[slotKey{part, d.Slot}] = j.event.Key()
		}
		if reason == canonical.ReasonNoIdentifier {
			d.Match = r.matched(destinations.Item{Event: j.event, Known: j.known})
		}
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

// decidePart decides on one part of an event as it is told: skip, suppress, build dry, or send.
func (r *run) decidePart(j job, item destinations.Item, now time.Time) ([]*send, error) {
	p := item.Part
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
	s := &send{item: item, name: j.event.Name, part: name, attempt: 1, replayID: j.replayID, forced: j.forced, low: j.low, own: !j.learnt && !p.Slotless && len(j.known.Contacts) < 2}
	if had {
		s.attempt, s.firstTry, s.ambig, s.hash = cur.Attempt+1, cur.FirstTry, cur.Ambiguous, cur.BodyHash
		if reopens(j, cur) { // somebody asks for it anew: the limits of the first try are over
			s.firstTry, s.asked = nil, true
			s.ambig = cur.Ambiguous && cur.State == canonical.StateParked && r.ambiguity(p) == destinations.Look
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
		reason, err := r.takeSlot(j, p, s)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			r.decided(j, name, canonical.StateSuppressed, reason, "")
			return nil, nil
		}
	}
	if p.Slotless { // what is written over and over must not go back: it says what is known now
		at := j
		if at.event.OccurredAt = now; at.event.Node != 0 && j.known.Person != 0 {
			at.event.Node = j.known.Person // who it was then: a shared device is in other hands by now
		}
		at.known = r.People.Known(at.event)
		at.event.OccurredAt, at.event.Node = j.event.OccurredAt, j.event.Node
		s.item.Event, s.item.Known = r.carried(at)
		s.item.Event.Name = item.Event.Name
	}
	if r.mode() == DryRun {
		r.dry(j, s)
		return nil, nil
	}
	return []*send{s}, nil
}

// recordedMode marks what was done in mode test.
func (r *run) recordedMode() string {
	if r.mode() == Test {
		return string(Test)
	}
	return ""
}

// dry builds a part and keeps the body.
func (r *run) dry(j job, s *send) {
	d := r.decided(j, s.part, canonical.StateSuppressed, canonical.ReasonDryRun, "")
	d.Match = r.matched(s.item)
	request, err := r.Adapter().Build([]destinations.Item{s.item})
	if err != nil {
		d.State, d.Reason, d.Detail = canonical.StateDead, "unbuildable", err.Error()
		return
	}
	d.Body, d.Value, d.Currency = bodyOf(request, 0), valueOf(request, 0), currencyOf(request, 0)
	d.BodyHash, d.Node = bodyHash(request, 0), tells(s.item)
}

// matched says which identifiers the vendor could have been given.
func (r *run) matched(item destinations.Item) map[string]string {
	if m, ok := r.Adapter().(destinations.Matcher); ok {
		return m.Match(item)
	}
	return nil
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
	how := r.ambiguity(destinations.Part{})
	if d.Content != nil {
		j := job{event: *d.Content, known: known(d.Content)}
		if d.Known != nil {
			j.known = *d.Known
		}
		parts, _, _ := r.plan(j) // where it cannot be planned the destination's own way holds
		for _, p := range parts {
			if p.Name == planned(d.Part) {
				how = r.ambiguity(p)
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
	if r.held(how, first, now) {
		d.Reason, d.Due = canonical.ReasonAmbiguous, nil
		d.Detail = "an attempt's answer never came; it may have arrived"
		return d
	}
	d.Reason, d.Due = canonical.ReasonRetry, &now
	d.Detail = "an attempt's answer never came; it is sent again under the same event id"
	if how == destinations.Look {
		d.Detail = "an attempt's answer never came; the vendor is asked for it before it is sent again"
		at := now.Add(r.Adapter().Contract().LookAfter)
		d.Due = &at
	}
	return d
}
