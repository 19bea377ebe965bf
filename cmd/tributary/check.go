package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
	"tributary/mappings"
)

func checkCommand(o *options) *cobra.Command {
	online := false
	c := &cobra.Command{
		Use: "check", Short: "Check the configuration, the mapping and the engines before anything runs, and say what each destination will do", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(o.config, catalog.Kinds())
			if err != nil {
				return wrong(err)
			}
			m, err := loadMapping(cfg)
			if err != nil {
				return wrong(err)
			}
			k := checker{w: c.OutOrStdout()}
			k.say("ok", "configuration %s, mapping %s", o.config, m.Version())
			if _, err := holdable(cfg.HTTP.Limits.Connections, openFiles()); err != nil {
				k.say("warn", "%v", err)
			}
			k.engines(c.Context(), cfg)
			k.secrets(cfg)
			k.destinations(cfg, m, time.Now())
			if online {
				k.vendors(c.Context(), cfg, m)
			}
			if k.failed {
				return wrong(errors.New("something must be mended first"))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&online, "online", false, "also ask vendors, with each destination's credential, whether their accounts have what deliveries need; changes nothing there")
	c.AddCommand(checkHubSpotCommand(o))
	return c
}

// A checker says line by line what is well and what is not.
type checker struct {
	w      io.Writer
	failed bool
}

func (k *checker) say(mark, format string, args ...any) {
	k.failed = k.failed || mark == "error"
	fmt.Fprintf(k.w, "%-6s %s\n", mark, fmt.Sprintf(format, args...))
}

// engines says whether they are here, or can be reached.
func (k *checker) engines(ctx context.Context, cfg config.Config) {
	if cfg.Warehouse.URL == "" {
		if path, err := embedded.Library(cfg.Warehouse.Embedded.Library); err != nil {
			k.say("error", "%v", err)
		} else {
			k.say("ok", "warehouse: embedded, %s", path)
		}
	} else if err := reachWarehouse(ctx, cfg.Warehouse); err != nil {
		k.say("error", "warehouse: %v", err)
	} else {
		k.say("ok", "warehouse: %s answers", cfg.Warehouse.URL)
	}
	if len(cfg.Log.Brokers) == 0 {
		k.say("ok", "log: embedded, at most %d bytes", cfg.Log.Embedded.MaxBytes)
	} else if err := reachLog(ctx, cfg.Log); err != nil {
		k.say("error", "log: %v", err)
	} else {
		k.say("ok", "log: %s answers", strings.Join(cfg.Log.Brokers, ", "))
	}
}

// reachWarehouse connects to an outside ClickHouse; a missing database is made.
func reachWarehouse(ctx context.Context, c config.Warehouse) error {
	o := warehouse.Options{URL: c.URL, User: c.User, Database: c.Database}
	var err error
	if o.Password, err = c.Password.Value(); err != nil {
		return nil // secrets says so
	}
	if o.TLS, err = tlsConfig(c.TLS); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	w, err := warehouse.Open(ctx, o)
	if err != nil {
		return err
	}
	return w.Close()
}

// reachLog connects to an outside Kafka and changes nothing there.
func reachLog(ctx context.Context, c config.Log) error {
	if _, err := c.SASL.Password.Value(); err != nil {
		return nil // secrets says so
	}
	o, err := kafkaOptions(c)
	if err != nil {
		return err
	}
	o.Logger = slog.New(slog.DiscardHandler)
	l, err := kafkalog.Open(ctx, o)
	if err != nil {
		return err
	}
	return l.Close()
}

// secrets reads each where it is said to stand.
func (k *checker) secrets(cfg config.Config) {
	secrets := cfg.Secrets()
	for _, path := range sortedKeys(secrets) {
		if _, err := secrets[path].Value(); err != nil {
			k.say("error", "%s: %v", path, err)
		}
	}
}

// destinations says what each will do, its API version's end, and rules that the mapping
// uses and nobody bound.
func (k *checker) destinations(cfg config.Config, m *mappings.Mapping, now time.Time) {
	kinds := map[string]destinations.Kind{}
	for _, kind := range catalog.Kinds() {
		kinds[kind.Name] = kind
	}
	for _, name := range sortedKeys(cfg.Destinations) {
		d := cfg.Destinations[name]
		section := d.Settings
		dest, problems := kinds[d.Kind].New(settingsNode(&section))
		if len(problems) > 0 {
			k.say("error", "destination %s: %s", name, problems[0].Message)
			continue
		}
		dest, _ = withFields(dest, m)
		contract, routes := dest.Contract(), routesOf(m, name, d.Kind)
		k.say("ok", "destination %s: %s, %s", name, d.Kind, willDo(d, contract, routes))
		if mark, words := versionStanding(contract, kinds[d.Kind].Table, now); mark == "error" && d.Mode == string(delivery.Disabled) {
			k.say("warn", "destination %s: %s", name, words)
		} else if mark != "" {
			k.say(mark, "destination %s: %s", name, words)
		}
		if a, ok := dest.(destinations.Adviser); ok {
			for _, line := range a.Advice(routes) {
				k.say("warn", "destination %s: %s", name, line)
			}
		}
	}
}

// willDo says in words what a destination will do with the events that reach it.
func willDo(d config.Destination, c destinations.Contract, routes map[string]canonical.Route) string {
	var b strings.Builder
	b.WriteString(d.Mode + ": ")
	switch delivery.Mode(d.Mode) {
	case delivery.DryRun:
		b.WriteString("requests are built and kept, nothing is sent")
	case delivery.Test:
		b.WriteString("sends to the vendor's test facility")
	case delivery.Paused:
		b.WriteString("reads and sends nothing, its backlog is kept")
	case delivery.Disabled:
		b.WriteString("reads events and suppresses them, sends nothing")
	default:
		b.WriteString("sends to " + c.Vendor)
	}
	switch names := sortedKeys(routes); {
	case !c.NeedsRoute:
		b.WriteString("; takes every event")
	case len(names) == 0:
		b.WriteString("; takes no event: the mapping has no line for it")
	default:
		b.WriteString("; takes " + strings.Join(names, ", "))
	}
	if c.APIVersion != "" {
		b.WriteString("; API version " + c.APIVersion)
		if !c.VersionEnds.IsZero() {
			b.WriteString(" (until " + day(c.VersionEnds) + ")")
		}
	}
	fmt.Fprintf(&b, "; up to %d a request", max(c.MaxBatch, 1))
	if c.MaxAge > 0 {
		fmt.Fprintf(&b, "; nothing older than %s", inDays(c.MaxAge))
	}
	if d.OAuth.Given() {
		b.WriteString("; its access token is refreshed")
	}
	return b.String()
}

// inDays writes a duration as people say it.
func inDays(d time.Duration) string {
	if days := d.Hours() / 24; days >= 1 && days == float64(int(days)) {
		return fmt.Sprintf("%d days", int(days))
	}
	return d.String()
}

// vendors asks each vendor whether the account has what deliveries need, and so whether
// its credential works. It changes nothing there.
func (k *checker) vendors(ctx context.Context, cfg config.Config, m *mappings.Mapping) {
	for _, name := range sortedKeys(cfg.Destinations) {
		d := cfg.Destinations[name]
		kind, _ := catalog.Kind(d.Kind)
		section := d.Settings
		dest, problems := kind.New(settingsNode(&section))
		if len(problems) > 0 { // destinations says so
			continue
		}
		dest, _ = withFields(dest, m)
		if d.Token == "" && !d.OAuth.Given() {
			k.say("ok", "destination %s: has no credential, so its account is not looked at", name)
			continue
		}
		learner, ok := dest.(destinations.Learner)
		if !ok {
			k.say("ok", "destination %s: %s has nothing that can be looked at without sending", name, d.Kind)
			continue
		}
		send, err := ownSender(cfg, name, d, dest)
		if err != nil {
			k.say("error", "destination %s: %v", name, err)
			continue
		}
		k.learn(ctx, name, learner, paced(name, dest, send))
	}
}

// learn says what a destination found in its account.
func (k *checker) learn(ctx context.Context, name string, l destinations.Learner, call destinations.Caller) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	asked := 0
	_, findings, err := l.Learn(ctx, func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		asked++
		return call(ctx, q)
	})
	if err != nil {
		k.say("error", "destination %s: its account cannot be read: %s", name, destinations.VendorWords(err.Error()))
		return
	}
	if asked == 0 {
		k.say("ok", "destination %s: nothing in its settings asks to look at its account", name)
		return
	}
	good := 0
	for _, f := range findings {
		switch {
		case f.Problem == "":
			good++
		case f.Blocks:
			k.say("error", "destination %s: %s: %s", name, f.Subject, f.Problem)
		default:
			k.say("warn", "destination %s: %s: %s", name, f.Subject, f.Problem)
		}
	}
	k.say("ok", "destination %s: its account was read; %d of %d things looked at are as they should be", name, good, len(findings))
}

// settingsNode gives adapters an empty mapping where there is no section.
func settingsNode(n *yaml.Node) *yaml.Node {
	if n.Kind == 0 {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	return n
}
