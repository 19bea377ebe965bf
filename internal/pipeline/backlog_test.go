package pipeline

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tributary/internal/eventlog"
	"tributary/internal/eventlog/memlog"
)

// What a stage has still to read, since when, and how long it takes: of one that reads ten
// records a second while thirty come, of one that stands still, and of one that has read all.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memlog.New()
		if err := l.Ensure(t.Context(), topics.Wanted(2, time.Hour, time.Hour)...); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		group := eventlog.Group{Name: "p.resolve", Topics: []string{topics.Inbound}}
		idle := eventlog.Group{Name: "p.lane.meta", Topics: []string{topics.Events}}
		b := &Backlog{Log: l, Prefix: "p.", Groups: []eventlog.Group{group, idle}, Size: func(context.Context) (int64, int64, error) { return 5, 10, nil }}
		b.Register(prometheus.NewRegistry())
		go b.Run(ctx)
		pace := time.Second
		reading := make(chan error, 1)
		go func() {
			reading <- l.Consume(ctx, group, func(ctx context.Context, c eventlog.Claim) error {
				for {
					records, err := c.Poll(ctx, 10, time.Minute)
					if err != nil {
						return err
					}
					for _, r := range records {
						c.Commit(r.Topic, r.Partition, r.Offset+1)
					}
					if err := c.Flush(ctx); err != nil {
						return err
					}
					time.Sleep(pace)
				}
			})
		}()
		const waiting = "resolve"
		for range 60 {
			for range 30 {
				if _, err := l.Append(ctx, topics.Inbound, eventlog.Record{Value: []byte("x"), Type: "receipt"}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		lag, oldest, drain := testutil.ToFloat64(b.records.WithLabelValues(waiting)), testutil.ToFloat64(b.oldest.WithLabelValues(waiting)), testutil.ToFloat64(b.drain.WithLabelValues(waiting))
		if lag < 900 || lag > 1300 || math.Abs(drain-lag/10) > lag/40 /* one measure of the minute may come before the reader */ || oldest < 30 || oldest > 61 {
			t.Errorf("behind by %v since %v s, %v s to go", lag, oldest, drain)
		}
		if d := testutil.ToFloat64(b.drain.WithLabelValues("lane.meta")); d != 0 {
			t.Errorf("a stage with nothing to read takes %v s", d)
		}
		if testutil.ToFloat64(b.bytes) != 5 || testutil.ToFloat64(b.limit) != 10 {
			t.Error("the log's size is not told")
		}
		time.Sleep(3 * time.Minute)
		if lag, oldest := testutil.ToFloat64(b.records.WithLabelValues(waiting)), testutil.ToFloat64(b.oldest.WithLabelValues(waiting)); lag != 0 || oldest != 0 {
			t.Errorf("in the end it is behind by %v since %v s", lag, oldest)
		}
		stop()
		if err := <-reading; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if d := drainTime(5, 0); !math.IsInf(d, 1) {
		t.Errorf("a stage that stands still takes %v s", d)
	}
}

// A log that cannot be asked leaves no figures.
func TestBacklogForgetsWhatItCannotAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memlog.New()
		if err := l.Ensure(t.Context(), topics.Wanted(1, time.Hour, time.Hour)...); err != nil {
			t.Fatal(err)
		}
		var away atomic.Bool
		b := &Backlog{Log: l, Groups: []eventlog.Group{{Name: "resolve", Topics: []string{topics.Inbound}}}, Size: func(context.Context) (int64, int64, error) {
			if away.Load() {
				return 0, 0, errors.New("away")
			}
			return 0, 0, nil
		}}
		b.Register(prometheus.NewRegistry())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go b.Run(ctx)
		time.Sleep(time.Second)
		if n := testutil.CollectAndCount(b.records); n != 1 {
			t.Errorf("%d figures", n)
		}
		away.Store(true)
		time.Sleep(backlogEvery)
		if n := testutil.CollectAndCount(b.records); n != 0 {
			t.Errorf("%d figures of a log that is away", n)
		}
	})
}
