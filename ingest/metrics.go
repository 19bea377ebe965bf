package ingest

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tributary/canonical"
)

// metrics of the HTTP front. Labels come from closed sets: route templates, ways, codes.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	routes   sync.Map // *routeMetrics by route: looked up once a request instead of by labels
	inFlight prometheus.Gauge
	appends  prometheus.Histogram
	durable  prometheus.Histogram
	limited  map[string]prometheus.Counter
	kept     map[canonical.Way]prometheus.Counter
	unseen   map[string]prometheus.Counter // by reason
}

func newMetrics(reg prometheus.Registerer, l *load) *metrics {
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
		durable: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tributary_ingest_durable_seconds", Help: "Time from the head of a request until the log had its receipts.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}),
		limited: make(map[string]prometheus.Counter),
		kept:    make(map[canonical.Way]prometheus.Counter),
	}
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_http_rate_limited_total", Help: "Requests refused because their key, source or browser's address made too many."}, []string{"of"})
	for _, of := range []string{limitedKey, limitedSource, limitedAddress} {
		m.limited[of] = limited.WithLabelValues(of)
	}
	gauge := func(name, help string, v *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	reg.MustRegister(limited, m.durable,
		gauge("tributary_ingest_held_bytes", "Bytes of the bodies of requests being answered.", &l.bytes),
		gauge("tributary_ingest_queue_requests", "Requests that wait for the log.", &l.waiting),
		gauge("tributary_ingest_queue_bytes", "Bytes that wait for the log.", &l.waitingBytes))
	kept := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_ingest_receipts_total", Help: "Receipts kept, by way in."}, []string{"way"})
	unseen := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tributary_pixel_unseen_total", Help: "Requests of pages that no person saw, by reason, whatever became of them."}, []string{"reason"})
	reg.MustRegister(m.requests, m.seconds, m.refused, m.inFlight, m.appends, kept, unseen)
	m.unseen = make(map[string]prometheus.Counter)
	for _, why := range unseenReasons {
		m.unseen[why] = unseen.WithLabelValues(why)
	}
	for _, w := range []canonical.Way{canonical.WayCRM, canonical.WayEvents, canonical.WayHubSpot, canonical.WayPixel, canonical.WayMeta, canonical.WayHook, canonical.WayWorkflow, canonical.WaySegment} {
		m.kept[w] = kept.WithLabelValues(string(w))
	}
	return m
}

// routeMetrics are those of one route.
type routeMetrics struct {
	seconds  prometheus.Observer
	statuses [500]atomic.Pointer[prometheus.Counter] // from 100 on
}

func (m *metrics) request(route string, status int, took time.Duration) {
	known, ok := m.routes.Load(route)
	if !ok {
		known, _ = m.routes.LoadOrStore(route, &routeMetrics{seconds: m.seconds.WithLabelValues(route)})
	}
	r := known.(*routeMetrics)
	r.seconds.Observe(took.Seconds())
	at := &r.statuses[min(max(status, 100), 599)-100]
	n := at.Load()
	if n == nil {
		c := m.requests.WithLabelValues(route, strconv.Itoa(status))
		n = &c
		at.Store(n)
	}
	(*n).Inc()
}
