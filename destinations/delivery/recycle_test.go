package delivery

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tributary/canonical"
)

// way is MQL, SQL, MQL again (told twice, with two ids), SQL again: each under a policy.
func way(b *bench, policy string) (mql1, sql1, mql2, copied, sql2 canonical.Event) {
	mql1, sql1 = funnel("m1", "qualified_lead", 2, 1, 1), funnel("s1", "sales_qualified_lead", 3, 1, 2)
	mql2, copied, sql2 = funnel("m2", "qualified_lead", 2, 1, 3), funnel("m2b", "qualified_lead", 2, 1, 3), funnel("s2", "sales_qualified_lead", 3, 1, 4)
	for _, e := range []*canonical.Event{&mql1, &sql1, &mql2, &copied, &sql2} {
		e.Recycle = policy
		b.people.change(func(p *people) { p.history = append(p.history, stageOf(*e)) })
	}
	return mql1, sql1, mql2, copied, sql2
}

func TestRecyclePolicySend(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		mql1, sql1, mql2, copied, sql2 := way(b, canonical.RecycleSend)
		b.give(mql1, sql1, mql2, copied, sql2, mql2, sql2)
		for _, e := range []canonical.Event{mql1, sql1, mql2, sql2} {
			b.want(e, "delivered")
		}
		b.want(copied, "suppressed re_report")
		b.end()
		b.start() // another process: what it reads from the log says the same
		b.settle()
		late := funnel("m2c", "qualified_lead", 2, 1, 3)
		late.Recycle = canonical.RecycleSend
		b.people.change(func(p *people) {
			p.history = append(p.history[:3:3], append([]canonical.StageReached{stageOf(late)}, p.history[3:]...)...)
		})
		b.give(late, copied, mql2)
		b.want(late, "suppressed re_report")
		if len(b.vendor.got) != 4 {
			t.Errorf("the vendor got %v, want four", b.vendor.got)
		}
	})
}

func TestRecyclePolicyReport(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		mql1, sql1, mql2, copied, sql2 := way(b, canonical.RecycleReport)
		b.give(mql1, sql1, mql2, copied, sql2, mql1)
		b.want(mql1, "delivered")
		b.want(sql1, "delivered")
		b.want(mql2, "delivered") // by the line for lead_recycled
		b.want(copied, "suppressed re_report")
		b.want(sql2, "suppressed repeat")
		if b.vendor.told[mql1.ID] != "qualified_lead" || b.vendor.told[mql2.ID] != canonical.NameRecycled {
			t.Errorf("the vendor was told %v", b.vendor.told)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) { // told by the same name when it is tried again
		mql1, sql1, mql2, _, _ := way(b, canonical.RecycleReport)
		b.give(mql1, sql1)
		before := b.vendor.requests()
		b.vendor.answer(503)
		b.give(mql2)
		b.want(mql2, "delivered")
		if b.vendor.requests() != before+2 || b.vendor.told[mql2.ID] != canonical.NameRecycled {
			t.Errorf("the vendor was told %v", b.vendor.told)
		}
	})
	inBubble(t, func(t *testing.T, b *bench) {
		b.end()
		b.start(func(l *Lane) {
			l.Routes = func(e *canonical.Event) (canonical.Route, bool) {
				return canonical.Route{Event: e.Name}, e.Name != canonical.NameRecycled
			}
		})
		_, _, mql2, _, _ := way(b, canonical.RecycleReport)
		b.give(mql2)
		b.want(mql2, "suppressed recycled")
	})
}

// A late report whose time is only that of reporting, or that gives no stage of the source, is
// no step back where the stage was reached before: nobody is told of a lead that went back.
func TestALateReportIsNoStepBack(t *testing.T) {
	for _, policy := range []string{"", canonical.RecycleReport, canonical.RecycleSend} {
		inBubble(t, func(t *testing.T, b *bench) {
			mql, sql := funnel("m1", "qualified_lead", 2, 1, 1), funnel("s1", "sales_qualified_lead", 3, 1, 2)
			late, form, sqlAgain := funnel("m2", "qualified_lead", 2, 1, 3), funnel("m3", "qualified_lead", 2, 1, 4), funnel("s2", "sales_qualified_lead", 3, 1, 5)
			late.TimeBasis, form.RawStage = "reported", ""
			for _, e := range []*canonical.Event{&mql, &sql, &late, &form, &sqlAgain} {
				e.Recycle = policy
				b.people.change(func(p *people) { p.history = append(p.history, stageOf(*e)) })
			}
			b.give(mql, sql, late, form, sqlAgain)
			b.want(mql, "delivered")
			b.want(sql, "delivered")
			for _, e := range []canonical.Event{late, form, sqlAgain} {
				b.want(e, "suppressed re_report")
			}
		})
	}
}

