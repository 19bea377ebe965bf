package pipeline

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tributary/destinations/simulator"
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
		check := func(when string) {
			t.Helper()
			if lacks, extra := differ(b.conversions(), wantConversions); len(lacks)+len(extra) > 0 {
				t.Errorf("%s Meta lacks %v and has %v besides", when, lacks, extra)
			}
			for k, n := range b.conversions() {
				if n > 1 {
					t.Errorf("%s Meta has %s %d times", when, k, n)
				}
			}
			if lacks, extra := differ(b.events(), want); len(lacks)+len(extra) > 0 {
				t.Errorf("%s lacking are the events %v, and there are %v besides", when, lacks, extra)
			}
		}
		check("by the journal")
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
