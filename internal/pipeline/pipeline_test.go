package pipeline

import (
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
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

var topics = eventlog.Named("t.")

func newLog(t *testing.T) *memlog.Log {
	t.Helper()
	l := memlog.New()
	if err := l.Ensure(t.Context(), topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	return l
}

func newDB(t *testing.T) *pebble.DB {
	t.Helper()
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem(), Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// read gives everything a topic holds, decoded.
func read[T any](t *testing.T, l eventlog.Log, topic, kind string) []T {
	t.Helper()
	_, end, err := l.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for p := range end {
		records, err := l.Read(t.Context(), topic, p, 0, 100_000, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Type == kind {
				v, err := decode[T](r)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, v)
			}
		}
	}
	return out
}

// run runs stages in a bubble until the test is done with them.
func run(t *testing.T, stages ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, s := range stages {
		wg.Go(func() {
			if err := s(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("a stage stopped: %v", err)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// webhook makes a bare receipt of a contact's change of stage.
func webhook(id string, contact int, stage string, at time.Time) canonical.Receipt {
	return canonical.Receipt{
		ID: canonical.ReceiptID(id), Source: "app", Way: canonical.WayHubSpot, ReceivedAt: time.Now().UTC(),
		Body: []byte(fmt.Sprintf(`{"eventId":1,"portalId":42,"occurredAt":%d,"attemptNumber":0,"subscriptionType":"contact.propertyChange","objectId":%d,"propertyName":"lifecyclestage","propertyValue":%q}`, at.UnixMilli(), contact, stage)),
	}
}

func post(t *testing.T, l eventlog.Log, receipts ...canonical.Receipt) {
	t.Helper()
	if err := (Inbound{Log: l, Topic: topics.Inbound}).Append(t.Context(), receipts...); err != nil {
		t.Fatal(err)
	}
}

// crm is an account that counts what it is asked.
type crm struct {
	mu     sync.Mutex
	asked  []int // ids in each read of contacts
	down   error
	absent map[string]bool
	refuse func(kind string, ids []string) error // what a request is refused with
	reads  int                                   // requests that were not
}

func (c *crm) Read(_ context.Context, kind string, ids []string) (map[string]canonical.ReadObject, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return nil, c.down
	}
	if c.refuse != nil {
		if err := c.refuse(kind, ids); err != nil {
			return nil, err
		}
	}
	c.reads++
	if kind == "contact" {
		c.asked = append(c.asked, len(ids))
	}
	out := map[string]canonical.ReadObject{}
	for _, id := range ids {
		if !c.absent[id] {
			out[id] = canonical.ReadObject{Type: kind, ID: id, Properties: map[string]string{"email": "p" + id + "@example.com", "lifecyclestage": "customer"}}
		}
	}
	return out, nil
}

func (c *crm) Associated(context.Context, string, []string, string) (map[string][]string, map[string]map[string][]string, error) {
	return nil, nil, nil
}

func (c *crm) Meaning(context.Context, string, string, string, string) (*canonical.StageMeaning, error) {
	return nil, nil
}

func newFetch(l eventlog.Log, c CRM) *Fetch {
	return &Fetch{Log: l, Topics: topics, Prefix: "t.", Account: "hubspot", Mine: func(canonical.Receipt) bool { return true }, CRM: c,
		Health: &Health{}, Logger: slog.New(slog.DiscardHandler)}
}

func TestFetchReadsInBatchesAndFromItsCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLog(t), &crm{absent: map[string]bool{"7": true}}
		time.Sleep(24 * time.Hour) // past the first day that is believed
		at := time.Now().Add(-time.Minute)
		var receipts []canonical.Receipt
		for i := range 250 {
			receipts = append(receipts, webhook(fmt.Sprint("r", i), i, "lead", at))
		}
		post(t, l, receipts...)
		stop := run(t, newFetch(l, c).Run)
		defer stop()
		settle()
		if len(c.asked) != 1 || c.asked[0] != 250 { // the client cuts it into hundreds
			t.Errorf("contacts were read in batches of %v", c.asked)
		}
		post(t, l, webhook("again", 3, "lead", at)) // happened before the read: the cache serves it
		settle()
		if len(c.asked) != 1 {
			t.Errorf("a webhook of a contact read since was read again: %v", c.asked)
		}
		post(t, l, webhook("newer", 3, "customer", time.Now()))
		settle()
		if len(c.asked) != 2 {
			t.Errorf("a webhook that happened after the read was served from the cache: %v", c.asked)
		}
		completed := 0
		for _, rc := range read[canonical.Receipt](t, l, topics.Inbound, eventlog.TypeReceipt) {
			if rc.Completion == nil {
				continue
			}
			completed++
			if rc.ID != rc.Completion.Of.CompletedID() || rc.Completion.Objects[0].Properties["email"] == "" || wire.Bare(rc) {
				t.Errorf("a completed receipt is %+v", rc)
			}
		}
		fates := map[canonical.Fate]int{}
		for _, f := range read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate) {
			fates[f.Fate]++
			if f.Fate == canonical.FateQuarantined && (f.ReceiptID != "r7" || f.Reason != "not_found") {
				t.Errorf("quarantined: %+v", f)
			}
		}
		if completed != 251 || fates[canonical.FateCompleted] != 251 || fates[canonical.FateQuarantined] != 1 {
			t.Errorf("%d completed receipts, fates %v; want 251, one quarantined", completed, fates)
		}
	})
}

func TestFetchWaitsForACRMThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLog(t), &crm{down: errors.New("HubSpot cannot be reached")}
		f := newFetch(l, c)
		stop := run(t, f.Run)
		defer stop()
		post(t, l, webhook("r", 1, "lead", time.Now()))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := f.Health.Degraded(); len(got) != 1 || !strings.Contains(got[0], "cannot be reached") {
			t.Errorf("degraded: %v", got)
		}
		c.mu.Lock()
		c.down = nil
		c.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)); n != 1 || len(f.Health.Degraded()) != 0 {
			t.Errorf("%d fates after the CRM came back, degraded %v", n, f.Health.Degraded())
		}
	})
}

