package delivery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/eventlog"
)

// What an operator meets in a bad night: halts that last, accounts that cannot be looked at,
// clocks that differ, attempts whose part is no longer planned.

func TestWhatAHaltParkedIsTriedAsLongAsEverAfterIt(t *testing.T) {
	for name, stop := range map[string]func(b *bench){
		"halt":  func(b *bench) { b.vendor.answer(401) },
		"pause": func(b *bench) { b.vendor.answer(429); b.settle() },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				stop(b)
				e := funnel("e", "qualified_lead", 2, 1, 1)
				b.give(e)
				if name == "pause" {
					b.pause()
				}
				time.Sleep(100 * time.Hour)
				b.vendor.answer(429)
				b.resume()
				b.want(e, "parked retry")
				time.Sleep(time.Hour)
				b.settle()
				b.want(e, "delivered")
			})
		})
	}
}

func TestAfterAHaltTriesAreExhaustedAllTheSame(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answer(401)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(100 * time.Hour)
		b.vendor.answer(slowly(2000)...)
		b.resume()
		time.Sleep(60 * time.Hour)
		b.restart() // the clock is in the log, not in a process
		b.want(e, "parked retry")
		time.Sleep(14 * time.Hour)
		b.settle()
		b.want(e, "dead retries_exhausted")
	})
}

func slowly(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 429
	}
	return out
}

func TestNothingIsSentByADestinationThatHasNotLearnt(t *testing.T) {
	schooled(t, make([]int, 14), func(t *testing.T, b *bench, s *school) {
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(12 * time.Hour)
		b.settle()
		b.want(e, "delivered")
		for _, path := range s.shown {
			if path == "/" {
				t.Fatalf("it sent before it had learnt: %q", s.shown)
			}
		}
	})
}

func TestADisabledDestinationReadsOnThoughItsVendorIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.after = 10 * time.Hour
		b.vendor.answer(429)
		b.give(funnel("first", "qualified_lead", 2, 1, 1)) // opens the circuit
		old := people100("old", 1000, 3)
		b.lowOrders(old)
		b.disable()
		for _, e := range old {
			b.want(e, "suppressed disabled")
		}
		if got := strings.Join(b.lane.Trouble(), "\n"); strings.Contains(got, "waiting") {
			t.Errorf("a disabled destination waits for nobody: %q", got)
		}
	})
}

func TestALaneDoesNotHaltOverWhatSomebodyDid(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) {
			l.Send = func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
				if err := l.Disable(ctx, "ops", "given up"); err != nil { // while it is on its way
					t.Error(err)
				}
				return destinations.Response{Status: 401}, nil
			}
		})
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.standing(canonical.ControlDisable)
		b.want(e, "suppressed disabled")
	})
}

func TestAResumeByASlowClockHolds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.after = 10 * time.Hour
		b.vendor.answer(429)
		b.give(funnel("first", "qualified_lead", 2, 1, 1))
		b.pause()
		b.restart()
		b.resume()
		b.vendor.answer(429)
		b.give(funnel("second", "qualified_lead", 2, 2, 1))
		d := b.lane.controlRecord(canonical.ControlRun, "by a process an hour behind")
		d.At = d.At.Add(-time.Hour)
		b.act(b.lane.write(t.Context(), []canonical.Delivery{d}))
		third := funnel("third", "qualified_lead", 2, 3, 1)
		b.give(third)
		b.want(third, "delivered")
	})
}

func TestAnAttemptWhosePartIsNoLongerPlannedIsNotLeftOpen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.appendAll([]canonical.Event{e})
		intent := canonical.Delivery{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, At: time.Now().UTC(), Attempt: 1}
		v, err := intent.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.log.Append(t.Context(), b.topics.Deliveries, eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeDelivery, Version: eventlog.Schema}); err != nil {
			t.Fatal(err)
		}
		b.vendor.plan(destinations.Part{Name: "other"}) // the configuration changed while the process was down
		b.start()
		b.settle()
		b.want(e, "other delivered, suppressed not_configured")
		if d, _, _ := b.ledger.Part("acme", e.Key(), "event"); !d.Ambiguous {
			t.Errorf("the attempt's answer never came, and the record does not say so: %+v", d)
		}
	})
}

func TestASuccessThatSaysNothingOpensTheCircuit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		pages := make([]int, 6)
		for i := range pages {
			pages[i] = 202
		}
		b.vendor.answer(pages...)
		var events []canonical.Event
		for i := range 400 {
			events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(100+i), 1))
		}
		b.give(events...)
		if n := b.vendor.requests(); n > len(pages)+1 {
			t.Errorf("%d requests at once to a vendor that says nothing", n)
		}
		time.Sleep(2 * time.Hour)
		b.settle()
		for _, e := range events {
			b.want(e, "delivered")
		}
	})
}
