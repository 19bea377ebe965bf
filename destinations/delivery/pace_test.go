package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// paced runs a lane under a budget, for a vendor that takes one item in a request.
func paced(t *testing.T, limits []destinations.Limit, f func(t *testing.T, b *bench)) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.vendor.contract.MaxBatch = 1
		b.start(func(l *Lane) { l.Budget = budget.New("acme", limits, budget.Options{}) })
		f(t, b)
	})
}

func people100(name string, from, n int) (events []canonical.Event) {
	for i := range n {
		events = append(events, funnel(fmt.Sprint(name, i), "qualified_lead", 2, canonical.NodeID(from+i), 1))
	}
	return events
}

func TestALaneKeepsToItsBudget(t *testing.T) {
	paced(t, []destinations.Limit{{Name: "ten_seconds", Requests: 5, Per: 10 * time.Second}}, func(t *testing.T, b *bench) {
		b.giveAtOnce(people100("e", 1, 20)...)
		b.times(20)
		for i, at := range b.vendor.times {
			if i >= 5 && at.Sub(b.vendor.times[i-5]) < 10*time.Second {
				t.Errorf("request %d came %v after the fifth before it", i, at.Sub(b.vendor.times[i-5]))
			}
		}
	})
}

func TestAUsedUpDayIsShownAndCanBePaused(t *testing.T) {
	paced(t, []destinations.Limit{{Name: "day", Requests: 2, Daily: true}}, func(t *testing.T, b *bench) {
		b.giveAtOnce(people100("e", 1, 6)...)
		b.times(2)
		if got := strings.Join(b.lane.Trouble(), "\n"); !strings.Contains(got, `"day"`) {
			t.Errorf("trouble is %q", got)
		}
		b.pause()
		time.Sleep(48 * time.Hour)
		b.times(2)
		b.resume()
		b.times(4)
		b.disable()
		for _, e := range people100("e", 1, 6)[4:] {
			b.want(e, "suppressed disabled")
		}
	})
}

// order asks for a replay that gives way.
func (b *bench) lowOrders(events []canonical.Event) {
	b.t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		v, _ := json.Marshal(canonical.ReplayOrder{ID: "job", Event: e, Destinations: []string{"acme"}, Job: "job", Low: true})
		records[i] = eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeReplay, Version: eventlog.Schema}
	}
	if _, err := b.log.Append(b.t.Context(), b.topics.Replays, records...); err != nil {
		b.t.Fatal(err)
	}
}

func TestABackfillGivesWayToWhatIsLive(t *testing.T) {
	paced(t, []destinations.Limit{{Name: "second", Requests: 10, Per: 10 * time.Second}}, func(t *testing.T, b *bench) {
		old := people100("old", 1000, 100)
		b.lowOrders(old)
		b.settle()
		worst := time.Duration(0)
		for i := range 60 {
			e := people100(fmt.Sprint("live", i, "-"), 1+i, 1)[0]
			b.appendAll([]canonical.Event{e})
			began := time.Now()
			for b.states(e) != "delivered" && time.Since(began) < time.Minute {
				time.Sleep(10 * time.Millisecond)
			}
			worst = max(worst, time.Since(began))
			time.Sleep(2 * time.Second)
		}
		if worst > 10*time.Second {
			t.Errorf("a live event waited %v behind a backfill", worst)
		}
		t.Logf("a live event waited %v at worst, with a backfill of %d behind it", worst, len(old))
		time.Sleep(time.Hour)
		b.settle()
		for _, e := range old {
			b.want(e, "delivered")
		}
		b.times(160)
	})
}

