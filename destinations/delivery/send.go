package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A Sender puts the credential on a request, sends it once and reads the answer.
// NotSent as the error's cause says that nothing can have arrived.
type Sender func(ctx context.Context, q destinations.Request) (destinations.Response, error)

// ErrNotSent: the request never left, so that a second try cannot be a second send.
var ErrNotSent = errors.New("not sent")

// deliver sends what was decided, batch by batch. When it returns nil every send has a
// state; what could not be tried because the lane halted or the vendor is down is parked.
func (r *run) deliver(ctx context.Context, sends []send) error {
	for _, batch := range batches(sends, max(r.Destination.Contract().MaxBatch, 1)) {
		if err := r.sendBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// batches groups sends that may share a request, in order, each Unique once.
func batches(sends []send, most int) [][]send {
	type open struct {
		at     int
		unique map[string]bool
	}
	var out [][]send
	current := map[string]*open{}
	for _, s := range sends {
		p := s.item.Part
		b := current[p.Batch]
		if b == nil || len(out[b.at]) >= most || p.Unique != "" && b.unique[p.Unique] {
			out = append(out, nil)
			b = &open{at: len(out) - 1, unique: map[string]bool{}}
			current[p.Batch] = b
		}
		out[b.at] = append(out[b.at], s)
		b.unique[p.Unique] = true
	}
	return out
}

// sendBatch sends one batch and records what came of it; a refused batch is halved.
func (r *run) sendBatch(ctx context.Context, batch []send) error {
	batch, err := r.stillYoung(ctx, batch)
	if err != nil || len(batch) == 0 {
		return err
	}
	if r.Halted() != "" || time.Until(r.resumeAt()) > 0 {
		return r.putBack(ctx, batch)
	}
	request, err := r.Destination.Build(items(batch))
	if tooBig := err == nil && r.Destination.Contract().MaxBytes > 0 && len(request.Body) > r.Destination.Contract().MaxBytes; err != nil || tooBig {
		if len(batch) > 1 {
			return r.halves(ctx, batch)
		}
		if tooBig {
			err = fmt.Errorf("its body of %d bytes is over the vendor's limit of %d", len(request.Body), r.Destination.Contract().MaxBytes)
		}
		d := r.change(batch[0], canonical.StateDead, "unbuildable", err.Error(), time.Now().UTC())
		return r.write(ctx, []canonical.Delivery{d})
	}
	if err := r.limiter.Wait(ctx); err != nil {
		return err
	}
	// From the intent on the attempt is seen through, also while the process is stopping:
	// one broken off here would have to count as ambiguous.
	through, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout()+time.Minute)
	defer cancel()
	if err := r.intend(through, batch, request); err != nil {
		return err
	}
	if err := r.claim.Alive(through); err != nil {
		return err
	}
	began := time.Now()
	outcomes := r.attempt(through, batch, request)
	refused, err := r.settle(through, batch, request, outcomes, time.Since(began))
	switch {
	case err != nil || len(refused) == 0:
		return err
	case ctx.Err() != nil: // the refusal is known: it is not left as an attempt without an answer
		return r.putBack(through, refused)
	}
	return r.halves(ctx, refused)
}

func (r *run) timeout() time.Duration {
	if t := r.Destination.Contract().Timeout; t > 0 {
		return t
	}
	return 10 * time.Second
}

// stillYoung holds back what crossed a limit while it waited: the vendor's age limit, or
// the time within which an attempt whose answer never came may be made again.
func (r *run) stillYoung(ctx context.Context, batch []send) ([]send, error) {
	now := time.Now().UTC()
	var young []send
	var old []canonical.Delivery
	contract := r.Destination.Contract()
	for _, s := range batch {
		switch {
		case tooOld(s.item.Event, contract, now):
			old = append(old, r.change(s, canonical.StateSuppressed, canonical.ReasonTooOld, "", now))
		case s.ambig && contract.ResendWithin > 0 && s.firstTry != nil && now.Sub(*s.firstTry) > contract.ResendWithin:
			s.attempt--
			old = append(old, r.parked(s, canonical.ReasonAmbiguous, "the vendor would no longer know a second copy for one", now, time.Time{}))
		default:
			young = append(young, s)
		}
	}
	return young, r.write(context.WithoutCancel(ctx), old)
}

// intend writes the intents and waits until they are durable.
func (r *run) intend(ctx context.Context, batch []send, q destinations.Request) error {
	now := time.Now().UTC()
	intents := make([]canonical.Delivery, len(batch))
	for i, s := range batch {
		if s.firstTry == nil {
			batch[i].firstTry = &now
			s.firstTry = &now
		}
		d := r.change(s, canonical.StateIntent, "", "", now)
		d.Known, d.BatchSize = &s.item.Known, len(batch)
		d.Value, d.Currency = valueOf(q, i), currencyOf(q, i)
		intents[i] = d
	}
	return r.write(ctx, intents)
}

// attempt sends once. A request in flight is allowed to finish on shutdown; its own
// time-out bounds it.
func (r *run) attempt(ctx context.Context, batch []send, q destinations.Request) []attempted {
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	answer, err := r.Send(ctx, q)
	var outcomes []destinations.Outcome
	if err != nil {
		o := destinations.Outcome{Verdict: destinations.Retry, Reason: "unreachable", Detail: networkWords(err), Unknown: !errors.Is(err, ErrNotSent)}
		outcomes = destinations.All(items(batch), o)
	} else {
		outcomes = r.Destination.Classify(items(batch), answer)
	}
	out := make([]attempted, len(batch))
	for i := range batch {
		o := destinations.Outcome{Verdict: destinations.Retry, Reason: "unclassified", Detail: "the adapter gave no outcome", Unknown: true}
		if len(outcomes) == len(batch) && outcomes[i].Verdict != 0 {
			o = outcomes[i]
		}
		out[i] = attempted{Outcome: o, status: answer.Status}
	}
	return out
}

type attempted struct {
	destinations.Outcome
	status int
}

// networkWords keeps addresses and URLs out of records.
func networkWords(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, ErrNotSent):
		return "no connection"
	default:
		return "the connection broke before the answer"
	}
}

