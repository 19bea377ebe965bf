package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/mappings"
)

func mappingCheckCommand(o *options) *cobra.Command {
	var strict, sarif, github, lines bool
	var since string
	c := &cobra.Command{
		Use: "check [FILE…]", Short: "Find every mistake, with its place and a suggestion",
		Long: `Find every mistake of the mapping at once, each with its place, the line it stands on and what was
perhaps meant; then warn of what works, but perhaps not as meant. Without files it is the configured
mapping. Where there is a configuration, the mapping is held against its sources and destinations.`,
		RunE: func(c *cobra.Command, args []string) error {
			format := textProblems
			switch {
			case o.json && (sarif || github) || sarif && github || lines && (o.json || sarif || github):
				return wrong(errors.New("choose one of --json, --sarif, --github and --print"))
			case o.json:
				format = jsonProblems
			case sarif:
				format = sarifProblems
			case github:
				format = githubProblems
			}
			paths, tests := divided(args)
			if len(tests) > 0 {
				return wrong(fmt.Errorf("%s holds cases, not a mapping: tributary mapping test runs them", tests[0]))
			}
			b, err := openBench(c, o, paths, len(paths) > 0)
			if err != nil {
				return err
			}
			m, problems := b.compile()
			if m != nil && !mappings.Failed(problems) {
				problems = append(problems, b.vendors(m)...)
				if since != "" {
					seen, err := seenSince(c.Context(), o, b.files, since)
					if err != nil {
						return err
					}
					problems = append(problems, m.CheckSeen(seen)...)
				}
			}
			inTextOrder(b.files, problems)
			if strict {
				for i := range problems {
					problems[i].Warning = false
				}
			}
			if err := format(c.OutOrStdout(), b.files, problems); err != nil {
				return err
			}
			if mappings.Failed(problems) {
				return wrong(errors.New(mistakes(problems, strict)))
			}
			if lines {
				printLines(c.OutOrStdout(), m)
			}
			if !o.json && !sarif && !github {
				fmt.Fprintf(c.OutOrStdout(), "the mapping is good%s: %s\n", withWarnings(problems), m.Version())
			}
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "warnings are mistakes too")
	c.Flags().BoolVar(&sarif, "sarif", false, "answer in SARIF 2.1.0, as code hosts read it")
	c.Flags().BoolVar(&github, "github", false, "answer in GitHub's workflow commands, which stand beside the lines of a pull request")
	c.Flags().BoolVar(&lines, "print", false, "also print every line of destinations as it holds, with what it inherits")
	c.Flags().StringVar(&since, "since", "", "also warn of stages that the running router got in this time and that no line names: 30d, 12h")
	return c
}

// printLines writes every line of destinations with what it inherits.
func printLines(w io.Writer, m *mappings.Mapping) {
	key := ""
	for _, l := range m.Lines() {
		if l.Destination != key {
			key = l.Destination
			fmt.Fprintf(w, "%s:\n", key)
		}
		inherits := ""
		if len(l.Inherited) > 0 {
			inherits = "   # inherits " + strings.Join(l.Inherited, ", ")
		}
		fmt.Fprintf(w, "  %s%s\n", l, inherits)
	}
}

// mistakes says why a mapping is not good.
func mistakes(problems []mappings.Problem, strict bool) string {
	if strict {
		return fmt.Sprintf("the mapping has mistakes or warnings, and --strict takes both for mistakes: %d", len(problems))
	}
	n := 0
	for _, p := range problems {
		if !p.Warning {
			n++
		}
	}
	if n == 1 {
		return "the mapping has mistakes: 1"
	}
	return fmt.Sprintf("the mapping has mistakes: %d", n)
}

func withWarnings(problems []mappings.Problem) string {
	switch len(problems) {
	case 0:
		return ""
	case 1:
		return ", with 1 warning"
	}
	return fmt.Sprintf(", with %d warnings", len(problems))
}

// vendors warns of lines that a configured destination will not send as they are meant.
func (b workbench) vendors(m *mappings.Mapping) []mappings.Problem {
	if !b.configured {
		return nil
	}
	var out []mappings.Problem
	var takers []mappings.Taker
	for _, name := range sortedKeys(b.cfg.Destinations) {
		d := b.cfg.Destinations[name]
		kind, _ := catalog.Kind(d.Kind)
		section := d.Settings
		dest, problems := kind.New(settingsNode(&section))
		if len(problems) > 0 { // config.Load has said so already
			continue
		}
		takers = append(takers, mappings.Taker{Name: name, Kind: d.Kind, MaxAge: dest.Contract().MaxAge})
		if a, ok := dest.(destinations.Adviser); ok {
			out = append(out, m.Advised("destination "+name, []string{name, d.Kind}, a.Advice(routesOf(m, name, d.Kind)))...)
		}
	}
	return append(out, m.CheckTakers(takers, !b.readsCRM() || b.hasCurrency())...)
}

// readsCRM is true where deals are read from a CRM, which leaves out their currency unless
// the account has several.
func (b workbench) readsCRM() bool {
	for _, s := range b.cfg.Sources {
		if s.Kind == "hubspot" {
			return true
		}
	}
	return len(b.cfg.Accounts) > 0
}

// hasCurrency is true where the configuration says which currency a value has that names
// none.
func (b workbench) hasCurrency() bool {
	for _, s := range b.cfg.Sources {
		if s.Currency != "" {
			return true
		}
	}
	for _, a := range b.cfg.Accounts {
		if a.Currency != "" {
			return true
		}
	}
	return false
}

// seenSince asks the running process for the stages that receipts reported and that no line of
// these files names.
func seenSince(ctx context.Context, o *options, files []mappings.File, since string) ([]mappings.Seen, error) {
	from, err := timeArgument("--since", since, time.Now())
	if err != nil {
		return nil, err
	}
	cl, err := dial(o)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Uncovered []mappings.Seen `json:"uncovered"`
	}
	if err := cl.call(ctx, http.MethodPost, "/v1/mapping/uncovered", uncoveredRequest{Mapping: sentFiles(files), Since: from}, &answer); err != nil {
		return nil, fmt.Errorf("ask for stages seen since %s: %w", since, err)
	}
	return answer.Uncovered, nil
}

// number reads a whole number that JSON gave as a number or as a text.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case float64:
		return int64(v), true
	case string:
		var n int64
		_, err := fmt.Sscanf(v, "%d", &n)
		return n, err == nil
	}
	return 0, false
}

// inTextOrder sorts problems as the text has them; those of no file come last.
func inTextOrder(files []mappings.File, problems []mappings.Problem) {
	order := func(p mappings.Problem) int {
		if i := slices.IndexFunc(files, func(f mappings.File) bool { return f.Name == p.File }); i >= 0 {
			return i
		}
		return len(files)
	}
	slices.SortStableFunc(problems, func(a, b mappings.Problem) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
