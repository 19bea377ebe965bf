package budget

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/destinations"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestMidnight(t *testing.T) {
	for _, c := range []struct{ zone, now, want string }{
		{"UTC", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
		{"UTC", "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"},
		{"Europe/Berlin", "2026-03-29T00:30:00+01:00", "2026-03-30T00:00:00+02:00"},    // 23 hours
		{"Europe/Berlin", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},    // 25 hours
		{"America/New_York", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"}, // 25 hours
		{"Africa/Cairo", "2026-04-23T12:00:00+02:00", "2026-04-24T01:00:00+03:00"},     // the day begins at one
		{"Africa/Cairo", "2026-10-29T12:00:00+03:00", "2026-10-30T00:00:00+02:00"},     // eleven o'clock comes twice
		{"Asia/Kathmandu", "2026-05-01T23:59:59.5+05:45", "2026-05-02T00:00:00+05:45"},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		z := zone(t, c.zone)
		if got := midnight(now, z).In(z).Format(time.RFC3339); got != c.want {
			t.Errorf("%s, %s: the day ends at %s, want %s", c.zone, c.now, got, c.want)
		}
	}
}

// start moves a bubble's clock, which stands at 2000-01-01 UTC.
func start(t *testing.T, at string) {
	t.Helper()
	to, err := time.Parse(time.RFC3339, at)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(to))
}

func daily(n int, z *time.Location) []destinations.Limit {
	return []destinations.Limit{{Name: "day", Requests: n, Per: 24 * time.Hour, Daily: true, Zone: z}}
}

var deliverOnly = Options{Shares: Shares{Deliver: 1}}

// No calendar day of the account's holds more, over days of 23 and 25 hours, though requests
// are on their way when the day turns.
func TestNoDayEverHoldsMore(t *testing.T) {
	for _, from := range []string{"2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"} {
		synctest.Test(t, func(t *testing.T) {
			start(t, from)
			z := zone(t, "Europe/Berlin")
			v, a := &vendor{}, New("x", daily(300, z), Options{})
			ctx, stop := context.WithTimeout(t.Context(), 80*time.Hour)
			defer stop()
			var g sync.WaitGroup
			for n := range 9 {
				g.Go(func() { caller(ctx, a, Class(n%classes), "", v, rand.New(rand.NewPCG(7, uint64(n))), 2*time.Minute) })
			}
			g.Wait()
			days := map[string]int{}
			for _, at := range v.arrived[""] {
				days[at.In(z).Format(time.DateOnly)]++
			}
			full := 0
			for day, n := range days {
				if n > 300 {
					t.Errorf("%s holds %d", day, n)
				}
				if n >= 285 {
					full++
				}
			}
			if full < 3 {
				t.Errorf("days %v; want three that are used", days)
			}
		})
	}
}

// A day's parts: what a class has not used of the hours that are over is lent, what is to
// come is kept for it.
func TestADayIsLentByTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start(t, "2026-05-01T00:00:00Z")
		a := New("x", daily(1000, time.UTC), Options{})
		all := func(who Class) (n int) {
			for {
				ctx, stop := context.WithTimeout(t.Context(), time.Nanosecond)
				p, err := a.Begin(ctx, who, "")
				stop()
				if err != nil {
					return n
				}
				p.Answered(nil)
				n++
			}
		}
		if n := all(Deliver); n != 500 {
			t.Errorf("at midnight deliveries had %d, want their own half", n)
		}
		time.Sleep(12 * time.Hour)
		if n := all(Deliver); n < 248 || n > 252 {
			t.Errorf("at noon they were lent %d, want what is over of the others' half", n)
		}
		if n := all(Fetch); n < 195 || n > 205 {
			t.Errorf("fetch has %d left for its afternoon, want about 200", n)
		}
		time.Sleep(11*time.Hour + 50*time.Minute)
		if n := all(Deliver) + all(Backfill); n < 45 || n > 52 {
			t.Errorf("the end of the day left %d; want the rest", n)
		}
	})
}

func TestADayThatIsUsedUpIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start(t, "2026-03-29T00:00:00Z") // one o'clock of a day of 23 hours
		a := New("x", daily(2, zone(t, "Europe/Berlin")), deliverOnly)
		if _, _, ok := a.Waiting(); ok {
			t.Error("a fresh day is said to be used up")
		}
		take(t.Context(), a, Deliver, "")
		take(t.Context(), a, Deliver, "")
		limit, until, ok := a.Waiting()
		if want := time.Date(2026, 3, 29, 22, 0, 0, 0, time.UTC); !ok || limit != "day" || !until.Equal(want) {
			t.Errorf("waiting for %q until %v, want day until %v", limit, until, want)
		}
		if err := take(t.Context(), a, Deliver, ""); err != nil || time.Now().UTC() != until.Add(dayTurnsOver).UTC() {
			t.Errorf("the next went at %v, %v", time.Now(), err)
		}
	})
}

