package delivery

import (
	"testing"

	"tributary/canonical"
)

// foreseen gives the one part that a replay would come to.
func (b *bench) foreseen(e canonical.Event, a Ask) Foreseen {
	b.t.Helper()
	a.ReplayID = "asked"
	rows, err := b.lane.Preview(a).Event(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(rows) != 1 {
		b.t.Fatalf("a replay would come to %+v", rows)
	}
	return rows[0]
}

// prospect says it as one word: the class of what would be sent, else the reason.
func (b *bench) prospect(e canonical.Event, force bool) string {
	b.t.Helper()
	f := b.foreseen(e, Ask{Force: force, Held: true})
	if f.Class.Sends() || f.Class == AlreadyThere {
		return string(f.Class)
	}
	return f.Reason
}

func TestClassesOfAReplay(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		sent, bad, later, left := funnel("sent", "qualified_lead", 2, 1, 1), funnel("bad", "qualified_lead", 2, 2, 1), funnel("later", "qualified_lead", 2, 1, 3), funnel("left", "page_viewed", 2, 4, 1)
		b.vendor.bad = map[canonical.EventID]bool{"bad": true}
		b.give(sent, bad, later, left)
		b.want(later, "suppressed re_report")
		for _, tc := range []struct {
			e     canonical.Event
			force bool
			want  Foreseen
		}{
			{sent, false, Foreseen{Class: AlreadyThere}},
			{sent, true, Foreseen{Class: Same, Ask: true}},
			{bad, false, Foreseen{Class: Same, Ask: true}},
			{later, false, Foreseen{Class: Suppressed, Reason: canonical.ReasonReReport}},
			{later, true, Foreseen{Class: NewlyEligible, Ask: true}},
			{left, false, Foreseen{Class: Suppressed, Reason: canonical.ReasonNotMapped}},
			{funnel("new", "qualified_lead", 2, 9, 1), false, Foreseen{Class: NewlyEligible, Ask: true}},
		} {
			if got := b.foreseen(tc.e, Ask{Force: tc.force}); got.Class != tc.want.Class || got.Reason != tc.want.Reason || got.Ask != tc.want.Ask {
				t.Errorf("%s, force %t: %+v, want %+v", tc.e.ID, tc.force, got, tc.want)
			}
		}
		_, before, _ := b.log.Bounds(t.Context(), b.topics.Deliveries)
		b.settle()
		if _, after, _ := b.log.Bounds(t.Context(), b.topics.Deliveries); after[0] != before[0] || after[1] != before[1] {
			t.Error("a preview changed something")
		}
	})
}

func TestAPreviewRemembersTheSlotsItWouldTake(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Routes = func(*canonical.Event) (canonical.Route, bool) { return canonical.Route{}, true }
		p := b.lane.Preview(Ask{ReplayID: "r"})
		for i, want := range []Class{NewlyEligible, Suppressed} {
			rows, err := p.Event(t.Context(), funnel(string(rune('a'+i)), "qualified_lead", 2, 1, i+1))
			if err != nil || len(rows) != 1 || rows[0].Class != want {
				t.Errorf("event %d: %+v %v, want %s", i, rows, err, want)
			}
		}
	})
}
