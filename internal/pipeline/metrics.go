package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
	"tributary/internal/warehouse"
)

// Metrics counts what the stages do. Nil counts nothing.
type Metrics struct {
	receipts *prometheus.CounterVec
	rows     *prometheus.CounterVec
	reads    *prometheus.CounterVec
	cache    *prometheus.CounterVec
	withheld *prometheus.CounterVec
	claims   *prometheus.CounterVec
	syncMetrics
	copies *prometheus.CounterVec
}

// NewMetrics registers the stages' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		receipts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_receipts_resolved_total", Help: "Receipts resolved, by way in, fate and reason.",
		}, []string{"way", "fate", "reason"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_recorded_total", Help: "Records written to the warehouse, by topic.",
		}, []string{"topic"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_crm_reads_total", Help: "CRM objects needed to complete receipts, by account and where they came from (cache, crm).",
		}, []string{"account", "from"}),
		cache: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_crm_cache_total", Help: "CRM objects looked for in fetch's cache, by account, type of object and result (hit, miss; stale: there, and read before the change).",
		}, []string{"account", "object", "result"}),
		withheld: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_identity_links_withheld_total", Help: "Links between identifiers that were left out (never_link_patterns) or said weak (shared_mailboxes) for a list's sake.",
		}, []string{"reason"}),
		copies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_observations_total", Help: "Further copies of events that were there already, by way in: counted, never sent.",
		}, []string{"way"}),
	}
	m.syncMetrics = newSyncMetrics(r)
	m.claims = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_claims_differ_total", Help: "Events of which the sender said another canonical name (tracklayer_stage and the like) than the mapping gave, by source.",
	}, []string{"source"})
	r.MustRegister(m.receipts, m.rows, m.reads, m.cache, m.withheld, m.claims, m.copies)
	return m
}

func (m *Metrics) resolved(rd Reading) {
	if m != nil {
		m.receipts.WithLabelValues(string(rd.Receipt.Way), string(rd.Fate), rd.Reason).Inc()
		m.withheld.WithLabelValues("never_link_patterns").Add(float64(rd.Withheld.Patterns))
		m.withheld.WithLabelValues("shared_mailboxes").Add(float64(rd.Withheld.Mailboxes))
		if rd.Event != nil && rd.Event.Claimed != "" {
			m.claims.WithLabelValues(rd.Receipt.Source).Inc()
		}
	}
}

func (m *Metrics) recorded(topic string, n int) {
	if m != nil {
		m.rows.WithLabelValues(topic).Add(float64(n))
	}
}

func (m *Metrics) copied(fates []warehouse.FateRow) {
	if m == nil {
		return
	}
	for _, f := range fates {
		if f.Fate == canonical.FateObservation {
			m.copies.WithLabelValues(string(f.Way)).Inc()
		}
	}
}

func (m *Metrics) read(account, from string, n int) {
	if m != nil && n > 0 {
		m.reads.WithLabelValues(account, from).Add(float64(n))
	}
}

func (m *Metrics) looked(account, object, result string) {
	if m != nil {
		m.cache.WithLabelValues(account, object, result).Inc()
	}
}
