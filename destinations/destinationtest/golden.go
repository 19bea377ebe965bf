package destinationtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"os"

	"github.com/rogpeppe/go-internal/txtar"

	"tributary/canonical"
	"tributary/destinations"
)

var update = flag.Bool("update", false, "write what came out into the golden files")

// Golden runs every testdata/*.txtar: one case to a file, a sentence on top. What goes in:
//
//	config.yaml   the section (else the suite's)
//	mode          "test" for the vendor's test facility
//	events.json   [{"event": …, "known": …, "route": …}]
//	batch         "2 deals timeline" instead: samples, and the part to answer (else the first)
//	answer        HTTP <status>, headers, an empty line, the body
//
// What comes out, as far as the file asks for it: problems, plan, request, outcomes.
func (s Suite) Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { s.golden(t, file) })
	}
}

func (s Suite) golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(a.Comment)) == 0 {
		t.Error("no sentence on top")
	}
	c := goldenCase{suite: s, archive: a, out: map[string]string{}}
	c.run(t)
	for i, f := range a.Files {
		got, ok := c.out[f.Name]
		if !ok {
			if slices.Contains([]string{"problems", "plan", "request", "outcomes"}, f.Name) {
				t.Errorf("nothing came out for %s", f.Name)
			}
			continue
		}
		if got == string(f.Data) {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
			continue
		}
		t.Errorf("%s:\n--- got ---\n%s--- want ---\n%s", f.Name, got, f.Data)
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type goldenCase struct {
	suite   Suite
	archive *txtar.Archive
	out     map[string]string
}

func (c goldenCase) file(name string) (string, bool) {
	for _, f := range c.archive.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

func (c goldenCase) run(t *testing.T) {
	config, ok := c.file("config.yaml")
	if !ok {
		config = c.suite.Config
	}
	d, problems := c.suite.Kind.New(Section(t, config))
	var lines strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&lines, "%d:%d: %s\n", p.Line, p.Column, p.Message)
	}
	c.out["problems"] = lines.String()
	if len(problems) > 0 {
		if _, expected := c.file("problems"); !expected {
			t.Fatalf("configuration:\n%s", lines.String())
		}
		return
	}
	if mode, _ := c.file("mode"); strings.TrimSpace(mode) == "test" {
		d = c.suite.Kind.TestMode(d)
	}
	var batches [][]destinations.Item
	if text, ok := c.file("events.json"); ok {
		batches = c.plan(t, d, text)
	} else if text, ok := c.file("batch"); ok {
		batches = [][]destinations.Item{c.samples(t, d, text)}
	}
	var requests strings.Builder
	for _, b := range batches {
		q, err := d.Build(b)
		if err != nil {
			fmt.Fprintf(&requests, "cannot be built: %v\n", err)
			continue
		}
		c.suite.check(t, q, len(b))
		writeRequest(&requests, q)
	}
	c.out["request"] = requests.String()
	if text, ok := c.file("answer"); ok {
		c.classify(t, d, batches[0], text)
	}
}

// plan plans the events of a file and notes what each becomes.
func (c goldenCase) plan(t *testing.T, d destinations.Destination, text string) [][]destinations.Item {
	var inputs []struct {
		Event canonical.Event
		Known canonical.Known
		Route canonical.Route
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&inputs); err != nil {
		t.Fatalf("events.json: %v", err)
	}
	var lines strings.Builder
	var order []string
	groups := map[string][]destinations.Item{}
	for _, in := range inputs {
		parts, refusal := d.Plan(in.Event, in.Known, in.Route)
		for _, p := range parts {
			fmt.Fprintf(&lines, "%s: %s\n", in.Event.ID, describe(p))
			if p.Refused.Reason != "" {
				continue
			}
			if groups[p.Batch] == nil {
				order = append(order, p.Batch)
			}
			groups[p.Batch] = append(groups[p.Batch], destinations.Item{Event: in.Event, Known: in.Known, Part: p})
		}
		switch {
		case refusal.Reason != "":
			fmt.Fprintf(&lines, "%s: refused, %s: %s\n", in.Event.ID, refusal.Reason, refusal.Detail)
		case refusal.Detail != "":
			fmt.Fprintf(&lines, "%s: warning: %s\n", in.Event.ID, refusal.Detail)
		}
	}
	c.out["plan"] = lines.String()
	var batches [][]destinations.Item
	for _, b := range order {
		batches = append(batches, groups[b])
	}
	return batches
}

