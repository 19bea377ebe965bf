package delivery

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

func TestRowsOfOneUniqueShareARequestWhereTheyMerge(t *testing.T) {
	part := func(merges bool, uniques string) (sends []*send) {
		for i, u := range strings.Fields(uniques) {
			sends = append(sends, &send{part: fmt.Sprint(i), item: destinations.Item{Part: destinations.Part{Unique: strings.Trim(u, "-"), Merges: merges}}})
		}
		return sends
	}
	for _, c := range []struct {
		merges  bool
		uniques string
		most    int
		want    string
	}{
		{false, "a b a c", 10, "0 1|2 3"},
		{true, "a b a c", 10, "0 1 2 3"},
		{true, "a b a c a", 2, "0 1 2|3 4"},         // a row that is there takes one more
		{true, "a a a a b b c", 2, "0 1 2 3 4 5|6"}, // rows are counted, not items
		{false, "- - - -", 3, "0 1 2|3"},
		{true, "- - - -", 3, "0 1 2|3"},
	} {
		var got []string
		for _, b := range batches(part(c.merges, c.uniques), c.most) {
			var names []string
			for _, s := range b {
				names = append(names, s.part)
			}
			got = append(got, strings.Join(names, " "))
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("merges %v, %s, at most %d: %s, want %s", c.merges, c.uniques, c.most, got, c.want)
		}
	}
}

// crm is a vendor that takes rows of contacts, one for each: of a row's items the one that
// happened last is written.
type crm struct {
	*vendor
	refuse map[string]bool
}

func (c crm) Plan(e canonical.Event, _ canonical.Known, _ canonical.Route) ([]destinations.Part, destinations.Refusal) {
	return []destinations.Part{{Name: "event", Unique: e.Object.ID, Merges: true, Slotless: true}}, destinations.Refusal{}
}

func (c crm) Build(batch []destinations.Item) (destinations.Request, error) {
	last := map[string]canonical.Event{}
	for _, it := range batch {
		if e, had := last[it.Part.Unique]; !had || it.Event.OccurredAt.After(e.OccurredAt) {
			last[it.Part.Unique] = it.Event
		}
	}
	var q destinations.Request
	for _, it := range batch {
		q.Bodies = append(q.Bodies, []byte(`"`+it.Part.Unique+"="+string(last[it.Part.Unique].ID)+`"`))
	}
	for _, u := range slices.Sorted(maps.Keys(last)) {
		q.Body = fmt.Appendf(q.Body, "%s=%s ", u, last[u].ID)
	}
	return q, nil
}

func (c crm) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	out := c.vendor.Classify(batch, a)
	for i, it := range batch {
		if a.Status == 200 && c.refuse[it.Part.Unique] {
			out[i] = destinations.Outcome{Verdict: destinations.Reject, Reason: "refused"}
		}
	}
	return out
}

func TestTheLastBusinessTimeWinsInAnyOrder(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			b.end()
			defer b.end()
			var rows []string
			b.start(func(l *Lane) {
				l.Destination = crm{vendor: b.vendor, refuse: map[string]bool{"4": true}}
				b.vendor.contract.MaxBatch, b.vendor.contract.Linger = 3, time.Second
				l.Send = func(_ context.Context, q destinations.Request) (destinations.Response, error) {
					rows = append(rows, strings.Fields(string(q.Body))...)
					if n := len(strings.Fields(string(q.Body))); n > 3 {
						t.Errorf("a request of %d rows", n)
					}
					return destinations.Response{Status: 200}, nil
				}
			})
			b.settle()
			r := rand.New(rand.NewPCG(seed, 7))
			last := map[string]canonical.Event{}
			var events []canonical.Event
			for i := range 25 {
				e := funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(i+1), r.IntN(90)*100+i)
				e.OccurredAt = time.Now().Add(time.Duration(-i) * time.Minute).UTC()
				e.Object.ID = fmt.Sprint(r.IntN(5))
				if l, had := last[e.Object.ID]; !had || e.OccurredAt.After(l.OccurredAt) {
					last[e.Object.ID] = e
				}
				events = append(events, e)
			}
			r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
			b.giveAtOnce(events...)
			for u, e := range last {
				if want := u + "=" + string(e.ID); !slices.Contains(rows, want) {
					t.Errorf("seed %d: contact %s was never written with its last event %s: %v", seed, u, e.ID, rows)
				}
			}
			for _, e := range events {
				want := "delivered"
				if e.Object.ID == "4" {
					want = "dead refused"
				}
				b.want(e, want)
			}
		})
	}
}

