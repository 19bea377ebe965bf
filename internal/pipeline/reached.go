package pipeline

import (
	"context"
	"sync"
)

// reached is how far a local view has folded its topic, partition by partition. Whoever has
// appended waits here until the view has seen it.
type reached struct {
	mu      sync.Mutex
	next    map[int]int64
	changed chan struct{}
}

func newReached() reached {
	return reached{next: map[int]int64{}, changed: make(chan struct{})}
}

// Next is the offset to read next from a partition.
func (r *reached) Next(partition int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next[partition]
}

// to says that all below next is folded, and visible to whoever asks.
func (r *reached) to(partition int, next int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[partition] = next
	close(r.changed)
	r.changed = make(chan struct{})
}

// Wait returns once everything below the end offsets given is folded.
func (r *reached) Wait(ctx context.Context, end []int64) error {
	for {
		r.mu.Lock()
		done := true
		for p, e := range end {
			done = done && r.next[p] >= e
		}
		changed := r.changed
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
