package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// told is the warehouse as the counts ask it: what it recorded of the topic.
type told struct {
	l     *memlog.Log
	topic string
	kept  map[int][]eventlog.Record
}

func (a *told) EventNodes(_ context.Context, partition int, from, to int64, each func(canonical.EventKey, canonical.NodeID) error) error {
	seen := map[canonical.EventKey]bool{}
	for _, r := range a.kept[partition] {
		e, err := decode[canonical.Event](r)
		if err != nil || r.Offset < from || r.Offset >= to || seen[e.Key()] || e.Ignored != "" {
			continue
		}
		seen[e.Key()] = true
		if err := each(e.Key(), e.Node); err != nil {
			return err
		}
	}
	return nil
}

// Whatever copies, replays and restarts there are, an event counts once; a view begun anew
// behind a trimmed log says the same.
func TestAnEventIsCountedOnce(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 6))
			l := newLog(t)
			topic := eventlog.Named("t.").Events
			archive := &told{l: l, topic: topic, kept: map[int][]eventlog.Record{}}
			want := map[canonical.NodeID]map[string]int{}
			had := map[canonical.EventKey]bool{}
			add := func(n int) {
				for range n {
					e := canonical.Event{Name: []string{"page_viewed", "ad_clicked"}[random.IntN(2)], ID: canonical.EventID(fmt.Sprint(random.IntN(40))),
						ReceiptID: canonical.ReceiptID(fmt.Sprint(random.Int()))}
					e.Node = canonical.NodeID(len(e.ID)*10 + int(e.ID[0]-'0')) // the same for every copy
					if e.ID == "7" {
						e.Ignored = "internal_test"
					}
					if !had[e.Key()] && e.Ignored == "" {
						had[e.Key()] = true
						if want[e.Node] == nil {
							want[e.Node] = map[string]int{}
						}
						want[e.Node][e.Name]++
					}
					v, err := json.Marshal(e)
					if err != nil {
						t.Fatal(err)
					}
					placed, err := l.Append(t.Context(), topic, eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema})
					if err != nil {
						t.Fatal(err)
					}
					archive.kept[placed[0].Partition] = append(archive.kept[placed[0].Partition], placed[0])
				}
			}
			check := func(c *Counts, when string) {
				t.Helper()
				stop := run(t, func(ctx context.Context) error { return FollowCounts(ctx, l, c, archive) })
				defer stop()
				settle()
				for n, names := range want {
					got, err := c.Of(n)
					if err != nil || !maps.Equal(got, names) {
						t.Fatalf("seed %d, %s: node %v has %v, want %v (%v)", seed, when, n, got, names, err)
					}
				}
			}
			db := newDB(t)
			defer db.Close()
			open := func(prefix string) *Counts {
				t.Helper()
				c, err := OpenCounts(db, prefix, topic)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			add(60)
			check(open("a"), "from the beginning")
			add(60)
			check(open("a"), "opened again")
			_, end, err := l.Bounds(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			for p := range end {
				l.Trim(topic, p, end[p]/2)
			}
			check(open("b"), "begun anew behind a trimmed log")
			add(60)
			check(open("b"), "and gone on")
		})
	}
}

func TestAnEventsOwnCountIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		topic := eventlog.Named("t.").Events
		db := newDB(t)
		defer db.Close()
		c, err := OpenCounts(db, "c", topic)
		if err != nil {
			t.Fatal(err)
		}
		key := canonical.EventKey{Name: "page_viewed", ID: "1"}
		got := make(chan map[string]int)
		go func() {
			if err := c.wait(key, countPatience); err != nil {
				t.Error(err)
			}
			counts, err := c.Of(5)
			if err != nil {
				t.Error(err)
			}
			got <- counts
		}()
		synctest.Wait() // it waits
		stop := run(t, func(ctx context.Context) error { return FollowCounts(ctx, l, c, nil) })
		defer stop()
		v, _ := json.Marshal(canonical.Event{Name: key.Name, ID: key.ID, Node: 5})
		if _, err := l.Append(t.Context(), topic, eventlog.Record{Key: []byte("1"), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}); err != nil {
			t.Fatal(err)
		}
		if counts := <-got; counts["page_viewed"] != 1 {
			t.Errorf("counted %v, want the event itself", counts)
		}
	})
}

// What is told of a person with an event on a shared device are that person's counts, and not
// those of all who use the device.
func TestCountsOfTheOneInWhoseHandsADeviceWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kim, lou := canonical.Identifier{Scheme: canonical.UserID, Value: "kim"}, canonical.Identifier{Scheme: canonical.UserID, Value: "lou"}
		device := canonical.Identifier{Scheme: canonical.Anonymous, Value: "kiosk"}
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		graph, err := identity.Open(memstore.New())
		if err != nil {
			t.Fatal(err)
		}
		if err := graph.Fold([]identity.Folded{
			{Offset: 0, Fact: canonical.Fact{Kind: canonical.FactLink, At: at, Nodes: []canonical.Identifier{kim, device}, Weak: true}},
			{Offset: 1, Fact: canonical.Fact{Kind: canonical.FactLink, At: at.AddDate(0, 0, 3), Nodes: []canonical.Identifier{lou, device}, Weak: true}},
		}); err != nil {
			t.Fatal(err)
		}
		l := newLog(t)
		topic := eventlog.Named("t.").Events
		db := newDB(t)
		defer db.Close()
		c, err := OpenCounts(db, "c", topic)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, func(ctx context.Context) error { return FollowCounts(ctx, l, c, nil) })
		defer stop()
		events := []canonical.Event{{Name: "page_viewed", ID: "1", Node: kim.Node()}}
		for i := range 9 {
			events = append(events, canonical.Event{Name: "page_viewed", ID: canonical.EventID(fmt.Sprint("k", i)), Node: device.Node(), OccurredAt: at.AddDate(0, 0, i)})
		}
		for _, e := range events {
			v, _ := json.Marshal(e)
			if _, err := l.Append(t.Context(), topic, eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}); err != nil {
				t.Fatal(err)
			}
		}
		known := CountedPeople{View: graph, Counts: c}.Known(events[1])
		if known.Person != kim.Node() || known.Counts["page_viewed"] != 1 {
			t.Errorf("of %s %v are told, want 1 of %s", known.Person, known.Counts, kim.Node())
		}
	})
}

// A view of counts that is begun anew, over a log or a warehouse that takes its time, must not
// make a lane write what it has counted so far.
func TestNothingIsDecidedBeforeTheCountsAreWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		topic := eventlog.Named("t.").Events
		db := newDB(t)
		defer db.Close()
		c, err := OpenCounts(db, "c", topic)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			v, _ := json.Marshal(canonical.Event{Name: "page_viewed", ID: canonical.EventID(fmt.Sprint(i)), Node: 5})
			if _, err := l.Append(t.Context(), topic, eventlog.Record{Key: []byte("1"), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}); err != nil {
				t.Fatal(err)
			}
		}
		waited := make(chan map[string]int)
		go func() {
			if err := c.caughtUp(t.Context(), l); err != nil {
				t.Error(err)
			}
			counts, _ := c.Of(5)
			waited <- counts
		}()
		synctest.Wait()
		stop := run(t, func(ctx context.Context) error { return FollowCounts(ctx, l, c, nil) })
		defer stop()
		if counts := <-waited; counts["page_viewed"] != 3 {
			t.Errorf("went on with %v, want what the log held", counts)
		}
		if err := c.caughtUp(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}
