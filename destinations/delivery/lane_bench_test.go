package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/identity/pebblestore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// BenchmarkLane gives a lane a backlog over a log in memory, with a vendor that takes
// batches of 100 at once: what ledger, decision and batching cost.
func BenchmarkLane(b *testing.B) {
	log, topics := memlog.New(), eventlog.Named("t.")
	if err := log.Ensure(b.Context(), topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
		b.Fatal(err)
	}
	db, err := pebble.Open("state", pebblestore.Tune(&pebble.Options{FS: vfs.NewMem(), Logger: silent{}}))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	ledger, err := OpenLedger(db, "l\x00")
	if err != nil {
		b.Fatal(err)
	}
	v := &vendor{}
	delivered := make(chan struct{})
	lane := &Lane{
		Name: "acme", Destination: v, Mode: Live, Log: log, Topics: topics, Ledger: ledger, People: newPeople(),
		Policy: DefaultPolicy(), Owner: "test", Logger: slog.New(slog.DiscardHandler),
		Routes: func(e *canonical.Event) (canonical.Route, bool) { return canonical.Route{Event: e.Name}, true },
		Send: func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
			r, err := v.send(ctx, q)
			v.mu.Lock()
			defer v.mu.Unlock()
			if len(v.got) == b.N {
				close(delivered)
			}
			return r, err
		},
	}
	if err := lane.Prepare(b.Context()); err != nil { // its books begin here
		b.Fatal(err)
	}
	backlog(b, log, topics)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	for p := range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				records, err := log.Read(ctx, topics.Deliveries, p, ledger.Next(p), 1000, time.Minute)
				if err == nil && len(records) > 0 {
					err = ledger.Apply(records)
				}
				if err != nil && ctx.Err() == nil {
					b.Errorf("follow: %v", err)
					return
				}
			}
		})
	}
	b.ResetTimer()
	wg.Go(func() {
		if err := lane.Run(ctx); err != nil && ctx.Err() == nil {
			b.Errorf("the lane stopped: %v", err)
		}
	})
	select {
	case <-delivered:
	case <-time.After(time.Minute):
		b.Errorf("%d of %d events were delivered within a minute", len(v.got), b.N)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	cancel()
	wg.Wait()
}

// backlog appends b.N events, each of another person.
func backlog(b *testing.B, log eventlog.Log, topics eventlog.Topics) {
	records := make([]eventlog.Record, b.N)
	for i := range records {
		e := funnel(fmt.Sprint("e", i), "qualified_lead", 1, canonical.NodeID(i+1), i%90)
		value, err := json.Marshal(e)
		if err != nil {
			b.Fatal(err)
		}
		records[i] = eventlog.Record{Key: []byte(e.ID), Value: value, Type: eventlog.TypeEvent, Version: eventlog.Schema}
	}
	if _, err := log.Append(b.Context(), topics.Events, records...); err != nil {
		b.Fatal(err)
	}
}
