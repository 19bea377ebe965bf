package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/destinations/delivery"
)

// decided returns once the lanes have decided on every order there is now; false: the job
// was changed by another.
func (w *worker) decided(ctx context.Context) (bool, error) {
	_, end, err := w.Log.Bounds(ctx, w.Topics.Replays)
	if err != nil {
		return false, err
	}
	for {
		name, err := w.before(ctx, end)
		if err != nil {
			return false, err
		}
		if name == "" {
			return true, w.upToDate(ctx, w.job)
		}
		if held, err := w.waits(ctx, name+" has orders to decide on"); err != nil || !held {
			return false, err
		}
	}
}

// behind waits until every lane of the job has at most that many orders to decide on.
func (w *worker) behind(ctx context.Context, most int64) (bool, error) {
	for {
		name, n, err := w.undecided(ctx)
		if err != nil {
			return false, err
		}
		if n <= most {
			return true, nil
		}
		if held, err := w.waits(ctx, fmt.Sprintf("%s has %d orders to decide on", name, n)); err != nil || !held {
			return false, err
		}
	}
}

// waits lets a second pass. What it waits for is written once it lasts, and now and then,
// so that the log keeps the job.
func (w *worker) waits(ctx context.Context, why string) (bool, error) {
	for _, d := range w.job.Destinations {
		if trouble := w.Replay.Lanes[d].Trouble(); len(trouble) > 0 {
			why = d + ": " + trouble[0]
		}
	}
	lasted := time.Since(w.written)
	if lasted > showEvery && !strings.HasPrefix(w.job.Note, "waits: ") || lasted > restate {
		w.job.Note = "waits: " + why
		if won, err := w.write(ctx); err != nil || !won {
			return false, err
		}
	}
	select {
	case <-time.After(time.Second):
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// undecided gives the lane of the job with the most orders to decide on.
func (w *worker) undecided(ctx context.Context) (name string, most int64, err error) {
	_, end, err := w.Log.Bounds(ctx, w.Topics.Replays)
	if err != nil {
		return "", 0, err
	}
	for _, d := range w.job.Destinations {
		from, err := w.reached(ctx, d, w.Topics.Replays)
		if err != nil {
			return "", 0, err
		}
		n := int64(0)
		for p := range end {
			n += max(end[p]-from[p], 0)
		}
		if n > most {
			name, most = d, n
		}
	}
	return name, most, nil
}

// before gives a lane of the job that has not come to end; "": all have.
func (w *worker) before(ctx context.Context, end []int64) (string, error) {
	for _, d := range w.job.Destinations {
		from, err := w.reached(ctx, d, w.Topics.Replays)
		if err != nil {
			return "", err
		}
		for p := range end {
			if from[p] < end[p] {
				return d, nil
			}
		}
	}
	return "", nil
}

// reached is how far a lane is in a topic: everything below has its state.
func (s *Jobs) reached(ctx context.Context, dest, topic string) ([]int64, error) {
	at, err := s.Log.Committed(ctx, delivery.Group(s.Prefix, dest), topic)
	if err != nil {
		return nil, err
	}
	activation, _, err := s.Replay.Lanes[dest].Ledger.Activation(dest)
	if err != nil {
		return nil, err
	}
	at = slices.Clone(at)
	for p, begin := range activation.End[topic] {
		if p < len(at) {
			at[p] = max(at[p], begin)
		}
	}
	return at, nil
}
