package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"tributary/canonical"
	"tributary/ingest"
	"tributary/internal/pipeline"
	"tributary/mappings"
	"tributary/mappings/cases"
)

// A mappingName says which mapping is meant: by its files, or one that is or was live.
type mappingName struct {
	Version string                  `json:"version,omitempty"` // live, or a version or its beginning
	Files   []canonical.MappingFile `json:"files,omitempty"`
}

// A diffRequest asks what changes from one mapping to another.
type diffRequest struct {
	Old     mappingName `json:"old"`
	New     mappingName `json:"new"`
	Since   time.Time   `json:"since"` // of received_at
	Until   time.Time   `json:"until,omitzero"`
	Samples *int        `json:"samples,omitempty"` // of each kind of change; 3
}

// A diffLine is one line of the answer, which is JSON, a line at a time: progress, and at the
// end the result or why there is none.
type diffLine struct {
	Progress *pipeline.DiffProgress  `json:"progress,omitempty"`
	Diff     *pipeline.MapDiffResult `json:"diff,omitempty"`
	Error    string                  `json:"error,omitempty"`
}

// mostSamples bounds the samples of one kind of change.
const mostSamples = 50

// answerDiff compares two mappings over recorded receipts. One comparison is made at a time: it
// takes all cores.
func (r *router) answerDiff(c *gin.Context) {
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(time.Hour))
	ask, problems, err := r.readDiff(c)
	if err != nil {
		r.refuse(c, err)
		return
	}
	if len(problems) > 0 {
		refuseMapping(c, problems)
		return
	}
	if !r.diffing.CompareAndSwap(false, true) {
		ingest.Refuse(c, ingest.CodeOverloaded, "another comparison of mappings is under way; try again when it is done")
		return
	}
	defer r.diffing.Store(false)
	c.Header("Content-Type", "application/x-ndjson")
	c.Status(http.StatusOK)
	out := json.NewEncoder(c.Writer)
	result, err := r.mapDiff().Run(c.Request.Context(), ask, func(p pipeline.DiffProgress) {
		_ = out.Encode(diffLine{Progress: &p})
		c.Writer.Flush()
	})
	if err != nil {
		if c.Request.Context().Err() == nil {
			r.logger.Error("request", "route", c.FullPath(), "error", err.Error())
		}
		_ = out.Encode(diffLine{Error: "the comparison broke off; the router's log says why"})
		return
	}
	if !reflect.DeepEqual(contactFields(ask.Old), contactFields(ask.New)) && r.writesContacts() {
		result.NotCompared = []string{contactNotCompared}
	}
	_ = out.Encode(diffLine{Diff: &result})
}

// mapDiff is the comparison with this process's log, graph and destinations.
func (r *router) mapDiff() *pipeline.MapDiff {
	d := &pipeline.MapDiff{
		Recorded: pipeline.Recorded{Log: r.log, Topics: r.topics, Index: r.index, Forgotten: r.replay.Forgotten, Archive: archive{r.warehouse, r.sealer}},
		Judge: pipeline.Judge{Settings: r.settings, People: r.view, Routes: func(m *mappings.Mapping, name string, e *canonical.Event) (canonical.Route, bool) {
			return m.RouteOf(name, r.cfg.Destinations[name].Kind, e)
		}},
		Show: shownFields,
	}
	for _, name := range sortedKeys(r.lanes) {
		d.Trials = append(d.Trials, r.lanes[name].Trial())
	}
	return d
}

func (r *router) readDiff(c *gin.Context) (pipeline.MapDiffAsk, []mappings.Problem, error) {
	var q diffRequest
	ask := pipeline.MapDiffAsk{Samples: 3}
	d := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, 64<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return ask, nil, &refusal{ingest.CodeMalformed, "the body cannot be read: " + err.Error()}
	}
	if q.Since.IsZero() {
		return ask, nil, missingField("since", "from when on receipts are compared")
	}
	if q.Samples != nil {
		if ask.Samples = *q.Samples; ask.Samples < 0 || ask.Samples > mostSamples {
			return ask, nil, &refusal{ingest.CodeSelection, fmt.Sprintf("samples: must be a number from 0 to %d", mostSamples)}
		}
	}
	ask.Since, ask.Until = q.Since.UTC(), q.Until.UTC()
	var problems []mappings.Problem
	for _, side := range []struct {
		field string
		name  mappingName
		into  **mappings.Mapping
	}{{"old", q.Old, &ask.Old}, {"new", q.New, &ask.New}} {
		m, wrong, err := r.namedMapping(c.Request.Context(), side.field, side.name)
		if err != nil {
			return ask, nil, err
		}
		*side.into = m
		problems = append(problems, slices.DeleteFunc(wrong, func(p mappings.Problem) bool { return p.Warning })...)
	}
	return ask, problems, nil
}

