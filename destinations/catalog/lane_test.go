package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
	"tributary/identity/pebblestore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/eventlog/memlog"
)

// A line is a real lane over a log in memory: the adapter as it is configured, and a sender.
type line struct {
	log    eventlog.Log
	topics eventlog.Topics
	ledger *delivery.Ledger
	lane   *delivery.Lane
	// changed is told of every record of a delivery.
	changed func(d canonical.Delivery)
}

func newLine(t testing.TB, log eventlog.Log, kind, config string, route canonical.Route, send delivery.Sender) *line {
	t.Helper()
	l := &line{log: log, topics: eventlog.Named("t.")}
	if err := l.log.Ensure(t.Context(), l.topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("state", pebblestore.Tune(&pebble.Options{FS: vfs.NewMem(), Logger: quiet{}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if l.ledger, err = delivery.OpenLedger(db, "l\x00"); err != nil {
		t.Fatal(err)
	}
	k, ok := catalog.Kind(kind)
	if !ok {
		t.Fatalf("no kind %s", kind)
	}
	l.lane = &delivery.Lane{
		Name: "acme", Destination: destinationtest.Suite{Kind: k, Config: config}.Open(t), Mode: delivery.Live, Log: l.log, Topics: l.topics, Ledger: l.ledger,
		People: strangers{}, Policy: delivery.DefaultPolicy(), Owner: "test", Logger: slog.New(slog.DiscardHandler), Send: send,
		Routes: func(*canonical.Event) (canonical.Route, bool) { return route, true },
	}
	if err := l.lane.Prepare(t.Context()); err != nil { // its books begin here
		t.Fatal(err)
	}
	return l
}

// give appends events to the log.
func (l *line) give(t testing.TB, events []canonical.Event) {
	t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		value, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		records[i] = eventlog.Record{Key: []byte(e.ID), Value: value, Type: eventlog.TypeEvent, Version: eventlog.Schema}
	}
	if _, err := l.log.Append(t.Context(), l.topics.Events, records...); err != nil {
		t.Fatal(err)
	}
}

// run lets the lane work until done is closed.
func (l *line) run(t testing.TB, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for p := range 2 {
		wg.Go(func() { l.follow(ctx, t, p) })
	}
	wg.Go(func() {
		if err := l.lane.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("the lane stopped: %v", err)
		}
	})
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Error("not everything was dealt with in two minutes")
	}
}

// follow folds one partition of deliveries, as a route process does.
func (l *line) follow(ctx context.Context, t testing.TB, partition int) {
	for ctx.Err() == nil {
		records, err := l.log.Read(ctx, l.topics.Deliveries, partition, l.ledger.Next(partition), 1000, time.Minute)
		if err == nil && len(records) > 0 {
			err = l.ledger.Apply(records)
		}
		if err != nil && ctx.Err() == nil {
			t.Errorf("follow deliveries: %v", err)
			return
		}
		for _, r := range records {
			if l.changed == nil {
				break
			}
			var d canonical.Delivery
			if err := json.Unmarshal(r.Value, &d); err != nil {
				t.Errorf("a delivery that cannot be read: %v", err)
				return
			}
			l.changed(d)
		}
	}
}

// inProcess sends to a handler without a network, as the lane's own sender would.
func inProcess(handler http.Handler, k destinations.Kind, requests *atomic.Int64) delivery.Sender {
	return func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		requests.Add(1)
		r := httptest.NewRequestWithContext(ctx, q.Method, "http://vendor.test"+q.Path, strings.NewReader(string(q.Body)))
		r.URL.RawQuery = q.Query.Encode()
		for name, values := range q.Header {
			r.Header[name] = values
		}
		k.Authorize(r, q.Body, "t-1")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return destinations.Response{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}, nil
	}
}

// recent gives n deals that happened lately, each another person's.
func recent(n int, at time.Time) []canonical.Event {
	events := destinationtest.Deals(n)
	for i := range events {
		e := &events[i]
		for c := range e.Known.Clicks {
			e.Known.Clicks[c].At = at.Add(-48 * time.Hour)
		}
		e.OccurredAt, e.ReceivedAt = at, at.Add(time.Second)
		e.Known.FirstTouch.At, e.Known.LastTouch.At = at.Add(-48*time.Hour), at.Add(-24*time.Hour)
	}
	return events
}

