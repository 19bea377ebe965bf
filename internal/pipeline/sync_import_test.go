package pipeline

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"tributary/canonical"
	"tributary/destinations/simulator"
	"tributary/internal/eventlog"
	"tributary/internal/hubspotcrm"
)

// imported waits until the import is over.
func (b *bureau) imported() canonical.CRMImport {
	b.t.Helper()
	for range 100 {
		settle()
		state, err := b.sync.State(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if state.Import.State != canonical.ImportRunning {
			time.Sleep(30 * time.Second)
			settle()
			return *state.Import
		}
	}
	b.t.Fatalf("the import does not end: %v", b.sync.Health.Degraded())
	return canonical.CRMImport{}
}

// The past of an account is brought in as facts and history: nobody is sent any of it, and what
// comes after is told from it. An import that is killed goes on where it was.
func TestThePastIsImportedAsHistory(t *testing.T) {
	var whole map[string]int
	var receipts int
	for _, killed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour)
			b := closedBureau(t, 11)
			b.lose = func() bool { return true } // nobody listened yet
			b.story(11, 120)
			lead, err := b.sim.Make(simulator.Made{Type: "contact", Properties: map[string]string{"email": "old@firm.example.com", "lifecyclestage": "lead"}})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * 24 * time.Hour)
			b.post()
			b.late, b.lose = nil, func() bool { return false }
			b.start()
			defer func() { b.stop() }()
			if _, err := b.sync.Import(t.Context(), "tester", 12); err != nil {
				t.Fatal(err)
			}
			if killed {
				time.Sleep(3 * time.Second)
				b.stop()
				b.start()
			}
			im := b.imported()
			if im.State != canonical.ImportDone || im.Records["contact"] < 10 || im.Records["deal"] < 5 || im.Records["company"] < 3 {
				t.Fatalf("the import is %+v", im)
			}
			seen := map[canonical.ReceiptID]bool{}
			for _, rc := range read[canonical.Receipt](t, b.log, topics.Inbound, eventlog.TypeReceipt) {
				if rc.Pulled() != canonical.PulledByImport || rc.Completion == nil && rc.Body == nil {
					t.Fatalf("a receipt of the past is %+v", rc)
				}
				seen[rc.ID] = true
			}
			events := b.events()
			for _, e := range read[canonical.Event](t, b.log, topics.Events, eventlog.TypeEvent) {
				if !e.History {
					t.Errorf("an event of the past is none of history: %+v", e)
				}
			}
			if !killed {
				whole, receipts = events, len(seen)
				t.Logf("%d receipts of %v", receipts, im.Records)
			} else if lacks, extra := differ(events, whole); len(lacks)+len(extra) > 0 || len(seen) != receipts {
				t.Errorf("killed and gone on with it lacks %v, has %v besides; %d receipts, want %d", lacks, extra, len(seen), receipts)
			}
			if got := b.conversions(); len(got) > 0 {
				t.Errorf("Meta was sent the past: %v", got)
			}
			suppressed := 0
			for _, d := range read[canonical.Delivery](t, b.log, topics.Deliveries, eventlog.TypeDelivery) {
				if d.State == canonical.StateSuppressed {
					if d.Reason != canonical.ReasonHistory {
						t.Errorf("suppressed as %s", d.Reason)
					}
					suppressed++
				}
			}
			if suppressed != len(events) {
				t.Errorf("of %d events %d are counted as history", len(events), suppressed)
			}

			// Nothing of it is pulled once more, a step reached by then is none for the first time, and
			// a new one is sent.
			if p := b.reconcile(); p.Pulled != 0 {
				t.Errorf("a pass pulled the past: %v", p.Missing)
			}
			for _, stage := range []string{"subscriber", "lead", "marketingqualifiedlead"} {
				if err := b.sim.Set("contact", lead, map[string]string{"lifecyclestage": stage}, simulator.Change{}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				b.post()
			}
			time.Sleep(time.Minute)
			settle()
			if got := b.sim.Received(simulator.Meta); len(got) != 1 || got[0].EventName != "QualifiedLead" {
				t.Errorf("Meta was sent %+v", got)
			}
		})
	}
}

// More records than a page holds, also of one and the same millisecond: each is listed, and an import
// that goes on page by page brings in each once.
func TestNoRecordIsLostBetweenPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(24 * time.Hour)
		b := closedBureau(t, 14)
		began := time.Now()
		for i, n := range []int{30, 430, 210, 5} { // at one time each
			for k := range n {
				if _, err := b.sim.Make(simulator.Made{Change: simulator.Change{At: began.Add(time.Duration(i) * time.Millisecond)}, Type: "contact",
					Properties: map[string]string{"email": fmt.Sprintf("p%d-%d@example.com", i, k), "lifecyclestage": "lead"}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		b.sim.Webhooks("https://in.example.com/")
		time.Sleep(time.Hour)
		b.start()
		defer func() { b.stop() }()
		listed := map[string]bool{}
		if err := b.sync.CRM.Modified(t.Context(), "contact", began, "", func(found []hubspotcrm.Record, _ time.Time, _ string) error {
			for _, r := range found {
				listed[r.ID] = true
			}
			return nil
		}); err != nil || len(listed) != 675 {
			t.Errorf("%d of 675 are listed: %v", len(listed), err)
		}
		if _, err := b.sync.Import(t.Context(), "tester", 1); err != nil {
			t.Fatal(err)
		}
		b.imported()
		made := map[string]int{}
		for _, rc := range read[canonical.Receipt](t, b.log, topics.Inbound, eventlog.TypeReceipt) {
			made[string(rc.ID)]++
		}
		if events := b.events(); len(events) != 675 || len(made) != 2*675 {
			t.Errorf("the import came to %d receipts and %d events, want %d and 675", len(made), len(events), 2*675)
		}
	})
}
