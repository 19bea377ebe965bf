package warehouse_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"tributary/canonical"
	"tributary/destinations/delivery"
	"tributary/internal/eventlog"
	"tributary/internal/warehouse"
)

// TestBothFoldsSayTheSame: whatever records follow one another, the views say of every part and
// of every event what the ledger says.
func TestBothFoldsSayTheSame(t *testing.T) {
	w := open(t)
	roll := rand.New(rand.NewPCG(1, 0))
	db, err := pebble.Open("state", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ledger, err := delivery.OpenLedger(db, "l\x00")
	if err != nil {
		t.Fatal(err)
	}
	const events, records = 400, 6000
	var b warehouse.Block
	b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: canonical.Delivery{Destination: "meta", State: canonical.StateActivation, At: at(1),
		End: map[string][]int64{"t.events": {0, 0}, "t.replays": {0, 0}}}})
	var keys []canonical.EventKey
	for i := range events {
		e := lifecycle(fmt.Sprint("e", i), fmt.Sprint(i), "qualified_lead", at(1))
		keys = append(keys, e.Key())
		b.Events = append(b.Events, warehouse.EventRow{Event: e, Position: canonical.Position{Offset: int64(i)}})
	}
	var log []eventlog.Record
	say := func(d canonical.Delivery) {
		v, err := d.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(len(log)) + 1
		log = append(log, eventlog.Record{Offset: at, Value: v, Type: eventlog.TypeDelivery, Version: eventlog.Schema})
		b.Deliveries = append(b.Deliveries, warehouse.DeliveryRow{Delivery: d, Position: canonical.Position{Offset: at}})
	}
	for range records {
		say(anyDelivery(roll, keys[roll.IntN(len(keys))]))
	}
	if err := ledger.Apply(append([]eventlog.Record{{Value: mustJSON(t, b.Deliveries[0].Delivery), Type: eventlog.TypeDelivery, Version: eventlog.Schema}}, log...)); err != nil {
		t.Fatal(err)
	}
	roll.Shuffle(len(b.Deliveries), func(i, j int) { b.Deliveries[i], b.Deliveries[j] = b.Deliveries[j], b.Deliveries[i] })
	write(t, w, "all", b)

	folded := map[string]string{}
	rows, err := w.Conn().Query(t.Context(), "SELECT toString(event_name), event_id, toString(part), toString(state), toString(reason) FROM r_parts")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name, id, part, state, reason string
		if err := rows.Scan(&name, &id, &part, &state, &reason); err != nil {
			t.Fatal(err)
		}
		folded[name+"|"+id+"/"+part] = state + " " + reason
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	lane := &delivery.Lane{Name: "meta", Ledger: ledger}
	worst := map[canonical.EventKey]string{}
	wrong := 0
	for _, key := range keys {
		states, err := lane.State(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range states {
			at := key.String() + "/" + d.Part
			if want := string(d.State) + " " + d.Reason; folded[at] != want {
				if wrong++; wrong < 10 {
					t.Errorf("%s is %q in r_parts and %q in the ledger", at, folded[at], want)
				}
			}
			delete(folded, at)
		}
		d := delivery.Worst(states)
		if d.State == canonical.StateIntent {
			d.State = ""
		}
		worst[key] = cmp.Or(string(d.State), "pending") + " " + d.Reason
	}
	for at, is := range folded {
		t.Errorf("%s is %q in r_parts and nothing in the ledger", at, is)
	}
	err = w.DeliveryStates(t.Context(), "meta", []int64{0, 0}, []int64{events, events}, func(s warehouse.DeliveryState) error {
		if is := string(s.State) + " " + s.Reason; is != worst[s.Key] {
			t.Errorf("%s is %q in v_event_deliveries and %q in the ledger", s.Key, is, worst[s.Key])
		}
		delete(worst, s.Key)
		return nil
	})
	if err != nil || len(worst) > 0 {
		t.Errorf("%d events without a row, %v", len(worst), err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// anyDelivery makes a record that a lane, a fenced one, or a person may write.
func anyDelivery(roll *rand.Rand, key canonical.EventKey) canonical.Delivery {
	pick := func(of ...string) string { return of[roll.IntN(len(of))] }
	d := canonical.Delivery{
		Destination: "meta", Event: key, Part: pick("event", "event", "timeline", "", "event!R1"), At: at(2 + float64(roll.IntN(100))),
		Attempt: roll.IntN(4), ReplayID: pick("", "", "R1", "R2"),
		State: canonical.State(pick("intent", "intent", "parked", "parked", "delivered", "dead", "suppressed", "suppressed", "control")),
	}
	switch d.State {
	case canonical.StateParked:
		d.Reason = pick("retry", "ambiguous", "hold", "awaiting_identity", "delay")
	case canonical.StateDead:
		d.Reason = pick("refused", "discarded", "retries_exhausted")
	case canonical.StateSuppressed:
		d.Reason = pick("too_old", "re_report", "discarded", "discarded")
		if d.Part == "" {
			d.Reason = pick("planned", "not_mapped", "discarded")
		}
	case canonical.StateControl:
		d = canonical.Delivery{Destination: "meta", State: canonical.StateControl, Reason: "pause", At: d.At}
	}
	return d
}
