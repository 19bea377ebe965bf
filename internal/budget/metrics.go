package budget

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics shows every account's headroom at the time it is asked, and counts waits and
// refusals. nil shows nothing.
type Metrics struct {
	headroom *prometheus.Desc
	waits    *prometheus.HistogramVec
	refusals *prometheus.CounterVec

	mu       sync.Mutex
	accounts []*Account
}

// NewMetrics registers the budgets' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		headroom: prometheus.NewDesc("tributary_budget_headroom", "Requests that a vendor account's limit has room for now, for this process.", []string{"account", "limit"}, nil),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_budget_wait_seconds", Help: "How long requests waited for a vendor account's budget, by class of caller.",
			Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 60, 600, 3600},
		}, []string{"account", "class"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_budget_refusals_total", Help: "Times the vendor answered that a limit was reached (429).",
		}, []string{"account", "limit"}),
	}
	r.MustRegister(m, m.waits, m.refusals)
	return m
}

// Describe is prometheus.Collector's.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) { to <- m.headroom }

// Collect is prometheus.Collector's.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.accounts {
		for limit, n := range a.Headroom() {
			to <- prometheus.MustNewConstMetric(m.headroom, prometheus.GaugeValue, float64(n), a.name, limit)
		}
	}
}

func (m *Metrics) add(a *Account) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts = append(m.accounts, a)
}

func (m *Metrics) waited(account string, who Class, d time.Duration) {
	if m != nil {
		m.waits.WithLabelValues(account, who.String()).Observe(d.Seconds())
	}
}

func (m *Metrics) refused(account, limit string) {
	if m != nil {
		m.refusals.WithLabelValues(account, limit).Inc()
	}
}
