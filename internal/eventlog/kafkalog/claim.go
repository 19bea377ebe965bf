package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// A claim is one generation's share. Per owned partition a goroutine fetches ahead by one
// answer, so memory is bounded by FetchBytes times the partitions.
type claim struct {
	log    *Log
	group  string
	member string
	gen    int
	owned  map[string][]int

	ctx     context.Context // the generation's
	ended   atomic.Bool     // its work has returned
	wg      sync.WaitGroup
	batches chan []eventlog.Record
	failed  chan error // why a partition cannot be read on
	poll    sync.Mutex
	rest    []eventlog.Record // fetched, not polled yet

	mu        sync.Mutex
	pending   map[string]map[int]int64
	committed map[string]map[int]int64
	flush     sync.Mutex // one commit at a time

	beat     sync.Mutex
	answered time.Time // when the last answered heartbeat was sent
}

// newClaim begins to fetch. A partition without a commit gets one at where it begins, so
// that what this group has still to read is known before it has read anything.
func newClaim(ctx context.Context, l *Log, g *kafka.Generation, owned map[string][]int, begin positions) *claim {
	c := &claim{
		log: l, group: g.GroupID, member: g.MemberID, gen: int(g.ID), owned: owned, ctx: ctx,
		batches: make(chan []eventlog.Record), failed: make(chan error, 1),
		pending: make(map[string]map[int]int64), committed: begin.committed,
	}
	for topic, partitions := range begin.from {
		for p, offset := range partitions {
			c.Commit(topic, p, offset)
			c.wg.Go(func() { c.follow(topic, p, offset) })
		}
	}
	c.wg.Go(c.commitNowAndThen)
	return c
}

// Owned lists the partitions owned, by topic.
func (c *claim) Owned() map[string][]int {
	out := make(map[string][]int, len(c.owned))
	for topic, partitions := range c.owned {
		out[topic] = slices.Clone(partitions)
	}
	return out
}

// Generation names the generation.
func (c *claim) Generation() int { return c.gen }

// fetchWait is how long the broker may hold a fetch that finds nothing.
const fetchWait = time.Second

// follow reads one partition to the end and on, until the claim ends.
func (c *claim) follow(topic string, partition int, offset int64) {
	warned := false
	for c.ctx.Err() == nil {
		records, err := c.log.Read(c.ctx, topic, partition, offset, int(^uint(0)>>1), fetchWait)
		switch {
		case c.ctx.Err() != nil:
			return
		case errors.Is(err, eventlog.ErrOutOfRange) || err != nil && refused(err):
			select {
			case c.failed <- err:
			default:
			}
			return
		case err != nil:
			if !warned {
				c.log.logger.Warn("cannot read the log; trying on", "group", c.group, "error", err)
				warned = true
			}
			sleep(c.ctx, joinBackoff)
			continue
		}
		warned = false
		if len(records) == 0 {
			continue
		}
		select {
		case c.batches <- records:
			offset = records[len(records)-1].Offset + 1
		case <-c.ctx.Done():
		}
	}
}

// Poll gives the next records; see eventlog.Claim.
func (c *claim) Poll(ctx context.Context, max int, wait time.Duration) ([]eventlog.Record, error) {
	c.poll.Lock()
	defer c.poll.Unlock()
	if max <= 0 {
		return nil, nil
	}
	if len(c.rest) == 0 {
		if err := c.await(ctx, wait); err != nil {
			return nil, err
		}
	}
	for more := true; more && len(c.rest) < max; {
		select {
		case records := <-c.batches:
			c.rest = append(c.rest, records...)
		default:
			more = false
		}
	}
	n := min(max, len(c.rest))
	out := c.rest[:n:n]
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return out, nil
}

