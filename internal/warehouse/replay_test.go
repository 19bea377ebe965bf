package warehouse_test

import (
	"fmt"
	"slices"
	"testing"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// What a replay of many reads where the log no longer reaches: events in the order of the
// log, which of them came earlier, and every change of a delivery.
func TestWhatReplaysRead(t *testing.T) {
	w := open(t)
	var b warehouse.Block
	for i := range 6 {
		name := []string{"qualified_lead", "customer_won"}[i%2]
		e := canonical.Event{ID: canonical.EventID(fmt.Sprint("e", i)), Name: name, OccurredAt: at(float64(100 + i)), ReceivedAt: at(float64(1000 - i)), Source: []string{"crm", "web"}[i/3], ReceiptID: canonical.ReceiptID(fmt.Sprint("r", i))}
		row := warehouse.EventRow{Event: e, Position: canonical.Position{Partition: i % 2, Offset: int64(10 - i)}, Sealed: []byte(e.ID)}
		if i == 5 {
			row.Sealed = nil
		}
		b.Events = append(b.Events, row)
	}
	key := canonical.EventKey{Name: "qualified_lead", ID: "e0"}
	for i, state := range []canonical.State{canonical.StateIntent, canonical.StateDead} {
		b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: canonical.Delivery{Destination: "meta", Event: key, Part: "event", State: state, At: at(2000)},
			Position: canonical.Position{Offset: int64(i)}, Sealed: []byte(state)})
	}
	write(t, w, "1", b)
	write(t, w, "2", b) // a block written again is the same rows
	read := func(p int, from, to int64, f warehouse.EventFilter, limit int) string {
		t.Helper()
		var got []string
		err := w.EventsBetween(t.Context(), p, from, to, f, limit, func(offset int64, sealed []byte) error {
			s := "-"
			if sealed != nil {
				s = string(sealed)
			}
			got = append(got, fmt.Sprint(offset, s))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got)
	}
	for _, tc := range []struct {
		partition int
		from, to  int64
		filter    warehouse.EventFilter
		limit     int
		want      string
	}{
		{0, 0, 100, warehouse.EventFilter{}, 100, "[6e4 8e2 10e0]"},
		{1, 0, 100, warehouse.EventFilter{}, 100, "[5- 7e3 9e1]"},
		{0, 0, 100, warehouse.EventFilter{}, 2, "[6e4 8e2]"},
		{0, 7, 10, warehouse.EventFilter{}, 100, "[8e2]"},
		{0, 0, 100, warehouse.EventFilter{Since: at(102)}, 100, "[6e4 8e2]"},
		{0, 0, 100, warehouse.EventFilter{Until: at(103)}, 100, "[8e2 10e0]"},
		{0, 0, 100, warehouse.EventFilter{Since: at(998), Received: true}, 100, "[8e2 10e0]"},
		{0, 0, 100, warehouse.EventFilter{Sources: []string{"crm"}}, 100, "[8e2 10e0]"},
		{0, 0, 100, warehouse.EventFilter{Names: []string{"customer_won", "other"}}, 100, "[]"},
		{1, 0, 100, warehouse.EventFilter{Names: []string{"customer_won", "other"}, Sources: []string{"web", "crm"}}, 100, "[5- 7e3 9e1]"},
	} {
		if got := read(tc.partition, tc.from, tc.to, tc.filter, tc.limit); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
	earlier, err := w.EarlierThan(t.Context(), 0, 9, []canonical.EventKey{key, {Name: "qualified_lead", ID: "e2"}, {Name: "customer_won", ID: "e2"}, {Name: "qualified_lead", ID: "nothing"}})
	if err != nil || len(earlier) != 1 || !earlier[canonical.EventKey{Name: "qualified_lead", ID: "e2"}] {
		t.Errorf("earlier: %v %v", earlier, err)
	}
	var changes []string
	err = w.DeliveriesOf(t.Context(), "meta", key, func(sealed []byte) error { changes = append(changes, string(sealed)); return nil })
	if err != nil || !slices.Equal(changes, []string{"intent", "dead"}) {
		t.Errorf("deliveries: %v %v", changes, err)
	}
	job := canonical.ReplayJob{ID: "rj_1", Seq: 3, State: canonical.JobRunning, Kind: "replay", Destinations: []string{"meta"}, Reason: "test", Who: "ops", At: at(1), Changed: at(2), Orders: 7, Selection: canonical.Selection{IDs: []canonical.EventID{"e0"}}}
	late := job
	late.State, late.Seq = canonical.JobDone, 3 // with the same number, and not first
	over := job
	over.State, over.Seq = canonical.JobCancelled, 4
	for i, j := range []canonical.ReplayJob{job, late} {
		write(t, w, fmt.Sprint("job", i), warehouse.Block{Jobs: []warehouse.JobRow{{ReplayJob: j, Position: canonical.Position{Offset: int64(i)}}}})
	}
	expect(t, w, "SELECT replay_id, state, orders, ids FROM v_replay_jobs", "rj_1 running 7 1")
	write(t, w, "over", warehouse.Block{Jobs: []warehouse.JobRow{{ReplayJob: over, Position: canonical.Position{Offset: 2}}}})
	expect(t, w, "SELECT replay_id, state, orders, ids FROM v_replay_jobs", "rj_1 cancelled 7 1")
}
