package main

import (
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/canonical"
)

func replayListCommand(o *options) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "Replays of many events, the newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a struct {
				Replays []canonical.ReplayJob `json:"replays"`
				Next    string                `json:"next"`
			}
			if err := cl.call(c.Context(), http.MethodGet, fmt.Sprintf("/v1/replays?limit=%d", limit), nil, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "replay\tkind\tstate\twho\tat\tevents\torders\treason")
			for _, j := range a.Replays {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", j.ID, j.Kind, j.State, j.Who, j.At.Format(time.RFC3339), j.Events, j.Orders, j.Reason)
			}
			return t.Flush()
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "how many")
	return c
}

func replayShowCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "show REPLAY_ID", Short: "How a replay goes and what it came to", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var j canonical.ReplayJob
			if err := cl.call(c.Context(), http.MethodGet, "/v1/replays/"+escaped(args[0]), nil, &j); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), j)
			}
			return printJob(c.OutOrStdout(), j)
		},
	}
}

func replayActCommand(o *options, verb, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " REPLAY_ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var body any
			if verb == "cancel" {
				body = map[string]string{"reason": reason}
			}
			var j canonical.ReplayJob
			if err := cl.call(c.Context(), http.MethodPost, "/v1/replays/"+escaped(args[0])+"/"+verb, body, &j); err != nil {
				return err
			}
			if j, err = follow(c, cl, j); err != nil {
				return err
			}
			return tell(c, o, []canonical.ReplayJob{j})
		},
	}
	if verb == "cancel" {
		c.Flags().StringVar(&reason, "reason", "", "why")
	}
	return c
}

func backfillCommand(o *options) *cobra.Command {
	var q selecting
	var reason string
	var preview bool
	c := &cobra.Command{
		Use: "backfill DESTINATION --since TIME", Short: "Give a destination the events of before it was there, within its vendor's age window", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := q.body(time.Now())
			if err != nil {
				return err
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			body["destinations"], body["reason"], body["run"], body["backfill"] = args, reason, !preview, true
			return makeJobs(c, o, cl, "/v1/replays", body, nil)
		},
	}
	q.flags(c)
	c.Flags().StringVar(&reason, "reason", "backfill", "why; kept with the replay")
	c.Flags().BoolVar(&preview, "preview", false, "say what it would come to, and ask nobody")
	c.MarkFlagRequired("since")
	return c
}
