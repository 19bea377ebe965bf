package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tributary/destinations/catalog"
	"tributary/destinations/simulator"
	"tributary/docs"
	"tributary/ingest"
	"tributary/internal/config"
)

type demoOptions struct {
	dir     string
	brokers []string
	keep    bool
}

func demoCommand(*options) *cobra.Command {
	var d demoOptions
	c := &cobra.Command{
		Use: "demo", Short: "Play one account's story against simulated vendors and print what came of it", Args: cobra.NoArgs,
		Long: "demo runs the router, its engines and simulated vendors in one process, plays the story of docs/demo.md over HTTP\n" +
			"and compares what it prints with docs/demo.txt. A second run on the same folder sends every receipt again.",
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), d, c.OutOrStdout()) },
	}
	c.Flags().StringVar(&d.dir, "data", "demo-data", "folder for the log, the warehouse and the vendors' memory")
	c.Flags().BoolVar(&d.keep, "keep", false, "leave it running and print addresses, keys and commands to try")
	c.Flags().StringSliceVar(&d.brokers, "brokers", nil, "use this Kafka as the log (default: the embedded one)")
	return c
}

// A demo is one run on a data directory.
type demo struct {
	demoOptions
	out     io.Writer
	past    past
	secrets map[string]string

	sim    *simulator.Simulator
	vendor string // the simulator's address
	router string // the router's
	sent   int    // receipts accepted in all runs
}

