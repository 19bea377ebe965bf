package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
)

// metrics of the HTTP front. Labels come from closed sets: route templates, ways, codes.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	inFlight prometheus.Gauge
	appends  prometheus.Histogram
	kept     map[canonical.Way]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_http_requests_total", Help: "Requests answered, by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tributary_http_request_seconds", Help: "Time to answer, by route.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tributary_http_refused_total", Help: "Requests and items refused, by route and error code."}, []string{"route", "code"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tributary_http_in_flight", Help: "Requests being answered."}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_ingest_append_seconds", Help: "Time until the log had a request's receipts.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		kept: make(map[canonical.Way]prometheus.Counter),
	}
	kept := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_ingest_receipts_total", Help: "Receipts kept, by way in."}, []string{"way"})
	reg.MustRegister(m.requests, m.seconds, m.refused, m.inFlight, m.appends, kept)
	for _, w := range []canonical.Way{canonical.WayCRM, canonical.WayEvents, canonical.WayHubSpot, canonical.WayPixel, canonical.WayMeta, canonical.WayHook} {
		m.kept[w] = kept.WithLabelValues(string(w))
	}
	return m
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