// namedMapping finds and compiles a mapping. One that was live is not held against today's
// configuration.
func (r *router) namedMapping(ctx context.Context, field string, n mappingName) (*mappings.Mapping, []mappings.Problem, error) {
	switch {
	case len(n.Files) > 0:
		files := make([]mappings.File, len(n.Files))
		for i, f := range n.Files {
			files[i] = mappings.File{Name: f.Name, Text: []byte(f.Text), Env: f.Env}
		}
		m, problems := compileMapping(r.cfg, files)
		return m, problems, nil
	case n.Version == "live":
		return r.mapping.Load(), nil, nil
	case n.Version == "":
		return nil, nil, missingField(field, `files, or a version: live, or one that was`)
	case n.Version == r.mapping.Load().Version():
		return r.mapping.Load(), nil, nil
	}
	kept, err := r.keptMapping(ctx, field, n.Version)
	if err != nil {
		return nil, nil, err
	}
	m, err := compileKept(*kept)
	if err != nil {
		return nil, nil, &refusal{ingest.CodeMapping, n.Version + " does not compile with this version of the program: " + err.Error()}
	}
	return m, nil, nil
}

// keptMapping finds the text of a mapping that was live, by its version or a beginning of it.
func (r *router) keptMapping(ctx context.Context, field, version string) (*canonical.LiveMapping, error) {
	if !strings.HasPrefix(version, "sha256:") {
		version = "sha256:" + version
	}
	found, sealed, err := r.warehouse.MappingFiles(ctx, version)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for mapping %s: %w", version, err)
	case len(found) == 0:
		return nil, &refusal{ingest.CodeSelection, fmt.Sprintf("%s: no mapping %s was live here; SELECT DISTINCT mapping_version FROM mapping_versions lists those that were", field, version)}
	case len(found) > 1:
		return nil, &refusal{ingest.CodeSelection, fmt.Sprintf("%s: %s may be any of %s", field, version, strings.Join(found, ", "))}
	}
	kept, err := r.openKept(sealed)
	if err == nil {
		kept.Version = found[0]
	}
	return kept, err
}

func mappingDiffCommand(o *options) *cobra.Command {
	var since, until string
	var samples int
	c := &cobra.Command{
		Use: "diff OLD NEW", Short: "Say what another mapping would have made of the traffic that was recorded", Args: cobra.ExactArgs(2),
		Long: `Run recorded receipts through two mappings and say, for each destination and event, what stays the same and
what does not: bodies, event ids, what would be sent and what no longer, and the money. Nothing is sent.
OLD and NEW are each a file, a folder, several files with commas between them, "live" for the mapping of the
running router, or the version of one that was live (sha256:…).`,
		RunE: func(c *cobra.Command, args []string) error {
			q := diffRequest{Samples: &samples}
			var err error
			if q.Old, err = mappingArgument(args[0]); err != nil {
				return err
			}
			if q.New, err = mappingArgument(args[1]); err != nil {
				return err
			}
			now := time.Now()
			if q.Since, err = timeArgument("--since", since, now); err != nil {
				return err
			}
			if until != "" {
				if q.Until, err = timeArgument("--until", until, now); err != nil {
					return err
				}
			}
			cl, err := dial(o)
			if err != nil {
				return err
			}
			result, err := cl.diff(c.Context(), q, progressTo(c.ErrOrStderr()))
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), result)
			}
			return printDiff(c.OutOrStdout(), result)
		},
	}
	c.Flags().StringVar(&since, "since", "7d", "receipts from then on: 2026-04-23, 2026-04-23T11:00:00Z, or so long ago: 30d, 12h")
	c.Flags().StringVar(&until, "until", "", "and before then")
	c.Flags().IntVar(&samples, "samples", 3, "of each kind of change, at most")
	return c
}

