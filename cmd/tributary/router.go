package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/pebblestore"
	"tributary/internal/config"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/hubspotcrm"
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

func (r *router) openLog(ctx context.Context) error {
	c := r.cfg.Log
	wanted := r.topics.Wanted(c.Partitions, c.Retention, c.Deliveries)
	o, err := kafkaOptions(c)
	if err != nil {
		return err
	}
	o.Logger = r.logger.With("part", "log")
	if len(c.Brokers) == 0 {
		b, err := embeddedlog.Start(ctx, embeddedlog.Options{
			Dir: filepath.Join(r.cfg.DataDir, "log"), Port: c.Embedded.Port, MaxBytes: c.Embedded.MaxBytes, SegmentBytes: c.Embedded.SegmentBytes,
			Topics: wanted, Groups: r.groups, Logger: r.logger.With("part", "embedded log"),
		})
		if err != nil {
			return err
		}
		r.broker, o.Brokers, o.Embedded, o.Dial = b, []string{b.Addr()}, true, b.Dial
	}
	l, err := kafkalog.Open(ctx, o)
	if err != nil {
		return err
	}
	r.log = l
	return l.Ensure(ctx, wanted...)
}

// kafkaOptions are the configured brokers and how to speak to them.
func kafkaOptions(c config.Log) (kafkalog.Options, error) {
	o := kafkalog.Options{Brokers: c.Brokers, ClientID: "tributary", SessionTimeout: c.Session}
	password, err := c.SASL.Password.Value()
	if err != nil {
		return o, fmt.Errorf("log.sasl.password: %w", err)
	}
	o.SASL = kafkalog.SASL{Mechanism: strings.ToUpper(c.SASL.Mechanism), User: c.SASL.Username, Password: password}
	if o.TLS, err = tlsConfig(c.TLS); err != nil {
		return o, fmt.Errorf("log.tls: %w", err)
	}
	return o, nil
}

// groups are the consumer groups that count: what they have not read is not trimmed.
func (r *router) groups() []eventlog.Group {
	p := r.cfg.Log.Prefix
	t := r.topics
	out := []eventlog.Group{
		{Name: pipeline.ResolveGroup(p), Topics: []string{t.Inbound}},
		{Name: pipeline.RecordGroup(p), Topics: []string{t.Events, t.Inbound, t.Identity, t.Deliveries, t.Replays}},
	}
	for _, name := range r.accounts() {
		out = append(out, eventlog.Group{Name: pipeline.FetchGroup(p, name), Topics: []string{t.Inbound}, Whole: true})
	}
	for name := range r.cfg.Destinations {
		out = append(out, eventlog.Group{Name: delivery.Group(p, name), Topics: []string{t.Events, t.Replays}, Whole: true})
	}
	return out
}

