package hubspotcrm

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts the requests of every account. Nil counts nothing.
type Metrics struct{ requests *prometheus.CounterVec }

// NewMetrics registers the reads' metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_crm_requests_total",
		Help: "Requests that read a CRM, by account, what was read (objects.contact, object.contact, associations.deal.contact, pipelines.deal, owners, …) and the answer's status; none: no answer.",
	}, []string{"account", "read", "status"})}
	r.MustRegister(m.requests)
	return m
}

func (m *Metrics) asked(account, what string, status int) {
	if m == nil {
		return
	}
	said := "none"
	if status > 0 {
		said = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(account, what, said).Inc()
}
