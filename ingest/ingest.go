// Package ingest is the HTTP way in: it checks key, signature and shape, cuts a batch
// into items, has each item's own bytes kept as a receipt, and answers 2xx only after
// that. What an item means is read later; see docs/http.md for every route.
package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
	"tributary/canonical/wire"
)

// An Appender keeps accepted receipts. Any event log will do.
type Appender interface {
	// Append returns nil once every receipt would survive a crash. It does not keep the
	// receipts after it returned. An error that is ErrLogFull says who holds the log in its
	// text; after any error none, some or all may have been kept.
	Append(ctx context.Context, receipts ...canonical.Receipt) error
}

// ErrLogFull is what an Appender's error wraps when the log is at its size limit.
var ErrLogFull = errors.New("the log is full")

// Options are what the HTTP front is made of. Appender and Keys are needed; the zero
// value of all else works.
type Options struct {
	Appender Appender
	Keys     KeyFinder
	// Sources are the configured ways in, by name. A body may also name one of the built-in
	// sources hubspot, api, web and meta, which is where items without a source go.
	Sources map[string]Source
	Limits  Limits
	// PublicURL is the address callers use, without the path: https://in.example.com. Two of
	// HubSpot's signatures cover it. "" takes what the request says.
	PublicURL string
	// TrustedProxies are the addresses (CIDR) whose X-Forwarded-For, -Proto and -Host are believed; none.
	TrustedProxies []string

	// Where, Replay, Rerun and Balances answer for the process; nil: this process does not
	// have that role.
	Where    Where
	Replay   func(context.Context, ReplayRequest) (ReplayAnswer, error)
	Rerun    func(ctx context.Context, id canonical.ReceiptID, who string) error
	Balances func(context.Context) (any, error)
	// Rehearse answers ?dry_run=true; nil: this process does not have that role.
	Rehearse Rehearse
	// Readiness says whether this process can do its HTTP work, and what is not well with
	// it otherwise. Nil: ready.
	Readiness func() (ok bool, degraded []string)
	// Items cuts a hook's body as the mapping says; nil leaves it whole.
	Items func(source string, body []byte) ([]json.RawMessage, error)
	// Full says why nothing more can be taken in, naming who holds the log; nil: it can.
	Full func() error

	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: discards
	Registerer prometheus.Registerer // nil: a registry of its own
	Gatherer   prometheus.Gatherer   // what /metrics shows; nil: the Registerer where it is one
	// Mount adds routes of the process to the front. auth gives a middleware that demands a
	// key with a scope; KeyName tells whose it was.
	Mount func(r gin.IRouter, auth func(Scope) gin.HandlerFunc)
	// Operations describe what Mount adds, for GET /openapi.json.
	Operations []Operation
}

// A Source is one configured way in.
type Source struct {
	// Kind is hubspot for a HubSpot app's webhooks, hook for JSON of any shape, website for pages;
	// "" for anything else.
	Kind string
	// Secret gives the app's client secret, "" while it cannot be read; nil demands a key instead of
	// a signature.
	Secret func() string
	// Signatures lists the schemes taken: v1, v2, v3. Empty takes all three.
	Signatures []string
	// Workflow is what the account's workflows show.
	Workflow WorkflowProof

	// Rate is of all that is proven without a key of ours; the zero one is Limits.Rate.
	Rate Rate

	// Of a hook: what its sender shows, and from where it may come (nil: anywhere).
	Proof Proof
	Allow []netip.Prefix

	Site Site // of a website
}

// Limits bound what requests may cost. Zero stands for the default. docs/operations.md, "Under
// pressure", lists them all.
type Limits struct {
	Body   int           // bytes of a single event's body: 1 MiB
	Batch  int           // bytes of a batch's body: 5 MiB
	Item   int           // bytes of one item: 256 KiB
	Items  int           // of one batch: 1000
	Depth  int           // of nesting in one item: 64
	Append time.Duration // how long an append may take: 10 s

	MaxInFlight   int // requests at a time: 4096
	InFlightBytes int // of the bodies of those: 256 MiB

	Rate        Rate // of each key, and of each source that is proven without one: 5000 a second
	AddressRate Rate // of each address with a browser key: 20 a second, 100 at once

	BodyGrace   time.Duration // in which the first 64 KiB of a body must come: 10 s; the server's own ReadTimeout
	BodyRate    int           // bytes a second at which the rest must come: 16 KiB
	WriteAnswer time.Duration // for the answer to a body that took longer: 60 s
}

// Bounds of what gzip unpacks to, which nobody sets.
const (
	MaxRatio     = 100     // how many times its size a body may unpack to
	RatioMatters = 1 << 20 // once it unpacked to this
)

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Body, 1<<20)
	set(&l.Batch, 5<<20)
	set(&l.Item, 256<<10)
	set(&l.Items, 1000)
	set(&l.Depth, 64)
	set(&l.MaxInFlight, 4096)
	set(&l.InFlightBytes, 256<<20)
	set(&l.BodyRate, 16<<10)
	last := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	last(&l.Append, 10*time.Second)
	last(&l.BodyGrace, 10*time.Second)
	last(&l.WriteAnswer, time.Minute)
	l.Rate = l.Rate.or(Rate{PerSecond: 5000})
	l.AddressRate = l.AddressRate.or(Rate{PerSecond: 20, Burst: 100})
	return l
}

