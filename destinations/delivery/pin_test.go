package delivery

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"tributary/canonical"
)

// Routes are asked for once a batch, and after it was read: what was named by a mapping that
// went live meanwhile is decided by that one, and all of a batch by one.
func TestOneBatchIsDecidedByOneMapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.settle()
		b.end()
		defer func() { b.end() }()
		var mu sync.Mutex
		version, used := 1, map[int]int{}
		b.start(func(l *Lane) {
			l.Pin = func() Routes {
				mu.Lock()
				pinned := version
				mu.Unlock()
				return func(e *canonical.Event) (canonical.Route, bool) {
					mu.Lock()
					defer mu.Unlock()
					version++ // another one goes live with every event decided
					used[pinned]++
					return canonical.Route{Event: fmt.Sprint("v", pinned)}, true
				}
			}
		})
		b.settle() // the lane waits for events with what was live when it began to
		mu.Lock()
		version = 10
		mu.Unlock()
		var events []canonical.Event
		for i := range 5 {
			events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(100+i), 1))
		}
		b.appendAll(events)
		b.settle()
		mu.Lock()
		defer mu.Unlock()
		asked := 0
		for v, n := range used {
			asked += n
			if v < 10 {
				t.Errorf("%d events were decided by version %d, which was no longer live", n, v)
			}
		}
		if asked == 0 || len(used) > 2 { // one batch for each of the two partitions, at most
			t.Errorf("used: %v", used)
		}
	})
}
