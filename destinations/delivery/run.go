package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/eventlog"
)

// A run is a lane while this process owns it: what it must remember between cycles.
type run struct {
	*Lane
	claim   eventlog.Claim
	limiter *rate.Limiter
	taken   map[slotKey]canonical.EventKey // slots taken in this cycle, before the ledger knows
	seen    int64                          // identity offset up to which waiting items were woken
	due     time.Time                      // next due time known; zero: none
	outbox  []canonical.Delivery           // decided in this cycle, not yet written
	closing []canonical.Delivery           // to be written once the parts have their states
}

type slotKey struct{ part, slot string }

// A job is one event to decide on.
type job struct {
	event    canonical.Event
	known    canonical.Known
	replayID string
	forced   bool
	// resumed is the parked part that this job takes up again; nil: every part is meant.
	resumed *canonical.Delivery
}

// A send is one part that was decided to go.
type send struct {
	item     destinations.Item
	part     string // as the ledger names it
	attempt  int
	firstTry *time.Time
	replayID string
	forced   bool
	slot     string
	ambig    bool // an earlier attempt's answer never came
}

// recover turns the intents a dead owner left into parked items, and wakes those whose
// person became known meanwhile.
func (r *run) recover(ctx context.Context) error {
	open, err := r.Ledger.Open(r.Name)
	if err != nil {
		return err
	}
	for _, d := range open {
		if d.Content == nil {
			continue // its event was never finished: it is read again and dealt with then
		}
		r.outbox = append(r.outbox, r.unanswered(d, time.Now().UTC()))
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.seen = r.People.Offset()
	waiting, err := r.Ledger.AllAwaiting(r.Name)
	if err != nil {
		return err
	}
	return r.wake(ctx, waiting)
}

// cycle takes what is due, what was woken and what is new, decides on each, sends, and
// commits: afterwards every event taken has a state.
func (r *run) cycle(ctx context.Context) error {
	if err := r.waitRunning(ctx); err != nil {
		return err
	}
	limit := r.Policy.Poll
	if r.open() {
		limit = 1 // a probe
	}
	jobs, err := r.dueJobs(limit)
	if err != nil {
		return err
	}
	var polled []eventlog.Record
	if len(jobs) < limit {
		if polled, err = r.poll(ctx, limit-len(jobs), len(jobs) > 0); err != nil {
			return err
		}
		fresh, err := r.read(ctx, polled)
		if err != nil {
			return err
		}
		jobs = append(jobs, fresh...)
	}
	if err := r.work(ctx, jobs); err != nil {
		return err
	}
	if err := r.wakeChanged(ctx); err != nil {
		return err
	}
	for _, rec := range polled {
		r.claim.Commit(rec.Topic, rec.Partition, rec.Offset+1)
	}
	return nil
}

// poll takes new events; where there are some, it lingers for more, so that a request
// is worth its while.
func (r *run) poll(ctx context.Context, limit int, busy bool) ([]eventlog.Record, error) {
	records, err := r.claim.Poll(ctx, limit, r.patience(busy))
	if err != nil || len(records) == 0 {
		return records, err
	}
	contract := r.Destination.Contract()
	for until := time.Now().Add(contract.Linger); len(records) < min(limit, contract.MaxBatch); {
		wait := time.Until(until)
		if wait <= 0 {
			break
		}
		more, err := r.claim.Poll(ctx, limit-len(records), wait)
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	return records, nil
}

// patience is how long to wait for new events: not past the next due time.
func (r *run) patience(busy bool) time.Duration {
	if busy {
		return 0
	}
	wait := 250 * time.Millisecond // how late an identity change may wake a waiting item
	if !r.due.IsZero() {
		wait = min(wait, max(time.Until(r.due), time.Millisecond))
	}
	return wait
}

// dueJobs takes up parked items whose time has come.
func (r *run) dueJobs(limit int) ([]job, error) {
	parked, next, err := r.Ledger.Due(r.Name, time.Now(), limit)
	if err != nil {
		return nil, err
	}
	r.due = next
	jobs := make([]job, 0, len(parked))
	for _, d := range parked {
		if d.Content == nil {
			return nil, fmt.Errorf("the parked record of %s at %s holds no event: delete the local state to rebuild it", d.Event.ID, r.Name)
		}
		j := job{event: *d.Content, replayID: d.ReplayID, forced: d.Forced, resumed: &d}
		if d.Reason == canonical.ReasonAwaitingIdentity { // given up unless known by now
			j.known = r.People.Known(j.event)
		} else {
			j.known = known(j.event)
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// read turns records of events and replays into jobs and waits until this process has
// folded what was known when they were built.
func (r *run) read(ctx context.Context, records []eventlog.Record) ([]job, error) {
	var jobs []job
	reached := int64(-1)
	for _, rec := range records {
		if rec.Version != eventlog.Schema {
			return nil, unknownRecord(rec)
		}
		switch rec.Type {
		case eventlog.TypeFate:
		case eventlog.TypeEvent:
			var e canonical.Event
			if err := json.Unmarshal(rec.Value, &e); err != nil {
				return nil, fmt.Errorf("read %s %d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
			jobs = append(jobs, job{event: e, known: known(e)})
			reached = max(reached, known(e).Offset)
		case eventlog.TypeReplay:
			var o canonical.ReplayOrder
			if err := json.Unmarshal(rec.Value, &o); err != nil {
				return nil, fmt.Errorf("read %s %d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
			for _, d := range o.Destinations {
				if d == r.Name {
					jobs = append(jobs, job{event: o.Event, known: known(o.Event), replayID: o.ID, forced: o.Force})
					reached = max(reached, known(o.Event).Offset)
				}
			}
		default:
			return nil, unknownRecord(rec)
		}
	}
	return jobs, r.People.Wait(ctx, reached)
}

func unknownRecord(rec eventlog.Record) error {
	return fmt.Errorf("%s %d/%d holds a %q of version %d, which this version does not read; run the version that wrote it, or a later one",
		rec.Topic, rec.Partition, rec.Offset, rec.Type, rec.Version)
}

func known(e canonical.Event) canonical.Known {
	if e.Known == nil {
		return canonical.Known{Offset: -1}
	}
	return *e.Known
}

// work decides on jobs, writes what needs no sending, sends the rest.
func (r *run) work(ctx context.Context, jobs []job) error {
	if len(jobs) == 0 {
		return nil
	}
	jobs, later := once(jobs)
	clear(r.taken)
	var sends []send
	for _, j := range jobs {
		s, err := r.decide(j)
		if err != nil {
			return fmt.Errorf("decide on event %s at %s: %w", j.event.ID, r.Name, err)
		}
		sends = append(sends, s...)
	}
	waiting := r.newlyAwaiting()
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.deliver(ctx, sends); err != nil {
		return err
	}
	r.outbox, r.closing = r.closing, nil
	if err := r.flush(ctx); err != nil {
		return err
	}
	if err := r.recheck(ctx, waiting); err != nil {
		return err
	}
	return r.work(ctx, later)
}

// once keeps each event's first job; further ones wait until the ledger knows what the
// first came to.
func once(jobs []job) (first, later []job) {
	met := make(map[canonical.EventKey]bool, len(jobs))
	for _, j := range jobs {
		if met[j.event.Key()] {
			later = append(later, j)
			continue
		}
		met[j.event.Key()] = true
		first = append(first, j)
	}
	return first, later
}

func (r *run) newlyAwaiting() []canonical.Delivery {
	var out []canonical.Delivery
	for _, d := range r.outbox {
		if d.State == canonical.StateParked && d.Reason == canonical.ReasonAwaitingIdentity {
			out = append(out, d)
		}
	}
	return out
}

func (r *run) flush(ctx context.Context) error {
	out := r.outbox
	r.outbox = nil
	return r.write(ctx, out)
}

// recheck looks once more after the parked record stands: whatever became known before
// is seen here, whatever comes later wakes it.
func (r *run) recheck(ctx context.Context, parked []canonical.Delivery) error {
	if len(parked) == 0 {
		return nil
	}
	return r.wake(ctx, parked)
}

// wakeChanged takes up items whose person changed since the last look.
func (r *run) wakeChanged(ctx context.Context) error {
	now := r.People.Offset()
	if now <= r.seen {
		return nil
	}
	var waiting []canonical.Delivery
	for _, n := range r.People.Touched(r.seen, now) {
		w, err := r.Ledger.Awaiting(r.Name, n)
		if err != nil {
			return err
		}
		waiting = append(waiting, w...)
	}
	r.seen = now
	return r.wake(ctx, waiting)
}

func (r *run) wake(ctx context.Context, waiting []canonical.Delivery) error {
	done := map[string]bool{}
	var jobs []job
	for _, d := range waiting {
		if at := d.Event.String() + "|" + d.Part; d.Content == nil || done[at] {
			continue
		} else {
			done[at] = true
		}
		j := job{event: *d.Content, known: r.People.Known(*d.Content), replayID: d.ReplayID, forced: d.Forced, resumed: &d}
		if !r.stillWaits(j) {
			jobs = append(jobs, j)
		}
	}
	return r.work(ctx, jobs)
}

// stillWaits is true when what is known now does not end the wait of a parked part.
func (r *run) stillWaits(j job) bool {
	parts, refusal := r.plan(j)
	reason := refusal.Reason
	for _, p := range parts {
		if p.Name == planned(j.resumed.Part) {
			reason = p.Refused.Reason
		}
	}
	return reason == canonical.ReasonAwaitingIdentity
}

func (r *run) plan(j job) ([]destinations.Part, destinations.Refusal) {
	route, _ := r.Routes(j.event.Name)
	return r.Destination.Plan(j.event, j.known, route)
}
