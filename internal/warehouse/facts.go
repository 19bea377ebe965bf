package warehouse

import (
	"context"
	"fmt"

	"tributary/canonical"
)

// FactsAmong gives the facts of these kinds that name at least so many of some nodes, by
// their offset in topic identity, each once and at most limit, as JSON.
func (w *Warehouse) FactsAmong(ctx context.Context, nodes []canonical.NodeID, least int, kinds []canonical.FactKind, limit int, each func(offset int64, fact []byte) error) error {
	if len(nodes) == 0 || len(kinds) == 0 {
		return nil
	}
	ids, words := make([]uint64, len(nodes)), make([]string, len(kinds))
	for i, n := range nodes {
		ids[i] = uint64(n)
	}
	for i, k := range kinds {
		words[i] = string(k)
	}
	return w.sealed(ctx, each, `SELECT fact_offset, any(fact) FROM identity_facts
		WHERE toString(kind) IN (?) AND hasAny(nodes, CAST(?, 'Array(UInt64)')) AND length(arrayIntersect(nodes, CAST(?, 'Array(UInt64)'))) >= ?
		GROUP BY fact_offset ORDER BY fact_offset LIMIT ?`, words, ids, ids, least, limit)
}

// LastFact is the offset in topic identity of the newest fact that the warehouse holds, -1
// where it holds none.
func (w *Warehouse) LastFact(ctx context.Context) (int64, error) {
	var last int64
	if err := w.conn.QueryRow(ctx, `SELECT if(count() = 0, -1, max(fact_offset)) FROM identity_facts`).Scan(&last); err != nil {
		return -1, fmt.Errorf("look for the newest fact: %w", err)
	}
	return last, nil
}

// EventsOn gives the keys of the events that stand under some nodes or are about an object,
// the newest first and at most limit. The zero object is none.
func (w *Warehouse) EventsOn(ctx context.Context, nodes []canonical.NodeID, object canonical.Object, limit int) ([]canonical.EventKey, error) {
	ids := []uint64{0} // of no node, and so of no event of a person
	for _, n := range nodes {
		ids = append(ids, uint64(n))
	}
	accounts := []string{clean(object.Account)}
	if object.Account == "" {
		accounts = append(accounts, "hubspot")
	}
	rows, err := w.conn.Query(ctx, `SELECT toString(name), event_id FROM events FINAL
		WHERE node != 0 AND node IN (?) OR object_id != '' AND object_type = ? AND object_id = ? AND toString(object_account) IN (?)
		ORDER BY occurred_at DESC, event_id LIMIT ?`, ids, object.Type, clean(object.ID), accounts, limit)
	if err != nil {
		return nil, fmt.Errorf("look for events of a person: %w", err)
	}
	defer rows.Close()
	var out []canonical.EventKey
	for rows.Next() {
		var name, id string
		if err := rows.Scan(&name, &id); err != nil {
			return nil, fmt.Errorf("look for events of a person: %w", err)
		}
		out = append(out, canonical.EventKey{Name: name, ID: canonical.EventID(id)})
	}
	return out, rows.Err()
}
