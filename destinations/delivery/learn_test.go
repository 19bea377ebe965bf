package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
)

// A pupil must know its account: what it learnt last is in the bodies it builds.
type pupil struct {
	*vendor
	lesson string
}

func (p pupil) Learn(ctx context.Context, call destinations.Caller) (destinations.Destination, []destinations.Finding, error) {
	a, err := call(ctx, destinations.Request{Method: "GET", Path: "/account"})
	if err != nil {
		return nil, nil, err
	}
	if a.Status != http.StatusOK {
		return nil, nil, fmt.Errorf("the account answered %d", a.Status)
	}
	p.lesson = string(a.Body)
	var findings []destinations.Finding
	if p.lesson == "2" {
		findings = append(findings, destinations.Finding{Subject: "property mql_at", Problem: "is not there; run setup", Blocks: true})
	}
	return p, findings, nil
}

func (p pupil) Build(batch []destinations.Item) (destinations.Request, error) {
	q, err := p.vendor.Build(batch)
	q.Path = "/" + p.lesson
	return q, err
}

// A school answers what pupils ask, and notes what their requests show to have been learnt.
type school struct {
	*vendor
	status []int // of the next lessons; then 200
	given  int
	shown  []string
}

func (s *school) send(ctx context.Context, q destinations.Request) (destinations.Response, error) {
	if q.Method != "GET" {
		s.shown = append(s.shown, q.Path)
		return s.vendor.send(ctx, q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.status) > 0 {
		status := s.status[0]
		if s.status = s.status[1:]; status == 0 {
			return destinations.Response{}, errors.New("reset by peer")
		}
		return destinations.Response{Status: status}, nil
	}
	s.given++
	return destinations.Response{Status: 200, Body: fmt.Append(nil, s.given)}, nil
}

func schooled(t *testing.T, status []int, f func(t *testing.T, b *bench, s *school)) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		s := &school{vendor: b.vendor, status: status}
		b.start(func(l *Lane) { l.Destination, l.Send = pupil{vendor: b.vendor}, s.send })
		f(t, b, s)
	})
}

func TestADestinationLearnsBeforeItSendsHourlyAndWhenResumed(t *testing.T) {
	schooled(t, nil, func(t *testing.T, b *bench, s *school) {
		first, second, third := funnel("a", "qualified_lead", 2, 1, 1), funnel("b", "qualified_lead", 2, 2, 1), funnel("c", "qualified_lead", 2, 3, 1)
		b.give(first)
		time.Sleep(61 * time.Minute)
		b.give(second)
		if got := b.lane.Trouble(); len(got) != 1 || !strings.Contains(got[0], "property mql_at") {
			t.Errorf("what blocks is not shown: %q, findings %v", got, b.lane.Findings())
		}
		b.pause()
		b.resume()
		b.give(third)
		if want := []string{"/1", "/2", "/3"}; !slices.Equal(s.shown, want) {
			t.Errorf("it sent with %v, want %v", s.shown, want)
		}
		if got := b.lane.Trouble(); got != nil {
			t.Errorf("trouble is %q", got)
		}
	})
}

func TestALaneThatCannotLearnWaitsLikeForAVendorThatIsDown(t *testing.T) {
	schooled(t, []int{503, 0, 503, 429}, func(t *testing.T, b *bench, s *school) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.appendAll([]canonical.Event{e})
		time.Sleep(time.Millisecond)
		b.want(e, "")
		if got := b.lane.Trouble(); len(got) == 0 || !strings.Contains(got[0], "looking at the vendor account") {
			t.Errorf("trouble is %q", got)
		}
		time.Sleep(10 * time.Minute)
		b.settle()
		b.want(e, "delivered")
		if got := b.lane.Trouble(); got != nil {
			t.Errorf("trouble is %q", got)
		}
	})
}

func TestALessonThatFailsLeavesWhatWasLearnt(t *testing.T) {
	schooled(t, nil, func(t *testing.T, b *bench, s *school) {
		b.settle()
		s.mu.Lock()
		s.status = slices.Repeat([]int{500}, 1000)
		s.mu.Unlock()
		time.Sleep(61 * time.Minute)
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "delivered")
		if len(b.lane.Trouble()) == 0 {
			t.Error("that it cannot look again is not shown")
		}
	})
}

func TestACredentialThatIsRefusedWhileLearningHalts(t *testing.T) {
	schooled(t, []int{401}, func(t *testing.T, b *bench, s *school) {
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.standing(canonical.ControlHalt)
		b.resume()
		b.want(e, "delivered")
	})
}

func TestADryRunAsksNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		s := &school{vendor: b.vendor}
		b.start(func(l *Lane) { l.Destination, l.Send, l.Mode = pupil{vendor: b.vendor}, s.send, DryRun })
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "suppressed dry_run")
		if s.given != 0 {
			t.Error("it looked at the account")
		}
	})
}
