//go:build unix

package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tributary/canonical"
	"tributary/canonical/wire"
	"tributary/identity"
	"tributary/identity/memstore"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
	"tributary/mappings"
)

// recordedLog fills the embedded log and an index on disk with receipts and the events that
// resolve made of them: a third each of touches, lifecycle stages and deals.
func recordedLog(b *testing.B, n int, m *mappings.Mapping) (eventlog.Log, *Index, *identity.View) {
	b.Helper()
	broker, err := embeddedlog.Start(b.Context(), embeddedlog.Options{Dir: b.TempDir(), MaxBytes: 16 << 30, Topics: topics.Wanted(6, time.Hour, time.Hour)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { broker.Close() })
	l, err := kafkalog.Open(b.Context(), kafkalog.Options{Brokers: []string{broker.Addr()}, Embedded: true, Dial: broker.Dial})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	if err := l.Ensure(b.Context(), topics.Wanted(6, time.Hour, time.Hour)...); err != nil {
		b.Fatal(err)
	}
	view, err := identity.Open(memstore.New())
	if err != nil {
		b.Fatal(err)
	}
	db, err := pebble.Open(b.TempDir(), &pebble.Options{Logger: silent{}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	index, err := OpenIndex(db, "index\x00")
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	stages := []string{"lead", "marketingqualifiedlead", "salesqualifiedlead", "customer"}
	for from := 0; from < n; from += 5000 {
		var receipts, events []eventlog.Record
		for i := from; i < min(from+5000, n); i++ {
			who := i % (n/5 + 1)
			person := fmt.Sprintf(`{"id":"%d","email":"p%d@firm%d.example","lifecycle_stage":%q}`, who, who, who%1000, stages[i/7%4])
			body := fmt.Sprintf(`{"event":"lifecycle_changed","changed_at":%q,"contact":%s,"company":{"id":"%d","domain":"firm%d.example","name":"Firm"}}`, canonical.FormatTime(at), person, who%1000, who%1000)
			switch i % 3 {
			case 1:
				body = fmt.Sprintf(`{"event":"deal.stage_changed","occurred_at":%q,"deal":{"id":"%d","stage":"closedwon","pipeline":"sales","value":%d,"currency":"EUR"},"contact":%s}`, canonical.FormatTime(at), i, 100+i%5000, person)
			case 2:
				body = fmt.Sprintf(`{"event":"page_view","occurred_at":%q,"contact":%s,"url":"https://www.example.com/pricing?utm_source=linkedin&utm_campaign=spring&li_fat_id=fat%d"}`, canonical.FormatTime(at), person, i)
			}
			rc := canonical.Receipt{ID: canonical.ReceiptID(fmt.Sprintf("01M7Z3V6CM8C8D3%011d", i)), Source: "crm", Way: canonical.WayCRM, ReceivedAt: at.Add(time.Duration(i) * time.Millisecond), Body: []byte(body)}
			value, err := json.Marshal(rc)
			if err != nil {
				b.Fatal(err)
			}
			receipts = append(receipts, eventlog.Record{Value: value, Type: eventlog.TypeReceipt, Version: eventlog.Schema})
			rd := Understand(rc, m, wire.Settings{Currency: "EUR"})
			if rd.Event == nil {
				b.Fatalf("receipt %s came to %+v", body, rd)
			}
			k := view.Known(*rd.Event)
			k.Identifiers, k.Person, k.Account = rd.Event.Identifiers, canonical.PersonID(rd.Event.Node), canonical.AccountID(rd.Event.AccountNode)
			rd.Event.Known = &k
			e, err := encode(eventlog.TypeEvent, string(rd.Event.ID), rd.Event)
			if err != nil {
				b.Fatal(err)
			}
			events = append(events, e)
		}
		for topic, records := range map[string][]eventlog.Record{topics.Inbound: receipts, topics.Events: events} {
			placed, err := l.Append(b.Context(), topic, records...)
			if err != nil {
				b.Fatal(err)
			}
			by := map[int][]eventlog.Record{}
			for i, p := range placed {
				r := records[i]
				r.Topic, r.Partition, r.Offset = topic, p.Partition, p.Offset
				by[p.Partition] = append(by[p.Partition], r)
			}
			for _, part := range by {
				if err := index.Of(topic).Apply(part); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	return l, index, view
}

// BenchmarkMapDiff compares two mappings over the embedded log for three destinations; some
// lines differ. TRIBUTARY_DIFF_RECEIPTS says over how many receipts; 50,000.
func BenchmarkMapDiff(b *testing.B) {
	n := 50_000
	if text := os.Getenv("TRIBUTARY_DIFF_RECEIPTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	old := mapped(b)
	now := mapped(b, "marketingqualifiedlead: qualified_lead", "marketingqualifiedlead: sales_qualified_lead",
		"customer_won:         { event: Purchase, value: amount, if_missing: hold }", "customer_won:         { event: Subscribe, value: amount, if_missing: hold }")
	l, index, view := recordedLog(b, n, old)
	d := &MapDiff{
		Recorded: Recorded{Log: l, Topics: topics, Index: index},
		Judge: Judge{Settings: func(string) wire.Settings { return wire.Settings{Currency: "EUR"} }, People: view, Trials: trials(b),
			Routes: func(m *mappings.Mapping, name string, e *canonical.Event) (canonical.Route, bool) {
				return m.RouteOf(name, name, e)
			}},
	}
	b.ReportAllocs()
	began := cpu(b)
	for b.Loop() {
		result, err := d.Run(context.Background(), MapDiffAsk{Old: old, New: now, Since: time.Now().Add(-24 * time.Hour), Samples: 3}, nil)
		if err != nil {
			b.Fatal(err)
		}
		if result.Receipts != int64(n) || result.Guessed != 0 || result.Empty {
			b.Fatalf("%d receipts, %d guessed, empty %v", result.Receipts, result.Guessed, result.Empty)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "receipts/s")
	b.ReportMetric(float64((cpu(b)-began).Microseconds())/float64(n*b.N), "cpu-µs/receipt")
}

// cpu is what this process has used, the broker in it too: on a busy machine it says more than
// the time that passed.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