// strange makes of events those of people whom the CRM does not know yet.
func strange(events []canonical.Event) {
	for i := range events {
		e := &events[i]
		e.Way, e.Source, e.Object = canonical.WayEvents, "api", canonical.Object{}
		e.Contact.ID, e.Node, e.CountedBy = "", e.Identifiers[1].Node(), "person"
		e.Identifiers = e.Identifiers[1:] // the e-mail address alone
		e.Known.Identifiers, e.Known.Person = e.Identifiers, e.Node
	}
}

// A batch that is refused as a whole is halved until the bad items are alone: they are dead,
// everything else arrives once, and it takes no more requests than the bound.
func TestBadItemsAmongMany(t *testing.T) {
	const items = 5000
	for _, c := range []struct {
		kind, config string
		route        canonical.Route
		vendor       simulator.Vendor
	}{
		{"meta", "dataset_id: 111222333444555\nbatch: 200\nrequests_per_second: 100\nlinger: 1ms\n", canonical.Route{Event: "Purchase", Value: "amount"}, simulator.Meta},
		{"linkedin", "rules: {won: 18423345}\nlinger: 1ms\n", canonical.Route{Rule: "won", Value: "amount"}, simulator.LinkedIn},
		{"hubspot", "timeline: off\nlinger: 1ms\n", canonical.Route{}, simulator.HubSpot}, // by e-mail one bad row refuses all
	} {
		for _, bad := range []int{1, 7, 50} {
			t.Run(fmt.Sprintf("%s/%d", c.kind, bad), func(t *testing.T) {
				began := time.Now().UTC().Truncate(time.Second)
				// The vendor's clock is an hour behind: what happened a minute ago is ahead of it.
				sim, err := simulator.New(simulator.Options{
					Now:      func() time.Time { return began.Add(-time.Hour) },
					Meta:     simulator.MetaAccount{DatasetIDs: []string{"111222333444555"}, Token: "t-1"},
					LinkedIn: simulator.LinkedInAccount{Token: "t-1", Rules: []simulator.Rule{{ID: "18423345"}}},
					HubSpot:  simulator.HubSpotAccount{Token: "t-1", PropertyPrefix: "tributary_", Burst: -1},
				})
				if err != nil {
					t.Fatal(err)
				}
				events := recent(items, began.Add(-2*time.Hour))
				k, _ := catalog.Kind(c.kind)
				ask := inProcess(sim.Handler(), k, new(atomic.Int64))
				wrong := map[canonical.EventID]bool{}
				for i := range bad {
					e := &events[(i*7919+4242)%items] // 7919 is prime: each another one
					wrong[e.ID] = true
					if c.vendor != simulator.HubSpot {
						e.OccurredAt, e.ReceivedAt = began.Add(-time.Minute), began
						continue
					}
					// Whoever was erased for good cannot be made a contact again.
					erase := fmt.Appendf(nil, `{"objectId":%q,"idProperty":"email"}`, e.Contact.Email)
					if r, err := ask(t.Context(), destinations.Request{Method: http.MethodPost, Path: "/crm/v3/objects/contacts/gdpr-delete", Header: destinations.JSONHeader(), Body: erase}); err != nil || r.Status != http.StatusNoContent {
						t.Fatalf("erase: %d %s %v", r.Status, r.Body, err)
					}
				}
				if c.vendor == simulator.HubSpot {
					strange(events)
				}
				var requests atomic.Int64
				l := newLine(t, memlog.New(), c.kind, c.config, c.route, inProcess(sim.Handler(), k, &requests))
				var mu sync.Mutex
				done := make(chan struct{})
				last := map[canonical.EventKey]canonical.State{}
				l.changed = func(d canonical.Delivery) {
					mu.Lock()
					defer mu.Unlock()
					if !d.State.Terminal() || d.Event.ID == "" || last[d.Event] != "" {
						return
					}
					if last[d.Event] = d.State; len(last) == items {
						close(done)
					}
				}
				l.give(t, events)
				l.run(t, done)
				dead := 0
				for key, state := range last {
					if (state == canonical.StateDead) != wrong[key.ID] {
						t.Errorf("%s is %s; bad: %v", key, state, wrong[key.ID])
					}
					if state == canonical.StateDead {
						dead++
					}
				}
				stats := sim.Stats(c.vendor)
				if dead != bad || stats.Accepted != int64(items-bad) || stats.Duplicates != 0 {
					t.Errorf("%d dead, want %d; the vendor took %d with %d duplicates", dead, bad, stats.Accepted, stats.Duplicates)
				}
				size, halvings := l.lane.Destination.Contract().MaxBatch, 0
				for n := size; n > 1; n = (n + 1) / 2 {
					halvings++
				}
				// A fifth more batches for those that a read of the log cuts short.
				batches := (items + size - 1) / size
				bound := int64(batches + batches/5 + 2*bad*halvings)
				t.Logf("%d bad of %d: %d requests, bound %d (%d batches of %d, at most 2*%d more for each bad item)", bad, items, requests.Load(), bound, batches, size, halvings)
				if requests.Load() > bound {
					t.Errorf("%d requests, more than %d", requests.Load(), bound)
				}
			})
		}
	}
}

