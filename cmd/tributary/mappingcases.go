package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/internal/config"
	"tributary/internal/rehearsal"
	"tributary/mappings"
	"tributary/mappings/cases"
)

func mappingTestCommand(o *options) *cobra.Command {
	var update bool
	var only string
	c := &cobra.Command{
		Use: "test [FILE…]", Short: "Run the cases that stand beside the mapping (*.test.yaml)",
		Long: `Run test cases: a raw input and what is known of its person, and what is expected to become of it at
every destination. Nothing is sent or kept, and no running router is needed. Without files these are
the cases beside the configured mapping. Files that end in .test.yaml hold cases, any other a mapping.`,
		RunE: func(c *cobra.Command, args []string) error {
			paths, tests := divided(args)
			t := tester{o: o, c: c, w: c.OutOrStdout(), paths: paths, update: update, only: only, colour: !o.json && isTerminal(c.OutOrStdout())}
			return t.run(tests)
		},
	}
	c.Flags().BoolVar(&update, "update", false, "rewrite expectations that do not hold into what came; look at the diff before you keep it")
	c.Flags().StringVar(&only, "case", "", "run only cases whose name holds this")
	return c
}

// A tester runs suites.
type tester struct {
	o      *options
	c      *cobra.Command
	w      io.Writer
	paths  []string // mapping files named on the command line
	update bool
	only   string
	colour bool

	ran, failed, updated int
	results              []testResult
}

// A testResult is a case as --json gives it.
type testResult struct {
	File string   `json:"file"`
	Line int      `json:"line"`
	Case string   `json:"case"`
	OK   bool     `json:"ok"`
	Diff string   `json:"diff,omitempty"`
	Says []string `json:"says,omitempty"`
}

var errCases = errors.New("cases do not hold")

func (t *tester) run(tests []string) error {
	b, err := openBench(t.c, t.o, t.paths, len(t.paths)+len(tests) > 0)
	if err != nil {
		return err
	}
	if len(tests) == 0 {
		paths := t.paths
		if len(paths) == 0 {
			paths = b.cfg.Mapping
		}
		if tests, err = besides(paths); err != nil {
			return err
		}
	}
	if len(tests) == 0 {
		return wrong(fmt.Errorf("there are no cases beside the mapping: write some into a file that ends in %s", cases.Suffix))
	}
	for _, path := range tests {
		if err := t.file(b, path); err != nil {
			return err
		}
	}
	return t.end()
}

func (t *tester) end() error {
	if t.o.json {
		if err := printJSON(t.w, map[string]any{"ran": t.ran, "failed": t.failed, "updated": t.updated, "cases": append([]testResult{}, t.results...)}); err != nil {
			return err
		}
	}
	switch {
	case t.ran == 0:
		return wrong(errors.New("no case was run"))
	case t.failed > 0:
		return fmt.Errorf("%w: %d of %d; mapping test --update rewrites what they expect", errCases, t.failed, t.ran)
	case !t.o.json && t.updated > 0:
		fmt.Fprintf(t.w, "ran %d cases, rewrote %d\n", t.ran, t.updated)
	case !t.o.json:
		fmt.Fprintf(t.w, "ran %d cases, all hold\n", t.ran)
	}
	return nil
}

// file runs one file of cases.
func (t *tester) file(b workbench, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return wrong(err)
	}
	f := mappings.File{Name: path, Text: text}
	s, problems := cases.Read(f)
	if s == nil {
		return t.wrong([]mappings.File{f}, problems)
	}
	if len(s.Mapping) > 0 && len(t.paths) == 0 {
		for i, m := range s.Mapping {
			s.Mapping[i] = filepath.Join(filepath.Dir(path), m)
		}
		if b.files, err = readMapping(s.Mapping); err != nil {
			return err
		}
	}
	m, problems := mappings.Compile(b.files...)
	if m == nil {
		return t.wrong(b.files, problems)
	}
	dests, problems := seats(b, s, m)
	if len(problems) > 0 {
		return t.wrong([]mappings.File{f}, problems)
	}
	settings := settingsFor(b, s)
	verdicts := map[int]cases.Verdict{}
	for i, c := range s.Cases {
		if t.only != "" && !strings.Contains(c.Name, t.only) {
			continue
		}
		v, err := judge(t.c.Context(), b, c, m, settings, dests)
		if err != nil {
			return fmt.Errorf("%s:%d: case %q: %w", path, c.Line(), c.Name, err)
		}
		t.ran++
		verdicts[i] = v
		t.report(path, c, v)
	}
	if !t.update {
		return nil
	}
	if changed := s.Update(verdicts); string(changed) != string(text) {
		return os.WriteFile(path, changed, 0o644)
	}
	return nil
}

