package pipeline

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// A trimmedMeanwhile loses the first half of what it holds of a topic as soon as somebody
// reads it.
type trimmedMeanwhile struct {
	*memlog.Log
	topic string
}

func (l *trimmedMeanwhile) Read(ctx context.Context, topic string, p int, offset int64, limit int, wait time.Duration) ([]eventlog.Record, error) {
	_, end, err := l.Bounds(ctx, topic)
	if err != nil {
		return nil, err
	}
	if topic == l.topic && offset < end[p]/2 {
		l.Trim(topic, p, end[p]/2)
	}
	return l.Log.Read(ctx, topic, p, offset, limit, wait)
}

func TestTheBooksOutliveTrimming(t *testing.T) {
	l := newLog(t)
	for i := range 40 {
		event(t, l, fmt.Sprint("e", i), fmt.Sprint("r", i))
	}
	var want, got int
	_, end, err := l.Bounds(t.Context(), topics.Events)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range end {
		want += int(e - e/2)
	}
	books := &Books{Log: &trimmedMeanwhile{l, topics.Events}, Topics: topics}
	if err := books.scan(t.Context(), topics.Events, func(eventlog.Record) error { got++; return nil }); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%d records were counted, the log holds %d", got, want)
	}
}

// A lane that came past a replay order and gave the event no state has lost it, as it would have
// lost the event; one that has not come to it yet has not.
func TestAnOrderWithoutAStateIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ledger := newLog(t), newLedger(t)
		for _, id := range []string{"before", "since", "parts", "waits"} {
			event(t, l, id, "r"+id)
			if id == "before" {
				_, end, err := l.Bounds(t.Context(), topics.Events)
				if err != nil {
					t.Fatal(err)
				}
				note(t, l, canonical.Delivery{Destination: "acme", State: canonical.StateActivation, End: map[string][]int64{topics.Events: end, topics.Replays: {0, 0}}})
			}
		}
		order := func(id string, parts ...string) {
			o := canonical.ReplayOrder{ID: "R", Event: canonical.Event{ID: canonical.EventID(id), Name: "lead_captured"}, Destinations: []string{"acme"}, Parts: parts}
			r, err := encode(eventlog.TypeReplay, id, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), topics.Replays, r); err != nil {
				t.Fatal(err)
			}
		}
		order("before")
		order("since")
		order("parts", "timeline") // a part that the plan may no longer have
		stop := run(t, func(ctx context.Context) error { return FollowLedger(ctx, l, topics.Deliveries, ledger, &memory{}) }, func(ctx context.Context) error {
			g := eventlog.Group{Name: delivery.Group("t.", "acme"), Topics: []string{topics.Events, topics.Replays}, Whole: true}
			return l.Consume(ctx, g, func(ctx context.Context, c eventlog.Claim) error {
				records, err := c.Poll(ctx, 10, time.Second)
				for _, r := range records {
					c.Commit(r.Topic, r.Partition, r.Offset+1)
				}
				<-ctx.Done()
				return err
			})
		})
		defer stop()
		settle()
		order("waits")
		books := &Books{Log: l, Topics: topics, Prefix: "t.", Lanes: map[string]*delivery.Lane{"acme": {Name: "acme", Ledger: ledger}}}
		rows, err := books.Deliveries(t.Context())
		if err != nil || len(rows) != 1 || rows[0].Lost != 2 || rows[0].Pending != 2 || rows[0].Events != 4 {
			t.Errorf("balance %+v, %v; want before and since lost, parts and waits pending", rows, err)
		}
	})
}
