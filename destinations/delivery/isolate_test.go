package delivery

import (
	"fmt"
	"net/http"
	"testing"

	"tributary/canonical"
	"tributary/destinations"
)

// pointing is a vendor whose words point at items of a refused batch: the bad ones, or
// whatever lies says.
type pointing struct {
	*vendor
	lies func(i int) bool // nil: it tells the truth
}

func (v pointing) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	out := v.vendor.Classify(batch, a)
	for i := range out {
		if out[i].Verdict != destinations.Split {
			continue
		}
		if out[i].Suspect = v.bad[batch[i].Event.ID]; v.lies != nil {
			out[i].Suspect = v.lies(i)
		}
	}
	return out
}

// What the vendor's words point at is tried first; where the words are wrong they cost one
// round and no more, and nothing is dead for words alone.
func TestWordsAreHints(t *testing.T) {
	const n, bad = 1000, 7
	for name, c := range map[string]struct {
		lies func(i int) bool
		most int
	}{
		"true words":      {nil, 2 + bad + 2}, // the log is read in two
		"no words":        {func(int) bool { return false }, 2 * bad * 10},
		"wrong words":     {func(i int) bool { return i < 3 }, 3 + 2 + 2*bad*10},
		"words about all": {func(int) bool { return true }, 2 * bad * 10},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bench) {
				b.vendor.contract.MaxBatch = n
				b.vendor.bad = map[canonical.EventID]bool{}
				for i := range bad {
					b.vendor.bad[canonical.EventID(fmt.Sprint("e", 100+i*113))] = true
				}
				b.lane.Destination = pointing{b.vendor, c.lies}
				var events []canonical.Event
				for i := range n {
					events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(i+1), 1))
				}
				b.giveAtOnce(events...)
				dead, err := b.ledger.Counted("acme", Dead)
				if err != nil || dead != bad || len(b.vendor.got) != n-bad {
					t.Errorf("%d dead and %d taken, want %d and %d (%v)", dead, len(b.vendor.got), bad, n-bad, err)
				}
				if got := len(b.vendor.sizes); got > c.most {
					t.Errorf("%d requests, more than %d", got, c.most)
				}
			})
		})
	}
}

// An item that is parked waits for somebody; its siblings go on, and so does the lane.
func TestParkHoldsItsOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Destination = forbidding{b.vendor}
		b.giveAtOnce(funnel("held", "qualified_lead", 2, 1, 1), funnel("sent", "qualified_lead", 2, 2, 1))
		b.want(funnel("held", "qualified_lead", 2, 1, 1), "parked hold")
		b.want(funnel("sent", "qualified_lead", 2, 2, 1), "delivered")
		if word, why, _ := b.lane.Standing(); word == canonical.ControlHalt {
			t.Errorf("the lane stands still: %s", why)
		}
		if n, err := b.ledger.Counted("acme", Held); err != nil || n != 1 {
			t.Errorf("%d are listed as held, %v", n, err)
		}
	})
}

type forbidding struct{ *vendor }

func (v forbidding) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	out := v.vendor.Classify(batch, a)
	for i := range batch {
		if batch[i].Event.ID == "held" && a.Status != http.StatusServiceUnavailable {
			out[i] = destinations.Outcome{Verdict: destinations.Park, Reason: "rule_forbidden", Detail: "no such rule"}
		}
	}
	return out
}
