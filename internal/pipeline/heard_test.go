package pipeline

import (
	"fmt"
	"testing"
	"time"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/internal/eventlog"
)

// What was heard long ago is forgotten, however much it is; what a pass looks back to is not. What
// the log no longer holds is passed over, also after a start.
func TestWhatWasHeardIsForgottenInTime(t *testing.T) {
	db := newDB(t)
	defer db.Close()
	open := func() *Heard {
		v, err := OpenHeard(db, "heard\x00", func(rc canonical.Receipt) (wire.Notice, bool) { return wire.NoticeOf(rc, wire.Settings{}) })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v, now := open(), time.Now()
	ages := []time.Duration{0, 24 * time.Hour, heardFor - time.Hour, heardFor + time.Hour, 400 * 24 * time.Hour}
	const each = 20_000 // some batches of what is forgotten in one go
	var records []eventlog.Record
	for i, age := range ages {
		n := 1
		if i == len(ages)-1 {
			n = each
		}
		for k := range n {
			rec, err := encode(eventlog.TypeReceipt, "", webhook(fmt.Sprint("r", i), 10+i, fmt.Sprint("stage", k), now.Add(-age)))
			if err != nil {
				t.Fatal(err)
			}
			rec.Offset = int64(len(records))
			records = append(records, rec)
		}
	}
	if err := v.Apply(records); err != nil {
		t.Fatal(err)
	}
	heard := func(i int) int {
		had, err := v.changes("hubspot", "contact", fmt.Sprint(10+i), "propertyChange", "lifecyclestage", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return len(had)
	}
	if heard(4) != each {
		t.Fatalf("%d were heard, want %d", heard(4), each)
	}
	if err := v.Prune(now); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 1, 1, 0, 0} {
		if got := heard(i); got != want {
			t.Errorf("of %v ago %d are kept, want %d", ages[i], got, want)
		}
	}
	if err := v.skip(0, 1_000_000); err != nil {
		t.Fatal(err)
	}
	if again := open(); v.Next(0) != 1_000_000 || again.Next(0) != 1_000_000 {
		t.Errorf("it goes on at %d, and at %d after a start", v.Next(0), again.Next(0))
	}
}