// DefaultLimits is what holds where nothing else is said.
func DefaultLimits() Limits { return Limits{}.withDefaults() }

func (l Limits) pace() pace {
	return pace{grace: l.BodyGrace, rate: int64(l.BodyRate), write: l.WriteAnswer}
}

func (l Limits) bounds() wire.Bounds { return wire.Bounds{Bytes: l.Item, Depth: l.Depth} }

// A front is the handler with all that it needs.
type front struct {
	Options
	limits  Limits
	ids     *idSource
	metrics *metrics
	dry     chan struct{} // one for each dry run being made
	load    load
	rates   *rates
	names   map[string]string // sources that an item may name
	agents  *agents
	public  publicURL

	tellProxy sync.Once

	appendTimeout sharedTimeout
}

// Handler gives the HTTP front. It starts no goroutine and keeps nothing but its own
// counters. An error is a mistake in the options.
func Handler(o Options) (http.Handler, error) {
	if o.Appender == nil || o.Keys == nil {
		return nil, errors.New("ingest: an appender and keys are needed")
	}
	public, err := parsePublicURL(o.PublicURL, o.TrustedProxies)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if g, ok := o.Registerer.(prometheus.Gatherer); ok && o.Gatherer == nil {
		o.Gatherer = g
	}
	f := &front{Options: o, limits: o.Limits.withDefaults(), ids: newIDSource(), public: public, names: sourceNames(o.Sources), agents: newAgents()}
	f.load.maxRequests, f.load.maxBytes = int64(f.limits.MaxInFlight), int64(f.limits.InFlightBytes)
	f.rates = newRates(f.limits)
	f.metrics = newMetrics(o.Registerer, &f.load)
	f.dry = make(chan struct{}, dryAtOnce)
	f.appendTimeout.after = f.limits.Append
	return f.routes()
}

// routes is the list of everything that is served.
func (f *front) routes() (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.UseRawPath = true // an event id may hold an escaped slash
	e.UnescapePathValues = true
	if err := e.SetTrustedProxies(f.TrustedProxies); err != nil {
		return nil, err
	}

	e.POST("/v1/ingest/crm", f.keyed("/v1/ingest/crm", ScopeIngest, f.crm))
	e.POST("/v1/events", f.keyed("/v1/events", ScopeIngest, f.events))
	e.POST("/v1/ingest/hubspot/:source", f.limited("/v1/ingest/hubspot/:source", f.hubspot))
	const workflow = "/v1/ingest/hubspot/:source/workflow"
	e.POST(workflow, f.limited(workflow, f.workflow))
	e.GET(workflow, f.limited(workflow, f.workflow))
	e.POST("/v1/ingest/hook/:source", f.limited("/v1/ingest/hook/:source", f.hook))
	e.GET("/t.js", f.open("/t.js", f.pageScript))
	e.HEAD("/t.js", f.open("/t.js", f.pageScript))
	e.GET("/v1/pixel.gif", f.limited("/v1/pixel.gif", f.pixelImage))
	e.HEAD("/v1/pixel.gif", f.limited("/v1/pixel.gif", f.pixelImage))
	e.POST("/v1/ingest/pixel", f.limited("/v1/ingest/pixel", f.pixel))
	e.OPTIONS("/v1/ingest/pixel", f.open("/v1/ingest/pixel", f.preflight))

	f.segmentRoutes(e)

	e.POST("/v1/replay", f.keyed("/v1/replay", ScopeReplay, f.replay))
	e.POST("/v1/receipts/:id/rerun", f.keyed("/v1/receipts/:id/rerun", ScopeReplay, f.rerun))
	e.GET("/v1/receipts/:id", f.keyed("/v1/receipts/:id", ScopeRead, f.receipt))
	e.GET("/v1/events/:id", f.keyed("/v1/events/:id", ScopeRead, f.eventByID))
	e.GET("/v1/balances", f.keyed("/v1/balances", ScopeRead, f.balances))

	e.GET("/healthz", f.open("/healthz", f.healthz))
	e.GET("/readyz", f.open("/readyz", f.readyz))
	e.GET("/metrics", f.open("/metrics", f.exposition()))
	describe, err := f.describe()
	if err != nil {
		return nil, err
	}
	e.GET("/openapi.json", f.open("/openapi.json", describe))

	if f.Mount != nil {
		f.Mount(e.Group("", f.mounted), f.auth)
	}
	// Meta's path begins with a version of theirs, where ours has v1: it is told apart here.
	e.NoRoute(f.elsewhere)
	e.NoMethod(f.open("other", func(*gin.Context, *request) error {
		return fail(CodeMethod, "this route does not take this method")
	}))
	return e, nil
}
