package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
)

// syncMetrics count what the syncs of CRM accounts find.
type syncMetrics struct {
	passedAt *prometheus.GaugeVec
	missing  *prometheus.CounterVec
	pulled   *prometheus.CounterVec
	failed   *prometheus.CounterVec
	records  *prometheus.GaugeVec
}

func newSyncMetrics(r prometheus.Registerer) syncMetrics {
	m := syncMetrics{
		passedAt: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tributary_crm_reconciled_timestamp_seconds", Help: "Up to when the changes of a CRM account were compared with what webhooks told.",
		}, []string{"account"}),
		missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_crm_missing_total", Help: "Changes of a CRM account that no webhook had told, by kind.",
		}, []string{"account", "kind"}),
		pulled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_crm_pulled_total", Help: "Receipts pulled from a CRM account, by how (reconcile, journal, import).",
		}, []string{"account", "by"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_crm_sync_failures_total", Help: "Comparisons with a CRM account, and pages of an import, that could not be made; they are tried again.",
		}, []string{"account"}),
		records: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tributary_crm_imported_records", Help: "Records that the last import of a CRM account brought in so far, by type.",
		}, []string{"account", "type"}),
	}
	r.MustRegister(m.passedAt, m.missing, m.pulled, m.failed, m.records)
	return m
}

func (m *Metrics) passed(account string, p *canonical.CRMPass) {
	if m == nil {
		return
	}
	m.passedAt.WithLabelValues(account).Set(float64(p.To.Unix()))
	for kind, n := range p.Missing {
		m.missing.WithLabelValues(account, kind).Add(float64(n))
	}
	m.wasPulled(account, canonical.PulledByReconcile, p.Pulled)
}

func (m *Metrics) wasPulled(account, by string, n int) {
	if m != nil && n > 0 {
		m.pulled.WithLabelValues(account, by).Add(float64(n))
	}
}

func (m *Metrics) imported(account string, records map[string]int, pulled int) {
	if m == nil {
		return
	}
	for kind, n := range records {
		m.records.WithLabelValues(account, kind).Set(float64(n))
	}
	m.wasPulled(account, canonical.PulledByImport, pulled)
}

func (m *Metrics) syncFailed(account string) {
	if m != nil {
		m.failed.WithLabelValues(account).Inc()
	}
}
