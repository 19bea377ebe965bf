package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/mappings"
)

var errKilled = errors.New("killed")

// dying is a log whose process is killed at an append to one topic: before it is written, or
// right after, so that nobody hears of it.
type dying struct {
	eventlog.Log
	topic   string
	written bool
}

func (d *dying) Append(ctx context.Context, topic string, records ...eventlog.Record) ([]eventlog.Record, error) {
	if topic != d.topic {
		return d.Log.Append(ctx, topic, records...)
	}
	if d.written {
		if _, err := d.Log.Append(ctx, topic, records...); err != nil {
			return nil, err
		}
	}
	return nil, errKilled
}

// taker is a vendor that takes everything and remembers it.
type taker struct {
	mu  sync.Mutex
	got map[canonical.EventKey]int
}

func (*taker) Contract() destinations.Contract {
	return destinations.Contract{Vendor: "acme", NeedsRoute: true, MaxBatch: 10, Timeout: 5 * time.Second, Ambiguous: destinations.Resend}
}

func (*taker) Plan(canonical.Event, canonical.Known, canonical.Route) ([]destinations.Part, destinations.Refusal) {
	return []destinations.Part{{Name: "event"}}, destinations.Refusal{}
}

func (v *taker) Build(batch []destinations.Item) (destinations.Request, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	q := destinations.Request{Body: []byte(`{}`)}
	for _, it := range batch {
		v.got[it.Event.Key()]++
		q.Bodies = append(q.Bodies, []byte(`{}`))
	}
	return q, nil
}

func (*taker) Classify(batch []destinations.Item, _ destinations.Response) []destinations.Outcome {
	return destinations.All(batch, destinations.Outcome{Verdict: destinations.Delivered})
}

// dealt is a webhook of a deal's stage, completed by what was read.
func dealt(id string, deal int, stage string, at time.Time, attempt int, received time.Time) canonical.Receipt {
	body := fmt.Sprintf(`{"eventId":1,"portalId":42,"occurredAt":%d,"attemptNumber":%d,"subscriptionType":"deal.propertyChange","objectId":%d,"propertyName":"dealstage","propertyValue":%q}`, at.UnixMilli(), attempt, deal, stage)
	return canonical.Receipt{ID: canonical.ReceiptID(id), Source: "app", Way: canonical.WayHubSpot, ReceivedAt: received, Body: []byte(body),
		Completion: &canonical.Completion{Of: canonical.ReceiptID("bare" + id), ReadAt: received, Objects: []canonical.ReadObject{{
			Type: "deal", ID: fmt.Sprint(deal), Properties: map[string]string{"dealstage": stage, "pipeline": "default", "amount": "36000", "hs_is_closed": "true", "hs_is_closed_won": "true"},
			Associated: map[string][]string{"contact": {"9"}}}}}}
}

// Recipe 2 takes over in mid-stream: a resolve is killed across the switch, and the webhooks of
// before and after it are retried. Every fact has one event, and is sent once.
func TestARecipeThatTakesOverCountsNothingTwice(t *testing.T) {
	for _, kill := range []struct {
		title   string
		topic   string
		written bool
	}{
		{"events are written and nobody hears of it", topics.Events, true},
		{"facts are written and events are not", topics.Events, false},
		{"facts are written and nobody hears of it", topics.Identity, true},
	} {
		t.Run(kill.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { switchRecipes(t, kill.topic, kill.written) })
		})
	}
}

