package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestBenchIngest(t *testing.T) {
	t.Setenv("TRIBUTARY_TEST_MAIN", "1") // the load generator is this binary again
	var out bytes.Buffer
	args := []string{"bench", "ingest", "--connections", "3", "--events", "1,50", "--seconds", "0.2", "--dir", t.TempDir(), "--json"}
	if err := run(t.Context(), args, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r benchReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	if len(r.Cases) != 3 || r.Cases[0].Events != 1 || r.Cases[1].Events != 50 || r.Cases[2].Request != benchPixel {
		t.Fatalf("cases %+v", r.Cases)
	}
	for _, c := range r.Cases {
		for name, f := range map[string]figures{"ingest": c.Ingest, "bare gin": c.Bare} {
			if f.Requests == 0 || f.RequestsPerSecond <= 0 || f.EventsPerSecond < f.RequestsPerSecond || f.P99Millis < f.P50Millis {
				t.Errorf("%d events a request, %s: %+v", c.Events, name, f)
			}
		}
		if c.Ratio <= 0 {
			t.Errorf("ratio %v", c.Ratio)
		}
	}
	if r.Acknowledged == 0 || r.InLog < r.Acknowledged {
		t.Errorf("%d events acknowledged and %d in the log", r.Acknowledged, r.InLog)
	}
	if r.SyncMillis <= 0 || r.Machine.Cores == 0 || r.Machine.Go == "" {
		t.Errorf("machine %+v, fsync %v ms", r.Machine, r.SyncMillis)
	}
	var text bytes.Buffer
	if err := r.print(&text); err != nil || !strings.Contains(text.String(), "fsync on") {
		t.Errorf("%v: %s", err, &text)
	}
}

// What make bench does with ten thousand.
func TestBenchConnections(t *testing.T) {
	t.Setenv("TRIBUTARY_TEST_MAIN", "1")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"bench", "connections", "--connections", "500", "--json"}, strings.NewReader(""), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	var r connectionsReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Connections != 500 || r.Again != 500 || r.Bytes <= 0 || r.Bytes > 64<<10 {
		t.Errorf("%v: %s", err, out.Bytes())
	}
}

func TestBenchFlagsAreChecked(t *testing.T) {
	for _, flag := range []string{"--connections=0", "--connections=5000", "--events=2000", "--seconds=0", "--seconds=601"} {
		err := run(t.Context(), []string{"bench", "ingest", flag}, strings.NewReader(""), io.Discard, io.Discard)
		if exitCode(err, io.Discard) != 2 {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func TestBenchBody(t *testing.T) {
	for _, n := range []int{1, 2, 100} {
		var list []json.RawMessage
		body := benchBody(n)
		if n == 1 {
			body = "[" + body + "]"
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != n {
			t.Fatalf("%d events: %d, %v", n, len(list), err)
		}
		for _, e := range list {
			if len(e) != benchEventBytes {
				t.Errorf("an event of %d bytes", len(e))
			}
		}
	}
}

// The load generator reads what net/http writes, short and in chunks, and nothing of the
// next answer.
func TestLoadReadsAnswers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, strings.Repeat("x", len(r.URL.Query().Get("long"))*1000))
	}))
	defer s.Close()
	for _, path := range []string{"/", "/?long=x", "/?long=xxxxx"} {
		r, err := load(t.Context(), loadOrder{Address: s.Listener.Addr().String(), Path: path, Connections: 2, Seconds: 0.05, Body: "b"})
		if err != nil || r.Answered == 0 || len(r.Micros) > r.Answered {
			t.Errorf("%s: %d answers, %d measured, %v", path, r.Answered, len(r.Micros), err)
		}
	}
	in := bufio.NewReader(strings.NewReader("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	if err := (&sender{in: in}).answer(); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a 503 gave %v", err)
	}
}
