package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/internal/eventlog"
)

// An Index says where a receipt or an event is now: a local view of inbound and events
// kept in Pebble, from which GET /v1/receipts and GET /v1/events answer at once.
type Index struct {
	db     *pebble.DB
	prefix []byte

	mu   sync.Mutex
	next map[string]int64 // by topic and partition
}

// A Whereabouts is what the index holds of one receipt.
type Whereabouts struct {
	ReceiptID  canonical.ReceiptID `json:"receipt_id"`
	Source     string              `json:"source"`
	Way        canonical.Way       `json:"way"`
	ReceivedAt time.Time           `json:"received_at"`
	Fate       canonical.Fate      `json:"fate,omitempty"` // "": not resolved yet
	Reason     string              `json:"reason,omitempty"`
	Detail     string              `json:"detail,omitempty"`
	Rule       string              `json:"rule,omitempty"`
	Event      *canonical.EventKey `json:"event,omitempty"`
	// In is where the raw receipt stands, At where its event or fate does.
	In *canonical.Position `json:"in,omitempty"`
	At *canonical.Position `json:"at,omitempty"`
}

// A Found is what the index holds of one event: its first copy.
type Found struct {
	Event  canonical.EventKey  `json:"event"`
	At     canonical.Position  `json:"at"`
	By     canonical.ReceiptID `json:"by"`
	Copies int                 `json:"copies"` // distinct receipts after the first
}

// OpenIndex opens the index kept in db under prefix.
func OpenIndex(db *pebble.DB, prefix string) (*Index, error) {
	x := &Index{db: db, prefix: []byte(prefix), next: map[string]int64{}}
	it, err := db.NewIter(bounds(x.key("o", "")))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		x.next[string(it.Key()[len(x.key("o", "")):])] = int64(binary.BigEndian.Uint64(it.Value()))
	}
	return x, it.Error()
}

// bounds limits an iterator to the keys that begin with prefix.
func bounds(prefix []byte) *pebble.IterOptions {
	hi := append([]byte(nil), prefix...)
	for i := len(hi) - 1; i >= 0; i-- {
		if hi[i]++; hi[i] != 0 {
			return &pebble.IterOptions{LowerBound: prefix, UpperBound: hi[:i+1]}
		}
	}
	return &pebble.IterOptions{LowerBound: prefix}
}

func (x *Index) key(parts ...string) []byte {
	return append(append([]byte(nil), x.prefix...), strings.Join(parts, "\x00")...)
}

// topicIndex is the index as a folder of one topic.
type topicIndex struct {
	*Index
	topic string
}

// Of gives the index as a view of one topic.
func (x *Index) Of(topic string) interface {
	Next(int) int64
	Apply([]eventlog.Record) error
} {
	return topicIndex{x, topic}
}

func (t topicIndex) at(partition int) string { return fmt.Sprintf("%s/%d", t.topic, partition) }

func (t topicIndex) Next(partition int) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next[t.at(partition)]
}

