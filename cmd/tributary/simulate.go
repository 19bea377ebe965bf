package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"tributary/destinations/simulator"
)

func simulateCommand(*options) *cobra.Command {
	var s simulator.Options
	var listen, people, token, tier, kind, script string
	c := &cobra.Command{
		Use: "simulate", Short: "Play Meta, LinkedIn and HubSpot on a local address; docs/simulator.md lists what is checked", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if s.People, err = readPeople(people); err != nil {
				return wrong(err)
			}
			s.Meta.Token, s.LinkedIn.Token, s.HubSpot.Token = token, token, token
			s.HubSpot.Tier, s.HubSpot.Kind = simulator.Tier(tier), simulator.AppKind(kind)
			faults, err := readScript(script)
			if err != nil {
				return wrong(err)
			}
			if s.Dir != "" {
				if err := ensureDir(s.Dir); err != nil {
					return err
				}
			}
			return simulate(c.Context(), s, faults, listen, func(addr string) {
				fmt.Fprintf(c.OutOrStdout(), "simulating Meta, LinkedIn and HubSpot at http://%s\n", addr)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:0", "address; port 0 takes a free one")
	f.StringVar(&s.Dir, "dir", "", "folder that keeps what was received, and the CRM, over a restart")
	f.StringVar(&people, "people", "", "JSON file with the people that the vendors know: a list, as for POST /_people")
	f.StringVar(&token, "token", "", "the only token taken (default: any)")
	f.StringVar(&s.HubSpot.ClientSecret, "client-secret", "", "signs HubSpot's webhooks")
	f.StringVar(&tier, "hubspot-tier", "", "free, starter, professional or enterprise (default)")
	f.StringVar(&kind, "hubspot-app", "", "private_app (default), service_key or oauth")
	f.StringVar(&s.HubSpot.ClientID, "client-id", "", "of HubSpot's OAuth app, with --client-secret (default: any)")
	f.StringVar(&s.HubSpot.RefreshToken, "refresh-token", "", "the only one HubSpot's OAuth app takes (default: any)")
	f.StringVar(&script, "script", "", "YAML or JSON file with faults by time, counted from the start; docs/simulator.md")
	f.StringVar(&s.HubSpot.PropertyPrefix, "property-prefix", "tributary_", "the attribution properties of this prefix exist in HubSpot")
	f.BoolVar(&s.HubSpot.LifecycleSync, "lifecycle-sync", false, "HubSpot moves contacts and companies along with their deals")
	f.Uint64Var(&s.Seed, "seed", 0, "decides the order of results and webhooks")
	return c
}

func readPeople(path string) ([]simulator.Person, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var people []simulator.Person
	if err := json.Unmarshal(b, &people); err != nil {
		return nil, fmt.Errorf("%s holds no list of people: %w", path, err)
	}
	return people, nil
}

// readScript reads a script of faults; "" is one without any.
func readScript(path string) (simulator.Script, error) {
	if path == "" {
		return simulator.Script{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return simulator.Script{}, err
	}
	var doc map[string]any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return simulator.Script{}, fmt.Errorf("%s: %w", path, err)
	}
	if text, err = json.Marshal(doc); err != nil {
		return simulator.Script{}, fmt.Errorf("%s: %w", path, err)
	}
	sc, err := simulator.ReadScript(text)
	if err != nil {
		return simulator.Script{}, fmt.Errorf("%s: %w", path, err)
	}
	return sc, nil
}

// simulate serves the vendors until ctx ends. ready is told the address.
func simulate(ctx context.Context, o simulator.Options, faults simulator.Script, listen string, ready func(addr string)) error {
	s, err := simulator.New(o)
	if err != nil {
		return wrong(err)
	}
	if err := s.Play(faults); err != nil {
		return errors.Join(wrong(err), s.Close())
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), s.Close())
	}
	ready(l.Addr().String())
	if err := serveVendors(ctx, s, l); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serveVendors answers for a simulator until ctx ends, then closes it.
func serveVendors(ctx context.Context, s *simulator.Simulator, l net.Listener) error {
	return errors.Join(s.Serve(ctx, l), s.Close())
}