func switchRecipes(t *testing.T, topic string, written bool) {
	time.Sleep(48 * time.Hour) // past the first day that is believed
	begin := time.Now().UTC().Truncate(time.Second).Add(time.Hour)
	compile := func(more string) *mappings.Mapping {
		m, problems := mappings.Compile(mappings.Default(), mappings.File{Name: "ids.yaml", Text: []byte("version: 1\n" + more)})
		if m == nil {
			t.Fatal(problems)
		}
		return m
	}
	before := compile("")
	after := compile("ids:\n  - { event: customer_won, recipe: 2, parts: [object_id, stage], from: " + begin.Format(time.RFC3339) + " }\n" +
		"  - { event: \"*\", recipe: 3, parts: [object_id, stage, time], from: " + begin.Format(time.RFC3339) + " }\n")
	if problems := after.CheckRecipes(before, time.Now()); mappings.Failed(problems) {
		t.Fatal(problems)
	}

	l, db := newLog(t), newDB(t)
	defer db.Close()
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := delivery.OpenLedger(db, "l\x00")
	if err != nil {
		t.Fatal(err)
	}
	vendor := &taker{got: map[canonical.EventKey]int{}}
	lane := &delivery.Lane{
		Name: "acme", Destination: vendor, Mode: delivery.Live, Log: l, Topics: topics, Ledger: ledger, People: view, Policy: delivery.DefaultPolicy(),
		Owner: "test", Logger: slog.New(slog.DiscardHandler),
		Routes: func(e *canonical.Event) (canonical.Route, bool) { return canonical.Route{Event: e.Name}, true },
		Send: func(context.Context, destinations.Request) (destinations.Response, error) {
			return destinations.Response{Status: 200}, nil
		},
	}
	stop := run(t,
		func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) },
		func(ctx context.Context) error { return Follow(ctx, l, topics.Deliveries, ledger, nil) },
		lane.Run,
	)
	defer stop()
	settle()
	resolve := func(log eventlog.Log, m *mappings.Mapping) *Resolve {
		return &Resolve{Log: log, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }, View: view}
	}

	old, ahead := begin.Add(-30*time.Minute), begin.Add(30*time.Minute)
	now := time.Now().UTC()
	// Before the switch: one deal is resolved in peace, another while the process dies.
	first := run(t, resolve(l, before).Run)
	post(t, l, dealt("r1", 1, "contractsent", old, 0, now))
	settle()
	first()
	killed := make(chan error, 1)
	post(t, l, dealt("r2", 2, "closedwon", old, 0, now), dealt("r3", 3, "contractsent", old, 0, now))
	go func() { killed <- resolve(&dying{Log: l, topic: topic, written: written}, before).Run(t.Context()) }()
	settle()
	if err := <-killed; !errors.Is(err, errKilled) {
		t.Fatalf("the resolve was not killed: %v", err)
	}
	// It comes back with the new mapping; the switch passes; webhooks are retried.
	second := run(t, resolve(l, after).Run)
	defer second()
	settle()
	time.Sleep(2 * time.Hour)
	now = time.Now().UTC()
	post(t, l, dealt("r4", 4, "closedwon", ahead, 0, now), dealt("r5", 5, "contractsent", ahead, 0, now))
	for i, rc := range []canonical.Receipt{
		dealt("x1", 1, "contractsent", old, 1, now), dealt("x2", 2, "closedwon", old, 2, now), dealt("x3", 3, "contractsent", old, 1, now),
		dealt("x4", 4, "closedwon", ahead, 1, now), dealt("x5", 5, "contractsent", ahead, 1, now),
	} {
		post(t, l, rc)
		if i%2 == 0 {
			settle()
		}
	}
	time.Sleep(time.Minute)
	synctest.Wait()

	ids, recipes := map[string]map[canonical.EventKey]bool{}, map[string]int{}
	for _, e := range read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent) {
		if ids[e.Object.ID] == nil {
			ids[e.Object.ID] = map[canonical.EventKey]bool{}
		}
		ids[e.Object.ID][e.Key()], recipes[e.Object.ID] = true, e.IDRecipe
	}
	for deal, want := range map[string]int{"1": 1, "2": 1, "3": 1, "4": 2, "5": 3} {
		if len(ids[deal]) != 1 || recipes[deal] != want {
			t.Errorf("deal %s has %d events, made by recipe %d; want one, by recipe %d", deal, len(ids[deal]), recipes[deal], want)
		}
	}
	vendor.mu.Lock()
	defer vendor.mu.Unlock()
	if len(vendor.got) != 5 {
		t.Errorf("the vendor got %d events, want 5", len(vendor.got))
	}
	for key, n := range vendor.got {
		if n != 1 {
			t.Errorf("%s was sent %d times", key, n)
		}
	}
}
