// Package memlog is the event log in memory, for tests that run in a bubble of virtual
// time, where no broker can be spoken to. It keeps the port's promises on order, groups
// and generations within one process; the conformance suite speaks to brokers and is not
// run on it.
package memlog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

var _ eventlog.Log = (*Log)(nil)

// A Log keeps topics in memory. New makes one.
type Log struct {
	mu      sync.Mutex
	topics  map[string][]*partition
	groups  map[string]*group
	changed chan struct{} // closed and replaced when anything is appended or a group changes
	turn    int
	down    error
}

type partition struct {
	first   int64
	records []eventlog.Record
}

type group struct {
	generation int
	members    []*member
	committed  map[string]map[int]int64
}

type member struct {
	whole  bool
	topics []string
}

// New makes an empty log.
func New() *Log {
	return &Log{topics: map[string][]*partition{}, groups: map[string]*group{}, changed: make(chan struct{})}
}

func (l *Log) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Break makes every append fail with err until it is called with nil.
func (l *Log) Break(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = err
}

// Ensure makes topics.
func (l *Log) Ensure(_ context.Context, topics ...eventlog.Topic) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range topics {
		if l.topics[t.Name] == nil {
			for range t.Partitions {
				l.topics[t.Name] = append(l.topics[t.Name], &partition{})
			}
		}
	}
	return nil
}

// Partitions counts.
func (l *Log) Partitions(_ context.Context, topic string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[topic] == nil {
		return 0, fmt.Errorf("there is no topic %s", topic)
	}
	return len(l.topics[topic]), nil
}

// Append appends.
func (l *Log) Append(ctx context.Context, topic string, records ...eventlog.Record) ([]eventlog.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ps := l.topics[topic]
	switch {
	case l.down != nil:
		return nil, fmt.Errorf("append to %s: %w", topic, l.down)
	case ps == nil:
		return nil, fmt.Errorf("append: there is no topic %s", topic)
	}
	l.turn++
	out := make([]eventlog.Record, len(records))
	for i, r := range records {
		n := l.turn % len(ps)
		if r.Key != nil {
			n = kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: r.Key}, numbered(len(ps))...)
		}
		p := ps[n]
		r.Topic, r.Partition, r.Offset, r.Time = topic, n, p.first+int64(len(p.records)), time.Now()
		p.records = append(p.records, r)
		out[i] = r
	}
	l.tell()
	return out, nil
}

func numbered(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Bounds gives first and end.
func (l *Log) Bounds(_ context.Context, topic string) (first, end []int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics[topic] == nil {
		return nil, nil, fmt.Errorf("there is no topic %s", topic)
	}
	for _, p := range l.topics[topic] {
		first, end = append(first, p.first), append(end, p.first+int64(len(p.records)))
	}
	return first, end, nil
}

// Read reads.
func (l *Log) Read(ctx context.Context, topic string, n int, offset int64, limit int, wait time.Duration) ([]eventlog.Record, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		l.mu.Lock()
		ps := l.topics[topic]
		if n >= len(ps) {
			l.mu.Unlock()
			return nil, fmt.Errorf("%s has no partition %d", topic, n)
		}
		out, err := ps[n].from(offset, limit)
		changed := l.changed
		l.mu.Unlock()
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *partition) from(offset int64, limit int) ([]eventlog.Record, error) {
	end := p.first + int64(len(p.records))
	if offset < p.first || offset > end {
		return nil, fmt.Errorf("offset %d of a log from %d to %d: %w", offset, p.first, end, eventlog.ErrOutOfRange)
	}
	have := p.records[offset-p.first:]
	return append([]eventlog.Record(nil), have[:min(limit, len(have))]...), nil
}

// Trim drops what lies below an offset, as a broker's retention does.
func (l *Log) Trim(topic string, n int, below int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.topics[topic][n]
	if k := below - p.first; k > 0 {
		k = min(k, int64(len(p.records)))
		p.records, p.first = p.records[k:], p.first+k
	}
}

// Committed gives offsets.
func (l *Log) Committed(_ context.Context, name, topic string) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]int64, len(l.topics[topic]))
	for i := range out {
		out[i] = -1
		if g := l.groups[name]; g != nil {
			if next, ok := g.committed[topic][i]; ok {
				out[i] = next
			}
		}
	}
	return out, nil
}

// Close refuses nothing: there is nothing to give back.
func (l *Log) Close() error { return nil }

// Consume takes part in a group.
func (l *Log) Consume(ctx context.Context, g eventlog.Group, work func(context.Context, eventlog.Claim) error) error {
	me := &member{whole: g.Whole, topics: g.Topics}
	l.join(g.Name, me)
	defer l.leave(g.Name, me)
	for {
		c, changed, err := l.claim(ctx, g, me)
		if err != nil {
			return err
		}
		if c == nil { // standing by
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := c.run(work); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (l *Log) join(name string, m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[name]
	if g == nil {
		g = &group{committed: map[string]map[int]int64{}}
		l.groups[name] = g
	}
	g.members = append(g.members, m)
	g.generation++
	l.tell()
}

func (l *Log) leave(name string, m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[name]
	for i, other := range g.members {
		if other == m {
			g.members = append(g.members[:i:i], g.members[i+1:]...)
			break
		}
	}
	g.generation++
	l.tell()
}