func TestARowThatIsRefusedAloneDiesWithItsItems(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination = rowVendor{b.vendor} })
		b.vendor.bad = map[canonical.EventID]bool{"e3": true}
		var events []canonical.Event
		for i := range 8 {
			e := funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(i+1), 1)
			e.Object.ID = fmt.Sprint(i / 2)
			events = append(events, e)
		}
		b.giveAtOnce(events...)
		for i, e := range events {
			want := "delivered"
			if i/2 == 1 {
				want = "dead refused"
			}
			b.want(e, want)
		}
		for _, n := range b.vendor.sizes {
			if n%2 != 0 {
				t.Errorf("a row was torn: requests of %v items", b.vendor.sizes)
			}
		}
	})
}

// rowVendor merges items of one object into a row.
type rowVendor struct{ *vendor }

func (v rowVendor) Plan(e canonical.Event, _ canonical.Known, _ canonical.Route) ([]destinations.Part, destinations.Refusal) {
	return []destinations.Part{{Name: "event", Unique: e.Object.ID, Merges: true}}, destinations.Refusal{}
}

// giveAtOnce appends events in one go, so that one poll takes them.
func (b *bench) giveAtOnce(events ...canonical.Event) {
	b.t.Helper()
	b.appendAll(events)
	b.settle()
	time.Sleep(time.Minute)
	synctest.Wait()
}

func TestTheRequestsForBadItemsAreBounded(t *testing.T) {
	const n = 5000
	for _, c := range []struct{ bad, batch int }{{1, 5000}, {7, 5000}, {50, 5000}, {1, 1000}, {7, 1000}, {50, 1000}} {
		t.Run(fmt.Sprint(c.bad, " of batches of ", c.batch), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.vendor.contract.MaxBatch = c.batch
				b.vendor.bad = map[canonical.EventID]bool{}
				r := rand.New(rand.NewPCG(uint64(c.bad), uint64(c.batch)))
				for len(b.vendor.bad) < c.bad {
					b.vendor.bad[canonical.EventID(fmt.Sprint("e", r.IntN(n)))] = true
				}
				var events []canonical.Event
				for i := range n {
					events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(i+1), 1))
				}
				_, before, _ := b.log.Bounds(t.Context(), b.topics.Deliveries)
				b.giveAtOnce(events...)
				dead, err := b.ledger.Counted("acme", Dead)
				if err != nil || dead != c.bad || len(b.vendor.got) != n-c.bad {
					t.Errorf("%d dead and %d taken, want %d and %d (%v)", dead, len(b.vendor.got), c.bad, n-c.bad, err)
				}
				k, batches := float64(c.bad), float64(n/c.batch)
				bound := int(2*k*(math.Log2(float64(n)/max(k, batches))+2) + batches)
				if got := len(b.vendor.sizes); got > bound {
					t.Errorf("%d requests, the bound is %d", got, bound)
				}
				_, after, _ := b.log.Bounds(t.Context(), b.topics.Deliveries)
				records := after[0] + after[1] - before[0] - before[1]
				t.Logf("%d bad of %d in batches of %d: %d requests, bound 2k(log2(n/max(k,b))+2)+b = %d, b = n/batch; %d records of state", c.bad, n, c.batch, len(b.vendor.sizes), bound, records)
				if records != 2*n {
					t.Errorf("%d records for %d items: an intent and an outcome each are enough", records, n)
				}
			})
		})
	}
}