// accounts lists the CRM accounts that webhooks can come from, connected or not.
func (r *router) accounts() []string {
	names := map[string]bool{}
	for name := range r.cfg.Accounts {
		names[name] = true
	}
	for _, s := range r.cfg.Sources {
		if s.Kind == "hubspot" {
			names[accountOf(s)] = true
		}
	}
	var out []string
	for name := range names {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func accountOf(s config.Source) string {
	if s.Account == "" {
		return "hubspot"
	}
	return s.Account
}

func tlsConfig(c config.TLS) (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func (r *router) openWarehouse(ctx context.Context) error {
	c := r.cfg.Warehouse
	o := warehouse.Options{URL: c.URL, User: c.User, Database: c.Database}
	if c.URL == "" {
		addr := ""
		if c.Embedded.Port != 0 {
			addr = fmt.Sprintf("127.0.0.1:%d", c.Embedded.Port)
		}
		e, err := embedded.Start(ctx, embedded.Options{
			Dir: filepath.Join(r.cfg.DataDir, "warehouse"), Library: c.Embedded.Library, Addr: addr, Log: r.logger.With("part", "warehouse engine"),
		})
		if err != nil {
			return err
		}
		r.engine = e
		o.URL, o.User, o.Password = e.URL(), e.User(), e.Password()
	} else {
		var err error
		if o.Password, err = c.Password.Value(); err != nil {
			return fmt.Errorf("warehouse.password: %w", err)
		}
		if o.TLS, err = tlsConfig(c.TLS); err != nil {
			return fmt.Errorf("warehouse.tls: %w", err)
		}
	}
	key, err := dataKey(r.cfg)
	if err != nil {
		return err
	}
	if r.sealer, err = warehouse.NewSealer(key); err != nil {
		return err
	}
	if r.warehouse, err = warehouse.New(o); err != nil {
		return err
	}
	// A warehouse that does not answer holds up only what is recorded: the router starts.
	if err = r.connectWarehouse(ctx); warehouse.Unanswered(err) && r.engine == nil {
		r.health.Set("warehouse", err)
		return nil
	}
	r.connected = err == nil
	return err
}

func (r *router) connectWarehouse(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := r.warehouse.Connect(ctx); err != nil {
		return err
	}
	return r.warehouse.Migrate(ctx)
}

// reachWarehouse tries until the warehouse answers.
func (r *router) reachWarehouse(ctx context.Context) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		err := r.connectWarehouse(ctx)
		r.health.Set("warehouse", err)
		if err == nil {
			<-ctx.Done()
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dataKey is the key that raw receipts and whole events are sealed with: configured,
// else generated once in the data directory.
func dataKey(cfg config.Config) ([]byte, error) {
	text, err := cfg.DataKey.Value()
	if err != nil {
		return nil, fmt.Errorf("data_key: %w", err)
	}
	if text == "" {
		path := filepath.Join(cfg.DataDir, "data.key")
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			fresh := make([]byte, 32)
			rand.Read(fresh)
			b = []byte(hex.EncodeToString(fresh) + "\n")
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("data key: %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != 32 {
		return nil, wrong(errors.New("the data key must be 64 hex digits"))
	}
	return key, nil
}

func (r *router) openState(context.Context) error {
	db, err := pebble.Open(filepath.Join(r.cfg.DataDir, "state"), pebblestore.Tune(&pebble.Options{Logger: quiet{}}))
	if err != nil {
		return fmt.Errorf("open local state in %s: %w (it is a cache: delete the folder to rebuild it)", filepath.Join(r.cfg.DataDir, "state"), err)
	}
	r.state = db
	if r.view, err = identity.Open(pebblestore.New(db, []byte("identity\x00"))); err != nil {
		return err
	}
	if r.ledger, err = delivery.OpenLedger(db, "ledger\x00"); err != nil {
		return err
	}
	r.index, err = pipeline.OpenIndex(db, "index\x00")
	return err
}

// quiet keeps Pebble's chatter out of the log; its errors come back from its calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf("local state: "+f, a...))
}

func (r *router) buildLanes(context.Context) error {
	kinds := map[string]destinations.Kind{}
	for _, k := range catalog.Kinds() {
		kinds[k.Name] = k
	}
	metrics := delivery.NewMetrics(r.registry)
	r.lanes = map[string]*delivery.Lane{}
	for name, d := range r.cfg.Destinations {
		kind := kinds[d.Kind]
		section := d.Settings
		dest, problems := kind.New(settingsNode(&section))
		if len(problems) > 0 { // config.Load has said so already
			return fmt.Errorf("destination %s: %s", name, problems[0].Message)
		}
		if d.Mode == string(delivery.Test) && kind.TestMode != nil {
			dest = kind.TestMode(dest)
		}
		send, err := r.sender(name, d, kind, dest)
		if err != nil {
			return err
		}
		policy := delivery.DefaultPolicy()
		policy.AwaitFor, policy.RetryFor = r.cfg.Delivery.AwaitFor, r.cfg.Delivery.RetryFor
		policy.BackoffMin, policy.BackoffMax = r.cfg.Delivery.BackoffMin, r.cfg.Delivery.BackoffMax
		r.lanes[name] = &delivery.Lane{
			Name: name, Destination: dest, Mode: delivery.Mode(d.Mode), Send: send,
			Routes: func(event string) (canonical.Route, bool) {
				m := r.mapping.Load()
				if route, ok := m.Route(name, event); ok {
					return route, true
				}
				return m.Route(d.Kind, event)
			},
			Log: r.log, Topics: r.topics, Ledger: r.ledger, People: r.view, Policy: policy,
			Owner: processName(), Logger: r.logger, Metrics: metrics,
		}
	}
	return nil
}

func (r *router) sender(name string, d config.Destination, kind destinations.Kind, dest destinations.Destination) (delivery.Sender, error) {
	base := d.BaseURL
	if base == "" {
		base = kind.BaseURL
	}
	if u := dest.Contract().BaseURL; u != "" && d.BaseURL == "" {
		base = u
	}
	secret := func() string {
		v, err := d.Token.Value()
		r.health.Set("destination "+name+" token", err)
		return v
	}
	send, err := delivery.NewSender(delivery.Endpoint{
		BaseURL: base, Authorize: kind.Authorize, Secret: secret, AllowPrivate: d.AllowPrivate, UserAgent: "tributary/" + version,
	})
	if err != nil {
		return nil, wrong(fmt.Errorf("destination %s: %w", name, err))
	}
	return send, nil
}

func processName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// settings gives what a source's configuration adds to the reading of its receipts.
func (r *router) settings(source string) wire.Settings {
	s := r.cfg.Sources[source]
	account := accountOf(s)
	w := wire.Settings{Account: account, Region: s.Region, Currency: s.Currency}
	if a, ok := r.cfg.Accounts[account]; ok {
		if w.Region == "" {
			w.Region = a.Region
		}
		if w.Currency == "" {
			w.Currency = a.Currency
		}
	}
	for name, a := range r.cfg.Accounts {
		if a.PortalID != 0 {
			if w.Portals == nil {
				w.Portals = map[int64]string{}
			}
			w.Portals[a.PortalID] = name
		}
	}
	return w
}

func (r *router) buildStages() {
	metrics := pipeline.NewMetrics(r.registry)
	prefix := r.cfg.Log.Prefix
	r.resolve = &pipeline.Resolve{Log: r.log, Topics: r.topics, Prefix: prefix, Mapping: r.mapping.Load, Settings: r.settings, View: r.view, Metrics: metrics}
	// A webhook of a portal that nobody configured is its source's account's to end.
	account := func(rc canonical.Receipt) string {
		if name, ok := wire.Account(rc, r.settings(rc.Source)); ok {
			return name
		}
		return accountOf(r.cfg.Sources[rc.Source])
	}
	stray := func(rc canonical.Receipt) bool { _, ok := wire.Account(rc, r.settings(rc.Source)); return !ok }
	for _, name := range r.accounts() {
		f := &pipeline.Fetch{Log: r.log, Topics: r.topics, Prefix: prefix, Account: name, Health: r.health, Logger: r.logger, Metrics: metrics,
			Mine: func(rc canonical.Receipt) bool { return account(rc) == name }, Stray: stray}
		if a, ok := r.cfg.Accounts[name]; ok && a.Token != "" {
			f.CRM = &hubspotcrm.Client{BaseURL: crmURL(a), Budget: crmBudget(a), HTTP: &http.Client{}, Token: func() string {
				v, err := a.Token.Value()
				r.health.Set("account "+name+" token", err)
				return v
			}}
		}
		r.fetches = append(r.fetches, f)
	}
	r.record = &pipeline.Record{Log: r.log, Topics: r.topics, Prefix: prefix, Warehouse: r.warehouse, View: r.view, DB: r.state,
		Seal: r.sealer.Seal, Health: r.health, Logger: r.logger, Metrics: metrics}
	r.replay = &pipeline.Replay{Log: r.log, Topics: r.topics, Prefix: prefix, Index: r.index, Archive: archive{r.warehouse, r.sealer},
		Mapping: r.mapping.Load, Settings: r.settings, Account: account, Accounts: r.accounts(), Lanes: r.lanes, NewID: newReplayID}
	r.books = &pipeline.Books{Log: r.log, Topics: r.topics, Prefix: prefix, Account: account, Accounts: r.accounts(), Index: r.index, Fates: r.warehouse.Fates, Lanes: r.lanes}
}

func crmURL(a config.Account) string {
	if a.BaseURL != "" {
		return a.BaseURL
	}
	return "https://api.hubapi.com"
}

// crmBudget is the account's share of HubSpot's ten-second window; half of what the
// smallest tier grants unless set.
func crmBudget(a config.Account) *rate.Limiter {
	n := a.Per10s
	if n == 0 {
		n = 50
	}
	burst := max(n/5, 1) // part of the window: the rest comes evenly
	return rate.NewLimiter(rate.Limit(float64(max(n-burst, 1))/10), burst)
}

// archive is the warehouse with the key to what is sealed in it.
type archive struct {
	*warehouse.Warehouse
	*warehouse.Sealer
}

func (a archive) Unseal(b []byte) ([]byte, error) { return a.Sealer.Open(b) }

func newReplayID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return "rp_" + hex.EncodeToString(b)
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
