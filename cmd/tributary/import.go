package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tributary/ingest"
)

func importCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "import", Short: "Bring in what happened elsewhere, from a file or from HubSpot"}
	c.AddCommand(importEventsCommand(o), importHubSpotCommand(o))
	return c
}

// An importing is one run of tributary import events.
type importing struct {
	file, format, columns, delimiter, source, state, rejected string
	again                                                     bool
	perSecond                                                 int
}

func importEventsCommand(o *options) *cobra.Command {
	var i importing
	c := &cobra.Command{
		Use: "events FILE", Short: "Send the events of an NDJSON or CSV file to the running router: docs/import.md",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			i.file = args[0]
			return i.run(c, o)
		},
	}
	c.Flags().StringVar(&i.format, "format", "", "ndjson or csv; left out, the file's name tells")
	c.Flags().StringVar(&i.columns, "columns", "", "YAML file that says what stands where in a CSV file")
	c.Flags().StringVar(&i.delimiter, "delimiter", ",", "what stands between the cells of a CSV file")
	c.Flags().StringVar(&i.source, "source", "", "configured source of events that name none")
	c.Flags().StringVar(&i.state, "state", "", "where to note how far it came (default: FILE.import)")
	c.Flags().StringVar(&i.rejected, "rejected", "", "file to which lines are added that were not taken")
	c.Flags().BoolVar(&i.again, "again", false, "begin at the first line, whatever was sent before")
	c.Flags().IntVar(&i.perSecond, "per-second", 0, "most lines a second; 0: as fast as the router takes them")
	return c
}

// atOnceImported is how many lines one request holds.
const atOnceImported = 500

func (i *importing) run(c *cobra.Command, o *options) error {
	f, err := os.Open(i.file)
	if err != nil {
		return wrong(err)
	}
	defer f.Close()
	if i.state == "" {
		i.state = i.file + ".import"
	}
	at := place{}
	if !i.again {
		if at, err = readPlace(i.state); err != nil {
			return wrong(err)
		}
	}
	if err := i.same(f, at); err != nil {
		return wrong(err)
	}
	lines, err := i.open(f, at)
	if err != nil {
		return wrong(err)
	}
	router, err := dial(o)
	if err != nil {
		return err
	}
	began, nameless := time.Now(), 0
	for sent, ended := 0, false; !ended; {
		var batch []line
		var broken error
		if batch, ended, broken = gatherLines(c.Context(), lines, atOnceImported); c.Context().Err() != nil {
			return i.stopped(c, at)
		}
		if len(batch) > 0 {
			faults, err := i.send(c.Context(), router, batch)
			if c.Context().Err() != nil {
				return i.stopped(c, at)
			}
			if err != nil {
				return fmt.Errorf("line %d: %w; what came before is kept, start it again to go on", batch[0].number, err)
			}
			nameless += withoutID(batch)
			if err := i.note(c.ErrOrStderr(), f, &at, batch, faults); err != nil {
				return err
			}
			sent += len(batch)
			if wait := time.Duration(sent) * time.Second / time.Duration(max(i.perSecond, 1)); i.perSecond > 0 {
				pause(c.Context(), time.Until(began.Add(wait)))
			}
		}
		if broken != nil {
			return wrong(broken)
		}
		if !o.json && len(batch) > 0 {
			fmt.Fprintf(c.ErrOrStderr(), "line %d: %d kept, %d not taken\n", at.Line, at.Kept, at.Not)
		}
	}
	if nameless > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "%d lines name no event_id: those that are no changes of CRM stages count again if they are sent again\n", nameless)
	}
	if o.json {
		err = printJSON(c.OutOrStdout(), at)
	} else {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d lines kept, %d not taken\n", i.file, at.Kept, at.Not)
	}
	if err == nil && at.Not > 0 {
		err = fmt.Errorf("%d lines were not taken", at.Not)
	}
	return err
}

