package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"sort"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/identity"
	"tributary/internal/eventlog"
	"tributary/internal/warehouse"
)

// A Warehouse is what record writes to, and rebuilds its memory from.
type Warehouse interface {
	// Write keeps a block. The same rows written again change no answer.
	Write(ctx context.Context, token string, b warehouse.Block) error
	// FirstSeen gives every event's first copy and every receipt's fate that stands in a
	// partition of events in [from, to).
	FirstSeen(ctx context.Context, partition int, from, to int64, event func(canonical.EventKey, canonical.Position), fate func(canonical.ReceiptID, canonical.Fate, canonical.Position)) error
}

// Record writes every topic to the warehouse: one row a record, of events only the
// first copy. It owns partitions of events, so it sees every copy of an event in order.
type Record struct {
	Log       eventlog.Log
	Topics    eventlog.Topics
	Prefix    string
	Warehouse Warehouse
	View      *identity.View
	DB        *pebble.DB // for first-seen
	Seal      func([]byte) []byte
	// Of erasure: see forget. nil: nobody is erased.
	Eraser  Eraser
	Open    func([]byte) ([]byte, error)
	Reading *Replay // reads receipts as resolve does
	Health  *Health
	Logger  *slog.Logger
	Metrics *Metrics
}

// RecordGroup is the name of the consumer group that record reads in.
func RecordGroup(prefix string) string { return prefix + "record" }

const (
	blockRows = 10_000                 // a block is written when it is this large
	blockWait = 400 * time.Millisecond // or this old
	writeWait = 2 * time.Minute        // a warehouse that takes longer for a block is in trouble, and named so
)

// Run records until ctx ends.
func (s *Record) Run(ctx context.Context) error {
	return s.Log.Consume(ctx, eventlog.Group{Name: RecordGroup(s.Prefix), Topics: []string{
		s.Topics.Events, s.Topics.Inbound, s.Topics.Identity, s.Topics.Deliveries, s.Topics.Replays,
	}}, s.own)
}

func (s *Record) own(ctx context.Context, claim eventlog.Claim) error {
	seen := firstSeen{s.DB, "first\x00"}
	if err := s.remember(ctx, seen, claim.Owned()[s.Topics.Events]); err != nil {
		return err
	}
	for {
		records, err := gather(ctx, claim)
		if err != nil {
			return err
		}
		if err := s.forget(ctx); err != nil {
			return err
		}
		if len(records) == 0 {
			continue
		}
		if err := s.block(ctx, seen, records); err != nil {
			return err
		}
		for _, r := range records {
			claim.Commit(r.Topic, r.Partition, r.Offset+1)
		}
	}
}

// gather polls until a block is large or old enough.
func gather(ctx context.Context, claim eventlog.Claim) ([]eventlog.Record, error) {
	records, err := claim.Poll(ctx, blockRows, time.Second)
	if err != nil || len(records) == 0 {
		return records, err
	}
	for until := time.Now().Add(blockWait); len(records) < blockRows; {
		wait := time.Until(until)
		if wait <= 0 {
			break
		}
		more, err := claim.Poll(ctx, blockRows-len(records), wait)
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
	}
	return records, nil
}

// block writes one block: judge the copies, make the rows, write them, and only then
// remember.
func (s *Record) block(ctx context.Context, seen firstSeen, records []eventlog.Record) error {
	j := seen.judge()
	var b warehouse.Block
	for _, r := range records {
		if err := s.row(ctx, j, r, &b); err != nil {
			return err
		}
	}
	if err := s.write(ctx, token(records), b); err != nil {
		return err
	}
	for _, r := range records {
		s.Metrics.recorded(r.Topic, 1)
	}
	s.Metrics.copied(b.Fates)
	return j.keep()
}

