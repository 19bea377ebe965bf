package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/internal/warehouse"
	"tributary/mappings"
)

// attic is a warehouse that holds events by id and receipts by place.
type attic struct {
	events   map[canonical.EventID][]warehouse.FoundEvent
	receipts map[canonical.Position][]byte
	kept     map[canonical.Position][]byte // first copies of events, by their place
	// deliveries in the order of their writing
	deliveries []canonical.Delivery
}

func (a *attic) FindEvent(_ context.Context, id canonical.EventID) ([]warehouse.FoundEvent, error) {
	return a.events[id], nil
}

func (a *attic) Receipts(_ context.Context, partition int, from, to int64, each func([]byte) error) error {
	for at := from; at < to; at++ {
		if b, ok := a.receipts[canonical.Position{Partition: partition, Offset: at}]; ok {
			if err := each(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *attic) EventsBetween(_ context.Context, partition int, from, to int64, _ warehouse.EventFilter, limit int, each func(int64, []byte) error) error {
	for at := from; at < to && limit > 0; at++ {
		if b, ok := a.kept[canonical.Position{Partition: partition, Offset: at}]; ok {
			limit--
			if err := each(at, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *attic) EarlierThan(_ context.Context, partition int, below int64, keys []canonical.EventKey) (map[canonical.EventKey]bool, error) {
	earlier := map[canonical.EventKey]bool{}
	for at, b := range a.kept {
		var e canonical.Event
		if err := json.Unmarshal(b, &e); err != nil {
			return nil, err
		}
		if at.Partition == partition && at.Offset < below && slices.Contains(keys, e.Key()) {
			earlier[e.Key()] = true
		}
	}
	return earlier, nil
}

func (a *attic) DeliveriesOf(_ context.Context, destination string, key canonical.EventKey, each func([]byte) error) error {
	for _, d := range a.deliveries {
		if d.Destination != destination || d.Event != key {
			continue
		}
		b, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if err := each(b); err != nil {
			return err
		}
	}
	return nil
}

func (a *attic) Unseal(b []byte) ([]byte, error) { return b, nil }

// A desk is everything that answers where an event is, over one log.
type desk struct {
	*Replay
	log     *memlog.Log
	attic   *attic
	resolve *Resolve
	fetch   *Fetch
	crm     *crm
	stop    func()
}

// newDesk follows the index and the graph; a test runs the stages that it needs.
func newDesk(t *testing.T) *desk {
	t.Helper()
	l, db := newLog(t), newDB(t)
	t.Cleanup(func() { db.Close() })
	index, err := OpenIndex(db, "index\x00")
	if err != nil {
		t.Fatal(err)
	}
	view, err := identity.Open(memstore.New())
	if err != nil {
		t.Fatal(err)
	}
	m, problems := mappings.Compile(mappings.Default())
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	mapping, settings := func() *mappings.Mapping { return m }, func(string) wire.Settings { return wire.Settings{} }
	d := &desk{log: l, attic: &attic{}, crm: &crm{}}
	d.fetch = newFetch(l, d.crm)
	d.resolve = &Resolve{Log: l, Topics: topics, Prefix: "t.", Mapping: mapping, Settings: settings, View: view}
	d.Replay = &Replay{Log: l, Topics: topics, Prefix: "t.", Index: index, Archive: d.attic, Mapping: mapping, Settings: settings,
		Account: func(canonical.Receipt) string { return "hubspot" }, Accounts: []string{"hubspot"}}
	d.stop = run(t,
		func(ctx context.Context) error { return FollowIndex(ctx, l, topics.Inbound, index) },
		func(ctx context.Context) error { return FollowIndex(ctx, l, topics.Events, index) },
		func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) },
	)
	time.Sleep(24 * time.Hour) // past the first day that is believed
	return d
}

func (d *desk) find(t *testing.T, id string) error {
	t.Helper()
	events, err := d.Find(t.Context(), canonical.EventID(id))
	if (err == nil) != (len(events) > 0) {
		t.Errorf("Find gave %d events and %v", len(events), err)
	}
	return err
}

func TestAWebhookThatWaitsIsNotResolvedYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.stop()
		at := time.Now().Add(-time.Minute).UTC()
		contact := string(canonical.MintContactID("7", "lead", canonical.FormatTime(at)))
		deal := string(canonical.MintDealID("9", "contractsent", canonical.FormatTime(at)))
		post(t, d.log, webhook("r1", 7, "lead", at))
		rc := webhook("r2", 9, "contractsent", at)
		rc.Body = []byte(strings.NewReplacer("contact.", "deal.", "lifecyclestage", "dealstage").Replace(string(rc.Body)))
		post(t, d.log, rc)
		check := func(when string, want map[string]error) {
			t.Helper()
			settle()
			for id, err := range want {
				if got := d.find(t, id); !errors.Is(got, err) {
					t.Errorf("%s: %s: %v, want %v", when, id, got, err)
				}
			}
		}
		check("before any stage", map[string]error{contact: ErrNotResolved, deal: ErrNotResolved, "contact_8_lead_x": ErrUnknown})

		resolved := run(t, d.resolve.Run)
		defer func() { resolved() }()
		check("past resolve, which leaves it to fetch", map[string]error{contact: ErrNotResolved, deal: ErrNotResolved, "contact_8_lead_x": ErrUnknown})

		d.crm.mu.Lock()
		d.crm.down = errors.New("HubSpot cannot be reached")
		d.crm.mu.Unlock()
		fetched := run(t, d.fetch.Run)
		defer func() { fetched() }()
		check("with a CRM that is down", map[string]error{contact: ErrNotResolved})

		resolved()
		d.crm.mu.Lock()
		d.crm.down = nil
		d.crm.mu.Unlock()
		time.Sleep(2 * time.Minute)
		check("completed, and resolve behind", map[string]error{contact: ErrNotResolved, deal: ErrNotResolved})

		resolved = run(t, d.resolve.Run)
		check("resolved", map[string]error{contact: nil, deal: nil, "contact_8_lead_x": ErrUnknown})
	})
}

// quiet is a log whose inbound gives nothing, however much it holds.
type quiet struct{ eventlog.Log }

func (q quiet) Read(ctx context.Context, topic string, p int, offset int64, limit int, wait time.Duration) ([]eventlog.Record, error) {
	if topic == topics.Inbound {
		return nil, nil
	}
	return q.Log.Read(ctx, topic, p, offset, limit, wait)
}

func TestALogThatGivesNothingIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.stop()
		post(t, d.log, webhook("r1", 7, "lead", time.Now()))
		settle()
		d.Replay.Log = quiet{d.log}
		if err := d.find(t, "contact_8_lead_x"); err == nil || errors.Is(err, ErrUnknown) || errors.Is(err, ErrNotResolved) {
			t.Errorf("got %v; want neither yes nor no", err)
		}
	})
}

