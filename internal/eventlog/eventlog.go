// Package eventlog is the port to the log: partitioned, ordered, durable. Whatever
// speaks Kafka's protocol serves: the embedded broker or Apache Kafka. Package kafkalog
// is its one implementation; eventlogtest is the suite that every broker passes.
package eventlog

import (
	"context"
	"errors"
	"time"
)

// A Record is one entry of a topic.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Time      time.Time // when it was appended
	Key       []byte
	Value     []byte
	// Type and Version stand in the headers "type" and "schema": what Value holds.
	Type    string
	Version int
}

// A Topic is one to be there: Ensure creates it or checks it.
type Topic struct {
	Name       string
	Partitions int
	// Retention is set when the topic is created on an outside broker; 0 keeps for ever.
	// The embedded broker trims by its own rules.
	Retention time.Duration
}

// Errors that callers act on.
var (
	// ErrUnavailable: the broker did not take the append in time. It may still have.
	ErrUnavailable = errors.New("the log is not writable")
	// ErrOutOfRange: the offset lies outside the log's first and last.
	ErrOutOfRange = errors.New("offset out of range")
	// ErrFull: the embedded log is at its size limit; the error's text names who holds it.
	ErrFull = errors.New("the log is full")
	// ErrLost: this member no longer owns what it claimed.
	ErrLost = errors.New("claim lost")
)

// A Log appends and reads. All methods may be called at the same time.
type Log interface {
	// Ensure creates missing topics and checks the partitions of those that exist. Fewer
	// partitions than asked for in an existing topic is fine; the topic's own count holds.
	Ensure(ctx context.Context, topics ...Topic) error
	// Partitions gives how many a topic has.
	Partitions(ctx context.Context, topic string) (int, error)

	// Append returns once every record would survive a crash, with the place of each in
	// the order given. A record with a key goes to the partition its key hashes to
	// (murmur2, as Kafka's own clients); records without a key of one call go to one
	// partition, chosen so that concurrent calls fill few batches (group commit). On an error none,
	// some or all may have been written: appending again may write twice.
	Append(ctx context.Context, topic string, records ...Record) ([]Record, error)

	// Bounds gives first and end (one past the last) of every partition.
	Bounds(ctx context.Context, topic string) (first, end []int64, err error)
	// Read gives up to max records of one partition from offset on, waiting up to wait for
	// the first. An empty answer is no error. ErrOutOfRange when offset lies outside.
	Read(ctx context.Context, topic string, partition int, offset int64, max int, wait time.Duration) ([]Record, error)

	// Committed gives a group's committed offset by partition; -1 where there is none.
	Committed(ctx context.Context, group, topic string) ([]int64, error)

	// Consume joins a group and calls work for every generation in which this member owns
	// partitions, one call at a time, until ctx ends or work returns an error other than
	// ErrLost; then it leaves. work must return soon after its context ends (the generation is
	// over). With Whole, one member gets all partitions of all topics (a lane); the others
	// stand by. Committed offsets outside the log stop it with an error that says by how much
	// and for which group, topic and partition: nothing is skipped.
	Consume(ctx context.Context, g Group, work func(ctx context.Context, c Claim) error) error

	Close() error
}

// A Group is a consumer group.
type Group struct {
	Name   string
	Topics []string
	Whole  bool
	// Start gives where to begin a partition without a committed offset. Nil: at the first.
	Start func(topic string, partition int, first, end int64) int64
}

// A Claim is what one member owns for one generation.
type Claim interface {
	// Owned lists the partitions owned, by topic.
	Owned() map[string][]int
	// Generation names the generation; it ascends.
	Generation() int
	// Poll gives the next records of all owned partitions, each partition's in order, at
	// most max, waiting up to wait for the first.
	Poll(ctx context.Context, max int, wait time.Duration) ([]Record, error)
	// Commit keeps "everything below this offset is done" for the partitions given. At most
	// once a second reaches the broker, the last always does before the claim ends.
	Commit(topic string, partition int, next int64)
	// Flush sends pending commits now.
	Flush(ctx context.Context) error
	// Alive asks the broker whether this member still owns its claim: a heartbeat with the
	// generation's ids. It returns nil at once when one was answered in the last five seconds.
	Alive(ctx context.Context) error
}
