package eventlogtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tributary/internal/eventlog"
)

func ensure(t *testing.T, e Engine) {
	l := open(t, e)
	ctx := t.Context()
	wanted := []eventlog.Topic{
		{Name: name(t, "many"), Partitions: 3, Retention: time.Hour},
		{Name: name(t, "one"), Partitions: 1},
	}
	for range 2 { // the second time they are there
		if err := l.Ensure(ctx, wanted...); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range wanted {
		if got, err := l.Partitions(ctx, w.Name); err != nil || got != w.Partitions {
			t.Errorf("Partitions(%s) = %d, %v; want %d", w.Name, got, err, w.Partitions)
		}
	}
	other := open(t, e)
	more := wanted[0]
	more.Partitions = 12
	if err := other.Ensure(ctx, more); err != nil {
		t.Errorf("fewer partitions than asked for: %v", err)
	}
	if got, err := other.Partitions(ctx, more.Name); err != nil || got != 3 {
		t.Errorf("Partitions = %d, %v; want the topic's own 3", got, err)
	}
	more.Partitions = 1
	if err := l.Ensure(ctx, more); err == nil {
		t.Error("a topic with 3 partitions passed for one with a single order")
	}
	if _, err := l.Partitions(ctx, name(t, "missing")); err == nil {
		t.Error("a topic that is not there has partitions")
	}
	first, end, err := l.Bounds(ctx, wanted[0].Name)
	if err != nil || len(first) != 3 || len(end) != 3 || end[0] != 0 {
		t.Errorf("Bounds of an empty topic = %v, %v, %v", first, end, err)
	}
}

func appendOrder(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 4)
	records := numbered(0, 100)
	records[7] = eventlog.Record{Value: []byte{}, Type: "odd", Version: 7}
	records[8] = eventlog.Record{Value: []byte("bare")}
	before := time.Now().Add(-time.Second)
	placed := mustAppend(t, l, tp, records...)
	for i, r := range placed {
		if r.Topic != tp || r.Partition != placed[0].Partition || r.Offset != placed[0].Offset+int64(i) {
			t.Fatalf("record %d stands at %s/%d@%d, the first at %d@%d", i, r.Topic, r.Partition, r.Offset, placed[0].Partition, placed[0].Offset)
		}
	}
	if out, err := l.Append(t.Context(), tp); err != nil || len(out) != 0 {
		t.Errorf("append of nothing = %v, %v", out, err)
	}
	got, err := l.Read(t.Context(), tp, placed[0].Partition, placed[0].Offset, 1000, time.Second)
	if err != nil || len(got) != 100 {
		t.Fatalf("read %d records, %v; want 100", len(got), err)
	}
	for i, r := range got {
		w := placed[i]
		if r.Offset != w.Offset || !bytes.Equal(r.Value, w.Value) || r.Type != w.Type || r.Version != w.Version || r.Key != nil {
			t.Errorf("record %d: got %+v, want %+v", i, r, w)
		}
		if r.Time.Before(before) || r.Time.After(time.Now().Add(time.Second)) || !r.Time.Equal(w.Time) {
			t.Errorf("record %d: time %v, told %v", i, r.Time, w.Time)
		}
	}
}

// murmur2 of these keys by Kafka's own client, from its tests.
var hashes = map[string]int32{
	"21":                         -973932308,
	"foobar":                     -790332482,
	"a-little-bit-long-string":   -985981536,
	"a-little-bit-longer-string": -1486304829,
	"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	"abc": 479470107,
}

