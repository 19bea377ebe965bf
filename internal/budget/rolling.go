package budget

import (
	"slices"
	"time"
)

// A rolling counts requests in the last so many seconds.
type rolling struct {
	flying [classes]int // let go, not answered
	spent  []spent      // answered, in the order in which they stop counting
	had    [classes]int // of those

	// What each class is taken to need, so that only the rest is lent: all of its share where it
	// had to wait within the last window, else a little more than it used.
	waited   [classes]time.Time
	peak     [classes]int // the most it had at once since epoch
	lastPeak [classes]int // and in the window's length before
	epoch    time.Time
}

// A spent is an answered request.
type spent struct {
	until time.Time // it counts until then
	who   Class
}

// turn drops what no longer counts.
func (r *rolling) turn(now time.Time, per time.Duration) {
	n := 0
	for n < len(r.spent) && !r.spent[n].until.After(now) {
		r.had[r.spent[n].who]--
		n++
	}
	r.spent = r.spent[n:]
	if old := now.Sub(r.epoch); old >= per {
		r.lastPeak = r.peak
		if old >= 2*per {
			r.lastPeak = [classes]int{}
		}
		r.epoch = now
		for c := range classes {
			r.peak[c] = r.used(Class(c))
		}
	}
}

func (r *rolling) used(who Class) int { return r.flying[who] + r.had[who] }
func (r *rolling) total() int         { return sum(r.flying) + len(r.spent) }

func (r *rolling) take(who Class) {
	r.flying[who]++
	r.peak[who] = max(r.peak[who], r.used(who))
}

// answered counts a request until a time.
func (r *rolling) answered(who Class, until time.Time) {
	r.flying[who]--
	r.had[who]++
	i, _ := slices.BinarySearchFunc(r.spent, until, func(s spent, until time.Time) int { return s.until.Compare(until) })
	r.spent = slices.Insert(r.spent, i, spent{until, who})
}

// needs is how much of a class's own part is kept for it.
func (r *rolling) needs(who Class, own int, per time.Duration, now time.Time) int {
	need := max(r.peak[who], r.lastPeak[who])
	if need > 0 {
		need += need/4 + 1
	}
	if now.Sub(r.waited[who]) <= per {
		need = own
	}
	return max(0, min(need, own)-r.used(who))
}