// open gives the lines of a file from a place on.
func (i *importing) open(f *os.File, at place) (lineReader, error) {
	if i.format == "" {
		i.format = kindOfFile(i.file)
	}
	switch i.format {
	case "ndjson":
		if i.columns != "" {
			return nil, errors.New("--columns is for CSV files")
		}
		if _, err := f.Seek(at.Offset, io.SeekStart); err != nil {
			return nil, err
		}
		return &ndjsonReader{r: bufio.NewReaderSize(f, 64<<10), source: i.source, number: at.Line, at: at.Offset}, nil
	case "csv":
		delimiter, size := utf8.DecodeRuneInString(i.delimiter)
		if size == 0 || size != len(i.delimiter) || delimiter == '"' || delimiter == '\n' || delimiter == '\r' {
			return nil, errors.New(`--delimiter is one character, such as ";"`)
		}
		columns, err := readColumns(i.columns)
		if err != nil {
			return nil, err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return newCSV(f, delimiter, columns, i.source, at.Offset, at.Line)
	case "":
		return nil, errors.New("the file's name does not tell its format: say --format ndjson or --format csv")
	}
	return nil, fmt.Errorf("--format %s is none: it is ndjson or csv", i.format)
}

// same refuses to go on in a file that is not the one that was begun.
func (i *importing) same(f *os.File, at place) error {
	if at.Offset == 0 {
		return nil
	}
	start, err := startOf(f, at.Offset)
	if err != nil {
		return err
	}
	if start != at.Start {
		return fmt.Errorf("%s has changed before line %d, up to which it was imported: give what is new a file of its own, or begin with --again", i.file, at.Line)
	}
	return nil
}

// startOf hashes a file up to an offset, its first megabyte at most.
func startOf(f *os.File, offset int64) (string, error) {
	if info, err := f.Stat(); err != nil || info.Size() < offset {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, min(offset, 1<<20))); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// stopped says how far it came when somebody broke it off.
func (i *importing) stopped(c *cobra.Command, at place) error {
	return fmt.Errorf("broken off after line %d: %d kept, %d not taken; start it again to go on: %w", at.Line, at.Kept, at.Not, context.Cause(c.Context()))
}

// send sends a batch and gives why lines were not taken, by line number. A router that is busy
// is asked again until the context ends.
func (i *importing) send(ctx context.Context, router *client, batch []line) (map[int]string, error) {
	faults := map[int]string{}
	var bodies []json.RawMessage
	var of []int
	for _, l := range batch {
		if l.fault != "" {
			faults[l.number] = l.fault
			continue
		}
		bodies, of = append(bodies, l.body), append(of, l.number)
	}
	if len(bodies) == 0 {
		return faults, nil
	}
	text, err := json.Marshal(bodies)
	if err != nil {
		return nil, err
	}
	var a struct {
		Receipts []struct {
			ID    string    `json:"receipt_id"`
			Error *answered `json:"error"`
		} `json:"receipts"`
	}
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		var no *answered
		res, err := router.do(ctx, http.MethodPost, "/v1/events", bytes.NewReader(text))
		switch {
		case err == nil:
			err := json.NewDecoder(res.Body).Decode(&a)
			res.Body.Close()
			if err != nil {
				return nil, fmt.Errorf("read the router's answer: %w", err)
			}
			if len(a.Receipts) != len(bodies) {
				return nil, fmt.Errorf("the router answered for %d of %d lines", len(a.Receipts), len(bodies))
			}
			for n, r := range a.Receipts {
				if r.Error != nil {
					faults[of[n]] = r.Error.Error()
				}
			}
			return faults, nil
		case !errors.As(err, &no):
			return nil, err
		case no.Code == ingest.CodeNothing: // it says so of each when asked one by one
			return i.sendEach(ctx, router, batch, faults)
		case !passes(no.Code):
			return nil, err
		}
		if !pause(ctx, wait) {
			return nil, ctx.Err()
		}
	}
}

// passes says of a refusal that it is over by itself.
func passes(c ingest.Code) bool {
	return slices.Contains([]ingest.Code{ingest.CodeOverloaded, ingest.CodeRate, ingest.CodeSlow, ingest.CodeBusy, ingest.CodeLog, ingest.CodeLogFull}, c)
}

// sendEach sends the lines of a batch of which nothing was taken one by one, to learn why.
func (i *importing) sendEach(ctx context.Context, router *client, batch []line, faults map[int]string) (map[int]string, error) {
	for _, l := range batch {
		if l.fault != "" {
			continue
		}
		var no *answered
		res, err := router.do(ctx, http.MethodPost, "/v1/events", bytes.NewReader(l.body))
		switch {
		case err == nil:
			res.Body.Close()
		case errors.As(err, &no) && !passes(no.Code):
			faults[l.number] = no.Error()
		default:
			return nil, err
		}
	}
	return faults, nil
}

// note writes down how far it came and what was not taken.
func (i *importing) note(say io.Writer, f *os.File, at *place, batch []line, faults map[int]string) error {
	last := batch[len(batch)-1]
	at.File, at.Offset, at.Line = i.file, last.end, last.number
	at.Kept += len(batch) - len(faults)
	at.Not += len(faults)
	if err := i.reject(say, batch, faults); err != nil {
		return err
	}
	var err error
	if at.Start, err = startOf(f, at.Offset); err != nil {
		return err
	}
	return at.write(i.state)
}

func (i *importing) reject(say io.Writer, batch []line, faults map[int]string) (err error) {
	if len(faults) == 0 {
		return nil
	}
	var to io.Writer = io.Discard
	if i.rejected != "" {
		out, err := os.OpenFile(i.rejected, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer out.Close()
		to = out
	}
	for _, l := range batch {
		why, no := faults[l.number]
		if !no {
			continue
		}
		fmt.Fprintf(say, "line %d: %s\n", l.number, why)
		if _, err := to.Write(append(l.raw, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// withoutID counts lines that name no event.
func withoutID(batch []line) (n int) {
	for _, l := range batch {
		var named struct {
			ID json.RawMessage `json:"event_id"`
		}
		if l.body != nil && json.Unmarshal(l.body, &named) == nil && named.ID == nil {
			n++
		}
	}
	return n
}

// pause waits, and says whether it did to the end.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