// settle records the outcomes: the one place where verdicts become states. It gives back
// what was refused as a batch, to be sent in halves.
func (r *run) settle(ctx context.Context, batch []send, q destinations.Request, outcomes []attempted, took time.Duration) ([]send, error) {
	now := time.Now().UTC()
	var changes []canonical.Delivery
	var split []send
	var halted string
	down, after := true, time.Duration(0)
	for i, s := range batch {
		o := outcomes[i]
		if o.Verdict != destinations.Retry {
			down = false
		}
		after = max(after, o.After)
		var d canonical.Delivery
		switch o.Verdict {
		case destinations.Delivered:
			d = r.change(s, canonical.StateDelivered, "", o.Detail, now)
			d.Value, d.Currency = valueOf(q, i), currencyOf(q, i)
		case destinations.Retry:
			d = r.again(s, o, now)
		case destinations.Halt:
			halted = o.Reason
			d = r.parked(s, canonical.ReasonRetry, "halted: "+o.Reason, now, now)
		case destinations.Split:
			if len(batch) > 1 {
				split = append(split, s)
				continue
			}
			fallthrough
		default: // Reject
			d = r.change(s, canonical.StateDead, o.Reason, o.Detail, now)
		}
		if d.State == canonical.StateDead {
			d.Body = bodyOf(q, i)
		}
		d.HTTPStatus, d.LatencyMS, d.TraceID, d.BatchSize = o.status, took.Milliseconds(), o.TraceID, len(batch)
		changes = append(changes, d)
	}
	r.logAttempt(batch, outcomes, took)
	if halted != "" {
		r.halt(halted)
	} else {
		r.note(down, after)
	}
	for i := range split { // the refused attempt counts, so that its intent is followed by another
		split[i].attempt++
	}
	return split, r.write(ctx, changes)
}

// halves sends a batch in two, to find what is wrong with it.
func (r *run) halves(ctx context.Context, batch []send) error {
	if len(batch) == 1 {
		return r.sendBatch(ctx, batch)
	}
	if err := r.sendBatch(ctx, batch[:len(batch)/2]); err != nil {
		return err
	}
	return r.sendBatch(ctx, batch[len(batch)/2:])
}

// again parks an item for its next try, holds it, or gives it up.
func (r *run) again(s send, o attempted, now time.Time) canonical.Delivery {
	how := s.item.Part.Ambiguous
	contract := r.Destination.Contract()
	if how == "" {
		how = contract.Ambiguous
	}
	ambiguous := s.ambig || o.Unknown
	due := now.Add(max(o.After, backoff(r.Policy, s.attempt, rand.Float64())))
	var d canonical.Delivery
	switch {
	case o.Unknown && (how == destinations.Hold || contract.ResendWithin > 0 && due.Sub(*s.firstTry) > contract.ResendWithin):
		d = r.parked(s, canonical.ReasonAmbiguous, o.Detail, now, time.Time{})
	case due.Sub(*s.firstTry) > r.Policy.RetryFor:
		d = r.change(s, canonical.StateDead, "retries_exhausted", o.Reason+": "+o.Detail, now)
	default:
		d = r.parked(s, canonical.ReasonRetry, o.Reason+": "+o.Detail, now, due)
	}
	d.Ambiguous = ambiguous
	return d
}

// putBack parks what was decided but not tried.
func (r *run) putBack(ctx context.Context, batch []send) error {
	now := time.Now().UTC()
	due := now
	if at := r.resumeAt(); at.After(now) {
		due = at
	}
	changes := make([]canonical.Delivery, len(batch))
	for i, s := range batch {
		s.attempt--
		changes[i] = r.parked(s, canonical.ReasonRetry, errStopped.Error(), now, due)
		changes[i].Ambiguous = s.ambig
	}
	return r.write(ctx, changes)
}

func (r *run) parked(s send, reason, detail string, now, due time.Time) canonical.Delivery {
	d := r.change(s, canonical.StateParked, reason, detail, now)
	if !due.IsZero() {
		d.Due = &due
	}
	content := s.item.Event
	content.Known = &s.item.Known // retries reuse what was known
	d.Content = &content
	return d
}

func (r *run) change(s send, state canonical.State, reason, detail string, now time.Time) canonical.Delivery {
	return canonical.Delivery{
		Destination: r.Name, Event: s.item.Event.Key(), Part: s.part, Forced: s.forced, Mode: r.recordedMode(), State: state, Reason: reason, Detail: detail,
		At: now, Attempt: s.attempt, ReplayID: s.replayID, Owner: r.Owner, FirstTry: s.firstTry, Slot: s.slot, Ambiguous: s.ambig,
	}
}

func (r *run) logAttempt(batch []send, outcomes []attempted, took time.Duration) {
	counts := map[string]int{}
	for _, o := range outcomes {
		counts[o.Verdict.String()]++
	}
	first := outcomes[0]
	r.Metrics.request(r.Name, first.status, took)
	r.Logger.Info("attempt", "destination", r.Name, "items", len(batch), "status", first.status, "took", took,
		"verdicts", fmt.Sprint(counts), "reason", first.Reason, "trace_id", first.TraceID)
}

func items(batch []send) []destinations.Item {
	out := make([]destinations.Item, len(batch))
	for i, s := range batch {
		out[i] = s.item
	}
	return out
}
