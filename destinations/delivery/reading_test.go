package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// mixed gives events of which some come twice, some share a slot, some are for nobody and some
// are refused by the vendor.
func mixed(r *rand.Rand, n int) (events []canonical.Event, bad map[canonical.EventID]bool) {
	bad = map[canonical.EventID]bool{}
	for i := range n {
		e := funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(1+r.IntN(2*n)), r.IntN(90))
		switch r.IntN(10) {
		case 0:
			e.Name, e.Funnel = "page_viewed", false // not mapped
		case 1:
			bad[e.ID] = true
			e.Node = canonical.NodeID(2*n + i + 1) // a dead one frees its slot, for the next turn only
		case 2:
			events = append(events, e) // and once more below
		}
		events = append(events, e)
	}
	return events, bad
}

// intents gives the events of the intents on record, each partition's in order.
func (b *bench) intents() (out [2][]canonical.EventID) {
	for p := range out {
		records, err := b.log.Read(b.t.Context(), b.topics.Deliveries, p, 0, 1e6, time.Second)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range records {
			var d canonical.Delivery
			if err := json.Unmarshal(r.Value, &d); err != nil {
				b.t.Fatal(err)
			}
			if d.State == canonical.StateIntent {
				out[p] = append(out[p], d.Event.ID)
			}
		}
	}
	return out
}

// However much is read ahead, the same is sent in the same order and comes to the same.
func TestReadingAheadChangesNothing(t *testing.T) {
	for seed := range uint64(6) {
		var want []string
		var wantIntents [2][]canonical.EventID
		for _, poll := range []int{1000, 1, 7, 40} { // 1000: one turn, nothing is read ahead
			inBubble(t, func(t *testing.T, b *bench) {
				b.end()
				events, bad := mixed(rand.New(rand.NewPCG(seed, 1)), 120)
				b.vendor.contract.MaxBatch, b.vendor.bad = 1, bad
				if poll == 40 {
					b.vendor.contract.MaxBatch = 10
				}
				b.start(func(l *Lane) { l.Policy.Poll = poll })
				b.settle()
				b.appendAll(events)
				time.Sleep(time.Minute)
				b.settle()
				var got []string
				for _, e := range events {
					got = append(got, string(e.ID)+" "+b.states(e))
				}
				intents := b.intents()
				if want == nil {
					want, wantIntents = got, intents
				}
				if !slices.Equal(got, want) {
					t.Errorf("seed %d, poll %d: states\n%q, want\n%q", seed, poll, got, want)
				}
				for p := range intents {
					if !slices.Equal(intents[p], wantIntents[p]) {
						t.Errorf("seed %d, poll %d: intents of partition %d\n%q, want\n%q", seed, poll, p, intents[p], wantIntents[p])
					}
				}
				if sent := len(b.vendor.got); sent == 0 || sent+len(bad) > len(events) {
					t.Errorf("seed %d, poll %d: the vendor took %d of %d", seed, poll, sent, len(events))
				}
				for i, topic := range []string{b.topics.Events, b.topics.Replays} {
					_, end, err := b.log.Bounds(t.Context(), topic)
					at, err2 := b.log.Committed(t.Context(), Group("t.", "acme"), topic)
					if err != nil || err2 != nil || i == 0 && !slices.Equal(at, end) {
						t.Errorf("seed %d, poll %d: committed %v of %v (%v, %v)", seed, poll, at, end, err, err2)
					}
				}
			})
		}
	}
}

// While a request hangs the next turn is read, and the owner dies with it: nothing of it has a
// state, nothing of it is committed, and the next owner sends all.
func TestWhatWasReadAheadIsReadAgainByTheNextOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.vendor.contract.MaxBatch = 1
		events := people100("e", 1, 60)
		var hangs atomic.Bool
		hangs.Store(true)
		b.start(func(l *Lane) {
			l.Policy.Poll = 4
			l.Send = func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
				if hangs.Load() {
					<-ctx.Done()
					return destinations.Response{}, ctx.Err()
				}
				return b.vendor.send(ctx, q)
			}
		})
		b.settle()
		b.appendAll(events)
		b.settle()
		decided := 0
		for _, e := range events {
			if b.states(e) != "" {
				decided++
			}
		}
		if at, err := b.log.Committed(t.Context(), Group("t.", "acme"), b.topics.Events); err != nil || max(at[0], 0)+max(at[1], 0) > 0 || decided > 4 {
			t.Errorf("committed %v (%v) and %d decided while the first turn is on its way", at, err, decided)
		}
		b.end()
		hangs.Store(false)
		b.start()
		time.Sleep(time.Hour)
		b.settle()
		for _, e := range events {
			b.want(e, "delivered")
		}
	})
}

