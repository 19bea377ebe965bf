package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tributary/destinations"
	"tributary/destinations/catalog"
)

// contractCommand prints what vendors' APIs take, as data with its sources.
func contractCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "contract [KIND]", Short: "Print what a vendor's API takes: versions with their end dates, limits, rules, and where each stands", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			kinds := catalog.Kinds()
			if len(args) > 0 {
				var names []string
				var one []destinations.Kind
				for _, k := range kinds {
					names = append(names, k.Name)
					if k.Name == args[0] {
						one = append(one, k)
					}
				}
				if kinds = one; len(one) == 0 {
					return wrong(fmt.Errorf("there is no kind %q; there are %s%s", args[0], words(names), suggestion(args[0], names)))
				}
			}
			if o.json {
				return printJSON(c.OutOrStdout(), tables(kinds))
			}
			for i, k := range kinds {
				if i > 0 {
					fmt.Fprintln(c.OutOrStdout())
				}
				if err := printTable(c.OutOrStdout(), k, time.Now()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// A contractTable is a kind's table in JSON.
type contractTable struct {
	Kind     string            `json:"kind"`
	Vendor   string            `json:"vendor"`
	Versions []contractVersion `json:"versions"`
	Facts    []contractFact    `json:"facts"`
}

type contractVersion struct {
	Name   string `json:"name"`
	Ends   string `json:"ends,omitempty"` // a date; none: not known
	Source string `json:"source"`
}

type contractFact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Mark   string `json:"mark"` // doc, seen, assumed, open
	Source string `json:"source"`
}

func tables(kinds []destinations.Kind) []contractTable {
	out := make([]contractTable, len(kinds))
	for i, k := range kinds {
		t := contractTable{Kind: k.Name, Vendor: k.Table.Vendor, Versions: []contractVersion{}, Facts: []contractFact{}}
		for _, v := range k.Table.Versions {
			t.Versions = append(t.Versions, contractVersion{v.Name, day(v.Ends), v.Source})
		}
		for _, f := range k.Table.Facts {
			t.Facts = append(t.Facts, contractFact(f))
		}
		out[i] = t
	}
	return out
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// printTable writes a table for people.
func printTable(w io.Writer, k destinations.Kind, now time.Time) error {
	if _, err := fmt.Fprintf(w, "%s: %s\n", k.Name, k.Table.Vendor); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for _, v := range k.Table.Versions {
		ends := "no end date known"
		switch {
		case v.Ends.IsZero():
		case !now.Before(v.Ends):
			ends = "ended " + day(v.Ends)
		default:
			ends = "until " + day(v.Ends)
		}
		fmt.Fprintf(t, "  version %s\t%s\t%s\n", v.Name, ends, v.Source)
	}
	if err := t.Flush(); err != nil { // columns of their own
		return err
	}
	for _, f := range k.Table.Facts {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Name, f.Value, f.Mark, f.Source)
	}
	return t.Flush()
}

// endWarning is how long before the end of an API version somebody should know.
const endWarning = 60 * 24 * time.Hour

// versionStanding says at a time how a destination's API version stands: "" and nothing, a
// "warn" from 60 days before its end, an "error" after it; with what to do.
func versionStanding(c destinations.Contract, t destinations.Table, now time.Time) (mark, words string) {
	if c.VersionEnds.IsZero() {
		return "", ""
	}
	left := c.VersionEnds.Sub(now)
	next := laterVersion(t, c.VersionEnds)
	switch {
	case left <= 0:
		return "error", fmt.Sprintf("API version %s ended on %s: %s", c.APIVersion, day(c.VersionEnds), next)
	case left <= endWarning:
		return "warn", fmt.Sprintf("API version %s ends on %s, in %d days: %s", c.APIVersion, day(c.VersionEnds), int(left.Hours()/24), next)
	}
	return "", ""
}

// laterVersion says what to change to: the version that lasts longest.
func laterVersion(t destinations.Table, after time.Time) string {
	var best destinations.Version
	for _, v := range t.Versions {
		later := v.Ends.IsZero() || v.Ends.After(after)
		if longer := best.Name == "" || !best.Ends.IsZero() && (v.Ends.IsZero() || v.Ends.After(best.Ends)); later && longer {
			best = v
		}
	}
	switch {
	case best.Name == "":
		return "this router knows no later one; look for a newer router"
	case best.Ends.IsZero():
		return "set a later one in its settings: " + best.Name
	}
	return "set a later one in its settings: " + best.Name + " (until " + day(best.Ends) + ")"
}

// announceVersions says at the start which API versions end soon or did, and shows all
// as a metric.
func (r *router) announceVersions(now time.Time) {
	for name, l := range r.lanes {
		c := l.Destination.Contract()
		if c.VersionEnds.IsZero() {
			continue
		}
		r.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tributary_api_version_ends_seconds", Help: "Seconds until the API version that a destination uses ends; negative after it.",
			ConstLabels: prometheus.Labels{"destination": name, "version": c.APIVersion},
		}, func() float64 { return time.Until(c.VersionEnds).Seconds() }))
		mark, words := versionStanding(c, r.credentials.kinds[r.cfg.Destinations[name].Kind].Table, now)
		switch mark {
		case "warn":
			r.logger.Warn("API version ends soon", "destination", name, "detail", words)
		case "error":
			r.logger.Error("API version has ended", "destination", name, "detail", words)
		}
	}
}

// openCredentials finds what requests are authorised with.
func (r *router) openCredentials(context.Context) error {
	key, err := dataKey(r.cfg)
	if err != nil {
		return err
	}
	if r.credentials, err = newCredentials(r.cfg, key, r.logger); err != nil {
		return err
	}
	r.watch, err = openCredentialWatch(r.cfg.DataDir)
	return err
}