// A past is what a data directory remembers of earlier runs.
type past struct {
	Began   time.Time `json:"began"` // of the first run: the story happened in the five days before
	Prefix  string    `json:"prefix"`
	Brokers bool      `json:"brokers"`
	Runs    int       `json:"runs"` // that were finished
	Sent    int       `json:"sent"` // receipts in those
	Running bool      `json:"running"`
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// runDemo starts everything, plays, and stops it.
func runDemo(ctx context.Context, o demoOptions, out io.Writer) error {
	began := time.Now()
	d, err := openDemo(o, out)
	if err != nil {
		return err
	}
	l, err := d.openVendors()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	vendors := make(chan error, 1)
	go func() { vendors <- serveVendors(context.WithoutCancel(ctx), d.sim, l) }()

	if err = d.run(ctx, stop, began); errors.Is(err, context.Canceled) {
		err = errors.New("the demo was interrupted before its end") // and so has shown nothing
	}
	l.Close() // after the router: it may still be sending
	<-vendors
	return err
}

func (d *demo) run(ctx context.Context, stop func(), began time.Time) error {
	cfg, err := d.configure()
	if err != nil {
		return err
	}
	logged, err := os.OpenFile(d.path("router.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logged.Close()
	ready := make(chan string, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return serve(ctx, cfg, slog.New(slog.NewTextHandler(logged, nil)), func(addr string) { ready <- addr })
	})
	g.Go(func() error {
		select {
		case addr := <-ready:
			d.router = "http://" + addr
		case <-ctx.Done():
			return nil // serve says why
		}
		if err := d.show(ctx, began); err != nil {
			return err
		}
		if d.keep {
			d.printHelp()
			<-ctx.Done()
		}
		stop()
		return nil
	})
	return g.Wait()
}

// show plays the story, or sends it again, and holds what came of it against the book.
func (d *demo) show(ctx context.Context, began time.Time) error {
	d.past.Running = true
	if err := d.remember(); err != nil {
		return err
	}
	if err := d.play(ctx); err != nil {
		return err
	}
	d.past.Running, d.past.Runs, d.past.Sent = false, d.past.Runs+1, d.sent
	if err := d.remember(); err != nil {
		return err
	}
	got, shown, err := d.tables(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n%s\n", shown)
	if err := d.check(ctx); err != nil {
		return err
	}
	if got != docs.Demo {
		fmt.Fprintf(d.out, "these tables differ from docs/demo.txt (-: expected, +: came):\n%s", difference(docs.Demo, got))
		return errors.New("the demo's tables are not those of docs/demo.txt")
	}
	fmt.Fprintln(d.out, "one Meta Purchase, one LinkedIn closed_won, revenue once; the books balance, nothing is lost, ClickHouse agrees")
	fmt.Fprintf(d.out, "these tables equal docs/demo.txt; run %d on %s took %.1f seconds\n", d.past.Runs, d.dir, time.Since(began).Seconds())
	return nil
}

// openDemo reads what the directory remembers, or begins it.
func openDemo(o demoOptions, out io.Writer) (*demo, error) {
	d := &demo{demoOptions: o, out: out, secrets: map[string]string{}}
	for _, dir := range []string{o.dir, d.path("router"), d.path("simulator"), d.path("secrets")} {
		if err := ensureDir(dir); err != nil {
			return nil, err
		}
	}
	b, err := os.ReadFile(d.path("story.json"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		d.past = past{Began: time.Now().UTC().Truncate(time.Second), Prefix: "demo-" + randomHex(4) + ".", Brokers: len(o.brokers) > 0}
		if err := d.remember(); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(b, &d.past); err != nil {
			return nil, fmt.Errorf("read %s: %w", d.path("story.json"), err)
		}
	}
	switch {
	case d.past.Running:
		return nil, wrong(fmt.Errorf("the last run on %s was cut short, so its numbers cannot be told; remove the folder and start again", o.dir))
	case d.past.Brokers != (len(o.brokers) > 0):
		return nil, wrong(fmt.Errorf("%s was begun with another log (--brokers); use that, or another folder", o.dir))
	}
	d.sent = d.past.Sent
	return d, d.makeSecrets()
}

func (d *demo) remember() error {
	b, err := json.MarshalIndent(d.past, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(d.path("story.json"), append(b, '\n'), 0o600)
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// makeSecrets reads the tokens of the vendors and the keys of callers, and makes those
// that are not there yet.
func (d *demo) makeSecrets() error {
	keys, err := ingest.OpenKeys(d.path("router"))
	if err != nil {
		return err
	}
	secret := func(name string, make func() (string, error)) error {
		path := d.path(filepath.Join("secrets", name))
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			var text string
			if text, err = make(); err == nil {
				b = []byte(text + "\n")
				err = os.WriteFile(path, b, 0o600)
			}
		}
		d.secrets[name] = strings.TrimSpace(string(b))
		return err
	}
	for _, name := range []string{"meta", "linkedin", "hubspot", "hubspot_app"} {
		if err := secret(name, func() (string, error) { return randomHex(16), nil }); err != nil {
			return err
		}
	}
	for name, k := range map[string]ingest.NewKey{
		"key_ingest":  {Name: "crm", Scopes: []ingest.Scope{ingest.ScopeIngest}, Source: "crm"},
		"key_browser": {Name: "website", Scopes: []ingest.Scope{ingest.ScopeBrowser}, Source: "website"},
		"key_read":    {Name: "analyst", Scopes: []ingest.Scope{ingest.ScopeRead}},
		"key_replay":  {Name: "operator", Scopes: []ingest.Scope{ingest.ScopeReplay}},
	} {
		if err := secret(name, func() (string, error) {
			key, _, err := keys.Create(k, time.Now())
			return key, err
		}); err != nil {
			return err
		}
	}
	return nil
}

// openVendors makes the simulated vendors and the address they answer at.
func (d *demo) openVendors() (net.Listener, error) {
	o := vendorsOfTheStory()
	o.Dir = d.path("simulator")
	o.Meta.Token, o.LinkedIn.Token, o.HubSpot.Token = d.secrets["meta"], d.secrets["linkedin"], d.secrets["hubspot"]
	o.HubSpot.ClientSecret = d.secrets["hubspot_app"]
	var err error
	if d.sim, err = simulator.New(o); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.vendor = "http://" + l.Addr().String()
	return l, nil
}

// configure writes the configuration that the router runs with, and reads it as serve does.
func (d *demo) configure() (config.Config, error) {
	text := strings.NewReplacer("VENDOR", d.vendor, "DATASET", datasetID).Replace(demoConfig)
	for i, name := range ruleNames {
		text += fmt.Sprintf("        %s: %q\n", name, ruleID(i))
	}
	if len(d.brokers) > 0 {
		list, err := json.Marshal(d.brokers)
		if err != nil {
			return config.Config{}, err
		}
		text += fmt.Sprintf("log:\n  brokers: %s\n  prefix: %q\n", list, d.past.Prefix)
	}
	path := d.path("tributary.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return config.Config{}, err
	}
	return config.Load(path, catalog.Kinds())
}

const demoConfig = `# Written by tributary demo at every start; the vendors' address is that of the simulator.
data_dir: router
http: {listen: "127.0.0.1:0"}
accounts:
  hubspot: {kind: hubspot, base_url: "VENDOR/hubspot", token: "file:secrets/hubspot", currency: USD, tier: enterprise}
sources:
  crm: {kind: crm}
  website: {kind: website}
  hubspot_app: {kind: hubspot, account: hubspot, client_secret: "file:secrets/hubspot_app"}
destinations:
  meta:
    kind: meta
    mode: live
    base_url: VENDOR/meta
    allow_private: true
    token: file:secrets/meta
    settings: {dataset_id: "DATASET", linger: 20ms}
  hubspot:
    kind: hubspot
    mode: live
    base_url: VENDOR/hubspot
    allow_private: true
    token: file:secrets/hubspot
    settings: {timeline: notes, linger: 20ms}
  linkedin:
    kind: linkedin
    mode: live
    base_url: VENDOR/linkedin
    allow_private: true
    token: file:secrets/linkedin
    settings:
      linger: 20ms
      rules:
`

// printHelp says what can be tried while it runs.
func (d *demo) printHelp() {
	fmt.Fprintf(d.out, `
it keeps running until interrupted; what you send stays in the folder, so a further demo needs another one

  router   %s
  vendors  %s
  keys     in %s: key_ingest, key_browser, key_read, key_replay

to try, in another terminal:
  tributary -c %[4]s report balances
  tributary -c %[4]s sql 'SELECT * FROM v_revenue_by_campaign'
  tributary -c %[4]s event show %[5]s
  curl -sS '%[2]s/_received?vendor=meta&last=1'
  curl -sS '%[2]s/_timeline?contact=%[6]d&kind=note'
  curl -sS %[1]s/v1/events -H "Authorization: Bearer $(cat %[3]s/key_ingest)" -H 'Content-Type: application/json' \
    -d '{"event": "meeting_booked", "user_data": {"email": "%[7]s"}}'
`, d.router, d.vendor, d.path("secrets"), d.path("tributary.yaml"), d.wonID(), benMerged, benWork)
}

// difference lists what stands in one text only, in order, with two lines around it.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	same := make([][]int, len(a)+1)
	for i := range same {
		same[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if same[i][j] = max(same[i+1][j], same[i][j+1]); a[i] == b[j] {
				same[i][j] = 1 + same[i+1][j+1]
			}
		}
	}
	var lines []string
	var near []bool
	put := func(mark, text string) {
		lines, near = append(lines, strings.TrimRight(mark+" "+text, " ")), append(near, mark != " ")
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			put(" ", a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && same[i+1][j] >= same[i][j+1]:
			put("-", a[i])
			i++
		default:
			put("+", b[j])
			j++
		}
	}
	var out strings.Builder
	for i, line := range lines {
		if slices.Contains(near[max(0, i-2):min(len(near), i+3)], true) {
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}
