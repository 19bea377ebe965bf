package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

// A coverage says which lines of the live mapping were used since a time, and what came that no
// line is for.
type coverage struct {
	Version string              `json:"mapping_version"`
	Since   time.Time           `json:"since"`
	Rules   []coveredRule       `json:"rules"`
	Lines   []coveredLine       `json:"destinations"`
	Unnamed []warehouse.Unnamed `json:"unnamed"`
	// Elsewhere counts events named by lines that the live mapping no longer has, and Unread
	// those of versions whose text is not kept.
	Elsewhere int `json:"elsewhere"`
	Unread    int `json:"unread"`
}

// A coveredRule is one line under sources. Several values on one line that give one name are
// one: an event says which line named it, and no more.
type coveredRule struct {
	At      string     `json:"at"`
	Section string     `json:"section"`
	Table   string     `json:"table"`
	Raw     []string   `json:"raw"`
	Name    string     `json:"name,omitempty"`
	Events  int        `json:"events"` // quarantine: receipts
	Last    *time.Time `json:"last,omitempty"`
}

// A coveredLine is one line under destinations.
type coveredLine struct {
	At          string `json:"at"`
	Destination string `json:"destination"` // the key
	Name        string `json:"name"`
	Events      int    `json:"delivered"` // at all destinations that it is the line of
}

// mostUnnamed bounds the list of what no line is for.
const mostUnnamed = 200

func (r *router) answerCoverage(c *gin.Context) (int, any, error) {
	since, err := moment(cmp.Or(c.Query("since"), "30d"), time.Now())
	if err != nil {
		return 0, nil, &refusal{ingest.CodeSelection, "since: " + err.Error()}
	}
	v, err := r.cover(c.Request.Context(), since)
	return http.StatusOK, v, err
}

// cover counts over what the warehouse holds: it is a step behind.
func (r *router) cover(ctx context.Context, since time.Time) (coverage, error) {
	m := r.mapping.Load()
	out := coverage{Version: m.Version(), Since: since, Rules: []coveredRule{}, Lines: []coveredLine{}}
	firings, err := r.warehouse.Firings(ctx, since)
	if err != nil {
		return out, err
	}
	var marks []warehouse.Firing
	for table, by := range map[string]func(context.Context, time.Time) ([]warehouse.Firing, error){"ignore": r.warehouse.IgnoredBy, "quarantine": r.warehouse.QuarantinedBy} {
		marked, err := by(ctx, since)
		if err != nil {
			return out, err
		}
		for _, f := range marked {
			f.Name = table + " " + f.Name
			marks = append(marks, f)
		}
	}
	version := r.versions(ctx)
	if out.Rules, out.Elsewhere, out.Unread, err = fired(m, firings, version); err != nil {
		return out, err
	}
	marked, _, _, err := fired(m, marks, version) // those events are counted above, too
	if err != nil {
		return out, err
	}
	for i, rule := range marked {
		if rule.Name == "" {
			out.Rules[i] = rule
		}
	}
	delivered, err := r.warehouse.Delivered(ctx, since)
	if err != nil {
		return out, err
	}
	kinds := map[string]string{}
	for name, d := range r.cfg.Destinations {
		kinds[name] = d.Kind
	}
	out.Lines = usedLines(m, delivered, kinds)
	unnamed, err := r.warehouse.Unnamed(ctx, since, mostUnnamed)
	out.Unnamed = uncovered(unnamed)
	return out, err
}

// versions is versionOf that asks for each version once.
func (r *router) versions(ctx context.Context) func(string) (*mappings.Mapping, error) {
	read := map[string]*mappings.Mapping{}
	return func(version string) (*mappings.Mapping, error) {
		if m, had := read[version]; had {
			return m, nil
		}
		m, err := r.versionOf(ctx, version)
		if err == nil {
			read[version] = m
		}
		return m, err
	}
}

// versionOf gives a mapping that was live; nil where its text is not kept, or no longer compiles.
func (r *router) versionOf(ctx context.Context, version string) (*mappings.Mapping, error) {
	files, err := r.filesOf(ctx, version)
	if err != nil || files == nil {
		return nil, err
	}
	m, problems := mappings.Compile(files...)
	if mappings.Failed(problems) {
		return nil, nil
	}
	return m, nil
}

type lineKey struct{ at, name string }

// keyOf is what says of an event, or of a receipt that is held back, which line it was.
func keyOf(r mappings.Rule) lineKey {
	if r.Name == "" {
		return lineKey{r.At, r.Table + " " + r.Raw}
	}
	return lineKey{r.At, r.Name}
}