// await waits for the first records.
func (c *claim) await(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(max(wait, 0))
	defer timer.Stop()
	select {
	case c.rest = <-c.batches:
		return nil
	case err := <-c.failed:
		return err
	case <-c.ctx.Done():
		return c.lost()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// lost is ErrLost when the generation is over, else why the member stops.
func (c *claim) lost() error { return context.Cause(c.ctx) }

// Commit keeps what is done, for the next flush. It never goes back.
func (c *claim) Commit(topic string, partition int, next int64) {
	if !slices.Contains(c.owned[topic], partition) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if next <= c.committed[topic][partition] {
		return
	}
	if p, ok := c.pending[topic][partition]; ok && next <= p {
		return
	}
	if c.pending[topic] == nil {
		c.pending[topic] = make(map[int]int64)
	}
	c.pending[topic][partition] = next
}

// Flush commits what changed since the last flush.
func (c *claim) Flush(ctx context.Context) error {
	c.flush.Lock()
	defer c.flush.Unlock()
	c.mu.Lock()
	changed := c.pending
	c.pending = make(map[string]map[int]int64)
	c.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	err := c.log.commit(ctx, c.group, c.gen, c.member, changed)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for topic, partitions := range changed {
			maps.Copy(c.committed[topic], partitions)
		}
		return nil
	}
	for topic, partitions := range changed {
		for p, next := range partitions {
			c.Commit(topic, p, next)
		}
	}
	if gone(err) {
		return fmt.Errorf("%w: %w", eventlog.ErrLost, err)
	}
	return err
}

func (c *claim) commitNowAndThen() {
	tick := time.NewTicker(c.log.opts.CommitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := c.Flush(c.ctx); err != nil && c.ctx.Err() == nil {
				c.log.logger.Warn("cannot commit", "group", c.group, "error", err)
			}
		case <-c.ctx.Done():
			return
		}
	}
}

// end waits for the fetchers and sends the last commits. The generation's context is
// over, but the broker takes them until this member has joined again.
func (c *claim) end() {
	c.ended.Store(true)
	c.wg.Wait()
	if err := c.Flush(context.WithoutCancel(c.ctx)); err != nil {
		c.log.logger.Warn("the last commit failed; some records will be read again", "group", c.group, "error", err)
	}
}

// aliveFor is how long an answered heartbeat counts.
const aliveFor = 5 * time.Second

// Alive says whether this member may still act on its claim; see eventlog.Claim. A
// rebalance under way counts as loss: the claim is about to end.
func (c *claim) Alive(ctx context.Context) error {
	// A member that is asked to end still owns its claim until its work has returned.
	if c.ended.Load() || errors.Is(c.lost(), eventlog.ErrLost) {
		return fmt.Errorf("group %q, generation %d: %w", c.group, c.gen, eventlog.ErrLost)
	}
	c.beat.Lock()
	defer c.beat.Unlock()
	if age(c.answered) < min(aliveFor, c.log.opts.silence()/2) {
		return nil
	}
	err := c.log.retry(ctx, func(ctx context.Context) error {
		sent := time.Now()
		if err := c.heartbeat(ctx); err != nil {
			return err
		}
		c.answered = sent
		return nil
	})
	switch {
	case err == nil:
		return nil
	case gone(err):
		return fmt.Errorf("group %q, generation %d: %w: %w", c.group, c.gen, eventlog.ErrLost, err)
	}
	return fmt.Errorf("group %q: heartbeat: %w", c.group, err)
}

func (c *claim) heartbeat(ctx context.Context) error {
	res, err := c.log.client.Heartbeat(ctx, &kafka.HeartbeatRequest{
		GroupID: c.group, GenerationID: int32(c.gen), MemberID: c.member,
	})
	if err != nil {
		return err
	}
	if res.Error != nil {
		return res.Error
	}
	// kafka-go v0.4.51 reads the answer's two fields in the wrong order: four bytes of
	// throttle time, then two of error code. So the code ends up in the lower half of its
	// throttle time, and its error is never set. A test holds this against a real broker.
	if code := int16(res.Throttle.Milliseconds()); code != 0 {
		return kafka.Error(code)
	}
	return nil
}

// age takes the longer of the two clocks: the monotonic one stands still while a machine
// sleeps, the wall clock may be set.
func age(t time.Time) time.Duration {
	if t.IsZero() {
		return 1<<63 - 1
	}
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
