package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/pipeline"
)

// A selecting holds the flags that say which events a replay means.
type selecting struct {
	file, since, until string
	received           bool
	events, sources    []string
	states             []string
}

func (q *selecting) flags(c *cobra.Command) {
	c.Flags().StringVar(&q.since, "since", "", "events that happened from then on: 2026-04-23, 2026-04-23T11:00:00Z, or so long ago: 30d, 12h")
	c.Flags().StringVar(&q.until, "until", "", "and before then")
	c.Flags().BoolVar(&q.received, "received", false, "--since and --until are about when they were received")
	c.Flags().StringSliceVar(&q.events, "event", nil, "canonical names")
	c.Flags().StringSliceVar(&q.sources, "source", nil, "sources")
}

// given is true where a flag chooses events.
func (q *selecting) given() bool {
	return q.file != "" || q.since != "" || q.until != "" || q.received || len(q.events)+len(q.sources)+len(q.states) > 0
}

// body gives the selection as the API takes it.
func (q *selecting) body(now time.Time) (map[string]any, error) {
	b := map[string]any{}
	for name, text := range map[string]string{"since": q.since, "until": q.until} {
		if text != "" {
			t, err := moment(text, now)
			if err != nil {
				return nil, wrong(fmt.Errorf("--%s: %w", name, err))
			}
			b[name] = t
		}
	}
	if q.received {
		b["by"] = "received_at"
	}
	for name, list := range map[string][]string{"events": q.events, "sources": q.sources, "states": q.states} {
		if len(list) > 0 {
			b[name] = list
		}
	}
	return b, nil
}

var ago = regexp.MustCompile(`^(\d+)d$`)

// moment reads a time, a date, or how long ago.
func moment(text string, now time.Time) (time.Time, error) {
	if m := ago.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		return now.UTC().AddDate(0, 0, -n), err
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.UTC().Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-04-23, 2026-04-23T11:00:00Z, or how long ago: 30d, 12h", text)
}

