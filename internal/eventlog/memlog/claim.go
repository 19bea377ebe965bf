package memlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/internal/eventlog"
)

// A claim is one member's share of a generation.
type claim struct {
	log        *Log
	group      *group
	generation int
	owned      map[string][]int
	next       map[string]map[int]int64
	ctx        context.Context
	cancel     context.CancelCauseFunc
}

// claim gives a member its share: nil when it owns nothing.
func (l *Log) claim(ctx context.Context, want eventlog.Group, me *member) (*claim, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[want.Name]
	c := &claim{log: l, group: g, generation: g.generation, owned: map[string][]int{}, next: map[string]map[int]int64{}}
	for i, m := range g.members {
		if m != me {
			continue
		}
		for _, topic := range want.Topics {
			for p := range l.topics[topic] {
				if want.Whole && i == 0 || !want.Whole && p%len(g.members) == i {
					if err := c.own(want, topic, p); err != nil {
						return nil, nil, err
					}
				}
			}
		}
	}
	if len(c.owned) == 0 {
		return nil, l.changed, nil
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c, nil, nil
}

func (c *claim) own(want eventlog.Group, topic string, p int) error {
	part := c.log.topics[topic][p]
	end := part.first + int64(len(part.records))
	next, ok := c.group.committed[topic][p]
	switch {
	case ok && (next < part.first || next > end):
		return fmt.Errorf("group %s committed offset %d of %s/%d, but the log reaches from %d to %d: %w", want.Name, next, topic, p, part.first, end, eventlog.ErrOutOfRange)
	case !ok && want.Start != nil:
		next = want.Start(topic, p, part.first, end)
	case !ok:
		next = part.first
	}
	c.owned[topic] = append(c.owned[topic], p)
	if c.next[topic] == nil {
		c.next[topic] = map[int]int64{}
	}
	c.next[topic][p] = next
	return nil
}

// run works until the generation is over.
func (c *claim) run(work func(context.Context, eventlog.Claim) error) error {
	done := make(chan struct{})
	go func() { // ends the generation when the group changes
		defer close(done)
		for {
			c.log.mu.Lock()
			over, changed := c.group.generation != c.generation, c.log.changed
			c.log.mu.Unlock()
			if over {
				c.cancel(eventlog.ErrLost)
				return
			}
			select {
			case <-changed:
			case <-c.ctx.Done():
				return
			}
		}
	}()
	err := work(c.ctx, c)
	over := errors.Is(context.Cause(c.ctx), eventlog.ErrLost)
	c.cancel(nil)
	<-done
	if over || errors.Is(err, eventlog.ErrLost) {
		return nil
	}
	return err
}

// Owned, Generation, Flush and Alive are as the port says.
func (c *claim) Owned() map[string][]int { return c.owned }

// Generation ascends.
func (c *claim) Generation() int { return c.generation }

// Flush has nothing to do: a commit is at once.
func (c *claim) Flush(context.Context) error { return nil }

// Alive asks whether the generation is the group's.
func (c *claim) Alive(context.Context) error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.group.generation != c.generation {
		return eventlog.ErrLost
	}
	return nil
}

// Commit commits at once.
func (c *claim) Commit(topic string, p int, next int64) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.group.generation != c.generation {
		return
	}
	if c.group.committed[topic] == nil {
		c.group.committed[topic] = map[int]int64{}
	}
	c.group.committed[topic][p] = next
}

// Poll gives what is there, or waits.
func (c *claim) Poll(ctx context.Context, limit int, wait time.Duration) ([]eventlog.Record, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		if c.ctx.Err() != nil {
			return nil, context.Cause(c.ctx)
		}
		c.log.mu.Lock()
		var out []eventlog.Record
		for topic, ps := range c.owned {
			for _, p := range ps {
				got, err := c.log.topics[topic][p].from(c.next[topic][p], limit-len(out))
				if err != nil {
					c.log.mu.Unlock()
					return nil, err
				}
				out = append(out, got...)
				c.next[topic][p] += int64(len(got))
			}
		}
		changed := c.log.changed
		c.log.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