// wrong reports files that cannot be used.
func (t *tester) wrong(files []mappings.File, problems []mappings.Problem) error {
	problems = slices.DeleteFunc(problems, func(p mappings.Problem) bool { return p.Warning })
	format := textProblems
	if t.o.json {
		format = jsonProblems
	}
	if err := format(t.w, files, problems); err != nil {
		return err
	}
	return wrong(fmt.Errorf("%s has mistakes: %d", problems[0].File, len(problems)))
}

// report says what a case came to.
func (t *tester) report(path string, c cases.Case, v cases.Verdict) {
	t.results = append(t.results, testResult{File: path, Line: c.Line(), Case: c.Name, OK: v.OK, Diff: v.Diff, Says: v.Says})
	switch {
	case v.OK:
		return
	case t.update && v.Diff != "":
		t.updated++
	default:
		t.failed++
	}
	if t.o.json {
		return
	}
	fmt.Fprintf(t.w, "%s:%d: %s\n", path, c.Line(), c.Name)
	for _, s := range v.Says {
		fmt.Fprintf(t.w, "    %s\n", s)
	}
	for line := range strings.Lines(v.Diff) {
		fmt.Fprintf(t.w, "    %s", t.painted(line))
	}
}

// painted colours a line of a diff on a terminal.
func (t *tester) painted(line string) string {
	if !t.colour {
		return line
	}
	text := strings.TrimSuffix(line, "\n")
	switch {
	case strings.HasPrefix(line, "+"):
		return "\x1b[32m" + text + "\x1b[0m\n"
	case strings.HasPrefix(line, "-"):
		return "\x1b[31m" + text + "\x1b[0m\n"
	}
	return line
}

// isTerminal is true for a character device that nobody asked not to colour.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// judge runs one case and holds it against what it expects. m is the compiled mapping of
// the workbench.
func judge(ctx context.Context, b workbench, c cases.Case, m *mappings.Mapping, settings func(string) wire.Settings, dests []rehearsal.Destination) (cases.Verdict, error) {
	if len(c.With.Text) > 0 {
		var problems []mappings.Problem
		if m, problems = mappings.Compile(append(slices.Clone(b.files), c.With)...); m == nil {
			return cases.Verdict{}, wrong(fmt.Errorf("the mapping with what the case adds has mistakes:\n%s", problemText(problems)))
		}
	}
	dests, err := taking(c, m, dests)
	if err != nil {
		return cases.Verdict{}, err
	}
	out, err := rehearsal.Case(ctx, c, m, settings, b.cfg.Identity.Guards(), dests)
	if err != nil {
		return cases.Verdict{}, err
	}
	return c.Judge(out)
}

// taking gives the destinations that take part in a case, with the contact properties that
// its mapping declares.
func taking(c cases.Case, m *mappings.Mapping, all []rehearsal.Destination) ([]rehearsal.Destination, error) {
	var known []string
	for _, d := range all {
		known = append(known, d.Name)
	}
	for _, name := range append(c.Expected(), c.To...) {
		if !slices.Contains(known, name) {
			return nil, wrong(fmt.Errorf("there is no destination %q here; there are %s%s", name, words(known), suggestion(name, known)))
		}
	}
	var out []rehearsal.Destination
	for _, d := range all {
		if len(c.To) == 0 || slices.Contains(c.To, d.Name) {
			d.Adapter, _ = withFields(d.Adapter, m)
			out = append(out, d)
		}
	}
	return out, nil
}

// settingsFor gives what the configuration, and before it a suite, says of sources.
func settingsFor(b workbench, s *cases.Suite) func(source string) wire.Settings {
	return func(source string) wire.Settings {
		if own, ok := s.Sources[source]; ok {
			return wire.Settings{Account: own.Account, Region: own.Region, Currency: own.Currency, Lists: b.cfg.Identity.Lists()}
		}
		return settingsOf(b.cfg, source, func(string) []string { return nil })
	}
}