func TestFindTakesFromTheWarehouseWhatTheLogNoLongerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.stop()
		sealed := func(id, name string) warehouse.FoundEvent {
			b, _ := json.Marshal(canonical.Event{ID: canonical.EventID(id), Name: name})
			return warehouse.FoundEvent{Key: canonical.EventKey{ID: canonical.EventID(id), Name: name}, Sealed: b}
		}
		event(t, d.log, "e1", "r1")
		settle()
		_, end, _ := d.log.Bounds(t.Context(), topics.Events)
		for p := range end {
			d.log.Trim(topics.Events, p, end[p])
		}
		if err := d.find(t, "e1"); !errors.Is(err, ErrUnknown) {
			t.Errorf("an event that nobody holds any more: %v", err)
		}
		expired := sealed("e2", "lead_captured")
		expired.Sealed = nil
		d.attic.events = map[canonical.EventID][]warehouse.FoundEvent{"e1": {sealed("e1", "lead_captured")}, "e2": {expired}}
		if err := d.find(t, "e1"); err != nil {
			t.Error(err)
		}
		if err := d.find(t, "e2"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "any more") {
			t.Errorf("an event whose body has expired: %v", err)
		}
	})
}

func TestAQuarantinedReceiptIsRunAgainFromTheWarehouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t)
		defer d.stop()
		stop := run(t, d.resolve.Run)
		defer stop()
		bad := canonical.Receipt{ID: "bad", Source: "crm", Way: canonical.WayCRM, ReceivedAt: time.Now().UTC(), Body: []byte(`{"event":"hubspot.lifecycle_changed","occurred_at":"{{ date_now }}"}`)}
		good := canonical.Receipt{ID: "good", Source: "crm", Way: canonical.WayCRM, ReceivedAt: time.Now().UTC(),
			Body: []byte(fmt.Sprintf(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":%q,"contact":{"id":"9","lifecycle_stage":"lead"}}`, time.Now().UTC().Format(time.RFC3339)))}
		post(t, d.log, bad, good)
		settle()
		count := func() (n int) {
			for _, rc := range held[canonical.Receipt](t, d.log, topics.Inbound) {
				if rc.ID == "bad" {
					n++
				}
			}
			return n
		}
		for id, want := range map[canonical.ReceiptID]error{"good": ErrNotQuarantined, "none": ErrUnknown, "bad": nil} {
			if err := d.Rerun(t.Context(), id); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", id, err, want)
			}
		}
		settle()
		if count() != 2 {
			t.Errorf("the receipt stands in the log %d times, want 2", count())
		}
		w, _, err := d.Index.Receipt("bad")
		if err != nil {
			t.Fatal(err)
		}
		_, end, _ := d.log.Bounds(t.Context(), topics.Inbound)
		for p := range end {
			d.log.Trim(topics.Inbound, p, end[p])
		}
		for name, tc := range map[string]struct {
			sealed any
			want   error
		}{
			"nothing": {nil, ErrUnknown}, "a body that has expired": {"", ErrUnknown}, "another log's receipt": {good, ErrUnknown}, "the receipt": {bad, nil},
		} {
			d.attic.receipts = map[canonical.Position][]byte{}
			switch s := tc.sealed.(type) {
			case string:
				d.attic.receipts[*w.In] = []byte(s)
			case canonical.Receipt:
				d.attic.receipts[*w.In], _ = json.Marshal(s)
			}
			before := count()
			if err := d.Rerun(t.Context(), "bad"); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
			if got := count() - before; (got == 1) != (tc.want == nil) {
				t.Errorf("%s: %d receipts were appended", name, got)
			}
		}
		settle()
		if last := held[canonical.Receipt](t, d.log, topics.Inbound); len(last) == 0 || string(last[len(last)-1].Body) != string(bad.Body) {
			t.Errorf("run again: %+v", last)
		}
	})
}

// held gives what a topic that was trimmed still holds.
func held[T any](t *testing.T, l eventlog.Log, topic string) []T {
	t.Helper()
	first, _, err := l.Bounds(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var out []T
	for p := range first {
		records, err := l.Read(t.Context(), topic, p, first[p], 100_000, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			v, err := decode[T](r)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, v)
		}
	}
	return out
}
