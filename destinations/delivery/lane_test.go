package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// A bench is a lane with a vendor that answers as told, over a log in memory.
type bench struct {
	t      *testing.T
	log    *memlog.Log
	topics eventlog.Topics
	ledger *Ledger
	people *people
	vendor *vendor
	lane   *Lane
	stop   []func()
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, log: memlog.New(), topics: eventlog.Named("t."), people: newPeople(), vendor: &vendor{}}
	if err := b.log.Ensure(t.Context(), b.topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	b.start()
	return b
}

// start opens a fresh ledger and runs the lane, as a process does that finds no local state.
func (b *bench) start(change ...func(*Lane)) {
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.ledger, err = OpenLedger(db, "l\x00"); err != nil {
		b.t.Fatal(err)
	}
	policy := DefaultPolicy()
	b.lane = &Lane{
		Name: "acme", Destination: b.vendor, Mode: Live, Log: b.log, Topics: b.topics, Ledger: b.ledger, People: b.people,
		Policy: policy, Owner: "test", Logger: slog.New(slog.DiscardHandler), Send: b.vendor.send,
		Routes: func(e *canonical.Event) (canonical.Route, bool) {
			return canonical.Route{Event: e.Name}, e.Name != "page_viewed"
		},
	}
	for _, f := range change {
		f(b.lane)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for p := range 2 {
		wg.Go(func() { b.follow(ctx, p) })
	}
	wg.Go(func() {
		if err := b.lane.Run(ctx); err != nil && ctx.Err() == nil {
			b.t.Errorf("the lane stopped: %v", err)
		}
	})
	b.stop = append(b.stop, func() { cancel(); wg.Wait(); db.Close() })
}

func (b *bench) follow(ctx context.Context, p int) {
	for ctx.Err() == nil {
		records, err := b.log.Read(ctx, b.topics.Deliveries, p, b.ledger.Next(p), 100, time.Minute)
		if err == nil && len(records) > 0 {
			err = b.ledger.Apply(records)
		}
		if err != nil && ctx.Err() == nil {
			b.t.Errorf("follow: %v", err)
			return
		}
	}
}

func (b *bench) end() {
	for _, f := range b.stop {
		f()
	}
	b.stop = nil
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// give appends events and lets the lane work until nothing moves.
func (b *bench) give(events ...canonical.Event) {
	b.t.Helper()
	for _, e := range events {
		b.appendAll([]canonical.Event{e})
	}
	b.settle()
}

func (b *bench) appendAll(events []canonical.Event) {
	b.t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		v, _ := json.Marshal(e)
		records[i] = eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeEvent, Version: eventlog.Schema}
	}
	if _, err := b.log.Append(b.t.Context(), b.topics.Events, records...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) replay(id string, e canonical.Event, force bool) {
	b.t.Helper()
	v, _ := json.Marshal(canonical.ReplayOrder{ID: id, Event: e, Destinations: []string{"acme"}, Force: force})
	if _, err := b.log.Append(b.t.Context(), b.topics.Replays, eventlog.Record{Key: []byte(e.ID), Value: v, Type: eventlog.TypeReplay, Version: eventlog.Schema}); err != nil {
		b.t.Fatal(err)
	}
	b.settle()
}

// settle gives the lane a second of virtual time, enough for a poll and a wake-up.
func (b *bench) settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

// states lists what stands of an event, part by part.
func (b *bench) states(e canonical.Event) string {
	b.t.Helper()
	parts, err := b.lane.State(e.Key())
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, d := range parts {
		s := string(d.State)
		if d.Reason != "" {
			s += " " + d.Reason
		}
		if d.Part != "" && d.Part != "event" {
			s = d.Part + " " + s
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (b *bench) want(e canonical.Event, want string) {
	b.t.Helper()
	if got := b.states(e); got != want {
		b.t.Errorf("event %s is %q, want %q", e.ID, got, want)
	}
}

// funnel makes an event of a person's way, hours after a fixed start.
func funnel(id, name string, rank int, node canonical.NodeID, hour int) canonical.Event {
	at := time.Now().UTC().Add(time.Duration(hour-100) * time.Hour)
	return canonical.Event{
		ID: canonical.EventID(id), Name: name, OccurredAt: at, ReceivedAt: time.Now().UTC(), Funnel: true, Rank: rank, CountedBy: "person", RawStage: name,
		Node: node, Known: &canonical.Known{Offset: -1}, Object: canonical.Object{Type: "contact", ID: "1"}, ReceiptID: canonical.ReceiptID("r" + id),
	}
}

// stageOf is what identity keeps of a funnel event.
func stageOf(e canonical.Event) canonical.StageReached {
	return canonical.StageReached{Name: e.Name, Raw: e.RawStage, Rank: e.Rank, At: e.OccurredAt, Reported: e.TimeBasis == "reported", EventID: e.ID}
}

// people is an identity graph that is told what to know.
type people struct {
	mu       sync.Mutex
	clusters map[canonical.NodeID][]canonical.NodeID
	history  []canonical.StageReached
	known    map[canonical.NodeID]canonical.Known
	touched  []canonical.NodeID
	holder   map[canonical.NodeID]canonical.NodeID // of shared devices
}

func newPeople() *people {
	return &people{clusters: map[canonical.NodeID][]canonical.NodeID{}, known: map[canonical.NodeID]canonical.Known{}}
}

// change says something else of people while a lane may be asking.
func (p *people) change(f func(p *people)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func (p *people) Offset() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.touched)) - 1
}
func (p *people) Wait(context.Context, int64) error { return nil }
func (p *people) Known(e canonical.Event) canonical.Known {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[e.Node]
}
func (p *people) Cluster(n canonical.NodeID) []canonical.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.clusters[n]; c != nil {
		return c
	}
	return []canonical.NodeID{n}
}
func (p *people) Counted(n canonical.NodeID, _ time.Time) canonical.Counted {
	c := canonical.Counted{Node: n, Nodes: p.Cluster(n), Stages: p.History()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if who := p.holder[n]; who != 0 {
		c.Node, c.Nodes = who, []canonical.NodeID{who}
	}
	for device, who := range p.holder {
		if who == c.Node {
			c.Shared = append(c.Shared, device)
		}
	}
	return c
}
func (p *people) History(...canonical.NodeID) []canonical.StageReached {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history
}
func (p *people) Touched(from, to int64) []canonical.NodeID {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.touched[from+1 : to+1]
}
func (p *people) learn(n canonical.NodeID, contact string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[n] = canonical.Known{Identifiers: []canonical.Identifier{{Scheme: canonical.HubSpotContact, Value: contact}}}
	p.touched = append(p.touched, n)
}

// vendor is a destination whose answers are scripted; it refuses what a vendor with
// all-or-nothing batches would.
type vendor struct {
	mu       sync.Mutex
	contract destinations.Contract
	identify bool // needs a contact id
	answers  []int
	bad      map[canonical.EventID]bool
	got      []canonical.EventID          // accepted, in order
	told     map[canonical.EventID]string // the name under which each was told
	contact  map[canonical.EventID]canonical.NodeID
	sizes    []int
	times    []time.Time
	parts    []destinations.Part
	breaks   error
	lose     bool          // what the next unanswered request holds arrives all the same
	after    time.Duration // what a 429 asks for; 0: a minute
}

// answer scripts the next answers, also while the lane is at work.
func (v *vendor) answer(statuses ...int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answers = statuses
}

// requests is how many were made.
func (v *vendor) requests() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.sizes)
}

