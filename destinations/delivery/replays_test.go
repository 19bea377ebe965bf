package delivery

import (
	"context"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// times says how often the vendor took an event.
func (b *bench) times(want int) {
	b.t.Helper()
	b.vendor.mu.Lock()
	defer b.vendor.mu.Unlock()
	if len(b.vendor.got) != want {
		b.t.Errorf("the vendor took %v, want %d", b.vendor.got, want)
	}
}

func TestAReplaySendsWhatIsHeldAsAmbiguous(t *testing.T) {
	for _, force := range []bool{false, true} {
		inBubble(t, func(t *testing.T, b *bench) { // also outside the vendor's window: somebody asked
			b.vendor.contract.Ambiguous, b.vendor.contract.ResendWithin = destinations.Hold, 48*time.Minute
			b.vendor.answers, b.vendor.breaks = []int{0}, context.DeadlineExceeded
			e := funnel("a", "qualified_lead", 2, 1, 1)
			b.give(e)
			time.Sleep(72 * time.Minute)
			b.want(e, "parked ambiguous")
			b.replay("r1", e, force)
			b.want(e, "delivered")
			b.replay("r1", e, force) // the order is read twice
			b.times(1)
		})
	}
}

func TestAReplayOfWhatWasGivenUpHasTriesOfItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Policy.RetryFor, b.lane.Policy.BackoffMin, b.lane.Policy.BackoffMax = 10*time.Minute, time.Minute, 2*time.Minute
		b.vendor.answers = slices.Repeat([]int{503}, 1000)
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "dead retries_exhausted")
		b.vendor.answer(429)
		time.Sleep(5 * time.Minute)
		b.replay("r1", e, false)
		time.Sleep(10 * time.Minute)
		b.settle()
		b.want(e, "delivered")
	})
}

func TestAForcedOrderReadTwiceSendsOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.bad = map[canonical.EventID]bool{"a": true}
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "dead refused")
		b.vendor.forgive()
		b.replay("r1", e, true)
		b.replay("r1", e, true)
		b.want(e, "delivered")
		b.times(1)
		again := funnel("b", "qualified_lead", 2, 1, 3) // the forced one took the slot that was free
		b.give(again)
		b.want(again, "suppressed re_report")
	})
	inBubble(t, func(t *testing.T, b *bench) { // the order comes before its event
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.replay("r1", e, true)
		b.give(e)
		b.replay("r1", e, true)
		b.times(1)
	})
}

func TestAForcedPartThatDiesLeavesTheEventDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.vendor.bad = map[canonical.EventID]bool{"a": true}
		b.replay("r1", e, true)
		b.want(e, "delivered, event!r1 dead refused")
		parts, _ := b.lane.State(e.Key())
		if got := Worst(parts).State; got != canonical.StateDelivered {
			t.Errorf("the event is %s", got)
		}
		if p := b.prospect(e, false); p != string(AlreadyThere) {
			t.Errorf("a plain replay would come to %q", p)
		}
	})
}

func TestAHeldPartIsNotSentBecauseItsEventWakes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.identify, b.vendor.contract.Ambiguous = true, destinations.Hold
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "parked awaiting_identity")
		b.halt("nothing moves in this process any more")
		// The process had sent the part when it was killed, before it could end the event's wait.
		now, content := time.Now().UTC(), e
		content.Known = &canonical.Known{Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "102"}}}
		intent := canonical.Delivery{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, Attempt: 1, At: now, FirstTry: &now, Slot: SlotOf(e), Known: content.Known}
		held := intent
		held.State, held.Reason, held.Content, held.Ambiguous, held.Known = canonical.StateParked, canonical.ReasonAmbiguous, &content, true, nil
		if err := b.lane.write(t.Context(), []canonical.Delivery{intent, held}); err != nil {
			t.Fatal(err)
		}
		b.people.learn(1, "102")
		b.restart()
		time.Sleep(time.Minute)
		b.settle()
		b.times(0)
	})
}

func TestAPartThatMustWaitAfterAttemptsIsParkedOnce(t *testing.T) {
	for _, reason := range []string{canonical.ReasonHold, canonical.ReasonAwaitingIdentity} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.vendor.answers = []int{429}
			e := funnel("a", "qualified_lead", 2, 1, 1)
			b.give(e)
			b.want(e, "parked retry")
			b.vendor.plan(destinations.Part{Name: "event", Refused: destinations.Refusal{Reason: reason}}) // the mapping was edited
			time.Sleep(5 * time.Minute)
			b.settle()
			b.want(e, "parked "+reason)
			_, before, _ := b.log.Bounds(t.Context(), b.topics.Deliveries)
			time.Sleep(5 * time.Minute)
			if _, after, _ := b.log.Bounds(t.Context(), b.topics.Deliveries); !slices.Equal(before, after) {
				t.Errorf("%s: it is decided again and again: %v, then %v", reason, before, after)
			}
		})
	}
}

func TestAReplayedPartThatMustWaitIsWoken(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.bad = map[canonical.EventID]bool{"a": true}
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "dead refused")
		b.vendor.forgive()
		b.vendor.plan(destinations.Part{Name: "event", Refused: destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity}})
		b.replay("r1", e, false)
		b.want(e, "parked awaiting_identity")
		b.vendor.plan()
		b.people.learn(1, "1")
		b.settle()
		b.want(e, "delivered")
	})
}

func TestNothingOfATestIsSentForReal(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Mode, b.vendor.identify = Test, true
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "parked awaiting_identity")
		b.lane.Mode = Live
		b.people.learn(1, "102")
		b.settle()
		b.times(0)
		b.replay("r1", e, false) // unless somebody asks for it
		b.times(1)
	})
}

func TestAForcedReplayIsNotHeldBackByTheLedgersHorizon(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		e.ReceivedAt = time.Now().Add(-200 * 24 * time.Hour)
		if p := b.prospect(e, false); p != canonical.ReasonLedgerExpired {
			t.Errorf("prospect %q", p)
		}
		if p := b.prospect(e, true); p != string(NewlyEligible) {
			t.Errorf("prospect of a forced one %q", p)
		}
		b.replay("r1", e, true)
		b.times(1)
	})
}
