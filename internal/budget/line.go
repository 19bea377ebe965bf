package budget

import (
	"context"
	"slices"
	"time"
)

// A line is who waits to send requests of one class. What is free goes to the class of
// callers that is furthest behind its share; one that was away is not owed for the time.
type line struct {
	class   string // of the requests
	waiting [classes][]*waiter
	pass    [classes]float64 // how much each has had, over its share
	now     float64          // the pass of whoever was let go last
}

type waiter struct {
	who    Class
	permit *Permit       // set when it is let go
	wake   chan struct{} // something changed
}

func (w *waiter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// wakeFirst wakes the first that waits of a class of callers.
func (l *line) wakeFirst(who Class) {
	if list := l.waiting[who]; len(list) > 0 {
		list[0].poke()
	}
}

func (l *line) join(w *waiter) {
	if len(l.waiting[w.who]) == 0 {
		l.pass[w.who] = max(l.pass[w.who], l.now)
	}
	l.waiting[w.who] = append(l.waiting[w.who], w)
}

func (l *line) leave(w *waiter) {
	list := l.waiting[w.who]
	if i := slices.Index(list, w); i >= 0 {
		l.waiting[w.who] = slices.Delete(list, i, i+1)
	}
}

// next is the first of the class that is furthest behind, of those that room is true for.
func (l *line) next(room func(Class) bool) *waiter {
	best := -1
	for c := range classes {
		if len(l.waiting[c]) > 0 && (best < 0 || l.pass[c] < l.pass[best]) && room(Class(c)) {
			best = c
		}
	}
	if best < 0 {
		return nil
	}
	return l.waiting[best][0]
}

func (l *line) served(w *waiter, share float64) {
	l.leave(w)
	l.now = l.pass[w.who]
	l.pass[w.who] += 1 / max(share, 1e-6)
}

// let lets go whoever may go now, and wakes those who are first after them.
func (a *Account) let(l *line, now time.Time) {
	for {
		w := l.next(func(who Class) bool { ok, _ := a.room(who, l.class, now); return ok })
		if w == nil {
			return
		}
		l.served(w, a.shares[w.who])
		w.permit = a.grant(w.who, l.class, now)
		w.poke()
		l.wakeFirst(w.who)
	}
}

// changed looks at every line anew: an answer, a refusal or a reading may have changed who can
// go, and when.
func (a *Account) changed(now time.Time) {
	for _, l := range a.lines {
		a.let(l, now)
		for c := range classes {
			l.wakeFirst(Class(c))
		}
	}
}

func (a *Account) line(requestClass string) *line {
	for _, l := range a.lines {
		if l.class == requestClass {
			return l
		}
	}
	l := &line{class: requestClass}
	a.lines = append(a.lines, l)
	return l
}

// wait stands in line. The first of each class of callers watches the clock for all behind it.
func (a *Account) wait(ctx context.Context, who Class, requestClass string) (*Permit, error) {
	me := &waiter{who: who, wake: make(chan struct{}, 1)}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	l, began := a.line(requestClass), time.Now()
	l.join(me)
	for {
		now := time.Now()
		a.let(l, now)
		if me.permit != nil {
			if now.After(began) {
				a.wanted(who, requestClass, now)
			}
			return me.permit, nil
		}
		a.wanted(who, requestClass, now)
		timer.Stop()
		if l.waiting[who][0] == me {
			if _, again := a.room(who, requestClass, now); !again.IsZero() {
				timer.Reset(again.Sub(now))
			}
		}
		a.mu.Unlock()
		select {
		case <-me.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if err := ctx.Err(); err != nil {
			a.quit(l, me)
			return nil, err
		}
	}
}

// wanted notes that a class of callers has to wait: what it is owed is not lent for now.
func (a *Account) wanted(who Class, requestClass string, now time.Time) {
	for _, w := range a.windows {
		if w.counts(requestClass) {
			w.wanted(who, now)
		}
	}
}

// quit leaves the line, and gives back what was granted meanwhile.
func (a *Account) quit(l *line, me *waiter) {
	now := time.Now()
	if me.permit == nil {
		l.leave(me)
		l.wakeFirst(me.who)
		return
	}
	for _, w := range me.permit.windows {
		w.unused(me.who, now)
	}
	a.changed(now)
}