// BenchmarkLaneTo gives a lane a backlog and has it sent to a simulator over loopback HTTP: log,
// ledger, decision, batching, building and reading answers, and the simulator's own work, on
// the same cores. The log is in memory, or the embedded broker's on disk, as a router has it.
func BenchmarkLaneTo(b *testing.B) {
	for _, c := range []struct {
		name, kind, config string
		route              canonical.Route
	}{
		{"meta", "meta", "dataset_id: 111222333444555\nbatch: 500\nrequests_per_second: 100\nlinger: 10ms\n", canonical.Route{Event: "Purchase", Value: "amount"}},
		{"linkedin", "linkedin", "rules: {won: 18423345}\nlinger: 10ms\n", canonical.Route{Rule: "won", Value: "amount"}},
		{"hubspot", "hubspot", "timeline: off\nlinger: 10ms\ntier: enterprise\n", canonical.Route{}},
		{"webhook", "webhook", "", canonical.Route{}},
	} {
		b.Run(c.name, func(b *testing.B) { benchLane(b, memlog.New(), c.kind, c.config, c.route) })
		b.Run(c.name+"-embedded", func(b *testing.B) { benchLane(b, embeddedLog(b), c.kind, c.config, c.route) })
	}
}

func embeddedLog(b *testing.B) eventlog.Log {
	quiet := slog.New(slog.DiscardHandler)
	broker, err := embedded.Start(b.Context(), embedded.Options{Dir: b.TempDir(), MaxBytes: 8 << 30, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(broker.Close)
	log, err := kafkalog.Open(b.Context(), kafkalog.Options{Brokers: []string{broker.Addr()}, Embedded: true, Dial: broker.Dial, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { log.Close() })
	return log
}

func benchLane(b *testing.B, log eventlog.Log, kind, config string, route canonical.Route) {
	began := time.Now().UTC()
	sim, err := simulator.New(simulator.Options{
		// The vendors' clock runs a thousand times as fast: their limits on requests are not what is measured.
		Now:      func() time.Time { return began.Add(1000 * time.Since(began)) },
		Meta:     simulator.MetaAccount{DatasetIDs: []string{"111222333444555"}, Token: "t-1"},
		LinkedIn: simulator.LinkedInAccount{Token: "t-1", Rules: []simulator.Rule{{ID: "18423345"}}},
		HubSpot:  simulator.HubSpotAccount{Token: "t-1", PropertyPrefix: "tributary_", Tier: "enterprise"},
	})
	if err != nil {
		b.Fatal(err)
	}
	handler := sim.Handler()
	if kind == "webhook" {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	k, _ := catalog.Kind(kind)
	if kind == "webhook" {
		config = "url: " + server.URL + "/in\nbatch: 100\nlinger: 10ms\nrequests_per_second: 1000\n"
	}
	send, err := delivery.NewSender(delivery.Endpoint{BaseURL: server.URL, Authorize: k.Authorize, AllowPrivate: true,
		Secret: func(context.Context) (string, error) { return "t-1", nil }})
	if err != nil {
		b.Fatal(err)
	}
	events := recent(b.N, began.Add(-time.Minute))
	if kind == "hubspot" {
		for i := range events {
			if _, err := sim.Make(simulator.Made{Type: "contact", ID: int64(1001 + i), Properties: map[string]string{"email": events[i].Contact.Email}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	done := make(chan struct{})
	var sent, requests atomic.Int64
	l := newLine(b, log, kind, config, route, func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		r, err := send(ctx, q)
		switch {
		case err != nil || len(q.Bodies) == 0: // a question
		case r.Status/100 != 2:
			b.Errorf("%s: %d %.300s", q.Path, r.Status, r.Body)
		default:
			requests.Add(1)
			if sent.Add(int64(len(q.Bodies))) == int64(b.N) {
				close(done)
			}
		}
		return r, err
	})
	l.give(b, events)
	b.ReportAllocs()
	cpu := cpuTime()
	b.ResetTimer()
	l.run(b, done)
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N), "cpu-ns/event") // 100,000 are 20,000 events a second on two cores
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)/float64(max(requests.Load(), 1)), "events/request")
}
