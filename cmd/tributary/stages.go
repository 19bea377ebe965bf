package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/budget"
	"tributary/internal/config"
	"tributary/internal/hubspotcrm"
	"tributary/internal/pipeline"
	"tributary/mappings"
)

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

func (r *router) buildLanes(context.Context) error {
	kinds := map[string]destinations.Kind{}
	for _, k := range catalog.Kinds() {
		kinds[k.Name] = k
	}
	var err error
	if r.budgets, err = openBudgets(r.cfg, kinds, budget.NewMetrics(r.registry)); err != nil {
		return err
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
		dest, _ = withFields(dest, r.mapping.Load())
		send, err := r.sender(name, d, dest)
		if err != nil {
			return err
		}
		people, err := r.people(dest)
		if err != nil {
			return err
		}
		policy := delivery.DefaultPolicy()
		policy.AwaitFor, policy.RetryFor = r.cfg.Delivery.AwaitFor, r.cfg.Delivery.RetryFor
		policy.BackoffMin, policy.BackoffMax = r.cfg.Delivery.BackoffMin, r.cfg.Delivery.BackoffMax
		if d.AwaitFor != nil {
			policy.AwaitFor = *d.AwaitFor
		}
		policy.Contact = destinations.ContactRule(d.Contact)
		r.lanes[name] = &delivery.Lane{
			Name: name, Destination: dest, Mode: delivery.Mode(d.Mode), Send: send, Ambiguous: destinations.Ambiguous(d.Ambiguous),
			Pin: func() delivery.Routes { return linesOf(r.mapping.Load(), name, d.Kind) },
			Log: r.log, Topics: r.topics, Ledger: r.ledger, People: people, Erased: r.view, Policy: policy, Budget: r.budgets.of(d.Kind, name, dest),
			Owner: r.instance, Logger: r.logger, Metrics: metrics,
		}
	}
	return nil
}

// linesOf gives a mapping's lines for the events at one destination.
func linesOf(m *mappings.Mapping, name, kind string) delivery.Routes {
	return func(e *canonical.Event) (canonical.Route, bool) { return m.RouteOf(name, kind, e) }
}

// people is the identity graph, with counts where the destination writes some.
func (r *router) people(dest destinations.Destination) (delivery.People, error) {
	if c, ok := dest.(destinations.Counter); !ok || !c.WritesCounts() {
		return r.view, nil
	}
	if r.counts == nil {
		var err error
		if r.counts, err = pipeline.OpenCounts(r.state, "counts\x00", r.topics.Events); err != nil {
			return nil, err
		}
	}
	return pipeline.CountedPeople{View: r.view, Counts: r.counts, Log: r.log}, nil
}

func (r *router) sender(name string, d config.Destination, dest destinations.Destination) (delivery.Sender, error) {
	cred := r.watch.watched(name, r.credentials.ofDestination(name, d), r.logger)
	r.marks[name] = cred.mark
	send, err := delivery.NewSender(r.credentials.endpoint(d, dest, cred, userAgent(r.instance)))
	if err != nil {
		return nil, wrong(fmt.Errorf("destination %s: %w", name, err))
	}
	return send, nil
}

// settings gives what a source's configuration adds to the reading of its receipts.
func (r *router) settings(source string) wire.Settings {
	return settingsOf(r.cfg, source, r.stagesWritten)
}

// settingsOf is settings for whoever has no router: written lists the lifecycle stages that
// destinations write into a CRM account.
func settingsOf(cfg config.Config, source string, written func(account string) []string) wire.Settings {
	s := cfg.Sources[source]
	account := accountOf(s)
	w := wire.Settings{Account: account, Region: s.Region, Currency: s.Currency, Lists: cfg.Identity.Lists(), KeepBots: s.Bots == "keep"}
	if a, ok := cfg.Accounts[account]; ok {
		if w.Region == "" {
			w.Region = a.Region
		}
		if w.Currency == "" {
			w.Currency = a.Currency
		}
	}
	for name, a := range cfg.Accounts {
		if a.AppID != 0 {
			if w.Apps == nil {
				w.Apps = map[string]wire.App{}
			}
			w.Apps[name] = wire.App{ID: a.AppID, Stages: written(name)}
		}
		if a.PortalID != 0 {
			if w.Portals == nil {
				w.Portals = map[int64]string{}
			}
			w.Portals[a.PortalID] = name
		}
	}
	return w
}

