package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
)

// A Sender puts the credential on a request, sends it once and reads the answer.
// NotSent as the error's cause says that nothing can have arrived.
type Sender func(ctx context.Context, q destinations.Request) (destinations.Response, error)

// ErrNotSent: the request never left, so that a second try cannot be a second send.
var ErrNotSent = errors.New("not sent")

// errGiveWay: the share kept for backfills has nothing left now; nothing was written.
var errGiveWay = errors.New("no room for a backfill now")

// errControlled: somebody acted on the destination while a request waited to be let go.
var errControlled = errors.New("somebody acted on the destination")

// A piece is what was decided to go of some of a turn's jobs.
type piece struct {
	sends []*send
	err   error
}

const pieceOf = 250 // jobs

// decideAll decides on jobs, one after the other, beside whatever goes on, and gives what is to
// go in pieces. The channel must be read to its end; until then what deciding changes of the run
// (taken, outbox, closing, left) is its own. No job of a turn depends on what comes of another one
// meanwhile: each event is in it once, and a slot that one has or takes is its own until the turn
// is over.
func (r *run) decideAll(jobs []job) <-chan piece {
	c := make(chan piece, len(jobs)/pieceOf+1) // it never waits
	go func() {
		defer close(c)
		for len(jobs) > 0 {
			var p piece
			n := min(pieceOf, len(jobs))
			for _, j := range jobs[:n] {
				s, err := r.decide(j)
				if err != nil {
					c <- piece{err: fmt.Errorf("decide on event %s at %s: %w", j.event.ID, r.Name, err)}
					return
				}
				p.sends = append(p.sends, s...)
			}
			jobs = jobs[n:]
			c <- p
		}
	}()
	return c
}

// deliver sends what is decided, batch by batch, while the rest is still being decided on,
// and builds the next batch while one is on its way. When it returns everything is decided; when
// it returns nil every send has a state that the ledger knows, and so has what needed no sending.
// What could not be tried because the lane stands or the vendor is down is parked. waiting is what
// was parked for its person.
func (r *run) deliver(ctx context.Context, decided <-chan piece) (waiting []canonical.Delivery, err error) {
	defer func() {
		for p := range decided {
			switch {
			case p.err == nil:
			case errors.Is(err, errGiveWay):
				err = p.err
			default:
				err = errors.Join(err, p.err)
			}
		}
	}()
	todo := batcher{most: max(r.Adapter().Contract().MaxBatch, 1)}
	var next <-chan built
	defer func() {
		if next != nil {
			<-next
		}
	}()
	for all := false; ; {
		for !all {
			p, some, over := nextPiece(decided, len(todo.closed) == 0)
			if !some {
				break
			}
			if p.err != nil {
				return nil, p.err
			}
			sends, err := r.lookFirst(ctx, p.sends)
			if err != nil {
				return nil, err
			}
			if todo.add(sends); over {
				all = true
				todo.end()
				waiting = r.newlyAwaiting()
				if err := r.recordDecided(ctx); err != nil {
					return nil, err
				}
			}
		}
		if len(todo.closed) == 0 {
			return waiting, r.folded(ctx)
		}
		var ready *built
		if next != nil {
			q := <-next
			ready = &q
		}
		batch := todo.closed[0]
		if todo.closed, next = todo.closed[1:], nil; len(todo.closed) > 0 {
			next = r.buildAhead(todo.closed[0])
		}
		if _, err := r.sendBatch(ctx, batch, ready); err != nil {
			return nil, err
		}
	}
}

// nextPiece gives what was decided next; some is false where nothing is there yet and wait is
// not asked for. over says that everything is decided.
func nextPiece(decided <-chan piece, wait bool) (p piece, some, over bool) {
	if wait {
		p, some = <-decided
		return p, true, !some
	}
	select {
	case p, some = <-decided:
		return p, true, !some
	default:
		return p, false, false
	}
}

// A built is what the adapter made of a batch.
type built struct {
	destinations.Request
	items []destinations.Item
	err   error
}

// buildAhead builds a batch beside whatever goes on. The channel gives one value.
func (r *run) buildAhead(batch []*send) <-chan built {
	c := make(chan built, 1)
	go func() { c <- r.build(batch) }()
	return c
}

func (r *run) build(batch []*send) built {
	contract := r.Adapter().Contract()
	items := make([]destinations.Item, len(batch))
	for i, s := range batch {
		items[i] = s.item
	}
	q, err := r.Adapter().Build(items)
	if err == nil && contract.MaxBytes > 0 && len(q.Body) > contract.MaxBytes {
		err = fmt.Errorf("its body of %d bytes is over the vendor's limit of %d", len(q.Body), contract.MaxBytes)
	}
	return built{q, items, err}
}

