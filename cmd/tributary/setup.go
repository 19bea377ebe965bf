package main

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/ingest"
	"tributary/internal/config"
	"tributary/mappings"
)

// version is set by the build.
var version = "dev"

func versionCommand(*options) *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		_, err := fmt.Fprintln(c.OutOrStdout(), "tributary", version)
		return err
	}}
}

//go:embed init.yaml
var initialConfig string

func initCommand(*options) *cobra.Command {
	dir := "."
	c := &cobra.Command{
		Use: "init", Short: "Write a commented configuration and the default mapping, and print one key", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return initialise(c.OutOrStdout(), dir) },
	}
	c.Flags().StringVar(&dir, "dir", ".", "where to write")
	return c
}

// initialise writes what a first start needs. It overwrites nothing.
func initialise(w io.Writer, dir string) error {
	files := []struct{ path, text string }{
		{filepath.Join(dir, "tributary.yaml"), initialConfig},
		{filepath.Join(dir, "mappings", "default.yaml"), string(mappings.Default().Text)},
		{filepath.Join(dir, "mappings", "schema.json"), string(mappings.Schema())},
		{filepath.Join(dir, "mappings", mappings.DefaultCases().Name), string(mappings.DefaultCases().Text)},
	}
	for _, f := range files {
		if _, err := os.Stat(f.path); err == nil {
			return wrong(fmt.Errorf("%s is there already; init overwrites nothing", f.path))
		}
	}
	for _, f := range files {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(f.path, []byte(f.text), 0o644); err != nil {
			return err
		}
	}
	cfg, err := config.Load(files[0].path, catalog.Kinds())
	if err != nil {
		return err
	}
	if err := ensureDir(cfg.DataDir); err != nil {
		return err
	}
	keys, err := ingest.OpenKeys(cfg.DataDir)
	if err != nil {
		return err
	}
	secret, _, err := keys.Create(ingest.NewKey{Name: "first", Scopes: []ingest.Scope{ingest.ScopeIngest, ingest.ScopeRead, ingest.ScopeReplay}}, time.Now())
	if errors.Is(err, ingest.ErrKeyExists) { // init was run here before
		_, err = fmt.Fprintf(w, "wrote %s and %s\nthe key \"first\" is there already and cannot be shown again; make another with: tributary keys create -c %s --name NAME\n",
			files[0].path, files[1].path, files[0].path)
		return err
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `wrote %s and %s
every destination is in dry_run: nothing is sent until you set one to live

key "first" (ingest, read, replay), shown this once:
  %s

start the router:
  tributary serve -c %s
then, in another terminal:
  curl -sS http://%s/v1/ingest/crm -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' -d '{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"%s","contact":{"id":"102948","email":"ada@example.com","lifecycle_stage":"marketingqualifiedlead"},"company":{"id":"3029911","domain":"example.com"}}'
`, files[0].path, files[1].path, secret, files[0].path, cfg.HTTP.Listen, secret, time.Now().UTC().Add(-time.Minute).Format(time.RFC3339))
	return nil
}

func keysCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Make, list and revoke the keys of callers"}
	store := func() (*ingest.KeyStore, config.Config, error) {
		cfg, err := config.Load(o.config, catalog.Kinds())
		if err != nil {
			return nil, cfg, wrong(err)
		}
		if err := ensureDir(cfg.DataDir); err != nil {
			return nil, cfg, err
		}
		s, err := ingest.OpenKeys(cfg.DataDir)
		return s, cfg, err
	}
	var name, source, rate string
	var burst int
	var scopes []string
	var days int
	create := &cobra.Command{
		Use: "create", Short: "Make a key and print it, once", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, cfg, err := store()
			if err != nil {
				return err
			}
			if err := knownSource(cfg, source); err != nil {
				return err
			}
			k := ingest.NewKey{Name: name, Source: source}
			if k.Rate, err = rateFlags(rate, burst); err != nil {
				return wrong(err)
			}
			for _, scope := range scopes {
				if !slices.Contains(ingest.Scopes, ingest.Scope(scope)) {
					return wrong(fmt.Errorf("there is no scope %q; there are %s%s", scope, words(ingest.Scopes), suggestion(scope, ingest.Scopes)))
				}
				k.Scopes = append(k.Scopes, ingest.Scope(scope))
			}
			if days < 0 {
				return wrong(errors.New("--days must not be negative"))
			}
			if days > 0 {
				at := time.Now().UTC().AddDate(0, 0, days)
				k.Expires = &at
			}
			secret, made, err := s.Create(k, time.Now())
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), map[string]any{"name": made.Name, "scopes": made.Scopes, "key": secret})
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), secret)
			return err
		},
	}
	create.Flags().StringVar(&name, "name", "", "what the key is called")
	create.Flags().StringVar(&source, "source", "", "the source that everything sent with it belongs to")
	create.Flags().StringSliceVar(&scopes, "scope", []string{"ingest"}, "what it may do: browser, ingest, replay, read, admin")
	create.Flags().IntVar(&days, "days", 0, "days until it expires (default: never)")
	create.Flags().StringVar(&rate, "rate", "", "requests it may make: 100/s, 600/m, 3600/h or none (default: http.limits.rate)")
	create.Flags().IntVar(&burst, "burst", 0, "requests at once after a rest (default: two seconds' worth)")
	create.MarkFlagRequired("name")
	list := &cobra.Command{
		Use: "list", Short: "List keys", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := store()
			if err != nil {
				return err
			}
			keys, err := s.List()
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), keys)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "name\tkey\tscopes\tsource\trate\tstate")
			for _, k := range keys {
				fmt.Fprintf(t, "%s\t%s…\t%s\t%s\t%s\t%s\n", k.Name, k.Hint, words(k.Scopes), k.Source, k.Rate, keyState(k))
			}
			return t.Flush()
		},
	}
	revoke := &cobra.Command{
		Use: "revoke NAME", Short: "Revoke a key; a running router sees it within a second", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, _, err := store()
			if err != nil {
				return err
			}
			if err := s.Revoke(args[0], time.Now()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "revoked %s\n", args[0])
			return err
		},
	}
	set := &cobra.Command{
		Use: "rate NAME", Short: "Change how many requests a key may make; a running router sees it within a second", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, _, err := store()
			if err != nil {
				return err
			}
			r, err := rateFlags(rate, burst)
			if err != nil {
				return wrong(err)
			}
			if err := s.SetRate(args[0], r); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s may make %s\n", args[0], cmp.Or(r.String(), "as many requests as http.limits.rate says"))
			return err
		},
	}
	set.Flags().StringVar(&rate, "rate", "", "100/s, 600/m, 3600/h or none (default: http.limits.rate)")
	set.Flags().IntVar(&burst, "burst", 0, "requests at once after a rest (default: two seconds' worth)")
	c.AddCommand(create, list, set, revoke)
	return c
}

// rateFlags reads --rate and --burst.
func rateFlags(text string, burst int) (ingest.Rate, error) {
	switch {
	case burst < 0 || burst > config.MaxRate:
		return ingest.Rate{}, fmt.Errorf("--burst takes numbers from 0 to %d", config.MaxRate)
	case text == "" && burst > 0:
		return ingest.Rate{}, errors.New("--burst needs --rate")
	case text == "":
		return ingest.Rate{}, nil
	}
	if _, err := config.ParseRate(text); err != nil {
		return ingest.Rate{}, fmt.Errorf("--rate: %w", err)
	}
	return rateOf(text, burst), nil
}

// knownSource refuses a key for a source that nobody configured: what it sends would
// find no rules.
func knownSource(cfg config.Config, name string) error {
	known := append(sortedKeys(cfg.Sources), "hubspot", "api", "web", "meta") // the last four need no configuration
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return wrong(fmt.Errorf("there is no source %q in the configuration; there are %s%s", name, words(known), suggestion(name, known)))
}

func words[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

func suggestion[T ~string](word string, known []T) string {
	if s := destinations.Suggest(word, strings.Split(words(known), ", ")); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

func keyState(k ingest.Key) string {
	switch {
	case k.Revoked != nil:
		return "revoked"
	case k.Expires != nil && time.Now().After(*k.Expires):
		return "expired"
	case k.Expires != nil:
		return "until " + k.Expires.Format(time.DateOnly)
	}
	return "valid"
}