// plan changes what an event becomes.
func (v *vendor) plan(parts ...destinations.Part) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.parts = parts
}

// forgive lets the vendor take what it refused.
func (v *vendor) forgive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad = nil
}

func (v *vendor) Contract() destinations.Contract {
	c := v.contract
	if c.MaxBatch == 0 {
		c.MaxBatch = 100
	}
	c.NeedsRoute, c.Timeout = true, 5*time.Second
	if c.Ambiguous == "" {
		c.Ambiguous = destinations.Resend
	}
	return c
}

func (v *vendor) Plan(e canonical.Event, k canonical.Known, _ canonical.Route) ([]destinations.Part, destinations.Refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.identify && k.First(canonical.HubSpotContact) == "" {
		return nil, destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity}
	}
	if v.parts != nil {
		return v.parts, destinations.Refusal{}
	}
	return []destinations.Part{{Name: "event"}}, destinations.Refusal{}
}

func (v *vendor) Build(batch []destinations.Item) (destinations.Request, error) {
	var q destinations.Request
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, i := range batch {
		q.Bodies = append(q.Bodies, []byte(`"`+string(i.Event.ID)+`"`))
		if v.told == nil {
			v.told, v.contact = map[canonical.EventID]string{}, map[canonical.EventID]canonical.NodeID{}
		}
		v.told[i.Event.ID], v.contact[i.Event.ID] = i.Event.Name, i.Known.Contact
	}
	q.Body = []byte(fmt.Sprintf("%s", q.Bodies))
	return q, nil
}