// stagesWritten lists the lifecycle stages that destinations write into a CRM account.
func (r *router) stagesWritten(account string) []string {
	var out []string
	for _, l := range r.lanes {
		if w, ok := l.Destination.(destinations.Stager); ok && l.Mode == delivery.Live {
			if at, stages := w.WritesStages(); at == account {
				out = append(out, stages...)
			}
		}
	}
	return out
}

func (r *router) buildStages() {
	metrics, reads := pipeline.NewMetrics(r.registry), hubspotcrm.NewMetrics(r.registry)
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
			Mine: func(rc canonical.Receipt) bool { return account(rc) == name }, Stray: stray, View: r.view}
		if a, ok := r.cfg.Accounts[name]; ok && (a.Token != "" || a.OAuth.Given()) {
			cred := r.credentials.ofAccount(name, a)
			account, headroom := r.budgets.fetch(a, name)
			client := &hubspotcrm.Client{BaseURL: crmURL(a), Budget: account, Headroom: headroom, HTTP: delivery.NewClient(a.BaseURL != ""), Token: cred.secret, Answered: cred.answered,
				Account: name, Metrics: reads, Told: r.told(name),
				Further: func(object string) []string { return r.mapping.Load().ReadProperties(object) }}
			f.CRM = client
			f.Settings = func(ctx context.Context) error {
				s, err := crmSettings(ctx, name, client, client.Further)
				if w := r.warehouse.WriteCRMSettings(ctx, s); err == nil { // what could be read is kept
					err = w
				}
				return err
			}
		}
		r.fetches = append(r.fetches, f)
	}
	r.syncs = r.buildSyncs(metrics, reads)
	r.record = &pipeline.Record{Log: r.log, Topics: r.topics, Prefix: prefix, Warehouse: r.warehouse, View: r.view, DB: r.state,
		Seal: r.sealer.Seal, Health: r.health, Logger: r.logger, Metrics: metrics}
	r.guards = &pipeline.Guards{Log: r.log, Topics: r.topics, View: r.view, Want: r.cfg.Identity.Guards(), Owner: r.instance, Health: r.health, Logger: r.logger}
	r.replay = &pipeline.Replay{Log: r.log, Topics: r.topics, Prefix: prefix, Index: r.index, Archive: archive{r.warehouse, r.sealer},
		Mapping: r.mapping.Load, Settings: r.settings, Account: account, Accounts: r.accounts(), Lanes: r.lanes, NewID: newReplayID, View: r.view}
	r.record.Eraser, r.record.Open, r.record.Reading = r.warehouse, r.sealer.Open, r.replay
	r.jobs = &pipeline.Jobs{Log: r.log, Topics: r.topics, Prefix: prefix, View: r.jobView, Replay: r.replay, People: r.view.Wait,
		PerSecond: r.cfg.Replay.PerSecond, Ahead: r.cfg.Replay.Ahead, Owner: r.instance, Health: r.health, Logger: r.logger}
	r.letters = &pipeline.DeadLetters{Log: r.log, Topics: r.topics, Replay: r.replay, Archive: archive{r.warehouse, r.sealer}, Owner: r.instance}
	r.books = &pipeline.Books{Log: r.log, Topics: r.topics, Prefix: prefix, Account: account, Accounts: r.accounts(), Index: r.index, Fates: r.warehouse.Fates, Lanes: r.lanes}
	r.reconcile = &pipeline.Reconcile{Books: r.books, Warehouse: r.warehouse}
	r.reconciled = newReconciledMetrics(r.registry)
	r.backlog = &pipeline.Backlog{Log: r.log, Prefix: prefix, Groups: r.groups()}
	if r.broker != nil {
		r.backlog.Size = func(ctx context.Context) (int64, int64, error) {
			u, err := r.broker.Usage(ctx)
			return u.Bytes, u.Limit, err
		}
	}
	r.backlog.Register(r.registry)
}

// told says what an account's settings lack. Where a mapping may go by it, it degrades; a token that may
// not read what only names things is a line in the log.
func (r *router) told(account string) func(what string, problem error) {
	return func(what string, problem error) {
		if strings.HasPrefix(what, "pipelines") || strings.HasPrefix(what, "properties that the mapping reads") {
			r.health.Set("fetch "+account+", "+what, problem)
			return
		}
		if problem != nil {
			r.logger.Warn("the CRM's settings cannot be read in part", "account", account, "what", what, "error", problem.Error())
		}
	}
}

func crmURL(a config.Account) string { return cmp.Or(a.BaseURL, hubspotcrm.Host) }

func newReplayID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return "rp_" + hex.EncodeToString(b)
}
