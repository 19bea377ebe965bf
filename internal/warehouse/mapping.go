package warehouse

import (
	"context"
	"fmt"
	"time"

	"tributary/canonical"
)

// MappingFiles gives the sealed files (canonical.LiveMapping.Packed) of a mapping that was
// live, by its version or a beginning of it that only one has; none where there is none, and
// all versions that begin so.
func (w *Warehouse) MappingFiles(ctx context.Context, version string) (found []string, sealed []byte, err error) {
	rows, err := w.conn.Query(ctx, `SELECT mapping_version, any(sealed) FROM mapping_versions
		WHERE startsWith(mapping_version, ?) GROUP BY mapping_version ORDER BY mapping_version LIMIT 10`, version)
	if err != nil {
		return nil, nil, fmt.Errorf("look for mapping %s: %w", version, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v, body string
		if err := rows.Scan(&v, &body); err != nil {
			return nil, nil, fmt.Errorf("look for mapping %s: %w", version, err)
		}
		found, sealed = append(found, v), []byte(body)
	}
	return found, sealed, rows.Err()
}

// fromMillis is a time given as a number of milliseconds: a time itself would be bound by the second.
const fromMillis = "fromUnixTimestamp64Milli(toInt64(?), 'UTC')"

// A Firing is how many events one line of one version of the mapping gave one name.
type Firing struct {
	Version string
	Rule    string // file:line; built-in; "" where no line did
	Name    string
	Events  int
	Last    time.Time
}

// Firings counts the events received since then by the rule that named them.
func (w *Warehouse) Firings(ctx context.Context, since time.Time) ([]Firing, error) {
	return w.firings(ctx, `SELECT toString(mapping_version), toString(rule), toString(name), count(), max(received_at) FROM events FINAL
		WHERE received_at >= `+fromMillis+` GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, since)
}

func (w *Warehouse) firings(ctx context.Context, query string, since time.Time) ([]Firing, error) {
	rows, err := w.conn.Query(ctx, query, when(since).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("count rules: %w", err)
	}
	defer rows.Close()
	var out []Firing
	for rows.Next() {
		var f Firing
		var n uint64
		if err := rows.Scan(&f.Version, &f.Rule, &f.Name, &n, &f.Last); err != nil {
			return nil, fmt.Errorf("count rules: %w", err)
		}
		f.Events = int(n)
		out = append(out, f)
	}
	return out, rows.Err()
}

// QuarantinedBy counts the receipts since then that a quarantine rule held back, by the rule; Name is
// its reason.
func (w *Warehouse) QuarantinedBy(ctx context.Context, since time.Time) ([]Firing, error) {
	return w.firings(ctx, `SELECT toString(mapping_version), toString(rule), toString(reason), uniqExact(receipt_id), max(received_at) FROM receipt_fates
		WHERE received_at >= `+fromMillis+` AND fate = 'quarantined' AND rule != '' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, since)
}

// A Counted is how many events of a name were delivered at a destination.
type Counted struct {
	Of, Name string
	Again    bool // not as the first reach of their stage
	Events   int
}

// IgnoredBy counts the events received since then that a rule ignored, by the rule; Name is its reason.
func (w *Warehouse) IgnoredBy(ctx context.Context, since time.Time) ([]Firing, error) {
	return w.firings(ctx, `SELECT toString(mapping_version), toString(ignored_by), toString(ignored), count(), max(received_at) FROM events FINAL
		WHERE received_at >= `+fromMillis+` AND ignored_by != '' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, since)
}

// Delivered counts the events that were delivered since then, by destination and name.
func (w *Warehouse) Delivered(ctx context.Context, since time.Time) ([]Counted, error) {
	rows, err := w.conn.Query(ctx, `SELECT toString(destination), toString(event_name), position(slot, '#') > 0, uniqExact(event_id) FROM deliveries
		WHERE at >= `+fromMillis+` AND state = 'delivered' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`, when(since).UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("count deliveries: %w", err)
	}
	defer rows.Close()
	var out []Counted
	for rows.Next() {
		var c Counted
		var again uint8
		var n uint64
		if err := rows.Scan(&c.Of, &c.Name, &again, &n); err != nil {
			return nil, fmt.Errorf("count deliveries: %w", err)
		}
		c.Again, c.Events = again != 0, int(n)
		out = append(out, c)
	}
	return out, rows.Err()
}

// An Unnamed is a stage, or an event's own name, that was seen and that no line of the
// mapping named.
type Unnamed struct {
	Source   string    `json:"source"`
	Way      string    `json:"way"`
	Object   string    `json:"object,omitempty"`   // contact, company, deal; "" for events
	Pipeline string    `json:"pipeline,omitempty"` // of a deal
	Raw      string    `json:"raw"`                // the stage, or the event's name, as sent
	Name     string    `json:"name"`               // what it became
	Version  string    `json:"mapping_version"`    // the last that left it so
	Events   int       `json:"events"`
	Last     time.Time `json:"last"`
}

// Unnamed lists the stages and event names received since then that no line named, the most
// frequent first, at most limit.
func (w *Warehouse) Unnamed(ctx context.Context, since time.Time, limit int) ([]Unnamed, error) {
	rows, err := w.conn.Query(ctx, `SELECT toString(source), toString(way), if(raw_stage = '', '', toString(object_type)) AS object, toString(pipeline),
			if(raw_stage = '', toString(reported_as), toString(raw_stage)) AS raw, toString(name), argMax(toString(mapping_version), received_at), count() AS n, max(received_at)
		FROM events FINAL WHERE received_at >= `+fromMillis+` AND rule = '' AND ignored = '' AND raw != ''
		GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY n DESC, 1, 2, 3, 4, 5, 6 LIMIT ?`, when(since).UnixMilli(), limit)
	if err != nil {
		return nil, fmt.Errorf("list what no rule covers: %w", err)
	}
	defer rows.Close()
	out := []Unnamed{}
	for rows.Next() {
		var u Unnamed
		var n uint64
		if err := rows.Scan(&u.Source, &u.Way, &u.Object, &u.Pipeline, &u.Raw, &u.Name, &u.Version, &n, &u.Last); err != nil {
			return nil, fmt.Errorf("list what no rule covers: %w", err)
		}
		u.Events = int(n)
		out = append(out, u)
	}
	return out, rows.Err()
}

// ReceiptsSince gives the sealed receipts of a partition of topic inbound received since
// then at offsets in [from, to), in order, each once and at most limit.
func (w *Warehouse) ReceiptsSince(ctx context.Context, partition int, from, to int64, since time.Time, limit int, each func(offset int64, sealed []byte) error) error {
	return w.sealed(ctx, each, `SELECT log_offset, any(sealed) FROM receipts
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ? AND received_at >= `+fromMillis+` GROUP BY log_offset ORDER BY log_offset LIMIT ?`,
		uint32(partition), from, to, when(since).UnixMilli(), limit)
}

// EventsOf gives the sealed first copies of the events that receipts became, by receipt.
func (w *Warehouse) EventsOf(ctx context.Context, receipts []canonical.ReceiptID, each func(sealed []byte) error) error {
	if len(receipts) == 0 {
		return nil
	}
	ids := make([]string, len(receipts))
	for i, id := range receipts {
		ids[i] = string(id)
	}
	return w.sealed(ctx, func(_ int64, sealed []byte) error {
		if len(sealed) == 0 {
			return nil
		}
		return each(sealed)
	}, `SELECT log_offset, sealed FROM events FINAL WHERE receipt_id IN (?)`, ids)
}

// LastMapping gives the sealed files of the mapping that went live last, nil where none did.
func (w *Warehouse) LastMapping(ctx context.Context) ([]byte, error) {
	var last []byte
	err := w.sealed(ctx, func(_ int64, sealed []byte) error {
		last = sealed
		return nil
	}, `SELECT log_offset, sealed FROM mapping_versions ORDER BY live_at DESC LIMIT 1`)
	return last, err
}
