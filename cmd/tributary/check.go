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

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/internal/config"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/warehouse"
	"tributary/internal/warehouse/embedded"
	"tributary/mappings"
)

func checkCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Check the configuration, the mapping and the engines before anything runs", Args: cobra.NoArgs,
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
			k.engines(c.Context(), cfg)
			k.secrets(cfg)
			k.destinations(cfg, m)
			if k.failed {
				return wrong(errors.New("something must be mended first"))
			}
			return nil
		},
	}
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

// destinations says what each would do: its mode, its token, its API version's end, and
// rules that the mapping uses and nobody bound.
func (k *checker) destinations(cfg config.Config, m *mappings.Mapping) {
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
		k.say("ok", "destination %s: %s, %s", name, d.Kind, d.Mode)
		contract := dest.Contract()
		if end := contract.VersionEnds; !end.IsZero() {
			switch left := time.Until(end); {
			case left < 0:
				k.say("error", "destination %s: API version %s ended on %s; set a later one", name, contract.APIVersion, end.Format(time.DateOnly))
			case left < 60*24*time.Hour:
				k.say("warn", "destination %s: API version %s ends on %s", name, contract.APIVersion, end.Format(time.DateOnly))
			}
		}
		if a, ok := dest.(destinations.Adviser); ok {
			routes := m.Routes(name)
			if routes == nil {
				routes = m.Routes(d.Kind)
			}
			for _, line := range a.Advice(routes) {
				k.say("warn", "destination %s: %s", name, line)
			}
		}
	}
}

// settingsNode gives adapters an empty mapping where there is no section.
func settingsNode(n *yaml.Node) *yaml.Node {
	if n.Kind == 0 {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	return n
}
