package simulator

import "time"

// A rolling limit takes so many calls within any span of its length. Calls it refuses do
// not count against it; peak counts them too.
type rolling struct {
	most int
	span time.Duration

	taken, made []time.Time
	peak        int // the most calls ever made within one span, refused ones too
}

// used says how many calls the limit has taken within the span that ends now.
func (l *rolling) used(now time.Time) int {
	l.taken = since(l.taken, now.Add(-l.span))
	return len(l.taken)
}

// take reports whether one more call fits. A limit of 0 takes all, and counts them where
// its span is at most a minute.
func (l *rolling) take(now time.Time) bool {
	if l.most <= 0 && l.span > time.Minute {
		return true
	}
	l.made = append(since(l.made, now.Add(-l.span)), now)
	l.peak = max(l.peak, len(l.made))
	if used := l.used(now); l.most > 0 && used >= l.most {
		return false
	}
	l.taken = append(l.taken, now)
	return true
}

func (l *rolling) window(name string, now time.Time) Window {
	return Window{Name: name, Limit: l.most, Used: l.used(now), Peak: l.peak}
}

// since drops the instants that are not after limit. The next append that needs room leaves
// them behind.
func since(list []time.Time, limit time.Time) []time.Time {
	for len(list) > 0 && !list[0].After(limit) {
		list = list[1:]
	}
	return list
}

// A daily limit takes so many calls a day, in a zone's own days.
type daily struct {
	most  int
	zone  *time.Location
	day   string
	ends  time.Time // of day
	taken int
	peak  int // the most of one day
}

func (l *daily) used(now time.Time) int {
	if l.day != "" && now.Before(l.ends) && !now.Before(l.ends.Add(-20*time.Hour)) {
		return l.taken
	}
	here := now.In(l.zone)
	if day := here.Format(time.DateOnly); day != l.day {
		l.day, l.taken = day, 0
		l.ends = time.Date(here.Year(), here.Month(), here.Day()+1, 0, 0, 0, 0, l.zone)
	}
	return l.taken
}

func (l *daily) full(now time.Time) bool { return l.most > 0 && l.used(now) >= l.most }

func (l *daily) take(now time.Time) {
	l.used(now)
	l.taken++
	l.peak = max(l.peak, l.taken)
}

// spend uses up what is left of the day.
func (l *daily) spend(now time.Time) {
	l.used(now)
	l.taken = max(l.taken, l.most)
}

func (l *daily) window(name string, now time.Time) Window {
	return Window{Name: name, Limit: l.most, Used: l.used(now), Peak: l.peak}
}
