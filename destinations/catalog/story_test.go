package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/catalog"
	"tributary/destinations/delivery"
	"tributary/destinations/destinationtest"
	"tributary/destinations/simulator"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/internal/pipeline"
	"tributary/mappings"
)

// A story is a buyer's way through one HubSpot account: what is received is understood as it
// is in the product, and a lane delivers it to the simulator.
type story struct {
	t       *testing.T
	sim     *simulator.Simulator
	kind    destinations.Kind
	dest    destinations.Destination
	mapping *mappings.Mapping
	view    *identity.View
	offset  int64
	said    int
	events  []canonical.Event
	lane    *delivery.Lane
	log     *memlog.Log
	topics  eventlog.Topics
}

func tell(t *testing.T, account simulator.HubSpotAccount, config string) *story {
	t.Helper()
	account.Token, account.TokenLife = "t-1", 24*time.Hour
	sim, err := simulator.New(simulator.Options{HubSpot: account, Seed: 11})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t: t, sim: sim, offset: -1, log: memlog.New(), topics: eventlog.Named("t.")}
	s.kind, _ = catalog.Kind("hubspot")
	s.dest = destinationtest.Suite{Kind: s.kind, Config: config}.Open(t)
	var problems []mappings.Problem
	if s.mapping, problems = mappings.Compile(mappings.Default()); len(problems) > 0 {
		t.Fatal(problems)
	}
	if s.view, err = identity.Open(memstore.New()); err != nil {
		t.Fatal(err)
	}
	return s
}

// send puts a request to the simulator as the sender does.
func (s *story) send(ctx context.Context, q destinations.Request) (destinations.Response, error) {
	r, err := http.NewRequestWithContext(ctx, q.Method, "http://hubspot.test"+q.Path, bytes.NewReader(q.Body))
	if err != nil {
		return destinations.Response{}, err
	}
	r.URL.RawQuery = q.Query.Encode()
	for name, values := range q.Header {
		r.Header[name] = values
	}
	s.kind.Authorize(r, q.Body, "t-1")
	res, err := s.sim.Transport().RoundTrip(r)
	if err != nil {
		return destinations.Response{}, err
	}
	body, err := io.ReadAll(res.Body)
	return destinations.Response{Status: res.StatusCode, Header: res.Header, Body: body}, err
}

// arrange makes what deliveries need, twice: the second time finds nothing to do.
func (s *story) arrange() {
	s.t.Helper()
	routes := map[string]canonical.Route{}
	for _, name := range s.mapping.Vocabulary() {
		routes[name] = canonical.Route{}
	}
	for n, apply := range []bool{false, true, true} {
		steps, err := s.dest.(destinations.Arranger).Arrange(s.t.Context(), s.send, routes, apply)
		if err != nil {
			s.t.Fatal(err)
		}
		if done := slices.ContainsFunc(steps, func(st destinations.Step) bool { return st.Done }); n < 2 && (len(steps) == 0 || done != apply) || n == 2 && len(steps) > 0 {
			s.t.Errorf("setup %d: %+v", n+1, steps)
		}
	}
}

// run lets the lane work until the test ends.
func (s *story) run() {
	if err := s.log.Ensure(s.t.Context(), s.topics.Wanted(1, 24*time.Hour, 24*time.Hour)...); err != nil {
		s.t.Fatal(err)
	}
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem(), Logger: quiet{}})
	if err != nil {
		s.t.Fatal(err)
	}
	ledger, err := delivery.OpenLedger(db, "l\x00")
	if err != nil {
		s.t.Fatal(err)
	}
	s.lane = &delivery.Lane{
		Name: "hubspot", Destination: s.dest, Mode: delivery.Live, Send: s.send, Log: s.log, Topics: s.topics, Ledger: ledger, People: s.view,
		Routes: func(e *canonical.Event) (canonical.Route, bool) { return s.mapping.RouteOf("hubspot", "hubspot", e) },
		Policy: delivery.DefaultPolicy(), Owner: "test", Logger: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			records, err := s.log.Read(ctx, s.topics.Deliveries, 0, ledger.Next(0), 5000, time.Minute)
			if err == nil && len(records) > 0 {
				err = ledger.Apply(records)
			}
			if err != nil && ctx.Err() == nil {
				s.t.Errorf("follow: %v", err)
				return
			}
		}
	})
	running.Go(func() {
		if err := s.lane.Run(ctx); err != nil && ctx.Err() == nil {
			s.t.Errorf("the lane stopped: %v", err)
		}
	})
	s.t.Cleanup(func() { stop(); running.Wait(); db.Close() })
	time.Sleep(time.Second) // the books begin
}

