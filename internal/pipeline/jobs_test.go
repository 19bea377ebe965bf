package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// A shop is a vendor with one item a request, whose rules a test changes between acts.
type shop struct {
	mu       sync.Mutex
	bad      map[canonical.EventID]bool   // refused
	lost     map[canonical.EventID]bool   // taken, and the answer never comes
	unrouted map[string]bool              // canonical names
	refused  map[canonical.EventID]string // by Plan, whole
	part     map[canonical.EventID]string // by Plan, the part extra
	broken   map[canonical.EventID]bool   // Build fails
	extra    map[string]bool              // names with a second part
	version  map[string]int               // of the body, by name
	halt     bool
	got      map[string]int // event id/part
	order    []string
}

func newShop() *shop {
	return &shop{bad: map[canonical.EventID]bool{}, lost: map[canonical.EventID]bool{}, unrouted: map[string]bool{},
		refused: map[canonical.EventID]string{}, part: map[canonical.EventID]string{}, broken: map[canonical.EventID]bool{}, extra: map[string]bool{}, version: map[string]int{}, got: map[string]int{}}
}

func (s *shop) Contract() destinations.Contract {
	return destinations.Contract{MaxBatch: 1, NeedsRoute: true, Timeout: 5 * time.Second, Ambiguous: destinations.Hold, MaxAge: 90 * 24 * time.Hour}
}

func (s *shop) Plan(e canonical.Event, _ canonical.Known, _ canonical.Route) ([]destinations.Part, destinations.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.refused[e.ID]; r != "" {
		return nil, destinations.Refusal{Reason: r}
	}
	parts := []destinations.Part{{Name: "event", Batch: "1"}}
	if s.extra[e.Name] {
		parts = append(parts, destinations.Part{Name: "extra", Batch: "1", Refused: destinations.Refusal{Reason: s.part[e.ID]}})
	}
	return parts, destinations.Refusal{}
}

func (s *shop) Build(batch []destinations.Item) (destinations.Request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var q destinations.Request
	for _, it := range batch {
		if s.broken[it.Event.ID] {
			return q, errors.New("cannot be built")
		}
		b, err := json.Marshal(map[string]any{"id": it.Event.ID, "part": it.Part.Name, "version": s.version[it.Event.Name]})
		if err != nil {
			return q, err
		}
		q.Bodies = append(q.Bodies, b)
		q.Values = append(q.Values, destinations.Value{Amount: 1_000_000, Currency: "EUR"})
	}
	q.Body = q.Bodies[0]
	return q, nil
}

func (s *shop) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	o := destinations.Outcome{Verdict: destinations.Delivered}
	switch a.Status {
	case 400:
		o = destinations.Outcome{Verdict: destinations.Reject, Reason: "refused"}
	case 401:
		o = destinations.Outcome{Verdict: destinations.Halt, Reason: "unauthorized"}
	}
	return destinations.All(batch, o)
}

func (s *shop) send(_ context.Context, q destinations.Request) (destinations.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b struct {
		ID   canonical.EventID `json:"id"`
		Part string            `json:"part"`
	}
	if err := json.Unmarshal(q.Body, &b); err != nil {
		return destinations.Response{}, err
	}
	switch {
	case s.halt:
		return destinations.Response{Status: 401}, nil
	case s.bad[b.ID]:
		return destinations.Response{Status: 400}, nil
	case s.lost[b.ID]:
		return destinations.Response{}, context.DeadlineExceeded
	}
	s.got[string(b.ID)+"/"+b.Part]++
	s.order = append(s.order, string(b.ID))
	return destinations.Response{Status: 200}, nil
}

// taken gives what the vendor has taken since an earlier count.
func (s *shop) taken(before map[string]int) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for k, n := range s.got {
		if n -= before[k]; n != 0 {
			out[k] = n
		}
	}
	return out
}

func (s *shop) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// A counter is a process with lanes and jobs over one log.
type counter struct {
	t      *testing.T
	log    *memlog.Log
	attic  *attic
	shops  map[string]*shop
	lanes  map[string]*delivery.Lane
	jobs   *Jobs
	dead   *DeadLetters
	ledger *delivery.Ledger
	db     *pebble.DB
	stops  []func()
}

