package kafkalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"tributary/internal/eventlog"
)

// A queue is the group committer of one partition: one produce request is in flight at a
// time, and whatever arrived meanwhile is the next batch. So many callers share one fsync
// of the broker and nobody waits for a timer.
type queue struct {
	log       *Log
	topic     string
	partition int

	batches atomic.Int64 // sent so far
	waiting atomic.Int64 // bytes not yet acknowledged

	mu      sync.Mutex
	calls   []*call
	running bool

	buf []byte // for the next batch; the running writer's
}

// load tells how busy the queue is.
func (q *queue) load() int64 { return q.waiting.Load() }

// add takes a call in and makes sure that somebody writes it.
func (q *queue) add(c *call) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running {
		if !q.log.begin() {
			return errClosed
		}
		q.running = true
		go q.run()
	}
	q.waiting.Add(int64(c.bytes))
	q.calls = append(q.calls, c)
	return nil
}

// begin counts one more writer, unless the log is closed.
func (l *Log) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Add(1)
	return true
}

// run writes batches until the queue is empty. Before each it lets run whoever can: on a
// busy machine those who were just told of their records' places come back with the next
// ones, and batches are as large as the load makes them; on an idle one it costs nothing.
func (q *queue) run() {
	defer q.log.wg.Done()
	for {
		runtime.Gosched()
		batch := q.take()
		if batch == nil {
			return
		}
		q.write(batch)
		for _, s := range batch {
			if c := s.call; c.err != nil || c.taken == c.count() {
				q.finish(c)
			}
		}
	}
}

func (q *queue) finish(c *call) {
	q.waiting.Add(-int64(c.bytes))
	q.log.room.Release(c.weight)
	close(c.done)
}

// A span is the part of a call that is in one batch.
type span struct {
	call     *call
	from, to int
}

// take gives the next batch: records in the order they came, up to the size of a batch.
// It gives nil, and ends the run, when none wait.
func (q *queue) take() []span {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []span
	room := q.log.opts.BatchBytes
	now := time.Now()
	for len(q.calls) > 0 && room > 0 {
		c := q.calls[0]
		if c.taken == 0 && !c.wanted(now) {
			q.calls = q.calls[1:]
			q.finish(c)
			continue
		}
		if c.err != nil { // an earlier part failed; the run has told the caller
			q.calls = q.calls[1:]
			continue
		}
		s := span{call: c, from: c.taken, to: c.taken}
		for s.to < c.count() && (room >= c.size(s.to) || len(batch) == 0 && s.to == s.from) {
			room -= c.size(s.to)
			s.to++
		}
		if s.to == s.from {
			break
		}
		c.taken = s.to
		batch = append(batch, s)
		if c.taken < c.count() {
			break
		}
		q.calls = q.calls[1:]
	}
	if len(batch) == 0 {
		q.calls, q.running = nil, false
		return nil
	}
	return batch
}

// write sends one batch and tells its calls where their records stand or what failed. A
// batch that is refused for a fault of some record is cut, so that other callers' records
// do not fail with it; one that is larger than the topic takes is halved.
func (q *queue) write(batch []span) {
	deadline := batch[0].call.deadline
	if least := time.Now().Add(time.Second); deadline.Before(least) {
		deadline = least
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	stamp := time.UnixMilli(time.Now().UnixMilli()).UTC()
	base, bad, err := q.produce(ctx, batch, stamp)
	q.batches.Add(1)
	switch {
	case err == nil:
		for _, s := range batch {
			base = s.call.placed(s, q.partition, base, stamp)
		}
	case !faulty(err):
		for _, s := range batch {
			s.call.err = fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
		}
	case len(batch) == 1 && batch[0].to-batch[0].from > 1 && tooLarge(err):
		s := batch[0]
		half := s.from + (s.to-s.from)/2
		q.write([]span{{s.call, s.from, half}})
		if s.call.err == nil {
			q.write([]span{{s.call, half, s.to}})
		}
	case len(batch) == 1:
		batch[0].call.err = err
	default:
		q.writeApart(batch, bad, err)
	}
}

// writeApart writes the spans of a refused batch again: without those that hold the bad
// records when the broker named them, else each by itself.
func (q *queue) writeApart(batch []span, bad map[int]error, err error) {
	var good []span
	at := 0
	for _, s := range batch {
		for i := at; i < at+s.to-s.from; i++ {
			if bad[i] != nil {
				s.call.err = fmt.Errorf("%w: %w", err, bad[i])
			}
		}
		if s.call.err == nil {
			good = append(good, s)
		}
		at += s.to - s.from
	}
	if len(good) == 0 {
		return
	}
	if len(good) < len(batch) {
		q.write(good)
		return
	}
	for _, s := range good {
		q.write([]span{s})
	}
}

// produce sends one request, again and again while the partition has no leader or the
// network fails, and gives the offset of the first record.
func (q *queue) produce(ctx context.Context, batch []span, stamp time.Time) (base int64, bad map[int]error, err error) {
	send := q.compressed(batch, stamp)
	if q.log.compression == 0 {
		q.buf = appendBatch(q.buf[:0], batch, stamp)
		send = q.plain(q.buf)
	}
	err = retryUntil(ctx, func(ctx context.Context) error {
		res, err := send(ctx)
		if err != nil {
			return err
		}
		base, bad = res.BaseOffset, res.RecordErrors
		if res.Error == nil && len(bad) > 0 {
			return kafka.InvalidRecord
		}
		return res.Error
	})
	if err != nil || cap(q.buf) > 2*q.log.opts.BatchBytes {
		q.buf = nil // a request that was given up may still be on its way out
	}
	return base, bad, err
}

// plain sends a batch that is written already.
func (q *queue) plain(b []byte) func(context.Context) (*kafka.ProduceResponse, error) {
	return func(ctx context.Context) (*kafka.ProduceResponse, error) {
		return q.log.producer.RawProduce(ctx, &kafka.RawProduceRequest{
			Topic: q.topic, Partition: q.partition, RequiredAcks: kafka.RequireAll,
			RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(b)},
		})
	}
}

