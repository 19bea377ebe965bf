package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/destinations"
	"tributary/destinations/delivery"
	"tributary/destinations/meta"
	"tributary/destinations/simulator"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/budget"
	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
	"tributary/internal/hubspotcrm"
	"tributary/mappings"
)

// An office with HubSpot on one side and Meta on the other, both played, and all stages between
// them, in virtual time.
type bureau struct {
	t     *testing.T
	sim   *simulator.Simulator
	log   *memlog.Log
	db    *pebble.DB
	view  *identity.View
	sync  *Sync
	fetch *Fetch
	stop  func()
	sent  int // receipts of webhooks
	late  []canonical.Receipt
	lose  func() bool // drops a webhook
	with  func(*Sync) // changes the sync; nil: not
}

func newBureau(t *testing.T, seed uint64) *bureau {
	b := closedBureau(t, seed)
	b.start()
	return b
}

// closedBureau is one where nothing runs yet.
func closedBureau(t *testing.T, seed uint64) *bureau {
	t.Helper()
	sim, err := simulator.New(simulator.Options{Seed: seed,
		Meta: simulator.MetaAccount{DatasetIDs: []string{"111222333"}, Token: "meta-token"},
		HubSpot: simulator.HubSpotAccount{Token: "pat-test",
			Journal: simulator.JournalApp{ClientID: "journal-app", ClientSecret: "journal-secret", Scopes: []string{"developer.webhooks_journal.read"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &bureau{t: t, sim: sim, log: newLog(t), lose: func() bool { return false }}
}

// start runs the stages; what a killed process left is in the log alone.
func (b *bureau) start() {
	t := b.t
	b.db = newDB(t)
	var err error
	if b.view, err = identity.Open(memstore.New()); err != nil {
		t.Fatal(err)
	}
	m, problems := mappings.Compile(mappings.Default())
	if mappings.Failed(problems) {
		t.Fatal(problems)
	}
	ledger, err := delivery.OpenLedger(b.db, "ledger\x00")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := OpenJobView(b.db, "jobs\x00")
	if err != nil {
		t.Fatal(err)
	}
	settings := wire.Settings{Portals: map[int64]string{424242: "hubspot"}}
	heard, err := OpenHeard(b.db, "heard\x00", func(rc canonical.Receipt) (wire.Notice, bool) { return wire.NoticeOf(rc, settings) })
	if err != nil {
		t.Fatal(err)
	}
	crm := &hubspotcrm.Client{BaseURL: "http://hubspot.test", Token: func(context.Context) (string, error) { return "pat-test", nil }, HTTP: &http.Client{Transport: b.sim.Transport()},
		Budget: budget.New("hubspot", []destinations.Limit{{Name: "ten_seconds", Requests: 190, Per: 10 * time.Second}, {Name: "search_second", Requests: 5, Per: time.Second, Classes: []string{"search"}}}, budget.Options{})}
	logger := slog.New(slog.DiscardHandler)
	b.fetch = newFetch(b.log, crm)
	resolve := &Resolve{Log: b.log, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return settings }, View: b.view}
	b.sync = &Sync{Log: b.log, Topics: topics, Prefix: "t.", Account: "hubspot", Portal: 424242, Source: "app", CRM: crm, View: jobs, Heard: heard, People: b.view,
		Watched: m.WatchedProperties, Owner: "test", Health: &Health{}, Logger: logger}
	if b.with != nil {
		b.with(b.sync)
	}
	lane := &delivery.Lane{Name: "meta", Mode: delivery.Live, Log: b.log, Topics: topics, Ledger: ledger, People: b.view, Policy: delivery.DefaultPolicy(), Owner: "test", Logger: logger}
	vendor(t, b.sim, meta.Kind(), `{dataset_id: "111222333", linger: 0s}`, "meta-token")(lane)
	lane.Routes = func(e *canonical.Event) (canonical.Route, bool) { return m.RouteOf("meta", "meta", e) }
	lane.Policy.Contact = destinations.LatestClick
	stop := run(t,
		func(ctx context.Context) error { return FollowIdentity(ctx, b.log, topics.Identity, b.view) },
		func(ctx context.Context) error { return FollowLedger(ctx, b.log, topics.Deliveries, ledger, nil) },
		func(ctx context.Context) error { return FollowJobs(ctx, b.log, topics.Replays, jobs) },
		func(ctx context.Context) error { return FollowHeard(ctx, b.log, topics.Inbound, heard) },
		b.fetch.Run, resolve.Run, lane.Run, b.sync.Run)
	b.stop = func() { stop(); b.db.Close() }
	settle()
}

// post takes what HubSpot emitted to the way in, less what is lost.
func (b *bureau) post() {
	b.t.Helper()
	var kept []canonical.Receipt
	for _, w := range b.sim.Webhooks("https://in.example.com/") {
		var items []json.RawMessage
		if err := json.Unmarshal(w.Body, &items); err != nil {
			b.t.Fatal(err)
		}
		// The order of a batch is the simulator's chance; whom it hits should not be.
		slices.SortFunc(items, func(x, y json.RawMessage) int { return strings.Compare(string(x), string(y)) })
		for _, item := range items {
			b.sent++
			rc := canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprintf("w%06d", b.sent)), Source: "app", Way: canonical.WayHubSpot, ReceivedAt: time.Now().UTC(), Body: item}
			if b.lose() {
				b.late = append(b.late, rc)
				continue
			}
			kept = append(kept, rc)
		}
	}
	post(b.t, b.log, kept...)
}

// story is a sales team's afternoon: people and companies appear, move on, are tied, merged,
// deleted and brought back. The same seed tells the same.
func (b *bureau) story(seed uint64, steps int) {
	t := b.t
	t.Helper()
	roll := rand.New(rand.NewPCG(seed, 7))
	must := func(id int64, err error) int64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	var people, firms, deals []int64
	gone := map[int64]bool{}
	rank := map[int64]int{}
	stages := []string{"lead", "marketingqualifiedlead", "salesqualifiedlead"}
	dealStages := []string{"qualifiedtobuy", "presentationscheduled", "contractsent", "closedwon"}
	one := func(ids []int64) int64 { return ids[roll.IntN(len(ids))] }
	there := func() int64 { // nobody's deal is with somebody deleted
		return one(slices.DeleteFunc(slices.Clone(people), func(id int64) bool { return gone[id] }))
	}
	for step := range steps {
		switch n := roll.IntN(20); {
		case n < 4 || len(people) < 3:
			id := must(b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("p%d@firm%d.example.com", step, step%5), "lifecyclestage": "lead"}}))
			people = append(people, id)
		case n < 5 || len(firms) < 2:
			firms = append(firms, must(b.sim.Make(simulator.Made{Type: "company", Properties: map[string]string{"domain": fmt.Sprintf("firm%d.example.com", step)}})))
		case n < 7 || len(deals) < 2:
			deals = append(deals, must(b.sim.Make(simulator.Made{Type: "deal", Properties: map[string]string{"dealname": "d", "amount": "1200", "dealstage": "appointmentscheduled"}, Contacts: []int64{there()}, Companies: []int64{one(firms)}})))
		case n < 12: // one step, or two in quick succession
			id := one(people)
			for range 1 + roll.IntN(2) {
				if rank[id] < len(stages)-1 && !gone[id] {
					rank[id]++
					must(0, b.sim.Set("contact", id, map[string]string{"lifecyclestage": stages[rank[id]]}, simulator.Change{}))
					time.Sleep(time.Duration(200+roll.IntN(900)) * time.Millisecond)
				}
			}
		case n < 16:
			id := one(deals)
			if rank[id] < len(dealStages) {
				must(0, b.sim.Set("deal", id, map[string]string{"dealstage": dealStages[rank[id]]}, simulator.Change{}))
				rank[id]++
			}
		case n < 17: // somebody was there twice
			id := one(people)
			if gone[id] {
				break
			}
			twin := must(b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": fmt.Sprintf("twin%d@firm.example.com", step), "lifecyclestage": "other"}}))
			time.Sleep(5 * time.Second)
			b.post()
			fresh := int64(0)
			if roll.IntN(2) == 0 {
				fresh = id
			}
			survivor := must(b.sim.Merge(simulator.Merger{Primary: id, Merge: twin, NewID: fresh}))
			people[slices.Index(people, id)] = survivor
			rank[survivor] = rank[id]
		case n < 18:
			if id := one(people); !gone[id] && len(gone) < len(people)-3 {
				gone[id] = true
				must(0, b.sim.Delete("contact", id, false, simulator.Change{}))
			}
		case n < 19:
			for _, id := range people {
				if gone[id] {
					gone[id] = false
					must(0, b.sim.Restore("contact", id, simulator.Change{}))
					break
				}
			}
		default:
			if id := one(people); !gone[id] {
				must(0, b.sim.Associate(simulator.Tie{FromType: "contact", From: id, ToType: "deal", To: one(deals)}))
			}
		}
		time.Sleep(time.Duration(5+roll.IntN(40)) * time.Second)
		b.post()
	}
	settle()
}