func reading(limit string, most, remaining int) []destinations.Reading {
	return []destinations.Reading{{Limit: limit, Max: most, Remaining: remaining}}
}

func TestTheVendorsWord(t *testing.T) {
	ten := []destinations.Limit{{Name: "ten_seconds", Requests: 100, Per: 10 * time.Second}}
	for name, c := range map[string]struct {
		limits []destinations.Limit
		share  float64
		mine   int // let go before
		said   []destinations.Reading
		want   int // headroom then
	}{
		"says nothing":                      {limits: ten, mine: 10, said: nil, want: 90},
		"knows no number":                   {limits: ten, mine: 10, said: reading("ten_seconds", 0, -1), want: 90},
		"a lower limit holds":               {limits: ten, mine: 10, said: reading("ten_seconds", 50, 40), want: 40},
		"a higher one changes nothing":      {limits: ten, mine: 10, said: reading("ten_seconds", 190, 180), want: 90},
		"others call too":                   {limits: ten, mine: 10, said: reading("ten_seconds", 100, 60), want: 60},
		"others call, the number unknown":   {limits: ten, mine: 10, said: reading("ten_seconds", 0, 60), want: 60},
		"others use what we leave them":     {limits: ten, mine: 10, said: reading("ten_seconds", 190, 100), want: 90},
		"others leave us little":            {limits: ten, mine: 10, said: reading("ten_seconds", 190, 5), want: 5},
		"nothing is left":                   {limits: ten, mine: 10, said: reading("ten_seconds", 100, 0), want: 0},
		"more is left than we think":        {limits: ten, mine: 60, said: reading("ten_seconds", 100, 95), want: 40},
		"half is another process's":         {limits: ten, share: 0.5, mine: 10, said: reading("ten_seconds", 100, 50), want: 40},
		"another process takes too much":    {limits: ten, share: 0.5, mine: 10, said: reading("ten_seconds", 100, 20), want: 20},
		"a lower limit is shared as well":   {limits: ten, share: 0.5, mine: 10, said: reading("ten_seconds", 60, 50), want: 20},
		"the day: others call too":          {limits: daily(1000, time.UTC), mine: 10, said: reading("day", 1000, 400), want: 400},
		"the day: more is left":             {limits: daily(1000, time.UTC), mine: 600, said: reading("day", 1000, 900), want: 400},
		"the day: it began at another hour": {limits: daily(1000, nil), mine: 600, said: reading("day", 1000, 900), want: 900},
		"a reading that cannot be":          {limits: ten, mine: 10, said: reading("ten_seconds", 100, 500), want: 90},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start(t, "2026-05-01T06:00:00Z")
				o := deliverOnly
				o.Share = c.share
				a := New("x", c.limits, o)
				for range c.mine {
					take(t.Context(), a, Deliver, "")
				}
				observe(a, c.said)
				if got := a.Headroom()[c.limits[0].Name]; got != c.want {
					t.Errorf("headroom %d, want %d", got, c.want)
				}
			})
		})
	}
}

// What others used is forgotten after a window, or when the vendor says it is over.
func TestWhatOthersUsedIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ten := []destinations.Limit{{Name: "ten_seconds", Requests: 10, Per: 10 * time.Second}}
		a := New("x", ten, Options{})
		observe(a, reading("ten_seconds", 10, 0))
		began := time.Now()
		take(t.Context(), a, Deliver, "")
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("it took %v", took)
		}
		observe(a, []destinations.Reading{{Limit: "ten_seconds", Max: 10, Remaining: 0, Resets: 3 * time.Second}})
		began = time.Now()
		take(t.Context(), a, Deliver, "")
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
		observe(a, reading("ten_seconds", 10, 0)) // and the next answer's word counts, not the last one's
		go func() {
			time.Sleep(time.Second)
			observe(a, reading("ten_seconds", 10, 8))
		}()
		began = time.Now()
		take(t.Context(), a, Deliver, "")
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Just after midnight an answer may still speak of the day before.
func TestYesterdaysReadingIsNotTodays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start(t, "2026-05-01T23:59:00Z")
		a := New("x", daily(10, time.UTC), deliverOnly)
		p, _ := a.Begin(t.Context(), Deliver, "")
		time.Sleep(61 * time.Second)
		p.Answered(reading("day", 10, 0))
		if n := a.Headroom()["day"]; n != 9 { // the one in flight counts for both days
			t.Errorf("headroom %d", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	day := destinations.Limit{Name: "day", Requests: 1000, Per: 24 * time.Hour, Daily: true, Classes: []string{"", "search"}}
	here := day
	here.Zone = zone(t, "America/New_York")
	ten := destinations.Limit{Name: "ten_seconds", Requests: 100, Per: 10 * time.Second}
	search := destinations.Limit{Name: "search_second", Requests: 5, Per: time.Second, Classes: []string{"search"}}
	for name, c := range map[string]struct {
		day            destinations.Limit
		class, limit   string
		after          time.Duration
		ordinary, find time.Duration // how long each waits
	}{
		"ten seconds":               {day, "", "ten_seconds", 0, 10 * time.Second, 0},
		"ten seconds, with a wait":  {day, "", "ten_seconds", 3 * time.Second, 3 * time.Second, 0},
		"search":                    {day, "search", "search_second", 0, 0, time.Second},
		"the day, its zone known":   {here, "", "day", time.Minute, 22*time.Hour + dayTurnsOver, 22*time.Hour + dayTurnsOver},
		"the day, its zone unknown": {day, "", "day", 0, time.Hour, time.Hour},
		"no limit's name":           {day, "", "", 0, 10 * time.Second, 0},
		"a name nobody knows":       {day, "search", "weekly", time.Minute, 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start(t, "2026-05-01T06:00:00Z")
				a := New("x", []destinations.Limit{ten, c.day, search}, Options{})
				began := time.Now()
				a.Refused(c.class, c.limit, c.after)
				if _, until, ok := a.Waiting(); ok != (max(c.ordinary, c.find) >= time.Minute) || ok && until.Sub(began) != max(c.ordinary, c.find) {
					t.Errorf("told to wait until %v, %v", until, ok)
				}
				var g sync.WaitGroup
				for class, want := range map[string]time.Duration{"": c.ordinary, "search": c.find} {
					g.Go(func() {
						if err := take(t.Context(), a, Deliver, class); err != nil || time.Since(began) != want {
							t.Errorf("%q went after %v, %v; want %v", class, time.Since(began), err, want)
						}
					})
				}
				g.Wait()
			})
		})
	}
}