func (t topicIndex) Apply(records []eventlog.Record) error {
	if len(records) == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.db.NewIndexedBatch()
	defer b.Close()
	for _, r := range records {
		if err := t.fold(b, r); err != nil {
			return err
		}
	}
	last := records[len(records)-1]
	key := t.at(last.Partition)
	if err := b.Set(t.key("o", key), binary.BigEndian.AppendUint64(nil, uint64(last.Offset+1)), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	t.next[key] = last.Offset + 1
	return nil
}

// Wait returns once everything of a topic below the end offsets given is indexed.
func (x *Index) Wait(ctx context.Context, topic string, end []int64) error {
	view := topicIndex{x, topic}
	for p := range end {
		for view.Next(p) < end[p] {
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// Skip moves a topic's view past what the log no longer holds: the warehouse answers for it.
func (x *Index) Skip(topic string, partition int, first int64) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := topicIndex{x, topic}.at(partition)
	x.next[key] = first
	return x.db.Set(x.key("o", key), binary.BigEndian.AppendUint64(nil, uint64(first)), pebble.NoSync)
}

func (t topicIndex) fold(b *pebble.Batch, r eventlog.Record) error {
	pos := &canonical.Position{Partition: r.Partition, Offset: r.Offset}
	switch r.Type {
	case eventlog.TypeReceipt:
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return err
		}
		return t.merge(b, Whereabouts{ReceiptID: rc.ID, Source: rc.Source, Way: rc.Way, ReceivedAt: rc.ReceivedAt, In: pos})
	case eventlog.TypeFate:
		f, err := decode[canonical.FateRecord](r)
		if err != nil {
			return err
		}
		return t.merge(b, Whereabouts{ReceiptID: f.ReceiptID, Source: f.Source, Way: f.Way, ReceivedAt: f.At, Fate: f.Fate, Reason: f.Reason, Detail: f.Detail, At: pos})
	case eventlog.TypeEvent:
		e, err := decode[canonical.Event](r)
		if err != nil {
			return err
		}
		return t.event(b, e, *pos)
	}
	return nil
}

// event notes the first copy of an event, and counts another receipt's copy.
func (t topicIndex) event(b *pebble.Batch, e canonical.Event, pos canonical.Position) error {
	key := e.Key()
	k := t.key("e", string(key.ID), key.Name)
	f, had, err := load[Found](b, k)
	if err != nil {
		return err
	}
	w := Whereabouts{ReceiptID: e.ReceiptID, Source: e.Source, Way: e.Way, ReceivedAt: e.ReceivedAt, Fate: canonical.FateEvent, Rule: e.Rule, Event: &key, At: &pos}
	switch {
	case !had:
		f = Found{Event: key, At: pos, By: e.ReceiptID}
	case f.By != e.ReceiptID:
		w.Fate = canonical.FateObservation
		seen, known, err := load[Whereabouts](b, t.key("r", string(e.ReceiptID)))
		if err != nil {
			return err
		}
		if !known || seen.Fate == "" || seen.Fate == canonical.FateQuarantined {
			f.Copies++
		}
	}
	if err := store(b, k, f); err != nil {
		return err
	}
	return t.merge(b, w)
}

// merge adds what one record says of a receipt to what others said: inbound and events
// are followed side by side, so either may come first. The first fate stands, but a
// quarantined receipt may be run again.
func (t topicIndex) merge(b *pebble.Batch, w Whereabouts) error {
	k := t.key("r", string(w.ReceiptID))
	old, had, err := load[Whereabouts](b, k)
	if err != nil {
		return err
	}
	if had {
		if w.In == nil {
			w.In = old.In
		}
		if w.Fate == "" || old.Fate != "" && old.Fate != canonical.FateQuarantined {
			in := w.In
			w = old
			w.In = in
		}
	}
	return store(b, k, w)
}

func load[T any](r pebble.Reader, key []byte) (T, bool, error) {
	var v T
	b, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return v, false, nil
	}
	if err != nil {
		return v, false, fmt.Errorf("read local state: %w", err)
	}
	defer closer.Close()
	return v, true, json.Unmarshal(b, &v)
}

func store(w pebble.Writer, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Set(key, b, nil)
}

// Receipt says where a receipt is; false: not seen.
func (x *Index) Receipt(id canonical.ReceiptID) (Whereabouts, bool, error) {
	return load[Whereabouts](x.db, x.key("r", string(id)))
}

// Receipts says where receipts are, those that were seen: one walk over their keys, which lie
// side by side where they came at one time.
func (x *Index) Receipts(ids []canonical.ReceiptID) (map[canonical.ReceiptID]Whereabouts, error) {
	sorted := slices.Sorted(slices.Values(ids))
	it, err := x.db.NewIter(bounds(x.key("r", "")))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	out := make(map[canonical.ReceiptID]Whereabouts, len(ids))
	for _, id := range sorted {
		key := x.key("r", string(id))
		if !it.SeekGE(key) {
			break
		}
		if !bytes.Equal(it.Key(), key) {
			continue
		}
		var w Whereabouts
		if err := json.Unmarshal(it.Value(), &w); err != nil {
			return nil, fmt.Errorf("read local state: %w", err)
		}
		out[id] = w
	}
	return out, it.Error()
}

// First says where the first copy of an event stands; false: not seen.
func (x *Index) First(key canonical.EventKey) (Found, bool, error) {
	return load[Found](x.db, x.key("e", string(key.ID), key.Name))
}

// Events gives the events of an id: one, unless two names share it.
func (x *Index) Events(id canonical.EventID) ([]Found, error) {
	it, err := x.db.NewIter(bounds(x.key("e", string(id), "")))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var out []Found
	for it.First(); it.Valid(); it.Next() {
		var f Found
		if err := json.Unmarshal(it.Value(), &f); err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, it.Error()
}
