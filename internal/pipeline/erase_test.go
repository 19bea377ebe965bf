package pipeline

import (
	"context"
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
	"tributary/mappings"
)

func keyedView(t *testing.T) *identity.View {
	t.Helper()
	key, err := identity.NewErasureKey([]byte("a key of thirty-two bytes, truly!"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := identity.Open(memstore.New(), identity.WithErasureKey(key))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestResolveForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, view := newLog(t), keyedView(t)
		m, problems := mappings.Compile(mappings.Default())
		if mappings.Failed(problems) {
			t.Fatal(problems)
		}
		s := &Resolve{Log: l, Topics: topics, Prefix: "t.", Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }, View: view}
		stop := run(t, s.Run, func(ctx context.Context) error { return FollowIdentity(ctx, l, topics.Identity, view) })
		defer stop()
		base := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
		n := 0
		say := func(id string, way canonical.Way, body string) canonical.Receipt {
			n++
			return canonical.Receipt{ID: canonical.ReceiptID(id), Source: "crm", Way: way, ReceivedAt: base.Add(time.Duration(n) * time.Second), Body: []byte(body)}
		}
		stage := func(id, contact, mail string) canonical.Receipt {
			return say(id, canonical.WayCRM, fmt.Sprintf(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-01-02T03:04:%02dZ","contact":{"id":%q,"email":%q,"first_name":"Adalovely","lifecycle_stage":"lead"}}`, n, contact, mail))
		}
		form := func(id, cookie, mail string) canonical.Receipt {
			return say(id, canonical.WayPixel, fmt.Sprintf(`{"event":"form_submitted","form":"f","anonymous_id":%q,"email":%q,"url":"https://example.com/","occurred_at":"2026-01-02T03:05:00Z"}`, cookie, mail))
		}
		forgotten := func(id string) canonical.Receipt {
			return say(id, canonical.WayHubSpot, `{"eventId":1,"portalId":42,"occurredAt":1767322000000,"subscriptionType":"contact.privacyDeletion","objectId":9}`)
		}
		// One poll: what comes before is kept, what comes after in the same poll is not.
		post(t, l, stage("before", "9", "ada@example.test"), form("form", "ck-ada", "ada@example.test"), forgotten("gone"), stage("after", "9", "ada@example.test"), stage("other", "10", "bo@example.test"))
		settle()
		deal := func(id, contact, mail string) canonical.Receipt {
			return say(id, canonical.WayCRM, fmt.Sprintf(`{"source":"hubspot","event":"deal.stage_changed","occurred_at":"2026-01-03T03:04:05Z","contact":{"id":%q,"email":%q,"first_name":"Adalovely"},
				"deal":{"id":"5","pipeline":"sales_pipeline","stage":"closedwon","amount":36000,"currency":"USD"}}`, contact, mail))
		}
		post(t, l, stage("again", "9", "new@example.test"), stage("by mail", "11", "ada@example.test"),
			say("on her cookie", canonical.WayPixel, `{"event":"page_view","anonymous_id":"ck-ada","url":"https://example.com/","occurred_at":"2026-01-05T03:05:00Z"}`),
			form("kiosk", "ck-ada", "bo@example.test"), deal("deal", "9", "ada@example.test"), forgotten("gone2"),
			say("merge", canonical.WayHubSpot, `{"eventId":2,"portalId":42,"occurredAt":1767322000000,"subscriptionType":"contact.merge","objectId":12,"primaryObjectId":10,"mergedObjectIds":[9,10],"newObjectId":12}`))
		settle()

		fates := map[canonical.ReceiptID]string{}
		for _, f := range read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate) {
			fates[f.ReceiptID] = strings.TrimSpace(string(f.Fate) + " " + f.Reason)
		}
		events := map[canonical.ReceiptID]canonical.Event{}
		for _, e := range read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent) {
			fates[e.ReceiptID], events[e.ReceiptID] = "event", e
		}
		want := map[canonical.ReceiptID]string{"before": "event", "form": "event", "gone": "facts_only", "after": "erased erased", "other": "event",
			"again": "erased erased", "by mail": "erased erased", "on her cookie": "erased erased", "kiosk": "event", "deal": "event", "gone2": "erased erased", "merge": "facts_only"}
		for id, w := range want {
			if fates[id] != w {
				t.Errorf("receipt %s: %q, want %q", id, fates[id], w)
			}
		}
		if e := events["kiosk"]; len(e.Identifiers) != 1 || e.Identifiers[0].Scheme != canonical.Email {
			t.Errorf("a colleague's form on her cookie has %v", e.Identifiers)
		}
		bo := func(id string) canonical.PersonID {
			return view.Person(canonical.Identifier{Scheme: canonical.HubSpotContact, Value: id}.Node())
		}
		if bo("10") != bo("12") {
			t.Error("a merge that names her as well does not hold for the others")
		}
		if e := events["deal"]; e.Node != 0 || e.Contact.Email != "" || len(e.Identifiers) > 0 || e.Object.ID != "5" || e.Revenue == nil {
			t.Errorf("her deal is told as %+v", e)
		}
		facts := read[canonical.Fact](t, l, topics.Identity, eventlog.TypeFact)
		at := slices.IndexFunc(facts, func(f canonical.Fact) bool { return f.Kind == canonical.FactErase })
		if at < 0 || len(facts[at].Hashes) != 3 || facts[at].Cause != "gone" {
			t.Fatalf("the erase fact: %+v", facts)
		}
		for _, f := range facts[at+1:] {
			for _, id := range f.Nodes {
				if view.Erased(id) {
					t.Errorf("a fact names her: %+v", f)
				}
			}
			if f.Kind == canonical.FactErase {
				t.Errorf("erased twice: %+v", f)
			}
		}

		// Folded anew it is the same.
		again := keyedView(t)
		var records []identity.Folded
		for i, f := range facts {
			records = append(records, identity.Folded{Offset: int64(i), Fact: f})
		}
		if err := again.Fold(records); err != nil || again.Digest() != view.Digest() {
			t.Errorf("a rebuild differs: %v", err)
		}

		lift, err := view.Lifting(base.Add(time.Duration(n)*time.Second), canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "9"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.state(t.Context(), []canonical.Fact{lift}); err != nil {
			t.Fatal(err)
		}
		post(t, l, stage("back", "9", "ada@example.test"))
		settle()
		all := read[canonical.Event](t, l, topics.Events, eventlog.TypeEvent)
		if !slices.ContainsFunc(all, func(e canonical.Event) bool { return e.ReceiptID == "back" && e.Node != 0 }) {
			t.Errorf("after lifting she is not known again: %+v", all)
		}
	})
}

func TestFetchDoesNotReadWhoIsErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, c := newLog(t), &crm{}
		f := newFetch(l, c)
		f.View = keyedView(t)
		her := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "1"}
		e, err := f.View.Erasure(time.Now(), her)
		if err == nil {
			err = f.View.Fold([]identity.Folded{{Offset: 0, Fact: e}})
		}
		if err != nil {
			t.Fatal(err)
		}
		post(t, l, webhook("r1", 1, "lead", time.Now()))
		stop := run(t, f.Run)
		defer stop()
		settle()
		fates := read[canonical.FateRecord](t, l, topics.Events, eventlog.TypeFate)
		if len(fates) != 1 || fates[0].Fate != canonical.FateErased || c.reads != 0 {
			t.Errorf("fates %+v after %d reads", fates, c.reads)
		}
		o := canonical.ReadObject{Type: "deal", ID: "5", Associated: map[string][]string{"contact": {"1", "2"}}, Roles: map[string]map[string][]string{"contact": {"1": {"7"}}}}
		if f.withoutErased(&o); fmt.Sprint(o.Associated["contact"], o.Roles["contact"]) != "[2] map[]" {
			t.Errorf("a deal still names her: %+v", o)
		}
	})
}

// A warehouse that is filled from the log again gets nothing of who was erased since, and as
// many rows.
func TestRecordWritesNothingOfWhoIsErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, shelf, db := newLog(t), &shelf{}, newDB(t)
		defer db.Close()
		view := keyedView(t)
		mail := canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash("ada@example.test")}
		her, his := canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "4711001"}, canonical.Identifier{Scheme: canonical.HubSpotContact, Value: "4711002"}
		deal := canonical.Identifier{Scheme: canonical.HubSpotDeal, Value: "5"}
		facts := []canonical.Fact{
			{Kind: canonical.FactLink, Nodes: []canonical.Identifier{her, mail}},
			{Kind: canonical.FactAssociation, Nodes: []canonical.Identifier{deal, her}},
			{Kind: canonical.FactAssociation, Nodes: []canonical.Identifier{deal, his}},
		}
		for i, f := range facts {
			if err := view.Fold([]identity.Folded{{Offset: int64(i), Fact: f}}); err != nil {
				t.Fatal(err)
			}
		}
		erase, err := view.Erasure(time.Now(), her)
		if err == nil {
			err = view.Fold([]identity.Folded{{Offset: 3, Fact: erase}})
		}
		if err != nil {
			t.Fatal(err)
		}
		m, problems := mappings.Compile(mappings.Default())
		if mappings.Failed(problems) {
			t.Fatal(problems)
		}
		s := newRecord(t, l, shelf, db)
		s.View, s.Reading = view, &Replay{View: view, Mapping: func() *mappings.Mapping { return m }, Settings: func(string) wire.Settings { return wire.Settings{} }}

		say := func(topic, kind, key string, v any) {
			t.Helper()
			r, err := encode(kind, key, v)
			if err == nil {
				_, err = l.Append(t.Context(), topic, r)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range append(slices.Clone(facts), erase) {
			say(topics.Identity, eventlog.TypeFact, "", f)
		}
		before := time.Now().Add(-time.Hour)
		post(t, l,
			canonical.Receipt{ID: "r1", Source: "crm", Way: canonical.WayCRM, ReceivedAt: before, Body: []byte(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-01-02T03:04:05Z","contact":{"id":"4711001","email":"ada@example.test","first_name":"Adalovely","lifecycle_stage":"lead"}}`)},
			canonical.Receipt{ID: "r2", Source: "crm", Way: canonical.WayCRM, ReceivedAt: before, Body: []byte(`{"source":"hubspot","event":"hubspot.lifecycle_changed","occurred_at":"2026-01-02T03:04:05Z","contact":{"id":"4711002","lifecycle_stage":"lead"}}`)})
		mine := canonical.Event{ID: "e1", Name: "lead_captured", ReceiptID: "r1", ReceivedAt: before, Node: her.Node(), Identifiers: []canonical.Identifier{her, mail}, Object: canonical.Object{Type: "contact", ID: "4711001"},
			Contact: canonical.Contact{Email: "ada@example.test", FirstName: "Adalovely"}, Known: &canonical.Known{Offset: 2, Identifiers: []canonical.Identifier{mail}}, Funnel: true, Rank: 1}
		won := canonical.Event{ID: "e2", Name: "customer_won", ReceiptID: "r2", ReceivedAt: before, Node: his.Node(), Identifiers: []canonical.Identifier{his}, Object: canonical.Object{Type: "deal", ID: "5"}, Contacts: []string{"4711002", "4711001"},
			Known: &canonical.Known{Offset: 2, Contacts: []canonical.DealContact{{Node: his.Node()}, {Node: her.Node(), Identifiers: []canonical.Identifier{mail}}}}, Funnel: true, Rank: 7}
		say(topics.Events, eventlog.TypeEvent, "e1", mine)
		say(topics.Events, eventlog.TypeEvent, "e2", won)
		say(topics.Events, eventlog.TypeFate, "r3", canonical.FateRecord{ReceiptID: "r3", Fate: canonical.FateFacts, At: before, Nodes: []canonical.NodeID{her.Node()}})
		say(topics.Deliveries, eventlog.TypeDelivery, "e1", canonical.Delivery{Destination: "meta", Event: mine.Key(), State: canonical.StateDead, At: before, Body: []byte(`{"em":"` + mail.Value + `"}`), Node: her.Node(), Slot: her.Node().String() + "|lead_captured"})
		say(topics.Deliveries, eventlog.TypeDelivery, "e1", canonical.Delivery{Destination: "meta", Event: mine.Key(), State: canonical.StateIntent, At: before, Known: mine.Known})
		say(topics.Deliveries, eventlog.TypeDelivery, "e2", canonical.Delivery{Destination: "meta", Event: won.Key(), State: canonical.StateParked, At: before, Content: &won})
		stop := run(t, s.Run)
		time.Sleep(time.Minute)
		synctest.Wait()
		stop()
		events, fates := shelf.told()
		if events != 2 || fates[canonical.FateEvent] != 2 || fates[canonical.FateFacts] != 1 {
			t.Errorf("%d events, fates %v", events, fates)
		}
		deliveries, receipts, kept := 0, 0, 0
		for _, b := range shelf.blocks {
			deliveries, receipts, kept = deliveries+len(b.Deliveries), receipts+len(b.Receipts), kept+len(b.Facts)
			for _, r := range b.Receipts {
				if (len(r.Sealed) == 0) != (r.Receipt.ID == "r1") {
					t.Errorf("receipt %s is kept with %d bytes", r.Receipt.ID, len(r.Sealed))
				}
			}
			for _, e := range b.Events {
				if e.Event.ID == "e1" && (e.Event.Node == her.Node() || e.Event.Node == 0 || len(e.Sealed) > 0) || e.Event.ID == "e2" && len(e.Sealed) == 0 {
					t.Errorf("the row of %s: %+v", e.Event.ID, e)
				}
			}
			b.Receipts = nil // a body goes nowhere but into what is sealed
			for _, n := range []string{mail.Value, "4711001", "Adalovely", "ada@example.test"} {
				if strings.Contains(fmt.Sprintf("%+v", b), n) {
					t.Errorf("a block holds %s", n)
				}
			}
			for _, d := range b.Deliveries {
				if strings.Contains(string(d.Sealed), mail.Value) || strings.Contains(string(d.Sealed), her.Node().String()) {
					t.Errorf("a delivery is kept as %s", d.Sealed)
				}
			}
			for _, e := range b.Events {
				if strings.Contains(string(e.Sealed), mail.Value) || strings.Contains(string(e.Sealed), "4711001") {
					t.Errorf("an event is kept as %s", e.Sealed)
				}
			}
		}
		if deliveries != 3 || receipts != 2 || kept != 2 { // her colleague's association, and the erasure
			t.Errorf("%d deliveries, %d receipts, %d facts", deliveries, receipts, kept)
		}
	})
}
