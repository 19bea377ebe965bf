package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/eventlog"
)

// A Lane is everything that moves events to one destination. One process runs it at a
// time: whoever owns the destination's group.
type Lane struct {
	Name        string // the destination's, as configured
	Destination destinations.Destination
	Mode        Mode
	Routes      Routes
	Send        Sender
	Log         eventlog.Log
	Topics      eventlog.Topics
	Ledger      *Ledger
	People      People
	Policy      Policy
	Owner       string // this process
	Logger      *slog.Logger
	Metrics     *Metrics

	disabled atomic.Bool
	mu       sync.Mutex
	halted   string // why; "" runs
	resumed  chan struct{}
	failures int       // whole requests failed in a row
	pause    time.Time // the circuit is open until then
}

// Group is the name of the consumer group that a destination's lane is owned by.
func Group(prefix, destination string) string { return prefix + "lane." + destination }

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
	r := &run{Lane: l, claim: claim, limiter: l.limiter(), taken: map[slotKey]canonical.EventKey{}}
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

func (l *Lane) limiter() *rate.Limiter {
	limits := l.Destination.Contract().Limits
	if len(limits) == 0 {
		return rate.NewLimiter(rate.Inf, 1)
	}
	first := limits[0]
	return rate.NewLimiter(rate.Limit(float64(first.Requests)/first.Per.Seconds()), max(first.Requests/10, 1))
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

func (l *Lane) append(ctx context.Context, ds []canonical.Delivery) ([]eventlog.Record, error) {
	records := make([]eventlog.Record, len(ds))
	for i, d := range ds {
		v, err := json.Marshal(d)
		if err != nil {
			return nil, fmt.Errorf("write delivery of %s: %w", d.Event.ID, err)
		}
		key := []byte(d.Event.ID)
		if d.State == canonical.StateActivation {
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

// Halted says why the lane stands still; "" when it runs.
func (l *Lane) Halted() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halted
}

// Resume lets a halted lane try again.
func (l *Lane) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.halted != "" {
		l.halted = ""
		close(l.resumed)
	}
}

// Disable makes the lane give up its destination until the process ends: it reads on
// and suppresses, so that the log is not held up by a halt nobody mends.
func (l *Lane) Disable() {
	l.disabled.Store(true)
	l.Resume()
}

// mode is the configured mode, unless the lane was disabled.
func (l *Lane) mode() Mode {
	if l.disabled.Load() {
		return Disabled
	}
	return l.Mode
}

func (l *Lane) halt(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.halted == "" {
		l.resumed = make(chan struct{})
	}
	l.halted = why
	l.Metrics.halted(l.Name, true)
	l.Logger.Error("destination halted: its backlog is kept; mend the cause, then resume it", "destination", l.Name, "reason", why)
}

// waitRunning returns when the lane is not halted and its circuit lets something pass.
func (l *Lane) waitRunning(ctx context.Context) error {
	for {
		l.mu.Lock()
		halted, resumed, pause := l.halted, l.resumed, time.Until(l.pause)
		l.mu.Unlock()
		switch {
		case halted != "":
			select {
			case <-resumed:
				l.Metrics.halted(l.Name, false)
			case <-ctx.Done():
				return ctx.Err()
			}
		case pause > 0:
			if err := sleep(ctx, pause); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open is true while the vendor is taken to be down: one probe at a time.
func (l *Lane) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures > 0
}

// note tells the circuit how a request went.
func (l *Lane) note(down bool, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !down {
		l.failures, l.pause = 0, time.Time{}
		return
	}
	l.failures++
	l.pause = time.Now().Add(max(after, backoff(l.Policy, l.failures, rand.Float64())))
}

func (l *Lane) resumeAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pause
}

var errStopped = errors.New("the lane stopped before this was sent")