// hear takes one receipt through the product: facts first, then the event with what is known.
func (s *story) hear(rc canonical.Receipt) {
	s.t.Helper()
	s.said++
	if rc.ID == "" {
		rc.ID = canonical.ReceiptID(fmt.Sprintf("01STORY%06d", s.said))
	}
	rc.ReceivedAt = time.Now().UTC()
	settings := wire.Settings{}
	if account, stages := s.dest.(destinations.Stager).WritesStages(); len(stages) > 0 {
		settings.Apps = map[string]wire.App{account: {ID: 9001, Stages: stages}}
	}
	if wire.Bare(rc) { // completed by a read
		object, id, _ := wire.Wants(rc)
		var number int64
		fmt.Sscan(id, &number)
		record, ok := s.sim.Record(object, number)
		if !ok {
			return
		}
		rc.Completion = &canonical.Completion{Of: rc.ID, ReadAt: rc.ReceivedAt, Objects: []canonical.ReadObject{{
			Type: object, ID: id, CurrentID: fmt.Sprint(record.ID), Properties: record.Properties,
		}}}
		rc.ID = rc.ID.CompletedID()
	}
	reading := pipeline.Understand(rc, s.mapping, settings)
	if reading.Reason != "" {
		s.t.Fatalf("%s is quarantined: %s %s", rc.Body, reading.Reason, reading.Detail)
	}
	var folded []identity.Folded
	for _, f := range s.view.New(reading.Facts) {
		s.offset++
		folded = append(folded, identity.Folded{Offset: s.offset, Fact: f})
	}
	if err := s.view.Fold(folded); err != nil {
		s.t.Fatal(err)
	}
	if reading.Event == nil {
		return
	}
	e := *reading.Event
	known := s.view.Known(e)
	e.Known = &known
	s.events = append(s.events, e)
	s.append(s.topics.Events, eventlog.TypeEvent, e.ID, e)
}

