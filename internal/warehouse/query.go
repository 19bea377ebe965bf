package warehouse

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"tributary/canonical"
)

// A FoundEvent is an event that the warehouse holds: where its first copy stands in the
// log, and its body sealed (nil once its retention is over).
type FoundEvent struct {
	Key      canonical.EventKey
	Position canonical.Position
	Sealed   []byte
}

// FindEvent looks an event id up: one answer for each canonical name that has it, none
// where it is unknown.
func (w *Warehouse) FindEvent(ctx context.Context, id canonical.EventID) ([]FoundEvent, error) {
	stored := StoredKey(canonical.EventKey{ID: id})
	rows, err := w.conn.Query(ctx, `SELECT toString(name), log_partition, log_offset, sealed
		FROM events FINAL WHERE event_id = ? ORDER BY name`, string(stored.ID))
	if err != nil {
		return nil, fmt.Errorf("find event: %w", err)
	}
	defer rows.Close()
	var found []FoundEvent
	for rows.Next() {
		var name, sealed string
		var partition uint32
		var offset int64
		if err := rows.Scan(&name, &partition, &offset, &sealed); err != nil {
			return nil, fmt.Errorf("find event: %w", err)
		}
		f := FoundEvent{Key: canonical.EventKey{Name: name, ID: id}, Position: canonical.Position{Partition: int(partition), Offset: offset}}
		if sealed != "" {
			f.Sealed = []byte(sealed)
		}
		found = append(found, f)
	}
	return found, rows.Err()
}

// An EventFilter says which events EventsBetween gives; empty fields let all pass.
type EventFilter struct {
	Since, Until time.Time // of occurred_at, or with Received of received_at; Until is exclusive
	Received     bool
	Names        []string
	Sources      []string
}

// EventsBetween gives the events whose first copy stands in a partition of topic events at
// an offset in [from, to), in order and at most limit, with their sealed bodies (nil once
// their retention is over). Times are compared by the millisecond, so that one at Until may
// be given. It stops at the first error of each.
func (w *Warehouse) EventsBetween(ctx context.Context, partition int, from, to int64, f EventFilter, limit int, each func(offset int64, sealed []byte) error) error {
	column := "occurred_at"
	if f.Received {
		column = "received_at"
	}
	where := "log_partition = ? AND log_offset >= ? AND log_offset < ?"
	args := []any{uint32(partition), from, to}
	for _, bound := range []struct {
		at time.Time
		is string
	}{{f.Since, " >= "}, {f.Until, " <= "}} { // columns hold whole milliseconds: who asks looks again
		if !bound.at.IsZero() {
			where += " AND " + column + bound.is + "fromUnixTimestamp64Milli(toInt64(?), 'UTC')"
			args = append(args, when(bound.at).UnixMilli())
		}
	}
	for _, list := range []struct {
		column string
		of     []string
	}{{"name", f.Names}, {"source", f.Sources}} {
		if len(list.of) == 0 {
			continue
		}
		stored := make([]string, len(list.of))
		for i, s := range list.of {
			stored[i] = clean(s)
		}
		where += " AND toString(" + list.column + ") IN (?)"
		args = append(args, stored)
	}
	return w.sealed(ctx, func(offset int64, sealed []byte) error {
		if len(sealed) == 0 {
			sealed = nil
		}
		return each(offset, sealed)
	}, "SELECT log_offset, sealed FROM events FINAL WHERE "+where+" ORDER BY log_offset LIMIT ?", append(args, limit)...)
}

