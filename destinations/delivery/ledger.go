package delivery

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

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

	folding    sync.Mutex                     // held by whoever folds
	lately     map[string]*canonical.Delivery // of folding: what is being folded, and intents folded lately, by key
	mu         sync.Mutex                     // of what follows
	next       map[int]int64                  // by partition, the offset to fold next
	changed    chan struct{}
	controls   map[string]canonical.Delivery // by destination, the last control record
	controlled chan struct{}                 // closed and replaced when controls change
}

// layout is the version of what stands under the prefix. What another version folded is
// thrown away and folded again.
const layout = "2"

// OpenLedger opens the ledger kept in db under prefix.
func OpenLedger(db *pebble.DB, prefix string) (*Ledger, error) {
	l := &Ledger{db: db, prefix: []byte(prefix), lately: map[string]*canonical.Delivery{}, next: map[int]int64{}, changed: make(chan struct{}), controls: map[string]canonical.Delivery{}, controlled: make(chan struct{})}
	if err := l.settleLayout(); err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	err := l.scan("o", func(key []string, value []byte) error {
		var p int
		if _, err := fmt.Sscanf(key[0], "%d", &p); err != nil {
			return fmt.Errorf("read ledger offsets: %w", err)
		}
		l.next[p] = int64(binary.BigEndian.Uint64(value))
		return nil
	})
	if err != nil {
		return l, err
	}
	return l, l.scan("c", func(key []string, value []byte) error {
		d, err := canonical.ReadDelivery(value)
		l.controls[key[0]] = d
		return err
	})
}

