package ingest

import (
	"hash/maphash"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
)

// A Rate is how many requests a second one caller may make, and how many at once after a rest.
// The zero one leaves it to who is asked next; a negative one is no limit.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"` // 0: two seconds' worth, at least 1
}

// Unlimited is no limit.
var Unlimited = Rate{PerSecond: -1}

// String writes a rate as the configuration has it: 100/s, 600/m, 3600/h, none.
func (r Rate) String() string {
	switch {
	case r.PerSecond < 0:
		return "none"
	case r.PerSecond == 0:
		return ""
	case r.PerSecond < 1 && r.PerSecond*60 >= 1:
		return strconv.FormatFloat(r.PerSecond*60, 'g', 6, 64) + "/m"
	case r.PerSecond < 1:
		return strconv.FormatFloat(r.PerSecond*3600, 'g', 6, 64) + "/h"
	}
	return strconv.FormatFloat(r.PerSecond, 'g', 6, 64) + "/s"
}

func (r Rate) limited() bool { return r.PerSecond > 0 }

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return int(max(1, math.Ceil(2*r.PerSecond)))
}

func (r Rate) limiter() *rate.Limiter { return rate.NewLimiter(rate.Limit(r.PerSecond), r.burst()) }

// or is r, or where it leaves it open, other.
func (r Rate) or(other Rate) Rate {
	if r.PerSecond == 0 {
		return other
	}
	return r
}

// rates are the allowances of callers: one for every key and for every source that is proven
// without a key, and a fixed number of them for the addresses of browsers.
type rates struct {
	each    Rate
	callers sync.Map // of keys by hash and sources by name: *allowance; as many as there are of those
	address Rate
	cells   []atomic.Pointer[rate.Limiter]
	seed    maphash.Seed
}

// An allowance is a limiter, and what it was made for.
type allowance struct {
	rate    Rate
	limiter *rate.Limiter
	told    atomic.Int64 // when it was last logged that it is used up, in Unix seconds
}

// cellCount is how many allowances addresses share: 64 Ki pointers, and at most 80 bytes behind
// each. Of ten thousand visitors at a time one in seven shares its allowance with another.
const cellCount = 1 << 16

func newRates(l Limits) *rates {
	return &rates{each: l.Rate, address: l.AddressRate, cells: make([]atomic.Pointer[rate.Limiter], cellCount), seed: maphash.MakeSeed()}
}

// caller gives the allowance of a key or source, made anew where its rate was changed.
func (r *rates) caller(id string, own Rate) *allowance {
	want := own.or(r.each)
	if !want.limited() {
		return nil
	}
	if a, ok := r.callers.Load(id); ok && a.(*allowance).rate == want {
		return a.(*allowance)
	}
	a := &allowance{rate: want, limiter: want.limiter()}
	r.callers.Store(id, a)
	return a
}

// visitor gives the allowance of an address with a key. An IPv6 visitor has a network of their
// own, so that its first half counts.
func (r *rates) visitor(key string, at netip.Addr) *rate.Limiter {
	at = at.Unmap()
	if at.Is6() {
		if p, err := at.Prefix(64); err == nil {
			at = p.Addr()
		}
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(key)
	b := at.As16()
	h.Write(b[:])
	cell := &r.cells[h.Sum64()%uint64(len(r.cells))]
	l := cell.Load()
	if l == nil {
		cell.CompareAndSwap(nil, r.address.limiter())
		l = cell.Load()
	}
	return l
}

// take takes one request of an allowance; ok is false when there is none, and then after says
// when there is again.
func take(l *rate.Limiter, now time.Time) (after time.Duration, ok bool) {
	if l.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - l.TokensAt(now)
	return time.Duration(math.Ceil(missing / float64(l.Limit()) * float64(time.Second))), false
}

// allowed counts a request of a key or source, and refuses what is more than its rate.
func (f *front) allowed(kind, id, name string, own Rate) error {
	a := f.rates.caller(id, own)
	if a == nil {
		return nil
	}
	after, ok := take(a.limiter, time.Now())
	if ok {
		return nil
	}
	f.metrics.limited[kind].Inc()
	if now, last := time.Now().Unix(), a.told.Load(); now-last >= 60 && a.told.CompareAndSwap(last, now) {
		f.Logger.Warn("a caller is over its rate and is answered 429; a line a minute says so", kind, name, "rate", a.rate.String(), "burst", a.rate.burst())
	}
	return tooFast("this "+kind+" may make "+a.rate.String()+" requests", after)
}

// keyAllowed counts a request of a key. A key without a hash is the process's own.
func (f *front) keyAllowed(k Key) error {
	if k.Hash == "" {
		return nil
	}
	return f.allowed(limitedKey, k.Hash, k.Name, k.Rate)
}

// sourceAllowed counts a request of a source whose caller is proven without a key of ours.
func (f *front) sourceAllowed(name string) error {
	return f.allowed(limitedSource, "source "+name, name, f.Sources[name].Rate)
}

// intakeAllowed counts a request whose caller find has not counted.
func (f *front) intakeAllowed(c *gin.Context, r *request, in *intake) error {
	switch {
	case in.browser:
		return f.visitorAllowed(c.Request, c.ClientIP(), r.key)
	case r.key.Name == "" && in.bound != "":
		return f.sourceAllowed(in.bound)
	}
	return nil
}

// visitorAllowed counts a request of a browser: first of its address, so that one visitor who
// floods takes nothing of what the key has for all others.
func (f *front) visitorAllowed(req *http.Request, from string, k Key) error {
	if f.rates.address.limited() {
		if at, err := netip.ParseAddr(from); err == nil && !f.hidden(req, at) {
			if after, ok := take(f.rates.visitor(k.Hash, at), time.Now()); !ok {
				f.metrics.limited[limitedAddress].Inc()
				return tooFast("an address may make "+f.rates.address.String()+" requests with a browser key", after)
			}
		}
	}
	return f.keyAllowed(k)
}

// hidden says that an address is that of a proxy which the configuration does not name: all
// visitors would share it. It is told once.
func (f *front) hidden(req *http.Request, at netip.Addr) bool {
	if !(at.IsLoopback() || at.IsPrivate()) || req.Header.Get("X-Forwarded-For") == "" && req.Header.Get("Forwarded") == "" {
		return false
	}
	f.tellProxy.Do(func() {
		f.Logger.LogAttrs(req.Context(), slog.LevelWarn, "browsers come through a proxy on a private address that http.trusted_proxies does not name: "+
			"their own addresses are not known, and no rate is held for each")
	})
	return true
}

func tooFast(what string, after time.Duration) *Error {
	e := fail(CodeRate, what+"; try again later")
	e.after = int(max(1, math.Ceil(after.Seconds())))
	return e
}

// What a rate is of: the label of a metric.
const (
	limitedKey     = "key"
	limitedSource  = "source"
	limitedAddress = "address"
)
