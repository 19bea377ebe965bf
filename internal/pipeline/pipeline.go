// Package pipeline is the way of an event through the product, one file a stage, each
// readable top-down as its list of steps: fetch completes bare receipts, resolve names
// them and attaches a person, route gives them to the lanes, record writes all of it to
// the warehouse, replay asks lanes to take an event again. follow keeps the local views.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
	"tributary/internal/eventlog"
)

// encode makes the record of one value of a topic. An empty key lets the client choose
// the partition.
func encode(kind, key string, v any) (eventlog.Record, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("write %s %s: %w", kind, key, err)
	}
	r := eventlog.Record{Value: b, Type: kind, Version: eventlog.Schema}
	if key != "" {
		r.Key = []byte(key)
	}
	return r, nil
}

// decode reads a record's value as T, or says which version can.
func decode[T any](r eventlog.Record) (T, error) {
	var v T
	if r.Version != eventlog.Schema {
		return v, fmt.Errorf("%s %d/%d holds a %q of version %d, which this version does not read; run the version that wrote it, or a later one",
			r.Topic, r.Partition, r.Offset, r.Type, r.Version)
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, fmt.Errorf("read %s %d/%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return v, nil
}

// An Inbound appends accepted receipts to the log: it is what ingest writes to.
type Inbound struct {
	Log   eventlog.Log
	Topic string
}

// Append returns nil once every receipt would survive a crash.
func (in Inbound) Append(ctx context.Context, receipts ...canonical.Receipt) error {
	records := make([]eventlog.Record, len(receipts))
	for i := range receipts {
		r := &receipts[i]
		b, err := r.AppendJSON(make([]byte, 0, r.JSONSize()))
		if err != nil {
			return fmt.Errorf("write %s %s: %w", eventlog.TypeReceipt, r.ID, err)
		}
		records[i] = eventlog.Record{Value: b, Type: eventlog.TypeReceipt, Version: eventlog.Schema}
	}
	_, err := in.Log.Append(ctx, in.Topic, records...)
	return err
}

// Health is what stands still in this process and why. It never makes the process
// unready: the log keeps what waits.
type Health struct {
	mu       sync.Mutex
	degraded map[string]string
	gauge    *prometheus.GaugeVec
}

// NewHealth makes a Health that also shows as a metric.
func NewHealth(r prometheus.Registerer) *Health {
	h := &Health{gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "tributary_degraded", Help: "1 while a part of this process stands still or fails; /readyz says why.",
	}, []string{"part"})}
	r.MustRegister(h.gauge)
	return h
}

// Set names a trouble; a nil error ends it.
func (h *Health) Set(name string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.degraded == nil {
		h.degraded = map[string]string{}
	}
	if err == nil {
		delete(h.degraded, name)
		if h.gauge != nil {
			h.gauge.DeleteLabelValues(name)
		}
		return
	}
	h.degraded[name] = err.Error()
	if h.gauge != nil {
		h.gauge.WithLabelValues(name).Set(1)
	}
}

// Degraded lists the troubles, sorted.
func (h *Health) Degraded() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]string, 0, len(h.degraded))
	for name, why := range h.degraded {
		out = append(out, name+": "+why)
	}
	sort.Strings(out)
	return out
}

// Keep runs a stage until ctx ends. A stage that stops is named in Health and started
// again: nothing is skipped, so the same fault stops it at the same place until someone
// mends it, and the rest of the process goes on. What stops at once each time is started
// again after one second, two, four, up to half a minute.
func Keep(ctx context.Context, name string, h *Health, logger *slog.Logger, stage func(context.Context) error) error {
	wait := time.Second
	for {
		began := time.Now()
		err := stage(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = errors.New("stopped without saying why")
		}
		h.Set(name, fmt.Errorf("%w; it is started again by itself, and nothing is skipped: where this stays, mend what it names", err))
		logger.Error("stage stopped; it is started again", "stage", name, "error", err.Error(), "wait", wait)
		if time.Since(began) > 2*wait {
			wait = time.Second // it got on with its work before
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, 30*time.Second)
		h.Set(name, nil)
	}
}
