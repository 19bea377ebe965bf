package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// memory is a warehouse's deliveries, by offset of one partition.
type memory struct {
	rows map[int64]canonical.Delivery
	from []int64 // where each reading began
}

func (m *memory) DeliveriesBefore(_ context.Context, _ int, from, to int64, each func(int64, []byte) error) error {
	m.from = append(m.from, from)
	for at := from; at < to; at++ {
		if d, ok := m.rows[at]; ok {
			b, _ := json.Marshal(d)
			if err := each(at, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Unseal(b []byte) ([]byte, error) { return b, nil }

// delivered is what stands at an offset of deliveries.
func delivered(at int64) canonical.Delivery {
	return canonical.Delivery{Destination: "acme", Event: canonical.EventKey{Name: "won", ID: canonical.EventID(fmt.Sprint(at))}, Part: "event", State: canonical.StateDelivered, At: time.Now()}
}

// trimmed is a log of one partition of deliveries that begins at 10, its end 12.
func trimmed(t *testing.T) *memlog.Log {
	t.Helper()
	l := memlog.New()
	if err := l.Ensure(t.Context(), topics.Wanted(1, time.Hour, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	for at := range int64(12) {
		note(t, l, delivered(at))
	}
	l.Trim(topics.Deliveries, 0, 10)
	return l
}

func note(t *testing.T, l eventlog.Log, d canonical.Delivery) {
	t.Helper()
	r, err := encode(eventlog.TypeDelivery, string(d.Event.ID), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), topics.Deliveries, r); err != nil {
		t.Fatal(err)
	}
}

func newLedger(t *testing.T) *delivery.Ledger {
	t.Helper()
	db := newDB(t)
	t.Cleanup(func() { db.Close() })
	ledger, err := delivery.OpenLedger(db, "ledger\x00")
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

func TestTheLedgerNeverStepsOverAGap(t *testing.T) {
	full := func() map[int64]canonical.Delivery {
		rows := map[int64]canonical.Delivery{}
		for at := range int64(10) {
			rows[at] = delivered(at)
		}
		return rows
	}
	without := func(gone ...int64) map[int64]canonical.Delivery {
		rows := full()
		for _, at := range gone {
			delete(rows, at)
		}
		return rows
	}
	old := without(0, 1, 3)
	for at, d := range old {
		if at < 5 {
			d.At = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC) // a bubble's time begins in 2000
			old[at] = d
		}
	}
	for name, tc := range map[string]struct {
		rows map[int64]canonical.Delivery
		next int64  // how far the ledger comes
		says string // "": all is well
	}{
		"all of it":                          {full(), 12, ""},
		"what the warehouse let go in time":  {old, 12, ""},
		"another warehouse":                  {nil, 0, "offsets 0 to 9 of t.deliveries/0"},
		"one that is behind":                 {without(8, 9), 8, "offsets 8 to 9 of t.deliveries/0"},
		"one that lost the beginning":        {without(0, 1), 0, "offsets 0 to 1 of t.deliveries/0"},
		"one that lost a block in the midst": {without(4), 4, "offsets 4 to 4 of t.deliveries/0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, ledger, w := trimmed(t), newLedger(t), &memory{rows: tc.rows}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- FollowLedger(ctx, l, topics.Deliveries, ledger, w) }()
				settle()
				stop()
				err := <-ended
				if tc.says == "" && !errors.Is(err, context.Canceled) || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "restore")) {
					t.Errorf("it ended with %v; want %q", err, tc.says)
				}
				if got := ledger.Next(0); got != tc.next {
					t.Errorf("the ledger came to %d, want %d", got, tc.next)
				}
				for at := range tc.next {
					_, want := tc.rows[at]
					if _, had, err := ledger.Part("acme", delivered(at).Event, "event"); err != nil || had != (want || at >= 10) {
						t.Errorf("what stood at %d is known: %v, %v", at, had, err)
					}
				}
			})
		})
	}
}

// A warehouse that is behind is asked again from where it ended, and the lanes go on.
func TestTheLedgerGoesOnWhenTheWarehouseHasCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ledger, w := trimmed(t), newLedger(t), &memory{rows: map[int64]canonical.Delivery{}}
		for at := range int64(7) {
			w.rows[at] = delivered(at)
		}
		if err := FollowLedger(t.Context(), l, topics.Deliveries, ledger, w); err == nil {
			t.Fatal("a gap was stepped over")
		}
		for at := int64(7); at < 10; at++ {
			w.rows[at] = delivered(at)
		}
		stop := run(t, func(ctx context.Context) error { return FollowLedger(ctx, l, topics.Deliveries, ledger, w) })
		defer stop()
		settle()
		if ledger.Next(0) != 12 || fmt.Sprint(w.from) != "[0 7]" {
			t.Errorf("the ledger came to %d; the warehouse was read from %v", ledger.Next(0), w.from)
		}
	})
}

// grown is a log whose deliveries have more partitions than they are said to have, until
// told.
type grown struct {
	*memlog.Log
	partitions atomic.Int32
}

func (g *grown) Partitions(context.Context, string) (int, error) {
	return int(g.partitions.Load()), nil
}

func TestPartitionsAddedToATopicAreFollowedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ledger := &grown{Log: newLog(t)}, newLedger(t)
		l.partitions.Store(1)
		follow := func(ctx context.Context) error { return FollowLedger(ctx, l, topics.Deliveries, ledger, &memory{}) }
		ended := make(chan error, 1)
		go func() { ended <- follow(t.Context()) }()
		for at := range int64(20) {
			note(t, l, delivered(at))
		}
		time.Sleep(time.Hour)
		_, end, _ := l.Bounds(t.Context(), topics.Deliveries)
		if ledger.Next(0) != end[0] || ledger.Next(1) != 0 || end[1] == 0 {
			t.Fatalf("followed to %d and %d of %v", ledger.Next(0), ledger.Next(1), end)
		}
		l.partitions.Store(2)
		err := <-ended
		if err == nil || !strings.Contains(err.Error(), "t.deliveries had 1 partitions and has 2 now") {
			t.Errorf("it ended with %v", err)
		}
		stop := run(t, follow) // as Keep starts it again
		defer stop()
		if err := ledger.WaitEnd(t.Context(), end); err != nil {
			t.Error(err)
		}
	})
}

// A lane in another process commits what this one's ledger has not folded yet: that is
// waited for, not lost.
func TestDeliveriesAreBalancedOverTheWholeLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ledger := newLog(t), newLedger(t)
		event(t, l, "e1", "r1")
		d := canonical.Delivery{Destination: "acme", Event: canonical.EventKey{Name: "lead_captured", ID: "e1"}, Part: "event", State: canonical.StateDelivered, At: time.Now()}
		note(t, l, d)
		stop := run(t, func(ctx context.Context) error { // the lane
			g := eventlog.Group{Name: delivery.Group("t.", "acme"), Topics: []string{topics.Events, topics.Replays}, Whole: true}
			return l.Consume(ctx, g, func(ctx context.Context, c eventlog.Claim) error {
				for {
					records, err := c.Poll(ctx, 10, time.Minute)
					for _, r := range records {
						c.Commit(r.Topic, r.Partition, r.Offset+1)
					}
					if err != nil {
						return err
					}
				}
			})
		})
		defer stop()
		settle()
		books := &Books{Log: l, Topics: topics, Prefix: "t.", Lanes: map[string]*delivery.Lane{"acme": {Name: "acme", Ledger: ledger}}}
		if rows, err := books.Deliveries(t.Context()); err == nil || !strings.Contains(err.Error(), "ledger has not reached the end") {
			t.Errorf("with a ledger that stands still: %+v, %v", rows, err)
		}
		end := run(t, func(ctx context.Context) error {
			time.Sleep(5 * time.Second)
			return FollowLedger(ctx, l, topics.Deliveries, ledger, &memory{})
		})
		defer end()
		rows, err := books.Deliveries(t.Context())
		if err != nil || len(rows) != 1 || rows[0].Lost != 0 || rows[0].Delivered != 1 || !rows[0].Balanced() {
			t.Errorf("balance %+v, %v", rows, err)
		}
	})
}

// flaky is a log that cannot be read until a time.
type flaky struct {
	eventlog.Log
	until time.Time
}

func (l flaky) Read(ctx context.Context, topic string, partition int, offset int64, max int, wait time.Duration) ([]eventlog.Record, error) {
	if time.Now().Before(l.until) {
		return nil, errors.New("read pipe: i/o timeout")
	}
	return l.Log.Read(ctx, topic, partition, offset, max, wait)
}

// A broker that is away for a while holds a view up no longer than it is away; one that
// stays away is named.
func TestAViewOutlastsAShortAbsenceOfTheLog(t *testing.T) {
	for _, c := range []struct {
		away  time.Duration
		stops bool
	}{{20 * time.Second, false}, {40 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			log := memlog.New()
			if err := log.Ensure(t.Context(), topics.Wanted(1, time.Hour, time.Hour)...); err != nil {
				t.Fatal(err)
			}
			note(t, log, delivered(0))
			ledger := newLedger(t)
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), c.away+time.Second)
			defer cancel()
			err := FollowLedger(ctx, flaky{log, began.Add(c.away)}, topics.Deliveries, ledger, nil)
			if stopped := ctx.Err() == nil; stopped != c.stops {
				t.Errorf("away for %v: it ended after %v with %v", c.away, time.Since(began), err)
			}
			if read := ledger.Next(0) == 1; read == c.stops {
				t.Errorf("away for %v: it was read up to %d", c.away, ledger.Next(0))
			}
		})
	}
}

// What stops at once each time is started again less and less often; what got on with its
// work is started again at once, however often it stopped before.
func TestAStageThatWorkedIsStartedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var waits []time.Duration
		last := time.Now()
		runs := []time.Duration{0, 0, 0, 0, 0, 0, 0, 61 * time.Second, 5 * time.Second, 0}
		err := Keep(ctx, "a stage", &Health{}, slog.New(slog.DiscardHandler), func(ctx context.Context) error {
			waits = append(waits, time.Since(last))
			if len(waits) > len(runs) {
				cancel()
				return nil
			}
			time.Sleep(runs[len(waits)-1])
			last = time.Now()
			return errors.New("stopped")
		})
		if got, want := fmt.Sprint(waits), "[0s 1s 2s 4s 8s 16s 30s 30s 1s 1s 2s]"; got != want || !errors.Is(err, context.Canceled) {
			t.Errorf("it waited %s, want %s (%v)", got, want, err)
		}
	})
}
