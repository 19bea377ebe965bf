package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/pipeline"
)

// A listing holds the flags that choose entries of a list.
type listing struct {
	to, reasons, events []string
	since, until        string
	held                bool
}

func (q *listing) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&q.to, "destination", nil, "destinations (default: all)")
	c.Flags().StringSliceVar(&q.reasons, "for", nil, "what they died or are held for, such as refused")
	c.Flags().StringSliceVar(&q.events, "event", nil, "canonical names")
	c.Flags().StringVar(&q.since, "since", "", "those that came onto the list from then on: a time, a date, or so long ago: 30d, 12h")
	c.Flags().StringVar(&q.until, "until", "", "and before then")
	c.Flags().BoolVar(&q.held, "held", false, "what is held instead: ambiguous attempts, and events that lack something")
}

func (q *listing) list() string {
	if q.held {
		return "held"
	}
	return "dead"
}

// times reads --since and --until.
func (q *listing) times(now time.Time) (map[string]time.Time, error) {
	out := map[string]time.Time{}
	for name, text := range map[string]string{"since": q.since, "until": q.until} {
		if text == "" {
			continue
		}
		t, err := moment(text, now)
		if err != nil {
			return nil, wrong(fmt.Errorf("--%s: %w", name, err))
		}
		out[name] = t
	}
	return out, nil
}

// query gives the choice as the list takes it.
func (q *listing) query(ids []string) (url.Values, error) {
	times, err := q.times(time.Now())
	v := url.Values{"list": {q.list()}, "destination": q.to, "reason": q.reasons, "event": q.events, "event_id": ids}
	for name, t := range times {
		v.Set(name, t.Format(time.RFC3339Nano))
	}
	return v, err
}

// body gives it as retry and discard take it.
func (q *listing) body(ids []string, reason string) (map[string]any, error) {
	times, err := q.times(time.Now())
	b := map[string]any{"list": q.list(), "destinations": q.to, "reason": reason}
	for name, t := range times {
		b[name] = t
	}
	for name, list := range map[string][]string{"reasons": q.reasons, "events": q.events, "ids": ids} {
		if len(list) > 0 {
			b[name] = list
		}
	}
	return b, err
}

// given is true where a flag chooses some of the list.
func (q *listing) given() bool {
	return q.since != "" || q.until != "" || len(q.to)+len(q.reasons)+len(q.events) > 0
}

func deadlettersCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "deadletters", Short: "What could not be delivered, or is held, and waits for a person"}
	c.AddCommand(lettersListCommand(o), lettersShowCommand(o), lettersRetryCommand(o), lettersDiscardCommand(o))
	return c
}

func lettersListCommand(o *options) *cobra.Command {
	var q listing
	var limit int
	var after string
	c := &cobra.Command{
		Use: "list", Short: "List them, the oldest first, with their number by reason", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := dial(o)
			if err != nil {
				return err
			}
			v, err := q.query(nil)
			if err != nil {
				return err
			}
			v.Set("limit", fmt.Sprint(limit))
			if after != "" {
				v.Set("after", after)
			}
			var a pipeline.Letters
			if err := cl.call(c.Context(), http.MethodGet, "/v1/deadletters?"+v.Encode(), nil, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "destination\tevent\tevent id\tpart\tat\treason\tdetail")
			for _, l := range a.Items {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Destination, l.Event.Name, l.Event.ID, l.Part, l.At.Format(time.RFC3339), l.Reason, l.Detail)
			}
			if err := t.Flush(); err != nil {
				return err
			}
			for _, d := range sortedKeys(a.Counts) {
				for _, reason := range sortedKeys(a.Counts[d]) {
					fmt.Fprintf(c.OutOrStdout(), "%s: %d %s\n", d, a.Counts[d][reason], reason)
				}
			}
			if a.Next != "" {
				fmt.Fprintf(c.OutOrStdout(), "(more follow: --after %s)\n", a.Next)
			}
			return nil
		},
	}
	q.flags(c)
	c.Flags().IntVar(&limit, "limit", 50, "how many")
	c.Flags().StringVar(&after, "after", "", "go on behind an earlier page")
	return c
}

