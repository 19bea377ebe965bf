package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tributary/canonical"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/ingest"
	"tributary/internal/config"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/pipeline"
)

func serveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Run the router: ways in, stages, lanes and warehouse", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(o.config, catalog.Kinds())
			if err != nil {
				return wrong(err)
			}
			logger := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
			ready := func(addr string) { fmt.Fprintf(c.OutOrStdout(), "listening on %s\n", addr) }
			return serve(c.Context(), cfg, logger, ready)
		},
	}
}

// serve runs the router until ctx ends. ready is told the address once requests are taken.
func serve(ctx context.Context, cfg config.Config, logger *slog.Logger, ready func(addr string)) error {
	keys, err := ingest.OpenKeys(cfg.DataDir)
	if err != nil {
		return err
	}
	if keys.Len(time.Now()) == 0 {
		return wrong(fmt.Errorf("there is no key in %s, so nothing could be sent in; make one with: tributary keys create --name first --scope ingest --scope read --scope replay", cfg.DataDir))
	}
	listener, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w (http.listen in the configuration)", err)
	}
	defer listener.Close()
	defer keepHeapFloor()()
	r, err := open(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer r.close()
	local, err := newLocalKey(cfg.DataDir, listener.Addr().String())
	if err != nil {
		return err
	}
	defer local.remove()
	handler, err := r.handler(keyChain{local, keys})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if err := r.start(ctx, g); err != nil {
		return errors.Join(err, stopGroup(g))
	}
	if _, err := holdable(cfg.HTTP.Limits.Connections, openFiles()); err != nil {
		logger.Warn(err.Error())
	}
	g.Go(func() error { return listen(ctx, cfg.HTTP, listener, handler) })
	ready(listener.Addr().String())
	logger.Info("serving", "address", listener.Addr().String(), "log", r.logName(), "warehouse", r.warehouseName(), "mapping", r.mapping.Load().Version())
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// stopGroup ends what was started when the rest could not be.
func stopGroup(g *errgroup.Group) error {
	g.Go(func() error { return errors.New("start was broken off") })
	return g.Wait()
}

func (r *router) logName() string {
	if r.broker != nil {
		return "embedded at " + r.broker.Addr()
	}
	return fmt.Sprint(r.cfg.Log.Brokers)
}

func (r *router) warehouseName() string {
	if r.engine != nil {
		return "embedded at " + r.engine.URL()
	}
	return r.cfg.Warehouse.URL
}

// handler builds the HTTP front.
func (r *router) handler(keys ingest.KeyFinder) (http.Handler, error) {
	sources := map[string]ingest.Source{}
	for name, s := range r.cfg.Sources {
		src := ingest.Source{Signatures: s.Signatures, Rate: rateOf(s.Rate, s.Burst)}
		if s.Kind == "hubspot" {
			src.Kind = ingest.KindHubSpot
			src.Secret = r.sourceSecret(name, "client_secret", s.ClientSecret)
			src.Workflow = ingest.WorkflowProof{Scheme: s.Workflow.Scheme, Name: s.Workflow.Name, Secret: r.sourceSecret(name, "workflow.secret", s.Workflow.Secret)}
		}
		if s.Kind == ingest.KindHook {
			src.Kind, src.Proof, src.Allow = ingest.KindHook, r.proof(name, s.Auth), networks(s.Allow)
		}
		if s.Kind == ingest.KindWebsite {
			src.Kind, src.Site = ingest.KindWebsite, pagesOf(s)
		}
		sources[name] = src
	}
	log := &appender{Inbound: pipeline.Inbound{Log: r.log, Topic: r.topics.Inbound}}
	o := ingest.Options{
		Appender: log, Keys: keys, Sources: sources, PublicURL: r.cfg.HTTP.PublicURL, Limits: limitsOf(r.cfg.HTTP.Limits),
		TrustedProxies: r.cfg.HTTP.TrustedProxies,
		Items: func(source string, body []byte) ([]json.RawMessage, error) {
			return r.mapping.Load().Items(source, body)
		},
		Where: where{r}, Replay: r.doReplay, Rerun: r.doRerun, Rehearse: r.rehearse, Balances: r.balances,
		Readiness: func() (bool, []string) {
			return log.writable() && (r.broker == nil || r.broker.Full() == nil), r.degraded()
		},
		Logger: slog.New(atLeast{slog.LevelWarn, r.logger.Handler()}), Registerer: r.registry, Gatherer: r.registry, Mount: r.mount, Operations: operations(),
	}
	if r.broker != nil {
		o.Full = full(r.broker)
	}
	return ingest.Handler(o)
}

// pagesOf says what a website's source is told of its pages.
func pagesOf(s config.Source) ingest.Site {
	out := ingest.Site{Origins: s.Origins, Bots: s.Bots, Respect: s.Respect}
	if s.Cookie.Given() {
		out.Cookie = ingest.SiteCookie{Domain: s.Cookie.Domain, Life: cmp.Or(s.Cookie.Life, config.DefaultCookieLife)}
	}
	return out
}

// sourceSecret reads a secret of a source, and tells while it cannot be read; nil where there is none.
func (r *router) sourceSecret(source, setting string, secret config.Secret) func() string {
	if secret == "" {
		return nil
	}
	read := secret.Reader()
	return func() string {
		v, err := read()
		r.health.Set("source "+source+" "+setting, err)
		return v
	}
}

// proof says what the sender of a hook has to show.
func (r *router) proof(source string, a config.Auth) ingest.Proof {
	p := ingest.Proof{
		Scheme: a.Scheme, User: a.User, Header: a.Header, Subjects: a.Subjects, Algorithm: a.Algorithm, Encoding: a.Encoding, Prefix: a.Prefix, Field: a.Field, Signs: a.Signs,
		Timestamp: ingest.Timestamp{Header: a.Timestamp.Header, Field: a.Timestamp.Field, Within: a.Timestamp.Within},
	}
	p.Secret = r.sourceSecret(source, "auth.secret", a.Secret)
	return p
}

// networks reads addresses that the configuration was checked for.
func networks(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, v := range list {
		if p, err := config.Network(v); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// full says of the embedded log, in ingest's word, that it takes nothing more.
func full(b *embeddedlog.Broker) func() error {
	return func() error {
		if err := b.Full(); err != nil {
			return fmt.Errorf("%w: %w", ingest.ErrLogFull, err)
		}
		return nil
	}
}

// An appender says ingest's word for a full log, and remembers whether the log took the
// last append: that is what readiness is about.
type appender struct {
	pipeline.Inbound
	refused atomic.Bool
}

func (a *appender) Append(ctx context.Context, receipts ...canonical.Receipt) error {
	err := a.Inbound.Append(ctx, receipts...)
	a.refused.Store(errors.Is(err, eventlog.ErrUnavailable))
	if errors.Is(err, eventlog.ErrFull) {
		return fmt.Errorf("%w: %w", ingest.ErrLogFull, err)
	}
	return err
}

// writable says whether the log takes appends, as far as the last one or the broker tells.
func (a *appender) writable() bool {
	if !a.refused.Load() {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, _, err := a.Log.Bounds(ctx, a.Topic); err != nil {
		return false
	}
	a.refused.Store(false) // it answers again; the next append will tell
	return true
}

// mount adds the routes that only a whole process can answer.
func (r *router) mount(g gin.IRouter, auth func(ingest.Scope) gin.HandlerFunc) {
	g.POST("/v1/destinations/:name/pause", auth(ingest.ScopeAdmin), r.onDestination((*delivery.Lane).Pause))
	g.POST("/v1/destinations/:name/resume", auth(ingest.ScopeAdmin), r.onDestination((*delivery.Lane).Resume))
	g.POST("/v1/destinations/:name/disable", auth(ingest.ScopeAdmin), r.onDestination((*delivery.Lane).Disable))
	g.GET("/v1/destinations", auth(ingest.ScopeRead), r.listDestinations)
	g.GET("/v1/reconciliation", auth(ingest.ScopeRead), r.answerReconciliation)
	g.GET("/v1/lag", auth(ingest.ScopeRead), r.answerLag)
	g.POST("/v1/sql", auth(ingest.ScopeRead), r.answerSQL)
	r.mountActs(g, auth)
	r.mountMapping(g, auth)
	r.mountIdentity(g, auth)
	r.mountSync(g, auth)
}

// onDestination lets an operator act on a destination, in every process. The body, if
// there is one, says why.
func (r *router) onDestination(do func(l *delivery.Lane, ctx context.Context, who, why string) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		l := r.lanes[c.Param("name")]
		if l == nil {
			ingest.Refuse(c, ingest.CodeNotFound, "no destination has this name")
			return
		}
		var q reasonBody
		if err := readAct(c, &q, true); err != nil {
			r.refuse(c, err)
			return
		}
		if err := do(l, c.Request.Context(), ingest.KeyName(c), q.Reason); errors.Is(err, delivery.ErrConfigured) {
			ingest.Refuse(c, ingest.CodeConfigured, err.Error())
			return
		} else if err != nil {
			ingest.Refuse(c, ingest.CodeLog, "the log did not take it; try again")
			return
		}
		word, why, since := l.Standing()
		c.JSON(http.StatusOK, standingAnswer{true, l.Name, word, why, since})
	}
}

func (r *router) listDestinations(c *gin.Context) {
	var out destinationsAnswer
	for _, name := range sortedKeys(r.lanes) {
		l, kind := r.lanes[name], r.cfg.Destinations[name].Kind
		row := standingDestination{Destination: name, Kind: kind, Mode: l.Mode, Trouble: l.Trouble(), Findings: []accountFlaw{}}
		row.Standing, row.Why, row.Since = l.Standing()
		if limit, until, ok := r.budgets.of(kind, name, l.Destination).Waiting(); ok {
			row.Waiting = &limitUsedUp{limit, until.UTC()}
		}
		for _, f := range l.Findings() {
			if f.Problem != "" {
				row.Findings = append(row.Findings, accountFlaw{f.Subject, f.Problem, f.Blocks})
			}
		}
		out.Destinations = append(out.Destinations, row)
	}
	c.JSON(http.StatusOK, out)
}

// answerLag says what every stage has still to read.
func (r *router) answerLag(c *gin.Context) {
	lags, err := pipeline.Lags(c.Request.Context(), r.log, r.groups())
	if err != nil {
		ingest.Refuse(c, ingest.CodeLog, "the log cannot be asked")
		return
	}
	c.JSON(http.StatusOK, lagAnswer{lags})
}

// answerSQL runs one read-only statement.
func (r *router) answerSQL(c *gin.Context) {
	var q sqlBody
	err := readAct(c, &q, false)
	if err == nil && q.SQL == "" {
		err = missingField("sql", "the statement")
	}
	if err != nil {
		r.refuse(c, err)
		return
	}
	result, err := r.warehouse.Rows(c.Request.Context(), q.SQL, q.Params)
	if err != nil {
		ingest.Refuse(c, ingest.CodeQuery, err.Error())
		return
	}
	c.JSON(http.StatusOK, result)
}

// doReplay is the port of POST /v1/replay.
func (r *router) doReplay(ctx context.Context, q ingest.ReplayRequest) (ingest.ReplayAnswer, error) {
	a, err := r.replay.Do(ctx, pipeline.Order{EventID: q.EventID, Name: q.Name, Destinations: q.Destinations, Reason: q.Reason, Who: q.Who, Force: q.Force})
	if err != nil {
		return ingest.ReplayAnswer{}, fromPipeline(err)
	}
	return ingest.ReplayAnswer{OK: true, Deduplicated: a.Deduplicated, CanonicalEvent: a.Name, Replayed: len(a.Asked), Reasons: a.Reasons}, nil
}

func (r *router) doRerun(ctx context.Context, id canonical.ReceiptID, who string) error {
	err := r.replay.Rerun(ctx, id)
	if err == nil {
		r.logger.Info("quarantined receipt run again", "receipt_id", id, "who", who)
	}
	return fromPipeline(err)
}

// fromPipeline says the stages' errors in the words of the HTTP front.
func fromPipeline(err error) error {
	var unknown *pipeline.UnknownDestination
	switch {
	case errors.Is(err, pipeline.ErrUnknown):
		return fmt.Errorf("%w: %w", ingest.ErrNotFound, err)
	case errors.Is(err, pipeline.ErrNotResolved):
		return fmt.Errorf("%w: %w", ingest.ErrNotYetResolved, err)
	case errors.Is(err, pipeline.ErrNotQuarantined):
		return fmt.Errorf("%w: %w", ingest.ErrNotQuarantined, err)
	case errors.As(err, &unknown):
		return fmt.Errorf("%w: %w", ingest.ErrUnknownDestination, err)
	}
	return err
}

// A bookkeeping holds both balances, twice: from the topics, and from ClickHouse.
type bookkeeping struct {
	Receipts   []pipeline.ReceiptBalance  `json:"receipts"`
	Deliveries []pipeline.DeliveryBalance `json:"deliveries"`
	Lost       int                        `json:"lost"`
	Balanced   bool                       `json:"balanced"`
	Warehouse  any                        `json:"warehouse"`
}

func (r *router) balances(ctx context.Context) (any, error) {
	b, err := r.keepBooks(ctx)
	return b, err
}

func (r *router) keepBooks(ctx context.Context) (bookkeeping, error) {
	var b bookkeeping
	var err error
	if b.Receipts, err = r.books.Receipts(ctx); err != nil {
		return b, err
	}
	if b.Deliveries, err = r.books.Deliveries(ctx); err != nil {
		return b, err
	}
	receipts, err := r.warehouse.ReceiptBalance(ctx)
	if err != nil {
		return b, err
	}
	deliveries, err := r.warehouse.DeliveryBalance(ctx)
	if err != nil {
		return b, err
	}
	b.Balanced = true
	for _, row := range b.Receipts {
		b.Lost += row.Lost
		b.Balanced = b.Balanced && row.Balanced()
	}
	for _, row := range b.Deliveries {
		b.Lost += row.Lost
		b.Balanced = b.Balanced && row.Balanced()
	}
	b.Warehouse = gin.H{"receipts": receipts, "deliveries": deliveries}
	return b, nil
}

func ensureDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	return nil
}

// atLeast leaves out what is below a level: a line for every request that went well is
// what metrics are for.
type atLeast struct {
	level slog.Level
	slog.Handler
}

// Enabled holds back what is below the level.
func (h atLeast) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// WithAttrs keeps the level.
func (h atLeast) WithAttrs(a []slog.Attr) slog.Handler {
	return atLeast{h.level, h.Handler.WithAttrs(a)}
}

// WithGroup keeps the level.
func (h atLeast) WithGroup(name string) slog.Handler {
	return atLeast{h.level, h.Handler.WithGroup(name)}
}
