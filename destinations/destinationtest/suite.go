// Package destinationtest is the suite that every adapter passes: whatever the vendor
// answers, each item gets one outcome; whatever the event, nothing panics; the same batch
// gives the same bytes; no credential is ever in them.
package destinationtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"
	"gopkg.in/yaml.v3"

	"tributary/canonical"
	"tributary/destinations"
)

// A Suite is an adapter with a configuration under which it takes the samples.
type Suite struct {
	Kind   destinations.Kind
	Config string // the section, as YAML
	Route  canonical.Route
	// Accepts says which broken answers may count as delivery all the same. Nil: none.
	Accepts func(batch []destinations.Item, r destinations.Response) bool
	// Unsorted says that the keys of the body do not ascend.
	Unsorted bool
	// Check looks at every request that was built.
	Check func(t testing.TB, q destinations.Request)
	// Expand replaces what an answer in a golden file cannot know, such as {trace 0}.
	Expand func(body string, batch []destinations.Item) string
}

// Open configures the adapter, or fails.
func (s Suite) Open(t testing.TB) destinations.Destination {
	t.Helper()
	d, problems := s.Kind.New(Section(t, s.Config))
	for _, p := range problems {
		t.Fatalf("configuration %d:%d: %s", p.Line, p.Column, p.Message)
	}
	return d
}

// Section parses YAML as configuration hands it over: never nil.
func Section(t testing.TB, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("configuration: %v", err)
	}
	if len(doc.Content) == 0 {
		return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	return doc.Content[0]
}

// Plan gives the parts of events as items, those that may share a request together, in
// the order in which they first appear.
func Plan(t testing.TB, d destinations.Destination, route canonical.Route, events []canonical.Event) [][]destinations.Item {
	t.Helper()
	var order []string
	groups := map[string][]destinations.Item{}
	for _, e := range events {
		k := KnownOf(e)
		parts, refusal := d.Plan(e, k, route)
		if refusal.Reason != "" {
			t.Fatalf("event %s is refused: %s (%s)", e.ID, refusal.Reason, refusal.Detail)
		}
		for _, p := range parts {
			if p.Refused.Reason != "" {
				continue
			}
			if groups[p.Batch] == nil {
				order = append(order, p.Batch)
			}
			groups[p.Batch] = append(groups[p.Batch], destinations.Item{Event: e, Known: k, Part: p})
		}
	}
	var out [][]destinations.Item
	for _, b := range order {
		out = append(out, groups[b])
	}
	return out
}

// KnownOf is what an event carries of the identity log.
func KnownOf(e canonical.Event) canonical.Known {
	if e.Known == nil {
		return canonical.Known{Offset: -1}
	}
	return *e.Known
}

// Run runs the suite.
func (s Suite) Run(t *testing.T) {
	d := s.Open(t)
	t.Run("contract", func(t *testing.T) { s.contract(t, d) })
	n := min(3, d.Contract().MaxBatch)
	for _, batch := range append(Plan(t, d, s.Route, Deals(n)), Plan(t, d, s.Route, Forms(n))...) {
		name := batch[0].Part.Name + "/" + string(batch[0].Event.Object.Type)
		t.Run("build/"+name, func(t *testing.T) { s.build(t, d, batch) })
		t.Run("answers/"+name, func(t *testing.T) {
			s.answers(t, d, batch)
			s.answers(t, d, batch[:1])
		})
	}
	t.Run("odd events", func(t *testing.T) { s.odd(t, d) })
	t.Run("mistakes", func(t *testing.T) { s.mistakes(t) })
}