func TestWhatIsPutAsideIsReadAgainByTheNextOwner(t *testing.T) {
	paced(t, []destinations.Limit{{Name: "minute", Requests: 2, Per: time.Minute}}, func(t *testing.T, b *bench) {
		old := people100("old", 1000, 10)
		b.lowOrders(old)
		b.replay("r1", people100("now", 1, 1)[0], false) // behind them, and not of them
		time.Sleep(2 * time.Minute)
		b.want(people100("now", 1, 1)[0], "delivered")
		b.restart()
		b.end()
		b.start() // unpaced
		time.Sleep(time.Minute)
		b.settle()
		b.times(11)
		if at, err := b.log.Committed(t.Context(), Group("t.", "acme"), b.topics.Replays); err != nil || at[0] != 11 {
			t.Errorf("committed %v %v, want 11", at, err)
		}
	})
}

func TestAfterARecoveryTheLaneDoesNotCrawl(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answer(slices.Repeat([]int{503}, 40)...)
		events := people100("e", 1, 1000)
		b.giveAtOnce(events...)
		for b.vendor.requests() < 41 {
			time.Sleep(time.Minute)
		}
		before := b.vendor.requests()
		time.Sleep(16 * time.Minute) // what failed before has due times of its own up to then
		b.settle()
		b.times(1000)
		if n := len(b.vendor.sizes) - before; n > 60 {
			t.Errorf("%d requests after the recovery for batches of 100 of 1,000", n)
		}
		for i, n := range b.vendor.sizes[1:40] {
			if n != 1 {
				t.Errorf("probe %d held %d items", i, n)
			}
		}
	})
}

func TestAnItemToBeTriedLaterDoesNotOpenTheCircuit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination = tomorrow{b.vendor} })
		b.give(people100("wait", 1, 1)...)
		b.want(people100("wait", 1, 1)[0], "parked retry")
		if b.lane.open() {
			t.Error("the vendor is taken to be down for one item that is to be tried later")
		}
		b.giveAtOnce(people100("e", 10, 250)...)
		b.times(251) // the vendor's answer was 200
		if n := len(b.vendor.sizes); n > 5 {
			t.Errorf("%d requests", n)
		}
	})
}

// tomorrow answers 200, and of some items that they are to be tried again.
type tomorrow struct{ *vendor }

func (l tomorrow) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	out := l.vendor.Classify(batch, a)
	for i, it := range batch {
		if strings.HasPrefix(string(it.Event.ID), "wait") {
			out[i] = destinations.Outcome{Verdict: destinations.Retry, Reason: "locked", After: time.Hour}
		}
	}
	return out
}

func TestEverythingThatWaitsIsLookedAtOnTakeover(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.identify = true
		events := people100("e", 1, 1203)
		b.giveAtOnce(events...)
		b.end()
		for i := range events {
			b.people.learn(canonical.NodeID(i+1), "102")
		}
		b.start()
		time.Sleep(time.Minute)
		b.settle()
		b.times(1203)
		pages, after := 0, ""
		for {
			page, next, err := b.ledger.AwaitingPage("acme", after, 7)
			if err != nil || len(page) > 7 {
				t.Fatal(len(page), err)
			}
			if pages++; next == "" {
				break
			}
			after = next
		}
	})
}

// A fleet is several lanes of one process over one log and one ledger.
type fleet struct {
	log     *memlog.Log
	topics  eventlog.Topics
	ledger  *Ledger
	lanes   []*Lane
	vendors []*vendor
	took    []map[canonical.EventID]time.Time
}