// sendBatch sends one batch and records what came of it; a refused batch is halved. ready
// is what was built of it, nil where nothing was yet. clean is true when all of it was sent
// and delivered.
func (r *run) sendBatch(ctx context.Context, batch []*send, ready *built) (clean bool, err error) {
	if ctx.Err() != nil {
		return false, r.brokenOff(ctx, batch)
	}
	young, err := r.stillYoung(ctx, batch)
	if err != nil || len(young) == 0 {
		return false, err
	}
	if !r.sends() || time.Until(r.resumeAt()) > 0 {
		return false, r.putBack(ctx, young)
	}
	if ready == nil || len(young) < len(batch) {
		b := r.build(young)
		ready = &b
	}
	batch = young
	if ready.err != nil {
		return false, r.unbuildable(ctx, batch, ready.err)
	}
	began := time.Now()
	permit, open, err := r.permit(ctx, batch, ready.Class)
	if err != nil || !open {
		return false, err
	}
	if time.Since(began) > time.Second { // it may have crossed a limit meanwhile
		if young, err = r.stillYoung(ctx, batch); err != nil || len(young) < len(batch) {
			permit.Unused()
			if err != nil || len(young) == 0 {
				return false, err
			}
			return r.sendBatch(ctx, young, nil)
		}
	}
	// From the intent on the attempt is seen through, also while the process is stopping:
	// one broken off here would have to count as ambiguous.
	through, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout()+time.Minute)
	defer cancel()
	if err := r.intend(through, batch, ready.Request); err != nil {
		permit.Unused()
		return false, err
	}
	if err := r.claim.Alive(through); err != nil {
		permit.Unused()
		return false, err
	}
	began = time.Now()
	answer, outcomes := r.attempt(through, ready)
	r.answered(permit, ready.Class, answer, outcomes)
	done, err := r.settle(through, batch, ready.Request, answer.Status, outcomes, time.Since(began))
	switch {
	case err != nil || len(done.refused) == 0:
		return done.clean, err
	case ctx.Err() != nil: // the refusal is known: it is not left as an attempt without an answer
		return false, r.putBack(through, done.refused)
	}
	return false, r.isolate(ctx, done.refused)
}

// brokenOff parks what is on record as an attempt although the last one was refused, so
// that it is not left as one without an answer, and gives ctx's error.
func (r *run) brokenOff(ctx context.Context, batch []*send) error {
	if batch[0].open {
		return errors.Join(ctx.Err(), r.putBack(context.WithoutCancel(ctx), batch))
	}
	return ctx.Err()
}

// permit waits until the account's budget lets one more request go; false when somebody
// stopped the destination meanwhile and the batch was put back.
func (r *run) permit(ctx context.Context, batch []*send, class string) (*budget.Permit, bool, error) {
	who, patience := budget.Deliver, time.Duration(0)
	if batch[0].low {
		who = budget.Backfill
	}
	if batch[0].low && !batch[0].open { // what is live must not wait for it
		patience = lowPatience
	}
	for {
		p, err := r.begin(ctx, who, class, patience)
		switch {
		case err == nil:
			return p, true, nil
		case ctx.Err() != nil:
			return nil, false, r.brokenOff(ctx, batch)
		case !r.sends():
			return nil, false, r.putBack(ctx, batch)
		case patience > 0:
			return nil, false, errGiveWay
		}
	}
}

// begin waits for the budget until somebody acts on the destination, or for so long (0: a
// year).
func (r *run) begin(ctx context.Context, who budget.Class, class string, patience time.Duration) (*budget.Permit, error) {
	if r.Budget == nil {
		return nil, ctx.Err()
	}
	if patience == 0 {
		patience = 366 * 24 * time.Hour
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	controlled, done := r.Ledger.controlledNext(), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-controlled:
			stop()
		case <-ctx.Done():
		}
	}()
	p, err := r.Budget.Begin(ctx, who, class)
	stop()
	<-done
	return p, err
}

// answered tells the budget what an answer said of the account's limits.
func (r *run) answered(permit *budget.Permit, class string, answer destinations.Response, outcomes []destinations.Outcome) {
	if answer.Status == 0 && !outcomes[0].Unknown { // it never left
		permit.Unused()
		return
	}
	readings := r.headroom(answer)
	permit.Answered(readings)
	if answer.Status != 429 {
		return
	}
	limit, after := "", time.Duration(0)
	for _, reading := range readings {
		if reading.Remaining == 0 {
			limit = reading.Limit
		}
	}
	for _, o := range outcomes {
		after = max(after, o.After)
	}
	r.Budget.Refused(class, limit, after)
}

