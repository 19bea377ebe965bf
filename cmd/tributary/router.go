package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/internal/config"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
	"tributary/mappings"
)

// A router is the product in one process: engines, local state and stages, built in the
// order in which an event passes them.
type router struct {
	cfg      config.Config
	logger   *slog.Logger
	registry *prometheus.Registry
	health   *pipeline.Health
	instance string // what this process is known by

	credentials *credentials
	watch       *credentialWatch
	marks       map[string]func() string // of each destination's configured credential

	broker    *embeddedlog.Broker // nil: an outside Kafka
	engine    *embedded.Engine    // nil: an outside ClickHouse
	log       eventlog.Log
	topics    eventlog.Topics
	warehouse *warehouse.Warehouse
	sealer    *warehouse.Sealer
	state     *pebble.DB

	mapping atomic.Pointer[mappings.Mapping] // what holds now; live swaps it
	live    *liveMapping
	diffing atomic.Bool // a comparison of mappings is under way
	view    *identity.View
	ledger  *delivery.Ledger
	index   *pipeline.Index
	lanes   map[string]*delivery.Lane
	budgets *budgets

	resolve *pipeline.Resolve
	fetches []*pipeline.Fetch
	record  *pipeline.Record
	guards  *pipeline.Guards
	replay  *pipeline.Replay
	jobs    *pipeline.Jobs
	jobView *pipeline.JobView
	heard   *pipeline.Heard
	syncs   map[string]*pipeline.Sync
	letters *pipeline.DeadLetters
	books   *pipeline.Books
	counts  *pipeline.Counts // nil: no destination writes counts

	backlog    *pipeline.Backlog
	reconcile  *pipeline.Reconcile
	reconciled *reconciledMetrics

	connected bool           // the warehouse answered at start
	following sync.WaitGroup // the views
	stopViews context.CancelFunc
}

// open builds a router. Close gives back what it holds, also after an error.
func open(ctx context.Context, cfg config.Config, logger *slog.Logger) (r *router, err error) {
	registry := prometheus.NewRegistry()
	r = &router{cfg: cfg, logger: logger, registry: registry, health: pipeline.NewHealth(registry), topics: eventlog.Named(cfg.Log.Prefix),
		instance: instanceName(cfg), marks: map[string]func() string{}}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return r, fmt.Errorf("make the data directory: %w", err)
	}
	loaded, err := goodMapping(cfg)
	if err != nil {
		return r, err
	}
	r.mapping.Store(loaded.mapping)
	r.live = newLiveMapping(r, loaded)
	for _, step := range []func(context.Context) error{r.openLog, r.openWarehouse, r.openState, r.live.begin, r.openCredentials, r.buildLanes} {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	r.buildStages()
	return r, nil
}

// loadMapping compiles the configured mapping files, or the shipped default.
func loadMapping(cfg config.Config) (*mappings.Mapping, error) {
	loaded, err := goodMapping(cfg)
	return loaded.mapping, err
}

// goodMapping reads the configured mapping; one with a mistake is an error.
func goodMapping(cfg config.Config) (loadedMapping, error) {
	loaded, err := readConfigured(cfg)
	if err != nil {
		return loaded, err
	}
	if mappings.Failed(loaded.problems) {
		return loaded, wrong(errors.New(problemText(loaded.problems)))
	}
	return loaded, nil
}

// compileMapping compiles files and holds them against the configuration.
func compileMapping(cfg config.Config, files []mappings.File) (*mappings.Mapping, []mappings.Problem) {
	m, problems := mappings.Compile(files...)
	if mappings.Failed(problems) || len(cfg.Sources)+len(cfg.Destinations) == 0 {
		return m, problems
	}
	kinds := map[string]string{}
	for name, d := range cfg.Destinations {
		kinds[name] = d.Kind
	}
	vendors := map[string]mappings.Vendor{}
	for _, k := range catalog.Kinds() {
		vendors[k.Name] = mappings.Vendor{Match: k.MatchKeys}
	}
	problems = append(problems, m.CheckConfigured(sortedKeys(cfg.Sources), kinds, vendors)...)
	return m, append(problems, contactFieldsTwice(cfg, m)...)
}