func keyed(t *testing.T, e Engine) {
	l := open(t, e)
	const n = 5
	tp := topic(t, l, n)
	var records []eventlog.Record
	for range 3 {
		for key := range hashes {
			r := value(key)
			r.Key = []byte(key)
			records = append(records, r)
		}
	}
	records = append(records, value("without a key"))
	placed := mustAppend(t, l, tp, records...)
	last := make(map[int]int64)
	for _, r := range placed {
		h, ok := hashes[string(r.Key)]
		if !ok {
			continue
		}
		if want := int(uint32(h)&0x7fffffff) % n; r.Partition != want {
			t.Errorf("key %q went to partition %d, want %d", r.Key, r.Partition, want)
		}
		if at, ok := last[r.Partition]; ok && r.Offset <= at {
			t.Errorf("partition %d: offset %d after %d: the order of one call is lost", r.Partition, r.Offset, at)
		}
		last[r.Partition] = r.Offset
	}
	got := all(t, l, tp)
	for _, r := range placed {
		g := got[fmt.Sprintf("%d@%d", r.Partition, r.Offset)]
		if !bytes.Equal(g.Key, r.Key) || !bytes.Equal(g.Value, r.Value) {
			t.Errorf("at %d@%d stands %q=%q, want %q=%q", r.Partition, r.Offset, g.Key, g.Value, r.Key, r.Value)
		}
	}
}

func concurrent(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 6)
	const callers, each = 32, 20
	var mu sync.Mutex
	written := make(map[string]string)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				v := fmt.Sprintf("%d.%d", c, i)
				out, err := l.Append(t.Context(), tp, value(v), value(v+"'"))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, r := range out {
					at := fmt.Sprintf("%d@%d", r.Partition, r.Offset)
					if had, ok := written[at]; ok {
						t.Errorf("%q and %q both stand at %s", had, r.Value, at)
					}
					written[at] = string(r.Value)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got := all(t, l, tp)
	if len(got) != len(written) || len(got) != callers*each*2 {
		t.Errorf("the topic holds %d records, %d were acknowledged, want %d", len(got), len(written), callers*each*2)
	}
	for at, v := range written {
		if string(got[at].Value) != v {
			t.Errorf("at %s stands %q, want %q", at, got[at].Value, v)
		}
	}
}

func large(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 3)
	var records []eventlog.Record
	for i := range 300 {
		r := value(fmt.Sprintf("%03d", i))
		r.Value = append(r.Value, bytes.Repeat([]byte{byte(i)}, 10_000)...)
		records = append(records, r)
	}
	records = append(records, eventlog.Record{Value: bytes.Repeat([]byte("x"), 2<<20)})
	placed := mustAppend(t, l, tp, records...)
	got := all(t, l, tp)
	for i, r := range placed {
		if r.Partition != placed[0].Partition || r.Offset != placed[0].Offset+int64(i) {
			t.Fatalf("record %d stands at %d@%d", i, r.Partition, r.Offset)
		}
		if g := got[fmt.Sprintf("%d@%d", r.Partition, r.Offset)]; !bytes.Equal(g.Value, r.Value) {
			t.Fatalf("record %d came back as %d bytes, want %d", i, len(g.Value), len(r.Value))
		}
	}
	// One record that no topic takes fails alone and at once.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := l.Append(t.Context(), tp, value("small")); err != nil {
				t.Errorf("a neighbour of the giant: %v", err)
			}
		})
	}
	giant := make([]byte, 9<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(giant) // so that compression does not help
	_, err := l.Append(t.Context(), tp, eventlog.Record{Value: giant})
	if err == nil || errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("a record of 9 MiB: %v; want an error that blames the record", err)
	}
	wg.Wait()
}

func cancelled(t *testing.T, e Engine) {
	l := open(t, e)
	tp := topic(t, l, 1)
	mustAppend(t, l, tp, value("first"))
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				go cancel()
			}
			_, err := l.Append(ctx, tp, value(fmt.Sprint(i)))
			if err != nil && (i%2 != 0 || !errors.Is(err, context.Canceled)) {
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	found := make(map[string]bool)
	for _, r := range all(t, l, tp) {
		found[string(r.Value)] = true
	}
	for i := 1; i < 40; i += 2 {
		if !found[fmt.Sprint(i)] {
			t.Errorf("record %d was acknowledged and is missing", i)
		}
	}
}