func (l *Lane) headroom(answer destinations.Response) []destinations.Reading {
	if g, ok := l.Adapter().(destinations.Gauge); ok && answer.Status != 0 {
		return g.Headroom(answer)
	}
	return nil
}

func (l *Lane) timeout() time.Duration {
	if t := l.Adapter().Contract().Timeout; t > 0 {
		return t
	}
	return 10 * time.Second
}

// stillYoung holds back what crossed a limit while it waited: the vendor's age limit, or
// the time within which an attempt whose answer never came may be made again. It ends what tells of
// somebody who was erased since the turn began; what only names one is decided anew without them.
func (r *run) stillYoung(ctx context.Context, batch []*send) ([]*send, error) {
	now := time.Now().UTC()
	contract := r.Adapter().Contract()
	erasing := r.Erased != nil && r.Erased.ErasedUpTo() > r.erased
	if contract.MaxAge == 0 && contract.ResendWithin == 0 && !erasing {
		return batch, nil
	}
	young := make([]*send, 0, len(batch))
	var old []canonical.Delivery
	for _, s := range batch {
		switch {
		case erasing && r.isErased(&s.item):
			old = append(old, r.change(s, canonical.StateSuppressed, canonical.ReasonErased, "", now))
		case erasing && r.leavesOut(&s.item):
			old = append(old, r.parked(s.untried(), canonical.ReasonRetry, "somebody else of whom it told was erased", now, now))
		case tooOld(s.item.Event, contract, now):
			old = append(old, r.change(s, canonical.StateSuppressed, canonical.ReasonTooOld, "", now))
		case s.ambig && !s.looked && contract.ResendWithin > 0 && s.firstTry != nil && now.Sub(*s.firstTry) > contract.ResendWithin:
			old = append(old, r.parked(s.untried(), canonical.ReasonAmbiguous, "the vendor would no longer know a second copy for one", now, time.Time{}))
		default:
			young = append(young, s)
		}
	}
	return young, r.record(context.WithoutCancel(ctx), old)
}

// intend writes the intents and waits until they are durable. What is already on record as
// an attempt without an outcome, because its batch is being searched, needs no other.
func (r *run) intend(ctx context.Context, batch []*send, q destinations.Request) error {
	now := time.Now().UTC()
	matcher, _ := r.Adapter().(destinations.Matcher)
	var intents []canonical.Delivery
	for i := range batch {
		s := batch[i]
		if s.open {
			continue
		}
		if s.firstTry == nil {
			s.firstTry = &now
		}
		s.hash = bodyHash(q, i)
		if matcher != nil {
			s.match = matcher.Match(s.item)
		}
		s.open = true
		d := r.change(s, canonical.StateIntent, "", "", now)
		d.BatchSize, d.Match = len(batch), s.match
		if !s.own {
			d.Known = &s.item.Known
		}
		d.Value, d.Currency = valueOf(q, i), currencyOf(q, i)
		intents = append(intents, d)
	}
	return r.record(ctx, intents)
}

// attempt sends once. A request in flight is allowed to finish on shutdown; its own
// time-out bounds it.
func (r *run) attempt(ctx context.Context, b *built) (destinations.Response, []destinations.Outcome) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout())
	defer cancel()
	answer, err := r.Send(ctx, b.Request)
	if err != nil {
		return answer, destinations.All(b.items, unanswered(err))
	}
	outcomes := r.Adapter().Classify(b.items, answer)
	out := make([]destinations.Outcome, len(b.items))
	for i := range out {
		out[i] = destinations.Outcome{Verdict: destinations.Retry, Reason: "unclassified", Detail: "the adapter gave no outcome", Unknown: true}
		if len(outcomes) == len(out) && outcomes[i].Verdict != 0 {
			out[i] = outcomes[i]
		}
	}
	return answer, out
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

func (r *run) logAttempt(batch []*send, status int, outcomes []destinations.Outcome, took time.Duration) {
	counts := map[string]int{}
	for _, o := range outcomes {
		counts[o.Verdict.String()]++
	}
	r.Metrics.request(r.Name, status, took)
	r.Logger.Info("attempt", "destination", r.Name, "items", len(batch), "status", status, "took", took,
		"verdicts", counts, "reason", outcomes[0].Reason, "trace_id", outcomes[0].TraceID)
}
