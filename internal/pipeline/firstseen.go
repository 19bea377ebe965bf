package pipeline

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// firstSeen remembers where the first copy of every event stands, and what every
// receipt came to. It is written after the warehouse took the block, so that a block
// cut short is cut again the same way; the same position may be written again, a later
// one never.
type firstSeen struct {
	db     *pebble.DB
	prefix string
}

// A fateAt is what a receipt came to, and at which record.
type fateAt struct {
	Fate canonical.Fate     `json:"fate"`
	At   canonical.Position `json:"at"`
}

func (f firstSeen) eventKey(k canonical.EventKey) []byte {
	return []byte(f.prefix + "e\x00" + k.String())
}
func (f firstSeen) receiptKey(id canonical.ReceiptID) []byte {
	return []byte(f.prefix + "r\x00" + string(id))
}
func (f firstSeen) reachKey(partition int) []byte {
	return []byte(fmt.Sprintf("%so\x00%d", f.prefix, partition))
}

// reach is how far a partition of events was taken in; 0: not at all.
func (f firstSeen) reach(partition int) (int64, error) {
	b, closer, err := f.db.Get(f.reachKey(partition))
	if err == pebble.ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read local state: %w", err)
	}
	defer closer.Close()
	return int64(binary.BigEndian.Uint64(b)), nil
}

// A judge decides, record by record, what each copy is, over what is remembered and
// what this block has seen so far.
type judge struct {
	firstSeen
	events   map[canonical.EventKey]canonical.Position
	receipts map[canonical.ReceiptID]fateAt
	reached  map[int]int64
}

func (f firstSeen) judge() *judge {
	return &judge{firstSeen: f, events: map[canonical.EventKey]canonical.Position{}, receipts: map[canonical.ReceiptID]fateAt{}, reached: map[int]int64{}}
}

// event says what a copy of an event is: the first (event), a further receipt's
// (observation), or a redelivery of one seen already (false).
func (j *judge) event(key canonical.EventKey, id canonical.ReceiptID, at canonical.Position) (canonical.Fate, bool, error) {
	j.pass(at)
	key = warehouse.StoredKey(key) // as the warehouse gives it back
	if again, err := j.redelivered(id, at); err != nil || again {
		return "", false, err
	}
	first, had := j.events[key]
	if !had {
		var err error
		if first, had, err = load[canonical.Position](j.db, j.eventKey(key)); err != nil {
			return "", false, err
		}
	}
	fate := canonical.FateObservation
	if !had || first == at {
		fate, first = canonical.FateEvent, at
	}
	j.events[key] = first
	j.receipts[id] = fateAt{fate, at}
	return fate, true, nil
}

// fate says whether a fate record is to be kept: not when its receipt has one already.
func (j *judge) fate(id canonical.ReceiptID, fate canonical.Fate, at canonical.Position) (bool, error) {
	j.pass(at)
	again, err := j.redelivered(id, at)
	if err == nil && !again {
		j.receipts[id] = fateAt{fate, at}
	}
	return !again, err
}

func (j *judge) pass(at canonical.Position) { j.reached[at.Partition] = at.Offset + 1 }

// redelivered is true when the receipt came to something at another record before. One
// that was quarantined may come to something better when it is run again.
func (j *judge) redelivered(id canonical.ReceiptID, at canonical.Position) (bool, error) {
	seen, had := j.receipts[id]
	if !had {
		var err error
		if seen, had, err = load[fateAt](j.db, j.receiptKey(id)); err != nil {
			return false, err
		}
	}
	return had && seen.At != at && seen.Fate != canonical.FateQuarantined, nil
}

// keep writes down what the block has seen.
func (j *judge) keep() error {
	b := j.db.NewBatch()
	defer b.Close()
	for k, at := range j.events {
		if err := store(b, j.eventKey(k), at); err != nil {
			return err
		}
	}
	for id, f := range j.receipts {
		if err := store(b, j.receiptKey(id), f); err != nil {
			return err
		}
	}
	for p, next := range j.reached {
		if err := b.Set(j.reachKey(p), binary.BigEndian.AppendUint64(nil, uint64(next)), nil); err != nil {
			return err
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("write local state: %w", err)
	}
	return nil
}