// refused is what a CRM says to a request that it will never answer.
type refused struct{ words string }

func (r refused) Error() string                  { return r.words }
func (r refused) Halting() (bool, time.Duration) { return false, time.Second }
func (r refused) Refused() bool                  { return true }
func among(ids []string, id string) error {
	if slices.Contains(ids, id) {
		return fmt.Errorf("read contacts: %w", refused{"HubSpot answered 400: VALIDATION_ERROR"})
	}
	return nil
}

func TestOneUnreadableObjectHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLog(t), &crm{refuse: func(_ string, ids []string) error { return among(ids, "77") }}
		f := newFetch(l, c)
		time.Sleep(24 * time.Hour)
		at := time.Now().Add(-time.Minute)
		for i := range 150 {
			post(t, l, webhook(fmt.Sprint("r", i), i, "lead", at))
		}
		stop := run(t, f.Run)
		defer stop()
		settle()
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		for _, fate := range fates {
			bad := fate.ReceiptID == "r77"
			if bad != (fate.Fate == canonical.FateQuarantined) || bad && (fate.Reason != "unreadable" || !strings.Contains(fate.Detail, "HubSpot answered 400: VALIDATION_ERROR")) {
				t.Errorf("fate %+v", fate)
			}
		}
		if len(fates) != 150 || len(f.Health.Degraded()) != 0 {
			t.Errorf("%d fates, degraded %v", len(fates), f.Health.Degraded())
		}
		if c.reads > 20 {
			t.Errorf("it took %d reads to find the one", c.reads)
		}
		post(t, l, webhook("alone", 77, "lead", time.Now()))
		settle()
		if n := len(read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)); n != 151 {
			t.Errorf("%d fates after one that came alone", n)
		}
	})
}

func TestAnAccountThatRefusesEverythingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		everything := func(_ string, ids []string) error { return among(ids, ids[0]) }
		l, c := newLog(t), &crm{refuse: everything}
		f := newFetch(l, c)
		for i := range 3 {
			post(t, l, webhook(fmt.Sprint("r", i), i+10, "lead", time.Now()))
		}
		stop := run(t, f.Run)
		defer stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)); n != 0 || len(f.Health.Degraded()) != 1 {
			t.Errorf("%d fates, degraded %v; the receipts are not to blame", n, f.Health.Degraded())
		}
		c.mu.Lock()
		c.refuse = nil
		c.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		if len(fates) != 3 || slices.ContainsFunc(fates, func(f canonical.FateRecord) bool { return f.Fate != canonical.FateCompleted }) {
			t.Errorf("fates %+v", fates)
		}
	})
}

// Ids of two portals overlap: what one account holds must not complete the other's.
func TestAWebhookOfAnUnknownPortalIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLog(t), &crm{}
		f := newFetch(l, c)
		f.Stray = func(rc canonical.Receipt) bool {
			_, ok := wire.Account(rc, wire.Settings{Portals: map[int64]string{43: "hubspot"}})
			return !ok
		}
		post(t, l, webhook("r1", 1, "lead", time.Now())) // of portal 42
		stop := run(t, f.Run)
		defer stop()
		settle()
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		if len(fates) != 1 || fates[0].Fate != canonical.FateQuarantined || fates[0].Reason != wire.CodePortal || c.reads != 0 {
			t.Errorf("fates %+v after %d reads", fates, c.reads)
		}
	})
}

