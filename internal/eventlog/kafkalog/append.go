package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"tributary/internal/eventlog"
)

// errClosed is what a closed log answers.
var errClosed = errors.New("the log is closed")

// recheck is how long a topic's partition count is taken as known. Topics seldom grow.
const recheck = 10 * time.Second

// Append writes records and returns once the brokers hold them for good. It joins what
// other callers append at the same moment (see queue). When ctx ends first it returns at
// once, the records may still be written, and their bytes must not be changed.
//
// A lost answer or a new leader is retried inside, for Timeout in all; such a retry can
// write records twice, as appending again can.
func (l *Log) Append(ctx context.Context, topicName string, records ...eventlog.Record) ([]eventlog.Record, error) {
	if len(records) == 0 {
		return nil, nil
	}
	out, err := l.append(ctx, topicName, records)
	if err != nil {
		return nil, fmt.Errorf("append to %s: %w", topicName, err)
	}
	return out, nil
}

func (l *Log) append(ctx context.Context, topicName string, records []eventlog.Record) ([]eventlog.Record, error) {
	t, err := l.topic(ctx, topicName)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	out := make([]eventlog.Record, len(records))
	for i, r := range records {
		r.Topic = topicName
		out[i] = r
	}
	calls, err := l.hand(ctx, t, out)
	// Wait for all of them, so that an error does not hide what is still being written.
	for _, c := range calls {
		select {
		case <-c.done:
			err = firstOf(err, c.err)
		case <-ctx.Done():
			for _, c := range calls {
				c.abandon()
			}
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// hand gives records to the queues of their partitions: one call for those without a
// key, and one for every partition that keys hash to.
func (l *Log) hand(ctx context.Context, t *topic, records []eventlog.Record) ([]*call, error) {
	var calls []*call
	add := func(partition int, which []int) error {
		q := t.queue(partition)
		c := newCall(records, which, l.opts.Timeout)
		if err := l.reserve(ctx, c); err != nil {
			return err
		}
		if err := q.add(c); err != nil {
			l.room.Release(c.weight)
			return err
		}
		calls = append(calls, c)
		return nil
	}
	if p, ok := t.together(records); ok {
		err := add(p, nil)
		return calls, err
	}
	for p, which := range t.apart(records) {
		if err := add(p, which); err != nil {
			return calls, err
		}
	}
	return calls, nil
}

// reserve takes room for a call among the records waiting to be written, and waits for
// room as long as an append may take.
func (l *Log) reserve(ctx context.Context, c *call) error {
	c.weight = min(int64(c.bytes), int64(l.opts.PendingBytes))
	if l.room.TryAcquire(c.weight) {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	if err := l.room.Acquire(wait, c.weight); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %d bytes wait to be written already", eventlog.ErrUnavailable, l.opts.PendingBytes)
	}
	return nil
}

// A topic knows its partitions' queues and which of them records without a key go to.
type topic struct {
	log  *Log
	name string

	mu      sync.Mutex
	checked time.Time
	ids     []int // 0, 1, …: what the hash chooses from
	queues  []*queue
	slots   []slot
	next    int // the partition that a slot moves on to
}

// A slot is one of the partitions that take records without a key at a time: two, or one
// of the embedded broker, which writes one batch after the other whatever its partition,
// so that a second one would only halve the batches and double the fsyncs.
type slot struct {
	partition int
	began     int64 // the queue's batches when the slot came to it
}

// stay is how many batches a slot gives one partition before it moves on to the next, so
// that all partitions fill evenly though only two are written at a time.
const stay = 64

// topic gives a topic's state, asking how many partitions it has at first and from time
// to time.
func (l *Log) topic(ctx context.Context, name string) (*topic, error) {
	l.mu.Lock()
	t := l.topics[name]
	l.mu.Unlock()
	if t != nil && t.fresh() {
		return t, nil
	}
	n, err := l.countPartitions(ctx, name)
	if err != nil {
		if t != nil {
			return t, nil // as it was; the produce request will tell
		}
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t = l.topics[name]; t == nil {
		t = &topic{log: l, name: name}
		l.topics[name] = t
	}
	t.grow(n)
	return t, nil
}

func (t *topic) fresh() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.checked) < recheck
}

func (t *topic) grow(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checked = time.Now()
	if len(t.ids) == 0 {
		slots := 2
		if t.log.opts.Embedded {
			slots = 1
		}
		for p := range min(slots, n) {
			t.slots = append(t.slots, slot{partition: p})
		}
		t.next = len(t.slots) % n
	}
	for p := len(t.ids); p < n; p++ {
		t.ids = append(t.ids, p)
		t.queues = append(t.queues, &queue{log: t.log, topic: t.name, partition: p})
	}
}

func (t *topic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ids)
}

func (t *topic) hash(key []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: key}, t.ids...)
}

// unkeyed stands for the partition of records without a key.
const unkeyed = -1

func (t *topic) partition(r *eventlog.Record) int {
	if len(r.Key) == 0 {
		return unkeyed
	}
	return t.hash(r.Key)
}

// together says whether records all go to one partition, which most calls' do, and to
// which.
func (t *topic) together(records []eventlog.Record) (partition int, ok bool) {
	partition = t.partition(&records[0])
	for i := 1; i < len(records); i++ {
		if t.partition(&records[i]) != partition {
			return 0, false
		}
	}
	return partition, true
}

// apart sorts records by partition.
func (t *topic) apart(records []eventlog.Record) map[int][]int {
	by := make(map[int][]int)
	for i := range records {
		p := t.partition(&records[i])
		by[p] = append(by[p], i)
	}
	return by
}

// queue gives the queue of a partition. For records without a key it is the less busy of
// the slots', the first when all are idle, so that few callers share one batch.
func (t *topic) queue(p int) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p != unkeyed {
		return t.queues[p]
	}
	best := t.settle(0)
	for i := 1; i < len(t.slots); i++ {
		if q := t.settle(i); q.load() < best.load() {
			best = q
		}
	}
	return best
}

// settle moves a slot on when its partition had its share, and gives its queue.
func (t *topic) settle(i int) *queue {
	s := &t.slots[i]
	q := t.queues[s.partition]
	n := len(t.queues)
	if n <= len(t.slots) || q.batches.Load()-s.began < stay {
		return q
	}
	for slices.ContainsFunc(t.slots, func(s slot) bool { return s.partition == t.next }) {
		t.next = (t.next + 1) % n
	}
	s.partition, t.next = t.next, (t.next+1)%n
	q = t.queues[s.partition]
	s.began = q.batches.Load()
	return q
}