// compressed has kafka-go write the batch.
func (q *queue) compressed(batch []span, stamp time.Time) func(context.Context) (*kafka.ProduceResponse, error) {
	return func(ctx context.Context) (*kafka.ProduceResponse, error) {
		return q.log.producer.Produce(ctx, &kafka.ProduceRequest{
			Topic: q.topic, Partition: q.partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(messages(batch, stamp)...), Compression: q.log.compression,
		})
	}
}

// faulty says that a record is to blame, not the log.
func faulty(err error) bool {
	return tooLarge(err) || errors.Is(err, kafka.InvalidRecord) || errors.Is(err, kafka.InvalidTimestamp)
}

func tooLarge(err error) bool {
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge)
}

// The headers that say what a value holds.
const (
	headerType   = "type"
	headerSchema = "schema"
)

// messages are read once, so every try makes its own.
func messages(batch []span, stamp time.Time) []kafka.Record {
	n := 0
	for _, s := range batch {
		n += s.to - s.from
	}
	ms := make([]kafka.Record, 0, n)
	for _, s := range batch {
		for i := s.from; i < s.to; i++ {
			ms = append(ms, message(s.call.record(i), stamp))
		}
	}
	return ms
}

func message(r *eventlog.Record, stamp time.Time) kafka.Record {
	m := kafka.Record{Time: stamp, Value: kafka.NewBytes(r.Value)}
	if len(r.Key) > 0 {
		m.Key = kafka.NewBytes(r.Key)
	}
	if r.Type != "" || r.Version != 0 {
		m.Headers = []kafka.Header{
			{Key: headerType, Value: []byte(r.Type)},
			{Key: headerSchema, Value: strconv.AppendInt(nil, int64(r.Version), 10)},
		}
	}
	return m
}

// A call is what one Append has for one partition. The queue owns it until done closes.
type call struct {
	// records are of the whole Append, which gives them to its caller only when all calls
	// went well. The queue writes to those of this call alone, and only where they stand.
	records  []eventlog.Record
	which    []int // those of them that are this call's; nil: all
	bytes    int
	weight   int64 // room taken
	deadline time.Time
	taken    int // how many are in a batch or written
	left     atomic.Bool
	err      error
	done     chan struct{}
}

func newCall(records []eventlog.Record, which []int, timeout time.Duration) *call {
	c := &call{records: records, which: which, deadline: time.Now().Add(timeout), done: make(chan struct{})}
	for i := range c.count() {
		c.bytes += c.size(i)
	}
	return c
}

func (c *call) count() int {
	if c.which == nil {
		return len(c.records)
	}
	return len(c.which)
}

func (c *call) record(i int) *eventlog.Record {
	if c.which == nil {
		return &c.records[i]
	}
	return &c.records[c.which[i]]
}

// size is about what a record takes in a batch.
func (c *call) size(i int) int {
	r := c.record(i)
	return 48 + len(r.Key) + len(r.Value) + len(r.Type)
}

// abandon says that nobody waits any more; what is not in a batch yet need not be written.
func (c *call) abandon() { c.left.Store(true) }

// wanted says whether a call is still to be written. One that waited too long is not: its
// caller must hear in time.
func (c *call) wanted(now time.Time) bool {
	switch {
	case c.left.Load():
		c.err = context.Canceled
	case now.After(c.deadline):
		c.err = fmt.Errorf("%w: it did not take earlier records in time", eventlog.ErrUnavailable)
	}
	return c.err == nil
}

// placed notes where a span stands and gives the offset after it.
func (c *call) placed(s span, partition int, base int64, stamp time.Time) int64 {
	for i := s.from; i < s.to; i++ {
		r := c.record(i)
		r.Partition, r.Offset, r.Time = partition, base, stamp
		base++
	}
	return base
}
