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

	broker    *embeddedlog.Broker // nil: an outside Kafka
	engine    *embedded.Engine    // nil: an outside ClickHouse
	log       eventlog.Log
	topics    eventlog.Topics
	warehouse *warehouse.Warehouse
	sealer    *warehouse.Sealer
	state     *pebble.DB

	mapping atomic.Pointer[mappings.Mapping]
	view    *identity.View
	ledger  *delivery.Ledger
	index   *pipeline.Index
	lanes   map[string]*delivery.Lane

	resolve *pipeline.Resolve
	fetches []*pipeline.Fetch
	record  *pipeline.Record
	replay  *pipeline.Replay
	books   *pipeline.Books

	connected bool           // the warehouse answered at start
	following sync.WaitGroup // the views
	stopViews context.CancelFunc
}

// open builds a router. Close gives back what it holds, also after an error.
func open(ctx context.Context, cfg config.Config, logger *slog.Logger) (r *router, err error) {
	registry := prometheus.NewRegistry()
	r = &router{cfg: cfg, logger: logger, registry: registry, health: pipeline.NewHealth(registry), topics: eventlog.Named(cfg.Log.Prefix)}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return r, fmt.Errorf("make the data directory: %w", err)
	}
	m, err := loadMapping(cfg)
	if err != nil {
		return r, err
	}
	r.mapping.Store(m)
	for _, step := range []func(context.Context) error{r.openLog, r.openWarehouse, r.openState, r.buildLanes} {
		if err := step(ctx); err != nil {
			return r, err
		}
	}
	r.buildStages()
	return r, nil
}

// loadMapping compiles the configured mapping files, or the shipped default.
func loadMapping(cfg config.Config) (*mappings.Mapping, error) {
	files := []mappings.File{mappings.Default()}
	if len(cfg.Mapping) > 0 {
		files = nil
		for _, path := range cfg.Mapping {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("read mapping: %w (tributary init writes one)", err)
			}
			files = append(files, mappings.File{Name: path, Text: text})
		}
	}
	m, problems := compileMapping(cfg, files)
	if mappings.Failed(problems) {
		return nil, wrong(errors.New(problemText(problems)))
	}
	return m, nil
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
	var known []string
	for _, k := range catalog.Kinds() {
		known = append(known, k.Name)
	}
	return m, append(problems, m.CheckConfigured(sortedKeys(cfg.Sources), kinds, known)...)
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
	if !r.connected {
		follow("warehouse", r.reachWarehouse)
	}
	for _, l := range r.lanes {
		if err := l.Prepare(ctx); err != nil {
			return err
		}
	}
	keep("resolve", r.resolve.Run)
	for _, f := range r.fetches {
		keep("fetch "+f.Account, f.Run)
	}
	for name, l := range r.lanes {
		keep("destination "+name, l.Run)
	}
	keep("record", r.record.Run)
	return nil
}

// degraded lists what stands still, for the readiness body.
func (r *router) degraded() []string {
	out := r.health.Degraded()
	for name, l := range r.lanes {
		if why := l.Halted(); why != "" {
			out = append(out, fmt.Sprintf("destination %s: halted: %s; mend it, then POST /v1/destinations/%s/resume", name, why, name))
		}
	}
	if r.broker != nil {
		if err := r.broker.Alert(); err != nil {
			out = append(out, err.Error())
		}
	}
	slices.Sort(out)
	return out
}

func (r *router) close() {
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