func (s *story) append(topic, kind string, id canonical.EventID, v any) {
	s.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.log.Append(s.t.Context(), topic, eventlog.Record{Key: []byte(id), Value: text, Type: kind, Version: eventlog.Schema}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *story) pixel(body string) {
	s.t.Helper()
	s.hear(canonical.Receipt{Source: "site", Way: canonical.WayPixel, Browser: true, Body: []byte(body)})
}

func (s *story) crm(body string) {
	s.t.Helper()
	s.hear(canonical.Receipt{Source: "crm", Way: canonical.WayCRM, Body: []byte(body)})
}

// webhooks hears all that HubSpot has to say of its contacts.
func (s *story) webhooks() {
	s.t.Helper()
	for _, w := range s.sim.Webhooks("http://router.test/v1/ingest/hubspot/app") {
		var items []json.RawMessage
		if err := json.Unmarshal(w.Body, &items); err != nil {
			s.t.Fatal(err)
		}
		for _, item := range items {
			if !strings.Contains(string(item), "deal.") {
				s.hear(canonical.Receipt{Source: "app", Way: canonical.WayHubSpot, Body: item})
			}
		}
	}
}

// replay asks again for everything but what is held: that would be sent, as somebody asked for.
// By force it asks for what was delivered; what was suppressed would be sent beside it.
func (s *story) replay(id string, force bool) {
	s.t.Helper()
	for _, e := range s.events {
		parts, err := s.lane.State(e.Key())
		if err != nil {
			s.t.Fatal(err)
		}
		if slices.ContainsFunc(parts, func(d canonical.Delivery) bool {
			return d.Reason == canonical.ReasonAmbiguous || force && d.State != canonical.StateDelivered
		}) {
			continue
		}
		s.append(s.topics.Replays, eventlog.TypeReplay, e.ID, canonical.ReplayOrder{ID: id, Event: e, Destinations: []string{"hubspot"}, Force: force})
	}
}

// fail scripts one fault.
func (s *story) fail(mode, path string) {
	s.t.Helper()
	if err := s.sim.Fail(simulator.Fault{Vendor: simulator.HubSpot, Mode: mode, Path: path, Count: 1}); err != nil {
		s.t.Fatal(err)
	}
}

// contact finds the contact of an e-mail address among what was received.
func (s *story) contact() int64 {
	s.t.Helper()
	for _, r := range s.sim.Received(simulator.HubSpot) {
		if r.Kind == "contact" {
			var id int64
			fmt.Sscan(r.Object, &id)
			return id
		}
	}
	s.t.Fatal("no contact was made")
	return 0
}

// parts tells the parts in a state.
func (s *story) parts(state canonical.State) (out []string) {
	s.t.Helper()
	err := s.lane.Each(func(key canonical.EventKey, parts []canonical.Delivery) {
		for _, d := range parts {
			if d.State == state {
				out = append(out, fmt.Sprintf("%s %s %s (%s)", key.Name, d.Part, d.Reason, d.Detail))
			}
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

const minute = time.Minute

// After a buyer's story the contact's timeline holds each sentence once, at its own time:
// after a retry, an answer that was lost, a re-report, a merge and a replay.
func TestABuyersStoryStandsOnceOnTheTimeline(t *testing.T) {
	private := simulator.HubSpotAccount{Tier: simulator.Enterprise}
	professional := simulator.HubSpotAccount{Tier: simulator.Professional}
	oauth := simulator.HubSpotAccount{Kind: simulator.OAuthApp, Tier: simulator.Professional, Templates: []simulator.EventTemplate{{
		ID: "1001298", Name: "Touchpoint", ObjectType: "contacts", HeaderTemplate: "{{sentence}}",
		Tokens: []simulator.TemplateToken{{Name: "sentence", Label: "Sentence", Type: "string"}, {Name: "page", Label: "Page", Type: "string"}},
	}}}
	partner := simulator.HubSpotAccount{Kind: simulator.OAuthApp, Partner: true, EventTypes: []simulator.AppEventType{{
		Project: "tributary", Symbol: "touchpoint", HeaderTemplate: "{{sentence}}", Properties: []string{"sentence"},
	}}}
	for _, c := range []struct {
		name, config, kind, path string
		account                  simulator.HubSpotAccount
		forced                   bool // a forced replay does no harm either
		held                     int  // entries that wait for somebody
	}{
		{"private app, Enterprise", "timeline: custom_events\nportal_id: 424242\nlifecycle: {customer_won: customer}\n", "custom_event", "/send", private, true, 0},
		{"private app, Enterprise, dated paths", "timeline: custom_events\nportal_id: 424242\napi: 2026-03\nevent_name: touchpoint\n", "custom_event", "/send", private, true, 0},
		{"private app, Professional, notes held", "timeline: notes\n", "note", "/notes/batch/create", professional, false, 1},
		{"private app, Professional, notes looked for", "timeline: notes\nunanswered_notes: look\n", "note", "/notes/batch/create", professional, false, 0},
		{"OAuth app with templates", "timeline: oauth_timeline\ntier: oauth\ntemplates: {'*': '1001298'}\ntokens: {summary: sentence, page_url: page}\n", "timeline_event", "/events/batch", oauth, true, 0},
		{"partner's platform app", "timeline: app_events\ntier: oauth\ntemplates: {'*': ae9001_tributary_touchpoint}\ntokens: {summary: sentence}\n", "app_event", "/events/batch", partner, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
				time.Sleep(time.Until(start))
				s := tell(t, c.account, c.config)
				s.arrange()
				s.run()
				var want []string
				expect := func(at time.Time, sentence string) {
					want = append(want, at.UTC().Format(time.RFC3339)+" "+sentence)
				}

				// Nobody knows who clicks and reads.
				clicked := time.Now()
				s.pixel(`{"event":"page_view","event_id":"c1","anonymous_id":"v-1","url":"https://www.acme.example/?utm_source=linkedin&utm_medium=cpc&utm_campaign=Demo+days&li_fat_id=fat-1","occurred_at":"` + stampOf(clicked) + `"}`)
				expect(clicked, "Clicked ad: Demo days on linkedin")
				time.Sleep(minute)
				viewed := time.Now()
				s.pixel(`{"event":"page_view","event_id":"p1","anonymous_id":"v-1","url":"https://www.acme.example/pricing","occurred_at":"` + stampOf(viewed) + `"}`)
				expect(viewed, "Viewed: https://www.acme.example/pricing")
				time.Sleep(10 * minute)
				if waiting := s.parts(canonical.StateParked); len(waiting) != 2 || !strings.Contains(waiting[0], canonical.ReasonAwaitingIdentity) {
					t.Errorf("anonymous: %v", waiting)
				}

				// The form says who it is; HubSpot is away for a moment, and its webhook tells the contact's id.
				s.fail("503", "")
				sent := time.Now()
				s.pixel(`{"event":"form_submit","event_id":"f1","anonymous_id":"v-1","user_data":{"email":"ana@example.com","first_name":"Ana"},"form":"demo","url":"https://www.acme.example/demo","occurred_at":"` + stampOf(sent) + `"}`)
				expect(sent, "Submitted form: demo")
				time.Sleep(10 * minute)
				contact := s.contact()
				made, _ := s.sim.Record("contact", contact)
				given, err := time.Parse(time.RFC3339, made.Properties["hs_lifecyclestage_lead_date"])
				if err != nil {
					t.Fatal(err)
				}
				expect(given, "Converted: lead_captured") // the stage HubSpot gives a new contact
				s.webhooks()
				time.Sleep(10 * minute)

				// An answer gets lost after HubSpot has taken the entry.
				s.fail("drop_after_accept", c.path)
				opened := time.Now()
				s.pixel(`{"event":"email_open","event_id":"o1","email":"ana@example.com","subject":"Welcome","occurred_at":"` + stampOf(opened) + `"}`)
				expect(opened, "Opened: Welcome")
				time.Sleep(30 * minute)

				// The stage is told by HubSpot and told again by a workflow.
				if err := s.sim.Set("contact", contact, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, simulator.Change{}); err != nil {
					t.Fatal(err)
				}
				qualified := time.Now()
				expect(qualified, "Converted: qualified_lead")
				s.webhooks()
				time.Sleep(5 * minute)
				s.crm(fmt.Sprintf(`{"event":"hubspot.lifecycle_changed","occurred_at":%q,"contact":{"id":"%d","email":"ana@example.com","lifecycle_stage":"marketingqualifiedlead"}}`, stampOf(time.Now()), contact))
				time.Sleep(10 * minute)

				// The deal is won, with a value.
				won := time.Now()
				s.crm(fmt.Sprintf(`{"event":"deal.stage_changed","occurred_at":%q,"deal":{"id":"84721","stage":"closedwon","amount":36000,"currency":"USD"},"contact":{"id":"%d","email":"ana@example.com"}}`, stampOf(won), contact))
				expect(won, "Converted: customer_won - 36000.00 USD")
				time.Sleep(10 * minute)

				// The contact goes into another, which gets an id that nobody has heard of.
				other, err := s.sim.Make(simulator.Made{Change: simulator.Change{Silent: true}, Type: "contact", Properties: map[string]string{"email": "ana@home.example"}})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.sim.Merge(simulator.Merger{Primary: other, Merge: contact}); err != nil {
					t.Fatal(err)
				}
				late := time.Now() // before the merge is known here
				s.pixel(`{"event":"page_view","event_id":"p2","anonymous_id":"v-1","url":"https://www.acme.example/docs","occurred_at":"` + stampOf(late) + `"}`)
				expect(late, "Viewed: https://www.acme.example/docs")
				time.Sleep(10 * minute)
				s.webhooks()
				time.Sleep(10 * minute)
				last := time.Now()
				s.pixel(`{"event":"page_view","event_id":"p3","anonymous_id":"v-1","url":"https://www.acme.example/team","occurred_at":"` + stampOf(last) + `"}`)
				expect(last, "Viewed: https://www.acme.example/team")
				time.Sleep(10 * minute)

				// Everything once more.
				s.replay("again", false)
				time.Sleep(time.Hour)
				if c.forced {
					s.replay("force", true)
					time.Sleep(time.Hour)
				}

				var got []string
				for _, e := range s.sim.Timeline(contact) {
					if e.Kind == c.kind {
						got = append(got, e.At.UTC().Format(time.RFC3339)+" "+e.Sentence)
					}
				}
				slices.Sort(want)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("the timeline holds\n%s\nwant\n%s\nparked: %v\ndead: %v", strings.Join(got, "\n"), strings.Join(want, "\n"), s.parts(canonical.StateParked), s.parts(canonical.StateDead))
				}
				if dead := s.parts(canonical.StateDead); len(dead) > 0 {
					t.Errorf("dead: %v", dead)
				}
				if parked := s.parts(canonical.StateParked); len(parked) != c.held {
					t.Errorf("parked: %v, want %d", parked, c.held)
				}
				for _, f := range s.lane.Findings() {
					if f.Problem != "" {
						t.Errorf("finding: %+v", f)
					}
				}
				record, _ := s.sim.Record("contact", contact)
				if p := record.Properties; p["tributary_source_campaign"] != "Demo days" || p["tributary_first_touch_at"] == "" || p["firstname"] != "Ana" {
					t.Errorf("the contact's properties: %v", p)
				}
				suppressed := strings.Join(s.parts(canonical.StateSuppressed), "\n")
				if !strings.Contains(suppressed, "qualified_lead timeline re_report") {
					t.Errorf("suppressed: %s", suppressed)
				}
				if writes := strings.Contains(c.config, "lifecycle:"); strings.Contains(suppressed, "customer_won  echo") != writes {
					t.Errorf("stages are written: %v; suppressed: %s", writes, suppressed)
				}
				stats := s.sim.Stats(simulator.HubSpot)
				t.Logf("%d requests, refused %v", stats.Requests, stats.Refusals)
			})
		})
	}
}

func stampOf(at time.Time) string { return at.UTC().Format(time.RFC3339) }
