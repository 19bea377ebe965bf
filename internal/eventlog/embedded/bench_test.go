package embedded_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/embedded"
)

// BenchmarkAppend measures how fast so many callers append one record of 300 bytes each,
// every batch fsynced: what ingest's speed depends on.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			l := benchmarkLog(b)
			v := make([]byte, 300)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := l.Append(b.Context(), "bench", eventlog.Record{Value: v}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkAppendBatch appends a hundred records at a time, as a batch request does.
func BenchmarkAppendBatch(b *testing.B) {
	l := benchmarkLog(b)
	records := make([]eventlog.Record, 100)
	for i := range records {
		records[i].Value = make([]byte, 600)
	}
	for b.Loop() {
		if _, err := l.Append(b.Context(), "bench", records...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkRead reads a partition from end to end.
func BenchmarkRead(b *testing.B) {
	l := benchmarkLog(b)
	records := make([]eventlog.Record, 10_000)
	for i := range records {
		records[i].Value = make([]byte, 600)
	}
	placed, err := l.Append(b.Context(), "bench", records...)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for at := placed[0].Offset; at < placed[0].Offset+int64(len(records)); {
			got, err := l.Read(b.Context(), "bench", placed[0].Partition, at, 10_000, time.Second)
			if err != nil || len(got) == 0 {
				b.Fatal(len(got), err)
			}
			at += int64(len(got))
		}
	}
	b.ReportMetric(float64(b.N*len(records))/b.Elapsed().Seconds(), "records/s")
}

func benchmarkLog(b *testing.B) eventlog.Log {
	b.Helper()
	broker := start(b, embedded.Options{Dir: b.TempDir()})
	l := open(b, broker, nil)
	b.Cleanup(func() { l.Close() })
	if err := l.Ensure(b.Context(), eventlog.Topic{Name: "bench", Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	return l
}