func replayCommand(o *options) *cobra.Command {
	var q selecting
	var to []string
	var reason string
	var preview, force, bodies bool
	c := &cobra.Command{
		Use: "replay [EVENT_ID…]", Short: "Ask destinations to take events again, under their own ids",
		Long: `Ask destinations to take events again, under the ids they have: by id, from a file of ids, or by filter.
What was delivered is not sent again unless forced. More than one event is previewed first and then run as a job;
--preview stops there. docs/replay.md says what the classes of a preview mean.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !q.given() {
				return wrong(errors.New("name events: EVENT_ID…, --file, or a filter such as --since 30d"))
			}
			if reason == "" && !preview {
				return wrong(errors.New(`required flag(s) "reason" not set: say why; it is kept with the replay`))
			}
			if bodies && (!preview || len(args) != 1 || q.given()) {
				return wrong(errors.New("--bodies goes with --preview of one EVENT_ID"))
			}
			body, err := q.body(time.Now())
			if err != nil {
				return err
			}
			ids, err := q.ids(args)
			if err != nil {
				return err
			}
			if len(ids) > 0 && (q.since != "" || q.until != "" || q.received || len(q.sources)+len(q.states) > 0) {
				return wrong(errors.New("ids and a filter do not go together, but for --event"))
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			if len(args) == 1 && !q.given() {
				if preview {
					return previewOne(c, o, cl, map[string]any{"event_id": args[0], "destinations": to, "force": force}, bodies)
				}
				return replayOne(c, o, cl, map[string]any{"event_id": args[0], "destinations": to, "reason": reason, "force": force})
			}
			if reason == "" {
				reason = "preview"
			}
			body["destinations"], body["reason"], body["force"], body["run"] = to, reason, force, !preview
			return makeJobs(c, o, cl, "/v1/replays", body, ids)
		},
	}
	q.flags(c)
	c.Flags().StringVar(&q.file, "file", "", "file of event ids, one a line (- is standard input)")
	c.Flags().StringSliceVar(&q.states, "state", nil, "what they are at the destination: dead, parked, suppressed, delivered, each also :reason, or none")
	c.Flags().StringSliceVar(&to, "to", nil, "destinations (default: all)")
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the replay")
	c.Flags().BoolVar(&force, "force", false, "send also where it was delivered")
	c.Flags().BoolVar(&preview, "preview", false, "say what it would come to, and ask nobody")
	c.Flags().BoolVar(&bodies, "bodies", false, "with --preview of one event: the bodies that would be sent (they hold personal data)")
	c.AddCommand(replayListCommand(o), replayShowCommand(o), replayActCommand(o, "run", "Run a replay that was previewed"), replayActCommand(o, "cancel", "End a replay; what was given to the lanes is decided on all the same"))
	return c
}

// ids gives the events named on the line and in the file.
func (q *selecting) ids(args []string) ([]string, error) {
	ids := slices.Clone(args)
	if q.file == "" {
		return ids, nil
	}
	in := io.Reader(os.Stdin)
	if q.file != "-" {
		f, err := os.Open(q.file)
		if err != nil {
			return nil, wrong(err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if id := strings.TrimSpace(lines.Text()); id != "" {
			ids = append(ids, id)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, wrong(fmt.Errorf("%s: %w", q.file, err))
	}
	if len(ids) == 0 {
		return nil, wrong(fmt.Errorf("%s holds no event id", q.file))
	}
	return ids, nil
}

// chunks cuts ids into what one job takes.
func chunks(ids []string) [][]string {
	if len(ids) == 0 {
		return [][]string{nil}
	}
	var out [][]string
	bytes, from := 0, 0
	for i, id := range ids {
		if i-from == pipeline.MostIDs || i > from && bytes+len(id) > pipeline.MostIDBytes {
			out, from, bytes = append(out, ids[from:i]), i, 0
		}
		bytes += len(id)
	}
	return append(out, ids[from:])
}

// makeJobs asks for as many jobs as the ids need, and follows them one after the other.
func makeJobs(c *cobra.Command, o *options, cl *client, path string, body map[string]any, ids []string) error {
	var jobs []canonical.ReplayJob
	for _, chunk := range chunks(ids) {
		if chunk != nil {
			body["ids"] = chunk
		}
		var j canonical.ReplayJob
		if err := cl.call(c.Context(), http.MethodPost, path, body, &j); err != nil {
			return err
		}
		fmt.Fprintf(c.ErrOrStderr(), "replay %s\n", j.ID)
		jobs = append(jobs, j)
	}
	for i := range jobs {
		var err error
		if jobs[i], err = follow(c, cl, jobs[i]); err != nil {
			return err
		}
	}
	return tell(c, o, jobs)
}

// tell prints jobs; one that failed is an error.
func tell(c *cobra.Command, o *options, jobs []canonical.ReplayJob) error {
	if o.json {
		var v any = jobs
		if len(jobs) == 1 {
			v = jobs[0]
		}
		if err := printJSON(c.OutOrStdout(), v); err != nil {
			return err
		}
	}
	for _, j := range jobs {
		if !o.json {
			if err := printJob(c.OutOrStdout(), j); err != nil {
				return err
			}
		}
		if j.State == canonical.JobFailed {
			return fmt.Errorf("replay %s failed: %s", j.ID, j.Note)
		}
	}
	return nil
}

// follow shows how a job goes until it is over or waits for somebody. Interrupted, it
// leaves the job as it is.
func follow(c *cobra.Command, cl *client, j canonical.ReplayJob) (canonical.ReplayJob, error) {
	shown := ""
	for !j.State.Over() && j.State != canonical.JobPreviewed {
		select {
		case <-c.Context().Done():
			fmt.Fprintf(c.ErrOrStderr(), "it goes on without this command: tributary replay show %s, tributary replay cancel %s\n", j.ID, j.ID)
			return j, c.Context().Err()
		case <-time.After(300 * time.Millisecond):
		}
		if err := cl.call(c.Context(), http.MethodGet, "/v1/replays/"+escaped(j.ID), nil, &j); err != nil && !errors.Is(err, context.Canceled) {
			return j, err
		}
		if line := progress(j); line != shown {
			shown = line
			fmt.Fprintln(c.ErrOrStderr(), line)
		}
	}
	return j, nil
}

func progress(j canonical.ReplayJob) string {
	return strings.TrimSpace(fmt.Sprintf("%s: %d events, %d orders %s", j.State, j.Events, j.Orders, j.Note))
}

// printJob writes what a job came to.
func printJob(w io.Writer, j canonical.ReplayJob) error {
	fmt.Fprintf(w, "%s %s %s by %s at %s: %s\n", j.ID, j.Kind, j.State, j.Who, j.At.Format(time.RFC3339), j.Reason)
	fmt.Fprintf(w, "%d events, %d orders", j.Events, j.Orders)
	if j.Missing > 0 {
		fmt.Fprintf(w, ", %d are nowhere any more or not resolved yet", j.Missing)
	}
	if j.Note != "" {
		fmt.Fprintf(w, "; %s", j.Note)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', 0)
	for _, d := range j.Destinations {
		f, a := j.Foreseen[d], j.Asked[d]
		fmt.Fprintf(t, "%s\tforeseen\tasked\n", d)
		classes := sortedKeys(f.Classes)
		for class := range a.Classes {
			if !slices.Contains(classes, class) {
				classes = append(classes, class)
			}
		}
		for _, class := range classes {
			fmt.Fprintf(t, "  %s\t%d\t%d\n", class, f.Classes[class], a.Classes[class])
			for _, r := range sortedKeys(f.Reasons) {
				if of, reason, _ := strings.Cut(r, " "); of == class {
					fmt.Fprintf(t, "    %s\t%d\t%d\n", reason, f.Reasons[r], a.Reasons[r])
				}
			}
		}
		for _, currency := range sortedKeys(f.Values) {
			fmt.Fprintf(t, "  value\t%v %s\t%v %s\n", f.Values[currency], currency, a.Values[currency], currency)
		}
		for _, state := range sortedKeys(j.Outcome[d]) {
			fmt.Fprintf(t, "  now %s\t\t%d\n", state, j.Outcome[d][state])
		}
	}
	return t.Flush()
}

func replayOne(c *cobra.Command, o *options, cl *client, body map[string]any) error {
	var a ingest.ReplayAnswer
	if err := cl.call(c.Context(), http.MethodPost, "/v1/replay", body, &a); err != nil {
		return err
	}
	if o.json {
		return printJSON(c.OutOrStdout(), a)
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: %d destinations asked", a.CanonicalEvent, a.Replayed)
	if a.Deduplicated {
		fmt.Fprint(c.OutOrStdout(), "; all of them had it already")
	}
	fmt.Fprintln(c.OutOrStdout())
	for _, name := range sortedKeys(a.Reasons) {
		fmt.Fprintf(c.OutOrStdout(), "  %s was not asked: %s\n", name, a.Reasons[name])
	}
	return nil
}

func previewOne(c *cobra.Command, o *options, cl *client, body map[string]any, bodies bool) error {
	path := "/v1/replay/preview"
	if bodies {
		path = "/v1/replay/bodies"
	}
	var a struct {
		Preview []pipeline.Prospect `json:"preview"`
	}
	if err := cl.call(c.Context(), http.MethodPost, path, body, &a); err != nil {
		return err
	}
	if o.json || bodies {
		return printJSON(c.OutOrStdout(), a)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 2, 4, 2, ' ', 0)
	fmt.Fprintln(t, "destination\tevent\tpart\tclass\treason\tnow\tvalue")
	for _, p := range a.Preview {
		for _, f := range p.Parts {
			value := ""
			if f.Value != nil {
				value = fmt.Sprint(f.Value, " ", f.Currency)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Destination, p.Event.Name, f.Part, f.Class, strings.TrimSpace(f.Reason+" "+f.Detail),
				strings.TrimSpace(string(f.Was)+" "+f.WasReason), value)
		}
	}
	return t.Flush()
}