// settleLayout empties a ledger of another layout.
func (l *Ledger) settleLayout() error {
	key := l.key("v")
	v, closer, err := l.db.Get(key)
	if err == nil {
		same := string(v) == layout
		closer.Close()
		if same {
			return nil
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	end := append(bytes.Clone(l.prefix), 0xff)
	if err := l.db.DeleteRange(l.prefix, end, pebble.NoSync); err != nil {
		return err
	}
	return l.db.Set(key, []byte(layout), pebble.NoSync)
}

// The parts of a key are joined by NUL, which no name holds.
func (l *Ledger) key(parts ...string) []byte {
	n := len(l.prefix) + len(parts)
	for _, p := range parts {
		n += len(p)
	}
	b := append(make([]byte, 0, n), l.prefix...)
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
	return l.scanAfter(first, "", fn, more...)
}

// scanAfter walks the keys below the parts given that come behind one whose rest is
// after; "" walks all.
func (l *Ledger) scanAfter(first, after string, fn func(rest []string, value []byte) error, more ...string) error {
	lo := append(l.key(append([]string{first}, more...)...), 0)
	hi := bytes.Clone(lo)
	hi[len(hi)-1] = 1
	from := lo
	if after != "" {
		from = append(append(bytes.Clone(lo), after...), 0)
	}
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: hi})
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
	l.folding.Lock()
	defer l.folding.Unlock()
	next := map[int]int64{}
	controls := map[string]canonical.Delivery{}
	err := l.write(func(batch *pebble.Batch) error {
		for _, r := range records {
			at, ok := next[r.Partition]
			if !ok {
				at = l.Next(r.Partition)
			}
			if r.Offset < at {
				continue
			}
			if r.Type != eventlog.TypeDelivery || r.Version != eventlog.Schema {
				return fmt.Errorf("deliveries %d/%d holds a %s of version %d, which this version does not read; run the version that wrote it, or a later one", r.Partition, r.Offset, r.Type, r.Version)
			}
			d, err := canonical.ReadDelivery(r.Value)
			if err != nil {
				return fmt.Errorf("read delivery %d/%d: %w", r.Partition, r.Offset, err)
			}
			if d.State == canonical.StateControl {
				controls[d.Destination] = d
			}
			if err := l.fold(batch, &d, r.Value); err != nil {
				return err
			}
			next[r.Partition] = r.Offset + 1
		}
		for p, n := range next {
			if err := batch.Set(l.key("o", fmt.Sprint(p)), binary.BigEndian.AppendUint64(nil, uint64(n)), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.folded(next, controls)
	return nil
}

// mostLately bounds the intents that are kept at hand until their outcomes are folded.
const mostLately = 5000

// write writes what fold does in one batch. What was folded stays at hand for the rest of the
// batch, and intents for the next ones: most get an outcome soon. folding is held.
func (l *Ledger) write(fold func(b *pebble.Batch) error) error {
	batch := l.db.NewBatch()
	defer batch.Close()
	err := fold(batch)
	if err == nil {
		if err = batch.Commit(pebble.NoSync); err != nil { // a cache of the topic: what is lost is folded again
			err = fmt.Errorf("write ledger: %w", err)
		}
	}
	if err != nil || len(l.lately) > mostLately {
		clear(l.lately)
		return err
	}
	maps.DeleteFunc(l.lately, func(_ string, d *canonical.Delivery) bool { return d.State != canonical.StateIntent })
	return nil
}

// folded tells whoever waits how far the ledger is.
func (l *Ledger) folded(next map[int]int64, controls map[string]canonical.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.next, next)
	if len(controls) > 0 {
		maps.Copy(l.controls, controls)
		close(l.controlled)
		l.controlled = make(chan struct{})
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// Advance moves a partition's next offset forward without a record: the log holds none
// below it any more, and what they said was folded from elsewhere.
func (l *Ledger) Advance(partition int, next int64) error {
	l.folding.Lock()
	defer l.folding.Unlock()
	if next <= l.Next(partition) {
		return nil
	}
	if err := l.db.Set(l.key("o", fmt.Sprint(partition)), binary.BigEndian.AppendUint64(nil, uint64(next)), pebble.NoSync); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	l.folded(map[int]int64{partition: next}, nil)
	return nil
}

// Restore folds a delivery that the log no longer holds, such as one read back from the
// warehouse, in the order it was written.
func (l *Ledger) Restore(d canonical.Delivery) error {
	l.folding.Lock()
	defer l.folding.Unlock()
	control := d
	if err := l.write(func(b *pebble.Batch) error { return l.fold(b, &d, nil) }); err != nil {
		return err
	}
	if d.State == canonical.StateControl {
		l.folded(nil, map[string]canonical.Delivery{d.Destination: control})
	}
	return nil
}

// fold takes one record into the state. text is the record as it was written, nil where it
// is not at hand: mostly it is what the ledger keeps. d is the ledger's from now on.
func (l *Ledger) fold(b *pebble.Batch, d *canonical.Delivery, text []byte) error {
	switch d.State {
	case canonical.StateActivation:
		return l.activate(b, d)
	case canonical.StateControl: // the last one holds
		return l.put(b, l.key("c", d.Destination), d, text)
	}
	key := l.partKey(d)
	cur, had, err := l.standing(key)
	if err != nil {
		return err
	}
	if d.Reason == canonical.ReasonDiscarded && d.State == canonical.StateSuppressed {
		if !had || !discardable(*cur) {
			return nil // meanwhile something else became of it
		}
		d.ReplayID, d.Attempt, text = cur.ReplayID, cur.Attempt, nil // of its last attempt: only a later replay takes it up again
	} else if d.Reason == canonical.ReasonErased && d.State == canonical.StateSuppressed && had {
		if own := d.Ambiguous || d.Attempt == cur.Attempt; !forgettable(*cur) && !(cur.State == canonical.StateIntent && own) {
			return nil // it was sent, another attempt is on its way, or it is forgotten already
		}
		d.ReplayID, d.Attempt, text = cur.ReplayID, cur.Attempt, nil
	} else if had && cur.State.Terminal() {
		if d.ReplayID == "" || d.ReplayID == cur.ReplayID || cur.State == canonical.StateDelivered {
			return nil // the first terminal record wins
		}
	}
	if had && !d.State.Terminal() && d.Attempt < cur.Attempt {
		return nil // an owner that was fenced off speaks late
	}
	if had {
		if d.FirstTry == nil && d.ReplayID == cur.ReplayID && cur.FirstTry != nil {
			d.FirstTry, text = cur.FirstTry, nil
		}
		if d.Content == nil && cur.Content != nil { // an attempt at a parked item keeps what to send
			d.Content, text = cur.Content, nil
		}
	}
	if d.State.Terminal() && d.Content != nil {
		d.Content, text = nil, nil
	}
	if err := l.reindex(b, cur, d); err != nil {
		return err
	}
	return l.put(b, key, d, text)
}

func (l *Ledger) activate(b *pebble.Batch, d *canonical.Delivery) error {
	key := l.key("a", d.Destination)
	if _, had, err := l.standing(key); err != nil || had {
		return err // the first activation is the one
	}
	return l.put(b, key, d, nil)
}

// standing is what stands under a key, with what is being folded.
func (l *Ledger) standing(key []byte) (*canonical.Delivery, bool, error) {
	if d, had := l.lately[string(key)]; had {
		return d, true, nil
	}
	d, had, err := l.get(l.db, key)
	return &d, had, err
}

// put writes a state, and keeps it at hand for the rest of the batch.
func (l *Ledger) put(b *pebble.Batch, key []byte, d *canonical.Delivery, text []byte) error {
	if text == nil {
		var err error
		if text, err = d.AppendJSON(nil); err != nil {
			return err
		}
	}
	l.lately[string(key)] = d
	return b.Set(key, text, nil)
}

func (l *Ledger) partKey(d *canonical.Delivery) []byte {
	return l.key("p", d.Destination, d.Event.String(), d.Part)
}

// heldSlot is the slot that a state holds, "" for none.
func heldSlot(d *canonical.Delivery) string {
	switch d.State {
	case canonical.StateIntent, canonical.StateParked, canonical.StateDelivered:
		return d.Slot
	}
	if d.Reason == canonical.ReasonHistory {
		return d.Slot
	}
	return ""
}

// indexes lists the keys under which a state can be found again, but for its slot.
func (l *Ledger) indexes(d *canonical.Delivery) [][]byte {
	var keys [][]byte
	switch d.State {
	case canonical.StateIntent:
		keys = append(keys, l.key("i", d.Destination, d.Event.String(), d.Part))
	case canonical.StateDead:
		keys = append(keys, l.listKey(*d, Dead))
	case canonical.StateParked:
		if discardable(*d) {
			keys = append(keys, l.listKey(*d, Held))
		}
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

// reindex moves a part from the keys of its old state to those of the new; what both have
// is left as it is.
func (l *Ledger) reindex(b *pebble.Batch, old, now *canonical.Delivery) error {
	gone, come := l.indexes(old), l.indexes(now)
	if was, is := heldSlot(old), heldSlot(now); was != is {
		slot := func(s string) []byte { return l.key("s", now.Destination, now.Part, s, now.Event.String()) }
		if was != "" {
			gone = append(gone, slot(was))
		}
		if is != "" {
			come = append(come, slot(is))
		}
	}
	has := func(keys [][]byte, k []byte) bool {
		return slices.ContainsFunc(keys, func(other []byte) bool { return bytes.Equal(k, other) })
	}
	for _, k := range gone {
		if !has(come, k) {
			if err := b.Delete(k, nil); err != nil {
				return err
			}
		}
	}
	for _, k := range come {
		if !has(gone, k) {
			if err := b.Set(k, nil, nil); err != nil {
				return err
			}
		}
	}
	return nil
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
	d, err = canonical.ReadDelivery(v)
	return d, true, err
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