func newCounter(t *testing.T, l *memlog.Log, shops map[string]*shop, change ...func(*delivery.Lane)) *counter {
	t.Helper()
	db := newDB(t)
	index, err := OpenIndex(db, "index\x00")
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, log: l, db: db, attic: &attic{}, shops: shops, lanes: map[string]*delivery.Lane{}}
	if c.ledger, err = delivery.OpenLedger(db, "ledger\x00"); err != nil {
		t.Fatal(err)
	}
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := OpenJobView(db, "jobs\x00")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	stages := []func(context.Context) error{
		func(ctx context.Context) error { return FollowIndex(ctx, l, topics.Events, index) },
		func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) },
		func(ctx context.Context) error { return FollowLedger(ctx, l, topics.Deliveries, c.ledger, nil) },
		func(ctx context.Context) error { return FollowJobs(ctx, l, topics.Replays, jobs) },
	}
	for name, s := range shops {
		policy := delivery.DefaultPolicy()
		policy.RetryFor = 1000 * time.Hour
		lane := &delivery.Lane{Name: name, Destination: s, Mode: delivery.Live, Send: s.send, Log: l, Topics: topics, Ledger: c.ledger, People: view, Policy: policy, Owner: "test", Logger: logger,
			Routes: func(e *canonical.Event) (canonical.Route, bool) {
				s.mu.Lock()
				defer s.mu.Unlock()
				return canonical.Route{Event: e.Name}, !s.unrouted[e.Name]
			}}
		for _, f := range change {
			f(lane)
		}
		c.lanes[name] = lane
		stages = append(stages, lane.Run)
	}
	ids := 0
	replay := &Replay{Log: l, Topics: topics, Prefix: "t.", Index: index, Archive: c.attic, Lanes: c.lanes, NewID: func() string { ids++; return fmt.Sprint("rp_", ids) }}
	c.jobs = &Jobs{Log: l, Topics: topics, Prefix: "t.", View: jobs, Replay: replay, People: view.Wait, PerSecond: 1000, Ahead: 1000, Owner: "test", Health: &Health{}, Logger: logger}
	c.dead = &DeadLetters{Log: l, Topics: topics, Replay: replay, Archive: c.attic, Owner: "test"}
	c.stops = append(c.stops, run(t, append(stages, c.jobs.Run)...), func() { db.Close() })
	settle()
	return c
}

func (c *counter) stop() {
	for _, f := range c.stops {
		f()
	}
	c.stops = nil
}

func (c *counter) give(events ...canonical.Event) {
	c.t.Helper()
	for _, e := range events {
		r, err := encode(eventlog.TypeEvent, string(e.ID), e)
		if err != nil {
			c.t.Fatal(err)
		}
		if _, err := c.log.Append(c.t.Context(), topics.Events, r); err != nil {
			c.t.Fatal(err)
		}
	}
	settle()
}

// ask makes a job and waits until it is over, or previewed.
func (c *counter) ask(j canonical.ReplayJob) canonical.ReplayJob {
	c.t.Helper()
	j.Reason, j.Who = "test", "tester"
	j, err := c.jobs.Make(c.t.Context(), j)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.await(j.ID)
}

func (c *counter) await(id string) canonical.ReplayJob {
	c.t.Helper()
	for range 600 {
		j, err := c.jobs.Job(c.t.Context(), id)
		if err != nil {
			c.t.Fatal(err)
		}
		if j.State.Over() || j.State == canonical.JobPreviewed {
			return j
		}
		settle()
	}
	j, _ := c.jobs.Job(c.t.Context(), id)
	c.t.Fatalf("replay %s does not come to an end: %s %s %v", id, j.State, j.Note, c.jobs.Health.Degraded())
	return j
}

// parked says that a part of an event was tried and is tried again much later.
func (c *counter) parked(dest string, e canonical.Event) {
	c.t.Helper()
	slot, now := delivery.SlotOf(e), time.Now().UTC()
	if _, held, err := c.ledger.Holder(dest, "event", slot); err != nil || held {
		slot = ""
	}
	due := now.Add(1000 * time.Hour)
	note(c.t, c.log, canonical.Delivery{Destination: dest, Event: e.Key(), Part: "event", State: canonical.StateParked, Reason: canonical.ReasonRetry, At: now, FirstTry: &now, Due: &due,
		Attempt: 1, Content: &e, Slot: slot, BodyHash: "another"})
	settle()
}

