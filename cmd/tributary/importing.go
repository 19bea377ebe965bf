package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// A line is one event of a file that is imported.
type line struct {
	number int
	end    int64  // where in the file the next one begins
	raw    []byte // as it came
	body   []byte // of POST /v1/events; nil where fault says why there is none
	fault  string
}

// A lineReader gives a file's lines one by one; io.EOF at its end. Reading goes on from any end
// that it gave.
type lineReader interface {
	next() (line, error)
}

// longestLine bounds a line: an item of the router's is at most 256 KiB.
const longestLine = 1 << 20

// An ndjsonReader reads one JSON object a line. Empty lines are none.
type ndjsonReader struct {
	r      *bufio.Reader
	source string // of lines that name none; "" leaves them so
	number int
	at     int64
}

func (n *ndjsonReader) next() (line, error) {
	for {
		raw, err := n.r.ReadBytes('\n')
		if len(raw) == 0 {
			return line{}, err
		}
		if err != nil && err != io.EOF {
			return line{}, err
		}
		n.number++
		n.at += int64(len(raw))
		l := line{number: n.number, end: n.at, raw: bytes.TrimSpace(raw)}
		switch {
		case len(l.raw) == 0:
			continue
		case len(l.raw) > longestLine:
			l.raw, l.fault = l.raw[:100], "the line is longer than 1 MiB"
			return l, nil
		}
		var o map[string]json.RawMessage
		if err := json.Unmarshal(l.raw, &o); err != nil || o == nil {
			l.fault = "the line is no JSON object"
			return l, nil
		}
		l.body = l.raw
		if _, named := o["source"]; n.source != "" && !named {
			o["source"], _ = json.Marshal(n.source)
			if l.body, err = json.Marshal(o); err != nil {
				return line{}, err
			}
		}
		return l, nil
	}
}

// Columns say what stands where in a CSV file.
type columns struct {
	Set     map[string]string `yaml:"set"`
	Columns map[string]string `yaml:"columns"`
	Ignore  []string          `yaml:"ignore"`
}

