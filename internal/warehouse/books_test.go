package warehouse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

func receipt(id string, offset int64) warehouse.ReceiptRow {
	return warehouse.ReceiptRow{
		Receipt:  canonical.Receipt{ID: canonical.ReceiptID(id), Source: "crm", Way: canonical.WayHubSpot, ReceivedAt: at(1)},
		Position: canonical.Position{Offset: offset}, Sealed: []byte("sealed " + id),
	}
}

func fate(id string, f canonical.Fate, reason string, offset int64) warehouse.FateRow {
	return warehouse.FateRow{ReceiptID: canonical.ReceiptID(id), Source: "crm", Way: canonical.WayHubSpot, Fate: f, Reason: reason, At: at(1), Position: canonical.Position{Offset: offset}}
}

func TestReceiptBooks(t *testing.T) {
	w := open(t)
	receipts := []warehouse.ReceiptRow{receipt("a", 0), receipt("a", 9), receipt("b", 1), receipt("c", 2), receipt("c.c", 3), receipt("d", 4), receipt("e", 5), receipt("f", 6)}
	fates := []warehouse.FateRow{
		fate("a", canonical.FateEvent, "", 10), fate("b", canonical.FateObservation, "", 11), fate("c", canonical.FateCompleted, "", 12),
		fate("c.c", canonical.FateFacts, "", 13), fate("d", canonical.FateQuarantined, "bad_time", 14), fate("d", canonical.FateQuarantined, "missing_id", 17),
		fate("e", canonical.FateQuarantined, "unknown_event", 15), fate("e", canonical.FateEvent, "", 16), fate("g", canonical.FateFacts, "", 18),
	}
	for i := range fates { // one by one, the last first
		write(t, w, fmt.Sprint("f", i), warehouse.Block{Fates: fates[len(fates)-1-i : len(fates)-i]})
	}
	write(t, w, "all", warehouse.Block{Receipts: receipts, Fates: fates})
	write(t, w, "some again", warehouse.Block{Receipts: receipts[2:5], Fates: fates[3:]})
	got, err := w.ReceiptBalance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := warehouse.ReceiptBalance{Source: "crm", Accepted: 8, Event: 2, Observation: 1, FactsOnly: 2, Completed: 1, Quarantined: 1, Waiting: 1, NotRecorded: 1}
	if len(got) != 1 || got[0] != want || !got[0].Balanced() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	expect(t, w, "SELECT receipt_id, reason FROM v_quarantine", "d missing_id")
	var sealed []string
	if err := w.Receipts(t.Context(), 0, 2, 5, func(b []byte) error { sealed = append(sealed, string(b)); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sealed) != "[sealed c sealed c.c sealed d]" {
		t.Errorf("receipts %q", sealed)
	}
}

func TestDeliveryBooks(t *testing.T) {
	w := open(t)
	var events []warehouse.EventRow
	for i := range 10 {
		e := lifecycle(fmt.Sprint("e", i), fmt.Sprint(i), "qualified_lead", at(1))
		events = append(events, warehouse.EventRow{Event: e, Position: canonical.Position{Partition: i % 2, Offset: int64(i / 2)}})
	}
	var log []warehouse.DeliveryRow
	say := func(event int, part string, state canonical.State, reason, replay string) {
		d := canonical.Delivery{Destination: "meta", Part: part, State: state, Reason: reason, ReplayID: replay, At: at(2)}
		if event >= 0 {
			d.Event = events[event].Event.Key()
		} else {
			d.End = map[string][]int64{"tributary.events": {1, 1}, "tributary.replays": {0}}
		}
		log = append(log, warehouse.DeliveryRow{Delivery: d, Position: canonical.Position{Offset: int64(len(log))}, Sealed: fmt.Appendf(nil, "sealed %d", len(log))})
	}
	say(-1, "", canonical.StateActivation, "", "")
	say(2, "event", canonical.StateIntent, "", "")
	say(2, "event", canonical.StateDelivered, "", "")
	say(2, "event", canonical.StateDead, "late", "") // the first terminal record wins
	say(3, "", canonical.StateParked, "awaiting_identity", "")
	say(3, "event", canonical.StateDelivered, "", "")
	say(3, "", canonical.StateSuppressed, "planned", "")
	say(4, "event", canonical.StateDelivered, "", "")
	say(4, "timeline", canonical.StateDead, "refused", "")
	say(5, "event", canonical.StateDead, "refused", "")
	say(5, "event", canonical.StateIntent, "", "") // not without a replay
	say(6, "event", canonical.StateDead, "refused", "")
	say(6, "event", canonical.StateIntent, "", "R1")
	say(7, "event", canonical.StateParked, "retry", "")
	say(7, "timeline", canonical.StateDelivered, "", "")
	say(8, "", canonical.StateSuppressed, "not_mapped", "")
	say(1, "", canonical.StateSuppressed, "too_old", "R2")
	replays := []warehouse.ReplayRow{{ReplayOrder: canonical.ReplayOrder{ID: "R2", Event: events[1].Event, Destinations: []string{"meta"}, Who: "ops", Reason: "by ada@example.com", At: at(3)}}}
	for i := range log {
		write(t, w, fmt.Sprint("l", i), warehouse.Block{Deliveries: log[len(log)-1-i : len(log)-i]})
	}
	write(t, w, "all", warehouse.Block{Events: events, Deliveries: log, Replays: replays})
	write(t, w, "again", warehouse.Block{Events: events[3:], Deliveries: log[2:], Replays: replays})

	expect(t, w, "SELECT name, event_id, state, reason, parts FROM v_event_deliveries ORDER BY event_id", `
		qualified_lead e1 suppressed too_old 1
		qualified_lead e2 delivered  1
		qualified_lead e3 delivered  1
		qualified_lead e4 dead refused 2
		qualified_lead e5 dead refused 1
		qualified_lead e6 pending  1
		qualified_lead e7 parked retry 2
		qualified_lead e8 suppressed not_mapped 1
		qualified_lead e9 pending  0`)
	got, err := w.DeliveryBalance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := "[{meta 9 2 2 2 1 2 1 map[not_mapped:1 too_old:1] map[retry:1]}]"
	if fmt.Sprint(got) != want || !got[0].Balanced() {
		t.Errorf("got %v, want %s", got, want)
	}
	expect(t, w, "SELECT event_id, part FROM v_dead_letters ORDER BY event_id", `
		e4 timeline
		e5 event`)
	var sealed []string
	if err := w.DeliveriesBefore(t.Context(), 0, 1, 4, func(at int64, b []byte) error { sealed = append(sealed, fmt.Sprint(at, " ", string(b))); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(sealed) != "[1 sealed 1 2 sealed 2 3 sealed 3]" {
		t.Errorf("deliveries %q", sealed)
	}
	stop := errors.New("enough")
	if err := w.DeliveriesBefore(t.Context(), 0, 0, 100, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
	}
}

// TestWhatIsDiscardedIsFoldedAsTheLedgerDoes: giving up holds for a dead letter and for what is held, and for nothing else.
func TestWhatIsDiscardedIsFoldedAsTheLedgerDoes(t *testing.T) {
	w := open(t)
	var log []warehouse.DeliveryRow
	say := func(event string, states ...canonical.Delivery) {
		for _, d := range states {
			d.Destination, d.Event, d.Part, d.At = "meta", canonical.EventKey{Name: "qualified_lead", ID: canonical.EventID(event)}, "event", at(100)
			log = append(log, warehouse.DeliveryRow{Delivery: d, Position: canonical.Position{Offset: int64(len(log))}})
		}
	}
	discard := canonical.Delivery{State: canonical.StateSuppressed, Reason: canonical.ReasonDiscarded, Who: "ops"}
	dead := canonical.Delivery{State: canonical.StateDead, Reason: "refused", Attempt: 1}
	parked := func(reason string) canonical.Delivery {
		return canonical.Delivery{State: canonical.StateParked, Reason: reason, Attempt: 1}
	}
	say("e1", dead, discard)
	say("e2", canonical.Delivery{State: canonical.StateDelivered, Attempt: 1}, discard)
	say("e3", parked(canonical.ReasonAmbiguous), discard)
	say("e4", parked(canonical.ReasonRetry), discard)
	say("e5", discard)
	say("e6", dead, discard, canonical.Delivery{State: canonical.StateIntent, Attempt: 2}) // a fenced owner's
	say("e7", dead, discard, canonical.Delivery{State: canonical.StateIntent, Attempt: 2, ReplayID: "R1"})
	write(t, w, "1", warehouse.Block{Deliveries: log})
	expect(t, w, "SELECT event_id, state, reason FROM r_parts ORDER BY event_id", `
		e1 suppressed discarded
		e2 delivered
		e3 suppressed discarded
		e4 parked retry
		e6 suppressed discarded
		e7 intent`)
}

func TestMatchReport(t *testing.T) {
	w := open(t)
	var log []warehouse.DeliveryRow
	say := func(event string, match map[string]string) {
		d := canonical.Delivery{Destination: "meta", Event: canonical.EventKey{Name: "lead", ID: canonical.EventID(event)}, Part: "event",
			State: canonical.StateIntent, At: at(1 + float64(len(log))/1000), Match: match}
		log = append(log, warehouse.DeliveryRow{Delivery: d, Position: canonical.Position{Offset: int64(len(log))}})
	}
	say("e1", map[string]string{"em": "missing", "fbc": "missing"})
	say("e1", map[string]string{"em": "usable", "fbc": "missing"}) // the last attempt counts
	say("e1", nil)                                                 // an outcome says nothing of it
	say("e2", map[string]string{"em": "prehashed", "fbc": "refused"})
	write(t, w, "1", warehouse.Block{Deliveries: log})
	expect(t, w, "SELECT destination, name, identifier, parts, usable, prehashed, refused, missing FROM v_match", `
		meta lead em 2 1 1 0 0
		meta lead fbc 2 0 0 1 1`)
}

func TestEventsAreFoundAgain(t *testing.T) {
	w := open(t)
	odd := canonical.EventID("it's a \\ \"tab\t'?' {x:String} of ada@example.com")
	first := lifecycle(string(odd), "1", "qualified_lead", at(1))
	later := first
	later.OccurredAt = at(50) // a copy that ought not to be handed over loses
	write(t, w, "1", warehouse.Block{Events: []warehouse.EventRow{{Event: later, Position: canonical.Position{Partition: 2, Offset: 9}, Sealed: []byte("later")}}})
	write(t, w, "2", warehouse.Block{Events: []warehouse.EventRow{{Event: first, Position: canonical.Position{Partition: 2, Offset: 4}, Sealed: []byte{0, 1, '\n', 255}}},
		Fates: []warehouse.FateRow{fate("r", canonical.FateEvent, "", 4), fate("q", canonical.FateFacts, "", 5)}})
	found, err := w.FindEvent(t.Context(), odd)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if f := found[0]; f.Key != first.Key() || f.Position != (canonical.Position{Partition: 2, Offset: 4}) || !bytes.Equal(f.Sealed, []byte{0, 1, '\n', 255}) {
		t.Errorf("found %+v", f)
	}
	if found, err := w.FindEvent(t.Context(), "unknown"); err != nil || len(found) != 0 {
		t.Errorf("an unknown id found %v, %v", found, err)
	}
	var seen []string
	err = w.FirstSeen(t.Context(), 2, 0, 10,
		func(k canonical.EventKey, p canonical.Position) {
			seen = append(seen, fmt.Sprint(k == warehouse.StoredKey(first.Key()), p))
		},
		func(canonical.ReceiptID, canonical.Fate, canonical.Position) { t.Error("a fate of another partition") })
	if err != nil || fmt.Sprint(seen) != "[true {2 4}]" {
		t.Errorf("first seen %v, %v", seen, err)
	}
	fates := map[string]int64{}
	err = w.FirstSeen(t.Context(), 0, 5, 10, func(canonical.EventKey, canonical.Position) { t.Error("an event of another partition") },
		func(id canonical.ReceiptID, f canonical.Fate, p canonical.Position) {
			fates[fmt.Sprint(id, " ", f)] = p.Offset
		})
	if err != nil || fmt.Sprint(fates) != "map[q facts_only:5]" {
		t.Errorf("fates %v, %v", fates, err)
	}
}

func TestATokenIsNotTrustedAlone(t *testing.T) {
	w := open(t)
	for _, id := range []string{"a", "b", "b"} { // a log begun anew gives the same place to another receipt
		write(t, w, "inbound/0/0", warehouse.Block{Receipts: []warehouse.ReceiptRow{receipt(id, 0)}})
	}
	expect(t, w, "SELECT receipt_id, count() FROM receipts GROUP BY ALL ORDER BY ALL", `
		a 1
		b 1`)
}

func TestRowsTakesParametersAndOnlyReads(t *testing.T) {
	w := open(t)
	when := time.Date(2026, 4, 23, 11, 4, 19, 0, time.UTC)
	text := "it's \\ a\ttab\nand 'quotes' ?"
	r, err := w.Rows(t.Context(), "SELECT {s:String} AS s, {n:Int64} + 1 AS n, {d:DateTime64(3)} AS d, {a:Array(String)} AS a, NULL::Nullable(Int64) AS z, toDecimal64(1.5, 2) AS m, map('k', 1) AS k",
		map[string]any{"s": text, "n": 41, "d": when, "a": []string{"x", text}})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Rows[0]
	if row[0] != text || fmt.Sprint(row[1]) != "42" || !row[2].(time.Time).Equal(when) || row[3].([]string)[1] != text || row[4] != nil || fmt.Sprint(row[5]) != "1.5" {
		t.Errorf("row %#v", row)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if r.Columns[0].Name != "s" || r.Columns[4].Type != "Nullable(Int64)" {
		t.Errorf("columns %v", r.Columns)
	}
	for _, sql := range []string{"INSERT INTO activations (destination) VALUES ('x')", "TRUNCATE TABLE events", "DROP VIEW v_credit", "CREATE TEMPORARY TABLE a (b UInt8)", "CREATE VIEW w AS SELECT 1",
		"SET max_threads = 1", "SELECT 1 SETTINGS readonly = 0", "SELECT * FROM file('/etc/hostname', 'LineAsString')", "SELECT file('/etc/hostname')",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "SELECT * FROM remote('127.0.0.1:1', 'system.one')", "SELECT 1 INTO OUTFILE 'x'"} {
		if _, err := w.Rows(t.Context(), sql, nil); err == nil {
			t.Errorf("%s was done", sql)
		}
	}
	if r, err := w.Rows(t.Context(), "SELECT number FROM system.numbers", nil); err != nil || !r.Cut { // which never ends
		t.Errorf("%d rows, cut %v, %v", len(r.Rows), r.Cut, err)
	}
	if _, err := w.Rows(t.Context(), "SELECT groupArray(repeat('x', 1000)) FROM numbers(10000000)", nil); err == nil {
		t.Error("memory is not bounded")
	}
	if r, err := w.Rows(t.Context(), "SELECT number FROM numbers(100001)", nil); err != nil || !r.Cut || len(r.Rows) != warehouse.MaxRows {
		t.Errorf("%d rows, cut %v, %v", len(r.Rows), r.Cut, err)
	}
}

// TestNothingPersonalStandsInTheClear puts an address wherever a caller could.
func TestNothingPersonalStandsInTheClear(t *testing.T) {
	w := open(t)
	const who = "Ada.Byron@example.com"
	e := dealStage("id-"+who, who, "5", "customer_won", 1, at(1))
	e.Name, e.Source, e.Reported, e.Pipeline, e.RawStage, e.Claimed, e.Rule, e.Ignored = "won "+who, who, who, who, who, who, who, ""
	e.ReceiptID = "r1"
	e.Contact = canonical.Contact{Email: who, FirstName: "Ada", LastName: "Byron", Phone: "+49 30 901820"}
	e.Company = canonical.Company{ID: who, Domain: "example.com", Name: "Byron of " + who}
	e.Browser = canonical.BrowserContext{URL: "https://example.com/?email=" + who, IP: "192.0.2.77", UserAgent: "Agent " + who}
	e.Properties = map[string]any{"note": who}
	e.Identifiers = append(e.Identifiers, canonical.Identifier{Scheme: canonical.UserID, Value: who}, canonical.Identifier{Scheme: canonical.Email, Value: canonical.EmailHash(who)})
	e.Revenue.Currency, e.Revenue.BillingPeriod = "USD", who
	e.Touch = &canonical.Touch{Kind: "form", At: at(1), Platform: who, Source: who, Medium: who, Campaign: who, Term: who, Content: who, CampaignID: who, AdSet: who, Ad: who,
		Page: "https://" + who + "/thanks/" + who + "?email=Ada", Referrer: "https://example.com/?name=Byron#Ada", Form: who, Subject: "Dear Ada Byron",
		Clicks: []canonical.Click{{Scheme: canonical.GCLID, Value: who, At: at(1)}}}
	f := canonical.Fact{Kind: canonical.FactTouch, At: at(1), Nodes: e.Identifiers, Touch: e.Touch, Source: who, Stage: &canonical.StageReached{Name: who, Raw: who}}
	d := canonical.Delivery{Destination: who, Event: e.Key(), Part: who, State: canonical.StateDead, Reason: who, Detail: "no such person: ada.byron%40example.com", At: at(100), Slot: who,
		Content: &e, Body: json.RawMessage(`{"em":"` + who + `"}`), TraceID: who, Who: who, Match: map[string]string{who: who}}
	r := canonical.Receipt{ID: "r1", Source: who, Way: canonical.WayCRM, ReceivedAt: at(1), Body: []byte(who), Context: map[string]string{"ip": "192.0.2.77"}}
	fr := fate("r1", canonical.FateQuarantined, who, 1)
	fr.Detail, fr.Rule, fr.Event = "bad "+who, who, e.Key()
	sealed := []byte("SEALED")
	b := warehouse.Block{
		Receipts: []warehouse.ReceiptRow{{Receipt: r, Sealed: sealed}}, Fates: []warehouse.FateRow{fr},
		Events: []warehouse.EventRow{{Event: e, Sealed: sealed}}, Facts: []warehouse.FactRow{{Fact: f}},
		Overrides:  []warehouse.OverrideRow{{Node: 1, Root: 2}},
		Deliveries: []warehouse.DeliveryRow{{Delivery: d, Sealed: sealed}},
		Replays:    []warehouse.ReplayRow{{ReplayOrder: canonical.ReplayOrder{ID: "p1", Event: e, Destinations: []string{who}, Reason: who, Who: who, At: at(1)}}},
		Jobs: []warehouse.JobRow{{ReplayJob: canonical.ReplayJob{ID: "j1", Seq: 1, State: canonical.JobDone, Reason: who, Who: who, By: who, Note: who, At: at(1), Changed: at(1), Destinations: []string{who},
			Selection: canonical.Selection{IDs: []canonical.EventID{canonical.EventID(who)}, Sources: []string{who}}, Foreseen: map[string]canonical.Tally{who: {}}}}},
	}
	packed, err := canonical.PackMapping([]canonical.MappingFile{{Name: who, Text: "when: email == \"" + who + "\""}})
	if err != nil {
		t.Fatal(err)
	}
	b.Mappings = []warehouse.MappingRow{{LiveMapping: canonical.LiveMapping{Version: "sha256:1", At: at(1), Process: who, By: who, Packed: packed, Meanings: map[string]string{who: who}}, Sealed: sealed}}
	a := d
	a.State, a.Event = canonical.StateActivation, canonical.EventKey{}
	b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: a, Position: canonical.Position{Offset: 1}, Sealed: sealed})
	a.State, a.Reason = canonical.StateControl, canonical.ControlPause
	b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: a, Position: canonical.Position{Offset: 2}, Sealed: sealed})
	f.Kind = canonical.FactAssociation
	f.Role = who
	b.Facts = append(b.Facts, warehouse.FactRow{Offset: 1, Fact: f})
	f.Kind, f.Fields, f.Consent = canonical.FactAccount, map[string]string{canonical.AccountName: who}, &canonical.Consent{AdUserData: new(bool)}
	b.Facts = append(b.Facts, warehouse.FactRow{Offset: 2, Fact: f})
	f.Kind = canonical.FactConsent
	b.Facts = append(b.Facts, warehouse.FactRow{Offset: 3, Fact: f})
	b.Hands = []warehouse.HandRow{{Device: 1, Since: 2, Holder: 3}}
	write(t, w, "1", b)
	if err := w.WriteCRMSettings(t.Context(), warehouse.CRMSettings{Account: "hubspot", ReadAt: at(1),
		Stages: []warehouse.CRMStage{{Object: "deal", Pipeline: who, PipelineLabel: who, Stage: who, Label: who}},
		Owners: []warehouse.CRMOwner{{Owner: who, User: who, Teams: []string{who}}}, Options: []warehouse.CRMOption{{Object: "deal", Property: who, Value: who, Label: who}}}); err != nil {
		t.Fatal(err)
	}
	for name := range warehouse.TableColumns() {
		if name == "node_accounts" || name == "identity_hands" { // numbers only
			continue
		}
		if ask(t, w, "SELECT count() > 0 FROM "+name) == "0" {
			t.Errorf("%s got no row to look at", name)
		}
	}
	columns, err := w.Rows(t.Context(), `SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() AND table NOT LIKE 'p\_%'
		AND type LIKE '%String%' AND name != 'sealed' AND table != 'schema_migrations' GROUP BY table`, nil)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, c := range columns.Rows {
		var cells []string
		for _, name := range c[1].([]string) {
			looked++
			cells = append(cells, fmt.Sprintf("concat('%s: ', toString(`%[1]s`))", name))
		}
		got := ask(t, w, fmt.Sprintf("SELECT arrayJoin([%s]) AS v FROM %s WHERE match(v, '(?i)byron|ada@|@example|192\\.0\\.2|901820|dear')", strings.Join(cells, ", "), c[0]))
		if got != "" {
			t.Errorf("%s holds %q", c[0], got)
		}
	}
	if looked < 100 {
		t.Errorf("looked at %d columns only", looked)
	}
}

