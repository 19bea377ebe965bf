package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/destinations/destinationtest"
	"tributary/destinations/meta"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/mappings"
)

// twinMapping is what docs/meta.md shows of twins, with what Meta gets.
func twinMapping(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/meta.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```yaml\n(vocabulary:.*?)^```$").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/meta.md shows %d mappings of twins", len(blocks))
	}
	return "version: 1\n" + blocks[0][1] + `other_names: [purchase, contact, start_trial]
destinations:
  meta:
    lead_captured: { event: Lead }
    purchase: { event: Purchase, value: amount }
    contact: { event: Contact }
    start_trial: { event: StartTrial }
    page_viewed: { event: PageView }
`
}

// The page's and the server's copy of one event, under one event id and in any order, one of
// them sent again: in the log one event and one observation, at Meta one event under the id that
// the browser's pixel gave Meta too. What either says of who it was is known.
func TestPixelTwins(t *testing.T) {
	m, problems := mappings.Compile(mappings.File{Name: "m.yaml", Text: []byte(twinMapping(t))})
	if m == nil {
		t.Fatal(problems)
	}
	names := []string{"Lead", "Purchase", "Contact", "StartTrial", "PageView"}
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			l, s, db := newLog(t), &shelf{}, newDB(t)
			defer db.Close()
			view, err := identity.Open(memstore.New())
			if err != nil {
				t.Fatal(err)
			}
			ledger, err := delivery.OpenLedger(db, "ledger\x00")
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			sent := map[string][]map[string]any{}
			suite := destinationtest.Suite{Kind: meta.Kind(), Config: "dataset_id: 111222333444555\n"}
			policy := delivery.DefaultPolicy()
			lane := &delivery.Lane{Name: "meta", Destination: suite.Open(t), Mode: delivery.Live, Log: l, Topics: topics, Ledger: ledger, People: view, Policy: policy, Owner: "test", Logger: slog.New(slog.DiscardHandler),
				Routes: func(e *canonical.Event) (canonical.Route, bool) { return m.RouteOf("meta", "meta", e) },
				Send: func(_ context.Context, q destinations.Request) (destinations.Response, error) {
					var b struct{ Data []map[string]any }
					if err := json.Unmarshal(q.Body, &b); err != nil {
						return destinations.Response{}, err
					}
					mu.Lock()
					defer mu.Unlock()
					for _, e := range b.Data {
						id := fmt.Sprint(e["event_id"])
						sent[id] = append(sent[id], e)
					}
					return destinations.Response{Status: 200, Body: fmt.Appendf(nil, `{"events_received":%d,"messages":[],"fbtrace_id":"A"}`, len(b.Data))}, nil
				}}
			record := newRecord(t, l, s, db)
			record.View = view
			resolve := &Resolve{Log: l, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }, View: view}
			stop := run(t, resolve.Run, record.Run, lane.Run, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) },
				func(ctx context.Context) error { return FollowLedger(ctx, l, topics.Deliveries, ledger, nil) })
			defer stop()
			settle()

			now := time.Now().UTC()
			var copies []canonical.Receipt
			give := func(way canonical.Way, browser bool, id, body string) {
				copies = append(copies, canonical.Receipt{ID: canonical.ReceiptID(id), Source: "web", Way: way, Browser: browser, Body: []byte(body),
					Context: map[string]string{"ip": "198.51.100.7", "user_agent": "Mozilla/5.0"}})
			}
			const twins = 12
			for n := range twins {
				name, id := names[n%len(names)], fmt.Sprintf("web.%d-%d", seed, n)
				fbp := fmt.Sprintf("fb.1.%d.%d", now.UnixMilli(), 1000+n)
				give(canonical.WayPixel, true, fmt.Sprint("browser", n), fmt.Sprintf(`{"event":%q,"event_id":%q,"anonymous_id":"a-%d","fbp":%q,"url":"https://acme.example/demo","custom_data":{"value":10,"currency":"EUR"}}`, name, id, n, fbp))
				give(canonical.WayMeta, false, fmt.Sprint("server", n), fmt.Sprintf(`{"event_name":%q,"event_id":%q,"event_time":%d,"action_source":"website","event_source_url":"https://acme.example/demo","user_data":{"em":"p%d@example.com","fbp":%q},"custom_data":{"value":10,"currency":"EUR"}}`,
					name, id, now.Unix(), n, fbp))
			}
			random.Shuffle(len(copies), func(i, j int) { copies[i], copies[j] = copies[j], copies[i] })
			copies = append(copies, copies[:4]...) // a redelivery is no copy at all
			for len(copies) > 0 {
				n := min(1+random.IntN(6), len(copies))
				for i := range copies[:n] {
					copies[i].ReceivedAt = time.Now().UTC()
				}
				post(t, l, copies[:n]...)
				copies = copies[n:]
				if random.IntN(2) == 0 {
					settle()
				}
			}
			settle()
			settle()

			if events, fates := s.told(); events != twins || fates[canonical.FateEvent] != twins || fates[canonical.FateObservation] != twins || len(fates) != 2 {
				t.Errorf("seed %d: %d events, fates %v", seed, events, fates)
			}
			mu.Lock()
			defer mu.Unlock()
			for n := range twins {
				id := fmt.Sprintf("web.%d-%d", seed, n)
				if got := sent[id]; len(got) != 1 || got[0]["event_name"] != names[n%len(names)] {
					t.Errorf("seed %d: Meta has of %s %v", seed, id, got)
				}
				// Whichever came first: the address of the one is tied to the cookie of the other.
				email := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(fmt.Sprintf("p%d@example.com", n))}
				known := view.Known(canonical.Event{Node: email.Node(), Identifiers: []canonical.Identifier{email}, OccurredAt: time.Now()})
				if !slices.ContainsFunc(known.Identifiers, func(i canonical.Identifier) bool {
					return i.Scheme == canonical.Anonymous && i.Value == fmt.Sprint("a-", n)
				}) {
					t.Errorf("seed %d: of %s is known %v", seed, id, known.Identifiers)
				}
			}
			if len(sent) != twins {
				t.Errorf("seed %d: Meta has %d events", seed, len(sent))
			}
			for _, e := range read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent) {
				if e.Name == mappings.CustomEvent || strings.Contains(fmt.Sprint(e.Properties), "claimed_name") {
					t.Errorf("%s became %s", e.Reported, e.Name)
				}
			}
		})
	}
}