func (s Suite) contract(t *testing.T, d destinations.Destination) {
	c := d.Contract()
	if !reflect.DeepEqual(c, d.Contract()) {
		t.Error("the contract changes")
	}
	if c.Vendor == "" || c.MaxBatch < 1 || c.MaxBytes < 1 || len(c.Limits) == 0 || c.Timeout <= 0 || c.Ambiguous == "" {
		t.Errorf("the contract is not whole: %+v", c)
	}
	_, authorizes := d.(destinations.Authorizer)
	if s.Kind.Name == "" || s.Kind.Credential == "" || s.Kind.Authorize == nil && !authorizes {
		t.Errorf("the kind is not whole: %+v", s.Kind)
	}
	if s.Kind.BaseURL == "" && c.BaseURL == "" {
		t.Error("neither kind nor contract say where requests go")
	}
	if s.Kind.TestMode == nil && c.Test {
		t.Error("the contract promises a test mode that the kind does not have")
	}
	if s.Kind.TestMode != nil {
		s.Kind.TestMode(d)
	}
	s.table(t)
	if g, ok := d.(destinations.Gauge); ok {
		s.gauge(t, g)
	}
}

var marks = []string{"doc", "sdk", "seen", "assumed", "open"}

// table checks that what is known of the vendor's API is said with its sources.
func (s Suite) table(t *testing.T) {
	for _, v := range s.Kind.Table.Versions {
		if v.Name == "" || v.Source == "" {
			t.Errorf("version %q has no name or no source", v.Name)
		}
	}
	for _, f := range s.Kind.Table.Facts {
		if f.Name == "" || f.Value == "" || f.Source == "" || !slices.Contains(marks, f.Mark) {
			t.Errorf("fact %q (%s) is not whole: value %q, source %q", f.Name, f.Mark, f.Value, f.Source)
		}
	}
}

// gauge reads headers that hold anything.
func (s Suite) gauge(t *testing.T, g destinations.Gauge) {
	for _, v := range []string{"", "1", "-1", "0", "9e99", "NaN", "x", "[]", "{}", "null", "{\"call_count\":\"x\"}", strings.Repeat("9", 40), strings.Repeat("[", 20000)} {
		h := http.Header{}
		for _, name := range []string{
			"X-App-Usage", "X-Ad-Account-Usage", "X-Business-Use-Case-Usage", "Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
			"X-HubSpot-RateLimit-Max", "X-HubSpot-RateLimit-Remaining", "X-HubSpot-RateLimit-Interval-Milliseconds", "X-HubSpot-RateLimit-Daily",
			"X-HubSpot-RateLimit-Daily-Remaining", "X-HubSpot-RateLimit-Secondly", "X-HubSpot-RateLimit-Secondly-Remaining",
		} {
			h.Set(name, v)
		}
		for _, status := range []int{200, 429, 503} {
			for _, r := range g.Headroom(destinations.Response{Status: status, Header: h}) {
				if r.Limit == "" || r.Max < 0 || r.Remaining < -1 || r.Resets < 0 {
					t.Errorf("headers that say %.40q give the reading %+v", v, r)
				}
			}
		}
	}
}

func (s Suite) build(t *testing.T, d destinations.Destination, batch []destinations.Item) {
	q, err := d.Build(batch)
	if err != nil {
		t.Fatal(err)
	}
	s.check(t, q, len(batch))
	again, err := d.Build(again(t, batch))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(q, again) {
		t.Errorf("the same batch, written to the log and read back, gives another request:\n%s\n%s", q.Body, again.Body)
	}
	if _, err := d.Build(nil); err == nil {
		t.Error("an empty batch gave a request")
	}
}

