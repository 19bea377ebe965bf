package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// seeker is a vendor that can be asked whether something arrived: questions are requests of
// class "search".
type seeker struct {
	*vendor
	questions []time.Time
	status    []int // of the next questions; then 200
	unsure    bool
}

func (s *seeker) Seek(it destinations.Item) (destinations.Request, error) {
	return destinations.Request{Method: "GET", Class: "search", Path: "/" + string(it.Event.ID)}, nil
}

func (s *seeker) Found(it destinations.Item, a destinations.Response) (found, sure bool) {
	return string(a.Body) == "yes", !s.unsure
}

// send answers questions of what the vendor has, and loses the answers of "lost" events.
func (s *seeker) send(ctx context.Context, q destinations.Request) (destinations.Response, error) {
	if q.Class != "search" {
		return s.vendor.send(ctx, q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.questions = append(s.questions, time.Now())
	status := 200
	if len(s.status) > 0 {
		status, s.status = s.status[0], s.status[1:]
	}
	if status == 0 {
		return destinations.Response{}, s.breaks
	}
	body := "no"
	if slices.Contains(s.got, canonical.EventID(strings.TrimPrefix(q.Path, "/"))) {
		body = "yes"
	}
	return destinations.Response{Status: status, Body: []byte(body)}, nil
}

// looking runs a lane that looks before it sends again.
func looking(t *testing.T, f func(t *testing.T, b *bench, s *seeker)) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		s := &seeker{vendor: b.vendor}
		b.vendor.contract.Ambiguous, b.vendor.breaks = destinations.Look, errors.New("reset by peer")
		b.start(func(l *Lane) { l.Destination, l.Send = s, s.send })
		b.settle()
		f(t, b, s)
	})
}

func TestWhatIsFoundIsNotSentAgain(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		b.vendor.lose = true // it takes it, and the answer never comes
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Minute)
		b.settle()
		b.want(e, "delivered")
		b.times(1)
		d, _, _ := b.ledger.Part("acme", e.Key(), "event")
		if !d.Ambiguous || !strings.Contains(d.Detail, "found") || d.Attempt != 1 {
			t.Errorf("the record says %+v", d)
		}
	})
}

func TestWhatIsSurelyNotThereIsSentAgain(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		b.vendor.contract.ResendWithin = time.Second // asked, the vendor's window does not matter
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Minute)
		b.settle()
		b.want(e, "delivered")
		b.times(1)
		if len(s.questions) != 1 || len(b.vendor.sizes) != 2 {
			t.Errorf("%d questions, %d requests", len(s.questions), len(b.vendor.sizes))
		}
	})
}

func TestWhatTheVendorDoesNotTellIsHeld(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		s.unsure = true
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "parked ambiguous")
		b.times(0)
		b.replay("r1", e, false) // somebody decides
		b.want(e, "delivered")
		b.times(1)
	})
}

func TestAReplayOfWhatArrivedIsFound(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		s.unsure, b.vendor.lose = true, true
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Minute)
		b.settle()
		b.want(e, "parked ambiguous")
		s.unsure = false
		b.replay("r1", e, false)
		b.want(e, "delivered")
		b.times(1)
	})
}

func TestAQuestionThatFailsSendsNothing(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		b.lane.Policy.BackoffMax = time.Minute
		s.status = []int{503, 0, 429, 403, 500}
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		for range 4 {
			b.want(e, "parked retry")
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "delivered")
		if len(s.questions) != 6 || len(b.vendor.sizes) != 2 {
			t.Errorf("%d questions, %d requests", len(s.questions), len(b.vendor.sizes))
		}
	})
	looking(t, func(t *testing.T, b *bench, s *seeker) { // for as long as it is tried at all
		b.lane.Policy.RetryFor = time.Hour
		s.status = slices.Repeat([]int{503}, 10_000)
		b.vendor.answer(0)
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(5 * time.Hour)
		b.settle()
		b.want(e, "parked ambiguous")
		b.times(0)
	})
}

func TestAProcessThatDiedIsFollowedByALook(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		e, now := funnel("e", "qualified_lead", 2, 1, 1), time.Now().UTC()
		if err := b.lane.write(t.Context(), []canonical.Delivery{{Destination: "acme", Event: e.Key(), Part: "event", State: canonical.StateIntent, Attempt: 1, At: now, FirstTry: &now, Slot: SlotOf(e)}}); err != nil {
			t.Fatal(err)
		}
		b.vendor.got = append(b.vendor.got, e.ID) // it arrived
		b.give(e)
		b.want(e, "delivered")
		b.times(1)
	})
}

func TestTheDestinationsOwnSettingHolds(t *testing.T) {
	for how, want := range map[destinations.Ambiguous]string{destinations.Resend: "delivered", destinations.Hold: "parked ambiguous", destinations.Look: "parked ambiguous"} {
		inBubble(t, func(t *testing.T, b *bench) { // this vendor cannot be asked: look is hold
			b.end()
			b.start(func(l *Lane) { l.Ambiguous = how })
			b.vendor.plan(destinations.Part{Name: "event", Ambiguous: destinations.Hold})
			b.vendor.answers, b.vendor.breaks = []int{0}, errors.New("reset by peer")
			e := funnel("e", "qualified_lead", 2, 1, 1)
			b.give(e)
			time.Sleep(time.Minute)
			b.settle()
			b.want(e, want)
		})
	}
}

func TestARefusedTokenHaltsAlsoWhereItOnlyLooks(t *testing.T) {
	looking(t, func(t *testing.T, b *bench, s *seeker) {
		b.vendor.answer(0)
		s.status = []int{401}
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Hour)
		b.settle()
		b.standing(canonical.ControlHalt)
		b.want(e, "parked retry")
		b.resume()
		time.Sleep(time.Hour)
		b.settle()
		b.want(e, "delivered")
		b.times(1)
	})
}