// EarlierThan says which of some events have their first copy in a partition of topic
// events below an offset.
func (w *Warehouse) EarlierThan(ctx context.Context, partition int, below int64, keys []canonical.EventKey) (map[canonical.EventKey]bool, error) {
	earlier := map[canonical.EventKey]bool{}
	if len(keys) == 0 {
		return earlier, nil
	}
	byStored := make(map[canonical.EventKey]canonical.EventKey, len(keys))
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		stored := StoredKey(k)
		byStored[stored] = k
		ids = append(ids, string(stored.ID))
	}
	rows, err := w.conn.Query(ctx, `SELECT toString(name), event_id FROM events FINAL WHERE event_id IN (?) AND log_partition = ? AND log_offset < ?`,
		ids, uint32(partition), below)
	if err != nil {
		return nil, fmt.Errorf("look for earlier copies: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, id string
		if err := rows.Scan(&name, &id); err != nil {
			return nil, fmt.Errorf("look for earlier copies: %w", err)
		}
		if k, asked := byStored[canonical.EventKey{Name: name, ID: canonical.EventID(id)}]; asked {
			earlier[k] = true
		}
	}
	return earlier, rows.Err()
}

// DeliveriesOf gives the sealed records of topic deliveries of one event at a destination,
// in the order of their writing.
func (w *Warehouse) DeliveriesOf(ctx context.Context, destination string, key canonical.EventKey, each func(sealed []byte) error) error {
	stored := StoredKey(key)
	return w.sealed(ctx, func(_ int64, sealed []byte) error { return each(sealed) }, `SELECT log_offset, any(sealed) FROM deliveries
		WHERE destination = ? AND event_id = ? AND event_name = ? GROUP BY log_partition, log_offset ORDER BY log_partition, log_offset LIMIT 10000`,
		clean(destination), string(stored.ID), stored.Name)
}

// FirstSeen gives every event's first copy and every receipt's fate whose record stands in
// a partition of topic events at an offset in [from, to), in no order. Event keys are as
// stored: compare with StoredKey.
func (w *Warehouse) FirstSeen(ctx context.Context, partition int, from, to int64,
	event func(canonical.EventKey, canonical.Position), fate func(canonical.ReceiptID, canonical.Fate, canonical.Position)) error {
	events, err := w.conn.Query(ctx, `SELECT toString(name), event_id, log_offset FROM events FINAL
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ?`, uint32(partition), from, to)
	if err != nil {
		return fmt.Errorf("read first copies: %w", err)
	}
	defer events.Close()
	for events.Next() {
		var name, id string
		var offset int64
		if err := events.Scan(&name, &id, &offset); err != nil {
			return fmt.Errorf("read first copies: %w", err)
		}
		event(canonical.EventKey{Name: name, ID: canonical.EventID(id)}, canonical.Position{Partition: partition, Offset: offset})
	}
	if err := events.Err(); err != nil {
		return fmt.Errorf("read first copies: %w", err)
	}
	fates, err := w.conn.Query(ctx, `SELECT DISTINCT receipt_id, toString(fate), log_offset FROM receipt_fates
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ?`, uint32(partition), from, to)
	if err != nil {
		return fmt.Errorf("read fates: %w", err)
	}
	defer fates.Close()
	for fates.Next() {
		var id, what string
		var offset int64
		if err := fates.Scan(&id, &what, &offset); err != nil {
			return fmt.Errorf("read fates: %w", err)
		}
		fate(canonical.ReceiptID(id), canonical.Fate(what), canonical.Position{Partition: partition, Offset: offset})
	}
	return fates.Err()
}

// DeliveriesBefore gives the sealed records of a partition of topic deliveries at offsets
// in [from, to) with their offsets, in order, each once. It stops at the first error of each.
func (w *Warehouse) DeliveriesBefore(ctx context.Context, partition int, from, to int64, each func(offset int64, sealed []byte) error) error {
	return w.sealed(ctx, each, `SELECT log_offset, any(sealed) FROM deliveries
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ? GROUP BY log_offset ORDER BY log_offset`, uint32(partition), from, to)
}