// fired counts each line of a mapping. An event names the line of the version that named it;
// where that stood elsewhere, the line is known again by what it says.
func fired(m *mappings.Mapping, firings []warehouse.Firing, version func(string) (*mappings.Mapping, error)) (out []coveredRule, elsewhere, unread int, err error) {
	out = []coveredRule{}
	lines, byKey := map[lineKey]int{}, map[string]int{}
	for _, r := range m.Rules() {
		k := keyOf(r)
		i, had := lines[k]
		if !had {
			i = len(out)
			lines[k], out = i, append(out, coveredRule{At: r.At, Section: r.Section, Table: r.Table, Name: r.Name})
		}
		out[i].Raw = append(out[i].Raw, r.Raw)
		byKey[r.Key()] = i
	}
	known := map[string]map[lineKey]string{} // version → line → key of one of its rules
	for _, f := range firings {
		if f.Rule == "" || !strings.Contains(f.Rule, ":") { // no line, or built in
			continue
		}
		keys, had := known[f.Version]
		if !had && f.Version != m.Version() {
			old, err := version(f.Version)
			if err != nil {
				return out, elsewhere, unread, err
			}
			if old != nil {
				keys = map[lineKey]string{}
				for _, r := range old.Rules() {
					at := keyOf(r)
					if _, live := byKey[keys[at]]; !live {
						keys[at] = r.Key()
					}
				}
			}
			known[f.Version] = keys
		}
		i, ours := lines[lineKey{f.Rule, f.Name}]
		if f.Version != m.Version() {
			i, ours = byKey[keys[lineKey{f.Rule, f.Name}]]
		}
		switch {
		case ours:
			out[i].count(f)
		case f.Version != m.Version() && keys == nil:
			unread += f.Events
		default:
			elsewhere += f.Events
		}
	}
	return out, elsewhere, unread, nil
}

func (r *coveredRule) count(f warehouse.Firing) {
	r.Events += f.Events
	if r.Last == nil || f.Last.After(*r.Last) {
		last := f.Last.UTC()
		r.Last = &last
	}
}

// usedLines counts what was delivered by the line that is asked for it.
func usedLines(m *mappings.Mapping, delivered []warehouse.Counted, kinds map[string]string) []coveredLine {
	out := []coveredLine{}
	at := map[lineKey]int{}
	for _, l := range m.Lines() {
		at[lineKey{l.Destination, l.Name}] = len(out)
		out = append(out, coveredLine{At: l.At, Destination: l.Destination, Name: l.Name})
	}
	for _, d := range delivered {
		if d.Again && m.Recycle(d.Name) == canonical.RecycleReport { // told as a lead that went back
			d.Name = canonical.NameRecycled
		}
		for _, k := range []lineKey{{d.Of, d.Name}, {d.Of, "*"}, {kinds[d.Of], d.Name}, {kinds[d.Of], "*"}} {
			if i, is := at[k]; is {
				out[i].Events += d.Events
				break
			}
		}
	}
	return out
}

// uncovered leaves out events that keep a name which is meant to be their own: touches.
func uncovered(all []warehouse.Unnamed) []warehouse.Unnamed {
	return slices.DeleteFunc(all, func(u warehouse.Unnamed) bool {
		return u.Object == "" && u.Name == u.Raw && mappings.AlwaysExists(u.Name)
	})
}

func mappingCoverageCommand(o *options) *cobra.Command {
	var since string
	var never bool
	c := &cobra.Command{
		Use: "coverage", Short: "Say which lines of the live mapping were used, which never, and what came that no line is for", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := timeArgument("--since", since, time.Now())
			if err != nil {
				return err
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var v coverage
			if err := cl.call(c.Context(), http.MethodGet, "/v1/mapping/coverage?since="+url.QueryEscape(canonical.FormatTime(at)), nil, &v); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), v)
			}
			return printCoverage(c.OutOrStdout(), v, never)
		},
	}
	c.Flags().StringVar(&since, "since", "30d", "events received from then on: 2026-04-23, 2026-04-23T11:00:00Z, or so long ago: 30d, 12h")
	c.Flags().BoolVar(&never, "never", false, "only lines that were never used, and what no line is for")
	return c
}

func printCoverage(w io.Writer, v coverage, never bool) error {
	fmt.Fprintf(w, "%s since %s\n", v.Version, canonical.FormatTime(v.Since.Truncate(time.Second)))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nline\tof\tsays\tevents\tlast")
	for _, r := range v.Rules {
		if never && r.Events > 0 {
			continue
		}
		last := "never"
		if r.Last != nil {
			last = canonical.FormatTime(r.Last.Truncate(time.Second))
		} else if r.Events > 0 {
			last = "-"
		}
		says := strings.Join(r.Raw, ", ")
		if r.Name != "" {
			says += " → " + r.Name
		}
		fmt.Fprintf(t, "%s\t%s %s\t%s\t%d\t%s\n", r.At, r.Section, r.Table, says, r.Events, last)
	}
	fmt.Fprintln(t, "\nline\tdestination\tevent\tdelivered\t")
	for _, l := range v.Lines {
		if never && l.Events > 0 {
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t\n", l.At, l.Destination, l.Name, l.Events)
	}
	if len(v.Unnamed) > 0 {
		fmt.Fprintln(t, "\nno line is for\tof\tbecame\tevents\tlast")
	}
	for _, u := range v.Unnamed {
		of := strings.Join(slices.DeleteFunc([]string{u.Source, u.Object, u.Pipeline}, func(s string) bool { return s == "" }), " ")
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", u.Raw, of, u.Name, u.Events, canonical.FormatTime(u.Last.UTC().Truncate(time.Second)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if v.Elsewhere > 0 {
		fmt.Fprintf(w, "\n%d events were named by lines that the live mapping no longer has\n", v.Elsewhere)
	}
	if v.Unread > 0 {
		fmt.Fprintf(w, "\n%d events were named by versions whose text is not kept\n", v.Unread)
	}
	return nil
}
