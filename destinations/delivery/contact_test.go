package delivery

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// ads is a vendor with ads that notes whom it was told of.
type ads struct {
	*vendor
	whom []string
}

func (a *ads) Contract() destinations.Contract {
	c := a.vendor.Contract()
	c.Clicks, c.ClickWindow = []canonical.Scheme{canonical.LIFatID}, 30*24*time.Hour
	return c
}

func (a *ads) Build(batch []destinations.Item) (destinations.Request, error) {
	a.mu.Lock()
	for _, i := range batch {
		a.whom = append(a.whom, i.Known.First(canonical.HubSpotContact)+i.Event.Contact.Email)
	}
	a.mu.Unlock()
	return a.vendor.Build(batch)
}

// won is a deal's event of contact 1001, the earliest, with 1002 who clicked since and 1003
// who is primary and said no to ads.
func won(id string) canonical.Event {
	e := funnel(id, "customer_won", 6, 1, 10)
	of := func(v string) []canonical.Identifier {
		return []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: v}}
	}
	ago := func(days int) time.Time { return e.OccurredAt.AddDate(0, 0, -days) }
	e.CountedBy, e.Object = "deal", canonical.Object{Type: "deal", ID: id}
	e.Contact = canonical.Contact{Email: "kim@example.com"}
	e.Known = &canonical.Known{Offset: -1, Person: 1, Identifiers: of("1001"), Contacts: []canonical.DealContact{
		{Node: 3, Person: 3, Primary: true, Since: ago(1), Identifiers: of("1003"), Consent: &canonical.Consent{AdUserData: new(bool)}},
		{Node: 1, Person: 1, Since: ago(3)},
		{Node: 2, Person: 2, Since: ago(2), Identifiers: of("1002"), Clicks: []canonical.Click{{Scheme: canonical.LIFatID, Value: "li", At: e.OccurredAt.Add(-time.Hour)}}},
	}}
	return e
}

func TestADealsEventCarriesTheSameContactOverRetries(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		v := &ads{vendor: b.vendor}
		rule := func(r destinations.ContactRule) func(*Lane) {
			return func(l *Lane) { l.Destination, l.Policy.Contact = v, r }
		}
		b.start(rule(destinations.LatestClick))
		e := won("d1")
		b.vendor.answer(429)
		b.give(e)
		b.want(e, "parked retry")
		b.end()
		b.start(rule(destinations.Earliest)) // the setting changes between two attempts
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "delivered")
		if want := []string{"1002", "1002"}; !slices.Equal(v.whom, want) {
			t.Errorf("told of %v, want %v", v.whom, want)
		}
		other := won("d2")
		b.give(other)
		if got := v.whom[len(v.whom)-1]; got != "1001kim@example.com" {
			t.Errorf("by the other rule told of %q", got)
		}
	})
}

// The owner died before an answer came: the next one sends of the same contact again, who
// stands in the intent.
func TestAnAttemptLeftOpenIsRepeatedWithTheSameContact(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		v := &ads{vendor: b.vendor}
		b.start(func(l *Lane) { l.Destination, l.Policy.Contact = v, destinations.Earliest })
		e, now := won("d1"), time.Now().UTC()
		_, chosen := destinations.Carried(e, *e.Known, destinations.LatestClick, v.Contract())
		if err := b.lane.write(t.Context(), []canonical.Delivery{{
			Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, Attempt: 1, At: now, FirstTry: &now, Slot: SlotOf(e), Known: &chosen,
		}}); err != nil {
			t.Fatal(err)
		}
		b.give(e)
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "delivered")
		if want := []string{"1002"}; !slices.Equal(v.whom, want) {
			t.Errorf("told of %v, want %v", v.whom, want)
		}
	})
}

// Where a deal has several contacts the intent says who was chosen, though it is what the
// event's own known gives.
func TestTheIntentSaysWhoWasChosen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Destination = &ads{vendor: b.vendor} })
		e := won("d1")
		b.give(e)
		var known *canonical.Known
		for p := range 2 {
			records, err := b.log.Read(t.Context(), b.topics.Deliveries, p, 0, 100, time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				var d canonical.Delivery
				if err := json.Unmarshal(r.Value, &d); err != nil {
					t.Fatal(err)
				}
				if d.State == canonical.StateIntent {
					known = d.Known
				}
			}
		}
		if known == nil || known.Contact != 2 || !slices.Equal(known.Others, []canonical.NodeID{3, 1}) || known.Contacts != nil {
			t.Errorf("the intent knows %+v", known)
		}
	})
}

func TestTheConsentOfWhoIsCarriedCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) { l.Policy.Contact = destinations.Primary })
		e := won("d1")
		b.give(e) // 1003 is primary, and said no
		b.want(e, "suppressed no_consent")
	})
}

// What is written over and over says what is known now, of the person whose the event was: the
// device it came from may be in other hands by now.
func TestWhatIsWrittenNowIsOfWhoItWasThen(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		v := &ads{vendor: b.vendor}
		b.vendor.plan(destinations.Part{Name: "properties", Slotless: true})
		const device, then, now = 1, 7, 8
		of := func(contact string) canonical.Known {
			return canonical.Known{Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: contact}}}
		}
		b.people.change(func(p *people) { p.known[device], p.known[then], p.known[now] = of("1008"), of("1007"), of("1008") })
		b.start(func(l *Lane) { l.Destination = v })
		e := funnel("view", "qualified_lead", 2, device, 1)
		e.Known = &canonical.Known{Offset: -1, Person: then}
		b.give(e)
		b.want(e, "properties delivered")
		if want := []string{"1007"}; !slices.Equal(v.whom, want) {
			t.Errorf("written of %v, want %v", v.whom, want)
		}
	})
}
