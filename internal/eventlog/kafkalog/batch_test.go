package kafkalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"tributary/internal/eventlog"
)

func TestBatchIsKafkaGos(t *testing.T) {
	stamp := time.UnixMilli(1776942259000).UTC()
	long := bytes.Repeat([]byte("v"), 70_000)
	many := make([]eventlog.Record, 300) // offsets of more than one byte
	for i := range many {
		many[i] = eventlog.Record{Key: fmt.Append(nil, i), Value: long[:i], Type: "receipt", Version: i}
	}
	for name, records := range map[string][]eventlog.Record{
		"nothing in it":  {{}},
		"empty, not nil": {{Key: []byte{}, Value: []byte{}}},
		"a receipt":      {{Value: []byte(`{"receipt_id":"01KAP"}`), Type: "receipt", Version: 1}},
		"a type only":    {{Value: []byte("v"), Type: "receipt"}},
		"a version only": {{Value: []byte("v"), Version: -3}},
		"long":           {{Key: long[:200], Value: long, Type: string(long[:100]), Version: 1 << 40}},
		"many":           many,
	} {
		all := newCall(records, nil, time.Second)
		batch := []span{{all, 0, len(records)}}
		if len(records) > 2 { // in parts, and not in the order they came
			some := newCall(records, []int{5, 3, 4}, time.Second)
			batch = []span{{all, 7, 200}, {some, 1, 3}, {all, 200, 300}}
		}
		var want bytes.Buffer
		set := protocol.RecordSet{Version: 2, Records: kafka.NewRecordReader(messages(batch, stamp)...)}
		if _, err := set.WriteTo(&want); err != nil {
			t.Fatal(name, err)
		}
		got := appendBatch([]byte("before"), batch, stamp)
		if string(got) != "before"+want.String() {
			t.Errorf("%s: wrote\n%.200x\nkafka-go writes\n%.200x", name, got[len("before"):], want.Bytes())
		}
	}
}

func TestSizeVarint(t *testing.T) {
	for _, v := range []int64{0, -1, 1, 63, 64, -64, -65, 8191, 8192, 1 << 40, -1 << 63, 1<<63 - 1} {
		if got, want := sizeVarint(v), len(binary.AppendVarint(nil, v)); got != want {
			t.Errorf("sizeVarint(%d) = %d, want %d", v, got, want)
		}
	}
}

func BenchmarkAppendBatch(b *testing.B) {
	records := make([]eventlog.Record, 128)
	for i := range records {
		records[i] = eventlog.Record{Value: make([]byte, 550), Type: eventlog.TypeReceipt, Version: 1}
	}
	batch := []span{{newCall(records, nil, time.Second), 0, len(records)}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendBatch(buf[:0], batch, time.UnixMilli(1))
	}
	b.SetBytes(int64(len(buf)))
}
