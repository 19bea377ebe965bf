package linkedin

import (
	"testing"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
)

// Where LinkedIn answers element by element, exactly the bad ones are refused and nothing is
// split: one request for the batch. Where it refuses the batch whole (the lane's own test
// covers that, with its bound) every item is to be split.
func TestEachElementByItself(t *testing.T) {
	for _, bad := range []int{1, 7, 50} {
		for _, partial := range []bool{true, false} {
			sim, call := vendor(t, simulator.LinkedInAccount{Rules: []simulator.Rule{{ID: "1"}}, Partial: partial})
			d := configured(t, "rules: {won: 1}\nbatch: 5000\n")
			events := destinationtest.Deals(5000)
			wrong := map[canonical.EventID]bool{}
			for i := range bad {
				e := &events[(i*7919+4242)%len(events)]
				e.OccurredAt = e.OccurredAt.AddDate(0, 0, -91) // the lane would have stopped these
				wrong[e.ID] = true
			}
			for i := range events { // all in the vendor's past
				if !wrong[events[i].ID] {
					events[i].OccurredAt, events[i].ReceivedAt = destinationtest.Noon, destinationtest.Noon
				}
			}
			batch := destinationtest.Plan(t, d, canonical.Route{Rule: "won"}, events)[0]
			q, err := d.Build(batch)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := call(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for i, o := range d.Classify(batch, answer) {
				switch {
				case !partial && o.Verdict != destinations.Split:
					t.Fatalf("of a batch refused whole %s is %s", batch[i].Event.ID, o.Verdict)
				case !partial:
				case o.Verdict == destinations.Reject && wrong[batch[i].Event.ID]:
					refused++
				case o.Verdict != destinations.Delivered || wrong[batch[i].Event.ID]:
					t.Fatalf("%s is %s %s; bad: %v", batch[i].Event.ID, o.Verdict, o.Reason, wrong[batch[i].Event.ID])
				}
			}
			stats := sim.Stats(simulator.LinkedIn)
			if partial && (refused != bad || stats.Accepted != int64(5000-bad) || stats.Requests != 1) || !partial && stats.Accepted != 0 {
				t.Errorf("%d bad, partial %v: %d refused, %d taken, %d requests", bad, partial, refused, stats.Accepted, stats.Requests)
			}
		}
	}
}
