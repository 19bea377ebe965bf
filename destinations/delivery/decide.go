package delivery

import (
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A situation is all that a decision about one event depends on.
type situation struct {
	event    canonical.Event
	known    canonical.Known
	route    canonical.Route
	routed   bool
	contract destinations.Contract
	mode     Mode
	policy   Policy
	now      time.Time
	forced   bool
	asked    bool // somebody wants it now, or it waits for something else already: no delay holds it
}

// refuse says why an event goes no further here, before the adapter is asked; "" lets
// it pass. The order is the order of the reasons an operator would want to hear.
func refuse(s situation) string {
	switch {
	case s.event.Ignored != "":
		return canonical.ReasonIgnored
	case s.event.History:
		return canonical.ReasonHistory
	case s.event.Echo:
		return canonical.ReasonEcho
	case s.mode == Disabled:
		return canonical.ReasonDisabled
	case s.contract.NeedsRoute && !s.routed:
		return canonical.ReasonNotMapped
	case s.route.NotMeant:
		return canonical.ReasonNotMeant
	case s.event.CoveredBy == "contact":
		return canonical.ReasonCoveredByContact
	case s.event.CoveredBy != "":
		return canonical.ReasonCoveredByDeal
	case !s.route.Permits(s.event.Consent):
		return canonical.ReasonNoConsent
	case tooOld(s.event, s.contract, s.now):
		return canonical.ReasonTooOld
	case !s.forced && s.now.Sub(s.event.ReceivedAt) > s.policy.Horizon:
		return canonical.ReasonLedgerExpired
	case s.route.Broken != "":
		return canonical.ReasonHold
	case s.now.Before(dueAt(s.event, s.route)) && !s.asked:
		return canonical.ReasonDelay
	}
	return ""
}

// dueAt is when the line of the mapping wants an event to be decided on: its delay after it
// happened, and not later than that after we heard of it.
func dueAt(e canonical.Event, route canonical.Route) time.Time {
	return destinations.HappenedAt(e).Add(route.Delay)
}

// tooOld is asked when deciding and once more right before sending. The vendor judges when
// the request arrives, which may be as late as its time-out.
func tooOld(e canonical.Event, c destinations.Contract, now time.Time) bool {
	return c.MaxAge > 0 && now.Add(c.Timeout).Sub(e.OccurredAt) > c.MaxAge
}

// SlotOf names what a funnel event takes at a destination: the deal where a deal counts
// the name, else the person's node. "" for names without slots.
func SlotOf(e canonical.Event) string {
	n := slotNode(e)
	if !e.Funnel || n == 0 || e.CountedBy == "event" {
		return ""
	}
	return slotAt(n, e.Name)
}

func slotNode(e canonical.Event) canonical.NodeID {
	if e.CountedBy == "deal" {
		deal := e.Object
		if deal.Type != "deal" { // a report of something else that names its deal
			deal = canonical.Object{Account: e.Object.Account, Type: "deal", ID: e.Deal}
		}
		if id, ok := canonical.ObjectIdentifier(deal); ok {
			return id.Node()
		}
	}
	return waitsUnder(e)
}

func slotAt(n canonical.NodeID, name string) string { return n.String() + "|" + name }

// sentAgain is true where the mapping's recycle policy sends what is no first reach.
func sentAgain(e canonical.Event, reason string) bool {
	switch e.Recycle {
	case canonical.RecycleSend:
		return reason == canonical.ReasonRecycled || reason == canonical.ReasonRepeat
	case canonical.RecycleReport:
		return reason == canonical.ReasonRecycled
	}
	return false
}

// againName is what stands for the stage in the slot of an event that is sent again: each
// time that it is reached has a slot of its own.
func againName(name string, id canonical.EventID) string { return name + "#" + string(id) }

// backoff gives the wait before the attempt after n failed ones: full jitter over an
// exponential bound. roll is in [0,1).
func backoff(p Policy, n int, roll float64) time.Duration {
	bound := p.BackoffMin
	for range n - 1 {
		if bound >= p.BackoffMax/2 {
			bound = p.BackoffMax
			break
		}
		bound *= 2
	}
	return time.Duration(roll * float64(min(bound, p.BackoffMax)))
}
