package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// However often an import is cut off, wherever, every line is taken, and what was answered is not
// sent again.
func TestAnImportGoesOnWhereItStopped(t *testing.T) {
	for _, kind := range []string{"ndjson", "csv"} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 5))
				const lines = 2300
				file := filepath.Join(t.TempDir(), "f."+kind)
				if err := os.WriteFile(file, importFile(t, r, kind, lines), 0o600); err != nil {
					t.Fatal(err)
				}
				taken := map[string]int{}
				var stop context.CancelFunc
				router := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					var events []struct {
						ID string `json:"event_id"`
					}
					if err := json.NewDecoder(q.Body).Decode(&events); err != nil {
						t.Error(err)
					}
					if r.IntN(4) == 0 { // somebody breaks it off, before anything was taken
						stop()
						http.Error(w, `{"error":{"code":"overloaded","message":"busy"}}`, http.StatusTooManyRequests)
						return
					}
					var receipts []string
					for _, e := range events {
						taken[e.ID]++
						receipts = append(receipts, `{"receipt_id":"r"}`)
					}
					fmt.Fprintf(w, `{"ok":true,"receipts":[%s]}`, strings.Join(receipts, ","))
				}))
				defer router.Close()
				t.Setenv("TRIBUTARY_URL", router.URL)
				t.Setenv("TRIBUTARY_KEY", "k")
				var said string
				for range 200 {
					ctx, cancel := context.WithCancel(t.Context())
					stop = cancel
					var out, complaints bytes.Buffer
					err := run(ctx, []string{"import", "events", file}, strings.NewReader(""), &out, &complaints)
					cancel()
					if err == nil {
						said = out.String()
						break
					}
					if !strings.Contains(err.Error(), "start it again to go on") {
						t.Fatalf("%v\n%s", err, &complaints)
					}
				}
				if want := fmt.Sprintf("%d lines kept, 0 not taken", lines); !strings.Contains(said, want) {
					t.Errorf("it said %q, want %s", said, want)
				}
				for n := range lines {
					if taken[fmt.Sprint("e", n)] != 1 {
						t.Fatalf("line %d was taken %d times", n, taken[fmt.Sprint("e", n)])
					}
				}
			})
		}
	}
}

// importFile gives a file with texts that hold separators, quotes and ends of lines.
func importFile(t *testing.T, r *rand.Rand, kind string, lines int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if kind == "csv" {
		w.Write([]string{"event_id", "event", "custom_data.note"})
	}
	for n := range lines {
		id, note := fmt.Sprint("e", n), []string{"", "a,b", "said \"yes\"", "two\nlines", strings.Repeat("long ", 100)}[r.IntN(5)]
		if kind == "csv" {
			w.Write([]string{id, "trial_started", note})
			continue
		}
		line, err := json.Marshal(map[string]any{"event_id": id, "event": "trial_started", "custom_data": map[string]string{"note": note}})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, "\n\r\n"[:1+r.IntN(3)]...))
	}
	w.Flush()
	return b.Bytes()
}

// Whatever stands in a file: no panic, no line twice, and reading on from any place gives the rest.
func FuzzImportedLines(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n\"x\ny\",3\n"), true, uint8(1))
	f.Add([]byte("{\"event\":1}\n\n[\n{}"), false, uint8(2))
	f.Add([]byte("\ufeffa.b,a\n1,2\r\n"), true, uint8(0))
	f.Fuzz(func(t *testing.T, text []byte, rows bool, cut uint8) {
		path := filepath.Join(t.TempDir(), map[bool]string{true: "f.csv", false: "f.ndjson"}[rows])
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		read := func(at place, most int) (lines []line, err error) {
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			i := importing{file: path, delimiter: ","}
			r, err := i.open(file, at)
			if err != nil {
				return nil, err
			}
			lines, _, err = gatherLines(t.Context(), r, most)
			return lines, err
		}
		all, err := read(place{}, 1000)
		if err != nil || int(cut) >= len(all) {
			return
		}
		at := place{Offset: all[cut].end, Line: all[cut].number}
		rest, err := read(at, 1000)
		if err != nil || len(rest) != len(all)-int(cut)-1 {
			t.Fatalf("after line %d: %d lines, %v; want %d", cut, len(rest), err, len(all)-int(cut)-1)
		}
		for n, l := range rest {
			if was := all[int(cut)+1+n]; !bytes.Equal(l.body, was.body) || l.end != was.end {
				t.Fatalf("line %d is %q, was %q", n, l.body, was.body)
			}
		}
	})
}