// What was read ahead when the vendor goes down, or when somebody pauses the lane, is kept and
// goes out in probes, or after the resume.
func TestWhatWasReadAheadWaitsWithTheLane(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.vendor.contract.MaxBatch = 5
		b.vendor.answers = []int{503, 503, 503, 503}
		b.start(func(l *Lane) { l.Policy.Poll = 20 })
		b.settle()
		events := people100("e", 1, 100)
		b.appendAll(events)
		for b.vendor.requests() < 4 {
			time.Sleep(time.Millisecond)
		}
		b.pause()
		time.Sleep(time.Hour)
		made := b.vendor.requests()
		b.settle()
		if b.vendor.requests() != made {
			t.Error("a request while the lane is paused")
		}
		b.resume()
		time.Sleep(time.Hour)
		b.settle()
		for i, n := range b.vendor.sizes[1:4] { // the first was a whole batch; a resume closes the circuit
			if n != 1 {
				t.Errorf("probe %d held %d items, want 1", i+1, n)
			}
		}
		for _, e := range events {
			b.want(e, "delivered")
		}
		if len(b.vendor.got) != len(events) {
			t.Errorf("the vendor took %d items, want %d", len(b.vendor.got), len(events))
		}
	})
}

func TestTakingPartOfAReading(t *testing.T) {
	g := reading{jobs: make([]job, 3), from: []source{{jobs: 1}, {jobs: 0}, {jobs: 2}, {jobs: 0}}}
	for _, c := range []struct{ take, records, jobs int }{{1, 1, 1}, {2, 2, 2}, {9, 1, 0}, {1, 0, 0}} {
		if got := g.take(c.take); len(got.from) != c.records || len(got.jobs) != c.jobs {
			t.Errorf("took %d records and %d jobs, want %d and %d", len(got.from), len(got.jobs), c.records, c.jobs)
		}
	}
}

// Batches are the same however the sends come, and each is closed before anything is known of
// what comes behind it.
func TestBatchesAreTheSameInAnyPieces(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		sends := make([]*send, 1+r.IntN(60))
		for i := range sends {
			p := destinations.Part{Batch: fmt.Sprint("b", r.IntN(3)), Merges: seed%2 == 0}
			if r.IntN(3) > 0 {
				p.Unique = fmt.Sprint("u", r.IntN(8))
			}
			sends[i] = &send{item: destinations.Item{Part: p}, low: r.IntN(8) == 0}
		}
		most := 1 + r.IntN(6)
		want := batches(sends, most)
		b := batcher{most: most}
		for rest := sends; len(rest) > 0; {
			n := min(1+r.IntN(9), len(rest))
			b.add(rest[:n])
			rest = rest[n:]
			for i, batch := range b.closed {
				if !slices.Equal(batch, want[i]) {
					t.Fatalf("seed %d: batch %d is not what it will be", seed, i)
				}
			}
		}
		b.end()
		if !slices.EqualFunc(b.closed, want, slices.Equal[[]*send]) {
			t.Errorf("seed %d: %d batches, want %d", seed, len(b.closed), len(want))
		}
	}
}

// An event that holds its slot and is tried again keeps it until the turn is over, whatever
// comes of it while others of the turn are decided on.
func TestASlotIsItsHoldersForTheWholeTurn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		first, rival := funnel("a", "qualified_lead", 2, 1, 1), funnel("b", "qualified_lead", 2, 1, 2)
		now := time.Now().UTC()
		parked := canonical.Delivery{Destination: "acme", Event: first.Key(), Part: "event", State: canonical.StateParked, Reason: canonical.ReasonRetry,
			At: now, Attempt: 1, FirstTry: &now, Slot: SlotOf(first), Content: &first}
		if err := b.lane.write(t.Context(), []canonical.Delivery{parked}); err != nil {
			t.Fatal(err)
		}
		r := newRun(b.lane, nil)
		if sends, err := r.decide(job{event: first, known: known(&first), resumed: &parked}); err != nil || len(sends) != 1 {
			t.Fatalf("%d sends, %v", len(sends), err)
		}
		dead := parked
		dead.State, dead.Reason, dead.Content = canonical.StateDead, "refused", nil
		if err := b.lane.write(t.Context(), []canonical.Delivery{dead}); err != nil {
			t.Fatal(err)
		}
		if sends, err := r.decide(job{event: rival, known: known(&rival)}); err != nil || len(sends) != 0 || r.outbox[0].Reason != canonical.ReasonReReport {
			t.Errorf("%d sends, %v, %+v", len(sends), err, r.outbox)
		}
	})
}
