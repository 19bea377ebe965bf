package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/warehouse"
)

// Reconcile holds both balances against each other, counted twice: from offsets, index and
// ledger, and from ClickHouse. It names what is lost and what the two disagree on. The
// whole log is read: it is an operator's question, and a process asks it now and then.
type Reconcile struct {
	*Books
	Warehouse States
}

// States is the warehouse as the reconciliation asks it.
type States interface {
	ReceiptStates(ctx context.Context, from, to []int64, each func(warehouse.ReceiptState) error) error
	ReceiptStatesOf(ctx context.Context, ids []canonical.ReceiptID) (map[canonical.ReceiptID]warehouse.ReceiptState, error)
	DeliveryStates(ctx context.Context, destination string, from, to []int64, each func(warehouse.DeliveryState) error) error
	DeliveryStatesOf(ctx context.Context, destination string, keys []canonical.EventKey) (map[canonical.EventKey]warehouse.DeliveryState, error)
}

// A Reconciliation is the answer.
type Reconciliation struct {
	At         time.Time               `json:"at"`
	Receipts   []ReconciledSource      `json:"receipts"`
	Deliveries []ReconciledDestination `json:"deliveries"`
	Lost       int                     `json:"lost"`
	Differ     int                     `json:"differ"`
	OK         bool                    `json:"ok"` // nothing is lost, the two agree, and every row balances
}

// A ReconciledSource is the first balance of one source, twice.
type ReconciledSource struct {
	Source    string         `json:"source"`
	Log       ReceiptBalance `json:"log"`
	Warehouse ReceiptBalance `json:"warehouse"`
	// LostIDs and Differ name up to Named of each.
	LostIDs []canonical.ReceiptID `json:"lost_ids,omitempty"`
	Differ  []Difference          `json:"differ,omitempty"`
}

// A ReconciledDestination is the second balance of one destination, twice.
type ReconciledDestination struct {
	Destination string          `json:"destination"`
	Log         DeliveryBalance `json:"log"`
	Warehouse   DeliveryBalance `json:"warehouse"`
	// LostEvents and Differ name up to Named of each.
	LostEvents []canonical.EventKey `json:"lost_events,omitempty"`
	Differ     []Difference         `json:"differ,omitempty"`
}

// A Difference is one receipt or event that the log and the warehouse do not say the same of.
type Difference struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"` // of an event
	Log       string `json:"log"`
	Warehouse string `json:"warehouse"`
}

// Named is how many lost or differing ones a row names; the counts hold all.
const Named = 100

// What a side says that does not hold a receipt or an event at all.
const absent = "not there"

// Run reconciles. While events move the two sides see them a moment apart, so what differs
// is asked again until it stands still; what still differs after settleFor is reported.
func (r *Reconcile) Run(ctx context.Context) (Reconciliation, error) {
	out := Reconciliation{At: time.Now().UTC(), OK: true}
	if err := r.recorded(ctx); err != nil {
		return out, err
	}
	var err error
	if out.Receipts, err = r.receipts(ctx); err != nil {
		return out, err
	}
	if out.Deliveries, err = r.deliveries(ctx); err != nil {
		return out, err
	}
	for i, s := range out.Receipts {
		out.Lost += s.Log.Lost
		out.Differ += len(s.Differ)
		out.OK = out.OK && s.Log.Balanced() && len(s.Differ) == 0
		out.Receipts[i].Differ = s.Differ[:min(len(s.Differ), Named)]
	}
	for i, d := range out.Deliveries {
		out.Lost += d.Log.Lost
		out.Differ += len(d.Differ)
		out.OK = out.OK && d.Log.Balanced() && len(d.Differ) == 0
		out.Deliveries[i].Differ = d.Differ[:min(len(d.Differ), Named)]
	}
	return out, nil
}

const (
	settleFor   = 5 * time.Second
	settleEvery = 500 * time.Millisecond
	judged      = 100 * Named // how many of those that differ are asked again: more than anybody reads
)

