package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/eventlog/kafkatest"
	"tributary/internal/pipeline"
)

// demonstration runs the demo and gives what it printed.
func demonstration(t *testing.T, o demoOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := runDemo(t.Context(), o, &out); err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, logOf(o.dir))
	}
	if !strings.Contains(out.String(), "equal docs/demo.txt") {
		t.Fatalf("the demo does not say that its tables are those of docs/demo.txt:\n%s", &out)
	}
	return out.String()
}

// logOf gives the end of the router's log.
func logOf(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "router.log"))
	return string(b[max(0, len(b)-8000):])
}

func TestDemoTwiceOnOneDirectory(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	o := demoOptions{dir: dir}
	demonstration(t, o)
	second := demonstration(t, o)
	if !strings.Contains(second, "run 2:") || !strings.Contains(second, "hubspot_app   130 ") {
		t.Errorf("the second run did not send every receipt again:\n%s", second)
	}
	secrets, err := filepath.Glob(filepath.Join(dir, "secrets", "*"))
	if err != nil || len(secrets) != 8 {
		t.Fatalf("secrets: %v %v", secrets, err)
	}
	for _, path := range append(secrets, filepath.Join(dir, "story.json"), filepath.Join(dir, "posts.jsonl")) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v %v", path, info.Mode(), err)
		}
	}
	o.brokers = []string{"127.0.0.1:1"}
	if err := runDemo(t.Context(), o, new(bytes.Buffer)); exitCode(err, new(bytes.Buffer)) != 2 {
		t.Errorf("a directory begun with the embedded log was taken with brokers: %v", err)
	}
}

func TestDemoOnApacheKafka(t *testing.T) {
	needEngine(t)
	addr := kafkatest.Start(t)
	o := demoOptions{dir: t.TempDir(), brokers: []string{addr}}
	demonstration(t, o)
	demonstration(t, o)
}

func TestDemoRefusesARunThatWasCutShort(t *testing.T) {
	o := demoOptions{dir: t.TempDir()}
	d, err := openDemo(o, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	d.past.Running = true
	if err := d.remember(); err != nil {
		t.Fatal(err)
	}
	if _, err := openDemo(o, new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("got %v", err)
	}
}

func TestNormalisedReceipts(t *testing.T) {
	one := pipeline.ReceiptBalance{Source: "crm", Accepted: 9, Event: 3, Observation: 2, FactsOnly: 1, Completed: 3}
	three := pipeline.ReceiptBalance{Source: "crm", Accepted: 27, Event: 3, Observation: 12, FactsOnly: 3, Completed: 9}
	for _, test := range []struct {
		name string
		in   pipeline.ReceiptBalance
		runs int
		want pipeline.ReceiptBalance
	}{
		{"one run", one, 1, one},
		{"three runs", three, 3, one},
	} {
		if got := (demoBooks{Receipts: []pipeline.ReceiptBalance{test.in}}).normalised(test.runs).Receipts[0]; got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
	short := three
	short.Accepted, short.Observation = 26, 11
	if got := (demoBooks{Receipts: []pipeline.ReceiptBalance{short}}).normalised(3).Receipts[0]; got == one {
		t.Error("a receipt is missing in the third run, and it does not show")
	}
}

func TestDifference(t *testing.T) {
	for _, test := range []struct{ name, want, got, out string }{
		{"none", "a\nb\n", "a\nb\n", ""},
		{"changed", "a\nb\nc\nd\ne\nf\n", "a\nb\nX\nd\ne\nf\n", "  a\n  b\n- c\n+ X\n  d\n  e\n"},
		{"missing at the end", "a\nb", "a", "  a\n- b\n"},
		{"more at the start", "b", "a\nb", "+ a\n  b\n"},
	} {
		if out := difference(test.want, test.got); out != test.out {
			t.Errorf("%s: got\n%swant\n%s", test.name, out, test.out)
		}
	}
}

func TestMasked(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"hubspot_contact", "102948"}:             "102948",
		{"email", "2f2875ef0123456789"}:           "SHA-256 2f2875ef…",
		{"fbclid", "IwAR2c7Hd5"}:                  "IwAR2c…",
		{"anonymous", "e4"}:                       "e4…",
		{"email", ""}:                             "SHA-256 …",
		{"li_fat_id", "7f3c1e52-0a4b-4d6e-9b57"}:  "7f3c1e…",
		{"phone", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa"}: "aaaaaa…",
	} {
		if got := masked(in[0], in[1]); got != want {
			t.Errorf("masked(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSimulate(t *testing.T) {
	dir := t.TempDir()
	people := filepath.Join(dir, "people.json")
	if err := os.WriteFile(people, []byte(`[{"first_name":"Ada","last_name":"Example","emails":["ada@example.com"],"meta_user":true}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out := make(addresses, 1)
	done := make(chan error, 1)
	go func() {
		args := []string{"simulate", "--dir", filepath.Join(dir, "vendors"), "--people", people}
		done <- run(ctx, args, nil, out, new(bytes.Buffer))
	}()
	var base string
	select {
	case base = <-out:
	case err := <-done:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("no address after 20 s")
	}
	event := `{"data":[{"event_name":"Lead","event_time":` + strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10) + `,"event_id":"1","action_source":"system_generated",
		"user_data":{"em":["` + canonical.SHA256("ada@example.com") + `"]}}]}`
	res, err := http.Post(base+"/v25.0/123/events?access_token=t", "application/json", strings.NewReader(event))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	res, err = http.Get(base + "/_received?vendor=meta")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var items []simulator.Received
	if err := json.NewDecoder(res.Body).Decode(&items); err != nil {
		t.Fatal(err)
	}
	if len(items) != 1 || items[0].Person != "Ada Example" {
		t.Errorf("received %+v", items)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("simulate ended with %v", err)
	}
	if err := run(t.Context(), []string{"simulate", "--hubspot-tier", "gold"}, nil, new(bytes.Buffer), new(bytes.Buffer)); exitCode(err, new(bytes.Buffer)) != 2 {
		t.Errorf("an unknown tier: %v", err)
	}
}

// addresses takes the address out of a line that ends with one.
type addresses chan string

func (a addresses) Write(p []byte) (int, error) {
	words := strings.Fields(string(p))
	a <- words[len(words)-1]
	return len(p), nil
}
