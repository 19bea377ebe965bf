package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/internal/warehouse"
)

// Counts says how many distinct events of each canonical name every node has had: a local
// view of the topic events kept in Pebble. A further copy of an event, a replay or a retry
// changes no count; an ignored event is not counted. What the log no longer holds comes
// from the warehouse, so a view rebuilt from nothing says the same.
type Counts struct {
	db     *pebble.DB
	prefix []byte
	topic  string

	mu      sync.Mutex
	next    map[int]int64
	changed chan struct{}
	whole   bool // what stood in the log when it was first asked for is counted
}

// OpenCounts opens the counts of a topic kept in db under prefix.
func OpenCounts(db *pebble.DB, prefix, topic string) (*Counts, error) {
	c := &Counts{db: db, prefix: []byte(prefix), topic: topic, next: map[int]int64{}, changed: make(chan struct{})}
	it, err := db.NewIter(bounds(c.key('o')))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		partition := binary.BigEndian.Uint32(it.Key()[len(prefix)+1:])
		c.next[int(partition)] = int64(binary.BigEndian.Uint64(it.Value()))
	}
	return c, it.Error()
}

// Keys are 'o' partition (offset to read next), 'k' hash of an event's key (it was
// counted), 'n' node name (the count).
func (c *Counts) key(kind byte, rest ...byte) []byte {
	return append(append(append([]byte(nil), c.prefix...), kind), rest...)
}

func (c *Counts) offsetKey(partition int) []byte {
	return c.key('o', binary.BigEndian.AppendUint32(nil, uint32(partition))...)
}

func (c *Counts) seenKey(key canonical.EventKey) []byte {
	key = warehouse.StoredKey(key) // as the warehouse would give it back
	h := sha256.Sum256([]byte(key.String()))
	return c.key('k', h[:16]...)
}

func (c *Counts) nodeKey(n canonical.NodeID, name string) []byte {
	return c.key('n', append(binary.BigEndian.AppendUint64(nil, uint64(n)), name...)...)
}

// Next is the offset to read next from a partition.
func (c *Counts) Next(partition int) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next[partition]
}

// Apply counts the events among records of one partition, in order.
func (c *Counts) Apply(records []eventlog.Record) error {
	if len(records) == 0 {
		return nil
	}
	last := records[len(records)-1]
	return c.fold(last.Partition, last.Offset+1, func(b *pebble.Batch) error {
		for _, r := range records {
			if r.Type != eventlog.TypeEvent {
				continue
			}
			e, err := decode[canonical.Event](r)
			if err != nil {
				return err
			}
			if e.Ignored != "" {
				continue
			}
			if err := c.count(b, e.Key(), e.Node); err != nil {
				return err
			}
		}
		return nil
	})
}

// fold writes what change does and the offset it leads to together.
func (c *Counts) fold(partition int, next int64, change func(*pebble.Batch) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.db.NewIndexedBatch()
	defer b.Close()
	if err := change(b); err != nil {
		return err
	}
	if err := b.Set(c.offsetKey(partition), binary.BigEndian.AppendUint64(nil, uint64(next)), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil { // a cache of the topic: what is lost is folded again
		return fmt.Errorf("write counts: %w", err)
	}
	c.next[partition] = next
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// count counts an event of a node unless it was counted before.
func (c *Counts) count(b *pebble.Batch, key canonical.EventKey, n canonical.NodeID) error {
	if n == 0 {
		return nil
	}
	seen := c.seenKey(key)
	if had, err := has(b, seen); err != nil || had {
		return err
	}
	if err := b.Set(seen, nil, nil); err != nil {
		return err
	}
	at := c.nodeKey(n, key.Name)
	v, closer, err := b.Get(at)
	var total uint64
	if err == nil {
		total = binary.BigEndian.Uint64(v)
		closer.Close()
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return fmt.Errorf("read counts: %w", err)
	}
	return b.Set(at, binary.BigEndian.AppendUint64(nil, total+1), nil)
}

func has(r pebble.Reader, key []byte) (bool, error) {
	_, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read local state: %w", err)
	}
	return true, closer.Close()
}

// Of adds up the counts of nodes by canonical name.
func (c *Counts) Of(nodes ...canonical.NodeID) (map[string]int, error) {
	out := map[string]int{}
	for _, n := range nodes {
		prefix := c.nodeKey(n, "")
		it, err := c.db.NewIter(bounds(prefix))
		if err != nil {
			return nil, err
		}
		for it.First(); it.Valid(); it.Next() {
			out[string(it.Key()[len(prefix):])] += int(binary.BigEndian.Uint64(it.Value()))
		}
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return nil, fmt.Errorf("read counts: %w", err)
		}
	}
	return out, nil
}