func (v *vendor) send(ctx context.Context, q destinations.Request) (destinations.Response, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.times = append(v.times, time.Now())
	v.sizes = append(v.sizes, len(q.Bodies))
	status := 200
	if len(v.answers) > 0 {
		status, v.answers = v.answers[0], v.answers[1:]
	}
	if status == 0 {
		for _, b := range q.Bodies {
			if v.lose {
				v.got = append(v.got, canonical.EventID(strings.Trim(string(b), `"`)))
			}
		}
		return destinations.Response{}, v.breaks
	}
	var ids []canonical.EventID
	for _, b := range q.Bodies {
		id := canonical.EventID(strings.Trim(string(b), `"`))
		if v.bad[id] {
			status = 400
		}
		ids = append(ids, id)
	}
	if status == 200 {
		v.got = append(v.got, ids...)
	}
	return destinations.Response{Status: status}, nil
}

func (v *vendor) Classify(batch []destinations.Item, a destinations.Response) []destinations.Outcome {
	switch {
	case a.Status == 200:
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Delivered})
	case a.Status == 202: // a page that says nothing of any item
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Retry, Reason: "unreadable", Unknown: true})
	case a.Status == 401:
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Halt, Reason: "unauthorized"})
	case a.Status == 429:
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Retry, Reason: "busy", After: cmp.Or(v.after, time.Minute)})
	case a.Status/100 == 5:
		return destinations.All(batch, destinations.Outcome{Verdict: destinations.Retry, Reason: "down", Unknown: true})
	}
	return destinations.All(batch, destinations.Outcome{Verdict: destinations.Split, Reason: "refused"})
}

func inBubble(t *testing.T, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.end()
		b.settle()
		f(t, b)
	})
}

func TestOneFactIsSentOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		mql := funnel("a", "qualified_lead", 2, 1, 1)
		again := funnel("b", "qualified_lead", 2, 2, 3) // another id, another node of the same person
		b.people.change(func(p *people) {
			p.clusters[1], p.clusters[2] = []canonical.NodeID{1, 2}, []canonical.NodeID{1, 2}
		})
		b.give(mql, mql, again)
		b.want(mql, "delivered")
		b.want(again, "suppressed re_report")
		page := funnel("p", "page_viewed", 0, 1, 1)
		b.give(page)
		b.want(page, "suppressed not_mapped")
		b.replay("rp1", mql, false)
		if len(b.vendor.got) != 1 {
			t.Errorf("the vendor got %v, want one", b.vendor.got)
		}
		b.replay("rp2", mql, true)
		b.replay("rp2", mql, true)
		if len(b.vendor.got) != 2 {
			t.Errorf("after a forced replay, read twice, the vendor got %v, want two", b.vendor.got)
		}
		b.want(mql, "delivered, event!rp2 delivered")
	})
}

// Two people had slots of their own when they became one: what took its slot keeps it, also
// while it waits to be sent again, in whatever order their nodes stand; nobody takes a third.
func TestAMergeTakesNoSlotBack(t *testing.T) {
	for _, cluster := range [][]canonical.NodeID{{1, 2}, {2, 1}} {
		inBubble(t, func(t *testing.T, b *bench) {
			one, two, late := funnel("a", "qualified_lead", 2, 1, 1), funnel("b", "qualified_lead", 2, 2, 3), funnel("c", "qualified_lead", 2, 1, 4)
			b.give(two)
			b.vendor.answer(503)
			b.appendAll([]canonical.Event{one})
			synctest.Wait()
			if got := b.states(one); got != "parked retry" {
				t.Fatalf("it is %q", got)
			}
			b.people.change(func(p *people) { p.clusters[1], p.clusters[2] = cluster, cluster })
			b.give(late)
			b.want(one, "delivered")
			b.want(two, "delivered")
			b.want(late, "suppressed re_report")
		})
	}
}

// A slot that was taken under a device, before somebody else came to use it, is that of the
// person in whose hands it was then, and of nobody else.
func TestASlotOfADeviceThatIsSharedNow(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		const device, kim, lou = 1, 2, 3
		b.people.change(func(p *people) { p.holder = map[canonical.NodeID]canonical.NodeID{} })
		first := funnel("a", "qualified_lead", 2, device, 1)
		b.people.change(func(p *people) { p.history = append(p.history, stageOf(first)) })
		b.give(first)
		b.people.change(func(p *people) { p.holder[device] = kim }) // shared now
		again, onDevice, other := funnel("b", "qualified_lead", 2, kim, 3), funnel("c", "qualified_lead", 2, device, 3), funnel("d", "qualified_lead", 2, lou, 3)
		b.give(again, onDevice, other)
		b.people.change(func(p *people) { p.history, p.holder[device] = nil, lou }) // of lou nothing of it is told
		late := funnel("e", "qualified_lead", 2, device, 4)
		b.give(late)
		b.want(first, "delivered")
		b.want(again, "suppressed re_report")
		b.want(onDevice, "suppressed re_report")
		b.want(other, "delivered")
		b.want(late, "suppressed re_report") // lou's own
		if len(b.vendor.got) != 2 {
			t.Errorf("the vendor got %v, want two", b.vendor.got)
		}
	})
}