// reconcile wants a pass and gives what it found.
func (b *bureau) reconcile() canonical.CRMPass {
	b.t.Helper()
	state, err := b.sync.Ask(b.t.Context(), "tester", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	id := state.Asked.ID
	for range 200 {
		settle()
		if state, err = b.sync.State(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		if state.Asked == nil && state.Pass != nil && state.Pass.ID == id {
			time.Sleep(30 * time.Second)
			settle()
			return *state.Pass
		}
	}
	b.t.Fatalf("the pass does not end: %v", b.sync.Health.Degraded())
	return canonical.CRMPass{}
}

// key names an event by name and id. What was told of a record that is another now may be told
// of that one instead: there it is name, record and time.
func (b *bureau) key(e canonical.Event) string {
	if r, there := b.sim.Record(e.Object.Type, number(e.Object.ID)); there && len(r.Merged) > 0 {
		return fmt.Sprint(e.Name, " of ", r.ID, " at ", e.OccurredAt)
	}
	return e.Key().String()
}

// events lists the events that the receipts came to.
func (b *bureau) events() map[string]int {
	out := map[string]int{}
	for _, e := range read[canonical.Event](b.t, b.log, topics.Events, eventlog.TypeEvent) {
		out[b.key(e)]++
	}
	return out
}

// conversions lists what Meta took.
func (b *bureau) conversions() map[string]int {
	keys := map[string]string{}
	for _, e := range read[canonical.Event](b.t, b.log, topics.Events, eventlog.TypeEvent) {
		keys[string(e.ID)] = b.key(e)
	}
	out := map[string]int{}
	for _, r := range b.sim.Received(simulator.Meta) {
		out[r.EventName+" "+keys[r.EventID]]++
	}
	return out
}

// same compares events and conversions with those of the run in which nothing was lost; nothing
// was sent twice.
func (b *bureau) same(when string, events, conversions map[string]int) {
	b.t.Helper()
	if lacks, extra := differ(b.conversions(), conversions); len(lacks)+len(extra) > 0 {
		b.t.Errorf("%s Meta lacks %v and has %v besides", when, lacks, extra)
	}
	for k, n := range b.conversions() {
		if n > 1 {
			b.t.Errorf("%s Meta has %s %d times", when, k, n)
		}
	}
	if lacks, extra := differ(b.events(), events); len(lacks)+len(extra) > 0 {
		b.t.Errorf("%s lacking are the events %v, and there are %v besides", when, lacks, extra)
	}
}

func differ(got, want map[string]int) (lacks, extra []string) {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] == 0 {
			lacks = append(lacks, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if want[k] == 0 {
			extra = append(extra, k)
		}
	}
	return lacks, extra
}

// Webhooks are dropped at random, in the end all of them: after one pass nothing is missing
// and nothing was sent twice, also when what was dropped comes after all.
func TestWhatNoWebhookToldIsPulled(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		rate float64
	}{{1, 0.05}, {2, 0.05}, {3, 0.05}, {4, 0.3}, {5, 1}} {
		t.Run(fmt.Sprintf("seed %d, %v %% lost", c.seed, 100*c.rate), func(t *testing.T) {
			var want, wantConversions map[string]int
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour)
				b := newBureau(t, c.seed)
				defer func() { b.stop() }()
				b.story(c.seed, 150)
				time.Sleep(10 * time.Minute)
				if p := b.reconcile(); p.Pulled != 0 {
					t.Errorf("with no webhook lost a pass pulled %v", p.Missing)
				}
				want, wantConversions = b.events(), b.conversions()
			})
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(24 * time.Hour)
				b := newBureau(t, c.seed)
				defer func() { b.stop() }()
				chance := rand.New(rand.NewPCG(c.seed, 99))
				b.lose = func() bool { return chance.Float64() < c.rate }
				b.story(c.seed, 150)
				time.Sleep(10 * time.Minute)
				lost := len(b.late)
				before, _ := differ(b.conversions(), wantConversions)
				p := b.reconcile()
				t.Logf("of %d webhooks %d were lost, which cost %d of %d conversions; the pass looked at %v and pulled %d: %v", b.sent, lost, len(before), len(wantConversions), p.Looked, p.Pulled, p.Missing)
				b.same("after one pass", want, wantConversions)
				if p := b.reconcile(); p.Pulled != 0 {
					t.Errorf("a second pass pulled %v", p.Missing)
				}
				post(t, b.log, b.late...)
				time.Sleep(time.Minute)
				settle()
				b.same("when the lost ones came after all", want, wantConversions)
			})
		})
	}
}

