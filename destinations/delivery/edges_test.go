package delivery

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// restart ends the lane and starts another over the same log with an empty disk.
func (b *bench) restart() {
	b.end()
	b.start()
	b.settle()
}

func TestAForcedReplayIsTriedUntilItSucceeds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.vendor.answers = []int{429, 503}
		b.replay("rp", e, true)
		b.want(e, "delivered, event!rp parked retry")
		b.restart()
		time.Sleep(10 * time.Minute)
		b.settle()
		b.want(e, "delivered, event!rp delivered")
		if len(b.vendor.got) != 2 {
			t.Errorf("the vendor got %v, want two", b.vendor.got)
		}
	})
}

func TestAPartThatThePlanNoLongerGivesEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.plan(destinations.Part{Name: "rule:mql"})
		b.vendor.answers = []int{429}
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.vendor.plan(destinations.Part{Name: "rule:lead"}) // renamed in the mapping
		time.Sleep(10 * time.Minute)
		b.settle()
		b.want(e, "rule:mql suppressed not_configured")
		next := funnel("b", "qualified_lead", 2, 2, 1)
		b.give(next)
		b.want(next, "rule:lead delivered")
	})
}

func TestALaneThatLagsDoesNotGiveUpKnownPeople(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.identify = true
		b.halt("to be mended")
		e := funnel("a", "qualified_lead", 2, 1, 1) // built when nobody knew the person
		b.people.learn(1, "102")
		b.give(e)
		time.Sleep(48 * time.Hour)
		b.resume()
		b.settle()
		b.want(e, "delivered")
	})
}

func TestNothingIsResentOutsideTheVendorsWindow(t *testing.T) {
	for name, outage := range map[string]func(*bench){
		"the process was down": func(b *bench) { b.end(); time.Sleep(72 * time.Minute); b.start() },
		"the vendor was busy": func(b *bench) {
			b.vendor.answer(slices.Repeat([]int{429}, 10_000)...)
			time.Sleep(60 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.vendor.contract.ResendWithin = 48 * time.Minute
				b.lane.Policy.BackoffMin, b.lane.Policy.BackoffMax = time.Minute, 2*time.Minute
				b.vendor.answers, b.vendor.breaks = []int{0}, context.DeadlineExceeded
				e := funnel("a", "qualified_lead", 2, 1, 1)
				b.give(e)
				outage(b)
				b.vendor.answer()
				time.Sleep(10 * time.Minute)
				b.settle()
				b.want(e, "parked ambiguous")
				if len(b.vendor.got) != 0 {
					t.Errorf("it was sent again, outside the window")
				}
			})
		})
	}
}

func TestWhatADryRunHeldIsNotSentWhenItGoesLive(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Mode, b.vendor.identify = DryRun, true
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "suppressed dry_run")
		b.lane.Mode = Live
		b.people.learn(1, "102")
		b.settle()
		b.want(e, "suppressed dry_run")
	})
}

func TestAnAttemptLeftOpenIsSettledAlsoWhenItsEventIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		now := time.Now().UTC()
		// A process wrote the intent and died; its event's offset is not committed.
		if err := b.lane.write(t.Context(), []canonical.Delivery{{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, Attempt: 1, At: now, FirstTry: &now, Slot: SlotOf(e)}}); err != nil {
			t.Fatal(err)
		}
		b.disable()
		b.give(e)
		b.want(e, "suppressed disabled")
		d, _, _ := b.ledger.Part("acme", e.Key(), "event")
		if !d.Ambiguous {
			t.Error("the attempt is not listed as ambiguous")
		}
		if _, held, _ := b.ledger.Holder("acme", "event", SlotOf(e)); held {
			t.Error("it still holds its slot")
		}
	})
}

func TestAnOwnerThatWasFencedOffSpeaksTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		now := time.Now().UTC()
		intent := canonical.Delivery{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, Attempt: 2, At: now, FirstTry: &now}
		late := intent
		late.State, late.Reason, late.Attempt = canonical.StateParked, canonical.ReasonRetry, 1
		if err := b.lane.write(t.Context(), []canonical.Delivery{intent, late}); err != nil {
			t.Fatal(err)
		}
		if d, _, _ := b.ledger.Part("acme", e.Key(), "event"); d.State != canonical.StateIntent {
			t.Errorf("the late record was folded over the new owner's: %s", d.State)
		}
	})
}

func TestADealWithoutAContactWaitsForOne(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.identify = true
		e := funnel("a", "customer_won", 7, 0, 1)
		e.Object, e.CountedBy = canonical.Object{Type: "deal", ID: "9"}, "deal"
		b.give(e)
		b.want(e, "parked awaiting_identity")
		id, _ := canonical.ObjectIdentifier(e.Object)
		b.people.change(func(p *people) {
			p.known[0] = canonical.Known{Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "1"}}}
			p.touched = append(p.touched, id.Node())
		})
		b.settle()
		b.want(e, "delivered")
	})
}

func TestALogThatTakesNothingStopsTheLaneBeforeItSends(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		broken := errors.New("no space")
		r := newRun(b.lane, nil)
		b.log.Break(broken)
		e := funnel("a", "qualified_lead", 2, 1, 1)
		err := r.work(t.Context(), []job{{event: e, known: known(&e)}})
		if !errors.Is(err, broken) || len(b.vendor.sizes) != 0 {
			t.Errorf("error %v, %d requests: an intent must be durable before a request", err, len(b.vendor.sizes))
		}
		b.log.Break(nil)
	})
}