// mappingArgument reads what a word of the command line names.
func mappingArgument(word string) (mappingName, error) {
	if word == "live" {
		return mappingName{Version: word}, nil
	}
	if strings.HasPrefix(word, "sha256:") {
		return mappingName{Version: word}, nil
	}
	var paths []string
	for _, path := range strings.Split(word, ",") {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return mappingName{}, wrong(fmt.Errorf("%w (write a file, a folder, live, or a version such as sha256:0a1b2c3d4e5f)", err))
		case !info.IsDir():
			paths = append(paths, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.yaml"))
		if err != nil {
			return mappingName{}, wrong(err)
		}
		found = slices.DeleteFunc(found, func(f string) bool { return strings.HasSuffix(f, cases.Suffix) })
		if len(found) == 0 {
			return mappingName{}, wrong(fmt.Errorf("%s holds no mapping: no file ends in .yaml", path))
		}
		paths = append(paths, found...)
	}
	files, err := readMapping(paths)
	if err != nil {
		return mappingName{}, err
	}
	return sentFiles(files), nil
}

// sentFiles names a mapping by its files.
func sentFiles(files []mappings.File) (n mappingName) {
	for _, f := range files {
		n.Files = append(n.Files, canonical.MappingFile{Name: f.Name, Text: string(f.Text), Env: f.Env})
	}
	return n
}

func timeArgument(flag, text string, now time.Time) (time.Time, error) {
	t, err := moment(text, now)
	if err != nil {
		return t, wrong(fmt.Errorf("%s: %w", flag, err))
	}
	return t, nil
}

// progressTo writes a line now and then while a long comparison runs.
func progressTo(w io.Writer) func(pipeline.DiffProgress) {
	began, last := time.Now(), time.Time{}
	return func(p pipeline.DiffProgress) {
		if now := time.Now(); now.Sub(began) > 2*time.Second && now.Sub(last) > 2*time.Second {
			last = now
			fmt.Fprintf(w, "read %d of about %d receipts\n", p.Read, p.Total)
		}
	}
}

// diff asks for a comparison and follows it to its end.
func (cl *client) diff(ctx context.Context, q diffRequest, tell func(pipeline.DiffProgress)) (pipeline.MapDiffResult, error) {
	var none pipeline.MapDiffResult
	body, err := json.Marshal(q)
	if err != nil {
		return none, err
	}
	res, err := cl.do(ctx, http.MethodPost, "/v1/mapping/diff", bytes.NewReader(body))
	if err != nil {
		return none, mappingRefused(err, "the mapping has mistakes")
	}
	defer res.Body.Close()
	lines := bufio.NewReader(res.Body)
	for {
		b, err := lines.ReadBytes('\n')
		if err != nil {
			return none, fmt.Errorf("the router broke off: %w", err)
		}
		var l diffLine
		if err := json.Unmarshal(b, &l); err != nil {
			return none, fmt.Errorf("the router's answer cannot be read: %w", err)
		}
		switch {
		case l.Progress != nil:
			tell(*l.Progress)
		case l.Error != "":
			return none, errors.New(l.Error)
		case l.Diff != nil:
			return *l.Diff, nil
		}
	}
}

// printDiff writes a result for people: first what changes, then the money.
func printDiff(w io.Writer, d pipeline.MapDiffResult) error {
	fmt.Fprintf(w, "%s → %s, %d receipts since %s\n", d.Old, d.New, d.Receipts, canonical.FormatTime(d.Since.Truncate(time.Second)))
	if d.Guessed > 0 {
		fmt.Fprintf(w, "%d of them had come to no event: they are judged with what is known of their people today\n", d.Guessed)
	}
	if d.Gone > 0 {
		fmt.Fprintf(w, "%d more are too old to be kept\n", d.Gone)
	}
	for _, said := range d.NotCompared {
		fmt.Fprintln(w, said)
	}
	if d.Empty {
		_, err := fmt.Fprintln(w, "nothing changes")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\ndestination\tevent\tsame\tchanged body\tchanged id\tnewly sent\tno longer sent\tvalue before\tvalue after")
	for _, r := range d.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Destination, r.Event, r.Same, some(r.ChangedBody), some(r.ChangedID), some(r.Newly), some(r.NoLonger), moneyOf(r.ValueBefore), moneyOf(r.ValueAfter))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	t = tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, list := range []struct {
		title string
		rows  []pipeline.DiffName
	}{{"event", d.Names}, {"receipts that are", d.Fates}} {
		title := "\n" + list.title + "\tbefore\tafter\n"
		for _, n := range list.rows {
			if n.Before != n.After {
				fmt.Fprintf(t, "%s%s\t%d\t%d\n", title, n.Name, n.Before, n.After)
				title = ""
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, m := range d.Meanings {
		fmt.Fprintf(w, "\n%s stands for %s in reports, of the past too; before: %s\n", m.Name, m.After, m.Before)
	}
	for _, r := range d.Rows {
		printRow(w, r)
	}
	return nil
}

func printRow(w io.Writer, r pipeline.DiffRow) {
	if !r.Changed() {
		return
	}
	fmt.Fprintf(w, "\n%s, %s\n", r.Destination, r.Event)
	for _, why := range sortedKeys(r.Reasons) {
		fmt.Fprintf(w, "  %d: %s\n", r.Reasons[why], why)
	}
	for _, s := range r.Samples {
		id := string(cmp.Or(s.New, s.Old))
		if s.Old != "" && s.New != "" && s.Old != s.New {
			id = fmt.Sprintf("%s → %s", s.Old, s.New)
		}
		fmt.Fprintf(w, "  %s: %s, part %s, by %s\n", strings.ReplaceAll(s.Change, "_", " "), id, s.Part, cmp.Or(s.Rule, "no rule"))
		for _, f := range s.Fields {
			switch {
			case f.Old == "":
				fmt.Fprintf(w, "    + %s: %s\n", f.Path, f.New)
			case f.New == "":
				fmt.Fprintf(w, "    - %s: %s\n", f.Path, f.Old)
			default:
				fmt.Fprintf(w, "    %s: %s → %s\n", f.Path, f.Old, f.New)
			}
		}
	}
}

func some(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func moneyOf(m map[string]canonical.Money) string {
	var out []string
	for _, currency := range sortedKeys(m) {
		out = append(out, m[currency].String()+" "+currency)
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}