func problemText(problems []mappings.Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// start runs everything but HTTP until ctx ends. Views are followed from the start, and
// until close: a stage that is ending still waits for what it wrote. A destination's
// books begin before anything new can be accepted.
func (r *router) start(ctx context.Context, g *errgroup.Group) error {
	views, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stopViews = stop
	follow := func(name string, view func(context.Context) error) {
		r.following.Go(func() { pipeline.Keep(views, name, r.health, r.logger, view) })
	}
	keep := func(name string, stage func(context.Context) error) {
		g.Go(func() error { return pipeline.Keep(ctx, name, r.health, r.logger, stage) })
	}
	if r.broker != nil {
		follow("embedded log", r.broker.Run)
	}
	follow("identity", func(ctx context.Context) error {
		return pipeline.FollowIdentity(ctx, r.log, r.topics.Identity, r.view)
	})
	follow("ledger", func(ctx context.Context) error {
		return pipeline.FollowLedger(ctx, r.log, r.topics.Deliveries, r.ledger, archive{r.warehouse, r.sealer})
	})
	for _, topic := range []string{r.topics.Inbound, r.topics.Events} {
		follow("index "+topic, func(ctx context.Context) error { return pipeline.FollowIndex(ctx, r.log, topic, r.index) })
	}
	follow("replays", func(ctx context.Context) error { return pipeline.FollowJobs(ctx, r.log, r.topics.Replays, r.jobView) })
	if len(r.syncs) > 0 {
		follow("heard", func(ctx context.Context) error { return pipeline.FollowHeard(ctx, r.log, r.topics.Inbound, r.heard) })
	}
	if r.counts != nil {
		follow("counts", func(ctx context.Context) error {
			return pipeline.FollowCounts(ctx, r.log, r.counts, r.warehouse)
		})
	}
	if !r.connected {
		follow("warehouse", r.reachWarehouse)
	}
	for _, l := range r.lanes {
		if err := l.Prepare(ctx); err != nil {
			return err
		}
	}
	keep("identity guards", r.guards.Run)
	keep("resolve", r.resolve.Run)
	for _, f := range r.fetches {
		keep("fetch "+f.Account, f.Run)
	}
	for _, s := range r.syncs {
		keep("sync "+s.Account, s.Run)
	}
	for name, l := range r.lanes {
		keep("destination "+name, l.Run)
	}
	keep("record", r.record.Run)
	keep("replays of many", r.jobs.Run)
	keep("credentials", r.watchCredentials)
	keep("mapping files", r.live.watch)
	r.announceVersions(time.Now())
	r.startAlerts(keep)
	keep("reconciliation", r.keepReconciled)
	keep("backlog", r.backlog.Run)
	return nil
}

// degraded lists what stands still, for the readiness body.
func (r *router) degraded() []string {
	out := r.health.Degraded()
	for name, l := range r.lanes {
		for _, why := range l.Trouble() {
			out = append(out, "destination "+name+": "+why)
		}
	}
	if r.credentials != nil {
		out = append(out, r.credentials.tokens.Troubles()...)
	}
	out = append(out, r.budgets.degraded()...)
	if r.broker != nil {
		if err := r.broker.Alert(); err != nil {
			out = append(out, err.Error())
		}
	}
	slices.Sort(out)
	return out
}

func (r *router) close() {
	if r.credentials != nil {
		r.credentials.tokens.Close()
	}
	if r.stopViews != nil {
		r.stopViews()
		r.following.Wait()
	}
	if r.log != nil {
		r.log.Close()
	}
	if r.warehouse != nil {
		r.warehouse.Close()
	}
	if r.state != nil {
		r.state.Close()
	}
	if r.broker != nil {
		r.broker.Close()
	}
	if r.engine != nil {
		r.engine.Close()
	}
}
