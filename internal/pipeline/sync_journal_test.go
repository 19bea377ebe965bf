package pipeline

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/eventlog"
	"tributary/internal/hubspotcrm"
)

// journaled lets the bureau read the journal too.
func journaled(b *bureau) *bureau {
	b.with = func(s *Sync) {
		s.Journal = &hubspotcrm.Journal{BaseURL: "http://hubspot.test", ClientID: "journal-app", Secret: func() (string, error) { return "journal-secret", nil }, HTTP: &http.Client{Transport: b.sim.Transport()}}
	}
	return b
}

// With no webhook at all the journal tells everything, each with its own time; killed it goes on
// where it was; and where it was away for longer than the journal is kept, a pass looks from there.
func TestTheJournalTellsAll(t *testing.T) {
	var want, wantConversions map[string]int
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := newBureau(t, 6)
		defer func() { b.stop() }()
		b.story(6, 120)
		want, wantConversions = b.events(), b.conversions()
	})
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := journaled(closedBureau(t, 6))
		b.start()
		defer func() { b.stop() }()
		b.lose = func() bool { return true }
		b.story(6, 120)
		b.stop()
		b.start()
		time.Sleep(5 * time.Minute)
		settle()
		b.same("by the journal", want, wantConversions)
		state, err := b.sync.State(t.Context())
		if err != nil || state.Journal == nil || state.Journal.Files < 3 || state.Journal.Gaps != 0 {
			t.Fatalf("%+v %v", state.Journal, err)
		}
		t.Logf("%d files, %d receipts", state.Journal.Files, state.Journal.Pulled)
		if p := b.reconcile(); p.Pulled > 0 {
			t.Errorf("after the journal a pass pulled %v", p.Missing)
		}

		b.stop() // for longer than the journal is kept
		id, err := b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "gap@example.com", "lifecyclestage": "lead"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := b.sim.Set("contact", id, map[string]string{"lifecyclestage": "marketingqualifiedlead"}, simulator.Change{}); err != nil {
			t.Fatal(err)
		}
		b.sim.Webhooks("")
		if _, _, err := b.sync.Journal.Next(t.Context(), ""); err != nil { // whoever asks, what is pending is published
			t.Fatal(err)
		}
		time.Sleep(5 * 24 * time.Hour)
		b.start()
		time.Sleep(10 * time.Minute)
		settle()
		if state, err = b.sync.State(t.Context()); err != nil || state.Journal.Gaps != 1 || state.Pass == nil || !strings.Contains(state.Pass.Who, "gap") {
			t.Fatalf("%+v %+v %v", state.Journal, state.Pass, err)
		}
		got := b.sim.Received(simulator.Meta)
		if last := got[len(got)-2:]; last[0].EventName != "Lead" || last[1].EventName != "QualifiedLead" || len(got) != len(wantConversions)+2 {
			t.Errorf("after the gap Meta has %d, the last are %s and %s", len(got), last[0].EventName, last[1].EventName)
		}
	})
}

// The journal does not say who changed a property. What this router wrote is known for an echo all
// the same: the receipt says who did, as a webhook does.
func TestTheJournalTellsWhoChangedAStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := journaled(closedBureau(t, 8))
		b.start()
		defer func() { b.stop() }()
		b.lose = func() bool { return true }
		id, err := b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "echo@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := b.sim.Set("contact", id, map[string]string{"lifecyclestage": "salesqualifiedlead"}, simulator.Change{Source: "INTEGRATION", SourceID: "9001"}); err != nil {
			t.Fatal(err)
		}
		b.post()
		time.Sleep(time.Minute)
		settle()
		told := 0
		for _, rc := range read[canonical.Receipt](t, b.log, topics.Inbound, eventlog.TypeReceipt) {
			if body := string(rc.Body); strings.Contains(body, `"salesqualifiedlead"`) {
				told++
				if !strings.Contains(body, `"changeSource":"INTEGRATION","sourceId":"9001"`) {
					t.Errorf("the journal's change says %s", body)
				}
			}
		}
		if told == 0 {
			t.Error("the journal told nothing")
		}
	})
}

// A journalOf is a journal that tells what it is made to.
type journalOf func(offset string) (hubspotcrm.JournalFile, bool, error)

func (j journalOf) Next(_ context.Context, offset string) (hubspotcrm.JournalFile, bool, error) {
	return j(offset)
}

