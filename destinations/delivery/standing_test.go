package delivery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
)

// act lets somebody act on the destination.
func (b *bench) act(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.settle()
}

func (b *bench) resume()  { b.t.Helper(); b.act(b.lane.Resume(b.t.Context(), "ops", "mended")) }
func (b *bench) disable() { b.t.Helper(); b.act(b.lane.Disable(b.t.Context(), "ops", "given up")) }
func (b *bench) pause()   { b.t.Helper(); b.act(b.lane.Pause(b.t.Context(), "ops", "a look first")) }
func (b *bench) halt(why string) {
	b.t.Helper()
	b.act(b.lane.write(b.t.Context(), []canonical.Delivery{b.lane.controlRecord(canonical.ControlHalt, why)}))
}

func (b *bench) standing(want string) {
	b.t.Helper()
	if word, _, _ := b.lane.Standing(); word != want {
		b.t.Errorf("the destination stands at %q, want %q", word, want)
	}
}

func TestAPausedLaneReadsAndSendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answer(429)
		due := funnel("due", "qualified_lead", 2, 1, 1)
		b.give(due)
		b.want(due, "parked retry")
		b.pause()
		fresh := funnel("fresh", "qualified_lead", 2, 2, 1)
		b.give(fresh)
		time.Sleep(time.Hour)
		b.settle()
		b.want(due, "parked retry")
		b.standing(canonical.ControlPause)
		if got := b.lane.Trouble(); len(got) != 1 || !strings.Contains(got[0], "a look first") {
			t.Errorf("trouble is %q", got)
		}
		b.restart() // another process: it stands still as well
		b.standing(canonical.ControlPause)
		if n := len(b.vendor.sizes); n != 1 {
			t.Errorf("%d requests, want the one before the pause", n)
		}
		b.resume()
		b.want(due, "delivered")
		b.want(fresh, "delivered")
		if got := b.lane.Trouble(); got != nil {
			t.Errorf("trouble is %q", got)
		}
	})
}

func TestAHaltOutlivesAProcessAndIsSeenInAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answer(401)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.standing(canonical.ControlHalt)
		b.restart()
		b.standing(canonical.ControlHalt)
		// A process that does not own the lane resumes it.
		other := &Lane{Name: "acme", Mode: Live, Log: b.log, Topics: b.topics, Ledger: b.ledger, Logger: b.lane.Logger}
		b.act(other.Resume(t.Context(), "ops", "token renewed"))
		b.want(e, "delivered")
		d, _ := b.ledger.Control("acme")
		if d.Who != "ops" || d.Detail != "token renewed" {
			t.Errorf("the record says %+v", d)
		}
	})
}

func TestADisabledDestinationIsGivenUpUntilItIsResumed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answer(401)
		first, later := funnel("a", "qualified_lead", 2, 1, 1), funnel("b", "qualified_lead", 2, 2, 1)
		b.give(first)
		b.disable()
		b.want(first, "suppressed disabled")
		b.restart()
		b.give(later)
		b.want(later, "suppressed disabled")
		b.resume()
		last := funnel("c", "qualified_lead", 2, 3, 1)
		b.give(last)
		b.want(last, "delivered")
		b.times(1)
	})
}

func TestWhatTheConfigurationHoldsNobodyResumes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Mode = Paused })
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.times(0)
		if err := b.lane.Resume(t.Context(), "ops", ""); !errors.Is(err, ErrConfigured) {
			t.Errorf("error %v", err)
		}
		b.end()
		b.start()
		b.settle()
		b.times(1)
	})
}

func TestAResumedLaneDoesNotWaitForItsCircuit(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Policy.BackoffMin, b.lane.Policy.BackoffMax = 3*time.Hour, 3*time.Hour
		b.vendor.answer(429)
		b.vendor.after = 6 * time.Hour
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		next := funnel("b", "qualified_lead", 2, 2, 1)
		b.give(next)
		if got := b.lane.Trouble(); len(got) != 1 || !strings.Contains(got[0], "waiting") {
			t.Errorf("trouble is %q", got)
		}
		time.Sleep(time.Hour)
		b.times(0)
		b.resume()
		b.want(next, "delivered")
		time.Sleep(6 * time.Hour)
		b.settle()
		b.want(e, "delivered")
	})
}

// listed gives a list of the ledger, page by page.
func (b *bench) listed(list List, page int) []string {
	b.t.Helper()
	var out []string
	for after := ""; ; {
		n := 0
		if err := b.ledger.Listed("acme", list, after, func(cursor string, d canonical.Delivery) bool {
			out, after, n = append(out, string(d.Event.ID)), cursor, n+1
			return n < page
		}); err != nil {
			b.t.Fatal(err)
		}
		if n < page {
			break
		}
	}
	if n, err := b.ledger.Counted("acme", list); err != nil || n != len(out) {
		b.t.Errorf("%d are counted and %d listed on %s, %v", n, len(out), list, err)
	}
	return out
}

func (b *bench) discard(e canonical.Event) {
	b.t.Helper()
	b.act(b.lane.write(b.t.Context(), []canonical.Delivery{{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateSuppressed,
		Reason: canonical.ReasonDiscarded, At: time.Now().UTC(), Who: "ops", Detail: "of a test"}}))
}

func TestDeadLettersAreListedAndDiscarded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.bad = map[canonical.EventID]bool{}
		var events []canonical.Event
		for i := range 5 {
			e := funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(i+1), 1)
			b.vendor.bad[e.ID] = i != 2
			events = append(events, e)
			b.give(e)
		}
		if got, want := fmt.Sprint(b.listed(Dead, 2)), "[e0 e1 e3 e4]"; got != want {
			t.Errorf("dead: %s, want %s", got, want)
		}
		b.discard(events[0])
		b.discard(events[2]) // delivered: a race that the discarding lost
		b.want(events[0], "suppressed discarded")
		b.want(events[2], "delivered")
		b.vendor.forgive()
		b.replay("r1", events[1], false)
		if got, want := fmt.Sprint(b.listed(Dead, 1)), "[e3 e4]"; got != want {
			t.Errorf("dead: %s, want %s", got, want)
		}
		b.restart()
		b.want(events[0], "suppressed discarded")
		b.replay("r2", events[0], false) // given up, and wanted after all
		b.want(events[0], "delivered")
		if d, _, _ := b.ledger.Part("acme", events[0].Key(), "event"); d.Attempt != 2 {
			t.Errorf("its attempt is %d, want 2", d.Attempt)
		}
	})
}

func TestHeldItemsAreListedAndDiscarded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.contract.Ambiguous = "hold"
		b.vendor.answers, b.vendor.breaks = []int{0}, errors.New("reset")
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		if got := fmt.Sprint(b.listed(Held, 9)); got != "[e]" {
			t.Errorf("held: %s", got)
		}
		b.discard(e)
		b.want(e, "suppressed discarded")
		if got := b.listed(Held, 9); got != nil {
			t.Errorf("held: %s", got)
		}
		again := funnel("f", "qualified_lead", 2, 1, 2) // its slot is free
		b.give(again)
		b.want(again, "delivered")
	})
}