func (c *counter) states(dest string, e canonical.Event) map[string]string {
	c.t.Helper()
	parts, err := c.lanes[dest].State(e.Key())
	if err != nil {
		c.t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range parts {
		out[d.Part] = strings.TrimSpace(string(d.State) + " " + d.Reason)
	}
	return out
}

// story makes an event of a person, some hours old.
func story(id, name string, rank int, node canonical.NodeID, age time.Duration) canonical.Event {
	e := canonical.Event{ID: canonical.EventID(id), Name: name, OccurredAt: time.Now().UTC().Add(-age), ReceivedAt: time.Now().UTC(), Source: "crm",
		Node: node, Known: &canonical.Known{Offset: -1}, ReceiptID: canonical.ReceiptID("r" + id)}
	if rank > 0 {
		e.Funnel, e.Rank, e.CountedBy = true, rank, "person"
	}
	return e
}

// The preview equals the outcome, event by event, whatever the ledger holds, the mapping
// became and slots are contested.
func TestThePreviewEqualsTheOutcome(t *testing.T) {
	seen := map[delivery.Class]int{}
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			shops := map[string]*shop{"acme": newShop(), "other": newShop()}
			c := newCounter(t, newLog(t), shops)
			defer c.stop()
			var events []canonical.Event
			names := []string{"lead_captured", "qualified_lead", "customer_won", "page_viewed"}
			for i := range 24 {
				kind := r.IntN(len(names))
				rank := kind + 1
				if names[kind] == "page_viewed" {
					rank = 0
				}
				age := time.Duration(r.IntN(48)) * time.Hour
				if r.IntN(8) == 0 {
					age = 100 * 24 * time.Hour
				}
				events = append(events, story(fmt.Sprint("e", i), names[kind], rank, canonical.NodeID(1+r.IntN(4)), age))
			}
			some := func(in int) map[canonical.EventID]bool {
				m := map[canonical.EventID]bool{}
				for _, e := range events {
					if r.IntN(in) == 0 {
						m[e.ID] = true
					}
				}
				return m
			}
			rules := func(s *shop, last bool) {
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, n := range names {
					s.unrouted[n], s.extra[n] = r.IntN(4) == 0, r.IntN(2) == 0
				}
				s.refused, s.part, s.broken = map[canonical.EventID]string{}, map[canonical.EventID]string{}, some(10)
				reasons := []string{canonical.ReasonHold, canonical.ReasonNoIdentifier, canonical.ReasonNotConfigured, canonical.ReasonAwaitingIdentity}
				for _, id := range slices.Sorted(maps.Keys(some(5))) {
					s.refused[id] = reasons[r.IntN(len(reasons))]
				}
				for _, id := range slices.Sorted(maps.Keys(some(5))) {
					s.part[id] = reasons[r.IntN(len(reasons))]
				}
				s.bad, s.lost = some(5), some(8)
				if last { // the vendor takes all: what it answers is no part of a preview
					s.bad, s.lost = map[canonical.EventID]bool{}, map[canonical.EventID]bool{}
					s.version[names[0]] = 2
				}
			}
			for _, name := range slices.Sorted(maps.Keys(shops)) {
				rules(shops[name], false)
			}
			retried := some(8)
			for _, e := range events { // one at a time: a vendor that breaks off a connection is waited for
				if retried[e.ID] {
					c.parked("acme", e)
				}
				c.give(e)
			}
			time.Sleep(5 * time.Minute)
			for _, name := range slices.Sorted(maps.Keys(shops)) {
				rules(shops[name], true)
			}
			j := canonical.ReplayJob{Kind: "replay", Force: r.IntN(3) == 0}
			if r.IntN(3) == 0 {
				j.Selection.States = []string{[]string{"dead", "parked", "suppressed", "delivered", "none", "parked:ambiguous"}[r.IntN(6)], "dead"}
			}
			j = c.ask(j)
			if j.State != canonical.JobPreviewed {
				t.Fatalf("seed %d: %s %s", seed, j.State, j.Note)
			}
			// The same, event by event.
			w := &worker{owner: &owner{Jobs: c.jobs}, job: j}
			previews, walk := w.previews(), c.jobs.walk(j, canonical.JobPlace{})
			found, _, err := walk.next(t.Context(), 1000)
			if err != nil {
				t.Fatal(err)
			}
			type row struct {
				event canonical.Event
				dest  string
				delivery.Foreseen
				was map[string]string
			}
			var rows []row
			for _, f := range found {
				for _, d := range j.Destinations {
					reached, err := c.jobs.reached(t.Context(), d, topics.Events)
					if err != nil {
						t.Fatal(err)
					}
					parts, _, _, err := w.foresee(t.Context(), previews[d], d, f, reached)
					if err != nil {
						t.Fatal(err)
					}
					for _, p := range parts {
						rows = append(rows, row{f.event, d, p, c.states(d, f.event)})
						seen[p.Class]++
					}
				}
			}
			before := map[string]map[string]int{}
			for name, s := range shops {
				before[name] = maps.Clone(s.got)
			}
			if _, err := c.jobs.Start(t.Context(), j.ID, "tester"); err != nil {
				t.Fatal(err)
			}
			if j = c.await(j.ID); j.State != canonical.JobDone {
				t.Fatalf("seed %d: %s %s", seed, j.State, j.Note)
			}
			if want, got := fmt.Sprint(j.Foreseen), fmt.Sprint(j.Asked); want != got {
				t.Errorf("seed %d: foreseen\n%s, asked\n%s", seed, want, got)
			}
			took := map[string]map[string]int{}
			for name, s := range shops {
				took[name] = s.taken(before[name])
			}
			for _, x := range rows {
				key := string(x.event.ID) + "/" + x.Part
				sent := 0
				if x.Ask && x.Class.Sends() {
					sent = 1
				}
				if got := took[x.dest][key]; got != sent {
					t.Errorf("seed %d: %s of %s at %s was foreseen as %s %s (%s %s) and sent %d times", seed, x.Part, x.event.ID, x.dest, x.Class, x.Reason, x.Was, x.WasReason, got)
				}
				delete(took[x.dest], key)
				is := c.states(x.dest, x.event)
				part := x.Part
				if _, own := is[part]; !own {
					part = ""
				}
				want := x.was[part]
				switch {
				case sent == 1:
					part, want = x.Part, "delivered"
				case x.Class == delivery.Waits && x.Ask:
					want = "parked " + x.Reason
					if x.Was == canonical.StateDelivered { // by force: what was delivered stays so
						part = x.Part + "!" + j.ID
					}
				case x.Whole && x.Was == canonical.StateParked && x.Part != "" && is[x.Part] != "": // it waited as a whole, and a part beside it is sent
					want = "suppressed " + x.Reason
					switch x.Class {
					case delivery.Unbuildable:
						want = "dead unbuildable"
					case delivery.Waits:
						want = "parked " + x.Reason
					}
				case x.Class == delivery.Suppressed:
					if is[part] != want { // asked beside a part that is sent
						want = "suppressed " + x.Reason
					}
				}
				if is[part] != want && (sent == 1 || is[""] != want) { // the event may be refused whole
					t.Errorf("seed %d: %s of %s at %s was foreseen as %s %s and is %v, want %q", seed, x.Part, x.event.ID, x.dest, x.Class, x.Reason, is, want)
				}
			}
			for name, rest := range took {
				if len(rest) > 0 {
					t.Errorf("seed %d: %s took %v, which nothing foresaw (force %t, states %v)", seed, name, rest, j.Force, j.Selection.States)
				}
			}
		})
	}
	for _, class := range []delivery.Class{delivery.Same, delivery.ChangedBody, delivery.NewlyEligible, delivery.Waits, delivery.NowSuppressed, delivery.Suppressed, delivery.TooOld, delivery.AlreadyThere, delivery.Unbuildable} {
		if seen[class] == 0 {
			t.Errorf("no event was foreseen as %s: the test does not test it", class)
		}
	}
	t.Log(seen)
}

func TestABackfillGivesADestinationWhatCameBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		c := newCounter(t, l, map[string]*shop{"acme": newShop()})
		for i := range 40 {
			c.give(story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Duration(i)*5*24*time.Hour))
		}
		// Two reports of one stage: the first that was received takes the slot again.
		c.give(story("first", "qualified_lead", 2, 9, time.Hour), story("second", "qualified_lead", 2, 9, time.Hour))
		c.stop()
		c = newCounter(t, l, map[string]*shop{"acme": c.shops["acme"], "added": newShop()})
		defer c.stop()
		j := c.ask(canonical.ReplayJob{Kind: "backfill", Selection: canonical.Selection{States: []string{"none"}}, Destinations: []string{"added"}, Run: true})
		if got := j.Asked["added"].Classes; got["newly_eligible"] != 19 || got["too_old"] != 22 || got["suppressed"] != 1 || j.Orders != 19 {
			t.Errorf("asked %v with %d orders", got, j.Orders)
		}
		if got := j.Outcome["added"]; got["delivered"] != 19 {
			t.Errorf("outcome %v", got)
		}
		got := c.shops["added"].got
		if got["first/event"] != 1 || got["second/event"] != 0 || len(got) != 19 {
			t.Errorf("it got %v", got)
		}
		if j.Foreseen["added"].Values["EUR"] != 19_000_000 {
			t.Errorf("values %v", j.Foreseen["added"].Values)
		}
	})
}

func TestAJobReachesBehindTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		c := newCounter(t, l, map[string]*shop{"acme": newShop()})
		defer func() { c.stop() }()
		var events []canonical.Event
		for i := range 30 {
			events = append(events, story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Hour))
		}
		c.give(events...)
		// Half of the log is trimmed; the warehouse has it. One more copy of each comes later.
		first, end, _ := l.Bounds(t.Context(), topics.Events)
		kept := map[canonical.Position][]byte{}
		for p := range end {
			records, err := l.Read(t.Context(), topics.Events, p, first[p], 1000, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				kept[canonical.Position{Partition: p, Offset: r.Offset}] = r.Value
			}
			l.Trim(topics.Events, p, (first[p]+end[p])/2)
		}
		for _, e := range events {
			e.ReceiptID += "again"
			c.give(e)
		}
		c.stop()
		c = newCounter(t, l, map[string]*shop{"acme": c.shops["acme"], "added": newShop()}) // local state is gone
		c.attic.kept = kept
		j := c.ask(canonical.ReplayJob{Kind: "backfill", Destinations: []string{"added"}, Run: true})
		if j.State != canonical.JobDone || j.Events != 30 || len(c.shops["added"].got) != 30 {
			t.Errorf("%s %s: %d events, it got %d", j.State, j.Note, j.Events, len(c.shops["added"].got))
		}
	})
}

// A process that dies over a job leaves it to the next, which asks for nothing twice and
// counts everything once.
func TestAJobIsTakenOn(t *testing.T) {
	for _, after := range []time.Duration{1500 * time.Millisecond, 2100 * time.Millisecond, 3 * time.Second, 5 * time.Second, 8 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newLog(t)
			shops := map[string]*shop{"acme": newShop()}
			c := newCounter(t, l, shops)
			shops["acme"].change(func() { shops["acme"].unrouted["page_viewed"] = true })
			var events []canonical.Event
			for i := range 900 {
				events = append(events, story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Hour))
			}
			c.give(events...)
			shops["acme"].change(func() { shops["acme"].unrouted["page_viewed"] = false })
			c.jobs.PerSecond = 200
			c.stop()
			c = newCounter(t, l, shops)
			c.jobs.PerSecond = 200
			j, err := c.jobs.Make(t.Context(), canonical.ReplayJob{Kind: "replay", Run: true, Reason: "test", Who: "tester"})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			c.stop() // local state is gone with it
			c = newCounter(t, l, shops)
			defer c.stop()
			if j = c.await(j.ID); j.State != canonical.JobDone {
				t.Fatalf("%s %s", j.State, j.Note)
			}
			for id, n := range shops["acme"].got {
				if n != 1 {
					t.Errorf("%s was sent %d times", id, n)
				}
			}
			if len(shops["acme"].got) != 900 || j.Events != 900 || j.Orders != 900 || j.Asked["acme"].Classes["newly_eligible"] != 900 || j.Outcome["acme"]["delivered"] != 900 {
				t.Errorf("after %v: it got %d; %d events, %d orders, %v, %v", after, len(shops["acme"].got), j.Events, j.Orders, j.Asked, j.Outcome)
			}
		})
	}
}

func TestAJobIsCancelledAndKeepsItsDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, newLog(t), map[string]*shop{"acme": newShop()})
		defer c.stop()
		acme := c.shops["acme"]
		acme.change(func() { acme.unrouted["page_viewed"] = true })
		var events []canonical.Event
		for i := range 3000 {
			events = append(events, story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Hour))
		}
		c.give(events...)
		acme.change(func() { acme.unrouted["page_viewed"], acme.halt = false, true })
		j, err := c.jobs.Make(t.Context(), canonical.ReplayJob{Kind: "replay", Run: true, Reason: "test", Who: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if j, err = c.jobs.Job(t.Context(), j.ID); err != nil || j.State != canonical.JobRunning || !strings.Contains(j.Note, "unauthorized") || int64(j.Orders) > c.jobs.Ahead+2*runBatch {
			t.Errorf("%s with %d orders: %s %v", j.State, j.Orders, j.Note, err)
		}
		if _, err := c.jobs.Cancel(t.Context(), j.ID, "somebody", "enough"); err != nil {
			t.Fatal(err)
		}
		orders := len(read[canonical.ReplayOrder](t, c.log, topics.Replays, eventlog.TypeReplay))
		time.Sleep(time.Minute)
		if now := len(read[canonical.ReplayOrder](t, c.log, topics.Replays, eventlog.TypeReplay)); now != orders {
			t.Errorf("%d orders were appended after it was cancelled", now-orders)
		}
		if j = c.await(j.ID); j.State != canonical.JobCancelled || j.By != "somebody" {
			t.Errorf("it is %s by %s", j.State, j.By)
		}
		if _, err := c.jobs.Start(t.Context(), j.ID, "x"); !errors.Is(err, ErrWrongState) {
			t.Errorf("a cancelled replay is run: %v", err)
		}
		committed, _ := c.log.Committed(t.Context(), JobsGroup("t."), topics.Replays)
		_, end, _ := c.log.Bounds(t.Context(), topics.Replays)
		if !slices.Equal(committed, end) {
			t.Errorf("the jobs' group holds the log at %v of %v", committed, end)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter(t, newLog(t), map[string]*shop{"acme": newShop(), "other": newShop()})
		defer c.stop()
		acme := c.shops["acme"]
		acme.change(func() {
			acme.extra["page_viewed"] = true
			acme.bad["e0"], acme.bad["e1"], acme.bad["e2"], acme.lost["e3"] = true, true, true, true
			acme.part["e2"] = canonical.ReasonHold
		})
		for i := range 5 {
			c.give(story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Hour))
			time.Sleep(time.Minute)
		}
		list := func(which string) Letters {
			t.Helper()
			l, err := c.dead.List(t.Context(), nil, canonical.Selection{List: which}, "", 2)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		l := list("dead")
		if len(l.Items) != 2 || l.Counts["acme"]["refused"] != 5 || l.Next == "" || l.Items[0].Event.ID != "e0" {
			t.Errorf("dead: %+v", l)
		}
		more, err := c.dead.List(t.Context(), nil, canonical.Selection{List: "dead"}, l.Next, 100)
		if err != nil || len(more.Items) != 3 || more.Next != "" || more.Counts != nil {
			t.Errorf("the rest: %+v %v", more, err)
		}
		if held := list("held"); held.Counts["acme"]["ambiguous"] != 2 || held.Counts["acme"]["hold"] != 1 {
			t.Errorf("held: %+v", held.Counts)
		}
		h, err := c.dead.Show(t.Context(), "acme", "e0", "", "*", false)
		if err != nil || len(h.Letters) != 2 || h.Letters[0].Body != nil {
			t.Errorf("show: %+v %v", h, err)
		}
		if h, err = c.dead.Show(t.Context(), "acme", "e0", "", "event", true); err != nil || len(h.Letters) != 1 || len(h.Letters[0].Body) == 0 {
			t.Errorf("show with its body: %+v %v", h, err)
		}
		if _, err := c.dead.Show(t.Context(), "acme", "nothing", "", "*", false); !errors.Is(err, ErrNoLetter) {
			t.Errorf("show of nothing: %v", err)
		}

		// A retry asks for what is on the list and leaves alone what is held beside it.
		acme.change(func() { clear(acme.bad); clear(acme.lost) })
		j := c.ask(canonical.ReplayJob{Kind: "retry", Run: true, Selection: canonical.Selection{List: "dead", IDs: []canonical.EventID{"e0", "e2"}}, Destinations: []string{"acme"}})
		if j.State != canonical.JobDone || j.Outcome["acme"]["delivered"] != 3 {
			t.Errorf("retry: %s %v %v", j.State, j.Note, j.Outcome)
		}
		if got := c.states("acme", story("e2", "page_viewed", 0, 1, 0)); got["event"] != "delivered" || got["extra"] != "parked hold" {
			t.Errorf("beside what was retried: %v", got)
		}

		// Discarding takes what was seen, and no more.
		var differs *CountDiffers
		q := Discarding{Selection: canonical.Selection{List: "dead"}, Expect: 5, Reason: "test", Who: "tester"}
		if _, err := c.dead.Discard(t.Context(), q); !errors.As(err, &differs) || differs.Found != 2 {
			t.Errorf("a race: %v", err)
		}
		q.Expect = 2
		if n, err := c.dead.Discard(t.Context(), q); err != nil || n != 2 {
			t.Errorf("discarded %d: %v", n, err)
		}
		if l := list("dead"); len(l.Items) != 0 {
			t.Errorf("still there: %+v", l.Items)
		}
		h, _ = c.dead.Show(t.Context(), "acme", "e1", "", "event", false)
		if len(h.Letters) != 1 || h.Letters[0].Reason != canonical.ReasonDiscarded || h.Letters[0].Who != "tester" || h.Letters[0].Detail != "test" {
			t.Errorf("discarded: %+v", h.Letters)
		}
		// What is held as ambiguous is left alone by a replay of many, and taken when named.
		before := maps.Clone(acme.got)
		c.ask(canonical.ReplayJob{Kind: "replay", Run: true, Destinations: []string{"acme"}})
		if got := acme.taken(before); got["e3/event"] != 0 {
			t.Errorf("an ambiguous item was sent again unasked: %v", got)
		}
		c.ask(canonical.ReplayJob{Kind: "retry", Run: true, Selection: canonical.Selection{List: "held"}, Destinations: []string{"acme"}})
		if got := acme.taken(before); got["e3/event"] != 1 {
			t.Errorf("a held item was not retried: %v", got)
		}
	})
}

