package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tributary/ingest"
	"tributary/internal/config"
	"tributary/internal/eventlog"
	embeddedlog "tributary/internal/eventlog/embedded"
	"tributary/internal/eventlog/kafkalog"
	"tributary/internal/pipeline"
)

func benchCommand(o *options) *cobra.Command {
	c := &cobra.Command{Use: "bench", Short: "Measure this machine; docs/benchmarks.md says how to read the figures"}
	b := ingestBench{}
	in := &cobra.Command{
		Use: "ingest", Short: "Requests a second at POST /v1/events and GET /v1/pixel.gif, each kept with fsync, beside a bare gin handler", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := b.check(); err != nil {
				return wrong(err)
			}
			report, err := b.run(c.Context(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), report)
			}
			return report.print(c.OutOrStdout())
		},
	}
	f := in.Flags()
	f.IntSliceVar(&b.connections, "connections", []int{64, 256}, "connections at a time; one case each")
	f.IntSliceVar(&b.events, "events", []int{1, 100}, "events of 300 bytes in a request; one case each")
	f.BoolVar(&b.pixel, "pixel", true, "also GET /v1/pixel.gif, as pages and mails ask for it")
	f.Float64Var(&b.seconds, "seconds", 5, "seconds of load for each case and each of the two servers")
	f.StringVar(&b.dir, "dir", "", "where the log is kept for the run, removed afterwards (default: the folder for temporary files)")
	f.StringVar(&b.profile, "cpuprofile", "", "write a CPU profile; the label server tells the two servers apart")
	load := &cobra.Command{
		Use: "load", Hidden: true, Short: "Send what the orders on standard input say", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return serveLoad(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.AddCommand(in, benchConnectionsCommand(o), load)
	return c
}

// An ingestBench drives two servers of this process from a child process, by turns: the
// real way in, down to the fsync of the embedded log, and a gin handler that reads the
// body and answers.
type ingestBench struct {
	connections []int
	events      []int
	pixel       bool
	seconds     float64
	dir         string
	profile     string
}

func (b *ingestBench) check() error {
	within := func(flag string, list []int, most int) error {
		if len(list) == 0 || slices.Min(list) < 1 || slices.Max(list) > most {
			return fmt.Errorf("--%s takes numbers from 1 to %d", flag, most)
		}
		return nil
	}
	var seconds error
	if b.seconds < 0.1 || b.seconds > 600 {
		seconds = errors.New("--seconds takes 0.1 to 600")
	}
	return errors.Join(within("connections", b.connections, 4096), within("events", b.events, 1000), seconds)
}

// A benchReport is what bench ingest found.
type benchReport struct {
	Machine      machine     `json:"machine"`
	SyncMillis   float64     `json:"fsync_ms"` // of 4 KiB appended to a file, the median
	Seconds      float64     `json:"seconds"`
	EventBytes   int         `json:"event_bytes"`
	Cases        []benchCase `json:"cases"`
	Acknowledged int         `json:"events_acknowledged"` // warm-up included
	InLog        int         `json:"events_in_log"`
}

// A benchCase holds the two servers at one load.
type benchCase struct {
	Connections int     `json:"connections"`
	Request     string  `json:"request"` // POST /v1/events, GET /v1/pixel.gif
	Events      int     `json:"events_per_request"`
	Ingest      figures `json:"ingest"`
	Bare        figures `json:"bare_gin"`
	Ratio       float64 `json:"ratio"` // of their requests a second
}

// figures of one server at one load.
type figures struct {
	Requests          int     `json:"requests"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	EventsPerSecond   float64 `json:"events_per_second"`
	P50Millis         float64 `json:"p50_ms"`
	P99Millis         float64 `json:"p99_ms"`
	CPUMicros         float64 `json:"cpu_us"` // of the server's process, for a request
}

// run measures every case. It takes at most about twice the seconds asked for by the
// number of cases and servers, or says what hung.
func (b *ingestBench) run(ctx context.Context, progress io.Writer) (*benchReport, error) {
	most := time.Duration(b.seconds*float64(4*len(b.connections)*(len(b.events)+1))*float64(time.Second)) + time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("the benchmark took more than %s", most.Round(time.Second)))
	defer cancel()
	dir, err := os.MkdirTemp(b.dir, "tributary-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	defer keepHeapFloor()() // as serve does
	report := &benchReport{Machine: thisMachine(), Seconds: b.seconds, EventBytes: benchEventBytes}
	if report.SyncMillis, err = syncMillis(dir); err != nil {
		return nil, err
	}
	stop, err := startProfile(b.profile)
	if err != nil {
		return nil, err
	}
	defer stop()
	s, err := startBenchServers(ctx, dir)
	if err != nil {
		return nil, err
	}
	err = b.measure(ctx, s, report, progress)
	if err == nil {
		report.InLog, err = s.inLog(ctx)
	}
	err = errors.Join(err, s.close())
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err == nil && report.InLog < report.Acknowledged {
		err = fmt.Errorf("%d events were acknowledged and the log holds %d", report.Acknowledged, report.InLog)
	}
	return report, err
}

// slice is how long one server is measured before it is the other's turn, so that what
// else the machine does falls on both.
const slice = 1.0

func (b *ingestBench) measure(ctx context.Context, s *benchServers, report *benchReport, progress io.Writer) error {
	child, err := startLoad(ctx)
	if err != nil {
		return err
	}
	defer child.stop()
	for _, c := range b.cases() {
		fmt.Fprintf(progress, "%s, %d connections, %d events a request …\n", c.Request, c.Connections, c.Events)
		bare, in, err := b.turns(ctx, child, s, c)
		if err != nil {
			return err
		}
		c.Bare, c.Ingest = bare.figures(c.Events), in.figures(c.Events)
		c.Ratio = c.Ingest.RequestsPerSecond / c.Bare.RequestsPerSecond
		report.Acknowledged += in.Answered * c.Events
		report.Cases = append(report.Cases, c)
	}
	return nil
}

const (
	benchEvents = "POST /v1/events"
	benchPixel  = "GET /v1/pixel.gif"
)

// cases are what is measured, in their order.
func (b *ingestBench) cases() []benchCase {
	var out []benchCase
	for _, events := range b.events {
		for _, connections := range b.connections {
			out = append(out, benchCase{Connections: connections, Request: benchEvents, Events: events})
		}
	}
	if b.pixel {
		for _, connections := range b.connections {
			out = append(out, benchCase{Connections: connections, Request: benchPixel, Events: 1})
		}
	}
	return out
}

// order is what the load generator is to send in a case.
func (s *benchServers) order(c benchCase) loadOrder {
	if c.Request == benchPixel {
		return loadOrder{Method: "GET", Connections: c.Connections,
			Path: "/v1/pixel.gif?key=" + s.browserKey + "&event=page_view&anonymous_id=a-77&url=https%3A%2F%2Facme.example%2Fnews%3Futm_source%3Dmail%26utm_medium%3Demail"}
	}
	return loadOrder{Method: "POST", Path: "/v1/events", Key: s.key, Connections: c.Connections, Body: benchBody(c.Events)}
}

// scrape asks for the metrics, as a Prometheus does.
func (s *benchServers) scrape(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.ingest+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// turns loads the two servers one after the other until each has had its seconds.
func (b *ingestBench) turns(ctx context.Context, child *loadChild, s *benchServers, c benchCase) (bare, in loadResult, err error) {
	order := s.order(c)
	for left := b.seconds; left > 0.01; left -= order.Seconds {
		order.Seconds = min(slice, left)
		for _, turn := range []struct {
			address string
			into    *loadResult
		}{{s.bare, &bare}, {s.ingest, &in}} {
			order.Address = turn.address
			before := cpuTime()
			r, err := child.do(ctx, order)
			if err != nil {
				return bare, in, err
			}
			if err := s.scrape(ctx); err != nil {
				return bare, in, err
			}
			r.cpu = cpuTime() - before
			turn.into.add(r)
		}
	}
	return bare, in, nil
}

// benchServers are the two servers and what the real one stands on.
type benchServers struct {
	ingest, bare string // addresses
	key          string
	browserKey   string
	broker       *embeddedlog.Broker
	log          *kafkalog.Log
	topic        string
	stop         context.CancelFunc
	group        *errgroup.Group
}

// benchLogBytes is room for any run; what a run writes is removed at its end.
const benchLogBytes = 64 << 30

func startBenchServers(ctx context.Context, dir string) (s *benchServers, err error) {
	ctx, stop := context.WithCancel(ctx)
	s = &benchServers{stop: stop, group: &errgroup.Group{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	defaults := config.Default()
	topics := eventlog.Named(defaults.Log.Prefix)
	wanted := topics.Wanted(defaults.Log.Partitions, 0, 0)
	s.topic = topics.Inbound
	if s.broker, err = embeddedlog.Start(ctx, embeddedlog.Options{Dir: filepath.Join(dir, "log"), MaxBytes: benchLogBytes, Topics: wanted}); err != nil {
		return s, err
	}
	if s.log, err = kafkalog.Open(ctx, kafkalog.Options{Brokers: []string{s.broker.Addr()}, Embedded: true, Dial: s.broker.Dial}); err != nil {
		return s, err
	}
	if err = s.log.Ensure(ctx, wanted...); err != nil {
		return s, err
	}
	keys, err := ingest.OpenKeys(dir)
	if err != nil {
		return s, err
	}
	if s.key, _, err = keys.Create(ingest.NewKey{Name: "bench", Scopes: []ingest.Scope{ingest.ScopeIngest}}, time.Now()); err != nil {
		return s, err
	}
	if s.browserKey, _, err = keys.Create(ingest.NewKey{Name: "bench page", Scopes: []ingest.Scope{ingest.ScopeBrowser}}, time.Now()); err != nil {
		return s, err
	}
	// Rates are held as always, and are so high that nobody comes to them.
	high := ingest.Rate{PerSecond: config.MaxRate, Burst: config.MaxRate}
	limits := limitsOf(defaults.HTTP.Limits)
	limits.Rate, limits.AddressRate = high, high
	front, err := ingest.Handler(ingest.Options{
		Limits:   limits,
		Appender: &appender{Inbound: pipeline.Inbound{Log: s.log, Topic: s.topic}}, Keys: keys, Full: full(s.broker),
		Logger: slog.New(atLeast{slog.LevelWarn, slog.NewTextHandler(os.Stderr, nil)}),
	})
	if err != nil {
		return s, err
	}
	if s.ingest, err = s.serve(ctx, "ingest", defaults.HTTP, front); err != nil {
		return s, err
	}
	s.bare, err = s.serve(ctx, "bare gin", defaults.HTTP, bareGin())
	return s, err
}

// serve answers on a free loopback port, with the settings of serve. Its goroutines carry
// a label for profiles.
func (s *benchServers) serve(ctx context.Context, name string, c config.HTTP, h http.Handler) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.group.Go(func() (err error) {
		pprof.Do(ctx, pprof.Labels("server", name), func(ctx context.Context) { err = listen(ctx, c, l, h) })
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	return l.Addr().String(), nil
}

// close ends the servers and waits for them.
func (s *benchServers) close() error {
	s.stop()
	err := s.group.Wait()
	if s.log != nil {
		err = errors.Join(err, s.log.Close())
	}
	if s.broker != nil {
		s.broker.Close()
	}
	return err
}

// inLog counts the records of the topic.
func (s *benchServers) inLog(ctx context.Context) (n int, err error) {
	first, end, err := s.log.Bounds(ctx, s.topic)
	for p := range end {
		n += int(end[p] - first[p])
	}
	return n, err
}

// bareGin reads the body and answers: as fast as this machine's HTTP gets.
func bareGin() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.GET("/v1/pixel.gif", func(c *gin.Context) {
		if len(c.Request.URL.Query()) == 0 {
			c.Status(http.StatusBadRequest)
			return
		}
		c.Data(http.StatusOK, "image/gif", make([]byte, 42))
	})
	e.POST("/v1/events", func(c *gin.Context) {
		if _, err := io.ReadAll(c.Request.Body); err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		c.Data(http.StatusAccepted, "application/json; charset=utf-8", []byte(`{"ok":true}`+"\n"))
	})
	return e
}

// benchEventBytes is the size of one event.
const benchEventBytes = 300

// benchBody is the body of a request with so many events, each of benchEventBytes.
func benchBody(events int) string {
	event := `{"event":"lead_stage_changed","occurred_at":"2026-04-23T11:04:19Z","user_data":{"email":"buyer@acme.example"},` +
		`"account_data":{"domain":"acme.example"},"custom_data":{"hubspot_contact_id":"102948","hubspot_lifecycle_stage":"marketingqualifiedlead","note":"`
	event += strings.Repeat("x", benchEventBytes-len(event)-len(`"}}`)) + `"}}`
	if events == 1 {
		return event
	}
	return "[" + strings.Repeat(event+",", events-1) + event + "]"
}

// print writes the report as tables.
func (r *benchReport) print(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %s/%s, %s, GOMAXPROCS %d, load before the run %s\n", m.CPU, m.Cores, runtime.GOOS, runtime.GOARCH, m.Go, m.Procs, m.Load)
	fmt.Fprintf(w, "fsync on (%.2f ms for 4 KiB appended), events of %d bytes, %g s for each case and server, load generator beside them in its own process\n\n",
		r.SyncMillis, r.EventBytes, r.Seconds)
	t := tabwriter.NewWriter(w, 2, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "request\tconnections\tevents/request\trequests/s\tevents/s\tp50 ms\tp99 ms\tCPU µs\tbare gin requests/s\tp50 ms\tp99 ms\tCPU µs\tratio\t")
	for _, c := range r.Cases {
		fmt.Fprintf(t, "%s\t%d\t%d\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f %%\t\n", c.Request, c.Connections, c.Events,
			c.Ingest.RequestsPerSecond, c.Ingest.EventsPerSecond, c.Ingest.P50Millis, c.Ingest.P99Millis, c.Ingest.CPUMicros,
			c.Bare.RequestsPerSecond, c.Bare.P50Millis, c.Bare.P99Millis, c.Bare.CPUMicros, 100*c.Ratio)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nevents acknowledged %d, in the log %d\n", r.Acknowledged, r.InLog)
	return err
}

// A machine is what figures depend on.
type machine struct {
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
	Procs int    `json:"gomaxprocs"`
	Go    string `json:"go"`
	OS    string `json:"os"`
	Load  string `json:"load_before"` // of the last minute; "unknown" where the system does not say
}

func thisMachine() machine {
	m := machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), Procs: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Load: "unknown"}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load, _, _ = strings.Cut(string(b), " ")
	}
	return m
}

// syncMillis tells how long the disk takes to keep 4 KiB.
func syncMillis(dir string) (float64, error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	took := make([]time.Duration, 51)
	for i := range took {
		start := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2].Seconds() * 1e3, nil
}

// startProfile writes a CPU profile to path until stop is called; "" writes none.
func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}