// wait returns once an event is counted, or after patience: a count that is one behind is
// mended by the next.
func (c *Counts) wait(key canonical.EventKey, patience time.Duration) error {
	seen := c.seenKey(key)
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if had, err := has(c.db, seen); err != nil || had {
			return err
		}
		select {
		case <-changed:
		case <-deadline.C:
			return nil
		}
	}
}

// caughtUp returns once all that stands in the log now is counted; asked again it returns at once.
func (c *Counts) caughtUp(ctx context.Context, log eventlog.Log) error {
	c.mu.Lock()
	whole := c.whole
	c.mu.Unlock()
	if whole {
		return nil
	}
	_, end, err := log.Bounds(ctx, c.topic)
	if err != nil {
		return err
	}
	for {
		c.mu.Lock()
		c.whole = true
		for p := range end {
			c.whole = c.whole && c.next[p] >= end[p]
		}
		whole, changed := c.whole, c.changed
		c.mu.Unlock()
		if whole {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A CountArchive gives back the events that the log no longer holds.
type CountArchive interface {
	// EventNodes gives every event's first copy whose record stands in a partition of topic
	// events at an offset in [from, to) and is not ignored: its key as stored, and its node.
	EventNodes(ctx context.Context, partition int, from, to int64, each func(canonical.EventKey, canonical.NodeID) error) error
}

// FollowCounts keeps the counts at the end of their topic.
func FollowCounts(ctx context.Context, log eventlog.Log, counts *Counts, archive CountArchive) error {
	return Follow(ctx, log, counts.topic, counts, func(ctx context.Context, partition int, first int64) error {
		from := counts.Next(partition)
		return counts.fold(partition, first, func(b *pebble.Batch) error {
			err := archive.EventNodes(ctx, partition, from, first, func(key canonical.EventKey, n canonical.NodeID) error {
				return counts.count(b, key, n)
			})
			if err != nil {
				return fmt.Errorf("count events %d to %d of %s/%d from the warehouse: %w", from, first-1, counts.topic, partition, err)
			}
			return nil
		})
	})
}

// CountedPeople is the identity graph for lanes that write counts: what it knows of an
// event's person comes with them.
type CountedPeople struct {
	*identity.View
	Counts *Counts
	// Log, where it is set, is counted to its end before anything is decided: counts begun anew
	// would else be written, too small, over those that are true. nil: whoever asks counts himself.
	Log eventlog.Log
}

// Wait returns once the graph has folded up to an offset and the counts are whole.
func (p CountedPeople) Wait(ctx context.Context, offset int64) error {
	if err := p.View.Wait(ctx, offset); err != nil || p.Log == nil {
		return err
	}
	return p.Counts.caughtUp(ctx, p.Log)
}

// Known gives what the graph knows, with the counts of the whole person, the event's own
// among them, unless it came from a device that several people share: counts know no dates.
func (p CountedPeople) Known(e canonical.Event) canonical.Known {
	k := p.View.Known(e)
	if e.Node == 0 {
		return k
	}
	if err := p.Counts.wait(e.Key(), countPatience); err != nil {
		return k
	}
	if counts, err := p.Counts.Of(p.Cluster(k.Person)...); err == nil {
		k.Counts = counts
	}
	return k
}

// countPatience is how long a lane waits for an event to be counted: the view is a few
// milliseconds behind the log.
const countPatience = 5 * time.Second