func TestSelectionsThatCannotBeUsed(t *testing.T) {
	at := time.Now()
	for field, sel := range map[string]canonical.Selection{
		"ids": {IDs: make([]canonical.EventID, MostIDs+1)}, "by": {By: "noon"}, "list": {List: "lost"}, "reasons": {Reasons: []string{"refused"}},
		"until": {Since: &at, Until: &at}, "states": {States: []string{"gone"}},
	} {
		var bad *BadSelection
		if err := checkSelection(sel); !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Any process takes a request and shows it; one runs it, and the other follows.
func TestTwoProcessesShareJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, shops := newLog(t), map[string]*shop{"acme": newShop()}
		acme := shops["acme"]
		acme.unrouted["page_viewed"] = true
		one, two := newCounter(t, l, shops), newCounter(t, l, shops)
		defer two.stop()
		one.jobs.PerSecond, two.jobs.PerSecond = 50, 50
		var events []canonical.Event
		for i := range 1200 {
			events = append(events, story(fmt.Sprint("e", i), "page_viewed", 0, 1, time.Hour))
		}
		one.give(events...)
		acme.change(func() { acme.unrouted["page_viewed"] = false })
		j, err := two.jobs.Make(t.Context(), canonical.ReplayJob{Kind: "replay", Reason: "test", Who: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		if j = one.await(j.ID); j.State != canonical.JobPreviewed || j.By != "test" {
			t.Fatalf("%s by %s", j.State, j.By)
		}
		if _, err := two.jobs.Start(t.Context(), j.ID, "tester"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Second)
		one.stop() // in the middle of it
		if j = two.await(j.ID); j.State != canonical.JobDone || j.Orders != 1200 || j.Outcome["acme"]["delivered"] != 1200 {
			t.Errorf("%s %s: %d orders, %v", j.State, j.Note, j.Orders, j.Outcome)
		}
		for id, n := range acme.got {
			if n != 1 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
		if list, err := two.jobs.List(t.Context(), "", 10); err != nil || len(list) != 1 || list[0].ID != j.ID {
			t.Errorf("listed %v %v", list, err)
		}
	})
}