func TestRecycledAndRepeatedStagesAreNotSent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		mql1, sql1 := funnel("m1", "qualified_lead", 2, 1, 1), funnel("s1", "sales_qualified_lead", 3, 1, 2)
		mql2, sql2 := funnel("m2", "qualified_lead", 2, 1, 3), funnel("s2", "sales_qualified_lead", 3, 1, 4)
		for _, e := range []canonical.Event{mql1, sql1, mql2, sql2} {
			b.people.change(func(p *people) { p.history = append(p.history, stageOf(e)) })
		}
		b.give(mql1, sql1, mql2, sql2)
		b.want(mql1, "delivered")
		b.want(sql1, "delivered")
		b.want(mql2, "suppressed recycled")
		b.want(sql2, "suppressed repeat")
	})
}

func TestAVendorThatIsDownGetsOneProbeAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answers = []int{503, 503, 503, 503}
		var events []canonical.Event
		for i := range 20 {
			events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(100+i), 1))
		}
		b.give(events...)
		time.Sleep(20 * time.Minute)
		b.settle()
		for _, e := range events {
			b.want(e, "delivered")
		}
		for i, n := range b.vendor.sizes[1:min(4, len(b.vendor.sizes))] {
			if n != 1 {
				t.Errorf("probe %d held %d items, want 1", i+1, n)
			}
		}
		if len(b.vendor.got) != 20 {
			t.Errorf("the vendor took %d items, want 20", len(b.vendor.got))
		}
	})
}

func TestTheVendorsOwnWaitIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answers = []int{429}
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "parked retry")
		time.Sleep(2 * time.Minute)
		b.settle()
		b.want(e, "delivered")
		if wait := b.vendor.times[1].Sub(b.vendor.times[0]); wait < time.Minute {
			t.Errorf("tried again after %v, want at least a minute", wait)
		}
	})
}

func TestABadItemIsFoundByHalves(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.bad = map[canonical.EventID]bool{"e7": true}
		var events []canonical.Event
		for i := range 64 {
			events = append(events, funnel(fmt.Sprint("e", i), "qualified_lead", 2, canonical.NodeID(100+i), 1))
		}
		b.give(events...)
		b.want(events[7], "dead refused")
		if len(b.vendor.got) != 63 {
			t.Errorf("the vendor took %d of the 63 good items", len(b.vendor.got))
		}
		if n := len(b.vendor.sizes); n > 2*2*8 {
			t.Errorf("one bad item of 64 took %d requests", n)
		}
		d, _, _ := b.ledger.Part("acme", events[7].Key(), "event")
		if string(d.Body) != `"e7"` {
			t.Errorf("the dead letter's body is %s", d.Body)
		}
		fixed := events[7]
		b.vendor.forgive()
		b.replay("rp", fixed, false)
		b.want(fixed, "delivered")
	})
}

func TestAHaltedLaneKeepsItsBacklogUntilResumed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.answers = []int{401}
		first, later := funnel("e1", "qualified_lead", 2, 1, 1), funnel("e2", "qualified_lead", 2, 2, 1)
		b.give(first)
		b.give(later)
		time.Sleep(10 * time.Minute)
		b.settle()
		if b.lane.Halted() != "unauthorized" || len(b.vendor.sizes) != 1 {
			t.Errorf("halted %q after %d requests", b.lane.Halted(), len(b.vendor.sizes))
		}
		b.resume()
		b.settle()
		b.want(first, "delivered")
		b.want(later, "delivered")
	})
}

func TestAnonymousEventsWaitForTheirPerson(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.identify, b.lane.Policy.AwaitFor = true, 10*time.Minute
		known, stranger := funnel("e1", "qualified_lead", 2, 1, 1), funnel("e2", "qualified_lead", 2, 2, 1)
		b.give(known, stranger)
		b.want(known, "parked awaiting_identity")
		b.people.learn(1, "102")
		b.settle()
		b.want(known, "delivered")
		time.Sleep(11 * time.Minute)
		b.settle()
		b.want(stranger, "suppressed no_identifier")
	})
}