// A wish for a pass does not undo an earlier one that looks further back.
func TestOneWishDoesNotUndoAnother(t *testing.T) {
	now := time.Now().UTC()
	at := func(days int) *time.Time { d := now.AddDate(0, 0, -days); return &d }
	for _, c := range []struct{ first, then, want *time.Time }{
		{at(20), at(3), at(20)}, {at(3), at(20), at(20)}, {nil, at(20), at(20)}, {at(20), nil, at(20)}, {nil, at(0), nil}, {at(0), nil, nil},
	} {
		state := canonical.CRMSync{Through: now}
		ask(&state, "one", c.first)
		ask(&state, "another", c.then)
		if got := state.Asked.Since; (got == nil) != (c.want == nil) || got != nil && !got.Equal(*c.want) {
			t.Errorf("wishes since %v and %v are one since %v, want %v", c.first, c.then, got, c.want)
		}
	}
}

// An account that is compared only when somebody asks holds no more of the log than a day's.
func TestHowFarASyncIsDoesNotHoldTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := newBureau(t, 1)
		defer func() { b.stop() }()
		began, err := b.sync.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b.stop()
		time.Sleep(36 * time.Hour)
		b.start()
		time.Sleep(time.Minute)
		settle()
		k, _, err := b.sync.View.Sync("hubspot")
		if err != nil || time.Since(k.State.Changed) > time.Hour || k.At.Offset < 1 || !k.State.Connected.Equal(began.Connected) {
			t.Errorf("after 36 hours the newest record is of %v, at %+v: %+v %v", k.State.Changed, k.At, k.State, err)
		}
	})
}

