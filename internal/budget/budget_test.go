package budget

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/destinations"
)

// A vendor counts what arrives, in its own way: by looking at every arrival ever.
type vendor struct {
	mu      sync.Mutex
	arrived map[string][]time.Time // by class of request
}

func (v *vendor) arrive(class string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.arrived == nil {
		v.arrived = map[string][]time.Time{}
	}
	v.arrived[class] = append(v.arrived[class], time.Now())
}

// fullest is the most that ever arrived within any span, both ends included.
func (v *vendor) fullest(span time.Duration, classes ...string) int {
	var all []time.Time
	for _, c := range classes {
		all = append(all, v.arrived[c]...)
	}
	slices.SortFunc(all, time.Time.Compare)
	most := 0
	for i := range all {
		n := 0
		for j := i; j < len(all) && all[j].Sub(all[i]) <= span; j++ {
			n++
		}
		most = max(most, n)
	}
	return most
}

var hubspot = []destinations.Limit{
	{Name: "ten_seconds", Requests: 40, Per: 10 * time.Second},
	{Name: "day", Requests: 100_000, Per: 24 * time.Hour, Daily: true, Zone: time.UTC, Classes: []string{"", "search"}},
	{Name: "search_second", Requests: 5, Per: time.Second, Classes: []string{"search"}},
}

// take sends a request that is answered at once.
func take(ctx context.Context, a *Account, who Class, class string) error {
	p, err := a.Begin(ctx, who, class)
	p.Answered(nil)
	return err
}

// observe is an answer whose request counts no more.
func observe(a *Account, said []destinations.Reading) {
	(&Permit{account: a, ended: true}).Answered(said)
}

// caller sends one request after another, each some time on its way there and back.
func caller(ctx context.Context, a *Account, who Class, class string, v *vendor, r *rand.Rand, slowest time.Duration) int {
	n := 0
	for {
		p, err := a.Begin(ctx, who, class)
		if err != nil {
			return n
		}
		n++
		time.Sleep(time.Duration(r.Int64N(int64(slowest) + 1)))
		v.arrive(class)
		time.Sleep(time.Duration(r.Int64N(int64(slowest) + 1)))
		p.Answered(nil)
	}
}

// However many call, whoever they are, and however long their requests are on their way, no
// window that the vendor sees holds more than the limit.
func TestNoWindowEverHoldsMore(t *testing.T) {
	for seed := range uint64(25) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			v, a := &vendor{}, New("hubspot/main", hubspot, Options{})
			ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
			defer stop()
			slowest := time.Duration(r.Int64N(int64(4 * time.Second)))
			var g sync.WaitGroup
			for n := range 1 + r.IntN(60) {
				own := rand.New(rand.NewPCG(seed, uint64(n)))
				who, class := Class(own.IntN(classes)), ""
				if own.IntN(5) == 0 {
					class = "search"
				}
				g.Go(func() {
					time.Sleep(time.Duration(own.Int64N(int64(time.Minute))))
					for ctx.Err() == nil { // by fits and starts
						some, enough := context.WithTimeout(ctx, time.Duration(own.Int64N(int64(time.Minute))))
						caller(some, a, who, class, v, own, slowest)
						enough()
						time.Sleep(time.Duration(own.Int64N(int64(20 * time.Second))))
					}
				})
			}
			g.Wait()
			if n := v.fullest(10*time.Second, ""); n > 40 {
				t.Errorf("seed %d: %d within ten seconds", seed, n)
			}
			if n := v.fullest(time.Second, "search"); n > 5 {
				t.Errorf("seed %d: %d searches within a second", seed, n)
			}
		})
	}
}

// Whoever sends as fast as it may uses the window, and not only a part of it.
func TestAWindowIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, a := &vendor{}, New("hubspot/main", hubspot, Options{})
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Second)
		defer stop()
		var g sync.WaitGroup
		for n := range 8 {
			g.Go(func() { caller(ctx, a, Backfill, "", v, rand.New(rand.NewPCG(1, uint64(n))), 50*time.Millisecond) })
		}
		g.Wait()
		if n := len(v.arrived[""]); n < 380 {
			t.Errorf("%d of 400 in a hundred seconds", n)
		}
	})
}