func TestResolveStatesAFactOnceHoweverOftenAReceiptComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		view, err := identity.Open(memstore.New())
		if err != nil {
			t.Fatal(err)
		}
		m, problems := mappings.Compile(mappings.Default())
		if mappings.Failed(problems) {
			t.Fatal(problems)
		}
		s := &Resolve{Log: l, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }, View: view}
		stop := run(t, s.Run, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) })
		defer stop()
		body := `{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-01-02T03:04:05Z","contact":{"id":"9","email":"ada@example.com","lifecycle_stage":"lead"}}`
		rc := canonical.Receipt{ID: "a", Source: "crm", Way: canonical.WayCRM, ReceivedAt: time.Date(2026, 1, 2, 4, 0, 0, 0, time.UTC), Body: []byte(body)}
		bad := rc
		bad.ID, bad.Body = "b", []byte(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"{{ date_now }}","contact":{"id":"9"}}`)
		post(t, l, rc, bad)
		settle()
		facts := len(read[canonical.Fact](t, l, topics.Identity, eventlog.TypeFact))
		post(t, l, rc, rc)
		settle()
		if again := len(read[canonical.Fact](t, l, topics.Identity, eventlog.TypeFact)); facts == 0 || again != facts {
			t.Errorf("%d facts, and %d after two redeliveries", facts, again)
		}
		events := read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent)
		if len(events) != 3 || events[0].Name != "lead_captured" || events[0].Known == nil || events[0].Known.Offset < 0 {
			t.Errorf("events: %+v", events)
		}
		if slices.ContainsFunc(events, func(e canonical.Event) bool { return e.ID != events[0].ID }) {
			t.Error("one receipt gave several ids")
		}
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		if len(fates) != 1 || fates[0].Reason != "unrendered_template" || strings.Contains(fmt.Sprint(fates), "ada@") {
			t.Errorf("fates: %+v", fates)
		}
	})
}

// shelf is a warehouse that keeps rows, refuses when told, and answers for first copies.
type shelf struct {
	mu     sync.Mutex
	blocks []warehouse.Block
	refuse int
	events map[canonical.EventKey]canonical.Position
}

func (s *shelf) Write(_ context.Context, _ string, b warehouse.Block) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse > 0 {
		s.refuse--
		return errors.New("no space")
	}
	s.blocks = append(s.blocks, b)
	return nil
}

func (s *shelf) FirstSeen(_ context.Context, _ int, _, _ int64, event func(canonical.EventKey, canonical.Position), _ func(canonical.ReceiptID, canonical.Fate, canonical.Position)) error {
	for k, at := range s.events {
		event(k, at)
	}
	return nil
}

// told counts distinct events and the fates of distinct receipts, as views over the rows would.
func (s *shelf) told() (events int, fates map[canonical.Fate]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, by := map[string]bool{}, map[canonical.ReceiptID]canonical.Fate{}
	for _, b := range s.blocks {
		for _, e := range b.Events {
			keys[fmt.Sprint(e.Event.Key(), e.Position)] = true
		}
		for _, f := range b.Fates {
			if old := by[f.ReceiptID]; old == "" || old == canonical.FateQuarantined {
				by[f.ReceiptID] = f.Fate
			}
		}
	}
	fates = map[canonical.Fate]int{}
	for _, f := range by {
		fates[f]++
	}
	return len(keys), fates
}

func newRecord(t *testing.T, l eventlog.Log, s *shelf, db *pebble.DB) *Record {
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	return &Record{Log: l, Topics: topics, Prefix: "t.", Warehouse: s, View: view, DB: db, Seal: func(b []byte) []byte { return b },
		Health: &Health{}, Logger: slog.New(slog.DiscardHandler)}
}

func event(t *testing.T, l eventlog.Log, id, receipt string) {
	t.Helper()
	r, err := encode(eventlog.TypeEvent, id, canonical.Event{ID: canonical.EventID(id), Name: "lead_captured", ReceiptID: canonical.ReceiptID(receipt)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), topics.Events, r); err != nil {
		t.Fatal(err)
	}
}

func TestRecordKeepsTheFirstCopyAndCountsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s, db := newLog(t), &shelf{refuse: 3}, newDB(t)
		defer db.Close()
		stop := run(t, newRecord(t, l, s, db).Run)
		event(t, l, "e1", "r1")
		event(t, l, "e1", "r2") // a further copy
		event(t, l, "e1", "r1") // a redelivery counts nowhere
		settle()
		event(t, l, "e1", "r3")
		event(t, l, "e1", "r2")
		time.Sleep(time.Minute)
		synctest.Wait()
		check := func(when string) {
			t.Helper()
			if events, fates := s.told(); events != 1 || fates[canonical.FateEvent] != 1 || fates[canonical.FateObservation] != 2 {
				t.Errorf("%s: %d events, fates %v", when, events, fates)
			}
		}
		check("first")
		stop()

		// An empty disk: what was recorded is read back from the log before anything new is judged.
		db2 := newDB(t)
		defer db2.Close()
		stop = run(t, newRecord(t, l, s, db2).Run)
		event(t, l, "e1", "r1")
		event(t, l, "e1", "r3")
		settle()
		check("after local state was lost")
		stop()

		// An empty disk and a trimmed log: the warehouse says what was first.
		s.events = map[canonical.EventKey]canonical.Position{{Name: "lead_captured", ID: "e1"}: {Partition: 0, Offset: 0}}
		for p := range 2 {
			_, end, _ := l.Bounds(t.Context(), topics.Events)
			l.Trim(topics.Events, p, end[p])
		}
		db3 := newDB(t)
		defer db3.Close()
		stop = run(t, newRecord(t, l, s, db3).Run)
		defer stop()
		event(t, l, "e1", "r4")
		settle()
		if events, fates := s.told(); events != 1 || fates[canonical.FateObservation] != 3 {
			t.Errorf("after the log was trimmed: %d events, fates %v", events, fates)
		}
	})
}

func TestAReaderStopsAtARecordOfALaterVersion(t *testing.T) {
	v, _ := json.Marshal(canonical.Receipt{ID: "x"})
	_, err := decode[canonical.Receipt](eventlog.Record{Topic: "t.inbound", Partition: 1, Offset: 7, Type: eventlog.TypeReceipt, Version: 2, Value: v})
	if err == nil || !strings.Contains(err.Error(), "t.inbound 1/7") || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v", err)
	}
}
