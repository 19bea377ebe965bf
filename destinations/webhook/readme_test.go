package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Every example of the README is sent to a receiver that is as strict as its like, with an
// event that has everything and one that has next to nothing.
func TestExamples(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	receivers := map[string]struct{ path, token string }{
		"https://example.com/hooks/tributary": {"/webhook/in", "demo-secret"},
		"https://chat.example.com/services":   {"/webhook/chat", "T000/B000/example"},
		"https://cards.example.com/flow":      {"/webhook/card", "s+g/1"},
		"https://api.example.com/v1/records":  {"/webhook/api/v1/records", "key-1"},
	}
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) != len(receivers) {
		t.Fatalf("%d examples, %d receivers", len(blocks), len(receivers))
	}
	now := destinationtest.Noon.Add(time.Hour)
	for _, b := range blocks {
		address := regexp.MustCompile(`url: ([^\s?]+)`).FindSubmatch(b[1])
		to, ok := receivers[string(address[1])]
		if !ok {
			t.Fatalf("no receiver for %s", address[1])
		}
		t.Run(to.path, func(t *testing.T) {
			sim, err := simulator.New(simulator.Options{
				Now:       func() time.Time { return now },
				Receivers: simulator.Receivers{Secret: "demo-secret", ChatPath: "T000/B000/example", CardSig: "s+g/1", Key: "key-1"},
			})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(sim.Handler())
			defer server.Close()
			d := configured(t, strings.Replace(string(b[1]), string(address[1]), server.URL+to.path, 1))
			deal := destinationtest.Deals(1)[0]
			sparse := canonical.Event{ID: "sparse", Name: "lead_captured", OccurredAt: destinationtest.Noon}
			for _, batch := range batches(t, d, []canonical.Event{deal, sparse}) {
				q, err := d.Build(batch)
				if err != nil {
					t.Fatal(err)
				}
				answer := deliver(t, server.URL, d, q, to.token, now)
				for i, o := range d.Classify(batch, answer) {
					if o.Verdict != destinations.Delivered {
						t.Errorf("%s: %s %s: %d %s for %s", batch[i].Event.ID, o.Verdict, o.Reason, answer.Status, answer.Body, q.Body)
					}
				}
				if answer := deliver(t, server.URL, d, q, "another", now); answer.Status/100 == 2 {
					t.Errorf("another credential is taken: %d", answer.Status)
				}
			}
			if got := sim.Received(simulator.Receiver); len(got) != 2 {
				t.Errorf("%d were received, want 2", len(got))
			}
		})
	}
}

// batches plans events and puts as many together as the contract allows.
func batches(t *testing.T, d destination, events []canonical.Event) [][]destinations.Item {
	t.Helper()
	var out [][]destinations.Item
	for _, b := range destinationtest.Plan(t, d, canonical.Route{Value: "amount"}, events) {
		for len(b) > 0 {
			n := min(len(b), d.Contract().MaxBatch)
			out, b = append(out, b[:n]), b[n:]
		}
	}
	return out
}

func deliver(t *testing.T, base string, d destination, q destinations.Request, token string, now time.Time) destinations.Response {
	t.Helper()
	r, err := http.NewRequest(q.Method, base+q.Path+"?"+q.RawQuery, bytes.NewReader(q.Body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range q.Header {
		r.Header[name] = values
	}
	d.Authorize(r, q.Body, token, now)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}
}
