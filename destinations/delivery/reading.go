package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tributary/canonical"
	"tributary/internal/eventlog"
)

const (
	turnBatches = 4    // requests' worth of events in a turn: what is decided together
	mostPolled  = 5000 // bounds a turn, for vendors that take more in a request
)

// turnLimit is how many events and parked items are taken up at a time.
func (r *run) turnLimit() int {
	if r.open() {
		return 1 // a probe
	}
	return max(r.Policy.Poll, min(turnBatches*r.Adapter().Contract().MaxBatch, mostPolled))
}

// A reading is what a piece of the log asks for.
type reading struct {
	jobs []job
	from []source // by record, in order
}

// A source is one record that was read: where its partition goes on, and how many jobs came of it.
type source struct {
	place
	next int64
	jobs int
}

// take takes what came of the first n records.
func (g *reading) take(n int) reading {
	n = min(n, len(g.from))
	jobs := 0
	for _, f := range g.from[:n] {
		jobs += f.jobs
	}
	first := reading{g.jobs[:jobs:jobs], g.from[:n:n]}
	if g.jobs, g.from = g.jobs[jobs:], g.from[n:]; len(g.from) == 0 {
		*g = reading{}
	}
	return first
}

// next gives what is new: what was read ahead, else what comes. Where there is something it
// lingers for more, so that a request is worth its while.
func (r *run) next(ctx context.Context, limit int, busy bool) (reading, error) {
	got := r.ahead.take(limit)
	if len(got.from) == 0 {
		wait, err := r.patience(busy)
		if err != nil {
			return got, err
		}
		if got, err = r.read(ctx, limit, wait); err != nil || len(got.from) == 0 {
			return got, err
		}
	}
	contract := r.Adapter().Contract()
	for until := time.Now().Add(contract.Linger); len(got.from) < min(limit, contract.MaxBatch); {
		wait := time.Until(until)
		if wait <= 0 {
			break
		}
		more, err := r.read(ctx, limit-len(got.from), wait)
		if err != nil {
			return got, err
		}
		got.jobs, got.from = append(got.jobs, more.jobs...), append(got.from, more.from...)
	}
	return got, nil
}

// readAhead reads the next turn's events while this one is worked on, where the log holds a
// backlog. It decides nothing, and nothing of it is committed before it was taken up and has
// its states. join waits for it and must be called.
func (r *run) readAhead(ctx context.Context, limit int, backlog bool) (join func() error) {
	if !backlog || len(r.ahead.from) > 0 {
		return func() error { return nil }
	}
	var got reading
	failed := make(chan error, 1)
	go func() {
		var err error
		got, err = r.read(ctx, limit, 0)
		failed <- err
	}()
	return func() error {
		err := <-failed
		r.ahead = got
		return err
	}
}

// patience is how long to wait for new events: not past the next due time.
func (r *run) patience(busy bool) (time.Duration, error) {
	if busy {
		return 0, nil
	}
	wait := time.Second // how late a pause may be heard
	awaits, err := r.Ledger.Awaits(r.Name)
	if awaits {
		wait = 250 * time.Millisecond // how late an identity change may wake a waiting item
	}
	if !r.due.IsZero() {
		wait = min(wait, max(time.Until(r.due), time.Millisecond))
	}
	return wait, err
}

// read turns the next records of events and replays into jobs and waits until this process
// has folded what was known when they were built. It touches nothing that a turn changes.
func (r *run) read(ctx context.Context, limit int, wait time.Duration) (reading, error) {
	records, err := r.claim.Poll(ctx, limit, wait)
	if err != nil || len(records) == 0 {
		return reading{}, err
	}
	got := reading{make([]job, 0, len(records)), make([]source, 0, len(records))}
	reached := int64(-1)
	for _, rec := range records {
		before := len(got.jobs)
		if got.jobs, err = r.jobsOf(got.jobs, rec); err != nil {
			return reading{}, err
		}
		for i := before; i < len(got.jobs); i++ {
			reached = max(reached, got.jobs[i].known.Offset)
		}
		got.from = append(got.from, source{placeOf(rec), rec.Offset + 1, len(got.jobs) - before})
	}
	return got, r.People.Wait(ctx, reached)
}

// jobsOf appends what one record asks of this destination.
func (r *run) jobsOf(jobs []job, rec eventlog.Record) ([]job, error) {
	if rec.Version != eventlog.Schema {
		return nil, unknownRecord(rec)
	}
	switch rec.Type {
	case eventlog.TypeFate, eventlog.TypeJob, eventlog.TypeMapping, eventlog.TypeCRMSync:
	case eventlog.TypeEvent:
		jobs = append(jobs, job{})
		j := &jobs[len(jobs)-1]
		if err := canonical.ReadEvent(rec.Value, &j.event); err != nil {
			return nil, fmt.Errorf("read %s %d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		j.known = known(&j.event)
	case eventlog.TypeReplay:
		var o canonical.ReplayOrder
		if err := json.Unmarshal(rec.Value, &o); err != nil {
			return nil, fmt.Errorf("read %s %d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
		}
		for _, d := range o.Destinations {
			if d == r.Name {
				jobs = append(jobs, job{event: o.Event, known: known(&o.Event), replayID: o.ID, forced: o.Force, only: onlyParts(o.Parts), low: o.Low, from: placeOf(rec), offset: rec.Offset})
			}
		}
	default:
		return nil, unknownRecord(rec)
	}
	return jobs, nil
}

func unknownRecord(rec eventlog.Record) error {
	return fmt.Errorf("%s %d/%d holds a %q of version %d, which this version does not read; run the version that wrote it, or a later one",
		rec.Topic, rec.Partition, rec.Offset, rec.Type, rec.Version)
}

func known(e *canonical.Event) canonical.Known {
	if e.Known == nil {
		return canonical.Known{Offset: -1}
	}
	return *e.Known
}
