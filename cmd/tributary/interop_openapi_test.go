//go:build interop

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A witness stands between a tester and a router and remembers what was acknowledged.
type witness struct {
	mu       sync.Mutex
	requests int
	statuses map[int]int
	took     map[string]time.Duration // by route
	acks     []string                 // receipt ids
	images   int                      // pixels, which are acknowledged without one
}

func (w *witness) saw(res *http.Response) error {
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	var a struct {
		Receipts []struct {
			ID string `json:"receipt_id"`
		} `json:"receipts"`
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	w.statuses[res.StatusCode]++
	if res.StatusCode/100 != 2 {
		return nil
	}
	if res.Request.URL.Path == "/v1/pixel.gif" {
		w.images++
	}
	if json.Unmarshal(body, &a) == nil && res.Request.Method == http.MethodPost {
		for _, r := range a.Receipts {
			if r.ID != "" {
				w.acks = append(w.acks, r.ID)
			}
		}
	}
	return nil
}

func (w *witness) timed(route string, began time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.took[route] += time.Since(began)
}

// slowest names the routes that took longest in all.
func (w *witness) slowest() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	routes := slices.SortedFunc(maps.Keys(w.took), func(a, b string) int { return cmp.Compare(w.took[b], w.took[a]) })
	var out []string
	for _, r := range routes[:min(8, len(routes))] {
		out = append(out, fmt.Sprintf("%s %s", r, w.took[r].Round(time.Millisecond)))
	}
	return strings.Join(out, ", ")
}

// The OpenAPI document of a running router passes a linter, and of the requests that an API
// tester generates from it none is answered 5xx or with a status or body that the document does
// not have; whatever was acknowledged is in the log.
func TestInteropOpenAPI(t *testing.T) {
	s := newSystem(t, systemOptions{})
	s.start()
	to, _ := url.Parse("http://" + s.address)
	seen := &witness{statuses: map[int]int{}, took: map[string]time.Duration{}}
	forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, ModifyResponse: seen.saw}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		defer seen.timed(q.Method+" "+q.URL.Path, time.Now())
		forward.ServeHTTP(w, q)
	}))
	defer proxy.Close()

	report := os.Getenv("TRIBUTARY_ARTIFACTS")
	if report == "" {
		report = t.TempDir()
	}
	if err := os.MkdirAll(report, 0o755); err != nil {
		t.Fatal(err)
	}
	var a struct {
		Problems []string `json:"problems"`
		Status   int      `json:"status"`
		Says     string   `json:"says"`
	}
	if err := runPython(t, "openapi", map[string]string{"URL": proxy.URL, "KEY": s.key, "SEED": "20260423", "EXAMPLES": "12", "REPORT": report}, &a); err != nil {
		t.Fatalf("%v\nafter %d requests; the slowest: %s", err, seen.requests, seen.slowest())
	}
	for _, p := range a.Problems {
		t.Errorf("the document: %s", p)
	}
	if a.Status != 0 {
		t.Errorf("the tester found something:\n%s", a.Says)
	}
	t.Logf("%d requests: %v; %d receipts and %d images acknowledged; the slowest: %s", seen.requests, seen.statuses, len(seen.acks), seen.images, seen.slowest())
	if seen.requests < 2000 {
		t.Errorf("only %d requests were sent", seen.requests)
	}
	for status, n := range seen.statuses {
		if status >= 500 {
			t.Errorf("%d answers of %d", n, status)
		}
	}
	if len(seen.acks) == 0 || seen.images == 0 {
		t.Fatal("nothing was acknowledged")
	}
	// What was acknowledged is in the log: each id is known, and what was acknowledged without one
	// (images, Segment's calls) is counted: the front counts what it kept, and the log holds no less.
	for _, id := range seen.acks {
		if status, answer := s.request(http.MethodGet, "/v1/receipts/"+id, nil, nil); status != http.StatusOK {
			t.Fatalf("receipt %s was acknowledged and is not there: %d %s", id, status, answer)
		}
	}
	kept := 0
	_, metrics := s.request(http.MethodGet, "/metrics", nil, nil)
	for _, m := range regexp.MustCompile(`(?m)^tributary_ingest_receipts_total\{.*\} (\d+)$`).FindAllSubmatch(metrics, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		kept += n
	}
	accepted := 0
	for _, row := range s.settle().Receipts {
		accepted += row.Accepted
	}
	if acknowledged := len(seen.acks) + seen.images; kept < acknowledged || accepted < kept {
		t.Errorf("%d receipts were acknowledged by id or image, the front counts %d kept, the log holds %d", acknowledged, kept, accepted)
	}
	if text := fmt.Sprint(s.troubles()); strings.Contains(text, "panic") {
		t.Error(text)
	}
}
