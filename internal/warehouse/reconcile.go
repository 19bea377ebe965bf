package warehouse

import (
	"context"
	"fmt"

	"tributary/canonical"
)

// A ReceiptState is what the warehouse says of one receipt: Fate "" is none yet.
type ReceiptState struct {
	ID     canonical.ReceiptID
	Source string
	Fate   canonical.Fate
}

// ReceiptStates gives every receipt whose record stands in topic inbound at offsets
// [from, to) of its partition, each once, in no order.
func (w *Warehouse) ReceiptStates(ctx context.Context, from, to []int64, each func(ReceiptState) error) error {
	return w.receiptStates(ctx, each, `log_offset >= CAST(? AS Array(Int64))[log_partition + 1] AND log_offset < CAST(? AS Array(Int64))[log_partition + 1]`,
		offsets(from), offsets(to))
}

// ReceiptStatesOf gives those of the receipts named that the warehouse holds.
func (w *Warehouse) ReceiptStatesOf(ctx context.Context, ids []canonical.ReceiptID) (map[canonical.ReceiptID]ReceiptState, error) {
	out := map[canonical.ReceiptID]ReceiptState{}
	if len(ids) == 0 {
		return out, nil
	}
	err := w.receiptStates(ctx, func(s ReceiptState) error { out[s.ID] = s; return nil }, `receipt_id IN (?)`, ids)
	return out, err
}

func (w *Warehouse) receiptStates(ctx context.Context, each func(ReceiptState) error, which string, args ...any) error {
	rows, err := w.conn.Query(ctx, `SELECT r.receipt_id, r.source, f.fate FROM
		(SELECT receipt_id, any(toString(source)) AS source FROM receipts WHERE `+which+` GROUP BY receipt_id) AS r
		LEFT JOIN (SELECT receipt_id, argMax(toString(fate), transform(toString(fate), ['quarantined', 'facts_only', 'completed', 'observation', 'event', 'erased'], [1, 2, 3, 4, 5, 6], 0)) AS fate
			FROM receipt_fates GROUP BY receipt_id) AS f ON f.receipt_id = r.receipt_id
		SETTINGS join_use_nulls = 0`, args...)
	if err != nil {
		return fmt.Errorf("read receipts and their fates: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, source, fate string
		if err := rows.Scan(&id, &source, &fate); err != nil {
			return fmt.Errorf("read receipts and their fates: %w", err)
		}
		if err := each(ReceiptState{canonical.ReceiptID(id), source, canonical.Fate(fate)}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// A DeliveryState is what the warehouse says of one event at one destination: the worst of
// its parts, pending where there is none. The key is as stored.
type DeliveryState struct {
	Key    canonical.EventKey
	State  canonical.State
	Reason string
}

// DeliveryStates gives every event in a destination's books whose first copy stands in topic
// events at offsets [from, to) of its partition, in no order.
func (w *Warehouse) DeliveryStates(ctx context.Context, destination string, from, to []int64, each func(DeliveryState) error) error {
	return w.deliveryStates(ctx, each, `log_offset >= CAST(? AS Array(Int64))[log_partition + 1] AND log_offset < CAST(? AS Array(Int64))[log_partition + 1]`,
		clean(destination), offsets(from), offsets(to))
}

// DeliveryStatesOf gives those of the events named that are in a destination's books.
func (w *Warehouse) DeliveryStatesOf(ctx context.Context, destination string, keys []canonical.EventKey) (map[canonical.EventKey]DeliveryState, error) {
	out := map[canonical.EventKey]DeliveryState{}
	if len(keys) == 0 {
		return out, nil
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = string(StoredKey(k).ID)
	}
	err := w.deliveryStates(ctx, func(s DeliveryState) error { out[s.Key] = s; return nil }, `event_id IN (?)`, clean(destination), ids)
	return out, err
}

func (w *Warehouse) deliveryStates(ctx context.Context, each func(DeliveryState) error, which string, args ...any) error {
	rows, err := w.conn.Query(ctx, `SELECT toString(name), event_id, toString(state), toString(reason) FROM v_event_deliveries WHERE destination = ? AND `+which, args...)
	if err != nil {
		return fmt.Errorf("read states of events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, id, state, reason string
		if err := rows.Scan(&name, &id, &state, &reason); err != nil {
			return fmt.Errorf("read states of events: %w", err)
		}
		if err := each(DeliveryState{canonical.EventKey{Name: name, ID: canonical.EventID(id)}, canonical.State(state), reason}); err != nil {
			return err
		}
	}
	return rows.Err()
}

// offsets is written as an array; an empty one is one that nothing lies below.
func offsets(below []int64) []int64 {
	if len(below) == 0 {
		return []int64{0}
	}
	return below
}
