package warehouse_test

import (
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// TestTheBooksBeginningAndActsAreKept: a ledger that is rebuilt years later must still find where
// a destination's books begin and that somebody paused it.
func TestTheBooksBeginningAndActsAreKept(t *testing.T) {
	w := open(t)
	old := time.Now().UTC().AddDate(0, -14, 0)
	var rows []warehouse.DeliveryRow
	for i, state := range []canonical.State{canonical.StateActivation, canonical.StateControl, canonical.StateDelivered} {
		d := canonical.Delivery{Destination: "meta", State: state, At: old}
		if state == canonical.StateActivation {
			d.End = map[string][]int64{"t.events": {0}, "t.replays": {0}}
		}
		if state == canonical.StateDelivered {
			d.Event = canonical.EventKey{Name: "lead", ID: "e"}
		}
		rows = append(rows, warehouse.DeliveryRow{Delivery: d, Position: canonical.Position{Offset: int64(i)}, Sealed: []byte(state)})
	}
	write(t, w, "1", warehouse.Block{Deliveries: rows})
	if err := w.Conn().Exec(t.Context(), "OPTIMIZE TABLE deliveries FINAL"); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := w.DeliveriesBefore(t.Context(), 0, 0, 10, func(at int64, sealed []byte) error {
		got = append(got, fmt.Sprint(at, " ", string(sealed)))
		return nil
	})
	if err != nil || fmt.Sprint(got) != "[0 activation 1 control]" {
		t.Errorf("kept %v, %v; want the beginning and the act, and not what is over", got, err)
	}
}
