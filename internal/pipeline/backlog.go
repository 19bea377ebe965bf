package pipeline

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/internal/eventlog"
)

// A Backlog measures what every stage has still to read: how much, since when, and how long it
// will take at the pace of the last minutes. All its figures are of the log, so every process
// tells the same.
type Backlog struct {
	Log    eventlog.Log
	Prefix string
	Groups []eventlog.Group
	// Size gives the bytes that the log holds and may hold; nil: they are not this process's.
	Size func(context.Context) (bytes, limit int64, err error)

	records, oldest, drain *prometheus.GaugeVec
	bytes, limit           prometheus.Gauge
	paces                  map[string]*stagePace
}

// backlogEvery is how often it measures. It costs some questions to the broker for each stage.
const backlogEvery = 10 * time.Second

// paceOver is the time over which a pace is averaged: what is older counts less and less.
const paceOver = 2 * time.Minute

// A stagePace is how quickly a stage reads.
type stagePace struct {
	at   time.Time
	done int64   // the sum of its committed offsets
	rate float64 // records a second
	span float64 // seconds that rate was seen over
}

// Register makes its metrics.
func (b *Backlog) Register(r prometheus.Registerer) {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"stage"})
	}
	b.records = gauge("tributary_stage_lag_records", "Records that a stage has still to read.")
	b.oldest = gauge("tributary_stage_oldest_seconds", "Age of the oldest record that a stage has still to read; 0: none.")
	b.drain = gauge("tributary_stage_drain_seconds", "Time until a stage has read all, at its pace of the last minutes; +Inf: it stands still.")
	r.MustRegister(b.records, b.oldest, b.drain)
	if b.Size != nil {
		b.bytes = prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_log_bytes", Help: "Bytes that the embedded log takes."})
		b.limit = prometheus.NewGauge(prometheus.GaugeOpts{Name: "tributary_log_limit_bytes", Help: "Bytes that the embedded log may take."})
		r.MustRegister(b.bytes, b.limit)
	}
}

// Run measures until ctx ends. While the log cannot be asked, there are no figures rather than old ones.
func (b *Backlog) Run(ctx context.Context) error {
	for {
		if err := b.measure(ctx, time.Now()); err != nil {
			b.records.Reset()
			b.oldest.Reset()
			b.drain.Reset()
		}
		select {
		case <-time.After(backlogEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Backlog) measure(ctx context.Context, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, backlogEvery)
	defer cancel()
	if b.Size != nil {
		n, limit, err := b.Size(ctx)
		if err != nil {
			return err
		}
		b.bytes.Set(float64(n))
		b.limit.Set(float64(limit))
	}
	for _, g := range b.Groups {
		if err := b.stage(ctx, g, now); err != nil {
			return err
		}
	}
	return nil
}

// stage measures one stage.
func (b *Backlog) stage(ctx context.Context, g eventlog.Group, now time.Time) error {
	var lag, done int64
	oldest := now
	for _, topic := range g.Topics {
		committed, err := b.Log.Committed(ctx, g.Name, topic)
		if err != nil {
			return err
		}
		first, end, err := b.Log.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		for p := range end {
			next := first[p]
			if p < len(committed) {
				next = max(next, committed[p])
			}
			done += next
			if next >= end[p] {
				continue
			}
			lag += end[p] - next
			records, err := b.Log.Read(ctx, topic, p, next, 1, 0)
			if err != nil {
				return err
			}
			if len(records) > 0 && records[0].Time.Before(oldest) {
				oldest = records[0].Time
			}
		}
	}
	name := strings.TrimPrefix(g.Name, b.Prefix)
	b.records.WithLabelValues(name).Set(float64(lag))
	b.oldest.WithLabelValues(name).Set(now.Sub(oldest).Seconds())
	b.drain.WithLabelValues(name).Set(drainTime(lag, b.pace(name, done, now)))
	return nil
}

// pace averages how many records a second a stage has read lately.
func (b *Backlog) pace(name string, done int64, now time.Time) float64 {
	if b.paces == nil {
		b.paces = map[string]*stagePace{}
	}
	p := b.paces[name]
	if p == nil {
		b.paces[name] = &stagePace{at: now, done: done}
		return 0
	}
	took := now.Sub(p.at).Seconds()
	if took <= 0 {
		return p.rate
	}
	seen := max(0, float64(done-p.done)) / took
	p.span = min(p.span+took, paceOver.Seconds())
	p.rate += (seen - p.rate) * took / p.span // a plain mean at first, then one that forgets
	p.at, p.done = now, done
	return p.rate
}

func drainTime(lag int64, rate float64) float64 {
	switch {
	case lag == 0:
		return 0
	case rate <= 0:
		return math.Inf(1)
	}
	return float64(lag) / rate
}