func describe(p destinations.Part) string {
	s := "part " + p.Name
	if p.Batch != "" {
		s += ", batch " + p.Batch
	}
	if p.Unique != "" {
		s += ", unique " + p.Unique
	}
	if p.Slotless {
		s += ", slotless"
	}
	if p.Ambiguous != "" {
		s += ", ambiguous " + string(p.Ambiguous)
	}
	if p.Refused.Reason != "" {
		s += ", refused " + p.Refused.Reason + ": " + p.Refused.Detail
	}
	return s
}

// samples gives the batch that a line such as "2 deals timeline" asks for.
func (c goldenCase) samples(t *testing.T, d destinations.Destination, text string) []destinations.Item {
	words := strings.Fields(text)
	n, err := strconv.Atoi(words[0])
	if err != nil || len(words) < 2 {
		t.Fatalf("batch is %q", text)
	}
	events := Deals(n)
	if words[1] == "forms" {
		events = Forms(n)
	}
	for _, b := range Plan(t, d, c.suite.Route, events) {
		if len(words) < 3 || b[0].Part.Name == words[2] {
			return b
		}
	}
	t.Fatalf("no batch of part %q", words[2])
	return nil
}

func writeRequest(w *strings.Builder, q destinations.Request) {
	if w.Len() > 0 {
		w.WriteString("\n")
	}
	w.WriteString(q.Method + " " + q.Path)
	if query := cmp.Or(q.RawQuery, q.Query.Encode()); query != "" {
		w.WriteString("?" + query)
	}
	w.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(q.Header)) {
		fmt.Fprintf(w, "%s: %s\n", name, strings.Join(q.Header[name], ", "))
	}
	var body bytes.Buffer
	if err := json.Indent(&body, q.Body, "", "  "); err != nil {
		body.Reset()
		body.Write(q.Body)
	}
	fmt.Fprintf(w, "\n%s\n", body.Bytes())
}

func (c goldenCase) classify(t *testing.T, d destinations.Destination, batch []destinations.Item, text string) {
	if c.suite.Expand != nil {
		text = c.suite.Expand(text, batch)
	}
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	status, err := strconv.Atoi(strings.TrimPrefix(lines[0], "HTTP "))
	if err != nil {
		t.Fatalf("answer begins with %q, not with HTTP and a status", lines[0])
	}
	r := destinations.Response{Status: status, Header: http.Header{}, Body: []byte(strings.TrimSuffix(body, "\n"))}
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		r.Header.Add(name, strings.TrimSpace(value))
	}
	outcomes := d.Classify(batch, r)
	if err := Sound(batch, r, outcomes); err != nil {
		t.Error(err)
	}
	var out strings.Builder
	for _, o := range outcomes {
		fmt.Fprintf(&out, "%s %s", o.Verdict, o.Reason)
		if o.After > 0 {
			fmt.Fprintf(&out, ", after %s", o.After)
		}
		if o.Unknown {
			out.WriteString(", may have been taken")
		}
		if o.Suspect {
			out.WriteString(", suspected")
		}
		if o.TraceID != "" {
			out.WriteString(", trace " + o.TraceID)
		}
		if o.Detail != "" {
			out.WriteString(": " + o.Detail)
		}
		out.WriteString("\n")
	}
	c.out["outcomes"] = out.String()
}

// Fuzz feeds Classify with anything.
func (s Suite) Fuzz(f *testing.F) {
	d := s.Open(f)
	n := min(3, d.Contract().MaxBatch)
	batches := append(Plan(f, d, s.Route, Deals(n)), Plan(f, d, s.Route, Forms(n))...)
	for _, body := range brokenBodies() {
		if len(body) < 1000 {
			f.Add(200, "", body)
			f.Add(400, "3", body)
		}
	}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			if text, ok := (goldenCase{archive: a}).file("answer"); ok {
				_, body, _ := strings.Cut(text, "\n\n")
				f.Add(207, "", []byte(body))
				f.Add(429, "", []byte(body))
			}
		}
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		status = 100 + ((status%500)+500)%500
		r := destinations.Response{Status: status, Header: http.Header{"Retry-After": {retryAfter}}, Body: body}
		for _, b := range batches {
			for _, batch := range [][]destinations.Item{b, b[:1]} {
				if err := Sound(batch, r, d.Classify(batch, r)); err != nil {
					t.Errorf("%d: %v", status, err)
				}
			}
		}
	})
}

// Bench builds batches of 200 deals, or of as many as the vendor takes.
func (s Suite) Bench(b *testing.B) {
	d := s.Open(b)
	var batches [][]destinations.Item
	for events := range slices.Chunk(Deals(200), d.Contract().MaxBatch) {
		batches = append(batches, Plan(b, d, s.Route, events)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, batch := range batches {
			if _, err := d.Build(batch); err != nil {
				b.Fatal(err)
			}
		}
	}
}