func TestAmbiguousAttemptsAreResentOrHeld(t *testing.T) {
	for how, want := range map[destinations.Ambiguous]string{destinations.Resend: "delivered", destinations.Hold: "parked ambiguous"} {
		inBubble(t, func(t *testing.T, b *bench) {
			b.vendor.contract.Ambiguous = how
			b.vendor.answers, b.vendor.breaks = []int{0}, context.DeadlineExceeded
			e := funnel("e", "qualified_lead", 2, 1, 1)
			b.give(e)
			time.Sleep(time.Minute)
			b.settle()
			b.want(e, want)
			d, _, _ := b.ledger.Part("acme", e.Key(), "event")
			if !d.Ambiguous {
				t.Errorf("%s: the part is not marked ambiguous", how)
			}
		})
	}
	inBubble(t, func(t *testing.T, b *bench) { // never left this machine: not ambiguous, even where those are held
		b.vendor.contract.Ambiguous = destinations.Hold
		b.vendor.answers, b.vendor.breaks = []int{0}, errors.Join(ErrNotSent, errors.New("connection refused"))
		e := funnel("e", "qualified_lead", 2, 1, 1)
		b.give(e)
		time.Sleep(time.Minute)
		b.settle()
		b.want(e, "delivered")
	})
}

func TestARebuiltLedgerSendsNothingAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.bad = map[canonical.EventID]bool{"dead": true}
		events := []canonical.Event{funnel("a", "qualified_lead", 2, 1, 1), funnel("dead", "qualified_lead", 2, 2, 1), funnel("c", "customer_won", 7, 1, 5)}
		b.give(events...)
		before := len(b.vendor.sizes)
		b.end()
		b.log.Trim(b.topics.Events, 0, 0)
		b.start() // with an empty disk
		b.settle()
		for _, e := range events {
			b.give(e) // and another copy of each
		}
		if len(b.vendor.sizes) != before {
			t.Errorf("%d requests after the rebuild", len(b.vendor.sizes)-before)
		}
		b.want(events[0], "delivered")
		b.want(events[1], "dead refused")
	})
}

func TestWhatIsTooOldIsSaidSo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.contract.MaxAge = 24 * time.Hour
		old, young := funnel("old", "qualified_lead", 2, 1, 1), funnel("young", "qualified_lead", 2, 2, 99)
		b.vendor.answers = slices.Repeat([]int{503}, 50)
		b.give(old)
		b.want(old, "suppressed too_old")
		b.give(young)
		b.want(young, "parked retry")
		if p := b.prospect(old, false); p != canonical.ReasonTooOld {
			t.Errorf("prospect %q", p)
		}
		if p := b.prospect(young, false); !Class(p).Sends() {
			t.Errorf("prospect %q", p)
		}
	})
}

func TestEveryPartHasItsOwnState(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.plan(destinations.Part{Name: "properties", Batch: "p", Slotless: true}, destinations.Part{Name: "timeline", Batch: "t"})
		b.vendor.contract.MaxBatch = 1
		first, again := funnel("a", "qualified_lead", 2, 1, 1), funnel("b", "qualified_lead", 2, 1, 2)
		b.give(first, again)
		b.want(first, "properties delivered, timeline delivered")
		b.want(again, "properties delivered, timeline suppressed re_report")
	})
}

func TestOnePartMayWaitWhileTheOthersGo(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.vendor.plan(destinations.Part{Name: "properties", Slotless: true}, destinations.Part{Name: "timeline", Refused: destinations.Refusal{Reason: canonical.ReasonAwaitingIdentity}})
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "properties delivered, timeline parked awaiting_identity")
		b.vendor.plan(destinations.Part{Name: "properties", Slotless: true}, destinations.Part{Name: "timeline"})
		b.people.learn(1, "102")
		b.settle()
		b.want(e, "properties delivered, timeline delivered")
		if len(b.vendor.got) != 2 {
			t.Errorf("the vendor took %d parts, want 2", len(b.vendor.got))
		}
	})
}

func TestDryRunsBuildAndTakeNoSlot(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bench) {
		b.lane.Mode = DryRun
		e := funnel("a", "qualified_lead", 2, 1, 1)
		b.give(e)
		b.want(e, "suppressed dry_run")
		d, _, _ := b.ledger.Part("acme", e.Key(), "event")
		if string(d.Body) != `"a"` || len(b.vendor.sizes) != 0 {
			t.Errorf("body %s, %d requests", d.Body, len(b.vendor.sizes))
		}
		b.lane.Mode = Live
		b.replay("rp", e, false)
		b.want(e, "delivered")
	})
}
