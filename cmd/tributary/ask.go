package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/pipeline"
	"tributary/internal/warehouse"
)

// The commands in this file ask the running process.

func receiptCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "receipt", Short: "Where a receipt is now"}
	show := &cobra.Command{
		Use: "show RECEIPT_ID", Short: "Fate, rule, event and state per destination", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return show(c, o, "/v1/receipts/"+escaped(args[0])) },
	}
	rerun := &cobra.Command{
		Use: "rerun RECEIPT_ID", Short: "Run a quarantined receipt again, after its cause was mended", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			return cl.call(c.Context(), http.MethodPost, "/v1/receipts/"+escaped(args[0])+"/rerun", nil, nil)
		},
	}
	c.AddCommand(show, rerun)
	return c
}

func eventCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "event", Short: "Where an event is now"}
	c.AddCommand(&cobra.Command{
		Use: "show EVENT_ID", Short: "Person, account, rule and state per destination", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return show(c, o, "/v1/events/"+escaped(args[0])) },
	})
	return c
}

func show(c *cobra.Command, o *options, path string) error {
	cl, err := dial(o)
	if err != nil {
		return err
	}
	var v any
	if err := cl.call(c.Context(), http.MethodGet, path, nil, &v); err != nil {
		return err
	}
	return printJSON(c.OutOrStdout(), v)
}

func destinationsCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "destinations", Short: "List destinations, pause, resume, give one up"}
	list := &cobra.Command{
		Use: "list", Short: "Kind, mode, standing, and what is not as it should be", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a struct {
				Destinations []struct {
					Destination string   `json:"destination"`
					Kind        string   `json:"kind"`
					Mode        string   `json:"mode"`
					Standing    string   `json:"standing"`
					Why         string   `json:"why"`
					Since       string   `json:"since,omitempty"`
					Trouble     []string `json:"trouble"`
					Waiting     *struct {
						Limit string    `json:"limit"`
						Until time.Time `json:"until"`
					} `json:"waiting,omitempty"`
					Findings []struct {
						Subject string `json:"subject"`
						Problem string `json:"problem"`
						Blocks  bool   `json:"blocks"`
					} `json:"findings"`
				} `json:"destinations"`
			}
			if err := cl.call(c.Context(), http.MethodGet, "/v1/destinations", nil, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "destination\tkind\tmode\tstanding\twhy")
			for _, d := range a.Destinations {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.Destination, d.Kind, d.Mode, d.Standing, cmp.Or(strings.Join(d.Trouble, "; "), d.Why))
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, d := range a.Destinations {
				if d.Waiting != nil {
					fmt.Fprintf(c.OutOrStdout(), "%s: the account's limit %q is used up until %s\n", d.Destination, d.Waiting.Limit, d.Waiting.Until.Format(time.RFC3339))
				}
				for _, f := range d.Findings {
					what := "to be looked at"
					if f.Blocks {
						what = "blocks deliveries"
					}
					fmt.Fprintf(c.OutOrStdout(), "%s: %s: %s (%s)\n", d.Destination, f.Subject, f.Problem, what)
				}
			}
			return nil
		},
	}
	act := func(verb, short string) *cobra.Command {
		var why string
		act := &cobra.Command{
			Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				cl, err := dial(o)
				if err != nil {
					return err
				}
				return cl.call(c.Context(), http.MethodPost, "/v1/destinations/"+escaped(args[0])+"/"+verb, map[string]string{"reason": why}, nil)
			},
		}
		act.Flags().StringVar(&why, "reason", "", "why, for whoever looks later")
		return act
	}
	c.AddCommand(list,
		act("pause", "Keep a destination from reading and sending; its backlog is kept until it is resumed"),
		act("resume", "Let a destination that was paused, halted or disabled go on"),
		act("disable", "Give a destination up until it is resumed: what comes for it is suppressed"),
		setupCommand(o), contractCommand(o))
	return c
}

func reportCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "report", Short: "What was accepted and what became of it"}
	c.AddCommand(&cobra.Command{
		Use: "lag", Short: "What every stage has still to read", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a struct {
				Lag []pipeline.Lag `json:"lag"`
			}
			if err := cl.call(c.Context(), http.MethodGet, "/v1/lag", nil, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "group\ttopic\trecords")
			for _, l := range a.Lag {
				fmt.Fprintf(t, "%s\t%s\t%d\n", l.Group, l.Topic, l.Records)
			}
			return t.Flush()
		},
	})
	c.AddCommand(&cobra.Command{
		Use: "balances", Short: "Both balances, from the log and from the warehouse; exit 3 when something is lost", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var b bookkeeping
			if err := cl.call(c.Context(), http.MethodGet, "/v1/balances", nil, &b); err != nil {
				return err
			}
			if o.json {
				err = printJSON(c.OutOrStdout(), b)
			} else {
				err = printBooks(c.OutOrStdout(), b)
			}
			if err == nil && !b.Balanced {
				return &codedError{3, errors.New("the books do not balance")}
			}
			return err
		},
	})
	c.AddCommand(reconcileCommand(o), matchCommand(o))
	return c
}

// printBooks writes both balances as tables.
func printBooks(w io.Writer, b bookkeeping) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "source\taccepted\tevent\tobservation\tfacts only\tcompleted\tquarantined\terased\twaiting\tlost\t")
	for _, r := range b.Receipts {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Source, r.Accepted, r.Event, r.Observation, r.FactsOnly, r.Completed, r.Quarantined, r.Erased, r.Waiting, r.Lost)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "destination\tevents\tdelivered\tdead\tsuppressed\tparked\tpending\tlost\t")
	for _, r := range b.Deliveries {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", r.Destination, r.Events, r.Delivered, r.Dead, total(r.Suppressed), total(r.Parked), r.Pending, r.Lost)
	}
	return t.Flush()
}

func total(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func sqlCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "sql STATEMENT", Short: "Ask the warehouse; docs/sql.md lists its views", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var result warehouse.Result
			if err := cl.call(c.Context(), http.MethodPost, "/v1/sql", map[string]any{"sql": args[0]}, &result); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), result)
			}
			return printRows(c.OutOrStdout(), result)
		},
	}
}

// printRows writes an answer as a table.
func printRows(w io.Writer, result warehouse.Result) error {
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for i, col := range result.Columns {
		if i > 0 {
			fmt.Fprint(t, "\t")
		}
		fmt.Fprint(t, col.Name)
	}
	fmt.Fprintln(t)
	for _, row := range result.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cell(v)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if result.Cut {
		fmt.Fprintln(w, "(more rows follow; add a LIMIT or a WHERE)")
	}
	return nil
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(string(b), `"`)
}
