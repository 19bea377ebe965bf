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
	}
	r.MustRegister(m.changes, m.requests, m.halts)
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
