package delivery

import (
	"context"
	"errors"
	"time"

	"tributary/internal/eventlog"
)

// Orders of backfills come through the same partitions as everything else. They are put
// aside and taken up a request's worth at a time: when nothing live is there, and in every
// eighth cycle when there is; each time only if the share of the budget kept for backfills
// has room. What is put aside is not committed: a new owner reads it again.
const (
	lowPatience = 250 * time.Millisecond // how long what is live may wait for a backfill's turn
	lowTurn     = 8
	mostLow     = 5000 // put aside; beyond it nothing new is read
)

// A place is a partition of a topic.
type place struct {
	topic     string
	partition int
}

func placeOf(rec eventlog.Record) place { return place{rec.Topic, rec.Partition} }

// putAside keeps the orders that give way and gives back the rest.
func (r *run) putAside(jobs []job) []job {
	live := jobs[:0]
	for _, j := range jobs {
		if !j.low {
			live = append(live, j)
			continue
		}
		r.low = append(r.low, j)
		r.kept[j.from] = append(r.kept[j.from], j.offset)
	}
	return live
}

// done notes how far a partition was read, and commits up to the first order put aside.
func (r *run) done(p place, next int64) {
	r.reads[p] = max(r.reads[p], next)
	if kept := r.kept[p]; len(kept) > 0 {
		next = kept[0]
	} else {
		next = r.reads[p]
	}
	r.claim.Commit(p.topic, p.partition, next)
}

// giveWay takes up some of what was put aside, if it is its turn.
func (r *run) giveWay(ctx context.Context, busy bool) error {
	r.turn++
	if len(r.low) == 0 || busy && r.turn%lowTurn != 0 || r.stands() || time.Until(r.resumeAt()) > 0 {
		return nil
	}
	n := min(len(r.low), max(r.Adapter().Contract().MaxBatch, 1))
	if r.open() {
		n = 1
	}
	err := r.work(ctx, r.low[:n])
	if errors.Is(err, errGiveWay) {
		return nil // decided anew at its next turn; what has a state by now comes to nothing
	}
	if err != nil {
		return err
	}
	for _, j := range r.low[:n] {
		r.kept[j.from] = r.kept[j.from][1:]
		r.done(j.from, 0)
	}
	r.low = append(r.low[:0:0], r.low[n:]...)
	return nil
}
