package budget

import (
	"sort"
	"time"
)

// A day counts requests by calendar days of a zone.
type day struct {
	began  time.Time // zero: this day was not seen to begin
	ends   time.Time // the zone's midnight
	used   [classes]int
	flying [classes]int
	ask    time.Time // a full day whose end nobody knows is asked again from then on
}

const (
	// askAgain is how long a used-up day is left alone where its end is not known.
	askAgain = time.Hour
	// dayTurns is how long after midnight the vendor may still speak of the day before.
	dayTurns = time.Minute
	// dayTurnsOver is how long after midnight a day that was used up stays closed: clocks differ.
	dayTurnsOver = 5 * time.Second
	// dayTurnsLate is how long after midnight a refusal is taken for one of the day before, and
	// asked again every minute: closing the day at once would lose it whole.
	dayTurnsLate = 10 * time.Minute
)

func (d *day) total() int    { return sum(d.used) }
func (d *day) inFlight() int { return sum(d.flying) }

func (d *day) take(who Class) {
	d.used[who]++
	d.flying[who]++
}

func sum(n [classes]int) int {
	t := 0
	for _, v := range n {
		t += v
	}
	return t
}

// turn begins a new day where the old one is over. What is in flight counts for both: the
// vendor may take it for either.
func (w *window) turn(now time.Time) {
	d := &w.day
	if now.Before(d.ends) {
		return
	}
	zone := w.limit.Zone
	if zone == nil {
		zone = time.UTC
	}
	if !d.ends.IsZero() {
		d.began = d.ends
		if full := d.total() >= w.most(); full && w.limit.Zone != nil && d.ends.Add(dayTurnsOver).After(w.refused) {
			w.refused = d.ends.Add(dayTurnsOver)
		}
	}
	d.used, d.ask = d.flying, time.Time{}
	d.ends = midnight(now, zone)
	w.others = 0
}

// dayIsNew is true for a while after the zone's midnight.
func (w *window) dayIsNew(now time.Time) bool {
	zone := w.limit.Zone
	return midnight(now.Add(-dayTurnsLate), zone).Before(midnight(now, zone))
}

// midnight is the first instant of the zone's next calendar day. Days have 23 to 25 hours,
// and in some zones a day begins at one o'clock.
func midnight(now time.Time, zone *time.Location) time.Time {
	y, m, d := now.In(zone).Date()
	from := now.Truncate(time.Second)
	n := sort.Search(27*60*60, func(i int) bool {
		y2, m2, d2 := from.Add(time.Duration(i) * time.Second).In(zone).Date()
		return y2 != y || m2 != m || d2 != d
	})
	return from.Add(time.Duration(n) * time.Second)
}

// needs is how much of the day is kept for a class: its part of the hours to come. What it left
// of those that are over is lent.
func (d *day) needs(who Class, own int, now time.Time) int {
	rest := min(1, max(0, d.ends.Sub(now).Hours()/24))
	return max(0, min(own-d.used[who], int(rest*float64(own))))
}

// dayReopens is when a day may have room again.
func (w *window) dayReopens(now time.Time) time.Time {
	at := w.day.ends
	if w.headroom(now) > 0 { // held back for the others: a little is lent every minute
		at = now.Add(time.Minute)
	} else if w.limit.Zone == nil && now.Before(w.day.ask) {
		at = w.day.ask
	}
	if now.Before(w.until) && w.others > 0 && w.until.Before(at) {
		at = w.until
	}
	if w.day.ends.Before(at) {
		at = w.day.ends
	}
	return at
}