// again asks until the answer is yes, or for so long: the last answer is what the caller has.
func again(ctx context.Context, patience time.Duration, ask func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		if yes, err := ask(); err != nil || yes || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// recorded waits until everything that stands in the log now is in the warehouse.
func (r *Reconcile) recorded(ctx context.Context) error {
	for _, topic := range []string{r.Topics.Inbound, r.Topics.Events, r.Topics.Deliveries, r.Topics.Replays} {
		_, end, err := r.Log.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		var behind int64
		err = again(ctx, 2*patience, func() (bool, error) {
			behind, err = r.behind(ctx, topic, end)
			return behind == 0, err
		})
		if err != nil {
			return err
		}
		if behind > 0 {
			return fmt.Errorf("the warehouse is %d records of %s behind the log; ask again when it has caught up (tributary report lag)", behind, topic)
		}
	}
	return nil
}

func (r *Reconcile) behind(ctx context.Context, topic string, end []int64) (int64, error) {
	done, err := r.Log.Committed(ctx, RecordGroup(r.Prefix), topic)
	if err != nil {
		return 0, err
	}
	var behind int64
	for p, e := range end {
		at := int64(0)
		if p < len(done) {
			at = max(done[p], 0)
		}
		behind += max(e-at, 0)
	}
	return behind, nil
}

// receipts holds the first balance of every source against the warehouse's.
func (r *Reconcile) receipts(ctx context.Context) ([]ReconciledSource, error) {
	first, end, err := r.Log.Bounds(ctx, r.Topics.Inbound)
	if err != nil {
		return nil, err
	}
	said, lost := map[canonical.ReceiptID]logged{}, map[string][]canonical.ReceiptID{}
	rows, err := r.countReceipts(ctx, func(c counted) {
		said[c.id] = logged{c.of, c.fate}
		if c.isLost && len(lost[c.of]) < Named {
			lost[c.of] = append(lost[c.of], c.id)
		}
	})
	if err != nil {
		return nil, err
	}
	kept := map[string]*ReceiptBalance{}
	suspects := map[canonical.ReceiptID]string{}
	err = r.Warehouse.ReceiptStates(ctx, first, end, func(s warehouse.ReceiptState) error {
		row := kept[s.Source]
		if row == nil {
			row = &ReceiptBalance{Source: s.Source}
			kept[s.Source] = row
		}
		row.Accepted++
		if !row.count(s.Fate) {
			row.Waiting++
		}
		l, there := said[s.ID]
		if !there || l.fate != s.Fate {
			suspects[s.ID] = cmp.Or(l.source, s.Source)
		}
		delete(said, s.ID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, l := range said {
		suspects[id] = l.source // the warehouse gave none
	}
	differ, err := r.settleReceipts(ctx, suspects)
	if err != nil {
		return nil, err
	}
	var out []ReconciledSource
	for _, row := range rows {
		s := ReconciledSource{Source: row.Source, Log: row, LostIDs: lost[row.Source], Differ: differ[row.Source]}
		if w := kept[row.Source]; w != nil {
			s.Warehouse = *w
		}
		s.Warehouse.Source = row.Source
		out = append(out, s)
	}
	return out, nil
}

// logged is what the log and its index say of a receipt.
type logged struct {
	source string
	fate   canonical.Fate
}

// settleReceipts asks again what the two sides say of receipts, and gives what stays different,
// by source.
func (r *Reconcile) settleReceipts(ctx context.Context, suspects map[canonical.ReceiptID]string) (map[string][]Difference, error) {
	out := map[string][]Difference{}
	err := again(ctx, settleFor, func() (bool, error) {
		ids := slices.Sorted(maps.Keys(suspects))
		ids = ids[:min(len(ids), judged)]
		held, err := r.Warehouse.ReceiptStatesOf(ctx, ids)
		if err != nil {
			return false, err
		}
		clear(out)
		for _, id := range ids {
			d := Difference{ID: string(id), Log: absent, Warehouse: absent}
			at, there, err := r.Index.Receipt(id)
			if err != nil {
				return false, err
			}
			if there && at.In != nil {
				d.Log = fateWord(at.Fate)
			}
			if s, there := held[id]; there {
				d.Warehouse = fateWord(s.Fate)
			}
			if d.Log == d.Warehouse {
				delete(suspects, id)
				continue
			}
			out[suspects[id]] = append(out[suspects[id]], d)
		}
		return len(out) == 0, nil
	})
	return out, err
}

func fateWord(f canonical.Fate) string { return cmp.Or(string(f), "waiting") }

// deliveries holds the second balance of every destination against the warehouse's.
func (r *Reconcile) deliveries(ctx context.Context) ([]ReconciledDestination, error) {
	first, end, err := r.Log.Bounds(ctx, r.Topics.Events)
	if err != nil {
		return nil, err
	}
	said, lost := map[string]map[canonical.EventKey]string{}, map[string][]canonical.EventKey{}
	own := map[canonical.EventKey]canonical.EventKey{} // by the key as the warehouse has it
	rows, err := r.countDeliveries(ctx, func(c counted) {
		if said[c.of] == nil {
			said[c.of] = map[canonical.EventKey]string{}
		}
		stored := warehouse.StoredKey(c.event)
		own[stored] = c.event
		said[c.of][stored] = stateWord(c.worst.State, c.worst.Reason)
		if c.isLost && len(lost[c.of]) < Named {
			lost[c.of] = append(lost[c.of], c.event)
		}
	})
	if err != nil {
		return nil, err
	}
	var out []ReconciledDestination
	for _, row := range rows {
		d := ReconciledDestination{Destination: row.Destination, Log: row, LostEvents: lost[row.Destination], Warehouse: DeliveryBalance{
			Destination: row.Destination, Suppressed: map[string]int{}, Parked: map[string]int{},
		}}
		mine, suspects := said[row.Destination], map[canonical.EventKey]canonical.EventKey{}
		err := r.Warehouse.DeliveryStates(ctx, row.Destination, first, end, func(s warehouse.DeliveryState) error {
			d.Warehouse.Events++
			if s.State == pending {
				d.Warehouse.Pending++
			}
			d.Warehouse.count(canonical.Delivery{State: s.State, Reason: s.Reason})
			if mine[s.Key] != stateWord(s.State, s.Reason) {
				suspects[s.Key] = cmp.Or(own[s.Key], s.Key)
			}
			delete(mine, s.Key)
			return nil
		})
		if err != nil {
			return nil, err
		}
		for key := range mine {
			suspects[key] = own[key]
		}
		if d.Differ, err = r.settleDeliveries(ctx, row.Destination, suspects); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// pending is how people are told of no state, and of an attempt under way.
const pending canonical.State = "pending"

func stateWord(s canonical.State, reason string) string {
	switch s {
	case "", canonical.StateIntent, pending:
		return string(pending)
	case canonical.StateSuppressed, canonical.StateParked:
		return string(s) + " " + reason
	}
	return string(s)
}

// settleDeliveries asks again what the two sides say of events at a destination: suspects by the
// key as the warehouse has it.
func (r *Reconcile) settleDeliveries(ctx context.Context, destination string, suspects map[canonical.EventKey]canonical.EventKey) ([]Difference, error) {
	lane := r.Lanes[destination]
	var out []Difference
	err := again(ctx, settleFor, func() (bool, error) {
		keys := slices.SortedFunc(maps.Keys(suspects), func(a, b canonical.EventKey) int { return cmp.Compare(a.String(), b.String()) })
		keys = keys[:min(len(keys), judged)]
		held, err := r.Warehouse.DeliveryStatesOf(ctx, destination, keys)
		if err != nil {
			return false, err
		}
		out = nil
		for _, key := range keys {
			d := Difference{ID: string(key.ID), Name: key.Name, Warehouse: absent}
			parts, err := lane.State(suspects[key])
			if err != nil {
				return false, err
			}
			worst := delivery.Worst(parts)
			d.Log = stateWord(worst.State, worst.Reason)
			if s, there := held[key]; there {
				d.Warehouse = stateWord(s.State, s.Reason)
			}
			if d.Log == d.Warehouse {
				delete(suspects, key)
				continue
			}
			out = append(out, d)
		}
		return len(out) == 0, nil
	})
	return out, err
}
