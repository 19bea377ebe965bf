package delivery

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// matching is a vendor that says which identifiers an item could be matched by.
type matching struct{ *vendor }

func (m matching) Match(it destinations.Item) map[string]string {
	if it.Known.First(canonical.HubSpotContact) != "" {
		return map[string]string{"contact": "usable"}
	}
	return map[string]string{"contact": "missing"}
}

// written gives every record of an event's deliveries, in order.
func (b *bench) written(e canonical.Event) (out []canonical.Delivery) {
	b.t.Helper()
	for p := range 2 {
		_, end, err := b.log.Bounds(b.t.Context(), b.topics.Deliveries)
		if err != nil {
			b.t.Fatal(err)
		}
		if end[p] == 0 {
			continue
		}
		records, err := b.log.Read(b.t.Context(), b.topics.Deliveries, p, 0, 10_000, time.Second)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range records {
			var d canonical.Delivery
			if err := json.Unmarshal(r.Value, &d); err != nil {
				b.t.Fatal(err)
			}
			if d.Event == e.Key() {
				out = append(out, d)
			}
		}
	}
	return out
}

func TestRecordsTellWhatWasSentAndToWhom(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination = matching{b.vendor} })
		b.vendor.bad = map[canonical.EventID]bool{"bad": true}
		good, bad := funnel("good", "qualified_lead", 2, 1, 1), funnel("bad", "qualified_lead", 2, 2, 1)
		good.Known = &canonical.Known{Offset: 3, Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: "102"}}}
		b.giveAtOnce(good, bad)
		for e, want := range map[*canonical.Event][]string{
			&good: {"intent map[contact:usable] true", "delivered map[] true"},
			&bad:  {"intent map[contact:missing] true", "dead map[contact:missing] true"},
		} {
			hash := canonical.SHA256(`"` + string(e.ID) + `"`)
			var got []string
			for _, d := range b.written(*e) {
				got = append(got, fmt.Sprint(d.State, " ", d.Match, " ", d.BodyHash == hash))
				if d.Known != nil {
					t.Errorf("%s: %s repeats what its event knows", e.ID, d.State)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %q, want %q", e.ID, got, want)
			}
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination, l.Mode = matching{b.vendor}, DryRun })
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		if d := b.written(e)[0]; d.Match["contact"] != "missing" || d.BodyHash != canonical.SHA256(`"e"`) {
			t.Errorf("the dry run says %+v", d)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination, l.Policy.AwaitFor = matching{b.vendor}, time.Minute })
		b.vendor.identify = true
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(2 * time.Minute)
		b.want(e, "suppressed no_identifier")
		all := b.written(e)
		if d := all[len(all)-1]; d.Match["contact"] != "missing" {
			t.Errorf("it was given up without a word on identifiers: %+v", d)
		}
	})
}
