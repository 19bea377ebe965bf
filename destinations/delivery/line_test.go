package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// routed runs a bench whose mapping gives every event one line.
func routed(t *testing.T, route canonical.Route, f func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.settle()
		b.end()
		defer func() { b.end() }()
		b.start(func(l *Lane) {
			l.Routes = func(*canonical.Event) (canonical.Route, bool) { return route, true }
		})
		b.settle()
		f(b)
	})
}

func now(id string) canonical.Event {
	e := funnel(id, "customer_won", 6, 7, 0)
	e.OccurredAt = time.Now().UTC()
	return e
}

func TestALineMayWantAnEventLater(t *testing.T) {
	routed(t, canonical.Route{Event: "Purchase", Delay: 2 * time.Hour}, func(b *bench) {
		b.vendor.identify = true
		e := now("a")
		b.give(e)
		b.want(e, "parked delay")
		states, _ := b.lane.State(e.Key())
		if d := states[0]; d.Due == nil || !d.Due.Equal(e.OccurredAt.Add(2*time.Hour)) {
			t.Errorf("due at %v", d.Due)
		}
		b.give(e) // a copy changes nothing
		time.Sleep(2*time.Hour - 10*time.Second)
		b.settle()
		b.want(e, "parked delay")
		b.people.learn(7, "102948") // it is decided with what is known then
		b.settle()
		b.want(e, "parked delay")
		time.Sleep(10 * time.Second)
		b.settle()
		b.want(e, "delivered")
		if len(b.vendor.got) != 1 {
			t.Errorf("sent %v", b.vendor.got)
		}

		late := now("b")
		late.Node, late.OccurredAt = 8, late.OccurredAt.Add(-3*time.Hour)
		b.people.learn(8, "102949")
		b.give(late)
		b.want(late, "delivered")
	})
}

func TestADelayIsNoReasonToWaitForWhatSomebodyAsks(t *testing.T) {
	routed(t, canonical.Route{Delay: time.Hour}, func(b *bench) {
		e := now("a")
		b.give(e)
		b.want(e, "parked delay")
		b.replay("rp_1", e, false)
		b.want(e, "delivered")
		time.Sleep(2 * time.Hour)
		b.settle()
		b.want(e, "delivered")
		if len(b.vendor.got) != 1 {
			t.Errorf("sent %v", b.vendor.got)
		}
	})
}

func TestADelayedFactIsStillSentOnce(t *testing.T) {
	routed(t, canonical.Route{Delay: time.Hour}, func(b *bench) {
		first, second := now("a"), now("b")
		second.OccurredAt = second.OccurredAt.Add(time.Minute)
		second.ReceivedAt = second.OccurredAt
		b.give(first, second)
		b.want(first, "parked delay")
		b.want(second, "parked delay")
		time.Sleep(2 * time.Hour)
		b.settle()
		b.want(first, "delivered")
		b.want(second, "suppressed re_report")
	})
}

func TestALineThatIsNotMeantOrBroken(t *testing.T) {
	routed(t, canonical.Route{NotMeant: true}, func(b *bench) {
		e := now("a")
		b.give(e)
		b.want(e, "suppressed not_meant")
	})
	routed(t, canonical.Route{Broken: "the condition at m.yaml:3 could not be evaluated"}, func(b *bench) {
		e := now("a")
		b.give(e)
		b.want(e, "parked hold")
		if states, _ := b.lane.State(e.Key()); states[0].Detail != "the condition at m.yaml:3 could not be evaluated" {
			t.Errorf("%+v", states[0])
		}
	})
}

func TestConsentIsWhatTheLineAsksFor(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]*canonical.Consent{
		"nothing was said": nil, "empty": {}, "yes": {AdUserData: &yes}, "yes to storage": {AdStorage: &yes}, "no": {AdUserData: &no}, "yes and no": {AdUserData: &yes, AdStorage: &no},
	} {
		for asks, want := range map[string]map[string]bool{
			"":           {"nothing was said": true, "empty": true, "yes": true, "yes to storage": true},
			"not_denied": {"nothing was said": true, "empty": true, "yes": true, "yes to storage": true},
			"required":   {"yes": true, "yes to storage": true},
			"ignore":     {"nothing was said": true, "empty": true, "yes": true, "yes to storage": true, "no": true, "yes and no": true},
		} {
			s := situation{event: canonical.Event{Consent: c, ReceivedAt: time.Now(), OccurredAt: time.Now()}, route: canonical.Route{Consent: asks}, routed: true,
				contract: destinations.Contract{NeedsRoute: true}, policy: DefaultPolicy(), now: time.Now()}
			if got := refuse(s) == ""; got != want[name] {
				t.Errorf("consent %q, %s: sent is %v", asks, name, got)
			}
		}
	}
}
