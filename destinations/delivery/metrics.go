package delivery

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
)

// Metrics counts what lanes do. Its zero value and nil count nothing.
type Metrics struct {
	changes  *prometheus.CounterVec
	requests *prometheus.HistogramVec
	halts    *prometheus.GaugeVec
	latency  *prometheus.HistogramVec
}

// NewMetrics registers the lanes' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_delivery_changes_total", Help: "Changes of delivery state, by destination, state and reason.",
		}, []string{"destination", "state", "reason"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_delivery_request_seconds", Help: "Requests to a vendor, by destination and HTTP status (0: no answer).",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
		}, []string{"destination", "status"}),
		halts: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tributary_destination_halted", Help: "1 while a destination stands still until somebody acts.",
		}, []string{"destination"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_delivery_latency_seconds", Help: "Time from an event's receipt until the destination had it, without replays.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600},
		}, []string{"destination"}),
	}
	r.MustRegister(m.changes, m.requests, m.halts, m.latency)
	return m
}

func (m *Metrics) count(d canonical.Delivery) {
	if m != nil && m.changes != nil {
		m.changes.WithLabelValues(d.Destination, string(d.State), d.Reason).Inc()
	}
}

func (m *Metrics) request(destination string, status int, took time.Duration) {
	if m != nil && m.requests != nil {
		m.requests.WithLabelValues(destination, strconv.Itoa(status)).Observe(took.Seconds())
	}
}

// arrived counts how long one part of an event was on its way.
func (m *Metrics) arrived(destination string, took time.Duration) {
	if m != nil && m.latency != nil {
		m.latency.WithLabelValues(destination).Observe(max(0, took.Seconds()))
	}
}

func (m *Metrics) halted(destination string, is bool) {
	if m == nil || m.halts == nil {
		return
	}
	v := 0.0
	if is {
		v = 1
	}
	m.halts.WithLabelValues(destination).Set(v)
}
