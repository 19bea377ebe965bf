package delivery

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
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

func (f *forgetter) Forget(e *canonical.Event) bool { return f.ErasedNode(e.Node, time.Time{}) }

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
