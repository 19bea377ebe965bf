package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"

	"golang.org/x/time/rate"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/hubspotcrm"
	"tributary/internal/pipeline"
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

func newReplayID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return "rp_" + hex.EncodeToString(b)
}