func TestCleanKeepsWhatIsNoAddress(t *testing.T) {
	for in, want := range map[string]string{
		"spring": "spring", "a @ b": "a @ b", "@handle": "@handle", "x@localhost": "x@localhost",
		"for ada@example.com!":           "for email-" + canonical.SHA256("ada@example.com")[:16] + "!",
		"ada%40Example.com":              "email-" + canonical.SHA256("ada@example.com")[:16],
		"https://x.test/u/ada@x.test/ok": "https://x.test/u/email-" + canonical.SHA256("ada@x.test")[:16] + "/ok",
	} {
		if got := warehouse.Clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"https://x.test/a?b=c#d": "https://x.test/a", "https://u:p@x.test/a": "https://x.test/a", "/a#b": "/a", "": "", "https://x.test": "https://x.test",
	} {
		if got := warehouse.CleanURL(in); got != want {
			t.Errorf("cleanURL(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSealing(t *testing.T) {
	key := bytes.Repeat([]byte{7}, warehouse.SealKeySize)
	s, err := warehouse.NewSealer(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{[]byte("ada@example.com"), {}, bytes.Repeat([]byte("x"), 1<<20)} {
		sealed := s.Seal(text)
		if len(text) > 0 && bytes.Contains(sealed, text) {
			t.Errorf("%.20q shows through", text)
		}
		if back, err := s.Open(sealed); err != nil || !bytes.Equal(back, text) {
			t.Errorf("%.20q came back as %.20q, %v", text, back, err)
		}
		for _, i := range []int{0, 1, 20, len(sealed) - 1} {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := s.Open(bad); !errors.Is(err, warehouse.ErrSealed) {
				t.Errorf("byte %d changed: %v", i, err)
			}
		}
	}
	if bytes.Equal(s.Seal([]byte("a")), s.Seal([]byte("a"))) {
		t.Error("equal texts can be told to be equal")
	}
	if s.Seal(nil) != nil {
		t.Error("nothing was sealed to something")
	}
	other, _ := warehouse.NewSealer(bytes.Repeat([]byte{8}, warehouse.SealKeySize))
	if _, err := other.Open(s.Seal([]byte("a"))); !errors.Is(err, warehouse.ErrSealed) {
		t.Errorf("another key: %v", err)
	}
	if _, err := warehouse.NewSealer(key[1:]); err == nil {
		t.Error("a short key was taken")
	}
}

var (
	heading   = regexp.MustCompile("^### `(\\w+)(\\(.*\\))?`")
	columnRow = regexp.MustCompile("^\\| `(\\w+)` \\|")
)

// TestTheReferenceListsEveryColumn holds docs/sql.md to the database: every table and
// view, every column, in order.
func TestTheReferenceListsEveryColumn(t *testing.T) {
	text, err := os.ReadFile("../../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, at := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		if m := heading.FindStringSubmatch(line); m != nil {
			at = m[1]
			listed[at] = nil
		} else if strings.HasPrefix(line, "## ") {
			at = ""
		} else if m := columnRow.FindStringSubmatch(line); m != nil && at != "" {
			listed[at] = append(listed[at], m[1])
		}
	}
	w := open(t)
	there, err := w.Rows(t.Context(), "SELECT name FROM system.tables WHERE database = currentDatabase() AND name NOT LIKE 'p\\_%'", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range there.Rows {
		name := row[0].(string)
		want := strings.Split(ask(t, w, "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '"+name+"' ORDER BY position"), "\n")
		if fmt.Sprint(listed[name]) != fmt.Sprint(want) {
			t.Errorf("docs/sql.md lists %s as\n%s\nit has\n%s", name, listed[name], want)
		}
		delete(listed, name)
	}
	delete(listed, "p_credit") // parameterised views have no columns in system.columns
	delete(listed, "p_picks")
	delete(listed, "p_nodes_at")
	for name := range listed {
		t.Errorf("docs/sql.md lists %s, which there is not", name)
	}
	for i, block := range strings.Split(string(text), "```sql\n")[1:] {
		query, _, _ := strings.Cut(block, "```")
		if _, err := w.Rows(t.Context(), query, nil); err != nil {
			t.Errorf("query %d of docs/sql.md: %v", i+1, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	w := open(b)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		var block warehouse.Block
		for range 10_000 {
			n++
			e := lifecycle(fmt.Sprint("e", n), fmt.Sprint(n%5000), "qualified_lead", at(float64(n%100)))
			if n%2 == 0 {
				e = touch(fmt.Sprint("t", n), cookie(fmt.Sprint(n%5000)), "meta", "spring", at(float64(n%100)))
			}
			block.Events = append(block.Events, warehouse.EventRow{Event: e, Position: canonical.Position{Offset: int64(n)}, Sealed: make([]byte, 600)})
		}
		if err := w.Write(b.Context(), fmt.Sprint(n), block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
