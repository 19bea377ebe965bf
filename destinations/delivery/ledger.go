package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/internal/eventlog"
)

// A Ledger is the state of every part of every event at every destination, with its
// slots, due times and waiting nodes: a fold of the topic deliveries, kept in Pebble
// under one prefix. Deleting it costs the time to fold again.
//
// One goroutine folds; any number read.
type Ledger struct {
	db     *pebble.DB
	prefix []byte

	mu      sync.Mutex
	next    map[int]int64 // by partition, the offset to fold next
	changed chan struct{}
}

// OpenLedger opens the ledger kept in db under prefix.
func OpenLedger(db *pebble.DB, prefix string) (*Ledger, error) {
	l := &Ledger{db: db, prefix: []byte(prefix), next: map[int]int64{}, changed: make(chan struct{})}
	err := l.scan("o", func(key []string, value []byte) error {
		var p int
		if _, err := fmt.Sscanf(key[0], "%d", &p); err != nil {
			return fmt.Errorf("read ledger offsets: %w", err)
		}
		l.next[p] = int64(binary.BigEndian.Uint64(value))
		return nil
	})
	return l, err
}

// The parts of a key are joined by NUL, which no name holds.
func (l *Ledger) key(parts ...string) []byte {
	b := bytes.Clone(l.prefix)
	for i, p := range parts {
		if i > 0 {
			b = append(b, 0)
		}
		b = append(b, strings.ReplaceAll(p, "\x00", "\\0")...)
	}
	return b
}

// scan walks every key below the parts given; fn gets the rest of the key.
func (l *Ledger) scan(first string, fn func(rest []string, value []byte) error, more ...string) error {
	lo := append(l.key(append([]string{first}, more...)...), 0)
	hi := bytes.Clone(lo)
	hi[len(hi)-1] = 1
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		if err := fn(strings.Split(string(it.Key()[len(lo):]), "\x00"), it.Value()); err != nil {
			if errors.Is(err, errStop) {
				return nil
			}
			return err
		}
	}
	return it.Error()
}

var errStop = errors.New("enough")

// Next gives the offset that a follower has to read next from a partition.
func (l *Ledger) Next(partition int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next[partition]
}

