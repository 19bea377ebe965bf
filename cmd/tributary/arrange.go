package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/budget"
	"tributary/internal/config"
	"tributary/mappings"
)

// setupCommand makes what deliveries need in a vendor account. It talks to the vendor
// itself, with the destination's credential; the router need not run.
func setupCommand(o *options) *cobra.Command {
	apply := false
	c := &cobra.Command{
		Use: "setup NAME", Short: "Find what a destination's vendor account lacks (rules, properties), and with --apply make it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := config.Load(o.config, catalog.Kinds())
			if err != nil {
				return wrong(err)
			}
			m, err := loadMapping(cfg)
			if err != nil {
				return wrong(err)
			}
			a, err := openArrangement(cfg, m, args[0])
			if err != nil {
				return wrong(err)
			}
			return a.run(c.Context(), c.OutOrStdout(), apply, o.json)
		},
	}
	c.Flags().BoolVar(&apply, "apply", false, "make the changes; without it they are only listed")
	return c
}

// An arrangement is one destination whose account can be set up.
type arrangement struct {
	name   string
	vendor destinations.Arranger
	call   destinations.Caller
	routes map[string]canonical.Route
}

func openArrangement(cfg config.Config, m *mappings.Mapping, name string) (arrangement, error) {
	d, ok := cfg.Destinations[name]
	if !ok {
		known := sortedKeys(cfg.Destinations)
		return arrangement{}, fmt.Errorf("there is no destination %q in the configuration; there are %s%s", name, words(known), suggestion(name, known))
	}
	kind, _ := catalog.Kind(d.Kind)
	section := d.Settings
	dest, problems := kind.New(settingsNode(&section))
	if len(problems) > 0 { // config.Load has said so already
		return arrangement{}, fmt.Errorf("destination %s: %s", name, problems[0].Message)
	}
	dest, _ = withFields(dest, m)
	vendor, ok := dest.(destinations.Arranger)
	if !ok {
		return arrangement{}, fmt.Errorf("destination %s is a %s, whose account needs no setup", name, d.Kind)
	}
	send, err := ownSender(cfg, name, d, dest)
	if err != nil {
		return arrangement{}, fmt.Errorf("destination %s: %w", name, err)
	}
	routes := routesOf(m, name, d.Kind)
	if !dest.Contract().NeedsRoute { // every name of the funnel goes there, with a line or without
		for _, event := range m.Vocabulary() {
			route, ok := m.Route(name, event)
			if !ok {
				route, _ = m.Route(d.Kind, event)
			}
			routes[event] = route
		}
	}
	return arrangement{name: name, vendor: vendor, call: paced(name, dest, send), routes: routes}, nil
}

// ownSender sends with the destination's credential, without a running router. A token that
// is refreshed here is kept where the router finds it.
func ownSender(cfg config.Config, name string, d config.Destination, dest destinations.Destination) (delivery.Sender, error) {
	key := make([]byte, 32) // seals nothing where there is nothing to refresh
	if d.OAuth.Given() {
		var err error
		if key, err = dataKey(cfg); err != nil {
			return nil, err
		}
	}
	c, err := newCredentials(cfg, key, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	return delivery.NewSender(c.endpoint(d, dest, c.ofDestination(name, d), userAgent(instanceName(cfg))))
}

// paced keeps to the vendor account's limits. It shares no budget with a running router.
func paced(name string, dest destinations.Destination, send delivery.Sender) destinations.Caller {
	contract := dest.Contract()
	account := budget.New(name, contract.Limits, budget.Options{})
	gauge, gauges := dest.(destinations.Gauge)
	return func(ctx context.Context, q destinations.Request) (destinations.Response, error) {
		permit, err := account.Begin(ctx, budget.Deliver, q.Class)
		if err != nil {
			return destinations.Response{}, err
		}
		var said []destinations.Reading
		defer func() { permit.Answered(said) }()
		ctx, cancel := context.WithTimeout(ctx, max(contract.Timeout, 10*time.Second))
		defer cancel()
		r, err := send(ctx, q)
		if err == nil && gauges {
			said = gauge.Headroom(r)
		}
		return r, err
	}
}

// routesOf gives the routes that a lane asks: of the destination's own name, else of its kind.
func routesOf(m *mappings.Mapping, name, kind string) map[string]canonical.Route {
	routes := map[string]canonical.Route{}
	maps.Copy(routes, m.Routes(kind))
	maps.Copy(routes, m.Routes(name))
	return routes
}

// errToDo ends a run without --apply that found something to do.
var errToDo = errors.New("something is to be done: run it again with --apply")

// run finds what is missing and, with apply, makes it. Steps that were taken are told even
// where a later one failed.
func (a arrangement) run(ctx context.Context, w io.Writer, apply, asJSON bool) error {
	steps, failed := a.vendor.Arrange(ctx, a.call, a.routes, apply)
	if err := tellSteps(w, a.name, steps, apply, asJSON); err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("destination %s: %w", a.name, failed)
	}
	for _, s := range steps {
		if !s.Done {
			return errToDo
		}
	}
	return nil
}

func tellSteps(w io.Writer, name string, steps []destinations.Step, apply, asJSON bool) error {
	if asJSON {
		type step struct {
			What string `json:"what"`
			Done bool   `json:"done"`
			Note string `json:"note,omitempty"`
		}
		out := make([]step, len(steps))
		for i, s := range steps {
			out[i] = step(s)
		}
		return printJSON(w, map[string]any{"destination": name, "applied": apply, "steps": out})
	}
	if len(steps) == 0 {
		_, err := fmt.Fprintf(w, "destination %s: nothing to do\n", name)
		return err
	}
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for _, s := range steps {
		mark := "to do"
		if s.Done {
			mark = "done"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", mark, s.What, s.Note)
	}
	return t.Flush()
}