// Receipts gives the sealed receipts of a partition of topic inbound at offsets in
// [from, to), in order, each once.
func (w *Warehouse) Receipts(ctx context.Context, partition int, from, to int64, each func(sealed []byte) error) error {
	return w.sealed(ctx, func(_ int64, sealed []byte) error { return each(sealed) }, `SELECT log_offset, any(sealed) FROM receipts
		WHERE log_partition = ? AND log_offset >= ? AND log_offset < ? GROUP BY log_offset ORDER BY log_offset`, uint32(partition), from, to)
}

func (w *Warehouse) sealed(ctx context.Context, each func(int64, []byte) error, query string, args ...any) error {
	rows, err := w.conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read sealed records: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var offset int64
		var body string
		if err := rows.Scan(&offset, &body); err != nil {
			return fmt.Errorf("read sealed records: %w", err)
		}
		var sealed []byte // nil where nothing is kept any more
		if body != "" {
			sealed = []byte(body)
		}
		if err := each(offset, sealed); err != nil {
			return err
		}
	}
	return rows.Err()
}

// MaxRows is how many rows Rows gives at most.
const MaxRows = 100_000

// reading are the settings of a statement that somebody else wrote. readonly 1 leaves no writing, no setting and no
// table function that reads files, addresses or other servers; the limits end what would hold the warehouse up.
var reading = clickhouse.Settings{
	"readonly":           1,
	"max_execution_time": 60,      // seconds
	"max_memory_usage":   4 << 30, // bytes, beside the engine's own limit
	"max_result_bytes":   256 << 20,
}

// A Result is the answer to a query.
type Result struct {
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"`
	// Cut is true when there were more rows than MaxRows.
	Cut bool `json:"cut,omitempty"`
}

// A Column is a column's name and its ClickHouse type.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Rows runs a reading statement and gives its answer. A statement that would write, change
// a setting, or read anything but the database's own tables is refused, and one that takes
// more than a minute or too much memory is ended. Parameters stand in the statement as {name:Type}. Values are Go's
// own: numbers, strings, bool, time.Time, decimal.Decimal, slices and maps; NULL is nil.
func (w *Warehouse) Rows(ctx context.Context, sql string, params map[string]any) (Result, error) {
	given := clickhouse.Parameters{}
	for name, value := range params {
		given[name] = parameter(value)
	}
	ctx, stop := context.WithCancel(ctx)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(maps.Clone(reading)), clickhouse.WithParameters(given))
	rows, err := w.conn.Query(ctx, sql)
	if err != nil {
		stop()
		return Result{}, fmt.Errorf("query the warehouse: %w", err)
	}
	defer rows.Close() // reads to the end
	defer stop()       // so that there is one
	var out Result
	types := rows.ColumnTypes()
	for _, t := range types {
		out.Columns = append(out.Columns, Column{t.Name(), t.DatabaseTypeName()})
	}
	for rows.Next() {
		if len(out.Rows) == MaxRows {
			out.Cut = true
			return out, nil
		}
		into := make([]any, len(types))
		for i, t := range types {
			into[i] = reflect.New(t.ScanType()).Interface()
		}
		if err := rows.Scan(into...); err != nil {
			return Result{}, fmt.Errorf("read the answer: %w", err)
		}
		for i := range into {
			into[i] = plain(reflect.ValueOf(into[i]).Elem())
		}
		out.Rows = append(out.Rows, into)
	}
	if err := rows.Err(); err != nil {
		return Result{}, fmt.Errorf("query the warehouse: %w", err)
	}
	return out, nil
}

// plain takes the pointers off a value that may be NULL.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	return v.Interface()
}

// parameter writes a value as ClickHouse reads parameters: a text escaped as in TSV, an
// array as a literal.
func parameter(v any) string {
	switch v := v.(type) {
	case string:
		return tsv.Replace(v)
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05.000")
	case bool:
		return strconv.FormatBool(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = "'" + literal.Replace(s) + "'"
		}
		return "[" + strings.Join(quoted, ",") + "]"
	}
	return tsv.Replace(fmt.Sprint(v))
}

var (
	tsv     = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	literal = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
)