// Apply folds records of deliveries: each partition's in order, those below Next are
// skipped. The state and the offsets are written together.
func (l *Ledger) Apply(records []eventlog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.db.NewIndexedBatch()
	defer batch.Close()
	next := map[int]int64{}
	for _, r := range records {
		at, ok := next[r.Partition]
		if !ok {
			at = l.next[r.Partition]
		}
		if r.Offset < at {
			continue
		}
		if r.Type != eventlog.TypeDelivery || r.Version != eventlog.Schema {
			return fmt.Errorf("deliveries %d/%d holds a %s of version %d, which this version does not read; run the version that wrote it, or a later one", r.Partition, r.Offset, r.Type, r.Version)
		}
		var d canonical.Delivery
		if err := json.Unmarshal(r.Value, &d); err != nil {
			return fmt.Errorf("read delivery %d/%d: %w", r.Partition, r.Offset, err)
		}
		if err := l.fold(batch, d); err != nil {
			return err
		}
		next[r.Partition] = r.Offset + 1
	}
	for p, n := range next {
		if err := batch.Set(l.key("o", fmt.Sprint(p)), binary.BigEndian.AppendUint64(nil, uint64(n)), nil); err != nil {
			return err
		}
	}
	if err := batch.Commit(pebble.NoSync); err != nil { // a cache of the topic: what is lost is folded again
		return fmt.Errorf("write ledger: %w", err)
	}
	for p, n := range next {
		l.next[p] = n
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// Advance moves a partition's next offset forward without a record: the log holds none
// below it any more, and what they said was folded from elsewhere.
func (l *Ledger) Advance(partition int, next int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if next <= l.next[partition] {
		return nil
	}
	if err := l.db.Set(l.key("o", fmt.Sprint(partition)), binary.BigEndian.AppendUint64(nil, uint64(next)), pebble.NoSync); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	l.next[partition] = next
	close(l.changed)
	l.changed = make(chan struct{})
	return nil
}

// Restore folds a delivery that the log no longer holds, such as one read back from the
// warehouse, in the order it was written.
func (l *Ledger) Restore(d canonical.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.db.NewIndexedBatch()
	defer batch.Close()
	if err := l.fold(batch, d); err != nil {
		return err
	}
	return batch.Commit(pebble.NoSync)
}

func (l *Ledger) fold(b *pebble.Batch, d canonical.Delivery) error {
	if d.State == canonical.StateActivation {
		return l.activate(b, d)
	}
	key := l.partKey(d)
	cur, had, err := l.get(b, key)
	if err != nil {
		return err
	}
	if had && cur.State.Terminal() {
		if d.ReplayID == "" || d.ReplayID == cur.ReplayID || cur.State == canonical.StateDelivered {
			return nil // the first terminal record wins
		}
	}
	if had && !d.State.Terminal() && d.Attempt < cur.Attempt {
		return nil // an owner that was fenced off speaks late
	}
	if had {
		if err := l.unindex(b, cur); err != nil {
			return err
		}
		if d.FirstTry == nil && d.ReplayID == cur.ReplayID {
			d.FirstTry = cur.FirstTry
		}
		if d.Content == nil { // an attempt at a parked item keeps what to send
			d.Content = cur.Content
		}
	}
	if err := l.index(b, d); err != nil {
		return err
	}
	return l.put(b, key, d)
}

func (l *Ledger) activate(b *pebble.Batch, d canonical.Delivery) error {
	key := l.key("a", d.Destination)
	if _, had, err := l.get(b, key); err != nil || had {
		return err // the first activation is the one
	}
	return l.put(b, key, d)
}

func (l *Ledger) partKey(d canonical.Delivery) []byte {
	return l.key("p", d.Destination, d.Event.String(), d.Part)
}

// indexes lists the keys under which a state can be found again.
func (l *Ledger) indexes(d canonical.Delivery) [][]byte {
	var keys [][]byte
	holds := d.State == canonical.StateIntent || d.State == canonical.StateParked || d.State == canonical.StateDelivered
	if d.Slot != "" && holds {
		keys = append(keys, l.key("s", d.Destination, d.Part, d.Slot, d.Event.String()))
	}
	switch d.State {
	case canonical.StateIntent:
		keys = append(keys, l.key("i", d.Destination, d.Event.String(), d.Part))
	case canonical.StateParked:
		if d.Due != nil {
			keys = append(keys, l.key("d", d.Destination, dueText(*d.Due), d.Event.String(), d.Part))
		}
		if d.Reason == canonical.ReasonAwaitingIdentity && d.Content != nil {
			keys = append(keys, l.key("w", d.Destination, waitsUnder(*d.Content).String(), d.Event.String(), d.Part))
		}
	}
	return keys
}

// waitsUnder is the node whose person an event waits for: a deal without a contact waits
// for one.
func waitsUnder(e canonical.Event) canonical.NodeID {
	if id, ok := canonical.ObjectIdentifier(e.Object); e.Node == 0 && ok {
		return id.Node()
	}
	return e.Node
}

func dueText(t time.Time) string { return fmt.Sprintf("%020d", max(t.UnixMilli(), 0)) }

func (l *Ledger) index(b *pebble.Batch, d canonical.Delivery) error {
	for _, k := range l.indexes(d) {
		if err := b.Set(k, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) unindex(b *pebble.Batch, d canonical.Delivery) error {
	for _, k := range l.indexes(d) {
		if err := b.Delete(k, nil); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) put(b *pebble.Batch, key []byte, d canonical.Delivery) error {
	if d.State.Terminal() {
		d.Content = nil
	}
	v, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return b.Set(key, v, nil)
}

func (l *Ledger) get(r pebble.Reader, key []byte) (canonical.Delivery, bool, error) {
	var d canonical.Delivery
	v, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("read ledger: %w", err)
	}
	defer closer.Close()
	return d, true, json.Unmarshal(v, &d)
}

// Part gives the state of one part; false: none yet.
func (l *Ledger) Part(dest string, key canonical.EventKey, part string) (canonical.Delivery, bool, error) {
	return l.get(l.db, l.key("p", dest, key.String(), part))
}

// Event gives the states of all parts of an event at a destination.
func (l *Ledger) Event(dest string, key canonical.EventKey) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("p", func(_ []string, value []byte) error {
		var d canonical.Delivery
		err := json.Unmarshal(value, &d)
		out = append(out, d)
		return err
	}, dest, key.String())
	return out, err
}

// each visits every part's state at a destination, an event's parts side by side.
func (l *Ledger) each(dest string, visit func(canonical.Delivery)) error {
	return l.scan("p", func(_ []string, value []byte) error {
		var d canonical.Delivery
		err := json.Unmarshal(value, &d)
		visit(d)
		return err
	}, dest)
}

// Holder gives the event that holds a slot at a destination's part; false: it is free.
func (l *Ledger) Holder(dest, part, slot string) (canonical.EventKey, bool, error) {
	var key canonical.EventKey
	var found bool
	err := l.scan("s", func(rest []string, _ []byte) error {
		name, id, _ := strings.Cut(rest[0], "|")
		key, found = canonical.EventKey{Name: name, ID: canonical.EventID(id)}, true
		return errStop
	}, dest, part, slot)
	return key, found, err
}

// Due gives up to max parked parts whose due time has come, the earliest first, and the
// next due time after those (zero: none).
func (l *Ledger) Due(dest string, now time.Time, limit int) (due []canonical.Delivery, next time.Time, err error) {
	until := dueText(now)
	err = l.scan("d", func(rest []string, _ []byte) error {
		if rest[0] > until || len(due) >= limit {
			var ms int64
			if _, err := fmt.Sscanf(rest[0], "%d", &ms); err != nil {
				return err
			}
			next = canonical.FromMillis(ms)
			return errStop
		}
		d, had, err := l.get(l.db, l.key("p", dest, rest[1], rest[2]))
		if had {
			due = append(due, d)
		}
		return err
	}, dest)
	return due, next, err
}

// Awaiting gives the parked parts that wait for the person of a node to be known.
func (l *Ledger) Awaiting(dest string, node canonical.NodeID) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("w", func(rest []string, _ []byte) error {
		d, had, err := l.get(l.db, l.key("p", dest, rest[0], rest[1]))
		if had {
			out = append(out, d)
		}
		return err
	}, dest, node.String())
	return out, err
}

// AllAwaiting gives every part of a destination that waits to be known.
func (l *Ledger) AllAwaiting(dest string) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("w", func(rest []string, _ []byte) error {
		d, had, err := l.get(l.db, l.key("p", dest, rest[1], rest[2]))
		if had {
			out = append(out, d)
		}
		return err
	}, dest)
	return out, err
}

// Open gives the intents without an outcome: attempts that a dead owner left behind.
func (l *Ledger) Open(dest string) ([]canonical.Delivery, error) {
	var out []canonical.Delivery
	err := l.scan("i", func(rest []string, _ []byte) error {
		d, had, err := l.get(l.db, l.key("p", dest, rest[0], rest[1]))
		if had {
			out = append(out, d)
		}
		return err
	}, dest)
	return out, err
}

// Activation gives the record with which a destination's books begin.
func (l *Ledger) Activation(dest string) (canonical.Delivery, bool, error) {
	return l.get(l.db, l.key("a", dest))
}

// Wait returns once every record given is folded.
func (l *Ledger) Wait(ctx context.Context, records []eventlog.Record) error {
	for {
		l.mu.Lock()
		done := true
		for _, r := range records {
			if l.next[r.Partition] <= r.Offset {
				done = false
				break
			}
		}
		changed := l.changed
		l.mu.Unlock()
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

// WaitEnd returns once everything below the end offsets given is folded.
func (l *Ledger) WaitEnd(ctx context.Context, end []int64) error {
	records := make([]eventlog.Record, 0, len(end))
	for p, e := range end {
		records = append(records, eventlog.Record{Partition: p, Offset: e - 1})
	}
	return l.Wait(ctx, records)
}
