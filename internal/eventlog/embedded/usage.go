package embedded

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tributary/internal/eventlog"
)

// Usage is how full the log is and who keeps it from being trimmed.
type Usage struct {
	Bytes, Limit int64
	// Holds are by group, the largest first: the bytes that cannot be trimmed because the
	// group has not read them. Groups that hold nothing are left out.
	Holds []Hold
	// Kept is what lies in topics that are never trimmed.
	Kept int64
}

// A Hold is what one group keeps from being trimmed.
type Hold struct {
	Group string
	Bytes int64
}

// Holder is the group that holds the most, "" when none holds anything.
func (u Usage) Holder() string {
	if len(u.Holds) == 0 {
		return ""
	}
	return u.Holds[0].Group
}

// who says what fills the log, for an operator.
func (u Usage) who() string {
	switch {
	case len(u.Holds) > 0 && u.Holds[0].Bytes >= u.Kept:
		return fmt.Sprintf("group %q holds %s that it has not read", u.Holds[0].Group, size(u.Holds[0].Bytes))
	case u.Kept > u.Bytes/2:
		return size(u.Kept) + " are identity facts, which are never trimmed"
	case len(u.Holds) > 0:
		return fmt.Sprintf("group %q holds %s that it has not read", u.Holds[0].Group, size(u.Holds[0].Bytes))
	}
	return "no group holds it: the segments being written take the room"
}

// Usage measures the directory and asks what the groups have committed.
func (b *Broker) Usage(ctx context.Context) (Usage, error) {
	partitions, bytes, err := scan(b.opts.Dir)
	if err != nil {
		return Usage{}, fmt.Errorf("measure the embedded log: %w", err)
	}
	read, err := b.readers(ctx)
	if err != nil {
		return Usage{}, err
	}
	u := b.weigh(partitions, bytes, read)
	b.note(u)
	return u, nil
}

// weigh works a usage out of what lies on disk and what was read of it.
func (b *Broker) weigh(partitions []partition, bytes int64, read []reader) Usage {
	u := Usage{Bytes: bytes, Limit: b.opts.MaxBytes}
	for _, p := range partitions {
		if b.retention(p.topic) > 0 {
			continue
		}
		for _, s := range p.segments {
			u.Kept += s.bytes
		}
	}
	for _, r := range read {
		h := Hold{Group: r.group.Name}
		for _, p := range partitions {
			if b.retention(p.topic) > 0 && r.reads(p.topic) {
				h.Bytes += p.unread(r.committed[p.topic][p.id])
			}
		}
		if h.Bytes > 0 {
			u.Holds = append(u.Holds, h)
		}
	}
	slices.SortFunc(u.Holds, func(x, y Hold) int {
		return cmp.Or(cmp.Compare(y.Bytes, x.Bytes), cmp.Compare(x.Group, y.Group))
	})
	return u
}

// retention of a topic; 0 for one that is never trimmed.
func (b *Broker) retention(topic string) time.Duration {
	for _, t := range b.opts.Topics {
		if t.Name == topic {
			return t.Retention
		}
	}
	return 0
}

func (b *Broker) note(u Usage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.usage, b.measured, b.weighed = u, time.Now(), time.Now()
}

// measureEvery is how old the size may be that Full and Alert go by.
const measureEvery = 500 * time.Millisecond

// last is the usage as last known, its size measured just now or half a second ago. Near
// the limit who holds the log is asked anew too, so that the right one is named.
func (b *Broker) last() Usage {
	b.mu.Lock()
	if time.Since(b.measured) >= measureEvery {
		if _, bytes, err := scan(b.opts.Dir); err == nil {
			b.usage.Bytes = bytes
		}
		b.measured = time.Now()
	}
	u, ask := b.usage, b.usage.Bytes >= b.opts.MaxBytes/4*3 && time.Since(b.weighed) >= weighEvery
	if ask {
		b.weighed = time.Now()
	}
	b.mu.Unlock()
	if !ask {
		return u
	}
	ctx, cancel := context.WithTimeout(context.Background(), weighEvery)
	defer cancel()
	if fresh, err := b.Usage(ctx); err == nil {
		return fresh
	}
	return u
}

// weighEvery is how old the answer to who holds the log may be near its limit.
const weighEvery = time.Second

// Full is nil as long as the log may grow. It is cheap: ingest asks before each append.
// The error is an eventlog.ErrFull and says who holds the log and what to do.
func (b *Broker) Full() error {
	u := b.last()
	if u.Bytes < u.Limit {
		return nil
	}
	return fmt.Errorf("%w: %s; %s", eventlog.ErrFull, u.state(), advice)
}

// Alert is nil below four fifths of the limit.
func (b *Broker) Alert() error {
	u := b.last()
	if u.Bytes < u.Limit/5*4 {
		return nil
	}
	return fmt.Errorf("the log is %d %% full: %s; %s", u.Bytes*100/u.Limit, u.state(), advice)
}

func (u Usage) state() string {
	return fmt.Sprintf("%s of %s (log.embedded.max_bytes) are taken, and %s", size(u.Bytes), size(u.Limit), u.who())
}

const advice = "mend what the group waits for, or give its destination up with `tributary destinations disable`, " +
	"or raise log.embedded.max_bytes; a site that needs more has outgrown the embedded log: it is time for Apache Kafka (log.brokers)"

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