// row adds what one record comes to in the warehouse.
func (s *Record) row(ctx context.Context, j *judge, r eventlog.Record, b *warehouse.Block) error {
	at := canonical.Position{Partition: r.Partition, Offset: r.Offset}
	switch r.Type {
	case eventlog.TypeReceipt:
		rc, err := decode[canonical.Receipt](r)
		if err != nil {
			return err
		}
		b.Receipts = append(b.Receipts, s.receiptRow(rc, at, r.Value))
	case eventlog.TypeFate:
		f, err := decode[canonical.FateRecord](r)
		if err != nil {
			return err
		}
		keep, err := j.fate(f.ReceiptID, f.Fate, at)
		if err != nil || !keep {
			return err
		}
		b.Fates = append(b.Fates, warehouse.FateRow{ReceiptID: f.ReceiptID, Source: f.Source, Way: f.Way, Fate: f.Fate, Reason: f.Reason, Detail: f.Detail, Rule: f.Rule, Mapping: f.Mapping, At: f.At, Position: at, Nodes: s.unerased(f)})
	case eventlog.TypeEvent:
		e, err := decode[canonical.Event](r)
		if err != nil {
			return err
		}
		fate, keep, err := j.event(e.Key(), e.ReceiptID, at)
		if err != nil || !keep {
			return err
		}
		b.Fates = append(b.Fates, warehouse.FateRow{ReceiptID: e.ReceiptID, Source: e.Source, Way: e.Way, Fate: fate, Event: e.Key(), Rule: e.Rule, Mapping: e.MappingVersion, At: e.ReceivedAt, Position: at})
		if fate == canonical.FateEvent {
			b.Events = append(b.Events, s.eventRow(e, at, r.Value))
		}
	case eventlog.TypeFact:
		f, err := decode[canonical.Fact](r)
		if err != nil {
			return err
		}
		if err := s.View.Wait(ctx, r.Offset); err != nil {
			return err
		}
		if !s.View.Names(r.Offset, f) {
			b.Facts = append(b.Facts, warehouse.FactRow{Offset: r.Offset, Fact: f})
		}
		for _, o := range s.View.Overrides(r.Offset-1, r.Offset) {
			b.Overrides = append(b.Overrides, warehouse.OverrideRow{Offset: o.Offset, Stated: r.Time, Node: o.Node, Root: o.Root, Account: o.Account})
		}
		for _, h := range s.View.Hands(r.Offset-1, r.Offset) {
			b.Hands = append(b.Hands, warehouse.HandRow{Offset: h.Offset, Device: h.Device, Since: h.Since, Holder: h.Holder})
		}
	case eventlog.TypeDelivery:
		d, err := decode[canonical.Delivery](r)
		if err != nil {
			return err
		}
		row, err := s.deliveryRow(d, at, r.Value)
		if err != nil {
			return err
		}
		b.Deliveries = append(b.Deliveries, row)
	case eventlog.TypeReplay:
		o, err := decode[canonical.ReplayOrder](r)
		if err != nil {
			return err
		}
		b.Replays = append(b.Replays, warehouse.ReplayRow{ReplayOrder: o, Position: at})
	case eventlog.TypeJob:
		job, err := decode[canonical.ReplayJob](r)
		if err != nil {
			return err
		}
		b.Jobs = append(b.Jobs, warehouse.JobRow{ReplayJob: job, Position: at})
	case eventlog.TypeMapping:
		m, err := decode[canonical.LiveMapping](r)
		if err != nil {
			return err
		}
		b.Mappings = append(b.Mappings, warehouse.MappingRow{LiveMapping: m, Position: at, Sealed: s.Seal(m.Packed)})
	case eventlog.TypeCRMSync: // how far a sync is: of no use to analysts
	default:
		return fmt.Errorf("%s %d/%d holds a %q, which this version does not read; run the version that wrote it, or a later one", r.Topic, r.Partition, r.Offset, r.Type)
	}
	return nil
}

