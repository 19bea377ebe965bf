package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
	"tributary/internal/budget"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/internal/hubspotcrm"
)

// A portal is a simulated HubSpot account behind a network that takes its time, with a count
// of its own of what arrives when.
type portal struct {
	*simulator.Simulator
	handler http.Handler

	mu      sync.Mutex
	random  *rand.Rand
	arrived []time.Time
	refused int // answered with 429
	fullest int // of the ten seconds' window, as the simulator has it
}

// RoundTrip answers in this process, so that time may be virtual.
func (p *portal) RoundTrip(r *http.Request) (*http.Response, error) {
	p.onTheWay()
	p.mu.Lock()
	w := httptest.NewRecorder()
	p.arrived = append(p.arrived, time.Now())
	p.handler.ServeHTTP(w, r)
	if w.Code == http.StatusTooManyRequests {
		p.refused++
	}
	for _, window := range p.Stats(simulator.HubSpot).Windows {
		if window.Name == "ten_seconds" {
			p.fullest = max(p.fullest, window.Used)
		}
	}
	p.mu.Unlock()
	p.onTheWay()
	return w.Result(), nil
}

func (p *portal) onTheWay() {
	p.mu.Lock()
	d := time.Duration(p.random.Int64N(int64(60 * time.Millisecond)))
	p.mu.Unlock()
	time.Sleep(d)
}

// most is the most requests that arrived within any ten seconds.
func (p *portal) most() int {
	most := 0
	for i := range p.arrived {
		j, _ := slices.BinarySearchFunc(p.arrived, p.arrived[i].Add(10*time.Second), time.Time.Compare)
		most = max(most, j-i)
	}
	return most
}

// send is the lane's sender.
func (p *portal) send(kind destinations.Kind) delivery.Sender {
	return func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		r, err := http.NewRequestWithContext(ctx, q.Method, "http://hubspot.test"+q.Path, bytes.NewReader(q.Body))
		if err != nil {
			return destinations.Response{}, err
		}
		r.URL.RawQuery = q.Query.Encode()
		for name, values := range q.Header {
			r.Header[name] = values
		}
		kind.Authorize(r, q.Body, "t-1")
		res, err := p.RoundTrip(r)
		if err != nil {
			return destinations.Response{}, err
		}
		body, err := io.ReadAll(res.Body)
		return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}, err
	}
}

// strangers are people of whom nothing is known but what their events say.
type strangers struct{}

func (strangers) Offset() int64                           { return -1 }
func (strangers) Wait(context.Context, int64) error       { return nil }
func (strangers) Known(e canonical.Event) canonical.Known { return destinationtest.KnownOf(e) }
func (strangers) Counted(n canonical.NodeID, _ time.Time) canonical.Counted {
	return canonical.Counted{Node: n, Nodes: []canonical.NodeID{n}}
}
func (strangers) History(...canonical.NodeID) []canonical.StageReached { return nil }
func (strangers) Touched(int64, int64) []canonical.NodeID              { return nil }

// A stormLane is one lane over a log in memory.
type stormLane struct {
	*delivery.Lane
	log    *memlog.Log
	topics eventlog.Topics
}

func runLane(ctx context.Context, t *testing.T, l *delivery.Lane) *stormLane {
	t.Helper()
	s := &stormLane{Lane: l, log: memlog.New(), topics: eventlog.Named("t.")}
	if err := s.log.Ensure(ctx, s.topics.Wanted(1, 24*time.Hour, 24*time.Hour)...); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := delivery.OpenLedger(db, "l\x00")
	if err != nil {
		t.Fatal(err)
	}
	l.Log, l.Topics, l.Ledger = s.log, s.topics, ledger
	l.People, l.Policy, l.Owner, l.Logger = strangers{}, delivery.DefaultPolicy(), "test", slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			records, err := s.log.Read(ctx, s.topics.Deliveries, 0, ledger.Next(0), 5000, time.Minute)
			if err == nil && len(records) > 0 {
				err = ledger.Apply(records)
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("follow: %v", err)
				return
			}
		}
	})
	running.Go(func() {
		if err := s.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("the lane stopped: %v", err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait(); db.Close() })
	return s
}

type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (s *stormLane) give(t *testing.T, events ...canonical.Event) {
	t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		v, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		records[i] = eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}
	}
	if _, err := s.log.Append(t.Context(), s.topics.Events, records...); err != nil {
		t.Fatal(err)
	}
}