// A file that cannot be read holds up those behind it, and those before it are not read again; no
// word of it is left in whoever gave the account to another process.
func TestAJournalsFileThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := closedBureau(t, 9)
		first := 0
		b.with = func(s *Sync) {
			s.Journal = journalOf(func(offset string) (hubspotcrm.JournalFile, bool, error) {
				if offset != "" {
					return hubspotcrm.JournalFile{}, false, errors.New("it is no JSON of a journal")
				}
				first++
				return hubspotcrm.JournalFile{Offset: "o1", Events: []hubspotcrm.JournalEvent{{Portal: 424242, At: time.Now(), Action: "DELETE", TypeID: "0-1", ID: "77"}}}, true, nil
			})
		}
		b.start()
		time.Sleep(time.Hour)
		settle()
		if got := read[canonical.Receipt](t, b.log, topics.Inbound, eventlog.TypeReceipt); first != 1 || len(got) != 1 {
			t.Errorf("the file before was read %d times and came to %d receipts", first, len(got))
		}
		if got := b.sync.Health.Degraded(); len(got) != 1 || !strings.Contains(got[0], "journal hubspot") {
			t.Errorf("degraded are %v", got)
		}
		b.stop()
		if got := b.sync.Health.Degraded(); len(got) != 0 {
			t.Errorf("still degraded are %v", got)
		}
	})
}

// HubSpot does not say what it answers at the journal's end. Where it is what it answers for an offset
// that is gone, the journal is not read from its beginning again and again.
func TestTheJournalsEndIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := closedBureau(t, 10)
		first := 0
		b.with = func(s *Sync) {
			s.Journal = journalOf(func(offset string) (hubspotcrm.JournalFile, bool, error) {
				if offset != "" {
					return hubspotcrm.JournalFile{}, false, hubspotcrm.ErrJournalGap
				}
				first++
				return hubspotcrm.JournalFile{Offset: "o1"}, true, nil
			})
		}
		for i, want := range []int{1, 1, 2} {
			b.start()
			time.Sleep(time.Minute)
			settle()
			if first != want {
				t.Errorf("after %d days the journal was begun %d times, want %d", 2*i, first, want)
			}
			b.stop()
			time.Sleep(48 * time.Hour)
		}
	})
}

// Of a file only what is of this portal, of a type that is read and of after the connection is told.
func TestWhatOfAJournalsFileIsOurs(t *testing.T) {
	connected := time.Now()
	event := func(change func(*hubspotcrm.JournalEvent)) hubspotcrm.JournalEvent {
		e := hubspotcrm.JournalEvent{Portal: 424242, At: connected.Add(time.Second), Action: "UPDATE", TypeID: "0-3", ID: "7", Properties: []hubspotcrm.JournalProperty{{Name: "dealstage", Value: "closedwon"}}}
		change(&e)
		return e
	}
	s := &Sync{Account: "hubspot", Portal: 424242}
	for _, c := range []struct {
		title  string
		change func(*hubspotcrm.JournalEvent)
		want   int
	}{
		{"ours", func(*hubspotcrm.JournalEvent) {}, 1},
		{"of the moment of the connection", func(e *hubspotcrm.JournalEvent) { e.At = connected }, 1},
		{"before the connection", func(e *hubspotcrm.JournalEvent) { e.At = connected.Add(-time.Millisecond) }, 0},
		{"another portal's", func(e *hubspotcrm.JournalEvent) { e.Portal = 424243 }, 0},
		{"of no portal", func(e *hubspotcrm.JournalEvent) { e.Portal = 0 }, 0},
		{"somebody forgotten elsewhere", func(e *hubspotcrm.JournalEvent) { e.Portal, e.TypeID, e.Action = 1, "0-1", "GDPR_DELETE" }, 0},
		{"somebody forgotten", func(e *hubspotcrm.JournalEvent) { e.TypeID, e.Action = "0-1", "GDPR_DELETE" }, 1},
		{"a ticket", func(e *hubspotcrm.JournalEvent) { e.TypeID = "0-5" }, 0},
		{"no id", func(e *hubspotcrm.JournalEvent) { e.ID = "x" }, 0},
		{"an app's installation", func(e *hubspotcrm.JournalEvent) { e.Action = "APP_INSTALL" }, 0},
	} {
		got, err := s.journalTellings(t.Context(), hubspotcrm.JournalFile{Events: []hubspotcrm.JournalEvent{event(c.change)}}, connected)
		if err != nil || len(got) != c.want {
			t.Errorf("%s: %+v %v, want %d", c.title, got, err, c.want)
		}
	}
}