// What happened before the account was connected is not pulled, by no pass and however far back
// somebody has it look: it would be sent as new. What happened after it is no history, whatever is
// imported meanwhile.
func TestNothingOfBeforeTheConnectionIsPulled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := closedBureau(t, 12)
		b.lose = func() bool { return true }
		id, err := b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "before@example.com", "lifecyclestage": "lead"}})
		if err != nil {
			t.Fatal(err)
		}
		b.post()
		time.Sleep(time.Hour)
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Minute)
		if err := b.sim.Set("contact", id, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, simulator.Change{}); err != nil {
			t.Fatal(err)
		}
		b.post()
		time.Sleep(10 * time.Minute)
		if _, err := b.sync.Import(t.Context(), "tester", 12); err != nil {
			t.Fatal(err)
		}
		if im := b.imported(); im.Records["contact"] != 1 {
			t.Errorf("the import is %+v", im)
		}
		long := time.Now().AddDate(0, 0, -30)
		if _, err := b.sync.Ask(t.Context(), "tester", &long); err != nil {
			t.Fatal(err)
		}
		settle()
		if p := b.reconcile(); p.Pulled > 1 {
			t.Errorf("a pass pulled %v", p.Missing)
		}
		b.reconcile()
		var told []string
		for _, e := range b.sim.Received(simulator.Meta) {
			told = append(told, e.EventName)
		}
		if !slices.Equal(told, []string{"QualifiedLead"}) {
			t.Errorf("Meta was sent %v", told)
		}
	})
}

// Each telling is of one change: that of its very time, else of one within a second that says the same.
func TestWhatWasHeardOfAChange(t *testing.T) {
	began := time.Now().Truncate(time.Millisecond)
	version := func(ms int, value string) hubspotcrm.Version {
		return hubspotcrm.Version{At: began.Add(time.Duration(ms) * time.Millisecond), Value: value}
	}
	told := func(ms int, value string) utterance {
		v := &Heard{}
		k := v.change("", "", "", "", "", began.Add(time.Duration(ms)*time.Millisecond), value)
		return utterance{at: began.UnixMilli() + int64(ms), hash: [8]byte(k[len(k)-8:])}
	}
	for _, c := range []struct {
		title    string
		versions []hubspotcrm.Version
		had      []utterance
		want     string
	}{
		{"the same time", []hubspotcrm.Version{version(0, "lead")}, []utterance{told(0, "lead")}, "[]"},
		{"a moment later", []hubspotcrm.Version{version(0, "lead")}, []utterance{told(900, "lead")}, "[]"},
		{"a moment sooner", []hubspotcrm.Version{version(0, "lead")}, []utterance{told(-900, "lead")}, "[]"},
		{"more than a moment", []hubspotcrm.Version{version(0, "lead")}, []utterance{told(1100, "lead")}, "[0 lead]"},
		{"another value", []hubspotcrm.Version{version(0, "lead")}, []utterance{told(0, "customer")}, "[0 lead]"},
		{"there and back, told once", []hubspotcrm.Version{version(0, "lead"), version(300, "mql"), version(600, "lead")}, []utterance{told(600, "lead")}, "[0 lead 300 mql]"},
		{"there and back, told all", []hubspotcrm.Version{version(0, "lead"), version(300, "mql"), version(600, "lead")}, []utterance{told(10, "lead"), told(310, "mql"), told(610, "lead")}, "[]"},
	} {
		var got []any
		for _, v := range unheard(c.versions, c.had) {
			got = append(got, v.At.Sub(began).Milliseconds(), v.Value)
		}
		if s := fmt.Sprint(got); s != c.want {
			t.Errorf("%s: missing are %s, want %s", c.title, s, c.want)
		}
	}
}