func readColumns(path string) (columns, error) {
	var c columns
	if path == "" {
		return c, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	var keys map[string]yaml.Node
	if err := yaml.Unmarshal(text, &keys); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains([]string{"set", "columns", "ignore"}, k) {
			return c, fmt.Errorf("%s:%d: %q is not known; known are set, columns and ignore", path, keys[k].Line, k)
		}
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// A csvReader makes a body of each row.
type csvReader struct {
	r     *csv.Reader
	base  int64             // where the reader's input begins in the file
	paths []string          // by column; "": ignored
	set   map[string]string // by path
	from  int               // lines before its input
}

// newCSV reads the headers, and then goes on at a place of the file.
func newCSV(f *os.File, delimiter rune, c columns, source string, at int64, number int) (*csvReader, error) {
	head := csv.NewReader(f)
	head.Comma = delimiter
	headers, err := head.Read()
	if err != nil {
		return nil, fmt.Errorf("read the headers: %w", err)
	}
	n := &csvReader{set: map[string]string{}, base: max(at, head.InputOffset()), from: number}
	if source != "" {
		n.set["source"] = source
	}
	for path, v := range c.Set {
		n.set[path] = v
	}
	var strange []string
	used := map[string]string{}
	for i, h := range headers {
		if i == 0 {
			h = strings.TrimPrefix(h, "\ufeff")
		}
		h = strings.TrimSpace(h)
		path, named := c.Columns[h]
		switch {
		case slices.Contains(c.Ignore, h):
			path = ""
		case !named && len(c.Columns) > 0:
			strange = append(strange, h)
		case !named:
			path = h
		}
		if before, twice := used[path]; twice && path != "" {
			return nil, fmt.Errorf("columns %q and %q are both %s", before, h, path)
		}
		used[path] = h
		n.paths = append(n.paths, path)
	}
	if len(strange) > 0 {
		return nil, fmt.Errorf("columns nobody named: %s; name them under columns, or under ignore", strings.Join(strange, ", "))
	}
	for h := range c.Columns {
		if !slices.ContainsFunc(headers, func(is string) bool { return strings.TrimSpace(strings.TrimPrefix(is, "\ufeff")) == h }) {
			return nil, fmt.Errorf("there is no column %q; there are %s", h, strings.Join(headers, ", "))
		}
	}
	if n.from == 0 {
		n.from = 1
	}
	if _, err := f.Seek(n.base, io.SeekStart); err != nil {
		return nil, err
	}
	n.r = csv.NewReader(f)
	n.r.Comma, n.r.FieldsPerRecord, n.r.ReuseRecord = delimiter, -1, true
	return n, nil
}

func (n *csvReader) next() (line, error) {
	cells, err := n.r.Read()
	if err == io.EOF {
		return line{}, err
	}
	var broken *csv.ParseError
	if errors.As(err, &broken) {
		return line{}, fmt.Errorf("line %d: %w; what follows cannot be told apart", n.from+broken.Line, broken.Err)
	}
	if err != nil {
		return line{}, err
	}
	at, _ := n.r.FieldPos(0)
	l := line{number: n.from + at, end: n.base + n.r.InputOffset()}
	if l.raw, err = json.Marshal(cells); err != nil {
		return line{}, err
	}
	if len(cells) != len(n.paths) {
		l.fault = fmt.Sprintf("the row has %d cells, the headers are %d", len(cells), len(n.paths))
		return l, nil
	}
	body := map[string]any{}
	for path, v := range n.set {
		if why := put(body, path, v); why != "" {
			l.fault = why
		}
	}
	for i, cell := range cells {
		switch cell = strings.TrimSpace(cell); {
		case n.paths[i] == "" || cell == "":
		case !utf8.ValidString(cell):
			l.fault = "a cell is not UTF-8"
		default:
			if why := put(body, n.paths[i], cell); why != "" {
				l.fault = why
			}
		}
	}
	if l.fault == "" {
		l.body, err = json.Marshal(body)
	}
	return l, err
}

// put sets a field at a path of names, and says why it cannot.
func put(body map[string]any, path, v string) string {
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		inner, ok := body[name].(map[string]any)
		if !ok {
			if body[name] != nil {
				return fmt.Sprintf("%s is a value, and %s stands below it", name, path)
			}
			inner = map[string]any{}
			body[name] = inner
		}
		body = inner
	}
	last := names[len(names)-1]
	if _, below := body[last].(map[string]any); below {
		return fmt.Sprintf("%s is a value, and others stand below it", path)
	}
	body[last] = v
	return ""
}

// A place is how far a file was imported: what the state file holds.
type place struct {
	File   string `json:"file"`
	Start  string `json:"start"` // hash of the file up to Offset, its first megabyte at most
	Offset int64  `json:"offset"`
	Line   int    `json:"line"`
	Kept   int    `json:"kept"`
	Not    int    `json:"not_taken"`
}

func readPlace(path string) (p place, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, fmt.Errorf("%s does not say how far the import came: %w; delete it, or begin with --again", path, err)
	}
	return p, nil
}

func (p place) write(path string) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// kindOfFile tells the format of a file by its name.
func kindOfFile(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return "csv"
	case ".ndjson", ".jsonl":
		return "ndjson"
	}
	return ""
}

// gatherLines reads up to most lines, or as many as a request holds; ended says that there are no
// more.
func gatherLines(ctx context.Context, r lineReader, most int) (lines []line, ended bool, err error) {
	size := 0
	for len(lines) < most && size < 2<<20 {
		if ctx.Err() != nil {
			return nil, false, ctx.Err()
		}
		l, err := r.next()
		if err == io.EOF {
			return lines, true, nil
		}
		if err != nil {
			return lines, false, err
		}
		lines = append(lines, l)
		size += len(l.body)
	}
	return lines, false, nil
}