// again writes a batch as the log does and reads it back.
func again(t testing.TB, batch []destinations.Item) []destinations.Item {
	out := make([]destinations.Item, len(batch))
	for i, it := range batch {
		text, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

var credentials = []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Api-Key", "Tributary-Signature"}

func (s Suite) check(t testing.TB, q destinations.Request, n int) {
	t.Helper()
	for name := range q.Header {
		for _, c := range credentials {
			if http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(c) {
				t.Errorf("the request carries %s", name)
			}
		}
	}
	lower := bytes.ToLower(append([]byte(q.Path+"?"+q.RawQuery+q.Query.Encode()+"\n"), q.Body...))
	for _, word := range []string{"access_token", "appsecret", "bearer ", "api_key", "client_secret"} {
		if bytes.Contains(lower, []byte(word)) {
			t.Errorf("the request holds %q", word)
		}
	}
	if q.Method == "" || !strings.HasPrefix(q.Path, "/") || q.Header.Get("Content-Type") == "" {
		t.Errorf("the request is not whole: %s %s %v", q.Method, q.Path, q.Header)
	}
	if len(q.Bodies) != n || len(q.Values) != n {
		t.Fatalf("%d items, %d bodies, %d values", n, len(q.Bodies), len(q.Values))
	}
	for i, b := range q.Bodies {
		if !bytes.Contains(q.Body, b) || !json.Valid(b) {
			t.Errorf("the body does not hold item %d: %s", i, b)
		}
	}
	if !json.Valid(q.Body) || !utf8.Valid(q.Body) {
		t.Errorf("the body is no JSON: %s", q.Body)
	}
	if !s.Unsorted {
		if want := sorted(t, q.Body); !bytes.Equal(q.Body, want) {
			t.Errorf("keys do not ascend:\n got %s\nwant %s", q.Body, want)
		}
	}
	if s.Check != nil {
		s.Check(t, q)
	}
}

func sorted(t testing.TB, body []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := destinations.JSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// answers asks every status with everything a broken vendor or proxy may send with it.
func (s Suite) answers(t *testing.T, d destinations.Destination, batch []destinations.Item) {
	cut := s.cutAnswers(batch)
	for status := 100; status <= 599; status++ {
		often := slices.Contains([]int{200, 201, 204, 207, 400, 401, 429, 503}, status)
		for name, body := range cut {
			if !often && !strings.HasSuffix(name, " half") {
				continue
			}
			s.answer(t, d, batch, name, destinations.Response{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body})
		}
		for name, body := range brokenBodies() {
			if len(body) > 1000 && !often {
				continue // large ones cost time, and their status hardly matters
			}
			for i, h := range []http.Header{nil, {"Retry-After": {"7"}, "Content-Type": {"text/html"}}, {"Retry-After": {"-1e309"}}} {
				if i > 0 && !often {
					break
				}
				s.answer(t, d, batch, name, destinations.Response{Status: status, Header: h, Body: body})
			}
		}
	}
}

// cutAnswers gives the vendor's own answers of the golden files, some successes and some
// refusals, broken off at several places.
func (s Suite) cutAnswers(batch []destinations.Item) map[string][]byte {
	out := map[string][]byte{}
	successes, refusals := 0, 0
	files, _ := filepath.Glob("testdata/*.txtar") // sorted
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			continue // Golden says so
		}
		text, ok := goldenCase{archive: a}.file("answer")
		if !ok {
			continue
		}
		if s.Expand != nil {
			text = s.Expand(text, batch)
		}
		head, body, _ := strings.Cut(text, "\n\n")
		if body = strings.TrimSpace(body); len(body) < 4 || len(body) > 4000 {
			continue
		}
		kept := &refusals
		if strings.HasPrefix(head, "HTTP 2") {
			kept = &successes
		}
		if *kept++; *kept > 6 {
			continue
		}
		name := filepath.Base(file) + " cut in "
		out[name+"half"] = []byte(body[:len(body)/2])
		for _, n := range []int{1, len(body) / 3, len(body) - 1} {
			out[name+strconv.Itoa(n)] = []byte(body[:n])
		}
	}
	return out
}

func (s Suite) answer(t *testing.T, d destinations.Destination, batch []destinations.Item, name string, r destinations.Response) {
	outcomes := d.Classify(batch, r)
	if err := Sound(batch, r, outcomes); err != nil {
		t.Fatalf("%d with %s: %v", r.Status, name, err)
	}
	for _, o := range outcomes {
		if o.Verdict == destinations.Delivered && (s.Accepts == nil || !s.Accepts(batch, r)) {
			t.Fatalf("%d with %s counts as delivered", r.Status, name)
		}
	}
}

// Sound says what is wrong with the outcomes of an answer, whatever it was.
func Sound(batch []destinations.Item, r destinations.Response, outcomes []destinations.Outcome) error {
	if len(outcomes) != len(batch) {
		return fmt.Errorf("%d outcomes for %d items", len(outcomes), len(batch))
	}
	for i, o := range outcomes {
		switch {
		case o.Verdict < destinations.Delivered || o.Verdict > destinations.Park:
			return fmt.Errorf("item %d has no verdict", i)
		case o.Reason == "":
			return fmt.Errorf("item %d has no reason", i)
		case o.Verdict == destinations.Delivered && r.Status/100 != 2 && !(r.Status == http.StatusConflict && o.Reason == "already_there"):
			return fmt.Errorf("item %d is delivered under status %d", i, r.Status)
		case o.Verdict == destinations.Delivered && o.Unknown:
			return fmt.Errorf("item %d is delivered and unknown", i)
		case o.Suspect && o.Verdict != destinations.Split:
			return fmt.Errorf("item %d is suspected and not of a refused batch", i)
		case o.Verdict == destinations.Split && len(batch) == 1:
			return fmt.Errorf("a single item is to be split")
		case o.After < 0 || o.After > 24*time.Hour:
			return fmt.Errorf("item %d waits %v", i, o.After)
		case utf8.RuneCountInString(o.Detail) > 400 || strings.Contains(o.Detail, "@") || strings.ContainsAny(o.Detail, "\n\r"):
			return fmt.Errorf("item %d has a detail that is not fit to be kept: %q", i, o.Detail)
		}
	}
	return nil
}

var brokenBodies = sync.OnceValue(func() map[string][]byte {
	html := "<!DOCTYPE html><html><body>Bad gateway for ada@example.com</body></html>"
	return map[string][]byte{
		"nothing":           nil,
		"white space":       []byte(" \n"),
		"HTML":              []byte(html),
		"text":              []byte("error code: 1015"),
		"an empty object":   []byte("{}"),
		"an empty list":     []byte("[]"),
		"null":              []byte("null"),
		"true":              []byte("true"),
		"a cut object":      []byte(`{"events_received":3,"messages":[],"elements":[{"status":201},{"sta`),
		"cut results":       []byte(`{"status":"COMPLETE","results":[{"id":"31","properties":{"email":"a`),
		"wrong types":       []byte(`{"events_received":"all","elements":{"status":"201"},"results":7,"error":"no","errors":"none","message":[1]}`),
		"empty lists":       []byte(`{"status":"COMPLETE","results":[],"elements":[],"errors":[],"error":null}`),
		"nulls in lists":    []byte(`{"results":[null,null,null],"elements":[null,null,null],"errors":[null]}`),
		"too few":           []byte(`{"events_received":0,"elements":[{"status":201},{"status":201},{"status":201},{"status":201}],"results":[{"id":"1"},{"id":"1"}]}`),
		"an empty error":    []byte(`{"error":{},"message":""}`),
		"words":             []byte(`{"error":{"message":"no\nuser ada@example.com"},"message":"no user ada%40example.com and\r\n+1 415 555 0134"}`),
		"two documents":     []byte(`{"events_received":3}{"events_received":3}`),
		"bad UTF-8":         []byte("{\"message\":\"\xff\xfe\",\"error\":{\"message\":\"\xff\"}}"),
		"a deep nest":       []byte(strings.Repeat("[", 20000)),
		"a large body":      bytes.Repeat([]byte("<p>ada@example.com</p>"), 40000),
		"a large JSON":      []byte(`{"message":"` + strings.Repeat("x", 200000) + `"}`),
		"a number too much": []byte(`{"events_received":99999999999999999999,"error":{"code":1e99}}`),
	}
})
