package warehouse

import (
	"context"
	"fmt"

	"tributary/canonical"
)

// A ReceiptBalance is the books of one source, by distinct receipt id.
type ReceiptBalance struct {
	Source      string `json:"source"`
	Accepted    uint64 `json:"accepted"`
	Event       uint64 `json:"event"`
	Observation uint64 `json:"observation"`
	FactsOnly   uint64 `json:"facts_only"`
	Completed   uint64 `json:"completed"`
	Quarantined uint64 `json:"quarantined"`
	Erased      uint64 `json:"erased"`
	Waiting     uint64 `json:"waiting"` // no fate yet
	// NotRecorded counts receipts whose fate is stored and that are not stored yet themselves.
	NotRecorded uint64 `json:"not_recorded"`
}

// Balanced is true when every receipt accepted is in exactly one place.
func (b ReceiptBalance) Balanced() bool {
	return b.Accepted == b.Event+b.Observation+b.FactsOnly+b.Completed+b.Quarantined+b.Erased+b.Waiting
}

// ReceiptBalance gives the books of every source, in order of their names.
func (w *Warehouse) ReceiptBalance(ctx context.Context) ([]ReceiptBalance, error) {
	rows, err := w.conn.Query(ctx, `SELECT source, accepted, event, observation, facts_only, completed, quarantined, erased, waiting, not_recorded
		FROM v_receipt_balance ORDER BY source`)
	if err != nil {
		return nil, fmt.Errorf("read receipt balance: %w", err)
	}
	defer rows.Close()
	var out []ReceiptBalance
	for rows.Next() {
		var b ReceiptBalance
		if err := rows.Scan(&b.Source, &b.Accepted, &b.Event, &b.Observation, &b.FactsOnly, &b.Completed, &b.Quarantined, &b.Erased, &b.Waiting, &b.NotRecorded); err != nil {
			return nil, fmt.Errorf("read receipt balance: %w", err)
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// A DeliveryBalance is the books of one destination since its activation.
type DeliveryBalance struct {
	Destination string            `json:"destination"`
	Events      uint64            `json:"events"`
	Delivered   uint64            `json:"delivered"`
	Dead        uint64            `json:"dead"`
	Suppressed  uint64            `json:"suppressed"`
	Parked      uint64            `json:"parked"`
	Pending     uint64            `json:"pending"`      // no state yet, or an open intent
	OpenIntents uint64            `json:"open_intents"` // of those pending
	Suppression map[string]uint64 `json:"suppressed_by_reason"`
	Parking     map[string]uint64 `json:"parked_by_reason"`
}

// Balanced is true when every event in the books is in exactly one place.
func (b DeliveryBalance) Balanced() bool {
	return b.Events == b.Delivered+b.Dead+b.Suppressed+b.Parked+b.Pending
}

// DeliveryBalance gives the books of every activated destination, in order of their names.
// A destination that no event has come to yet has no books.
func (w *Warehouse) DeliveryBalance(ctx context.Context) ([]DeliveryBalance, error) {
	rows, err := w.conn.Query(ctx, `SELECT toString(destination), events, delivered, dead, suppressed, parked, pending, open_intents, suppressed_by_reason, parked_by_reason
		FROM v_delivery_balance ORDER BY destination`)
	if err != nil {
		return nil, fmt.Errorf("read delivery balance: %w", err)
	}
	defer rows.Close()
	var out []DeliveryBalance
	for rows.Next() {
		var b DeliveryBalance
		if err := rows.Scan(&b.Destination, &b.Events, &b.Delivered, &b.Dead, &b.Suppressed, &b.Parked, &b.Pending, &b.OpenIntents, &b.Suppression, &b.Parking); err != nil {
			return nil, fmt.Errorf("read delivery balance: %w", err)
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// Fates gives what receipts came to; a quarantined one that was run again, what it came to
// then. Those without a fate are left out.
func (w *Warehouse) Fates(ctx context.Context, ids []canonical.ReceiptID) (map[canonical.ReceiptID]canonical.Fate, error) {
	rows, err := w.conn.Query(ctx, `SELECT receipt_id, argMin(fate, fate = 'quarantined') FROM receipt_fates
		WHERE receipt_id IN (?) GROUP BY receipt_id`, ids)
	if err != nil {
		return nil, fmt.Errorf("read fates: %w", err)
	}
	defer rows.Close()
	out := map[canonical.ReceiptID]canonical.Fate{}
	for rows.Next() {
		var id, fate string
		if err := rows.Scan(&id, &fate); err != nil {
			return nil, fmt.Errorf("read fates: %w", err)
		}
		out[canonical.ReceiptID(id)] = canonical.Fate(fate)
	}
	return out, rows.Err()
}
