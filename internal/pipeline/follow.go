package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/internal/eventlog"
)

// A folder is a local view of a topic: the ledger, the identity graph, the index.
type folder interface {
	// Next is the offset to read next from a partition.
	Next(partition int) int64
	// Apply folds records of one partition, in order, and remembers how far it got.
	Apply(records []eventlog.Record) error
}

// Follow keeps a view at the end of its topic until ctx ends. behind is asked when the
// log no longer reaches back to what the view needs next: it brings the view up to
// first from the warehouse. A topic that gets more partitions stops it with an error;
// started again it follows those too.
func Follow(ctx context.Context, log eventlog.Log, topic string, view folder, behind func(ctx context.Context, partition int, first int64) error) error {
	n, err := log.Partitions(ctx, topic)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for p := range n {
		g.Go(func() error { return followPartition(ctx, log, topic, p, view, behind) })
	}
	g.Go(func() error { return watchGrowth(ctx, log, topic, n) })
	return g.Wait()
}

// recountEvery is how often a followed topic's partitions are counted: what stands in
// one that nobody follows would be waited for in vain.
const recountEvery = 10 * time.Second

// watchGrowth returns when a topic has more partitions than are followed.
func watchGrowth(ctx context.Context, log eventlog.Log, topic string, followed int) error {
	for {
		select {
		case <-time.After(recountEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
		n, err := log.Partitions(ctx, topic)
		if err == nil && n > followed { // a broker that is away is the readers' to tell
			return fmt.Errorf("%s had %d partitions and has %d now: the new ones are followed from here on, but an event's records may stand in an old and a new one, whose order is not kept; add no more", topic, followed, n)
		}
	}
}

// A log that cannot be read is asked again every so often, and for so long before the stage
// ends and its trouble is named: a broker's short absence is none.
const (
	readAgain = 200 * time.Millisecond
	readFor   = 30 * time.Second
)

func followPartition(ctx context.Context, log eventlog.Log, topic string, partition int, view folder, behind func(context.Context, int, int64) error) error {
	var failing time.Time
	for {
		records, err := log.Read(ctx, topic, partition, view.Next(partition), 2000, 5*time.Second)
		lost := errors.Is(err, eventlog.ErrOutOfRange)
		if lost {
			err = catchUp(ctx, log, topic, partition, view, behind)
			if err == nil {
				continue
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if failing.IsZero() {
				failing = time.Now()
			}
			if lost || time.Since(failing) > readFor {
				return fmt.Errorf("follow %s/%d: %w", topic, partition, err)
			}
			select {
			case <-time.After(readAgain):
			case <-ctx.Done():
			}
			continue
		}
		failing = time.Time{}
		if len(records) == 0 {
			continue
		}
		if err := view.Apply(records); err != nil {
			return fmt.Errorf("follow %s/%d: %w", topic, partition, err)
		}
	}
}

// catchUp handles a view whose next offset lies outside the log: behind its first, or
// past its end.
func catchUp(ctx context.Context, log eventlog.Log, topic string, partition int, view folder, behind func(context.Context, int, int64) error) error {
	first, end, err := log.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	next := view.Next(partition)
	switch {
	case next > end[partition]:
		return fmt.Errorf("local state has seen offset %d of %s/%d, but the log ends at %d: it is another log, or one that lost data; delete the local state to rebuild it from this log", next-1, topic, partition, end[partition])
	case next < first[partition] && behind == nil:
		return fmt.Errorf("%s/%d begins at %d, but local state needs it from %d", topic, partition, first[partition], next)
	case next < first[partition]:
		return behind(ctx, partition, first[partition])
	}
	return nil
}

// graph makes the identity view a folder of its one partition.
type graph struct{ *identity.View }

func (g graph) Next(int) int64 { return g.Offset() + 1 }

func (g graph) Apply(records []eventlog.Record) error {
	facts := make([]identity.Folded, 0, len(records))
	for _, r := range records {
		f, err := decode[canonical.Fact](r)
		if err != nil {
			return err
		}
		facts = append(facts, identity.Folded{Offset: r.Offset, Fact: f})
	}
	return g.Fold(facts)
}

// FollowIdentity folds the identity log into the view.
func FollowIdentity(ctx context.Context, log eventlog.Log, topic string, view *identity.View) error {
	return Follow(ctx, log, topic, graph{view}, nil)
}

// An History gives back what the topic deliveries no longer holds.
type History interface {
	DeliveriesBefore(ctx context.Context, partition int, from, to int64, each func(offset int64, sealed []byte) error) error
	Unseal(sealed []byte) ([]byte, error)
}

// FollowLedger folds deliveries into the ledger; what the log no longer holds comes from
// the warehouse. A ledger with a gap would send again what was sent: where the warehouse
// does not have all of it, FollowLedger stops and says what is missing.
func FollowLedger(ctx context.Context, log eventlog.Log, topic string, ledger *delivery.Ledger, history History) error {
	return Follow(ctx, log, topic, ledger, func(ctx context.Context, partition int, first int64) error {
		next := ledger.Next(partition)
		err := history.DeliveriesBefore(ctx, partition, next, first, func(offset int64, sealed []byte) error {
			b, err := history.Unseal(sealed)
			if err != nil {
				return fmt.Errorf("offset %d: %w", offset, err)
			}
			var d canonical.Delivery
			if err := json.Unmarshal(b, &d); err != nil {
				return fmt.Errorf("offset %d: %w", offset, err)
			}
			if offset > next && time.Since(d.At) < keptFor {
				return &missingDeliveries{topic, partition, next, offset - 1}
			}
			next = offset + 1
			return ledger.Restore(d)
		})
		if err == nil && next < first {
			err = &missingDeliveries{topic, partition, next, first - 1}
		}
		if err != nil {
			// What was restored needs not be read again when this is tried again.
			return errors.Join(fmt.Errorf("rebuild the ledger of partition %d from the warehouse: %w", partition, err), ledger.Advance(partition, next))
		}
		return ledger.Advance(partition, first)
	})
}

// keptFor is how long the warehouse keeps every delivery for certain: those before may
// have been dropped when their time was over.
const keptFor = 365 * 24 * time.Hour

// missingDeliveries is a stretch that neither the log nor the warehouse holds.
type missingDeliveries struct {
	topic     string
	partition int
	from, to  int64
}

func (m *missingDeliveries) Error() string {
	return fmt.Sprintf("neither the log nor the warehouse holds offsets %d to %d of %s/%d, so it is not known what they delivered, and nothing is sent: give the router the warehouse that recorded this log, restore it from its backup, or, where that is lost, begin with another log.prefix", m.from, m.to, m.topic, m.partition)
}

// FollowIndex keeps the index of one topic. What the log no longer holds is not indexed:
// the warehouse answers for it.
func FollowIndex(ctx context.Context, log eventlog.Log, topic string, index *Index) error {
	return Follow(ctx, log, topic, index.Of(topic), func(_ context.Context, partition int, first int64) error {
		return index.Skip(topic, partition, first)
	})
}
