package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func (s *suite) large(t *testing.T) {
	got := s.do(t, "SELECT number, toString(number) FROM numbers(1000000)")
	if lines := strings.Count(got, "\n"); lines != 1_000_000 || !strings.HasSuffix(got, "999999\t999999\n") {
		t.Errorf("%d lines, want 1000000", lines)
	}
	x := s.send(t, exchange{body: "SELECT number, throwIf(number = 2000000, 'too late') FROM numbers(5000000)", values: pairs([]string{"max_threads", "1"})})
	if !strings.Contains(x.got, "Code: 395. DB::Exception: ") || !strings.Contains(x.got, "too late") {
		t.Errorf("a failure after many rows is not in the answer: status %d, %d bytes, %v", x.status, len(x.got), x.err)
	}
	if x.status == 200 && !strings.Contains(x.got, "__exception__") {
		t.Error("a failure after many rows is not framed")
	}
	x = s.send(t, exchange{body: "SELECT number, throwIf(number = 2000000, 'too late') FROM numbers(5000000)", values: pairs([]string{"wait_end_of_query", "1"})})
	if x.status != 500 || x.header.Get("X-ClickHouse-Exception-Code") != "395" {
		t.Errorf("wait_end_of_query: %d %.100s, want 500", x.status, x.got)
	}
}

func (s *suite) concurrent(t *testing.T) {
	s.do(t, "CREATE TABLE many (n UInt64, w UInt8) ENGINE = MergeTree ORDER BY n")
	var all sync.WaitGroup
	problems := make(chan error, 100)
	for w := range 12 {
		all.Go(func() {
			for i := range 10 {
				threads := fmt.Sprint(w%3 + 1)
				x := s.send(t, exchange{body: fmt.Sprintf("INSERT INTO many VALUES (%d, %d)", w*10+i, w)})
				y := s.send(t, exchange{body: "SELECT getSetting('max_threads'), count() >= 1 FROM many", values: pairs([]string{"max_threads", threads})})
				if x.status != 200 || y.got != threads+"\t1\n" {
					problems <- fmt.Errorf("writer %d: %d %s, %d %s", w, x.status, x.got, y.status, y.got)
					return
				}
			}
		})
	}
	all.Wait()
	close(problems)
	for err := range problems {
		t.Error(err)
	}
	s.want(t, "120\t120\n", "SELECT count(), uniqExact(n) FROM many")
	// A client that leaves takes its statement with it.
	ctx, leave := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", s.o.URL+"/", strings.NewReader("SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number), 'left behind')"))
	r.SetBasicAuth(s.o.User, s.o.Password)
	left := make(chan error, 1)
	go func() { _, err := http.DefaultClient.Do(r); left <- err }()
	running := "SELECT count() > 0 FROM system.processes WHERE query LIKE '%left behind%' AND query NOT LIKE '%system.processes%'"
	s.eventually(t, "1\n", running)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client left with %v", err)
	}
	if s.cancels(t) {
		s.eventually(t, "0\n", running)
	}
}

// eventually asks until the answer is the wanted one.
func (s *suite) eventually(t *testing.T, want, query string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if got = s.do(t, query); got == want {
			return
		}
	}
	t.Errorf("%s: still %q, want %q", query, got, want)
}

// cancels says whether a server stops what its client left. A real server does so only when told to.
func (s *suite) cancels(t *testing.T) bool {
	return strings.HasPrefix(s.do(t, "SELECT displayName()"), "tributary")
}