func TestANameThatIsSentEachTime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		one, two := funnel("a", "customer_expanded", 7, 1, 1), funnel("b", "customer_expanded", 7, 1, 2)
		one.CountedBy, two.CountedBy = "event", "event"
		b.give(one, two, one)
		b.want(one, "delivered")
		b.want(two, "delivered")
		if len(b.vendor.got) != 2 {
			t.Errorf("the vendor got %v, want two", b.vendor.got)
		}
	})
}

// A contact's report that names its deal and the deal's own take one slot, whichever comes
// first.
func TestAReportThatNamesItsDealCountsUnderIt(t *testing.T) {
	for _, first := range []int{0, 1} {
		inBubble(t, func(t *testing.T, b *bench) {
			deal, contact := funnel("d", "customer_won", 6, 1, 2), funnel("c", "customer_won", 6, 1, 1)
			deal.Object, deal.CountedBy = canonical.Object{Type: "deal", ID: "9"}, "deal"
			contact.Deal, contact.CountedBy = "9", "deal"
			both := []canonical.Event{deal, contact}
			b.give(both[first])
			b.give(both[1-first])
			b.want(both[first], "delivered")
			b.want(both[1-first], "suppressed re_report")
		})
	}
}

// Whatever the order in which reports of one person's way come, and however often each is
// told, no stay in a stage is sent twice under recycle: send.
func TestNoStayIsSentTwice(t *testing.T) {
	begin := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	names := []string{"qualified_lead", "sales_qualified_lead", "qualified_lead", "sales_qualified_lead", "qualified_lead"}
	var events []canonical.Event
	stayOf := map[canonical.EventID]int{}
	for i, name := range names {
		for copied := range 3 { // by webhook, workflow and middleware: an id each, minutes apart
			e := canonical.Event{ID: canonical.EventID(fmt.Sprint(i, "-", copied)), Name: name, Funnel: true, Rank: 1 + i%2, CountedBy: "person", Node: 7, RawStage: name, Recycle: canonical.RecycleSend,
				OccurredAt: begin.Add(time.Duration(i)*24*time.Hour + time.Duration(copied)*time.Minute)}
			events = append(events, e)
			stayOf[e.ID] = i
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		course, sent := NewCourse(), map[int]int{}
		for i := range events { // what happened is known before the first is decided
			course.Reach(&events[i])
		}
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for i := range events {
			if course.Take("acme", "event", &events[i], SlotNodes(&events[i], canonical.Known{}), nil) == "" {
				sent[stayOf[events[i].ID]]++
			}
		}
		for i := range names {
			if sent[i] != 1 {
				t.Fatalf("stay %d is sent %d times", i, sent[i])
			}
		}
	}
}

// What was imported of the past holds its slot, also from the same stage told under another id; what
// did not count then holds none: the report that counts is still to come.
func TestThePastHoldsTheSlotsOfWhatCounted(t *testing.T) {
	for _, c := range []struct {
		title string
		past  func(*canonical.Event)
		want  string
	}{
		{"a stage reached", func(*canonical.Event) {}, "suppressed re_report"},
		{"a deal's report of what contacts count", func(e *canonical.Event) { e.CoveredBy, e.Object = "contact", canonical.Object{Type: "deal", ID: "7"} }, "delivered"},
		{"what this router wrote itself", func(e *canonical.Event) { e.Echo = true }, "delivered"},
	} {
		inBubble(t, func(t *testing.T, b *bench) {
			past, now := funnel("p1", "customer_won", 5, 1, 1), funnel("n1", "customer_won", 5, 1, 2)
			past.History = true
			c.past(&past)
			b.people.change(func(p *people) { p.history = append(p.history, stageOf(past), stageOf(now)) })
			b.give(past)
			b.want(past, "suppressed history")
			b.end()
			b.start()
			b.give(now, past)
			b.want(past, "suppressed history")
			t.Log(c.title)
			b.want(now, c.want)
		})
	}
}
