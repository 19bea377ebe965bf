package budget

import (
	"slices"
	"time"

	"tributary/destinations"
)

// A window keeps the books of one limit for this process. It is told the time and never waits.
type window struct {
	limit  destinations.Limit
	share  float64 // of the account's number: this process's
	shares Shares

	vendor  int       // the number by the vendor's own word; 0: not said
	refused time.Time // the vendor let nobody through; not before this
	others  int       // used by callers that are not ours, by the vendor's word
	until   time.Time // others are counted until then

	rolling rolling // where the limit is none by the day
	day     day
}

// slack is added to every window: clocks drift, and counters round.
const slack = 20 * time.Millisecond

func newWindow(l destinations.Limit, share float64, shares Shares) *window {
	w := &window{limit: l, share: share, shares: shares}
	if n := float64(l.Requests) * share; n < 1 && !l.Daily { // one in a longer time instead of part of one
		w.limit.Requests, w.limit.Per, w.share = 1, time.Duration(float64(l.Per)/max(n, 1e-6)), 1
	}
	return w
}

// counts says whether requests of a class fall under the limit.
func (w *window) counts(requestClass string) bool {
	if len(w.limit.Classes) == 0 {
		return requestClass == ""
	}
	return slices.Contains(w.limit.Classes, requestClass)
}

// most is what this process may have in one window.
func (w *window) most() int {
	n := w.limit.Requests
	if w.vendor > 0 {
		n = min(n, w.vendor)
	}
	return max(1, int(float64(n)*w.share+1e-9))
}

// ceiling is what all callers together may have.
func (w *window) ceiling() int {
	if w.vendor > 0 {
		return w.vendor
	}
	return w.limit.Requests
}

// used is what this process has in the window that ends now.
func (w *window) used(now time.Time) int {
	if w.limit.Daily {
		w.turn(now)
		return w.day.total()
	}
	w.rolling.turn(now, w.limit.Per)
	return w.rolling.total()
}

// own is a class's own part of a window, or of a day.
func (w *window) own(who Class) int { return int(w.shares[who]*float64(w.most()) + 1e-9) }

// reserved is what is kept for the other classes; the rest of what they leave is lent.
func (w *window) reserved(who Class, now time.Time) int {
	n := 0
	for c := range Class(classes) {
		switch {
		case c == who:
		case w.limit.Daily:
			n += w.day.needs(c, w.own(c), now)
		default:
			n += w.rolling.needs(c, w.own(c), w.limit.Per, now)
		}
	}
	return n
}

func (w *window) foreign(now time.Time) int {
	if now.Before(w.until) {
		return w.others
	}
	return 0
}

// headroom is how many more this process may let go now.
func (w *window) headroom(now time.Time) int {
	used := w.used(now)
	if now.Before(w.refused) {
		return 0
	}
	return max(0, min(w.most()-used, w.ceiling()-used-w.foreign(now)))
}

// room says whether one more request of a caller fits now.
func (w *window) room(who Class, now time.Time) bool {
	switch free := w.headroom(now); {
	case now.Before(w.refused):
		return false
	case free == 0:
		return w.limit.Daily && w.limit.Zone == nil && !now.Before(w.day.ask)
	case !w.limit.Daily && w.rolling.used(who) < w.own(who):
		return true
	}
	return w.used(now)+w.reserved(who, now) < w.most()
}

// reopens is when room may change without anybody doing anything; zero where only an answer
// can change it.
func (w *window) reopens(now time.Time) time.Time {
	w.used(now)
	if now.Before(w.refused) {
		return w.refused
	}
	if w.limit.Daily {
		return w.dayReopens(now)
	}
	var at time.Time
	if len(w.rolling.spent) > 0 {
		at = w.rolling.spent[0].until
	}
	if w.headroom(now) > 0 { // kept for others, who may need it no longer by then
		if soon := now.Add(w.limit.Per / 10); at.IsZero() || soon.Before(at) {
			at = soon
		}
	}
	if now.Before(w.until) && (at.IsZero() || w.until.Before(at)) {
		at = w.until
	}
	return at
}

func (w *window) take(who Class, now time.Time) {
	w.used(now)
	if !w.limit.Daily {
		w.rolling.take(who)
		return
	}
	w.day.take(who)
	if w.headroom(now) == 0 {
		w.day.ask = now.Add(askAgain)
	}
}

// wanted notes that a class has to wait.
func (w *window) wanted(who Class, now time.Time) { w.rolling.waited[who] = now }

// answered counts a request from its answer on. The vendor counted it at some time between
// its letting go and its answer; counted by us for all of that and the window's length after
// it, no window of the vendor's can hold more than ours did.
func (w *window) answered(who Class, now time.Time) {
	w.used(now)
	if w.limit.Daily {
		w.day.flying[who]--
		return
	}
	w.rolling.answered(who, now.Add(w.limit.Per+slack))
}

// unused takes back a request that never left.
func (w *window) unused(who Class, now time.Time) {
	w.used(now)
	if !w.limit.Daily {
		w.rolling.flying[who]--
		return
	}
	w.day.flying[who]--
	w.day.used[who] = max(0, w.day.used[who]-1)
}

// read corrects the books by what the vendor says of the limit.
func (w *window) read(r destinations.Reading, now time.Time) {
	mine := w.used(now)
	if r.Max > 0 {
		w.vendor = r.Max
	}
	if r.Remaining < 0 || w.limit.Daily && now.Before(w.day.began.Add(dayTurns)) {
		return
	}
	theirs := max(0, w.ceiling()-r.Remaining)
	if w.limit.Daily && w.limit.Zone == nil && theirs < mine/2 { // its day began at another hour than ours
		w.day.used, mine = w.day.flying, w.day.inFlight()
	}
	w.others, w.until = max(0, theirs-mine), now.Add(w.limit.Per)
	if w.limit.Daily {
		w.until = w.day.ends
	}
	if r.Resets > 0 && now.Add(r.Resets).Before(w.until) {
		w.until = now.Add(r.Resets)
	}
	if w.limit.Daily && w.headroom(now) == 0 {
		w.day.ask = now.Add(askAgain)
	}
}

// refuse closes the limit after a 429: for as long as the vendor said, else for a window's
// length, a daily one until the day ends; where nobody knows when that is, it is asked again
// after an hour.
func (w *window) refuse(after time.Duration, now time.Time) {
	at := now.Add(after)
	switch {
	case w.limit.Daily && w.limit.Zone != nil && w.dayIsNew(now): // the vendor's clock is behind: it speaks of the day before
		at = now.Add(max(after, dayTurns))
	case w.limit.Daily && w.limit.Zone != nil:
		w.turn(now)
		at = w.day.ends.Add(dayTurnsOver)
	case w.limit.Daily:
		at = now.Add(max(after, askAgain))
	case after <= 0:
		at = now.Add(w.limit.Per)
	}
	if at.After(w.refused) {
		w.refused = at
	}
}