// states counts the parts by their state.
func (s *stormLane) states(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	err := s.Each(func(_ canonical.EventKey, parts []canonical.Delivery) {
		for _, d := range parts {
			out[string(d.State)]++
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Ten thousand events a minute of contacts, in small batches so that there are more requests
// than the account grants, while webhooks are completed from the same account as fast as
// they may be: no ten seconds hold more than a hundred requests, HubSpot refuses none, and
// after the storm everything arrives once.
func TestAStormStaysWithinHubSpotsLimit(t *testing.T) {
	const (
		minutes  = 1
		aMinute  = 10_000
		visitors = 4_000
	)
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(start))
		sim, err := simulator.New(simulator.Options{
			HubSpot: simulator.HubSpotAccount{Token: "t-1", Tier: simulator.Free, PropertyPrefix: "tributary_"}, Seed: 5, MaxReceived: 100_000,
		})
		if err != nil {
			t.Fatal(err)
		}
		ids := make([]string, visitors)
		for i := range ids {
			id, err := sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("visitor%d@example.org", i)}})
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = fmt.Sprint(id)
		}
		p := &portal{Simulator: sim, handler: sim.Handler(), random: rand.New(rand.NewPCG(3, 4))}
		kind, _ := catalog.Kind("hubspot")
		dest := destinationtest.Suite{Kind: kind, Config: "{timeline: notes, tier: free, time_zone: UTC, batch: 40, counters: false}\n"}.Open(t)
		account := budget.New("hubspot/main", dest.Contract().Limits, budget.Options{})
		lane := runLane(t.Context(), t, &delivery.Lane{
			Name: "hubspot", Destination: dest, Mode: delivery.Live, Send: p.send(kind), Budget: account,
			Routes: func(e *canonical.Event) (canonical.Route, bool) { return canonical.Route{Event: e.Name}, true },
		})

		fetching, enough := context.WithCancel(t.Context())
		defer enough()
		crm := &hubspotcrm.Client{BaseURL: "http://hubspot.test", Token: func(context.Context) (string, error) { return "t-1", nil },
			Budget: account, Headroom: dest.(destinations.Gauge).Headroom, HTTP: &http.Client{Transport: p}}
		reads := make([]int, 4)
		var g sync.WaitGroup
		for n := range reads {
			g.Go(func() {
				for fetching.Err() == nil {
					if _, _, err := crm.Associated(fetching, "contact", ids[:1], "company"); err != nil && fetching.Err() == nil {
						t.Errorf("read: %v", err)
						return
					}
					reads[n]++
				}
			})
		}

		n := 0
		for n < minutes*aMinute {
			time.Sleep(250 * time.Millisecond)
			var batch []canonical.Event
			for due := int(time.Since(start).Seconds() * aMinute / 60); n < due && n < minutes*aMinute; n++ {
				e := destinationtest.Forms(1)[0]
				contact := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: ids[n%visitors]}
				e.ID, e.OccurredAt, e.ReceivedAt = canonical.EventID(fmt.Sprint("storm-", n)), time.Now().UTC(), time.Now().UTC()
				e.Contact.ID, e.Contact.Email = contact.Value, fmt.Sprintf("visitor%d@example.org", n%visitors)
				e.Identifiers, e.Node = []canonical.Identifier{contact}, contact.Node()
				e.Known = &canonical.Known{Offset: -1, Person: e.Node, Identifiers: e.Identifiers, LastTouch: e.Touch}
				batch = append(batch, e)
			}
			lane.give(t, batch...)
		}
		behind := lane.states(t)["delivered"]
		for end := time.Now().Add(20 * time.Minute); time.Now().Before(end) && lane.states(t)["delivered"] < 2*n; {
			time.Sleep(15 * time.Second)
		}
		took := time.Since(start)
		enough()
		g.Wait()

		stats := p.Stats(simulator.HubSpot)
		read := 0
		for _, r := range reads {
			read += r
		}
		t.Logf("%d events: %d of %d parts were delivered when the storm ended, all after %v; %d requests, %d of them reads of webhooks; at most %d in ten seconds (%d by the simulator's window); %d throttled",
			n, behind, 2*n, took.Round(time.Second), stats.Requests, read, p.most(), p.fullest, stats.Throttled)
		if states := lane.states(t); states["delivered"] != 2*n || len(states) != 1 {
			t.Errorf("the parts' states are %v; want %d delivered", states, 2*n)
		}
		if stats.Throttled != 0 || p.refused != 0 {
			t.Errorf("HubSpot refused %v, throttled %d", stats.Refusals, stats.Throttled)
		}
		if most := p.most(); most > 100 || p.fullest > 100 {
			t.Errorf("%d requests within ten seconds, %d by the simulator's window", most, p.fullest)
		}
		notes, people := map[string]int{}, map[string]bool{}
		for _, r := range p.Received(simulator.HubSpot) {
			switch r.Kind {
			case "note":
				notes[string(r.Body)]++
			case "contact":
				people[r.Object] = true
			}
		}
		total := 0
		for _, times := range notes {
			total += times
		}
		if total != n || len(people) != visitors {
			t.Errorf("%d notes at %d contacts; want %d at %d", total, len(people), n, visitors)
		}
		if behind >= 2*n {
			t.Error("there was no storm: everything was delivered at once")
		}
		if part := float64(read) / float64(stats.Requests); part < 0.35 || part > 0.6 {
			t.Errorf("reads of webhooks had %.2f of the requests; want their two fifths, and what is lent", part)
		}
	})
}
