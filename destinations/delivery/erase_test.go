package delivery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/budget"
)

// forgetter is told who is erased.
type forgetter struct {
	mu   sync.Mutex
	gone map[canonical.NodeID]bool
	upTo int64
}

func (f *forgetter) erase(n canonical.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone[n], f.upTo = true, f.upTo+1
}

func (f *forgetter) Forget(e *canonical.Event) bool {
	if e.Known != nil && f.ErasedNode(e.Known.Contact, time.Time{}) {
		k := *e.Known
		k.Contact, k.Identifiers = 0, nil
		e.Known = &k
	}
	return f.ErasedNode(e.Node, time.Time{})
}

func (f *forgetter) ErasedNode(n canonical.NodeID, _ time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone[n]
}

func (f *forgetter) ErasedUpTo() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.upTo
}

func TestWhatWaitsForSomebodyErasedEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.end()
		time.Sleep(time.Minute) // until the group is this lane's
		who := &forgetter{gone: map[canonical.NodeID]bool{}, upTo: -1}
		erasing := func(l *Lane) { l.Erased = who }
		b.start(erasing)
		b.settle()
		sent, dead, parked := funnel("sent", "lead_captured", 1, 7, 0), funnel("dead", "qualified_lead", 2, 7, 1), funnel("parked", "sales_qualified_lead", 3, 7, 2)
		his, later := funnel("his", "lead_captured", 1, 8, 0), funnel("later", "customer_won", 7, 7, 4)
		b.give(sent)
		b.vendor.answer(400)
		b.give(dead)
		b.vendor.answer(503, 503, 503, 503, 503, 503, 503, 503)
		b.give(parked)
		b.want(sent, "delivered")
		if got := b.states(dead) + ", " + b.states(parked); !strings.HasPrefix(got, "dead") || !strings.Contains(got, "parked retry") {
			t.Fatalf("before: %s", got)
		}
		counts, err := b.lane.Forget(t.Context(), true, func(n canonical.NodeID) bool { return n == 7 })
		if err != nil || counts[canonical.StateDead] != 1 || counts[canonical.StateParked] != 1 {
			t.Errorf("a dry run finds %v, %v; want one dead and one parked", counts, err)
		}
		b.vendor.answer()
		who.erase(7)
		requests := b.vendor.requests()
		b.give(later, his)
		time.Sleep(time.Hour)
		synctest.Wait()
		b.want(sent, "delivered")
		for _, e := range []canonical.Event{dead, parked, later} {
			b.want(e, "suppressed erased")
			parts, _ := b.lane.State(e.Key())
			for _, d := range parts {
				if d.Content != nil || d.Known != nil || len(d.Body) > 0 || d.Node != 0 {
					t.Errorf("event %s keeps %+v", e.ID, d)
				}
			}
		}
		b.want(his, "delivered")
		if got := b.vendor.requests() - requests; got > 2 { // his, and a probe before it at most
			t.Errorf("%d requests after the erasure", got)
		}
		for _, id := range b.vendor.got {
			if id == parked.ID || id == later.ID {
				t.Errorf("%s was sent", id)
			}
		}
		b.replay("again", dead, true)
		b.want(dead, "suppressed erased, suppressed erased") // the part, and the event that was asked for
		rows, err := b.lane.Preview(Ask{ReplayID: "p", Force: true}).Event(t.Context(), parked)
		if err != nil || len(rows) != 1 || rows[0].Reason != canonical.ReasonErased || rows[0].Class.Sends() {
			t.Errorf("a preview says %+v, %v", rows, err)
		}

		b.end() // another process folds the same
		b.start(erasing)
		b.settle()
		b.want(dead, "suppressed erased, suppressed erased")
		b.want(parked, "suppressed erased")
		b.want(later, "suppressed erased")
	})
}

// What was decided on and waits to be let go, or was refused with others and goes once more, is not
// sent of somebody erased meanwhile.
func TestSomebodyErasedWhileABatchWaits(t *testing.T) {
	for name, c := range map[string]struct {
		batch  int
		limits []destinations.Limit
	}{
		"for the budget":     {1, []destinations.Limit{{Name: "day", Requests: 1, Daily: true}}},
		"for its other half": {100, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.end()
				b.vendor.contract.MaxBatch = c.batch
				who := &forgetter{gone: map[canonical.NodeID]bool{}, upTo: -1}
				b.start(func(l *Lane) {
					l.Erased = who
					if c.limits != nil {
						l.Budget = budget.New("acme", c.limits, budget.Options{})
						return
					}
					l.Send = func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
						answer, err := b.vendor.send(ctx, q)
						who.erase(8) // while it was on its way
						return answer, err
					}
				})
				b.vendor.answer(map[int]int{1: 200, 100: 400}[c.batch])
				first, hers, last := funnel("first", "lead_captured", 1, 7, 0), funnel("hers", "lead_captured", 1, 8, 0), funnel("last", "lead_captured", 1, 9, 0)
				deal := funnel("deal", "customer_won", 7, 10, 0) // that she is the contact of
				deal.Known = &canonical.Known{Offset: -1, Contact: 8, Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "108"}}}
				b.people.change(func(p *people) { p.known[10] = *deal.Known })
				b.giveAtOnce(first, hers, deal, last)
				who.erase(8)
				b.people.change(func(p *people) { p.known[10] = canonical.Known{Offset: -1} })
				time.Sleep(60 * time.Hour)
				synctest.Wait()
				b.want(first, "delivered")
				b.want(last, "delivered")
				b.want(deal, "delivered")
				b.want(hers, "suppressed erased")
				if slices.Contains(b.vendor.got, hers.ID) || b.vendor.contact[deal.ID] != 0 {
					t.Error("what told of somebody erased was sent")
				}
			})
		})
	}
}
