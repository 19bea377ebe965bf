package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
	"tributary/internal/eventlog"
)

// A Lane is everything that moves events to one destination. One process runs it at a
// time: whoever owns the destination's group.
type Lane struct {
	Name        string // the destination's, as configured
	Destination destinations.Destination
	Mode        Mode
	Routes      Routes
	// Pin, where set, gives the routes that hold for one batch from the first to the last of its
	// decisions, whatever is loaded meanwhile; nil: Routes.
	Pin    func() Routes
	Send   Sender
	Log    eventlog.Log
	Topics eventlog.Topics
	Ledger *Ledger
	People People
	Erased Forgetter // nil: nobody is
	Policy Policy
	// Ambiguous, where not "", is the setting that holds instead of the part's and the contract's.
	Ambiguous destinations.Ambiguous
	Budget    *budget.Account // of the vendor account; nil: nothing is paced
	Owner     string          // this process
	Logger    *slog.Logger
	Metrics   *Metrics

	learnt   atomic.Pointer[learnt]
	mu       sync.Mutex
	failures int       // whole requests failed in a row
	failure  string    // the last one's reason
	pause    time.Time // the circuit is open until then
}

// Group is the name of the consumer group that a destination's lane is owned by.
func Group(prefix, destination string) string { return prefix + "lane." + destination }

// pinned gives the routes for one batch.
func (l *Lane) pinned() Routes {
	if l.Pin != nil {
		return l.Pin()
	}
	return l.Routes
}

// Prepare begins the books of a new destination where the log ends now. Call it before
// anything is accepted that should reach the destination. Where the local ledger does not
// know of a beginning, another one may be on record already: the first in the log counts.
func (l *Lane) Prepare(ctx context.Context) error {
	if _, had, err := l.Ledger.Activation(l.Name); err != nil || had {
		return err
	}
	begin := map[string][]int64{}
	for _, topic := range []string{l.Topics.Events, l.Topics.Replays} {
		_, end, err := l.Log.Bounds(ctx, topic)
		if err != nil {
			return fmt.Errorf("prepare destination %s: %w", l.Name, err)
		}
		begin[topic] = end
	}
	_, err := l.append(ctx, []canonical.Delivery{{Destination: l.Name, State: canonical.StateActivation, At: time.Now().UTC(), End: begin}})
	return err
}

// catchUp reads the ledger to the end of deliveries: nothing may be sent before.
func (l *Lane) catchUp(ctx context.Context) error {
	_, end, err := l.Log.Bounds(ctx, l.Topics.Deliveries)
	if err != nil {
		return fmt.Errorf("read the end of %s: %w", l.Topics.Deliveries, err)
	}
	return l.Ledger.WaitEnd(ctx, end)
}

// knowPeople waits until everything stated so far is folded: a slot is looked up over all
// nodes of a person, and a merge that is not known yet would hide one.
func (l *Lane) knowPeople(ctx context.Context) error {
	_, end, err := l.Log.Bounds(ctx, l.Topics.Identity)
	if err != nil {
		return fmt.Errorf("read the end of %s: %w", l.Topics.Identity, err)
	}
	return l.People.Wait(ctx, end[0]-1)
}

// Run owns the lane whenever the group gives it to this process, until ctx ends or
// something happens that only an operator can mend.
func (l *Lane) Run(ctx context.Context) error {
	if err := l.Prepare(ctx); err != nil {
		return err
	}
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	activation, _, err := l.Ledger.Activation(l.Name)
	if err != nil {
		return err
	}
	group := eventlog.Group{
		Name: Group(l.prefix(), l.Name), Topics: []string{l.Topics.Events, l.Topics.Replays}, Whole: true,
		Start: func(topic string, partition int, first, end int64) int64 {
			if e := activation.End[topic]; partition < len(e) {
				return max(first, e[partition])
			}
			return first
		},
	}
	return l.Log.Consume(ctx, group, l.own)
}

func (l *Lane) prefix() string {
	return l.Topics.Events[:len(l.Topics.Events)-len("events")]
}

// own runs the lane for one generation.
func (l *Lane) own(ctx context.Context, claim eventlog.Claim) error {
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	if err := l.knowPeople(ctx); err != nil {
		return err
	}
	r := newRun(l, claim)
	defer l.Metrics.halted(l.Name, false) // whoever owns it next says so
	if err := r.recover(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if err := r.cycle(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// write appends deliveries and waits until the ledger has folded them.
func (l *Lane) write(ctx context.Context, ds []canonical.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	placed, err := l.append(ctx, ds)
	if err != nil {
		return err
	}
	return l.Ledger.Wait(ctx, placed)
}

// record appends deliveries, which then are durable; folded waits until the ledger has them.
func (r *run) record(ctx context.Context, ds []canonical.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	placed, err := r.append(ctx, ds)
	for _, p := range placed {
		r.written[p.Partition] = max(r.written[p.Partition], p.Offset)
	}
	return err
}

// folded returns once the ledger has everything recorded: nothing may be decided before.
func (r *run) folded(ctx context.Context) error {
	wanted := make([]eventlog.Record, 0, len(r.written))
	for p, offset := range r.written {
		wanted = append(wanted, eventlog.Record{Partition: p, Offset: offset})
	}
	clear(r.written)
	return r.Ledger.Wait(ctx, wanted)
}

func (l *Lane) append(ctx context.Context, ds []canonical.Delivery) ([]eventlog.Record, error) {
	records := make([]eventlog.Record, len(ds))
	for i, d := range ds {
		v, err := d.AppendJSON(make([]byte, 0, 640))
		if err != nil {
			return nil, fmt.Errorf("write delivery of %s: %w", d.Event.ID, err)
		}
		key := []byte(d.Event.ID)
		if d.State == canonical.StateActivation || d.State == canonical.StateControl { // one partition orders them
			key = []byte(d.Destination)
		}
		records[i] = eventlog.Record{Key: key, Value: v, Type: eventlog.TypeDelivery, Version: eventlog.Schema}
	}
	placed, err := l.Log.Append(ctx, l.Topics.Deliveries, records...)
	if err != nil {
		return nil, fmt.Errorf("record deliveries to %s: %w", l.Name, err)
	}
	for _, d := range ds {
		l.Metrics.count(d)
	}
	return placed, nil
}

// open is true while the vendor is taken to be down: one probe at a time.
func (l *Lane) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures > 0
}

// closeCircuit takes the vendor to be up again.
func (l *Lane) closeCircuit() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures, l.failure, l.pause = 0, "", time.Time{}
}

// trip notes a request that failed whole: the lane waits, with a growing random pause and
// at least as long as the vendor asked, before it tries again.
func (l *Lane) trip(why string, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures++
	l.failure = why
	l.pause = time.Now().Add(max(after, backoff(l.Policy, l.failures, rand.Float64())))
}

func (l *Lane) resumeAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pause
}