// What is pulled twice, by whichever process and way, is one receipt; another change is another.
func TestWhatIsPulledTwiceIsOneReceipt(t *testing.T) {
	s := &Sync{Account: "hubspot", Portal: 424242, Source: "app"}
	lead, at := "lead", time.Now()
	one := tellingOf("contact", "7", "lifecyclestage", hubspotcrm.Version{Value: lead, At: at})
	id := s.receipt(one, canonical.PulledByReconcile).ID
	time.Sleep(2 * time.Millisecond)
	if again := s.receipt(one, canonical.PulledByJournal).ID; again != id {
		t.Errorf("once more it is %s, and was %s", again, id)
	}
	seen := map[canonical.ReceiptID]string{id: "one"}
	for title, other := range map[string]telling{
		"another record":   tellingOf("contact", "8", "lifecyclestage", hubspotcrm.Version{Value: lead, At: at}),
		"another type":     tellingOf("company", "7", "lifecyclestage", hubspotcrm.Version{Value: lead, At: at}),
		"another property": tellingOf("contact", "7", "hs_lead_status", hubspotcrm.Version{Value: lead, At: at}),
		"another value":    tellingOf("contact", "7", "lifecyclestage", hubspotcrm.Version{Value: "customer", At: at}),
		"another time":     tellingOf("contact", "7", "lifecyclestage", hubspotcrm.Version{Value: lead, At: at.Add(time.Millisecond)}),
		"a tie":            tieOf("contact", "7", "company", "9", at, false, false),
		"a tie undone":     tieOf("contact", "7", "company", "9", at, true, false),
		"another tie":      tieOf("contact", "7", "company", "10", at, false, false),
	} {
		id := s.receipt(other, canonical.PulledByReconcile).ID
		if same, had := seen[id]; had {
			t.Errorf("%s and %s are one receipt", title, same)
		}
		seen[id] = title
	}
}

// A pass looks a day further back than the last one ended: the search index lags.
func TestPassesOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := newBureau(t, 13)
		defer func() { b.stop() }()
		var last canonical.CRMPass
		for i := range 3 {
			p := b.reconcile()
			if i == 2 && !p.From.Equal(last.To.Add(-24*time.Hour)) {
				t.Errorf("after a pass up to %v one begins at %v", last.To, p.From)
			}
			last = p
			b.stop()
			time.Sleep(40 * time.Hour)
			b.start()
		}
	})
}

// A pass that fails is tried again later and later; whoever has mended what it names and asks for
// one has it at once.
func TestWhoAsksAfterAFailureDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := closedBureau(t, 15)
		var mended atomic.Bool
		b.with = func(s *Sync) {
			s.Every = time.Minute
			s.CRM.(*hubspotcrm.Client).Token = func(context.Context) (string, error) {
				if mended.Load() {
					return "pat-test", nil
				}
				return "pat-rotated", nil
			}
		}
		b.start()
		defer func() { b.stop() }()
		time.Sleep(time.Hour)
		settle()
		if got := b.sync.Health.Degraded(); len(got) != 1 || !strings.Contains(got[0], "sync hubspot") {
			t.Fatalf("degraded are %v", got)
		}
		mended.Store(true)
		if _, err := b.sync.Ask(t.Context(), "tester", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		settle()
		if state, err := b.sync.State(t.Context()); err != nil || state.Asked != nil || state.Pass == nil || len(b.sync.Health.Degraded()) > 0 {
			t.Errorf("after asking: %+v %v, degraded are %v", state.Pass, err, b.sync.Health.Degraded())
		}
	})
}
