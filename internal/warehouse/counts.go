package warehouse

import (
	"context"
	"fmt"

	"tributary/canonical"
)

// EventNodes gives every event's first copy whose record stands in a partition of topic
// events at an offset in [from, to), is not ignored, and has a node. Keys are as stored:
// compare with StoredKey. Events whose retention is over are not given.
func (w *Warehouse) EventNodes(ctx context.Context, partition int, from, to int64, each func(canonical.EventKey, canonical.NodeID) error) error {
	rows, err := w.conn.Query(ctx, `SELECT toString(name), event_id, node FROM events FINAL
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ? AND ignored = '' AND node != 0`, uint32(partition), from, to)
	if err != nil {
		return fmt.Errorf("read events to count: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, id string
		var node uint64
		if err := rows.Scan(&name, &id, &node); err != nil {
			return fmt.Errorf("read events to count: %w", err)
		}
		if err := each(canonical.EventKey{Name: name, ID: canonical.EventID(id)}, canonical.NodeID(node)); err != nil {
			return err
		}
	}
	return rows.Err()
}