// crowd has many callers of each class call all the time, and counts what each class got.
func crowd(ctx context.Context, a *Account, each map[Class]int) (had func() [classes]int) {
	var got [classes]int
	var mu sync.Mutex
	for who, n := range each {
		for range n {
			go func() {
				for {
					p, err := a.Begin(ctx, who, "")
					if err != nil {
						return
					}
					mu.Lock()
					got[who]++
					mu.Unlock()
					time.Sleep(20 * time.Millisecond)
					p.Answered(nil)
				}
			}()
		}
	}
	return func() [classes]int {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

func TestSharesHoldWhereAllWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 1000*time.Second)
		defer stop()
		limit := []destinations.Limit{{Name: "ten_seconds", Requests: 100, Per: 10 * time.Second}}
		had := crowd(ctx, New("x", limit, Options{}), map[Class]int{Deliver: 60, Fetch: 60, Backfill: 60})
		<-ctx.Done()
		synctest.Wait()
		got := had()
		total := sum(got)
		for c, want := range Default {
			if part := float64(got[c]) / float64(total); part < want-0.02 || part > want+0.02 {
				t.Errorf("%v had %.3f of %d; want %.2f", Class(c), part, total, want)
			}
		}
	})
}

// What others leave is lent, and given back within one window when its owner asks.
func TestWhatIsLentComesBack(t *testing.T) {
	for who := range Class(classes) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 200*time.Second)
			defer stop()
			limit := []destinations.Limit{{Name: "ten_seconds", Requests: 100, Per: 10 * time.Second}}
			a := New("x", limit, Options{})
			others := map[Class]int{Deliver: 100, Fetch: 100, Backfill: 100}
			delete(others, who)
			had := crowd(ctx, a, others)
			time.Sleep(95 * time.Second)
			synctest.Wait()
			if n := sum(had()); n < 940 {
				t.Errorf("without %v the others had %d; want all of the 95 seconds' budget", who, n)
			}
			mine := crowd(ctx, a, map[Class]int{who: 100})
			time.Sleep(10*time.Second + 100*time.Millisecond)
			synctest.Wait()
			if n, want := mine()[who], int(100*Default[who])-1; n < want {
				t.Errorf("%v had %d within a window of asking; want its share, %d", who, n, want)
			}
			<-ctx.Done()
			synctest.Wait()
		})
	}
}

// One caller that sends one request after another has its share too, though many others are
// quicker to take what is free: what it needs is kept for it, and no more than that.
func TestOneSlowCallerAmongManyQuickOnes(t *testing.T) {
	limit := []destinations.Limit{{Name: "ten_seconds", Requests: 100, Per: 10 * time.Second}}
	for name, c := range map[string]struct {
		takes      time.Duration // each request of the slow one
		pause      time.Duration // and between two
		slow, fast int           // the least each has in a thousand seconds
	}{
		"could have all":           {60 * time.Millisecond, 0, 4800, 4800},
		"could have its share":     {180 * time.Millisecond, 0, 4500, 4500},
		"could have a fifth":       {500 * time.Millisecond, 0, 1750, 7000},
		"wants one in two seconds": {100 * time.Millisecond, 2 * time.Second, 400, 8900},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 1000*time.Second)
			defer stop()
			a := New("x", limit, Options{})
			fast, slow := crowd(ctx, a, map[Class]int{Fetch: 5}), 0
			for {
				p, err := a.Begin(ctx, Deliver, "")
				if err != nil {
					break
				}
				slow++
				time.Sleep(c.takes)
				p.Answered(nil)
				time.Sleep(c.pause)
			}
			synctest.Wait()
			if n := fast()[Fetch]; slow < c.slow || n < c.fast {
				t.Errorf("%s: the slow one had %d, the quick ones %d; want %d and %d at least", name, slow, n, c.slow, c.fast)
			}
		})
	}
}

// A limit of one a second is shared too: nobody starves for having a small part of it.
func TestASmallLimitStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 500*time.Second)
		defer stop()
		had := crowd(ctx, New("x", destinations.PerSecond(1), Options{}), map[Class]int{Deliver: 3, Fetch: 3, Backfill: 3})
		<-ctx.Done()
		synctest.Wait()
		got := had()
		if got[Deliver] < 225 || got[Fetch] < 180 || got[Backfill] < 45 {
			t.Errorf("got %v of 500", got)
		}
	})
}

func TestAProcessKeepsToItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
		defer stop()
		v := &vendor{}
		for n, share := range []float64{0.5, 0.3, 0.2} {
			a := New(fmt.Sprint(n), hubspot, Options{Share: share})
			for i := range 20 {
				go caller(ctx, a, Deliver, "", v, rand.New(rand.NewPCG(uint64(n), uint64(i))), 300*time.Millisecond)
			}
		}
		<-ctx.Done()
		synctest.Wait()
		if n := v.fullest(10*time.Second, ""); n > 40 || n < 38 {
			t.Errorf("three processes had %d of 40 within ten seconds", n)
		}
	})
	slow := newWindow(destinations.PerSecond(1)[0], 0.25, Default)
	if slow.limit.Per != 4*time.Second || slow.most() != 1 {
		t.Errorf("a quarter of one a second is %d in %v", slow.most(), slow.limit.Per)
	}
}

func TestCancelReturnsAtOnceAndGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("x", []destinations.Limit{{Name: "ten_seconds", Requests: 1, Per: 10 * time.Second}}, Options{})
		p, _ := a.Begin(t.Context(), Deliver, "")
		ctx, cancel := context.WithCancel(t.Context())
		var errs [3]error
		var g sync.WaitGroup
		for i := range errs {
			g.Go(func() { _, errs[i] = a.Begin(ctx, Deliver, "") })
		}
		synctest.Wait()
		began := time.Now()
		cancel()
		g.Wait()
		for _, err := range errs {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		p.Unused()
		if p, err := a.Begin(t.Context(), Fetch, ""); err != nil || time.Since(began) != 0 {
			t.Errorf("what was not used is not free: %v after %v", err, time.Since(began))
		} else {
			p.Answered(nil)
			p.Answered(nil) // twice is once
		}
		if n := a.Headroom()["ten_seconds"]; n != 0 {
			t.Errorf("headroom %d", n)
		}
		if _, err := a.Begin(ctx, Deliver, ""); !errors.Is(err, context.Canceled) {
			t.Error("a context that is over was waited for")
		}
	})
}

// A permit that is granted in the instant in which its context ends is given back.
func TestAGrantToNobodyIsGivenBack(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			a := New("x", []destinations.Limit{{Name: "second", Requests: 1, Per: time.Second}}, Options{})
			p, _ := a.Begin(t.Context(), Deliver, "")
			ctx, cancel := context.WithCancel(t.Context())
			var got *Permit
			var g sync.WaitGroup
			g.Go(func() { got, _ = a.Begin(ctx, Deliver, "") })
			synctest.Wait()
			go p.Unused()
			go cancel()
			g.Wait()
			synctest.Wait()
			if n := a.Headroom()["second"]; got == nil && n != 1 || got != nil && n != 0 {
				t.Fatalf("headroom %d, permit %v", n, got != nil)
			}
		})
	}
}

func TestNoBudgetLetsEverythingThrough(t *testing.T) {
	var a *Account
	p, err := a.Begin(t.Context(), Deliver, "")
	p.Answered([]destinations.Reading{{Limit: "x"}})
	p.Unused()
	if err != nil {
		t.Error(err)
	}
	a.Refused("", "", 0)
	if _, _, ok := a.Waiting(); ok {
		t.Error("it waits")
	}
}

// A class of requests that no limit counts waits for nothing, and the others' limits for
// nothing of it.
func TestClassesOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New("x", hubspot, Options{})
		began := time.Now()
		for range 1000 {
			if err := take(t.Context(), a, Deliver, "events"); err != nil {
				t.Fatal(err)
			}
		}
		for range 40 {
			take(t.Context(), a, Deliver, "")
		}
		for range 5 {
			take(t.Context(), a, Fetch, "search")
		}
		if time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
		if h := a.Headroom(); h["ten_seconds"] != 0 || h["search_second"] != 0 || h["day"] != 100_000-45 {
			t.Errorf("headroom %v", h)
		}
	})
}
