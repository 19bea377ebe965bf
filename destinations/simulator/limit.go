package simulator

import (
	"slices"
	"time"
)

// A rolling limit takes so many calls within any span of its length. Calls it refuses do
// not count.
type rolling struct {
	most  int
	span  time.Duration
	taken []time.Time
}

func (l *rolling) used(now time.Time) int {
	first := slices.IndexFunc(l.taken, func(t time.Time) bool { return now.Sub(t) < l.span })
	if first < 0 {
		first = len(l.taken)
	}
	l.taken = slices.Delete(l.taken, 0, first)
	return len(l.taken)
}

// take reports whether one more call fits. A limit of 0 takes all.
func (l *rolling) take(now time.Time) bool {
	if l.most <= 0 {
		return true
	}
	if l.used(now) >= l.most {
		return false
	}
	l.taken = append(l.taken, now)
	return true
}

// A daily limit takes so many calls a day, in a zone's own days.
type daily struct {
	most  int
	zone  *time.Location
	day   string
	taken int
}

func (l *daily) used(now time.Time) int {
	if day := now.In(l.zone).Format(time.DateOnly); day != l.day {
		l.day, l.taken = day, 0
	}
	return l.taken
}

func (l *daily) full(now time.Time) bool { return l.most > 0 && l.used(now) >= l.most }

func (l *daily) take(now time.Time) {
	l.used(now)
	l.taken++
}
