package warehouse

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sync/errgroup"
)

// atOnce bounds how many tables of one block are written at the same time.
const atOnce = 4

// writing holds what the writers work out once.
type writing struct {
	once    sync.Once
	inserts map[string]insert // by table
}

type insert struct {
	statement string
	columns   []clickhouse.ColumnNameAndType
}

// Write stores a block: one INSERT for each table that gets rows. It returns nil once
// ClickHouse has all of it. After an error some, none or all of it may be stored: write
// the same again until it succeeds. The token names the block: the same token with the same
// rows is stored once, and the same rows under other tokens, in blocks cut differently,
// change no answer. The same token with other rows, as of a log that was begun anew, is
// another block.
func (w *Warehouse) Write(ctx context.Context, token string, b Block) error {
	if w.settings.Load() == nil {
		return errNotConnected
	}
	filled, err := fill(b)
	if err != nil {
		return fmt.Errorf("write block %s: %w", token, err)
	}
	token = fmt.Sprintf("%s %016x", token, sum(b))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, t := range tables {
		rows := filled[t.name]
		if len(rows) == 0 {
			continue
		}
		g.Go(func() error { return w.insert(ctx, token+" "+t.name, t.name, rows) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("write block %s: %w", token, err)
	}
	return nil
}

func (w *Warehouse) insert(ctx context.Context, token, table string, rows [][]any) error {
	in := w.prepared(table)
	ctx = clickhouse.Context(w.inserting(ctx, token), clickhouse.WithColumnNamesAndTypes(in.columns))
	batch, err := w.conn.PrepareBatch(ctx, in.statement)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", table, err)
	}
	defer batch.Close()
	for _, row := range rows {
		if err := batch.Append(row...); err != nil {
			return fmt.Errorf("build rows of %s: %w", table, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	return nil
}

// prepared gives a table's INSERT. Columns and types are named here and not asked for, so
// that a block costs one request; a test compares them with the migrations.
func (w *Warehouse) prepared(table string) insert {
	w.writing.once.Do(func() {
		w.writing.inserts = map[string]insert{}
		for _, t := range tables {
			var in insert
			var names []string
			for _, c := range t.columns {
				names = append(names, c.name)
				in.columns = append(in.columns, clickhouse.ColumnNameAndType{Name: c.name, Type: c.kind})
			}
			in.statement = "INSERT INTO " + t.name + " (" + strings.Join(names, ", ") + ")"
			w.writing.inserts[t.name] = in
		}
	})
	return w.writing.inserts[table]
}

// sum tells blocks apart whose log gave them the same place.
func sum(b Block) uint64 {
	h := fnv.New64a()
	for _, r := range b.Receipts {
		fmt.Fprintln(h, "receipt", r.Receipt.ID, r.Position)
	}
	for _, r := range b.Fates {
		fmt.Fprintln(h, "fate", r.ReceiptID, r.Fate, r.Position)
	}
	for _, r := range b.Events {
		fmt.Fprintln(h, "event", r.Event.Name, r.Event.ID, r.Event.ReceiptID, r.Position)
	}
	for _, r := range b.Facts {
		fmt.Fprintln(h, "fact", r.Offset, r.Fact.Kind, r.Fact.Cause)
	}
	for _, r := range b.Overrides {
		fmt.Fprintln(h, "override", r.Offset, r.Node, r.Root, r.Account)
	}
	for _, r := range b.Hands {
		fmt.Fprintln(h, "hand", r.Offset, r.Device, r.Since, r.Holder)
	}
	for _, r := range b.Deliveries {
		fmt.Fprintln(h, "delivery", r.Delivery.Destination, r.Delivery.Event, r.Delivery.Part, r.Delivery.State, r.Delivery.At.UnixNano(), r.Position)
	}
	for _, r := range b.Replays {
		fmt.Fprintln(h, "replay", r.ID, r.Event.ID, r.Position)
	}
	for _, r := range b.Jobs {
		fmt.Fprintln(h, "job", r.ID, r.Seq, r.Stamp, r.Position)
	}
	for _, r := range b.Mappings {
		fmt.Fprintln(h, "mapping", r.Version, r.Process, r.At.UnixNano(), r.Position)
	}
	return h.Sum64()
}

// fill turns a block into the rows of each table.
func fill(b Block) (map[string][][]any, error) {
	f := filler{rows: map[string][][]any{}, nodes: map[nodeKey]nodeSeen{}, ties: map[tieKey]time.Time{}}
	for _, r := range b.Receipts {
		f.receipt(r)
	}
	for _, r := range b.Fates {
		f.fate(r)
	}
	for _, r := range b.Events {
		f.event(r)
	}
	for _, r := range b.Facts {
		if err := f.fact(r); err != nil {
			return nil, err
		}
	}
	for _, r := range b.Overrides {
		f.override(r)
	}
	for _, r := range b.Hands {
		f.add("identity_hands", uint64(r.Device), r.Since, uint64(r.Holder), r.Offset)
	}
	for _, r := range b.Deliveries {
		f.delivery(r)
	}
	for _, r := range b.Replays {
		f.replay(r)
	}
	for _, r := range b.Jobs {
		if err := f.job(r); err != nil {
			return nil, err
		}
	}
	for _, r := range b.Mappings {
		if err := f.mapping(r); err != nil {
			return nil, err
		}
	}
	f.gathered()
	return f.rows, nil
}
