// Package budget paces everything in one process that calls one vendor account: deliveries,
// reads and backfills share the account's limits.
//
// A rolling limit of N requests in the last Per is kept exactly: a request counts from when it
// was let go until Per after its answer. The vendor counts it at some time in between, so that
// no window of the vendor's holds more than N, however long requests are on their way.
package budget

import (
	"context"
	"slices"
	"sync"
	"time"

	"tributary/destinations"
)

// A Class is who calls.
type Class int

// The classes. Fetch completes webhooks; Backfill is what may take all day.
const (
	Deliver Class = iota
	Fetch
	Backfill

	classes = 3
)

func (c Class) String() string { return [...]string{"deliver", "fetch", "backfill"}[c] }

// Shares are the classes' parts of a budget, by Class. They are made to add up to one. A
// class without a part has what others leave.
type Shares [classes]float64

// Default is what holds where nothing else is configured.
var Default = Shares{Deliver: 0.5, Fetch: 0.4, Backfill: 0.1}

func (s Shares) sound() Shares {
	total := s[Deliver] + s[Fetch] + s[Backfill]
	if total <= 0 {
		return Default
	}
	for c := range s {
		s[c] /= total
	}
	return s
}

// Options are what a budget may be given beside its limits. The zero value is the whole
// account for this process, with Default shares.
type Options struct {
	Share   float64 // this process's part of the account, above 0 up to 1; 0: all of it
	Shares  Shares
	Metrics *Metrics
}

// An Account is the budget of one vendor account in this process. Its methods may be called
// by many at once; nil lets everything through. It runs no goroutine of its own.
type Account struct {
	name    string
	shares  Shares
	metrics *Metrics

	mu      sync.Mutex
	windows []*window
	gauges  map[string]*gauge    // what the vendor tells of limits that nobody declared
	stopped map[string]time.Time // classes of requests that were refused without a limit's name
	last    time.Time            // when the last request was let go
	lines   []*line              // who waits, one for each class of request
}

// New is a budget of these limits. A limit of no requests is none.
func New(name string, limits []destinations.Limit, o Options) *Account {
	if o.Share <= 0 || o.Share > 1 {
		o.Share = 1
	}
	a := &Account{name: name, shares: o.Shares.sound(), metrics: o.Metrics,
		gauges: map[string]*gauge{}, stopped: map[string]time.Time{}}
	for _, l := range limits {
		if l.Requests > 0 && (l.Per > 0 || l.Daily) {
			a.windows = append(a.windows, newWindow(l, o.Share, a.shares))
		}
	}
	o.Metrics.add(a)
	return a
}

// Name is the account's, as metrics have it.
func (a *Account) Name() string { return a.name }

// A Permit is leave to send one request. Whoever has one ends it, by Answered or Unused; until
// then it counts.
type Permit struct {
	account *Account
	windows []*window
	who     Class
	ended   bool
}

// Begin waits until a request of that class may be sent. It returns ctx's error, and has
// taken nothing, as soon as ctx ends.
func (a *Account) Begin(ctx context.Context, who Class, requestClass string) (*Permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a == nil {
		return nil, nil
	}
	began := time.Now()
	p, err := a.wait(ctx, who, requestClass)
	if err == nil {
		a.metrics.waited(a.name, who, time.Since(began))
	}
	return p, err
}

// Answered says that the request's answer came, or never will, and corrects the budget by what
// it says of the limits: a smaller limit than the configured one holds from now on, and what
// others have used is left to them. Nothing raises the budget above its settings. A reading
// of a limit that is not among the account's spaces requests from four fifths of it on, and
// stops them at its end.
func (p *Permit) Answered(readings []destinations.Reading) {
	p.end(func(w *window, now time.Time) { w.answered(p.who, now) }, readings)
}

// Unused says that the request never left.
func (p *Permit) Unused() {
	p.end(func(w *window, now time.Time) { w.unused(p.who, now) }, nil)
}

func (p *Permit) end(how func(*window, time.Time), readings []destinations.Reading) {
	if p == nil || p.account == nil {
		return
	}
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !p.ended {
		p.ended = true
		for _, w := range p.windows {
			how(w, now)
		}
	}
	a.read(readings, now)
	a.changed(now)
}

func (a *Account) read(readings []destinations.Reading, now time.Time) {
	for _, r := range readings {
		if w := a.window(r.Limit); w != nil {
			w.read(r, now)
		} else {
			a.gauges[r.Limit] = &gauge{Reading: r, at: now}
		}
	}
}

func (a *Account) window(limit string) *window {
	for _, w := range a.windows {
		if w.limit.Name == limit {
			return w
		}
	}
	return nil
}

// Refused tells of a 429: nobody sends what the limit counts until after has passed; 0 is
// the limit's own length. A daily limit stays closed until its day ends, where its zone is
// known, else for an hour at least. Where the limit has no name that the account knows, the
// class of request is closed, for ten seconds unless after says more.
func (a *Account) Refused(requestClass, limit string, after time.Duration) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if w := a.window(limit); w != nil {
		w.refuse(after, now)
	} else {
		limit = "unnamed"
		if after <= 0 {
			after = 10 * time.Second
		}
		if at := now.Add(after); at.After(a.stopped[requestClass]) {
			a.stopped[requestClass] = at
		}
	}
	a.metrics.refused(a.name, limit)
	a.changed(now)
}

// longWait is from when on a closed limit is worth telling an operator.
const longWait = time.Minute

// Waiting names the limit that is closed for longest, and until when: a day that is used up,
// a refusal of more than a minute. ok is false where nothing is.
func (a *Account) Waiting() (limit string, until time.Time, ok bool) {
	if a == nil {
		return "", time.Time{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	closed := func(name string, at time.Time) {
		if at.Sub(now) >= longWait && at.After(until) {
			limit, until, ok = name, at, true
		}
	}
	for _, w := range a.windows {
		if w.headroom(now) == 0 {
			closed(w.limit.Name, w.reopens(now))
		}
	}
	for name, g := range a.gauges {
		closed(name, g.reopens(a.last))
	}
	for _, at := range a.stopped {
		closed("unnamed", at)
	}
	return limit, until, ok
}

// Headroom says how many more requests each limit has room for now.
func (a *Account) Headroom() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	out := map[string]int{}
	for _, w := range a.windows {
		out[w.limit.Name] = w.headroom(now)
	}
	for name, g := range a.gauges {
		if g.Max > 0 {
			out[name] = max(0, g.Remaining)
		}
	}
	return out
}

// room says whether a request may be let go now; where not, when to look again (zero: when
// somebody's answer has come).
func (a *Account) room(who Class, requestClass string, now time.Time) (ok bool, again time.Time) {
	ok = true
	closed := func(at time.Time) {
		if ok = false; again.IsZero() || !at.IsZero() && at.Before(again) {
			again = at
		}
	}
	for _, w := range a.windows {
		if w.counts(requestClass) && !w.room(who, now) {
			closed(w.reopens(now))
		}
	}
	if at := a.stopped[requestClass]; now.Before(at) {
		closed(at)
	}
	for _, g := range a.gauges {
		if at := g.reopens(a.last); now.Before(at) {
			closed(at)
		}
	}
	return ok, again
}

func (a *Account) grant(who Class, requestClass string, now time.Time) *Permit {
	p := &Permit{account: a, who: who, windows: slices.DeleteFunc(slices.Clone(a.windows), func(w *window) bool { return !w.counts(requestClass) })}
	for _, w := range p.windows {
		w.take(who, now)
	}
	a.last = now
	return p
}