// seats gives the destinations that a suite's cases are sent to: its own, else those of the
// configuration, else one of each kind.
func seats(b workbench, s *cases.Suite, m *mappings.Mapping) ([]rehearsal.Destination, []mappings.Problem) {
	if s.Destinations == nil {
		return configuredSeats(b, m)
	}
	var out []rehearsal.Destination
	var problems []mappings.Problem
	for _, name := range s.Names() {
		d := s.Destinations[name]
		said := func(line, column int, suggestion, format string, args ...any) {
			problems = append(problems, mappings.Problem{File: s.File.Name, Line: line, Column: column, Code: "destination", Suggestion: suggestion, Message: fmt.Sprintf(format, args...)})
		}
		kind, ok := catalog.Kind(d.Kind)
		if !ok {
			said(d.Line, d.Column, mappings.Nearest(d.Kind, catalog.Names()), "there is no kind of destination %q; choose one of %s", d.Kind, strings.Join(catalog.Names(), ", "))
			continue
		}
		section := d.Settings
		adapter, wrong := kind.New(settingsNode(&section))
		for _, p := range wrong {
			line, column := p.Line, p.Column
			if line == 0 {
				line, column = d.Line, d.Column
			}
			said(line, column, "", "destination %s: %s", name, p.Message)
		}
		adapter, _ = withFields(adapter, m)
		out = append(out, rehearsal.Destination{Name: name, Kind: d.Kind, Adapter: adapter})
	}
	return out, problems
}

// configuredSeats gives the destinations of the configuration as they would be live.
func configuredSeats(b workbench, m *mappings.Mapping) ([]rehearsal.Destination, []mappings.Problem) {
	if !b.configured || len(b.cfg.Destinations) == 0 {
		return defaultSeats(m), nil
	}
	var out []rehearsal.Destination
	for _, name := range sortedKeys(b.cfg.Destinations) {
		d := b.cfg.Destinations[name]
		kind, _ := catalog.Kind(d.Kind)
		section := d.Settings
		adapter, problems := kind.New(settingsNode(&section))
		if len(problems) > 0 { // config.Load has said so already
			return nil, []mappings.Problem{{File: "configuration", Code: "destination", Message: fmt.Sprintf("destination %s: %s", name, problems[0].Message)}}
		}
		adapter, _ = withFields(adapter, m)
		policy := delivery.DefaultPolicy()
		policy.AwaitFor, policy.Contact = awaitFor(b.cfg, d), destinations.ContactRule(d.Contact)
		out = append(out, rehearsal.Destination{Name: name, Kind: d.Kind, Adapter: adapter, Policy: policy, Disabled: d.Mode == string(delivery.Disabled)})
	}
	return out, nil
}

// awaitFor is how long a destination waits for a person to be known.
func awaitFor(cfg config.Config, d config.Destination) (wait time.Duration) {
	if wait = delivery.DefaultPolicy().AwaitFor; cfg.Delivery.AwaitFor > 0 {
		wait = cfg.Delivery.AwaitFor
	}
	if d.AwaitFor != nil {
		wait = *d.AwaitFor
	}
	return wait
}

// defaultSeats is one destination of each kind: with its default settings, made-up ones
// where it does not work without, and every rule of the mapping bound to a made-up number.
func defaultSeats(m *mappings.Mapping) []rehearsal.Destination {
	rules := map[string]string{}
	for _, r := range m.Routes("linkedin") {
		for _, rule := range r.Rules() {
			rules[rule] = ""
		}
	}
	for i, rule := range sortedKeys(rules) {
		rules[rule] = strconv.Itoa(i + 1)
	}
	made := map[string]any{
		"meta":     map[string]string{"dataset_id": "1000000000000000"},
		"linkedin": map[string]any{"rules": rules},
		"webhook":  map[string]string{"url": "https://hook.example.com/tributary"},
	}
	var out []rehearsal.Destination
	for _, kind := range catalog.Kinds() {
		var section yaml.Node
		if settings := made[kind.Name]; settings != nil && section.Encode(settings) != nil {
			continue
		}
		if adapter, problems := kind.New(settingsNode(&section)); len(problems) == 0 {
			adapter, _ = withFields(adapter, m)
			out = append(out, rehearsal.Destination{Name: kind.Name, Kind: kind.Name, Adapter: adapter})
		}
	}
	return out
}