// write tries until the warehouse takes the block: it holds up only what is recorded.
func (s *Record) write(ctx context.Context, token string, b warehouse.Block) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 15*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, writeWait)
		err := s.Warehouse.Write(attempt, token, b)
		cancel()
		if err == nil {
			s.Health.Set("record", nil)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.Health.Set("record", fmt.Errorf("the warehouse takes no blocks: %w; deliveries go on, what is to be recorded waits in the log, and it is tried again by itself", err))
		s.Logger.Warn("block not written; it is tried again", "error", err.Error(), "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// token names a block by the places of its records, so that the same block written
// again after a crash is known as such.
func token(records []eventlog.Record) string {
	type span struct{ lo, hi int64 }
	spans := map[string]span{}
	for _, r := range records {
		k := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
		s, ok := spans[k]
		if !ok {
			s = span{r.Offset, r.Offset}
		}
		spans[k] = span{min(s.lo, r.Offset), max(s.hi, r.Offset)}
	}
	keys := make([]string, 0, len(spans))
	for k, s := range spans {
		keys = append(keys, fmt.Sprintf("%s:%d-%d", k, s.lo, s.hi))
	}
	sort.Strings(keys)
	h := sha256.Sum256([]byte(fmt.Sprint(keys)))
	return hex.EncodeToString(h[:16])
}

// remember brings first-seen up to the committed offset of each partition of events
// that this member owns, from the log, and from the warehouse where the log no longer
// reaches back.
func (s *Record) remember(ctx context.Context, seen firstSeen, partitions []int) error {
	committed, err := s.Log.Committed(ctx, RecordGroup(s.Prefix), s.Topics.Events)
	if err != nil {
		return err
	}
	first, _, err := s.Log.Bounds(ctx, s.Topics.Events)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		reached, err := seen.reach(p)
		if err != nil {
			return err
		}
		if reached < first[p] && reached < committed[p] {
			if err := s.recall(ctx, seen, p, reached, first[p]); err != nil {
				return fmt.Errorf("rebuild first-seen of %s/%d from the warehouse: %w", s.Topics.Events, p, err)
			}
			reached = first[p]
		}
		for reached < committed[p] {
			records, err := s.Log.Read(ctx, s.Topics.Events, p, reached, 5000, time.Second)
			if err != nil {
				return fmt.Errorf("rebuild first-seen of %s/%d: %w", s.Topics.Events, p, err)
			}
			j := seen.judge()
			for _, r := range records {
				if r.Offset >= committed[p] {
					break
				}
				if err := judgeOnly(j, r); err != nil {
					return err
				}
				reached = r.Offset + 1
			}
			if err := j.keep(); err != nil {
				return err
			}
		}
	}
	return nil
}

func judgeOnly(j *judge, r eventlog.Record) error {
	at := canonical.Position{Partition: r.Partition, Offset: r.Offset}
	switch r.Type {
	case eventlog.TypeFate:
		f, err := decode[canonical.FateRecord](r)
		if err == nil {
			_, err = j.fate(f.ReceiptID, f.Fate, at)
		}
		return err
	case eventlog.TypeEvent:
		var e struct {
			ID        canonical.EventID   `json:"event_id"`
			Name      string              `json:"name"`
			ReceiptID canonical.ReceiptID `json:"receipt_id"`
		}
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return fmt.Errorf("read %s %d/%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		_, _, err := j.event(canonical.EventKey{Name: e.Name, ID: e.ID}, e.ReceiptID, at)
		return err
	}
	return nil
}

func (s *Record) recall(ctx context.Context, seen firstSeen, partition int, from, to int64) error {
	j := seen.judge()
	j.reached[partition] = to
	err := s.Warehouse.FirstSeen(ctx, partition, from, to,
		func(k canonical.EventKey, at canonical.Position) { j.events[k] = at },
		func(id canonical.ReceiptID, fate canonical.Fate, at canonical.Position) {
			j.receipts[id] = fateAt{fate, at}
		})
	if err != nil {
		return err
	}
	return j.keep()
}