// Just after midnight a refusal is of the vendor's day before, whose clock is behind: the new
// day is asked again in a minute, not given up.
func TestARefusalOfYesterdayDoesNotCloseToday(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start(t, "2026-05-02T00:00:06Z")
		a := New("x", daily(3, time.UTC), deliverOnly)
		for range 2 {
			began := time.Now()
			a.Refused("", "day", 0)
			if err := take(t.Context(), a, Deliver, ""); err != nil || time.Since(began) != time.Minute {
				t.Errorf("went after %v, %v", time.Since(began), err)
			}
		}
		start(t, "2026-05-02T00:10:00Z")
		a.Refused("", "day", 0)
		if _, until, ok := a.Waiting(); !ok || !until.Equal(time.Date(2026, 5, 3, 0, 0, 5, 0, time.UTC)) {
			t.Errorf("later it is today's: closed until %v, %v", until, ok)
		}
	})
}

// Where nobody knows when the day ends, a used-up one is asked again once an hour, until the
// vendor says that it began anew.
func TestADayOfUnknownEndIsAskedHourly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start(t, "2026-05-01T06:00:00Z")
		a := New("x", daily(3, nil), deliverOnly)
		for range 3 {
			take(t.Context(), a, Deliver, "")
		}
		for n := range 2 {
			began := time.Now()
			p, _ := a.Begin(t.Context(), Deliver, "")
			if took := time.Since(began); took != time.Hour {
				t.Errorf("asked after %v", took)
			}
			p.Answered(reading("day", 3, 2*n))
		}
		if n := a.Headroom()["day"]; n != 2 {
			t.Errorf("after the vendor's midnight there is room for %d, want 2", n)
		}
	})
}

// A limit that nobody declared: Meta's percentages.
func TestGauges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("x", []destinations.Limit{{Name: "second", Requests: 100, Per: time.Second}}, Options{})
		took := func() time.Duration {
			began := time.Now()
			take(t.Context(), a, Deliver, "")
			return time.Since(began)
		}
		for _, c := range []struct {
			remaining int
			resets    time.Duration
			want      time.Duration
		}{
			{-1, 0, 0}, {60, 0, 0}, {20, 0, 0}, {10, 0, 5 * time.Second}, {1, 0, 9500 * time.Millisecond},
			{0, 0, time.Minute}, {0, 7 * time.Minute, 7 * time.Minute}, {50, 0, 0},
		} {
			took()
			observe(a, []destinations.Reading{{Limit: "app_usage", Max: 100, Remaining: c.remaining, Resets: c.resets}})
			if got := took(); got != c.want {
				t.Errorf("%d %% left: waited %v, want %v", c.remaining, got, c.want)
			}
			observe(a, reading("app_usage", 100, 100))
		}
		observe(a, reading("app_usage", 100, 0))
		if took() != time.Minute || took() != widest {
			t.Error("after an empty gauge's wait requests are not spaced")
		}
		observe(a, reading("app_usage", 100, 10))
		time.Sleep(time.Hour)
		if took(); took() != 0 {
			t.Error("what was said an hour ago still counts")
		}
		observe(a, reading("app_usage", 100, 100))
		if h := a.Headroom(); h["app_usage"] != 100 {
			t.Errorf("headroom %v", h)
		}
	})
}