func lettersShowCommand(o *options) *cobra.Command {
	var name, part string
	var body bool
	c := &cobra.Command{
		Use: "show DESTINATION EVENT_ID", Short: "Its state there, the vendor's words and every attempt", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			v := url.Values{}
			if name != "" {
				v.Set("name", name)
			}
			if part != "" {
				v.Set("part", part)
			}
			path := "/v1/deadletters/" + escaped(args[0]) + "/" + escaped(args[1])
			if body {
				path += "/body"
			}
			if o.json || body {
				return show(c, o, path+"?"+v.Encode())
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			var a pipeline.LetterHistory
			if err := cl.call(c.Context(), http.MethodGet, path+"?"+v.Encode(), nil, &a); err != nil {
				return err
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
			fmt.Fprintln(t, "at\tevent\tpart\tstate\tattempt\tstatus\treason\tdetail\twho")
			rows := a.History
			if len(rows) == 0 {
				rows = a.Letters
			}
			for _, l := range rows {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", l.At.Format(time.RFC3339), l.Event.Name, l.Part, l.State, l.Attempt, l.HTTPStatus, l.Reason, l.Detail, l.Who)
			}
			if a.Note != "" {
				fmt.Fprintln(t, a.Note)
			}
			return t.Flush()
		},
	}
	c.Flags().StringVar(&name, "name", "", "the canonical name, where one id stands for several events")
	c.Flags().StringVar(&part, "part", "", "one part (default: all)")
	c.Flags().BoolVar(&body, "body", false, "also what was built (it holds personal data)")
	return c
}

func lettersRetryCommand(o *options) *cobra.Command {
	var q listing
	var reason string
	var preview, force, all bool
	c := &cobra.Command{
		Use: "retry [EVENT_ID…]", Short: "Have them tried again, under their own ids", Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !q.given() && !all {
				return wrong(errors.New("name events, choose some (--destination, --for, --event, --since), or say --all"))
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			body, err := q.body(nil, reason)
			if err != nil {
				return err
			}
			body["run"], body["force"] = !preview, force
			return makeJobs(c, o, cl, "/v1/deadletters/retry", body, args)
		},
	}
	q.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the replay")
	c.Flags().BoolVar(&preview, "preview", false, "say what it would come to, and ask nobody")
	c.Flags().BoolVar(&force, "force", false, "also where another event holds the slot")
	c.Flags().BoolVar(&all, "all", false, "the whole list")
	c.MarkFlagRequired("reason")
	return c
}

func lettersDiscardCommand(o *options) *cobra.Command {
	var q listing
	var reason, part string
	var expect int
	c := &cobra.Command{
		Use: "discard [EVENT_ID…]", Short: "Give them up: they become suppressed as discarded", Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !c.Flags().Changed("expect") {
				return wrong(errors.New("say how many you saw: --expect N, so that no more are given up"))
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			body, err := q.body(args, reason)
			if err != nil {
				return err
			}
			if c.Flags().Changed("part") {
				body["part"] = part
			}
			if !c.Flags().Changed("expect") {
				if expect, err = seen(c, cl, q, args, part); err != nil {
					return err
				}
			}
			body["expect"] = expect
			var a struct {
				Discarded int `json:"discarded"`
			}
			if err := cl.call(c.Context(), http.MethodPost, "/v1/deadletters/discard", body, &a); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), a)
			}
			fmt.Fprintf(c.OutOrStdout(), "%d discarded\n", a.Discarded)
			return nil
		},
	}
	q.flags(c)
	c.Flags().StringVar(&reason, "reason", "", "why; kept with what is discarded")
	c.Flags().StringVar(&part, "part", "", "one part (default: all on the list)")
	c.Flags().IntVar(&expect, "expect", 0, "how many you saw; with others nothing is done")
	c.MarkFlagRequired("reason")
	return c
}

// seen counts the entries of events that were named.
func seen(c *cobra.Command, cl *client, q listing, ids []string, part string) (int, error) {
	v, err := q.query(ids)
	if err != nil {
		return 0, err
	}
	v.Set("limit", "1000")
	var a pipeline.Letters
	if err := cl.call(c.Context(), http.MethodGet, "/v1/deadletters?"+v.Encode(), nil, &a); err != nil {
		return 0, err
	}
	n := 0
	for _, l := range a.Items {
		if !c.Flags().Changed("part") || l.Part == part {
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("nothing of %s stands on the list (tributary deadletters list; --held for what is held)", strings.Join(ids, ", "))
	}
	return n, nil
}