func newFleet(t *testing.T, n int) (*fleet, func()) {
	f := &fleet{log: memlog.New(), topics: eventlog.Named("t.")}
	if err := f.log.Ensure(t.Context(), f.topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	if f.ledger, err = OpenLedger(db, "l\x00"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for p := range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				records, err := f.log.Read(ctx, f.topics.Deliveries, p, f.ledger.Next(p), 1000, time.Minute)
				if err == nil && len(records) > 0 {
					err = f.ledger.Apply(records)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("follow: %v", err)
					return
				}
			}
		})
	}
	for i := range n {
		v := &vendor{breaks: ErrNotSent}
		v.contract.Linger = 100 * time.Millisecond
		took := map[canonical.EventID]time.Time{}
		f.vendors, f.took = append(f.vendors, v), append(f.took, took)
		l := &Lane{
			Name: fmt.Sprint("d", i), Destination: v, Mode: Live, Log: f.log, Topics: f.topics, Ledger: f.ledger, People: newPeople(),
			Policy: DefaultPolicy(), Owner: "test", Logger: slog.New(slog.DiscardHandler),
			Routes: func(e *canonical.Event) (canonical.Route, bool) { return canonical.Route{Event: e.Name}, true },
			Send: func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
				time.Sleep(50 * time.Millisecond) // a vendor's usual pace
				before := len(v.got)
				r, err := v.send(ctx, q)
				v.mu.Lock()
				defer v.mu.Unlock()
				for _, id := range v.got[before:] {
					if _, twice := took[id]; twice {
						t.Errorf("d%d got %s twice", i, id)
					}
					took[id] = time.Now()
				}
				return r, err
			},
		}
		f.lanes = append(f.lanes, l)
		wg.Go(func() {
			if err := l.Run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("lane %d stopped: %v", i, err)
			}
		})
	}
	return f, func() { cancel(); wg.Wait(); db.Close() }
}

// taken is how many different events a vendor has.
func (f *fleet) taken(lane int) int {
	f.vendors[lane].mu.Lock()
	defer f.vendors[lane].mu.Unlock()
	return len(f.took[lane])
}

func TestOneDeadDestinationLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, end := newFleet(t, 5)
		defer end()
		time.Sleep(time.Second)
		born := map[canonical.EventID]time.Time{}
		produce := func(name string, d time.Duration) {
			for i, until := 0, time.Now().Add(d); time.Now().Before(until); i++ {
				e := funnel(fmt.Sprint(name, i), "qualified_lead", 2, canonical.NodeID(len(born)+1), 1)
				v, _ := json.Marshal(e)
				born[e.ID] = time.Now()
				if _, err := f.log.Append(t.Context(), f.topics.Events, eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
			}
			synctest.Wait()
		}
		p99 := func(lane int, name string) time.Duration {
			f.vendors[lane].mu.Lock()
			defer f.vendors[lane].mu.Unlock()
			var all []time.Duration
			for id, at := range f.took[lane] {
				if strings.HasPrefix(string(id), name) {
					all = append(all, at.Sub(born[id]))
				}
			}
			slices.Sort(all)
			return all[len(all)*99/100]
		}
		produce("before", time.Hour)
		asked := f.vendors[4].requests()
		f.vendors[4].answer(slices.Repeat([]int{0}, 10_000)...) // no connection
		var heap runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&heap)
		start := heap.HeapAlloc
		produce("during", 10*time.Hour)
		runtime.GC()
		runtime.ReadMemStats(&heap)
		for lane := range 4 {
			t.Logf("d%d: p99 %v before, %v during the ten hours in which d4 was dead", lane, p99(lane, "before"), p99(lane, "during"))
			if n := f.taken(lane); n < len(born)-2 {
				t.Errorf("d%d took %d of %d", lane, n, len(born))
			}
		}
		tried := f.vendors[4].requests() - asked
		parked, _, err := f.ledger.Due("d4", time.Now().Add(24*time.Hour), 1_000_000)
		if err != nil || len(parked) > tried {
			t.Errorf("%d items of the dead destination are parked after %d requests (%v): the log is the queue", len(parked), tried, err)
		}
		t.Logf("d4: %d requests in ten hours, %d items parked, %d still in the log; the heap, with the log in it, grew by %d KiB", tried, len(parked), len(born)-f.taken(4)-len(parked), (int64(heap.HeapAlloc)-int64(start))/1024)
		if f.lanes[4].Trouble() == nil {
			t.Error("a destination that is dead for ten hours is not shown")
		}
		f.vendors[4].answer()
		produce("after", time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		for lane := range 5 {
			if n := f.taken(lane); n != len(born) {
				t.Errorf("d%d took %d of %d", lane, n, len(born))
			}
		}
		if f.lanes[4].Trouble() != nil {
			t.Errorf("after the recovery: %v", f.lanes[4].Trouble())
		}
	})
}
